//! Whether somebody may take files in: decided in the transaction that does so, for each batch anew, as
//! labels, policies and accounts may have changed since the first.
//!
//! What is asked: to write in the scope, as names are given there, and the dataset, as it grows; to place
//! what the dataset holds at the endpoint. Of a file that is known already: to see and to write it with its
//! own labels, to relabel it if the dataset would loosen them, and to place it. Of a stated path: to write
//! in the scope whose directory it leads into; to administer the endpoint where it leads into none.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::decisions::{self, Alike, Decided};
use crate::catalog::labels::Gatherer;
use crate::catalog::ledger::membership::MembershipError;
use crate::catalog::record::{DecisionRecord, DidRecord, Dids, NameRecord};
use crate::catalog::{CatalogError, Txn, endpoints};
use crate::fault::{Fault, Kind};
use crate::model::account::AccountName;
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::EndpointName;
use crate::model::facts::{DidFacts, DidTraits, EndpointFacts, Resource};
use crate::model::id::{DecisionId, DidId};
use crate::model::scope::Scope;
use crate::model::shell::quoted;
use crate::policy::decision::Action;
use crate::policy::standing::Standing;
use crate::replicas::Target;
use crate::replicas::names::{NameConflict, look_up};
use crate::storage::layout::StoragePath;

/// Why files could not be taken in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IntakeError {
    /// Policy says no.
    #[error("policy does not let you {} {resource}{}", .action.name(), place(.at.as_ref()))]
    Denied {
        /// What was to be done.
        action: Action,
        /// On what.
        resource: String,
        /// The same as `dapple policy explain` takes it.
        on: String,
        /// Where, if it was to place something.
        at: Option<EndpointName>,
    },
    /// The files could not join their dataset, or the catalog failed.
    #[error(transparent)]
    Membership(#[from] MembershipError),
}

fn place(at: Option<&EndpointName>) -> String {
    at.map_or_else(String::new, |at| format!(" at {at}"))
}

impl Fault for IntakeError {
    fn kind(&self) -> Kind {
        match self {
            IntakeError::Denied { .. } => Kind::Denied,
            IntakeError::Membership(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            IntakeError::Denied { .. } => "denied",
            IntakeError::Membership(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let (action, on, at) = match self {
            IntakeError::Denied { action, on, at, .. } => (action.name(), on, at),
            IntakeError::Membership(error) => return error.hint(),
        };
        let at = at.as_ref().map_or_else(String::new, |at| format!(" --at {at}"));
        Some(format!("`dapple policy explain --action {action} {on}{at}` says which policy, and what would let you"))
    }
}

impl From<CatalogError> for IntakeError {
    fn from(error: CatalogError) -> Self {
        IntakeError::Membership(error.into())
    }
}

/// Why one file was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A stable name of the reason.
    pub(super) code: &'static str,
    /// The reason in words.
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// A file whose name is known.
pub(super) struct Known {
    pub(super) id: DidId,
    pub(super) record: DidRecord,
    facts: DidFacts,
}

impl Known {
    /// Whether it was announced and nothing else: its name may still become another file, so it is
    /// nobody's yet.
    pub(super) fn is_announced(&self) -> bool {
        self.record.file().is_some_and(|facts| facts.announced)
    }
}

/// What somebody may do with a batch of files.
pub(super) struct Leave<'a> {
    txn: &'a Txn,
    standing: &'a Standing,
    account: &'a AccountName,
    scope: &'a Scope,
    dataset: DidId,
    of_dataset: DidFacts,
    endpoint: EndpointName,
    at: Arc<EndpointFacts>,
    gatherer: Gatherer,
    /// What lets new files lie at the endpoint.
    pub(super) decision: DecisionId,
    /// What lets others be there, once for equal decisions.
    kept: HashMap<Alike, DecisionId>,
    /// Whether a new file may be there, once that was asked.
    lets_new: Option<bool>,
}

impl<'a> Leave<'a> {
    /// Decides on a batch as a whole.
    pub(super) async fn ask(txn: &'a Txn, target: &'a Target) -> Result<Self, IntakeError> {
        let (mut gatherer, standing, now) = (Gatherer::new(txn), target.standing.as_ref(), txn.now());
        // One answer for a scope that is hidden and one that is not there.
        let in_scope = || IntakeError::Denied {
            action: Action::Write,
            resource: format!("scope {}", target.scope),
            on: format!("{}:", target.scope),
            at: None,
        };
        // Whoever is not known writes nothing.
        let account = standing.account().ok_or_else(in_scope)?;
        let scope = Resource::Scope(gatherer.scope(&target.scope).await?.ok_or_else(in_scope)?);
        let record = txn.get::<Dids>(&(target.dataset,)).await?.ok_or_else(in_scope)?;
        let endpoint = endpoints::by_id(txn, target.endpoint).await?.ok_or_else(in_scope)?;
        if !standing.sees(&scope, now) || !standing.decide(Action::Write, &scope, None, now).allows() {
            return Err(in_scope());
        }
        let of_dataset = gatherer.did(target.dataset, &record).await?;
        let (at, dataset) = (Arc::new(EndpointFacts::from(&endpoint)), Resource::Did(of_dataset.clone()));
        let denied = |action, at| {
            let (resource, on) = (dataset.to_string(), quoted(&of_dataset.did.to_string()));
            IntakeError::Denied { action, resource, on, at }
        };
        if !standing.decide(Action::Write, &dataset, None, now).allows() {
            return Err(denied(Action::Write, None));
        }
        let placed = standing.decide(Action::Place, &dataset, Some(&at), now);
        if !placed.allows() {
            return Err(denied(Action::Place, Some(at.name.clone())));
        }
        let decided =
            Decided { allowed: true, policies: placed.policies.to_vec(), revision: placed.revision.to_string() };
        let record = decisions::on_place(account, &of_dataset, &at.name, decided, now);
        let decision = decisions::reuse(txn, target.decision, &record).await?;
        Ok(Self {
            txn,
            standing,
            account,
            scope: &target.scope,
            dataset: target.dataset,
            of_dataset,
            endpoint: endpoint.name,
            at,
            gatherer,
            decision,
            kept: HashMap::new(),
            lets_new: None,
        })
    }

    /// Those of some names that are given, in their order.
    pub(super) async fn known(&mut self, names: &[Option<NameRecord>]) -> Result<Vec<Option<Known>>, CatalogError> {
        let ids: Vec<_> = names.iter().flatten().map(|name| (name.id,)).collect();
        let records = self.txn.get_many::<Dids>(&ids).await?;
        let there: Vec<_> =
            ids.iter().zip(&records).filter_map(|((id,), record)| Some((*id, record.as_ref()?))).collect();
        let mut facts = self.gatherer.dids(&there).await?.into_iter();
        let mut read = ids.into_iter().zip(records.clone());
        let mut known = Vec::with_capacity(names.len());
        for name in names {
            let one = if name.is_some() { read.next() } else { None };
            let one = one.and_then(|((id,), record)| Some((id, record?)));
            known.push(one.map(|(id, record)| Known {
                id,
                record,
                facts: facts.next().expect("one for each that is there"),
            }));
        }
        Ok(known)
    }

    /// Whether a new file may be there. New names are asked of the scope, and its labels will be those
    /// of the dataset.
    pub(super) fn new_file(&mut self, did: &Did) -> Result<(), Refusal> {
        let lets = match self.lets_new {
            Some(known) if !self.standing.depends_on_names() => known,
            _ => {
                let owner = Arc::clone(self.standing.subject());
                let traits = DidTraits { kind: DidKind::File, owner, ..self.of_dataset.traits.clone() };
                let file = Resource::Did(DidFacts { did: did.clone(), traits });
                self.standing.decide(Action::Place, &file, Some(&self.at), self.txn.now()).allows()
            }
        };
        self.lets_new = Some(lets);
        if lets { Ok(()) } else { Err(self.no_place(did)) }
    }

    /// Whether a file that is known may be had in the dataset and at the endpoint as well. One that is
    /// hidden is answered as one that is not theirs to write.
    pub(super) async fn known_file(&mut self, known: &Known) -> Result<Result<DecisionId, Refusal>, CatalogError> {
        let did = &known.facts.did;
        if known.is_announced() {
            return Ok(self.new_file(did).map(|()| self.decision));
        }
        let (standing, now, resource) = (self.standing, self.txn.now(), Resource::Did(known.facts.clone()));
        let may = |action| standing.decide(action, &resource, None, now).allows();
        let denied = || Refusal::new("denied", format!("policy does not let you write `{did}`"));
        if !standing.sees(&resource, now) || !may(Action::Write) {
            return Ok(Err(denied()));
        }
        let there = self.gatherer.below_also(&known.facts, self.dataset).await?;
        let (old, new) = (&known.facts.traits.labels, &there.traits.labels);
        if old != new && !new.only_tightens(old) && !may(Action::Relabel) {
            return Ok(Err(Refusal::new("denied", format!("policy does not let you relabel `{did}`"))));
        }
        let placed = standing.decide(Action::Place, &Resource::Did(there.clone()), Some(&self.at), now);
        if !placed.allows() {
            return Ok(Err(self.no_place(did)));
        }
        let decided =
            Decided { allowed: true, policies: placed.policies.to_vec(), revision: placed.revision.to_string() };
        Ok(Ok(self.keep(&decisions::on_place(self.account, &there, &self.endpoint, decided, now)).await?))
    }

    /// A decision that says the same is kept once.
    async fn keep(&mut self, record: &DecisionRecord) -> Result<DecisionId, CatalogError> {
        let alike = Alike::of(record);
        if let Some(known) = self.kept.get(&alike) {
            return Ok(*known);
        }
        let id = decisions::reuse(self.txn, self.decision, record).await?;
        self.kept.insert(alike, id);
        Ok(id)
    }

    fn no_place(&self, did: &Did) -> Refusal {
        Refusal::new("denied", format!("policy does not let you place `{did}` at {}", self.endpoint))
    }

    /// Whether they may say that a file lies at a path. One answer for all that they may not: it does not
    /// tell which scopes there are, and what lies there.
    pub(super) async fn path(&mut self, path: &StoragePath) -> Result<Result<(), Refusal>, CatalogError> {
        let top = path.as_str().split_once('/').and_then(|(top, _)| Scope::parse(top).ok());
        if top.as_ref() == Some(self.scope) {
            return Ok(Ok(()));
        }
        let inside = match top {
            Some(scope) => self.gatherer.scope(&scope).await?,
            None => None,
        };
        let (action, resource) = match inside {
            Some(scope) => (Action::Write, Resource::Scope(scope)),
            None => (Action::Administer, Resource::Endpoint(Arc::clone(&self.at))),
        };
        if self.standing.decide(action, &resource, None, self.txn.now()).allows() {
            return Ok(Ok(()));
        }
        let detail = format!(
            "you may not state `{path}`: it is not in the directory of scope `{}`, a path in another scope's needs the \
             right to write there, and any other the right to administer {}",
            self.scope, self.endpoint
        );
        Ok(Err(Refusal::new("path-denied", detail)))
    }

    /// Why a name cannot be given: without the names of files that are hidden.
    pub(super) async fn conflict(&mut self, conflict: NameConflict) -> Result<Refusal, CatalogError> {
        let detail = conflict.to_string();
        if let NameConflict::Above(name) = conflict {
            let named = look_up(self.txn, self.scope.as_str(), &[name]).await?;
            let known = self.known(&named).await?.pop().flatten();
            let is_seen = known.is_some_and(|known| {
                !known.is_announced() && self.standing.sees(&Resource::Did(known.facts), self.txn.now())
            });
            if !is_seen {
                return Ok(Refusal::new("name-conflict", "a file lies below this name"));
            }
        }
        Ok(Refusal::new("name-conflict", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_how_to_ask_why() {
        let at = Some(EndpointName::parse("tape").expect("valid"));
        let (resource, on) = ("climate:a b".to_owned(), quoted("climate:a b"));
        let error = IntakeError::Denied { action: Action::Place, resource, on, at };
        assert_eq!(error.to_string(), "policy does not let you place climate:a b at tape");
        assert_eq!((error.kind(), error.code()), (Kind::Denied, "denied"));
        let hint = error.hint().expect("there is a next step");
        assert!(hint.starts_with("`dapple policy explain --action place 'climate:a b' --at tape`"), "{hint}");
    }
}
