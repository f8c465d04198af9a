//! Transfers: what is on its way.

use std::collections::BTreeMap;

use crate::catalog::View;
use crate::catalog::ledger::transfers::units_of;
use crate::catalog::record::{LocksByUnit, TransferRecord, Transfers};
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::model::id::{EndpointId, RuleId, TransferId};
use crate::model::stuck::StuckReason;
use crate::model::transfer::{ATTEMPTS_MAX, TransferState};
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, Rounds, page};
use crate::service::view::{Page, TransferView};

/// Which transfers to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those in this state: `waiting`, `running` or `failed`.
    pub state: Option<String>,
    /// Only those that this rule wants.
    pub rule: Option<RuleId>,
}

/// Lists transfers in the order in which they were planned.
pub async fn list(ctx: &Context, filter: Filter, paging: Paging) -> Result<Page<TransferView>, ServiceError> {
    ctx.permit(Action::Discover, "transfers")?;
    if let Some(state) = &filter.state
        && !["waiting", "running", "failed"].contains(&state.as_str())
    {
        let detail = format!("`{state}` is no state of a transfer: use waiting, running or failed");
        return Err(ServiceError::invalid("invalid-state", detail));
    }
    let limit = paging.limit()?;
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    // A rule that is hidden wants nothing that whoever asks could know of, as one that is not there.
    if let Some(rule) = filter.rule
        && matches!(sight.rule(rule).await, Err(ServiceError::NotFound { .. }))
    {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let endpoints = sight.endpoints().await?.into_iter().map(|one| (one.id, one.name)).collect();
    let mut after = paging.after()?.unwrap_or(TransferId(0));
    let (mut items, mut rounds) = (Vec::new(), Rounds::of(limit));
    while let Some(count) = rounds.next() {
        let rows = view.scan_after::<Transfers>(&(), &(after,), count).await?;
        let Some(((last,), _)) = rows.last() else { return Ok(Page { items, next: None }) };
        after = *last;
        let is_end = rows.len() < count;
        let mut passing = Vec::new();
        for ((id,), record) in rows {
            if passes(&view, &filter, &record).await? {
                passing.push((id, record));
            }
        }
        let seen = sight.by_ids(passing.iter().map(|(_, record)| record.file)).await?;
        for (id, record) in passing {
            let Some(seen) = seen.get(&record.file) else { continue };
            items.extend(to_view(&endpoints, id, record, seen.facts.did.clone()));
            if items.len() == limit {
                return Ok(page(items, true, |item| item.id.to_string()));
            }
        }
        if is_end {
            return Ok(Page { items, next: None });
        }
    }
    Ok(Page { items, next: Some(after.to_string()) })
}

async fn passes(view: &View, filter: &Filter, record: &TransferRecord) -> Result<bool, ServiceError> {
    if filter.state.as_deref().is_some_and(|wanted| wanted != state_name(&record.state)) {
        return Ok(false);
    }
    let Some(rule) = filter.rule else { return Ok(true) };
    for unit in units_of(view, record.file).await? {
        let holders = view.scan::<LocksByUnit>(&(unit, record.destination, rule), 1).await?;
        if !holders.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn state_name(state: &TransferState) -> &'static str {
    match state {
        TransferState::Waiting { .. } => "waiting",
        TransferState::Running { .. } => "running",
        TransferState::Failed { .. } => "failed",
    }
}

/// A transfer as it is shown; none to an endpoint that is hidden.
fn to_view(
    endpoints: &BTreeMap<EndpointId, EndpointName>,
    id: TransferId,
    record: TransferRecord,
    did: Did,
) -> Option<TransferView> {
    let destination = endpoints.get(&record.destination)?.clone();
    let (attempts, reason, next_attempt_at) = match &record.state {
        TransferState::Waiting { attempts, not_before, last } => (*attempts, last.clone(), Some(*not_before)),
        TransferState::Running { attempts, .. } => (*attempts, None, None),
        TransferState::Failed { reason, retry_at, .. } => (ATTEMPTS_MAX, Some(reason.clone()), Some(*retry_at)),
    };
    // A source may be hidden, too.
    let told = |reason: &StuckReason| reason.names().is_none_or(|name| endpoints.values().any(|one| one == name));
    Some(TransferView {
        id,
        did,
        destination,
        state: state_name(&record.state).to_owned(),
        attempts,
        reason: reason.filter(told).map(|reason| reason.to_string()),
        next_attempt_at,
        bytes: record.bytes,
        created_at: record.created_at,
    })
}
