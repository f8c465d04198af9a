//! How many requests a second each account makes, and each address that shows no key: a bucket for each,
//! refilled steadily, from which every request takes one.
//!
//! Whoever shows a key is counted as its account, wherever it asks from. Keys that are refused are counted
//! for their address, apart from what it asks without one, so that guessing keys is slow.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::SharedClock;
use crate::http::peer::PeerAddress;

/// The most buckets that are kept. When there are more, full ones are forgotten, and in need all: that
/// lets some ask too much for a moment, but never takes memory without bound.
const BUCKETS_MAX: usize = 10_000;

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asker {
    /// An account, wherever it asks from.
    Account(String),
    /// An address that shows no key.
    Address(Place),
    /// An address whose keys are refused.
    Guesser(Place),
}

/// An address, or the network of one that has as many as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place(IpAddr);

impl From<PeerAddress> for Place {
    fn from(PeerAddress(address): PeerAddress) -> Self {
        Self(match address {
            // Whoever has one IPv6 address has its whole /64.
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        })
    }
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
        self.draw(asker, 1.0)
    }

    /// Tells whether a bucket has a request left, and takes none.
    pub fn look(&self, asker: Asker) -> Result<(), Duration> {
        self.draw(asker, 0.0)
    }

    fn draw(&self, asker: Asker, taken: f64) -> Result<(), Duration> {
        if self.per_second <= 0.0 {
            return Ok(());
        }
        let now = self.clock.monotonic();
        let mut buckets = self.buckets.lock().expect("nothing panics while holding it");
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&asker) {
            buckets.retain(|_, bucket| self.refilled(*bucket, now) < self.at_once);
            if buckets.len() >= BUCKETS_MAX {
                buckets.clear();
            }
        }
        let known = buckets.get(&asker).map_or(self.at_once, |bucket| self.refilled(*bucket, now));
        if known < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - known) / self.per_second));
        }
        if taken > 0.0 {
            buckets.insert(asker, Bucket { left: known - taken, at: now });
        }
        Ok(())
    }

    fn refilled(&self, bucket: Bucket, now: Duration) -> f64 {
        let since = now.saturating_sub(bucket.at).as_secs_f64();
        (bucket.left + since * self.per_second).min(self.at_once)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
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
        Asker::Address(PeerAddress(text.parse().expect("an address")).into())
    }

    #[test]
    fn a_bucket_empties_and_fills_again_by_itself() {
        let clock = Arc::new(Told::default());
        let rates = Rates::new(clock.clone(), 2, 3);
        for _ in 0..3 {
            assert_eq!(rates.take(asker("192.0.2.1")), Ok(()));
        }
        assert_eq!(rates.take(asker("192.0.2.1")), Err(Duration::from_millis(500)));
        assert_eq!(rates.look(asker("192.0.2.1")), Err(Duration::from_millis(500)));
        assert_eq!(rates.take(asker("192.0.2.2")), Ok(()), "others are not meant");
        assert_eq!(rates.take(Asker::Account("ada".to_owned())), Ok(()));
        clock.0.store(500, Ordering::Relaxed);
        assert_eq!(rates.take(asker("192.0.2.1")), Ok(()));
        assert!(rates.take(asker("192.0.2.1")).is_err());
        clock.0.store(1_000_000, Ordering::Relaxed);
        let granted = (0..10).filter(|_| rates.take(asker("192.0.2.1")).is_ok()).count();
        assert_eq!(granted, 3, "it holds no more than at once");
    }

    #[test]
    fn memory_has_a_bound_and_a_network_of_ipv6_is_one_asker() {
        let rates = Rates::new(Arc::new(Told::default()), 1, 1);
        assert_eq!(asker("2001:db8::1"), asker("2001:db8::ffff:2"));
        assert_ne!(asker("2001:db8::1"), asker("2001:db8:0:1::1"));
        for number in 0..25_000_u32 {
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(number));
            rates.take(Asker::Address(PeerAddress(address).into())).expect("the first of each");
        }
        assert!(rates.buckets.lock().expect("no panic").len() <= BUCKETS_MAX);
        let unlimited = Rates::new(Arc::new(Told::default()), 0, 1);
        assert!((0..100).all(|_| unlimited.take(asker("192.0.2.1")).is_ok()));
    }
}
