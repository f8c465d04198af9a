//! Stores in this process: an S3 store and a WebDAV server over a directory, so that the demo and
//! tests have one of each kind and nothing needs to be installed. For those two and for nothing else:
//! they listen on loopback without TLS, let one pair of name and word in, take bodies and time within
//! bounds, and make no promise that what they hold survives a crash.

pub mod s3;
pub mod webdav;

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::RequestExt as _;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use futures::future::{Either, select};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::error::AppError;
use crate::clock::{Clock, SharedClock};

/// The largest body that is taken: people try the demo with files of their own.
const BODY_BYTES_MAX: usize = 64 << 30;
/// How long a request may take until its answer begins.
const REQUEST_SPAN_MAX: Duration = Duration::from_hours(1);
/// How long a stop waits for requests that are under way.
const PATIENCE: Duration = Duration::from_secs(2);

/// The one name and word that a store lets in: an access key with its secret key, or a user with a
/// password. Prints neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The access key or user.
    pub name: String,
    /// The secret key or password.
    pub word: String,
}

impl Pair {
    /// A pair that nobody can guess.
    pub fn random(clock: &dyn Clock) -> Self {
        let mut bytes = [0; 32];
        clock.fill(&mut bytes);
        let text = blake3::Hash::from_bytes(bytes).to_hex();
        let (name, word) = text.split_at(20);
        Self { name: name.to_owned(), word: word.to_owned() }
    }

    /// Reads `name:word`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, word) = text.split_once(':').filter(|(name, word)| !name.is_empty() && !word.is_empty())?;
        Some(Self { name: name.to_owned(), word: word.to_owned() })
    }

    /// The pair as a secret file has it.
    pub fn text(&self) -> String {
        format!("{}:{}", self.name, self.word)
    }
}

/// A store that is up. Dropping it breaks off what is under way.
pub struct Store {
    /// Where it listens.
    pub address: SocketAddr,
    clock: SharedClock,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Store {
    /// Serves a store; it is ready when this returns.
    pub async fn serve(store: Router, address: SocketAddr, clock: SharedClock) -> Result<Self, AppError> {
        let failed = |source| AppError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, mut stopped) = watch::channel(false);
        let timer = clock.clone();
        let bounds = from_fn(move |request, next| bounded(timer.clone(), request, next));
        let router = store.layer(bounds).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        let serving = tokio::spawn(async move {
            let stopping = async move {
                // An error means that the sender is gone, which is a stop as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            axum::serve(listener, router).with_graceful_shutdown(stopping).await
        });
        Ok(Self { address, clock, stop, serving })
    }

    /// Stops in order: no new requests, those under way finish if they do so soon.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let patience = self.clock.sleep(PATIENCE);
        // Whatever it ended in, it has ended; if not, the drop ends it.
        select(&mut self.serving, patience).await;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Turns away what is too long and gives up what takes too long.
async fn bounded(clock: SharedClock, request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let answer = next.run(request.with_limited_body());
    match select(pin!(answer), clock.sleep(REQUEST_SPAN_MAX)).await {
        Either::Left((response, _)) => response,
        Either::Right(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}
