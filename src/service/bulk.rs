//! Changes in bulk: DIDs to make, members to attach or detach, a thousand lines to a transaction. Lines
//! that are refused keep none of the others out, and the same lines again change nothing.

use std::collections::BTreeMap;

use crate::catalog::labels::Gatherer;
use crate::catalog::ledger::membership::{Member, MembershipError, check_fits};
use crate::catalog::record::{DidNames, Dids};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, Txn, View};
use crate::model::did::{Did, DidKind};
use crate::model::facts::Resource;
use crate::model::id::DidId;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::dids::{move_members, named, permit_moves, put_holder, supposed, tell_of_labels};
use crate::service::error::ServiceError;
use crate::service::labels::below::{self, Looked, MEMBERS_CHANGED};
use crate::service::lines::{Lines, all_refused, by_present_rights, json, of_line, refused};
use crate::service::sight::Sight;
use crate::service::view::{Attachment, MovedChunk, NewDid};

/// How often members of a chunk are looked at anew because they, or labels, have changed meanwhile.
const LOOKS_MAX: usize = 5;

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
    /// Does what at most [`CHUNK`](crate::service::lines::CHUNK) lines say, of which the first has the number
    /// `line`.
    pub async fn chunk(&self, line: u64, lines: &[String]) -> Result<MovedChunk, ServiceError> {
        let done = match &self.bulk {
            Bulk::Create => self.done(line, lines, create).await,
            Bulk::Attach(parent) => self.done(line, lines, |ctx, lines| members(ctx, parent, lines, false)).await,
            Bulk::Detach(parent) => self.done(line, lines, |ctx, lines| members(ctx, parent, lines, true)).await,
        };
        self.ctx.catalog().wakes().wake(Topic::Rules);
        self.ctx.catalog().wakes().wake(Topic::Folds);
        done
    }

    async fn done<T, F>(
        &self,
        line: u64,
        lines: &[String],
        work: impl FnOnce(Context, Vec<(u64, T)>) -> F,
    ) -> Result<MovedChunk, ServiceError>
    where
        T: serde::de::DeserializeOwned,
        F: Future<Output = Result<Vec<(u64, Outcome)>, ServiceError>>,
    {
        let Lines { numbers, items, refused: unread } = Lines::read(line, lines, json);
        let mut answer = MovedChunk { line, done: 0, same: 0, refused: unread };
        let items = numbers.iter().copied().zip(items).collect();
        match by_present_rights(&self.ctx, |ctx| work(ctx, items)).await? {
            Err(error) => answer.refused.extend(all_refused(&numbers, &error)),
            Ok(outcomes) => {
                for (line, outcome) in outcomes {
                    match outcome {
                        Ok(true) => answer.done += 1,
                        Ok(false) => answer.same += 1,
                        Err(error) => answer.refused.push(refused(line, &error)),
                    }
                }
            }
        }
        answer.refused.sort_by_key(|refused| refused.line);
        Ok(answer)
    }
}

async fn transact<F, Fut>(catalog: &Catalog, body: F) -> Result<Vec<(u64, Outcome)>, ServiceError>
where
    F: Fn(Txn) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<(u64, Outcome)>, ServiceError>> + Send + 'static,
{
    catalog.transact_bulk(body).await
}

async fn create(ctx: Context, new: Vec<(u64, NewDid)>) -> Result<Vec<(u64, Outcome)>, ServiceError> {
    let first = ctx.catalog().did_ids(new.len() as u64).await?;
    let asking = ctx.clone();
    transact(ctx.catalog(), move |txn| {
        let (ctx, new) = (asking.clone(), new.clone());
        async move {
            let mut outcomes = Vec::with_capacity(new.len());
            let mut sight = ctx.sight(&txn);
            let mut taken = taken(&txn, &new).await?;
            for ((line, new), id) in new.into_iter().zip(first.0..) {
                let made = create_one(&ctx, &txn, &mut sight, DidId(id), new, &mut taken).await;
                outcomes.push((line, of_line(made)?));
            }
            Ok(outcomes)
        }
    })
    .await
}

/// What goes by the names that lines give to something new.
async fn taken(view: &View, new: &[(u64, NewDid)]) -> Result<BTreeMap<Did, DidKind>, ServiceError> {
    let keys: Vec<_> = new.iter().map(|(_, new)| (new.did.scope.to_string(), new.did.name.to_string())).collect();
    let names = view.get_many::<DidNames>(&keys).await?;
    let ids: Vec<_> = names.into_iter().flatten().map(|name| (name.id,)).collect();
    let records = view.get_many::<Dids>(&ids).await?;
    Ok(records.into_iter().flatten().map(|record| (record.did(), record.kind())).collect())
}

async fn create_one(
    ctx: &Context,
    txn: &Txn,
    sight: &mut Sight,
    id: DidId,
    new: NewDid,
    taken: &mut BTreeMap<Did, DidKind>,
) -> Outcome {
    if new.kind == DidKind::File {
        return Err(ServiceError::invalid("invalid-kind", "a file is registered with its bytes"));
    }
    let scope = sight.scope(&new.did.scope).await?;
    sight.permit(Action::Write, &Resource::Scope(scope), None)?;
    match taken.get(&new.did) {
        Some(known) if *known == new.kind => Ok(false),
        Some(_) => Err(ServiceError::Exists { what: "DID", name: new.did.to_string() }),
        None => {
            put_holder(txn, id, &new.did, new.kind, ctx.account().clone());
            taken.insert(new.did, new.kind);
            Ok(true)
        }
    }
}

/// Attaches or detaches the members that lines name. What lies below them is looked at before the
/// transaction, and anew where that has changed meanwhile.
async fn members(
    ctx: Context,
    parent: &Did,
    lines: Vec<(u64, Attachment)>,
    leave: bool,
) -> Result<Vec<(u64, Outcome)>, ServiceError> {
    for _ in 1..LOOKS_MAX {
        match members_once(&ctx, parent, &lines, leave).await {
            Err(ServiceError::Conflict { code: MEMBERS_CHANGED, .. }) => {}
            done => return done,
        }
    }
    members_once(&ctx, parent, &lines, leave).await
}

async fn members_once(
    ctx: &Context,
    parent: &Did,
    lines: &[(u64, Attachment)],
    leave: bool,
) -> Result<Vec<(u64, Outcome)>, ServiceError> {
    let (mut outcomes, mut moving, mut looked) = (Vec::new(), Vec::new(), Looked::default());
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (above, _) = sight.did_for(Action::Write, parent).await?;
    let seen = sight.by_names(lines.iter().map(|(_, line)| &line.did)).await?;
    for (line, Attachment { did }) in lines {
        let tried = async {
            let seen = seen.get(did).ok_or_else(|| ServiceError::no_did(did))?;
            let change = supposed(above.id, std::slice::from_ref(seen), leave);
            below::permit(ctx, &view, &[seen], change).await
        };
        match of_line(tried.await)? {
            Ok(more) => {
                looked.add(more);
                moving.push((*line, did.clone()));
            }
            Err(error) => outcomes.push((*line, Err(error))),
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
    let seen = sight.by_names(moving.iter().map(|(_, did)| did)).await?;
    for (line, did) in moving {
        match seen.get(&did) {
            Some(seen) => {
                lines.push(line);
                moved.push(seen.clone());
            }
            None => outcomes.push((line, Err(ServiceError::no_did(&did)))),
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
