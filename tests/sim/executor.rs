//! Runs futures on one thread, in an order that follows from a seed, under a clock that stands
//! still while anything can run and jumps to the next timer when nothing can.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use dapple::clock::Clock;
use dapple::model::time::Timestamp;

use crate::random::Random;

/// When simulated time begins: 2026-01-01.
const BEGINNING_MS: u64 = 1_767_225_600_000;

/// Simulated time and randomness.
#[derive(Clone)]
pub(crate) struct SimClock(Arc<Mutex<Time>>);

struct Time {
    now_ms: u64,
    timers: BTreeMap<(u64, u64), Waker>,
    timers_made: u64,
    random: Random,
}

impl SimClock {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Time {
            now_ms: 0,
            timers: BTreeMap::new(),
            timers_made: 0,
            random: Random::new(seed),
        })))
    }

    /// Milliseconds since the simulation began.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.lock().now_ms
    }

    fn lock(&self) -> MutexGuard<'_, Time> {
        self.0.lock().expect("no holder panics")
    }

    /// Jumps to the next timer and wakes it; tells whether there was one until then.
    fn jump(&self, until_ms: u64) -> bool {
        let mut time = self.lock();
        let Some(first) = time.timers.first_entry().filter(|timer| timer.key().0 <= until_ms) else {
            time.now_ms = time.now_ms.max(until_ms);
            return false;
        };
        let ((at, _), waker) = first.remove_entry();
        time.now_ms = time.now_ms.max(at);
        drop(time);
        waker.wake();
        true
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(BEGINNING_MS + self.elapsed_ms())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms())
    }

    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut time = self.lock();
        time.timers_made += 1;
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let timer = (time.now_ms.saturating_add(pause), time.timers_made);
        Box::pin(Sleep { clock: self.clone(), timer })
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.lock().random.fill(bytes);
    }
}

struct Sleep {
    clock: SimClock,
    timer: (u64, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut time = self.clock.lock();
        if time.now_ms >= self.timer.0 {
            return Poll::Ready(());
        }
        let old = time.timers.insert(self.timer, context.waker().clone());
        drop(time);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // The waker goes after the lock: dropping it may drop what holds other timers.
        let waker = self.clock.lock().timers.remove(&self.timer);
        drop(waker);
    }
}

type Ready = Arc<Mutex<BTreeSet<u64>>>;

struct Bell {
    task: u64,
    ready: Ready,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ready.lock().expect("no holder panics").insert(self.task);
    }
}

/// Tasks, and who may run.
pub(crate) struct Executor {
    clock: SimClock,
    random: Random,
    tasks: BTreeMap<u64, Pin<Box<dyn Future<Output = ()>>>>,
    tasks_made: u64,
    ready: Ready,
}

impl Executor {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            clock: SimClock::new(random.next()),
            random,
            tasks: BTreeMap::new(),
            tasks_made: 0,
            ready: Ready::default(),
        }
    }

    pub(crate) fn clock(&self) -> &SimClock {
        &self.clock
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks_made += 1;
        self.tasks.insert(self.tasks_made, Box::pin(task));
        self.ready.lock().expect("no holder panics").insert(self.tasks_made);
    }

    /// Drops every task where it stands, as a crash does.
    pub(crate) fn drop_all(&mut self) {
        self.tasks.clear();
        self.ready.lock().expect("no holder panics").clear();
    }

    /// Polls one task that can run, or else lets time jump to the next timer. `false` when nothing
    /// happens until then.
    pub(crate) fn step(&mut self, until_ms: u64) -> bool {
        let chosen = {
            let mut ready = self.ready.lock().expect("no holder panics");
            let chosen =
                if ready.is_empty() { None } else { ready.iter().nth(self.random.below(ready.len())).copied() };
            chosen.inspect(|task| {
                ready.remove(task);
            })
        };
        let Some(task) = chosen else {
            return self.clock.jump(until_ms);
        };
        // Work takes time, now and then enough to see.
        if self.random.percent(20) {
            self.clock.lock().now_ms += 1;
        }
        let Some(future) = self.tasks.get_mut(&task) else {
            return true;
        };
        let ready = Arc::clone(&self.ready);
        let waker = Waker::from(Arc::new(Bell { task, ready }));
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks.remove(&task);
        }
        true
    }
}
