//! Bodies: JSON in, byte streams in, lines in.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{Extensions, HeaderMap, Method, StatusCode, header};
use bytes::BytesMut;
use futures::{Stream, StreamExt as _, TryStreamExt as _};

use crate::http::problem::Problem;
use crate::service::error::ServiceError;
use crate::storage::backend::{ByteStream, CHUNK_BYTES_MAX, StorageError};

/// The most bytes of a JSON body where nothing else is set: a thousand files with long names fit.
const JSON_BYTES_MAX: usize = 4 << 20;
/// The most bytes of one line of a stream of lines.
pub const LINE_BYTES_MAX: usize = 128 << 10;
/// How many bytes of lines are enough for a group: no more wait than these and one line.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// A JSON body; one that cannot be read is a problem document that says where.
pub struct JsonBody<T>(pub T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers(), request.method())?;
        let limit = json_bytes_max(request.extensions());
        let bytes = read_whole(request.into_body(), limit).await?;
        let value = serde_json::from_slice(&bytes);
        Ok(Self(value.map_err(|error| Problem::from(ServiceError::invalid("invalid-body", error)))?))
    }
}

/// The most bytes of a body of somebody who has shown no key yet: names and passwords fit.
pub const STRANGERS_BYTES_MAX: usize = 8 << 10;

/// A short JSON body of somebody who has shown no key yet.
pub struct StrangersJson<T>(pub T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequest<S> for StrangersJson<T> {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        let limit = json_bytes_max(request.extensions()).min(STRANGERS_BYTES_MAX);
        request.extensions_mut().insert(JsonBytesMax(limit));
        JsonBody::from_request(request, state).await.map(|JsonBody(value)| Self(value))
    }
}

/// A JSON body that may be left out.
pub struct JsonIfAny<T>(pub Option<T>);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonIfAny<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        use axum::body::HttpBody as _;
        if request.body().is_end_stream() {
            return Ok(Self(None));
        }
        JsonBody::from_request(request, state).await.map(|JsonBody(value)| Self(value))
    }
}

/// Refuses a body that says of itself that it is something else than JSON.
fn require_json(headers: &HeaderMap, method: &Method) -> Result<(), Problem> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_patch = method == Method::PATCH && kind.eq_ignore_ascii_case("application/merge-patch+json");
    if is_patch || kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = format!("this takes `application/json`, not `{kind}`");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail))
}

/// How many bytes a JSON body may have, where that is set.
#[derive(Debug, Clone, Copy)]
pub struct JsonBytesMax(pub usize);

/// How many bytes a JSON body of this request may have.
pub(super) fn json_bytes_max(of: &Extensions) -> usize {
    of.get::<JsonBytesMax>().map_or(JSON_BYTES_MAX, |max| max.0)
}

/// All of a body, if it has no more than so many bytes.
pub(super) async fn read_whole(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut read = BytesMut::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Problem::from(ServiceError::invalid("invalid-body", error)))?;
        if read.len() + chunk.len() > limit {
            let detail = format!("the body has over {limit} bytes");
            let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail);
            let hint = match limit {
                STRANGERS_BYTES_MAX => "a name and a password are shorter",
                _ => "send it in parts, or raise `limits.json_bytes` in the server's settings",
            };
            return Err(problem.hint(hint));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

/// A body as the storages take it: in chunks that are not too large, errors named after `what`.
pub fn byte_stream(body: Body, what: String) -> ByteStream {
    let failed = move |error: axum::Error| StorageError::Unavailable { path: what.clone(), what: error.to_string() };
    body.into_data_stream().map_err(failed).map_ok(pieces).try_flatten().boxed()
}

fn pieces(mut chunk: Bytes) -> impl Stream<Item = Result<Bytes, StorageError>> {
    futures::stream::iter(std::iter::from_fn(move || {
        (!chunk.is_empty()).then(|| Ok(chunk.split_to(chunk.len().min(CHUNK_BYTES_MAX))))
    }))
}

/// The lines of a body, up to `count` at a time, fewer if they are long, empty ones included. Each group comes with the number
/// of its first line, counted from 1.
pub fn line_groups(body: Body, count: usize) -> impl Stream<Item = Result<(u64, Vec<String>), Problem>> {
    let state = (Box::pin(body.into_data_stream()), BytesMut::new(), 1, false);
    futures::stream::try_unfold(state, move |(mut chunks, mut rest, mut line, mut ended)| async move {
        let (first, mut lines, mut bytes) = (line, Vec::new(), 0);
        while lines.len() < count && bytes < GROUP_BYTES_MAX {
            match take_line(&mut rest, ended) {
                Ok(Some(text)) => {
                    bytes += text.len();
                    lines.push(text);
                    line += 1;
                    continue;
                }
                Ok(None) => {}
                // What came before it is done first; then it is met again.
                Err(_) if !lines.is_empty() => break,
                Err(problem) => return Err(problem),
            }
            if ended {
                break;
            }
            match chunks.next().await {
                Some(Ok(chunk)) => rest.extend_from_slice(&chunk),
                Some(Err(error)) => return Err(ServiceError::invalid("invalid-body", error).into()),
                None => ended = true,
            }
        }
        Ok((!lines.is_empty()).then_some(((first, lines), (chunks, rest, line, ended))))
    })
}

/// Takes a whole line from the front, or what is left at the end.
fn take_line(rest: &mut BytesMut, ended: bool) -> Result<Option<String>, Problem> {
    let end = rest.iter().position(|byte| *byte == b'\n');
    if end.unwrap_or(rest.len()) > LINE_BYTES_MAX {
        let detail = format!("a line has over {LINE_BYTES_MAX} bytes");
        return Err(ServiceError::invalid("invalid-line", detail).into());
    }
    let end = match end {
        Some(end) => end + 1,
        None if ended && !rest.is_empty() => rest.len(),
        None => return Ok(None),
    };
    let line = rest.split_to(end);
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_bounded_whether_its_end_comes_with_it_or_not() {
        let fits = "x".repeat(LINE_BYTES_MAX);
        let long = format!("{fits}x");
        let read = async |chunks: &[&str]| {
            let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, std::io::Error>((*chunk).to_owned())).collect();
            let body = Body::from_stream(futures::stream::iter(chunks));
            let groups: Result<Vec<_>, _> = line_groups(body, 10).try_collect().await;
            groups.map(|groups| groups.into_iter().flat_map(|(_, lines)| lines).map(|line| line.len()).collect())
        };
        for ending in ["", "\n", "\nmore\n"] {
            let sizes: Vec<usize> = read(&[&format!("{fits}{ending}")]).await.expect("short enough");
            assert_eq!(sizes[0], LINE_BYTES_MAX, "{ending:?}");
            for chunks in [vec![format!("{long}{ending}")], vec![long.clone(), ending.to_owned()]] {
                let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
                assert!(read(&chunks).await.is_err(), "{ending:?}");
            }
        }
    }
}
