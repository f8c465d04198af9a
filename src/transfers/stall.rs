//! Notices when bytes on their way stand still, and on whose side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::poll_fn;
use futures::{Stream as _, StreamExt as _};

use crate::clock::SharedClock;
use crate::storage::backend::ByteStream;

/// How long a source that is asked for bytes may give none.
const SOURCE_SPAN_MAX: Duration = Duration::from_mins(1);
/// How long a destination may ask for none: it may send what it has in parts, which takes a slow line
/// its time. Its own requests have limits of their own.
const DESTINATION_SPAN_MAX: Duration = Duration::from_mins(5);
/// How long it may take, on top, for each MiB that it takes at once.
const TAKE_PER_MIB: Duration = Duration::from_secs(20);
/// How long a store may take, on top, for each GiB after its last byte came: to sync, and to compute
/// a checksum of its own.
const FINISH_PER_GIB: Duration = Duration::from_secs(15);

/// Which side let bytes stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It was asked for bytes and gave none.
    Source,
    /// It did not ask for more, or did not say that it has them.
    Destination,
}

/// What is seen of a stream from outside.
#[derive(Default)]
struct Seen {
    /// Grows with everything that happens.
    steps: AtomicU64,
    bytes: AtomicU64,
    asking: AtomicBool,
    ended: AtomicBool,
    /// How many bytes the destination takes at once.
    taken_bytes: u64,
}

/// Watches a stream that was given out by [`watched`].
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Seen>);

/// The same bytes, watched, for a destination that takes so many at once.
pub(super) fn watched(mut content: ByteStream, taken_bytes: u64) -> (ByteStream, Watch) {
    let watch = Watch(Arc::new(Seen { taken_bytes, ..Seen::default() }));
    let seen = Arc::clone(&watch.0);
    let content = poll_fn(move |context| {
        let next = std::pin::pin!(&mut content).poll_next(context);
        seen.asking.store(next.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(item) = &next {
            seen.steps.fetch_add(1, Ordering::Relaxed);
            seen.ended.store(item.is_none(), Ordering::Relaxed);
            if let Some(Ok(chunk)) = item {
                seen.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
        }
        next
    });
    (content.boxed(), watch)
}

impl Watch {
    /// How many bytes have moved.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Which side is waited for.
    pub(super) fn waits_for(&self) -> Side {
        if self.0.asking.load(Ordering::Relaxed) { Side::Source } else { Side::Destination }
    }

    /// Awaits what takes the stream, as long as bytes move; else drops it and says who was waited for.
    pub(super) async fn guard<T>(&self, clock: &SharedClock, work: impl Future<Output = T> + Send) -> Result<T, Side> {
        let mut work = std::pin::pin!(work);
        loop {
            let (steps, asked) = (self.0.steps.load(Ordering::Relaxed), self.0.asking.load(Ordering::Relaxed));
            match select(work, clock.sleep(self.patience())).await {
                Either::Left((done, _)) => return Ok(done),
                Either::Right(((), rest)) => work = rest,
            }
            let asking = self.0.asking.load(Ordering::Relaxed);
            if self.0.steps.load(Ordering::Relaxed) == steps && asking == asked {
                return Err(if asking { Side::Source } else { Side::Destination });
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.0.asking.load(Ordering::Relaxed) {
            return SOURCE_SPAN_MAX;
        }
        let mib = u32::try_from(self.0.taken_bytes >> 20).unwrap_or(u32::MAX);
        let span = DESTINATION_SPAN_MAX + TAKE_PER_MIB.saturating_mul(mib);
        if !self.0.ended.load(Ordering::Relaxed) {
            return span;
        }
        let gib = u32::try_from(self.0.bytes.load(Ordering::Relaxed) >> 30).unwrap_or(u32::MAX);
        span + FINISH_PER_GIB.saturating_mul(gib)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Mutex;

    use bytes::Bytes;
    use futures::{FutureExt as _, stream};

    use super::*;
    use crate::clock::Clock;
    use crate::model::time::Timestamp;
    use crate::storage::hash::hash_stream;

    /// A clock whose sleeps are over at once, and counted.
    #[derive(Default)]
    struct Hasty(Mutex<Duration>);

    impl Clock for Hasty {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().expect("nothing panics")
        }

        fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            *self.0.lock().expect("nothing panics") += pause;
            Box::pin(std::future::ready(()))
        }

        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    fn chunks(count: usize) -> ByteStream {
        stream::iter((0..count).map(|_| Ok(Bytes::from_static(b"12")))).boxed()
    }

    #[test]
    fn the_side_that_was_waited_for_is_told() {
        let clock: SharedClock = Arc::new(Hasty::default());
        let (content, watch) = watched(chunks(3).chain(stream::pending()).boxed(), 0);
        let outcome = watch.guard(&clock, hash_stream(content, &[])).now_or_never().expect("no sleep waits");
        assert_eq!(outcome.map(|_| ()), Err(Side::Source));

        let (mut content, watch) = watched(chunks(3), 0);
        let takes_two = async move {
            content.next().await;
            content.next().await;
            std::future::pending::<()>().await;
        };
        let outcome = watch.guard(&clock, takes_two).now_or_never().expect("no sleep waits");
        assert_eq!(outcome, Err(Side::Destination));

        let (content, watch) = watched(chunks(3), 0);
        let outcome = watch.guard(&clock, hash_stream(content, &[])).now_or_never().expect("nothing waits");
        assert_eq!(outcome.expect("bytes move").expect("no error is in it").bytes, 6);
    }
    #[test]
    fn who_takes_much_at_once_may_be_silent_for_longer() {
        for (taken_bytes, seconds) in [(1 << 20, 320), (8 << 20, 460), (525 << 20, 10_800)] {
            let clock = Arc::new(Hasty::default());
            let (content, watch) = watched(chunks(1), taken_bytes);
            let takes_none = async move {
                let _content = content;
                std::future::pending::<()>().await;
            };
            let shared: SharedClock = Arc::<Hasty>::clone(&clock);
            let outcome = watch.guard(&shared, takes_none).now_or_never().expect("no sleep waits");
            assert_eq!((outcome, clock.monotonic().as_secs()), (Err(Side::Destination), seconds));
        }
    }
}
