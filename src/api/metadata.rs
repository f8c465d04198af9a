//! `/metadata`: what people say of DIDs, one by one and in bulk.

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::dids::{DidPath, read_did};
use crate::http::answer::{NDJSON, done, lines as to_lines, rehearsed, shown};
use crate::http::body::{JsonBody, line_groups};
use crate::http::problem::Problem;
use crate::http::request::{Asking, Wanted};
use crate::http::terms::{ChangingSeen, Unkept};
use crate::service::Context;
use crate::service::metadata::{self, CHUNK, Mode};
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
    let is_dry_run = ctx.is_dry_run();
    let answers = answers(ctx, mode, body).map_err(|problem| std::io::Error::other(format!("{problem:?}")));
    let response = ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(answers)).into_response();
    Ok(if is_dry_run { rehearsed(response) } else { response })
}

fn answers(ctx: Context, mode: Mode, body: Body) -> impl Stream<Item = Result<Bytes, Problem>> {
    line_groups(body, CHUNK).boxed().and_then(move |(line, lines)| {
        let ctx = ctx.clone();
        async move { Ok(to_lines(&[metadata::change_many(&ctx, line, &lines, mode).await?])) }
    })
}
