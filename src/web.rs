//! The web pages: what people see of the lake in a browser, and do there.
//!
//! Pages are whole without scripts: links and forms at real addresses, and a form's answer is a redirect.
//! Scripts, of this origin alone, only refresh, copy and switch colours. Handlers ask the service room
//! for everything, so a page shows what the API would tell the same account, and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{HeaderMap, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::http::body::STRANGERS_BYTES_MAX;
use crate::http::problem::Problem;
use crate::service::Lake;
use crate::web::desk::Desk;
use crate::web::frame::Frame;
use crate::web::oops::Oops;
use crate::workers::board::Board;

mod accounts;
mod assets;
mod data;
pub mod desk;
mod endpoints;
mod frame;
mod lots;
mod manners;
mod oops;
mod remedy;
mod rule;
mod rules;
mod search;
mod show;
mod sign_in;
mod snippets;
mod today;
mod transfers;
mod visitor;

/// What handlers can get at.
#[derive(Clone)]
struct Pages {
    lake: Arc<Lake>,
    board: Board,
    desk: Arc<Desk>,
}

impl FromRef<Pages> for Arc<Lake> {
    fn from_ref(pages: &Pages) -> Self {
        Arc::clone(&pages.lake)
    }
}

impl FromRef<Pages> for Board {
    fn from_ref(pages: &Pages) -> Self {
        pages.board.clone()
    }
}

/// What is told of a path where nothing is: a page to browsers, a problem document to programs.
pub fn nothing_here(problem: Problem, headers: &HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !accepted.is_some_and(|kinds| kinds.contains("text/html")) {
        return problem.into_response();
    }
    let mut response = Oops::from(problem).draw(Frame::default());
    manners::dress(response.headers_mut());
    response
}

/// All pages of a lake, and what they are made of.
pub fn router(lake: Arc<Lake>, board: Board, desk: Arc<Desk>) -> Router {
    let pages = Pages { lake, board, desk };
    Router::new()
        .route("/", get(today::show))
        .route("/sign-in", get(sign_in::ask).post(sign_in::begin).layer(DefaultBodyLimit::max(STRANGERS_BYTES_MAX)))
        .route("/sign-out", post(sign_in::end))
        .route("/rules", get(rules::list).post(rules::create))
        .route("/rules/new", get(rules::ask))
        .route("/rules/{id}", get(rule::show))
        .route("/rules/{id}/retry", post(rule::retry))
        .route("/rules/{id}/change", post(rule::change))
        .route("/rules/{id}/match", post(rule::make_match))
        .route("/rules/{id}/declare-bad", post(rule::declare_bad))
        .route("/rules/{id}/remove", post(rule::remove))
        .route("/endpoints", get(endpoints::list))
        .route("/endpoints/{name}", get(endpoints::show))
        .route("/endpoints/{name}/probe", post(endpoints::probe))
        .route("/endpoints/{name}/attributes", post(endpoints::set_attribute))
        .route("/data", get(data::scopes))
        .route("/data/{scope}", get(data::scope))
        .route("/data/{scope}/{*name}", get(data::show).post(data::mint))
        .route("/search", get(search::find))
        .route("/transfers", get(transfers::list))
        .route("/accounts", get(accounts::list))
        .layer(from_fn_with_state(pages.clone(), manners::keep))
        .route("/assets/{tag}/{name}", get(assets::serve))
        .with_state(pages)
}
