//! `/accounts`, with their members, keys, passwords, limits and usage; `/sessions`; `/whoami`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::fault::Fault as _;
use crate::http::body::JsonBody;
use crate::http::peer::Peer;
use crate::http::problem::Problem;
use crate::http::request::{Asking, Wanted, WantedPage, bearer};
use crate::model::account::AccountName;
use crate::service::Lake;
use crate::service::accounts::{keys, limits, manage, members, passwords, sessions};
use crate::service::error::ServiceError;
use crate::service::view::{
    AccountChange, AccountView, KeyView, LimitView, MadeKey, MemberView, NewAccount, NewKey, NewLimit, NewMember,
    NewPassword, NewSession, Page, SessionView, UsageView, WhoView,
};

type Answer<T> = Result<Json<T>, Problem>;
type Made<T> = Result<(StatusCode, Json<T>), Problem>;

fn read(name: &str) -> Result<AccountName, ServiceError> {
    // What cannot be a name names nothing.
    AccountName::parse(name).map_err(|_| ServiceError::not_found("account", name))
}

/// Too many guesses are told apart from a lake that is down.
fn guarded(error: ServiceError) -> Problem {
    let is_many = error.code() == "too-many-logins";
    let problem = Problem::from(error);
    if is_many { problem.with_status(StatusCode::TOO_MANY_REQUESTS) } else { problem }
}

pub(super) async fn list(Asking(ctx): Asking, WantedPage(page): WantedPage) -> Answer<Page<AccountView>> {
    Ok(Json(manage::list(&ctx, page).await?))
}

pub(super) async fn add(Asking(ctx): Asking, JsonBody(new): JsonBody<NewAccount>) -> Made<AccountView> {
    Ok((StatusCode::CREATED, Json(manage::add(&ctx, new).await?)))
}

pub(super) async fn show(Asking(ctx): Asking, Path(name): Path<String>) -> Answer<AccountView> {
    Ok(Json(manage::show(&ctx, &read(&name)?).await?))
}

pub(super) async fn change(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    JsonBody(change): JsonBody<AccountChange>,
) -> Answer<AccountView> {
    Ok(Json(manage::change(&ctx, &read(&name)?, change).await?))
}

pub(super) async fn members(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    WantedPage(page): WantedPage,
) -> Answer<Page<MemberView>> {
    Ok(Json(members::list(&ctx, &read(&name)?, page).await?))
}

pub(super) async fn add_member(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    JsonBody(new): JsonBody<NewMember>,
) -> Made<MemberView> {
    Ok((StatusCode::CREATED, Json(members::add(&ctx, &read(&name)?, new).await?)))
}

pub(super) async fn remove_member(
    Asking(ctx): Asking,
    Path((name, member)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    members::remove(&ctx, &read(&name)?, &read(&member)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn keys(Asking(ctx): Asking, Path(name): Path<String>) -> Answer<Page<KeyView>> {
    Ok(Json(keys::list(&ctx, &read(&name)?).await?))
}

pub(super) async fn add_key(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    JsonBody(new): JsonBody<NewKey>,
) -> Made<MadeKey> {
    Ok((StatusCode::CREATED, Json(keys::add(&ctx, &read(&name)?, new).await?)))
}

pub(super) async fn revoke_key(
    Asking(ctx): Asking,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    keys::revoke(&ctx, &read(&name)?, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn set_password(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    Peer(peer): Peer,
    JsonBody(new): JsonBody<NewPassword>,
) -> Result<StatusCode, Problem> {
    passwords::set(&ctx, &read(&name)?, new, peer).await.map_err(guarded)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove_password(Asking(ctx): Asking, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    passwords::remove(&ctx, &read(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn limits(Asking(ctx): Asking, Path(name): Path<String>) -> Answer<Page<LimitView>> {
    Ok(Json(limits::list(&ctx, &read(&name)?).await?))
}

pub(super) async fn set_limit(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    JsonBody(new): JsonBody<NewLimit>,
) -> Answer<LimitView> {
    Ok(Json(limits::set(&ctx, &read(&name)?, new).await?))
}

/// Which limit.
#[derive(Debug, Deserialize)]
pub(super) struct On {
    on: String,
}

pub(super) async fn remove_limit(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    Wanted(limit): Wanted<On>,
) -> Result<StatusCode, Problem> {
    limits::remove(&ctx, &read(&name)?, &limit.on).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn usage(Asking(ctx): Asking, Path(name): Path<String>) -> Answer<UsageView> {
    Ok(Json(limits::usage(&ctx, &read(&name)?).await?))
}

/// The one route that takes no key: who signs in has none yet.
pub(super) async fn sign_in(
    State(lake): State<Arc<Lake>>,
    Peer(peer): Peer,
    JsonBody(new): JsonBody<NewSession>,
) -> Made<SessionView> {
    let session = sessions::begin(&lake, new, peer).await.map_err(guarded)?;
    Ok((StatusCode::CREATED, Json(session)))
}

pub(super) async fn sign_out(Asking(ctx): Asking, headers: HeaderMap) -> Result<StatusCode, Problem> {
    let token = headers.get(header::AUTHORIZATION).and_then(bearer).unwrap_or_default();
    sessions::end(&ctx, token).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn whoami(Asking(ctx): Asking) -> Json<WhoView> {
    Json(manage::whoami(&ctx))
}
