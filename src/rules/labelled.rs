//! Looks after files with labels of their own in datasets. Placing asks policy about the dataset; a file
//! that was labelled after it landed may lie where policy does not let it be. Whoever wants it there is
//! told, and their rules are stuck on it. Nothing is deleted.
//!
//! A file is looked at when it is labelled, and when it has joined a dataset or left it. What else
//! decisions are made from concerns any of them, so a walk over all files with labels follows when
//! policies or endpoints change, and now and then, for rules that were made since.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::labels::{self, Gatherer};
use crate::catalog::ledger::membership::REPLICAS_MAX;
use crate::catalog::ledger::{denied, locks};
use crate::catalog::record::{DidLabels, Dids, LabelledDue, Replicas};
use crate::catalog::{Catalog, CatalogError, Txn, View, endpoints, placing, subjects};
use crate::model::endpoint::Endpoint;
use crate::model::facts::{DidFacts, EndpointFacts, Resource};
use crate::model::id::DidId;
use crate::model::label::LabelSet;
use crate::model::replica::ReplicaState;
use crate::model::stuck::StuckReason;
use crate::policy::decision::{Action, Question};
use crate::policy::judge::Judge;
use crate::rules::Progress;

/// How many labelled DIDs one transaction looks at.
const PAGE: usize = 100;
/// How often all are looked at, though nothing is known to have changed.
const WALK_EVERY: Duration = Duration::from_mins(5);

/// How far a walk has come, and what it was made under.
#[derive(Debug, Default)]
pub struct Memory {
    /// Revisions of policies, endpoints, and labels of scopes and containers, under which the last walk
    /// began. If they are others at its end, the next follows.
    seen: Option<(String, u64, u64)>,
    /// A walk is under way, behind this DID.
    after: Option<DidId>,
    due_at: Duration,
}

/// Looks at a page of files with labels of their own, where that is due.
pub async fn step(catalog: &Catalog, judge: &Arc<Judge>, memory: &mut Memory) -> Result<Progress, CatalogError> {
    let view = catalog.view().await?;
    let moved = look_at_moved(catalog, &view, judge).await?;
    let revisions =
        (judge.set().revision().to_string(), endpoints::revision(&view).await?, placing::revision(&view).await?);
    let monotonic = catalog.clock().monotonic();
    // What is changed all the time would never be looked at to its end: a walk that is under way goes on.
    let is_due = memory.seen.as_ref() != Some(&revisions) || monotonic >= memory.due_at;
    if memory.after.is_none() && is_due {
        *memory = Memory { seen: Some(revisions), after: Some(DidId(0)), due_at: monotonic + WALK_EVERY };
    }
    let Some(after) = memory.after else { return Ok(moved) };
    let rows = view.scan_after::<DidLabels>(&(), &(after,), PAGE).await?;
    drop(view);
    let next = rows.last().filter(|_| rows.len() == PAGE).map(|((did,), _)| *did);
    if rows.is_empty() {
        memory.after = next;
        return Ok(moved);
    }
    look_at(catalog, judge, rows.into_iter().map(|((did,), _)| did).collect()).await?;
    // A page that could not be looked at is looked at again.
    memory.after = next;
    Ok(Progress::Made)
}

/// Looks at files that have joined a dataset or left it.
async fn look_at_moved(catalog: &Catalog, view: &View, judge: &Arc<Judge>) -> Result<Progress, CatalogError> {
    let rows = view.scan::<LabelledDue>(&(), PAGE).await?;
    if rows.is_empty() {
        return Ok(Progress::Nothing);
    }
    look_at(catalog, judge, rows.into_iter().map(|((did,), ())| did).collect()).await?;
    Ok(Progress::Made)
}

/// Looks at a page of files as one transaction, after which none of them is due.
async fn look_at(catalog: &Catalog, judge: &Arc<Judge>, files: Arc<[DidId]>) -> Result<(), CatalogError> {
    let judge = Arc::clone(judge);
    catalog
        .transact_bulk(move |txn| {
            let (files, judge) = (Arc::clone(&files), Arc::clone(&judge));
            async move {
                for file in files.iter() {
                    look(&txn, &judge, *file).await?;
                    if txn.any::<LabelledDue>(&(*file,)).await? {
                        txn.clear::<LabelledDue>(&(*file,));
                    }
                }
                Ok(())
            }
        })
        .await
}

/// Looks where a file with labels of its own lies, and tells whoever wants it where policy does not let
/// it be. What is no file is passed over.
pub async fn look(txn: &Txn, judge: &Judge, file: DidId) -> Result<(), CatalogError> {
    let record = txn.get::<Dids>(&(file,)).await?;
    let Some(record) = record.filter(|record| record.file().is_some()) else { return Ok(()) };
    let is_labelled = labels::of_did(txn, file).await? != LabelSet::default();
    let facts = Gatherer::new(txn).did(file, &record).await?;
    for ((_, endpoint), replica) in txn.scan::<Replicas>(&(file,), REPLICAS_MAX).await? {
        if replica.state != ReplicaState::Available {
            continue;
        }
        let denial = match endpoints::by_id(txn, endpoint).await? {
            Some(endpoint) if is_labelled => denial(txn, judge, file, &facts, &endpoint).await?,
            _ => None,
        };
        match denial {
            Some(reason) => denied::tell(txn, file, endpoint, &reason).await?,
            None => denied::forget(txn, file, endpoint).await?,
        }
    }
    Ok(())
}

/// Why a file may not be at an endpoint for any account whose rule wants it there, as its transfer would
/// be decided.
async fn denial(
    txn: &Txn,
    judge: &Judge,
    file: DidId,
    facts: &DidFacts,
    endpoint: &Endpoint,
) -> Result<Option<StuckReason>, CatalogError> {
    let (resource, at) = (Resource::Did(facts.clone()), Arc::new(EndpointFacts::from(endpoint)));
    let mut reason = None;
    for account in locks::accounts(txn, file, endpoint.id).await? {
        let subject = Arc::new(subjects::behind(txn, &account).await?);
        let (action, now) = (Action::Place, txn.now());
        let decision = judge.decide(&Question { subject: &subject, action, resource: &resource, at: Some(&at), now });
        if decision.allows() {
            return Ok(None);
        }
        let policies = decision.policies.to_vec();
        reason = Some(StuckReason::DeniedByPolicy { endpoint: endpoint.name.clone(), policies });
    }
    Ok(reason)
}

#[cfg(test)]
mod tests;
