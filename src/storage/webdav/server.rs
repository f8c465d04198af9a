//! Asking a server: credentials, redirects, patience, and what its refusals mean.
//!
//! Credentials go to the endpoint's own origin alone. Redirects are followed by hand, because they
//! have to keep the method, the headers and the body, and may not leave TLS. Nothing here believes
//! that an answer of success has an effect; callers look.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::TryStreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode, Url};

use crate::clock::{SharedClock, within};
use crate::net::{self, NetError, Trust};
use crate::storage::backend::StorageError;
use crate::storage::patience::{self, Trouble, TroubleKind};
use crate::storage::secret::Secret;
use crate::storage::webdav::address::Address;
use crate::storage::webdav::feed::Feed;

/// How long a request without a long body may take.
pub(super) const SHORT_SPAN_MAX: Duration = Duration::from_mins(1);
/// What a long body, or a copy, may take besides [`SPAN_PER_MIB`].
const LONG_SPAN_MIN: Duration = Duration::from_mins(10);
const SPAN_PER_MIB: Duration = Duration::from_secs(2);
/// A body so short is not waited for as long; on a slow line it takes so much more for each MiB.
const SHORT_BODY_BYTES_MAX: u64 = 8 << 20;
const SHORT_SPAN_PER_MIB: Duration = Duration::from_secs(10);
const REDIRECTS_MAX: usize = 5;

/// The methods of WebDAV that HTTP has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Head,
    Put,
    Delete,
    Propfind,
    Mkcol,
    Move,
    Copy,
}

impl Verb {
    fn method(self) -> Method {
        let extension = |name: &str| Method::from_bytes(name.as_bytes()).expect("it is a token");
        match self {
            Verb::Get => Method::GET,
            Verb::Head => Method::HEAD,
            Verb::Put => Method::PUT,
            Verb::Delete => Method::DELETE,
            Verb::Propfind => extension("PROPFIND"),
            Verb::Mkcol => extension("MKCOL"),
            Verb::Move => extension("MOVE"),
            Verb::Copy => extension("COPY"),
        }
    }

    /// Whether asking twice does what asking once does. Of what was removed or made by a request whose
    /// answer got lost, the second one says that it is gone, or there, which is as good.
    fn is_repeatable(self) -> bool {
        matches!(self, Verb::Get | Verb::Head | Verb::Propfind | Verb::Delete | Verb::Mkcol)
    }
}

/// What is sent along.
pub(super) enum Payload {
    Nothing,
    Held(Bytes),
    Fed(Feed),
}

/// One thing to be asked.
pub(super) struct Ask<'a> {
    pub(super) verb: Verb,
    pub(super) url: Url,
    /// The path to be named in errors.
    pub(super) about: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
    /// How long it may take, answer included; `None` if only silence ends it.
    pub(super) span: Option<Duration>,
}

impl<'a> Ask<'a> {
    pub(super) fn new(verb: Verb, url: Url, about: &'a str) -> Self {
        let span = Some(SHORT_SPAN_MAX);
        Self { verb, url, about, headers: HeaderMap::new(), payload: Payload::Nothing, span }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("it is written in this crate");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }
}

/// Who talks to a server.
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) clock: SharedClock,
    own: Client,
    /// For other servers: without our certificate.
    foreign: Client,
    authorization: Option<HeaderValue>,
    identity: Option<String>,
}

fn client(address: &Address, trust: &Trust) -> Result<Client, StorageError> {
    net::client(trust).map_err(|error| match error {
        NetError::Identity(_) => StorageError::Locked { why: error.to_string() },
        NetError::Ca(_) | NetError::Client(_) => {
            StorageError::Unavailable { path: address.shown().to_owned(), what: error.to_string() }
        }
    })
}

impl Server {
    pub(super) fn new(
        address: Address,
        ca: Option<String>,
        secret: Option<Secret>,
        clock: SharedClock,
    ) -> Result<Self, StorageError> {
        let (authorization, identity) = match secret {
            None => (None, None),
            Some(Secret::Pair { name, word }) => {
                (Some(format!("Basic {}", STANDARD.encode(format!("{name}:{word}")))), None)
            }
            Some(Secret::Token(token)) => (Some(format!("Bearer {token}")), None),
            Some(Secret::Certificate(pem)) => (None, Some(pem)),
        };
        let authorization = authorization.map(|text| HeaderValue::from_str(&text)).transpose();
        let mut authorization = authorization
            .map_err(|_| StorageError::Locked { why: "a token has visible ASCII characters only".to_owned() })?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        let foreign = client(&address, &Trust { ca: ca.clone(), identity: None })?;
        let own = client(&address, &Trust { ca, identity: identity.clone() })?;
        Ok(Self { address, clock, own, foreign, authorization, identity })
    }

    /// Tells whether this is the same server, asked by the same one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.address.origin() == other.address.origin()
            && self.authorization == other.authorization
            && self.identity == other.identity
    }

    /// Asks, and asks again what may be repeated while the server is out of order. Gives whatever
    /// answer came at last, refusals included.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Response, StorageError> {
        let begun = self.clock.monotonic();
        let mut attempts = 1;
        loop {
            let outcome = self.follow(&ask).await;
            // A server that hangs is not to be waited for several times over.
            let hangs = self.clock.monotonic().saturating_sub(begun) >= SHORT_SPAN_MAX;
            let pause = if hangs { None } else { self.pause(attempts, &ask, &outcome) };
            let Some(pause) = pause else { return outcome.map_err(|failed| failed.told(ask.about)) };
            self.clock.sleep(pause).await;
            attempts += 1;
        }
    }

    /// How long to wait before asking again; `None` if there is no sense in it.
    fn pause(&self, attempts: u32, ask: &Ask<'_>, outcome: &Result<Response, Failed>) -> Option<Duration> {
        let clock = self.clock.as_ref();
        match outcome {
            // Who refuses for a while has not done it, so this holds of a PUT as well.
            Ok(response) if is_passing(response.status()) => {
                let may = ask.verb.is_repeatable() || (ask.verb == Verb::Put && ask.payload.is_kept());
                let pause = patience::pause(attempts, patience::retry_after(response.headers(), clock), clock);
                pause.filter(|_| may)
            }
            Err(Failed::Unanswered(trouble)) if trouble.kind == TroubleKind::Passing => {
                patience::pause(attempts, None, clock).filter(|_| ask.verb.is_repeatable())
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// Waits a little, for what a server does soon by itself.
    pub(super) async fn wait(&self, pause: Duration) {
        self.clock.sleep(pause).await;
    }

    async fn follow(&self, ask: &Ask<'_>) -> Result<Response, Failed> {
        let mut url = ask.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let response = self.send(ask, &url).await?;
            let Some(next) = next(ask.about, &url, &response)? else { return Ok(response) };
            url = next;
        }
        Err(faulty(ask.about, format!("it redirects more than {REDIRECTS_MAX} times")).into())
    }

    async fn send(&self, ask: &Ask<'_>, url: &Url) -> Result<Response, Failed> {
        let is_home = self.address.is_home(url);
        let client = if is_home { &self.own } else { &self.foreign };
        let mut request = client.request(ask.verb.method(), url.clone()).headers(ask.headers.clone());
        if let Some(authorization) = self.authorization.as_ref().filter(|_| is_home) {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(span) = ask.span {
            request = request.timeout(span);
        }
        // Of a stream that is read as it comes this limits the answer's head alone.
        let sending = load(ask, request)?.send();
        let response = match ask.span {
            Some(_) => Some(sending.await),
            None => within(self.clock.as_ref(), SHORT_SPAN_MAX, sending).await,
        };
        if let Payload::Fed(feed) = &ask.payload
            && let Some(fault) = feed.fault()
        {
            return Err(fault.into());
        }
        let silent = || {
            let what = format!("no answer came within {} s", SHORT_SPAN_MAX.as_secs());
            Failed::Unanswered(Trouble { what, kind: TroubleKind::Lasting })
        };
        response.ok_or_else(silent)?.map_err(|error| Failed::Unanswered(Trouble::of_request(error)))
    }
}

/// Why asking came to nothing.
enum Failed {
    /// There was no answer.
    Unanswered(Trouble),
    /// There was one, or there was nothing to ask with.
    Otherwise(StorageError),
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        Self::Otherwise(error)
    }
}

impl Failed {
    fn told(self, about: &str) -> StorageError {
        match self {
            Failed::Unanswered(trouble) => StorageError::Unavailable { path: about.to_owned(), what: trouble.what },
            Failed::Otherwise(error) => error,
        }
    }
}

impl Payload {
    /// Whether it can be sent once more.
    fn is_kept(&self) -> bool {
        match self {
            Payload::Nothing | Payload::Held(_) => true,
            Payload::Fed(feed) => feed.is_kept(),
        }
    }
}

fn load(ask: &Ask<'_>, request: RequestBuilder) -> Result<RequestBuilder, StorageError> {
    Ok(match &ask.payload {
        // XRootD waits for a length where Apache and nginx do not mind one.
        Payload::Nothing if matches!(ask.verb, Verb::Get | Verb::Head) => request,
        Payload::Nothing => request.header(CONTENT_LENGTH, 0),
        Payload::Held(bytes) => request.header(CONTENT_LENGTH, bytes.len()).body(bytes.clone()),
        Payload::Fed(feed) => {
            let Some(sending) = feed.begin() else {
                let handed = feed.handed();
                return Err(faulty(ask.about, format!("it redirects or refuses only after {handed} bytes were sent")));
            };
            request.header(CONTENT_LENGTH, feed.length()).body(Body::wrap_stream(sending))
        }
    })
}

/// Where an answer sends the asker; `None` if it is the answer itself. A collection that is asked
/// for without its slash sends to itself: that says what it is, and is no redirect.
fn next(about: &str, url: &Url, response: &Response) -> Result<Option<Url>, StorageError> {
    if !is_redirect(response.status()) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let next = location.and_then(|location| url.join(location).ok());
    let Some(next) = next else { return Err(faulty(about, "it redirects to nowhere".to_owned())) };
    if next.path() == format!("{}/", url.path()) {
        return Ok(None);
    }
    match (url.scheme(), next.scheme()) {
        ("https", "http") => Err(faulty(about, "it redirects from https to http".to_owned())),
        (_, "http" | "https") => Ok(Some(next)),
        _ => Err(faulty(about, "it redirects to what is no web server".to_owned())),
    }
}

/// Tells whether an answer says that the thing is a collection: its URL lacks the slash.
pub(super) fn sends_to_collection(response: &Response) -> bool {
    is_redirect(response.status())
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

/// Tells whether a refusal says that the server is out of order for a while.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 502 | 503 | 504)
}

/// How long moving so many bytes may take.
pub(super) fn long_span(bytes: u64) -> Duration {
    let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    if bytes <= SHORT_BODY_BYTES_MAX {
        return SHORT_SPAN_MAX + SHORT_SPAN_PER_MIB * mib;
    }
    LONG_SPAN_MIN + SPAN_PER_MIB * mib
}

/// What a refusal means.
pub(super) fn refusal(about: &str, status: StatusCode) -> StorageError {
    let path = about.to_owned();
    match status.as_u16() {
        401 | 403 => StorageError::Denied { path },
        404 | 410 => StorageError::NotFound { path },
        412 => StorageError::Exists { path },
        413 => StorageError::Refused { path, why: "it takes no object so large (413)".to_owned() },
        507 => StorageError::Full { path },
        423 => StorageError::Unavailable { path, what: "it is locked by somebody".to_owned() },
        408 | 425 | 429 | 500..=599 => StorageError::Unavailable { path, what: format!("it answered {status}") },
        _ => faulty(about, format!("it answered {status}")),
    }
}

/// The store did something else.
pub(super) fn faulty(about: &str, what: String) -> StorageError {
    StorageError::Faulty { path: about.to_owned(), what }
}

/// The store, or the way to it, failed.
pub(super) fn unavailable(about: &str, error: reqwest::Error) -> StorageError {
    StorageError::Unavailable { path: about.to_owned(), what: net::told(&error.without_url()) }
}

/// Reads a whole answer that should be short.
pub(super) async fn collect(about: &str, response: Response, most: usize) -> Result<Vec<u8>, StorageError> {
    let mut all = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.try_next().await.map_err(|error| unavailable(about, error))? {
        if all.len() + chunk.len() > most {
            return Err(faulty(about, format!("its answer has more than {most} bytes")));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// The length that an answer's header states, which for HEAD is not that of its body.
pub(super) fn stated_length(response: &Response) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
