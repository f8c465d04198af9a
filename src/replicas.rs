//! Replicas from the outside: registering what lies at an endpoint already, taking uploads, and
//! locating a copy to read.

use std::sync::Arc;

use crate::model::account::AccountName;
use crate::model::id::{DecisionId, DidId, EndpointId};
use crate::model::scope::Scope;
use crate::policy::standing::Standing;

pub mod announce;
mod describe;
pub mod leave;
pub mod locate;
pub mod names;
mod permit;
mod place;
pub mod register;
pub mod upload;

/// Where new files go, and by whose leave.
#[derive(Debug, Clone)]
pub struct Target {
    /// The scope.
    pub scope: Scope,
    /// The dataset that the files join.
    pub dataset: DidId,
    /// The endpoint that has or takes the bytes.
    pub endpoint: EndpointId,
    /// Who does it.
    pub account: AccountName,
    /// What they may do.
    pub standing: Arc<Standing>,
    /// The recorded decision that allows it.
    pub decision: DecisionId,
}
