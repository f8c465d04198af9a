//! URLs without a grant: what is public opens to everybody, the rest to whoever shows a key that may
//! read it, and what is hidden looks like what is not there.

use dapple::service::labels::label_did;
use dapple::service::view::LabelsChange;

use crate::gateway::world::{World, bytes_of, did, refusal};

fn plain(signed: &str) -> &str {
    signed.split_once('?').expect("a signed URL").0
}

#[tokio::test]
async fn a_url_without_a_grant_opens_what_its_reader_may_read() {
    let world = World::new().await;
    let (open, kept) = (world.put("open", b"abc").await, world.put("kept", b"def").await);
    let (open, kept) = (plain(&open), plain(&kept));
    label_did(&world.ctx, did("s:open"), LabelsChange { labels: vec!["classification=public".to_owned()] })
        .await
        .expect("root may");

    assert_eq!(bytes_of(world.get(open)).await, (200, b"abc".to_vec()));
    assert_eq!(bytes_of(world.get(open).header("range", "bytes=1-1")).await, (206, b"b".to_vec()));
    let head = world.ask("HEAD", open).send().await.expect("served");
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"3".parse().expect("a value")));

    let needs_key = (401, "unauthenticated".to_owned());
    assert_eq!(refusal(world.get(kept)).await, needs_key);
    assert_eq!(refusal(world.get(&format!("{}/d/s/nothing", world.lake.public_url))).await, needs_key, "as if hidden");
    assert_eq!(bytes_of(world.get(kept).bearer_auth("key")).await, (200, b"def".to_vec()));
    for bad in [open, kept] {
        assert_eq!(refusal(world.get(bad).bearer_auth("wrong")).await, needs_key, "a bad key is told of");
    }
    let missing = format!("{}/d/s/nothing", world.lake.public_url);
    assert_eq!(refusal(world.get(&missing).bearer_auth("key")).await, (404, "not-found".to_owned()));
    let set = format!("{}/d/s/set", world.lake.public_url);
    assert_eq!(refusal(world.get(&set).bearer_auth("key")).await, (400, "invalid-kind".to_owned()));
    let put = world.client.put(kept).bearer_auth("key").body("x");
    assert_eq!(refusal(put).await, (400, "grant-malformed".to_owned()), "nothing is written without a grant");
}
