//! `/replicas`: list, register in bulk, declare bad.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::dids::{DidPath, list_of};
use crate::http::answer::{WantedList, by_chunks, done};
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, PageQuery, Wanted};
use crate::http::terms::{Changing, Unkept};
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::service::replicas;
use crate::service::terms::Made;
use crate::service::view::{BadReplica, Page, ReplicaView};

/// Where files are registered.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Target {
    /// The dataset they join.
    to: Did,
    /// The endpoint where they lie.
    endpoint: EndpointName,
}

/// Lists the replicas of a file, or of the files of a dataset. A page holds whole files, so it may
/// have more entries than the limit.
#[utoipa::path(get, path = "/replicas/{scope}/{*name}", params(DidPath, PageQuery), responses((status = 200, body = Page<ReplicaView>)), tag = "replicas", operation_id = "list_replicas")]
pub(super) async fn list(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
    want: WantedList,
) -> Result<Response, Problem> {
    list_of(ctx, path, want, |ctx, did, page| async move { replicas::list(&ctx, &did, page).await }).await
}

/// Reads lines and answers chunk by chunk, so that neither side holds more than one. A fault in the
/// middle breaks the answer off; what was answered until then is on disk.
#[utoipa::path(post, path = "/replicas", params(Target), request_body(content = String, content_type = "application/x-ndjson", description = "A `NewReplica` on each line, of at most 128 KiB"), responses((status = 200, body = String, content_type = "application/x-ndjson", description = "A `RegisteredChunk` on each line, one for up to 1,000 lines")), tag = "replicas", operation_id = "register_replicas")]
pub(super) async fn register(
    Unkept(ctx): Unkept,
    Wanted(target): Wanted<Target>,
    body: Body,
) -> Result<Response, Problem> {
    let registration = Arc::new(replicas::begin_registration(&ctx, &target.to, &target.endpoint).await?);
    Ok(by_chunks(&ctx, body, move |line, lines| {
        let registration = Arc::clone(&registration);
        async move { registration.chunk(line, &lines).await }
    }))
}

/// Declares a replica bad: it is read no more, and rules replace it.
#[utoipa::path(post, path = "/bad-replicas", request_body = BadReplica, responses((status = 200, body = ReplicaView)), tag = "replicas", operation_id = "declare_bad_replica")]
pub(super) async fn declare_bad(
    Changing(ctx): Changing,
    JsonBody(bad): JsonBody<BadReplica>,
) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &replicas::declare_bad(&ctx, bad.did, bad.endpoint).await?))
}
