//! Where the bytes come from when storages fail.

use dapple::model::endpoint::{EndpointKind, EndpointName};
use dapple::service::endpoints;
use dapple::service::view::EndpointState;
use dapple::storage::backend::StorageError;

use crate::gateway::world::{World, bytes_of, pattern, refusal};

#[tokio::test]
async fn head_needs_no_storage_and_get_says_when_there_is_none() {
    let world = World::new().await;
    let url = world.put("a", b"abc").await;
    std::fs::remove_dir_all(world.root("x")).expect("removable");
    let head = world.ask("HEAD", &url).send().await.expect("served");
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"3".parse().unwrap()));
    assert_eq!(refusal(world.get(&url)).await, (503, "unreadable".to_owned()));
    assert_eq!(refusal(world.get(&url).header("range", "bytes=0-0,2-2")).await.0, 503);
}

#[tokio::test]
async fn a_replica_that_is_gone_or_too_short_is_passed_over() {
    let (world, content) = (World::new().await, pattern(100_000));
    let url = world.put("a", &content).await;
    world.add_endpoint("y", EndpointKind::Posix).await;
    std::fs::write(world.root("y").join("copy"), &content).expect("writable");
    world.register("y", "a", "copy", &content).await;
    let first = std::fs::read_dir(world.root("x")).expect("there").next().expect("a scope");
    let first = first.expect("readable").path().join("a");
    std::fs::write(&first, &content[..99_999]).expect("it was there");
    assert!(bytes_of(world.get(&url)).await == (200, content.clone()), "too short");
    std::fs::remove_file(&first).expect("it was there");
    assert!(bytes_of(world.get(&url)).await == (200, content.clone()), "gone");
    let (status, part) = bytes_of(world.get(&url).header("range", "bytes=70000-")).await;
    assert!(status == 206 && part == content[70_000..]);
    let (status, _) = bytes_of(world.get(&url).header("range", "bytes=0-0,5-5")).await;
    assert_eq!(status, 206);
    std::fs::remove_file(world.root("y").join("copy")).expect("it was there");
    assert_eq!(refusal(world.get(&url)).await, (503, "unreadable".to_owned()));
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_soon_asked_last() {
    let world = World::new().await;
    let url = world.put("a", b"right").await;
    world.add_endpoint("y", EndpointKind::Memory).await;
    let store = world.lake.stores.memory("y");
    store.insert("kept", &b"right"[..]);
    world.register("y", "a", "kept", b"right").await;
    let (there, away) = (world.root("x"), world.root("gone"));
    std::fs::rename(&there, &away).expect("movable");
    for _ in 0..5 {
        assert_eq!(bytes_of(world.get(&url)).await, (200, b"right".to_vec()), "the other has it");
    }
    // It is back, but nobody has found out: its bytes tell who is asked first.
    std::fs::rename(&away, &there).expect("movable");
    store.insert("kept", &b"other"[..]);
    assert_eq!(bytes_of(world.get(&url)).await, (200, b"other".to_vec()));
    store.lose("kept");
    assert_eq!(bytes_of(world.get(&url)).await, (200, b"right".to_vec()), "but it is asked");
    store.insert("kept", &b"other"[..]);
    assert_eq!(bytes_of(world.get(&url)).await, (200, b"other".to_vec()), "one that rests goes on resting");
    let x = EndpointName::parse("x").expect("a name");
    let state = async || endpoints::show(&world.ctx, &x).await.expect("it is there").state;
    assert_eq!(state().await, EndpointState::Resting);
    endpoints::probe(&world.ctx, &x).await.expect("it is well");
    assert_eq!(state().await, EndpointState::Well);
    assert_eq!(bytes_of(world.get(&url)).await, (200, b"right".to_vec()), "until somebody has seen it work");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    let (world, content) = (World::new().await, pattern(4_000_000));
    world.add_endpoint("m", EndpointKind::Memory).await;
    let store = world.lake.stores.memory("m");
    store.insert("kept", content.clone());
    world.register("m", "a", "kept", &content).await;
    let url = world.url("s:a", 60).await;
    assert!(bytes_of(world.get(&url)).await == (200, content.clone()));
    let whole = async |request: reqwest::RequestBuilder| match request.send().await {
        Ok(response) => response.bytes().await.is_ok(),
        // It broke off before its head was sent.
        Err(_) => false,
    };
    store.faults().shorten_next_read();
    assert!(!whole(world.get(&url)).await);
    for range in ["bytes=0-", "bytes=100-3999999", "bytes=100-2999999,3999999-"] {
        store.faults().shorten_next_read();
        assert!(!whole(world.get(&url).header("range", range)).await, "{range}");
        assert!(whole(world.get(&url).header("range", range)).await, "{range}");
    }
    store.faults().fail_next(StorageError::Denied { path: "kept".to_owned() });
    assert_eq!(refusal(world.get(&url)).await, (503, "unreadable".to_owned()));
    assert!(bytes_of(world.get(&url)).await == (200, content), "and then all is well");
}
