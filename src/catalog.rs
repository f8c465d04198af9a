//! The catalog: what the lake knows, kept durably and changed only in serializable transactions.
//!
//! Everything here is written once, on top of [`engine::Engine`]. [`Catalog::transact`] runs one
//! use-case as one transaction; [`Catalog::view`] reads one consistent state.

use std::future::Future;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::catalog::engine::{
    Engine, EngineError, Range, Read, Snapshot, TRANSACTION_KEYS_MAX, Table, Tx, Urgency, Verdict,
};
use crate::catalog::table::{DecodeError, Parts, Typed, Value};
use crate::clock::SharedClock;
use crate::fault::{Fault, Kind};
use crate::model::change::Change;
use crate::model::id::ProcessId;
use crate::model::time::Timestamp;
use crate::telemetry::meters::Meters;

pub mod backup;
pub mod check;
pub mod decisions;
pub mod endpoints;
pub mod engine;
pub mod feed;
pub mod hands;
pub mod history;
pub mod ids;
pub mod key;
pub mod labels;
pub mod lake;
pub mod lease;
pub mod ledger;
pub mod metadata;
pub mod placing;
pub mod record;
pub mod subjects;
pub mod table;
pub mod wake;

/// The most files one transaction takes; larger calls are chunked.
pub const TRANSACTION_FILES_MAX: usize = 1_000;

/// Why the catalog could not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A stored row cannot be read.
    #[error("table {table}: {source}")]
    Decode {
        /// The table.
        table: &'static str,
        /// Why.
        source: DecodeError,
    },
    /// A dataset would hold more bytes than can be counted.
    #[error("the dataset would hold 8 EiB or more, which is more than can be counted")]
    DatasetTooLong,
    /// The lease under which a worker writes is no longer its own.
    #[error("the lease {name} has been lost")]
    LeaseLost {
        /// Its name.
        name: String,
    },
    /// A restore of the catalog did not come to its end.
    #[error("the catalog was restored by half: the restore was broken off")]
    HalfRestored,
}

impl Fault for CatalogError {
    fn kind(&self) -> Kind {
        match self {
            CatalogError::Engine(EngineError::Contended | EngineError::Stopped | EngineError::Locked { .. })
            | CatalogError::LeaseLost { .. } => Kind::Unavailable,
            CatalogError::Engine(
                EngineError::Io { .. }
                | EngineError::Unreachable { .. }
                | EngineError::Refused { .. }
                | EngineError::InDoubt { .. },
            ) => Kind::Unavailable,
            CatalogError::Engine(EngineError::Corrupt { .. }) | CatalogError::Decode { .. } => Kind::Corrupt,
            CatalogError::Engine(EngineError::TooLarge { .. } | EngineError::ForeignAwait) => Kind::Internal,
            CatalogError::DatasetTooLong => Kind::Invalid,
            CatalogError::HalfRestored => Kind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self.kind() {
            Kind::Corrupt => "catalog-damaged",
            Kind::Internal => "catalog-internal",
            Kind::Invalid => "dataset-too-long",
            _ if matches!(self, CatalogError::Engine(EngineError::InDoubt { .. })) => "catalog-in-doubt",
            Kind::Conflict => "lake-half-restored",
            _ => "catalog-unavailable",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CatalogError::DatasetTooLong => {
                Some("are the lengths of the files right? if they are, use several datasets".to_owned())
            }
            CatalogError::Engine(EngineError::Refused { hint, .. }) => Some(hint.clone()),
            CatalogError::Engine(EngineError::InDoubt { .. }) => {
                Some("look whether it is there before you ask for it again".to_owned())
            }
            CatalogError::HalfRestored => {
                Some("empty the place that it was restored to, and restore the backup again".to_owned())
            }
            _ => None,
        }
    }
}

/// The catalog of one lake, shared by all parts of a process.
#[derive(Clone)]
pub struct Catalog {
    engine: Arc<dyn Engine>,
    clock: SharedClock,
    process: ProcessId,
    ids: Arc<ids::IdBlocks>,
    wakes: Arc<wake::Wakes>,
    meters: Arc<Meters>,
    hands: hands::Hands,
    lease: Option<lease::Lease>,
    lease_span: Duration,
    /// The number behind which this epoch's changes begin.
    feed_base: Arc<AtomicU64>,
}

impl Catalog {
    /// A catalog on an engine.
    pub fn new(engine: Arc<dyn Engine>, clock: SharedClock) -> Self {
        let process = ProcessId(clock.id());
        let wakes: Arc<wake::Wakes> = Arc::default();
        let (to_others, to_us) = (Arc::downgrade(&engine), Arc::downgrade(&wakes));
        if !engine.is_exclusive() {
            wakes.carry(Box::new(move |bell| to_others.upgrade().into_iter().for_each(|engine| engine.ring(bell))));
            engine.listen(Box::new(move |bell| to_us.upgrade().into_iter().for_each(|wakes| wakes.hear(bell))));
        }
        Self {
            engine,
            clock,
            process,
            ids: Arc::default(),
            wakes,
            meters: Arc::default(),
            hands: hands::Hands::default(),
            lease: None,
            lease_span: lease::LEASE_SPAN,
            feed_base: Arc::default(),
        }
    }

    /// The same catalog, in which the work of a process that is gone waits so long.
    #[must_use]
    pub fn with_lease_span(self, lease_span: Duration) -> Self {
        Self { lease_span, ..self }
    }

    /// The same catalog for the holder of a lease: every write reads the lease's token first, and
    /// fails once it has gone to somebody else.
    #[must_use]
    pub fn under(&self, lease: lease::Lease) -> Self {
        Self { lease: Some(lease), ..self.clone() }
    }

    /// The same catalog as a rehearsal: what is written is read again by whoever holds this, and
    /// comes to nothing. Nobody is woken by it, and nothing is counted.
    pub async fn rehearsing(&self) -> Result<Self, CatalogError> {
        let engine = engine::rehearsal::Rehearsal::over(&*self.engine).await?;
        let (ids, wakes, meters) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Self { engine, ids, wakes, meters, lease: None, ..self.clone() })
    }

    /// The clock that everything above takes its time from.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// This process, as leases and transfers name it.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Tells whether no other process can have the catalog open.
    pub fn is_exclusive(&self) -> bool {
        self.engine.is_exclusive()
    }

    /// The transfers that this process has in hand.
    pub fn hands(&self) -> &hands::Hands {
        &self.hands
    }

    /// Where workers wait for work.
    pub fn wakes(&self) -> &wake::Wakes {
        &self.wakes
    }

    /// The same, for tasks that outlive a borrow.
    pub fn wakes_shared(&self) -> &Arc<wake::Wakes> {
        &self.wakes
    }

    /// What this process counts, for whoever has something to count.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// Reads of one consistent state. Hold it briefly.
    pub async fn view(&self) -> Result<View, CatalogError> {
        Ok(View { read: self.engine.snapshot().await? })
    }

    /// Runs a use-case as one transaction somebody waits for. It is on disk when this returns.
    /// The closure may run more than once; an error it returns leaves nothing behind.
    pub async fn transact<T, E, F, Fut>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
        F: Fn(Txn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.run(Urgency::Interactive, body).await
    }

    /// Like [`Catalog::transact`], but behind everything that somebody waits for.
    pub async fn transact_bulk<T, E, F, Fut>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
        F: Fn(Txn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.run(Urgency::Bulk, body).await
    }

    async fn run<T, E, F, Fut>(&self, urgency: Urgency, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
        F: Fn(Txn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (now, began) = (self.clock.now(), self.clock.monotonic());
        let base = self.clock.id();
        let result: Arc<Mutex<Option<Result<T, E>>>> = Arc::default();
        let slot = Arc::clone(&result);
        let runs: Arc<AtomicU32> = Arc::default();
        let run = Arc::clone(&runs);
        let lease = self.lease.clone();
        let outcome = self
            .engine
            .transact(
                urgency,
                Box::new(move |tx| {
                    run.fetch_add(1, Ordering::Relaxed);
                    let read: Snapshot = Arc::clone(&tx) as Arc<dyn Read>;
                    let (made, written) = (Arc::default(), Arc::default());
                    let txn = Txn { view: View { read }, tx, now, base, made, written };
                    let (lease, running) = (lease.clone(), body(txn.clone()));
                    let slot = Arc::clone(&slot);
                    Box::pin(async move {
                        let held = match lease {
                            Some(lease) => lease.verify(&txn).await,
                            None => Ok(()),
                        };
                        let result = match held {
                            Ok(()) => running.await,
                            Err(lost) => Err(E::from(lost)),
                        };
                        let verdict = if result.is_ok() { Verdict::Commit } else { Verdict::Abort };
                        *slot.lock().expect("nothing panics while holding it") = Some(result);
                        Ok(verdict)
                    })
                }),
            )
            .await;
        let result = result.lock().expect("nothing panics while holding it").take();
        self.meters.repeated(runs.load(Ordering::Relaxed).saturating_sub(1));
        let newest = outcome.as_ref().ok().filter(|_| matches!(result, Some(Ok(_))));
        let newest = newest.map(|newest| self.feed_base() + newest);
        if self.meters.transacted(newest, self.clock.monotonic().saturating_sub(began)) {
            self.wakes.wake(wake::Topic::Feed);
        }
        match (outcome, result) {
            (Ok(_), Some(result)) => result,
            (Ok(_), None) => unreachable!("an engine that committed has run the closure to its end"),
            // The closure's own error says more than the engine's remark on it.
            (Err(_), Some(Err(error))) => Err(error),
            (Err(error), _) => Err(E::from(CatalogError::Engine(error))),
        }
    }

    /// Finishes what is under way and makes the next start quick.
    pub async fn close(&self) -> Result<(), CatalogError> {
        Ok(self.engine.close().await?)
    }
}

/// Typed reads of one consistent state; in a transaction, with its own writes.
#[derive(Clone)]
pub struct View {
    read: Snapshot,
}

/// Rows of a table: keys and values.
pub type Rows<T> = Vec<(<T as Typed>::Key, <T as Typed>::Value)>;

impl View {
    /// The value of a key.
    pub async fn get<T: Typed>(&self, key: &T::Key) -> Result<Option<T::Value>, CatalogError> {
        let stored = self.read.get(T::TABLE, &key.encode()).await?;
        stored.map(|bytes| T::Value::decode(&bytes).map_err(decode_error::<T>)).transpose()
    }

    /// The values of many keys, in their order.
    pub async fn get_many<T: Typed>(&self, keys: &[T::Key]) -> Result<Vec<Option<T::Value>>, CatalogError> {
        let encoded: Vec<_> = keys.iter().map(Parts::encode).collect();
        let stored = self.read.get_many(T::TABLE, &encoded).await?;
        let decode = |bytes: bytes::Bytes| T::Value::decode(&bytes).map_err(decode_error::<T>);
        stored.into_iter().map(|bytes| bytes.map(decode).transpose()).collect()
    }

    /// Like [`View::get_many`], for keys that are likely to be neighbours, such as the numbers of files
    /// that were registered together: one walk over them instead of a seek for each.
    pub async fn get_run<T: Typed>(&self, keys: &[T::Key]) -> Result<Vec<Option<T::Value>>, CatalogError> {
        // A whole key as a prefix holds one row; a limit of two lets the walk go on behind it.
        let rows = self.scan_many::<T>(keys, 2).await?;
        Ok(rows.into_iter().map(|rows| rows.into_iter().next().map(|(_, value)| value)).collect())
    }

    /// The rows whose keys begin with `prefix`, in order, at most `limit`.
    pub async fn scan<T: Typed>(&self, prefix: &impl Parts, limit: usize) -> Result<Rows<T>, CatalogError> {
        self.range::<T>(Range::prefix(&prefix.encode(), limit)).await
    }

    /// The rows whose keys begin with `prefix` and come behind `after`, in order, at most `limit`.
    pub async fn scan_after<T: Typed>(
        &self,
        prefix: &impl Parts,
        after: &T::Key,
        limit: usize,
    ) -> Result<Rows<T>, CatalogError> {
        self.range::<T>(Range::prefix(&prefix.encode(), limit).after(&after.encode())).await
    }

    /// The rows of a range of keys.
    pub async fn range<T: Typed>(&self, range: Range) -> Result<Rows<T>, CatalogError> {
        let rows = self.read.scan(T::TABLE, &range).await?;
        decode_rows::<T>(rows)
    }

    /// The rows of many prefixes, answered prefix by prefix, at most `limit` for each.
    pub async fn scan_many<T: Typed>(
        &self,
        prefixes: &[impl Parts],
        limit: usize,
    ) -> Result<Vec<Rows<T>>, CatalogError> {
        let ranges: Vec<_> = prefixes.iter().map(|prefix| Range::prefix(&prefix.encode(), limit)).collect();
        let answers = self.read.scan_many(T::TABLE, &ranges).await?;
        answers.into_iter().map(decode_rows::<T>).collect()
    }

    /// Tells whether any key begins with `prefix`.
    pub async fn any<T: Typed>(&self, prefix: &impl Parts) -> Result<bool, CatalogError> {
        let rows = self.read.scan(T::TABLE, &Range::prefix(&prefix.encode(), 1)).await?;
        Ok(!rows.is_empty())
    }
}

fn decode_rows<T: Typed>(rows: Vec<engine::Row>) -> Result<Rows<T>, CatalogError> {
    rows.into_iter()
        .map(|(key, value)| {
            let key = T::Key::decode(&key).map_err(|error| decode_error::<T>(error.into()))?;
            Ok((key, T::Value::decode(&value).map_err(decode_error::<T>)?))
        })
        .collect()
}

fn decode_error<T: Typed>(source: DecodeError) -> CatalogError {
    CatalogError::Decode { table: T::TABLE.name, source }
}

/// The handle of a running transaction: reads, and writes that become durable together.
#[derive(Clone)]
pub struct Txn {
    view: View,
    tx: Tx,
    now: Timestamp,
    base: u128,
    made: Arc<AtomicU32>,
    written: Arc<AtomicUsize>,
}

impl Deref for Txn {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Txn {
    /// The time of the transaction, the same however often its closure runs.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// An id that no other transaction has, sorting by the time of the transaction.
    pub fn fresh(&self) -> u128 {
        self.base.wrapping_add(u128::from(self.made.fetch_add(1, Ordering::Relaxed)))
    }

    /// How many keys the transaction can still write. Work whose size is not known beforehand stops
    /// in time, and goes on in another transaction.
    pub fn room(&self) -> usize {
        TRANSACTION_KEYS_MAX.saturating_sub(self.written.load(Ordering::Relaxed))
    }

    fn set(&self, table: Table, key: bytes::Bytes, value: bytes::Bytes) {
        self.written.fetch_add(1, Ordering::Relaxed);
        self.tx.put(table, key, value);
    }

    fn unset(&self, table: Table, key: bytes::Bytes) {
        self.written.fetch_add(1, Ordering::Relaxed);
        self.tx.delete(table, key);
    }

    /// Writes a row that is new, or whose index rows cannot differ from those it had.
    pub fn put<T: Typed>(&self, key: &T::Key, value: &T::Value) {
        self.set(T::TABLE, key.encode(), value.encode());
        for (table, row) in T::indexes(key, value) {
            self.set(table, row, bytes::Bytes::new());
        }
    }

    /// Writes a row in place of `old`, with the difference of their index rows.
    pub fn replace<T: Typed>(&self, key: &T::Key, old: &T::Value, new: &T::Value) {
        let rows = T::indexes(key, new);
        for (table, row) in T::indexes(key, old) {
            if !rows.contains(&(table, row.clone())) {
                self.unset(table, row);
            }
        }
        self.put::<T>(key, new);
    }

    /// Removes a row with its index rows.
    pub fn delete<T: Typed>(&self, key: &T::Key, old: &T::Value) {
        self.unset(T::TABLE, key.encode());
        for (table, row) in T::indexes(key, old) {
            self.unset(table, row);
        }
    }

    /// Removes a row that has no index rows, whether it is there or not.
    pub fn clear<T: Typed>(&self, key: &T::Key) {
        self.unset(T::TABLE, key.encode());
    }

    /// Tells followers of the change feed.
    pub fn emit(&self, change: &Change) {
        self.written.fetch_add(1, Ordering::Relaxed);
        self.tx.emit(feed::encode(change));
    }
}
