//! Restores a backup into a catalog that has nothing in it, whatever engine that is. Each transaction
//! keeps to the engine's limits; a fact says that the restore is under way until all of it is there.
//!
//! What was of the moment goes on from the beginning: transfers wait again. Counters are raised far above
//! what the lake may have given out since the backup was made, so that nothing new is taken for something
//! that is gone.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::backup::format::{Header, Totals};
use crate::catalog::backup::import::{Frame, Reader, row_error};
use crate::catalog::backup::{BackupError, PASSING, carried};
use crate::catalog::engine::{CHANGES, Range, TRANSACTION_BYTES_MAX, TRANSACTION_KEYS_MAX, Table};
use crate::catalog::lake::{LAKE, RAISED_BY, RESTORING};
use crate::catalog::record::{
    AuditRecord, Audits, Endpoints, Facts, HeadRecord, Heads, LakeRecord, LakeTable, RestoreRecord, Restores,
    TransferRecord, Transfers,
};
use crate::catalog::table::{DecodeError, Parts as _, Typed, Value as _};
use crate::catalog::{Catalog, CatalogError};
use crate::model::id::EndpointId;
use crate::model::time::Timestamp;
use crate::model::transfer::{TransferEvent, TransferState};

/// How far the counter of endpoints is raised, whose numbers have 32 bits.
const ENDPOINTS_RAISED_BY: u64 = 1 << 20;
/// The counter of endpoints.
const NEXT_ENDPOINT: &str = "next_endpoint";
/// Counters of 64 bits among the facts, and what those of a new lake are.
const COUNTERS: [(&str, u64); 6] = [
    ("next_did", 1),
    ("next_label_set", 0),
    ("endpoints_revision", 0),
    ("labels_revision", 0),
    ("placing_revision", 0),
    ("holdings_revision", 0),
];
/// What a transaction leaves to what a row brings along.
const KEYS_ENOUGH: usize = TRANSACTION_KEYS_MAX - 100;
const BYTES_ENOUGH: usize = TRANSACTION_BYTES_MAX - (256 << 10);

/// Restores a backup into an empty catalog. `progress` is told how many bytes of it are done.
pub async fn restore<R: Read + Send>(
    catalog: &Catalog,
    mut from: Reader<R>,
    mut progress: impl FnMut(u64) + Send,
) -> Result<(Header, Totals), BackupError> {
    refuse_what_is_there(catalog).await?;
    let now = catalog.clock().now();
    mark(catalog, now).await?;
    let epoch = from.header().epoch + 1;
    let mut work = Restore { catalog, now, epoch, batch: Batch::default(), counters: BTreeSet::new() };
    while let Some(frame) = from.next()? {
        work.take(frame).await?;
        progress(from.bytes());
    }
    work.finish(from.header()).await?;
    Ok((from.header().clone(), from.totals().clone()))
}

/// Refuses a catalog that has anything in it, and one that was restored by half.
async fn refuse_what_is_there(catalog: &Catalog) -> Result<(), BackupError> {
    let view = catalog.view().await?;
    if view.get::<Facts>(&(RESTORING.to_owned(),)).await?.is_some() {
        return Err(CatalogError::HalfRestored.into());
    }
    let tables = carried().map(|shape| shape.table).chain(PASSING).chain([CHANGES]);
    for table in tables {
        let first = view.read.scan(table, &Range::prefix(&[], 1)).await.map_err(CatalogError::from)?;
        if !first.is_empty() {
            return Err(BackupError::NotEmpty { table: table.name });
        }
    }
    Ok(())
}

async fn mark(catalog: &Catalog, now: Timestamp) -> Result<(), CatalogError> {
    catalog
        .transact(move |txn| async move {
            txn.put::<Facts>(&(RESTORING.to_owned(),), &now.as_millis());
            Ok(())
        })
        .await
}

/// Rows that are written together.
#[derive(Default)]
struct Batch {
    rows: Vec<(Table, Bytes, Bytes)>,
    bytes: usize,
}

impl Batch {
    fn put(&mut self, table: Table, key: Bytes, value: Bytes) {
        self.bytes += key.len() + value.len();
        self.rows.push((table, key, value));
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= KEYS_ENOUGH || self.bytes >= BYTES_ENOUGH
    }
}

/// A restore under way.
struct Restore<'c> {
    catalog: &'c Catalog,
    now: Timestamp,
    /// The epoch that it begins.
    epoch: u64,
    batch: Batch,
    /// Counters that the backup had.
    counters: BTreeSet<String>,
}

impl Restore<'_> {
    async fn take(&mut self, frame: Frame) -> Result<(), BackupError> {
        let shape = frame.shape;
        for (key, value) in frame.rows {
            let value = self.as_restored(shape.table, &key, value).map_err(|source| row_error(shape, source))?;
            let indexes = (shape.read)(&key, &value).map_err(|source| row_error(shape, source))?;
            if shape.table == Endpoints::TABLE {
                self.lock(&key).map_err(|source| row_error(shape, source))?;
            }
            self.batch.put(shape.table, key, value);
            for (table, key) in indexes {
                self.batch.put(table, key, Bytes::new());
            }
            if self.batch.is_full() {
                self.write().await?;
            }
        }
        Ok(())
    }

    /// A row as the restored lake has it.
    fn as_restored(&mut self, table: Table, key: &[u8], value: Bytes) -> Result<Bytes, DecodeError> {
        if table == Facts::TABLE {
            let (name,) = <Facts as Typed>::Key::decode(key)?;
            let known = u64::decode(&value)?;
            let raised = raised(&name, known);
            self.counters.insert(name);
            return Ok(raised.map_or(value, |raised| raised.encode()));
        }
        if table == Heads::TABLE {
            let head = HeadRecord::decode(&value)?;
            return Ok(HeadRecord { next_seq: head.next_seq.saturating_add(RAISED_BY), ..head }.encode());
        }
        if table == Transfers::TABLE {
            return Ok(waiting(TransferRecord::decode(&value)?, self.now).encode());
        }
        if table == LakeTable::TABLE {
            let lake = LakeRecord::decode(&value)?;
            return Ok(LakeRecord { epoch: self.epoch, since: self.now, ..lake }.encode());
        }
        Ok(value)
    }

    /// Locks removal at an endpoint until somebody accepts what is there.
    fn lock(&mut self, endpoint: &[u8]) -> Result<(), DecodeError> {
        let (id,): (EndpointId,) = <Endpoints as Typed>::Key::decode(endpoint)?;
        let audit = AuditRecord { restored_at: self.now, accepted: None };
        self.batch.put(Audits::TABLE, (id, self.epoch).encode(), audit.encode());
        Ok(())
    }

    async fn write(&mut self) -> Result<(), CatalogError> {
        let rows = Arc::new(std::mem::take(&mut self.batch).rows);
        self.catalog
            .transact_bulk(move |txn| {
                let rows = Arc::clone(&rows);
                async move {
                    for (table, key, value) in rows.iter() {
                        txn.set(*table, key.clone(), value.clone());
                    }
                    Ok::<_, CatalogError>(())
                }
            })
            .await
    }

    /// Writes what is left, and then that all of it is there.
    async fn finish(mut self, header: &Header) -> Result<(), CatalogError> {
        let missing = COUNTERS.into_iter().chain([(NEXT_ENDPOINT, 1)]);
        for (name, first) in missing.filter(|(name, _)| !self.counters.contains(*name)) {
            let raised = raised(name, first).unwrap_or(first);
            self.batch.put(Facts::TABLE, (name.to_owned(),).encode(), raised.encode());
        }
        self.write().await?;
        let restore = RestoreRecord {
            at: self.now,
            backup_at: header.made_at,
            position: header.position,
            dapple: header.dapple.clone(),
        };
        let (epoch, now, lake) = (self.epoch, self.now, header.lake);
        self.catalog
            .transact(move |txn| {
                let restore = restore.clone();
                async move {
                    txn.put::<LakeTable>(&LAKE, &LakeRecord { id: lake, epoch, since: now });
                    txn.put::<Restores>(&(epoch,), &restore);
                    txn.clear::<Facts>(&(RESTORING.to_owned(),));
                    Ok(())
                }
            })
            .await
    }
}

/// A counter behind everything that the lake can have given out since the backup; `None` for other facts.
fn raised(name: &str, known: u64) -> Option<u64> {
    if name == NEXT_ENDPOINT {
        // Four thousand restores come before the numbers end; the last ones are given out one by one.
        return Some(known + ENDPOINTS_RAISED_BY).filter(|next| *next <= u64::from(u32::MAX) / 2).or(Some(known + 1));
    }
    COUNTERS.iter().any(|(counter, _)| *counter == name).then(|| known.saturating_add(RAISED_BY))
}

/// A transfer as one that no process has.
fn waiting(transfer: TransferRecord, now: Timestamp) -> TransferRecord {
    let state = match transfer.state {
        running @ TransferState::Running { .. } => {
            running.apply(TransferEvent::Abandoned { at: now }).expect("what runs can be given back")
        }
        other => other,
    };
    TransferRecord { state, process: None, ..transfer }
}
