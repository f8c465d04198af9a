//! One hop to a blocking thread and back.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

use crate::storage::backend::StorageError;

/// Work on a blocking thread. Dropped before a thread took it, it never runs; that way nothing of a
/// cancelled operation begins after its successor.
pub(super) struct Hop<T> {
    path: String,
    task: JoinHandle<Result<T, StorageError>>,
}

impl<T: Send + 'static> Hop<T> {
    /// Starts it; `path` is named if the runtime ends first.
    pub(super) fn start(path: &str, work: impl FnOnce() -> Result<T, StorageError> + Send + 'static) -> Self {
        Self { path: path.to_owned(), task: tokio::task::spawn_blocking(work) }
    }
}

impl<T> Future for Hop<T> {
    type Output = Result<T, StorageError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.task).poll(context)) {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(StorageError::Unavailable {
                path: self.path.clone(),
                what: "this process is shutting down".to_owned(),
            }),
        })
    }
}

impl<T> Drop for Hop<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
