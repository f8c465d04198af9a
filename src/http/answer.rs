//! Answers: one thing with its ETag, what a change made, a list as pages or as lines.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::http::body::line_groups;
use crate::http::problem::Problem;
use crate::http::request::WantedPage;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::lines::CHUNK;
use crate::service::paging::{LIMIT_MAX, Paging};
use crate::service::terms::{Made, Tagged};
use crate::service::view::Page;

/// The media type of lines of JSON.
pub const NDJSON: &str = "application/x-ndjson";
/// The header of an answer to a dry run.
const DRY_RUN: HeaderName = HeaderName::from_static("dry-run");

/// An answer from its status, the tag of what it shows, and its JSON. A refusal is a problem.
pub(super) fn answer(status: u16, tag: Option<&str>, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    let tag = tag.filter(|_| !body.is_empty()).map(|tag| etag(tag, &body));
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_TYPE);
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// A strong ETag: what is stored, a dot, and the answer itself, which shows progress as well.
fn etag(tag: &str, body: &[u8]) -> HeaderValue {
    let answer = &blake3::hash(body).to_hex()[..16];
    HeaderValue::from_str(&format!("\"{tag}.{answer}\"")).expect("tags are hexadecimal")
}

fn json(view: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(view).expect("views have text keys only")
}

/// One thing, or 304 if the caller has it already.
pub fn shown<T: Serialize>(headers: &HeaderMap, thing: &Tagged<T>) -> Response {
    let response = answer(200, Some(thing.tag.as_str()), json(&thing.view));
    let Some(tag) = response.headers().get(header::ETAG) else { return response };
    let has_it = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let mut entries = value.to_str().unwrap_or_default().split(',').map(str::trim);
        entries.any(|entry| entry == "*" || entry.trim_start_matches("W/").as_bytes() == tag.as_bytes())
    });
    if has_it { (StatusCode::NOT_MODIFIED, [(header::ETAG, tag.clone())]).into_response() } else { response }
}

/// What a change made, or would make.
pub fn done<T: Serialize>(ctx: &Context, made: Made, thing: &Tagged<T>) -> Response {
    if ctx.is_dry_run() {
        return rehearsed(answer(200, None, json(&thing.view)));
    }
    let body = if made == Made::Gone { Vec::new() } else { json(&thing.view) };
    answer(made.status(), Some(thing.tag.as_str()), body)
}

/// What a change answers that has no ETag.
pub fn done_untagged<T: Serialize>(ctx: &Context, made: Made, view: &T) -> Response {
    made_of(ctx.is_dry_run(), made, view)
}

/// The same where nobody is known yet who asks.
pub fn made_of<T: Serialize>(dry_run: bool, made: Made, view: &T) -> Response {
    if dry_run { rehearsed(answer(200, None, json(view))) } else { answer(made.status(), None, json(view)) }
}

/// What a change answers that leaves nothing to show.
pub fn gone(ctx: &Context) -> Response {
    let response = answer(Made::Gone.status(), None, Vec::new());
    if ctx.is_dry_run() { rehearsed(response) } else { response }
}

/// Marks an answer as one that nothing came of.
pub fn rehearsed(mut response: Response) -> Response {
    response.headers_mut().insert(DRY_RUN, HeaderValue::from_static("true"));
    response
}

/// How a list is wanted: which page, or all of it as lines.
pub struct WantedList {
    paging: Paging,
    lines: bool,
    uri: Uri,
}

impl<S: Send + Sync> FromRequestParts<S> for WantedList {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let WantedPage(paging) = WantedPage::from_request_parts(parts, state).await?;
        let uri = parts.extensions.get::<OriginalUri>().map_or_else(|| parts.uri.clone(), |uri| uri.0.clone());
        let accepted = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let lines = accepted.split(',').any(|entry| entry.split(';').next().is_some_and(|kind| kind.trim() == NDJSON));
        Ok(Self { paging, lines, uri })
    }
}

impl WantedList {
    /// Answers with a page that `read` gives and a link to the next; or with a line for each entry,
    /// page after page, none of them held longer than it takes to send.
    pub async fn answer<T, F, Fut>(self, read: F) -> Result<Response, Problem>
    where
        T: Serialize + Send + 'static,
        F: Fn(Paging) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Page<T>, ServiceError>> + Send + 'static,
    {
        if !self.lines {
            let page = read(self.paging.clone()).await?;
            let mut response = answer(200, None, json(&page));
            if let Some(next) = &page.next {
                response.headers_mut().insert(header::LINK, self.link(next));
            }
            return Ok(response);
        }
        let Paging { after, limit } = self.paging;
        let begin = Paging { after, limit: limit.or(Some(LIMIT_MAX)) };
        // What is refused is refused before the first line.
        let first = read(begin.clone()).await?;
        let rest = stream::try_unfold((Some(first), begin, read), async |(page, mut paging, read)| {
            let page = match (page, &paging.after) {
                (Some(page), _) => page,
                (None, None) => return Ok(None),
                (None, Some(_)) => read(paging.clone()).await.map_err(broken_off)?,
            };
            paging.after = page.next;
            Ok::<_, std::io::Error>(Some((lines(&page.items), (None, paging, read))))
        });
        Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(Box::pin(rest))).into_response())
    }

    fn link(&self, next: &str) -> HeaderValue {
        let kept = self.uri.query().unwrap_or_default().split('&');
        let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with("after=") && *pair != "after");
        let next = format!("after={}", utf8_percent_encode(next, NON_ALPHANUMERIC));
        let query: Vec<&str> = kept.chain([next.as_str()]).collect();
        let link = format!("<{}?{}>; rel=\"next\"", self.uri.path(), query.join("&"));
        HeaderValue::from_str(&link).expect("a path and a query are visible ASCII")
    }
}

/// Answers a body of lines chunk by chunk, by what `work` makes of each, from the number of its first
/// line, so that neither side holds more than one. A fault in the middle breaks the answer off; what was
/// answered until then is on disk.
pub fn by_chunks<T, F, Fut>(ctx: &Context, body: Body, work: F) -> Response
where
    T: Serialize,
    F: Fn(u64, Vec<String>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, ServiceError>> + Send + 'static,
{
    let answers = line_groups(body, CHUNK).boxed().and_then(move |(line, text)| {
        let done = work(line, text);
        async move { Ok(lines(&[done.await?])) }
    });
    let answers = Body::from_stream(answers.map_err(broken_off));
    let response = ([(header::CONTENT_TYPE, NDJSON)], answers).into_response();
    if ctx.is_dry_run() { rehearsed(response) } else { response }
}

/// Answers with lines as they are made.
pub fn lines_as_made<T: Serialize>(ctx: &Context, items: impl Stream<Item = T> + Send + 'static) -> Response {
    let response = bytes_as_made(NDJSON, items.map(|item| Ok(lines(&[item]))));
    if ctx.is_dry_run() { rehearsed(response) } else { response }
}

/// Answers with bytes as they are made.
pub fn bytes_as_made(
    kind: &'static str,
    pieces: impl Stream<Item = Result<Bytes, Problem>> + Send + 'static,
) -> Response {
    let body = Body::from_stream(Box::pin(pieces.map_err(broken_off)));
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// A fault in the middle of lines can only break them off; it is logged as any other.
fn broken_off(error: impl Into<Problem>) -> std::io::Error {
    std::io::Error::other(format!("{:?}", error.into()))
}

/// Entries as lines of JSON.
pub fn lines<T: Serialize>(items: &[T]) -> Bytes {
    let mut text = Vec::new();
    for item in items {
        serde_json::to_writer(&mut text, item).expect("views have text keys only");
        text.push(b'\n');
    }
    text.into()
}
