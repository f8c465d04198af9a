//! Serves a lake: listens, works in the background, and stops in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn;
use axum::response::Response;
use axum::{Router, http::HeaderMap, http::StatusCode};
use futures::future::{Either, select};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::app::build::{self, Opened};
use crate::app::crowd::Crowd;
use crate::app::error::AppError;
use crate::app::listen::{self, Door, Manners};
use crate::app::policies;
use crate::app::secrets;
use crate::app::tls::Certificate;
use crate::clock::SharedClock;
use crate::config::settings::Settings;
use crate::config::value::{Listen, PublicUrl, Scheme, size};
use crate::http::entry::{Entry, enter, in_time};
use crate::http::problem::Problem;
use crate::http::rates::Rates;
use crate::http::request::with_id;
use crate::service::Lake;
use crate::web::desk::Desk;
use crate::workers::board::Board;
use crate::workers::{duties, runner};
use crate::{api, gateway, web};

/// What a server has to be told; all else is as it is by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeArgs {
    /// Where the lake is kept.
    pub dir: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// How the lake is reached from outside; signed URLs begin with it.
    pub public_url: Option<String>,
    /// Where policies are, if not those that come along are to be in force.
    pub policies: Option<PathBuf>,
}

impl From<ServeArgs> for Settings {
    fn from(args: ServeArgs) -> Self {
        let mut settings = Settings::default();
        settings.serve.dir = Some(args.dir);
        settings.serve.listen = vec![Listen { address: args.listen, scheme: Scheme::AsSet }];
        settings.serve.public_url = args.public_url.map(PublicUrl);
        settings.policy.dir = args.policies;
        settings
    }
}

/// A server that is up.
pub struct Server {
    /// The admin's API key.
    pub admin_key: String,
    /// Whether the lake is new.
    pub is_new: bool,
    /// Its first address as a URL.
    pub url: String,
    /// The first address that serves nothing but metrics, if there is one.
    pub metrics_url: Option<String>,
    lake: Arc<Lake>,
    desk: Arc<Desk>,
    workers: runner::Running,
    stop: watch::Sender<bool>,
    stop_time: Duration,
    serving: JoinSet<()>,
}

/// A listener that has its address.
struct Bound {
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    url: String,
}

/// Starts a server; it is ready when this returns.
pub async fn start(settings: impl Into<Settings>) -> Result<Server, AppError> {
    let settings: Settings = settings.into();
    let directory = settings.serve.dir.clone().ok_or(AppError::NoDirectory)?;
    let certificate = match (&settings.tls.certificate, &settings.tls.key) {
        (Some(certificate), Some(key)) => Some(Certificate::open(certificate, key)?),
        _ => None,
    };
    let listeners = bind(&settings.serve.listen, certificate.as_ref()).await?;
    let for_metrics = bind(&settings.metrics.listen, certificate.as_ref()).await?;
    let url = listeners.first().map(|bound| bound.url.clone()).unwrap_or_default();
    let metrics_url = for_metrics.first().map(|bound| bound.url.clone());
    let public_url = settings.serve.public_url.as_ref().map_or_else(|| url.clone(), |url| url.0.clone());
    let public_url = public_url.trim_end_matches('/').to_owned();
    let judge = policies::judge(settings.policy.dir.as_deref())?;
    let Opened { lake, admin_key, is_new } = build::open(&directory, public_url, &settings, judge).await?;
    let board = Board::default();
    let movers = size(settings.transfers.movers.0);
    let workers = runner::start(&lake.catalog, &board, duties::all(&lake, movers));
    let (stop, stopped) = watch::channel(false);
    let mut serving = JoinSet::new();
    let desk = Arc::new(Desk::new(lake.catalog.clock().clone()));
    let (doors, manners) = (doors(&lake, &board, &desk, &settings), manners(&lake, &settings));
    let metrics = numbers(&lake, &settings);
    let routers = listeners.into_iter().map(|bound| (bound, &doors));
    for (Bound { listener, certificate, .. }, router) in routers.chain(for_metrics.into_iter().map(|b| (b, &metrics))) {
        let door = Door { listener, certificate, router: router.clone() };
        serving.spawn(listen::serve(door, manners.clone(), stopped.clone()));
    }
    if let Some(directory) = settings.policy.dir {
        let (judge, clock) = (Arc::clone(&lake.judge), lake.catalog.clock().clone());
        serving.spawn(policies::follow(directory, judge, clock, stopped.clone()));
    }
    if let Some(certificate) = certificate {
        let clock = lake.catalog.clock().clone();
        serving.spawn(keep_fresh(certificate, clock, settings.tls.reload_every.0, stopped));
    }
    let stop_time = settings.serve.stop_time.0;
    Ok(Server { admin_key, is_new, url, metrics_url, lake, desk, workers, stop, stop_time, serving })
}

async fn bind(wanted: &[Listen], certificate: Option<&Arc<Certificate>>) -> Result<Vec<Bound>, AppError> {
    let mut bound = Vec::new();
    for Listen { address, scheme } in wanted.iter().copied() {
        let failed = |source| AppError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let certificate = certificate.filter(|_| scheme != Scheme::Http).cloned();
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().map_err(failed)?);
        bound.push(Bound { listener, certificate, url });
    }
    Ok(bound)
}

/// Looks at the certificate now and then, and when it is told to.
async fn keep_fresh(
    certificate: Arc<Certificate>,
    clock: SharedClock,
    every: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut told = signal(SignalKind::hangup()).expect("the process may set signal handlers");
    loop {
        tokio::select! {
            () = clock.sleep(every) => {}
            _ = told.recv() => {}
            _ = stopped.changed() => return,
        }
        certificate.reload();
    }
}

fn manners(lake: &Lake, settings: &Settings) -> Manners {
    let limits = &settings.limits;
    Manners {
        clock: lake.catalog.clock().clone(),
        meters: Arc::clone(lake.catalog.meters()),
        slots: Arc::new(Semaphore::new(size(limits.connections.0))),
        crowd: Crowd::new(size(limits.connections_per_address.0), settings.proxies.trusted.clone()),
        handshake_time: settings.tls.handshake_time.0,
        header_time: limits.header_time.0,
        stall_time: limits.stall_time.0,
        head_bytes_max: 2 * size(limits.header_bytes.0 + limits.uri_bytes.0),
    }
}

fn entry(lake: &Lake, settings: &Settings) -> Entry {
    let (limits, clock) = (&settings.limits, lake.catalog.clock());
    let small = |number| u32::try_from(number).expect("rates have bounds that fit");
    Entry {
        clock: clock.clone(),
        meters: Arc::clone(lake.catalog.meters()),
        trusted: settings.proxies.trusted.clone(),
        header_bytes: size(limits.header_bytes.0),
        uri_bytes: size(limits.uri_bytes.0),
        json_bytes: size(limits.json_bytes.0),
        stall_time: limits.stall_time.0,
        rates: Rates::new(clock.clone(), small(limits.requests_per_second.0), small(limits.requests_at_once.0)),
        log_requests: settings.log.requests,
    }
}

/// All doors of a lake.
fn doors(lake: &Arc<Lake>, board: &Board, desk: &Arc<Desk>, settings: &Settings) -> Router {
    let (clock, span) = (lake.catalog.clock().clone(), settings.limits.request_time.0);
    let doors = api::router(Arc::clone(lake), board.clone())
        .merge(api::metrics::router(Arc::clone(lake), settings.metrics.open))
        .merge(api::stac::router(Arc::clone(lake)))
        .merge(web::router(Arc::clone(lake), board.clone(), Arc::clone(desk)))
        .layer(from_fn(move |request, next| in_time(clock.clone(), span, request, next)))
        .merge(gateway::router(Arc::clone(lake)));
    within_limits(doors, lake, settings)
}

/// The doors for those who watch.
fn numbers(lake: &Arc<Lake>, settings: &Settings) -> Router {
    let doors = api::metrics::router(Arc::clone(lake), true).merge(api::health::router(Arc::clone(lake)));
    within_limits(doors, lake, settings)
}

fn within_limits(doors: Router, lake: &Arc<Lake>, settings: &Settings) -> Router {
    let (clock, entry) = (lake.catalog.clock().clone(), Arc::new(entry(lake, settings)));
    doors
        .fallback(nothing_here)
        .layer(from_fn(move |request, next| enter(Arc::clone(&entry), request, next)))
        .layer(from_fn(move |request, next| with_id(clock.clone(), request, next)))
}

/// Nothing is served under the path that was asked for.
async fn nothing_here(headers: HeaderMap) -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, "no-such-route", "nothing is served under this path");
    web::nothing_here(problem, &headers)
}

impl Server {
    /// An address that signs a browser in as the admin, once and within a few minutes.
    pub fn sign_in_url(&self) -> String {
        format!("{}/sign-in?code={}", self.lake.public_url, self.desk.code(self.admin_key.clone()))
    }

    /// Waits until serving fails by itself.
    pub async fn failed(&mut self) -> AppError {
        match self.serving.join_next().await {
            Some(Err(error)) => AppError::Serve(std::io::Error::other(error)),
            Some(Ok(())) | None => AppError::Serve(std::io::Error::other("it stopped by itself")),
        }
    }

    /// Stops in order: no new requests, those under way and workers finish, the catalog closes.
    pub async fn stop(mut self) -> Result<(), AppError> {
        self.stop.send_replace(true);
        let (patience, span) = (self.lake.catalog.clock().sleep(self.stop_time), self.stop_time);
        let in_time = {
            let finished = std::pin::pin!(async { while self.serving.join_next().await.is_some() {} });
            matches!(select(finished, patience).await, Either::Left(_))
        };
        if !in_time {
            tracing::warn!("some requests did not finish within {span:?} and were broken off");
            self.serving.shutdown().await;
        }
        self.workers.stop(self.stop_time).await;
        self.lake.search.close();
        self.lake.catalog.close().await?;
        Ok(())
    }
}

/// Serves until the process is told to stop.
pub async fn run(settings: Settings) -> Result<(), AppError> {
    let directory = settings.serve.dir.clone().ok_or(AppError::NoDirectory)?;
    let mut server = start(settings).await?;
    if server.is_new {
        // Where it is, and never the key itself: stderr goes to files and journals.
        tracing::info!("made a new lake; its admin key is in {}", secrets::admin_key_file(&directory).display());
    }
    tracing::info!("serving {} on {}", directory.display(), server.url);
    if let Some(url) = &server.metrics_url {
        tracing::info!("serving metrics on {url}/metrics");
    }
    tokio::select! {
        error = server.failed() => return Err(error),
        () = told_to_stop() => {}
    }
    tracing::info!("stopping");
    server.stop().await
}

/// Completes when the process gets SIGINT or SIGTERM.
pub async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("the process may set signal handlers");
    let mut interrupt = signal(SignalKind::interrupt()).expect("the process may set signal handlers");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
