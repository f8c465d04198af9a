//! A storage in this process's memory, for tests and simulation.
//!
//! Deterministic: no threads, no runtime, no clock; what happens depends on the calls and the
//! [`Faults`] switched from outside alone. Clones share one store, so its content outlives whoever
//! used it, as a disk does: a dropped `stage` leaves the part it had written. Unlike a file system
//! it has no directories, and does not mind an object whose path goes on below another one's.

mod faults;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};

use crate::model::id::IntentId;
use crate::model::probe::Finding;
use crate::model::replica::Verification;
use crate::storage::backend::{
    Backend, BoxFuture, ByteRange, ByteStream, Check, Evidence, Listed, ObjectInfo, Overwrite, Room, Staged,
    StorageError,
};
use crate::storage::layout::StoragePath;

pub use crate::storage::memory::faults::Faults;
use crate::storage::memory::faults::Spoil;

/// Reads come in chunks of this length, small so that a simulation has places to cut.
const CHUNK_BYTES: usize = 64 << 10;

/// A storage in memory. Clones are the same storage.
#[derive(Clone, Default)]
pub struct Memory {
    store: Arc<Mutex<Store>>,
    faults: Faults,
}

#[derive(Default)]
struct Store {
    objects: BTreeMap<String, Bytes>,
    staged: BTreeMap<String, Vec<u8>>,
    capacity: Option<u64>,
}

impl Memory {
    /// An empty storage without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty storage that holds so many bytes, staged ones included.
    pub fn with_capacity(bytes: u64) -> Self {
        let memory = Self::new();
        memory.set_capacity(Some(bytes));
        memory
    }

    /// Sets or lifts the limit. What is there stays, even if it is more.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// The switches by which it is made to fail.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Puts an object as if somebody had written it behind dapple's back.
    pub fn insert(&self, path: &str, content: impl Into<Bytes>) {
        self.lock().objects.insert(path.to_owned(), content.into());
    }

    /// An object's bytes, whatever faults are switched on.
    pub fn content(&self, path: &str) -> Option<Bytes> {
        self.lock().objects.get(path).cloned()
    }

    /// Loses an object, as a broken disk does; tells whether it was there.
    pub fn lose(&self, path: &str) -> bool {
        self.lock().objects.remove(path).is_some()
    }

    /// Flips a bit of a stored object, as a decaying disk does; tells whether there was one.
    pub fn rot(&self, path: &str) -> bool {
        let mut store = self.lock();
        match store.objects.get_mut(path) {
            Some(content) if !content.is_empty() => {
                *content = faults::flip(content);
                true
            }
            _ => false,
        }
    }

    /// All paths in order, staged ones included.
    pub fn paths(&self) -> Vec<String> {
        self.lock().listed().into_iter().map(|listed| listed.path).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("no holder of the lock panics")
    }

    /// Does one operation at one moment, with the places before and after it at which a simulation
    /// may cut: before it nothing has happened, after it all has, and the caller cannot tell.
    async fn operate<T>(
        &self,
        path: &str,
        act: impl FnOnce(&mut Store) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.faults.pass(path).await?;
        let outcome = act(&mut self.lock());
        self.faults.pause().await;
        outcome
    }

    async fn read_from(
        &self,
        path: &str,
        range: Option<ByteRange>,
        find: impl FnOnce(&Store) -> Option<Bytes>,
    ) -> Result<ByteStream, StorageError> {
        let content = self.operate(path, |store| find(store).ok_or_else(|| not_found(path))).await?;
        let content = match range {
            None => content,
            Some(range) => slice(path, &content, range)?,
        };
        let content = match self.faults.spoil() {
            None => content,
            Some(Spoil::Flip) if content.is_empty() => content,
            Some(Spoil::Flip) => faults::flip(&content),
            Some(Spoil::Shorten) => content.slice(..content.len() / 2),
        };
        Ok(self.stream(path.to_owned(), content))
    }

    fn stream(&self, path: String, content: Bytes) -> ByteStream {
        let faults = self.faults.clone();
        stream::unfold((faults, path, content), |(faults, path, mut content)| async {
            if content.is_empty() {
                return None;
            }
            faults.pause().await;
            if let Err(error) = faults.up(&path) {
                return Some((Err(error), (faults, path, Bytes::new())));
            }
            let chunk = content.split_to(content.len().min(CHUNK_BYTES));
            Some((Ok(chunk), (faults, path, content)))
        })
        .boxed()
    }

    async fn write(&self, temporary: String, bytes: u64, mut content: ByteStream) -> Result<Staged, StorageError> {
        self.operate(&temporary, |store| {
            self.faults.writable(&temporary)?;
            self.faults.roomy(&temporary)?;
            store.staged.insert(temporary.clone(), Vec::new());
            Ok(())
        })
        .await?;
        let outcome = self.append_all(&temporary, bytes, &mut content).await;
        self.faults.pause().await;
        // A storage that is down cannot clean up either.
        if self.faults.up(&temporary).is_ok() && outcome.is_err() {
            self.lock().staged.remove(&temporary);
        }
        outcome
    }

    async fn append_all(&self, temporary: &str, bytes: u64, content: &mut ByteStream) -> Result<Staged, StorageError> {
        let wrong_length = |found| StorageError::WrongLength { path: temporary.to_owned(), expected: bytes, found };
        let mut written = 0;
        while let Some(chunk) = content.next().await {
            let chunk = chunk?;
            written += chunk.len() as u64;
            if written > bytes {
                return Err(wrong_length(written));
            }
            self.faults.pause().await;
            self.faults.up(temporary)?;
            self.faults.roomy(temporary)?;
            self.lock().append(temporary, &chunk)?;
        }
        if written < bytes {
            return Err(wrong_length(written));
        }
        Ok(Staged { bytes, checksums: Vec::new() })
    }
}

impl Store {
    fn used(&self) -> u64 {
        let objects: usize = self.objects.values().map(Bytes::len).sum();
        let staged: usize = self.staged.values().map(Vec::len).sum();
        (objects + staged) as u64
    }

    fn append(&mut self, temporary: &str, chunk: &[u8]) -> Result<(), StorageError> {
        if self.capacity.is_some_and(|most| self.used() + chunk.len() as u64 > most) {
            return Err(StorageError::Full { path: temporary.to_owned() });
        }
        let part = self.staged.get_mut(temporary).ok_or_else(|| not_found(temporary))?;
        part.extend_from_slice(chunk);
        Ok(())
    }

    fn publish(&mut self, path: &str, temporary: &str, overwrite: Overwrite) -> Result<(), StorageError> {
        if !self.staged.contains_key(temporary) {
            return Err(not_found(temporary));
        }
        if overwrite == Overwrite::Refuse && self.objects.contains_key(path) {
            return Err(StorageError::Exists { path: path.to_owned() });
        }
        if let Some(content) = self.staged.remove(temporary) {
            self.objects.insert(path.to_owned(), content.into());
        }
        Ok(())
    }

    fn listed(&self) -> Vec<Listed> {
        let objects = self.objects.iter().map(|(path, content)| (path, content.len()));
        let staged = self.staged.iter().map(|(path, content)| (path, content.len()));
        let mut listed: Vec<_> =
            objects.chain(staged).map(|(path, length)| Listed { path: path.clone(), bytes: length as u64 }).collect();
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        listed
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("paths", &self.paths()).finish()
    }
}

impl Backend for Memory {
    fn stat<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>> {
        self.operate(path.as_str(), |store| match store.objects.get(path.as_str()) {
            Some(content) => Ok(ObjectInfo { bytes: content.len() as u64, checksums: Vec::new() }),
            None => Err(not_found(path.as_str())),
        })
        .boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a StoragePath,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<ByteStream, StorageError>> {
        let path = path.as_str();
        self.read_from(path, range, |store| store.objects.get(path).cloned()).boxed()
    }

    fn stage<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        content: ByteStream,
    ) -> BoxFuture<'a, Result<Staged, StorageError>> {
        self.write(path.temporary(intent), bytes, content).boxed()
    }

    fn stage_copy<'a>(
        &'a self,
        _path: &'a StoragePath,
        _intent: IntentId,
        _bytes: u64,
        _source: &'a dyn Backend,
        _source_path: &'a StoragePath,
    ) -> BoxFuture<'a, Result<Option<Staged>, StorageError>> {
        futures::future::ready(Ok(None)).boxed()
    }

    fn read_staged<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
    ) -> BoxFuture<'a, Result<Evidence, StorageError>> {
        async move {
            let temporary = path.temporary(intent);
            let find = |store: &Store| store.staged.get(&temporary).map(|part| Bytes::copy_from_slice(part));
            let content = self.read_from(&temporary, None, find).await?;
            Ok(Evidence { content, proves: Verification::ReadBack })
        }
        .boxed()
    }

    fn publish<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        overwrite: Overwrite,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        self.operate(path.as_str(), move |store| {
            self.faults.writable(path.as_str())?;
            store.publish(path.as_str(), &path.temporary(intent), overwrite)
        })
        .boxed()
    }

    fn discard<'a>(&'a self, path: &'a StoragePath, intent: IntentId) -> BoxFuture<'a, Result<(), StorageError>> {
        self.operate(path.as_str(), move |store| {
            self.faults.writable(path.as_str())?;
            store.staged.remove(&path.temporary(intent));
            Ok(())
        })
        .boxed()
    }

    fn delete<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<(), StorageError>> {
        self.operate(path.as_str(), |store| {
            self.faults.writable(path.as_str())?;
            match store.objects.remove(path.as_str()) {
                Some(_) => Ok(()),
                None => Err(not_found(path.as_str())),
            }
        })
        .boxed()
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StorageError>> {
        self.operate("", |store| Ok(store.listed()))
            .map(|listed| match listed {
                Ok(items) => stream::iter(items).map(Ok).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .flatten_stream()
            .boxed()
    }

    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, StorageError>> {
        self.operate("", |store| {
            Ok(store
                .capacity
                .map(|total_bytes| Room { total_bytes, free_bytes: total_bytes.saturating_sub(store.used()) }))
        })
        .boxed()
    }

    fn create_root(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.operate("", |_| Ok(())).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Vec<Finding>, StorageError>> {
        self.operate("", |_| self.faults.writable("").map(|()| Vec::new())).boxed()
    }

    fn check(&self, what: Check) -> BoxFuture<'_, Result<(), StorageError>> {
        self.operate("", move |_| match what {
            Check::Reading => Ok(()),
            Check::Writing => self.faults.writable(""),
        })
        .boxed()
    }
}

fn not_found(path: &str) -> StorageError {
    StorageError::NotFound { path: path.to_owned() }
}

fn slice(path: &str, content: &Bytes, range: ByteRange) -> Result<Bytes, StorageError> {
    let found = content.len() as u64;
    let needed = range.end.max(range.start);
    if needed > found {
        return Err(StorageError::WrongLength { path: path.to_owned(), expected: needed, found });
    }
    let at = |place: u64| usize::try_from(place).expect("it lies within the content");
    Ok(content.slice(at(range.start)..at(range.end.max(range.start))))
}

#[cfg(test)]
mod tests;
