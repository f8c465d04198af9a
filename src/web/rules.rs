//! The list of rules, and making one.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;

use crate::model::did::Did;
use crate::model::rule::{Grouping, RuleState};
use crate::model::shell::quoted;
use crate::service::error::ServiceError;
use crate::service::paging::{LIMIT_MAX, Paging};
use crate::service::view::{EndpointView, NewRule, RuleView};
use crate::service::{endpoints, rules};
use crate::web::frame::{Done, Frame, done, page};
use crate::web::lots::first_shown;
use crate::web::oops::Oops;
use crate::web::show;
use crate::web::visitor::{Asked, Fields, Visitor, if_permitted};

/// How many rules a page shows.
const SHOWN: usize = 50;
/// States to choose from.
const STATES: [RuleState; 4] = [RuleState::Stuck, RuleState::Replicating, RuleState::Ok, RuleState::Releasing];

/// Which rules to show.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    state: String,
    #[serde(default)]
    did: String,
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage {
    frame: Frame,
    states: [&'static str; 4],
    state: String,
    did: String,
    rules: Vec<RuleView>,
    is_first: bool,
    next: Option<String>,
}

impl RulesPage {
    /// What the addresses of further pages begin with.
    fn base(&self) -> String {
        format!("/rules?state={}&did={}&", self.state, show::query(&self.did))
    }
}

pub(super) async fn list(
    Visitor(ctx): Visitor,
    Asked(wish): Asked<Wish>,
    Asked(done): Asked<Done>,
) -> Result<Response, Oops> {
    let is_first = wish.after.is_none();
    let did = Some(wish.did.trim()).filter(|did| !did.is_empty()).map(str::parse::<Did>);
    let did = did.transpose().map_err(ServiceError::from)?;
    let paging = |after| Paging { limit: Some(SHOWN), after };
    let found = match read_state(&wish.state)? {
        None => first_shown(wish.after, |after| rules::list(&ctx, did.clone(), paging(after))).await?,
        Some(state) => {
            first_shown(wish.after, |after| rules::in_state(&ctx, did.clone(), state, paging(after))).await?
        }
    };
    let on = did.map(|did| format!(" --did {}", quoted(&did.to_string()))).unwrap_or_default();
    let frame = Frame::of(&ctx, "rules", "Rules").after(&done).commands([format!("dapple rule list{on}")]);
    let (rules, next, states) = (found.items, found.next, STATES.map(show::rule_state));
    Ok(page(&RulesPage { frame, states, state: wish.state, did: wish.did, rules, is_first, next }))
}

/// The state that a wish names, if it names one.
fn read_state(state: &str) -> Result<Option<RuleState>, ServiceError> {
    let known = STATES.into_iter().find(|known| show::rule_state(*known) == state);
    if known.is_none() && !state.is_empty() {
        let detail = format!("`{state}` is no state of a rule: use {}", STATES.map(show::rule_state).join(", "));
        return Err(ServiceError::invalid("invalid-state", detail));
    }
    Ok(known)
}

/// What a new rule is to be on.
#[derive(Debug, Default, Deserialize)]
pub(super) struct On {
    #[serde(default)]
    did: String,
}

#[derive(Template)]
#[template(path = "rule-new.html")]
struct NewRulePage {
    frame: Frame,
    did: String,
    endpoints: Vec<EndpointView>,
}

pub(super) async fn ask(Visitor(ctx): Visitor, Asked(on): Asked<On>) -> Result<Response, Oops> {
    let all = Paging { limit: Some(LIMIT_MAX), after: None };
    let endpoints = if_permitted(endpoints::list(&ctx, all).await)?.map(|page| page.items).unwrap_or_default();
    let did = if on.did.is_empty() { "SCOPE:NAME" } else { &on.did };
    let command = format!("dapple rule add {} --copies 2 --on 'EXPRESSION'", quoted(did));
    let frame = Frame::of(&ctx, "rules", "New rule").commands([command]);
    Ok(page(&NewRulePage { frame, did: on.did, endpoints }))
}

/// A rule as the form says it.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    did: String,
    copies: u16,
    expression: String,
    grouping: Grouping,
    #[serde(default)]
    days: String,
}

pub(super) async fn create(Visitor(ctx): Visitor, Fields(wanted): Fields<Wanted>) -> Result<Response, Oops> {
    let new = NewRule {
        did: wanted.did.trim().parse::<Did>().map_err(ServiceError::from)?,
        copies: wanted.copies,
        expression: wanted.expression.trim().to_owned(),
        grouping: wanted.grouping,
        lifetime_seconds: read_days(&wanted.days)?,
    };
    let rule = rules::create(&ctx, new).await?;
    Ok(done(&format!("/rules/{}", rule.id), "added"))
}

/// A number of days as seconds; nothing for no end.
fn read_days(days: &str) -> Result<Option<u64>, ServiceError> {
    let days = days.trim();
    if days.is_empty() {
        return Ok(None);
    }
    let read = days.parse::<u32>().ok().filter(|days| *days > 0);
    let read =
        read.ok_or_else(|| ServiceError::invalid("invalid-lifetime", format!("`{days}` is no number of days")))?;
    Ok(Some(u64::from(read) * 86_400))
}
