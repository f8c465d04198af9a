//! Serves a lake: listens, works in the background, and stops in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use futures::future::{Either, select};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::build::{self, Opened};
use crate::app::error::AppError;
use crate::app::policies;
use crate::http::peer::with_peer;
use crate::http::problem::Problem;
use crate::http::request::with_id;
use crate::service::Lake;
use crate::workers::board::Board;
use crate::workers::{duties, runner};
use crate::{api, gateway};

/// How long a stop waits for requests and workers to finish what they are doing.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `dapple serve` is told.
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

/// A server that is up.
pub struct Server {
    /// The admin's API key.
    pub admin_key: String,
    /// Whether the lake is new.
    pub is_new: bool,
    /// Its address as a URL.
    pub url: String,
    lake: Arc<Lake>,
    workers: runner::Running,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
    follower: Option<JoinHandle<()>>,
}

/// Starts a server; it is ready when this returns.
pub async fn start(args: ServeArgs) -> Result<Server, AppError> {
    let address = args.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, source })?;
    let bound = listener.local_addr().map_err(|source| AppError::Listen { address, source })?;
    let url = format!("http://{bound}");
    let public_url = args.public_url.map_or_else(|| url.clone(), |url| url.trim_end_matches('/').to_owned());
    let judge = policies::judge(args.policies.as_deref())?;
    let Opened { lake, admin_key, is_new } = build::open(&args.dir, public_url, judge).await?;
    let clock = lake.catalog.clock();
    let follower =
        args.policies.map(|directory| policies::follow(directory, Arc::clone(&lake.judge), Arc::clone(clock)));
    let board = Board::default();
    let workers = runner::start(&lake.catalog, &board, duties::all(&lake));
    let (stop, stopped) = watch::channel(false);
    let router = doors(&lake, &board);
    let serving = tokio::spawn(async move {
        let stopping = async move {
            let mut stopped = stopped;
            // An error means that the sender is gone, which is a stop as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(stopping)
            .await
    });
    Ok(Server { admin_key, is_new, url, lake, workers, stop, serving, follower })
}

/// All doors of a lake.
fn doors(lake: &Arc<Lake>, board: &Board) -> Router {
    let clock = lake.catalog.clock().clone();
    api::router(Arc::clone(lake), board.clone())
        .merge(gateway::router(Arc::clone(lake)))
        .fallback(nothing_here)
        .layer(middleware::from_fn(with_peer))
        .layer(middleware::from_fn(move |request, next| with_id(clock.clone(), request, next)))
}

/// Nothing is served under the path that was asked for.
async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-route", "nothing is served under this path")
}

impl Server {
    /// Waits until serving fails by itself.
    pub async fn failed(&mut self) -> AppError {
        match (&mut self.serving).await {
            Ok(Ok(())) => AppError::Serve(std::io::Error::other("it stopped by itself")),
            Ok(Err(error)) => AppError::Serve(error),
            Err(error) => AppError::Serve(std::io::Error::other(error)),
        }
    }

    /// Stops in order: no new requests, those under way and workers finish, the catalog closes.
    pub async fn stop(self) -> Result<(), AppError> {
        self.stop.send_replace(true);
        if let Some(follower) = &self.follower {
            follower.abort();
        }
        let serving = self.serving;
        let abort = serving.abort_handle();
        let patience = self.lake.catalog.clock().sleep(PATIENCE);
        if let Either::Right(_) = select(serving, patience).await {
            tracing::warn!("some requests did not finish within {PATIENCE:?} and were broken off");
            abort.abort();
        }
        self.workers.stop(PATIENCE).await;
        self.lake.catalog.close().await?;
        Ok(())
    }
}

/// Serves until the process is told to stop.
pub async fn run(args: ServeArgs) -> Result<(), AppError> {
    let directory = args.dir.clone();
    let mut server = start(args).await?;
    if server.is_new {
        let file = directory.join("admin.key");
        tracing::info!("made a new lake; its admin key is in {}", file.display());
        eprintln!("admin key (shown this once): {}", server.admin_key);
    }
    tracing::info!("serving {} on {}", directory.display(), server.url);
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
