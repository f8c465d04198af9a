//! Uploads: announce, take the bytes, publish. A file is announced with its length and BLAKE3, gets
//! an intent, and joins its dataset in the transaction that makes its replica available. Bytes that
//! are not the announced ones are never published.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::ledger::locks::fill_file;
use crate::catalog::ledger::membership::{Member, MembershipError, attach};
use crate::catalog::ledger::replicas::{Arrival, confirm, land};
use crate::catalog::ledger::transfers::end_intent;
use crate::catalog::record::{
    DidRecord, Dids, IntentAct, IntentRecord, Intents, Parents, ReplicaRecord, Replicas, UploadsDue,
};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, Txn, endpoints};
use crate::fault::{Fault, Kind};
use crate::model::checksum::Checksum;
use crate::model::did::{Did, DidKind};
use crate::model::id::{DidId, EndpointId, IntentId};
use crate::model::replica::{ReplicaState, Verification};
use crate::replicas::Target;
use crate::replicas::announce::{Announced, Answer, Taking, announce};
use crate::storage::arrival::{self, Sent};
use crate::storage::backend::{Backend, ByteStream, Overwrite, StorageError};
use crate::storage::hash::{hash_stream, hashing};
use crate::storage::layout::StoragePath;
use crate::storage::registry::Registry;

/// How long a place is kept for another try after an upload failed.
const RETRY_SPAN: Duration = Duration::from_secs(20);
/// How many intents one sweep looks at together.
const SWEEP: usize = 500;

/// Why an upload could not be taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UploadError {
    /// There is no such upload: it ended, expired, or another has taken its place.
    #[error("this upload is not expected any more")]
    Gone,
    /// Another request is sending the same file.
    #[error("the same file is being uploaded by another request")]
    UnderWay,
    /// The bytes are not those that were announced.
    #[error("the bytes are not those that were announced: got {found}, announced {expected}")]
    WrongBytes {
        /// What was announced.
        expected: String,
        /// What came.
        found: String,
    },
    /// Other bytes lie under the file's name.
    #[error("other bytes lie under `{path}` at {endpoint}, and dapple does not overwrite what it does not know")]
    Occupied {
        /// The path.
        path: String,
        /// The endpoint.
        endpoint: String,
    },
    /// The endpoint failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The file could not join its dataset.
    #[error(transparent)]
    Membership(#[from] MembershipError),
}

impl Fault for UploadError {
    fn kind(&self) -> Kind {
        match self {
            UploadError::Gone => Kind::NotFound,
            UploadError::UnderWay | UploadError::Occupied { .. } => Kind::Conflict,
            UploadError::WrongBytes { .. } => Kind::Invalid,
            UploadError::Storage(error) => error.kind(),
            UploadError::Catalog(error) => error.kind(),
            UploadError::Membership(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            UploadError::Gone => "upload-gone",
            UploadError::UnderWay => "upload-under-way",
            UploadError::WrongBytes { .. } => "upload-wrong-bytes",
            UploadError::Occupied { .. } => "upload-occupied",
            UploadError::Storage(error) => error.code(),
            UploadError::Catalog(error) => error.code(),
            UploadError::Membership(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            UploadError::Gone | UploadError::WrongBytes { .. } => {
                Some("run the same `dapple put` again; it goes on where it is".to_owned())
            }
            UploadError::Occupied { .. } => {
                Some("move those bytes away, or register them with `dapple replica register`".to_owned())
            }
            _ => None,
        }
    }
}

/// What a request to send bytes names.
#[derive(Debug, Clone)]
pub struct Sending {
    /// The file.
    pub file: DidId,
    /// Its name.
    pub did: Did,
    /// Where.
    pub endpoint: EndpointId,
    /// The intent it was announced under.
    pub intent: IntentId,
    /// Its announced length.
    pub bytes: u64,
    /// Its announced checksum.
    pub checksum: Checksum,
}

/// Takes uploads, one request per file at a time.
pub struct Uploads {
    catalog: Catalog,
    stores: Arc<Registry>,
    under_way: Taking,
}

/// Keeps other requests, and the sweep, from an intent while it lives.
struct UnderWay {
    intent: IntentId,
    all: Taking,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.lock().expect("nothing panics while holding it").remove(&self.intent);
    }
}

impl Uploads {
    /// Uploads into a catalog and its storages.
    pub fn new(catalog: Catalog, stores: Arc<Registry>) -> Self {
        Self { catalog, stores, under_way: Arc::default() }
    }

    /// Announces at most a thousand files; answers in their order.
    pub async fn announce(&self, target: Target, files: Vec<Announced>) -> Result<Vec<Answer>, MembershipError> {
        announce(&self.catalog, target, files, Arc::clone(&self.under_way)).await
    }

    /// The same announcement in a rehearsal of the catalog.
    pub async fn rehearse(
        &self,
        rehearsal: &Catalog,
        target: Target,
        files: Vec<Announced>,
    ) -> Result<Vec<Answer>, MembershipError> {
        announce(rehearsal, target, files, Arc::clone(&self.under_way)).await
    }

    fn begin(&self, intent: IntentId) -> Option<UnderWay> {
        let fresh = self.under_way.lock().expect("nothing panics while holding it").insert(intent);
        fresh.then(|| UnderWay { intent, all: Arc::clone(&self.under_way) })
    }

    /// Takes the bytes of an announced file: stages, verifies, publishes, and makes the replica
    /// available. Sending again what has landed is answered as landed. After a failure the place is
    /// kept only for as long as a sender needs to try again.
    pub async fn take(&self, sending: &Sending, content: ByteStream) -> Result<(), UploadError> {
        let _mine = self.begin(sending.intent).ok_or(UploadError::UnderWay)?;
        let outcome = self.take_mine(sending, content).await;
        if outcome.as_ref().is_err_and(|error| !matches!(error, UploadError::Gone)) {
            // Its own failure would say less than that of the upload; the intent then lasts longer.
            let _ = self.expect_briefly(sending).await;
        }
        outcome
    }

    /// Lets an intent expire soon: rules plan nothing for a place that an upload has.
    async fn expect_briefly(&self, sending: &Sending) -> Result<(), CatalogError> {
        let (key, intent) = ((sending.file, sending.endpoint), sending.intent);
        self.catalog
            .transact(move |txn| async move {
                let Some(old) = txn.get::<Intents>(&key).await? else { return Ok(()) };
                if let IntentAct::Upload { dataset, until, process } = old.act
                    && old.id == intent
                {
                    let act = IntentAct::Upload { dataset, until: until.min(txn.now().after(RETRY_SPAN)), process };
                    txn.replace::<Intents>(&key, &old, &IntentRecord { act, ..old.clone() });
                }
                Ok(())
            })
            .await
    }

    async fn take_mine(&self, sending: &Sending, content: ByteStream) -> Result<(), UploadError> {
        let (file, key) = (sending.file, (sending.file, sending.endpoint));
        // Read in a transaction, which comes behind any that let the file become another before it
        // could see that its bytes are being taken.
        let read = self.catalog.transact(move |txn| async move {
            let record = txn.get::<Dids>(&(file,)).await?;
            let endpoint = endpoints::by_id(&txn, key.1).await?;
            let (replica, intent) = (txn.get::<Replicas>(&key).await?, txn.get::<Intents>(&key).await?);
            Ok::<_, CatalogError>((record, replica, intent, endpoint))
        });
        let (record, replica, intent, endpoint) = read.await?;
        if !is_still(record, sending) {
            return Err(UploadError::Gone);
        }
        if intent.is_none_or(|intent| intent.id != sending.intent) {
            let landed = replica.is_some_and(|replica| replica.state == ReplicaState::Available);
            return if landed { Ok(()) } else { Err(UploadError::Gone) };
        }
        let endpoint = endpoint.ok_or(UploadError::Gone)?;
        let backend = self.stores.get(&endpoint)?;
        let path = path_at(&sending.did, replica.as_ref());
        let overwrite = if replica.is_some() { Overwrite::Replace } else { Overwrite::Refuse };
        let _lane = self.stores.lane(sending.bytes).await;
        let verification = store(backend.as_ref(), &path, sending, content, overwrite).await;
        let verification = match verification {
            Err(UploadError::Storage(StorageError::Exists { .. })) => {
                adopt(backend.as_ref(), &path, sending, endpoint.name.as_str()).await?
            }
            other => other?,
        };
        self.settle(sending, verification).await
    }

    async fn settle(&self, sending: &Sending, verification: Verification) -> Result<(), UploadError> {
        let sending = sending.clone();
        self.catalog
            .transact(move |txn| {
                let sending = sending.clone();
                async move { settle_in(&txn, &sending, verification).await }
            })
            .await?;
        self.catalog.wakes().wake(Topic::Folds);
        self.catalog.wakes().wake(Topic::Rules);
        Ok(())
    }

    /// Clears up after uploads that expired or whose process is gone: bytes that were published but
    /// not recorded are adopted, staged ones removed. Returns how many it looked at; fails at its end
    /// if a storage did not answer.
    pub async fn sweep(&self) -> Result<usize, UploadError> {
        let mut after = (0, DidId(0), EndpointId(0));
        let (mut swept, mut failed) = (0, None);
        loop {
            let rows = self.catalog.view().await?.scan_after::<UploadsDue>(&(), &after, SWEEP).await?;
            let Some((last, ())) = rows.last() else {
                return failed.map_or(Ok(swept), Err);
            };
            after = *last;
            for ((_, file, endpoint), ()) in rows {
                match self.sweep_one(file, endpoint).await {
                    Ok(done) => swept += usize::from(done),
                    // A storage that is down keeps its own waiting, nobody else's.
                    Err(error @ UploadError::Storage(_)) => failed = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
    }

    async fn sweep_one(&self, file: DidId, endpoint: EndpointId) -> Result<bool, UploadError> {
        let view = self.catalog.view().await?;
        let Some(intent) = view.get::<Intents>(&(file, endpoint)).await? else {
            return Ok(false);
        };
        let IntentAct::Upload { until, process, .. } = intent.act else {
            return Ok(false);
        };
        let expired = until <= self.catalog.clock().now();
        let orphan = self.catalog.is_exclusive() && process != self.catalog.process();
        if !expired && !orphan {
            return Ok(false);
        }
        let Some(_mine) = self.begin(intent.id) else {
            return Ok(false);
        };
        let record = view.get::<Dids>(&(file,)).await?;
        let model = endpoints::by_id(&view, endpoint).await?;
        let (Some(record), Some(model)) = (record, model) else {
            return Ok(false);
        };
        let Some(facts) = record.file() else { return Ok(false) };
        let sending = Sending {
            file,
            did: record.did(),
            endpoint,
            intent: intent.id,
            bytes: facts.bytes,
            checksum: facts.checksums[0].clone(),
        };
        let backend = self.stores.get(&model)?;
        let replica = view.get::<Replicas>(&(file, endpoint)).await?;
        let path = path_at(&sending.did, replica.as_ref());
        match adopt(backend.as_ref(), &path, &sending, model.name.as_str()).await {
            Ok(verification) => self.settle(&sending, verification).await?,
            Err(UploadError::Storage(StorageError::NotFound { .. }) | UploadError::Occupied { .. }) => {
                backend.discard(&path, intent.id).await?;
                self.renounce(file, endpoint, intent, expired).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Ends an expired intent; takes over one of a process that is gone, so that its URL stays good.
    async fn renounce(
        &self,
        file: DidId,
        endpoint: EndpointId,
        seen: IntentRecord,
        expired: bool,
    ) -> Result<(), CatalogError> {
        let process = self.catalog.process();
        self.catalog
            .transact(move |txn| {
                let seen = seen.clone();
                async move {
                    let key = (file, endpoint);
                    if txn.get::<Intents>(&key).await?.as_ref() != Some(&seen) {
                        return Ok(());
                    }
                    match seen.act {
                        IntentAct::Upload { dataset, until, .. } if !expired => {
                            let act = IntentAct::Upload { dataset, until, process };
                            txn.replace::<Intents>(&key, &seen, &IntentRecord { act, ..seen.clone() });
                        }
                        _ => {
                            txn.delete::<Intents>(&key, &seen);
                            // Rules planned nothing while it had the place.
                            fill_file(&txn, file, endpoint).await?;
                        }
                    }
                    Ok(())
                }
            })
            .await
    }
}

/// Where the bytes belong: in the place of a bad replica, or under the file's name.
fn path_at(did: &Did, bad: Option<&ReplicaRecord>) -> StoragePath {
    let stated = bad.and_then(|replica| StoragePath::parse(replica.path.as_deref()?).ok());
    stated.unwrap_or_else(|| StoragePath::derived(did))
}

/// Stages the bytes, compares them with what was announced, and publishes them.
async fn store(
    backend: &dyn Backend,
    path: &StoragePath,
    sending: &Sending,
    content: ByteStream,
    overwrite: Overwrite,
) -> Result<Verification, UploadError> {
    let mut algorithms = backend.tells();
    algorithms.push(sending.checksum.algorithm());
    let (content, hashed) = hashing(content, &algorithms);
    let staged = backend.stage(path, sending.intent, sending.bytes, content).await?;
    let hashed = hashed.finish();
    let found = hashed.checksum(sending.checksum.algorithm()).cloned();
    if found.as_ref() != Some(&sending.checksum) {
        // What is not removed now is swept when the upload expires.
        let _ = backend.discard(path, sending.intent).await;
        let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
        return Err(UploadError::WrongBytes { expected: sending.checksum.to_string(), found });
    }
    let sent = Sent { bytes: sending.bytes, checksums: &hashed.checksums };
    sent.compare(path.as_str(), staged.bytes, &staged.checksums)?;
    arrival::publish(backend, path, sending.intent, sent, overwrite).await?;
    Ok(Verification::Streamed)
}

/// Something lies under the final name. If it is this file, a request before this one published it
/// and could not say so.
async fn adopt(
    backend: &dyn Backend,
    path: &StoragePath,
    sending: &Sending,
    endpoint: &str,
) -> Result<Verification, UploadError> {
    let there = backend.stat(path).await?;
    let occupied = || UploadError::Occupied { path: path.to_string(), endpoint: endpoint.to_owned() };
    if there.bytes != sending.bytes {
        return Err(occupied());
    }
    let content = backend.read(path, None).await?;
    let hashed = hash_stream(content, &[sending.checksum.algorithm()]).await?;
    if hashed.checksum(sending.checksum.algorithm()) != Some(&sending.checksum) {
        return Err(occupied());
    }
    backend.discard(path, sending.intent).await?;
    Ok(Verification::ReadBack)
}

/// Tells whether a file is still what was announced when its URL was made.
fn is_still(record: Option<DidRecord>, sending: &Sending) -> bool {
    record
        .as_ref()
        .and_then(DidRecord::file)
        .is_some_and(|facts| facts.bytes == sending.bytes && facts.checksums.contains(&sending.checksum))
}

async fn settle_in(txn: &Txn, sending: &Sending, verification: Verification) -> Result<(), UploadError> {
    let key = (sending.file, sending.endpoint);
    let Some(intent) = txn.get::<Intents>(&key).await? else {
        return Err(UploadError::Gone);
    };
    let IntentAct::Upload { dataset, .. } = intent.act else {
        return Err(UploadError::Gone);
    };
    if intent.id != sending.intent {
        return Err(UploadError::Gone);
    }
    if !is_still(txn.get::<Dids>(&(sending.file,)).await?, sending) {
        return Err(UploadError::Gone);
    }
    confirm(txn, sending.file).await?;
    let replaced = txn.get::<Replicas>(&key).await?;
    if txn.get::<Parents>(&(sending.file, dataset)).await?.is_none() {
        let parent = Member { id: dataset, kind: DidKind::Dataset, bytes: 0 };
        attach(txn, parent, &[Member { id: sending.file, kind: DidKind::File, bytes: sending.bytes }]).await?;
    }
    end_intent(txn, sending.file, sending.endpoint).await?;
    let arrival = Arrival {
        file: sending.file,
        endpoint: sending.endpoint,
        bytes: sending.bytes,
        verification,
        path: replaced.and_then(|replica| replica.path),
        decision: intent.decision,
    };
    land(txn, &[arrival]).await?;
    Ok(())
}
