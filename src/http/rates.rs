//! How many requests a second each account makes, and each address that shows no key: a bucket for each,
//! refilled steadily, from which every request takes one.
//!
//! Whoever shows a key is counted as its account, wherever it asks from. Until a key is known to be good,
//! it is counted for its address, apart from what that asks without one, so that guessing keys is slow and
//! a key that is none spares nobody the count.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::SharedClock;
use crate::model::network::Origin;

/// The most buckets that are kept. When there are more, full ones are forgotten, and in need those that
/// are nearest to it: many new askers do not make an old one forgotten that has asked too much.
const BUCKETS_MAX: usize = 10_000;

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asker {
    /// An account, wherever it asks from.
    Account(String),
    /// An address that shows no key.
    Address(Origin),
    /// An address that shows keys of which it is not known yet, or never will be, whether they are good.
    Guesser(Origin),
}

/// Who made how many requests of late.
pub struct Rates {
    clock: SharedClock,
    per_second: f64,
    at_once: f64,
    buckets: Mutex<HashMap<Asker, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Duration,
}

impl Rates {
    /// Lets everybody make so many requests a second, and so many at once. With 0 a second there is no
    /// limit.
    pub fn new(clock: SharedClock, per_second: u32, at_once: u32) -> Self {
        Self { clock, per_second: per_second.into(), at_once: at_once.into(), buckets: Mutex::default() }
    }

    /// Takes one request from a bucket; otherwise tells how long to wait for the next.
    pub fn take(&self, asker: Asker) -> Result<(), Duration> {
        if self.per_second <= 0.0 {
            return Ok(());
        }
        let now = self.clock.monotonic();
        let mut buckets = self.buckets.lock().expect("nothing panics while holding it");
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&asker) {
            buckets.retain(|_, bucket| self.refilled(*bucket, now) < self.at_once);
            if buckets.len() >= BUCKETS_MAX {
                self.forget_fullest(&mut buckets, now);
            }
        }
        let known = buckets.get(&asker).map_or(self.at_once, |bucket| self.refilled(*bucket, now));
        if known < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - known) / self.per_second));
        }
        buckets.insert(asker, Bucket { left: known - 1.0, at: now });
        Ok(())
    }

    /// Gives back a request that was taken from a bucket.
    pub fn give_back(&self, asker: &Asker) {
        let mut buckets = self.buckets.lock().expect("nothing panics while holding it");
        if let Some(bucket) = buckets.get_mut(asker) {
            bucket.left += 1.0;
        }
    }

    /// Forgets a quarter, so that this is seldom done.
    fn forget_fullest(&self, buckets: &mut HashMap<Asker, Bucket>, now: Duration) {
        let mut left: Vec<(f64, Asker)> =
            buckets.iter().map(|(asker, bucket)| (self.refilled(*bucket, now), asker.clone())).collect();
        left.sort_by(|one, other| other.0.total_cmp(&one.0));
        for (_, asker) in left.into_iter().take(BUCKETS_MAX / 4) {
            buckets.remove(&asker);
        }
    }

    fn refilled(&self, bucket: Bucket, now: Duration) -> f64 {
        let since = now.saturating_sub(bucket.at).as_secs_f64();
        (bucket.left + since * self.per_second).min(self.at_once)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::net::IpAddr;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::clock::Clock;
    use crate::model::time::Timestamp;

    /// A clock that goes on when it is told to.
    #[derive(Default)]
    struct Told(AtomicU64);

    impl Clock for Told {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(std::future::ready(()))
        }

        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    fn asker(text: &str) -> Asker {
        Asker::Address(text.parse::<IpAddr>().expect("an address").into())
    }

    #[test]
    fn a_bucket_empties_and_fills_again_by_itself() {
        let clock = Arc::new(Told::default());
        let rates = Rates::new(clock.clone(), 2, 3);
        for _ in 0..3 {
            assert_eq!(rates.take(asker("192.0.2.1")), Ok(()));
        }
        assert_eq!(rates.take(asker("192.0.2.1")), Err(Duration::from_millis(500)));
        assert_eq!(rates.take(asker("192.0.2.2")), Ok(()), "others are not meant");
        assert_eq!(rates.take(Asker::Account("ada".to_owned())), Ok(()));
        clock.0.store(500, Ordering::Relaxed);
        assert_eq!(rates.take(asker("192.0.2.1")), Ok(()));
        assert!(rates.take(asker("192.0.2.1")).is_err());
        clock.0.store(1_000_000, Ordering::Relaxed);
        let granted = (0..10).filter(|_| rates.take(asker("192.0.2.1")).is_ok()).count();
        assert_eq!(granted, 3, "it holds no more than at once");
        rates.give_back(&asker("192.0.2.1"));
        assert_eq!(rates.take(asker("192.0.2.1")), Ok(()), "what was given back");
        assert!(rates.take(asker("192.0.2.1")).is_err());
    }

    #[test]
    fn memory_has_a_bound_and_keeps_who_has_asked_too_much() {
        let rates = Rates::new(Arc::new(Told::default()), 1, 2);
        for _ in 0..2 {
            rates.take(asker("198.51.100.1")).expect("not yet too many");
        }
        for number in 0..25_000_u32 {
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(number));
            rates.take(Asker::Address(address.into())).expect("the first of each");
        }
        assert!(rates.buckets.lock().expect("no panic").len() <= BUCKETS_MAX);
        assert!(rates.take(asker("198.51.100.1")).is_err(), "it is not forgotten for all that");
        let unlimited = Rates::new(Arc::new(Told::default()), 0, 1);
        assert!((0..100).all(|_| unlimited.take(asker("192.0.2.1")).is_ok()));
    }
}
