//! `/urls`: mint signed URLs.

use axum::response::Response;

use crate::http::answer::done_untagged;
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::terms::Unkept;
use crate::service::terms::Made;
use crate::service::urls;
use crate::service::view::{NewUrl, UrlView};

/// Mints a signed URL. It changes nothing, so it takes no `Idempotency-Key`; in a dry run the URL
/// opens nothing.
#[utoipa::path(post, path = "/urls", request_body = NewUrl, responses((status = 201, body = UrlView)), tag = "urls", operation_id = "mint_url")]
pub(super) async fn mint(Unkept(ctx): Unkept, JsonBody(new): JsonBody<NewUrl>) -> Result<Response, Problem> {
    Ok(done_untagged(&ctx, Made::New, &urls::mint(&ctx, new).await?))
}
