//! A fresh storage and short ways to use it.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dapple::clock::SystemClock;
use dapple::fault::Fault as _;
use dapple::model::endpoint::{Endpoint, EndpointKind, EndpointName, Settings};
use dapple::model::id::{EndpointId, IntentId};
use dapple::model::probe::{Finding, Probe};
use dapple::model::time::Timestamp;
use dapple::storage::backend::{Backend, ByteStream, Overwrite, StorageError};
use dapple::storage::layout::StoragePath;
use dapple::storage::memory::Memory;
use dapple::storage::posix::Posix;
use dapple::storage::webdav::Webdav;
use futures::{FutureExt as _, StreamExt, TryStreamExt, stream};
use tempfile::TempDir;

use super::s3::bucket::Bucket;
use crate::peers::apache::apache;
use crate::peers::dav::Dav;
use crate::peers::nginx::nginx;
use crate::peers::s3s::{self, S3s};
use crate::peers::xrootd::Xrootd;

/// A storage that nobody else uses.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Backend>,
    scratch: Option<TempDir>,
    /// Names that the store cannot hold.
    pub(crate) cannot_hold: fn(&str) -> bool,
    /// The longest name that the store can hold.
    pub(crate) name_bytes_max: usize,
    /// Whether what is staged has a name of its own.
    pub(crate) has_temporary_names: bool,
    /// Whether names beginning with a dot are left out of lists.
    pub(crate) hides_dots: bool,
    /// Whether it has to copy large objects of its own itself.
    pub(crate) must_copy: bool,
    _dav: Option<Dav>,
    _s3s: Option<S3s>,
    xrootd: Option<Xrootd>,
}

impl World {
    pub(crate) fn memory() -> Self {
        Self::of(Arc::new(Memory::new()))
    }

    pub(crate) fn posix() -> Self {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let store = Arc::new(Posix::new(scratch.path().to_owned()));
        Self { scratch: Some(scratch), must_copy: true, ..Self::of(store) }
    }

    pub(crate) fn posix_without_openat2() -> Self {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let store = Arc::new(Posix::without_openat2(scratch.path().to_owned()));
        Self { scratch: Some(scratch), must_copy: true, ..Self::of(store) }
    }

    pub(crate) async fn webdav_on_apache() -> Self {
        Self::of(fresh(&apache().open(), "apache").await)
    }

    /// nginx lists no name that begins with a dot.
    pub(crate) async fn webdav_on_nginx() -> Self {
        Self { hides_dots: true, ..Self::of(fresh(&nginx().url(), "nginx").await) }
    }

    /// XRootD takes what follows a `?` for a query, however it is encoded, and cuts the last byte of
    /// names of 255 bytes off when it lists them.
    pub(crate) async fn webdav_on_xrootd() -> Self {
        let cannot_hold = |path: &str| path.contains('?') || path.split('/').any(|name| name.len() > 254);
        let server = Xrootd::open();
        let store = fresh(&server.url(), "xrootd").await;
        Self { cannot_hold, xrootd: Some(server), ..Self::of(store) }
    }

    pub(crate) async fn webdav_on_dav_server() -> Self {
        let dav = Dav::start().await;
        let store = fresh(&dav.url, "dav-server").await;
        Self { _dav: Some(dav), ..Self::of(store) }
    }

    pub(crate) async fn s3_on_radosgw() -> Self {
        let bucket = Bucket::on_radosgw().below("lake/ü+here").known().await;
        Self { has_temporary_names: false, must_copy: true, ..Self::of(Arc::new(bucket.open())) }
    }

    /// s3s-fs keeps what it knows of an object in a file whose name holds the object's, encoded.
    pub(crate) async fn s3_on_s3s() -> Self {
        let s3s = S3s::start().await;
        let bucket = Bucket::fresh(&s3s.url, s3s::PAIR).probed().await;
        let store = Arc::new(bucket.open());
        let name_bytes_max = 100;
        Self { has_temporary_names: false, must_copy: true, name_bytes_max, _s3s: Some(s3s), ..Self::of(store) }
    }

    fn of(store: Arc<dyn Backend>) -> Self {
        Self {
            store,
            scratch: None,
            cannot_hold: |_| false,
            name_bytes_max: usize::MAX,
            has_temporary_names: true,
            hides_dots: false,
            must_copy: false,
            _dav: None,
            _s3s: None,
            xrootd: None,
        }
    }

    /// The directory of a posix storage.
    pub(crate) fn root(&self) -> &Path {
        self.scratch.as_ref().expect("a posix storage").path()
    }

    pub(crate) async fn stage(&self, path: &StoragePath, intent: IntentId, content: &[u8]) {
        let staged =
            self.store.stage(path, intent, content.len() as u64, chunks(content, 300_000)).await.expect("it has room");
        assert_eq!(staged.bytes, content.len() as u64);
    }

    pub(crate) async fn put(&self, path: &StoragePath, content: &[u8]) {
        self.stage(path, PUT, content).await;
        let published = self.store.publish(path, PUT, Overwrite::Refuse).await;
        published.expect("nothing had the name");
    }

    pub(crate) async fn get(&self, path: &StoragePath) -> Result<Vec<u8>, StorageError> {
        whole(self.store.read(path, None).await?).await
    }

    pub(crate) async fn get_staged(&self, path: &StoragePath, intent: IntentId) -> Result<Vec<u8>, StorageError> {
        whole(self.store.read_staged(path, intent).await?.content).await
    }

    /// What a list of these paths has, in order.
    pub(crate) fn listable<T: AsRef<str>>(&self, paths: impl IntoIterator<Item = T>) -> Vec<String> {
        let is_shown = |path: &String| !self.hides_dots || !path.split('/').any(|name| name.starts_with('.'));
        let mut paths: Vec<_> = paths.into_iter().map(|path| path.as_ref().to_owned()).filter(is_shown).collect();
        paths.sort();
        paths
    }

    /// All paths there are, in order.
    pub(crate) async fn paths(&self) -> Vec<String> {
        let listed: Vec<_> = self.store.list().try_collect().await.expect("listable");
        let mut paths: Vec<_> = listed.into_iter().map(|listed| listed.path).collect();
        paths.sort();
        paths
    }

    /// Nothing is there, not even an empty directory.
    pub(crate) async fn assert_empty(&self) {
        assert!(self.paths().await.is_empty(), "{:?}", self.paths().await);
        if let Some(scratch) = &self.scratch {
            let left: Vec<_> = std::fs::read_dir(scratch.path()).expect("there").collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// What can be found dead.
pub(crate) trait Mortal {
    /// Whether it ended by itself, through no fault of who asked it.
    fn has_died(&self) -> bool;
}

impl Mortal for World {
    fn has_died(&self) -> bool {
        self.xrootd.as_ref().is_some_and(Mortal::has_died)
    }
}

impl Mortal for Xrootd {
    fn has_died(&self) -> bool {
        Xrootd::has_died(self)
    }
}

/// How long one server may take for one promise; those that hang are given up.
const HANGS_AFTER: std::time::Duration = std::time::Duration::from_secs(100);

/// Asks something of a server of its own. If that died meanwhile, or hangs, another is asked, at most
/// twice: Debian's XRootD does both now and then.
pub(crate) async fn ask<S: Mortal>(start: impl AsyncFn() -> S, promise: impl AsyncFn(&S)) {
    for last in [false, false, true] {
        let asked = start().await;
        let asking = AssertUnwindSafe(promise(&asked)).catch_unwind();
        let Ok(outcome) = tokio::time::timeout(HANGS_AFTER, asking).await else {
            assert!(!last, "three servers have hung");
            println!("its server hangs; another is asked");
            continue;
        };
        match outcome {
            Ok(()) => return,
            Err(panic) if last || !asked.has_died() => resume_unwind(panic),
            Err(_) => println!("its server died of it; another is asked"),
        }
    }
}

/// What the probes of servers found, by the servers' kinds. Each kind is probed once, as probes take
/// their time: they break off requests on purpose.
static FOUND: tokio::sync::Mutex<std::collections::BTreeMap<&'static str, Vec<Finding>>> =
    tokio::sync::Mutex::const_new(std::collections::BTreeMap::new());

/// A collection that nobody else uses, on a server of a kind that was probed.
async fn fresh(url: &str, kind: &'static str) -> Arc<dyn Backend> {
    let mut endpoint = endpoint(EndpointKind::Webdav, &format!("{url}/c{:x}", SystemClock::shared().random()));
    let unprobed = Webdav::open(&endpoint, None).expect("a URL");
    unprobed.create_root().await.expect("writable");
    let mut found = FOUND.lock().await;
    if !found.contains_key(kind) {
        found.insert(kind, unprobed.probe().await.expect("writable"));
    }
    endpoint.probe = Some(Probe { at: Timestamp::from_millis(0), findings: found[kind].clone() });
    Arc::new(Webdav::open(&endpoint, None).expect("a URL"))
}

/// An endpoint of which only its place is known.
pub(crate) fn endpoint(kind: EndpointKind, location: &str) -> Endpoint {
    Endpoint {
        id: EndpointId(1),
        name: EndpointName::parse("x").expect("valid"),
        kind,
        location: location.to_owned(),
        settings: Settings::default(),
        secret: None,
        probe: None,
        attributes: std::collections::BTreeMap::new(),
        created_at: Timestamp::from_millis(0),
    }
}

/// The intent of [`World::put`].
pub(crate) const PUT: IntentId = IntentId(1);

pub(crate) fn path(text: &str) -> StoragePath {
    StoragePath::parse(text).expect("a path")
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at / 65_536) as u8).collect()
}

pub(crate) fn chunks(content: &[u8], length: usize) -> ByteStream {
    let chunks: Vec<_> = content.chunks(length).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    stream::iter(chunks).boxed()
}

pub(crate) async fn whole(stream: ByteStream) -> Result<Vec<u8>, StorageError> {
    stream
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}

/// The code of the error that was expected.
#[track_caller]
pub(crate) fn code<T>(outcome: Result<T, StorageError>) -> &'static str {
    match outcome {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.code(),
    }
}
