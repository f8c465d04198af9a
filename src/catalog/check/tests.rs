//! Each invariant holds for what the ledger writes, and fails for what is written behind its back.

use std::collections::BTreeSet;

use futures::FutureExt as _;

use super::*;
use crate::catalog::engine::memory::Memory;
use crate::catalog::ledger::locks::{count_unplaced, hold, release};
use crate::catalog::ledger::membership::{Member, attach, detach};
use crate::catalog::ledger::replicas::{Found, put_did, register};
use crate::catalog::ledger::transfers::{plan, tell_stuck};
use crate::catalog::ledger::{denied, holdings};
use crate::catalog::record::{
    ChosenBecause, ChosenRecord, ContentRecord, Contents, CountsRecord, Coverage, CoverageDeltas, DecisionRecord,
    Decisions, DidContent, DidNames, DidRecord, Dids, EndpointNames, Failed, FileFacts, HeadRecord, Heads, Holders,
    HoldingDeltas, Holdings, IntentAct, IntentRecord, Intents, LockRecord, Locks, LocksByUnit, MetadataRecord,
    MetadataTable, Parents, Paths, PlacementRecord, Placements, Ready, ReplicaRecord, Replicas, ReplicasByEndpoint,
    RuleCountsTable, RuleRecord, Rules, RulesByDid, RulesByExpiry, Running, StuckFiles, Tally, TransferRecord,
    Transfers, Unplaced, UploadsDue, Usage,
};
use crate::catalog::{Catalog, Txn, endpoints};
use crate::clock::SystemClock;
use crate::model::account::AccountName;
use crate::model::checksum::{Algorithm, Checksum};
use crate::model::did::DidKind;
use crate::model::endpoint::{Endpoint, EndpointKind, EndpointName, Settings};
use crate::model::expression::Expression;
use crate::model::id::{DecisionId, DidId, EndpointId, IntentId, ProcessId, RuleId, TransferId};
use crate::model::lock::LockState;
use crate::model::replica::{ReplicaState, Verification};
use crate::model::rule::Grouping;
use crate::model::stuck::StuckReason;
use crate::model::time::Timestamp;
use crate::model::transfer::{TransferEvent, TransferState};

const ONE: EndpointId = EndpointId(1);
const TWO: EndpointId = EndpointId(2);
const FILE: DidId = DidId(1);
const ELSEWHERE: DidId = DidId(2);
const DATASET: DidId = DidId(10);
const CONTAINER: DidId = DidId(11);
const DECISION: DecisionId = DecisionId(1);
/// Is OK: both files lie at endpoint one.
const SATISFIED: RuleId = RuleId(1);
/// Waits for a transfer to endpoint two, and has a group without a place.
const WAITING: RuleId = RuleId(2);

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing in it waits")
}

fn did(name: &str, content: DidContent) -> DidRecord {
    let did: crate::model::did::Did = format!("s:{name}").parse().expect("valid");
    DidRecord {
        scope: did.scope,
        name: did.name,
        account: AccountName::root(),
        created_at: Timestamp::default(),
        content,
    }
}

fn file(name: &str) -> DidRecord {
    let checksum = Checksum::new(Algorithm::Blake3, [0; 32]).expect("32 bytes");
    did(name, DidContent::File(FileFacts { bytes: 5, checksums: vec![checksum], announced: false }))
}

fn rule(copies: u16) -> RuleRecord {
    RuleRecord {
        did: DATASET,
        account: AccountName::root(),
        copies,
        expression: Expression::parse("*").expect("valid"),
        grouping: Grouping::Dataset,
        created_at: Timestamp::default(),
        expires_at: Some(Timestamp::from_millis(9)),
        revision: 1,
        releasing: false,
    }
}

fn placement(endpoint: EndpointId, unplaced: bool) -> PlacementRecord {
    let because = ChosenBecause::Spread;
    PlacementRecord {
        chosen: vec![ChosenRecord { endpoint, because }],
        unplaced: unplaced.then_some(StuckReason::ExpressionMatchesNothing),
        revision: 1,
    }
}

fn decision(allowed: bool) -> DecisionRecord {
    DecisionRecord {
        principal: AccountName::root(),
        action: "place".to_owned(),
        resource: "s:data".to_owned(),
        endpoint: None,
        allowed,
        policies: Vec::new(),
        at: Timestamp::default(),
        revision: String::new(),
        labels: String::new(),
    }
}

async fn fill(txn: &Txn) -> Result<(), CatalogError> {
    txn.put::<Decisions>(&(DECISION.0,), &decision(true));
    for (id, name) in [(ONE, "one"), (TWO, "two")] {
        let endpoint = Endpoint {
            id,
            name: EndpointName::parse(name).expect("valid"),
            kind: EndpointKind::Memory,
            location: name.to_owned(),
            settings: Settings::default(),
            secret: None,
            probe: None,
            attributes: std::collections::BTreeMap::new(),
            created_at: txn.now(),
        };
        endpoints::put(txn, &endpoint).await?;
    }
    put_did(txn, DATASET, &did("data", DidContent::Dataset));
    put_did(txn, CONTAINER, &did("all", DidContent::Container));
    txn.put::<Heads>(&(DATASET,), &HeadRecord::default());
    txn.put::<Heads>(&(CONTAINER,), &HeadRecord::default());
    let found = |id, name, path: Option<&str>| Found { id, record: file(name), path: path.map(str::to_owned) };
    let files = [found(FILE, "a", None), found(ELSEWHERE, "b", Some("elsewhere"))];
    register(txn, ONE, DATASET, &files, DECISION).await?;
    let member = |id, kind| Member { id, kind, bytes: 0 };
    let container = member(CONTAINER, DidKind::Container);
    attach(txn, container, &[member(DATASET, DidKind::Dataset)]).await.expect("it fits");
    for (id, at) in [(SATISFIED, ONE), (WAITING, TWO)] {
        txn.put::<Rules>(&(id,), &rule(1));
        txn.put::<Placements>(&(id, DATASET), &placement(at, id == WAITING));
        hold(txn, id, DATASET, at, DECISION).await?;
    }
    count_unplaced(txn, WAITING, 1).await?;
    plan_trouble(txn).await
}

/// A transfer that waits again after it told of trouble, one that runs, one that waits, and an
/// upload.
async fn plan_trouble(txn: &Txn) -> Result<(), CatalogError> {
    let told = plan(txn, &[(FILE, 5)], TWO, DECISION).await?[0];
    tell_stuck(txn, FILE, TWO, &StuckReason::NoSource).await?;
    let old = txn.get::<Transfers>(&(told,)).await?.expect("just planned");
    txn.put::<Transfers>(&(told,), &TransferRecord { told: true, ..old.clone() });
    let upload = IntentRecord {
        id: IntentId(9),
        decision: DECISION,
        act: IntentAct::Upload { dataset: DATASET, until: Timestamp::from_millis(7), process: ProcessId(1) },
    };
    txn.put::<Intents>(&(ELSEWHERE, TWO), &upload);
    Ok(())
}

fn catalog() -> Catalog {
    let catalog = Catalog::new(Memory::shared(), SystemClock::shared());
    now(catalog.transact(|txn| async move { fill(&txn).await })).expect("memory does not fail");
    catalog
}

fn found(catalog: &Catalog) -> Vec<Finding> {
    let view = now(catalog.view()).expect("memory does not fail");
    now(run(&view, Limits::default(), |_| ())).expect("memory does not fail")
}

#[test]
fn a_catalog_that_only_the_ledger_has_written_is_clean() {
    assert_eq!(found(&catalog()), []);
}

/// A raw write behind the ledger's back, and the invariant that must notice it.
type Corruption = (&'static str, fn(&Txn));

fn say(txn: &Txn, did: DidId, json: &str) {
    let record = MetadataRecord { revision: 1, at: txn.now(), by: AccountName::root(), json: json.to_owned() };
    txn.put::<MetadataTable>(&(did,), &record);
}

fn corrupted_mirrors() -> Vec<Corruption> {
    vec![
        ("names-mirror-dids", |t| t.clear::<DidNames>(&("s".into(), "a".into()))),
        ("names-mirror-dids", |t| put_did(t, FILE, &file("c"))),
        ("names-mirror-dids", |t| t.clear::<EndpointNames>(&("two".into(),))),
        ("names-mirror-dids", |t| {
            t.put::<EndpointNames>(&("three".into(),), &1);
        }),
        ("metadata-has-its-did", |t| say(t, DidId(77), r#"{"a":1}"#)),
        ("metadata-has-its-did", |t| say(t, FILE, "{}")),
        ("metadata-has-its-did", |t| say(t, FILE, "[")),
        ("contents-mirror-parents", |t| t.clear::<Parents>(&(ELSEWHERE, DATASET))),
        ("contents-mirror-parents", |t| t.put::<Parents>(&(FILE, CONTAINER), &7)),
        ("paths-mirror-replicas", |t| {
            t.clear::<Paths>(&(ONE, "elsewhere".into()));
        }),
        ("paths-mirror-replicas", |t| t.put::<Paths>(&(ONE, "a".into()), &FILE.0)),
    ]
}

fn corrupted_sums() -> Vec<Corruption> {
    vec![
        ("heads-equal-contents", |t| {
            let head = HeadRecord { next_seq: 2, members: 2, bytes: 9 };
            t.put::<Heads>(&(DATASET,), &head);
        }),
        ("heads-equal-contents", |t| {
            t.put::<Heads>(&(FILE,), &HeadRecord::default());
        }),
        ("heads-equal-contents", |t| {
            t.put::<Contents>(&(CONTAINER, 5), &ContentRecord::Detached(FILE));
        }),
        ("coverage-equals-recount", |t| {
            t.put::<CoverageDeltas>(&(DATASET, TWO, 1), &Tally::one(5));
        }),
        ("coverage-equals-recount", |t| {
            t.put::<Coverage>(&(FILE, ONE), &Tally::default());
        }),
        ("holders-equal-locks", |t| t.put::<Holders>(&(DATASET, ONE, "root".into()), &2)),
        ("holders-equal-locks", |t| t.clear::<Holders>(&(DATASET, TWO, "root".into()))),
        ("holdings-equal-recount", |t| t.put::<Holdings>(&("ada".into(), ONE), &Tally::one(5))),
        ("holdings-equal-recount", |t| t.put::<HoldingDeltas>(&("root".into(), ONE, 1), &Tally::one(5))),
        ("usage-equals-recount", |t| t.put::<Usage>(&(ONE,), &Tally::one(5))),
        ("usage-equals-recount", |t| {
            t.put::<Usage>(&(EndpointId(7),), &Tally::one(5));
        }),
        ("lock-counts-equal-recount", |t| {
            let counts = CountsRecord { ok: 2, ..CountsRecord::default() };
            t.put::<RuleCountsTable>(&(SATISFIED,), &counts);
        }),
        ("lock-counts-equal-recount", |t| {
            t.put::<RuleCountsTable>(&(RuleId(7),), &CountsRecord::default());
        }),
    ]
}

fn corrupted_work() -> Vec<Corruption> {
    vec![
        ("locks-match-placements", |t| {
            t.put::<Placements>(&(SATISFIED, DATASET), &placement(TWO, false));
        }),
        ("locks-match-placements", |t| {
            t.put::<Placements>(&(SATISFIED, FILE), &placement(ONE, false));
        }),
        ("locks-match-placements", |t| {
            let lock = LockRecord { state: LockState::Ok, since: t.now(), decision: DECISION };
            t.put::<Placements>(&(SATISFIED, FILE), &placement(ONE, false));
            t.put::<Locks>(&(SATISFIED, FILE, ONE), &lock);
        }),
        ("locks-match-placements", |t| {
            t.put::<Rules>(&(SATISFIED,), &RuleRecord { did: FILE, ..rule(1) });
        }),
        ("ok-rules-have-their-copies", |t| {
            t.put::<Rules>(&(SATISFIED,), &rule(2));
        }),
        ("transfers-have-an-end", |t| {
            let state = TransferState::new(t.now());
            let until = t.now();
            let state = state.apply(TransferEvent::Started { until }).expect("it waits");
            t.put::<Transfers>(&(TransferId(7),), &transfer(state));
        }),
        ("transfers-mirror-intents", |t| {
            t.put::<Transfers>(&(TransferId(7),), &transfer(TransferState::new(t.now())));
        }),
        ("transfers-mirror-intents", |t| {
            let intent = IntentRecord { id: IntentId(3), decision: DECISION, act: IntentAct::Transfer(TransferId(9)) };
            t.put::<Intents>(&(ELSEWHERE, ONE), &intent);
        }),
        ("stuck-files-are-told", |t| {
            t.put::<StuckFiles>(&(DATASET, ONE, FILE), &StuckReason::NoSource);
        }),
        ("stuck-files-are-told", |t| {
            t.put::<StuckFiles>(&(CONTAINER, TWO, FILE), &StuckReason::NoSource);
        }),
        ("stuck-files-are-told", |t| {
            // It lies there, and no rule holds it by itself.
            let endpoint = EndpointName::parse("one").expect("valid");
            let reason = StuckReason::DeniedByPolicy { endpoint, policies: Vec::new() };
            t.put::<StuckFiles>(&(FILE, ONE, FILE), &reason);
        }),
        ("places-are-decided", |t| {
            t.put::<Decisions>(&(DECISION.0,), &decision(false));
        }),
        ("places-are-decided", |t| t.clear::<Decisions>(&(DECISION.0,))),
    ]
}

fn transfer(state: TransferState) -> TransferRecord {
    TransferRecord {
        file: ELSEWHERE,
        destination: ONE,
        intent: IntentId(3),
        state,
        told: false,
        bytes: 5,
        created_at: Timestamp::default(),
        process: None,
    }
}

#[test]
fn every_invariant_can_fail() {
    let mut seen = BTreeSet::from(["indexes-mirror-rows"]);
    let corruptions = [corrupted_mirrors(), corrupted_sums(), corrupted_work()].concat();
    for (at, (invariant, corrupt)) in corruptions.into_iter().enumerate() {
        let catalog = catalog();
        now(catalog.transact(move |txn| async move {
            corrupt(&txn);
            Ok::<_, CatalogError>(())
        }))
        .expect("memory does not fail");
        let findings = found(&catalog);
        let is_noticed = findings.iter().any(|finding| finding.invariant == invariant);
        assert!(is_noticed, "corruption {at} breaks {invariant}: {findings:#?}");
        seen.insert(invariant);
    }
    let all: BTreeSet<_> = ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(seen, all, "every invariant has a corruption that it notices");
}

#[test]
fn every_index_is_missed_where_it_lacks_a_row_and_noticed_where_it_has_one_too_many() {
    let lacking: [fn(&Txn); 6] = [
        |t| t.clear::<ReplicasByEndpoint>(&(ONE, FILE)),
        |t| t.clear::<RulesByDid>(&(DATASET, SATISFIED)),
        |t| t.clear::<RulesByExpiry>(&(9, SATISFIED)),
        |t| t.clear::<Unplaced>(&(WAITING, DATASET)),
        |t| t.clear::<LocksByUnit>(&(DATASET, ONE, SATISFIED)),
        |t| t.clear::<UploadsDue>(&(7, ELSEWHERE, TWO)),
    ];
    let too_many: [fn(&Txn); 9] = [
        |t| t.put::<ReplicasByEndpoint>(&(TWO, FILE), &()),
        |t| t.put::<RulesByDid>(&(FILE, SATISFIED), &()),
        |t| t.put::<RulesByExpiry>(&(8, SATISFIED), &()),
        |t| t.put::<Unplaced>(&(SATISFIED, DATASET), &()),
        |t| t.put::<LocksByUnit>(&(DATASET, TWO, SATISFIED), &()),
        |t| t.put::<UploadsDue>(&(6, ELSEWHERE, TWO), &()),
        |t| t.put::<Ready>(&(TWO, 0, TransferId(0)), &()),
        |t| t.put::<Running>(&(0, TransferId(0)), &()),
        |t| t.put::<Failed>(&(0, TransferId(0)), &()),
    ];
    for corrupt in lacking.into_iter().chain(too_many) {
        let catalog = catalog();
        now(catalog.transact(move |txn| async move {
            corrupt(&txn);
            Ok::<_, CatalogError>(())
        }))
        .expect("memory does not fail");
        let names: Vec<_> = found(&catalog).into_iter().map(|finding| finding.invariant).collect();
        assert_eq!(names, ["indexes-mirror-rows"]);
    }
}

#[test]
fn a_replica_lost_behind_the_ledgers_back_breaks_coverage_usage_and_the_word_ok() {
    let catalog = catalog();
    now(catalog.transact(|txn| async move {
        let bad = ReplicaRecord {
            state: ReplicaState::Bad,
            verification: Verification::Claimed,
            path: None,
            created_at: txn.now(),
            decision: DECISION,
        };
        txn.put::<Replicas>(&(FILE, ONE), &bad);
        Ok::<_, CatalogError>(())
    }))
    .expect("memory does not fail");
    let names: Vec<_> = found(&catalog).into_iter().map(|finding| finding.invariant).collect();
    let expected = ["coverage-equals-recount", "usage-equals-recount", "ok-rules-have-their-copies"];
    assert_eq!(names, expected);
}

#[test]
fn a_run_stops_finding_at_its_limit_and_says_how_far_it_is() {
    let catalog = catalog();
    now(catalog.transact(|txn| async move {
        txn.clear::<Dids>(&(FILE,));
        txn.clear::<Dids>(&(ELSEWHERE,));
        txn.clear::<Locks>(&(SATISFIED, DATASET, ONE));
        Ok::<_, CatalogError>(())
    }))
    .expect("memory does not fail");
    let view = now(catalog.view()).expect("memory does not fail");
    let mut seen = Vec::new();
    let findings = now(run(&view, Limits { findings_max: 1 }, |progress| {
        seen.push(progress.invariant);
    }))
    .expect("memory does not fail");
    let names: Vec<_> = findings.iter().map(|finding| finding.invariant).collect();
    let distinct: BTreeSet<_> = names.iter().copied().collect();
    assert!(names.len() > 2 && distinct.len() == names.len(), "one for each invariant: {names:?}");
    seen.dedup();
    assert_eq!(seen.len(), ALL.len());
}

#[test]
fn what_is_told_of_a_file_that_may_not_lie_there_goes_with_the_last_lock() {
    let catalog = catalog();
    let row = (DATASET, ONE, FILE);
    now(catalog.transact(move |txn| async move {
        let reason = StuckReason::DeniedByPolicy {
            endpoint: EndpointName::parse("one").expect("valid"),
            policies: vec!["residency".to_owned()],
        };
        txn.put::<Rules>(&(RuleId(3),), &rule(1));
        hold(&txn, RuleId(3), DATASET, ONE, DECISION).await?;
        denied::tell(&txn, FILE, ONE, &reason).await?;
        release(&txn, RuleId(3), DATASET, ONE).await?;
        assert!(txn.get::<StuckFiles>(&row).await?.is_some(), "another rule wants it still");
        release(&txn, SATISFIED, DATASET, ONE).await?;
        assert_eq!(txn.get::<StuckFiles>(&row).await?, None);
        Ok::<_, CatalogError>(())
    }))
    .expect("memory does not fail");
}

#[test]
fn holdings_follow_locks_and_lengths_and_can_be_counted_anew() {
    let catalog = catalog();
    let held = |catalog: &Catalog| {
        let view = now(catalog.view()).expect("memory does not fail");
        now(holdings::held(&view, &AccountName::root())).expect("memory does not fail")
    };
    let both = Tally { files: 2, bytes: 10 };
    assert_eq!(held(&catalog), [(ONE, both), (TWO, both)].into());
    assert!(now(holdings::fold(&catalog)).expect("memory does not fail") > 0);
    assert_eq!(held(&catalog), [(ONE, both), (TWO, both)].into(), "folding changes nothing");
    now(catalog.transact(|txn| async move {
        // A second rule at one adds nothing; a file that goes, and a lock that goes, take theirs along.
        txn.put::<Rules>(&(RuleId(3),), &rule(1));
        hold(&txn, RuleId(3), DATASET, ONE, DECISION).await?;
        let dataset = Member { id: DATASET, kind: DidKind::Dataset, bytes: 0 };
        let file = Member { id: FILE, kind: DidKind::File, bytes: 5 };
        detach(&txn, dataset, &[file]).await.expect("it is there");
        release(&txn, WAITING, DATASET, TWO).await?;
        release(&txn, SATISFIED, DATASET, ONE).await
    }))
    .expect("memory does not fail");
    assert_eq!(held(&catalog), [(ONE, Tally::one(5))].into());
    now(catalog.transact(|txn| async move {
        txn.clear::<Holders>(&(DATASET, ONE, "root".to_owned()));
        txn.put::<Holdings>(&("ada".to_owned(), TWO), &Tally::one(7));
        Ok::<_, CatalogError>(())
    }))
    .expect("memory does not fail");
    now(holdings::count_once(&catalog)).expect("memory does not fail");
    assert_eq!(held(&catalog), [(ONE, Tally::one(5))].into());
    let wrong = |finding: &Finding| finding.invariant.starts_with("hold");
    assert_eq!(found(&catalog).into_iter().filter(wrong).collect::<Vec<_>>(), []);
}
