//! `/policy` and `/labels`: the policies in force, why they decide as they do, and what they decide by.

use axum::Json;
use axum::extract::Path;
use axum::response::Response;

use crate::api::dids::{DidPath, read_did, read_scope};
use crate::http::answer::done_untagged;
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::Asking;
use crate::http::terms::{Changing, Unkept};
use crate::model::scope::Scope;
use crate::service::terms::Made;
use crate::service::view::{
    CheckedPolicies, LabelsChange, LabelsView, PoliciesView, PolicyExplanation, PolicyFiles, PolicyQuestion,
};
use crate::service::{labels, policy};

/// Shows the policies in force. Everybody may know the rules that hold for them.
#[utoipa::path(get, path = "/policy", responses((status = 200, body = PoliciesView)), tag = "policy", operation_id = "show_policies")]
pub(super) async fn show(Asking(ctx): Asking) -> Result<Json<PoliciesView>, Problem> {
    Ok(Json(policy::show(&ctx)?))
}

/// Checks policies and runs their tests; nothing comes into force, so this takes no `Idempotency-Key`.
#[utoipa::path(post, path = "/policy/check", request_body = PolicyFiles, responses((status = 200, body = CheckedPolicies)), tag = "policy", operation_id = "check_policies")]
pub(super) async fn check(Unkept(ctx): Unkept, JsonBody(files): JsonBody<PolicyFiles>) -> Result<Response, Problem> {
    Ok(done_untagged(&ctx, Made::Changed, &policy::check(&ctx, files).await?))
}

/// Says why somebody may or may not do something. It changes nothing, so it takes no `Idempotency-Key`.
#[utoipa::path(post, path = "/policy/explain", request_body = PolicyQuestion, responses((status = 200, body = PolicyExplanation)), tag = "policy", operation_id = "explain_policy")]
pub(super) async fn explain(
    Unkept(ctx): Unkept,
    JsonBody(question): JsonBody<PolicyQuestion>,
) -> Result<Response, Problem> {
    Ok(done_untagged(&ctx, Made::Changed, &policy::explain(&ctx, question).await?))
}

/// Shows the labels of a scope.
#[utoipa::path(get, path = "/labels/{scope}", params(("scope" = Scope, Path, description = "The scope")), responses((status = 200, body = LabelsView)), tag = "policy", operation_id = "show_labels_of_scope")]
pub(super) async fn labels_of_scope(
    Asking(ctx): Asking,
    Path(scope): Path<String>,
) -> Result<Json<LabelsView>, Problem> {
    Ok(Json(labels::of_scope(&ctx, &read_scope(&scope)?).await?))
}

/// Sets labels of a scope, which hold for all that is in it.
#[utoipa::path(patch, path = "/labels/{scope}", params(("scope" = Scope, Path, description = "The scope")), request_body = LabelsChange, responses((status = 200, body = LabelsView)), tag = "policy", operation_id = "label_scope")]
pub(super) async fn label_scope(
    Changing(ctx): Changing,
    Path(scope): Path<String>,
    JsonBody(change): JsonBody<LabelsChange>,
) -> Result<Response, Problem> {
    Ok(done_untagged(&ctx, Made::Changed, &labels::label_scope(&ctx, read_scope(&scope)?, change).await?))
}

/// Shows the labels of a DID: its own, and those that hold.
#[utoipa::path(get, path = "/labels/{scope}/{*name}", params(DidPath), responses((status = 200, body = LabelsView)), tag = "policy", operation_id = "show_labels_of_did")]
pub(super) async fn labels_of_did(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
) -> Result<Json<LabelsView>, Problem> {
    Ok(Json(labels::of_did(&ctx, &read_did(path)?).await?))
}

/// Sets labels of a DID. What only tightens needs a say in the DID and in what it holds; all else needs
/// the right to relabel.
#[utoipa::path(patch, path = "/labels/{scope}/{*name}", params(DidPath), request_body = LabelsChange, responses((status = 200, body = LabelsView)), tag = "policy", operation_id = "label_did")]
pub(super) async fn label_did(
    Changing(ctx): Changing,
    Path(path): Path<(String, String)>,
    JsonBody(change): JsonBody<LabelsChange>,
) -> Result<Response, Problem> {
    Ok(done_untagged(&ctx, Made::Changed, &labels::label_did(&ctx, read_did(path)?, change).await?))
}
