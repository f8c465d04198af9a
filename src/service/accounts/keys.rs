//! API keys: make, list, revoke. A key never reaches farther than the key it was made with.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::catalog::record::accounts::ApiKeyRecord;
use crate::catalog::record::{ApiKeyUses, ApiKeys, ApiKeysByAccount, Facts};
use crate::catalog::{CatalogError, View};
use crate::model::account::{AccountKind, AccountName};
use crate::model::api_key::KeyReach;
use crate::model::change::Change;
use crate::model::time::Timestamp;
use crate::service::Context;
use crate::service::accounts::manage::{require, require_visible};
use crate::service::accounts::{NO_SECRET, administer, fingerprint, id_of, is_own, new_key, random, revoked};
use crate::service::error::ServiceError;
use crate::service::terms::Made;
use crate::service::view::{KeyView, MadeKey, NewKey, Page, SecretText};

/// The longest that a key may be good for.
pub const EXPIRY_MAX: Duration = Duration::from_hours(365 * 24);
/// The most keys of one account.
const KEYS_MAX: usize = 100;
/// The most bytes of a key's name.
const NAME_BYTES_MAX: usize = 60;
/// The most data scopes, and the most address ranges, of one key.
const ENTRIES_MAX: usize = 50;

/// Makes an API key: for oneself, or, as an admin, for another account.
pub async fn add(ctx: &Context, account: &AccountName, new: NewKey) -> Result<MadeKey, ServiceError> {
    permit(ctx, account).await?;
    let reach = reach(ctx, &new)?;
    if !ctx.principal.key.includes(&reach) {
        return Err(too_wide("a key cannot reach farther than the one it is made with"));
    }
    let secret = new_key(random(ctx.catalog().clock().as_ref()));
    // An answer that has a secret is never kept: this change takes no Idempotency-Key.
    let fingerprint = fingerprint(&secret);
    let (account, made_by, name) = (account.clone(), ctx.account().clone(), new.name.trim().to_owned());
    let stored = fingerprint.clone();
    let record = ctx
        .catalog()
        .transact(move |txn| {
            let (fingerprint, account, made_by) = (stored.clone(), account.clone(), made_by.clone());
            let (name, reach) = (name.clone(), reach.clone());
            async move {
                if require(&txn, &account).await?.kind == AccountKind::Group {
                    return Err(ServiceError::invalid("invalid-kind", "a group has no keys: its members have"));
                }
                let known = txn.scan::<ApiKeysByAccount>(&(account.to_string(),), KEYS_MAX).await?;
                if known.len() == KEYS_MAX {
                    return Err(ServiceError::Invalid {
                        code: "too-many-keys",
                        detail: format!("an account has at most {KEYS_MAX} keys"),
                        hint: Some(format!("revoke some: see `dapple account key list {account}`")),
                    });
                }
                let record = ApiKeyRecord { account, created_at: txn.now(), name, reach, made_by };
                txn.put::<ApiKeys>(&(fingerprint,), &record);
                txn.emit(&Change::AccountChanged { account: record.account.to_string() });
                Ok(record)
            }
        })
        .await?;
    let secret = if ctx.is_dry_run() { NO_SECRET.to_owned() } else { secret };
    Ok(MadeKey { key: SecretText::new(secret), made: to_view(&fingerprint, record, None) })
}

/// Lists an account's keys, in no order that means anything.
pub async fn list(ctx: &Context, account: &AccountName) -> Result<Page<KeyView>, ServiceError> {
    permit(ctx, account).await?;
    let view = ctx.catalog().view().await?;
    let mut items = Vec::new();
    for (fingerprint, record) in keys_of(&view, account).await? {
        let used = view.get::<ApiKeyUses>(&(fingerprint.clone(),)).await?.map(Timestamp::from_millis);
        items.push(to_view(&fingerprint, record, used));
    }
    items.sort_by_key(|item| item.created_at);
    Ok(Page { items, next: None })
}

/// Revokes a key; it opens nothing from now on.
pub async fn revoke(ctx: &Context, account: &AccountName, id: &str) -> Result<(), ServiceError> {
    permit(ctx, account).await?;
    let (account, id, own) = (account.clone(), id.to_owned(), ctx.principal.key.clone());
    ctx.transact_untagged(Made::Gone, move |txn| {
        let (account, id, own) = (account.clone(), id.clone(), own.clone());
        async move {
            let found = keys_of(&txn, &account).await?.into_iter().find(|(known, _)| id_of(known) == id);
            let (fingerprint, record) = found.ok_or_else(|| ServiceError::not_found("API key", &id))?;
            // Whoever got hold of a small key is not to lock the account out.
            if !own.includes(&record.reach) {
                return Err(too_wide("a key revokes itself and narrower ones"));
            }
            txn.delete::<ApiKeys>(&(fingerprint.clone(),), &record);
            // Keys without an end are those of the lake's directory, from where a start would bring it back.
            if record.reach.ends_at.is_none() {
                txn.put::<Facts>(&revoked(&fingerprint), &txn.now().as_millis());
            }
            txn.clear::<ApiKeyUses>(&(fingerprint,));
            txn.emit(&Change::AccountChanged { account: account.to_string() });
            Ok(())
        }
    })
    .await
}

fn too_wide(detail: &str) -> ServiceError {
    ServiceError::Invalid {
        code: "key-too-wide",
        detail: detail.to_owned(),
        hint: Some("see `dapple whoami` for the key scopes, data scopes and end of yours".to_owned()),
    }
}

/// Lets everybody at their own keys, and admins at all.
async fn permit(ctx: &Context, account: &AccountName) -> Result<(), ServiceError> {
    require_visible(ctx, &ctx.catalog().view().await?, account).await?;
    if !is_own(ctx, account) {
        administer(ctx, account)?;
    }
    Ok(())
}

async fn keys_of(view: &View, account: &AccountName) -> Result<Vec<(String, ApiKeyRecord)>, CatalogError> {
    // A lake's directory may have had other keys before: they stand beside those that were made.
    let rows = view.scan::<ApiKeysByAccount>(&(account.to_string(),), 2 * KEYS_MAX).await?;
    let keys: Vec<_> = rows.into_iter().map(|((_, fingerprint), ())| (fingerprint,)).collect();
    let records = view.get_many::<ApiKeys>(&keys).await?;
    Ok(keys.into_iter().zip(records).filter_map(|((key,), record)| Some((key, record?))).collect())
}

/// How far a key that is wished for reaches.
fn reach(ctx: &Context, new: &NewKey) -> Result<KeyReach, ServiceError> {
    let invalid = |code, detail: String| Err(ServiceError::invalid(code, detail));
    let name = new.name.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return invalid("invalid-text", format!("a key has a name of one line and at most {NAME_BYTES_MAX} bytes"));
    }
    let scopes: BTreeSet<_> = new.scopes.iter().copied().collect();
    if scopes.is_empty() {
        return invalid("invalid-key-scope", "a key needs a key scope: read, write, rules or admin".to_owned());
    }
    let only = new.only_scopes.as_ref().map(|only| only.iter().cloned().collect::<BTreeSet<_>>());
    if only.as_ref().is_some_and(|only| only.is_empty() || only.len() > ENTRIES_MAX) {
        return invalid("invalid-key-scope", format!("a key is limited to between 1 and {ENTRIES_MAX} data scopes"));
    }
    if only.is_some() && scopes.contains(&crate::model::api_key::KeyScope::Admin) {
        let detail = "what `admin` lets through concerns the whole lake: such a key cannot be limited to data scopes";
        return invalid("invalid-key-scope", detail.to_owned());
    }
    if new.addresses.len() > ENTRIES_MAX {
        return invalid("invalid-address-range", format!("a key has at most {ENTRIES_MAX} address ranges"));
    }
    let span = Duration::from_secs(new.expires_seconds);
    if span.is_zero() || span > EXPIRY_MAX {
        return invalid("invalid-expiry", "a key is good for between one second and 365 days".to_owned());
    }
    let ends_at = Some(ctx.catalog().clock().now().after(span));
    Ok(KeyReach { scopes, only, ranges: new.addresses.clone(), ends_at })
}

fn to_view(fingerprint: &str, record: ApiKeyRecord, last_used_at: Option<Timestamp>) -> KeyView {
    KeyView {
        id: id_of(fingerprint),
        account: record.account,
        name: record.name,
        scopes: record.reach.scopes.into_iter().collect(),
        only_scopes: record.reach.only.map(|only| only.into_iter().collect()),
        addresses: record.reach.ranges,
        made_by: record.made_by,
        created_at: record.created_at,
        expires_at: record.reach.ends_at,
        last_used_at,
    }
}
