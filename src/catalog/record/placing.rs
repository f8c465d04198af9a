//! What the catalog stores of placing rules anew: what has changed that may move their data, and how far
//! the pass over all rules has come that takes account of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::table::stored_v1;
use crate::model::account::AccountName;
use crate::model::id::{DidId, EndpointId, RuleId};
use crate::model::scope::Scope;

/// Something that decisions on places are made from, and that is not as it was. Stored, so variants are
/// only ever added, at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CauseRecord {
    /// An endpoint has other attributes than these.
    Endpoint {
        /// Which.
        id: EndpointId,
        /// What they were.
        before: BTreeMap<String, String>,
    },
    /// An account is in other groups, or an admin no more, and with it whoever is in it.
    Account(AccountName),
    /// A scope has another owner.
    Scope(Scope),
    /// Files of a dataset have other labels.
    Files(DidId),
}

/// A pass over all rules, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PassRecord {
    /// The revision of the policies when it began.
    pub policies: u64,
    /// The revision of labels that may concern any rule.
    pub labels: u64,
    /// Whether one of the two has changed, so that it is about every rule.
    pub every: bool,
    /// What else it takes account of.
    pub causes: Vec<u128>,
    /// It goes on behind this rule.
    pub after: Option<RuleId>,
}

stored_v1!(CauseRecord);
stored_v1!(PassRecord);
