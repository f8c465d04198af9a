//! What there is to do in the background.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, endpoints};
use crate::rules::{Progress, evaluate, expire, fill, fold, reconsider};
use crate::service::Lake;
use crate::transfers::claim::{Cursors, reap};
use crate::transfers::mover::drain;
use crate::workers::Worker;
use crate::workers::fault::WorkFault;

/// Names of the workers that move files; each has its own jobs in flight.
const MOVERS: [&str; 2] = ["mover-1", "mover-2"];

/// All workers of a server.
pub fn all(lake: &Arc<Lake>) -> Vec<Box<dyn Worker>> {
    let catalog = lake.catalog.clone();
    let mut workers: Vec<Box<dyn Worker>> = vec![
        Box::new(Evaluate {
            catalog: catalog.clone(),
            endpoints_seen: None,
        }),
        Box::new(Fill {
            catalog: catalog.clone(),
            after: None,
        }),
        Box::new(Fold {
            catalog: catalog.clone(),
            cursor: fold::Cursor::default(),
        }),
        Box::new(Reap {
            catalog: catalog.clone(),
        }),
        Box::new(Sweep { lake: Arc::clone(lake) }),
    ];
    for name in MOVERS {
        workers.push(Box::new(Move {
            name,
            lake: Arc::clone(lake),
            cursors: Arc::default(),
        }));
    }
    workers
}

fn progress(count: usize) -> Progress {
    if count > 0 { Progress::Made } else { Progress::Nothing }
}

/// Ends, places and reconsiders rules.
struct Evaluate {
    catalog: Catalog,
    endpoints_seen: Option<u64>,
}

impl Worker for Evaluate {
    fn name(&self) -> &'static str {
        "evaluate"
    }

    fn topic(&self) -> Option<Topic> {
        Some(Topic::Rules)
    }

    fn period(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn is_single(&self) -> bool {
        true
    }

    fn work(&mut self) -> BoxFuture<'_, Result<Progress, WorkFault>> {
        async {
            let revision = Some(endpoints::revision(&self.catalog.view().await?).await?);
            let mut made = Progress::Nothing;
            if revision != self.endpoints_seen {
                made = evaluate::revive_unplaced(&self.catalog).await?;
                self.endpoints_seen = revision;
            }
            made = made.or(expire::step(&self.catalog).await?);
            made = made.or(evaluate::step(&self.catalog).await?);
            Ok(made.or(reconsider::step(&self.catalog).await?))
        }
        .boxed()
    }
}

/// Turns missing files into transfers.
struct Fill {
    catalog: Catalog,
    after: Option<(crate::model::id::DidId, crate::model::id::EndpointId)>,
}

impl Worker for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn topic(&self) -> Option<Topic> {
        Some(Topic::Filling)
    }

    fn period(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn is_single(&self) -> bool {
        true
    }

    fn work(&mut self) -> BoxFuture<'_, Result<Progress, WorkFault>> {
        async { Ok(fill::step(&self.catalog, &mut self.after).await?) }.boxed()
    }
}

/// Folds counts and sets locks.
struct Fold {
    catalog: Catalog,
    cursor: fold::Cursor,
}

impl Worker for Fold {
    fn name(&self) -> &'static str {
        "fold"
    }

    fn topic(&self) -> Option<Topic> {
        Some(Topic::Folds)
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn is_single(&self) -> bool {
        true
    }

    fn work(&mut self) -> BoxFuture<'_, Result<Progress, WorkFault>> {
        async { Ok(fold::step(&self.catalog, &mut self.cursor).await?) }.boxed()
    }
}

/// Gives back transfers of processes that are gone, and tries failed ones afresh.
struct Reap {
    catalog: Catalog,
}

impl Worker for Reap {
    fn name(&self) -> &'static str {
        "reap"
    }

    fn topic(&self) -> Option<Topic> {
        None
    }

    fn period(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn is_single(&self) -> bool {
        true
    }

    fn work(&mut self) -> BoxFuture<'_, Result<Progress, WorkFault>> {
        async {
            let reaped = reap(&self.catalog).await?;
            if reaped > 0 {
                self.catalog.wakes().wake(Topic::Transfers);
            }
            Ok(progress(reaped))
        }
        .boxed()
    }
}

/// Clears up after uploads that were broken off.
struct Sweep {
    lake: Arc<Lake>,
}

impl Worker for Sweep {
    fn name(&self) -> &'static str {
        "sweep"
    }

    fn topic(&self) -> Option<Topic> {
        None
    }

    fn period(&self) -> Duration {
        Duration::from_mins(1)
    }

    fn is_single(&self) -> bool {
        true
    }

    fn work(&mut self) -> BoxFuture<'_, Result<Progress, WorkFault>> {
        async { Ok(progress(self.lake.uploads.sweep().await?)) }.boxed()
    }
}

/// Moves files.
struct Move {
    name: &'static str,
    lake: Arc<Lake>,
    cursors: Arc<Mutex<Cursors>>,
}

impl Worker for Move {
    fn name(&self) -> &'static str {
        self.name
    }

    fn topic(&self) -> Option<Topic> {
        Some(Topic::Transfers)
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn is_single(&self) -> bool {
        false
    }

    fn work(&mut self) -> BoxFuture<'_, Result<Progress, WorkFault>> {
        async {
            Ok(progress(
                drain(&self.lake.catalog, &self.lake.stores, &self.cursors).await?,
            ))
        }
        .boxed()
    }
}
