//! A lake of a million replicas: how long its backup takes, how large it is, and how much memory that
//! needs. Run alone, with `cargo test --release --lib a_million -- --ignored --nocapture`.

use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::time::Duration;

use super::{fill, on_disk};
use crate::catalog::backup::{Export, Reader, restore};
use crate::catalog::record::{
    ContentRecord, Contents, DidContent, DidNames, DidRecord, Dids, FileFacts, NameRecord, Parents, ReplicaRecord,
    Replicas,
};
use crate::catalog::{CatalogError, Txn};
use crate::model::account::AccountName;
use crate::model::checksum::{Algorithm, Checksum};
use crate::model::did::{Did, DidKind};
use crate::model::id::{DecisionId, DidId, EndpointId};
use crate::model::replica::{ReplicaState, Verification};
use crate::model::time::Timestamp;

const REPLICAS: u64 = 1_000_000;
const AT_ONCE: u64 = 1_000;
/// What a backup and a restore may need besides what the process had: frames, pages, the engine's
/// cache and tables in memory, never the lake.
const GROWN_KIB_MAX: u64 = 400 << 10;

fn put_file(txn: &Txn, number: u64) {
    let (id, parent, at) = (DidId(100 + number), DidId(1 + number / 10_000), Timestamp::from_millis(1_000 + number));
    let did: Did = format!("climate:era5/{:04}/t2m_{number:08}.nc", number / 10_000).parse().expect("a DID");
    let sum = blake3::hash(&number.to_be_bytes());
    let checksums = vec![Checksum::new(Algorithm::Blake3, *sum.as_bytes()).expect("32 bytes")];
    let content = DidContent::File(FileFacts { bytes: 1_000_000 + number, checksums, announced: false });
    let key = (did.scope.to_string(), did.name.to_string());
    txn.put::<DidNames>(&key, &NameRecord { id, kind: DidKind::File });
    let account = AccountName::root();
    txn.put::<Dids>(&(id,), &DidRecord { scope: did.scope, name: did.name, account, created_at: at, content });
    txn.put::<Contents>(&(parent, number), &ContentRecord::Member(id));
    txn.put::<Parents>(&(id, parent), &number);
    let replica = ReplicaRecord {
        state: ReplicaState::Available,
        verification: Verification::ReadBack,
        path: None,
        created_at: at,
        decision: DecisionId(u128::from(number / 10_000)),
    };
    txn.put::<Replicas>(&(id, EndpointId(1)), &replica);
}

/// The most memory that the process has had, in KiB, since this was asked last.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak");
    // From here on anew.
    fs::write("/proc/self/clear_refs", "5").expect("of this process");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// The memory that the process has.
fn resident_kib() -> u64 {
    peak_kib();
    peak_kib()
}

fn bytes_of(directory: &std::path::Path) -> u64 {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { bytes_of(&path) } else { path.metadata().map_or(0, |file| file.len()) }).sum()
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_million_replicas_are_backed_up_and_restored_in_bounded_memory() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (old, new, file) = (scratch.path().join("old"), scratch.path().join("new"), scratch.path().join("backup"));
    let catalog = on_disk(&old);
    fill(&catalog, Vec::new()).await;
    for chunk in 0..REPLICAS / AT_ONCE {
        let work = move |txn: Txn| {
            (chunk * AT_ONCE..(chunk + 1) * AT_ONCE).for_each(|number| put_file(&txn, number));
            async { Ok::<_, CatalogError>(()) }
        };
        catalog.transact_bulk(work).await.expect("written");
    }
    catalog.close().await.expect("closed");
    drop(catalog);
    let clock = crate::clock::SystemClock::shared();
    let told = |act: &str, begun: Duration, before: u64, peak: u64| {
        let took = clock.monotonic().saturating_sub(begun);
        let grown = peak.saturating_sub(before);
        println!("{act:<8} {:>7.1} s  peak {} MiB, {} MiB more", took.as_secs_f64(), peak >> 10, grown >> 10);
        assert!(grown < GROWN_KIB_MAX, "{act}: {before} KiB grew to {peak} KiB");
    };
    let catalog = on_disk(&old);
    let (begun, before) = (clock.monotonic(), resident_kib());
    let mut export = Export::begin(&catalog).await.expect("a backup");
    let mut out = File::create(&file).expect("a file");
    while let Some(piece) = export.next().await.expect("a piece") {
        out.write_all(&piece).expect("written");
    }
    out.sync_all().expect("kept");
    told("create", begun, before, peak_kib());
    let (rows, bytes) = (export.totals().rows(), export.bytes());
    let plain: u64 = export.totals().tables.iter().map(|table| table.bytes).sum();
    drop(export);
    catalog.close().await.expect("closed");
    drop(catalog);

    let open = || Reader::open(BufReader::with_capacity(1 << 20, File::open(&file).expect("a file"))).expect("a head");
    let (begun, before) = (clock.monotonic(), resident_kib());
    open().verify(|_| ()).expect("whole");
    told("verify", begun, before, peak_kib());
    let (begun, before) = (clock.monotonic(), resident_kib());
    let catalog = on_disk(&new);
    let (_, totals) = restore(&catalog, open(), |_| ()).await.expect("restored");
    told("restore", begun, before, peak_kib());
    assert_eq!(totals.rows(), rows);
    catalog.close().await.expect("closed");
    println!(
        "{rows} rows, {plain} bytes of rows, {bytes} in the backup; catalogs of {} and {} bytes",
        bytes_of(&old),
        bytes_of(&new)
    );
}
