//! The signed-URL gateway: hands out bytes to whoever holds a grant, and takes bytes that a grant
//! allows. Two forms of URL lead here: `/d/{scope}/{name}?grant={token}` for one file, and
//! `/s/{token}/{scope}/{name}` for the files of a dataset, whose base lists them. A file's URL without
//! a grant never changes: it opens what is public to everybody, and the rest to whoever shows a key.
//!
//! Every request is judged anew by its grant. HEAD is answered from the catalog and touches no
//! storage. Where the grant says so, GET and HEAD are sent on to the storage itself. What is promised in a header is delivered to the byte, or the connection is aborted.
//! Tokens and the URLs of storages are never logged; tokens never appear in an answer.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;

use crate::gateway::address::Place;
use crate::gateway::source::STALL_SPAN_MAX;
use crate::http::entry::StallTime;
use crate::http::problem::Problem;
use crate::http::request::{Reading, WantedPage, with_id};
use crate::service::{Lake, urls};

mod address;
mod conditions;
mod headers;
mod listing;
mod multipart;
mod range;
mod receive;
mod redirect;
mod serve;
mod source;

/// The methods that a file's URL knows.
const FILE_METHODS: &str = "GET, HEAD, PUT, OPTIONS";
/// The methods that a dataset's URLs know.
const DATASET_METHODS: &str = "GET, HEAD, OPTIONS";

/// The gateway of a lake.
pub fn router(lake: Arc<Lake>) -> Router {
    let clock = Arc::clone(lake.catalog.clock());
    Router::new()
        .route("/d/{*file}", any(file))
        .route("/s/{*member}", any(dataset))
        .route_layer(from_fn(with_manners))
        .route_layer(from_fn(move |request, next| with_id(clock.clone(), request, next)))
        .with_state(lake)
}

/// Serves one file's URL.
async fn file(State(lake): State<Arc<Lake>>, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    match parts.method {
        Method::OPTIONS => Ok(preflight(FILE_METHODS)),
        Method::PUT => {
            let patience = parts.extensions.get::<StallTime>().map_or(STALL_SPAN_MAX, |time| time.0);
            receive::put(lake, parts.uri, parts.headers, body, patience).await
        }
        Method::GET | Method::HEAD => {
            let address = address::file(&parts.uri)?;
            let opened = match &address.token {
                Some(token) => serve::open(&lake, token, &address.did).await?,
                None => {
                    let Reading(reader) = Reading::from_request_parts(&mut parts, &lake).await?;
                    urls::open_unsigned(&reader, &address.did, address.from.as_ref()).await?
                }
            };
            serve::answer(&lake, opened, &parts.method, &parts.headers).await
        }
        _ => Ok(not_allowed(&parts.method, FILE_METHODS)),
    }
}

/// Serves the URLs below a dataset's base, and the base itself.
async fn dataset(State(lake): State<Arc<Lake>>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    match parts.method {
        Method::OPTIONS => return Ok(preflight(DATASET_METHODS)),
        Method::GET | Method::HEAD => {}
        _ => return Ok(not_allowed(&parts.method, DATASET_METHODS)),
    }
    let address = address::dataset(&parts.uri)?;
    match address.place {
        Place::Base(scope) => {
            let WantedPage(paging) = WantedPage::from_request_parts(&mut parts, &()).await?;
            listing::answer(&lake, &address.token, &scope, paging, &parts.headers).await
        }
        Place::Member(did) => {
            let opened = serve::open_member(&lake, &address.token, &did).await?;
            serve::answer(&lake, opened, &parts.method, &parts.headers).await
        }
    }
}

fn not_allowed(method: &Method, allowed: &'static str) -> Response {
    let detail = format!("a signed URL does not take {method}");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Tells browsers that pages from anywhere may ask: the grant is in the URL, not in a cookie.
fn preflight(allowed: &'static str) -> Response {
    let headers = [
        (header::ALLOW, allowed),
        (header::ACCESS_CONTROL_ALLOW_METHODS, allowed),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Range, If-Range, If-Match, If-None-Match, Content-Type"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// What every answer says, problems included: any page may read it, nobody learns its address, no
/// search engine keeps it.
async fn with_manners(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in headers::MANNERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
