//! The native REST API, `/api/v1`. Handlers are short: extract, call one service function, answer
//! with its view.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{delete, get, patch, post, put};

use crate::service::Lake;
use crate::workers::board::Board;

mod accounts;
mod changes;
mod check;
mod dids;
mod endpoints;
pub mod health;
pub mod metrics;
mod policy;
mod replicas;
mod rules;
mod scopes;
mod transfers;
mod uploads;
mod urls;
mod workers;

/// What handlers can get at.
#[derive(Clone)]
struct Doors {
    lake: Arc<Lake>,
    board: Board,
}

impl FromRef<Doors> for Arc<Lake> {
    fn from_ref(doors: &Doors) -> Self {
        Arc::clone(&doors.lake)
    }
}

impl FromRef<Doors> for Board {
    fn from_ref(doors: &Doors) -> Self {
        doors.board.clone()
    }
}

/// All routes of the API, and `/health`.
pub fn router(lake: Arc<Lake>, board: Board) -> Router {
    let v1 = Router::new()
        .merge(account_routes())
        .route("/scopes", get(scopes::list).post(scopes::add))
        .route("/scopes/{scope}", patch(scopes::change))
        .route("/endpoints", get(endpoints::list).post(endpoints::add))
        .route("/endpoints/{name}", get(endpoints::show).patch(endpoints::change))
        .route("/endpoints/{name}/probe", post(endpoints::probe))
        .route("/dids", post(dids::create))
        .route("/dids/{scope}", get(dids::list))
        .route("/dids/{scope}/{*name}", get(dids::show))
        .route("/contents/{scope}/{*name}", get(dids::contents).post(dids::attach).delete(dids::detach))
        .route("/replicas", post(replicas::register))
        .route("/replicas/{scope}/{*name}", get(replicas::list))
        .route("/bad-replicas", post(replicas::declare_bad))
        .route("/uploads", post(uploads::announce))
        .route("/rules", get(rules::list).post(rules::create))
        .route("/rules/{id}", get(rules::show).patch(rules::change).delete(rules::remove))
        .route("/rules/{id}/explanation", get(rules::explain))
        .route("/rules/{id}/retry", post(rules::retry))
        .route("/transfers", get(transfers::list))
        .route("/urls", post(urls::mint))
        .route("/policy", get(policy::show))
        .route("/policy/check", post(policy::check))
        .route("/policy/explain", post(policy::explain))
        .route("/labels/{scope}", get(policy::labels_of_scope).patch(policy::label_scope))
        .route("/labels/{scope}/{*name}", get(policy::labels_of_did).patch(policy::label_did))
        .route("/changes", get(changes::list))
        .route("/check", get(check::check))
        .route("/workers", get(workers::list))
        .route("/workers/{name}/pause", post(workers::pause))
        .route("/workers/{name}/resume", post(workers::resume))
        .fallback(health::no_such_route)
        .method_not_allowed_fallback(health::no_such_method);
    let health = health::router(Arc::clone(&lake));
    Router::new().nest("/api/v1", v1).with_state(Doors { lake, board }).merge(health)
}

/// Who is let in.
fn account_routes() -> Router<Doors> {
    Router::new()
        .route("/accounts", get(accounts::list).post(accounts::add))
        .route("/accounts/{name}", get(accounts::show).patch(accounts::change))
        .route("/accounts/{name}/members", get(accounts::members).post(accounts::add_member))
        .route("/accounts/{name}/members/{member}", delete(accounts::remove_member))
        .route("/accounts/{name}/keys", get(accounts::keys).post(accounts::add_key))
        .route("/accounts/{name}/keys/{id}", delete(accounts::revoke_key))
        .route("/accounts/{name}/password", put(accounts::set_password).delete(accounts::remove_password))
        .route("/accounts/{name}/limits", get(accounts::limits).put(accounts::set_limit).delete(accounts::remove_limit))
        .route("/accounts/{name}/usage", get(accounts::usage))
        .route("/sessions", post(accounts::sign_in))
        .route("/sessions/current", delete(accounts::sign_out))
        .route("/whoami", get(accounts::whoami))
}
