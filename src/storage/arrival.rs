//! Never takes a store's word for it: compares what it shows with what was sent, before and after
//! publishing.

use crate::model::checksum::{Checksum, contradiction};
use crate::model::id::IntentId;
use crate::storage::backend::{Backend, Overwrite, StorageError};
use crate::storage::layout::StoragePath;

/// What was sent to a store.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// How many bytes.
    pub bytes: u64,
    /// Checksums that were computed over them on the way.
    pub checksums: &'a [Checksum],
}

impl Sent<'_> {
    /// Compares with what a store says it has under `path`.
    pub fn compare(&self, path: &str, bytes: u64, checksums: &[Checksum]) -> Result<(), StorageError> {
        let what = match contradiction(self.checksums, checksums) {
            None if bytes == self.bytes => return Ok(()),
            None => format!("{} bytes were sent, {bytes} are there", self.bytes),
            Some((sent, there)) => format!("{sent} was sent, {there} is there"),
        };
        Err(StorageError::Faulty { path: path.to_owned(), what })
    }
}

/// Publishes what was staged, and looks whether it is there. If it is something else, it is removed
/// again: the one use of a final name that is not left to the remover, as this act alone made it.
pub async fn publish(
    backend: &dyn Backend,
    path: &StoragePath,
    intent: IntentId,
    sent: Sent<'_>,
    overwrite: Overwrite,
) -> Result<(), StorageError> {
    backend.publish(path, intent, overwrite).await?;
    let info = match backend.stat_with_checksums(path).await {
        Err(StorageError::NotFound { path }) => {
            let what = "it said that the object was published, but nothing is there".to_owned();
            return Err(StorageError::Faulty { path, what });
        }
        info => info?,
    };
    let compared = sent.compare(path.as_str(), info.bytes, &info.checksums);
    if compared.is_err() {
        // If that fails as well, the error of the comparison says more.
        let _ = backend.delete(path).await;
    }
    compared
}
