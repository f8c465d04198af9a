//! The backend trait: what a storage must do for dapple, and the errors it must tell apart.
//!
//! Bytes are staged for an intent and appear under their final name only by [`Backend::publish`],
//! complete and durable. Where a store has names that can be moved, staged bytes lie under a
//! temporary name beside the final one; where it has not, as S3, they are parts of an unfinished
//! upload. A small object may wait in memory: what is staged need not survive this process.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::fault::{Fault, Kind};
use crate::model::checksum::{Algorithm, Checksum};
use crate::model::id::IntentId;
use crate::model::probe::Finding;
use crate::model::replica::Verification;
use crate::storage::layout::StoragePath;
use crate::storage::posix::Posix;
use crate::storage::s3::S3;
use crate::storage::webdav::Webdav;

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
    /// Checksums of its whole content that the store computed itself and gives without reading it
    /// anew; empty where it has none.
    pub checksums: Vec<Checksum>,
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
    #[error("{} is not there", named(path))]
    NotFound {
        /// The name.
        path: String,
    },
    /// Something lies under the name already.
    #[error("{} exists already", named(path))]
    Exists {
        /// The name.
        path: String,
    },
    /// The store does not let us.
    #[error("access to {} was denied", named(path))]
    Denied {
        /// The name.
        path: String,
    },
    /// No room is left, or a quota is reached.
    #[error("there is no room for {}", named(path))]
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
    #[error("{} has {found} bytes instead of {expected}", named(path))]
    WrongLength {
        /// The name.
        path: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes seen.
        found: u64,
    },
    /// The store is down, slow or broken.
    #[error("storage failed at {}: {what}", named(path))]
    Unavailable {
        /// The name.
        path: String,
        /// What it said.
        what: String,
    },
    /// The store answered, but not by what it was asked for: an effect is missing, bytes are wrong,
    /// or the answer makes no sense.
    #[error("the store did not do as it was asked with {}: {what}", named(path))]
    Faulty {
        /// The name.
        path: String,
        /// What it did.
        what: String,
    },
    /// The endpoint's secret cannot be used.
    #[error("the endpoint's secret cannot be used: {why}")]
    Locked {
        /// Why not.
        why: String,
    },
    /// The endpoint's location or settings, or this machine's clock, are not what the store wants.
    #[error("the endpoint is not set up right: {why}")]
    Misconfigured {
        /// What is wrong, and what to do.
        why: String,
    },
    /// The store does not take or give this one object, and says nothing of others.
    #[error("the store refuses {}: {why}", named(path))]
    Refused {
        /// The name.
        path: String,
        /// Why.
        why: String,
    },
}

/// A path as errors tell it; the empty one is the root itself.
fn named(path: &str) -> String {
    if path.is_empty() { "the endpoint's root".to_owned() } else { format!("`{path}`") }
}

impl Fault for StorageError {
    fn kind(&self) -> Kind {
        match self {
            StorageError::NotFound { .. } => Kind::NotFound,
            StorageError::Exists { .. } => Kind::Conflict,
            StorageError::Denied { .. } | StorageError::Locked { .. } => Kind::Denied,
            StorageError::Full { .. } => Kind::Exhausted,
            StorageError::Outside { .. } | StorageError::Refused { .. } => Kind::Invalid,
            StorageError::Misconfigured { .. }
            | StorageError::NoRoot { .. }
            | StorageError::WrongLength { .. }
            | StorageError::Unavailable { .. }
            | StorageError::Faulty { .. } => Kind::Unavailable,
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
            StorageError::Faulty { .. } => "storage-faulty",
            StorageError::Locked { .. } => "storage-locked",
            StorageError::Misconfigured { .. } => "storage-misconfigured",
            StorageError::Refused { .. } => "storage-refused",
        }
    }
}

/// Bytes that have been staged and not yet published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// How many.
    pub bytes: u64,
    /// Checksums of them that the store computed itself, where it shows them before publishing.
    pub checksums: Vec<Checksum>,
}

/// Staged bytes to be hashed, and what their being right would prove.
pub struct Evidence {
    /// The staged bytes themselves; where the store shows nothing before publishing, those of the
    /// very version of the source that it copied.
    pub content: ByteStream,
    /// How far a replica is to be relied on once they are found to be right.
    pub proves: Verification,
}

/// How long a probe may try things; what it made is removed after that all the same.
pub const PROBE_SPAN_MAX: Duration = Duration::from_secs(35);
/// How long a probe may take to remove what it made.
pub const PROBE_CLEAN_SPAN_MAX: Duration = Duration::from_secs(8);

/// What an endpoint has to do to be found well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Show its root.
    Reading,
    /// Take a few bytes, besides.
    Writing,
}

/// What a signed URL of a store's own is to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// GET, of the whole or of ranges.
    Get,
    /// HEAD.
    Head,
}

/// A storage that holds replicas below one root. Methods return when their effect is durable.
pub trait Backend: Send + Sync {
    /// Looks at an object. Checksums come with it only where they cost nothing.
    fn stat<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>>;

    /// Looks at an object, and has the store tell those checksums, too, that it would have to read the
    /// object for: for what has just arrived, never on the way to somewhere else.
    fn stat_with_checksums<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>> {
        self.stat(path)
    }

    /// Reads an object, or a range of it. Refuses a range beyond the end with `WrongLength`.
    fn read<'a>(
        &'a self,
        path: &'a StoragePath,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<ByteStream, StorageError>>;

    /// Writes a stream of exactly `bytes` bytes for the intent, in constant memory. What an attempt
    /// before this one left of the same intent is replaced, or gone on with where the store proves
    /// that it is the same. On an error nothing of it is left that the intent could not go on with,
    /// if the store still answers. A dropped future may leave a part; [`Backend::discard`] removes it.
    fn stage<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        content: ByteStream,
    ) -> BoxFuture<'a, Result<Staged, StorageError>>;

    /// Stages a copy of an object of another backend without its bytes passing through this process,
    /// where the two stores can do that between them; `None` where they cannot, and the caller
    /// relays. Never a hard link: one inode is not two copies.
    fn stage_copy<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        source: &'a dyn Backend,
        source_path: &'a StoragePath,
    ) -> BoxFuture<'a, Result<Option<Staged>, StorageError>>;

    /// Reads back what is staged, for verification. A store that shows nothing before publishing
    /// can do so for copies and for objects that wait in memory.
    fn read_staged<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
    ) -> BoxFuture<'a, Result<Evidence, StorageError>>;

    /// Gives what is staged its final name, atomically.
    fn publish<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        overwrite: Overwrite,
    ) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Removes what is staged, and directories that are empty for it where the store can do so
    /// safely. Nothing there is no error.
    fn discard<'a>(&'a self, path: &'a StoragePath, intent: IntentId) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Removes an object, and directories that are empty for it where the store can do so safely.
    fn delete<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Lists all objects below the root, those under temporary names included, in no particular
    /// order.
    fn list(&self) -> BoxStream<'_, Result<Listed, StorageError>>;

    /// How much room there is, where the store can say.
    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, StorageError>>;

    /// Makes the root if it is missing: a directory, a bucket, a collection.
    fn create_root(&self) -> BoxFuture<'_, Result<(), StorageError>>;

    /// Checks that the root is there and may be read and written, and tries what the store can do,
    /// leaving nothing behind. What it finds is kept with the endpoint and given to the backend
    /// when it is opened the next time.
    fn probe(&self) -> BoxFuture<'_, Result<Vec<Finding>, StorageError>>;

    /// Looks in a few requests whether the endpoint is well. Whoever only reads from it may have no
    /// right to write, so that is tried only where it is asked for.
    fn check(&self, _what: Check) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async { self.probe().await.map(drop) })
    }

    /// Makes a URL by which anybody can do one thing to an object without dapple for so long;
    /// `None` where the store has no such URLs.
    fn sign<'a>(
        &'a self,
        _path: &'a StoragePath,
        _what: Signed,
        _span: Duration,
    ) -> BoxFuture<'a, Result<Option<String>, StorageError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// The length of ranges in which a large object is best read, several at once; `None` where
    /// one stream is as fast.
    fn range_bytes(&self) -> Option<u64> {
        None
    }

    /// How many bytes of an object so long [`Backend::stage`] takes at once, to ask for more only when
    /// the store has those.
    fn stage_bytes(&self, _bytes: u64) -> u64 {
        CHUNK_BYTES_MAX as u64
    }

    /// How many bytes of an object so long wait in this process's memory while it is staged, of room that
    /// all objects share.
    fn waiting_bytes(&self, _bytes: u64) -> u64 {
        0
    }

    /// Checksums that the store computes itself and that [`Backend::stat_with_checksums`] or
    /// [`Backend::stage`] give: worth computing on the way, to compare.
    fn tells(&self) -> Vec<Algorithm> {
        Vec::new()
    }

    /// The POSIX root behind this backend, for copies within one file system.
    fn as_posix(&self) -> Option<&Posix> {
        None
    }

    /// The S3 bucket behind this backend, for copies within one store.
    fn as_s3(&self) -> Option<&S3> {
        None
    }

    /// The WebDAV collection behind this backend, for copies within one server.
    fn as_webdav(&self) -> Option<&Webdav> {
        None
    }
}
