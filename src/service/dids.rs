//! DIDs: make, show, list, attach, detach.

use crate::catalog::engine::Range;
use crate::catalog::key::Key;
use crate::catalog::ledger::membership::{self, Member};
use crate::catalog::ledger::replicas::put_did;
use crate::catalog::record::{
    ContentRecord, Contents, DidContent, DidNames, DidRecord, Dids, HeadRecord, Heads, Scopes,
};
use crate::catalog::wake::Topic;
use crate::catalog::{Txn, View};
use crate::model::account::AccountName;
use crate::model::change::Change;
use crate::model::did::{Did, DidKind};
use crate::model::id::DidId;
use crate::model::scope::Scope;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::paging::Paging;
use crate::service::terms::{Made, Tag, Tagged};
use crate::service::view::{ContentView, DidView, Members, NewDid, Page};

/// The most members that one request attaches or detaches.
const MEMBERS_MAX: usize = crate::catalog::TRANSACTION_FILES_MAX;

/// Makes a dataset or container.
pub async fn create(ctx: &Context, new: NewDid) -> Result<Tagged<DidView>, ServiceError> {
    ctx.permit(Action::Write, &new.did)?;
    if new.kind == DidKind::File {
        return Err(ServiceError::Invalid {
            code: "invalid-kind",
            detail: "a file is registered with its bytes".to_owned(),
            hint: Some("use `dapple put` or `dapple replica register`".to_owned()),
        });
    }
    let id = ctx.catalog().did_ids(1).await?;
    let account = ctx.account.clone();
    ctx.transact(Made::New, move |txn| {
        let (new, account) = (new.clone(), account.clone());
        async move {
            require_scope(&txn, &new.did.scope).await?;
            if find(&txn, &new.did).await?.is_some() {
                return Err(ServiceError::Exists { what: "DID", name: new.did.to_string() });
            }
            let record = put_holder(&txn, id, &new.did, new.kind, account);
            Ok(to_view(record, Some(HeadRecord::default())))
        }
    })
    .await
}

/// The dataset of a name, made if it is missing.
pub(super) async fn ensure_dataset(ctx: &Context, did: &Did) -> Result<DidId, ServiceError> {
    let dataset = |id: DidId, kind: DidKind| match kind {
        DidKind::Dataset => Ok(id),
        _ => Err(ServiceError::invalid("invalid-kind", format!("`{did}` is a {kind}; files go to a dataset"))),
    };
    if let Some((id, record)) = find(&ctx.catalog().view().await?, did).await? {
        return dataset(id, record.kind());
    }
    let (new, wanted, account) = (ctx.catalog().did_ids(1).await?, did.clone(), ctx.account.clone());
    let (id, kind) = ctx
        .catalog()
        .transact(move |txn| {
            let (wanted, account) = (wanted.clone(), account.clone());
            async move {
                require_scope(&txn, &wanted.scope).await?;
                if let Some((id, record)) = find(&txn, &wanted).await? {
                    return Ok((id, record.kind()));
                }
                put_holder(&txn, new, &wanted, DidKind::Dataset, account);
                Ok::<_, ServiceError>((new, DidKind::Dataset))
            }
        })
        .await?;
    dataset(id, kind)
}

fn put_holder(txn: &Txn, id: DidId, did: &Did, kind: DidKind, account: AccountName) -> DidRecord {
    let content = if kind == DidKind::Container { DidContent::Container } else { DidContent::Dataset };
    let record =
        DidRecord { scope: did.scope.clone(), name: did.name.clone(), account, created_at: txn.now(), content };
    put_did(txn, id, &record);
    txn.put::<Heads>(&(id,), &HeadRecord::default());
    txn.emit(&Change::DidsRegistered { first: id, count: 1 });
    record
}

async fn require_scope(view: &View, scope: &Scope) -> Result<(), ServiceError> {
    match view.get::<Scopes>(&(scope.to_string(),)).await? {
        Some(_) => Ok(()),
        None => Err(ServiceError::not_found("scope", scope)),
    }
}

/// A DID by name.
pub(super) async fn find(view: &View, did: &Did) -> Result<Option<(DidId, DidRecord)>, ServiceError> {
    let Some(name) = view.get::<DidNames>(&(did.scope.to_string(), did.name.to_string())).await? else {
        return Ok(None);
    };
    Ok(view.get::<Dids>(&(name.id,)).await?.map(|record| (name.id, record)))
}

/// A DID by name that others may see. A file that was only announced is not there yet.
pub(super) async fn require(view: &View, did: &Did) -> Result<(DidId, DidRecord), ServiceError> {
    let found = find(view, did).await?;
    let seen = found.filter(|(_, record)| record.file().is_none_or(|facts| !facts.announced));
    seen.ok_or_else(|| ServiceError::no_did(did))
}

/// Shows a DID.
pub async fn show(ctx: &Context, did: &Did) -> Result<Tagged<DidView>, ServiceError> {
    ctx.permit(Action::Discover, did)?;
    let view = ctx.catalog().view().await?;
    let (id, record) = require(&view, did).await?;
    let head = view.get::<Heads>(&(id,)).await?;
    Ok(to_view(record, head))
}

/// Lists the DIDs of a scope by name.
pub async fn list(ctx: &Context, scope: &Scope, prefix: &str, paging: Paging) -> Result<Page<DidView>, ServiceError> {
    ctx.permit(Action::Discover, format!("scope {scope}"))?;
    let limit = paging.limit()?;
    let view = ctx.catalog().view().await?;
    require_scope(&view, scope).await?;
    let mut range = Range::prefix(Key::new().text(scope.as_str()).text_prefix(prefix).as_slice(), limit);
    if let Some(after) = paging.after::<String>()? {
        range = range.after(Key::new().text(scope.as_str()).text(&after).as_slice());
    }
    let names = view.range::<DidNames>(range).await?;
    let next = names.last().filter(|_| names.len() == limit).map(|((_, name), _)| name.clone());
    let ids: Vec<_> = names.iter().map(|(_, record)| (record.id,)).collect();
    let records = view.get_many::<Dids>(&ids).await?;
    let heads = view.get_many::<Heads>(&ids).await?;
    let items = records
        .into_iter()
        .zip(heads)
        .filter_map(|(record, head)| Some((record?, head)))
        .filter(|(record, _)| record.file().is_none_or(|facts| !facts.announced))
        .map(|(record, head)| to_view(record, head).view)
        .collect();
    Ok(Page { items, next })
}

/// Lists what a dataset or container holds, in the order in which it came.
pub async fn contents(ctx: &Context, did: &Did, paging: Paging) -> Result<Page<ContentView>, ServiceError> {
    ctx.permit(Action::Discover, did)?;
    let limit = paging.limit()?;
    let view = ctx.catalog().view().await?;
    let (id, record) = require(&view, did).await?;
    if record.kind() == DidKind::File {
        return Err(ServiceError::invalid("invalid-kind", format!("`{did}` is a file and holds nothing")));
    }
    let (rows, next) = contents_page(&view, id, paging.after()?, limit).await?;
    let items = rows
        .into_iter()
        .map(|(seq, _, record)| {
            let (did, kind) = (record.did(), record.kind());
            let (bytes, checksums) = match record.content {
                DidContent::File(facts) => (facts.bytes, facts.checksums),
                DidContent::Dataset | DidContent::Container => (0, Vec::new()),
            };
            ContentView { did, kind, bytes, checksums, seq }
        })
        .collect();
    Ok(Page { items, next })
}

/// Members of a parent behind a place, with their records, and the cursor that leads on.
pub(super) async fn contents_page(
    view: &View,
    parent: DidId,
    after: Option<u64>,
    limit: usize,
) -> Result<(Vec<(u64, DidId, DidRecord)>, Option<String>), ServiceError> {
    let rows = match after {
        None => view.scan::<Contents>(&(parent,), limit).await?,
        Some(seq) => view.scan_after::<Contents>(&(parent,), &(parent, seq), limit).await?,
    };
    let next = rows.last().filter(|_| rows.len() == limit).map(|((_, seq), _)| seq.to_string());
    let members: Vec<(u64, DidId)> = rows
        .into_iter()
        .filter_map(|((_, seq), content)| match content {
            ContentRecord::Member(child) => Some((seq, child)),
            ContentRecord::Detached(_) => None,
        })
        .collect();
    let ids: Vec<_> = members.iter().map(|(_, id)| (*id,)).collect();
    let records = view.get_run::<Dids>(&ids).await?;
    let found = members.into_iter().zip(records).filter_map(|((seq, id), record)| Some((seq, id, record?)));
    Ok((found.collect(), next))
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
    ctx.permit(Action::Write, &did)?;
    if members.dids.len() > MEMBERS_MAX {
        let detail = format!("one request takes at most {MEMBERS_MAX} members");
        return Err(ServiceError::invalid("too-many-members", detail));
    }
    let asked = ctx.clone();
    let done = ctx
        .transact(Made::Changed, move |txn| {
            let (ctx, did, members) = (asked.clone(), did.clone(), members.clone());
            async move {
                let (id, record) = require(&txn, &did).await?;
                ctx.expect(&tag(&record, txn.get::<Heads>(&(id,)).await?))?;
                let parent = Member { id, kind: record.kind(), bytes: 0 };
                let mut children = Vec::with_capacity(members.dids.len());
                for child in &members.dids {
                    let (id, record) = require(&txn, child).await?;
                    let bytes = record.file().map_or(0, |facts| facts.bytes);
                    children.push(Member { id, kind: record.kind(), bytes });
                }
                if leave {
                    membership::detach(&txn, parent, &children).await?;
                } else {
                    membership::attach(&txn, parent, &children).await?;
                }
                let head = txn.get::<Heads>(&(id,)).await?;
                Ok::<_, ServiceError>(to_view(record, head))
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    ctx.catalog().wakes().wake(Topic::Folds);
    Ok(done)
}

/// A dataset or container changes with its members.
fn tag(record: &DidRecord, head: Option<HeadRecord>) -> Tag {
    Tag::of_two(record, &head.unwrap_or_default())
}

fn to_view(record: DidRecord, head: Option<HeadRecord>) -> Tagged<DidView> {
    let tag = tag(&record, head);
    let (did, kind) = (record.did(), record.kind());
    let (bytes, checksums) = match record.content {
        DidContent::File(facts) => (facts.bytes, facts.checksums),
        DidContent::Dataset | DidContent::Container => (head.map_or(0, |head| head.bytes), Vec::new()),
    };
    let (account, created_at) = (record.account, record.created_at);
    let length = head.map(|head| head.members);
    Tagged { tag, view: DidView { did, kind, account, created_at, bytes, length, checksums } }
}
