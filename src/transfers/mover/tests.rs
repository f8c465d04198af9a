//! What keeps a mover from its work: a file that takes long, a catalog that fails, an order to halt.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::catalog::endpoints;
use crate::catalog::engine::memory::Memory as MemoryEngine;
use crate::catalog::engine::{self, Body, Engine, EngineError, FeedEntry, Snapshot, Urgency};
use crate::catalog::ledger::locks::hold;
use crate::catalog::ledger::replicas::{Found, put_did, register};
use crate::catalog::ledger::transfers::plan;
use crate::catalog::record::accounts::AccountRecord;
use crate::catalog::record::{Accounts, RuleRecord, Rules, ScopeRecord, Scopes};
use crate::catalog::record::{DidContent, DidRecord, FileFacts, HeadRecord, Heads, Replicas, Running};
use crate::clock::SystemClock;
use crate::model::account::{AccountKind, AccountName};
use crate::model::checksum::{Algorithm, Checksum};
use crate::model::did::Did;
use crate::model::endpoint::{Endpoint, EndpointKind, EndpointName, Settings};
use crate::model::expression::Expression;
use crate::model::id::{DecisionId, DidId, EndpointId, RuleId};
use crate::model::rule::Grouping;
use crate::model::time::Timestamp;
use crate::storage::memory::Memory;
use crate::transfers::claim::reap;

const SOURCE: EndpointId = EndpointId(1);
const SLOW: EndpointId = EndpointId(2);
const QUICK: EndpointId = EndpointId(3);
const DATASET: DidId = DidId(100);
const DECISION: DecisionId = DecisionId(1);

/// An engine whose transactions fail while they are told to.
struct Flaky {
    inside: Arc<MemoryEngine>,
    fails: AtomicUsize,
}

impl Engine for Flaky {
    fn snapshot(&self) -> engine::BoxFuture<'_, Result<Snapshot, EngineError>> {
        self.inside.snapshot()
    }

    fn transact(&self, urgency: Urgency, body: Body) -> engine::BoxFuture<'_, Result<u64, EngineError>> {
        let failing = self.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match failing {
            Ok(_) => Box::pin(std::future::ready(Err(EngineError::Contended))),
            Err(_) => self.inside.transact(urgency, body),
        }
    }

    fn changes(&self, after: u64, limit: usize) -> engine::BoxFuture<'_, Result<Vec<FeedEntry>, EngineError>> {
        self.inside.changes(after, limit)
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn close(&self) -> engine::BoxFuture<'_, Result<(), EngineError>> {
        self.inside.close()
    }
}

/// A source and two destinations, one of which takes its time.
struct World {
    engine: Arc<Flaky>,
    catalog: Catalog,
    stores: Arc<Registry>,
    source: Memory,
    slow: Memory,
    halted: AtomicBool,
}

fn endpoint(id: EndpointId) -> Endpoint {
    Endpoint {
        id,
        name: EndpointName::parse(&format!("e{}", id.0)).expect("valid"),
        kind: EndpointKind::Memory,
        location: id.to_string(),
        settings: Settings::default(),
        secret: None,
        probe: None,
        attributes: std::collections::BTreeMap::new(),
        created_at: Timestamp::default(),
    }
}

fn record(name: &str, content: DidContent) -> DidRecord {
    let did: Did = format!("s:{name}").parse().expect("valid");
    let (scope, name, account) = (did.scope, did.name, AccountName::root());
    DidRecord { scope, name, account, created_at: Timestamp::default(), content }
}

fn rule() -> RuleRecord {
    RuleRecord {
        did: DATASET,
        account: AccountName::root(),
        copies: 2,
        expression: Expression::parse("*").expect("valid"),
        grouping: Grouping::Dataset,
        created_at: Timestamp::default(),
        expires_at: None,
        revision: 1,
        releasing: false,
    }
}

impl World {
    async fn new() -> Self {
        let engine = Arc::new(Flaky { inside: MemoryEngine::shared(), fails: AtomicUsize::new(0) });
        let catalog = Catalog::new(Arc::clone(&engine) as _, SystemClock::shared());
        let (source, slow, stores) = (Memory::new(), Memory::new(), Arc::new(Registry::new()));
        stores.insert(SOURCE, Arc::new(source.clone()));
        stores.insert(SLOW, Arc::new(slow.clone()));
        stores.insert(QUICK, Arc::new(Memory::new()));
        let made = catalog.transact(|txn| async move {
            for id in [SOURCE, SLOW, QUICK] {
                endpoints::put(&txn, &endpoint(id)).await?;
            }
            put_did(&txn, DATASET, &record("data", DidContent::Dataset));
            txn.put::<Heads>(&(DATASET,), &HeadRecord::default());
            let root = AccountRecord {
                admin: true,
                created_at: Timestamp::default(),
                kind: AccountKind::User,
                suspended_at: None,
                email: None,
                description: None,
            };
            txn.put::<Accounts>(&(AccountName::root().to_string(),), &root);
            let scope = ScopeRecord { account: AccountName::root(), created_at: Timestamp::default() };
            txn.put::<Scopes>(&("s".to_owned(),), &scope);
            txn.put::<Rules>(&(RuleId(1),), &rule());
            hold(&txn, RuleId(1), DATASET, SLOW, DECISION).await?;
            hold(&txn, RuleId(1), DATASET, QUICK, DECISION).await
        });
        made.await.expect("memory does not fail");
        Self { engine, catalog, stores, source, slow, halted: AtomicBool::new(false) }
    }

    /// Plans a transfer of a new file.
    async fn plan(&self, file: DidId, to: EndpointId) {
        let name = format!("f{}", file.0);
        self.source.insert(&format!("s/{name}"), "bytes");
        let checksum = Checksum::new(Algorithm::Blake3, *blake3::hash(b"bytes").as_bytes()).expect("32 bytes");
        let facts = FileFacts { bytes: 5, checksums: vec![checksum], announced: false };
        let found = Found { id: file, record: record(&name, DidContent::File(facts)), path: None };
        let planned = self.catalog.transact(move |txn| {
            let found = found.clone();
            async move {
                register(&txn, SOURCE, DATASET, &[found], DECISION).await?;
                plan(&txn, &[(file, 5)], to, DECISION).await.map(drop)
            }
        });
        planned.await.expect("memory does not fail");
        self.catalog.wakes().wake(Topic::Transfers);
    }

    async fn drain(&self) -> Result<usize, CatalogError> {
        drain(&self.catalog, &Judge::builtin(), &self.stores, &Arc::default(), &|| self.halted.load(Ordering::SeqCst))
            .await
    }

    async fn is_there(&self, file: DidId, at: EndpointId) -> bool {
        let view = self.catalog.view().await.expect("memory does not fail");
        view.get::<Replicas>(&(file, at)).await.expect("readable").is_some()
    }

    async fn running(&self) -> usize {
        let view = self.catalog.view().await.expect("memory does not fail");
        view.scan::<Running>(&(), 10).await.expect("readable").len()
    }

    async fn until(&self, what: impl AsyncFn() -> bool) {
        while !what().await {
            self.catalog.clock().sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_file_that_takes_long_keeps_no_other_waiting() {
    let world = World::new().await;
    world.slow.faults().set_hanging(true);
    world.plan(DidId(1), SLOW).await;
    let acts = async {
        world.until(async || world.running().await == 1).await;
        // It comes while the mover is at work and has found nothing else to do.
        world.plan(DidId(2), QUICK).await;
        world.until(async || world.is_there(DidId(2), QUICK).await).await;
        assert!(!world.is_there(DidId(1), SLOW).await);
        world.halted.store(true, Ordering::SeqCst);
        world.plan(DidId(3), QUICK).await;
        world.slow.faults().set_hanging(false);
    };
    let (done, ()) = tokio::join!(world.drain(), acts);
    assert_eq!(done.expect("memory does not fail"), 2);
    assert!(world.is_there(DidId(1), SLOW).await, "what was under way has come to its end");
    assert!(!world.is_there(DidId(3), QUICK).await, "nothing new was begun");
}

#[tokio::test]
async fn an_error_of_the_catalog_drops_nothing_that_is_under_way() {
    let world = World::new().await;
    world.slow.faults().set_hanging(true);
    world.plan(DidId(1), SLOW).await;
    let acts = async {
        world.until(async || world.running().await == 1).await;
        world.plan(DidId(2), QUICK).await;
        world.engine.fails.store(1, Ordering::SeqCst);
        world.catalog.wakes().wake(Topic::Transfers);
        world.until(async || world.engine.fails.load(Ordering::SeqCst) == 0).await;
        world.slow.faults().set_hanging(false);
    };
    let (done, ()) = tokio::join!(world.drain(), acts);
    done.expect_err("it is told in the end");
    assert!(world.is_there(DidId(1), SLOW).await, "what was under way is settled");
    assert_eq!(world.running().await, 0);
}

#[tokio::test]
async fn what_runs_in_nobodys_hand_is_given_back_and_what_is_in_hand_is_not() {
    let world = World::new().await;
    world.plan(DidId(1), QUICK).await;
    let mut cursors = Cursors::default();
    let claims = claim(&world.catalog, &world.stores, &mut cursors, 10).await.expect("claimed");
    assert_eq!((claims.len(), world.running().await), (1, 1));
    assert_eq!(reap(&world.catalog).await.expect("memory does not fail"), 0, "somebody is at it");
    drop(claims);
    assert_eq!(reap(&world.catalog).await.expect("memory does not fail"), 1);
    assert_eq!(world.running().await, 0);
    assert_eq!(world.drain().await.expect("memory does not fail"), 1);
    assert!(world.is_there(DidId(1), QUICK).await);
}
