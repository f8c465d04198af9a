//! Adds, lists, shows and changes accounts.

use crate::catalog::record::accounts::AccountRecord;
use crate::catalog::record::placing::CauseRecord;
use crate::catalog::record::{Accounts, Passwords};
use crate::catalog::wake::Topic;
use crate::catalog::{View, placing};
use crate::model::account::{AccountKind, AccountName};
use crate::model::change::Change;
use crate::service::Context;
use crate::service::accounts::sessions::end_all;
use crate::service::accounts::{administer, is_own};
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, page};
use crate::service::terms::{Made, Tag, Tagged};
use crate::service::view::{AccountChange, AccountView, NewAccount, Page, WhoView};

/// The most bytes of an address of mail, or of a description.
const TEXT_BYTES_MAX: usize = 250;

/// Adds an account.
pub async fn add(ctx: &Context, new: NewAccount) -> Result<Tagged<AccountView>, ServiceError> {
    let permit = administer(ctx, &new.name)?;
    if new.admin && new.kind == AccountKind::Group {
        return Err(no_admin_group());
    }
    let (email, description) = (read_text("email", new.email)?, read_text("description", new.description)?);
    let name = new.name;
    ctx.transact(Made::New, move |txn| {
        let (name, email, description) = (name.clone(), email.clone(), description.clone());
        let permit = permit.clone();
        async move {
            let key = (name.to_string(),);
            if txn.get::<Accounts>(&key).await?.is_some() {
                return Err(ServiceError::Exists { what: "account", name: name.to_string() });
            }
            let (admin, created_at, kind) = (new.admin, txn.now(), new.kind);
            let record = AccountRecord { admin, created_at, kind, suspended_at: None, email, description };
            txn.put::<Accounts>(&key, &record);
            permit.record(&txn);
            txn.emit(&Change::AccountAdded { account: key.0 });
            to_view(&txn, name, record).await
        }
    })
    .await
}

/// Lists accounts by name: all for an admin; for others, themselves and the groups they are in.
pub async fn list(ctx: &Context, paging: Paging) -> Result<Page<AccountView>, ServiceError> {
    let limit = paging.limit()?;
    let after: String = paging.after()?.unwrap_or_default();
    let view = ctx.catalog().view().await?;
    let rows = if administer(ctx, "accounts").is_ok() {
        view.scan_after::<Accounts>(&(), &(after,), limit).await?
    } else {
        let mut names: Vec<_> = ctx.principal.groups.iter().chain([ctx.account()]).map(ToString::to_string).collect();
        names.sort();
        let keys: Vec<_> = names.into_iter().filter(|name| *name > after).take(limit).map(|name| (name,)).collect();
        let records = view.get_many::<Accounts>(&keys).await?;
        keys.into_iter().zip(records).filter_map(|(key, record)| Some((key, record?))).collect()
    };
    let full = rows.len() == limit;
    let mut items = Vec::with_capacity(rows.len());
    for ((name,), record) in rows {
        let name = AccountName::parse(&name).expect("only accounts are stored as accounts");
        items.push(to_view(&view, name, record).await?.view);
    }
    Ok(page(items, full, |item| item.name.to_string()))
}

/// Shows an account: any to an admin; to others, themselves and the groups they are in.
pub async fn show(ctx: &Context, name: &AccountName) -> Result<Tagged<AccountView>, ServiceError> {
    let view = ctx.catalog().view().await?;
    let record = require_visible(ctx, &view, name).await?;
    to_view(&view, name.clone(), record).await
}

/// Changes an account. Everybody may change how they can be reached and described, admins the rest.
pub async fn change(
    ctx: &Context,
    name: &AccountName,
    change: AccountChange,
) -> Result<Tagged<AccountView>, ServiceError> {
    let of_admins = change.admin.is_some() || change.suspended.is_some();
    if of_admins || !is_own(ctx, name) {
        let view = ctx.catalog().view().await?;
        require_visible(ctx, &view, name).await?;
        administer(ctx, name)?;
    } else if !ctx.principal.key.is_whole() {
        return Err(limited_key());
    }
    let root = *name == AccountName::root();
    if root && (change.admin == Some(false) || change.suspended == Some(true)) {
        return Err(ServiceError::Conflict {
            code: "root-stays",
            detail: "the account root stays an admin and is let in: a lake needs one that is".to_owned(),
            hint: None,
        });
    }
    let email = change.email.map(|text| read_text("email", Some(text))).transpose()?;
    let description = change.description.map(|text| read_text("description", Some(text))).transpose()?;
    let (admin, suspended, wanted, asking) = (change.admin, change.suspended, name.clone(), ctx.clone());
    let done = ctx.transact(Made::Changed, move |txn| {
        let (name, email, description, ctx) = (wanted.clone(), email.clone(), description.clone(), asking.clone());
        async move {
            let mut record = require(&txn, &name).await?;
            ctx.expect(&Tag::of(&record))?;
            if record.kind == AccountKind::Group && (admin == Some(true) || suspended == Some(true)) {
                return Err(no_admin_group());
            }
            if admin.is_some_and(|admin| admin != record.admin) {
                placing::tell(&txn, &CauseRecord::Account(name.clone()));
            }
            record.admin = admin.unwrap_or(record.admin);
            record.email = email.unwrap_or(record.email);
            record.description = description.unwrap_or(record.description);
            match suspended {
                Some(true) => {
                    record.suspended_at = record.suspended_at.or(Some(txn.now()));
                    end_all(&txn, &name).await?;
                }
                Some(false) => record.suspended_at = None,
                None => {}
            }
            txn.put::<Accounts>(&(name.to_string(),), &record);
            txn.emit(&Change::AccountChanged { account: name.to_string() });
            to_view(&txn, name, record).await
        }
    });
    let done = done.await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    Ok(done)
}

/// Says who asks.
pub fn whoami(ctx: &Context) -> WhoView {
    let who = &ctx.principal;
    WhoView {
        account: who.account.clone(),
        kind: who.kind,
        admin: who.admin,
        groups: who.groups.iter().cloned().collect(),
        scopes: who.key.scopes.iter().copied().collect(),
        only_scopes: who.key.only.as_ref().map(|only| only.iter().cloned().collect()),
        expires_at: who.key.ends_at,
        authenticated_at: who.authenticated_at,
    }
}

/// An account by name, or the error that says there is none.
pub(in crate::service) async fn require(view: &View, name: &AccountName) -> Result<AccountRecord, ServiceError> {
    let record = view.get::<Accounts>(&(name.to_string(),)).await?;
    record.ok_or_else(|| ServiceError::not_found("account", name))
}

/// An account that who asks may know of.
pub(super) async fn require_visible(
    ctx: &Context,
    view: &View,
    name: &AccountName,
) -> Result<AccountRecord, ServiceError> {
    if !ctx.principal.stands_for(name) && administer(ctx, name).is_err() {
        return Err(ServiceError::not_found("account", name));
    }
    require(view, name).await
}

pub(super) fn limited_key() -> ServiceError {
    ServiceError::Invalid {
        code: "key-too-narrow",
        detail: "a key that holds something back cannot change its account".to_owned(),
        hint: Some("ask with a session, or with the key in the lake's directory".to_owned()),
    }
}

fn no_admin_group() -> ServiceError {
    ServiceError::invalid("invalid-kind", "a group is neither an admin nor let in: its members are, each by itself")
}

/// Reads a line of text; an empty one is none.
fn read_text(what: &str, text: Option<String>) -> Result<Option<String>, ServiceError> {
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match &text {
        Some(text) if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) => {
            let detail = format!("the {what} is one line of at most {TEXT_BYTES_MAX} bytes");
            Err(ServiceError::invalid("invalid-text", detail))
        }
        _ => Ok(text),
    }
}

async fn to_view(view: &View, name: AccountName, record: AccountRecord) -> Result<Tagged<AccountView>, ServiceError> {
    let tag = Tag::of(&record);
    let view = AccountView {
        kind: record.kind,
        admin: record.admin,
        suspended_at: record.suspended_at,
        email: record.email,
        description: record.description,
        groups: crate::catalog::subjects::groups(view, &name).await?.into_iter().collect(),
        has_password: view.get::<Passwords>(&(name.to_string(),)).await?.is_some(),
        created_at: record.created_at,
        name,
    };
    Ok(Tagged { tag, view })
}
