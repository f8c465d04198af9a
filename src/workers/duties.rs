//! What there is to do in the background.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::catalog::ledger::holdings;
use crate::catalog::record::Facts;
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, endpoints};
use crate::model::id::RuleId;
use crate::model::time::Timestamp;
use crate::rules::{Progress, evaluate, expire, fill, fold, follow, labelled, reconsider};
use crate::search::follow::Memory;
use crate::service::Lake;
use crate::service::check::check_catalog;
use crate::service::terms::forget_answers;
use crate::transfers::claim::{Cursors, reap};
use crate::transfers::mover::drain;
use crate::transfers::recover;
use crate::workers::fault::WorkFault;
use crate::workers::runner::Halt;
use crate::workers::{Duty, Worker};

/// Names of the workers that move files; each has its own jobs in flight.
const MOVERS: [&str; 8] = ["mover-1", "mover-2", "mover-3", "mover-4", "mover-5", "mover-6", "mover-7", "mover-8"];

/// All workers of a server, so many of which move files: eight at most.
pub fn all(lake: &Arc<Lake>, movers: usize) -> Vec<Box<dyn Worker>> {
    let mut workers: Vec<Box<dyn Worker>> = vec![
        Box::new(Evaluate {
            lake: Arc::clone(lake),
            seen: None,
            turn: RuleId(0),
            labelled: labelled::Memory::default(),
        }),
        Box::new(Fill { after: None }),
        Box::new(Fold { cursor: fold::Cursor::default() }),
        Box::new(Reap),
        Box::new(Recover { lake: Arc::clone(lake) }),
        Box::new(Check),
        Box::new(Forget),
        Box::new(Sweep { lake: Arc::clone(lake) }),
        Box::new(Follow { lake: Arc::clone(lake), memory: Memory::default() }),
    ];
    for name in MOVERS.into_iter().take(movers) {
        workers.push(Box::new(Move { name, lake: Arc::clone(lake), cursors: Arc::default() }));
    }
    workers
}

fn progress(count: usize) -> Progress {
    if count > 0 { Progress::Made } else { Progress::Nothing }
}

/// Ends, places and reconsiders rules.
struct Evaluate {
    lake: Arc<Lake>,
    /// Revisions of endpoints and of holdings.
    seen: Option<(u64, u64)>,
    /// The rule that had its turn last.
    turn: RuleId,
    labelled: labelled::Memory,
}

impl Worker for Evaluate {
    fn duty(&self) -> Duty {
        Duty { name: "evaluate", topic: Some(Topic::Rules), period: Duration::from_secs(5), single: true }
    }

    fn work<'a>(&'a mut self, catalog: &'a Catalog, _: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>> {
        async {
            let view = catalog.view().await?;
            let revisions = Some((endpoints::revision(&view).await?, holdings::revision(&view).await?));
            drop(view);
            let judge = &self.lake.judge;
            let mut done = Done::default();
            if revisions != self.seen && done.note("revive", evaluate::revive_unplaced(catalog).await) {
                self.seen = revisions;
            }
            done.note("follow", follow::step(catalog, judge).await);
            done.note("labelled", labelled::step(catalog, judge, &mut self.labelled).await);
            done.note("expire", expire::step(catalog).await);
            done.note("place", evaluate::step(catalog, judge, &mut self.turn).await);
            done.note("reconsider", reconsider::step(catalog).await);
            done.outcome()
        }
        .boxed()
    }
}

/// What came of several steps of one worker, none of which waits for another to go well.
#[derive(Default)]
struct Done {
    made: bool,
    failed: Option<CatalogError>,
}

impl Done {
    /// Takes note of a step, and tells whether it went well.
    fn note(&mut self, step: &'static str, outcome: Result<Progress, CatalogError>) -> bool {
        match outcome {
            Ok(progress) => self.made |= progress == Progress::Made,
            Err(error) => {
                // The first is told by whoever runs the worker.
                let told = self.failed.get_or_insert_with(|| error.clone()).to_string();
                if told != error.to_string() {
                    tracing::warn!(step, "the step {step} failed and will be taken again: {error}");
                }
                return false;
            }
        }
        true
    }

    /// The first failure, which the board shows; or whether there was something to do.
    fn outcome(self) -> Result<Progress, WorkFault> {
        self.failed.map_or(Ok(progress(usize::from(self.made))), |error| Err(error.into()))
    }
}

/// Turns missing files into transfers.
struct Fill {
    after: Option<(crate::model::id::DidId, crate::model::id::EndpointId)>,
}

impl Worker for Fill {
    fn duty(&self) -> Duty {
        Duty { name: "fill", topic: Some(Topic::Filling), period: Duration::from_secs(5), single: true }
    }

    fn work<'a>(&'a mut self, catalog: &'a Catalog, _: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>> {
        async { Ok(fill::step(catalog, &mut self.after).await?) }.boxed()
    }
}

/// Folds counts and sets locks.
struct Fold {
    cursor: fold::Cursor,
}

impl Worker for Fold {
    fn duty(&self) -> Duty {
        Duty { name: "fold", topic: Some(Topic::Folds), period: Duration::from_secs(1), single: true }
    }

    fn work<'a>(&'a mut self, catalog: &'a Catalog, _: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>> {
        async {
            let folded = progress(holdings::fold(catalog).await?);
            if folded == Progress::Made {
                catalog.wakes().wake(Topic::Rules);
            }
            Ok(folded.or(fold::step(catalog, &mut self.cursor).await?))
        }
        .boxed()
    }
}

/// Gives back transfers of processes that are gone, and tries failed ones afresh.
struct Reap;

impl Worker for Reap {
    fn duty(&self) -> Duty {
        Duty { name: "reap", topic: None, period: Duration::from_secs(5), single: true }
    }

    fn work<'a>(&'a mut self, catalog: &'a Catalog, _: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>> {
        async {
            let reaped = reap(catalog).await?;
            if reaped > 0 {
                catalog.wakes().wake(Topic::Transfers);
            }
            Ok(progress(reaped))
        }
        .boxed()
    }
}

/// Looks after endpoints that ail. Each process sees for itself how they are doing.
struct Recover {
    lake: Arc<Lake>,
}

impl Worker for Recover {
    fn duty(&self) -> Duty {
        Duty { name: "recover", topic: None, period: Duration::from_secs(5), single: false }
    }

    fn work<'a>(&'a mut self, catalog: &'a Catalog, _: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>> {
        async { Ok(progress(recover::step(catalog, &self.lake.stores).await?)) }.boxed()
    }
}

/// Clears up after uploads that were broken off.
struct Sweep {
    lake: Arc<Lake>,
}

impl Worker for Sweep {
    fn duty(&self) -> Duty {
        Duty { name: "sweep", topic: None, period: Duration::from_secs(10), single: true }
    }

    fn work<'a>(&'a mut self, _: &'a Catalog, _: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>> {
        // Uploads write for themselves: each intent is read again in the transaction that ends it.
        async { Ok(progress(self.lake.uploads.sweep().await?)) }.boxed()
    }
}

/// Keeps the search index of this process in step with the catalog.
struct Follow {
    lake: Arc<Lake>,
    memory: Memory,
}

impl Worker for Follow {
    fn duty(&self) -> Duty {
        Duty { name: "index", topic: Some(Topic::Feed), period: Duration::from_secs(1), single: false }
    }

    fn work<'a>(&'a mut self, catalog: &'a Catalog, halt: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>> {
        async {
            let halted = || halt.is_asked();
            let more = self.lake.search.step(catalog, &mut self.memory, &halted).await?;
            Ok(progress(usize::from(more)))
        }
        .boxed()
    }
}

/// Forgets answers that were kept for an `Idempotency-Key`, when their time is over.
struct Forget;

impl Worker for Forget {
    fn duty(&self) -> Duty {
        Duty { name: "forget", topic: None, period: Duration::from_mins(10), single: true }
    }

    fn work<'a>(&'a mut self, catalog: &'a Catalog, _: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>> {
        async { Ok(progress(forget_answers(catalog).await?)) }.boxed()
    }
}

/// Checks the catalog against itself now and then.
struct Check;

impl Worker for Check {
    fn duty(&self) -> Duty {
        Duty { name: "check", topic: None, period: Duration::from_hours(1), single: true }
    }

    fn work<'a>(&'a mut self, catalog: &'a Catalog, _: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>> {
        async {
            if !is_due(catalog).await? {
                return Ok(Progress::Nothing);
            }
            for finding in check_catalog(catalog).await?.findings {
                let (invariant, what) = (&finding.invariant, &finding.what);
                tracing::error!(invariant, "the catalog contradicts itself at {what}: {}", finding.detail);
            }
            Ok(Progress::Nothing)
        }
        .boxed()
    }
}

/// When the catalog was last checked, in milliseconds since the Unix epoch.
const CHECKED_AT: &str = "checked_at";
/// How long a check is good for. It reads the whole catalog, so a restart is no reason for one.
const CHECK_EVERY: Duration = Duration::from_hours(24);

/// Tells whether a check is due, and notes that it is being made. A new catalog has nothing to check.
async fn is_due(catalog: &Catalog) -> Result<bool, WorkFault> {
    catalog
        .transact(|txn| async move {
            let key = (CHECKED_AT.to_owned(),);
            let last = txn.get::<Facts>(&key).await?;
            let due = last.is_some_and(|at| txn.now().since(Timestamp::from_millis(at)) >= CHECK_EVERY);
            if due || last.is_none() {
                txn.put::<Facts>(&key, &txn.now().as_millis());
            }
            Ok(due)
        })
        .await
}

/// Moves files.
struct Move {
    name: &'static str,
    lake: Arc<Lake>,
    cursors: Arc<Mutex<Cursors>>,
}

impl Worker for Move {
    fn duty(&self) -> Duty {
        Duty { name: self.name, topic: Some(Topic::Transfers), period: Duration::from_secs(1), single: false }
    }

    fn work<'a>(&'a mut self, catalog: &'a Catalog, halt: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>> {
        async {
            let halted = || halt.is_asked();
            Ok(progress(drain(catalog, &self.lake.judge, &self.lake.stores, &self.cursors, &halted).await?))
        }
        .boxed()
    }
}
