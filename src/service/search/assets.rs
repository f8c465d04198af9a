//! Files of items: read for a whole page together, with where their replicas are, and signed if that
//! was asked for.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::record::{ContentRecord, Contents, Dids, HeadRecord, Heads, Replicas};
use crate::model::checksum::Checksum;
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::EndpointName;
use crate::model::id::{DidId, EndpointId};
use crate::model::replica::ReplicaState;
use crate::model::time::Timestamp;
use crate::policy::decision::Action;
use crate::search::item::ItemText;
use crate::search::query::Cursor;
use crate::service::Reader;
use crate::service::error::ServiceError;
use crate::service::search::{Item, Row, there};
use crate::service::sight::{Seen, Sight};
use crate::service::urls::{self, encode_name};

/// An item with more files has a list of them instead.
const FILES_MAX: u64 = 200;
/// A dataset with more members has a list, whoever asks: whose files are fewer than [`FILES_MAX`] for the
/// reader is looked at up to here.
const LOOKED_AT_MAX: u64 = 1_000;
/// The most files of a page.
const FILES_TOGETHER_MAX: u64 = 10_000;
/// The most rows of a dataset that are read for its files; what was detached takes rows, too.
const ROWS_MAX: usize = 2_000;
/// The most replicas of one file.
const REPLICAS_MAX: usize = 1_000;
/// How long a signed URL is good for.
const SIGNED_SECONDS: u64 = 3_600;

/// The files of an item.
#[derive(Debug)]
pub enum Files {
    /// All of them.
    Listed(Vec<FileAsset>),
    /// They are many, and have a list of their own.
    Many,
}

/// A file of an item.
#[derive(Debug)]
pub struct FileAsset {
    /// Its number.
    id: DidId,
    /// The file.
    pub did: Did,
    /// Its length.
    pub bytes: u64,
    /// Its checksums.
    pub checksums: Vec<Checksum>,
    /// Where replicas of it can be read.
    pub endpoints: Vec<EndpointName>,
    /// A URL that reads it without a key.
    pub signed: Option<Signed>,
}

/// A signed URL.
#[derive(Debug)]
pub struct Signed {
    /// The URL.
    pub url: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Joins files to rows. A page whose files would be too many ends early, at the cursor that is
/// answered with it.
pub(super) async fn join(
    reader: &Reader,
    mut rows: Vec<Row>,
    sign: bool,
) -> Result<(Vec<Item>, Option<Cursor>), ServiceError> {
    let view = reader.lake().catalog.view().await?;
    let mut sight = Sight::of_reader(reader, &view);
    let keys: Vec<_> = rows.iter().map(|row| (row.id(),)).collect();
    let heads = view.get_many::<Heads>(&keys).await?;
    let cut = cut(&mut rows, &heads);
    let length = |head: &Option<HeadRecord>| head.map_or(0, |head| head.members);
    let datasets = rows.iter().zip(&heads).filter(|(_, head)| (1..=LOOKED_AT_MAX).contains(&length(head)));
    let mut files = members(&mut sight, &datasets.map(|(row, _)| row.id()).collect::<Vec<_>>()).await?;
    let unknown = rows
        .iter()
        .zip(&heads)
        .filter(|(row, head)| row.seen.is_none() && length(head) > 0 && !files.contains_key(&row.id()));
    let unknown: Vec<DidId> = unknown.map(|(row, _)| row.id()).collect();
    let mut known = sight.by_ids(unknown.into_iter()).await?;
    let mut items = Vec::with_capacity(rows.len());
    for (mut row, head) in rows.into_iter().zip(heads) {
        row.seen = row.seen.or_else(|| known.remove(&DidId(row.hit.key)));
        let mine = match &row.seen {
            Some(seen) if seen.record.kind() == DidKind::File => Some(vec![seen.clone()]),
            _ if length(&head) == 0 => Some(Vec::new()),
            _ => files.remove(&row.id()),
        };
        items.push(item(&sight, row, head, mine, sign)?);
    }
    place(&sight, &mut items).await?;
    let listed = items.iter_mut().filter_map(|item| match &mut item.files {
        Files::Listed(files) => Some((&item.did, files.as_mut_slice())),
        Files::Many => None,
    });
    sign_files(reader, listed.collect()).await?;
    Ok((items, cut))
}

/// Takes away the rows behind those whose files fit one page.
fn cut(rows: &mut Vec<Row>, heads: &[Option<HeadRecord>]) -> Option<Cursor> {
    let mut files = 0;
    let fit = heads.iter().take_while(|head| {
        files += head.map_or(1, |head| head.members).min(LOOKED_AT_MAX);
        files <= FILES_TOGETHER_MAX
    });
    let fit = fit.count().max(1);
    if fit >= rows.len() {
        return None;
    }
    rows.truncate(fit);
    rows.last().map(|last| last.place.clone())
}

/// The files of datasets that are there for somebody; no entry for a dataset with too many rows.
async fn members(sight: &mut Sight, datasets: &[DidId]) -> Result<BTreeMap<DidId, Vec<Seen>>, ServiceError> {
    let view = sight.view().clone();
    let keys: Vec<_> = datasets.iter().map(|id| (*id,)).collect();
    let contents = view.scan_many::<Contents>(&keys, ROWS_MAX).await?;
    let mut all: Vec<(DidId, DidId)> = Vec::new();
    let mut files: BTreeMap<DidId, Vec<Seen>> = BTreeMap::new();
    for (dataset, rows) in datasets.iter().zip(contents) {
        if rows.len() == ROWS_MAX {
            continue;
        }
        files.insert(*dataset, Vec::new());
        all.extend(rows.into_iter().filter_map(|(_, row)| match row {
            ContentRecord::Member(file) => Some((*dataset, file)),
            ContentRecord::Detached(_) => None,
        }));
    }
    let keys: Vec<_> = all.iter().map(|(_, file)| (*file,)).collect();
    let records = view.get_run::<Dids>(&keys).await?;
    let all =
        all.into_iter().zip(records).filter_map(|((dataset, file), record)| Some((dataset, file, there(record?)?)));
    let (owners, there): (Vec<DidId>, Vec<_>) = all.map(|(dataset, file, record)| (dataset, (file, record))).unzip();
    for (at, seen) in sight.of_these(there).await? {
        files.entry(owners[at]).or_default().push(seen);
    }
    Ok(files)
}

fn item(
    sight: &Sight,
    row: Row,
    head: Option<HeadRecord>,
    files: Option<Vec<Seen>>,
    sign: bool,
) -> Result<Item, ServiceError> {
    let text = ItemText::of(row.hit.json)?;
    let (length, bytes) = match (&files, head) {
        (Some(files), _) => {
            let bytes = files.iter().filter_map(|seen| seen.record.file()).map(|facts| facts.bytes).sum();
            (Some(files.len() as u64), Some(bytes))
        }
        (None, Some(head)) if row.seen.is_some_and(|seen| sight.knows_all(&seen)) => {
            (Some(head.members), Some(head.bytes))
        }
        (None, _) => (None, None),
    };
    let few = files.filter(|files| files.len() as u64 <= FILES_MAX);
    let listed = few.map(|files| files.iter().filter_map(|seen| asset(sight, seen, sign)).collect());
    let files = listed.map_or(Files::Many, Files::Listed);
    Ok(Item { id: row.hit.id, did: row.did, collection: row.hit.collection_id, text, length, bytes, files })
}

/// A file without its replicas. One whose URL is to be signed has an empty one, which is filled in.
fn asset(sight: &Sight, seen: &Seen, sign: bool) -> Option<FileAsset> {
    let facts = seen.record.file()?;
    let readable = sign && sight.decide(Action::Read, &seen.resource(), None).allows();
    let signed = readable.then(|| Signed { url: String::new(), expires_at: Timestamp::default() });
    let (did, checksums) = (seen.record.did(), facts.checksums.clone());
    Some(FileAsset { id: seen.id, did, bytes: facts.bytes, checksums, endpoints: Vec::new(), signed })
}

/// Some files of an item with their replicas.
pub(super) async fn of_files(
    reader: &Reader,
    sight: &Sight,
    of: &Seen,
    files: &[Seen],
    sign: bool,
) -> Result<Vec<FileAsset>, ServiceError> {
    let mut assets: Vec<FileAsset> = files.iter().filter_map(|seen| asset(sight, seen, sign)).collect();
    place_files(sight, assets.iter_mut().collect()).await?;
    sign_files(reader, vec![(&of.facts.did, &mut assets)]).await?;
    Ok(assets)
}

async fn place(sight: &Sight, items: &mut [Item]) -> Result<(), ServiceError> {
    let listed = items.iter_mut().filter_map(|item| match &mut item.files {
        Files::Listed(files) => Some(files),
        Files::Many => None,
    });
    place_files(sight, listed.flatten().collect()).await
}

/// Says where replicas of files can be read, of the endpoints that are there for the reader.
async fn place_files(sight: &Sight, mut files: Vec<&mut FileAsset>) -> Result<(), ServiceError> {
    let view = sight.view();
    let names: BTreeMap<EndpointId, EndpointName> =
        sight.endpoints().await?.into_iter().map(|one| (one.id, one.name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = files.iter().map(|file| (file.id,)).collect();
    let replicas = view.scan_many::<Replicas>(&keys, REPLICAS_MAX).await?;
    for (file, replicas) in files.iter_mut().zip(replicas) {
        let available = replicas.iter().filter(|(_, replica)| replica.state == ReplicaState::Available);
        let places: BTreeSet<&EndpointName> = available.filter_map(|((_, at), _)| names.get(at)).collect();
        file.endpoints = places.into_iter().cloned().collect();
    }
    Ok(())
}

/// Signs files of items, those of each with one grant. Where there is none to be had, they keep their
/// plain URLs.
async fn sign_files(reader: &Reader, mut items: Vec<(&Did, &mut [FileAsset])>) -> Result<(), ServiceError> {
    items.retain(|(_, files)| files.iter().any(|file| file.signed.is_some()));
    let minted = match reader {
        Reader::Known(ctx) if !items.is_empty() => {
            urls::mint_many(ctx, items.iter().map(|(did, _)| (*did).clone()).collect(), SIGNED_SECONDS).await?
        }
        Reader::Known(_) | Reader::Anonymous(_) => BTreeMap::new(),
    };
    for (did, files) in items {
        let minted = minted.get(did);
        for file in files {
            let (true, Some(minted)) = (file.signed.take().is_some(), minted) else { continue };
            let base = minted.url.strip_suffix(&format!("{}/", did.scope));
            let url = match base {
                _ if file.did == *did => minted.url.clone(),
                Some(base) => format!("{base}{}/{}", file.did.scope, encode_name(file.did.name.as_str())),
                None => continue,
            };
            file.signed = Some(Signed { url, expires_at: minted.expires_at });
        }
    }
    Ok(())
}
