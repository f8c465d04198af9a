//! Recorded policy decisions: who asked for what, where, and which policies determined the answer.

use crate::catalog::record::{DecisionRecord, Decisions};
use crate::catalog::{CatalogError, Txn, View};
use crate::model::account::AccountName;
use crate::model::endpoint::EndpointName;
use crate::model::facts::DidFacts;
use crate::model::id::DecisionId;
use crate::model::time::Timestamp;

/// Keeps a decision; its id travels with what it allows.
pub fn record(txn: &Txn, decision: &DecisionRecord) -> DecisionId {
    let id = DecisionId(txn.fresh());
    txn.put::<Decisions>(&(id.0,), decision);
    id
}

/// What was decided, by policies that the catalog knows nothing of.
#[derive(Debug, Clone)]
pub struct Decided {
    /// Yes or no.
    pub allowed: bool,
    /// The policies that determined it.
    pub policies: Vec<String>,
    /// Their revision.
    pub revision: String,
}

/// The record of a decision on data at an endpoint, for the account that answers for it.
pub fn on_place(
    principal: &AccountName,
    facts: &DidFacts,
    endpoint: &EndpointName,
    decided: Decided,
    at: Timestamp,
) -> DecisionRecord {
    DecisionRecord {
        principal: principal.clone(),
        action: "place".to_owned(),
        resource: facts.did.to_string(),
        endpoint: Some(endpoint.clone()),
        allowed: decided.allowed,
        policies: decided.policies,
        at,
        revision: decided.revision,
        labels: facts.traits.labels.to_string(),
    }
}

/// A decision that says the same as `new` for equal data, under the same policies, if `known` is one;
/// else `new`, kept.
pub async fn reuse(txn: &Txn, known: DecisionId, new: &DecisionRecord) -> Result<DecisionId, CatalogError> {
    if stands_for(txn, known, new).await? { Ok(known) } else { Ok(record(txn, new)) }
}

/// Tells whether a recorded decision says the same as another for equal data, under the same policies.
pub async fn stands_for(view: &View, known: DecisionId, new: &DecisionRecord) -> Result<bool, CatalogError> {
    let known = view.get::<Decisions>(&(known.0,)).await?;
    Ok(known.is_some_and(|known| Alike::of(&known) == Alike::of(new)))
}

/// What makes decisions equal, so that one record stands for all of them: who may do what and where, with
/// data of which labels, and the policies that determined it. The data itself is but an example.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Alike {
    principal: AccountName,
    action: String,
    endpoint: Option<EndpointName>,
    allowed: bool,
    policies: Vec<String>,
    revision: String,
    labels: String,
}

impl Alike {
    /// Of a decision.
    pub fn of(record: &DecisionRecord) -> Self {
        let DecisionRecord { principal, action, endpoint, allowed, policies, revision, labels, .. } = record.clone();
        Self { principal, action, endpoint, allowed, policies, revision, labels }
    }
}
