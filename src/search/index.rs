//! The index: one writer, any number of readers that never wait for it.
//!
//! A batch is durable and found as soon as [`Index::apply`] returns. Small segments in memory are
//! joined as they come, written to a file when they are many documents, and files are merged by
//! [`Index::tend`], one bounded step at a time.

mod merge;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::search::document::{Document, Row};
use crate::search::error::SearchError;
use crate::search::find::Budget;
use crate::search::index::merge::{in_memory, merge, small, to_merge};
use crate::search::journal::{Batch, Journal};
use crate::search::manifest::Manifest;
use crate::search::query::{Access, Extent, Hit, Page, Query, Queryable};
use crate::search::segment::build;
use crate::search::snapshot::{Bits, Part, Snapshot};

/// So many documents in memory are written to a file.
const FLUSH_DOCUMENTS: usize = 1 << 15;
/// So many bytes of documents in memory are written to a file.
const FLUSH_BYTES: u64 = 64 << 20;
/// A longer journal begins anew, whatever is in memory.
const JOURNAL_BYTES: u64 = 256 << 20;

/// What the index has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// How far it follows the feed.
    pub position: u64,
    /// Documents that can be found.
    pub documents: u64,
    /// Documents that are replaced or deleted, and still take room.
    pub dead: u64,
    /// Segments in files.
    pub segments: u64,
    /// Documents that are in memory and in the journal alone.
    pub unwritten: u64,
    /// Bytes of documents, compressed, the dead included.
    pub bytes: u64,
}

/// The search index of a lake.
#[derive(Debug)]
pub struct Index {
    now: RwLock<Arc<Snapshot>>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    directory: PathBuf,
    journal: Journal,
    /// The number of the next file.
    next: u64,
    /// Held as long as the index is open.
    _lock: File,
}

impl Index {
    /// Opens the index of a directory, or begins an empty one. Answers [`SearchError::Damaged`] if
    /// it must be rebuilt: then [`Index::create`] begins anew.
    pub fn open(directory: &Path) -> Result<Self, SearchError> {
        let lock = lock(directory)?;
        let Some(manifest) = Manifest::read(directory)? else { return Self::begin(directory, lock) };
        let parts = manifest.parts(directory)?;
        let newest = parts.iter().filter_map(|part| part.number).max().unwrap_or(0).max(manifest.journal);
        let mut snapshot = Snapshot::of(parts, manifest.position);
        let journal = Journal::open(directory, manifest.journal, |batch| take(&mut snapshot, &batch))?;
        manifest.tidy(directory)?;
        let writer = Writer { directory: directory.to_owned(), journal, next: newest + 1, _lock: lock };
        Ok(Self { now: RwLock::new(Arc::new(snapshot)), writer: Mutex::new(writer) })
    }

    /// Begins an empty index in a directory, whatever there was.
    pub fn create(directory: &Path) -> Result<Self, SearchError> {
        let lock = lock(directory)?;
        Self::begin(directory, lock)
    }

    fn begin(directory: &Path, lock: File) -> Result<Self, SearchError> {
        let journal = Journal::create(directory, 1)?;
        let manifest = Manifest::new(0, 1, &[]);
        manifest.write(directory)?;
        manifest.tidy(directory)?;
        let writer = Writer { directory: directory.to_owned(), journal, next: 2, _lock: lock };
        Ok(Self { now: RwLock::default(), writer: Mutex::new(writer) })
    }

    /// Takes documents in and out. When this returns, that is durable together with `position`, and
    /// whoever searches finds it. Taking the same batch twice is as good as once.
    pub fn apply(&self, upserts: Vec<Document>, deletes: Vec<u64>, position: u64) -> Result<(), SearchError> {
        let mut writer = self.writer();
        let batch = Batch { position, deletes, upserts: upserts.into_iter().map(Row::of).collect() };
        writer.journal.append(&batch)?;
        let mut snapshot = Snapshot::clone(&self.now());
        take(&mut snapshot, &batch)?;
        drop(batch);
        self.publish(snapshot);
        let (documents, bytes) = unwritten(&self.now());
        if documents >= FLUSH_DOCUMENTS || bytes >= FLUSH_BYTES || writer.journal.bytes() >= JOURNAL_BYTES {
            self.flush(&mut writer)?;
        }
        Ok(())
    }

    /// Merges segments where that makes searches cheaper, one step, and says whether there is more
    /// to do. A step takes seconds at most; batches wait for it, searches do not.
    pub fn tend(&self) -> Result<bool, SearchError> {
        let mut writer = self.writer();
        if to_merge(&self.now().parts).is_none() {
            return Ok(false);
        }
        // With an empty journal the manifest's dead are those of its position.
        self.flush(&mut writer)?;
        let snapshot = self.now();
        let Some(chosen) = to_merge(&snapshot.parts) else { return Ok(false) };
        let merged = writer.merged(&snapshot, &chosen)?;
        let more = to_merge(&merged.parts).is_some();
        self.settle(&mut writer, merged)?;
        Ok(more)
    }

    /// Writes what is in memory to a file, so that opening has no journal to read.
    pub fn close(self) -> Result<(), SearchError> {
        self.flush(&mut self.writer())
    }

    /// Takes everything out.
    pub fn wipe(&self) -> Result<(), SearchError> {
        let mut writer = self.writer();
        self.settle(&mut writer, Snapshot::default())
    }

    /// Whether a document has this key.
    pub fn has(&self, key: u64) -> bool {
        self.now().has(key)
    }

    /// How far the index follows the feed.
    pub fn position(&self) -> u64 {
        self.now().position
    }

    /// What the index has.
    pub fn stats(&self) -> Stats {
        let now = self.now();
        let documents: usize = now.parts.iter().map(Part::alive).sum();
        let dead: usize = now.parts.iter().map(|part| part.dead.len()).sum();
        Stats {
            position: now.position,
            documents: documents as u64,
            dead: dead as u64,
            segments: now.parts.iter().filter(|part| part.number.is_some()).count() as u64,
            unwritten: unwritten(&now).0 as u64,
            bytes: now.parts.iter().map(|part| part.segment.bytes()).sum(),
        }
    }

    /// A page of what is found.
    pub fn search(&self, query: &Query, access: &Access) -> Result<Page, SearchError> {
        self.search_within(query, access, &Budget::of_page())
    }

    pub(super) fn search_within(&self, query: &Query, access: &Access, budget: &Budget) -> Result<Page, SearchError> {
        self.now().search(query, access, budget)
    }

    /// How many documents are found; `None` if they are more than are counted, or take too
    /// long.
    pub fn count(&self, query: &Query, access: &Access) -> Result<Option<u64>, SearchError> {
        self.count_within(query, access, &Budget::of_count())
    }

    pub(super) fn count_within(
        &self,
        query: &Query,
        access: &Access,
        budget: &Budget,
    ) -> Result<Option<u64>, SearchError> {
        self.now().count(query, access, budget)
    }

    /// Whether a document has a field, `properties.` left out.
    pub fn has_field(&self, path: &str, access: &Access) -> bool {
        self.now().has_field(path, access)
    }

    /// The document of an id in a collection.
    pub fn item(&self, collection_id: &str, id: &str, access: &Access) -> Result<Option<Hit>, SearchError> {
        self.now().item(collection_id, id, access)
    }

    /// Where and when the documents of a collection are; `None` if there are none to be seen.
    pub fn extent(&self, collection_id: &str, access: &Access) -> Option<Extent> {
        self.now().extents(Some(collection_id), access).remove(collection_id)
    }

    /// The extents of all collections in which there is something to be seen, by id.
    pub fn extents(&self, access: &Access) -> BTreeMap<String, Extent> {
        self.now().extents(None, access)
    }

    /// The fields that documents of a collection have, by name.
    pub fn queryables(&self, collection_id: &str, access: &Access) -> Vec<Queryable> {
        self.now().queryables(collection_id, access)
    }

    /// The access numbers that documents have, and how many documents each.
    pub fn accesses(&self) -> BTreeMap<u32, u64> {
        self.now().accesses.clone()
    }

    fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, snapshot: Snapshot) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    /// The writer. A writer that panicked changed nothing that its files do not say.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the segments in memory to one file.
    fn flush(&self, writer: &mut Writer) -> Result<(), SearchError> {
        let snapshot = self.now();
        let chosen = in_memory(&snapshot.parts);
        if chosen.is_empty() {
            return self.settle_position(writer, &snapshot);
        }
        let merged = writer.merged(&snapshot, &chosen)?;
        self.settle(writer, merged)
    }

    /// Deletes alone leave nothing in memory, but a journal.
    fn settle_position(&self, writer: &mut Writer, snapshot: &Snapshot) -> Result<(), SearchError> {
        if writer.journal.bytes() == 0 { Ok(()) } else { self.settle(writer, snapshot.clone()) }
    }

    /// Makes a snapshot without segments in memory the stored state, and what readers see.
    fn settle(&self, writer: &mut Writer, snapshot: Snapshot) -> Result<(), SearchError> {
        let number = writer.next;
        writer.next += 1;
        let journal = Journal::create(&writer.directory, number)?;
        let manifest = Manifest::new(snapshot.position, number, &snapshot.parts);
        manifest.write(&writer.directory)?;
        writer.journal = journal;
        self.publish(snapshot);
        manifest.tidy(&writer.directory)
    }
}

impl Writer {
    /// The snapshot with some of its segments merged into one file.
    fn merged(&mut self, snapshot: &Snapshot, chosen: &[usize]) -> Result<Snapshot, SearchError> {
        let number = self.next;
        self.next += 1;
        let sources: Vec<&Part> = chosen.iter().map(|&at| &snapshot.parts[at]).collect();
        let mut parts: Vec<Part> = snapshot.parts.clone();
        let mut at = 0;
        parts.retain(|_| {
            at += 1;
            !chosen.contains(&(at - 1))
        });
        if sources.iter().any(|part| part.alive() > 0) {
            let segment = merge(&sources, &self.directory, number)?;
            parts.push(Part::new(segment, Bits::default(), Some(number)));
        }
        Ok(Snapshot { parts, position: snapshot.position, accesses: snapshot.accesses.clone() })
    }
}

fn lock(directory: &Path) -> Result<File, SearchError> {
    std::fs::create_dir_all(directory).map_err(SearchError::disk("make a directory for"))?;
    let file = File::create(directory.join("lock")).map_err(SearchError::disk("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(SearchError::InUse),
        Err(std::fs::TryLockError::Error(source)) => Err(SearchError::Disk { act: "lock", source }),
    }
}

/// Documents and bytes in memory.
fn unwritten(snapshot: &Snapshot) -> (usize, u64) {
    let parts = snapshot.parts.iter().filter(|part| part.segment.in_memory());
    parts.fold((0, 0), |(documents, bytes), part| (documents + part.segment.len(), bytes + part.segment.bytes()))
}

/// Puts a batch into a snapshot.
fn take(snapshot: &mut Snapshot, batch: &Batch) -> Result<(), SearchError> {
    snapshot.position = batch.position;
    for &key in &batch.deletes {
        snapshot.remove_key(key);
    }
    // As if they came one by one: what replaces something is replaced itself, perhaps.
    for row in &batch.upserts {
        snapshot.remove_key(row.head.key);
        snapshot.remove_item(&row.head.collection_id, &row.head.id);
    }
    let rows = last_of_each(&batch.upserts);
    if !rows.is_empty() {
        snapshot.push(Part::new(build::in_memory(&rows)?, Bits::default(), None));
    }
    while let Some(chosen) = small(&snapshot.parts) {
        let sources: Vec<Part> = chosen.iter().map(|&at| snapshot.parts[at].clone()).collect();
        let mut rows = Vec::new();
        for part in &sources {
            for ordinal in part.ordinals() {
                rows.push(part.segment.row(ordinal)?);
            }
        }
        for &at in chosen.iter().rev() {
            snapshot.parts.remove(at);
        }
        if !rows.is_empty() {
            // The documents are counted already.
            snapshot.parts.push(Part::new(build::in_memory(&rows)?, Bits::default(), None));
        }
    }
    Ok(())
}

/// Of rows with the same key, or the same collection and id, the last.
fn last_of_each(rows: &[Row]) -> Vec<Row> {
    let mut by_key: HashMap<u64, usize> = HashMap::new();
    let mut by_name: HashMap<(&str, &str), usize> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        by_key.insert(row.head.key, at);
        by_name.insert((&row.head.collection_id, &row.head.id), at);
    }
    let last = |(at, row): &(usize, &Row)| {
        let head = &row.head;
        by_key.get(&head.key) == Some(at) && by_name.get(&(&*head.collection_id, &*head.id)) == Some(at)
    };
    rows.iter().enumerate().filter(last).map(|(_, row)| row.clone()).collect()
}
