//! The promises, one function each.

use bytes::Bytes;
use dapple::model::checksum::Algorithm;
use dapple::model::id::IntentId;
use dapple::storage::backend::{ByteRange, CHUNK_BYTES_MAX, Overwrite, StorageError};
use dapple::storage::hash::{hash_stream, hashing};
use dapple::storage::layout::StoragePath;
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};

use super::world::{PUT, World, chunks, code, path, pattern};

const LENGTHS: [usize; 7] =
    [0, 1, 8_192, CHUNK_BYTES_MAX - 1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 5 * CHUNK_BYTES_MAX + 17];

pub(crate) async fn an_object_comes_back_as_it_was_put(world: &World) {
    for length in LENGTHS {
        let (path, content) = (path(&format!("s/{length}")), pattern(length));
        world.put(&path, &content).await;
        assert!(world.get(&path).await.expect("there") == content, "{length}");
        assert_eq!(world.store.stat(&path).await.expect("there").bytes, length as u64);
        let mut chunks = world.store.read(&path, None).await.expect("there");
        while let Some(chunk) = chunks.try_next().await.expect("readable") {
            assert!((1..=CHUNK_BYTES_MAX).contains(&chunk.len()));
        }
    }
}

pub(crate) async fn ranges_give_their_bytes_and_nothing_beyond_the_end(world: &World) {
    let (path, content) = (path("a/b"), pattern(3 * CHUNK_BYTES_MAX));
    world.put(&path, &content).await;
    let end = content.len();
    for (start, stop) in [(0, 0), (0, 1), (5, 5), (7, 1_500_000), (end - 1, end), (end, end), (0, end)] {
        let range = ByteRange { start: start as u64, end: stop as u64 };
        let stream = world.store.read(&path, Some(range)).await.expect("within");
        let got = super::world::whole(stream).await.expect("readable");
        assert!(got == content[start..stop], "{start}..{stop}");
    }
    for (start, stop) in [(0, end + 1), (end, end + 1), (end + 5, end + 9), (end + 1, 0)] {
        let range = ByteRange { start: start as u64, end: stop as u64 };
        assert_eq!(code(world.store.read(&path, Some(range)).await), "storage-wrong-length");
    }
}

pub(crate) async fn a_stream_of_another_length_is_refused_and_leaves_nothing(world: &World) {
    let large = 3 * CHUNK_BYTES_MAX;
    for (announced, sent) in [(1, 0), (0, 1), (10, 9), (10, 11), (large, large - 1), (large, large + 1), (1, large)] {
        let content = chunks(&pattern(sent), 100_000);
        let outcome = world.store.stage(&path("a/b/c"), PUT, announced as u64, content).await;
        match outcome {
            Err(StorageError::WrongLength { expected, found, .. }) => {
                assert_eq!(expected, announced as u64);
                assert!(found != expected && found <= sent as u64, "{found}");
            }
            other => panic!("{announced} announced, {sent} sent: {other:?}"),
        }
        world.assert_empty().await;
    }
}

pub(crate) async fn a_failing_stream_leaves_nothing(world: &World) {
    for good in [0, 1, 4] {
        let chunk = Bytes::from(pattern(CHUNK_BYTES_MAX));
        let broken = StorageError::Unavailable { path: "source".to_owned(), what: "cut".to_owned() };
        let items = (0..good).map(move |_| Ok(chunk.clone())).chain([Err(broken)]);
        let content = stream::iter(items).boxed();
        let outcome = world.store.stage(&path("a/b"), PUT, 5 << 20, content).await;
        assert!(outcome.expect_err("it broke").to_string().contains("source"), "its own words");
        world.assert_empty().await;
    }
}

pub(crate) async fn nothing_has_the_final_name_before_publishing(world: &World) {
    let path = path("a/b");
    world.stage(&path, PUT, b"content").await;
    assert_eq!(code(world.store.stat(&path).await), "storage-not-found");
    assert_eq!(code(world.get(&path).await), "storage-not-found");
    assert_eq!(world.get_staged(&path, PUT).await.expect("staged"), b"content");
    let staged = world.has_temporary_names.then(|| path.temporary(PUT));
    assert_eq!(world.paths().await, world.listable(staged), "a list shows what is staged under a name");
    let published = world.store.publish(&path, PUT, Overwrite::Refuse).await;
    published.expect("free");
    assert_eq!(world.get(&path).await.expect("published"), b"content");
    assert_eq!(code(world.get_staged(&path, PUT).await), "storage-not-found");
    assert_eq!(world.paths().await, ["a/b"]);
}

pub(crate) async fn publishing_refuses_to_replace_unless_asked(world: &World) {
    let path = path("a/b");
    world.put(&path, b"old").await;
    world.stage(&path, PUT, b"newer").await;
    let refused = world.store.publish(&path, PUT, Overwrite::Refuse).await;
    assert_eq!(code(refused), "storage-exists");
    assert_eq!(world.get(&path).await.expect("intact"), b"old");
    assert_eq!(world.get_staged(&path, PUT).await.expect("still staged"), b"newer");
    let replaced = world.store.publish(&path, PUT, Overwrite::Replace).await;
    replaced.expect("asked for");
    assert_eq!(world.get(&path).await.expect("replaced"), b"newer");
    assert_eq!(world.paths().await, ["a/b"]);
}

pub(crate) async fn publishing_what_was_never_staged_is_not_found(world: &World) {
    for overwrite in [Overwrite::Refuse, Overwrite::Replace] {
        let outcome = world.store.publish(&path("a/b"), PUT, overwrite).await;
        assert_eq!(code(outcome), "storage-not-found");
    }
    world.put(&path("a/b"), b"old").await;
    let outcome = world.store.publish(&path("a/b"), PUT, Overwrite::Replace).await;
    assert_eq!(code(outcome), "storage-not-found");
    assert_eq!(world.get(&path("a/b")).await.expect("intact"), b"old");
}

pub(crate) async fn discarding_is_repeatable_and_leaves_no_trace(world: &World) {
    let path = path("a/b/c/d");
    world.store.discard(&path, PUT).await.expect("nothing there is no error");
    world.stage(&path, PUT, b"content").await;
    for _ in 0..2 {
        world.store.discard(&path, PUT).await.expect("up");
        world.assert_empty().await;
    }
    assert_eq!(code(world.get_staged(&path, PUT).await), "storage-not-found");
}

pub(crate) async fn deleting_removes_the_object_alone(world: &World) {
    world.put(&path("a/b/c"), b"1").await;
    world.put(&path("a/b/d/e"), b"2").await;
    world.store.delete(&path("a/b/d/e")).await.expect("there");
    assert_eq!(code(world.store.delete(&path("a/b/d/e")).await), "storage-not-found");
    assert_eq!(world.get(&path("a/b/c")).await.expect("untouched"), b"1");
    world.store.delete(&path("a/b/c")).await.expect("there");
    world.assert_empty().await;
}

pub(crate) async fn what_is_missing_is_not_found(world: &World) {
    world.put(&path("a/b"), b"1").await;
    for missing in ["x", "a/x", "x/y/z"] {
        let missing = path(missing);
        assert_eq!(code(world.store.stat(&missing).await), "storage-not-found");
        assert_eq!(code(world.get(&missing).await), "storage-not-found");
        assert_eq!(code(world.get_staged(&missing, PUT).await), "storage-not-found");
        assert_eq!(code(world.store.delete(&missing).await), "storage-not-found");
    }
}

pub(crate) async fn a_list_has_everything(world: &World) {
    let mut paths: Vec<_> = (0..600).map(|i| format!("s/{}/{i:03}", i % 7)).collect();
    paths.push("top".to_owned());
    paths.push(vec!["deep"; 40].join("/"));
    paths.retain(|path| path.len() <= world.name_bytes_max);
    let store = &world.store;
    stream::iter(paths.iter().enumerate())
        .for_each_concurrent(16, |(number, text)| async move {
            let (path, intent) = (path(text), IntentId(number as u128));
            let content = chunks(text.as_bytes(), 10);
            store.stage(&path, intent, text.len() as u64, content).await.expect("room");
            store.publish(&path, intent, Overwrite::Refuse).await.expect("free");
        })
        .await;
    paths.sort();
    assert_eq!(world.paths().await, paths);
    let mut listing = world.store.list();
    while let Some(listed) = listing.try_next().await.expect("listable") {
        assert_eq!(listed.bytes, listed.path.len() as u64);
    }
}

pub(crate) async fn odd_names_are_names(world: &World) {
    let long = "l".repeat(240);
    let names = [
        "with space",
        "-rf",
        "--",
        "*",
        "?",
        "50%",
        "%2e%2e",
        "ünïcødé/文件/🦓",
        "a\\b",
        "'\"`$(x)",
        "~",
        "#",
        ";&|",
        "../../etc/passwd",
        "..",
        ".",
        "a/./b",
        "a//b",
        "/abs",
        "trailing/",
        ".hidden",
        ".dapple-x",
        " ",
        "CON",
        &long,
    ];
    let derived = names.iter().enumerate().map(|(number, name)| {
        let did = format!("s:{number}/{name}").parse().expect("a DID");
        StoragePath::derived(&did)
    });
    let longest = path(&format!("{0}/{0}", "x".repeat(255)));
    let deepest = path(&vec!["d"; 450].join("/"));
    let fitting = derived.chain([longest, deepest]).filter(|path| path.as_str().len() <= world.name_bytes_max);
    let (refused, all): (Vec<_>, Vec<_>) = fitting.partition(|path| (world.cannot_hold)(path.as_str()));
    for path in &refused {
        let outcome = world.store.stage(path, PUT, 1, chunks(b"x", 1)).await;
        assert_eq!(code(outcome), "storage-outside-root", "{path}");
    }
    for path in &all {
        world.put(path, path.as_str().as_bytes()).await;
    }
    assert_eq!(world.paths().await, world.listable(all.iter().map(ToString::to_string)));
    for path in &all {
        assert_eq!(world.get(path).await.expect("there"), path.as_str().as_bytes());
        world.store.delete(path).await.expect("there");
    }
    world.assert_empty().await;
}

pub(crate) async fn a_stage_begins_afresh_over_what_a_dropped_one_left(world: &World) {
    let path = path("a/b");
    let (reached, third) = tokio::sync::oneshot::channel();
    let mut reached = Some(reached);
    let hanging = (0..).map(|_| Bytes::from(vec![b'x'; CHUNK_BYTES_MAX]));
    let hanging = stream::iter(hanging).enumerate().then(move |(number, chunk)| {
        let stop = if number == 2 { reached.take() } else { None };
        async move {
            if let Some(stop) = stop {
                stop.send(()).expect("the test waits");
                futures::future::pending::<()>().await;
            }
            Ok(chunk)
        }
    });
    tokio::select! {
        outcome = world.store.stage(&path, PUT, 1 << 30, hanging.boxed()) => panic!("it cannot end: {outcome:?}"),
        third = third => third.expect("it was reached"),
    }
    world.stage(&path, PUT, b"short").await;
    assert_eq!(world.get_staged(&path, PUT).await.expect("staged"), b"short");
    world.store.publish(&path, PUT, Overwrite::Refuse).await.expect("free");
    assert_eq!(world.get(&path).await.expect("there"), b"short");
    assert_eq!(world.paths().await, ["a/b"]);
}

pub(crate) async fn intents_do_not_disturb_each_other(world: &World) {
    let path = path("a/b");
    let (one, two) = (IntentId(1), IntentId(2));
    world.stage(&path, one, b"one").await;
    world.stage(&path, two, b"two").await;
    assert_eq!(world.get_staged(&path, one).await.expect("staged"), b"one");
    world.store.discard(&path, one).await.expect("up");
    assert_eq!(world.get_staged(&path, two).await.expect("staged"), b"two");
    world.store.publish(&path, two, Overwrite::Refuse).await.expect("free");
    assert_eq!(world.get(&path).await.expect("there"), b"two");
}

pub(crate) async fn of_concurrent_publishes_one_wins(world: &World) {
    for round in 0..20 {
        let path = path(&format!("a/{round}"));
        let intents: Vec<_> = (0..8).map(IntentId).collect();
        for intent in &intents {
            world.stage(&path, *intent, intent.to_string().as_bytes()).await;
        }
        let publishing = intents.iter().map(|intent| world.store.publish(&path, *intent, Overwrite::Refuse));
        let outcomes = join_all(publishing).await;
        let won: Vec<_> = intents.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        assert_eq!(world.get(&path).await.expect("there"), won[0].0.to_string().as_bytes());
        for outcome in outcomes.into_iter().filter(Result::is_err) {
            assert_eq!(code(outcome), "storage-exists");
        }
        for intent in &intents {
            world.store.discard(&path, *intent).await.expect("up");
        }
        assert_eq!(world.paths().await, [path.as_str()]);
        world.store.delete(&path).await.expect("there");
    }
    world.assert_empty().await;
}

/// Each goes through directories that the others find empty and remove.
pub(crate) async fn many_objects_come_and_go_at_once(world: &World) {
    let tasks = (0..24_u128).map(|number| {
        let store = world.store.clone();
        tokio::spawn(async move {
            let path = path(&format!("a/b/{}/{number}", number % 3));
            for round in 0..10 {
                let content = format!("{number}-{round}");
                let stream = chunks(content.as_bytes(), 3);
                store.stage(&path, IntentId(number), content.len() as u64, stream).await?;
                store.publish(&path, IntentId(number), Overwrite::Refuse).await?;
                assert_eq!(store.stat(&path).await?.bytes, content.len() as u64);
                store.delete(&path).await?;
            }
            Ok::<_, StorageError>(())
        })
    });
    for outcome in join_all(tasks).await {
        outcome.expect("no panic").expect("nobody is disturbed");
    }
    world.assert_empty().await;
}

pub(crate) async fn a_copy_within_a_store_equals_its_source(world: &World) {
    for length in LENGTHS {
        let (from, to) = (path("from"), path(&format!("to/{length}")));
        world.put(&from, &pattern(length)).await;
        let copied = world.store.stage_copy(&to, PUT, length as u64, &*world.store, &from).await;
        if copied.expect("both are there").is_some() {
            assert!(world.get_staged(&to, PUT).await.expect("staged") == pattern(length));
            world.store.publish(&to, PUT, Overwrite::Refuse).await.expect("free");
            world.store.delete(&to).await.expect("there");
        }
        world.store.delete(&from).await.expect("there");
        world.assert_empty().await;
    }
}

pub(crate) async fn hashes_taken_in_passing_equal_those_read_back(world: &World) {
    let (path, content) = (path("a"), pattern(3_000_000));
    let algorithms = [Algorithm::Adler32, Algorithm::Md5, Algorithm::Sha256];
    let (stream, passing) = hashing(chunks(&content, 70_000), &algorithms);
    world.store.stage(&path, PUT, content.len() as u64, stream).await.expect("room");
    let staged = world.store.read_staged(&path, PUT).await.expect("staged");
    let read_back = hash_stream(staged.content, &algorithms).await.expect("readable");
    let sent = passing.finish();
    assert_eq!((sent.bytes, sent.checksums.len()), (3_000_000, 4));
    assert_eq!(read_back, sent);
}

pub(crate) async fn a_probe_leaves_nothing(world: &World) {
    world.store.probe().await.expect("writable");
    world.assert_empty().await;
    let room = world.store.room().await.expect("up");
    assert!(room.is_none_or(|room| room.free_bytes <= room.total_bytes));
}

/// More than any backend sends in one piece.
const SEVERAL_PARTS: usize = (20 << 20) + 17;

pub(crate) async fn an_object_of_several_parts_comes_back(world: &World) {
    let (path, content) = (path("a/b"), pattern(SEVERAL_PARTS));
    world.put(&path, &content).await;
    assert!(world.get(&path).await.expect("there") == content);
    assert_eq!(world.store.stat(&path).await.expect("there").bytes, content.len() as u64);
    let range = ByteRange { start: (8 << 20) - 3, end: (16 << 20) + 3 };
    let across = world.store.read(&path, Some(range)).await.expect("within");
    assert!(super::world::whole(across).await.expect("readable") == content[(8 << 20) - 3..(16 << 20) + 3]);
}

pub(crate) async fn an_object_of_several_parts_replaces_only_when_asked(world: &World) {
    let (path, content) = (path("a/b"), pattern(SEVERAL_PARTS));
    world.put(&path, b"old").await;
    world.stage(&path, PUT, &content).await;
    assert_eq!(code(world.store.publish(&path, PUT, Overwrite::Refuse).await), "storage-exists");
    assert_eq!(world.get(&path).await.expect("intact"), b"old");
    world.store.publish(&path, PUT, Overwrite::Replace).await.expect("asked for");
    assert!(world.get(&path).await.expect("replaced") == content);
    assert_eq!(world.paths().await, ["a/b"]);
    for sent in [SEVERAL_PARTS - 1, SEVERAL_PARTS + 1] {
        let outcome = world.store.stage(&path, PUT, SEVERAL_PARTS as u64, chunks(&pattern(sent), 1 << 20)).await;
        assert_eq!(code(outcome), "storage-wrong-length");
    }
    assert_eq!(code(world.store.publish(&path, PUT, Overwrite::Replace).await), "storage-not-found");
    assert!(world.get(&path).await.expect("intact") == content);
}

pub(crate) async fn several_parts_are_copied_within_a_store(world: &World) {
    let (from, to, content) = (path("a/from ü+"), path("b/to"), pattern(SEVERAL_PARTS));
    world.put(&from, &content).await;
    let copied = world.store.stage_copy(&to, PUT, content.len() as u64, &*world.store, &from).await;
    let copied = copied.expect("both are there");
    assert!(copied.is_some() || !world.must_copy, "it can copy by itself");
    if copied.is_some() {
        assert!(world.get_staged(&to, PUT).await.expect("staged") == content);
        assert_eq!(code(world.store.stat(&to).await), "storage-not-found");
        world.store.publish(&to, PUT, Overwrite::Refuse).await.expect("free");
        assert!(world.get(&to).await.expect("there") == content);
    }
}
