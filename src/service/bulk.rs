//! Changes in bulk: DIDs to make, members to attach or detach, a thousand lines to a transaction. Lines
//! that are refused keep none of the others out, and the same lines again change nothing.

use std::collections::BTreeMap;

use crate::catalog::labels::Gatherer;
use crate::catalog::ledger::membership::{Member, MembershipError, check_fits};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, Txn};
use crate::fault::{Fault as _, Kind};
use crate::model::did::{Did, DidKind};
use crate::model::facts::Resource;
use crate::model::id::DidId;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::dids::{find, move_members, named, permit_moves, put_holder, supposed, tell_of_labels};
use crate::service::error::ServiceError;
use crate::service::labels::below::{self, Looked};
use crate::service::sight::Sight;
use crate::service::view::{Attachment, MovedChunk, NewDid, RefusedLine};

/// How many lines are one transaction.
pub const CHUNK: usize = crate::catalog::TRANSACTION_FILES_MAX;

/// What is done in bulk.
#[derive(Debug, Clone)]
pub enum Bulk {
    /// Datasets and containers are made: each line is a `NewDid`.
    Create,
    /// Members join a dataset or container: each line is an `Attachment`.
    Attach(Did),
    /// Members leave it.
    Detach(Did),
}

/// Work in bulk that was begun: any number of chunks.
pub struct Work {
    ctx: Context,
    bulk: Bulk,
}

/// What became of a line.
type Outcome = Result<bool, ServiceError>;

/// Begins work in bulk; fails if the parent is not there, or may not be changed.
pub async fn begin(ctx: &Context, bulk: Bulk) -> Result<Work, ServiceError> {
    if let Bulk::Attach(parent) | Bulk::Detach(parent) = &bulk {
        let view = ctx.catalog().view().await?;
        let (seen, _) = ctx.sight(&view).did_for(Action::Write, parent).await?;
        if seen.record.kind() == DidKind::File {
            return Err(ServiceError::invalid("invalid-kind", format!("`{parent}` is a file and holds nothing")));
        }
    }
    Ok(Work { ctx: ctx.clone(), bulk })
}

impl Work {
    /// Does what at most [`CHUNK`] lines say, of which the first has the number `line`.
    pub async fn chunk(&self, line: u64, lines: &[String]) -> Result<MovedChunk, ServiceError> {
        // A rehearsal of each chunk by itself: one of them all would grow with their number.
        let ctx = if self.ctx.is_dry_run() { self.ctx.clone().rehearsing().await? } else { self.ctx.clone() };
        let numbered = (line..).zip(lines).filter(|(_, text)| !text.is_empty());
        let mut answer = MovedChunk { line, done: 0, same: 0, refused: Vec::new() };
        let outcomes = match &self.bulk {
            Bulk::Create => create(&ctx, read(numbered, &mut answer)).await?,
            Bulk::Attach(parent) => members(&ctx, parent, read(numbered, &mut answer), false).await?,
            Bulk::Detach(parent) => members(&ctx, parent, read(numbered, &mut answer), true).await?,
        };
        for (line, outcome) in outcomes {
            match outcome {
                Ok(true) => answer.done += 1,
                Ok(false) => answer.same += 1,
                Err(error) => answer.refused.push(refused(line, &error)),
            }
        }
        answer.refused.sort_by_key(|refused| refused.line);
        self.ctx.catalog().wakes().wake(Topic::Rules);
        self.ctx.catalog().wakes().wake(Topic::Folds);
        Ok(answer)
    }
}

/// The lines that can be read; others are refused.
fn read<'a, T: serde::de::DeserializeOwned>(
    lines: impl Iterator<Item = (u64, &'a String)>,
    answer: &mut MovedChunk,
) -> Vec<(u64, T)> {
    let mut read = Vec::new();
    for (line, text) in lines {
        match serde_json::from_str(text) {
            Ok(item) => read.push((line, item)),
            Err(error) => {
                let (code, detail) = ("invalid-line".to_owned(), error.to_string());
                answer.refused.push(RefusedLine { line, code, detail });
            }
        }
    }
    read
}

fn refused(line: u64, error: &ServiceError) -> RefusedLine {
    RefusedLine { line, code: error.code().to_owned(), detail: error.to_string() }
}

/// What is wrong with one line is that line's outcome; what is wrong with the lake ends the work.
fn of_line<T>(tried: Result<T, ServiceError>) -> Result<Result<T, ServiceError>, ServiceError> {
    match tried {
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Corrupt | Kind::Internal) => Err(error),
        tried => Ok(tried),
    }
}

async fn transact<F, Fut>(catalog: &Catalog, body: F) -> Result<Vec<(u64, Outcome)>, ServiceError>
where
    F: Fn(Txn) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<(u64, Outcome)>, ServiceError>> + Send + 'static,
{
    catalog.transact_bulk(body).await
}

async fn create(ctx: &Context, new: Vec<(u64, NewDid)>) -> Result<Vec<(u64, Outcome)>, ServiceError> {
    let first = ctx.catalog().did_ids(new.len() as u64).await?;
    let asking = ctx.clone();
    transact(ctx.catalog(), move |txn| {
        let (ctx, new) = (asking.clone(), new.clone());
        async move {
            let mut outcomes = Vec::with_capacity(new.len());
            let mut sight = ctx.sight(&txn);
            for ((line, new), id) in new.into_iter().zip(first.0..) {
                outcomes.push((line, of_line(create_one(&ctx, &txn, &mut sight, DidId(id), &new).await)?));
            }
            Ok(outcomes)
        }
    })
    .await
}

async fn create_one(ctx: &Context, txn: &Txn, sight: &mut Sight, id: DidId, new: &NewDid) -> Outcome {
    if new.kind == DidKind::File {
        return Err(ServiceError::invalid("invalid-kind", "a file is registered with its bytes"));
    }
    let scope = sight.scope(&new.did.scope).await?;
    sight.permit(Action::Write, &Resource::Scope(scope), None)?;
    match find(txn, &new.did).await? {
        Some((_, known)) if known.kind() == new.kind => Ok(false),
        Some(_) => Err(ServiceError::Exists { what: "DID", name: new.did.to_string() }),
        None => {
            put_holder(txn, id, &new.did, new.kind, ctx.account().clone());
            Ok(true)
        }
    }
}

async fn members(
    ctx: &Context,
    parent: &Did,
    lines: Vec<(u64, Attachment)>,
    leave: bool,
) -> Result<Vec<(u64, Outcome)>, ServiceError> {
    let (mut outcomes, mut moving, mut looked) = (Vec::new(), Vec::new(), Looked::default());
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (above, _) = sight.did_for(Action::Write, parent).await?;
    for (line, Attachment { did }) in lines {
        let tried = async {
            let seen = sight.did(&did).await?;
            let change = supposed(above.id, std::slice::from_ref(&seen), leave);
            below::permit(ctx, &view, &[&seen], change).await
        };
        match of_line(tried.await)? {
            Ok(more) => {
                looked.add(more);
                moving.push((line, did));
            }
            Err(error) => outcomes.push((line, Err(error))),
        }
    }
    drop((sight, view));
    let (asking, parent) = (ctx.clone(), parent.clone());
    let moved = transact(ctx.catalog(), move |txn| {
        let (ctx, parent, moving, looked) = (asking.clone(), parent.clone(), moving.clone(), looked.clone());
        async move {
            looked.still_holds(&txn, &parent).await?;
            move_in(&ctx, &txn, &parent, moving, leave).await
        }
    });
    outcomes.extend(moved.await?);
    Ok(outcomes)
}

async fn move_in(
    ctx: &Context,
    txn: &Txn,
    parent: &Did,
    moving: Vec<(u64, Did)>,
    leave: bool,
) -> Result<Vec<(u64, Outcome)>, ServiceError> {
    let mut sight = ctx.sight(txn);
    let (above, _) = sight.did_for(Action::Write, parent).await?;
    let holder = Member { id: above.id, kind: above.record.kind(), bytes: 0 };
    let (mut outcomes, mut lines, mut moved) = (Vec::with_capacity(moving.len()), Vec::new(), Vec::new());
    for (line, did) in moving {
        match of_line(sight.did(&did).await)? {
            Ok(seen) => {
                lines.push(line);
                moved.push(seen);
            }
            Err(error) => outcomes.push((line, Err(error))),
        }
    }
    let mut after = Gatherer::supposing(txn, supposed(holder.id, &moved, leave));
    let permitted = permit_moves(&sight, &mut after, &moved).await?;
    // Lines that name the same member move it once.
    let (mut fit, mut changed) = (BTreeMap::new(), Vec::new());
    for ((line, seen), permitted) in lines.into_iter().zip(&moved).zip(permitted) {
        let bytes = seen.record.file().map_or(0, |facts| facts.bytes);
        let member = Member { id: seen.id, kind: seen.record.kind(), bytes };
        let held = check_fits(txn, holder, member, leave).await.map_err(|error| named(error, parent));
        let outcome = match (of_line(held)?, of_line(permitted)?) {
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(is_held), Ok(changes)) => {
                if changes {
                    changed.push(seen);
                }
                Ok(is_held == leave && fit.insert(member.id, member).is_none())
            }
        };
        outcomes.push((line, outcome));
    }
    let fit: Vec<Member> = fit.into_values().collect();
    let moved = move_members(txn, ctx.account(), holder, &fit, leave).await;
    moved.map_err(|error: MembershipError| named(error, parent))?;
    tell_of_labels(txn, &changed).await?;
    Ok(outcomes)
}
