//! `/replicas`: list, register in bulk, declare bad.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use crate::api::dids::read_did;
use crate::http::body::{JsonBody, line_groups};
use crate::http::problem::Problem;
use crate::http::request::{Asking, Wanted, WantedPage};
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::service::replicas::{self, CHUNK, Registration};
use crate::service::view::{BadReplica, Page, RegisteredChunk, ReplicaView};

#[derive(Debug, Deserialize)]
pub(super) struct Target {
    to: Did,
    endpoint: EndpointName,
}

pub(super) async fn list(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
    WantedPage(page): WantedPage,
) -> Result<Json<Page<ReplicaView>>, Problem> {
    Ok(Json(replicas::list(&ctx, &read_did(path)?, page).await?))
}

/// Reads lines and answers chunk by chunk, so that neither side holds more than one. A fault in the
/// middle breaks the answer off; what was answered until then is on disk.
pub(super) async fn register(
    Asking(ctx): Asking,
    Wanted(target): Wanted<Target>,
    body: Body,
) -> Result<Response, Problem> {
    let registration = replicas::begin_registration(&ctx, &target.to, &target.endpoint).await?;
    let answers = answers(registration, body).map_err(|problem| std::io::Error::other(format!("{problem:?}")));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(answers)).into_response())
}

fn answers(registration: Registration, body: Body) -> impl Stream<Item = Result<Bytes, Problem>> {
    let registration = std::sync::Arc::new(registration);
    line_groups(body, CHUNK).boxed().and_then(move |(line, lines)| {
        let registration = std::sync::Arc::clone(&registration);
        async move { Ok(to_line(&registration.chunk(line, &lines).await?)) }
    })
}

fn to_line(chunk: &RegisteredChunk) -> Bytes {
    let mut line = serde_json::to_vec(chunk).expect("a view is plain text");
    line.push(b'\n');
    line.into()
}

pub(super) async fn declare_bad(
    Asking(ctx): Asking,
    JsonBody(bad): JsonBody<BadReplica>,
) -> Result<(StatusCode, Json<ReplicaView>), Problem> {
    Ok((StatusCode::OK, Json(replicas::declare_bad(&ctx, bad.did, bad.endpoint).await?)))
}
