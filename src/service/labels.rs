//! Labels: set and take away those of scopes and DIDs.

use crate::catalog::history::note;
use crate::catalog::labels::{self, Supposed};
use crate::catalog::placing;
use crate::catalog::record::Happening;
use crate::catalog::wake::Topic;
use crate::model::did::Did;
use crate::model::facts::Resource;
use crate::model::label::{InvalidLabel, LabelChange, LabelSet};
use crate::model::scope::Scope;
use crate::policy::decision::Action;
use crate::rules::labelled;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::terms::Made;
use crate::service::view::{LabelsChange, LabelsView};

pub(super) mod below;

/// The most changes of one request.
const CHANGES_MAX: usize = 64;

/// Shows the labels of a DID: its own, and those that hold.
pub async fn of_did(ctx: &Context, did: &Did) -> Result<LabelsView, ServiceError> {
    let view = ctx.catalog().view().await?;
    let (seen, _) = ctx.sight(&view).did_for(Action::Discover, did).await?;
    Ok(to_view(&labels::of_did(&view, seen.id).await?, &seen.facts.traits.labels))
}

/// Shows the labels of a scope.
pub async fn of_scope(ctx: &Context, scope: &Scope) -> Result<LabelsView, ServiceError> {
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let facts = sight.scope(scope).await?;
    let own = LabelSet::clone(&facts.labels);
    sight.permit(Action::Discover, &Resource::Scope(facts), None)?;
    Ok(to_view(&own, &own))
}

/// Sets labels of a DID. What only tightens needs the right to write it, all else the right to relabel
/// it; and the same is asked of all below it whose labels change with it.
pub async fn label_did(ctx: &Context, did: Did, change: LabelsChange) -> Result<LabelsView, ServiceError> {
    let changes = read(&change)?;
    let view = ctx.catalog().view().await?;
    let seen = ctx.sight(&view).did(&did).await?;
    let new = labels::of_did(&view, seen.id).await?.changed(&changes)?;
    let looked = below::permit(ctx, &view, &[&seen], Supposed::Labelled(seen.id, new)).await?;
    let asking = ctx.clone();
    let shown = ctx
        .transact_untagged(Made::Changed, move |txn| {
            let (ctx, did, changes, change) = (asking.clone(), did.clone(), changes.clone(), change.clone());
            let looked = looked.clone();
            async move {
                let mut sight = ctx.sight(&txn);
                let seen = sight.did(&did).await?;
                let old = labels::of_did(&txn, seen.id).await?;
                let new = old.changed(&changes)?;
                sight.permit(needed(&old, &new), &seen.resource(), None)?;
                looked.still_holds(&txn, &did).await?;
                note(&txn, seen.id, Some(ctx.account()), Happening::Labelled(change.labels)).await?;
                for (rule, on) in labels::put_of_did(&txn, seen.id, seen.record.kind(), &new).await? {
                    placing::begin(&txn, rule, on).await?;
                }
                labelled::look(&txn, &ctx.lake.judge, seen.id).await?;
                let after = ctx.sight(&txn).gatherer().did(seen.id, &seen.record).await?;
                Ok::<_, ServiceError>(to_view(&new, &after.traits.labels))
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    ctx.catalog().wakes().wake(Topic::Folds);
    Ok(shown)
}

/// Sets labels of a scope, which hold for all that is in it.
pub async fn label_scope(ctx: &Context, scope: Scope, change: LabelsChange) -> Result<LabelsView, ServiceError> {
    let changes = read(&change)?;
    let asking = ctx.clone();
    let shown = ctx
        .transact_untagged(Made::Changed, move |txn| {
            let (ctx, scope, changes) = (asking.clone(), scope.clone(), changes.clone());
            async move {
                let mut sight = ctx.sight(&txn);
                let facts = sight.scope(&scope).await?;
                let old = LabelSet::clone(&facts.labels);
                let new = old.changed(&changes)?;
                sight.permit(needed(&old, &new), &Resource::Scope(facts), None)?;
                labels::put_of_scope(&txn, &scope, &new).await?;
                Ok::<_, ServiceError>(to_view(&new, &new))
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    Ok(shown)
}

fn read(change: &LabelsChange) -> Result<Vec<LabelChange>, ServiceError> {
    if change.labels.is_empty() || change.labels.len() > CHANGES_MAX {
        let detail = format!("name 1 to {CHANGES_MAX} labels, as `KEY=VALUE`, or `KEY=` to take one away");
        return Err(ServiceError::invalid("invalid-label", detail));
    }
    Ok(change.labels.iter().map(|text| LabelChange::parse(text)).collect::<Result<_, InvalidLabel>>()?)
}

/// What going from one set to another asks for.
pub(super) fn needed(old: &LabelSet, new: &LabelSet) -> Action {
    if new.only_tightens(old) { Action::Write } else { Action::Relabel }
}

fn to_view(own: &LabelSet, effective: &LabelSet) -> LabelsView {
    LabelsView { own: own.words().into_iter().collect(), effective: effective.words().into_iter().collect() }
}
