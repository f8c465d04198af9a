//! `/check`: the catalog, checked against itself.

use axum::Json;

use crate::http::problem::Problem;
use crate::http::request::Asking;
use crate::service::check;
use crate::service::view::CheckView;

/// Checks the catalog against itself.
#[utoipa::path(get, path = "/check", responses((status = 200, body = CheckView)), tag = "lake", operation_id = "check")]
pub(super) async fn check(Asking(ctx): Asking) -> Result<Json<CheckView>, Problem> {
    Ok(Json(check::check(&ctx).await?))
}
