//! Uploads: announce, take the bytes, publish. A file is announced with its length and BLAKE3, gets
//! an intent, and joins its dataset in the transaction that makes its replica available. Bytes that
//! are not the announced ones are never published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{self, StreamExt as _};

use crate::catalog::history::note_joined;
use crate::catalog::ledger::locks::fill_file;
use crate::catalog::ledger::membership::{Member, MembershipError, attach};
use crate::catalog::ledger::replicas::{Arrival, confirm, land};
use crate::catalog::ledger::transfers::end_intent;
use crate::catalog::record::{
    DecisionRecord, DidRecord, Dids, IntentAct, IntentRecord, Intents, Parents, ReplicaRecord, Replicas, UploadsDue,
};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, Txn, decisions, endpoints};
use crate::fault::{Fault, Kind};
use crate::model::account::AccountName;
use crate::model::checksum::Checksum;
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::EndpointName;
use crate::model::id::{DidId, EndpointId, IntentId};
use crate::model::replica::{ReplicaState, Verification};
use crate::policy::judge::Judge;
use crate::replicas::Target;
use crate::replicas::announce::{Announced, Answer, Taking, announce};
use crate::replicas::leave::IntakeError;
use crate::replicas::permit::permit;
use crate::replicas::place::Place;
use crate::storage::backend::{ByteStream, Overwrite, StorageError};
use crate::storage::layout::StoragePath;
use crate::storage::registry::Registry;

/// How long a place is kept for another try after an upload failed.
const RETRY_SPAN: Duration = Duration::from_secs(20);
/// How long a large file waits for others to come to their end. Its sender waits as long.
const LANE_SPAN_MAX: Duration = Duration::from_mins(1);
/// How many endpoints are swept at once.
const SWEPT_AT_ONCE: usize = 8;
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
    /// Too many large files are on their way at once.
    #[error("too many large files are being uploaded at this moment")]
    Busy,
    /// The sender's bytes ended early, or stood still.
    #[error(transparent)]
    BrokeOff(StorageError),
    /// The endpoint failed.
    #[error("{endpoint} did not take the file: {source}")]
    Storage {
        /// Which one.
        endpoint: EndpointName,
        /// What it said.
        source: StorageError,
    },
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The file could not join its dataset.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// Policy does not let whoever sends it write the file any more.
    #[error("policy does not let `{account}` write `{did}` any more: {}", .policies.join(", "))]
    NotTheirs {
        /// The file.
        did: Did,
        /// Who sends it.
        account: AccountName,
        /// The policies that determined it.
        policies: Vec<String>,
    },
    /// Policy does not let the bytes be there.
    #[error("policy does not let `{did}` be at {endpoint}: {}", .policies.join(", "))]
    Denied {
        /// The file.
        did: Did,
        /// Where it was to be.
        endpoint: EndpointName,
        /// The policies that determined it.
        policies: Vec<String>,
    },
}

impl Fault for UploadError {
    fn kind(&self) -> Kind {
        match self {
            UploadError::Gone => Kind::NotFound,
            UploadError::Denied { .. } | UploadError::NotTheirs { .. } => Kind::Denied,
            UploadError::UnderWay | UploadError::Occupied { .. } => Kind::Conflict,
            UploadError::WrongBytes { .. } => Kind::Invalid,
            UploadError::Busy => Kind::Unavailable,
            UploadError::BrokeOff(error) => error.kind(),
            UploadError::Storage { source, .. } => source.kind(),
            UploadError::Catalog(error) => error.kind(),
            UploadError::Membership(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            UploadError::Gone => "upload-gone",
            UploadError::Denied { .. } | UploadError::NotTheirs { .. } => "denied",
            UploadError::UnderWay => "upload-under-way",
            UploadError::WrongBytes { .. } => "upload-wrong-bytes",
            UploadError::Occupied { .. } => "upload-occupied",
            UploadError::Busy => "upload-busy",
            UploadError::BrokeOff(error) => error.code(),
            UploadError::Storage { source, .. } => source.code(),
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
            UploadError::UnderWay => Some("wait until it has ended; if it breaks off, send it again".to_owned()),
            UploadError::BrokeOff(_) => Some("send it again: nothing of it is kept".to_owned()),
            UploadError::Denied { .. } => {
                Some("`dapple policy explain --action place DID --at ENDPOINT` says which policy".to_owned())
            }
            UploadError::Busy => Some("send it again in a little while".to_owned()),
            UploadError::Storage { endpoint, source } => next_step(endpoint, source),
            UploadError::NotTheirs { .. } | UploadError::Catalog(_) | UploadError::Membership(_) => None,
        }
    }
}

fn next_step(endpoint: &EndpointName, error: &StorageError) -> Option<String> {
    match error {
        StorageError::Full { .. } => Some(format!(
            "make room at {endpoint}, or choose another endpoint; the same `dapple put` goes on from here"
        )),
        StorageError::Denied { .. } | StorageError::Locked { .. } | StorageError::Misconfigured { .. } => Some(
            format!("see what `dapple endpoint probe {endpoint}` says: is its secret right, and may it write there?"),
        ),
        StorageError::Unavailable { .. } | StorageError::NoRoot { .. } | StorageError::Faulty { .. } => Some(format!(
            "see what `dapple endpoint probe {endpoint}` says; the same `dapple put` goes on when the endpoint is well"
        )),
        StorageError::Outside { .. } | StorageError::Refused { .. } => {
            Some(format!("{endpoint} cannot have this file: choose another endpoint"))
        }
        StorageError::NotFound { .. } | StorageError::Exists { .. } | StorageError::WrongLength { .. } => None,
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
    /// Who answers for it.
    pub account: AccountName,
}

/// Takes uploads, one request per file at a time.
pub struct Uploads {
    catalog: Catalog,
    stores: Arc<Registry>,
    judge: Arc<Judge>,
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
    pub fn new(catalog: Catalog, stores: Arc<Registry>, judge: Arc<Judge>) -> Self {
        Self { catalog, stores, judge, under_way: Arc::default() }
    }

    /// Announces at most a thousand files; answers in their order.
    pub async fn announce(&self, target: Target, files: Vec<Announced>) -> Result<Vec<Answer>, IntakeError> {
        announce(&self.catalog, target, files, Arc::clone(&self.under_way)).await
    }

    /// The same announcement in a rehearsal of the catalog.
    pub async fn rehearse(
        &self,
        rehearsal: &Catalog,
        target: Target,
        files: Vec<Announced>,
    ) -> Result<Vec<Answer>, IntakeError> {
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
        if outcome.as_ref().is_err_and(|error| !matches!(error, UploadError::Gone | UploadError::Busy)) {
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
        let place = Place::of(&self.stores, &endpoint, path_at(&sending.did, replica.as_ref()))?;
        let overwrite = if replica.is_some() { Overwrite::Replace } else { Overwrite::Refuse };
        let lane = Box::pin(self.stores.lanes().upload(sending.bytes, place.waiting_bytes(sending.bytes)));
        let Either::Left((_lane, _)) = select(lane, self.catalog.clock().sleep(LANE_SPAN_MAX)).await else {
            return Err(UploadError::Busy);
        };
        let hashed = place.stage(sending, content).await?;
        let decision = match permit(&self.catalog, &self.judge, sending).await {
            Ok(decision) => decision,
            Err(denied) => {
                // What is not removed now is swept when the upload expires.
                let _ = place.discard(sending.intent).await;
                return Err(denied);
            }
        };
        let verification = match place.publish(sending, &hashed, overwrite).await {
            Err(UploadError::Storage { source: StorageError::Exists { .. }, .. }) => place.adopt(sending).await?,
            other => other?,
        };
        self.settle(sending, verification, Some(decision)).await
    }

    async fn settle(
        &self,
        sending: &Sending,
        verification: Verification,
        decided: Option<DecisionRecord>,
    ) -> Result<(), UploadError> {
        let sending = sending.clone();
        self.catalog
            .transact(move |txn| {
                let (sending, decided) = (sending.clone(), decided.clone());
                async move { settle_in(&txn, &sending, verification, decided).await }
            })
            .await?;
        self.catalog.wakes().wake(Topic::Folds);
        self.catalog.wakes().wake(Topic::Rules);
        Ok(())
    }

    /// Clears up after uploads that expired or whose process is gone: bytes that were published but
    /// not recorded are adopted, staged ones removed. Returns how many it cleared up; fails at its end
    /// if a storage did not answer. A storage that is down keeps its own waiting, nobody else's.
    pub async fn sweep(&self) -> Result<usize, UploadError> {
        let mut after = (0, DidId(0), EndpointId(0));
        let (mut swept, mut failed, mut ailing) = (0, None, BTreeSet::new());
        loop {
            let rows = self.catalog.view().await?.scan_after::<UploadsDue>(&(), &after, SWEEP).await?;
            let Some((last, ())) = rows.last() else {
                return failed.map_or(Ok(swept), Err);
            };
            after = *last;
            let now = self.catalog.clock().monotonic();
            let mut files = BTreeMap::<EndpointId, Vec<DidId>>::new();
            for ((_, file, endpoint), ()) in rows {
                if !ailing.contains(&endpoint) && !self.stores.health().rests(endpoint, now) {
                    files.entry(endpoint).or_default().push(file);
                }
            }
            let mut sweeps = Vec::with_capacity(files.len());
            for (endpoint, files) in files {
                sweeps.push(self.sweep_at(endpoint, files));
            }
            let sweeps: Vec<_> = stream::iter(sweeps).buffer_unordered(SWEPT_AT_ONCE).collect().await;
            for (endpoint, done, error) in sweeps {
                swept += done;
                match error {
                    None => {}
                    Some(error @ UploadError::Storage { .. }) => {
                        ailing.insert(endpoint);
                        tracing::debug!("uploads could not be cleared up: {error}");
                        failed.get_or_insert(error);
                    }
                    Some(error) => return Err(error),
                }
            }
        }
    }

    /// Clears up at one endpoint, up to the first thing that it does not do.
    async fn sweep_at(&self, endpoint: EndpointId, files: Vec<DidId>) -> (EndpointId, usize, Option<UploadError>) {
        let mut swept = 0;
        for file in files {
            match self.sweep_one(file, endpoint).await {
                Ok(done) => swept += usize::from(done),
                Err(error) => return (endpoint, swept, Some(error)),
            }
        }
        (endpoint, swept, None)
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
            account: record.account.clone(),
        };
        let replica = view.get::<Replicas>(&(file, endpoint)).await?;
        let place = Place::of(&self.stores, &model, path_at(&sending.did, replica.as_ref()))?;
        match place.adopt(&sending).await {
            // They were published by the decision that the intent names.
            Ok(verification) => self.settle(&sending, verification, None).await?,
            Err(UploadError::Storage { source: StorageError::NotFound { .. }, .. } | UploadError::Occupied { .. }) => {
                place.discard(intent.id).await?;
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

/// Tells whether a file is still what was announced when its URL was made.
fn is_still(record: Option<DidRecord>, sending: &Sending) -> bool {
    record
        .as_ref()
        .and_then(DidRecord::file)
        .is_some_and(|facts| facts.bytes == sending.bytes && facts.checksums.contains(&sending.checksum))
}

async fn settle_in(
    txn: &Txn,
    sending: &Sending,
    verification: Verification,
    decided: Option<DecisionRecord>,
) -> Result<(), UploadError> {
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
    let decision = match decided {
        Some(decided) => decisions::reuse(txn, intent.decision, &decided).await?,
        None => intent.decision,
    };
    confirm(txn, sending.file).await?;
    let replaced = txn.get::<Replicas>(&key).await?;
    if txn.get::<Parents>(&(sending.file, dataset)).await?.is_none() {
        let parent = Member { id: dataset, kind: DidKind::Dataset, bytes: 0 };
        let file = Member { id: sending.file, kind: DidKind::File, bytes: sending.bytes };
        let new = attach(txn, parent, &[file]).await?;
        note_joined(txn, dataset, &sending.account, new).await?;
    }
    end_intent(txn, sending.file, sending.endpoint).await?;
    let arrival = Arrival {
        file: sending.file,
        endpoint: sending.endpoint,
        bytes: sending.bytes,
        verification,
        path: replaced.and_then(|replica| replica.path),
        decision,
    };
    land(txn, &[arrival]).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
