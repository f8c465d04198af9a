//! Backups of small lakes with something in each kind of table.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::format::{FRAME_HEAD_BYTES, FrameHead, HEAD_BYTES};
use super::*;
use crate::catalog::engine::embedded::{Embedded, EmbeddedSettings};
use crate::catalog::engine::memory::Memory;
use crate::catalog::engine::{Engine, Range, Row};
use crate::catalog::record::{
    Endpoints, Facts, HeadRecord, Heads, LeaseRecord, Leases, MetadataRecord, MetadataTable, Ready, ReplicaRecord,
    Replicas, ReplicasByEndpoint, Running, TransferRecord, Transfers,
};
use crate::catalog::table::Value as _;
use crate::catalog::{Catalog, Txn, endpoints, lake};
use crate::clock::SystemClock;
use crate::model::account::AccountName;
use crate::model::endpoint::{Endpoint, EndpointKind, EndpointName, Settings};
use crate::model::id::{DecisionId, DidId, EndpointId, IntentId, ProcessId, TransferId};
use crate::model::replica::{ReplicaState, Verification};
use crate::model::time::Timestamp;
use crate::model::transfer::TransferState;

mod large;

fn catalog_on(engine: Arc<dyn Engine>) -> Catalog {
    Catalog::new(engine, SystemClock::shared())
}

fn in_memory() -> Catalog {
    catalog_on(Memory::shared())
}

fn on_disk(directory: &std::path::Path) -> Catalog {
    let engine = Embedded::open(directory, &EmbeddedSettings::default(), SystemClock::shared());
    catalog_on(engine.expect("a new directory"))
}

/// What a lake is filled with: how many rows of a kind, and how long those are that have a length.
#[derive(Debug, Clone)]
struct Filling {
    did: u64,
    text_bytes: usize,
    seed: u8,
}

fn put_some(txn: &Txn, of: &Filling) {
    let (did, at) = (DidId(of.did), Timestamp::from_millis(of.did));
    // Noise, so that frames of it can hardly be packed.
    let mut noise = vec![0; of.text_bytes];
    blake3::Hasher::new().update(&of.did.to_be_bytes()).update(&[of.seed]).finalize_xof().fill(&mut noise);
    let title: String = noise.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    let json = serde_json::json!({ "title": title }).to_string();
    txn.put::<MetadataTable>(&(did,), &MetadataRecord { revision: 1, at, by: AccountName::root(), json });
    txn.put::<Heads>(&(did,), &HeadRecord { next_seq: of.did, members: 1, bytes: 2 });
    let endpoint = EndpointId(1 + u32::from(of.seed) % 3);
    let replica = ReplicaRecord {
        state: ReplicaState::Available,
        verification: Verification::ReadBack,
        path: None,
        created_at: at,
        decision: DecisionId(7),
    };
    txn.put::<Replicas>(&(did, endpoint), &replica);
    let transfer = TransferRecord {
        file: did,
        destination: endpoint,
        intent: IntentId(3),
        state: TransferState::Running { attempts: 2, until: at },
        told: false,
        bytes: 5,
        created_at: at,
        process: Some(ProcessId(4)),
    };
    txn.put::<Transfers>(&(TransferId(u128::from(of.did)),), &transfer);
    let lease = LeaseRecord { holder: ProcessId(4), token: 9, until: at };
    txn.put::<Leases>(&(format!("worker/{}", of.did),), &lease);
}

async fn fill(catalog: &Catalog, with: Vec<Filling>) {
    catalog.begin().await.expect("a lake");
    let store = |name: &str, id| Endpoint {
        id: EndpointId(id),
        name: EndpointName::parse(name).expect("a name"),
        kind: EndpointKind::Posix,
        location: format!("/data/{name}"),
        settings: Settings::default(),
        secret: None,
        probe: None,
        attributes: std::collections::BTreeMap::default(),
        created_at: Timestamp::from_millis(1),
    };
    let stores = [store("x", 1), store("y", 2)];
    let first = catalog.did_ids(1).await.expect("numbers");
    assert_eq!(first, DidId(1));
    catalog
        .transact(move |txn| {
            let stores = stores.clone();
            async move {
                for store in &stores {
                    endpoints::put(&txn, store).await?;
                }
                txn.put::<Facts>(&("revoked_key:ab".to_owned(),), &3);
                Ok::<_, CatalogError>(())
            }
        })
        .await
        .expect("written");
    for part in with.chunks(20) {
        let part = part.to_vec();
        let work = move |txn: Txn| {
            for of in &part {
                put_some(&txn, of);
            }
            async { Ok::<_, CatalogError>(()) }
        };
        catalog.transact(work).await.expect("written");
    }
}

fn fillings(count: u64, text_bytes: usize) -> Vec<Filling> {
    (0..count).map(|number| Filling { did: 10 + number, text_bytes, seed: number.to_le_bytes()[0] }).collect()
}

async fn backup_of(catalog: &Catalog) -> (Vec<u8>, Totals) {
    let mut export = Export::begin(catalog).await.expect("a backup");
    let mut bytes = Vec::new();
    while let Some(piece) = export.next().await.expect("a piece") {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(export.bytes(), bytes.len() as u64);
    (bytes, export.totals().clone())
}

fn judge(bytes: &[u8]) -> Result<(Header, Totals), BackupError> {
    Reader::open(bytes)?.verify(|_| ())
}

async fn restored(bytes: &[u8], catalog: &Catalog) -> Header {
    let reader = Reader::open(bytes).expect("a backup");
    restore(catalog, reader, |_| ()).await.expect("restored").0
}

async fn rows_of(catalog: &Catalog, table: Table) -> Vec<Row> {
    let view = catalog.view().await.expect("a view");
    view.read.scan(table, &Range::prefix(&[], 100_000)).await.expect("rows")
}

/// What tables have that a restore leaves as they are.
fn lasting(totals: &Totals) -> Vec<TableSum> {
    let changed =
        [Facts::TABLE, Heads::TABLE, record::LakeTable::TABLE, record::Restores::TABLE, record::Audits::TABLE];
    let is_changed = |table: &TableSum| changed.iter().any(|changed| changed.number == table.number);
    totals.tables.iter().filter(|table| !is_changed(table)).cloned().collect()
}

#[tokio::test]
async fn a_lake_goes_to_another_engine_and_back() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (first, second, third) = (on_disk(&scratch.path().join("a")), in_memory(), on_disk(&scratch.path().join("b")));
    fill(&first, fillings(600, 4_000)).await;
    let (bytes, told) = backup_of(&first).await;
    assert!(told.frames > 5, "{told:?}");
    assert_eq!(judge(&bytes).expect("whole").1, told);
    restored(&bytes, &second).await;
    let (bytes, once) = backup_of(&second).await;
    restored(&bytes, &third).await;
    let (_, twice) = backup_of(&third).await;
    // What runs waits after the first restore, and still does after the second.
    let but_transfers = |totals: &Totals| {
        let mut tables = lasting(totals);
        tables.retain(|table| table.number != Transfers::TABLE.number);
        tables
    };
    assert_eq!(but_transfers(&told), but_transfers(&once));
    assert_eq!(lasting(&once), lasting(&twice));
    for index in INDEXES {
        assert_eq!(rows_of(&second, index).await, rows_of(&third, index).await, "{}", index.name);
    }
    assert_eq!(rows_of(&first, ReplicasByEndpoint::TABLE).await, rows_of(&third, ReplicasByEndpoint::TABLE).await);
    assert!(rows_of(&third, ReplicasByEndpoint::TABLE).await.len() >= 600);
}

#[tokio::test]
async fn a_restored_lake_begins_an_epoch() {
    let (old, new) = (in_memory(), in_memory());
    fill(&old, fillings(3, 10)).await;
    let (bytes, _) = backup_of(&old).await;
    let header = restored(&bytes, &new).await;
    let (before, after) = (old.begin().await.expect("a lake"), new.begin().await.expect("a lake"));
    assert_eq!((before.id, before.epoch, after.epoch), (after.id, 1, 2));
    assert_eq!((header.lake, header.epoch, header.position), (before.id, 1, 2), "two endpoints were told of");
    // Numbers are given out far behind those that may have been.
    let raised = 1 << 40;
    assert_eq!(new.did_ids(1).await.expect("numbers"), DidId(raised + 10_001));
    assert_eq!(new.endpoint_id().await.expect("a number"), EndpointId((1 << 20) + 1));
    let view = new.view().await.expect("a view");
    assert_eq!(view.get::<Heads>(&(DidId(11),)).await.expect("read").expect("a head").next_seq, raised + 11);
    assert_eq!(endpoints::revision(&view).await.expect("read"), raised + 2);
    assert_eq!(crate::catalog::labels::revision(&view).await.expect("read"), raised, "one that was never raised");
    assert_eq!(view.get::<Facts>(&("revoked_key:ab".to_owned(),)).await.expect("read"), Some(3));
    // What ran waits, and nobody has it; leases are gone.
    let transfer = view.get::<Transfers>(&(TransferId(10),)).await.expect("read").expect("a transfer");
    assert!(matches!(transfer.state, TransferState::Waiting { attempts: 1, .. }), "{transfer:?}");
    assert_eq!(transfer.process, None);
    assert_eq!((rows_of(&new, Running::TABLE).await.len(), rows_of(&new, Ready::TABLE).await.len()), (0, 3));
    assert!(rows_of(&new, Leases::TABLE).await.is_empty());
    // The feed begins anew, behind all numbers of the epoch before.
    assert_eq!((old.feed_base(), new.feed_base()), (0, raised));
    assert!(new.changes(0, 10).await.expect("a feed").is_empty());
    new.transact(move |txn| async move { lake::accept(&txn, EndpointId(1), &AccountName::root()).await })
        .await
        .expect("accepted");
    let seqs: Vec<u64> = new.changes(raised, 10).await.expect("a feed").iter().map(|change| change.seq).collect();
    assert_eq!(seqs, [raised + 1]);
    assert_eq!(new.meters().feed_head(), raised + 1);
    // Removal is locked at each endpoint until somebody accepts it.
    let view = new.view().await.expect("a view");
    assert_eq!(lake::locked_since(&view, EndpointId(1)).await.expect("read"), None);
    assert_eq!(lake::locked_since(&view, EndpointId(2)).await.expect("read"), Some(after.since));
    let audits = lake::audits(&view, EndpointId(1)).await.expect("read");
    assert_eq!(audits[0].accepted.as_ref().map(|accepted| accepted.account.as_str()), Some("root"));
}

#[tokio::test]
async fn a_lake_that_was_restored_by_half_is_not_served() {
    let old = in_memory();
    fill(&old, fillings(700, 9_000)).await;
    let (bytes, _) = backup_of(&old).await;
    let new = in_memory();
    let torn = restore(&new, Reader::open(&bytes[..bytes.len() - 40]).expect("a head"), |_| ()).await;
    assert!(matches!(torn, Err(BackupError::Torn { .. })), "{torn:?}");
    let rows = rows_of(&new, MetadataTable::TABLE).await.len();
    assert!(rows > 100, "some of it is there: {rows}");
    assert!(matches!(new.begin().await, Err(CatalogError::HalfRestored)));
    let again = restore(&new, Reader::open(&bytes[..]).expect("a head"), |_| ()).await;
    assert!(matches!(again, Err(BackupError::Catalog(CatalogError::HalfRestored))), "{again:?}");
    let onto = restore(&old, Reader::open(&bytes[..]).expect("a head"), |_| ()).await;
    assert!(matches!(onto, Err(BackupError::NotEmpty { table: "facts" })), "{onto:?}");
}

/// Where each frame of a backup begins, and where the sum of the whole does.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let header = u32::from_be_bytes(*bytes[10..].first_chunk().expect("a head")) as usize;
    let mut at = HEAD_BYTES + header;
    let mut found = vec![at];
    while at + 32 < bytes.len() {
        let head = FrameHead::decode(*bytes[at..].first_chunk().expect("a frame"));
        at += FRAME_HEAD_BYTES + head.stored as usize + 32;
        found.push(at);
    }
    found
}

#[tokio::test]
async fn whatever_is_torn_changed_or_put_together_is_noticed() {
    let lake = in_memory();
    fill(&lake, fillings(4, 30)).await;
    let (small, _) = backup_of(&lake).await;
    assert!(judge(&small).is_ok());
    for end in 0..small.len() {
        let error = judge(&small[..end]).expect_err("it is torn");
        let is_told = matches!(error, BackupError::Torn { at } if at == end as u64) || end < 14;
        assert!(is_told, "cut at {end}: {error}");
    }
    for place in 0..small.len() {
        for flip in [1, 0x80] {
            let mut changed = small.clone();
            changed[place] ^= flip;
            assert!(judge(&changed).is_err(), "byte {place} changed by {flip}");
        }
    }
    assert!(matches!(judge(&[&small[..], b"x"].concat()), Err(BackupError::Damaged { .. })), "something follows");

    let lake = in_memory();
    fill(&lake, fillings(600, 5_000)).await;
    let (large, _) = backup_of(&lake).await;
    let at = frames(&large);
    let piece = |number: usize| &large[at[number]..at[number + 1]];
    assert!(at.len() > 6, "{at:?}");
    // Two frames of one table in the place of each other, one twice, one left out.
    let several = at.windows(3).rposition(|of| large[of[0]] == b'R' && large[of[0] + 1] == large[of[1] + 1]);
    let one = several.expect("a table of several frames");
    let (before, after) = (&large[..at[one]], &large[at[one + 2]..]);
    let swapped = [before, piece(one + 1), piece(one), after].concat();
    let twice = [before, piece(one), piece(one), piece(one + 1), after].concat();
    let without = [before, piece(one + 1), after].concat();
    for (what, bytes) in [("swapped", swapped), ("twice", twice), ("left out", without)] {
        let error = judge(&bytes).expect_err(what);
        assert!(error.to_string().contains("not where it was written"), "{what}: {error}");
        assert_eq!(error.kind(), Kind::Corrupt);
    }
}

/// A backup with another header, whose frames are chained to it as if it had been written so.
fn with_header(bytes: &[u8], change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let at = frames(bytes);
    let mut header = serde_json::from_slice(&bytes[HEAD_BYTES..at[0]]).expect("JSON");
    change(&mut header);
    let json = serde_json::to_vec(&header).expect("JSON");
    let length = u32::try_from(json.len()).expect("short").to_be_bytes();
    let mut out = [&bytes[..10], &length, &json].concat();
    let mut chain = *blake3::hash(&out).as_bytes();
    for of in at.windows(2) {
        let frame = &bytes[of[0]..of[1] - 32];
        chain = format::chained(&chain, &frame[..FRAME_HEAD_BYTES], &frame[FRAME_HEAD_BYTES..]);
        out.extend_from_slice(frame);
        out.extend_from_slice(&chain);
    }
    let whole = *blake3::hash(&out).as_bytes();
    [&out[..], &whole].concat()
}

#[tokio::test]
async fn what_another_version_made_is_told_apart_from_damage() {
    let lake = in_memory();
    fill(&lake, fillings(3, 30)).await;
    let (bytes, _) = backup_of(&lake).await;
    assert!(judge(&with_header(&bytes, |_| ())).is_ok());
    let newer = |change: &dyn Fn(&mut serde_json::Value)| {
        let error = judge(&with_header(&bytes, change)).expect_err("it is newer");
        assert_eq!((error.code(), error.kind()), ("backup-newer", Kind::Invalid), "{error}");
        error.to_string()
    };
    let told = newer(&|header| header["tables"][0]["version"] = 2.into());
    assert!(told.contains("rows of `facts` have the version 2, and 1 is known"), "{told}");
    let told = newer(&|header| header["tables"][0]["number"] = 250.into());
    assert!(told.contains("a table `facts` with the number 250"), "{told}");
    let mut format = bytes.clone();
    format[9] = 2;
    assert_eq!(judge(&format).expect_err("another format").code(), "backup-newer");
    assert_eq!(judge(b"PK\x03\x04 and so on").expect_err("a ZIP").code(), "backup-foreign");
    assert_eq!(judge(b"").expect_err("nothing").code(), "backup-foreign");
    // A table that the header does not tell of.
    let silent = with_header(&bytes, |header| drop(header["tables"].as_array_mut().map(|all| all.remove(0))));
    let error = judge(&silent).expect_err("unannounced");
    assert!(error.to_string().contains("unannounced"), "{error}");
}

#[tokio::test]
async fn a_row_that_is_not_its_tables_is_named() {
    let lake = in_memory();
    fill(&lake, fillings(2, 30)).await;
    // Written past the types, as a defect would.
    let bad = |txn: Txn| {
        txn.set(Heads::TABLE, Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 1]), Bytes::from_static(&[1, 0xFF]));
        async { Ok::<_, CatalogError>(()) }
    };
    lake.transact(bad).await.expect("written");
    let (bytes, _) = backup_of(&lake).await;
    let error = judge(&bytes).expect_err("a row that cannot be read");
    assert!(matches!(error, BackupError::Row { table: "heads", .. }), "{error}");
    let new = in_memory();
    let refused = restore(&new, Reader::open(&bytes[..]).expect("a head"), |_| ()).await;
    assert!(matches!(refused, Err(BackupError::Row { table: "heads", .. })), "{refused:?}");
}

#[test]
fn every_table_is_carried_passing_or_follows_from_others() {
    let left: Vec<_> = SHAPES.iter().filter(|shape| !carried().any(|one| one.table == shape.table)).collect();
    assert_eq!(left.len(), INDEXES.len() + PASSING.len());
    for shape in &left {
        // What follows from records has no value, and what has one is passing.
        assert_eq!(shape.version == 0, INDEXES.contains(&shape.table), "{}", shape.table.name);
    }
    assert!(carried().map(|shape| shape.table.number).is_sorted());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_a_lake_has_comes_back(
        rows in prop::collection::btree_map(1_u64..1 << 40, (prop_oneof![0_usize..40, 20_000_usize..60_000], any::<u8>()), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let with = rows.iter().map(|(did, (text_bytes, seed))| Filling { did: *did, text_bytes: *text_bytes, seed: *seed });
            let (old, new) = (in_memory(), in_memory());
            fill(&old, with.collect()).await;
            let (bytes, told) = backup_of(&old).await;
            let (_, read) = judge(&bytes).expect("whole");
            assert_eq!(read, told);
            restored(&bytes, &new).await;
            for table in [MetadataTable::TABLE, Replicas::TABLE, ReplicasByEndpoint::TABLE, Endpoints::TABLE] {
                assert_eq!(rows_of(&old, table).await, rows_of(&new, table).await, "{}", table.name);
            }
            let heads = rows_of(&new, Heads::TABLE).await;
            assert_eq!(heads.len(), rows.len());
            for ((_, before), (_, after)) in rows_of(&old, Heads::TABLE).await.iter().zip(&heads) {
                let (before, after) = (HeadRecord::decode(before)?, HeadRecord::decode(after)?);
                assert_eq!(after, HeadRecord { next_seq: before.next_seq + (1 << 40), ..before });
            }
            Ok::<_, crate::catalog::table::DecodeError>(())
        }).expect("heads can be read");
    }
}
