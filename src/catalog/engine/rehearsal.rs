//! The rehearsal: an engine over a snapshot of another, whose commits are kept in memory and thrown
//! away with it.
//!
//! Promises: whatever runs on it sees its own earlier transactions, as if they had been carried out;
//! nothing of them ever reaches the engine below, the change feed included. Reads what was newest
//! when it was made, and is meant for one request.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::lock::Mutex;

use super::group::{Failure, Group, Marks};
use super::overlay::{Base, Writes};
use super::{Body, BoxFuture, Engine, EngineError, FeedEntry, Range, Row, Snapshot, Table, Urgency};

/// The most transactions of one rehearsal: each is a layer that reads go through.
pub const TRANSACTIONS_MAX: usize = 256;

/// An engine whose commits are forgotten.
pub struct Rehearsal {
    turn: Mutex<()>,
    newest: RwLock<Newest>,
}

#[derive(Clone)]
struct Newest {
    state: Arc<dyn Base>,
    marks: Marks,
    layers: usize,
}

impl Rehearsal {
    /// A rehearsal over the newest state of an engine.
    pub async fn over(engine: &dyn Engine) -> Result<Arc<Self>, EngineError> {
        let state: Arc<dyn Base> = Arc::new(Still(engine.snapshot().await?));
        let marks = Marks::read(&*state)?;
        let newest = RwLock::new(Newest { state, marks, layers: 0 });
        Ok(Arc::new(Self { turn: Mutex::default(), newest }))
    }

    fn newest(&self) -> Newest {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn run(&self, body: &Body) -> Result<u64, Failure> {
        let Newest { state, marks, layers } = self.newest();
        if layers >= TRANSACTIONS_MAX {
            let too_large = EngineError::TooLarge { what: "transactions in a rehearsal", limit: TRANSACTIONS_MAX };
            return Err(Failure::Engine(too_large));
        }
        let mut group = Group::new(Arc::clone(&state), marks);
        let seq = group.run(body)?;
        if let Some((writes, marks)) = group.finish() {
            let newest = Newest { state: Arc::new(Layer { below: state, writes }), marks, layers: layers + 1 };
            *self.newest.write().unwrap_or_else(PoisonError::into_inner) = newest;
        }
        Ok(seq)
    }
}

/// A snapshot of the engine below. All engines of one process answer at once.
struct Still(Snapshot);

fn ready<T>(answer: BoxFuture<'_, Result<T, EngineError>>) -> Result<T, EngineError> {
    answer.now_or_never().unwrap_or(Err(EngineError::ForeignAwait))
}

impl Base for Still {
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        ready(self.0.get(table, key))
    }

    fn rows(&self, table: Table, range: &Range) -> Result<Vec<Row>, EngineError> {
        ready(self.0.scan(table, range))
    }

    fn rows_of_many(&self, table: Table, ranges: &[Range]) -> Result<Vec<Vec<Row>>, EngineError> {
        ready(self.0.scan_many(table, ranges))
    }
}

/// What one transaction wrote, over the state it began with.
struct Layer {
    below: Arc<dyn Base>,
    writes: Writes,
}

impl Base for Layer {
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.writes.value_over(&*self.below, table, key)
    }

    fn rows(&self, table: Table, range: &Range) -> Result<Vec<Row>, EngineError> {
        self.writes.rows_over(&*self.below, table, range)
    }

    fn rows_of_many(&self, table: Table, ranges: &[Range]) -> Result<Vec<Vec<Row>>, EngineError> {
        self.writes.rows_of_many_over(&*self.below, table, ranges)
    }
}

/// A state as a snapshot.
struct Seen(Arc<dyn Base>);

impl Base for Seen {
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.0.value(table, key)
    }

    fn rows(&self, table: Table, range: &Range) -> Result<Vec<Row>, EngineError> {
        self.0.rows(table, range)
    }

    fn rows_of_many(&self, table: Table, ranges: &[Range]) -> Result<Vec<Vec<Row>>, EngineError> {
        self.0.rows_of_many(table, ranges)
    }
}

impl Engine for Rehearsal {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, EngineError>> {
        Box::pin(async { Ok(Arc::new(Seen(self.newest().state)) as Snapshot) })
    }

    fn transact(&self, _urgency: Urgency, body: Body) -> BoxFuture<'_, Result<u64, EngineError>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            self.run(&body).map_err(Failure::raise)
        })
    }

    fn changes(&self, _after: u64, _limit: usize) -> BoxFuture<'_, Result<Vec<FeedEntry>, EngineError>> {
        // Nobody follows what never happens.
        Box::pin(async { Ok(Vec::new()) })
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    fn close(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::engine::memory::Memory;
    use crate::catalog::engine::{META, Tx, Verdict};

    fn put(key: &'static str) -> Body {
        Box::new(move |tx: Tx| {
            tx.put(META, Bytes::from(key), Bytes::from_static(b"x"));
            tx.emit(Bytes::from_static(b"change"));
            Box::pin(async { Ok(Verdict::Commit) })
        })
    }

    #[test]
    fn a_rehearsal_sees_what_it_did_and_the_engine_below_does_not() {
        let engine = Memory::shared();
        let run = |engine: &dyn Engine, key| engine.transact(Urgency::Bulk, put(key)).now_or_never().unwrap();
        run(&*engine, "below").unwrap();
        let rehearsal = Rehearsal::over(&*engine).now_or_never().unwrap().unwrap();
        for key in ["one", "two"] {
            run(&*rehearsal, key).unwrap();
        }
        let sees = |engine: &dyn Engine, key: &str| {
            let snapshot = engine.snapshot().now_or_never().unwrap().unwrap();
            snapshot.get(META, key.as_bytes()).now_or_never().unwrap().unwrap().is_some()
        };
        assert!(["below", "one", "two"].iter().all(|key| sees(&*rehearsal, key)));
        assert!(sees(&*engine, "below") && !sees(&*engine, "one") && !sees(&*engine, "two"));
        assert_eq!(engine.changes(0, 10).now_or_never().unwrap().unwrap().len(), 1);
    }

    #[test]
    fn a_rehearsal_has_an_end() {
        let engine = Memory::shared();
        let rehearsal = Rehearsal::over(&*engine).now_or_never().unwrap().unwrap();
        let run = || rehearsal.transact(Urgency::Bulk, put("k")).now_or_never().unwrap();
        assert!((0..TRANSACTIONS_MAX).all(|_| run().is_ok()));
        assert!(matches!(run(), Err(EngineError::TooLarge { .. })));
    }
}
