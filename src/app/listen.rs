//! Listeners: accept connections, no more than there may be, shake hands, and serve each until it ends
//! or the server stops. What is slow on purpose is cut off; what is under way is finished.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use futures::future::{Either, select};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::app::crowd::Crowd;
use crate::app::patient::Patient;
use crate::app::tls::Certificate;
use crate::clock::SharedClock;
use crate::http::peer::Connected;
use crate::telemetry::meters::Meters;

/// How long a listener rests when the system has no connection to give, as when too many files are open.
const REST: Duration = Duration::from_secs(1);
/// How many headers a request may have, whatever their length.
const HEADERS_MAX: usize = 128;
/// The least buffer that hyper takes.
const BUFFER_BYTES_MIN: usize = 512 << 10;

/// What connections are held to.
#[derive(Clone)]
pub(super) struct Manners {
    pub(super) clock: SharedClock,
    pub(super) meters: Arc<Meters>,
    /// One for each connection that may be open, over all listeners.
    pub(super) slots: Arc<Semaphore>,
    /// How many of them each address has.
    pub(super) crowd: Arc<Crowd>,
    pub(super) handshake_time: Duration,
    pub(super) header_time: Duration,
    pub(super) stall_time: Duration,
    /// Beyond this a head is not even read; what is less is refused with an explanation.
    pub(super) head_bytes_max: usize,
}

/// A listener with what it serves.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) router: Router,
}

/// Serves until told to stop, and then until every connection has ended.
pub(super) async fn serve(door: Door, manners: Manners, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let service = TowerToHyperService::new(door.router);
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&manners.slots).acquire_owned() => slot.expect("nobody closes it"),
            () = told(&mut stopped) => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = door.listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    refused(&error, &manners.clock).await;
                    continue;
                }
            },
            () = told(&mut stopped) => break,
        };
        let Some(guest) = manners.crowd.admit(peer.ip()) else {
            // Closed without a word: with TLS that would take a handshake, which is what is spared.
            manners.meters.refused("too-many-connections");
            tracing::debug!("{peer} has as many connections as one address may have");
            continue;
        };
        let (certificate, service) = (door.certificate.clone(), service.clone());
        let (manners, stopped) = (manners.clone(), stopped.clone());
        connections.spawn(async move {
            let (_slot, _guest) = (slot, guest);
            let _counted = manners.meters.connected();
            connection(stream, peer, certificate, service, manners, stopped).await;
        });
        while connections.try_join_next().is_some() {}
    }
    drop(door.listener);
    while connections.join_next().await.is_some() {}
}

/// Completes when the server stops.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// A connection that was gone before it was accepted is nothing; a system without room is.
async fn refused(error: &std::io::Error, clock: &SharedClock) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!("no connection can be accepted: {error}");
        clock.sleep(REST).await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    service: TowerToHyperService<Router>,
    manners: Manners,
    stopped: watch::Receiver<bool>,
) {
    // Answers are sent when they are whole; waiting for more to go with them gains nothing.
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, manners.clock.clone(), manners.stall_time, Arc::clone(&manners.meters));
    let Some(certificate) = certificate else {
        return speak(stream, peer, service, manners, stopped).await;
    };
    let handshake = std::pin::pin!(TlsAcceptor::from(certificate.current()).accept(stream));
    match select(handshake, manners.clock.sleep(manners.handshake_time)).await {
        Either::Left((Ok(stream), _)) => speak(stream, peer, service, manners, stopped).await,
        Either::Left((Err(error), _)) => tracing::debug!("{peer} did not shake hands: {error}"),
        Either::Right(_) => tracing::debug!("{peer} did not shake hands in time"),
    }
}

/// Speaks HTTP over a connection.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    service: TowerToHyperService<Router>,
    manners: Manners,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Connected(peer));
        let answer = service.call(request);
        async move { Ok::<Response, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(manners.header_time)
        .max_headers(HEADERS_MAX)
        .max_header_size(manners.head_bytes_max)
        .max_buf_size(manners.head_bytes_max.max(BUFFER_BYTES_MIN));
    let mut talk = std::pin::pin!(protocol.serve_connection(TokioIo::new(stream), service));
    let finished = tokio::select! {
        ended = talk.as_mut() => Some(ended),
        () = told(&mut stopped) => None,
    };
    let ended = match finished {
        Some(ended) => ended,
        None => {
            talk.as_mut().graceful_shutdown();
            talk.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("the connection of {peer} broke off: {error}");
    }
}
