//! The sequencer: moves what transactions emitted from the inbox into the numbered feed, and carries
//! the bells between processes.
//!
//! A number that a transaction took for itself could be seen after a higher one: transactions commit
//! in another order than they began. So they put their changes into an inbox, and numbers are given
//! behind the commit, by whoever has the row of the feed's head: any process may, one at a time does,
//! in one message to the server. What commits late is numbered late, and nothing is skipped.
//!
//! Order holds for each record. The inbox is sorted by a number of a sequence, which a transaction
//! takes while it commits, behind the snapshot that it read. If two transactions write one record and
//! both take effect, the server has had the second read behind the first's commit, or it would have
//! failed it. So the first took its number before it committed, the second took its own after that;
//! and whoever sees the second's rows in the inbox sees the first's, or they have been moved before.
//!
//! A commit is acknowledged when its changes have numbers: who then asks for the feed anywhere finds
//! them, which is what a search that must hide what was just made secret relies on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::{Notify, oneshot};
use tokio_postgres::{Error, SimpleQueryMessage, SimpleQueryRow};

use super::super::{Ear, EngineError, FEED_BELL};
use super::link::{Dial, Link};
use super::sql::{ATTEMPTS_FORGET, LOOK, NUMBER, ring};
use super::trouble::unreachable;
use crate::clock::within;

/// How often it is looked what other processes have done.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long it waits to be asked again, or to connect again, after a failure.
const REST: Duration = Duration::from_millis(200);
/// How long a commit waits for its numbers. It is on disk all the same.
const NUMBER_TIME: Duration = Duration::from_secs(20);
/// How many looks lie between two sweeps of what dead processes left: about an hour.
const SWEEP_EVERY: u64 = 18_000;
/// Its connection has no transaction in which it would stand still.
const IDLE: Duration = Duration::from_secs(10);

/// Numbers changes, and hears bells.
pub(super) struct Sequencer {
    dial: Arc<Dial>,
    head: AtomicU64,
    asked: Notify,
    desk: Mutex<Desk>,
    ears: Mutex<Vec<Ear>>,
}

#[derive(Default)]
struct Desk {
    /// Commits whose changes wait for numbers.
    waiting: Vec<(i64, oneshot::Sender<u64>)>,
    /// Bells that are to be rung.
    ringing: BTreeSet<&'static str>,
    /// How often bells had been rung when it was last looked.
    heard: HashMap<String, u64>,
    is_first_look: bool,
}

impl Sequencer {
    /// A sequencer that has looked once.
    pub(super) async fn open(dial: Arc<Dial>) -> Result<Arc<Self>, EngineError> {
        let link = dial.link(IDLE).await?;
        let desk = Mutex::new(Desk { is_first_look: true, ..Desk::default() });
        let sequencer =
            Arc::new(Self { dial, head: AtomicU64::new(0), asked: Notify::new(), desk, ears: Mutex::default() });
        sequencer.look(&link).await.map_err(|error| unreachable(&error))?;
        sequencer.dial.runtime.spawn(Arc::clone(&sequencer).serve(link));
        Ok(sequencer)
    }

    /// The newest number that this process knows.
    pub(super) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Waits until what was put into the inbox as `id` has numbers; the answer is the last of them, or
    /// a later one where another process gave them.
    pub(super) async fn numbered(&self, id: i64) -> u64 {
        let (tell, told) = oneshot::channel();
        self.desk().waiting.push((id, tell));
        self.asked.notify_one();
        match within(&*self.dial.clock, NUMBER_TIME, told).await {
            Some(Ok(seq)) => seq,
            _ => {
                tracing::warn!("a commit is on disk, and its changes could not be numbered within {NUMBER_TIME:?}");
                self.head()
            }
        }
    }

    /// Has a bell rung in other processes, soon.
    pub(super) fn ring(&self, bell: &'static str) {
        if self.desk().ringing.insert(bell) {
            self.asked.notify_one();
        }
    }

    /// Adds somebody who is told of bells of other processes.
    pub(super) fn listen(&self, ear: Ear) {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner).push(ear);
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // What is under this lock is whole between any two statements.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, bell: &str) {
        for ear in self.ears.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            ear(bell);
        }
    }

    /// Works until the engine's runtime ends.
    async fn serve(self: Arc<Self>, link: Arc<Link>) {
        let (mut link, mut looks) = (Some(link), 0_u64);
        loop {
            let pause = self.dial.clock.sleep(LOOK_EVERY);
            let is_asked = matches!(select(std::pin::pin!(self.asked.notified()), pause).await, Either::Left(_));
            let Some(open) = self.connected(&mut link).await else {
                self.dial.clock.sleep(REST).await;
                // Whoever waits still waits.
                self.asked.notify_one();
                continue;
            };
            let outcome = if is_asked { self.work(&open).await } else { self.look(&open).await };
            looks += u64::from(!is_asked);
            if looks % SWEEP_EVERY == 1 && !is_asked {
                // What is not forgotten now is forgotten an hour later.
                drop(open.client().batch_execute(ATTEMPTS_FORGET).await);
            }
            if let Err(error) = outcome {
                tracing::debug!("the change feed could not be moved on: {error}");
                if open.client().is_closed() || error.as_db_error().is_none() {
                    link = None;
                }
                self.dial.clock.sleep(REST).await;
                self.asked.notify_one();
            }
        }
    }

    async fn connected(&self, link: &mut Option<Arc<Link>>) -> Option<Arc<Link>> {
        if link.as_ref().is_none_or(|link| link.client().is_closed()) {
            *link = self.dial.link(IDLE).await.ok();
        }
        link.clone()
    }

    /// Gives numbers if anybody waits for some, and rings what is to be rung.
    async fn work(&self, link: &Link) -> Result<(), Error> {
        let (is_waited, ringing) = {
            let mut desk = self.desk();
            (!desk.waiting.is_empty(), std::mem::take(&mut desk.ringing))
        };
        if is_waited {
            self.number(link).await?;
        }
        if !ringing.is_empty() {
            let bells: Vec<&'static str> = ringing.into_iter().collect();
            let told = link.client().simple_query(&ring(&bells)).await?;
            self.note_bells(&told, 1);
        }
        Ok(())
    }

    /// Numbers what is in the inbox, and answers those who waited before.
    async fn number(&self, link: &Link) -> Result<(), Error> {
        let waiting = std::mem::take(&mut self.desk().waiting);
        let answer = match link.client().simple_query(NUMBER).await {
            Ok(answer) => answer,
            Err(error) => {
                self.desk().waiting.extend(waiting);
                // A failed message leaves its transaction open.
                link.client().batch_execute("ROLLBACK").await?;
                return Err(error);
            }
        };
        let moved: BTreeMap<i64, u64> =
            rows(&answer).filter_map(|row| Some((read(row, "id")?, read(row, "last")?))).collect();
        let head = rows(&answer).filter_map(|row| read(row, "seq")).last().unwrap_or(0);
        self.head.fetch_max(head, Ordering::AcqRel);
        for (id, tell) in waiting {
            // What others have moved has a number no higher than the head.
            let _ = tell.send(moved.get(&id).copied().unwrap_or(head));
        }
        Ok(())
    }

    /// Looks what other processes have done, and does what one that is gone has left.
    async fn look(&self, link: &Link) -> Result<(), Error> {
        let answer = link.client().simple_query(LOOK).await?;
        let head = rows(&answer).find_map(|row| read(row, "seq")).unwrap_or(0);
        if self.head.fetch_max(head, Ordering::AcqRel) < head {
            self.tell(FEED_BELL);
        }
        self.note_bells(&answer, 0);
        let is_left = rows(&answer).any(|row| matches!(row.try_get("waiting"), Ok(Some("t"))));
        if is_left { self.number(link).await } else { Ok(()) }
    }

    /// Tells of bells that have been rung more often than before, and more often than we did just now.
    fn note_bells(&self, answer: &[SimpleQueryMessage], own: u64) {
        let mut rung = Vec::new();
        {
            let mut desk = self.desk();
            for row in rows(answer) {
                let (Ok(Some(name)), Some(count)) = (row.try_get("name"), read::<u64>(row, "rung")) else {
                    continue;
                };
                let before = desk.heard.insert(name.to_owned(), count).unwrap_or(0);
                if count > before + own && !desk.is_first_look {
                    rung.push(name.to_owned());
                }
            }
            desk.is_first_look = false;
        }
        for name in rung {
            self.tell(&name);
        }
    }
}

fn rows(answer: &[SimpleQueryMessage]) -> impl Iterator<Item = &SimpleQueryRow> {
    answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

fn read<T: std::str::FromStr>(row: &SimpleQueryRow, column: &str) -> Option<T> {
    row.try_get(column).ok().flatten()?.parse().ok()
}
