//! What the probes of stores have in common: each thing is tried for so long, and what may have come of
//! it is removed.

use crate::clock::{Clock, within};
use crate::storage::backend::{PROBE_CLEAN_SPAN_MAX, PROBE_SPAN_MAX, StorageError};

/// Tries something for so long, and removes what may have come of it whatever the outcome.
pub(super) async fn tried_and_removed<T>(
    clock: &dyn Clock,
    trying: impl Future<Output = Result<T, StorageError>>,
    removing: impl Future<Output = Result<(), StorageError>>,
) -> Result<T, StorageError> {
    let late = |what: String| StorageError::Unavailable { path: String::new(), what };
    let seconds = PROBE_SPAN_MAX.as_secs();
    let tried = within(clock, PROBE_SPAN_MAX, trying).await;
    let removed = within(clock, PROBE_CLEAN_SPAN_MAX, removing).await;
    let tried = tried.unwrap_or_else(|| Err(late(format!("it was not tried within {seconds} seconds"))))?;
    removed.unwrap_or_else(|| Err(late("what was tried could not be removed in time".to_owned())))?;
    Ok(tried)
}
