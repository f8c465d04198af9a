//! The writer: one thread that runs all transactions of a store and makes them durable in batches.
//!
//! Promises: every transaction is acknowledged after its batch is on disk, and only then; one sync
//! serves all that waited for it; interactive transactions never wait for more than one bulk
//! transaction, and bulk gets its turn in every batch. A caller who stops waiting disturbs nobody:
//! its transaction runs whole or not at all. A store that once failed to write is never asked to
//! write again.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::error;

use super::group::{Failure, Group, Marks};
use super::overlay::{Base, Writes};
use super::{Body, EngineError, Urgency};

/// The most transactions in one batch.
const BATCH_JOBS_MAX: usize = 256;
/// A batch that has so much to write takes no more transactions.
const BATCH_BYTES_ENOUGH: usize = 8 << 20;
/// The most interactive transactions that wait in the queue; more wait outside of it.
const INTERACTIVE_WAITING_MAX: usize = 4_096;
/// The most bulk transactions that wait in the queue.
const BULK_WAITING_MAX: usize = 64;
/// How long after the last batch the store is told that it may rest.
const REST_AFTER: Duration = Duration::from_secs(1);

/// What the writer writes to.
pub(super) trait Store: Send + Sync + 'static {
    /// The state after the last batch.
    fn state(&self) -> Arc<dyn Base>;
    /// Makes one batch durable, whole or not at all, and shows it to readers.
    fn apply(&self, writes: Writes, marks: Marks) -> Result<(), EngineError>;
    /// Does what may wait until there is nothing to write.
    fn rest(&self) -> Result<(), EngineError>;
    /// Does what makes the next start quick. Nothing is applied afterwards.
    fn close(&self) -> Result<(), EngineError>;
}

/// The door to the writer's thread. Dropping it ends the thread, without closing the store.
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread over a store that has come as far as `marks`.
    pub(super) fn start(store: Arc<dyn Store>, marks: Marks) -> Result<Self, EngineError> {
        let queue = Arc::new(Queue::default());
        let desk = Desk { queue: queue.clone(), store, marks, failed: None };
        let thread = std::thread::Builder::new()
            .name("catalog-writer".to_owned())
            .spawn(move || desk.serve())
            .map_err(|cause| EngineError::Io { what: format!("could not start the writer's thread: {cause}") })?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Runs a transaction; returns when it is durable.
    pub(super) async fn transact(&self, urgency: Urgency, body: Body) -> Result<u64, EngineError> {
        let room = self.queue.room(urgency).await?;
        let (answer, answered) = oneshot::channel();
        self.queue.push(urgency, Job { body, answer, _room: room })?;
        match answered.await {
            Ok(Ok(seq)) => Ok(seq),
            Ok(Err(failure)) => Err(failure.raise()),
            Err(_) => Err(EngineError::Stopped),
        }
    }

    /// Lets what is queued finish, closes the store and ends the thread.
    pub(super) async fn close(&self) -> Result<(), EngineError> {
        let (answer, answered) = oneshot::channel();
        if !self.queue.close(answer) {
            return Ok(());
        }
        answered.await.unwrap_or(Err(EngineError::Stopped))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.abandon();
        let thread = self.thread.take().expect("it is taken nowhere else");
        // A transaction may own the last handle to its own engine: then this is the writer's thread.
        if thread.thread().id() != std::thread::current().id() {
            // A panic there has been reported by the panic hook; there is nobody to tell here.
            let _ = thread.join();
        }
    }
}

/// A transaction that waits for its turn.
struct Job {
    body: Body,
    answer: oneshot::Sender<Result<u64, Failure>>,
    _room: OwnedSemaphorePermit,
}

/// Whether the writer takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Open,
    /// Finishes what is queued, then closes the store.
    Closing,
    /// Finishes what is queued; nobody waits for it.
    Abandoned,
    Closed,
}

/// How a caller of close hears of the end.
type Closer = oneshot::Sender<Result<(), EngineError>>;

#[derive(Default)]
struct Waiting {
    interactive: VecDeque<Job>,
    bulk: VecDeque<Job>,
    stage: Stage,
    closers: Vec<Closer>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.interactive.is_empty() && self.bulk.is_empty()
    }

    fn of(&mut self, urgency: Urgency) -> &mut VecDeque<Job> {
        match urgency {
            Urgency::Interactive => &mut self.interactive,
            Urgency::Bulk => &mut self.bulk,
        }
    }
}

/// The queue between callers and the writer's thread. Its bounds are permits, so that a caller who
/// finds it full waits as a future.
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    interactive_room: Arc<Semaphore>,
    bulk_room: Arc<Semaphore>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            interactive_room: Arc::new(Semaphore::new(INTERACTIVE_WAITING_MAX)),
            bulk_room: Arc::new(Semaphore::new(BULK_WAITING_MAX)),
        }
    }
}

/// Why the writer's thread woke.
#[derive(Debug, PartialEq, Eq)]
enum Woken {
    Work,
    Rest,
    End,
}

impl Queue {
    async fn room(&self, urgency: Urgency) -> Result<OwnedSemaphorePermit, EngineError> {
        let room = match urgency {
            Urgency::Interactive => &self.interactive_room,
            Urgency::Bulk => &self.bulk_room,
        };
        let stopped = |_: AcquireError| EngineError::Stopped;
        room.clone().acquire_owned().await.map_err(stopped)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Only pushes and pops happen under this lock; a panic leaves the queue whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, urgency: Urgency, job: Job) -> Result<(), EngineError> {
        let mut waiting = self.lock();
        if waiting.stage != Stage::Open {
            return Err(EngineError::Stopped);
        }
        waiting.of(urgency).push_back(job);
        self.arrived.notify_one();
        Ok(())
    }

    /// The next transaction that somebody still waits for.
    fn pop(&self, urgency: Urgency) -> Option<Job> {
        loop {
            let job = self.lock().of(urgency).pop_front()?;
            if !job.answer.is_closed() {
                return Some(job);
            }
        }
    }

    /// Waits for work; for no longer than a rest's while if the store wants to be told of rest.
    fn wait(&self, wants_rest: bool) -> Woken {
        let mut waiting = self.lock();
        loop {
            if !waiting.is_empty() {
                return Woken::Work;
            }
            if waiting.stage != Stage::Open {
                return Woken::End;
            }
            if !wants_rest {
                waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (back, pause) = self.arrived.wait_timeout(waiting, REST_AFTER).unwrap_or_else(PoisonError::into_inner);
            waiting = back;
            if pause.timed_out() && waiting.is_empty() {
                return Woken::Rest;
            }
        }
    }

    /// Begins to close and has `closer` told of the end; false if it has ended before.
    fn close(&self, closer: Closer) -> bool {
        let mut waiting = self.lock();
        if matches!(waiting.stage, Stage::Closed | Stage::Abandoned) {
            return false;
        }
        waiting.stage = Stage::Closing;
        waiting.closers.push(closer);
        self.refuse();
        true
    }

    fn abandon(&self) {
        let mut waiting = self.lock();
        if waiting.stage == Stage::Open {
            waiting.stage = Stage::Abandoned;
        }
        self.refuse();
    }

    /// Ends the queue, with whatever is left in it. Returns who waits for that.
    fn shut(&self) -> Vec<Closer> {
        let mut waiting = self.lock();
        waiting.stage = Stage::Closed;
        let left = (std::mem::take(&mut waiting.interactive), std::mem::take(&mut waiting.bulk));
        let closers = std::mem::take(&mut waiting.closers);
        self.refuse();
        // What a transaction owns may come back to this lock when it is dropped.
        drop(waiting);
        drop(left);
        closers
    }

    fn refuse(&self) {
        self.interactive_room.close();
        self.bulk_room.close();
        self.arrived.notify_one();
    }
}

/// The writer's thread.
struct Desk {
    queue: Arc<Queue>,
    store: Arc<dyn Store>,
    marks: Marks,
    /// The failure that ended all writing.
    failed: Option<EngineError>,
}

impl Desk {
    fn serve(mut self) {
        let mut wants_rest = false;
        loop {
            match self.queue.wait(wants_rest) {
                Woken::Work if self.failed.is_some() => self.refuse_all(),
                Woken::Work => {
                    self.batch();
                    wants_rest = true;
                }
                Woken::Rest => {
                    let rested = self.store.rest();
                    self.note(&rested);
                    wants_rest = false;
                }
                Woken::End => break,
            }
        }
        self.end();
    }

    /// Runs one batch and acknowledges it.
    fn batch(&mut self) {
        let mut group = Group::new(self.store.state(), self.marks);
        let mut done = Vec::new();
        // One place is kept for a bulk transaction, behind everything that is more urgent.
        while done.len() < BATCH_JOBS_MAX - 1 && group.bytes() < BATCH_BYTES_ENOUGH {
            let Some(job) = self.queue.pop(Urgency::Interactive) else {
                break;
            };
            done.push((group.run(&job.body), job));
        }
        if let Some(job) = self.queue.pop(Urgency::Bulk) {
            done.push((group.run(&job.body), job));
        }
        let applied = match group.finish() {
            None => Ok(()),
            Some((writes, marks)) => self.store.apply(writes, marks).map(|()| self.marks = marks),
        };
        self.note(&applied);
        for (ran, job) in done {
            let answer = match &applied {
                Ok(()) => ran,
                // Even what only read may have seen what is now lost.
                Err(error) => ran.and_then(|_| Err(Failure::Engine(error.clone()))),
            };
            // Whoever has stopped waiting does not hear of it.
            let _ = job.answer.send(answer);
        }
    }

    /// Remembers the first failure of the store: a device that once failed to sync may have lost
    /// what it says it keeps, so nothing is tried again.
    fn note(&mut self, outcome: &Result<(), EngineError>) {
        if let (Err(cause), None) = (outcome, &self.failed) {
            error!(%cause, "the catalog could not be written and takes no more writes until dapple is restarted");
            self.failed = Some(EngineError::Io { what: format!("an earlier write failed: {cause}") });
        }
    }

    fn refuse_all(&self) {
        let failed = self.failed.clone().expect("it is asked for only after a failure");
        for urgency in [Urgency::Interactive, Urgency::Bulk] {
            while let Some(job) = self.queue.pop(urgency) {
                let _ = job.answer.send(Err(Failure::Engine(failed.clone())));
            }
        }
    }

    /// Closes the store if that was asked for, and tells those who did.
    fn end(mut self) {
        let is_asked = self.queue.lock().stage == Stage::Closing;
        if is_asked && self.failed.is_none() {
            let closed = self.store.close();
            self.note(&closed);
        }
        let outcome = self.failed.clone().map_or(Ok(()), Err);
        for closer in self.queue.shut() {
            let _ = closer.send(outcome.clone());
        }
    }
}

impl Drop for Desk {
    /// However the thread ends, by a panic too: nobody waits for it any longer.
    fn drop(&mut self) {
        self.queue.shut();
    }
}

#[cfg(test)]
mod tests;
