//! The pool: a bounded number of seats, each with a connection when it has been used.
//!
//! Promises: a seat whose transaction nobody ended is given to nobody before it has been rolled back;
//! whoever waits for a seat waits for no longer than the pool's patience. Readers and writers have
//! pools of their own: a writer never waits for a seat while it has one, as a transaction may await
//! nothing but itself, so writers get on whatever readers hold. Readers may hold one snapshot and ask
//! for another; if all did so at once, all would wait for each other. So a pool of readers has a part
//! for them: whoever has none takes from the one part, a task that has one already from the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{Id, try_id};

use super::super::EngineError;
use super::link::{Dial, Link};
use crate::clock::within;

/// How long a rollback may take before the connection is given up instead.
const ROLLBACK_TIME: Duration = Duration::from_secs(5);

/// Seats for one purpose.
pub(super) struct Pool {
    seats: Mutex<Vec<Seat>>,
    first: Arc<Semaphore>,
    /// For tasks that have a seat already, where there may be such.
    further: Option<Arc<Semaphore>>,
    /// How many seats each task has.
    taken: Mutex<HashMap<Id, u32>>,
    manners: Manners,
    dial: Arc<Dial>,
}

/// How large a pool is, and how patient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// How many seats there are for tasks that have none.
    pub(super) first: u32,
    /// How many more there are for tasks that have one already.
    pub(super) further: u32,
    /// How long a transaction may stand still.
    pub(super) idle: Duration,
    /// How long somebody waits for a seat.
    pub(super) patience: Duration,
}

/// A place for a connection. Its number stays, connections come and go.
#[derive(Default)]
struct Seat {
    number: u32,
    link: Option<Arc<Link>>,
    /// The last attempt that was made from here.
    attempt: i64,
}

/// A seat that somebody has.
pub(super) struct Seated {
    seat: Seat,
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
    /// The task that took it.
    task: Option<Id>,
    /// Whether a transaction may be open.
    is_open: bool,
}

impl Pool {
    pub(super) fn new(manners: Manners, dial: Arc<Dial>) -> Arc<Self> {
        let Manners { first, further, .. } = manners;
        let seats = (0..first + further).map(|number| Seat { number, ..Seat::default() }).collect();
        let permits = |size: u32| Arc::new(Semaphore::new(size as usize));
        let (first, further) = (permits(first), (further > 0).then(|| permits(further)));
        Arc::new(Self { seats: Mutex::new(seats), first, further, taken: Mutex::default(), manners, dial })
    }

    /// Waits for a seat.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Seated, EngineError> {
        let task = try_id();
        let has_one = task.is_some_and(|task| self.taken().contains_key(&task));
        let part = self.further.as_ref().filter(|_| has_one).unwrap_or(&self.first);
        let patience = self.manners.patience;
        let waited = within(&*self.dial.clock, patience, Arc::clone(part).acquire_owned()).await;
        let Some(permit) = waited else {
            let what = format!("no connection came free within {patience:?}; see catalog.connections");
            return Err(EngineError::Io { what });
        };
        let permit = permit.map_err(|_| EngineError::Stopped)?;
        if let Some(task) = task {
            *self.taken().entry(task).or_default() += 1;
        }
        let seat = self.seats.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let seat = seat.expect("there are as many seats as permits");
        Ok(Seated { seat, pool: Arc::clone(self), permit: Some(permit), task, is_open: false })
    }

    /// Lets nobody have a seat any more, and waits for those who have one.
    pub(super) async fn close(&self) {
        let all = self.first.acquire_many(self.manners.first).await;
        self.first.close();
        drop(all);
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Id, u32>> {
        // A count is whole between any two statements.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets that a task has a seat.
    fn left(&self, task: Id) {
        let mut taken = self.taken();
        if let Some(count) = taken.get_mut(&task) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&task);
            }
        }
    }

    fn give_back(&self, seat: Seat) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).push(seat);
    }
}

impl Seated {
    /// Its connection: the one it has, or another.
    pub(super) async fn link(&mut self) -> Result<Arc<Link>, EngineError> {
        if let Some(link) = self.seat.link.as_ref().filter(|link| !link.client().is_closed()) {
            return Ok(Arc::clone(link));
        }
        self.seat.link = None;
        self.is_open = false;
        let link = self.pool.dial.link(self.pool.manners.idle).await?;
        self.seat.link = Some(Arc::clone(&link));
        Ok(link)
    }

    /// Its number.
    pub(super) fn number(&self) -> u32 {
        self.seat.number
    }

    /// The number of the next attempt from here.
    pub(super) fn next_attempt(&mut self) -> i64 {
        self.seat.attempt += 1;
        self.seat.attempt
    }

    /// Says whether a transaction may be open.
    pub(super) fn set_open(&mut self, is_open: bool) {
        self.is_open = is_open;
    }

    /// Gives the connection up.
    pub(super) fn hang_up(&mut self) {
        self.seat.link = None;
        self.is_open = false;
    }

    /// Ends what is open.
    pub(super) async fn roll_back(&mut self) {
        if self.is_open {
            roll_back(&mut self.seat, &self.pool.dial).await;
            self.is_open = false;
        }
    }
}

async fn roll_back(seat: &mut Seat, dial: &Dial) {
    let Some(link) = seat.link.as_ref() else {
        return;
    };
    let ended = within(&*dial.clock, ROLLBACK_TIME, link.client().batch_execute("ROLLBACK")).await;
    if !matches!(ended, Some(Ok(()))) {
        seat.link = None;
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            self.pool.left(task);
        }
        let (mut seat, pool, permit) = (std::mem::take(&mut self.seat), Arc::clone(&self.pool), self.permit.take());
        if !self.is_open {
            pool.give_back(seat);
            return;
        }
        self.pool.dial.runtime.spawn(async move {
            roll_back(&mut seat, &pool.dial).await;
            pool.give_back(seat);
            drop(permit);
        });
    }
}
