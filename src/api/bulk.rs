//! `/bulk`: DIDs to make, members to attach or detach, as streams of lines.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::answer::by_chunks;
use crate::http::problem::Problem;
use crate::http::request::Wanted;
use crate::http::terms::Unkept;
use crate::model::did::Did;
use crate::service::Context;
use crate::service::bulk::{Bulk, begin};

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
    let work = Arc::new(begin(ctx, bulk).await?);
    Ok(by_chunks(ctx, body, move |line, lines| {
        let work = Arc::clone(&work);
        async move { work.chunk(line, &lines).await }
    }))
}
