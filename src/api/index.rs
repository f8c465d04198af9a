//! `/index`: how far the search index of this server is, and building it anew.

use axum::Json;
use axum::response::Response;

use crate::http::answer::done_untagged;
use crate::http::problem::Problem;
use crate::http::request::Asking;
use crate::http::terms::Changing;
use crate::service::search;
use crate::service::view::IndexView;

/// Shows how far the search index is.
#[utoipa::path(get, path = "/index", responses((status = 200, body = IndexView)), tag = "index", operation_id = "show_index")]
pub(super) async fn status(Asking(ctx): Asking) -> Result<Json<IndexView>, Problem> {
    Ok(Json(search::status(&ctx)?))
}

/// Builds the search index anew. Until it has everything, searches are answered with 503.
#[utoipa::path(post, path = "/index/rebuild", responses((status = 200, body = IndexView)), tag = "index", operation_id = "rebuild_index")]
pub(super) async fn rebuild(Changing(ctx): Changing) -> Result<Response, Problem> {
    let view = search::rebuild(&ctx)?;
    Ok(done_untagged(&ctx, search::REBUILT, &view))
}
