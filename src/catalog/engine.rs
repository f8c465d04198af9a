//! The engine: a handful of ordered tables of bytes with serializable transactions. Everything the
//! catalog knows is written once on top of this trait, in the manner of FoundationDB.
//!
//! A transaction is an async closure that gets its handle by value and may await nothing but that
//! handle. Embedded engines poll it exactly once, on their own writer thread; an await on anything
//! else shows as [`EngineError::ForeignAwait`]. Engines over a network may run a closure again after
//! a conflict, so a closure has no side effects but its writes.
//!
//! Limits are part of the contract: [`TRANSACTION_KEYS_MAX`], [`TRANSACTION_BYTES_MAX`],
//! [`KEY_BYTES_MAX`], [`VALUE_BYTES_MAX`]. Larger work is split by the caller, with a cursor.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

pub mod embedded;
mod group;
mod laid;
pub mod memory;
mod overlay;
pub mod postgres;
pub mod rehearsal;
mod watermark;
mod writer;

/// A future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The most keys one transaction may write.
pub const TRANSACTION_KEYS_MAX: usize = 10_000;
/// The most bytes of keys and values one transaction may write.
pub const TRANSACTION_BYTES_MAX: usize = 4 << 20;
/// The longest key.
pub const KEY_BYTES_MAX: usize = 1 << 10;
/// The longest value.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// An ordered table. The numbers and names are the stored format: `catalog-schema/README.md` lists
/// them, a number is never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    /// Its number.
    pub number: u8,
    /// Its name, as the embedded engine and SQL call it.
    pub name: &'static str,
}

/// The table of the change feed; its keys are sequence numbers, big-endian.
pub const CHANGES: Table = Table { number: 0, name: "changes" };
/// The table of the engine's and the catalog's own few facts. The keys `last_seq` and `last_batch`
/// are the engine's; nobody else writes them.
pub const META: Table = Table { number: 1, name: "meta" };

/// A half-open range of keys, read in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first key that belongs to it.
    pub from: Bytes,
    /// The first key behind it; empty means the end of the table.
    pub to: Bytes,
    /// Last key first.
    pub reverse: bool,
    /// The most rows to return.
    pub limit: usize,
}

impl Range {
    /// All keys that begin with `prefix`, at most `limit` of them.
    pub fn prefix(prefix: &[u8], limit: usize) -> Self {
        Self { from: Bytes::copy_from_slice(prefix), to: behind_prefix(prefix), reverse: false, limit }
    }

    /// The same range, beginning behind `key`.
    #[must_use]
    pub fn after(mut self, key: &[u8]) -> Self {
        let mut from = Vec::with_capacity(key.len() + 1);
        from.extend_from_slice(key);
        from.push(0);
        self.from = from.into();
        self
    }

    /// The same range, last key first.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Tells whether a key lies in the range.
    pub fn holds(&self, key: &[u8]) -> bool {
        key >= &self.from[..] && (self.to.is_empty() || key < &self.to[..])
    }
}

/// The first key behind all keys that begin with `prefix`; empty if there is none.
pub fn behind_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end.into()
}

/// A key and its value.
pub type Row = (Bytes, Bytes);

/// Why an engine could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// A limit of the contract was passed; the caller must split its work.
    #[error("a transaction passed the limit of {limit} {what}")]
    TooLarge {
        /// What there is too much of: keys, bytes, ...
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },
    /// A closure awaited something other than its transaction: a defect of the caller.
    #[error("a transaction awaited something other than its own handle")]
    ForeignAwait,
    /// Conflicts with other transactions used up all retries.
    #[error("conflicts with other transactions used up all retries")]
    Contended,
    /// The engine has been shut down.
    #[error("the catalog engine has stopped")]
    Stopped,
    /// Another process has the catalog open.
    #[error("another process has the catalog at {path} open")]
    Locked {
        /// The catalog's directory.
        path: String,
    },
    /// Stored bytes are damaged or missing.
    #[error("the catalog is damaged: {what}")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// The server of the catalog cannot be reached, and what was asked has not been done.
    #[error("the catalog's server cannot be reached: {what}")]
    Unreachable {
        /// What was met with.
        what: String,
    },
    /// The server of the catalog does not let us do what is needed: somebody has to change something.
    #[error("the catalog's server cannot be used: {what}")]
    Refused {
        /// What the server said.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The server of the catalog was lost while it committed, and did not come back to say whether it had.
    #[error("the catalog's server was lost, and whether the last change took effect is not known: {what}")]
    InDoubt {
        /// What was met with.
        what: String,
    },
    /// The device failed. An engine that could not sync refuses all further writes.
    #[error("the catalog's storage failed: {what}")]
    Io {
        /// What the device said.
        what: String,
    },
}

/// Reads of one consistent state over all tables: in a transaction, with its own writes.
pub trait Read: Send + Sync {
    /// The value of a key.
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Bytes>, EngineError>>;
    /// The values of many keys, in their order; one round trip where there are any.
    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, EngineError>>;
    /// The rows of a range, in its order, at most its limit.
    fn scan<'a>(&'a self, table: Table, range: &'a Range) -> BoxFuture<'a, Result<Vec<Row>, EngineError>>;
    /// The rows of many ranges, answered range by range; one round trip where there are any.
    fn scan_many<'a>(&'a self, table: Table, ranges: &'a [Range]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, EngineError>>;
}

/// Writes, buffered until the closure ends well. Breaking a limit is remembered and fails the commit;
/// a key without bytes is a defect of the caller and panics.
pub trait Write: Read {
    /// Sets a key.
    fn put(&self, table: Table, key: Bytes, value: Bytes);
    /// Removes a key; nothing happens if it is not there.
    fn delete(&self, table: Table, key: Bytes);
    /// Appends to the change feed. The engine numbers entries in commit order.
    fn emit(&self, change: Bytes);
}

/// The handle of a running transaction.
pub type Tx = Arc<dyn Write>;
/// A consistent state to read from, held until dropped.
pub type Snapshot = Arc<dyn Read>;

/// What a transaction's closure decides at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Make the writes durable.
    Commit,
    /// Forget them.
    Abort,
}

/// The body of a transaction. It may run more than once; it hands results out by itself.
pub type Body = Box<dyn Fn(Tx) -> BoxFuture<'static, Result<Verdict, EngineError>> + Send + Sync>;

/// How urgent a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Urgency {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// Bulk work: runs behind what is interactive.
    Bulk,
}

/// One entry of the change feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its number, without gaps from 1 on.
    pub seq: u64,
    /// What was emitted.
    pub change: Bytes,
}

/// What other processes are heard to ring when they have made changes.
pub const FEED_BELL: &str = "feed";
/// Somebody who hears bells.
pub type Ear = Box<dyn Fn(&str) + Send + Sync>;

/// An ordered, transactional, durable map of tables.
pub trait Engine: Send + Sync + 'static {
    /// The newest acknowledged state.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, EngineError>>;
    /// Runs a closure as one serializable transaction. Returns when it is on disk and the feed has its
    /// changes; none of them has a higher number than the one returned. An engine that is exclusive
    /// returns the number of the newest change that the transaction could see, its own included.
    fn transact(&self, urgency: Urgency, body: Body) -> BoxFuture<'_, Result<u64, EngineError>>;
    /// Entries of the change feed behind `after`, in order.
    fn changes(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<FeedEntry>, EngineError>>;
    /// Tells whether this process is the only one that can have the catalog open, so that leases of
    /// any other process are void.
    fn is_exclusive(&self) -> bool;
    /// Tells other processes on the same catalog that there may be something to do. A hint: it may get
    /// lost, and several may come as one.
    fn ring(&self, _bell: &'static str) {}
    /// Has somebody told of what other processes ring, and of [`FEED_BELL`] when the feed has grown by them.
    fn listen(&self, _ear: Ear) {}
    /// Finishes what is under way and makes the next start quick.
    fn close(&self) -> BoxFuture<'_, Result<(), EngineError>>;
}
