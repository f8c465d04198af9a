//! Metadata of DIDs: show it, replace it, patch it, one by one or in bulk. Reading asks for what
//! showing the DID asks for; changing asks for the right to write it.

use std::collections::BTreeMap;

use crate::catalog::record::{MetadataRecord, MetadataTable};
use crate::catalog::{Txn, metadata as stored};
use crate::model::did::Did;
use crate::model::id::DidId;
use crate::model::metadata::{InvalidMetadata, Metadata};
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::lines::{Lines, all_refused, by_present_rights, json, refused};
use crate::service::sight::{Seen, Sight};
use crate::service::terms::{Made, Tag, Tagged};
use crate::service::view::{MetadataChunk, MetadataLine, MetadataObject, MetadataView};

/// How many lines of a chunk are looked at together: what they have already can be large.
const TOGETHER: usize = 50;
/// How many bytes of metadata one transaction writes, so that it stays below what an engine takes.
pub(super) const WRITTEN_BYTES_MAX: usize = 2 << 20;

/// What becomes of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What is given takes the place of what there is.
    Replace,
    /// What is given is merged into what there is (RFC 7386).
    Merge,
}

impl From<InvalidMetadata> for ServiceError {
    fn from(error: InvalidMetadata) -> Self {
        ServiceError::Invalid { code: "invalid-metadata", detail: error.to_string(), hint: Some(error.hint) }
    }
}

/// Shows the metadata of a DID.
pub async fn show(ctx: &Context, did: &Did) -> Result<Tagged<MetadataView>, ServiceError> {
    let view = ctx.catalog().view().await?;
    let (seen, _) = ctx.sight(&view).did_for(Action::Discover, did).await?;
    shown(did, stored::of(&view, seen.id).await?.as_ref())
}

/// Replaces or patches the metadata of a DID.
pub async fn change(
    ctx: &Context,
    did: Did,
    given: MetadataObject,
    mode: Mode,
) -> Result<Tagged<MetadataView>, ServiceError> {
    let asking = ctx.clone();
    ctx.transact(Made::Changed, move |txn| {
        let (ctx, did, given) = (asking.clone(), did.clone(), given.clone());
        async move {
            let (seen, _) = ctx.sight(&txn).did_for(Action::Write, &did).await?;
            let old = stored::of(&txn, seen.id).await?;
            ctx.expect(&tag(old.as_ref()))?;
            let new = changed(old.as_ref(), &given, mode)?;
            let (now, is_changed) = stored::put(&txn, seen.id, old.as_ref(), &new, ctx.account());
            stored::tell(&txn, if is_changed { vec![seen.id] } else { Vec::new() });
            shown(&did, now.as_ref())
        }
    })
    .await
}

fn changed(old: Option<&MetadataRecord>, given: &MetadataObject, mode: Mode) -> Result<Metadata, ServiceError> {
    Ok(match mode {
        Mode::Replace => Metadata::read(&given.0)?,
        Mode::Merge => stored::read(old)?.patched(&given.0)?,
    })
}

/// Names the state of metadata; none has a name as well.
fn tag(record: Option<&MetadataRecord>) -> Tag {
    record.map_or_else(|| Tag::of(&0_u64), Tag::of)
}

fn shown(did: &Did, record: Option<&MetadataRecord>) -> Result<Tagged<MetadataView>, ServiceError> {
    let metadata = MetadataObject(stored::read(record)?.into_object());
    let view = MetadataView {
        did: did.clone(),
        metadata,
        revision: record.map_or(0, |record| record.revision),
        updated_at: record.map(|record| record.at),
        updated_by: record.map(|record| record.by.clone()),
    };
    Ok(Tagged { tag: tag(record), view })
}

/// Reads metadata that comes with a file.
pub(super) fn read_given(given: Option<&MetadataObject>) -> Result<Option<Metadata>, ServiceError> {
    Ok(given.map(|given| Metadata::read(&given.0)).transpose()?)
}

/// How much metadata takes in a transaction.
pub(super) fn bytes_of(given: Option<&Metadata>) -> usize {
    given.map_or(0, |given| given.canonical().len())
}

/// What became of one line.
enum Outcome {
    Changed,
    Unchanged,
    Refused(ServiceError),
}

/// Changes the metadata of many DIDs: a chunk of at most [`CHUNK`](crate::service::lines::CHUNK) lines, of
/// which the first has the number `line`. Lines that cannot be read, or are not permitted, are refused one
/// by one. A line sees what those before it did.
pub async fn change_many(
    ctx: &Context,
    line: u64,
    lines: &[String],
    mode: Mode,
) -> Result<MetadataChunk, ServiceError> {
    let Lines { numbers, items, refused: unread } = Lines::read(line, lines, json);
    let mut answer = MetadataChunk { line, changed: 0, unchanged: 0, refused: unread };
    match by_present_rights(ctx, |ctx| change_all(ctx, items, mode)).await? {
        Err(error) => answer.refused.extend(all_refused(&numbers, &error)),
        Ok(outcomes) => {
            for (number, outcome) in numbers.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Changed => answer.changed += 1,
                    Outcome::Unchanged => answer.unchanged += 1,
                    Outcome::Refused(error) => answer.refused.push(refused(number, &error)),
                }
            }
        }
    }
    answer.refused.sort_by_key(|refused| refused.line);
    Ok(answer)
}

async fn change_all(ctx: Context, lines: Vec<MetadataLine>, mode: Mode) -> Result<Vec<Outcome>, ServiceError> {
    let mut outcomes = Vec::with_capacity(lines.len());
    while outcomes.len() < lines.len() {
        let (asking, rest) = (ctx.clone(), lines[outcomes.len()..].to_vec());
        let done = ctx.catalog().transact_bulk(move |txn| {
            let (ctx, rest) = (asking.clone(), rest.clone());
            async move { change_in(&ctx, &txn, &rest, mode).await }
        });
        outcomes.extend(done.await?);
    }
    Ok(outcomes)
}

/// Carries out lines until all are done, or until the transaction is full. Answers for those that it
/// has done.
async fn change_in(ctx: &Context, txn: &Txn, lines: &[MetadataLine], mode: Mode) -> Result<Vec<Outcome>, ServiceError> {
    let mut sight = ctx.sight(txn);
    let (mut outcomes, mut told, mut written) = (Vec::with_capacity(lines.len()), Vec::new(), 0);
    for lines in lines.chunks(TOGETHER) {
        let seen = sight.by_names(lines.iter().map(|line| &line.did)).await?;
        let keys: Vec<_> = seen.values().map(|seen| (seen.id,)).collect();
        let records = txn.get_many::<MetadataTable>(&keys).await?;
        let mut now: BTreeMap<DidId, Option<MetadataRecord>> = keys.into_iter().map(|(id,)| id).zip(records).collect();
        for line in lines {
            if written > WRITTEN_BYTES_MAX {
                stored::tell(txn, told);
                return Ok(outcomes);
            }
            outcomes.push(match change_one(ctx, &sight, txn, line, mode, &seen, &mut now) {
                Ok(Some((id, bytes))) => {
                    told.push(id);
                    written += bytes;
                    Outcome::Changed
                }
                Ok(None) => Outcome::Unchanged,
                Err(ServiceError::Catalog(error)) => return Err(error.into()),
                Err(error) => Outcome::Refused(error),
            });
        }
    }
    stored::tell(txn, told);
    Ok(outcomes)
}

/// Carries out one line; gives what was changed, and how much was written for it.
fn change_one(
    ctx: &Context,
    sight: &Sight,
    txn: &Txn,
    line: &MetadataLine,
    mode: Mode,
    seen: &BTreeMap<Did, Seen>,
    now: &mut BTreeMap<DidId, Option<MetadataRecord>>,
) -> Result<Option<(DidId, usize)>, ServiceError> {
    let seen = seen.get(&line.did).ok_or_else(|| ServiceError::no_did(&line.did))?;
    sight.permit(Action::Write, &seen.resource(), None)?;
    let old = now.get(&seen.id).and_then(Option::as_ref);
    let new = changed(old, &line.meta, mode)?;
    let (record, is_changed) = stored::put(txn, seen.id, old, &new, ctx.account());
    let bytes = record.as_ref().map_or(0, |record| record.json.len());
    now.insert(seen.id, record);
    Ok(is_changed.then_some((seen.id, bytes)))
}
