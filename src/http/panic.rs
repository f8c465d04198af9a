//! A panic in a handler: logged once, answered as a problem, and the server goes on.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;

use crate::http::problem::Problem;
use crate::http::request::current_id;

/// Answers a request whose handler panics with a problem.
pub async fn caught(request: Request, next: Next) -> Response {
    // What the handler held is dropped while it unwinds; what it shares is behind locks that say so.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let (id, what) = (current_id(), words(&*panic));
            tracing::error!(request.id = %id, "request {id} failed: a defect of dapple: {what}");
            let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "defect", "dapple has a defect");
            problem.hint("report it with the request id; the server's log says more").into_response()
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;

    use super::*;
    use crate::clock::SystemClock;
    use crate::http::request::with_id;
    use crate::service::view::ProblemView;

    #[tokio::test]
    async fn a_panic_is_a_problem_and_the_server_goes_on() {
        async fn panics() -> &'static str {
            panic!("out of cheese")
        }
        let clock = SystemClock::shared();
        let router = Router::new()
            .route("/panics", get(panics))
            .route("/goes", get(async || "on"))
            .layer(from_fn(caught))
            .layer(from_fn(move |request, next| with_id(clock.clone(), request, next)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let http = crate::net::builder().build().expect("a client");
        let answer = http.get(format!("{url}/panics")).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: ProblemView = answer.json().await.expect("a problem");
        assert_eq!((problem.code.as_str(), problem.request_id.len()), ("defect", 26));
        assert!(!problem.detail.contains("cheese"), "what broke is for the log");
        let answer = http.get(format!("{url}/goes")).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        serving.abort();
    }
}
