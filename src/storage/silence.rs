//! Ends a stream of bytes whose store gives none for too long while somebody waits for them.
//!
//! A reader who pauses, because a client of the gateway does, is not waiting: whatever came meanwhile
//! is handed out first, and the time of the pause does not count.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::poll_fn;

use crate::clock::SharedClock;
use crate::storage::backend::{ByteStream, StorageError};

/// How long a store may keep a reader waiting for the next bytes.
const SILENCE_SPAN_MAX: Duration = Duration::from_mins(1);
/// A reader who comes so much later than the end of that was not waiting.
const PAUSE_MIN: Duration = Duration::from_secs(5);

struct Waiting {
    since: Duration,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The same bytes, or an error if the store falls silent.
pub(in crate::storage) fn unless_silent(mut content: ByteStream, clock: SharedClock, path: String) -> ByteStream {
    let (mut waiting, mut is_over) = (None, false);
    let content = poll_fn(move |context| {
        if is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(item) = content.poll_next_unpin(context) {
            waiting = None;
            return Poll::Ready(item);
        }
        if is_silent(&mut waiting, &clock, context) {
            is_over = true;
            let what = format!("no bytes came for {} seconds", SILENCE_SPAN_MAX.as_secs());
            return Poll::Ready(Some(Err(StorageError::Unavailable { path: path.clone(), what })));
        }
        Poll::Pending
    });
    content.boxed()
}

fn is_silent(waiting: &mut Option<Waiting>, clock: &SharedClock, context: &mut Context<'_>) -> bool {
    let begin = || Waiting { since: clock.monotonic(), over: clock.sleep(SILENCE_SPAN_MAX) };
    let first = waiting.get_or_insert_with(begin);
    if first.over.as_mut().poll(context).is_pending() {
        return false;
    }
    if clock.monotonic().saturating_sub(first.since) < SILENCE_SPAN_MAX + PAUSE_MIN {
        return true;
    }
    waiting.insert(begin()).over.as_mut().poll(context).is_ready()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use futures::channel::mpsc::unbounded;
    use futures::{FutureExt, future};

    use super::*;
    use crate::clock::Clock;
    use crate::model::time::Timestamp;

    /// A clock turned by hand; its sleeps are over when it has passed them and somebody looks.
    #[derive(Clone, Default)]
    struct Turned(Arc<Mutex<Duration>>);

    impl Turned {
        fn pass(&self, seconds: u64) {
            *self.0.lock().expect("no panic") += Duration::from_secs(seconds);
        }
    }

    impl Clock for Turned {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().expect("no panic")
        }

        fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let (clock, over) = (self.clone(), self.monotonic() + pause);
            let look =
                move |_: &mut Context<'_>| if clock.monotonic() >= over { Poll::Ready(()) } else { Poll::Pending };
            Box::pin(future::poll_fn(look))
        }

        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn a_silent_store_is_given_up_and_a_reader_who_pauses_is_not() {
        let (clock, (sender, receiver)) = (Turned::default(), unbounded());
        let mut content = unless_silent(receiver.boxed(), Arc::new(clock.clone()), "a".to_owned());
        let mut next = || content.next().now_or_never();
        let send = || sender.unbounded_send(Ok(Bytes::from_static(b"x"))).expect("somebody listens");
        assert!(next().is_none());
        clock.pass(120);
        send();
        assert!(matches!(next(), Some(Some(Ok(_)))), "what came during a pause is there");
        assert!(next().is_none());
        clock.pass(120);
        assert!(next().is_none(), "it was the reader who paused");
        clock.pass(59);
        assert!(next().is_none());
        clock.pass(1);
        assert!(matches!(next(), Some(Some(Err(StorageError::Unavailable { .. })))));
        send();
        assert!(matches!(next(), Some(None)), "it is over");
    }
}
