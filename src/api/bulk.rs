//! `/bulk`: DIDs to make, members to attach or detach, as streams of lines. Answers come chunk by
//! chunk, so that neither side holds more than one. A fault in the middle breaks the answer off; what was
//! answered until then is on disk.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::answer::{NDJSON, lines as to_lines, rehearsed};
use crate::http::body::line_groups;
use crate::http::problem::Problem;
use crate::http::request::Wanted;
use crate::http::terms::Unkept;
use crate::model::did::Did;
use crate::service::Context;
use crate::service::bulk::{Bulk, CHUNK, Work, begin};

/// What members join or leave.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parent {
    /// The dataset or container.
    parent: Did,
}

/// Makes datasets and containers. Those that are there already are counted as `same`.
#[utoipa::path(post, path = "/bulk/dids", request_body(content = String, content_type = "application/x-ndjson", description = "A `NewDid` on each line, of at most 128 KiB"), responses((status = 200, body = String, content_type = "application/x-ndjson", description = "A `MovedChunk` on each line, one for up to 1,000 lines")), tag = "dids", operation_id = "create_dids")]
pub(super) async fn create(Unkept(ctx): Unkept, body: Body) -> Result<Response, Problem> {
    answer(&ctx, Bulk::Create, body).await
}

/// Attaches members; those that are attached already are counted as `same`.
#[utoipa::path(post, path = "/bulk/contents", params(Parent), request_body(content = String, content_type = "application/x-ndjson", description = "An `Attachment` on each line, of at most 128 KiB"), responses((status = 200, body = String, content_type = "application/x-ndjson", description = "A `MovedChunk` on each line, one for up to 1,000 lines")), tag = "dids", operation_id = "attach_many")]
pub(super) async fn attach(
    Unkept(ctx): Unkept,
    Wanted(Parent { parent }): Wanted<Parent>,
    body: Body,
) -> Result<Response, Problem> {
    answer(&ctx, Bulk::Attach(parent), body).await
}

/// Detaches members; those that are not attached are counted as `same`.
#[utoipa::path(delete, path = "/bulk/contents", params(Parent), request_body(content = String, content_type = "application/x-ndjson", description = "An `Attachment` on each line, of at most 128 KiB"), responses((status = 200, body = String, content_type = "application/x-ndjson", description = "A `MovedChunk` on each line, one for up to 1,000 lines")), tag = "dids", operation_id = "detach_many")]
pub(super) async fn detach(
    Unkept(ctx): Unkept,
    Wanted(Parent { parent }): Wanted<Parent>,
    body: Body,
) -> Result<Response, Problem> {
    answer(&ctx, Bulk::Detach(parent), body).await
}

async fn answer(ctx: &Context, bulk: Bulk, body: Body) -> Result<Response, Problem> {
    let work = begin(ctx, bulk).await?;
    let answers = answers(work, body).map_err(|problem| std::io::Error::other(format!("{problem:?}")));
    let response = ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(answers)).into_response();
    Ok(if ctx.is_dry_run() { rehearsed(response) } else { response })
}

fn answers(work: Work, body: Body) -> impl Stream<Item = Result<Bytes, Problem>> {
    let work = Arc::new(work);
    line_groups(body, CHUNK).boxed().and_then(move |(line, lines)| {
        let work = Arc::clone(&work);
        async move { Ok(to_lines(&[work.chunk(line, &lines).await?])) }
    })
}
