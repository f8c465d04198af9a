//! Time and randomness, as seams: nothing below storey 6 takes either from anywhere else, so that
//! a simulation can replace both and replay a run from its seed.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};

use crate::model::time::Timestamp;

/// Where time, waiting and randomness come from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, for what is stored and shown.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start, never going back, for deadlines inside this process.
    fn monotonic(&self) -> Duration;
    /// Completes when `pause` has passed.
    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    /// Unpredictable bytes; under simulation, predictable from the seed.
    fn fill(&self, bytes: &mut [u8]);

    /// Makes a long computation where it keeps nothing else waiting. Here and under simulation: at once.
    fn begin_compute(&self, work: Box<dyn FnOnce() + Send>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { work() })
    }

    /// A random number.
    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A 128-bit id that sorts by the millisecond of its making: 48 bits of time, 80 random ones,
    /// the layout of a ULID.
    fn id(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes[6..]);
        let millis = self.now().as_millis().to_be_bytes();
        bytes[..6].copy_from_slice(&millis[2..]);
        u128::from_be_bytes(bytes)
    }
}

impl dyn Clock {
    /// Makes a long computation, such as a slow hash, and answers with what it gave.
    pub fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = T> + Send>> {
        let (tell, told) = futures::channel::oneshot::channel();
        let begun = self.begin_compute(Box::new(move || {
            // Nobody listens any more if the request was broken off.
            drop(tell.send(work()));
        }));
        Box::pin(async move {
            begun.await;
            told.await.expect("a computation does not panic")
        })
    }
}

/// Awaits something for so long; `None` if it was not done by then, and is dropped.
pub fn within<T, F: Future<Output = T>>(
    clock: &dyn Clock,
    span: Duration,
    act: F,
) -> impl Future<Output = Option<T>> + use<T, F> {
    let over = clock.sleep(span);
    async {
        match select(pin!(act), over).await {
            Either::Left((outcome, _)) => Some(outcome),
            Either::Right(_) => None,
        }
    }
}

/// A clock shared by all parts of a process.
pub type SharedClock = Arc<dyn Clock>;

/// The clock of the machine and the randomness of its operating system.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads a clock")]
    pub fn shared() -> SharedClock {
        Arc::new(Self { started: std::time::Instant::now() })
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that waits")]
    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(pause))
    }

    fn begin_compute(&self, work: Box<dyn FnOnce() + Send>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let thread = tokio::task::spawn_blocking(work);
        // What it was to answer is missing if it panicked, and whoever waits for it says so.
        Box::pin(async move { drop(thread.await) })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks for randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has randomness");
    }
}
