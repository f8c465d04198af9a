//! `/scopes`.

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::api::dids::read_scope;
use crate::http::answer::{WantedList, done, shown};
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, PageQuery};
use crate::http::terms::{Changing, ChangingSeen};
use crate::model::scope::Scope;
use crate::service::error::ServiceError;
use crate::service::scopes;
use crate::service::terms::Made;
use crate::service::view::{NewScope, Page, ScopeChange, ScopeView};

/// Lists scopes by name.
#[utoipa::path(get, path = "/scopes", params(PageQuery), responses((status = 200, body = Page<ScopeView>)), tag = "scopes", operation_id = "list_scopes")]
pub(super) async fn list(Asking(ctx): Asking, want: WantedList) -> Result<Response, Problem> {
    want.answer(move |page| {
        let ctx = ctx.clone();
        async move { scopes::list(&ctx, page).await }
    })
    .await
}

/// Adds a scope, owned by who asks.
#[utoipa::path(post, path = "/scopes", request_body = NewScope, responses((status = 201, body = ScopeView)), tag = "scopes", operation_id = "add_scope")]
pub(super) async fn add(Changing(ctx): Changing, JsonBody(new): JsonBody<NewScope>) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::New, &scopes::add(&ctx, new).await?))
}

/// Shows a scope.
#[utoipa::path(get, path = "/scopes/{scope}", params(("scope" = Scope, Path, description = "Its name")), responses((status = 200, body = ScopeView), (status = 304)), tag = "scopes", operation_id = "show_scope")]
pub(super) async fn show(
    Asking(ctx): Asking,
    Path(scope): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(shown(&headers, &scopes::show(&ctx, &read_scope(&scope)?).await?))
}

/// Gives a scope to another owner.
#[utoipa::path(patch, path = "/scopes/{scope}", params(("scope" = Scope, Path, description = "Its name")), request_body = ScopeChange, responses((status = 200, body = ScopeView), (status = 412)), tag = "scopes", operation_id = "change_scope")]
pub(super) async fn change(
    ChangingSeen(ctx): ChangingSeen,
    Path(scope): Path<String>,
    JsonBody(change): JsonBody<ScopeChange>,
) -> Result<Response, Problem> {
    // What cannot be a name names nothing.
    let scope = Scope::parse(&scope).map_err(|_| ServiceError::not_found("scope", scope))?;
    Ok(done(&ctx, Made::Changed, &scopes::change(&ctx, &scope, change).await?))
}
