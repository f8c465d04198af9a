//! Storages that outlive every process, watched: whatever is published is compared with what is
//! registered under its name at that moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use dapple::catalog::record::{DidNames, Dids, FileFacts, Paths};
use dapple::catalog::{Catalog, View};
use dapple::model::checksum::{Algorithm, Checksum};
use dapple::model::id::{DidId, EndpointId, IntentId};
use dapple::model::probe::Finding;
use dapple::storage::backend::{
    Backend, BoxFuture, ByteRange, ByteStream, Evidence, Listed, ObjectInfo, Overwrite, Room, Staged, StorageError,
};
use dapple::storage::layout::StoragePath;
use dapple::storage::memory::Memory;
use futures::FutureExt as _;
use futures::stream::BoxStream;

use crate::log::Log;

/// Why bytes at a place need not be those that are registered, or need not be registered at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// The world damaged or lost them, or a registration claimed what was not so.
    Spoiled,
    /// A client put them there itself, registered or not.
    Brought,
}

/// One storage, and what the world did to its objects behind everybody's back.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) endpoint: EndpointId,
    pub(crate) memory: Memory,
    excuses: Arc<Mutex<BTreeMap<String, (Excuse, u64)>>>,
}

impl Disk {
    pub(crate) fn new(endpoint: EndpointId) -> Self {
        let memory = Memory::new();
        memory.faults().set_yielding(true);
        Self { endpoint, memory, excuses: Arc::default() }
    }

    pub(crate) fn excuse(&self, path: &str, excuse: Excuse) {
        let mut excuses = self.lock();
        let number = excuses.values().map(|(_, number)| number + 1).max().unwrap_or(1);
        excuses.insert(path.to_owned(), (excuse, number));
    }

    pub(crate) fn excuse_of(&self, path: &str) -> Option<Excuse> {
        self.lock().get(path).map(|(excuse, _)| *excuse)
    }

    fn mark_of(&self, path: &str) -> Option<u64> {
        self.lock().get(path).map(|(_, number)| *number)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Excuse, u64)>> {
        self.excuses.lock().expect("no holder panics")
    }
}

/// Finds what is registered at a path: the file that states it, or the one it follows from.
pub(crate) fn registered(view: &View, endpoint: EndpointId, path: &str) -> Option<(DidId, FileFacts)> {
    let stated = at_once(view.get::<Paths>(&(endpoint, path.to_owned()))).expect("memory does not fail");
    let file = match stated {
        Some(file) => DidId(file),
        None => {
            let (scope, name) = path.split_once('/')?;
            let key = (scope.to_owned(), name.to_owned());
            at_once(view.get::<DidNames>(&key)).expect("memory does not fail")?.id
        }
    };
    let record = at_once(view.get::<Dids>(&(file,))).expect("memory does not fail")?;
    Some((file, record.file()?.clone()))
}

/// Reads of the memory engine wait for nothing.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing in it waits")
}

pub(crate) fn fits(facts: &FileFacts, content: &Bytes) -> bool {
    let found = blake3_of(content);
    facts.bytes == content.len() as u64 && facts.checksums.contains(&found)
}

pub(crate) fn blake3_of(content: &[u8]) -> Checksum {
    Checksum::new(Algorithm::Blake3, *blake3::hash(content).as_bytes()).expect("a BLAKE3 has 32 bytes")
}

/// A disk as one process sees it.
pub(crate) struct Watched {
    pub(crate) disk: Disk,
    pub(crate) observer: Catalog,
    pub(crate) log: Log,
}

impl Watched {
    fn judge(&self, path: &str, mark: Option<u64>, overwrite: Overwrite) {
        let at = self.disk.endpoint;
        if self.disk.mark_of(path) != mark {
            return; // Damaged since: nothing is known of what was published.
        }
        self.disk.lock().remove(path);
        let view = at_once(self.observer.view()).expect("memory does not fail");
        let Some(content) = self.disk.memory.content(path) else {
            return self.log.wrong(format!("{path} vanished from endpoint {at} as it was published"));
        };
        self.log.note(format!("published {path} at {at}, {} bytes, {overwrite:?}", content.len()));
        let Some((file, facts)) = registered(&view, at, path) else {
            return self.log.wrong(format!("{path} was published at {at} and belongs to nobody"));
        };
        if !fits(&facts, &content) && facts.announced {
            // A known gap: a file that has never been anywhere may become another while bytes of
            // what it was are on their way. They are published, but never taken for the new ones.
            self.log.note(format!("{path} was announced anew while it was sent"));
            self.disk.excuse(path, Excuse::Spoiled);
        } else if !fits(&facts, &content) {
            self.log.wrong(format!("{path} was published at {at} with bytes that are not did {file}'s"));
        }
    }
}

impl Backend for Watched {
    fn stat<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>> {
        self.disk.memory.stat(path)
    }

    fn read<'a>(
        &'a self,
        path: &'a StoragePath,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<ByteStream, StorageError>> {
        self.disk.memory.read(path, range)
    }

    fn stage<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        content: ByteStream,
    ) -> BoxFuture<'a, Result<Staged, StorageError>> {
        self.disk.memory.stage(path, intent, bytes, content)
    }

    fn stage_copy<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        source: &'a dyn Backend,
        source_path: &'a StoragePath,
    ) -> BoxFuture<'a, Result<Option<Staged>, StorageError>> {
        self.disk.memory.stage_copy(path, intent, bytes, source, source_path)
    }

    fn read_staged<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
    ) -> BoxFuture<'a, Result<Evidence, StorageError>> {
        self.disk.memory.read_staged(path, intent)
    }

    fn publish<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        overwrite: Overwrite,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        async move {
            let mark = self.disk.mark_of(path.as_str());
            let outcome = self.disk.memory.publish(path, intent, overwrite).await;
            if outcome.is_ok() {
                self.judge(path.as_str(), mark, overwrite);
            }
            outcome
        }
        .boxed()
    }

    fn discard<'a>(&'a self, path: &'a StoragePath, intent: IntentId) -> BoxFuture<'a, Result<(), StorageError>> {
        self.disk.memory.discard(path, intent)
    }

    fn delete<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<(), StorageError>> {
        self.disk.memory.delete(path)
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StorageError>> {
        self.disk.memory.list()
    }

    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, StorageError>> {
        self.disk.memory.room()
    }

    fn create_root(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.disk.memory.create_root()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Vec<Finding>, StorageError>> {
        self.disk.memory.probe()
    }
}
