//! `/policy` and `/labels`: the policies in force, why they decide as they do, and what they decide by.

use axum::Json;
use axum::extract::Path;

use crate::api::dids::{read_did, read_scope};
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::Asking;
use crate::service::view::{
    CheckedPolicies, LabelsChange, LabelsView, PoliciesView, PolicyExplanation, PolicyFiles, PolicyQuestion,
};
use crate::service::{labels, policy};

pub(super) async fn show(Asking(ctx): Asking) -> Result<Json<PoliciesView>, Problem> {
    Ok(Json(policy::show(&ctx)?))
}

pub(super) async fn check(
    Asking(ctx): Asking,
    JsonBody(files): JsonBody<PolicyFiles>,
) -> Result<Json<CheckedPolicies>, Problem> {
    Ok(Json(policy::check(&ctx, &files)?))
}

pub(super) async fn explain(
    Asking(ctx): Asking,
    JsonBody(question): JsonBody<PolicyQuestion>,
) -> Result<Json<PolicyExplanation>, Problem> {
    Ok(Json(policy::explain(&ctx, question).await?))
}

pub(super) async fn labels_of_scope(
    Asking(ctx): Asking,
    Path(scope): Path<String>,
) -> Result<Json<LabelsView>, Problem> {
    Ok(Json(labels::of_scope(&ctx, &read_scope(&scope)?).await?))
}

pub(super) async fn label_scope(
    Asking(ctx): Asking,
    Path(scope): Path<String>,
    JsonBody(change): JsonBody<LabelsChange>,
) -> Result<Json<LabelsView>, Problem> {
    Ok(Json(labels::label_scope(&ctx, read_scope(&scope)?, change).await?))
}

pub(super) async fn labels_of_did(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
) -> Result<Json<LabelsView>, Problem> {
    Ok(Json(labels::of_did(&ctx, &read_did(path)?).await?))
}

pub(super) async fn label_did(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
    JsonBody(change): JsonBody<LabelsChange>,
) -> Result<Json<LabelsView>, Problem> {
    Ok(Json(labels::label_did(&ctx, read_did(path)?, change).await?))
}
