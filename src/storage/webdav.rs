//! A collection of a WebDAV server as a storage.
//!
//! Servers differ in almost everything, so what a server can do is probed, and without a probe the
//! least is assumed. Bytes lie under a temporary name beside the final one until a MOVE publishes
//! them; on servers that take an object whole or not at all, and refuse to replace one, small ones
//! wait in memory until a conditional PUT does. No answer is believed: what a request was to bring
//! about is looked at afterwards.
//!
//! Never writes a part under a final name, never removes a collection, which would take along what
//! is in it, and never sends its credentials to another server.

mod address;
mod collections;
mod copy;
mod feed;
mod list;
mod look;
mod multistatus;
mod probe;
mod publish;
mod read;
mod server;
mod sizes;
mod stage;
mod style;
mod waiting;

use std::fmt;

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::OnceCell;

use crate::clock::SystemClock;
use crate::model::checksum::Algorithm;
use crate::model::endpoint::Endpoint;
use crate::model::id::IntentId;
use crate::model::probe::{Feature, Finding, Probe};
use crate::model::replica::Verification;
use crate::storage::backend::{
    Backend, BoxFuture, ByteRange, ByteStream, CHUNK_BYTES_MAX, Check, Evidence, Listed, ObjectInfo, Overwrite, Room,
    Staged, StorageError,
};
use crate::storage::layout::StoragePath;
use crate::storage::secret::Secret;
use crate::storage::turns::Turns;
use crate::storage::webdav::address::{Address, Style};
use crate::storage::webdav::collections::Known;
use crate::storage::webdav::look::Seen;
use crate::storage::webdav::publish::is_collection;
use crate::storage::webdav::server::Server;
use crate::storage::webdav::sizes::Sizes;
use crate::storage::webdav::waiting::Waiting;

/// Ranges in which a large object is read.
const RANGE_BYTES: u64 = 8 << 20;

/// A storage below one collection.
pub struct Webdav {
    server: Server,
    can: Can,
    waiting: Waiting,
    /// What is staged under its temporary name, and what was begun to be.
    sizes: Sizes,
    begun: Sizes,
    known: Known,
    turns: Turns,
    /// How Destination headers and hrefs are written, once it mattered.
    destinations: OnceCell<Style>,
    hrefs: OnceCell<Style>,
}

/// What the server was seen to do.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Can {
    /// A PUT gives an object whole or not at all, and refuses to replace one.
    wait: bool,
    move_refuses: bool,
    copy: bool,
    ranges: bool,
    /// The one digest that is asked for. XRootD gives one an answer, and reads the object anew for
    /// each kind that it has not kept.
    digest: Option<Algorithm>,
}

impl Can {
    fn of(probe: &Probe) -> Self {
        let digests = [
            (Feature::TellsCrc32c, Algorithm::Crc32c),
            (Feature::TellsAdler32, Algorithm::Adler32),
            (Feature::TellsMd5, Algorithm::Md5),
        ];
        Self {
            wait: probe.holds(Feature::WholePut) && probe.holds(Feature::PutRefusesToReplace),
            move_refuses: probe.holds(Feature::MoveRefusesToReplace),
            copy: probe.holds(Feature::ServerCopy),
            ranges: probe.holds(Feature::RangedRead),
            digest: digests.into_iter().find(|(feature, _)| probe.holds(*feature)).map(|(_, algorithm)| algorithm),
        }
    }
}

impl Webdav {
    /// Opens the endpoint's storage, without looking at it.
    pub fn open(endpoint: &Endpoint, secret: Option<Secret>) -> Result<Self, StorageError> {
        let address = Address::parse(&endpoint.location)?;
        Ok(Self {
            server: Server::new(address, endpoint.settings.ca.clone(), secret, SystemClock::shared())?,
            can: endpoint.probe.as_ref().map(Can::of).unwrap_or_default(),
            waiting: Waiting::default(),
            sizes: Sizes::default(),
            begun: Sizes::default(),
            known: Known::default(),
            turns: Turns::default(),
            destinations: OnceCell::new(),
            hrefs: OnceCell::new(),
        })
    }

    async fn evidence(&self, temporary: String) -> Result<Evidence, StorageError> {
        if let Some(held) = self.waiting.get(&temporary) {
            return Ok(Evidence { content: chunked(held.bytes), proves: Verification::Streamed });
        }
        let content = self.open_stream(&temporary, None).await?;
        Ok(Evidence { content, proves: Verification::ReadBack })
    }

    async fn discard_staged(&self, temporary: String) -> Result<(), StorageError> {
        match self.holds_name(&temporary).await {
            // Nothing was ever staged there, and the server would remove something else.
            Err(StorageError::Outside { .. }) => return Ok(()),
            holds => holds?,
        }
        let waited = self.waiting.remove(&temporary);
        let is_stored = self.sizes.remove(&temporary) | self.begun.remove(&temporary);
        if is_stored || !waited {
            self.remove(&temporary).await?;
        }
        Ok(())
    }

    async fn delete_object(&self, path: &str) -> Result<(), StorageError> {
        self.takes_name(path).await?;
        match self.server.look(path).await? {
            Seen::Nothing => Err(self.absent(path).await),
            Seen::Collection => Err(is_collection(path)),
            Seen::Object(_) => {
                if self.remove(path).await? {
                    Ok(())
                } else {
                    Err(self.absent(path).await)
                }
            }
        }
    }

    async fn info(&self, path: &str, digest: Option<Algorithm>) -> Result<ObjectInfo, StorageError> {
        self.reads_name(path).await?;
        match self.server.look(path).await? {
            Seen::Nothing => Err(self.absent(path).await),
            Seen::Collection => Err(is_collection(path)),
            Seen::Object(bytes) => self.server.info(path, bytes, digest).await,
        }
    }
}

/// Bytes in memory as a stream.
fn chunked(bytes: Bytes) -> ByteStream {
    stream::unfold(bytes, |mut rest| async {
        if rest.is_empty() {
            return None;
        }
        let chunk = rest.split_to(rest.len().min(CHUNK_BYTES_MAX));
        Some((Ok(chunk), rest))
    })
    .boxed()
}

impl fmt::Debug for Webdav {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webdav")
            .field("root", &self.server.address.shown())
            .field("can", &self.can)
            .finish_non_exhaustive()
    }
}

impl Backend for Webdav {
    fn stat<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>> {
        self.info(path.as_str(), None).boxed()
    }

    fn stat_with_checksums<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>> {
        self.info(path.as_str(), self.can.digest).boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a StoragePath,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<ByteStream, StorageError>> {
        self.open_stream(path.as_str(), range).boxed()
    }

    fn stage<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        content: ByteStream,
    ) -> BoxFuture<'a, Result<Staged, StorageError>> {
        self.stage_stream(path, intent, bytes, content).boxed()
    }

    fn stage_copy<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        source: &'a dyn Backend,
        source_path: &'a StoragePath,
    ) -> BoxFuture<'a, Result<Option<Staged>, StorageError>> {
        match source.as_webdav() {
            Some(source) => self.stage_within(path, intent, bytes, source, source_path).boxed(),
            None => std::future::ready(Ok(None)).boxed(),
        }
    }

    fn read_staged<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
    ) -> BoxFuture<'a, Result<Evidence, StorageError>> {
        self.evidence(path.temporary(intent)).boxed()
    }

    fn publish<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        overwrite: Overwrite,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        self.publish_staged(path, intent, overwrite).boxed()
    }

    fn discard<'a>(&'a self, path: &'a StoragePath, intent: IntentId) -> BoxFuture<'a, Result<(), StorageError>> {
        self.discard_staged(path.temporary(intent)).boxed()
    }

    fn delete<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<(), StorageError>> {
        self.delete_object(path.as_str()).boxed()
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StorageError>> {
        list::list(self)
    }

    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, StorageError>> {
        self.quota().boxed()
    }

    fn create_root(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.make_root().boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Vec<Finding>, StorageError>> {
        self.try_all().boxed()
    }

    fn check(&self, what: Check) -> BoxFuture<'_, Result<(), StorageError>> {
        self.look_or_write(what).boxed()
    }

    fn range_bytes(&self) -> Option<u64> {
        self.can.ranges.then_some(RANGE_BYTES)
    }

    fn tells(&self) -> Vec<Algorithm> {
        self.can.digest.into_iter().collect()
    }

    fn as_webdav(&self) -> Option<&Webdav> {
        Some(self)
    }
}
