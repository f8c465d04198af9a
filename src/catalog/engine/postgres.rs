//! The engine on a PostgreSQL server, for a lake that several processes serve: one SQL table for each
//! table, of keys and values that are bytes, in serializable transactions.
//!
//! Promises what every engine promises, and that any number of processes may do so at once on one
//! database. A closure that met another transaction runs again, after a pause that grows and differs;
//! after a few times alone in its process, so that a busy row gives way in the end. A snapshot is one
//! state of the database, which may lack the effect of a transaction that another, visible one does
//! not depend on; decisions are taken in transactions, where the server does not allow that.
//!
//! Connections live on a runtime of the engine's own, as the embedded engine has its writer's thread:
//! whoever asks may come and go, on any runtime, and what it leaves open is rolled back there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{RwLock, Semaphore};

use super::group::to_number;
use super::{Body, BoxFuture, CHANGES, Ear, Engine, EngineError, FeedEntry, Range, Read as _, Row, Snapshot, Urgency};
use crate::clock::SharedClock;

mod address;
mod commit;
mod link;
mod pool;
pub mod schema;
mod sequencer;
mod session;
mod sql;
mod tls;
mod trouble;

pub use address::Address;

use commit::Outcome;
use link::Dial;
use pool::{Manners, Pool};
use sequencer::Sequencer;
use session::Session;
use trouble::Trouble;

/// Gives the password whenever a connection is made, so that it can be changed meanwhile; or says why
/// it cannot.
pub type Password = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// How often a closure that met others runs again.
const AGAIN_MAX: u32 = 12;
/// So many runs later it runs alone in its process.
const ALONE_FROM: u32 = 3;
/// How long connections that get lost are made anew before a caller is told.
const LOST_TIME: Duration = Duration::from_secs(20);
/// The first pause before a closure runs again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(250));
/// How long a transaction may stand still between two questions; a snapshot's, too.
const IDLE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(2));
/// How long somebody waits for a connection.
const PATIENCE: Duration = Duration::from_secs(15);

/// Settings of the engine.
#[derive(Clone)]
pub struct PostgresSettings {
    /// Where the server is.
    pub address: Address,
    /// What gives the password, if the address has none.
    pub password: Option<Password>,
    /// How many connections there may be: a quarter of them write, one numbers the feed, the others
    /// read.
    pub connections: u32,
}

/// Ordered tables on a server.
pub struct Postgres {
    writers: Arc<Pool>,
    readers: Arc<Pool>,
    sequencer: Arc<Sequencer>,
    /// Bulk takes half of the writers, so that it keeps nobody who waits from getting one.
    bulk: Semaphore,
    /// Held alone by a closure that has met others too often.
    turns: RwLock<()>,
    dial: Arc<Dial>,
    /// What the attempts of this process go by.
    process: [u8; 16],
    is_closed: AtomicBool,
    runtime: Option<Runtime>,
}

impl Postgres {
    /// Opens the catalog on a server, beginning one where there is none.
    pub async fn open(settings: PostgresSettings, clock: SharedClock) -> Result<Arc<Self>, EngineError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("catalog-postgres")
            .enable_all()
            .build()
            .map_err(|cause| EngineError::Io { what: format!("could not start the connections' thread: {cause}") })?;
        let mut process = [0; 16];
        clock.fill(&mut process);
        let PostgresSettings { address, password, connections } = settings;
        let dial = Arc::new(Dial { address, password, runtime: runtime.handle().clone(), clock });
        let runtime = Ending(Some(runtime));
        let link = dial.link(IDLE.0).await?;
        schema::prepare(&link).await?;
        schema::look_around(&link, &*dial.clock).await?;
        drop(link);
        let sequencer = Sequencer::open(Arc::clone(&dial)).await?;
        // One connection numbers the feed.
        let writing = (connections / 4).max(2);
        let reading = connections.saturating_sub(writing + 1).max(2);
        let writers = Manners { first: writing, further: 0, idle: IDLE.0, patience: PATIENCE };
        let readers = Manners { first: reading.div_ceil(2), further: reading / 2, idle: IDLE.1, patience: PATIENCE };
        Ok(Arc::new(Self {
            writers: Pool::new(writers, Arc::clone(&dial)),
            readers: Pool::new(readers, Arc::clone(&dial)),
            sequencer,
            bulk: Semaphore::new((writing / 2).max(1) as usize),
            turns: RwLock::default(),
            dial,
            process,
            is_closed: AtomicBool::new(false),
            runtime: runtime.keep(),
        }))
    }

    async fn run(&self, urgency: Urgency, body: &Body) -> Result<u64, EngineError> {
        let is_bulk = urgency == Urgency::Bulk;
        let _bulk = if is_bulk { self.bulk.acquire().await.ok() } else { None };
        let mut seated = self.writers.take().await?;
        let began = self.dial.clock.monotonic();
        let (mut met, mut lost) = (0, 0);
        loop {
            if self.is_closed.load(Ordering::Acquire) {
                return Err(EngineError::Stopped);
            }
            let outcome = if met < ALONE_FROM {
                let _turn = self.turns.read().await;
                self.attempt(&mut seated, body).await
            } else {
                let _turn = self.turns.write().await;
                self.attempt(&mut seated, body).await
            };
            let trouble = match outcome {
                Outcome::Done(emitted) => {
                    drop(seated);
                    return Ok(match emitted {
                        Some(id) => self.sequencer.numbered(id).await,
                        None => self.sequencer.head(),
                    });
                }
                Outcome::Trouble(trouble) => trouble,
            };
            match &trouble {
                Trouble::Conflict => met += 1,
                Trouble::Lost(_) => {
                    seated.hang_up();
                    lost += 1;
                }
                Trouble::Final(_) => return Err(trouble.into_error()),
            }
            let spent = self.dial.clock.monotonic().saturating_sub(began);
            if met > AGAIN_MAX || (lost > 0 && spent > LOST_TIME) {
                return Err(trouble.into_error());
            }
            seated.roll_back().await;
            self.dial.clock.sleep(self.pause(met + lost)).await;
        }
    }

    /// Rows of the feed as they are now.
    async fn look(&self, range: &Range) -> Result<Vec<Row>, EngineError> {
        let mut seated = self.readers.take().await?;
        let first = Session::glance(seated.link().await?);
        match first.scan(CHANGES, range).await {
            // The server may have been restarted since this connection was last used.
            Err(EngineError::Unreachable { .. }) => {
                seated.hang_up();
                Session::glance(seated.link().await?).scan(CHANGES, range).await
            }
            seen => seen,
        }
    }

    /// Between nothing and twice what the last pause could be.
    fn pause(&self, turn: u32) -> Duration {
        let most = PAUSE.0.saturating_mul(1 << turn.min(10)).min(PAUSE.1);
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.dial.clock.random() % micros)
    }
}

/// A runtime that ends without waiting, wherever it is dropped.
struct Ending(Option<Runtime>);

impl Ending {
    fn keep(mut self) -> Option<Runtime> {
        self.0.take()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(Ending(self.runtime.take()));
    }
}

impl Engine for Postgres {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, EngineError>> {
        Box::pin(async {
            let seated = self.readers.take().await?;
            Ok(Arc::new(Session::hold(seated).await?) as Snapshot)
        })
    }

    fn transact(&self, urgency: Urgency, body: Body) -> BoxFuture<'_, Result<u64, EngineError>> {
        Box::pin(async move { self.run(urgency, &body).await })
    }

    fn changes(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<FeedEntry>, EngineError>> {
        Box::pin(async move {
            let Some(first) = after.checked_add(1) else {
                return Ok(Vec::new());
            };
            let from = Bytes::copy_from_slice(&first.to_be_bytes());
            let range = Range { from, to: Bytes::new(), reverse: false, limit };
            let rows = self.look(&range).await?;
            let number = |(key, change): Row| to_number(&key).map(|seq| FeedEntry { seq, change });
            rows.into_iter().map(number).collect()
        })
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    fn ring(&self, bell: &'static str) {
        self.sequencer.ring(bell);
    }

    fn listen(&self, ear: Ear) {
        self.sequencer.listen(ear);
    }

    fn close(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async {
            self.is_closed.store(true, Ordering::Release);
            self.writers.close().await;
            Ok(())
        })
    }
}
