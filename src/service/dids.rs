//! DIDs: make, show, list, attach, detach.

use std::sync::Arc;

use crate::catalog::engine::Range;
use crate::catalog::history::note;
use crate::catalog::key::Key;
use crate::catalog::labels::{self, Gatherer, Supposed};
use crate::catalog::ledger::membership::{self, Member, MembershipError};
use crate::catalog::ledger::replicas::put_did;
use crate::catalog::record::{
    Closed, ClosedRecord, DidContent, DidNames, DidRecord, Dids, Happening, HeadRecord, Heads,
};
use crate::catalog::table::Value as _;
use crate::catalog::wake::Topic;
use crate::catalog::{Rows, Txn, View, metadata, placing};
use crate::model::account::AccountName;
use crate::model::change::Change;
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::Endpoint;
use crate::model::facts::{DidFacts, EndpointFacts, Resource};
use crate::model::id::{DecisionId, DidId};
use crate::model::scope::Scope;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::labels::below::{self, Looked, asks_for};
use crate::service::paging::{Paging, Rounds, page};
use crate::service::sight::{Seen, Sight};
use crate::service::terms::{Made, Tag, Tagged};
use crate::service::view::{ContentView, DidView, Members, MetadataObject, NewDid, Page};

/// The most members that one request attaches or detaches.
const MEMBERS_MAX: usize = crate::catalog::TRANSACTION_FILES_MAX;

/// The most members that are counted for somebody who may not know them all.
const COUNTED_MAX: u64 = 10_000;
/// The same of each entry of a list.
const COUNTED_IN_LISTS_MAX: u64 = 100;
/// How many are counted together.
const COUNTED_TOGETHER: usize = 1_000;
/// How many lots of members are looked through for them.
const COUNTED_LOTS_MAX: usize = 20;

/// Makes a dataset or container.
pub async fn create(ctx: &Context, new: NewDid) -> Result<Tagged<DidView>, ServiceError> {
    if new.kind == DidKind::File {
        return Err(ServiceError::Invalid {
            code: "invalid-kind",
            detail: "a file is registered with its bytes".to_owned(),
            hint: Some("use `dapple put` or `dapple replica register`".to_owned()),
        });
    }
    let id = ctx.catalog().did_ids(1).await?;
    let asking = ctx.clone();
    ctx.transact(Made::New, move |txn| {
        let (new, ctx) = (new.clone(), asking.clone());
        async move {
            let mut sight = ctx.sight(&txn);
            let scope = sight.scope(&new.did.scope).await?;
            sight.permit(Action::Write, &Resource::Scope(scope), None)?;
            // Whoever may write in a scope learns which of its names are taken.
            if find(&txn, &new.did).await?.is_some() {
                return Err(ServiceError::Exists { what: "DID", name: new.did.to_string() });
            }
            let record = put_holder(&txn, id, &new.did, new.kind, ctx.account().clone());
            let facts = sight.gatherer().did(id, &record).await?;
            let tag = tag(&record, Some(HeadRecord::default()), None);
            Ok(Tagged { tag, view: to_view(record, &facts, Some(Held::default()), None) })
        }
    })
    .await
}

/// The dataset of a name, made if it is missing, and what lets its files lie at an endpoint. Files
/// take names of the scope, so they need a say in it as well.
pub(super) async fn ensure_dataset(
    ctx: &Context,
    did: &Did,
    at: &Endpoint,
) -> Result<(DidId, DecisionId), ServiceError> {
    let new = ctx.catalog().did_ids(1).await?;
    let (asking, wanted, at) = (ctx.clone(), did.clone(), Arc::new(EndpointFacts::from(at)));
    ctx.catalog()
        .transact(move |txn| {
            let (ctx, wanted, at) = (asking.clone(), wanted.clone(), Arc::clone(&at));
            async move {
                let mut sight = ctx.sight(&txn);
                let scope = sight.scope(&wanted.scope).await?;
                sight.permit(Action::Write, &Resource::Scope(scope), None)?;
                let (id, record) = match find(&txn, &wanted).await? {
                    None => (new, put_holder(&txn, new, &wanted, DidKind::Dataset, ctx.account().clone())),
                    Some((id, record)) if record.kind() == DidKind::Dataset => (id, record),
                    Some((_, record)) => {
                        let detail = format!("`{wanted}` is a {}; files go to a dataset", record.kind());
                        return Err(ServiceError::invalid("invalid-kind", detail));
                    }
                };
                let resource = Resource::Did(sight.gatherer().did(id, &record).await?);
                sight.permit(Action::Write, &resource, None)?;
                let permit = sight.permit(Action::Place, &resource, Some(&at))?;
                Ok((id, permit.record(&txn)))
            }
        })
        .await
}

pub(super) fn put_holder(txn: &Txn, id: DidId, did: &Did, kind: DidKind, account: AccountName) -> DidRecord {
    let content = if kind == DidKind::Container { DidContent::Container } else { DidContent::Dataset };
    let record =
        DidRecord { scope: did.scope.clone(), name: did.name.clone(), account, created_at: txn.now(), content };
    put_did(txn, id, &record);
    txn.put::<Heads>(&(id,), &HeadRecord::default());
    txn.emit(&Change::DidsRegistered { first: id, count: 1 });
    record
}

/// A DID by name.
pub(super) async fn find(view: &View, did: &Did) -> Result<Option<(DidId, DidRecord)>, ServiceError> {
    let Some(name) = view.get::<DidNames>(&(did.scope.to_string(), did.name.to_string())).await? else {
        return Ok(None);
    };
    Ok(view.get::<Dids>(&(name.id,)).await?.map(|record| (name.id, record)))
}

/// Shows a DID.
pub async fn show(ctx: &Context, did: &Did) -> Result<Tagged<DidView>, ServiceError> {
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (seen, _) = sight.did_for(Action::Discover, did).await?;
    shown(&mut sight, seen).await
}

/// A DID as it is shown, with the tag of what is stored of it, as far as whoever asks may know it.
pub(super) async fn shown(sight: &mut Sight, seen: Seen) -> Result<Tagged<DidView>, ServiceError> {
    let closed = sight.view().get::<Closed>(&(seen.id,)).await?;
    let held = counted(sight, &seen, COUNTED_MAX).await?;
    let head = if sight.knows_all(&seen) {
        sight.view().get::<Heads>(&(seen.id,)).await?
    } else {
        // What comes and goes hidden leaves the tag as it is.
        held.map(|held| HeadRecord { next_seq: 0, members: held.members, bytes: held.bytes })
    };
    let tag = tag(&seen.record, head, closed.as_ref());
    let metadata = match metadata::of(sight.view(), seen.id).await? {
        Some(record) => MetadataObject(metadata::read(Some(&record))?.into_object()),
        None => MetadataObject::default(),
    };
    Ok(Tagged { tag, view: DidView { metadata, ..to_view(seen.record, &seen.facts, held, closed) } })
}

/// Names what is stored of a DID now.
pub(super) async fn present_tag(view: &View, seen: &Seen) -> Result<Tag, ServiceError> {
    let closed = view.get::<Closed>(&(seen.id,)).await?;
    Ok(tag(&seen.record, view.get::<Heads>(&(seen.id,)).await?, closed.as_ref()))
}

/// Lists the DIDs of a scope by name.
pub async fn list(ctx: &Context, scope: &Scope, prefix: &str, paging: Paging) -> Result<Page<DidView>, ServiceError> {
    let limit = paging.limit()?;
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let facts = sight.scope(scope).await?;
    sight.permit(Action::Discover, &Resource::Scope(facts), None)?;
    let (mut items, mut after, mut rounds) = (Vec::new(), ctx.name(scope.as_str(), &paging)?, Rounds::of(limit));
    while let Some(count) = rounds.next() {
        let Some(rows) = names_behind(&view, scope, prefix, after.as_deref(), count).await? else {
            return Ok(Page { items, next: None });
        };
        let is_end = rows.len() < count;
        after = rows.last().map(|((_, name), _)| name.clone());
        let ids: Vec<_> = rows.iter().map(|(_, record)| (record.id,)).collect();
        let records = view.get_many::<Dids>(&ids).await?;
        let there = ids.iter().zip(records).filter_map(|((id,), record)| Some((*id, record?)));
        let there = there.filter(|(_, record)| record.file().is_none_or(|facts| !facts.announced)).collect();
        let mut seen: Vec<_> = sight.of_these(there).await?.into_iter().map(|(_, seen)| seen).collect();
        seen.truncate(limit - items.len());
        let ids: Vec<_> = seen.iter().map(|seen| (seen.id,)).collect();
        let closed = view.get_many::<Closed>(&ids).await?;
        for (seen, closed) in seen.into_iter().zip(closed) {
            let held = match seen.record.kind() {
                DidKind::File => None,
                DidKind::Dataset | DidKind::Container => counted(&mut sight, &seen, COUNTED_IN_LISTS_MAX).await?,
            };
            items.push(to_view(seen.record, &seen.facts, held, closed));
        }
        if items.len() == limit {
            return Ok(page(items, true, |item| ctx.behind_shown(scope.as_str(), item.did.name.as_str())));
        }
        if is_end {
            return Ok(Page { items, next: None });
        }
    }
    Ok(Page { items, next: after.map(|name| ctx.behind_any(scope.as_str(), &name)) })
}

/// Names of a scope behind one; `None` if there are none.
async fn names_behind(
    view: &View,
    scope: &Scope,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Option<Rows<DidNames>>, ServiceError> {
    let mut range = Range::prefix(Key::new().text(scope.as_str()).text_prefix(prefix).as_slice(), limit);
    if let Some(after) = after {
        range = range.after(Key::new().text(scope.as_str()).text(after).as_slice());
    }
    let names = view.range::<DidNames>(range).await?;
    Ok((!names.is_empty()).then_some(names))
}

/// Lists what a dataset or container holds, in the order in which it came.
pub async fn contents(ctx: &Context, did: &Did, paging: Paging) -> Result<Page<ContentView>, ServiceError> {
    let limit = paging.limit()?;
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (seen, _) = sight.did_for(Action::Discover, did).await?;
    if seen.record.kind() == DidKind::File {
        return Err(ServiceError::invalid("invalid-kind", format!("`{did}` is a file and holds nothing")));
    }
    let (rows, next) = sight.members(seen.id, ctx.place(seen.id, &paging)?, limit).await?;
    let items = rows
        .into_iter()
        .map(|(_, Seen { record, .. })| {
            let (did, kind) = (record.did(), record.kind());
            let (bytes, checksums) = match record.content {
                DidContent::File(facts) => (facts.bytes, facts.checksums),
                DidContent::Dataset | DidContent::Container => (0, Vec::new()),
            };
            ContentView { did, kind, bytes, checksums }
        })
        .collect();
    Ok(Page { items, next: ctx.cursor(seen.id, next) })
}

/// Attaches members to a dataset or container; those it holds already change nothing.
pub async fn attach(ctx: &Context, did: Did, members: Members) -> Result<Tagged<DidView>, ServiceError> {
    change_members(ctx, did, members, false).await
}

/// Detaches members from a dataset or container; those it does not hold change nothing.
pub async fn detach(ctx: &Context, did: Did, members: Members) -> Result<Tagged<DidView>, ServiceError> {
    change_members(ctx, did, members, true).await
}

async fn change_members(
    ctx: &Context,
    did: Did,
    members: Members,
    leave: bool,
) -> Result<Tagged<DidView>, ServiceError> {
    if members.dids.len() > MEMBERS_MAX {
        let detail = format!("one request takes at most {MEMBERS_MAX} members");
        return Err(ServiceError::invalid("too-many-members", detail));
    }
    let looked = permit_what_moves_along(ctx, &did, &members, leave).await?;
    let asking = ctx.clone();
    let done = ctx
        .transact(Made::Changed, move |txn| {
            let (ctx, did, members) = (asking.clone(), did.clone(), members.clone());
            let looked = looked.clone();
            async move {
                looked.still_holds(&txn, &did).await?;
                let mut sight = ctx.sight(&txn);
                let (above, _) = sight.did_for(Action::Write, &did).await?;
                ctx.expect(&present_tag(&txn, &above).await?)?;
                let parent = Member { id: above.id, kind: above.record.kind(), bytes: 0 };
                let moved = sight.named(&members.dids).await?;
                let mut after = Gatherer::supposing(&txn, supposed(parent.id, &moved, leave));
                let mut children = Vec::with_capacity(moved.len());
                let mut changed = Vec::new();
                for (seen, permitted) in moved.iter().zip(permit_moves(&sight, &mut after, &moved).await?) {
                    if permitted? {
                        changed.push(seen);
                    }
                    let bytes = seen.record.file().map_or(0, |facts| facts.bytes);
                    children.push(Member { id: seen.id, kind: seen.record.kind(), bytes });
                }
                move_members(&txn, ctx.account(), parent, &children, leave)
                    .await
                    .map_err(|error| named(error, &did))?;
                tell_of_labels(&txn, &changed).await?;
                shown(&mut sight, above).await
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    ctx.catalog().wakes().wake(Topic::Folds);
    Ok(done)
}

/// Attaches or detaches members, and notes it. Returns how many came or went.
pub(super) async fn move_members(
    txn: &Txn,
    account: &AccountName,
    parent: Member,
    members: &[Member],
    leave: bool,
) -> Result<u64, MembershipError> {
    let moved = if leave {
        membership::detach(txn, parent, members).await?
    } else {
        membership::attach(txn, parent, members).await?
    };
    let Some(several) = moved else { return Ok(0) };
    let what = if leave { Happening::Detached(several) } else { Happening::Attached(several) };
    note(txn, parent.id, Some(account), what).await?;
    Ok(several.count)
}

/// An error of the ledger, which knows no names, with the name of the parent.
pub(super) fn named(error: MembershipError, parent: &Did) -> ServiceError {
    match error {
        MembershipError::Closed { .. } => ServiceError::Conflict {
            code: "did-closed",
            detail: format!("`{parent}` is closed: it takes no more members"),
            hint: Some(format!("`dapple did reopen {parent}` opens it again")),
        },
        error => ServiceError::Membership(error),
    }
}

/// Names what is stored of a DID: a dataset or container changes with its members, and when it is
/// closed.
fn tag(record: &DidRecord, head: Option<HeadRecord>, closed: Option<&ClosedRecord>) -> Tag {
    let tag = Tag::of_two(record, &head.unwrap_or_default());
    match closed {
        Some(closed) => Tag::of_parts(&[tag.as_str().as_bytes(), &closed.encode()]),
        None => tag,
    }
}

/// Members take on the labels of what holds them. Where that changes their own, whoever moves them needs
/// a say in them, too: to write them if that only tightens, to relabel them otherwise. Says of each whether
/// its labels change.
pub(super) async fn permit_moves(
    sight: &Sight,
    after: &mut Gatherer,
    moved: &[Seen],
) -> Result<Vec<Result<bool, ServiceError>>, ServiceError> {
    let asked: Vec<_> = moved.iter().map(|seen| (seen.id, &seen.record)).collect();
    let after = after.dids(&asked).await?;
    let permitted = moved.iter().zip(after).map(|(seen, after)| match asks_for(&seen.facts, &after) {
        Some(action) => sight.permit(action, &seen.resource(), None).map(|_| true),
        None => Ok(false),
    });
    Ok(permitted.collect())
}

/// Tells of datasets and containers whose labels have changed: rules on them are placed anew at once. Files
/// are told of wherever they join a dataset or leave it.
pub(super) async fn tell_of_labels(txn: &Txn, changed: &[&Seen]) -> Result<(), ServiceError> {
    for holder in changed.iter().filter(|seen| seen.record.kind() != DidKind::File) {
        for (rule, on) in labels::changed(txn, holder.id, holder.record.kind()).await? {
            placing::begin(txn, rule, on).await?;
        }
    }
    Ok(())
}

/// What a dataset or container holds takes on labels with it: whoever moves it needs a say in that, too.
async fn permit_what_moves_along(
    ctx: &Context,
    did: &Did,
    members: &Members,
    leave: bool,
) -> Result<Looked, ServiceError> {
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (above, _) = sight.did_for(Action::Write, did).await?;
    if above.record.kind() == DidKind::Dataset {
        // It holds files alone, and they hold nothing.
        return Ok(Looked::default());
    }
    let moved = sight.named(&members.dids).await?;
    let change = supposed(above.id, &moved, leave);
    below::permit(ctx, &view, &moved.iter().collect::<Vec<_>>(), change).await
}

/// A change of members, before it is made.
pub(super) fn supposed(parent: DidId, moved: &[Seen], leave: bool) -> Supposed {
    let children = moved.iter().map(|seen| seen.id).collect();
    if leave { Supposed::Detached { children, from: parent } } else { Supposed::Attached { children, to: parent } }
}

/// How much something holds, as far as whoever asks may know it: all of it, who may write it; others
/// what they see of it, if it has few members, as the sum would tell of what is hidden.
async fn counted(sight: &mut Sight, seen: &Seen, most: u64) -> Result<Option<Held>, ServiceError> {
    let Some(head) = sight.view().get::<Heads>(&(seen.id,)).await? else { return Ok(None) };
    if sight.knows_all(seen) {
        return Ok(Some(Held::from(head)));
    }
    if head.members > most {
        return Ok(None);
    }
    let (mut held, mut after) = (Held::default(), None);
    // Much that is hidden is not looked through for a sum.
    for _ in 0..COUNTED_LOTS_MAX {
        let (members, next) = sight.members(seen.id, after, COUNTED_TOGETHER).await?;
        held.members += members.len() as u64;
        let bytes = members.iter().filter_map(|(_, seen)| seen.record.file()).map(|facts| facts.bytes);
        held.bytes = bytes.fold(held.bytes, u64::saturating_add);
        after = next;
        if next.is_none() {
            return Ok(Some(held));
        }
    }
    Ok(None)
}

/// Members of a dataset or container, and their bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    members: u64,
    bytes: u64,
}

impl From<HeadRecord> for Held {
    fn from(head: HeadRecord) -> Self {
        Self { members: head.members, bytes: head.bytes }
    }
}

fn to_view(record: DidRecord, of: &DidFacts, held: Option<Held>, closed: Option<ClosedRecord>) -> DidView {
    let (did, kind) = (record.did(), record.kind());
    let (bytes, checksums) = match record.content {
        DidContent::File(facts) => (Some(facts.bytes), facts.checksums),
        DidContent::Dataset | DidContent::Container => (held.map(|held| held.bytes), Vec::new()),
    };
    DidView {
        did,
        kind,
        account: record.account,
        created_at: record.created_at,
        bytes,
        length: held.map(|held| held.members),
        checksums,
        closed_at: closed.map(|closed| closed.at),
        labels: of.traits.labels.words().into_iter().collect(),
        metadata: MetadataObject::default(),
    }
}
