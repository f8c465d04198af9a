//! The native REST API, `/api/v1`. Handlers are short: extract, call one service function, answer
//! with its view.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::FromRef;
use axum::http::header;
use axum::middleware::from_fn;
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::panic::caught;
use crate::http::terms::{UnderWay, once_by_key};
use crate::service::Lake;
use crate::workers::board::Board;

mod accounts;
mod backup;
mod bulk;
mod changes;
mod check;
mod dids;
mod endpoints;
pub mod health;
mod index;
mod metadata;
pub mod metrics;
mod openapi;
mod policy;
mod replicas;
mod rules;
mod scopes;
pub mod stac;
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

/// Routes whose changes are carried out once by `Idempotency-Key`, and those that only read.
fn plain() -> OpenApiRouter<Doors> {
    OpenApiRouter::default()
        .routes(routes!(scopes::list, scopes::add))
        .routes(routes!(scopes::show, scopes::change))
        .routes(routes!(endpoints::list, endpoints::add))
        .routes(routes!(endpoints::show, endpoints::change))
        .routes(routes!(endpoints::probe))
        .routes(routes!(endpoints::accept_audit))
        .routes(routes!(dids::create))
        .routes(routes!(dids::list))
        .routes(routes!(dids::show, dids::change))
        .routes(routes!(dids::history))
        .routes(routes!(dids::coverage))
        .routes(routes!(dids::contents, dids::attach, dids::detach))
        .routes(routes!(metadata::show, metadata::replace, metadata::patch))
        .routes(routes!(replicas::list))
        .routes(routes!(replicas::declare_bad))
        .routes(routes!(rules::list, rules::create))
        .routes(routes!(rules::show, rules::change, rules::remove))
        .routes(routes!(rules::explain))
        .routes(routes!(rules::retry))
        .routes(routes!(transfers::list))
        .routes(routes!(changes::list))
        .routes(routes!(check::check))
        .routes(routes!(index::status))
        .routes(routes!(index::rebuild))
        .routes(routes!(workers::list))
        .routes(routes!(workers::pause))
        .routes(routes!(workers::resume))
        .routes(routes!(policy::show))
        .routes(routes!(policy::labels_of_scope, policy::label_scope))
        .routes(routes!(policy::labels_of_did, policy::label_did))
        .merge(of_accounts())
}

/// Who is let in.
fn of_accounts() -> OpenApiRouter<Doors> {
    OpenApiRouter::default()
        .routes(routes!(accounts::list, accounts::add))
        .routes(routes!(accounts::show, accounts::change))
        .routes(routes!(accounts::members, accounts::add_member))
        .routes(routes!(accounts::remove_member))
        .routes(routes!(accounts::revoke_key))
        .routes(routes!(accounts::limits, accounts::set_limit, accounts::remove_limit))
        .routes(routes!(accounts::usage))
        .routes(routes!(accounts::whoami))
}

/// Routes of streams, of announcements, of URLs and of questions, which need no key: sent again, they
/// do again what they did. And those of secrets, whose answers are kept nowhere.
fn repeatable() -> OpenApiRouter<Doors> {
    OpenApiRouter::default()
        .routes(routes!(backup::read, backup::send))
        .routes(routes!(replicas::register))
        .routes(routes!(bulk::create))
        .routes(routes!(bulk::attach, bulk::detach))
        .routes(routes!(metadata::patch_many))
        .routes(routes!(uploads::announce))
        .routes(routes!(urls::mint))
        .routes(routes!(policy::check))
        .routes(routes!(policy::explain))
        .routes(routes!(accounts::keys, accounts::add_key))
        .routes(routes!(accounts::set_password, accounts::remove_password))
        .routes(routes!(accounts::sign_in))
        .routes(routes!(accounts::sign_out))
}

/// The routes below `/api/v1` and what describes them.
fn described() -> (Router<Doors>, Router<Doors>, OpenApi) {
    let (plain, keyed) = plain().split_for_parts();
    let (repeatable, rest) = repeatable().split_for_parts();
    let mut api = openapi::beginning();
    api.merge(openapi::with_key(keyed));
    api.merge(rest);
    let below = OpenApiRouter::<Doors>::with_openapi(openapi::complete(api));
    let api = OpenApiRouter::<Doors>::with_openapi(openapi::beginning()).nest("/api/v1", below).into_openapi();
    (plain, repeatable, api)
}

/// What `/api/v1/openapi.json` answers.
pub fn description() -> OpenApi {
    described().2
}

/// All routes of the API, and `/health`.
pub fn router(lake: Arc<Lake>, board: Board) -> Router {
    let (plain, repeatable, api) = described();
    let (keyed, under_way) = (Arc::clone(&lake), UnderWay::default());
    let plain = plain
        .route_layer(from_fn(move |request, next| once_by_key(Arc::clone(&keyed), under_way.clone(), request, next)));
    let text = Bytes::from(api.to_pretty_json().expect("the description has text keys only"));
    let json = [(header::CONTENT_TYPE, "application/json")];
    let v1 = plain
        .merge(repeatable)
        .route("/openapi.json", get(async move || (json, text.clone())))
        .fallback(health::no_such_route)
        .method_not_allowed_fallback(health::no_such_method);
    Router::new()
        .nest("/api/v1", v1)
        .with_state(Doors { lake: Arc::clone(&lake), board })
        .merge(health::router(lake))
        .layer(from_fn(caught))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_is_what_it_was() {
        insta::assert_snapshot!(super::description().to_pretty_json().expect("JSON"));
    }
}
