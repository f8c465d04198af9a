//! Problem documents (RFC 9457): how a fault leaves the house. The code is API, the words are not.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::fault::{Fault, Kind};
use crate::http::request::current_id;
use crate::service::view::ProblemView;

/// How a problem's type begins; `docs/errors.md` has a section for each code.
const TYPE: &str = "urn:dapple:error:";

/// A fault on its way out.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    hint: Option<String>,
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem that a door finds by itself.
    pub fn new(status: StatusCode, code: &'static str, detail: impl ToString) -> Self {
        Self { status, code, detail: detail.to_string(), hint: None, retry_after: None }
    }

    /// The same problem with what would help.
    #[must_use]
    pub fn hint(mut self, hint: impl ToString) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The same problem with how many seconds to wait.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same problem with another status, where a door tells its callers less or more.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The code, by which programs tell problems apart.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The status it answers with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The problem as the request that is being answered is told of it.
    pub fn view(&self) -> ProblemView {
        ProblemView {
            kind: format!("{TYPE}{}", self.code),
            code: self.code.to_owned(),
            title: self.status.canonical_reason().unwrap_or("Problem").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            hint: self.hint.clone(),
            request_id: current_id(),
        }
    }
}

/// The status for a kind of failure.
pub fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Exhausted => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Corrupt | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl<F: Fault + 'static> From<F> for Problem {
    fn from(fault: F) -> Self {
        let status = match fault.code() {
            "changed-meanwhile" => StatusCode::PRECONDITION_FAILED,
            // 503 would say that nothing was done.
            "catalog-in-doubt" => StatusCode::GATEWAY_TIMEOUT,
            _ => status_of(fault.kind()),
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            // A person should look: logged once, here, and named to the caller by its request id.
            let id = current_id();
            tracing::error!(request.id = %id, code = fault.code(), "request {id} failed: {}", chain(&fault));
        }
        Self { status, code: fault.code(), detail: fault.to_string(), hint: fault.hint(), retry_after: None }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.view()).expect("a problem is plain text");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
