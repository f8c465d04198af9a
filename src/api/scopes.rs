//! `/scopes`.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;

use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, WantedPage};
use crate::model::scope::Scope;
use crate::service::error::ServiceError;
use crate::service::scopes;
use crate::service::view::{NewScope, Page, ScopeChange, ScopeView};

pub(super) async fn list(Asking(ctx): Asking, WantedPage(page): WantedPage) -> Result<Json<Page<ScopeView>>, Problem> {
    Ok(Json(scopes::list(&ctx, page).await?))
}

pub(super) async fn add(
    Asking(ctx): Asking,
    JsonBody(new): JsonBody<NewScope>,
) -> Result<(StatusCode, Json<ScopeView>), Problem> {
    Ok((StatusCode::CREATED, Json(scopes::add(&ctx, new).await?)))
}

pub(super) async fn change(
    Asking(ctx): Asking,
    Path(scope): Path<String>,
    JsonBody(change): JsonBody<ScopeChange>,
) -> Result<Json<ScopeView>, Problem> {
    // What cannot be a name names nothing.
    let scope = Scope::parse(&scope).map_err(|_| ServiceError::not_found("scope", scope))?;
    Ok(Json(scopes::change(&ctx, &scope, change).await?))
}
