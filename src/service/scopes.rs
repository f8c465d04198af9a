//! Scopes: add, list, give to another owner.

use std::collections::BTreeMap;

use crate::catalog::record::placing::CauseRecord;
use crate::catalog::record::{ScopeRecord, Scopes};
use crate::catalog::wake::Topic;
use crate::catalog::{View, placing};
use crate::model::change::Change;
use crate::model::facts::Resource;
use crate::model::scope::Scope;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::accounts::manage::require;
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, Rounds, page};
use crate::service::terms::{Made, Tag, Tagged};
use crate::service::view::{NewScope, Page, ScopeChange, ScopeView};

/// What the list of scopes seals its cursors for: no scope is called so.
const SCOPES: &str = "";

/// Adds a scope, owned by who asks.
pub async fn add(ctx: &Context, new: NewScope) -> Result<Tagged<ScopeView>, ServiceError> {
    ctx.permit(Action::Administer, format!("scope {}", new.scope))?;
    let account = new.owner.clone().unwrap_or_else(|| ctx.account().clone());
    ctx.transact(Made::New, move |txn| {
        let (scope, account, is_given) = (new.scope.clone(), account.clone(), new.owner.is_some());
        async move {
            let key = (scope.to_string(),);
            if txn.get::<Scopes>(&key).await?.is_some() {
                return Err(ServiceError::Exists { what: "scope", name: scope.to_string() });
            }
            if is_given {
                require(&txn, &account).await?;
            }
            let record = ScopeRecord { account, created_at: txn.now() };
            txn.put::<Scopes>(&key, &record);
            txn.emit(&Change::ScopeAdded { scope: scope.to_string() });
            Ok(to_view(scope, record, BTreeMap::new()))
        }
    })
    .await
}

/// Gives a scope to another owner.
pub async fn change(ctx: &Context, scope: &Scope, change: ScopeChange) -> Result<Tagged<ScopeView>, ServiceError> {
    let (scope, asking) = (scope.clone(), ctx.clone());
    let done = ctx.transact(Made::Changed, move |txn| {
        let (scope, account, ctx) = (scope.clone(), change.owner.clone(), asking.clone());
        async move {
            let mut sight = ctx.sight(&txn);
            let facts = sight.scope(&scope).await?;
            let labels = facts.labels.words().into_iter().collect();
            let permit = sight.permit(Action::Administer, &Resource::Scope(facts), None)?;
            let record = find(&txn, &scope).await?;
            ctx.expect(&Tag::of(&record))?;
            require(&txn, &account).await?;
            let record = ScopeRecord { account, ..record };
            txn.put::<Scopes>(&(scope.to_string(),), &record);
            permit.record(&txn);
            // Whoever owns a scope has a say in where its data may be.
            placing::tell(&txn, &CauseRecord::Scope(scope.clone()));
            txn.emit(&Change::ScopeChanged { scope: scope.to_string() });
            Ok::<_, ServiceError>(to_view(scope, record, labels))
        }
    });
    let done = done.await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    Ok(done)
}

/// Shows a scope.
pub async fn show(ctx: &Context, scope: &Scope) -> Result<Tagged<ScopeView>, ServiceError> {
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let facts = sight.scope(scope).await?;
    let labels = facts.labels.words().into_iter().collect();
    sight.permit(Action::Discover, &Resource::Scope(facts), None)?;
    Ok(to_view(scope.clone(), find(&view, scope).await?, labels))
}

async fn find(view: &View, scope: &Scope) -> Result<ScopeRecord, ServiceError> {
    let record = view.get::<Scopes>(&(scope.to_string(),)).await?;
    record.ok_or_else(|| ServiceError::not_found("scope", scope))
}

fn to_view(scope: Scope, record: ScopeRecord, labels: BTreeMap<String, String>) -> Tagged<ScopeView> {
    let tag = Tag::of(&record);
    Tagged { tag, view: ScopeView { scope, account: record.account, created_at: record.created_at, labels } }
}

/// Lists scopes by name.
pub async fn list(ctx: &Context, paging: Paging) -> Result<Page<ScopeView>, ServiceError> {
    ctx.permit(Action::Discover, "scopes")?;
    let limit = paging.limit()?;
    let mut after = ctx.name(SCOPES, &paging)?.unwrap_or_default();
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (mut items, mut rounds) = (Vec::new(), Rounds::of(limit));
    while let Some(count) = rounds.next() {
        let rows = view.scan_after::<Scopes>(&(), &(after.clone(),), count).await?;
        let Some(((last,), _)) = rows.last() else { return Ok(Page { items, next: None }) };
        after.clone_from(last);
        let is_end = rows.len() < count;
        for ((name,), record) in rows {
            let scope = Scope::parse(&name).expect("only scopes are stored as scopes");
            let Some(facts) = sight.gatherer().scope(&scope).await? else { continue };
            let labels = facts.labels.words().into_iter().collect();
            if sight.sees(&Resource::Scope(facts)) {
                items.push(ScopeView { scope, account: record.account, created_at: record.created_at, labels });
            }
            if items.len() == limit {
                return Ok(page(items, true, |item| ctx.behind_shown(SCOPES, item.scope.as_str())));
            }
        }
        if is_end {
            return Ok(Page { items, next: None });
        }
    }
    Ok(Page { items, next: Some(ctx.behind_any(SCOPES, &after)) })
}
