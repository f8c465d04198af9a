//! `/rules`.

use axum::Json;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::answer::{WantedList, done, shown};
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, PageQuery, Wanted};
use crate::http::terms::{Changing, ChangingSeen};
use crate::model::did::Did;
use crate::model::id::RuleId;
use crate::service::error::ServiceError;
use crate::service::terms::Made;
use crate::service::view::{NewRule, Page, RuleChange, RuleExplanation, RuleView};
use crate::service::{explain, rules};

fn read(id: &str) -> Result<RuleId, ServiceError> {
    // What cannot be an id names nothing.
    id.parse().map_err(|_| ServiceError::not_found("rule", id))
}

/// Which rules.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct On {
    /// Only those on this DID.
    did: Option<Did>,
}

/// Lists rules in the order in which they were made.
#[utoipa::path(get, path = "/rules", params(On, PageQuery), responses((status = 200, body = Page<RuleView>)), tag = "rules", operation_id = "list_rules")]
pub(super) async fn list(Asking(ctx): Asking, Wanted(on): Wanted<On>, want: WantedList) -> Result<Response, Problem> {
    want.answer(move |page| {
        let (ctx, did) = (ctx.clone(), on.did.clone());
        async move { rules::list(&ctx, did, page).await }
    })
    .await
}

/// Makes a rule. A dry run answers with its plan.
#[utoipa::path(post, path = "/rules", request_body = NewRule, responses((status = 201, body = RuleView)), tag = "rules", operation_id = "create_rule")]
pub(super) async fn create(Changing(ctx): Changing, JsonBody(new): JsonBody<NewRule>) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::New, &rules::create(&ctx, new).await?))
}

/// Shows a rule and how far it is.
#[utoipa::path(get, path = "/rules/{id}", params(("id" = RuleId, Path, description = "Its id")), responses((status = 200, body = RuleView), (status = 304)), tag = "rules", operation_id = "show_rule")]
pub(super) async fn show(Asking(ctx): Asking, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    Ok(shown(&headers, &rules::show(&ctx, read(&id)?).await?))
}

/// Changes a rule; its placement is decided again where that matters. A dry run answers with its plan.
#[utoipa::path(patch, path = "/rules/{id}", params(("id" = RuleId, Path, description = "Its id")), request_body = RuleChange, responses((status = 200, body = RuleView), (status = 412)), tag = "rules", operation_id = "change_rule")]
pub(super) async fn change(
    ChangingSeen(ctx): ChangingSeen,
    Path(id): Path<String>,
    JsonBody(change): JsonBody<RuleChange>,
) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &rules::change(&ctx, read(&id)?, change).await?))
}

/// Removes a rule. Its locks go in the background. A dry run answers with the rule as it would end.
#[utoipa::path(delete, path = "/rules/{id}", params(("id" = RuleId, Path, description = "Its id")), responses((status = 204, description = "It lets go"), (status = 200, body = RuleView, description = "What would be"), (status = 412)), tag = "rules", operation_id = "remove_rule")]
pub(super) async fn remove(ChangingSeen(ctx): ChangingSeen, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Gone, &rules::remove(&ctx, read(&id)?).await?))
}

/// Says why a rule is as it is, and what would help.
#[utoipa::path(get, path = "/rules/{id}/explanation", params(("id" = RuleId, Path, description = "Its id")), responses((status = 200, body = RuleExplanation)), tag = "rules", operation_id = "explain_rule")]
pub(super) async fn explain(Asking(ctx): Asking, Path(id): Path<String>) -> Result<Json<RuleExplanation>, Problem> {
    Ok(Json(explain::explain(&ctx, read(&id)?).await?))
}

/// Tries at once what a rule is stuck on.
#[utoipa::path(post, path = "/rules/{id}/retry", params(("id" = RuleId, Path, description = "Its id")), responses((status = 200, body = RuleView)), tag = "rules", operation_id = "retry_rule")]
pub(super) async fn retry(Changing(ctx): Changing, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &rules::retry(&ctx, read(&id)?).await?))
}
