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

/// After how many failures in a row an endpoint is left alone.
const FAILURES_MAX: u32 = 5;
/// For how long at first; it doubles as long as the endpoint goes on failing.
const REST_FIRST: Duration = Duration::from_secs(15);
/// For how long at most.
const REST_MAX: Duration = Duration::from_mins(5);

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
    rests_until: Duration,
    rests: u32,
}

/// The endpoints that ail.
#[derive(Default)]
pub struct Health {
    ailments: Mutex<BTreeMap<EndpointId, Ailment>>,
}

impl Health {
    /// Notes that an endpoint did what it was asked for.
    pub fn well(&self, endpoint: EndpointId) {
        self.lock().remove(&endpoint);
    }

    /// Notes that an endpoint failed, and what it said.
    pub fn failed(&self, endpoint: EndpointId, reason: StuckReason, said: String, clock: &dyn Clock) {
        let (now, monotonic) = (clock.now(), clock.monotonic());
        let mut ailments = self.lock();
        let ailment = ailments.entry(endpoint).or_insert_with(|| Ailment {
            since: now,
            last: now,
            failures: 0,
            reason: reason.clone(),
            said: String::new(),
            rests_until: Duration::ZERO,
            rests: 0,
        });
        (ailment.last, ailment.reason, ailment.said) = (now, reason, said);
        ailment.failures = ailment.failures.saturating_add(1);
        // What was under way when a rest began fails into it, and does not make it longer.
        if ailment.failures >= FAILURES_MAX && ailment.rests_until <= monotonic {
            ailment.rests_until = monotonic + REST_FIRST.saturating_mul(1 << ailment.rests.min(16)).min(REST_MAX);
            ailment.rests += 1;
        }
    }

    /// What ails an endpoint; `None` if nothing is known to.
    pub fn ailment(&self, endpoint: EndpointId) -> Option<Ailment> {
        self.lock().get(&endpoint).cloned()
    }

    /// Tells whether an endpoint is to be left alone.
    pub fn rests(&self, endpoint: EndpointId, monotonic: Duration) -> bool {
        self.lock().get(&endpoint).is_some_and(|ailment| ailment.rests_until > monotonic)
    }

    /// All endpoints that ail.
    pub fn ailing(&self) -> Vec<EndpointId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EndpointId, Ailment>> {
        self.ailments.lock().expect("no holder of the lock panics")
    }
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

    #[test]
    fn an_endpoint_that_goes_on_failing_is_left_alone_for_longer_and_longer() {
        let (health, endpoint) = (Health::default(), EndpointId(1));
        let reason = StuckReason::EndpointUnreachable { endpoint: EndpointName::parse("x").expect("valid") };
        let fails = |said: &str, second| health.failed(endpoint, reason.clone(), said.to_owned(), &At(second));
        let rests = |second| health.rests(endpoint, Duration::from_secs(second));
        for _ in 1..FAILURES_MAX {
            fails("down", 100);
        }
        assert!(!rests(100));
        // Those under way fail all at once; they are one rest.
        for _ in 0..50 {
            fails("still down", 101);
        }
        assert!(rests(101) && rests(115) && !rests(116));
        fails("down again", 120);
        assert!(rests(149) && !rests(150));
        for second in [200, 400, 1_000, 2_000] {
            fails("down", second);
        }
        assert!(rests(2_200) && !rests(2_300), "no longer than five minutes");
        let ailment = health.ailment(endpoint).expect("it fails");
        assert_eq!((ailment.since, ailment.last), (At(100).now(), At(2_000).now()));

        health.well(endpoint);
        assert!(!rests(2_000) && health.ailing().is_empty());
        fails("once", 2_001);
        assert!(!rests(2_001), "its past is forgiven");
    }
}
