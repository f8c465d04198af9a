//! Finds out who asks, from the key or session token that was sent, and from where it came.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::record::accounts::ApiKeyRecord;
use crate::catalog::record::{Accounts, ApiKeyUses, ApiKeys, Sessions};
use crate::catalog::{CatalogError, View, subjects};
use crate::model::account::{AccountName, Principal};
use crate::model::api_key::KeyReach;
use crate::model::time::Timestamp;
use crate::service::accounts::fingerprint;
use crate::service::error::ServiceError;
use crate::service::{Context, Lake};

/// How session tokens begin.
pub(super) const SESSION_PREFIX: &str = "dapples_";
/// How long a key's last use may be older than it says.
const USE_NOTED_EVERY: Duration = Duration::from_mins(1);
/// The most groups above one account.
pub(super) const GROUPS_MAX: usize = 1_000;

/// Where a request came from; `None` where a door cannot tell.
pub type Peer = Option<IpAddr>;

/// What somebody showed to be let in, as the lake keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Shown {
    fingerprint: String,
    is_session: bool,
    peer: Peer,
}

/// Finds out who asks, from the API key or session token they sent.
pub async fn authenticate(lake: &Arc<Lake>, bearer: &str, peer: Peer) -> Result<Context, ServiceError> {
    let view = lake.catalog.view().await?;
    let (fingerprint, is_session) = (fingerprint(bearer), bearer.starts_with(SESSION_PREFIX));
    let shown = Shown { fingerprint, is_session, peer };
    let principal = let_in(lake, &view, &shown).await?;
    if !is_session {
        note_use(lake, &view, &shown.fingerprint, lake.catalog.clock().now()).await?;
    }
    Ok(Context { shown: Some(shown), ..Context::new(Arc::clone(lake), principal) })
}

/// The same request with what its account and its key may do by now; fails if they are let in no more.
pub async fn renewed(ctx: &Context) -> Result<Context, ServiceError> {
    let Some(shown) = &ctx.shown else { return Ok(ctx.clone()) };
    let view = ctx.lake.catalog.view().await?;
    let principal = let_in(&ctx.lake, &view, shown).await?;
    Ok(Context { principal, ..ctx.clone() })
}

/// Lets in whoever shows what is good at this moment.
async fn let_in(lake: &Lake, view: &View, shown: &Shown) -> Result<Principal, ServiceError> {
    let (row, now) = ((shown.fingerprint.clone(),), lake.catalog.clock().now());
    if shown.is_session {
        let session = view.get::<Sessions>(&row).await?.filter(|session| session.expires_at > now);
        let session = session.ok_or(ServiceError::Unauthenticated("the session has ended"))?;
        return principal(view, session.account, KeyReach::whole(), Some(session.created_at)).await;
    }
    let key = view.get::<ApiKeys>(&row).await?;
    let key = key.ok_or(ServiceError::Unauthenticated("the API key is unknown"))?;
    admit(&key, shown.peer, now)?;
    principal(view, key.account, key.reach, None).await
}

/// Refuses a key that has ended, or that may not be used from where it was.
fn admit(key: &ApiKeyRecord, peer: Peer, now: Timestamp) -> Result<(), ServiceError> {
    if key.reach.ends_at.is_some_and(|end| end <= now) {
        return Err(ServiceError::Unauthenticated("the API key has expired"));
    }
    if !key.reach.admits(peer) {
        return Err(ServiceError::Unauthenticated("the API key may not be used from this address"));
    }
    Ok(())
}

/// Notes that a key was used, unless that was done a moment ago. The row is written without being
/// read in its transaction: of two writers either may win.
async fn note_use(lake: &Lake, view: &View, fingerprint: &str, now: Timestamp) -> Result<(), CatalogError> {
    let key = (fingerprint.to_owned(),);
    let noted = view.get::<ApiKeyUses>(&key).await?.map(Timestamp::from_millis);
    if noted.is_some_and(|at| now.since(at) < USE_NOTED_EVERY) {
        return Ok(());
    }
    let written = lake.catalog.transact_bulk(move |txn| {
        let key = key.clone();
        async move {
            txn.put::<ApiKeyUses>(&key, &now.as_millis());
            Ok::<_, CatalogError>(())
        }
    });
    if let Err(error) = written.await {
        // A lake that cannot be written can still be read.
        tracing::debug!("the use of a key could not be noted: {error}");
    }
    Ok(())
}

/// Everything that decisions may need to know of an account.
pub(super) async fn principal(
    view: &View,
    account: AccountName,
    key: KeyReach,
    authenticated_at: Option<Timestamp>,
) -> Result<Principal, ServiceError> {
    let record = view.get::<Accounts>(&(account.to_string(),)).await?;
    let record = record.filter(|record| record.suspended_at.is_none());
    let record = record.ok_or(ServiceError::Unauthenticated("the account is suspended"))?;
    let groups = subjects::groups(view, &account).await?;
    Ok(Principal { account, kind: record.kind, admin: record.admin, groups, key, authenticated_at })
}
