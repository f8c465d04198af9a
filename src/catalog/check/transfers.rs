//! Transfers and their intents, what units are told of them, and the decisions behind every byte.

use crate::catalog::check::{Report, all};
use crate::catalog::record::{
    Decisions, IntentAct, Intents, Locks, LocksByUnit, Parents, Replicas, StuckFiles, TransferRecord, Transfers,
};
use crate::catalog::{CatalogError, View};
use crate::model::id::DecisionId;
use crate::model::replica::ReplicaState;
use crate::model::stuck::StuckReason;
use crate::model::transfer::{ATTEMPTS_MAX, TransferState};

/// A transfer holds the intent of its place, and an intent of a transfer has its transfer.
pub(super) async fn intents(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Transfers>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        let places: Vec<_> = rows.iter().map(|(_, one)| (one.file, one.destination)).collect();
        for (((id,), transfer), intent) in rows.iter().zip(view.get_many::<Intents>(&places).await?) {
            let holds = intent
                .as_ref()
                .is_some_and(|intent| intent.act == IntentAct::Transfer(*id) && intent.id == transfer.intent);
            report.expect(
                holds,
                || format!("transfer {id}"),
                || {
                    let (file, endpoint) = (transfer.file, transfer.destination);
                    format!("does not hold did {file} at endpoint {endpoint}: {intent:?}")
                },
            );
        }
    }
    let mut pages = all::<Intents>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for ((file, endpoint), intent) in rows {
            let IntentAct::Transfer(id) = intent.act else { continue };
            let transfer = view.get::<Transfers>(&(id,)).await?;
            let agrees = transfer.is_some_and(|one| (one.file, one.destination) == (file, endpoint));
            let what = || format!("intent on did {file} at endpoint {endpoint}");
            report.expect(agrees, what, || format!("transfer {id} is another's, or not there"));
        }
    }
}

/// A transfer is leased to somebody until a time, waits until a time, or rests for a reason.
pub(super) async fn ends(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Transfers>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for ((id,), transfer) in rows {
            report.expect(has_end(&transfer), || format!("transfer {id}"), || format!("{transfer:?}"));
        }
    }
}

fn has_end(transfer: &TransferRecord) -> bool {
    match &transfer.state {
        TransferState::Waiting { attempts, .. } => *attempts < ATTEMPTS_MAX,
        TransferState::Running { attempts, .. } => (1..=ATTEMPTS_MAX).contains(attempts) && transfer.process.is_some(),
        TransferState::Failed { at, retry_at, .. } => transfer.told && at <= retry_at,
    }
}

/// A unit is told of trouble only with a file it holds, by a transfer that will take it back, or because
/// the file lies where it may not and a rule wants it.
pub(super) async fn stuck_files(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<StuckFiles>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for ((unit, endpoint, file), reason) in rows {
            let is_held = unit == file || view.get::<Parents>(&(file, unit)).await?.is_some();
            let told = match view.get::<Intents>(&(file, endpoint)).await?.map(|intent| intent.act) {
                Some(IntentAct::Transfer(id)) => view.get::<Transfers>(&(id,)).await?.is_some_and(|one| one.told),
                _ => false,
            };
            let lies_there = matches!(reason, StuckReason::DeniedByPolicy { .. }) && {
                let replica = view.get::<Replicas>(&(file, endpoint)).await?;
                replica.is_some_and(|replica| replica.state == ReplicaState::Available)
            };
            let wanted = view.any::<LocksByUnit>(&(unit, endpoint)).await?;
            let words = || {
                format!(
                    "is told {reason:?} of did {file}: held is {is_held}, a transfer that told is {told}, \
                     one that may not lie there is {lies_there}, wanted is {wanted}"
                )
            };
            let holds = is_held && (told || (lies_there && wanted));
            report.expect(holds, || format!("did {unit} at endpoint {endpoint}"), words);
        }
    }
}

/// No byte is placed, and none is meant to be, without a recorded decision that allows it.
pub(super) async fn decisions(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Replicas>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        let available = rows.into_iter().filter(|(_, one)| one.state == ReplicaState::Available);
        let asked =
            available.map(|((file, at), one)| (one.decision, format!("replica of did {file} at endpoint {at}")));
        allowed(view, report, asked.collect()).await?;
    }
    let mut pages = all::<Locks>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        let asked = rows.into_iter().map(|((rule, unit, at), one)| {
            (one.decision, format!("lock of rule {rule} on did {unit} at endpoint {at}"))
        });
        allowed(view, report, asked.collect()).await?;
    }
    let mut pages = all::<Intents>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let asked =
            rows.into_iter().map(|((file, at), one)| (one.decision, format!("intent on did {file} at endpoint {at}")));
        allowed(view, report, asked.collect()).await?;
    }
}

async fn allowed(view: &View, report: &mut Report<'_>, asked: Vec<(DecisionId, String)>) -> Result<(), CatalogError> {
    let keys: Vec<_> = asked.iter().map(|(decision, _)| (decision.0,)).collect();
    for ((decision, what), record) in asked.into_iter().zip(view.get_many::<Decisions>(&keys).await?) {
        let is_allowed = record.is_some_and(|record| record.allowed);
        report.expect(is_allowed, || what, || format!("decision {decision} does not allow it, or is not there"));
    }
    Ok(())
}
