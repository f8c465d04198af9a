//! One simulated lake: what outlives a process, the process, and a fate that breaks things.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use dapple::catalog::engine::memory::Memory;
use dapple::catalog::{Catalog, check};
use dapple::clock::{SharedClock, SystemClock};
use dapple::model::id::EndpointId;
use dapple::model::scope::Scope;
use dapple::policy::judge::Judge;
use dapple::policy::token::{SigningKey, Verifier};
use dapple::replicas::upload::Uploads;
use dapple::search::follow::Search;
use dapple::service::search::Turns;
use dapple::service::view::NewScope;
use dapple::service::{Lake, accounts, scopes};
use dapple::storage::backend::StorageError;
use dapple::storage::layout::StoragePath;
use dapple::storage::memory::Memory as Storage;
use dapple::storage::registry::Registry;

use crate::client::{Client, context, declare_bad};
use crate::disk::{Disk, Excuse, Watched, at_once};
use crate::executor::Executor;
use crate::log::Log;
use crate::random::Random;
use crate::{verdict, workers};

/// How many things people do in one run.
const ACTS: usize = 240;
const CLIENTS: usize = 3;
/// How long everything has to come to rest once nothing is broken any more.
const QUIET_MS: u64 = 3 * 3_600_000;
/// How many steps a run may take; one that takes more runs in circles.
const STEPS_MAX: u64 = 1_500_000;

/// The storages of the lake. Clones are the same.
#[derive(Clone)]
pub(crate) struct Disks {
    by_endpoint: Arc<Mutex<BTreeMap<EndpointId, Disk>>>,
    observer: Catalog,
    log: Log,
}

impl Disks {
    /// Gives an endpoint its disk, a new one if it had none.
    pub(crate) fn attach(&self, stores: &Registry, endpoint: EndpointId) {
        let disk = self.lock().entry(endpoint).or_insert_with(|| Disk::new(endpoint)).clone();
        let watched = Watched { disk, observer: self.observer.clone(), log: self.log.clone() };
        stores.insert(endpoint, Arc::new(watched));
    }

    pub(crate) fn get(&self, endpoint: EndpointId) -> Option<Disk> {
        self.lock().get(&endpoint).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Disk> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EndpointId, Disk>> {
        self.by_endpoint.lock().expect("no holder panics")
    }
}

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) hash: blake3::Hash,
    pub(crate) events: u64,
    pub(crate) steps: u64,
    pub(crate) crashes: u64,
}

/// A run from its seed to its verdict.
pub(crate) struct World {
    seed: u64,
    executor: Executor,
    engine: Arc<Memory>,
    /// Looks at the catalog from outside every process.
    pub(crate) observer: Catalog,
    pub(crate) disks: Disks,
    pub(crate) log: Log,
    random: Random,
    lake: Arc<Lake>,
    left: Arc<AtomicUsize>,
    changes_seen: u64,
    steps: u64,
    crashes: u64,
}

/// Runs a seed; panics with the seed and the last events if anything is wrong.
pub(crate) fn run(seed: u64, prints: bool) -> Outcome {
    let mut world = World::new(seed, prints);
    world.begin();
    world.live();
    world.heal();
    world.rest();
    verdict::judge(&world);
    world.stop_if_wrong();
    Outcome { hash: world.log.hash(), events: world.log.count(), steps: world.steps, crashes: world.crashes }
}

impl World {
    fn new(seed: u64, prints: bool) -> Self {
        let mut random = Random::new(seed);
        let executor = Executor::new(random.next());
        let clock: SharedClock = Arc::new(executor.clock().clone());
        let engine = Memory::shared();
        let observer = Catalog::new(engine.clone(), clock.clone());
        let log = Log::new(executor.clock().clone(), prints);
        let disks = Disks { by_endpoint: Arc::default(), observer: observer.clone(), log: log.clone() };
        let lake = process(&engine, &clock, &disks);
        Self {
            seed,
            executor,
            engine,
            observer,
            disks,
            log,
            random,
            lake,
            left: Arc::new(AtomicUsize::new(ACTS)),
            changes_seen: 0,
            steps: 0,
            crashes: 0,
        }
    }

    fn begin(&mut self) {
        let lake = Arc::clone(&self.lake);
        self.executor.spawn(async move {
            accounts::first_start(&lake.catalog, "key").await.expect("memory does not fail");
            for scope in ["a", "b"] {
                let scope = Scope::parse(scope).expect("valid");
                scopes::add(&context(&lake), NewScope { scope, owner: None }).await.expect("it is new");
            }
        });
        self.run_for(10_000, 1_000);
        self.start();
    }

    /// Starts the tasks of a process.
    fn start(&mut self) {
        workers::start(&mut self.executor, &self.lake, &self.log);
        for _ in 0..CLIENTS {
            let client = Client {
                ctx: context(&self.lake),
                disks: self.disks.clone(),
                log: self.log.clone(),
                random: Random::new(self.random.next()),
                left: Arc::clone(&self.left),
            };
            self.executor.spawn(client.act_on());
        }
    }

    /// Lets people act while things break.
    fn live(&mut self) {
        while self.left.load(Ordering::Relaxed) > 0 {
            let steps = 20 + self.random.below(250);
            self.run_for(3_000, steps as u64);
            self.check();
            self.meddle();
        }
        self.run_for(20_000, u64::MAX);
    }

    fn meddle(&mut self) {
        if self.random.percent(15) {
            return self.crash();
        }
        let disks = self.disks.all();
        let Some(disk) = self.random.pick(&disks).cloned() else {
            return;
        };
        let (at, faults) = (disk.endpoint, disk.memory.faults());
        let said = match self.random.below(14) {
            0 => {
                faults.set_down(true);
                "goes down"
            }
            1 => {
                faults.set_denied(true);
                "denies"
            }
            2 => {
                faults.set_full(true);
                "is full"
            }
            3 => {
                faults.corrupt_next_read();
                "will read a wrong bit"
            }
            4 => {
                faults.shorten_next_read();
                "will read too little"
            }
            5 => {
                faults.fail_next(StorageError::Unavailable {
                    path: format!("disk-{at}"),
                    what: "it stumbled".to_owned(),
                });
                "will stumble"
            }
            6 => return self.damage(&disk, Storage::rot),
            7 => return self.damage(&disk, Storage::lose),
            _ => {
                faults.clear();
                faults.set_yielding(true);
                "is well"
            }
        };
        self.log.note(format!("endpoint {at} {said}"));
    }

    /// Damages one object behind everybody's back.
    fn damage(&mut self, disk: &Disk, how: fn(&Storage, &str) -> bool) {
        let paths: Vec<_> = disk.memory.paths().into_iter().filter(|path| StoragePath::parse(path).is_ok()).collect();
        if let Some(path) = self.random.pick(&paths)
            && how(&disk.memory, path)
        {
            disk.excuse(path, Excuse::Spoiled);
            self.log.note(format!("endpoint {} spoils {path}", disk.endpoint));
        }
    }

    /// Stops the process where it stands and starts another on what it left.
    fn crash(&mut self) {
        self.log.note("the process crashes");
        self.crashes += 1;
        self.executor.drop_all();
        let clock: SharedClock = Arc::new(self.executor.clock().clone());
        self.lake = process(&self.engine, &clock, &self.disks);
        self.start();
    }

    /// Mends everything, and has people notice what was spoiled.
    fn heal(&mut self) {
        self.log.note("all is mended");
        for disk in self.disks.all() {
            disk.memory.faults().clear();
            disk.memory.faults().set_yielding(true);
        }
        let spoiled = verdict::spoiled_replicas(self);
        let (lake, log) = (Arc::clone(&self.lake), self.log.clone());
        self.executor.spawn(async move {
            for (file, at) in spoiled {
                match declare_bad(&context(&lake), file, at).await {
                    Ok(said) => log.note(format!("somebody {said}")),
                    Err(error) => log.note(format!("somebody could not declare did {file} bad: {error}")),
                }
            }
        });
    }

    /// Waits until everything has come to rest.
    fn rest(&mut self) {
        self.run_for(QUIET_MS, u64::MAX);
        self.check();
    }

    /// Runs for a time or so many steps, whichever ends first.
    fn run_for(&mut self, millis: u64, steps: u64) {
        let until = self.executor.clock().elapsed_ms() + millis;
        for _ in 0..steps {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                self.log.wrong(format!("nothing has come to rest after {STEPS_MAX} steps"));
                self.stop_if_wrong();
            }
            if !self.executor.step(until) || self.executor.clock().elapsed_ms() >= until {
                return self.follow();
            }
            self.follow();
        }
    }

    /// Notes what was committed.
    fn follow(&mut self) {
        for change in at_once(self.observer.changes(self.changes_seen, 1_000)).expect("memory does not fail") {
            self.changes_seen = change.seq;
            self.log.note(format!("change {}: {:?}", change.seq, change.change));
        }
    }

    /// Holds the catalog to its invariants.
    fn check(&mut self) {
        let view = at_once(self.observer.view()).expect("memory does not fail");
        let findings = at_once(check::run(&view, check::Limits::default(), |_| ())).expect("memory does not fail");
        for finding in findings {
            self.log.wrong(format!("{}: {}: {}", finding.invariant, finding.what, finding.detail));
        }
        self.stop_if_wrong();
    }

    fn stop_if_wrong(&self) {
        let wrongs = self.log.wrongs();
        assert!(wrongs.is_empty(), "seed {}:\n{}", self.seed, wrongs.join("\n"));
    }
}

/// A process on what earlier ones left: its catalog, its storages, its uploads.
fn process(engine: &Arc<Memory>, clock: &SharedClock, disks: &Disks) -> Arc<Lake> {
    let catalog = Catalog::new(engine.clone(), Arc::clone(clock));
    let stores = Arc::new(Registry::new());
    for disk in disks.all() {
        disks.attach(&stores, disk.endpoint);
    }
    let (signer, judge) = (SigningKey::from_seed([7; 32]), Judge::builtin());
    Arc::new(Lake {
        uploads: Uploads::new(catalog.clone(), Arc::clone(&stores), Arc::clone(&judge)),
        judge,
        doorkeeper: accounts::Doorkeeper::default(),
        verifier: Verifier::new([signer.public_key()]),
        catalog,
        stores,
        signer,
        search: Arc::new(Search::scratch(&*SystemClock::shared())),
        searches: Turns::default(),
        directory: None,
        public_url: "http://lake.example".to_owned(),
    })
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} ended so (DAPPLE_SIM_SEED={} shows all of it):", self.seed, self.seed);
            eprintln!("{}", self.log.tail());
        }
    }
}
