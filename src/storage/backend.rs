//! The backend trait: what a storage must do for dapple, and the errors it must tell apart.
//!
//! Bytes are written under a temporary name that belongs to an intent and appear under their final
//! name only by [`Backend::publish`], complete and synced. A temporary name lies beside the final
//! one, so that publishing never crosses a file system.

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::fault::{Fault, Kind};
use crate::model::id::IntentId;
use crate::storage::layout::StoragePath;

/// A future that can move between threads.
pub type BoxFuture<'a, T> = futures::future::BoxFuture<'a, T>;

/// Bytes on their way, in chunks of at most [`CHUNK_BYTES_MAX`].
pub type ByteStream = BoxStream<'static, Result<Bytes, StorageError>>;

/// The largest chunk a backend may hand out or has to take; it bounds memory per stream.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Which bytes of an object: `start` included, `end` not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The first byte behind.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes.
    pub fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// What a store knows of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its length.
    pub bytes: u64,
}

/// An object found by listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the root, as stored.
    pub path: String,
    /// Its length.
    pub bytes: u64,
}

/// How much room an endpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes the device holds in all.
    pub total_bytes: u64,
    /// Bytes that may still be written.
    pub free_bytes: u64,
}

/// Whether publishing may replace what lies under the final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Fail with [`StorageError::Exists`].
    Refuse,
    /// Replace it.
    Replace,
}

/// Why a storage could not do what was asked. Each kind leads to its own act, so backends must
/// tell them apart.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// Nothing lies under the name.
    #[error("`{path}` is not there")]
    NotFound {
        /// The name.
        path: String,
    },
    /// Something lies under the name already.
    #[error("`{path}` exists already")]
    Exists {
        /// The name.
        path: String,
    },
    /// The store does not let us.
    #[error("access to `{path}` was denied")]
    Denied {
        /// The name.
        path: String,
    },
    /// No room is left, or a quota is reached.
    #[error("there is no room for `{path}`")]
    Full {
        /// The name.
        path: String,
    },
    /// The name leads out of the endpoint's root, or through something that is not a directory.
    #[error("`{path}` does not lie beneath the endpoint's root: {why}")]
    Outside {
        /// The name.
        path: String,
        /// What was found on the way.
        why: String,
    },
    /// The root itself is missing: not mounted, or never made.
    #[error("the endpoint's root {root} is not there")]
    NoRoot {
        /// The root.
        root: String,
    },
    /// Fewer or more bytes came than were announced.
    #[error("`{path}` has {found} bytes instead of {expected}")]
    WrongLength {
        /// The name.
        path: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes seen.
        found: u64,
    },
    /// The store is down, slow or broken.
    #[error("storage failed at `{path}`: {what}")]
    Unavailable {
        /// The name.
        path: String,
        /// What it said.
        what: String,
    },
}

impl Fault for StorageError {
    fn kind(&self) -> Kind {
        match self {
            StorageError::NotFound { .. } => Kind::NotFound,
            StorageError::Exists { .. } => Kind::Conflict,
            StorageError::Denied { .. } => Kind::Denied,
            StorageError::Full { .. } => Kind::Exhausted,
            StorageError::Outside { .. } => Kind::Invalid,
            StorageError::NoRoot { .. } | StorageError::WrongLength { .. } | StorageError::Unavailable { .. } => {
                Kind::Unavailable
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            StorageError::NotFound { .. } => "storage-not-found",
            StorageError::Exists { .. } => "storage-exists",
            StorageError::Denied { .. } => "storage-denied",
            StorageError::Full { .. } => "storage-full",
            StorageError::Outside { .. } => "storage-outside-root",
            StorageError::NoRoot { .. } => "storage-no-root",
            StorageError::WrongLength { .. } => "storage-wrong-length",
            StorageError::Unavailable { .. } => "storage-unavailable",
        }
    }
}

/// Bytes that have been written under a temporary name and synced, not yet published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// How many.
    pub bytes: u64,
}

/// A storage that holds replicas below one root. Methods return when their effect is durable.
pub trait Backend: Send + Sync {
    /// Looks at an object.
    fn stat<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>>;

    /// Reads an object, or a range of it. Refuses a range beyond the end with `WrongLength`.
    fn read<'a>(
        &'a self,
        path: &'a StoragePath,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<ByteStream, StorageError>>;

    /// Writes a stream of exactly `bytes` bytes under the intent's temporary name beside `path`,
    /// beginning afresh if something lies there, in constant memory. On an error nothing of it is
    /// left, if the store still answers. A dropped future may leave a part; [`Backend::discard`]
    /// removes it.
    fn stage<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        content: ByteStream,
    ) -> BoxFuture<'a, Result<Staged, StorageError>>;

    /// Copies an object of another backend under the intent's temporary name without its bytes
    /// passing through this process, where the two stores can do that between them; `None` where
    /// they cannot, and the caller relays. Never a hard link: one inode is not two copies.
    fn stage_copy<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        source: &'a dyn Backend,
        source_path: &'a StoragePath,
    ) -> BoxFuture<'a, Result<Option<Staged>, StorageError>>;

    /// Reads back what is staged, for verification.
    fn read_staged<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
    ) -> BoxFuture<'a, Result<ByteStream, StorageError>>;

    /// Gives what is staged its final name, atomically.
    fn publish<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        overwrite: Overwrite,
    ) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Removes what is staged, and directories that are empty for it. Nothing there is no error.
    fn discard<'a>(&'a self, path: &'a StoragePath, intent: IntentId) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Removes an object, and directories that are empty for it.
    fn delete<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Lists all objects below the root, staged ones included, in no particular order.
    fn list(&self) -> BoxStream<'_, Result<Listed, StorageError>>;

    /// How much room there is, where the store can say.
    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, StorageError>>;

    /// Checks that the root is there and may be written, leaving nothing behind.
    fn probe(&self) -> BoxFuture<'_, Result<(), StorageError>>;

    /// The POSIX root behind this backend, for copies within one file system.
    fn as_posix(&self) -> Option<&crate::storage::posix::Posix> {
        None
    }
}
