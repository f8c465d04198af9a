//! Plans what a rule would do: places it in a rehearsal, by the same steps as the real placing, and
//! counts what would move. Changes nothing.

use std::collections::BTreeMap;

use crate::catalog::ledger::tally;
use crate::catalog::record::{Dids, Heads, Locks, Replicas};
use crate::catalog::{View, endpoints};
use crate::model::id::{DidId, EndpointId, RuleId};
use crate::model::replica::ReplicaState;
use crate::rules::{Progress, evaluate};
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::rules::{LOCKS_MAX, tagged};
use crate::service::sight::Sight;
use crate::service::view::{PlannedEndpoint, RulePlan, RuleView};

/// How many pages of placing a plan looks at.
const PAGES_MAX: usize = 50;

/// Places a rule of a rehearsal, and shows it with its plan.
pub(super) async fn rehearse(ctx: &Context, rule: RuleId) -> Result<RuleView, ServiceError> {
    let mut complete = false;
    for _ in 0..PAGES_MAX {
        if evaluate::step_of(ctx.catalog(), &ctx.lake.judge, rule).await? == Progress::Nothing {
            complete = true;
            break;
        }
    }
    let mut sight = ctx.sight(&ctx.catalog().view().await?);
    let mut shown = tagged(&mut sight, rule).await?.view;
    let (endpoints, counted) = count(&mut sight, rule).await?;
    shown.plan = Some(RulePlan { endpoints, complete: complete && counted });
    Ok(shown)
}

/// What is missing at each endpoint, over the first locks of a rule; and whether those are all. What
/// whoever asks may not see is not counted.
async fn count(sight: &mut Sight, rule: RuleId) -> Result<(Vec<PlannedEndpoint>, bool), ServiceError> {
    let view = sight.view().clone();
    let locks = view.scan::<Locks>(&(rule,), LOCKS_MAX).await?;
    let all = locks.len() < LOCKS_MAX;
    let mut sums: BTreeMap<EndpointId, (u64, u64)> = BTreeMap::new();
    for ((_, unit, endpoint), _) in locks {
        if sight.by_id(unit).await?.is_some() {
            let (files, bytes) = missing(&view, unit, endpoint).await?;
            let sum = sums.entry(endpoint).or_default();
            *sum = (sum.0.saturating_add(files), sum.1.saturating_add(bytes));
        }
    }
    let mut planned = Vec::with_capacity(sums.len());
    for (id, (files, bytes)) in sums {
        if let Some(endpoint) = endpoints::by_id(&view, id).await? {
            planned.push(PlannedEndpoint { endpoint: endpoint.name, files, bytes });
        }
    }
    planned.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
    Ok((planned, all))
}

/// Files and bytes of a unit that an endpoint does not have.
async fn missing(view: &View, unit: DidId, endpoint: EndpointId) -> Result<(u64, u64), ServiceError> {
    if let Some(head) = view.get::<Heads>(&(unit,)).await? {
        let there = tally::coverage(view, unit, endpoint).await?;
        let less = |all: u64, there: i64| all.saturating_sub(u64::try_from(there).unwrap_or(0));
        return Ok((less(head.members, there.files), less(head.bytes, there.bytes)));
    }
    let replica = view.get::<Replicas>(&(unit, endpoint)).await?;
    if replica.is_some_and(|replica| replica.state == ReplicaState::Available) {
        return Ok((0, 0));
    }
    let record = view.get::<Dids>(&(unit,)).await?;
    Ok(record.and_then(|record| Some((1, record.file()?.bytes))).unwrap_or_default())
}
