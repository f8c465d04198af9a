//! Labels: set and take away those of scopes and DIDs.

use crate::catalog::history::note;
use crate::catalog::labels;
use crate::catalog::record::{Contents, Happening};
use crate::catalog::wake::Topic;
use crate::model::did::{Did, DidKind};
use crate::model::facts::Resource;
use crate::model::label::{InvalidLabel, LabelChange, LabelSet};
use crate::model::scope::Scope;
use crate::policy::decision::Action;
use crate::rules::evaluate;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::sight::{Seen, Sight};
use crate::service::terms::Made;
use crate::service::view::{LabelsChange, LabelsView};

/// The most members that are looked through for one in which whoever labels their holder has no say.
const MEMBERS_MAX: usize = 500_000;
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

/// Sets labels of a DID. What only tightens needs a say in the DID and in what it holds; all else
/// needs the right to relabel.
pub async fn label_did(ctx: &Context, did: Did, change: LabelsChange) -> Result<LabelsView, ServiceError> {
    let changes = read(&change)?;
    let seen = ctx.sight(&ctx.catalog().view().await?).did(&did).await?;
    let members = permit_members(ctx, &seen, &changes).await?;
    let asking = ctx.clone();
    let shown = ctx
        .transact_untagged(Made::Changed, move |txn| {
            let (ctx, did, changes, change) = (asking.clone(), did.clone(), changes.clone(), change.clone());
            async move {
                let mut sight = ctx.sight(&txn);
                let seen = sight.did(&did).await?;
                let old = labels::of_did(&txn, seen.id).await?;
                let new = old.changed(&changes)?;
                sight.permit(needed(&old, &new), &seen.resource(), None)?;
                if txn.get::<crate::catalog::record::Heads>(&(seen.id,)).await?.map(|head| head.next_seq) != members {
                    return Err(ServiceError::Conflict {
                        code: "members-changed",
                        detail: format!("members of `{did}` came or went at the same time"),
                        hint: Some("try again".to_owned()),
                    });
                }
                note(&txn, seen.id, Some(ctx.account()), Happening::Labelled(change.labels)).await?;
                for (rule, on) in labels::put_of_did(&txn, seen.id, seen.record.kind(), &new).await? {
                    evaluate::begin(&txn, rule, on).await?;
                }
                let after = ctx.sight(&txn).gatherer().did(seen.id, &seen.record).await?;
                Ok::<_, ServiceError>(to_view(&new, &after.traits.labels))
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
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

fn needed(old: &LabelSet, new: &LabelSet) -> Action {
    if new.only_tightens(old) { Action::Write } else { Action::Relabel }
}

/// Labels bind what a DID holds as well: nobody may so hide, or open, what is not theirs. Returns the
/// place up to which members were looked at.
async fn permit_members(ctx: &Context, of: &Seen, changes: &[LabelChange]) -> Result<Option<u64>, ServiceError> {
    let view = ctx.catalog().view().await?;
    let head = view.get::<crate::catalog::record::Heads>(&(of.id,)).await?.map(|head| head.next_seq);
    if of.record.kind() == DidKind::File || ctx.permit(Action::Administer, "the lake").is_ok() {
        return Ok(head);
    }
    let old = labels::of_did(&view, of.id).await?;
    permit_below(ctx, of, needed(&old, &old.changed(changes)?)).await?;
    Ok(head)
}

/// Asks for a say in all that something holds.
pub(super) async fn permit_below(ctx: &Context, of: &Seen, action: Action) -> Result<(), ServiceError> {
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (mut open, mut seen_so_far) = (vec![of.id], 0);
    while let Some(parent) = open.pop() {
        let mut after = None;
        loop {
            let (members, next) = sight.members(parent, after, 1_000).await?;
            if hides_some(&sight, parent, members.len(), after, next.as_deref()).await? {
                return Err(refused(action, of));
            }
            for (seq, member) in &members {
                sight.permit(action, &member.resource(), None).map_err(|_| refused(action, of))?;
                if member.record.kind() != DidKind::File {
                    open.push(member.id);
                }
                after = Some(*seq);
            }
            seen_so_far += members.len();
            if seen_so_far > MEMBERS_MAX {
                return Err(ServiceError::Conflict {
                    code: "too-many-members",
                    detail: format!("over {MEMBERS_MAX} members would have to be looked through"),
                    hint: Some("ask an admin, or label what is in it, or its scope".to_owned()),
                });
            }
            if next.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// Tells whether a stretch of members has some that are hidden, in which nobody has a say who cannot
/// see them.
async fn hides_some(
    sight: &Sight,
    parent: crate::model::id::DidId,
    seen: usize,
    after: Option<u64>,
    next: Option<&str>,
) -> Result<bool, ServiceError> {
    let view = sight.view();
    let end: u64 = next.and_then(|next| next.parse().ok()).unwrap_or(u64::MAX);
    let (mut all, mut after) = (0, after);
    loop {
        let rows = match after {
            None => view.scan::<Contents>(&(parent,), 1_000).await?,
            Some(seq) => view.scan_after::<Contents>(&(parent,), &(parent, seq), 1_000).await?,
        };
        let Some(((_, last), _)) = rows.last() else { break };
        after = Some(*last);
        let within = rows.iter().filter(|((_, seq), _)| *seq <= end);
        all += within.filter(|(_, row)| matches!(row, crate::catalog::record::ContentRecord::Member(_))).count();
        if rows.len() < 1_000 || *last >= end {
            break;
        }
    }
    Ok(all > seen)
}

fn refused(action: Action, of: &Seen) -> ServiceError {
    ServiceError::Denied { action: action.name(), resource: format!("everything in {}", of.facts.did) }
}

fn to_view(own: &LabelSet, effective: &LabelSet) -> LabelsView {
    LabelsView { own: own.words().into_iter().collect(), effective: effective.words().into_iter().collect() }
}
