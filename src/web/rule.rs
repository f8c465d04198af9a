//! One rule: how far it is, what is in the way, what would help, and doing that.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;

use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::model::id::RuleId;
use crate::model::rule::RuleState;
use crate::service::error::ServiceError;
use crate::service::paging::{LIMIT_MAX, Paging};
use crate::service::view::{
    BadReplica, DidView, EndpointChange, ExpressionPart, LockExplanation, Problem, RuleChange, RuleExplanation,
    RuleView,
};
use crate::service::{dids, endpoints, explain, replicas, rules};
use crate::web::frame::{Done, Frame, done, page};
use crate::web::oops::Oops;
use crate::web::remedy::{self, Act, Remedy};
use crate::web::show;
use crate::web::visitor::{Asked, Fields, Visitor, if_permitted};

#[derive(Template)]
#[template(path = "rule.html")]
struct RulePage {
    frame: Frame,
    rule: RuleView,
    on: Option<DidView>,
    summary: String,
    matched: Vec<ExpressionPart>,
    locks: Vec<LockExplanation>,
    troubles: Vec<Trouble>,
    endpoints: Vec<EndpointName>,
    /// Whether it may look different in a moment.
    live: bool,
}

/// A problem, and what would help.
struct Trouble {
    problem: Problem,
    remedies: Vec<Remedy>,
}

impl RulePage {
    /// The summary without the state, which stands before it.
    fn why(&self) -> &str {
        self.summary.split_once(": ").map_or(self.summary.as_str(), |(_, why)| why)
    }

    fn percent(&self) -> u64 {
        percent(self.rule.files_done, self.rule.files_wanted)
    }
}

/// How much of something is done. It is never said to be all before it is.
fn percent(done: u64, wanted: u64) -> u64 {
    done.min(wanted).saturating_mul(100).checked_div(wanted).unwrap_or(0)
}

/// What cannot be an id names nothing.
fn read(id: &str) -> Result<RuleId, ServiceError> {
    id.parse().map_err(|_| ServiceError::not_found("rule", id))
}

pub(super) async fn show(
    Visitor(ctx): Visitor,
    Path(id): Path<String>,
    Asked(done): Asked<Done>,
) -> Result<Response, Oops> {
    let explained = explain::explain(&ctx, read(&id)?).await?;
    let RuleExplanation { rule, summary, matched, locks, problems } = explained;
    let on = if_permitted(dids::show(&ctx, &rule.did).await)?.map(|tagged| tagged.view);
    let all = Paging { limit: Some(LIMIT_MAX), after: None };
    let endpoints = if_permitted(endpoints::list(&ctx, all).await)?.map(|page| page.items).unwrap_or_default();
    let commands = ["show", "explain", "retry", "remove"].map(|act| format!("dapple rule {act} {id}"));
    let frame = Frame::of(&ctx, "rules", format!("Rule on {}", rule.did)).after(&done).commands(commands);
    let troubles = problems.into_iter().map(|problem| {
        let remedies = problem.help.iter().map(|help| remedy::read(help)).collect();
        Trouble { problem, remedies }
    });
    let troubles = troubles.collect();
    let endpoints = endpoints.into_iter().map(|endpoint| endpoint.name).collect();
    let live = rule.state != RuleState::Ok;
    Ok(page(&RulePage { frame, rule, on, summary, matched, locks, troubles, endpoints, live }))
}

pub(super) async fn retry(Visitor(ctx): Visitor, Path(id): Path<String>) -> Result<Response, Oops> {
    rules::retry(&ctx, read(&id)?).await?;
    Ok(done(&format!("/rules/{id}"), "retried"))
}

/// What is to change; what is empty stays as it is.
#[derive(Debug, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    copies: String,
    #[serde(default)]
    expression: String,
}

pub(super) async fn change(
    Visitor(ctx): Visitor,
    Path(id): Path<String>,
    Fields(change): Fields<Change>,
) -> Result<Response, Oops> {
    let copies = Some(change.copies.trim()).filter(|text| !text.is_empty());
    let copies = copies.map(|text| {
        text.parse().map_err(|_| ServiceError::invalid("invalid-copies", format!("`{text}` is no number of copies")))
    });
    let expression = Some(change.expression.trim().to_owned()).filter(|text| !text.is_empty());
    let change = RuleChange { copies: copies.transpose()?, expression, lifetime_seconds: None };
    rules::change(&ctx, read(&id)?, change).await?;
    Ok(done(&format!("/rules/{id}"), "changed"))
}

/// An attribute that an endpoint is to have, so that the rule finds it.
#[derive(Debug, Deserialize)]
pub(super) struct Match {
    endpoint: String,
    attribute: String,
}

pub(super) async fn make_match(
    Visitor(ctx): Visitor,
    Path(id): Path<String>,
    Fields(wanted): Fields<Match>,
) -> Result<Response, Oops> {
    let id = read(&id)?;
    let name =
        EndpointName::parse(&wanted.endpoint).map_err(|_| ServiceError::not_found("endpoint", &wanted.endpoint))?;
    let (key, value) = wanted.attribute.trim().split_once('=').ok_or_else(|| ServiceError::Invalid {
        code: "invalid-attribute",
        detail: format!("`{}` is no attribute", wanted.attribute),
        hint: Some("write KEY=VALUE, such as country=FR".to_owned()),
    })?;
    let attributes = BTreeMap::from([(key.to_owned(), Some(value.to_owned()))]);
    endpoints::change(&ctx, name, EndpointChange { attributes, ..EndpointChange::default() }).await?;
    Ok(done(&format!("/rules/{id}"), "attribute"))
}

/// A replica that is not as it should be.
#[derive(Debug, Deserialize)]
pub(super) struct Bad {
    did: String,
    endpoint: String,
}

pub(super) async fn declare_bad(
    Visitor(ctx): Visitor,
    Path(id): Path<String>,
    Fields(bad): Fields<Bad>,
) -> Result<Response, Oops> {
    let id = read(&id)?;
    let endpoint =
        EndpointName::parse(&bad.endpoint).map_err(|_| ServiceError::not_found("endpoint", &bad.endpoint))?;
    let bad = BadReplica { did: bad.did.parse::<Did>().map_err(ServiceError::from)?, endpoint };
    replicas::declare_bad(&ctx, bad.did, bad.endpoint).await?;
    Ok(done(&format!("/rules/{id}"), "bad"))
}

pub(super) async fn remove(Visitor(ctx): Visitor, Path(id): Path<String>) -> Result<Response, Oops> {
    rules::remove(&ctx, read(&id)?).await?;
    Ok(done("/rules", "removed"))
}
