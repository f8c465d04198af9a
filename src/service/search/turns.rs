//! Searches take turns: few run at once, whoever comes later waits in line. Nobody needs a key to
//! search, and what computes for them must leave room for the rest.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::service::Lake;

/// How many searches run at once.
const AT_ONCE: usize = 8;

/// Whose turn it is.
#[derive(Debug)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Runs something when its turn comes. It keeps the turn until it is through, even if nobody waits for
/// its answer any more.
pub(super) async fn in_turn<T: Send + 'static>(lake: &Lake, work: impl FnOnce() -> T + Send + 'static) -> T {
    let turn = Arc::clone(&lake.searches.0).acquire_owned().await.expect("turns are never closed");
    let work = move || {
        let answer = work();
        drop(turn);
        answer
    };
    lake.catalog.clock().compute(work).await
}
