//! Answers GET and HEAD of a file: conditions first, then ranges, then bytes. A grant whose mode is to
//! redirect gets none of them here: the storage judges conditions and ranges by its own ETag.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::gateway::conditions::{self, Verdict};
use crate::gateway::headers::{self, content_range, value};
use crate::gateway::multipart::Multipart;
use crate::gateway::range::{self, Wanted};
use crate::gateway::redirect;
use crate::gateway::source::Source;
use crate::http::problem::Problem;
use crate::model::did::Did;
use crate::model::id::GrantId;
use crate::policy::grant::{GrantError, Mode};
use crate::service::Lake;
use crate::service::error::ServiceError;
use crate::service::urls::{self, Opened};
use crate::storage::backend::ByteRange;

/// Opens one file's URL.
pub(super) async fn open(lake: &Lake, token: &str, did: &Did) -> Result<Opened, Problem> {
    Ok(urls::open(lake, token, did).await?)
}

/// Opens a URL below a dataset's base. Readers look for files beside the ones they know, and take
/// only 404 for an answer; what lies outside the grant gives the same, so that it tells nothing.
pub(super) async fn open_member(lake: &Lake, token: &str, did: &Did) -> Result<Opened, Problem> {
    urls::open(lake, token, did).await.map_err(|error| match error {
        ServiceError::Grant(GrantError::OutOfScope { .. }) => Problem::from(error).with_status(StatusCode::NOT_FOUND),
        error => Problem::from(error),
    })
}

/// Answers for a file that a grant opened.
pub(super) async fn answer(
    lake: &Arc<Lake>,
    opened: Opened,
    method: &Method,
    asked: &HeaderMap,
) -> Result<Response, Problem> {
    if opened.mode == Mode::Redirect {
        return Ok(redirect::answer(lake, &opened, method).await?);
    }
    let (tags, bytes) = (headers::tags(&opened), opened.bytes);
    match conditions::judge(asked, &tags) {
        Verdict::Serve => {}
        Verdict::NotModified => return Ok(respond(StatusCode::NOT_MODIFIED, &opened, bytes, Body::empty())),
        Verdict::Failed => {
            let detail = format!("{} has other bytes than those asked for", opened.did);
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail));
        }
    }
    // Ranges are for GET alone.
    if method == Method::HEAD {
        return Ok(respond(StatusCode::OK, &opened, bytes, Body::empty()));
    }
    match wanted(asked, &tags, bytes) {
        Wanted::Unsatisfiable => Ok(unsatisfiable(bytes)),
        Wanted::Whole => whole(lake, opened).await,
        Wanted::One(range) => one(lake, opened, range).await,
        Wanted::Many(ranges) => many(lake, opened, &ranges).await,
    }
}

fn wanted(asked: &HeaderMap, tags: &[String], bytes: u64) -> Wanted {
    let mut ranges = asked.get_all(header::RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if conditions::range_applies(asked, tags) => {
            range::wanted(range.to_str().unwrap_or_default(), bytes)
        }
        _ => Wanted::Whole,
    }
}

async fn whole(lake: &Arc<Lake>, opened: Opened) -> Result<Response, Problem> {
    let bytes = opened.bytes;
    let source = Source::of(lake, opened.clone()).await?;
    let content = source.read(ByteRange { start: 0, end: bytes }).await?;
    Ok(respond(StatusCode::OK, &opened, bytes, Body::from_stream(content)))
}

async fn one(lake: &Arc<Lake>, opened: Opened, range: ByteRange) -> Result<Response, Problem> {
    let source = Source::of(lake, opened.clone()).await?;
    let body = Body::from_stream(source.read(range).await?);
    let mut response = respond(StatusCode::PARTIAL_CONTENT, &opened, range.length(), body);
    let placed = content_range(range, opened.bytes);
    response.headers_mut().insert(header::CONTENT_RANGE, value(&placed));
    Ok(response)
}

async fn many(lake: &Arc<Lake>, opened: Opened, ranges: &[ByteRange]) -> Result<Response, Problem> {
    let boundary = GrantId(lake.catalog.clock().id()).to_string();
    let content_type = headers::media_of(&opened).content_type;
    let parts = Multipart::new(ranges, opened.bytes, content_type, boundary);
    let source = Source::of(lake, opened.clone()).await?;
    let first = source.read(ranges[0]).await?;
    let (length, content_type) = (parts.length(), parts.content_type());
    let body = parts.body(source, first);
    let mut response = respond(StatusCode::PARTIAL_CONTENT, &opened, length, body);
    response.headers_mut().insert(header::CONTENT_TYPE, value(&content_type));
    Ok(response)
}

fn respond(status: StatusCode, opened: &Opened, length: u64, body: Body) -> Response {
    let mut response = (status, headers::of(opened), body).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn unsatisfiable(bytes: u64) -> Response {
    let detail = format!("the file has {bytes} bytes, none of them in the ranges asked for");
    let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", detail);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONTENT_RANGE, value(&format!("bytes */{bytes}")));
    response
}
