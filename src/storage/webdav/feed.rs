//! The body of a PUT: a stream whose length is known and that can be begun anew for a while.
//!
//! A server may refuse a PUT for want of a collection, or send it to another server, while its body
//! is on the way. What it answers before [`KEPT_BYTES_MAX`] bytes were taken loses nothing: these
//! are kept, and sent again. `Expect: 100-continue` would do the same without memory, but the HTTP
//! client sends bodies without waiting.
//!
//! Promises that the last chunk is handed out only when the stream has ended with the announced
//! length, so that no server ever takes a stream of another length for a whole one.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::poll_fn;
use futures::{Stream, StreamExt};

use crate::storage::backend::{ByteStream, StorageError};

/// How many bytes are kept to be sent again.
pub(super) const KEPT_BYTES_MAX: u64 = 4 << 20;

/// A body. Clones are the same one.
#[derive(Clone)]
pub(super) struct Feed(Arc<Mutex<State>>);

struct State {
    path: String,
    expected: u64,
    content: ByteStream,
    /// Bytes that came from the content.
    taken: u64,
    /// A chunk that is not handed out yet.
    ahead: Option<Bytes>,
    ended: bool,
    fault: Option<StorageError>,
    /// All that was handed out, as long as it is not too much.
    kept: Option<Vec<Bytes>>,
    handed: u64,
    /// Which sending may take chunks: an earlier one may still be dying in its connection.
    turn: u64,
}

impl Feed {
    pub(super) fn new(path: &str, expected: u64, content: ByteStream) -> Self {
        Self(Arc::new(Mutex::new(State {
            path: path.to_owned(),
            expected,
            content,
            taken: 0,
            ahead: None,
            ended: false,
            fault: None,
            kept: Some(Vec::new()),
            handed: 0,
            turn: 0,
        })))
    }

    /// How many bytes there will be.
    pub(super) fn length(&self) -> u64 {
        self.lock().expected
    }

    /// Waits for the first chunk, and for what follows it, so that what fails at once, and what is
    /// short, sends nothing.
    pub(super) async fn prime(&self) -> Result<(), StorageError> {
        poll_fn(|context| self.lock().fill(context)).await
    }

    /// The chunks from the beginning; `None` if it is too late for that.
    pub(super) fn begin(&self) -> Option<Sending> {
        let mut state = self.lock();
        state.kept.as_ref()?;
        state.turn += 1;
        Some(Sending { feed: self.clone(), turn: state.turn, replayed: 0 })
    }

    /// Whether it can be begun anew, and nothing is wrong with the stream itself.
    pub(super) fn is_kept(&self) -> bool {
        let state = self.lock();
        state.kept.is_some() && state.fault.is_none()
    }

    /// What went wrong with the stream itself, rather than with its receiver.
    pub(super) fn fault(&self) -> Option<StorageError> {
        self.lock().fault.clone()
    }

    /// Bytes that some sending was given.
    pub(super) fn handed(&self) -> u64 {
        self.lock().handed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of the lock panics")
    }
}

impl State {
    /// Sees to it that there is a chunk to hand out, or that the stream has ended as announced.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StorageError>> {
        loop {
            if let Some(fault) = &self.fault {
                return Poll::Ready(Err(fault.clone()));
            }
            // More has to follow, so this one need not be held back.
            let is_amid = self.ahead.is_some() && self.taken < self.expected;
            if self.ended || is_amid {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.content.poll_next_unpin(context)) {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    self.taken += chunk.len() as u64;
                    if self.taken > self.expected {
                        self.fault = Some(self.wrong_length());
                    } else {
                        self.ahead = Some(chunk);
                    }
                }
                Some(Err(error)) => self.fault = Some(error),
                None if self.taken < self.expected => self.fault = Some(self.wrong_length()),
                None => self.ended = true,
            }
        }
    }

    fn hand_out(&mut self) -> Option<Bytes> {
        let chunk = self.ahead.take()?;
        self.handed += chunk.len() as u64;
        match &mut self.kept {
            Some(kept) if self.handed <= KEPT_BYTES_MAX => kept.push(chunk.clone()),
            _ => self.kept = None,
        }
        Some(chunk)
    }

    fn wrong_length(&self) -> StorageError {
        StorageError::WrongLength { path: self.path.clone(), expected: self.expected, found: self.taken }
    }
}

/// One sending of a body.
pub(super) struct Sending {
    feed: Feed,
    turn: u64,
    replayed: usize,
}

impl Stream for Sending {
    type Item = Result<Bytes, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let feed = self.feed.clone();
        let mut state = feed.lock();
        if state.turn != self.turn {
            return Poll::Ready(Some(Err(io::Error::other("another sending has begun"))));
        }
        let again = state.kept.as_ref().and_then(|kept| kept.get(self.replayed)).cloned();
        let chunk = match again {
            Some(chunk) => Some(chunk),
            None => {
                if let Err(error) = ready!(state.fill(context)) {
                    return Poll::Ready(Some(Err(io::Error::other(error))));
                }
                state.hand_out()
            }
        };
        self.replayed += 1;
        Poll::Ready(chunk.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, TryStreamExt, stream};

    use super::*;
    use crate::fault::Fault as _;

    fn feed(expected: u64, chunks: &[usize]) -> Feed {
        let chunks: Vec<_> = chunks.iter().map(|length| Ok(Bytes::from(vec![7; *length]))).collect();
        Feed::new("a", expected, stream::iter(chunks).boxed())
    }

    fn sent(feed: &Feed) -> Option<Result<usize, io::Error>> {
        let sending = feed.begin()?.try_fold(0, |all, chunk| async move { Ok(all + chunk.len()) });
        Some(sending.now_or_never().expect("nothing in it waits"))
    }

    #[test]
    fn what_is_not_too_long_can_be_sent_again() {
        let small = feed(30, &[10, 0, 10, 10]);
        for _ in 0..3 {
            assert_eq!(sent(&small).expect("kept").expect("whole"), 30);
        }
        let large = feed(5 << 20, &[1 << 20; 5]);
        assert_eq!(sent(&large).expect("not begun").expect("whole"), 5 << 20);
        assert!(sent(&large).is_none(), "it was too much to keep");
        assert_eq!(large.handed(), 5 << 20);
    }

    #[test]
    fn the_last_chunk_of_a_stream_of_another_length_is_never_sent() {
        for (announced, chunks) in [(20, &[10, 9][..]), (20, &[10, 10, 1]), (20, &[10, 11]), (0, &[1]), (1, &[])] {
            let feed = feed(announced, chunks);
            let error = sent(&feed).expect("not begun").expect_err("another length");
            assert!(error.to_string().contains("instead of"), "{error}");
            assert!(feed.handed() < announced.max(1), "it is never whole");
            assert_eq!(feed.fault().expect("told").code(), "storage-wrong-length");
        }
    }

    #[test]
    fn an_earlier_sending_takes_nothing_from_a_later_one() {
        let feed = feed(30, &[10, 10, 10]);
        let mut earlier = feed.begin().expect("kept");
        let first = earlier.next().now_or_never().expect("there").expect("not the end");
        assert_eq!(first.expect("good").len(), 10);
        assert_eq!(sent(&feed).expect("kept").expect("whole"), 30);
        assert!(earlier.next().now_or_never().expect("there").expect("not the end").is_err());
    }
}
