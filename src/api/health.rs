//! Whether the server is ready, and what is answered where nothing is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::http::problem::Problem;
use crate::service::Lake;
use crate::service::view::Health;

/// Answers once the server is ready; it does not listen before.
pub(super) async fn health(State(lake): State<Arc<Lake>>) -> Json<Health> {
    // Why is for those who may ask for the policies.
    let refused = lake.judge.refused().map(|_| "a change of the policies was refused: see `dapple policy show`");
    let notes = refused.into_iter().map(str::to_owned).collect();
    Json(Health { status: "ready".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), notes })
}

/// Nothing is served under this path.
pub(super) async fn no_such_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-route", "the API has nothing under this path")
}

/// Something is served under this path, but not with this method.
pub(super) async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-method", "this path does not take this method")
}
