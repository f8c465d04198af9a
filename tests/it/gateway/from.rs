//! URLs that read from one endpoint and no other.

use dapple::fault::Fault as _;
use dapple::model::endpoint::{EndpointKind, EndpointName};
use dapple::service::urls;
use dapple::service::view::NewUrl;

use crate::gateway::world::{World, bytes_of, did, refusal};

fn wish(name: &str, from: &str) -> NewUrl {
    let from = Some(EndpointName::parse(from).expect("a name"));
    NewUrl { did: did(name), expires_seconds: 60, from, redirect: false }
}

/// A file at `x`, which is nearest, and at `m`; the copy at `x` was spoilt by somebody, so that it
/// tells where bytes come from.
async fn world() -> World {
    let world = World::new().await;
    world.put("a", b"abcdef").await;
    world.add_endpoint("m", EndpointKind::Memory).await;
    world.lake.stores.memory("m").insert("kept", b"abcdef".to_vec());
    world.register("m", "a", "kept", b"abcdef").await;
    std::fs::write(world.root("x").join("s/a"), b"ABCDEF").expect("writable");
    world
}

#[tokio::test]
async fn a_url_for_one_endpoint_reads_there_whatever_lies_nearer() {
    let world = world().await;
    for (from, content) in [("x", b"ABCDEF"), ("m", b"abcdef")] {
        let one = world.wish(wish("s:a", from)).await;
        let member = world.wish(wish("s:set", from)).await + "a";
        for url in [one, member] {
            assert_eq!(bytes_of(world.get(&url)).await, (200, content.to_vec()), "{from}");
            let (status, part) = bytes_of(world.get(&url).header("range", "bytes=2-3")).await;
            assert_eq!((status, &part[..]), (206, &content[2..4]), "{from}");
        }
    }
}

#[tokio::test]
async fn another_replica_is_never_read_instead() {
    let world = world().await;
    world.add_endpoint("z", EndpointKind::Memory).await;
    let (from_x, any) = (world.wish(wish("s:set", "x")).await + "a", world.url("s:a", 60).await);
    std::fs::remove_file(world.root("x").join("s/a")).expect("it was there");
    assert_eq!(refusal(world.get(&from_x)).await, (503, "unreadable".to_owned()));
    assert_eq!(refusal(world.get(&from_x).header("range", "bytes=0-0,2-2")).await.0, 503);
    assert_eq!(bytes_of(world.get(&any)).await, (200, b"abcdef".to_vec()), "any replica will do for others");
    // Not 404: readers of chunks would take the chunk for one that was never written.
    for name in ["s:a", "s:set"] {
        let url = world.wish(wish(name, "z")).await;
        let url = if name == "s:set" { url + "a" } else { url };
        assert_eq!(refusal(world.get(&url)).await, (409, "no-replica-there".to_owned()));
        let told = world.get(&url).send().await.expect("served").text().await.expect("text");
        assert!(told.contains("`s:a` is available at `z`") && told.contains("--from"), "{told}");
        let head = world.ask("HEAD", &url).send().await.expect("served");
        assert_eq!(head.status(), 200, "HEAD touches no storage, this one neither");
    }
    world.lake.stores.memory("z").insert("late", b"abcdef".to_vec());
    world.register("z", "a", "late", b"abcdef").await;
    let url = world.wish(wish("s:a", "z")).await;
    assert_eq!(bytes_of(world.get(&url)).await, (200, b"abcdef".to_vec()));
}

#[tokio::test]
async fn a_url_for_an_endpoint_that_is_not_there_is_not_made() {
    let world = world().await;
    let refused = urls::mint(&world.ctx, wish("s:a", "nowhere")).await.expect_err("there is none");
    assert_eq!((refused.code(), refused.to_string().as_str()), ("not-found", "there is no endpoint `nowhere`"));
}
