//! `/scopes`.

use axum::Json;
use axum::http::StatusCode;

use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, WantedPage};
use crate::service::scopes;
use crate::service::view::{NewScope, Page, ScopeView};

pub(super) async fn list(Asking(ctx): Asking, WantedPage(page): WantedPage) -> Result<Json<Page<ScopeView>>, Problem> {
    Ok(Json(scopes::list(&ctx, page).await?))
}

pub(super) async fn add(
    Asking(ctx): Asking,
    JsonBody(new): JsonBody<NewScope>,
) -> Result<(StatusCode, Json<ScopeView>), Problem> {
    Ok((StatusCode::CREATED, Json(scopes::add(&ctx, new).await?)))
}
