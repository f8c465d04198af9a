//! `/uploads`: announce files, get signed URLs for their bytes.

use axum::Json;

use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::Asking;
use crate::service::uploads;
use crate::service::view::{NewUploads, Uploads};

pub(super) async fn announce(
    Asking(ctx): Asking,
    JsonBody(new): JsonBody<NewUploads>,
) -> Result<Json<Uploads>, Problem> {
    Ok(Json(uploads::announce_files(&ctx, new).await?))
}
