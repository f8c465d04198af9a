//! Replicas from the outside: registering what lies at an endpoint already, taking uploads, and
//! locating a copy to read.

use crate::model::account::AccountName;
use crate::model::id::{DecisionId, DidId, EndpointId};
use crate::model::scope::Scope;
use crate::replicas::describe::Writers;

pub mod announce;
pub mod describe;
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
    /// The recorded decision that allows it.
    pub decision: DecisionId,
    /// Which files that are known already may be given other metadata.
    pub writers: Writers,
}
