//! Whether the server lives and is ready, and what is answered where nothing is.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::{Either, select};
use tokio::sync::Mutex;

use crate::http::problem::Problem;
use crate::service::Lake;
use crate::service::check;
use crate::service::view::{Health, HealthCheck, Readiness};

/// How long the catalog may take to show that it is well.
const CATALOG_SPAN_MAX: Duration = Duration::from_secs(2);
/// How long an answer is good for: anybody may ask.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Ready {
    lake: Arc<Lake>,
    last: Arc<Mutex<Option<(Duration, Readiness)>>>,
}

/// `/health` and what is below it; open to everybody.
pub fn router(lake: Arc<Lake>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(Ready { lake, last: Arc::default() })
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Answers once the server is ready; it does not listen before.
async fn health(State(ready): State<Ready>) -> Json<Health> {
    // Why is for those who may ask for the policies.
    let refused = ready.lake.judge.refused().map(|_| "a change of the policies was refused: see `dapple policy show`");
    let notes = refused.into_iter().map(str::to_owned).collect();
    Json(Health { status: "ready".to_owned(), version: version(), notes })
}

/// Answers as long as the process can answer anything. Whoever gets no answer may start it again.
async fn live() -> Json<Health> {
    Json(Health { status: "live".to_owned(), version: version(), notes: Vec::new() })
}

/// Tells whether requests can be served. Whoever hears that they cannot may send them elsewhere.
async fn ready(State(ready): State<Ready>) -> Response {
    let readiness = ready.look().await;
    let status = if readiness.status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

impl Ready {
    async fn look(&self) -> Readiness {
        let mut last = self.last.lock().await;
        let clock = self.lake.catalog.clock();
        if let Some((at, readiness)) = &*last
            && clock.monotonic().saturating_sub(*at) < LOOK_EVERY
        {
            return readiness.clone();
        }
        let answers = std::pin::pin!(check::catalog_answers(&self.lake.catalog));
        let detail = match select(answers, clock.sleep(CATALOG_SPAN_MAX)).await {
            Either::Left((Ok(()), _)) => None,
            Either::Left((Err(error), _)) => Some(error.to_string()),
            Either::Right(_) => Some(format!("it did not answer within {} seconds", CATALOG_SPAN_MAX.as_secs())),
        };
        let status = if detail.is_none() { "ready" } else { "unready" };
        let catalog = HealthCheck { name: "catalog".to_owned(), ok: detail.is_none(), detail };
        let readiness = Readiness { status: status.to_owned(), version: version(), checks: vec![catalog] };
        *last = Some((clock.monotonic(), readiness.clone()));
        readiness
    }
}

/// Nothing is served under this path.
pub(super) async fn no_such_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-route", "the API has nothing under this path")
}

/// Something is served under this path, but not with this method.
pub(super) async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-method", "this path does not take this method")
}
