//! The group: transactions run one after another over one state, to be made durable together.
//!
//! Promises: each sees the writes of those before it, so their order is a serial order; one that
//! fails, aborts or panics leaves no trace; changes are numbered in that order, without gaps. Each
//! closure is polled exactly once. Makes nothing durable itself: that is the business of whoever
//! takes the result.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::overlay::{Base, Overlay, Writes};
use super::{Body, CHANGES, EngineError, FeedEntry, META, Range, Read, Row, Table, Tx, Verdict};

/// The fact in [`META`] that holds the number of the newest change.
const LAST_SEQ: &[u8] = b"last_seq";
/// The fact in [`META`] that holds the number of the newest durable batch.
const LAST_BATCH: &[u8] = b"last_batch";

/// How far a store has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks {
    /// The number of the newest change.
    pub(super) seq: u64,
    /// The number of the newest batch.
    pub(super) batch: u64,
}

impl Marks {
    /// The marks a store holds.
    pub(super) fn read(state: &dyn Base) -> Result<Self, EngineError> {
        Ok(Self { seq: number(state.value(META, LAST_SEQ)?)?, batch: number(state.value(META, LAST_BATCH)?)? })
    }
}

impl Marks {
    /// The number of the newest change that a state holds.
    pub(super) async fn seq_of(state: &dyn Read) -> Result<u64, EngineError> {
        number(state.get(META, LAST_SEQ).await?)
    }
}

fn number(stored: Option<Bytes>) -> Result<u64, EngineError> {
    match stored {
        None => Ok(0),
        Some(bytes) => to_number(&bytes),
    }
}

/// The number that stored bytes hold.
pub(super) fn to_number(bytes: &[u8]) -> Result<u64, EngineError> {
    match bytes.try_into() {
        Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
        Err(_) => {
            Err(EngineError::Corrupt { what: format!("{} bytes where a number of 8 bytes should be", bytes.len()) })
        }
    }
}

/// The entries of the change feed behind `after`.
pub(super) fn feed(state: &dyn Base, after: u64, limit: usize) -> Result<Vec<FeedEntry>, EngineError> {
    let Some(first) = after.checked_add(1) else {
        return Ok(Vec::new());
    };
    let range = Range { from: Bytes::copy_from_slice(&first.to_be_bytes()), to: Bytes::new(), reverse: false, limit };
    let rows = state.rows(CHANGES, &range)?;
    rows.into_iter().map(|(key, change)| to_number(&key).map(|seq| FeedEntry { seq, change })).collect()
}

/// Why a transaction of a group came to nothing.
pub(super) enum Failure {
    /// The engine or the closure said so.
    Engine(EngineError),
    /// The closure panicked, with this.
    Panic(Box<dyn Any + Send>),
}

impl Failure {
    /// The error to return; a panic goes on in the caller, whose closure it was.
    pub(super) fn raise(self) -> EngineError {
        match self {
            Self::Engine(error) => error,
            Self::Panic(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// What the transactions of a group have written so far, over the state they began with.
struct Layer {
    below: Arc<dyn Base>,
    writes: RwLock<Writes>,
}

impl Layer {
    fn change<T>(&self, change: impl FnOnce(&mut Writes) -> T) -> T {
        // Only whole transactions are absorbed, so a panic elsewhere leaves nothing half done.
        change(&mut self.writes.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn look<T>(&self, look: impl FnOnce(&Writes) -> T) -> T {
        look(&self.writes.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Base for Layer {
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.look(|writes| writes.value_over(&*self.below, table, key))
    }

    fn rows(&self, table: Table, range: &Range) -> Result<Vec<Row>, EngineError> {
        self.look(|writes| writes.rows_over(&*self.below, table, range))
    }

    fn rows_of_many(&self, table: Table, ranges: &[Range]) -> Result<Vec<Vec<Row>>, EngineError> {
        self.look(|writes| writes.rows_of_many_over(&*self.below, table, ranges))
    }
}

/// A group under way.
pub(super) struct Group {
    layer: Arc<Layer>,
    marks: Marks,
}

impl Group {
    /// A group that begins with `state`, which has come as far as `marks`.
    pub(super) fn new(state: Arc<dyn Base>, marks: Marks) -> Self {
        let layer = Arc::new(Layer { below: state, writes: RwLock::default() });
        Self { layer, marks }
    }

    /// Runs one transaction. The number is that of the newest change it could see.
    pub(super) fn run(&mut self, body: &Body) -> Result<u64, Failure> {
        let overlay = Arc::new(Overlay::new(self.layer.clone()));
        match poll_once(body, overlay.clone())? {
            Verdict::Abort => {}
            Verdict::Commit => {
                let buffer = overlay.take().map_err(Failure::Engine)?;
                self.absorb(buffer.writes, buffer.changes);
            }
        }
        Ok(self.marks.seq)
    }

    fn absorb(&mut self, mut writes: Writes, changes: Vec<Bytes>) {
        if !changes.is_empty() {
            for change in changes {
                self.marks.seq += 1;
                writes.set(CHANGES, to_bytes(self.marks.seq), Some(change));
            }
            writes.set(META, Bytes::from_static(LAST_SEQ), Some(to_bytes(self.marks.seq)));
        }
        self.layer.change(|all| all.absorb(writes));
    }

    /// How many bytes the group has to write.
    pub(super) fn bytes(&self) -> usize {
        self.layer.look(Writes::bytes)
    }

    /// What the group has to write, as one batch, and the marks it brings the store to; nothing if
    /// it only read.
    pub(super) fn finish(mut self) -> Option<(Writes, Marks)> {
        let mut writes = self.layer.change(std::mem::take);
        if writes.is_empty() {
            return None;
        }
        self.marks.batch += 1;
        writes.set(META, Bytes::from_static(LAST_BATCH), Some(to_bytes(self.marks.batch)));
        Some((writes, self.marks))
    }
}

fn to_bytes(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// Runs a closure by a single poll: whatever a transaction may await is ready at once.
fn poll_once(body: &Body, tx: Tx) -> Result<Verdict, Failure> {
    // A panicking closure reaches nothing but its own overlay, and that is thrown away.
    let run = AssertUnwindSafe(|| body(tx).as_mut().poll(&mut Context::from_waker(Waker::noop())));
    match catch_unwind(run) {
        Ok(Poll::Ready(verdict)) => verdict.map_err(Failure::Engine),
        Ok(Poll::Pending) => Err(Failure::Engine(EngineError::ForeignAwait)),
        Err(panic) => Err(Failure::Panic(panic)),
    }
}
