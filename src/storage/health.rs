//! How endpoints are doing, as this process has lately seen it. An endpoint that fails again and
//! again is left alone for a while, so that thousands of transfers do not each find out by
//! themselves. Never stored: a new process starts with good faith.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::Clock;
use crate::model::id::EndpointId;
use crate::model::stuck::StuckReason;
use crate::model::time::Timestamp;
use crate::storage::backend::Check;

/// After how many failures in a row an endpoint is left alone.
const FAILURES_MAX: u32 = 5;
/// For how long at first, and how long those wait at least that failed because of it; both double as
/// long as it goes on failing.
const PAUSE_FIRST: Duration = Duration::from_secs(15);
/// For how long at most.
const PAUSE_MAX: Duration = Duration::from_mins(5);
/// After how long without a failure its past is forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_mins(30);
/// How long after its last failure an endpoint is taken to be well: what was under way may still fail.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What ails an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ailment {
    /// When it began to fail.
    pub since: Timestamp,
    /// When it failed last.
    pub last: Timestamp,
    /// How often in a row.
    pub failures: u32,
    /// What transfers are told of it.
    pub reason: StuckReason,
    /// What it said last.
    pub said: String,
    /// What it has to do to be found well: whether some of it came of writing.
    pub check: Check,
}

/// What is remembered of an endpoint that has failed.
#[derive(Default)]
struct Past {
    ailment: Option<Ailment>,
    failed_at: Duration,
    rests_until: Duration,
    rests: u32,
    /// Whether transfers have failed because of it since they were last given another try.
    has_victims: bool,
    revivals: u32,
    next_revival: Duration,
}

/// The endpoints that ail, or did.
#[derive(Default)]
pub struct Health {
    pasts: Mutex<BTreeMap<EndpointId, Past>>,
}

impl Health {
    /// Notes that an endpoint did what it was asked for.
    pub fn well(&self, endpoint: EndpointId) {
        if let Some(past) = self.lock().get_mut(&endpoint) {
            past.ailment = None;
        }
    }

    /// Notes that an endpoint that was tried did what it was asked for: it is left alone no more, but
    /// its next failure counts as much as those before.
    pub fn recovered(&self, endpoint: EndpointId) {
        if let Some(past) = self.lock().get_mut(&endpoint) {
            past.rests_until = Duration::ZERO;
            past.ailment = None;
        }
    }

    /// Notes that an endpoint failed as it was read from, and what it said.
    pub fn failed(&self, endpoint: EndpointId, reason: StuckReason, said: String, clock: &dyn Clock) {
        self.failed_at(Check::Reading, endpoint, reason, said, clock);
    }

    /// Notes at what an endpoint failed, and what it said.
    pub fn failed_at(&self, check: Check, endpoint: EndpointId, reason: StuckReason, said: String, clock: &dyn Clock) {
        let (now, monotonic) = (clock.now(), clock.monotonic());
        let mut pasts = self.lock();
        let past = pasts.entry(endpoint).or_default();
        if monotonic.saturating_sub(past.failed_at) > FORGIVEN_AFTER {
            *past = Past::default();
        }
        let fresh =
            || Ailment { since: now, last: now, failures: 0, reason: reason.clone(), said: String::new(), check };
        // Well again, but not for long: it is on probation.
        let begin = if past.rests > 0 { FAILURES_MAX - 1 } else { 0 };
        let ailment = past.ailment.get_or_insert_with(|| Ailment { failures: begin, ..fresh() });
        (ailment.last, ailment.reason, ailment.said) = (now, reason, said);
        if check == Check::Writing {
            ailment.check = check;
        }
        ailment.failures = ailment.failures.saturating_add(1);
        // What was under way when a rest began fails into it, and does not make it longer.
        if ailment.failures >= FAILURES_MAX && past.rests_until <= monotonic {
            past.rests_until = monotonic + pause(past.rests);
            past.rests += 1;
        }
        (past.failed_at, past.has_victims) = (monotonic, true);
    }

    /// What ails an endpoint; `None` if nothing is known to.
    pub fn ailment(&self, endpoint: EndpointId) -> Option<Ailment> {
        self.lock().get(&endpoint).and_then(|past| past.ailment.clone())
    }

    /// Tells whether an endpoint is to be left alone.
    pub fn rests(&self, endpoint: EndpointId, monotonic: Duration) -> bool {
        self.lock().get(&endpoint).is_some_and(|past| past.rests_until > monotonic)
    }

    /// The endpoints that ail and are not left alone: they can be tried.
    pub fn to_try(&self, monotonic: Duration) -> Vec<EndpointId> {
        let pasts = self.lock();
        let open = pasts.iter().filter(|(_, past)| past.ailment.is_some() && past.rests_until <= monotonic);
        open.map(|(endpoint, _)| *endpoint).collect()
    }

    /// The endpoints that are well again and whose victims are due for another try. What fails for a
    /// reason that a short look at the endpoint does not find, such as a quota that is almost reached,
    /// comes later and later.
    pub fn to_revive(&self, monotonic: Duration) -> Vec<EndpointId> {
        let pasts = self.lock();
        let due = pasts.iter().filter(|(_, past)| {
            let settled = monotonic >= past.failed_at + SETTLED_AFTER;
            past.has_victims && past.ailment.is_none() && settled && monotonic >= past.next_revival
        });
        due.map(|(endpoint, _)| *endpoint).collect()
    }

    /// Notes that the victims of an endpoint, as they were at a moment, have been given another try.
    pub fn revived(&self, endpoint: EndpointId, monotonic: Duration) {
        if let Some(past) = self.lock().get_mut(&endpoint) {
            past.has_victims = past.failed_at >= monotonic;
            past.next_revival = monotonic + pause(past.revivals);
            past.revivals = past.revivals.saturating_add(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EndpointId, Past>> {
        self.pasts.lock().expect("no holder of the lock panics")
    }
}

fn pause(times: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << times.min(16)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::*;
    use crate::model::endpoint::EndpointName;

    /// A clock that stands at a second.
    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0 * 1_000)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0)
        }

        fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(std::future::pending())
        }

        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    struct World {
        health: Health,
        reason: StuckReason,
    }

    const X: EndpointId = EndpointId(1);

    impl World {
        fn new() -> Self {
            let endpoint = EndpointName::parse("x").expect("valid");
            Self { health: Health::default(), reason: StuckReason::EndpointUnreachable { endpoint } }
        }

        fn fails(&self, second: u64) {
            self.health.failed(X, self.reason.clone(), "down".to_owned(), &At(second));
        }

        fn rests(&self, second: u64) -> bool {
            self.health.rests(X, Duration::from_secs(second))
        }

        fn revives(&self, second: u64) -> bool {
            let due = self.health.to_revive(Duration::from_secs(second)) == [X];
            if due {
                self.health.revived(X, Duration::from_secs(second));
            }
            due
        }
    }

    #[test]
    fn an_endpoint_that_goes_on_failing_is_left_alone_for_longer_and_longer() {
        let world = World::new();
        for _ in 1..FAILURES_MAX {
            world.fails(100);
        }
        assert!(!world.rests(100) && world.health.to_try(Duration::from_secs(100)) == [X]);
        // Those under way fail all at once; they are one rest.
        for _ in 0..50 {
            world.fails(101);
        }
        assert!(world.rests(101) && world.rests(115) && !world.rests(116));
        world.fails(120);
        assert!(world.rests(149) && !world.rests(150));
        assert!(world.health.to_try(Duration::from_secs(149)).is_empty());
        for second in [200, 400, 1_000, 2_000] {
            world.fails(second);
        }
        assert!(world.rests(2_200) && !world.rests(2_300), "no longer than five minutes");
        let ailment = world.health.ailment(X).expect("it fails");
        assert_eq!((ailment.since, ailment.last), (At(100).now(), At(2_000).now()));

        world.health.recovered(X);
        assert!(!world.rests(2_000) && world.health.ailment(X).is_none());
        world.fails(2_001);
        assert!(world.rests(2_002), "it is on probation");
        world.health.recovered(X);
        world.fails(9_000);
        assert!(!world.rests(9_000), "its past is forgiven");
    }

    #[test]
    fn who_failed_at_writing_has_to_write_to_be_well() {
        let world = World::new();
        let check = || world.health.ailment(X).map(|ailment| ailment.check);
        world.fails(100);
        assert_eq!(check(), Some(Check::Reading));
        world.health.failed_at(Check::Writing, X, world.reason.clone(), "full".to_owned(), &At(101));
        world.fails(102);
        assert_eq!(check(), Some(Check::Writing));
        world.health.recovered(X);
        world.fails(103);
        assert_eq!(check(), Some(Check::Reading));
    }

    #[test]
    fn victims_get_another_try_when_it_is_well_and_then_later_and_later() {
        let world = World::new();
        world.fails(100);
        assert!(!world.revives(110), "it ails");
        world.health.well(X);
        assert!(!world.revives(101), "others may still fail");
        let due = || world.health.to_revive(Duration::from_secs(103)) == [X];
        assert!(due() && due(), "until it is done");
        assert!(world.revives(103) && !world.revives(104), "once");
        let mut second = 103;
        for pause in [15, 30, 60, 120, 240, 300, 300] {
            world.fails(second + 1);
            world.health.recovered(X);
            assert!(!world.revives(second + pause - 1), "{pause}");
            second += pause;
            assert!(world.revives(second), "{pause}");
        }
    }
}
