//! `/urls`: mint signed URLs.

use axum::Json;
use axum::http::StatusCode;

use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::Asking;
use crate::service::urls;
use crate::service::view::{NewUrl, UrlView};

pub(super) async fn mint(
    Asking(ctx): Asking,
    JsonBody(new): JsonBody<NewUrl>,
) -> Result<(StatusCode, Json<UrlView>), Problem> {
    Ok((StatusCode::CREATED, Json(urls::mint(&ctx, new).await?)))
}
