//! The rehearsal: an engine over a snapshot of another, whose commits are kept in memory and thrown
//! away with it.
//!
//! Promises: whatever runs on it sees its own earlier transactions, as if they had been carried out;
//! nothing of them ever reaches the engine below, the change feed included. Reads what was newest
//! when it was made, and is meant for one request.

use std::sync::{Arc, PoisonError, RwLock};

use futures::lock::Mutex;

use super::group::Marks;
use super::laid::Laid;
use super::overlay::Buffer;
use super::{Body, BoxFuture, Engine, EngineError, FeedEntry, Snapshot, Urgency, Verdict};

/// The most transactions of one rehearsal: each is a layer that reads go through.
pub const TRANSACTIONS_MAX: usize = 256;

/// An engine whose commits are forgotten.
pub struct Rehearsal {
    turn: Mutex<()>,
    newest: RwLock<Newest>,
}

#[derive(Clone)]
struct Newest {
    state: Snapshot,
    /// The number of the newest change, as it would be.
    seq: u64,
    layers: usize,
}

impl Rehearsal {
    /// A rehearsal over the newest state of an engine.
    pub async fn over(engine: &dyn Engine) -> Result<Arc<Self>, EngineError> {
        let state = engine.snapshot().await?;
        let seq = Marks::seq_of(&*state).await?;
        let newest = RwLock::new(Newest { state, seq, layers: 0 });
        Ok(Arc::new(Self { turn: Mutex::default(), newest }))
    }

    fn newest(&self) -> Newest {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn run(&self, body: &Body) -> Result<u64, EngineError> {
        let Newest { state, seq, layers } = self.newest();
        if layers >= TRANSACTIONS_MAX {
            return Err(EngineError::TooLarge { what: "transactions in a rehearsal", limit: TRANSACTIONS_MAX });
        }
        let laid = Laid::over(Arc::clone(&state), Buffer::default());
        if laid.run(body).await? == Verdict::Abort {
            return Ok(seq);
        }
        let Buffer { writes, changes, .. } = laid.take()?;
        let seq = seq + changes.len() as u64;
        if !writes.is_empty() {
            let state = Laid::over(state, Buffer::of(writes));
            *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Newest { state, seq, layers: layers + 1 };
        }
        Ok(seq)
    }
}

impl Engine for Rehearsal {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, EngineError>> {
        Box::pin(async { Ok(self.newest().state) })
    }

    fn transact(&self, _urgency: Urgency, body: Body) -> BoxFuture<'_, Result<u64, EngineError>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            self.run(&body).await
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
    use bytes::Bytes;
    use futures::FutureExt as _;

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
