//! Sessions: signing in with a password gives a token that stands for it for a while.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::record::accounts::SessionRecord;
use crate::catalog::record::{Accounts, Passwords, Sessions, SessionsByAccount};
use crate::catalog::{CatalogError, Txn};
use crate::model::account::AccountName;
use crate::service::accounts::authenticate::{Peer, SESSION_PREFIX};
use crate::service::accounts::{NO_SECRET, fingerprint, passwords, random, secret};
use crate::service::error::ServiceError;
use crate::service::view::{NewSession, SecretText, SessionView};
use crate::service::{Context, Lake};

/// How long a session lasts.
pub const SESSION_SPAN: Duration = Duration::from_hours(12);
/// The most sessions of one account; the one that ends first makes room.
const SESSIONS_MAX: usize = 20;

/// Signs in. The answer to a wrong name is the answer to a wrong password, and takes as long. A dry
/// run only tells whether the password is right, and counts as a try.
pub async fn begin(lake: &Arc<Lake>, new: NewSession, peer: Peer, dry_run: bool) -> Result<SessionView, ServiceError> {
    let refused = || ServiceError::Unauthenticated("the account or the password is wrong");
    let clock = lake.catalog.clock();
    lake.doorkeeper.knock(&new.account, peer, clock.monotonic())?;
    let view = lake.catalog.view().await?;
    let key = (new.account.clone(),);
    let is_let_in = view.get::<Accounts>(&key).await?.is_some_and(|account| account.suspended_at.is_none());
    let known = view.get::<Passwords>(&key).await?.filter(|_| is_let_in);
    drop(view);
    if !passwords::matches(lake, new.password, known.clone().map(|known| known.hash)).await? {
        return Err(refused());
    }
    let account = AccountName::parse(&new.account).map_err(|_| refused())?;
    let token = secret(SESSION_PREFIX, random(clock.as_ref()));
    let (fingerprint, name) = (fingerprint(&token), account.clone());
    let catalog = if dry_run { lake.catalog.rehearsing().await? } else { lake.catalog.clone() };
    let expires_at = catalog
        .transact(move |txn| {
            let (account, fingerprint, known) = (name.clone(), fingerprint.clone(), known.clone());
            async move {
                // It may have been changed, or the account suspended, while the password was checked.
                let key = (account.to_string(),);
                let is_let_in = txn.get::<Accounts>(&key).await?.is_some_and(|now| now.suspended_at.is_none());
                if !is_let_in || txn.get::<Passwords>(&key).await? != known {
                    return Err(ServiceError::Unauthenticated("the account or the password is wrong"));
                }
                make_room(&txn, &account).await?;
                let expires_at = txn.now().after(SESSION_SPAN);
                txn.put::<Sessions>(&(fingerprint,), &SessionRecord { account, created_at: txn.now(), expires_at });
                Ok(expires_at)
            }
        })
        .await?;
    lake.doorkeeper.welcome(account.as_str(), peer);
    let token = if dry_run { NO_SECRET.to_owned() } else { token };
    Ok(SessionView { token: SecretText::new(token), account, expires_at })
}

/// Signs out: ends the session whose token was sent.
pub async fn end(ctx: &Context, token: &str) -> Result<(), ServiceError> {
    let fingerprint = fingerprint(token);
    ctx.catalog()
        .transact(move |txn| {
            let key = (fingerprint.clone(),);
            async move {
                let session = txn.get::<Sessions>(&key).await?;
                let session = session.ok_or_else(|| ServiceError::not_found("session", "current"))?;
                txn.delete::<Sessions>(&key, &session);
                Ok(())
            }
        })
        .await
}

/// Ends all sessions of an account.
pub(super) async fn end_all(txn: &Txn, account: &AccountName) -> Result<(), CatalogError> {
    for (key, session) in sessions_of(txn, account).await? {
        txn.delete::<Sessions>(&(key,), &session);
    }
    Ok(())
}

/// Forgets sessions that have ended, and the one that ends first if there are as many as may be.
async fn make_room(txn: &Txn, account: &AccountName) -> Result<(), CatalogError> {
    let mut open = sessions_of(txn, account).await?;
    open.sort_by_key(|(_, session)| session.expires_at);
    let surplus = (open.len() + 1).saturating_sub(SESSIONS_MAX);
    for (at, (key, session)) in open.into_iter().enumerate() {
        if at < surplus || session.expires_at <= txn.now() {
            txn.delete::<Sessions>(&(key,), &session);
        }
    }
    Ok(())
}

async fn sessions_of(txn: &Txn, account: &AccountName) -> Result<Vec<(String, SessionRecord)>, CatalogError> {
    let rows = txn.scan::<SessionsByAccount>(&(account.to_string(),), 2 * SESSIONS_MAX).await?;
    let keys: Vec<_> = rows.into_iter().map(|((_, fingerprint), ())| (fingerprint,)).collect();
    let records = txn.get_many::<Sessions>(&keys).await?;
    Ok(keys.into_iter().zip(records).filter_map(|((key,), record)| Some((key, record?))).collect())
}
