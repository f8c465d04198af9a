//! What happened, in order: kept as a hash of everything and the words of the end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::executor::SimClock;

/// How many events a failure shows.
const SHOWN: usize = 50;

/// The log of one run. Clones are the same log.
#[derive(Clone)]
pub(crate) struct Log {
    clock: SimClock,
    events: Arc<Mutex<Events>>,
}

struct Events {
    hasher: blake3::Hasher,
    last: VecDeque<String>,
    count: u64,
    prints: bool,
    wrong: Vec<String>,
}

impl Log {
    pub(crate) fn new(clock: SimClock, prints: bool) -> Self {
        let events =
            Events { hasher: blake3::Hasher::new(), last: VecDeque::new(), count: 0, prints, wrong: Vec::new() };
        Self { clock, events: Arc::new(Mutex::new(events)) }
    }

    pub(crate) fn note(&self, event: impl AsRef<str>) {
        let at = self.clock.elapsed_ms();
        let line = format!("{:>6}.{:03} {}", at / 1_000, at % 1_000, event.as_ref());
        let mut events = self.lock();
        events.hasher.update(line.as_bytes());
        events.hasher.update(b"\n");
        events.count += 1;
        if events.prints {
            println!("{line}");
        }
        if events.last.len() == SHOWN {
            events.last.pop_front();
        }
        events.last.push_back(line);
    }

    /// Notes something that must never happen; the run ends at its next step.
    pub(crate) fn wrong(&self, what: String) {
        self.note(format!("WRONG {what}"));
        self.lock().wrong.push(what);
    }

    /// What has gone wrong so far.
    pub(crate) fn wrongs(&self) -> Vec<String> {
        self.lock().wrong.clone()
    }

    pub(crate) fn hash(&self) -> blake3::Hash {
        self.lock().hasher.finalize()
    }

    pub(crate) fn count(&self) -> u64 {
        self.lock().count
    }

    pub(crate) fn tail(&self) -> String {
        self.lock().last.make_contiguous().join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().expect("no holder panics")
    }
}
