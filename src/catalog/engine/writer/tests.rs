//! Tests of the writer thread: batches, urgency, panics, and callers that go away.

use std::sync::mpsc;

use bytes::Bytes;

use super::*;
use crate::catalog::engine::{META, Range, Row, Table, Tx, Verdict};

/// A store that is always empty, whose batches wait for the test's word and can be made to fail.
struct Gated {
    batches: Mutex<mpsc::Receiver<Result<(), EngineError>>>,
}

struct Empty;

impl Base for Empty {
    fn value(&self, _: Table, _: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(None)
    }

    fn rows(&self, _: Table, _: &Range) -> Result<Vec<Row>, EngineError> {
        Ok(Vec::new())
    }
}

impl Store for Gated {
    fn state(&self) -> Arc<dyn Base> {
        Arc::new(Empty)
    }

    fn apply(&self, _: Writes, _: Marks) -> Result<(), EngineError> {
        self.batches.lock().unwrap().recv().unwrap_or(Ok(()))
    }

    fn rest(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

fn gated() -> (Arc<Writer>, mpsc::Sender<Result<(), EngineError>>) {
    let (gate, batches) = mpsc::channel();
    let store = Arc::new(Gated { batches: Mutex::new(batches) });
    (Arc::new(Writer::start(store, Marks::default()).unwrap()), gate)
}

fn broken() -> EngineError {
    EngineError::Io { what: "the disk is on fire".to_owned() }
}

/// A transaction that writes, and notes that it ran.
fn noting(log: &Arc<Mutex<Vec<String>>>, name: impl ToString) -> Body {
    let (log, name) = (log.clone(), name.to_string());
    Box::new(move |tx: Tx| {
        log.lock().unwrap().push(name.clone());
        Box::pin(async move {
            tx.put(META, Bytes::from_static(b"key"), Bytes::new());
            Ok(Verdict::Commit)
        })
    })
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_batch_holds_one_bulk_transaction_behind_the_interactive_ones() {
    let (writer, gate) = gated();
    let log = Arc::default();
    let start = |urgency, name: &str| {
        let (writer, body) = (writer.clone(), noting(&log, name));
        tokio::spawn(async move { writer.transact(urgency, body).await })
    };
    let mut callers = vec![start(Urgency::Interactive, "first")];
    until(|| log.lock().unwrap().len() == 1).await;
    callers.push(start(Urgency::Bulk, "bulk"));
    callers.push(start(Urgency::Bulk, "bulk"));
    callers.push(start(Urgency::Interactive, "urgent"));
    callers.push(start(Urgency::Interactive, "urgent"));
    until(|| {
        let waiting = writer.queue.lock();
        waiting.interactive.len() + waiting.bulk.len() == 4
    })
    .await;
    gate.send(Ok(())).unwrap();
    until(|| log.lock().unwrap().len() == 4).await;
    assert_eq!(*log.lock().unwrap(), ["first", "urgent", "urgent", "bulk"]);
    drop(gate);
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(log.lock().unwrap()[4], "bulk");
}

#[tokio::test]
async fn a_store_that_failed_is_never_written_again() {
    let (writer, gate) = gated();
    let log = Arc::default();
    gate.send(Err(broken())).unwrap();
    let lost = writer.transact(Urgency::Interactive, noting(&log, "lost")).await;
    assert!(matches!(lost, Err(EngineError::Io { .. })), "{lost:?}");
    drop(gate);
    for urgency in [Urgency::Interactive, Urgency::Bulk] {
        let refused = writer.transact(urgency, noting(&log, "refused")).await;
        assert!(matches!(refused, Err(EngineError::Io { .. })), "{refused:?}");
    }
    assert_eq!(*log.lock().unwrap(), ["lost"]);
    assert!(matches!(writer.close().await, Err(EngineError::Io { .. })));
}

#[tokio::test]
async fn a_transaction_nobody_waits_for_is_skipped() {
    let (writer, gate) = gated();
    let log = Arc::default();
    let (first, second) = (writer.clone(), writer.clone());
    let (first_body, second_body) = (noting(&log, "first"), noting(&log, "cancelled"));
    let first = tokio::spawn(async move { first.transact(Urgency::Interactive, first_body).await });
    until(|| log.lock().unwrap().len() == 1).await;
    let second = tokio::spawn(async move { second.transact(Urgency::Interactive, second_body).await });
    until(|| writer.queue.lock().interactive.len() == 1).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    drop(gate);
    first.await.unwrap().unwrap();
    writer.close().await.unwrap();
    assert_eq!(*log.lock().unwrap(), ["first"]);
}

#[tokio::test]
async fn what_is_queued_finishes_before_the_close() {
    let (writer, gate) = gated();
    let log = Arc::default();
    let (caller, body) = (writer.clone(), noting(&log, "queued"));
    let queued = tokio::spawn(async move { caller.transact(Urgency::Bulk, body).await });
    until(|| log.lock().unwrap().len() == 1).await;
    let closer = writer.clone();
    let closing = tokio::spawn(async move { closer.close().await });
    until(|| writer.queue.lock().stage == Stage::Closing).await;
    let late = writer.transact(Urgency::Interactive, noting(&log, "late")).await;
    assert!(matches!(late, Err(EngineError::Stopped)));
    gate.send(Ok(())).unwrap();
    queued.await.unwrap().unwrap();
    closing.await.unwrap().unwrap();
    writer.close().await.unwrap();
}
