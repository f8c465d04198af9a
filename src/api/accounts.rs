//! `/accounts`, with their members, keys, passwords, limits and usage; `/sessions`; `/whoami`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::fault::Fault as _;
use crate::http::answer::{WantedList, done, done_untagged, gone, made_of, shown};
use crate::http::body::{JsonBody, JsonIfAny, StrangersJson};
use crate::http::peer::Peer;
use crate::http::problem::Problem;
use crate::http::request::{Asking, PageQuery, Wanted, bearer};
use crate::http::terms::{Changing, ChangingSeen, Signing, Unkept};
use crate::model::account::AccountName;
use crate::service::Lake;
use crate::service::accounts::{keys, limits, manage, members, passwords, sessions};
use crate::service::error::ServiceError;
use crate::service::terms::Made;
use crate::service::view::{
    AccountChange, AccountView, KeyView, LimitView, MadeKey, MemberView, NewAccount, NewKey, NewLimit, NewMember,
    NewPassword, NewSession, Page, PasswordRemoval, SessionView, UsageView, WhoView,
};

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

/// Lists accounts by name: all for an admin; for others, themselves and the groups they are in.
#[utoipa::path(get, path = "/accounts", params(PageQuery), responses((status = 200, body = Page<AccountView>)), tag = "accounts", operation_id = "list_accounts")]
pub(super) async fn list(Asking(ctx): Asking, want: WantedList) -> Result<Response, Problem> {
    want.answer(move |page| {
        let ctx = ctx.clone();
        async move { manage::list(&ctx, page).await }
    })
    .await
}

/// Adds an account.
#[utoipa::path(post, path = "/accounts", request_body = NewAccount, responses((status = 201, body = AccountView)), tag = "accounts", operation_id = "add_account")]
pub(super) async fn add(Changing(ctx): Changing, JsonBody(new): JsonBody<NewAccount>) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::New, &manage::add(&ctx, new).await?))
}

/// Shows an account: any to an admin; to others, themselves and the groups they are in.
#[utoipa::path(get, path = "/accounts/{name}", params(("name" = AccountName, Path, description = "The account")), responses((status = 200, body = AccountView), (status = 304)), tag = "accounts", operation_id = "show_account")]
pub(super) async fn show(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(shown(&headers, &manage::show(&ctx, &read(&name)?).await?))
}

/// Changes an account. Everybody may change how they can be reached and described, admins the rest.
#[utoipa::path(patch, path = "/accounts/{name}", params(("name" = AccountName, Path, description = "The account")), request_body = AccountChange, responses((status = 200, body = AccountView), (status = 412)), tag = "accounts", operation_id = "change_account")]
pub(super) async fn change(
    ChangingSeen(ctx): ChangingSeen,
    Path(name): Path<String>,
    JsonBody(change): JsonBody<AccountChange>,
) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &manage::change(&ctx, &read(&name)?, change).await?))
}

/// Lists the members of a group by name, to admins and to who is in it.
#[utoipa::path(get, path = "/accounts/{name}/members", params(("name" = AccountName, Path, description = "The account"), PageQuery), responses((status = 200, body = Page<MemberView>)), tag = "accounts", operation_id = "list_members")]
pub(super) async fn members(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    want: WantedList,
) -> Result<Response, Problem> {
    let name = read(&name)?;
    want.answer(move |page| {
        let (ctx, name) = (ctx.clone(), name.clone());
        async move { members::list(&ctx, &name, page).await }
    })
    .await
}

/// Adds a member to a group; one that is in it already changes nothing.
#[utoipa::path(post, path = "/accounts/{name}/members", params(("name" = AccountName, Path, description = "The account")), request_body = NewMember, responses((status = 201, body = MemberView)), tag = "accounts", operation_id = "add_member")]
pub(super) async fn add_member(
    Changing(ctx): Changing,
    Path(name): Path<String>,
    JsonBody(new): JsonBody<NewMember>,
) -> Result<Response, Problem> {
    Ok(done_untagged(&ctx, Made::New, &members::add(&ctx, &read(&name)?, new).await?))
}

/// Takes a member out of a group.
#[utoipa::path(delete, path = "/accounts/{name}/members/{member}", params(("name" = AccountName, Path, description = "The account"), ("member" = AccountName, Path, description = "The member")), responses((status = 204, description = "It is no member")), tag = "accounts", operation_id = "remove_member")]
pub(super) async fn remove_member(
    Changing(ctx): Changing,
    Path((name, member)): Path<(String, String)>,
) -> Result<Response, Problem> {
    members::remove(&ctx, &read(&name)?, &read(&member)?).await?;
    Ok(gone(&ctx))
}

/// Lists an account's API keys, without the keys themselves.
#[utoipa::path(get, path = "/accounts/{name}/keys", params(("name" = AccountName, Path, description = "The account")), responses((status = 200, body = Page<KeyView>)), tag = "accounts", operation_id = "list_keys")]
pub(super) async fn keys(Asking(ctx): Asking, Path(name): Path<String>) -> Result<Json<Page<KeyView>>, Problem> {
    Ok(Json(keys::list(&ctx, &read(&name)?).await?))
}

/// Makes an API key, for oneself or, as an admin, for another account. The key is told this once and
/// kept nowhere, so this takes no `Idempotency-Key`; in a dry run there is none.
#[utoipa::path(post, path = "/accounts/{name}/keys", params(("name" = AccountName, Path, description = "The account")), request_body = NewKey, responses((status = 201, body = MadeKey)), tag = "accounts", operation_id = "add_key")]
pub(super) async fn add_key(
    Unkept(ctx): Unkept,
    Path(name): Path<String>,
    JsonBody(new): JsonBody<NewKey>,
) -> Result<Response, Problem> {
    Ok(done_untagged(&ctx, Made::New, &keys::add(&ctx, &read(&name)?, new).await?))
}

/// Revokes an API key; it opens nothing from now on.
#[utoipa::path(delete, path = "/accounts/{name}/keys/{id}", params(("name" = AccountName, Path, description = "The account"), ("id" = String, Path, description = "Its id, as lists show it")), responses((status = 204, description = "It opens nothing any more")), tag = "accounts", operation_id = "revoke_key")]
pub(super) async fn revoke_key(
    Changing(ctx): Changing,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    keys::revoke(&ctx, &read(&name)?, &id).await?;
    Ok(gone(&ctx))
}

/// Sets a password: one's own, or, as an admin, another's. All sessions of the account end. No trace of
/// a password is kept, so this takes no `Idempotency-Key`: sent again, it sets the same.
#[utoipa::path(put, path = "/accounts/{name}/password", params(("name" = AccountName, Path, description = "The account")), request_body = NewPassword, responses((status = 204, description = "It is set")), tag = "accounts", operation_id = "set_password")]
pub(super) async fn set_password(
    Unkept(ctx): Unkept,
    Path(name): Path<String>,
    Peer(peer): Peer,
    JsonBody(new): JsonBody<NewPassword>,
) -> Result<Response, Problem> {
    passwords::set(&ctx, &read(&name)?, new, peer).await.map_err(guarded)?;
    Ok(gone(&ctx))
}

/// Removes a password: one's own, by saying what it was, or, as an admin, another's. The account cannot
/// sign in with one from now on, and its sessions end. Takes no `Idempotency-Key`, as setting one.
#[utoipa::path(delete, path = "/accounts/{name}/password", params(("name" = AccountName, Path, description = "The account")), request_body = Option<PasswordRemoval>, responses((status = 204, description = "There is none")), tag = "accounts", operation_id = "remove_password")]
pub(super) async fn remove_password(
    Unkept(ctx): Unkept,
    Path(name): Path<String>,
    Peer(peer): Peer,
    JsonIfAny(removal): JsonIfAny<PasswordRemoval>,
) -> Result<Response, Problem> {
    passwords::remove(&ctx, &read(&name)?, removal.unwrap_or_default(), peer).await.map_err(guarded)?;
    Ok(gone(&ctx))
}

/// Lists an account's limits.
#[utoipa::path(get, path = "/accounts/{name}/limits", params(("name" = AccountName, Path, description = "The account")), responses((status = 200, body = Page<LimitView>)), tag = "accounts", operation_id = "list_limits")]
pub(super) async fn limits(Asking(ctx): Asking, Path(name): Path<String>) -> Result<Json<Page<LimitView>>, Problem> {
    Ok(Json(limits::list(&ctx, &read(&name)?).await?))
}

/// Sets a limit; one on the same expression is replaced. What is held already stays.
#[utoipa::path(put, path = "/accounts/{name}/limits", params(("name" = AccountName, Path, description = "The account")), request_body = NewLimit, responses((status = 200, body = LimitView)), tag = "accounts", operation_id = "set_limit")]
pub(super) async fn set_limit(
    Changing(ctx): Changing,
    Path(name): Path<String>,
    JsonBody(new): JsonBody<NewLimit>,
) -> Result<Response, Problem> {
    Ok(done_untagged(&ctx, Made::Changed, &limits::set(&ctx, &read(&name)?, new).await?))
}

/// Which limit.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct On {
    /// The endpoint expression of the limit.
    on: String,
}

/// Removes a limit.
#[utoipa::path(delete, path = "/accounts/{name}/limits", params(("name" = AccountName, Path, description = "The account"), On), responses((status = 204, description = "There is none")), tag = "accounts", operation_id = "remove_limit")]
pub(super) async fn remove_limit(
    Changing(ctx): Changing,
    Path(name): Path<String>,
    Wanted(limit): Wanted<On>,
) -> Result<Response, Problem> {
    limits::remove(&ctx, &read(&name)?, &limit.on).await?;
    Ok(gone(&ctx))
}

/// Shows what an account's rules hold, and may hold.
#[utoipa::path(get, path = "/accounts/{name}/usage", params(("name" = AccountName, Path, description = "The account")), responses((status = 200, body = UsageView)), tag = "accounts", operation_id = "show_usage")]
pub(super) async fn usage(Asking(ctx): Asking, Path(name): Path<String>) -> Result<Json<UsageView>, Problem> {
    Ok(Json(limits::usage(&ctx, &read(&name)?).await?))
}

/// Signs in with a password. The one route that needs no API key: who signs in has none yet. The token
/// is told this once, so this takes no `Idempotency-Key`; in a dry run there is none.
#[utoipa::path(post, path = "/sessions", request_body = NewSession, responses((status = 201, body = SessionView)), security(()), tag = "accounts", operation_id = "sign_in")]
pub(super) async fn sign_in(
    State(lake): State<Arc<Lake>>,
    Signing { dry_run }: Signing,
    Peer(peer): Peer,
    StrangersJson(new): StrangersJson<NewSession>,
) -> Result<Response, Problem> {
    let session = sessions::begin(&lake, new, peer, dry_run).await.map_err(guarded)?;
    Ok(made_of(dry_run, Made::New, &session))
}

/// Signs out: ends the session whose token was sent. Takes no `Idempotency-Key`: sent again, there is no
/// session that could ask.
#[utoipa::path(delete, path = "/sessions/current", responses((status = 204, description = "It has ended")), tag = "accounts", operation_id = "sign_out")]
pub(super) async fn sign_out(Unkept(ctx): Unkept, headers: HeaderMap) -> Result<Response, Problem> {
    let token = headers.get(header::AUTHORIZATION).and_then(bearer).unwrap_or_default();
    sessions::end(&ctx, token).await?;
    Ok(gone(&ctx))
}

/// Says who asks.
#[utoipa::path(get, path = "/whoami", responses((status = 200, body = WhoView)), tag = "accounts", operation_id = "whoami")]
pub(super) async fn whoami(Asking(ctx): Asking) -> Json<WhoView> {
    Json(manage::whoami(&ctx))
}
