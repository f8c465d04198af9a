//! Runs workers: one task each, woken by changes and by period, stopped together.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::catalog::Catalog;
use crate::catalog::lease::Lease;
use crate::clock::SharedClock;
use crate::rules::Progress;
use crate::workers::Worker;
use crate::workers::board::{Activity, Board};

/// How long a worker rests after a fault.
const REST: Duration = Duration::from_secs(2);
/// How often, at least, it is looked whether another process still does the work.
const STANDBY: Duration = Duration::from_secs(2);

/// Tells a worker whether it is to begin nothing new: somebody paused it, or the process ends.
#[derive(Debug, Clone)]
pub struct Halt {
    stopped: watch::Receiver<bool>,
    paused: watch::Receiver<bool>,
}

impl Halt {
    /// Whether it is.
    pub fn is_asked(&self) -> bool {
        *self.stopped.borrow() || *self.paused.borrow()
    }
}

/// Workers that run until they are stopped.
pub struct Running {
    clock: SharedClock,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// Starts workers, each on a task of its own.
pub fn start(catalog: &Catalog, board: &Board, workers: Vec<Box<dyn Worker>>) -> Running {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for worker in workers {
        let paused = board.add(worker.duty().name);
        let halt = Halt { stopped: stopped.clone(), paused };
        let runner =
            Runner { catalog: catalog.clone(), board: board.clone(), halt, worker, lease: None, is_standby: false };
        tasks.spawn(runner.run());
    }
    Running { clock: catalog.clock().clone(), tasks, stop }
}

impl Running {
    /// Lets every worker finish what it is doing, for as long as `patience`; then drops the rest,
    /// which costs no more than a crash would.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.send_replace(true);
        let finished = std::pin::pin!(async { while self.tasks.join_next().await.is_some() {} });
        if let Either::Right(_) = select(finished, self.clock.sleep(patience)).await {
            tracing::warn!("some workers did not finish within {patience:?}; their work is taken up at the next start");
        }
    }
}

struct Runner {
    catalog: Catalog,
    board: Board,
    halt: Halt,
    worker: Box<dyn Worker>,
    lease: Option<Lease>,
    /// Whether another process does the work.
    is_standby: bool,
}

impl Runner {
    async fn run(mut self) {
        let wakes = Arc::clone(self.catalog.wakes_shared());
        loop {
            // Asked for before looking for work, so that nothing in between is missed.
            let wake = self.worker.duty().topic.map(|topic| wakes.waiting(topic));
            let mut rest = self.worker.duty().period;
            if !*self.halt.paused.borrow_and_update() && !self.work_until_idle().await {
                rest = REST;
            }
            if *self.halt.stopped.borrow() {
                self.release().await;
                return;
            }
            if self.is_standby {
                rest = rest.min(STANDBY);
            }
            let woken = async {
                match wake {
                    Some(wake) => wake.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = woken => {}
                () = self.catalog.clock().sleep(rest) => {}
                _ = self.halt.paused.changed() => {}
                _ = self.halt.stopped.changed() => {}
            }
        }
    }

    /// Works until there is nothing to do. Returns whether all went well.
    async fn work_until_idle(&mut self) -> bool {
        let name = self.worker.duty().name;
        loop {
            if self.halt.is_asked() {
                return true;
            }
            let mut catalog = self.catalog.clone();
            if self.worker.duty().single {
                match self.catalog.lease(&format!("worker/{name}"), self.lease.take()).await {
                    Ok(Some(lease)) => {
                        catalog = catalog.under(lease.clone());
                        self.lease = Some(lease);
                        self.is_standby = false;
                    }
                    Ok(None) => {
                        self.is_standby = true;
                        self.board.note(name, |status| status.activity = Activity::Standby);
                        return true;
                    }
                    Err(error) => return self.fault(&error.to_string()),
                }
            }
            let now = self.catalog.clock().now();
            self.board.note(name, |status| {
                status.activity = Activity::Busy;
                status.runs += 1;
                status.last_run_at = Some(now);
            });
            let outcome = self.worker.work(&catalog, &self.halt).await;
            self.board.note(name, |status| status.activity = Activity::Idle);
            match outcome {
                Ok(progress) => {
                    self.board.note(name, |status| status.last_fault = None);
                    if progress == Progress::Nothing {
                        return true;
                    }
                }
                Err(error) => return self.fault(&error.to_string()),
            }
        }
    }

    /// Lets another process go on at once. One that has the catalog alone finds its leases void anyway.
    async fn release(&mut self) {
        if let Some(lease) = self.lease.take().filter(|_| !self.catalog.is_exclusive())
            && let Err(error) = self.catalog.release(lease).await
        {
            tracing::debug!("a lease was not given up, and ends by itself: {error}");
        }
    }

    fn fault(&self, fault: &str) -> bool {
        let name = self.worker.duty().name;
        tracing::warn!(worker = name, "worker {name} failed and will look again: {fault}");
        self.board.note(name, |status| status.last_fault = Some(fault.to_owned()));
        false
    }
}
