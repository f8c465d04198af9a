//! Moves files: keeps a number of jobs in flight, claims more as they end, and settles their outcomes
//! in batches. One future, nothing spawned: whoever polls it decides where and when it runs.
//!
//! A file that takes long keeps nobody waiting, and an error of the catalog ends nothing that is under
//! way: what is in flight is brought to its end and settled before the error is returned.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::futures::Notified;

use crate::catalog::hands::Hold;
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError};
use crate::policy::judge::Judge;
use crate::storage::registry::Registry;
use crate::transfers::claim::{Claim, Cursors, claim};
use crate::transfers::execute::{Tools, execute};
use crate::transfers::job::Outcome;
use crate::transfers::permit::Guard;
use crate::transfers::settle::{SETTLE_MAX, settle};

/// How many jobs one mover has in flight at most. Each holds a few chunks of memory.
const IN_FLIGHT_MAX: usize = 40;
/// How many have to be missing before more are claimed at once: a claim costs a transaction.
const CLAIM_MIN: usize = 16;
/// How many settling transactions may be under way while more jobs go on.
const SETTLING_MAX: usize = 4;
/// How long a mover whose jobs are under way waits for a wake before it looks for more by itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pauses before outcomes that could not be settled are settled once more.
const SETTLE_PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// Tells whether movers are to begin nothing new.
pub type Halted<'a> = &'a (dyn Fn() -> bool + Sync);

/// Moves files until nothing is ready and nothing is under way; once halted, until nothing is under
/// way. Returns how many jobs were done.
pub async fn drain(
    catalog: &Catalog,
    judge: &Arc<Judge>,
    stores: &Arc<Registry>,
    cursors: &Arc<Mutex<Cursors>>,
    halted: Halted<'_>,
) -> Result<usize, CatalogError> {
    let guard = Arc::new(Guard::new(catalog.clone(), Arc::clone(judge)));
    let tools = Tools { stores: Arc::clone(stores), clock: catalog.clock().clone(), guard };
    let mut mover = Mover {
        catalog,
        stores,
        tools,
        cursors,
        halted,
        acts: FuturesUnordered::new(),
        look: Look::Due,
        waiting: false,
        moving: 0,
        settling: 0,
        ended: Vec::new(),
        done: 0,
        failed: None,
    };
    while mover.begin() {
        let event = mover.acts.next().await;
        mover.take(event.expect("something is under way"));
        // What has ended by now is settled together.
        while let Some(Some(event)) = mover.acts.next().now_or_never() {
            mover.take(event);
        }
    }
    mover.failed.map_or(Ok(mover.done), Err)
}

/// How things stand with looking for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is time.
    Due,
    /// A claim is under way.
    UnderWay,
    /// There was more than was taken.
    Promising,
    /// There was nothing.
    Idle,
}

/// A job that has ended, still in hand until it is settled.
struct Ended {
    outcome: Outcome,
    hold: Hold,
}

enum Event<'a> {
    Claimed(Result<Vec<Claim>, CatalogError>, Notified<'a>),
    Waited,
    Moved(Box<Ended>),
    Settled(Result<usize, CatalogError>),
}

struct Mover<'a> {
    catalog: &'a Catalog,
    stores: &'a Arc<Registry>,
    tools: Tools,
    cursors: &'a Arc<Mutex<Cursors>>,
    halted: Halted<'a>,
    acts: FuturesUnordered<BoxFuture<'a, Event<'a>>>,
    look: Look,
    waiting: bool,
    moving: usize,
    settling: usize,
    ended: Vec<Ended>,
    done: usize,
    /// The first error.
    failed: Option<CatalogError>,
}

impl<'a> Mover<'a> {
    /// Begins what can be begun; tells whether anything is under way.
    fn begin(&mut self) -> bool {
        while self.settling < SETTLING_MAX && !self.ended.is_empty() {
            let rest = self.ended.split_off(self.ended.len().min(SETTLE_MAX));
            let batch = std::mem::replace(&mut self.ended, rest);
            self.settling += 1;
            self.acts.push(settled(self.catalog, batch, self.halted).boxed());
        }
        let room = IN_FLIGHT_MAX - self.moving;
        let due = match self.look {
            Look::Due => room > 0,
            Look::Promising => room >= CLAIM_MIN,
            Look::UnderWay | Look::Idle => false,
        };
        // Without a catalog, one that has nothing more to bring to its end says so.
        let gives_up = self.failed.is_some() && self.moving + self.settling == 0;
        if due && !gives_up && !(self.halted)() {
            self.look = Look::UnderWay;
            self.acts.push(claimed(self.catalog, self.stores, self.cursors, room).boxed());
        }
        self.moving + self.settling > 0 || self.look == Look::UnderWay
    }

    fn take(&mut self, event: Event<'a>) {
        match event {
            Event::Claimed(claims, woken) => {
                let claims = claims.unwrap_or_else(|error| {
                    self.fault("claimed", error);
                    Vec::new()
                });
                self.look = if claims.is_empty() { Look::Idle } else { Look::Promising };
                self.moving += claims.len();
                for Claim { job, hold } in claims {
                    let work = execute(job, self.tools.clone());
                    self.acts.push(async { Event::Moved(Box::new(Ended { outcome: work.await, hold })) }.boxed());
                }
                // A wait that goes on since an earlier claim does for this one as well.
                if !std::mem::replace(&mut self.waiting, true) {
                    let waiting = select(Box::pin(woken), self.catalog.clock().sleep(LOOK_EVERY));
                    self.acts.push(waiting.map(|_| Event::Waited).boxed());
                }
            }
            Event::Waited => {
                self.waiting = false;
                // A claim that is under way waits for itself, counted from its own beginning.
                if self.look != Look::UnderWay {
                    self.look = Look::Due;
                }
            }
            Event::Moved(ended) => {
                self.moving -= 1;
                self.ended.push(*ended);
            }
            Event::Settled(settled) => {
                self.settling -= 1;
                match settled {
                    Ok(count) => self.done += count,
                    Err(error) => self.fault("settled", error),
                }
            }
        }
    }

    fn fault(&mut self, what: &str, error: CatalogError) {
        tracing::warn!("transfers could not be {what}: {error}");
        self.failed.get_or_insert(error);
    }
}

/// Claims, and hands on what was asked for before looking: a wake in between is not missed.
async fn claimed<'a>(
    catalog: &'a Catalog,
    stores: &Arc<Registry>,
    cursors: &'a Arc<Mutex<Cursors>>,
    most: usize,
) -> Event<'a> {
    let woken = catalog.wakes().waiting(Topic::Transfers);
    let mut own = std::mem::take(&mut *cursors.lock().expect("nothing panics while holding it"));
    let claims = claim(catalog, stores, &mut own, most).await;
    *cursors.lock().expect("nothing panics while holding it") = own;
    Event::Claimed(claims, woken)
}

/// Settles outcomes, once more after a pause while that fails: a lease may be hours long. What could
/// not be settled is in nobody's hand then, and is given back.
async fn settled<'a>(catalog: &'a Catalog, batch: Vec<Ended>, halted: Halted<'a>) -> Event<'a> {
    let (outcomes, holds): (Vec<_>, Vec<_>) = batch.into_iter().map(|ended| (ended.outcome, ended.hold)).unzip();
    let mut pauses = SETTLE_PAUSES.into_iter();
    let settled = loop {
        match settle(catalog, outcomes.clone()).await {
            Ok(()) => break Ok(outcomes.len()),
            Err(error) => match pauses.next() {
                Some(pause) if !halted() => catalog.clock().sleep(pause).await,
                _ => break Err(error),
            },
        }
    };
    drop(holds);
    Event::Settled(settled)
}

#[cfg(test)]
mod tests;
