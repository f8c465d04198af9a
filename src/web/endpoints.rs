//! Endpoints: how they do, what is there, what they were seen to do, and their attributes.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;

use crate::model::endpoint::EndpointName;
use crate::service::endpoints;
use crate::service::error::ServiceError;
use crate::service::paging::Paging;
use crate::service::view::{EndpointChange, EndpointView};
use crate::web::frame::{Done, Frame, done, page};
use crate::web::oops::Oops;
use crate::web::show;
use crate::web::visitor::{Asked, Fields, Visitor};

/// How many endpoints a page shows.
const SHOWN: usize = 100;

/// Which page.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "endpoints.html")]
struct EndpointsPage {
    frame: Frame,
    endpoints: Vec<EndpointView>,
    is_first: bool,
    next: Option<String>,
}

pub(super) async fn list(Visitor(ctx): Visitor, Asked(wish): Asked<Wish>) -> Result<Response, Oops> {
    let is_first = wish.after.is_none();
    let found = endpoints::list(&ctx, Paging { limit: Some(SHOWN), after: wish.after }).await?;
    let frame = Frame::of(&ctx, "endpoints", "Endpoints").commands(["dapple endpoint list".to_owned()]);
    Ok(page(&EndpointsPage { frame, endpoints: found.items, is_first, next: found.next }))
}

#[derive(Template)]
#[template(path = "endpoint.html")]
struct EndpointPage {
    frame: Frame,
    endpoint: EndpointView,
}

fn read(name: &str) -> Result<EndpointName, ServiceError> {
    // What cannot be a name names nothing.
    EndpointName::parse(name).map_err(|_| ServiceError::not_found("endpoint", name))
}

pub(super) async fn show(
    Visitor(ctx): Visitor,
    Path(name): Path<String>,
    Asked(done): Asked<Done>,
) -> Result<Response, Oops> {
    let endpoint = endpoints::show(&ctx, &read(&name)?).await?.view;
    let commands = [
        format!("dapple endpoint show {name}"),
        format!("dapple endpoint probe {name}"),
        format!("dapple endpoint set {name} --attr KEY=VALUE"),
    ];
    let frame = Frame::of(&ctx, "endpoints", format!("Endpoint {name}")).after(&done).commands(commands);
    Ok(page(&EndpointPage { frame, endpoint }))
}

/// Where to go on from trying an endpoint.
#[derive(Debug, Default, Deserialize)]
pub(super) struct From {
    /// The rule on whose page the button was.
    rule: Option<String>,
}

pub(super) async fn probe(
    Visitor(ctx): Visitor,
    Path(name): Path<String>,
    Fields(from): Fields<From>,
) -> Result<Response, Oops> {
    let name = read(&name)?;
    endpoints::probe(&ctx, &name).await?;
    let rule = from.rule.filter(|rule| rule.chars().all(|c| c.is_ascii_alphanumeric()));
    let to = rule.map_or_else(|| format!("/endpoints/{name}"), |rule| format!("/rules/{rule}"));
    Ok(done(&to, "probed"))
}

/// An attribute to set, or, without a value, to remove.
#[derive(Debug, Deserialize)]
pub(super) struct Attribute {
    key: String,
    #[serde(default)]
    value: String,
}

pub(super) async fn set_attribute(
    Visitor(ctx): Visitor,
    Path(name): Path<String>,
    Fields(attribute): Fields<Attribute>,
) -> Result<Response, Oops> {
    let name = read(&name)?;
    let value = Some(attribute.value.trim().to_owned()).filter(|value| !value.is_empty());
    let attributes = BTreeMap::from([(attribute.key.trim().to_owned(), value)]);
    endpoints::change(&ctx, name.clone(), EndpointChange { attributes, ..EndpointChange::default() }).await?;
    Ok(done(&format!("/endpoints/{name}"), "attribute"))
}
