//! An S3 object store: a bucket, or a prefix in one.
//!
//! S3 has no names that can be moved, so nothing is staged under a temporary one. An object that
//! fits one part waits in memory and is published by one PUT; a larger one is an upload on the final
//! key, and completing it publishes it. What stores differ in is taken from the endpoint's probe;
//! without one, the least is assumed. Never trusts a success that can be checked, never keeps part
//! ids: they are in the store, and proven by content. See `docs/decisions/0005-storage-clients.md`.

mod bucket;
mod clients;
mod copy;
mod desk;
mod fault;
mod leftover;
mod list;
mod object;
mod part;
mod probe;
mod publish;
mod read;
mod root;
mod sender;
mod site;
mod stage;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::ready;
use futures::stream::{self, BoxStream, StreamExt};

use crate::clock::SystemClock;
use crate::model::checksum::Algorithm;
use crate::model::endpoint::Endpoint;
use crate::model::id::IntentId;
use crate::model::probe::{Feature, Finding};
use crate::model::replica::Verification;
use crate::net::Trust;
use crate::storage::backend::{
    Backend, BoxFuture, ByteRange, ByteStream, Check, Evidence, Listed, ObjectInfo, Overwrite, Room, Signed, Staged,
    StorageError,
};
use crate::storage::layout::StoragePath;
use crate::storage::s3::bucket::Bucket;
use crate::storage::s3::desk::Waiting;
use crate::storage::s3::site::Site;
use crate::storage::secret::Secret;

/// An S3 object store.
pub struct S3 {
    bucket: Arc<Bucket>,
}

impl S3 {
    /// Opens the endpoint's storage, without looking at it. A store elsewhere lives in the time of
    /// the world, and signatures have to; so this takes the machine's.
    pub fn open(endpoint: &Endpoint, secret: Option<Secret>) -> Result<Self, StorageError> {
        let site = Site::of(endpoint, secret)?;
        let trust = Trust { ca: endpoint.settings.ca.clone(), identity: None };
        let bucket = Bucket::open(site, &trust, endpoint.probe.clone(), SystemClock::shared())?;
        Ok(Self { bucket: Arc::new(bucket) })
    }

    async fn evidence(&self, path: &StoragePath, intent: IntentId) -> Result<Evidence, StorageError> {
        let key = self.bucket.site.key(path)?;
        let waiting = self.bucket.desk.waiting(&key, intent);
        let content = match waiting.ok_or_else(|| StorageError::NotFound { path: path.to_string() })? {
            Waiting::Held(held) => stream::iter(read::pieces(held.content)).map(Ok).boxed(),
            Waiting::Upload(upload) => match &upload.source {
                Some(source) => read::read_source(source).await?,
                None => {
                    let what = "S3 does not show parts of an upload before they are published".to_owned();
                    return Err(StorageError::Unavailable { path: path.to_string(), what });
                }
            },
        };
        // The store itself has shown nothing of them yet.
        Ok(Evidence { content, proves: Verification::Streamed })
    }

    async fn abandon(&self, path: &StoragePath, intent: IntentId) -> Result<(), StorageError> {
        let key = self.bucket.site.key(path)?;
        let _turn = self.bucket.turns.take(&key).await;
        let own = self.bucket.desk.clear(&key, intent);
        leftover::sweep(&self.bucket, &key, intent, own).await
    }

    async fn signed(&self, path: &StoragePath, what: Signed, span: Duration) -> Result<Option<String>, StorageError> {
        let key = self.bucket.site.key(path)?;
        if !self.bucket.does(Feature::SignedUrl) {
            return Ok(None);
        }
        read::sign(&self.bucket, path.as_str(), &key, what, span).await
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("site", &self.bucket.site).finish()
    }
}

impl Backend for S3 {
    fn stat<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>> {
        object::stat(&self.bucket, path).boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a StoragePath,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<ByteStream, StorageError>> {
        read::read(&self.bucket, path, range).boxed()
    }

    fn stage<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        content: ByteStream,
    ) -> BoxFuture<'a, Result<Staged, StorageError>> {
        stage::stage(&self.bucket, path, intent, bytes, content).boxed()
    }

    fn stage_copy<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        source: &'a dyn Backend,
        source_path: &'a StoragePath,
    ) -> BoxFuture<'a, Result<Option<Staged>, StorageError>> {
        match source.as_s3() {
            Some(source) => copy::stage(&self.bucket, path, intent, bytes, &source.bucket, source_path).boxed(),
            None => ready(Ok(None)).boxed(),
        }
    }

    fn read_staged<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
    ) -> BoxFuture<'a, Result<Evidence, StorageError>> {
        self.evidence(path, intent).boxed()
    }

    fn publish<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        overwrite: Overwrite,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        publish::publish(&self.bucket, path, intent, overwrite).boxed()
    }

    fn discard<'a>(&'a self, path: &'a StoragePath, intent: IntentId) -> BoxFuture<'a, Result<(), StorageError>> {
        self.abandon(path, intent).boxed()
    }

    fn delete<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<(), StorageError>> {
        object::delete(&self.bucket, path).boxed()
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StorageError>> {
        list::list(&self.bucket)
    }

    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, StorageError>> {
        ready(Ok(None)).boxed()
    }

    fn create_root(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        root::create(&self.bucket).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Vec<Finding>, StorageError>> {
        probe::probe(&self.bucket).boxed()
    }

    fn check(&self, what: Check) -> BoxFuture<'_, Result<(), StorageError>> {
        probe::check(&self.bucket, what).boxed()
    }

    fn sign<'a>(
        &'a self,
        path: &'a StoragePath,
        what: Signed,
        span: Duration,
    ) -> BoxFuture<'a, Result<Option<String>, StorageError>> {
        self.signed(path, what, span).boxed()
    }

    fn range_bytes(&self) -> Option<u64> {
        Some(part::PART_BYTES)
    }

    fn stage_bytes(&self, bytes: u64) -> u64 {
        part::part_bytes(bytes)
    }

    fn waiting_bytes(&self, bytes: u64) -> u64 {
        stage::waiting_bytes(bytes)
    }

    fn tells(&self) -> Vec<Algorithm> {
        if self.bucket.does(Feature::TellsCrc32c) { vec![Algorithm::Crc32c] } else { Vec::new() }
    }

    fn as_s3(&self) -> Option<&S3> {
        Some(self)
    }
}
