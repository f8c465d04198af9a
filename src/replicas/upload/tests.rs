//! What uploads do when there is no room on the way, when an endpoint fails, and when one is dead.

use std::pin::Pin;
use std::sync::Mutex;

use bytes::Bytes;
use futures::FutureExt as _;

use super::*;
use crate::catalog::engine::memory::Memory as MemoryEngine;
use crate::catalog::ledger::replicas::put_did;
use crate::catalog::record::accounts::AccountRecord;
use crate::catalog::record::{Accounts, ScopeRecord, Scopes};
use crate::catalog::record::{DidContent, HeadRecord, Heads};
use crate::clock::Clock;
use crate::model::account::{AccountKind, AccountName, Principal};
use crate::model::checksum::Algorithm;
use crate::model::did::DidName;
use crate::model::endpoint::{Endpoint, EndpointKind, Settings};
use crate::model::id::DecisionId;
use crate::model::scope::Scope;
use crate::model::time::Timestamp;
use crate::policy::judge::Judge;
use crate::policy::standing::Standing;
use crate::storage::lanes::{LANES, LARGE_BYTES_MIN};
use crate::storage::memory::Memory;

const DEAD: EndpointId = EndpointId(1);
const WELL: EndpointId = EndpointId(2);
const DATASET: DidId = DidId(1_000);

/// A clock whose sleeps are over at once; ids count.
struct Hasty(Mutex<u8>);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    fn fill(&self, bytes: &mut [u8]) {
        let mut count = self.0.lock().expect("nothing panics");
        *count += 1;
        bytes.fill(*count);
    }
}

struct World {
    engine: Arc<MemoryEngine>,
    stores: Arc<Registry>,
    uploads: Uploads,
    dead: Memory,
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing in it waits")
}

fn process(engine: &Arc<MemoryEngine>, stores: &Arc<Registry>, seed: u8) -> Uploads {
    let catalog = Catalog::new(Arc::clone(engine) as _, Arc::new(Hasty(Mutex::new(seed))));
    Uploads::new(catalog, Arc::clone(stores), Judge::builtin())
}

async fn fill(txn: &Txn) -> Result<(), CatalogError> {
    for (id, name) in [(DEAD, "dead"), (WELL, "well")] {
        let endpoint = Endpoint {
            id,
            name: EndpointName::parse(name).expect("valid"),
            kind: EndpointKind::Memory,
            location: name.to_owned(),
            settings: Settings::default(),
            secret: None,
            probe: None,
            attributes: BTreeMap::new(),
            created_at: Timestamp::default(),
        };
        endpoints::put(txn, &endpoint).await?;
    }
    let did: Did = "s:data".parse().expect("valid");
    let (scope, name, account) = (did.scope, did.name, AccountName::root());
    let content = DidContent::Dataset;
    put_did(txn, DATASET, &DidRecord { scope, name, account, created_at: Timestamp::default(), content });
    txn.put::<Heads>(&(DATASET,), &HeadRecord::default());
    let created_at = Timestamp::default();
    let (kind, suspended_at, email, description) = (AccountKind::User, None, None, None);
    let root = AccountRecord { admin: true, created_at, kind, suspended_at, email, description };
    txn.put::<Accounts>(&(AccountName::root().to_string(),), &root);
    txn.put::<Scopes>(&("s".to_owned(),), &ScopeRecord { account: AccountName::root(), created_at });
    Ok(())
}

impl World {
    fn new() -> Self {
        let (engine, stores, dead) = (MemoryEngine::shared(), Arc::new(Registry::new()), Memory::new());
        stores.insert(DEAD, Arc::new(dead.clone()));
        stores.insert(WELL, Arc::new(Memory::new()));
        let uploads = process(&engine, &stores, 0);
        now(uploads.catalog.transact(|txn| async move { fill(&txn).await })).expect("memory does not fail");
        Self { engine, stores, uploads, dead }
    }

    fn announce(&self, name: &str, bytes: u64, endpoint: EndpointId) -> Sending {
        let checksum = Checksum::new(Algorithm::Blake3, *blake3::hash(b"bytes").as_bytes()).expect("32 bytes");
        let target = Target {
            scope: Scope::parse("s").expect("valid"),
            dataset: DATASET,
            endpoint,
            account: AccountName::root(),
            standing: Arc::new(Standing::new(&Judge::builtin(), &Principal::root())),
            decision: DecisionId(1),
        };
        let name = DidName::parse(name).expect("valid");
        let file = Announced { name: name.clone(), bytes, checksum: checksum.clone(), meta: None };
        let did = Did { scope: target.scope.clone(), name };
        match now(self.uploads.announce(target, vec![file])).expect("announced").remove(0) {
            Answer::Send { file, intent, .. } => {
                let account = AccountName::root();
                Sending { file, did, endpoint, intent, bytes, checksum, account }
            }
            other => panic!("it is wanted: {other:?}"),
        }
    }

    fn take(&self, sending: &Sending, content: Result<&'static [u8], StorageError>) -> Result<(), UploadError> {
        let content = stream::iter([content.map(Bytes::from_static)]).boxed();
        now(self.uploads.take(sending, content))
    }
}

#[test]
fn a_large_upload_is_told_that_there_is_no_room_and_keeps_its_place() {
    let world = World::new();
    let large = world.announce("large", LARGE_BYTES_MIN, WELL);
    let lanes = world.stores.lanes();
    let held: Vec<_> = (0..LANES).map(|_| now(lanes.upload(LARGE_BYTES_MIN, 0))).collect();
    let error = world.take(&large, Ok(b"bytes")).expect_err("no room");
    assert_eq!((error.code(), error.kind()), ("upload-busy", Kind::Unavailable));
    let small = world.announce("small", 5, WELL);
    world.take(&small, Ok(b"bytes")).expect("a small one needs none");
    drop(held);
    let error = world.take(&large, Ok(b"bytes")).expect_err("it is shorter than it should be");
    assert_eq!(error.code(), "storage-wrong-length", "it had its turn");
}

#[test]
fn an_endpoint_that_fails_is_named_and_a_sender_that_breaks_off_is_not_taken_for_one() {
    let world = World::new();
    let sending = world.announce("a", 5, DEAD);
    world.dead.faults().set_full(true);
    let error = world.take(&sending, Ok(b"bytes")).expect_err("it is full");
    assert_eq!(error.code(), "storage-full");
    assert!(error.to_string().starts_with("dead did not take the file: "), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("make room at dead")), "{error}");
    world.dead.faults().clear();
    let silence = StorageError::Unavailable { path: "the body".to_owned(), what: "the sender was silent".to_owned() };
    let error = world.take(&sending, Err(silence)).expect_err("nothing came");
    assert!(matches!(error, UploadError::BrokeOff(_)) && !error.to_string().contains("dead"), "{error}");
    world.take(&sending, Ok(b"bytes")).expect("and then it goes well");
}

#[test]
fn a_dead_endpoint_holds_up_no_other_when_uploads_are_cleared_up() {
    let world = World::new();
    for (name, at) in [("a", DEAD), ("b", WELL), ("c", DEAD), ("d", WELL)] {
        world.announce(name, 5, at);
    }
    world.dead.faults().set_hanging(true);
    // A process that comes after it takes over what it expected.
    let uploads = process(&world.engine, &world.stores, 100);
    let taken_over = async || {
        let view = uploads.catalog.view().await.expect("memory does not fail");
        let intents = view.scan::<Intents>(&(), 10).await.expect("readable");
        let ours =
            |act: &IntentAct| matches!(act, IntentAct::Upload { process, .. } if *process == uploads.catalog.process());
        intents.into_iter().filter(|(_, intent)| ours(&intent.act)).map(|((_, at), _)| at).collect::<Vec<_>>()
    };
    let mut sweep = Box::pin(uploads.sweep());
    assert!((&mut sweep).now_or_never().is_none(), "it waits for the dead one");
    assert_eq!(now(taken_over()), [WELL, WELL]);
    world.dead.faults().set_down(true);
    world.dead.faults().set_hanging(false);
    let error = now(sweep).expect_err("one endpoint is down");
    assert!(error.to_string().starts_with("dead "), "{error}");
    world.dead.faults().clear();
    assert_eq!(now(uploads.sweep()).expect("all is well"), 2);
}
