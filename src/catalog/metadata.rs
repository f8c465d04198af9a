//! Metadata of DIDs: reads and writes the record, and tells the change feed.

use crate::catalog::record::{MetadataRecord, MetadataTable};
use crate::catalog::table::DecodeError;
use crate::catalog::table::Typed as _;
use crate::catalog::{CatalogError, Txn, View};
use crate::model::account::AccountName;
use crate::model::change::Change;
use crate::model::id::DidId;
use crate::model::metadata::Metadata;

/// The metadata of a DID; `None` if it has none.
pub async fn of(view: &View, did: DidId) -> Result<Option<MetadataRecord>, CatalogError> {
    view.get::<MetadataTable>(&(did,)).await
}

/// The metadata that a record holds; empty without a record.
pub fn read(record: Option<&MetadataRecord>) -> Result<Metadata, CatalogError> {
    let Some(record) = record else { return Ok(Metadata::default()) };
    Metadata::stored(&record.json).map_err(|_| CatalogError::Decode {
        table: MetadataTable::TABLE.name,
        source: DecodeError::Value(postcard::Error::SerdeDeCustom),
    })
}

/// Gives a DID metadata in place of what it had, and returns what is stored now. Empty metadata is none
/// at all. The caller tells the feed, by [`tell`], if anything changed.
pub fn put(
    txn: &Txn,
    did: DidId,
    old: Option<&MetadataRecord>,
    new: &Metadata,
    by: &AccountName,
) -> (Option<MetadataRecord>, bool) {
    let json = new.canonical();
    if old.map_or_else(|| new.is_empty(), |old| old.json == json) {
        return (old.cloned(), false);
    }
    if new.is_empty() {
        txn.clear::<MetadataTable>(&(did,));
        return (None, true);
    }
    let revision = old.map_or(1, |old| old.revision + 1);
    let record = MetadataRecord { revision, at: txn.now(), by: by.clone(), json };
    txn.put::<MetadataTable>(&(did,), &record);
    (Some(record), true)
}

/// Forgets the metadata of a DID that nobody has seen.
pub fn forget(txn: &Txn, did: DidId) {
    txn.clear::<MetadataTable>(&(did,));
}

/// Tells followers of the feed whose metadata changed, one entry for each run of neighbours.
pub fn tell(txn: &Txn, mut changed: Vec<DidId>) {
    changed.sort();
    changed.dedup();
    let mut runs: Vec<(DidId, u64)> = Vec::new();
    for did in changed {
        match runs.last_mut() {
            Some((first, count)) if first.0 + *count == did.0 => *count += 1,
            _ => runs.push((did, 1)),
        }
    }
    for (first, count) in runs {
        txn.emit(&Change::MetadataChanged { first, count });
    }
}
