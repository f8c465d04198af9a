//! What every request passes on its way in and out: where it comes from, limits on its head and rate,
//! patience with its body; counted and logged when its answer is known.
//!
//! Logs routes, and the paths of the API: never queries, and no path of a signed URL, as both can hold
//! signatures.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::{Extensions, HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::future::{Either, select};
use futures::stream::unfold;
use futures::{Stream, StreamExt as _};

use crate::clock::SharedClock;
use crate::http::body::JsonBytesMax;
use crate::http::peer::{Connected, PeerAddress, peer};
use crate::http::problem::Problem;
use crate::http::rates::{Asker, Rates};
use crate::http::request::current_id;
use crate::model::network::Network;
use crate::telemetry::meters::Meters;

/// What requests are held to.
pub struct Entry {
    /// For times.
    pub clock: SharedClock,
    /// Counts what comes in.
    pub meters: Arc<Meters>,
    /// Proxies that are believed.
    pub trusted: Vec<Network>,
    /// How many bytes the headers may have together.
    pub header_bytes: usize,
    /// How many bytes path and query may have together.
    pub uri_bytes: usize,
    /// How many bytes a JSON body may have.
    pub json_bytes: usize,
    /// How long a body may stand still.
    pub stall_time: Duration,
    /// How many requests everybody may make.
    pub rates: Rates,
    /// Whether requests are logged where operators look, or only where developers do.
    pub log_requests: bool,
}

/// How long a body may stand still.
#[derive(Debug, Clone, Copy)]
pub struct StallTime(pub Duration);

/// Who turned out to ask, for the log.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<OnceLock<String>>);

impl Known {
    /// The account's name, once it is known.
    pub fn account(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// A request that was taken from what an address may ask with keys, until its key is known to be good.
#[derive(Debug, Clone)]
struct Pledge(Asker);

/// Routes of the API that ask for no key: showing one changes nothing there.
const OPEN_ROUTES: [&str; 2] = ["/api/v1/openapi.json", "/api/v1/sessions"];

/// Marks an answer that lets somebody in whose key or password was good.
#[derive(Debug, Clone, Copy)]
pub struct LetIn;

/// Marks an answer that sends somebody away whose key was refused, though its status does not say so.
#[derive(Debug, Clone, Copy)]
pub struct Refused;

/// A request as the log and the meters have it.
struct About {
    method: Method,
    route: String,
    /// Whether it came by a signed URL, which is bounded by what was signed.
    signed: bool,
    path: Option<String>,
    peer: Option<PeerAddress>,
    known: Known,
}

/// Lets a request in, and its answer out.
pub async fn enter(entry: Arc<Entry>, mut request: Request, next: Next) -> Response {
    let began = entry.clock.monotonic();
    let connected = request.extensions().get::<Connected>().copied();
    let peer = connected.map(|connected| peer(connected, request.headers(), &entry.trusted));
    let about = About::of(&request, peer);
    let extensions = request.extensions_mut();
    if let Some(peer) = peer {
        extensions.insert(peer);
    }
    extensions.insert(JsonBytesMax(entry.json_bytes));
    extensions.insert(StallTime(entry.stall_time));
    extensions.insert(about.known.clone());
    extensions.insert(Arc::clone(&entry));
    let pledge = about.pledge(request.headers());
    if let Some(pledge) = &pledge {
        request.extensions_mut().insert(pledge.clone());
    }
    let response = match entry.judge(&request, &about, pledge.as_ref()) {
        // The gateway has patience of its own, and tells of it in its own words.
        Ok(()) if about.is_of_gateway() => next.run(request).await,
        Ok(()) => next.run(request.map(|body| patient(body, entry.clock.clone(), entry.stall_time))).await,
        Err(problem) => problem.into_response(),
    };
    let is_refused = response.status() == StatusCode::UNAUTHORIZED || response.extensions().get::<Refused>().is_some();
    match (pledge, peer) {
        (None, Some(peer)) if is_refused => {
            // The wait that it says is told to the next request.
            let _ = entry.rates.take(Asker::Guesser(peer.into()));
        }
        (Some(Pledge(asker)), _) if response.extensions().get::<LetIn>().is_some() => entry.rates.give_back(&asker),
        _ => {}
    }
    entry.tell(&about, &response, began);
    response
}

/// Counts a request for the account that turned out to ask, and refuses it if there were too many.
pub fn admit(extensions: &Extensions, account: &str) -> Result<(), Problem> {
    // Another part of the same request may have found out before.
    let is_first = extensions.get::<Known>().is_some_and(|known| known.0.set(account.to_owned()).is_ok());
    let Some(entry) = extensions.get::<Arc<Entry>>() else { return Ok(()) };
    if let Some(Pledge(asker)) = extensions.get::<Pledge>().filter(|_| is_first) {
        entry.rates.give_back(asker);
    }
    entry.rates.take(Asker::Account(account.to_owned())).map_err(|wait| entry.too_many(wait))
}

impl About {
    fn of(request: &Request, peer: Option<PeerAddress>) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
        let path = route.starts_with("/api/").then(|| request.uri().path().to_owned());
        let granted = request.uri().query().is_some_and(|query| query.contains("grant="));
        let signed = route.starts_with("/s/") || route.starts_with("/d/") && granted;
        Self { method: request.method().clone(), route, signed, path, peer, known: Known::default() }
    }

    /// Tells whether bytes go in or out.
    fn is_of_gateway(&self) -> bool {
        self.route.starts_with("/d/") || self.route.starts_with("/s/")
    }

    /// What a request that shows a key is counted by until that is known to be good.
    fn pledge(&self, headers: &HeaderMap) -> Option<Pledge> {
        let peer = self.peer.filter(|_| !self.signed && self.shows_key(headers))?;
        Some(Pledge(Asker::Guesser(peer.into())))
    }

    /// Tells whether a request shows something to be let in by, which what answers will judge.
    fn shows_key(&self, headers: &HeaderMap) -> bool {
        match self.route.as_str() {
            "none" => false,
            route if OPEN_ROUTES.contains(&route) => false,
            "/metrics" => headers.contains_key(header::AUTHORIZATION),
            "/sign-in" => self.method == Method::POST,
            route if ["/api/", "/d/", "/stac"].iter().any(|door| route.starts_with(door)) => {
                headers.contains_key(header::AUTHORIZATION)
            }
            route if route.starts_with("/health") || route.starts_with("/assets/") => false,
            // The pages.
            _ => headers.contains_key(header::COOKIE),
        }
    }

    /// One of few words, whatever was sent.
    fn method(&self) -> &str {
        match self.method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                self.method.as_str()
            }
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        }
    }
}

impl Entry {
    /// Refuses what is too large or too much.
    fn judge(&self, request: &Request, about: &About, pledge: Option<&Pledge>) -> Result<(), Problem> {
        let uri = request.uri().path_and_query().map_or(0, |both| both.as_str().len());
        if uri > self.uri_bytes {
            let detail = format!("the path and query have {uri} bytes, more than {}", self.uri_bytes);
            return Err(self.refuse(StatusCode::URI_TOO_LONG, "uri-too-long", detail, "ask for less at once"));
        }
        let headers = size_of(request.headers());
        if headers > self.header_bytes {
            let (status, limit) = (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, self.header_bytes);
            let detail = format!("the headers have {headers} bytes, more than {limit}");
            return Err(self.refuse(status, "headers-too-large", detail, "send fewer or shorter headers"));
        }
        let Some(peer) = about.peer.filter(|_| !about.signed) else { return Ok(()) };
        // Where no key is asked for, showing one changes nothing.
        let asker = pledge.map_or_else(|| Asker::Address(peer.into()), |pledge| pledge.0.clone());
        self.rates.take(asker).map_err(|wait| self.too_many(wait))
    }

    fn refuse(&self, status: StatusCode, code: &'static str, detail: String, hint: &str) -> Problem {
        self.meters.refused(code);
        Problem::new(status, code, detail).hint(hint)
    }

    fn too_many(&self, wait: Duration) -> Problem {
        let seconds = wait.as_secs() + 1;
        let (status, hint) = (StatusCode::TOO_MANY_REQUESTS, format!("wait {seconds}s, and then ask more slowly"));
        self.refuse(status, "rate-limited", "there were too many requests".to_owned(), &hint).retry_after(seconds)
    }

    /// Counts and logs a request whose answer is known.
    fn tell(&self, about: &About, response: &Response, began: Duration) {
        let (took, status) = (self.clock.monotonic().saturating_sub(began), response.status().as_u16());
        self.meters.request(&about.route, about.method(), status, took);
        let (id, method, took_ms) = (current_id(), about.method(), took.as_secs_f64() * 1e3);
        let route = about.path.as_deref().unwrap_or(&about.route);
        let account = about.known.0.get().map(String::as_str);
        let peer = about.peer.map(|peer| peer.0.to_string());
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    request.id = id,
                    request.method = method,
                    request.route = about.route,
                    request.path = about.path,
                    response.status = status,
                    duration_ms = took_ms,
                    account = account,
                    peer = peer,
                    "answered {method} {route} with {status}"
                )
            };
        }
        if self.log_requests { log!(info) } else { log!(debug) }
    }
}

/// How many bytes headers have with their names.
fn size_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// The same body, until it stands still for too long.
fn patient(body: Body, clock: SharedClock, span: Duration) -> Body {
    if http_body_is_empty(&body) {
        return body;
    }
    Body::from_stream(impatient(body, clock, span))
}

fn http_body_is_empty(body: &Body) -> bool {
    use axum::body::HttpBody as _;
    body.is_end_stream()
}

fn impatient(body: Body, clock: SharedClock, span: Duration) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    unfold(Some((body.into_data_stream(), clock)), move |state| async move {
        let (mut content, clock) = state?;
        let waited = clock.sleep(span);
        let next = match select(content.next(), waited).await {
            Either::Left((next, _)) => Some(next),
            Either::Right(_) => None,
        };
        match next {
            Some(Some(Ok(chunk))) => Some((Ok(chunk), Some((content, clock)))),
            Some(Some(Err(error))) => Some((Err(error), None)),
            Some(None) => None,
            None => {
                let words = format!("nothing was sent for {} seconds", span.as_secs());
                Some((Err(axum::Error::new(std::io::Error::new(std::io::ErrorKind::TimedOut, words))), None))
            }
        }
    })
}

/// Answers within a time, or says that it could not.
pub async fn in_time(clock: SharedClock, span: Duration, request: Request, next: Next) -> Response {
    let entry = request.extensions().get::<Arc<Entry>>().cloned();
    let answer = std::pin::pin!(next.run(request));
    match select(answer, clock.sleep(span)).await {
        Either::Left((response, _)) => response,
        Either::Right(_) => {
            let code = "request-timed-out";
            entry.inspect(|entry| entry.meters.refused(code));
            let detail = format!("the request was not answered within {} seconds, and was given up", span.as_secs());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).into_response()
        }
    }
}
