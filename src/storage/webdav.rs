//! A WebDAV server.

use futures::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};

use crate::model::endpoint::Endpoint;
use crate::model::id::IntentId;
use crate::model::probe::Finding;
use crate::storage::backend::{
    Backend, BoxFuture, ByteRange, ByteStream, Evidence, Listed, ObjectInfo, Overwrite, Room, Staged, StorageError,
};
use crate::storage::layout::StoragePath;
use crate::storage::secret::Secret;

/// A storage of this kind.
#[derive(Debug)]
pub struct Webdav {}

impl Webdav {
    /// Opens the endpoint's storage, without looking at it.
    pub fn open(_endpoint: &Endpoint, _secret: Option<Secret>) -> Result<Self, StorageError> {
        Err(absent())
    }
}

fn absent() -> StorageError {
    StorageError::Unavailable { path: String::new(), what: "not there yet".to_owned() }
}

fn no<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, StorageError>> {
    std::future::ready(Err(absent())).boxed()
}

impl Backend for Webdav {
    fn stat<'a>(&'a self, _: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>> {
        no()
    }

    fn read<'a>(&'a self, _: &'a StoragePath, _: Option<ByteRange>) -> BoxFuture<'a, Result<ByteStream, StorageError>> {
        no()
    }

    fn stage<'a>(
        &'a self,
        _: &'a StoragePath,
        _: IntentId,
        _: u64,
        _: ByteStream,
    ) -> BoxFuture<'a, Result<Staged, StorageError>> {
        no()
    }

    fn stage_copy<'a>(
        &'a self,
        _: &'a StoragePath,
        _: IntentId,
        _: u64,
        _: &'a dyn Backend,
        _: &'a StoragePath,
    ) -> BoxFuture<'a, Result<Option<Staged>, StorageError>> {
        no()
    }

    fn read_staged<'a>(&'a self, _: &'a StoragePath, _: IntentId) -> BoxFuture<'a, Result<Evidence, StorageError>> {
        no()
    }

    fn publish<'a>(&'a self, _: &'a StoragePath, _: IntentId, _: Overwrite) -> BoxFuture<'a, Result<(), StorageError>> {
        no()
    }

    fn discard<'a>(&'a self, _: &'a StoragePath, _: IntentId) -> BoxFuture<'a, Result<(), StorageError>> {
        no()
    }

    fn delete<'a>(&'a self, _: &'a StoragePath) -> BoxFuture<'a, Result<(), StorageError>> {
        no()
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StorageError>> {
        stream::iter([Err(absent())]).boxed()
    }

    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, StorageError>> {
        no()
    }

    fn create_root(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        no()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Vec<Finding>, StorageError>> {
        no()
    }
}
