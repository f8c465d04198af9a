//! The embedded engine: tables in a directory, kept by fjall, written by one thread.
//!
//! Promises: what is acknowledged is on disk; readers see whole batches that are on disk, and never
//! wait for writers; a second process is turned away; a store that has lost acknowledged batches is
//! refused. Of fjall it uses atomic batches and snapshots only. Reads happen on the calling thread:
//! a point read takes microseconds.
//!
//! Never takes a snapshot while a batch is under way. fjall's background threads move its notion of
//! the newest visible state past a batch that is only half applied, so a snapshot taken then can
//! show a torn one. The writer takes a snapshot after each batch, and all readers share that.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};

use super::group::{Marks, feed};
use super::overlay::{Base, Writes, bounds_of};
use super::watermark::Watermark;
use super::writer::{Store, Writer};
use super::{Body, BoxFuture, Engine, EngineError, FeedEntry, Range, Row, Snapshot, Table, Urgency};
use crate::clock::SharedClock;

/// The directory of fjall's files, beside the watermark.
const DATABASE: &str = "database";
/// fjall's smallest bound: a start after a crash reads no more than about this.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// After so many bytes all tables are flushed, or many small ones would fill memory and the journal.
const FLUSH_AFTER_BYTES: usize = 32 << 20;
/// How often the end of flushing is looked for at close.
const FLUSH_LOOK_EVERY: Duration = Duration::from_millis(2);
/// How often, at most, it is looked whether fjall has dropped its old journals after a flush.
const JOURNAL_LOOKS_MAX: usize = 250;

/// Settings of the embedded engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// The most bytes of stored blocks to keep in memory.
    pub cache_bytes: u64,
    /// The bytes of new rows at which a table is flushed to a file. Kept with each table from its
    /// beginning.
    pub memtable_bytes: u64,
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, memtable_bytes: 8 << 20 }
    }
}

/// Ordered tables in a directory. The directory is free for another process when the engine and all
/// its snapshots are dropped.
pub struct Embedded {
    // First, because dropping it ends the writer's thread and its hold on the files.
    writer: Writer,
    files: Arc<Files>,
}

impl Embedded {
    /// Opens the catalog in `directory`, or begins one. The clock paces the watermark.
    pub fn open(directory: &Path, settings: &EmbeddedSettings, clock: SharedClock) -> Result<Arc<Self>, EngineError> {
        let tables = Arc::new(Tables::open(directory, settings)?);
        let newest = Arc::new(State::of(&tables));
        let marks = Marks::read(&*newest)?;
        let watermark = Watermark::open(directory, marks.batch, clock.monotonic())?;
        let files = Arc::new(Files {
            newest: RwLock::new(newest),
            progress: Mutex::new(Progress { watermark, batch: marks.batch, unflushed_bytes: 0 }),
            tables,
            clock,
        });
        // What a crash left in the journal goes to table files now, and out of memory.
        files.tables.begin_flush()?;
        let writer = Writer::start(files.clone(), marks)?;
        Ok(Arc::new(Self { writer, files }))
    }
}

impl Engine for Embedded {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, EngineError>> {
        Box::pin(async { Ok(self.files.newest() as Snapshot) })
    }

    fn transact(&self, urgency: Urgency, body: Body) -> BoxFuture<'_, Result<u64, EngineError>> {
        Box::pin(self.writer.transact(urgency, body))
    }

    fn changes(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<FeedEntry>, EngineError>> {
        Box::pin(async move { feed(&*self.files.newest(), after, limit) })
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn close(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(self.writer.close())
    }
}

/// What the writer writes to: the tables, the state readers see, and the watermark.
struct Files {
    newest: RwLock<Arc<State>>,
    progress: Mutex<Progress>,
    tables: Arc<Tables>,
    clock: SharedClock,
}

struct Progress {
    watermark: Watermark,
    /// The newest durable batch.
    batch: u64,
    /// What was written since all tables were last flushed.
    unflushed_bytes: usize,
}

impl Files {
    fn newest(&self) -> Arc<State> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self) {
        let newest = Arc::new(State::of(&self.tables));
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = newest;
    }

    fn progress(&self, update: impl FnOnce(&mut Progress) -> Result<(), EngineError>) -> Result<(), EngineError> {
        update(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for Files {
    fn state(&self) -> Arc<dyn Base> {
        self.newest()
    }

    fn apply(&self, writes: Writes, marks: Marks) -> Result<(), EngineError> {
        let bytes = writes.bytes();
        self.tables.apply(writes)?;
        self.publish();
        self.progress(|progress| {
            progress.batch = marks.batch;
            progress.unflushed_bytes += bytes;
            if progress.unflushed_bytes >= FLUSH_AFTER_BYTES {
                progress.unflushed_bytes = 0;
                self.tables.begin_flush()?;
            }
            progress.watermark.renew(marks.batch, self.clock.monotonic())
        })
    }

    fn rest(&self) -> Result<(), EngineError> {
        // A state held for long keeps alive what flushes and compactions have replaced since.
        self.publish();
        self.progress(|progress| progress.watermark.claim(progress.batch))
    }

    fn close(&self) -> Result<(), EngineError> {
        self.tables.flush()?;
        self.progress(|progress| progress.watermark.claim(progress.batch))?;
        self.tables.empty_journal()
    }
}

/// fjall's files, and a handle for each table that has been used.
struct Tables {
    database: Database,
    directory: PathBuf,
    memtable_bytes: u64,
    keyspaces: [OnceLock<Keyspace>; 1 << u8::BITS],
}

impl Tables {
    fn open(directory: &Path, settings: &EmbeddedSettings) -> Result<Self, EngineError> {
        let path = directory.join(DATABASE);
        let database = Database::builder(&path)
            .cache_size(settings.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .open()
            .map_err(|error| match error {
                fjall::Error::Locked => EngineError::Locked { path: directory.display().to_string() },
                other => failed(&other),
            })?;
        Ok(Self {
            database,
            directory: path,
            memtable_bytes: settings.memtable_bytes,
            keyspaces: [const { OnceLock::new() }; 1 << u8::BITS],
        })
    }

    /// The table's keyspace, if anything has ever been written to it.
    fn existing(&self, table: Table) -> Result<Option<&Keyspace>, EngineError> {
        let place = &self.keyspaces[usize::from(table.number)];
        if place.get().is_none() && !self.database.keyspace_exists(table.name) {
            return Ok(None);
        }
        self.open_table(table).map(Some)
    }

    /// The table's keyspace. Only the writer may call this for a table that does not exist: making
    /// one moves fjall's notion of the newest state.
    fn open_table(&self, table: Table) -> Result<&Keyspace, EngineError> {
        let place = &self.keyspaces[usize::from(table.number)];
        if let Some(keyspace) = place.get() {
            return Ok(keyspace);
        }
        let options = || KeyspaceCreateOptions::default().max_memtable_size(self.memtable_bytes);
        let keyspace = self.database.keyspace(table.name, options).map_err(|error| failed(&error))?;
        Ok(place.get_or_init(|| keyspace))
    }

    fn apply(&self, writes: Writes) -> Result<(), EngineError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (table, rows) in writes.into_tables() {
            let keyspace = self.open_table(table)?;
            for (key, value) in rows {
                match value {
                    Some(value) => batch.insert(keyspace, &key[..], &value[..]),
                    None => batch.remove(keyspace, &key[..]),
                }
            }
        }
        batch.commit().map_err(|error| failed(&error))
    }

    fn all(&self) -> Result<Vec<Keyspace>, EngineError> {
        let options = KeyspaceCreateOptions::default;
        let names = self.database.list_keyspace_names();
        let keyspaces = names.iter().map(|name| self.database.keyspace(name, options));
        keyspaces.collect::<Result<_, _>>().map_err(|error| failed(&error))
    }

    /// Has everything in memory written to table files, in the background.
    fn begin_flush(&self) -> Result<Vec<Keyspace>, EngineError> {
        let keyspaces = self.all()?;
        for keyspace in &keyspaces {
            keyspace.rotate_memtable().map_err(|error| failed(&error))?;
        }
        Ok(keyspaces)
    }

    /// Writes everything in memory to table files.
    fn flush(&self) -> Result<(), EngineError> {
        let keyspaces = self.begin_flush()?;
        while keyspaces.iter().any(|keyspace| keyspace.sealed_memtable_count() > 0) {
            // fjall refuses this once a background thread has failed; its own wait would not end.
            self.database.persist(PersistMode::Buffer).map_err(|error| failed(&error))?;
            pause();
        }
        self.database.persist(PersistMode::SyncAll).map_err(|error| failed(&error))
    }

    /// Cuts the journal to nothing, after a flush and when no more is written. fjall drops a journal
    /// only when it has grown long and another follows, so it would read this one at the next start.
    fn empty_journal(&self) -> Result<(), EngineError> {
        // Old journals go right after the flush that made them useless. One that stays would have to
        // be read before this one, so then this one stays too.
        let mut looks = 0;
        while self.database.journal_count() > 1 {
            looks += 1;
            if looks > JOURNAL_LOOKS_MAX {
                return Ok(());
            }
            pause();
        }
        let empty = |path: &Path| {
            let journal = OpenOptions::new().write(true).open(path)?;
            journal.set_len(0)?;
            journal.sync_all()
        };
        for file in std::fs::read_dir(&self.directory).map_err(|cause| io(&cause))? {
            let path = file.map_err(|cause| io(&cause))?.path();
            if path.extension().is_some_and(|extension| extension == "jnl") {
                empty(&path).map_err(|cause| io(&cause))?;
            }
        }
        Ok(())
    }
}

/// One consistent state of all tables, held until dropped.
struct State {
    tables: Arc<Tables>,
    snapshot: fjall::Snapshot,
}

impl State {
    /// The state now. Only while no batch is under way: at open, and on the writer's thread.
    fn of(tables: &Arc<Tables>) -> Self {
        Self { tables: tables.clone(), snapshot: tables.database.snapshot() }
    }

    fn walk(&self, keyspace: &Keyspace, from: &Bytes, to: &Bytes) -> impl DoubleEndedIterator<Item = Stored> + use<> {
        let range = Range { from: from.clone(), to: to.clone(), reverse: false, limit: usize::MAX };
        let guards = bounds_of(&range).map(|bounds| self.snapshot.range::<&[u8], _>(keyspace, bounds));
        guards.into_iter().flatten().map(|guard| {
            let (key, value) = guard.into_inner().map_err(|error| failed(&error))?;
            Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        })
    }

    /// The rows of ranges that follow each other without a gap: one walk over all of them, as long
    /// as none is full. Going to a key costs as much as walking over two dozen rows.
    fn rows_of_neighbours(&self, keyspace: &Keyspace, ranges: &[Range]) -> Result<Vec<Vec<Row>>, EngineError> {
        let Some(last) = ranges.last() else {
            return Ok(Vec::new());
        };
        let mut walk = None;
        let mut answers = Vec::with_capacity(ranges.len());
        for range in ranges {
            let ahead = walk.get_or_insert_with(|| self.walk(keyspace, &range.from, &last.to).peekable());
            let mut rows = Vec::new();
            while rows.len() < range.limit {
                let is_inside = |row: &Stored| row.as_ref().map_or(true, |(key, _)| range.holds(key));
                match ahead.next_if(is_inside) {
                    Some(row) => rows.push(row?),
                    None => break,
                }
            }
            if rows.len() == range.limit {
                walk = None;
            }
            answers.push(rows);
        }
        Ok(answers)
    }
}

/// A row as it comes from the files.
type Stored = Result<Row, EngineError>;

impl Base for State {
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let Some(keyspace) = self.tables.existing(table)? else {
            return Ok(None);
        };
        let value = self.snapshot.get(keyspace, key).map_err(|error| failed(&error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn rows(&self, table: Table, range: &Range) -> Result<Vec<Row>, EngineError> {
        let Some(keyspace) = self.tables.existing(table)? else {
            return Ok(Vec::new());
        };
        let walk = self.walk(keyspace, &range.from, &range.to);
        if range.reverse { walk.rev().take(range.limit).collect() } else { walk.take(range.limit).collect() }
    }

    fn rows_of_many(&self, table: Table, ranges: &[Range]) -> Result<Vec<Vec<Row>>, EngineError> {
        let Some(keyspace) = self.tables.existing(table)? else {
            return Ok(vec![Vec::new(); ranges.len()]);
        };
        let mut answers = Vec::with_capacity(ranges.len());
        for neighbours in ranges.chunk_by(follows) {
            match neighbours {
                [alone] => answers.push(self.rows(table, alone)?),
                several => answers.extend(self.rows_of_neighbours(keyspace, several)?),
            }
        }
        Ok(answers)
    }
}

/// Tells whether one walk forward goes through both ranges, the second right behind the first.
fn follows(first: &Range, second: &Range) -> bool {
    let is_plain = |range: &Range| !range.reverse && bounds_of(range).is_some();
    is_plain(first) && is_plain(second) && !first.to.is_empty() && first.to == second.from
}

/// What an error of fjall means to us.
fn failed(error: &fjall::Error) -> EngineError {
    let damaged = |what: String| EngineError::Corrupt { what };
    match error {
        fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => match cause.kind() {
            // Files end early, vanish or hold nonsense: the device did its work, the bytes are wrong.
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::NotFound => damaged(cause.to_string()),
            _ => io(cause),
        },
        fjall::Error::Poisoned => EngineError::Io { what: "a write or flush failed before".to_owned() },
        fjall::Error::Storage(cause) => damaged(format!("{cause:?}")),
        other => damaged(format!("{other:?}")),
    }
}

fn io(cause: &std::io::Error) -> EngineError {
    EngineError::Io { what: cause.to_string() }
}

/// Waits between two looks at a flush that fjall does in its own threads and tells nobody of.
#[expect(clippy::disallowed_methods, reason = "this is the engine's own thread, which no simulation runs")]
fn pause() {
    std::thread::sleep(FLUSH_LOOK_EVERY);
}
