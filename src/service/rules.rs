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
use crate::catalog::{View, placing};
use crate::model::change::Change;
use crate::model::did::Did;
use crate::model::expression::Expression;
use crate::model::id::{DidId, EndpointId, RuleId};
use crate::model::lock::LockState;
use crate::model::rule::{COPIES_MAX, RuleCounts, RuleState, state};
use crate::model::time::Timestamp;
use crate::policy::decision::Action;
use crate::rules::expire;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, Rounds};
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
                placing::begin(&txn, id, did).await?;
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
    listed(ctx, did, None, paging).await
}

/// Lists rules in one state.
pub async fn in_state(
    ctx: &Context,
    did: Option<Did>,
    state: RuleState,
    paging: Paging,
) -> Result<Page<RuleView>, ServiceError> {
    listed(ctx, did, Some(state), paging).await
}

async fn listed(
    ctx: &Context,
    did: Option<Did>,
    state: Option<RuleState>,
    paging: Paging,
) -> Result<Page<RuleView>, ServiceError> {
    let view = ctx.catalog().view().await?;
    let (mut sight, mut counter) = (ctx.sight(&view), Counter::default());
    let (met, next) = meet(ctx, &mut sight, &mut counter, did, state, paging).await?;
    let mut items = Vec::with_capacity(met.len());
    for Met { id, record, on } in met {
        items.push(to_view(&mut sight, &mut counter, id, record, &on).await?);
    }
    Ok(Page { items, next })
}

/// Lists the states of rules. Where all that a rule is on is known to whoever asks, no lock is read.
pub async fn states(ctx: &Context, paging: Paging) -> Result<Page<(RuleId, RuleState)>, ServiceError> {
    let view = ctx.catalog().view().await?;
    let (mut sight, mut counter) = (ctx.sight(&view), Counter::default());
    let (met, next) = meet(ctx, &mut sight, &mut counter, None, None, paging).await?;
    let mut items = Vec::with_capacity(met.len());
    for one in met {
        items.push((one.id, state_of(&mut sight, &mut counter, &one).await?));
    }
    Ok(Page { items, next })
}

/// A rule on something that is seen.
struct Met {
    id: RuleId,
    record: RuleRecord,
    on: Seen,
}

/// A page of rules that are seen, in one state or in any, and the cursor that leads on.
async fn meet(
    ctx: &Context,
    sight: &mut Sight,
    counter: &mut Counter,
    did: Option<Did>,
    state: Option<RuleState>,
    paging: Paging,
) -> Result<(Vec<Met>, Option<String>), ServiceError> {
    ctx.permit(Action::Discover, "rules")?;
    let limit = paging.limit()?;
    let mut after = paging.after()?.unwrap_or(RuleId(0));
    let on = match &did {
        Some(did) => Some(sight.did(did).await?.id),
        None => None,
    };
    let (mut found, mut rounds) = (Vec::new(), Rounds::of(limit));
    while let Some(count) = rounds.next() {
        let rows = rules_behind(sight.view(), on, after, count).await?;
        let Some((last, _)) = rows.last() else { return Ok((found, None)) };
        after = *last;
        let is_end = rows.len() < count;
        let rows: Vec<_> = rows.into_iter().filter_map(|(id, record)| Some((id, record?))).collect();
        let seen = sight.by_ids(rows.iter().map(|(_, record)| record.did)).await?;
        for (id, record) in rows {
            let Some(on) = seen.get(&record.did).cloned() else { continue };
            let met = Met { id, record, on };
            if let Some(state) = state
                && state_of(sight, counter, &met).await? != state
            {
                continue;
            }
            found.push(met);
            if found.len() == limit {
                return Ok((found, Some(id.to_string())));
            }
        }
        if is_end {
            return Ok((found, None));
        }
    }
    Ok((found, Some(after.to_string())))
}

/// Rules behind one, all or those on one DID.
async fn rules_behind(
    view: &View,
    on: Option<DidId>,
    after: RuleId,
    count: usize,
) -> Result<Vec<(RuleId, Option<RuleRecord>)>, ServiceError> {
    let Some(on) = on else {
        let rows = view.scan_after::<Rules>(&(), &(after,), count).await?;
        return Ok(rows.into_iter().map(|((id,), record)| (id, Some(record))).collect());
    };
    let rows = view.scan_after::<RulesByDid>(&(on,), &(on, after), count).await?;
    let ids: Vec<_> = rows.into_iter().map(|((_, id), ())| (id,)).collect();
    let records = view.get_many::<Rules>(&ids).await?;
    Ok(ids.into_iter().map(|(id,)| id).zip(records).collect())
}

/// The state of a rule, as it is shown to whoever asks.
async fn state_of(sight: &mut Sight, counter: &mut Counter, met: &Met) -> Result<RuleState, ServiceError> {
    if sight.knows_all(&met.on) {
        let counts = locks::counts(sight.view(), met.id, met.record.did).await?;
        return Ok(state(met.record.releasing, counts));
    }
    Ok(to_view(sight, counter, met.id, met.record.clone(), &met.on).await?.state)
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
                    placing::begin(&txn, id, old.did).await?;
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
                placing::begin(&txn, id, rule.did).await?;
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
    for lock in counter.locks(sight, rows).await? {
        match lock.state {
            LockState::Ok => seen.locks_ok += 1,
            LockState::Replicating => seen.locks_replicating += 1,
            LockState::Stuck { .. } => seen.locks_stuck += 1,
        }
        files = files.plus(lock.files.unwrap_or_default());
    }
    let counts = if sight.knows_all(on) {
        stored
    } else {
        let unplaced = view.scan::<Unplaced>(&(id,), LOCKS_MAX).await?;
        seen.units_unplaced = sight.by_ids(unplaced.into_iter().map(|((_, group), ())| group)).await?.len() as u64;
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
