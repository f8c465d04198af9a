//! The engine in memory, for tests and simulation.
//!
//! Promises what every engine promises, save durability: its state lives as long as the value. It
//! has no threads and no clock and never waits for anything but another transaction, so a
//! simulation on one thread runs the same way every time, and whoever keeps a clone of the `Arc`
//! keeps the state across a crash of everybody else.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures::lock::Mutex;

use super::group::{Failure, Group, Marks, feed};
use super::overlay::{Base, Writes, bounds_of};
use super::{Body, BoxFuture, Engine, EngineError, FeedEntry, Range, Row, Snapshot, Table, Urgency};

/// Ordered tables in memory.
#[derive(Debug, Default)]
pub struct Memory {
    /// Held while a closure runs: transactions run one at a time. An async lock, because a closure
    /// that starts another transaction must find it taken, not wait for itself.
    turn: Mutex<()>,
    newest: RwLock<Arc<State>>,
}

/// One state of all tables. Tables are shared between states until one of them changes.
#[derive(Debug, Default, Clone)]
struct State {
    tables: BTreeMap<Table, Arc<BTreeMap<Bytes, Bytes>>>,
    marks: Marks,
    is_closed: bool,
}

impl Memory {
    /// An engine with empty tables.
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// Makes an engine usable again after `close`, with everything it held: a restart, simulated.
    pub fn reopen(&self) {
        self.change(|state| state.is_closed = false);
    }

    fn newest(&self) -> Arc<State> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut newest));
    }

    fn run(&self, body: &Body) -> Result<u64, Failure> {
        let state = self.newest();
        if state.is_closed {
            return Err(Failure::Engine(EngineError::Stopped));
        }
        let marks = state.marks;
        let mut group = Group::new(state, marks);
        let seq = group.run(body)?;
        // The group has let go of the state it read, so that the tables are changed in place.
        if let Some((writes, marks)) = group.finish() {
            self.change(|state| state.apply(writes, marks));
        }
        Ok(seq)
    }
}

impl State {
    fn apply(&mut self, writes: Writes, marks: Marks) {
        for (table, rows) in writes.into_tables() {
            let stored = Arc::make_mut(self.tables.entry(table).or_default());
            for (key, value) in rows {
                match value {
                    Some(value) => stored.insert(key, value),
                    None => stored.remove(&key),
                };
            }
        }
        self.marks = marks;
    }
}

impl Base for State {
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.tables.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn rows(&self, table: Table, range: &Range) -> Result<Vec<Row>, EngineError> {
        let (Some(rows), Some(bounds)) = (self.tables.get(&table), bounds_of(range)) else {
            return Ok(Vec::new());
        };
        let owned = |(key, value): (&Bytes, &Bytes)| (key.clone(), value.clone());
        let inside = rows.range::<[u8], _>(bounds);
        Ok(if range.reverse {
            inside.rev().take(range.limit).map(owned).collect()
        } else {
            inside.take(range.limit).map(owned).collect()
        })
    }
}

impl Engine for Memory {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, EngineError>> {
        Box::pin(async { Ok(self.newest() as Snapshot) })
    }

    fn transact(&self, _urgency: Urgency, body: Body) -> BoxFuture<'_, Result<u64, EngineError>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            self.run(&body).map_err(Failure::raise)
        })
    }

    fn changes(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<FeedEntry>, EngineError>> {
        Box::pin(async move { feed(&*self.newest(), after, limit) })
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn close(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            self.change(|state| state.is_closed = true);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::catalog::engine::{META, Tx, Verdict};

    fn put(key: &'static str) -> Body {
        Box::new(move |tx: Tx| {
            tx.put(META, Bytes::from(key), Bytes::new());
            Box::pin(async { Ok(Verdict::Commit) })
        })
    }

    #[test]
    fn everything_completes_at_the_first_poll_without_a_runtime() {
        let engine = Memory::shared();
        let first = engine.transact(Urgency::Bulk, put("a")).now_or_never();
        assert!(first.unwrap().is_ok());
        assert!(engine.changes(0, 1).now_or_never().unwrap().unwrap().is_empty());
        let snapshot = engine.snapshot().now_or_never().unwrap().unwrap();
        assert!(snapshot.get(META, b"a").now_or_never().unwrap().unwrap().is_some());
    }

    #[test]
    fn a_restart_finds_everything() {
        let engine = Memory::shared();
        engine.transact(Urgency::Bulk, put("a")).now_or_never().unwrap().unwrap();
        engine.close().now_or_never().unwrap().unwrap();
        assert!(engine.transact(Urgency::Bulk, put("b")).now_or_never().unwrap().is_err());
        engine.reopen();
        assert!(engine.transact(Urgency::Bulk, put("b")).now_or_never().unwrap().is_ok());
        assert!(engine.newest().value(META, b"a").unwrap().is_some());
    }

    #[test]
    fn tables_are_changed_in_place_while_nobody_looks() {
        let engine = Memory::shared();
        engine.transact(Urgency::Bulk, put("a")).now_or_never().unwrap().unwrap();
        let table = Arc::as_ptr(&engine.newest().tables[&META]);
        engine.transact(Urgency::Bulk, put("b")).now_or_never().unwrap().unwrap();
        assert_eq!(table, Arc::as_ptr(&engine.newest().tables[&META]));
    }
}
