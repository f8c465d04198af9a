//! `/metadata`: what people say of DIDs, one by one and in bulk.

use axum::body::Body;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::dids::{DidPath, read_did};
use crate::http::answer::{by_chunks, done, shown};
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, Wanted};
use crate::http::terms::{ChangingSeen, Unkept};
use crate::service::metadata::{self, Mode};
use crate::service::terms::Made;
use crate::service::view::{MetadataObject, MetadataView};

/// Shows the metadata of a DID.
#[utoipa::path(get, path = "/metadata/{scope}/{*name}", params(DidPath), responses((status = 200, body = MetadataView), (status = 304)), tag = "metadata", operation_id = "show_metadata")]
pub(super) async fn show(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(shown(&headers, &metadata::show(&ctx, &read_did(path)?).await?))
}

/// Gives a DID metadata in place of what it had.
#[utoipa::path(put, path = "/metadata/{scope}/{*name}", params(DidPath), request_body = MetadataObject, responses((status = 200, body = MetadataView), (status = 412)), tag = "metadata", operation_id = "replace_metadata")]
pub(super) async fn replace(
    ChangingSeen(ctx): ChangingSeen,
    Path(path): Path<(String, String)>,
    JsonBody(given): JsonBody<MetadataObject>,
) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &metadata::change(&ctx, read_did(path)?, given, Mode::Replace).await?))
}

/// Merges into the metadata of a DID (RFC 7386): `null` takes a key away.
#[utoipa::path(patch, path = "/metadata/{scope}/{*name}", params(DidPath), request_body = MetadataObject, responses((status = 200, body = MetadataView), (status = 412)), tag = "metadata", operation_id = "patch_metadata")]
pub(super) async fn patch(
    ChangingSeen(ctx): ChangingSeen,
    Path(path): Path<(String, String)>,
    JsonBody(given): JsonBody<MetadataObject>,
) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &metadata::change(&ctx, read_did(path)?, given, Mode::Merge).await?))
}

/// Whether lines replace or merge.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    /// Each line replaces all that its DID has, instead of being merged into it.
    #[serde(default)]
    replace: bool,
}

/// Changes the metadata of many DIDs. Reads lines and answers chunk by chunk; what was answered is on
/// disk.
#[utoipa::path(patch, path = "/metadata", params(How), request_body(content = String, content_type = "application/x-ndjson", description = "A `MetadataLine` on each line, of at most 128 KiB"), responses((status = 200, body = String, content_type = "application/x-ndjson", description = "A `MetadataChunk` on each line, one for up to 1,000 lines")), tag = "metadata", operation_id = "patch_many_metadata")]
pub(super) async fn patch_many(Unkept(ctx): Unkept, Wanted(how): Wanted<How>, body: Body) -> Result<Response, Problem> {
    let mode = if how.replace { Mode::Replace } else { Mode::Merge };
    let asking = ctx.clone();
    Ok(by_chunks(&ctx, body, move |line, lines| {
        let ctx = asking.clone();
        async move { metadata::change_many(&ctx, line, &lines, mode).await }
    }))
}
