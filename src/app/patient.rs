//! A connection that is given up when its other end reads nothing for too long, and whose bytes are
//! counted. Who sends nothing is dealt with where it is known what is waited for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::SharedClock;
use crate::telemetry::meters::{Meters, Way};

/// A connection with patience.
pub(super) struct Patient<S> {
    stream: S,
    clock: SharedClock,
    span: Duration,
    meters: Arc<Meters>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Patient<S> {
    /// A connection whose other end may stand still for so long while it has something to read.
    pub(super) fn new(stream: S, clock: SharedClock, span: Duration, meters: Arc<Meters>) -> Self {
        Self { stream, clock, span, meters, waiting: None }
    }

    /// Passes on what a write came to; one that waits for too long ends the connection.
    fn judge(&mut self, task: &mut Context<'_>, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(done) = done {
            self.waiting = None;
            if let Ok(bytes) = &done {
                self.meters.moved(Way::Out, *bytes as u64);
            }
            return Poll::Ready(done);
        }
        let waiting = self.waiting.get_or_insert_with(|| self.clock.sleep(self.span));
        ready!(waiting.as_mut().poll(task));
        let words = format!("the client read nothing for {} seconds", self.span.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, words)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(task, into))?;
        self.meters.moved(Way::In, (into.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(task, bytes);
        self.judge(task, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(task, bytes);
        self.judge(task, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
