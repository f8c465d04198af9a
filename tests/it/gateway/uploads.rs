//! Bytes in.

use futures::stream;

use crate::gateway::world::{World, blake3_of, bytes_of, pattern, refusal};

#[tokio::test]
async fn an_upload_is_answered_with_what_came() {
    let (world, content) = (World::new().await, pattern(2_000_000));
    let url = world.announce("deep/er/a.nc", &content).await;
    let response = world.client.put(&url).body(content.clone()).send().await.expect("served");
    assert_eq!(response.status(), 201);
    let told: serde_json::Value = response.json().await.expect("JSON");
    assert_eq!(told["did"], "s:deep/er/a.nc");
    assert_eq!((&told["bytes"], &told["checksum"]), (&2_000_000.into(), &blake3_of(&content).to_string().into()));
    // The answer may be lost on its way; sending again is answered alike.
    let again = world.client.put(&url).body(content.clone()).send().await.expect("served");
    assert_eq!(again.status(), 201);
    let url = world.url("s:deep/er/a.nc", 60).await;
    assert!(bytes_of(world.get(&url)).await == (200, content));
}

#[tokio::test]
async fn an_upload_of_other_bytes_is_refused_and_can_be_tried_again() {
    let world = World::new().await;
    let url = world.announce("a", b"right").await;
    let put = |body: &'static str| world.client.put(&url).body(body);
    assert_eq!(refusal(put("")).await, (411, "length-required".to_owned()));
    for wrong in ["righ", "right?"] {
        assert_eq!(refusal(put(wrong)).await, (400, "upload-wrong-length".to_owned()), "{wrong}");
    }
    assert_eq!(refusal(put("wrong")).await, (400, "upload-wrong-bytes".to_owned()));
    let chunks = stream::iter([Ok::<_, std::io::Error>("right")]);
    let chunked = world.client.put(&url).body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(refusal(chunked).await, (411, "length-required".to_owned()));
    let elsewhere = url.replace("/d/s/a?", "/d/s/b?");
    let out = refusal(world.client.put(&elsewhere).body("right")).await;
    assert_eq!(out, (403, "grant-out-of-scope".to_owned()));
    assert_eq!(put("right").send().await.expect("served").status(), 201);
    assert_eq!(bytes_of(world.get(&world.url("s:a", 60).await)).await, (200, b"right".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_heard_by_whoever_is_still_sending() {
    let (world, content) = (World::new().await, pattern(10_000_000));
    let (upload, read) = (world.announce("a", &content).await, world.put("b", b"b").await);
    let put = |url: &str, body: &[u8]| world.client.put(url).body(body.to_vec());
    for _ in 0..10 {
        assert_eq!(refusal(put(&read, &content)).await.0, 403);
        assert_eq!(refusal(put(&upload, &content[1..])).await.0, 400);
    }
    assert_eq!(put(&upload, &content).send().await.expect("served").status(), 201);
    for _ in 0..10 {
        assert_eq!(put(&upload, &content).send().await.expect("served").status(), 201);
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing_and_can_be_tried_again() {
    use tokio::io::AsyncWriteExt as _;

    let (world, content) = (World::new().await, pattern(500_000));
    let url = world.announce("a", &content).await;
    let target = url.strip_prefix(&world.lake.public_url).expect("ours");
    let mut socket = tokio::net::TcpStream::connect(world.address).await.expect("served");
    let head = format!("PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("taken");
    socket.write_all(&content[..100_000]).await.expect("taken");
    drop(socket);
    // The gateway notices in its own time; until then the file is taken for under way.
    let status = loop {
        let response = world.client.put(&url).body(content.clone()).send().await.expect("served");
        match response.status().as_u16() {
            409 => tokio::task::yield_now().await,
            status => break status,
        }
    };
    assert_eq!(status, 201);
    assert!(bytes_of(world.get(&world.url("s:a", 60).await)).await == (200, content));
}
