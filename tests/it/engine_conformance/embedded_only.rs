//! What only an engine with files can be asked: restarts, kills, locks, damage.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dapple::catalog::engine::embedded::{Embedded, EmbeddedSettings};
use dapple::catalog::engine::{Engine, EngineError, Range, Table, Tx, Verdict};
use dapple::clock::SystemClock;

use super::{LEFT, RIGHT, number, open, put, rows, to_value, transact};

/// Where the child of the kill test finds its catalog; without it the child does nothing.
const CHILD_DIRECTORY: &str = "DAPPLE_TEST_CRASH_CHILD";
/// Set to 1 for two hundred kills instead of a few.
const LONG: &str = "DAPPLE_TEST_LONG";

/// Rows of different transactions that the kill test keeps side by side.
const GROUPS: u64 = 16;
const ROWS_PER_TABLE: u64 = 5;

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    for start in 0..4_u64 {
        let engine: Arc<dyn Engine> = open(directory.path()).unwrap();
        let expected: Vec<_> = (0..start * 3).map(|n| (to_value(n), to_value(n * n))).collect();
        assert_eq!(rows(&engine, LEFT).await, expected);
        assert_eq!(rows(&engine, RIGHT).await, expected);
        assert_eq!(engine.changes(0, 99).await.unwrap().len(), expected.len());
        for n in start * 3..start * 3 + 3 {
            let write = move |tx: Tx| async move {
                tx.put(LEFT, to_value(n), to_value(n * n));
                tx.put(RIGHT, to_value(n), to_value(n * n));
                tx.emit(to_value(n));
                Ok(Verdict::Commit)
            };
            assert_eq!(transact(&engine, write).await.unwrap(), n + 1);
        }
        // Every other time it is just dropped.
        if start % 2 == 0 {
            engine.close().await.unwrap();
            assert_eq!(journal_bytes(directory.path()), 0);
        }
    }
}

fn journal_bytes(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory.join("database")).unwrap().map(Result::unwrap);
    let journals = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "jnl"));
    journals.map(|file| file.metadata().unwrap().len()).sum()
}

/// fjall's own snapshots are torn now and then when a flush meets a batch under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_whole_while_tables_are_flushed() {
    let directory = tempfile::tempdir().unwrap();
    let always_flushing = EmbeddedSettings { memtable_bytes: 64 << 10, ..EmbeddedSettings::default() };
    let engine = Embedded::open(directory.path(), &always_flushing, SystemClock::shared()).unwrap();
    let engine: Arc<dyn Engine> = engine;
    let is_over = Arc::new(AtomicBool::new(false));
    let (reading, until) = (engine.clone(), is_over.clone());
    let reader = tokio::spawn(async move {
        while !until.load(Ordering::Relaxed) {
            let snapshot = reading.snapshot().await.unwrap();
            let first = snapshot.get(LEFT, b"first").await.unwrap();
            assert_eq!(first, snapshot.get(RIGHT, b"last").await.unwrap());
        }
    });
    for n in 0..100 {
        let write = move |tx: Tx| async move {
            tx.put(LEFT, Bytes::from("first"), to_value(n));
            for row in 0..100 {
                tx.put(LEFT, to_value(n * 7_919 % 100 * 1_000 + row), Bytes::from(vec![1; 1_000]));
            }
            tx.put(RIGHT, Bytes::from("last"), to_value(n));
            Ok(Verdict::Commit)
        };
        transact(&engine, write).await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    reader.await.unwrap();
}

#[tokio::test]
async fn a_second_process_is_turned_away() {
    let directory = tempfile::tempdir().unwrap();
    let engine: Arc<dyn Engine> = open(directory.path()).unwrap();
    assert!(engine.is_exclusive());
    match open(directory.path()).map(drop) {
        Err(EngineError::Locked { path }) => assert_eq!(path, directory.path().display().to_string()),
        other => panic!("{other:?}"),
    }
    put(&engine, LEFT, "a", "").await;
    drop(engine);
    open(directory.path()).unwrap();
}

#[tokio::test]
async fn a_store_behind_its_watermark_is_refused() {
    let (directory, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let commit = async |count: u64| {
        let engine: Arc<dyn Engine> = open(directory.path()).unwrap();
        for n in 0..count {
            put(&engine, LEFT, to_value(n), "").await;
        }
        engine.close().await.unwrap();
    };
    let database = directory.path().join("database");
    commit(3).await;
    copy(&database, &old.path().join("database"));
    commit(5).await;
    std::fs::remove_dir_all(&database).unwrap();
    copy(&old.path().join("database"), &database);
    match open(directory.path()).map(drop) {
        Err(EngineError::Corrupt { what }) => assert!(what.contains("newest 5 batches"), "{what}"),
        other => panic!("{other:?}"),
    }
    std::fs::remove_dir_all(&database).unwrap();
    match open(directory.path()).map(drop) {
        Err(EngineError::Corrupt { what }) => assert!(what.contains("newest 8 batches"), "{what}"),
        other => panic!("{other:?}"),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_damaged_table_file_is_an_error_not_a_wrong_answer() {
    let directory = tempfile::tempdir().unwrap();
    let engine: Arc<dyn Engine> = open(directory.path()).unwrap();
    for n in 0..50 {
        put(&engine, LEFT, to_value(n), vec![n as u8; 4_000]).await;
    }
    engine.close().await.unwrap();
    drop(engine);
    let largest = largest_file(&directory.path().join("database").join("keyspaces"));
    let mut bytes = std::fs::read(&largest).unwrap();
    bytes[50_000] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    let engine: Arc<dyn Engine> = open(directory.path()).unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    let all = Range::prefix(&[], usize::MAX);
    let outcome = snapshot.scan(LEFT, &all).await.map(|rows| rows.len());
    assert!(matches!(outcome, Err(EngineError::Corrupt { .. })), "{outcome:?}");
}

fn largest_file(directory: &Path) -> PathBuf {
    let mut open = vec![directory.to_owned()];
    let mut largest = (0, directory.to_owned());
    while let Some(directory) = open.pop() {
        for file in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let about = file.metadata().unwrap();
            if about.is_dir() {
                open.push(file.path());
            } else {
                largest = largest.max((about.len(), file.path()));
            }
        }
    }
    largest.1
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let rounds = if std::env::var(LONG).is_ok_and(|long| long == "1") { 200 } else { 8 };
    let directory = tempfile::tempdir().unwrap();
    let clock = SystemClock::shared();
    let mut acknowledged = 0;
    for round in 0..rounds {
        // One kill in four hits the start or the recovery, the others the writing.
        let is_early = round % 4 == 3;
        let pause = Duration::from_millis(clock.random() % 300);
        acknowledged = write_until_killed(directory.path(), is_early, pause).max(acknowledged);
        let engine: Arc<dyn Engine> = open(directory.path()).unwrap();
        let last = check_whole(&engine).await;
        assert!(last >= acknowledged, "round {round}: {last} of {acknowledged}");
        acknowledged = last;
    }
    assert!(acknowledged > 0);
}

/// Has a child write, and kills it. The number of the newest transaction it acknowledged.
fn write_until_killed(directory: &Path, is_early: bool, pause: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["engine_conformance::embedded_only::crashing_writer", "--exact", "--nocapture"])
        .env(CHILD_DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (begun, begins) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut newest = 0_u64;
        let lines = output.lines().map_while(Result::ok);
        for line in lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<u64>().ok()) {
            newest = line.max(newest);
            let _ = begun.send(());
        }
        newest
    });
    if !is_early {
        begins.recv_timeout(Duration::from_mins(1)).unwrap();
    }
    std::thread::sleep(pause);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// The child: four callers commit transactions over several tables and say so, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashing_writer() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else {
        return;
    };
    let engine: Arc<dyn Engine> = open(Path::new(&directory)).unwrap();
    // libtest has begun a line.
    println!();
    let callers = (0..4).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move {
            loop {
                let done = Arc::new(AtomicU64::new(0));
                let told = done.clone();
                let body = move |tx: Tx| write_group(tx, told.clone());
                transact(&engine, body).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {}", done.load(Ordering::Relaxed)).unwrap();
                out.flush().unwrap();
            }
        })
    });
    futures::future::join_all(callers).await;
}

/// Writes the next transaction's rows over those of one some time ago, with a checksum over all.
async fn write_group(tx: Tx, told: Arc<AtomicU64>) -> Result<Verdict, EngineError> {
    let n = number(tx.get(LEFT, b"last").await?) + 1;
    let mut checksum = blake3::Hasher::new();
    for table in [LEFT, RIGHT] {
        for row in 0..ROWS_PER_TABLE {
            let value = value_of(n, table, row);
            checksum.update(&value);
            tx.put(table, row_key(n, row), value);
        }
    }
    let checksum = checksum.finalize();
    tx.put(RIGHT, checksum_key(n), Bytes::copy_from_slice(checksum.as_bytes()));
    tx.put(LEFT, Bytes::from("last"), to_value(n));
    tx.emit(to_value(n));
    told.store(n, Ordering::Relaxed);
    Ok(Verdict::Commit)
}

fn row_key(n: u64, row: u64) -> Bytes {
    Bytes::from(format!("group {} row {row}", n % GROUPS))
}

fn checksum_key(n: u64) -> Bytes {
    Bytes::from(format!("group {} checksum", n % GROUPS))
}

fn value_of(n: u64, table: Table, row: u64) -> Bytes {
    let seed = blake3::hash(format!("{n} {} {row}", table.name).as_bytes());
    let size = 60 + usize::from(seed.as_bytes()[0]);
    let mut value = vec![0; size];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut value);
    value.into()
}

/// Recomputes the state from the number of the newest transaction, which it returns.
async fn check_whole(engine: &Arc<dyn Engine>) -> u64 {
    let snapshot = engine.snapshot().await.unwrap();
    let last = number(snapshot.get(LEFT, b"last").await.unwrap());
    for n in last.saturating_sub(GROUPS - 1).max(1)..=last {
        let mut checksum = blake3::Hasher::new();
        for table in [LEFT, RIGHT] {
            for row in 0..ROWS_PER_TABLE {
                let value = snapshot.get(table, &row_key(n, row)).await.unwrap();
                let value = value.expect("a row of an acknowledged transaction");
                assert!(value == value_of(n, table, row), "row {row} of {n} is torn");
                checksum.update(&value);
            }
        }
        let stored = snapshot.get(RIGHT, &checksum_key(n)).await.unwrap();
        assert_eq!(stored.as_deref(), Some(&checksum.finalize().as_bytes()[..]));
    }
    let newest = engine.changes(last.saturating_sub(1), 9).await.unwrap();
    let expected = (last > 0).then(|| (last, to_value(last)));
    assert_eq!(newest.into_iter().map(|entry| (entry.seq, entry.change)).next(), expected);
    last
}
