//! Scopes: add and list.

use crate::catalog::record::{ScopeRecord, Scopes};
use crate::model::change::Change;
use crate::model::scope::Scope;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, page};
use crate::service::terms::{Made, Tag, Tagged};
use crate::service::view::{NewScope, Page, ScopeView};

/// Adds a scope, owned by who asks.
pub async fn add(ctx: &Context, new: NewScope) -> Result<Tagged<ScopeView>, ServiceError> {
    ctx.permit(Action::Administer, format!("scope {}", new.scope))?;
    let account = ctx.account.clone();
    ctx.transact(Made::New, move |txn| {
        let (scope, account) = (new.scope.clone(), account.clone());
        async move {
            let key = (scope.to_string(),);
            if txn.get::<Scopes>(&key).await?.is_some() {
                return Err(ServiceError::Exists { what: "scope", name: scope.to_string() });
            }
            let record = ScopeRecord { account, created_at: txn.now() };
            txn.put::<Scopes>(&key, &record);
            txn.emit(&Change::ScopeAdded { scope: scope.to_string() });
            Ok(to_view(scope, record))
        }
    })
    .await
}

/// Shows a scope.
pub async fn show(ctx: &Context, scope: &Scope) -> Result<Tagged<ScopeView>, ServiceError> {
    ctx.permit(Action::Discover, format!("scope {scope}"))?;
    let record = ctx.catalog().view().await?.get::<Scopes>(&(scope.to_string(),)).await?;
    let record = record.ok_or_else(|| ServiceError::not_found("scope", scope))?;
    Ok(to_view(scope.clone(), record))
}

fn to_view(scope: Scope, record: ScopeRecord) -> Tagged<ScopeView> {
    let tag = Tag::of(&record);
    Tagged { tag, view: ScopeView { scope, account: record.account, created_at: record.created_at } }
}

/// Lists scopes by name.
pub async fn list(ctx: &Context, paging: Paging) -> Result<Page<ScopeView>, ServiceError> {
    ctx.permit(Action::Discover, "scopes")?;
    let limit = paging.limit()?;
    let after: String = paging.after()?.unwrap_or_default();
    let rows = ctx.catalog().view().await?.scan_after::<Scopes>(&(), &(after,), limit).await?;
    let full = rows.len() == limit;
    let mut items = Vec::with_capacity(rows.len());
    for ((name,), record) in rows {
        let scope = Scope::parse(&name).expect("only scopes are stored as scopes");
        items.push(to_view(scope, record).view);
    }
    Ok(page(items, full, |item| item.scope.to_string()))
}
