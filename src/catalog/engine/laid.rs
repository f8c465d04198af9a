//! Writes laid over a state that may take its time to answer, as a server's does.
//!
//! Promises what the overlay promises, and one thing more: [`Laid::run`] tells a closure that awaits
//! its own handle from one that awaits anything else, and ends the latter. Every question goes below
//! at once and at most once more where a scan was short by what its writes hide.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;

use super::overlay::{Buffer, Merge, Written, bounds_of};
use super::{Body, BoxFuture, EngineError, Range, Read, Row, Snapshot, Table, Tx, Verdict, Write};

/// A transaction's writes over the state it reads; or, when it is over, a state of its own.
pub(super) struct Laid {
    below: Snapshot,
    buffer: Mutex<Buffer>,
    /// How many of its answers are still awaited.
    awaited: Arc<AtomicUsize>,
}

/// An answer that is awaited, until this is dropped.
struct Awaited(Arc<AtomicUsize>);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Laid {
    /// Writes over a state; nothing at first.
    pub(super) fn over(below: Snapshot, buffer: Buffer) -> Arc<Self> {
        Arc::new(Self { below, buffer: Mutex::new(buffer), awaited: Arc::default() })
    }

    /// Runs a closure with this as its handle.
    pub(super) async fn run(self: &Arc<Self>, body: &Body) -> Result<Verdict, EngineError> {
        let mut running = body(Arc::clone(self) as Tx);
        poll_fn(|context| match running.as_mut().poll(context) {
            Poll::Pending if self.awaited.load(Ordering::Acquire) == 0 => Poll::Ready(Err(EngineError::ForeignAwait)),
            polled => polled,
        })
        .await
    }

    /// Takes what is to be written. Whoever still holds the handle writes to nowhere.
    pub(super) fn take(&self) -> Result<Buffer, EngineError> {
        std::mem::take(&mut *self.buffer()).within_limits()
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        // A panic below leaves the buffer whole, and its transaction is discarded anyway.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn awaits(&self) -> Awaited {
        self.awaited.fetch_add(1, Ordering::AcqRel);
        Awaited(Arc::clone(&self.awaited))
    }

    /// The merges of ranges with what is written inside them; `None` for one that holds no key.
    fn merges(&self, table: Table, ranges: &[Range]) -> Vec<Option<Merge<std::vec::IntoIter<Written>>>> {
        let buffer = self.buffer();
        let merge = |range: &Range| {
            let is_wanted = range.limit > 0 && bounds_of(range).is_some();
            is_wanted.then(|| Merge::new(buffer.writes.inside(table, range).into_iter(), range))
        };
        ranges.iter().map(merge).collect()
    }

    async fn rows(&self, table: Table, ranges: &[Range]) -> Result<Vec<Vec<Row>>, EngineError> {
        let mut merges = self.merges(table, ranges);
        let mut open: Vec<usize> = (0..merges.len()).filter(|place| merges[*place].is_some()).collect();
        while !open.is_empty() {
            let of = |place: &usize| merges[*place].as_ref().expect("only those are open").wanted().clone();
            let wanted: Vec<Range> = open.iter().map(of).collect();
            let pages = match &wanted[..] {
                [alone] => vec![self.below.scan(table, alone).await?],
                several => self.below.scan_many(table, several).await?,
            };
            let mut still_open = Vec::new();
            for (place, page) in open.into_iter().zip(pages) {
                if !merges[place].as_mut().expect("only those are open").take(page) {
                    still_open.push(place);
                }
            }
            open = still_open;
        }
        Ok(merges.into_iter().map(|merge| merge.map(Merge::rows).unwrap_or_default()).collect())
    }
}

impl Read for Laid {
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Bytes>, EngineError>> {
        let (awaited, written) = (self.awaits(), self.buffer().writes.of(table, key).cloned());
        Box::pin(async move {
            let _awaited = awaited;
            match written {
                Some(written) => Ok(written),
                None => self.below.get(table, key).await,
            }
        })
    }

    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, EngineError>> {
        let awaited = self.awaits();
        Box::pin(async move {
            let _awaited = awaited;
            let mut values: Vec<Option<Bytes>> = vec![None; keys.len()];
            let (mut places, mut unwritten) = (Vec::new(), Vec::new());
            {
                let buffer = self.buffer();
                for (place, key) in keys.iter().enumerate() {
                    match buffer.writes.of(table, key) {
                        Some(written) => values[place].clone_from(written),
                        None => {
                            places.push(place);
                            unwritten.push(key.clone());
                        }
                    }
                }
            }
            if !unwritten.is_empty() {
                let found = self.below.get_many(table, &unwritten).await?;
                for (place, value) in places.into_iter().zip(found) {
                    values[place] = value;
                }
            }
            Ok(values)
        })
    }

    fn scan<'a>(&'a self, table: Table, range: &'a Range) -> BoxFuture<'a, Result<Vec<Row>, EngineError>> {
        let awaited = self.awaits();
        Box::pin(async move {
            let _awaited = awaited;
            let answers = self.rows(table, std::slice::from_ref(range)).await?;
            Ok(answers.into_iter().next().unwrap_or_default())
        })
    }

    fn scan_many<'a>(&'a self, table: Table, ranges: &'a [Range]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, EngineError>> {
        let awaited = self.awaits();
        Box::pin(async move {
            let _awaited = awaited;
            self.rows(table, ranges).await
        })
    }
}

impl Write for Laid {
    fn put(&self, table: Table, key: Bytes, value: Bytes) {
        self.buffer().set(table, key, Some(value));
    }

    fn delete(&self, table: Table, key: Bytes) {
        self.buffer().set(table, key, None);
    }

    fn emit(&self, change: Bytes) {
        self.buffer().emit(change);
    }
}
