//! `/dids` and `/contents`.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Deserialize;

use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, Wanted, WantedPage};
use crate::model::did::{Did, DidName};
use crate::model::scope::Scope;
use crate::service::dids;
use crate::service::error::ServiceError;
use crate::service::view::{ContentView, DidView, Members, NewDid, Page};

/// A DID as the last two parts of a path.
pub(super) fn read_did((scope, name): (String, String)) -> Result<Did, ServiceError> {
    Ok(Did { scope: read_scope(&scope)?, name: DidName::parse(&name)? })
}

pub(super) fn read_scope(scope: &str) -> Result<Scope, ServiceError> {
    Scope::parse(scope).map_err(|error| ServiceError::invalid("invalid-scope", error))
}

#[derive(Debug, Deserialize)]
pub(super) struct Prefix {
    prefix: Option<String>,
}

pub(super) async fn create(
    Asking(ctx): Asking,
    JsonBody(new): JsonBody<NewDid>,
) -> Result<(StatusCode, Json<DidView>), Problem> {
    Ok((StatusCode::CREATED, Json(dids::create(&ctx, new).await?)))
}

pub(super) async fn list(
    Asking(ctx): Asking,
    Path(scope): Path<String>,
    Wanted(wanted): Wanted<Prefix>,
    WantedPage(page): WantedPage,
) -> Result<Json<Page<DidView>>, Problem> {
    let prefix = wanted.prefix.unwrap_or_default();
    Ok(Json(dids::list(&ctx, &read_scope(&scope)?, &prefix, page).await?))
}

pub(super) async fn show(Asking(ctx): Asking, Path(path): Path<(String, String)>) -> Result<Json<DidView>, Problem> {
    Ok(Json(dids::show(&ctx, &read_did(path)?).await?))
}

pub(super) async fn contents(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
    WantedPage(page): WantedPage,
) -> Result<Json<Page<ContentView>>, Problem> {
    Ok(Json(dids::contents(&ctx, &read_did(path)?, page).await?))
}

pub(super) async fn attach(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
    JsonBody(members): JsonBody<Members>,
) -> Result<Json<DidView>, Problem> {
    Ok(Json(dids::attach(&ctx, read_did(path)?, members).await?))
}

pub(super) async fn detach(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
    JsonBody(members): JsonBody<Members>,
) -> Result<Json<DidView>, Problem> {
    Ok(Json(dids::detach(&ctx, read_did(path)?, members).await?))
}
