//! What the conformance suite cannot ask of every backend: faults, cuts and determinism.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::{Future, TryStreamExt};

use super::*;
use crate::fault::Fault as _;

const INTENT: IntentId = IntentId(7);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it waits only where it shall yield")
}

fn path(text: &str) -> StoragePath {
    StoragePath::parse(text).expect("valid")
}

fn chunks(parts: &[&'static str]) -> ByteStream {
    let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
    stream::iter(parts).boxed()
}

fn read(memory: &Memory, path: &StoragePath) -> Result<Vec<u8>, StorageError> {
    block_on(async { memory.read(path, None).await?.try_fold(Vec::new(), collect).await })
}

async fn collect(mut all: Vec<u8>, chunk: Bytes) -> Result<Vec<u8>, StorageError> {
    all.extend_from_slice(&chunk);
    Ok(all)
}

fn poll_once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_dropped_stage_leaves_its_part_and_the_store_outlives_its_users() {
    let memory = Memory::new();
    let path = path("a/b");
    let user = memory.clone();
    memory.faults().set_yielding(true);
    let mut staging = Box::pin(user.stage(&path, INTENT, 4, chunks(&["ab", "cd"])));
    while memory.lock().staged.values().all(|part| part.len() < 2) {
        assert!(poll_once(&mut staging).is_pending());
    }
    drop(staging);
    drop(user);
    assert_eq!(memory.lock().staged[&path.temporary(INTENT)], b"ab");
    assert_eq!(memory.paths(), [path.temporary(INTENT)]);
    memory.faults().set_yielding(false);
    block_on(memory.discard(&path, INTENT)).expect("up");
    assert!(memory.paths().is_empty());
}

#[test]
fn a_yielding_operation_can_be_cut_before_and_after_its_effect() {
    let memory = Memory::new();
    let path = path("a");
    memory.insert("a", "x");
    memory.faults().set_yielding(true);
    let mut cut_before = memory.delete(&path);
    assert!(poll_once(&mut cut_before).is_pending() && memory.content("a").is_some());
    drop(cut_before);
    assert!(memory.content("a").is_some());
    let mut cut_after = memory.delete(&path);
    assert!(poll_once(&mut cut_after).is_pending() && poll_once(&mut cut_after).is_pending());
    drop(cut_after);
    assert!(memory.content("a").is_none());
}

#[test]
fn switched_faults_show_as_what_they_are_and_are_lifted() {
    let memory = Memory::new();
    let path = path("a");
    memory.insert("a", "abcd");
    let stage = || block_on(memory.stage(&path, INTENT, 1, chunks(&["x"])));
    let code = |error: StorageError| error.code();

    memory.faults().set_denied(true);
    assert_eq!(stage().map_err(code), Err("storage-denied"));
    assert_eq!(read(&memory, &path).expect("reading is not denied"), b"abcd");
    memory.faults().clear();
    memory.faults().set_full(true);
    assert_eq!(stage().map_err(code), Err("storage-full"));
    memory.faults().clear();
    memory.faults().set_down(true);
    assert_eq!(block_on(memory.probe()).map_err(code), Err("storage-unavailable"));
    memory.faults().set_down(false);
    memory.faults().fail_next(StorageError::NoRoot { root: "r".to_owned() });
    assert_eq!(read(&memory, &path).map_err(code), Err("storage-no-root"));
    memory.faults().corrupt_next_read();
    assert_eq!(read(&memory, &path).expect("silent"), b"abbd");
    memory.faults().shorten_next_read();
    assert_eq!(read(&memory, &path).expect("silent"), b"ab");
    assert_eq!(read(&memory, &path).expect("lifted"), b"abcd");
    assert!(memory.rot("a") && memory.content("a").expect("there") == "abbd");
    assert!(memory.lose("a") && !memory.lose("a"));
}

#[test]
fn a_full_storage_says_so_and_keeps_what_it_had() {
    let memory = Memory::with_capacity(5);
    let path = path("a");
    memory.insert("old", "123");
    let error = block_on(memory.stage(&path, INTENT, 4, chunks(&["ab", "cd"]))).expect_err("5 bytes in all");
    assert_eq!(error.code(), "storage-full");
    assert_eq!(memory.paths(), ["old"]);
    let room = block_on(memory.room()).expect("up").expect("limited");
    assert_eq!((room.total_bytes, room.free_bytes), (5, 2));
}

#[test]
fn a_storage_that_goes_down_stops_what_is_under_way() {
    let memory = Memory::new();
    let path = path("a");
    memory.insert("a", vec![0; 3 * CHUNK_BYTES]);
    let mut content = block_on(memory.read(&path, None)).expect("up");
    assert!(block_on(content.next()).expect("a chunk").is_ok());
    memory.faults().set_down(true);
    assert!(block_on(content.next()).expect("an item").is_err());
    assert!(block_on(content.next()).is_none());
}

#[test]
fn who_may_only_be_read_is_well_for_readers() {
    let memory = Memory::new();
    let check = |what| block_on(memory.check(what)).map_err(|error| error.code());
    memory.faults().set_denied(true);
    assert_eq!((check(Check::Reading), check(Check::Writing)), (Ok(()), Err("storage-denied")));
    memory.faults().set_down(true);
    assert_eq!(check(Check::Reading), Err("storage-unavailable"));
}
