//! Plans what a rule would do: places it in a rehearsal, by the same steps as the real placing, and
//! counts what would move. Changes nothing.

use std::collections::BTreeMap;

use crate::catalog::record::Locks;
use crate::model::endpoint::Endpoint;
use crate::model::id::{EndpointId, RuleId};
use crate::rules::{Progress, evaluate};
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::progress::{Count, Counter};
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
/// whoever asks may not see is not counted, nor what they may not know the number of.
async fn count(sight: &mut Sight, rule: RuleId) -> Result<(Vec<PlannedEndpoint>, bool), ServiceError> {
    let view = sight.view().clone();
    let rows = view.scan::<Locks>(&(rule,), LOCKS_MAX).await?;
    let all = rows.len() < LOCKS_MAX;
    let mut sums: BTreeMap<EndpointId, Option<Count>> = BTreeMap::new();
    for lock in Counter::default().locks(sight, rows).await? {
        let sum = sums.entry(lock.endpoint).or_insert(Some(Count::default()));
        *sum = sum.zip(lock.files).map(|(sum, more)| sum.plus(more));
    }
    let planned = |endpoint: Endpoint| {
        let sum = *sums.get(&endpoint.id)?;
        let (files, bytes) = sum.map(|sum| (sum.wanted.saturating_sub(sum.done), sum.missing_bytes)).unzip();
        Some(PlannedEndpoint { endpoint: endpoint.name, files, bytes })
    };
    let mut planned: Vec<PlannedEndpoint> = sight.endpoints().await?.into_iter().filter_map(planned).collect();
    planned.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
    Ok((planned, all))
}
