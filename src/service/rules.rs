//! Rules: make, list, change, remove, retry.

use std::time::Duration;

use crate::catalog::history::note;
use crate::catalog::ledger::locks;
use crate::catalog::ledger::transfers::revive_one;
use crate::catalog::record::{
    CountsRecord, Happening, IntentAct, Intents, Locks, RuleCountsTable, RuleRecord, Rules, RulesByDid, StuckFiles,
    Unplaced,
};
use crate::catalog::wake::Topic;
use crate::model::change::Change;
use crate::model::did::Did;
use crate::model::expression::Expression;
use crate::model::id::{DidId, EndpointId, RuleId};
use crate::model::lock::LockState;
use crate::model::rule::{COPIES_MAX, RuleCounts, state};
use crate::model::time::Timestamp;
use crate::policy::decision::Action;
use crate::rules::{evaluate, expire};
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, page};
use crate::service::plan;
use crate::service::progress::{Count, Counter};
use crate::service::sight::{Seen, Sight};
use crate::service::terms::{Made, Tag, Tagged};
use crate::service::view::{NewRule, Page, RuleChange, RuleView};

/// Over how many locks a rule's file counts are summed.
pub(super) const LOCKS_MAX: usize = 1_000;

/// Makes a rule. Endpoints are chosen at once in the background.
pub async fn create(ctx: &Context, new: NewRule) -> Result<Tagged<RuleView>, ServiceError> {
    let expression = Expression::parse(&new.expression)?;
    let copies = check_copies(new.copies)?;
    check_lifetime(new.lifetime_seconds)?;
    let id = RuleId(ctx.catalog().clock().id());
    let asking = ctx.clone();
    let done = ctx
        .transact(Made::New, move |txn| {
            let (ctx, new, expression) = (asking.clone(), new.clone(), expression.clone());
            async move {
                let (seen, _) = ctx.sight(&txn).did_for(Action::AddRule, &new.did).await?;
                let did = seen.id;
                let record = RuleRecord {
                    did,
                    account: ctx.account().clone(),
                    copies,
                    expression,
                    grouping: new.grouping,
                    created_at: txn.now(),
                    expires_at: new.lifetime_seconds.and_then(|seconds| ends(txn.now(), seconds)),
                    revision: 1,
                    releasing: false,
                };
                txn.put::<Rules>(&(id,), &record);
                txn.put::<RuleCountsTable>(&(id,), &CountsRecord::default());
                evaluate::begin(&txn, id, did).await?;
                txn.emit(&Change::RuleChanged { rule: id });
                note(&txn, did, Some(ctx.account()), Happening::RuleMade(id)).await?;
                tagged(&mut ctx.sight(&txn), id).await
            }
        })
        .await?;
    settled(ctx, done).await
}

/// Wakes whoever works on rules. In a rehearsal it is planned at once what they would do.
async fn settled(ctx: &Context, mut done: Tagged<RuleView>) -> Result<Tagged<RuleView>, ServiceError> {
    if ctx.is_dry_run() {
        done.view = plan::rehearse(ctx, done.view.id).await?;
    }
    ctx.catalog().wakes().wake(Topic::Rules);
    Ok(done)
}

fn check_copies(copies: u16) -> Result<u16, ServiceError> {
    match copies {
        1..=COPIES_MAX => Ok(copies),
        _ => Err(ServiceError::invalid("invalid-copies", format!("a rule asks for 1 to {COPIES_MAX} copies"))),
    }
}

/// The longest that a rule may be told to last: a hundred years. Longer ones leave it out.
const LIFETIME_SECONDS_MAX: u64 = 100 * 365 * 86_400;

fn check_lifetime(seconds: Option<u64>) -> Result<(), ServiceError> {
    match seconds {
        Some(seconds) if seconds > LIFETIME_SECONDS_MAX => {
            Err(ServiceError::invalid("invalid-lifetime", "a rule lasts for at most 100 years, or without an end"))
        }
        _ => Ok(()),
    }
}

fn ends(now: Timestamp, seconds: u64) -> Option<Timestamp> {
    (seconds > 0).then(|| now.after(Duration::from_secs(seconds)))
}

/// Shows a rule.
pub async fn show(ctx: &Context, id: RuleId) -> Result<Tagged<RuleView>, ServiceError> {
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (_, seen) = sight.rule(id).await?;
    sight.permit(Action::Discover, &seen.resource(), None)?;
    tagged(&mut sight, id).await
}

/// Lists rules in the order in which they were made, all or those on one DID.
pub async fn list(ctx: &Context, did: Option<Did>, paging: Paging) -> Result<Page<RuleView>, ServiceError> {
    ctx.permit(Action::Discover, "rules")?;
    let limit = paging.limit()?;
    let mut after = paging.after()?.unwrap_or(RuleId(0));
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let on = match &did {
        Some(did) => Some(sight.did(did).await?.id),
        None => None,
    };
    let (mut items, mut counter) = (Vec::new(), Counter::default());
    loop {
        let ids: Vec<RuleId> = match on {
            None => {
                let rows = view.scan_after::<Rules>(&(), &(after,), limit).await?;
                rows.into_iter().map(|((id,), _)| id).collect()
            }
            Some(on) => {
                let rows = view.scan_after::<RulesByDid>(&(on,), &(on, after), limit).await?;
                rows.into_iter().map(|((_, id), ())| id).collect()
            }
        };
        let is_end = ids.len() < limit;
        let Some(last) = ids.last() else { break };
        after = *last;
        for id in ids {
            let Some(record) = view.get::<Rules>(&(id,)).await? else { continue };
            let Some(seen) = sight.by_id(record.did).await? else { continue };
            items.push(to_view(&mut sight, &mut counter, id, record, &seen).await?);
            if items.len() == limit {
                return Ok(page(items, true, |item| item.id.to_string()));
            }
        }
        if is_end {
            break;
        }
    }
    Ok(Page { items, next: None })
}

/// Changes a rule; its placement is decided again where that matters.
pub async fn change(ctx: &Context, id: RuleId, change: RuleChange) -> Result<Tagged<RuleView>, ServiceError> {
    let expression = change.expression.as_deref().map(Expression::parse).transpose()?;
    let copies = change.copies.map(check_copies).transpose()?;
    check_lifetime(change.lifetime_seconds)?;
    let asking = ctx.clone();
    let done = ctx
        .transact(Made::Changed, move |txn| {
            let (ctx, expression) = (asking.clone(), expression.clone());
            async move {
                let mut sight = ctx.sight(&txn);
                let old = active(sight.rule_to_change(id).await?, id)?;
                ctx.expect(&Tag::of(&old))?;
                let mut new = RuleRecord { revision: old.revision + 1, ..old.clone() };
                new.copies = copies.unwrap_or(old.copies);
                new.expression = expression.unwrap_or_else(|| old.expression.clone());
                if let Some(seconds) = change.lifetime_seconds {
                    new.expires_at = ends(txn.now(), seconds);
                }
                sight.permit_wider(&ctx, id, &old, &new)?;
                txn.replace::<Rules>(&(id,), &old, &new);
                if new.copies != old.copies || new.expression != old.expression {
                    evaluate::begin(&txn, id, old.did).await?;
                }
                txn.emit(&Change::RuleChanged { rule: id });
                note(&txn, old.did, Some(ctx.account()), Happening::RuleChanged(id)).await?;
                tagged(&mut ctx.sight(&txn), id).await
            }
        })
        .await?;
    settled(ctx, done).await
}

fn active(record: RuleRecord, id: RuleId) -> Result<RuleRecord, ServiceError> {
    if record.releasing {
        return Err(ServiceError::Conflict {
            code: "rule-ended",
            detail: format!("rule {id} has ended"),
            hint: Some("make a new one with `dapple rule add`".to_owned()),
        });
    }
    Ok(record)
}

/// Removes a rule. Its locks go in the background; replicas stay.
pub async fn remove(ctx: &Context, id: RuleId) -> Result<Tagged<RuleView>, ServiceError> {
    let asking = ctx.clone();
    let done = ctx
        .transact(Made::Gone, move |txn| {
            let ctx = asking.clone();
            async move {
                let rule = ctx.sight(&txn).rule_to_change(id).await?;
                ctx.expect(&Tag::of(&rule))?;
                if !rule.releasing {
                    expire::end_rule(&txn, id, &rule);
                    note(&txn, rule.did, Some(ctx.account()), Happening::RuleRemoved(id)).await?;
                }
                tagged(&mut ctx.sight(&txn), id).await
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    Ok(done)
}

/// Tries at once what a rule is stuck on: places again, and revives its failed transfers, up to
/// 1,000 of them for each lock.
pub async fn retry(ctx: &Context, id: RuleId) -> Result<Tagged<RuleView>, ServiceError> {
    let view = ctx.catalog().view().await?;
    ctx.sight(&view).rule_to_change(id).await?;
    let locks = view.scan::<Locks>(&(id,), LOCKS_MAX).await?;
    let stuck = locks.into_iter().filter(|(_, lock)| matches!(lock.state, LockState::Stuck { .. }));
    for ((_, unit, endpoint), _) in stuck {
        revive_unit(ctx, unit, endpoint).await?;
    }
    let asking = ctx.clone();
    let done = ctx
        .transact(Made::Changed, move |txn| {
            let ctx = asking.clone();
            async move {
                let rule = active(ctx.sight(&txn).rule_to_change(id).await?, id)?;
                evaluate::begin(&txn, id, rule.did).await?;
                tagged(&mut ctx.sight(&txn), id).await
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Transfers);
    settled(ctx, done).await
}

async fn revive_unit(ctx: &Context, unit: DidId, endpoint: EndpointId) -> Result<(), ServiceError> {
    ctx.catalog()
        .transact(move |txn| async move {
            for ((_, _, file), _) in txn.scan::<StuckFiles>(&(unit, endpoint), 1_000).await? {
                if let Some(intent) = txn.get::<Intents>(&(file, endpoint)).await?
                    && let IntentAct::Transfer(transfer) = intent.act
                {
                    revive_one(&txn, transfer).await?;
                }
            }
            Ok(())
        })
        .await
}

/// A rule for whoever may see it, has made it or changed it, though their key may not let them read.
pub(super) async fn tagged(sight: &mut Sight, id: RuleId) -> Result<Tagged<RuleView>, ServiceError> {
    let (rule, seen) = sight.rule(id).await?;
    Ok(Tagged { tag: Tag::of(&rule), view: to_view(sight, &mut Counter::default(), id, rule, &seen).await? })
}

/// A rule as whoever asks may know it: who may write what it is on is told all of its counts, others what
/// follows from the locks that they see.
pub(super) async fn to_view(
    sight: &mut Sight,
    counter: &mut Counter,
    id: RuleId,
    rule: RuleRecord,
    on: &Seen,
) -> Result<RuleView, ServiceError> {
    let view = sight.view().clone();
    let stored = locks::counts(&view, id, rule.did).await?;
    let (mut files, mut seen) = (Count::default(), RuleCounts { open_work: stored.open_work, ..RuleCounts::default() });
    let rows = view.scan::<Locks>(&(id,), LOCKS_MAX).await?;
    let whole = rows.len() < LOCKS_MAX;
    for ((_, unit, endpoint), lock) in rows {
        let Some(lock) = counter.lock(sight, (unit, endpoint), &lock).await? else { continue };
        match lock.state {
            LockState::Ok => seen.locks_ok += 1,
            LockState::Replicating => seen.locks_replicating += 1,
            LockState::Stuck { .. } => seen.locks_stuck += 1,
        }
        let count = lock.files.unwrap_or_default();
        files = Count { done: files.done + count.done, wanted: files.wanted + count.wanted };
    }
    let counts = if sight.knows_all(on) {
        stored
    } else {
        for ((_, group), ()) in view.scan::<Unplaced>(&(id,), LOCKS_MAX).await? {
            seen.units_unplaced += u64::from(sight.by_id(group).await?.is_some());
        }
        seen
    };
    // Of so many locks the first alone do not say how the rule is.
    let state = state(rule.releasing, if whole { counts } else { stored });
    Ok(RuleView {
        id,
        did: on.facts.did.clone(),
        account: rule.account,
        copies: rule.copies,
        expression: rule.expression.as_str().to_owned(),
        grouping: rule.grouping,
        state,
        locks_ok: counts.locks_ok,
        locks_replicating: counts.locks_replicating,
        locks_stuck: counts.locks_stuck,
        units_unplaced: counts.units_unplaced,
        files_done: files.done,
        files_wanted: files.wanted,
        created_at: rule.created_at,
        expires_at: rule.expires_at,
        plan: None,
    })
}
