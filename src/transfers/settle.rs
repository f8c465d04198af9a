//! Settles outcomes: many in one transaction, so that a thousand small files cost a few commits.

use crate::catalog::ledger::locks::fill_file;
use crate::catalog::ledger::replicas::{Arrival, land};
use crate::catalog::ledger::transfers::{end, tell_stuck};
use crate::catalog::record::{TransferRecord, Transfers};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, Txn};
use crate::model::id::ProcessId;
use crate::model::transfer::{TransferEvent, TransferState};
use crate::telemetry::meters::Attempt;
use crate::transfers::job::{Ending, Outcome};

/// The most outcomes that one transaction takes. One costs about a dozen keys.
pub const SETTLE_MAX: usize = 200;

/// Writes what has become of jobs. An outcome whose lease went to somebody else is passed over: who
/// has the lease now finds the bytes and says so.
pub async fn settle(catalog: &Catalog, outcomes: Vec<Outcome>) -> Result<(), CatalogError> {
    let process = catalog.process();
    let ended: Vec<_> = outcomes.iter().map(|outcome| (attempt_of(&outcome.result), outcome.job.bytes)).collect();
    #[expect(clippy::cast_precision_loss, reason = "jitter needs no more than a few bits")]
    let jitter = catalog.clock().random() as f64 / u64::MAX as f64;
    catalog
        .transact(move |txn| {
            let outcomes = outcomes.clone();
            async move {
                let mut arrivals = Vec::new();
                for outcome in &outcomes {
                    arrivals.extend(settle_one(&txn, process, outcome, jitter).await?);
                }
                land(&txn, &arrivals).await?;
                Ok::<_, CatalogError>(())
            }
        })
        .await?;
    for (attempt, bytes) in ended {
        catalog.meters().attempted(attempt, bytes);
    }
    catalog.wakes().wake(Topic::Folds);
    catalog.wakes().wake(Topic::Filling);
    Ok(())
}

/// How an outcome is counted.
fn attempt_of(ending: &Ending) -> Attempt {
    match ending {
        Ending::Landed { .. } => Attempt::Landed,
        Ending::Cancelled => Attempt::Cancelled,
        Ending::PutOff | Ending::Failed { passing: true, .. } => Attempt::Interrupted,
        Ending::Failed { passing: false, .. } => Attempt::Failed,
    }
}

async fn settle_one(
    txn: &Txn,
    process: ProcessId,
    outcome: &Outcome,
    jitter: f64,
) -> Result<Option<Arrival>, CatalogError> {
    let job = &outcome.job;
    let Some(record) = txn.get::<Transfers>(&(job.transfer,)).await? else {
        return Ok(None);
    };
    let ours = matches!(record.state, TransferState::Running { until, .. } if until == job.until);
    if !ours || record.process != Some(process) {
        return Ok(None);
    }
    match &outcome.result {
        Ending::Landed { verification, decision } => {
            end(txn, job.transfer, &record).await?;
            Ok(Some(Arrival {
                file: job.file,
                endpoint: job.destination.id,
                bytes: job.bytes,
                verification: *verification,
                path: job.path_is_stated.then(|| job.path.to_string()),
                decision: *decision,
            }))
        }
        Ending::Cancelled => {
            end(txn, job.transfer, &record).await?;
            // Whoever wanted it in the meantime planned nothing, as this one still had the place.
            fill_file(txn, job.file, job.destination.id).await?;
            Ok(None)
        }
        Ending::PutOff => {
            let state = record.state.clone().apply(TransferEvent::PutOff { at: txn.now() });
            let state = state.expect("what runs can be put off");
            txn.replace::<Transfers>(&(job.transfer,), &record, &TransferRecord { state, ..record.clone() });
            Ok(None)
        }
        Ending::Failed { reason, passing } => {
            let (reason, at) = (reason.clone(), txn.now());
            let event = if *passing {
                TransferEvent::FailedInPassing { reason: reason.clone(), at, jitter }
            } else {
                TransferEvent::FailedForGood { reason: reason.clone(), at }
            };
            let state = record.state.clone().apply(event).expect("what runs can fail");
            let told = matches!(state, TransferState::Failed { .. });
            if told {
                tell_stuck(txn, job.file, job.destination.id, &reason).await?;
            }
            let after = TransferRecord { state, told: told || record.told, ..record.clone() };
            txn.replace::<Transfers>(&(job.transfer,), &record, &after);
            Ok(None)
        }
    }
}
