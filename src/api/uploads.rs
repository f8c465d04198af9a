//! `/uploads`: announce files, get signed URLs for their bytes.

use axum::response::Response;

use crate::http::answer::done_untagged;
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::terms::Unkept;
use crate::service::terms::Made;
use crate::service::uploads;
use crate::service::view::{NewUploads, Uploads};

/// Announces files; answers with a signed URL for each whose bytes are wanted. The same announcement
/// again gives the same answers, so it takes no `Idempotency-Key`.
#[utoipa::path(post, path = "/uploads", request_body = NewUploads, responses((status = 200, body = Uploads)), tag = "uploads", operation_id = "announce_uploads")]
pub(super) async fn announce(Unkept(ctx): Unkept, JsonBody(new): JsonBody<NewUploads>) -> Result<Response, Problem> {
    Ok(done_untagged(&ctx, Made::Changed, &uploads::announce_files(&ctx, new).await?))
}
