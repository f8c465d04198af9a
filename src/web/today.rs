//! Today: is anything on fire? What is stuck by reason, endpoints that ail, transfers, workers.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::model::id::RuleId;
use crate::model::rule::RuleState;
use crate::policy::decision::Action;
use crate::service::error::ServiceError;
use crate::service::paging::{LIMIT_MAX, Paging};
use crate::service::transfers::Filter;
use crate::service::view::{EndpointState, EndpointView, Page, RuleView};
use crate::service::{Context, endpoints, explain, rules, transfers};
use crate::web::Pages;
use crate::web::frame::{Frame, page};
use crate::web::oops::Oops;
use crate::web::show;
use crate::web::visitor::{Visitor, if_permitted};
use crate::workers::board::Board;

/// The most pages of rules that are counted.
const RULE_PAGES_MAX: usize = 5;
/// The most stuck rules that are asked for their reasons.
const EXPLAINED_MAX: usize = 20;
/// The most rules that are named with one reason.
const NAMED_MAX: usize = 5;

#[derive(Template)]
#[template(path = "today.html")]
struct TodayPage {
    frame: Frame,
    rules: Rules,
    stuck: Vec<Stuck>,
    endpoints: Vec<EndpointView>,
    ailing: Vec<EndpointView>,
    transfers: Transfers,
    faults: Vec<Fault>,
}

/// Rules by state.
#[derive(Default)]
struct Rules {
    states: [(&'static str, u64); 4],
    stuck: Vec<RuleId>,
    /// Whether all were counted.
    whole: bool,
}

impl Rules {
    fn is_none(&self) -> bool {
        self.states.iter().all(|(_, count)| *count == 0)
    }
}

/// What keeps rules stuck, and which.
struct Stuck {
    code: String,
    reason: String,
    said: Option<String>,
    count: u64,
    rules: Vec<RuleView>,
    more: u64,
}

/// Transfers by state.
#[derive(Default)]
struct Transfers {
    states: [(&'static str, u64); 3],
    bytes: u64,
    whole: bool,
}

/// A worker that fails.
struct Fault {
    worker: String,
    said: String,
}

pub(super) async fn show(Visitor(ctx): Visitor, State(pages): State<Pages>) -> Result<Response, Oops> {
    let rules = if_permitted(rules(&ctx).await)?.unwrap_or_default();
    let stuck = stuck(&ctx, &rules.stuck).await?;
    let all = Paging { limit: Some(LIMIT_MAX), after: None };
    let endpoints = if_permitted(endpoints::list(&ctx, all).await)?.map(|page| page.items).unwrap_or_default();
    let ailing = endpoints.iter().filter(|one| one.state != EndpointState::Well).cloned().collect();
    let transfers = if_permitted(transfers(&ctx).await)?.unwrap_or_default();
    let faults =
        if_permitted(ctx.permit(Action::Discover, "workers"))?.map(|_| faults(&ctx, &pages.board)).unwrap_or_default();
    let commands =
        ["dapple rule list", "dapple endpoint list", "dapple transfer list", "dapple worker list", "dapple doctor"];
    let frame = Frame::of(&ctx, "today", "Today").commands(commands.map(str::to_owned));
    Ok(page(&TodayPage { frame, rules, stuck, endpoints, ailing, transfers, faults }))
}

async fn rules(ctx: &Context) -> Result<Rules, ServiceError> {
    let (mut counts, mut stuck, mut after) = (BTreeMap::new(), Vec::new(), None);
    let mut whole = false;
    for _ in 0..RULE_PAGES_MAX {
        let Page { items, next } = rules::states(ctx, Paging { limit: Some(LIMIT_MAX), after }).await?;
        for (rule, state) in items {
            *counts.entry(show::rule_state(state)).or_default() += 1;
            if state == RuleState::Stuck && stuck.len() < EXPLAINED_MAX {
                stuck.push(rule);
            }
        }
        after = next;
        if after.is_none() {
            whole = true;
            break;
        }
    }
    let states = ["stuck", "replicating", "ok", "releasing"];
    Ok(Rules { states: states.map(|state| (state, counts.get(state).copied().unwrap_or(0))), stuck, whole })
}

/// Groups what is stuck by its reason, which names the endpoint. What waits longest comes first: rules
/// are listed in the order in which they were made.
async fn stuck(ctx: &Context, rules: &[RuleId]) -> Result<Vec<Stuck>, ServiceError> {
    let mut groups: Vec<Stuck> = Vec::new();
    for rule in rules {
        let explained = match explain::explain(ctx, *rule).await {
            Ok(explained) => explained,
            // It may have ended meanwhile.
            Err(ServiceError::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        for problem in explained.problems {
            let known = groups.iter().position(|group| group.reason == problem.reason);
            let at = known.unwrap_or_else(|| {
                let (code, reason, said) = (problem.code, problem.reason, problem.said);
                groups.push(Stuck { code, reason, said, count: 0, rules: Vec::new(), more: 0 });
                groups.len() - 1
            });
            groups[at].count += problem.count;
            if groups[at].rules.len() < NAMED_MAX {
                groups[at].rules.push(explained.rule.clone());
            } else {
                groups[at].more += 1;
            }
        }
    }
    Ok(groups)
}

async fn transfers(ctx: &Context) -> Result<Transfers, ServiceError> {
    let page = transfers::list(ctx, Filter::default(), Paging { limit: Some(LIMIT_MAX), after: None }).await?;
    let count = |state: &'static str| (state, page.items.iter().filter(|one| one.state == state).count() as u64);
    let bytes = page.items.iter().map(|one| one.bytes).sum();
    Ok(Transfers { states: ["running", "waiting", "failed"].map(count), bytes, whole: page.next.is_none() })
}

fn faults(ctx: &Context, board: &Board) -> Vec<Fault> {
    let failing = board.list().into_iter().filter_map(|(name, status)| Some((name, status.fault_for(ctx)?)));
    failing.map(|(name, said)| Fault { worker: name.to_owned(), said }).collect()
}
