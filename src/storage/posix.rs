//! A directory of a mounted file system as a storage.
//!
//! Every name is resolved by the kernel beneath the root, which is opened anew for each operation,
//! so that an unmounted file system is noticed and may come back. Reading follows symbolic links
//! that stay inside; writing and deleting follow none. Only regular files are objects. Bytes are
//! synced before they are published, and names before the operation returns. Never makes a hard
//! link that outlives a call, never writes to a final name.
//!
//! System calls run on the runtime's blocking threads, a whole small file in one go. Dropping a
//! future gives up what waits for a thread, but a call that runs already runs to its end.

mod beneath;
mod errno;
mod hop;
mod list;
mod publish;
mod read;
mod remove;
mod stage;
mod syncs;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::ready;
use futures::stream::BoxStream;

use crate::model::id::IntentId;
use crate::model::probe::Finding;
use crate::model::replica::Verification;
use crate::storage::backend::{
    Backend, BoxFuture, ByteRange, ByteStream, Check, Evidence, Listed, ObjectInfo, Overwrite, Room, Staged,
    StorageError,
};
use crate::storage::layout::StoragePath;
use crate::storage::posix::beneath::{Links, Root};
use crate::storage::posix::hop::Hop;

/// What a segment of a path may have on Linux file systems.
const NAME_BYTES_MAX: usize = 255;

/// A storage below one directory.
pub struct Posix {
    root: Arc<Root>,
}

impl Posix {
    /// A storage below `root`, which need not be there yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root: Arc::new(Root::new(root, false)) }
    }

    /// One that resolves names segment by segment without `openat2`, as [`Posix::new`] does by
    /// itself on kernels before 5.6. It follows no symbolic links at all.
    pub fn without_openat2(root: PathBuf) -> Self {
        Self { root: Arc::new(Root::new(root, true)) }
    }

    fn hop<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> Result<T, StorageError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StorageError>> {
        let root = self.root.clone();
        async move {
            let name = root.name();
            Hop::start(&name, move || work(&root)).await
        }
        .boxed()
    }
}

impl fmt::Debug for Posix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posix").field("root", &self.root.name()).finish()
    }
}

impl Backend for Posix {
    fn stat<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>> {
        let path = path.to_string();
        self.hop(move |root| read::stat(root, &path))
    }

    fn read<'a>(
        &'a self,
        path: &'a StoragePath,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<ByteStream, StorageError>> {
        let path = path.to_string();
        self.hop(move |root| read::open_stream(root, path, range, Links::Inward))
    }

    fn stage<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        content: ByteStream,
    ) -> BoxFuture<'a, Result<Staged, StorageError>> {
        if let Err(error) = publishable(path) {
            return ready(Err(error)).boxed();
        }
        stage::stage(self.root.clone(), path.temporary(intent), bytes, content).boxed()
    }

    fn stage_copy<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        source: &'a dyn Backend,
        source_path: &'a StoragePath,
    ) -> BoxFuture<'a, Result<Option<Staged>, StorageError>> {
        if let Err(error) = publishable(path) {
            return ready(Err(error)).boxed();
        }
        let Some(source) = source.as_posix() else {
            return ready(Ok(None)).boxed();
        };
        let from = (source.root.clone(), source_path.to_string());
        stage::stage_copy(self.root.clone(), path.temporary(intent), bytes, from).boxed()
    }

    fn read_staged<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
    ) -> BoxFuture<'a, Result<Evidence, StorageError>> {
        let temporary = path.temporary(intent);
        self.hop(move |root| {
            let content = read::open_stream(root, temporary, None, Links::Refused)?;
            Ok(Evidence { content, proves: Verification::ReadBack })
        })
    }

    fn publish<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        overwrite: Overwrite,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        let path = path.clone();
        self.hop(move |root| publish::publish(root, &path, intent, overwrite))
    }

    fn discard<'a>(&'a self, path: &'a StoragePath, intent: IntentId) -> BoxFuture<'a, Result<(), StorageError>> {
        let temporary = path.temporary(intent);
        self.hop(move |root| remove::discard(root, &temporary))
    }

    fn delete<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<(), StorageError>> {
        let path = path.to_string();
        self.hop(move |root| remove::delete(root, &path))
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StorageError>> {
        list::list(self.root.clone())
    }

    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, StorageError>> {
        self.hop(|root| root.room().map(Some))
    }

    fn create_root(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.hop(|root| {
            root.create().map_err(|error| StorageError::Unavailable { path: root.name(), what: error.to_string() })
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<Vec<Finding>, StorageError>> {
        self.hop(stage::probe)
    }

    fn check(&self, what: Check) -> BoxFuture<'_, Result<(), StorageError>> {
        self.hop(move |root| match what {
            Check::Reading => list::check(root),
            Check::Writing => stage::probe(root).map(drop),
        })
    }

    fn as_posix(&self) -> Option<&Posix> {
        Some(self)
    }
}

/// The temporary name is short whatever the final one is, so a final one that no directory takes is
/// refused before bytes move, not after.
fn publishable(path: &StoragePath) -> Result<(), StorageError> {
    if path.split().1.len() > NAME_BYTES_MAX {
        return Err(errno::fault(path.as_str(), rustix::io::Errno::NAMETOOLONG));
    }
    Ok(())
}
