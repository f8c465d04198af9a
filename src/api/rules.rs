//! `/rules`.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Deserialize;

use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, Wanted, WantedPage};
use crate::model::did::Did;
use crate::model::id::RuleId;
use crate::service::error::ServiceError;
use crate::service::view::{NewRule, Page, RuleChange, RuleExplanation, RuleView};
use crate::service::{explain, rules};

fn read(id: &str) -> Result<RuleId, ServiceError> {
    // What cannot be an id names nothing.
    id.parse().map_err(|_| ServiceError::not_found("rule", id))
}

#[derive(Debug, Deserialize)]
pub(super) struct On {
    did: Option<Did>,
}

pub(super) async fn list(
    Asking(ctx): Asking,
    Wanted(on): Wanted<On>,
    WantedPage(page): WantedPage,
) -> Result<Json<Page<RuleView>>, Problem> {
    Ok(Json(rules::list(&ctx, on.did, page).await?))
}

pub(super) async fn create(
    Asking(ctx): Asking,
    JsonBody(new): JsonBody<NewRule>,
) -> Result<(StatusCode, Json<RuleView>), Problem> {
    Ok((StatusCode::CREATED, Json(rules::create(&ctx, new).await?)))
}

pub(super) async fn show(Asking(ctx): Asking, Path(id): Path<String>) -> Result<Json<RuleView>, Problem> {
    Ok(Json(rules::show(&ctx, read(&id)?).await?))
}

pub(super) async fn change(
    Asking(ctx): Asking,
    Path(id): Path<String>,
    JsonBody(change): JsonBody<RuleChange>,
) -> Result<Json<RuleView>, Problem> {
    Ok(Json(rules::change(&ctx, read(&id)?, change).await?))
}

pub(super) async fn remove(Asking(ctx): Asking, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    rules::remove(&ctx, read(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn explain(Asking(ctx): Asking, Path(id): Path<String>) -> Result<Json<RuleExplanation>, Problem> {
    Ok(Json(explain::explain(&ctx, read(&id)?).await?))
}

pub(super) async fn retry(Asking(ctx): Asking, Path(id): Path<String>) -> Result<Json<RuleView>, Problem> {
    Ok(Json(rules::retry(&ctx, read(&id)?).await?))
}
