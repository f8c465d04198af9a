//! Takes the bytes of an upload. Whether they are the announced ones is judged where they are
//! stored; here only what can be refused before the first byte.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use futures::stream::{poll_fn, unfold};

use crate::clock::{SharedClock, within};
use crate::gateway::address;
use crate::http::body::byte_stream;
use crate::http::problem::Problem;
use crate::service::{Lake, uploads};
use crate::storage::backend::{ByteStream, StorageError};

/// How much of a body is read after its answer is known. Many clients listen only when they have
/// sent all, and a connection that is closed on them takes the answer with it.
const REST_BYTES_MAX: usize = 32 << 20;
/// How long that may take.
const REST_SPAN_MAX: Duration = Duration::from_secs(10);

/// Answers PUT of a file. Taking it is a task of its own: when the sender hangs up, this future is
/// dropped, but what was staged must still be cleared away.
pub(super) async fn put(
    lake: Arc<Lake>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
    patience: Duration,
) -> Result<Response, Problem> {
    let clock = lake.catalog.clock().clone();
    let body = byte_stream(body, "the body".to_owned());
    let body = Arc::new(Mutex::new(impatient(body, clock.clone(), patience)));
    let (content, waits) = (lend(&body), headers.contains_key(header::EXPECT));
    let taking = tokio::spawn(async move { take(&lake, &uri, &headers, content).await });
    let outcome = taking.await.unwrap_or_else(|error| {
        tracing::error!("taking an upload ended early: {error}");
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the upload ended early"))
    });
    // Whoever waits for `100 Continue` has sent nothing, and listens.
    if !waits {
        within(clock.as_ref(), REST_SPAN_MAX, read_rest(lend(&body))).await;
    }
    outcome
}

/// A body that goes on where the one it is lent from stands.
fn lend(body: &Arc<Mutex<ByteStream>>) -> ByteStream {
    let body = Arc::clone(body);
    poll_fn(move |task| body.lock().expect("reading does not panic").poll_next_unpin(task)).boxed()
}

async fn read_rest(mut body: ByteStream) {
    let mut read = 0;
    while let Some(Ok(chunk)) = body.next().await {
        read += chunk.len();
        if read > REST_BYTES_MAX {
            return;
        }
    }
}

async fn take(lake: &Lake, uri: &Uri, headers: &HeaderMap, content: ByteStream) -> Result<Response, Problem> {
    let address = address::file(uri)?;
    let grant = uploads::open(lake, &address::needed(address.token)?, &address.did).await?;
    let announced = grant.sending.bytes;
    match length_of(headers) {
        Some(length) if length == announced => {}
        Some(length) => {
            let detail = format!("the body has {length} bytes, but {announced} were announced");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "upload-wrong-length", detail)
                .hint("announce the file again if it has changed"));
        }
        // Many clients say nothing of a body that is not there.
        None if announced == 0 && !headers.contains_key(header::TRANSFER_ENCODING) => {}
        None => {
            let detail = "an upload states its Content-Length";
            return Err(Problem::new(StatusCode::LENGTH_REQUIRED, "length-required", detail)
                .hint("send the body with a known length, not in chunks"));
        }
    }
    let uploaded = uploads::take(lake, &grant, content).await?;
    Ok((StatusCode::CREATED, Json(uploaded)).into_response())
}

fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The same bytes, until they stand still for too long: a sender that is gone without a word must
/// not keep the next one out. Ends for good at its first error.
fn impatient(content: ByteStream, clock: SharedClock, patience: Duration) -> ByteStream {
    unfold(Some((content, clock)), move |state| async move {
        let (mut content, clock) = state?;
        match within(clock.as_ref(), patience, content.next()).await {
            Some(Some(Ok(chunk))) => Some((Ok(chunk), Some((content, clock)))),
            Some(Some(Err(error))) => Some((Err(error), None)),
            Some(None) => None,
            None => {
                let what = format!("the sender was silent for {} seconds", patience.as_secs());
                let path = "the body".to_owned();
                Some((Err(StorageError::Unavailable { path, what }), None))
            }
        }
    })
    .fuse()
    .boxed()
}
