//! `--watch`: what is shown again, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser as _;
use serde_json::json;

use crate::cli::screen::{Format, Screen};
use crate::cli::tests::lake::Printed;
use crate::cli::{Cli, Session, dispatch};
use crate::client::Client;
use crate::clock::SystemClock;

/// Watches workers whose number of runs is as told, look by look, until it is refused.
async fn watched(runs: &'static [Option<u64>], format: Format, terminal: bool) -> (String, u8) {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = async move || {
        let gone = axum::http::StatusCode::SERVICE_UNAVAILABLE;
        match runs.get(asked.fetch_add(1, Ordering::SeqCst)) {
            Some(Some(runs)) => {
                Json(json!({"items": [{"name": "fold", "state": "idle", "runs": runs}]})).into_response()
            }
            Some(None) => gone.into_response(),
            None => axum::http::StatusCode::FORBIDDEN.into_response(),
        }
    };
    let router = Router::new().route("/api/v1/workers", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (clock, printed) = (SystemClock::shared(), Printed::default());
    let screen = Screen::of_test(format, terminal, clock.clone(), Box::new(printed.clone()));
    let client = Client::new(&url, None, clock).expect("a good address").with_pauses(Vec::new());
    let cli = Cli::try_parse_from(["dapple", "worker", "list", "--watch=0.1"]).expect("a good command line");
    let mut session = Session { client, screen };
    let outcome = dispatch(cli.command, &mut session).await;
    (printed.text(), outcome.expect_err("a refusal ends it").exit_code())
}

#[tokio::test]
async fn a_watch_shows_each_change_once_and_outlives_a_server_that_is_away() {
    let runs = &[Some(1), Some(1), None, None, Some(1), Some(2), Some(2), Some(3)];
    let (table, json, drawn) = tokio::join!(
        watched(runs, Format::Table, false),
        watched(runs, Format::Ndjson, false),
        watched(runs, Format::Table, true),
    );
    let row = |runs: u64| format!("fold\tidle\t{runs}\t-\t-\n");
    assert_eq!(table, ([row(1), row(2), row(3)].join("\n"), 5), "blocks with an empty line between them");
    assert_eq!(json.0.lines().count(), 3, "{}", json.0);
    // A test's output is no real terminal, so nothing is drawn over; the tables are a person's.
    assert_eq!(drawn.0.matches("NAME").count(), 3, "{}", drawn.0);
    let never = watched(&[None], Format::Table, false).await;
    assert_eq!(never, (String::new(), 8), "what was never there is not waited for");
}

#[test]
fn how_often_is_said_with_an_equals_sign_or_not_at_all() {
    for line in [
        "ls s:d --watch",
        "ls s: --watch=0.5",
        "did show s:d --watch",
        "did history s:d --watch=10",
        "did coverage s:d --watch",
        "endpoint list --watch",
        "endpoint show x --watch",
        "rule list --watch --did s:d",
        "rule show --watch 01J00000000000000000000000",
        "rule explain 01J00000000000000000000000 --watch",
        "transfer list --watch --state failed",
        "worker list --watch=3600",
    ] {
        Cli::try_parse_from(format!("dapple {line}").split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    for line in ["worker list --watch=0", "worker list --watch=soon", "worker list --watch 2", "did list s --watch"] {
        assert!(Cli::try_parse_from(format!("dapple {line}").split(' ')).is_err(), "{line}");
    }
}
