//! Limits: what is too large, too much or too slow is refused or cut off; what merely takes long is not.

use dapple::service::view::{NewUpload, NewUploads, NewUrl, UploadView};
use reqwest::{Client, Method, StatusCode};

use super::super::blake3_of;
use super::{Duration, Instant, PATIENCE, TestLake, connect, did, name, problem, read_to_end, send};

#[tokio::test]
async fn what_is_too_large_is_refused_by_its_name() {
    let settings = "[limits]\nheader_bytes = \"4KiB\"\nuri_bytes = 300\njson_bytes = \"16KiB\"\n";
    let lake = TestLake::with_settings(settings, &[]).await;
    let http = Client::new();
    let url = |path: &str| format!("{}{path}", lake.url());
    let long = http.get(url("/health")).query(&[("q", "x".repeat(300))]).send().await.expect("an answer");
    assert_eq!(problem(long).await, (414, "uri-too-long".to_owned()));
    let heavy = http.get(url("/health")).header("x-heavy", "x".repeat(4 << 10)).send().await.expect("an answer");
    assert_eq!(problem(heavy).await, (431, "headers-too-large".to_owned()));
    // What is larger still is not even read.
    let mut stream = connect(&lake).await;
    let head = format!("GET /health HTTP/1.1\r\nhost: h\r\nx-heavy: {}\r\n\r\n", "x".repeat(64 << 10));
    send(&mut stream, head.as_bytes()).await;
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 431 "));
    let body = format!("{{\"scope\": \"{}\"}}", "x".repeat(16 << 10));
    let large = http.post(url("/api/v1/scopes")).bearer_auth(lake.key()).body(body).send().await.expect("an answer");
    assert_eq!(problem(large).await, (413, "body-too-large".to_owned()));
    // Who has shown no key is heard for less.
    let body = format!("{{\"account\": \"{}\"}}", "x".repeat(9 << 10));
    let sign_in = http.post(url("/api/v1/sessions")).header("authorization", "Bearer none").body(body);
    assert_eq!(problem(sign_in.send().await.expect("an answer")).await, (413, "body-too-large".to_owned()));
    let form = http.post(url("/sign-in")).header("content-type", "application/x-www-form-urlencoded");
    let form = form.header("origin", lake.url()).body(format!("account={}", "x".repeat(9 << 10)));
    assert_eq!(form.send().await.expect("an answer").status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(http.get(url("/health")).send().await.expect("an answer").status(), StatusCode::OK);
}

#[tokio::test]
async fn who_asks_too_often_waits_and_others_do_not() {
    let settings = "[limits]\nrequests_per_second = 1\nrequests_at_once = 3\n[proxies]\ntrusted = [\"127.0.0.0/8\"]\n";
    let lake = TestLake::with_settings(settings, &[]).await;
    let http = Client::new();
    let ask = |path: &str, from: &str, key: Option<&str>| {
        let request = http.get(format!("{}{path}", lake.url())).header("x-forwarded-for", from);
        let request = if let Some(key) = key { request.bearer_auth(key) } else { request };
        async move { request.send().await.expect("an answer") }
    };
    // More than a second may pass between two of them, but not between all.
    let (one, other) = ("203.0.113.1", "198.51.100.7, 203.0.113.2");
    let mut answers = Vec::new();
    for _ in 0..12 {
        answers.push(ask("/health", one, None).await);
    }
    let refused = answers.into_iter().find(|answer| answer.status() == 429).expect("one came too soon");
    assert_eq!(refused.headers()["retry-after"], "1", "less than a second, rounded up");
    assert_eq!(problem(refused).await, (429, "rate-limited".to_owned()));
    assert_eq!(ask("/health", other, None).await.status(), 200, "another address");
    assert_eq!(ask("/health", "203.0.113.1, 203.0.113.3", None).await.status(), 200, "what a stranger said counts not");
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(ask("/api/v1/scopes", "203.0.113.4", Some(lake.key())).await.status().as_u16());
    }
    assert!(statuses.contains(&429) && statuses.contains(&200), "an account: {statuses:?}");
    let elsewhere = ask("/api/v1/scopes", "203.0.113.5", Some(lake.key())).await;
    assert_eq!(elsewhere.status(), 429, "the same account, wherever it asks from");
    let mut statuses = Vec::new();
    for guess in 0..12 {
        let key = format!("dapple_{guess}");
        statuses.push(ask("/api/v1/scopes", "203.0.113.6", Some(&key)).await.status().as_u16());
    }
    assert!(statuses.contains(&429) && statuses[0] == 401, "keys that are guessed: {statuses:?}");
    // A key that nobody looks at spares nobody the count, whatever the answer is.
    for (path, from) in [("/api/v1/openapi.json", "203.0.113.7"), ("/api/v1/sessions", "203.0.113.8")] {
        let mut statuses = Vec::new();
        for _ in 0..12 {
            statuses.push(ask(path, from, Some("dapple_none")).await.status().as_u16());
        }
        assert!(statuses.contains(&429) && statuses[0] != 429, "{path}: {statuses:?}");
    }
    // One that is good takes nothing from what the address may guess.
    for _ in 0..3 {
        ask("/api/v1/scopes", "203.0.113.9", Some(lake.key())).await;
    }
    for guess in 0..3 {
        let status = ask("/api/v1/scopes", "203.0.113.9", Some(&format!("dapple_{guess}"))).await.status();
        assert_eq!(status, 401, "guess {guess}");
    }
}

#[tokio::test]
async fn nobody_is_taken_for_a_proxy_who_is_none() {
    let lake = TestLake::with_settings("[limits]\nrequests_per_second = 1\nrequests_at_once = 3\n", &[]).await;
    let http = Client::new();
    let mut statuses = Vec::new();
    for number in 0..12 {
        let request =
            http.get(format!("{}/health", lake.url())).header("x-forwarded-for", format!("203.0.113.{number}"));
        statuses.push(request.send().await.expect("an answer").status().as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_one_to_end() {
    let lake = TestLake::with_settings("[limits]\nconnections = 2\n", &[]).await;
    // The client of the lake has one; it is idle, and counts.
    let mut held = connect(&lake).await;
    send(&mut held, b"GET /health HTTP/1.1\r\n").await;
    let mut waits = connect(&lake).await;
    send(&mut waits, b"GET /health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    let mut read = [0; 1];
    let early = tokio::time::timeout(Duration::from_millis(300), tokio::io::AsyncReadExt::read(&mut waits, &mut read));
    assert!(early.await.is_err(), "nothing is read of it yet");
    drop(held);
    assert!(read_to_end(&mut waits).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn one_address_has_its_share_of_connections() {
    let lake = TestLake::with_settings("[limits]\nconnections_per_address = 3\n", &[]).await;
    // The client of the lake has one.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut one = connect(&lake).await;
        send(&mut one, b"GET /health HTTP/1.1\r\n").await;
        held.push(one);
    }
    let refused = async || {
        let mut one = connect(&lake).await;
        // It may be closed already.
        let _ = tokio::io::AsyncWriteExt::write_all(
            &mut one,
            b"GET /health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
        )
        .await;
        read_to_end(&mut one).await.is_empty()
    };
    assert!(refused().await, "one too many");
    drop(held);
    let began = Instant::now();
    while refused().await {
        assert!(began.elapsed() < PATIENCE, "those that ended are not counted");
    }
    let settings = "[limits]\nconnections_per_address = 1\n[proxies]\ntrusted = \"127.0.0.0/8\"\n";
    let lake = TestLake::with_settings(settings, &[]).await;
    let (_held, mut other) = (connect(&lake).await, connect(&lake).await);
    send(&mut other, b"GET /health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    assert!(read_to_end(&mut other).await.starts_with("HTTP/1.1 200 "), "a proxy speaks for many");
}

#[tokio::test]
async fn who_is_slow_on_purpose_is_cut_off() {
    let settings = "[limits]\nheader_time = \"1s\"\nstall_time = \"1s\"\nrequest_time = \"2s\"\n";
    let lake = TestLake::with_settings(settings, &["x"]).await;
    // A head that never ends, and a connection on which nothing comes.
    let began = Instant::now();
    let (mut drips, mut idle) = (connect(&lake).await, connect(&lake).await);
    send(&mut drips, b"GET /health HTTP/1.1\r\nhost: h\r\nx-").await;
    assert!(!read_to_end(&mut drips).await.contains(" 200 "));
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(began.elapsed() >= Duration::from_millis(900), "not before its time");
    // A JSON body that stands still.
    let mut stalls = connect(&lake).await;
    let head = format!("POST /api/v1/scopes HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n", lake.key());
    send(&mut stalls, format!("{head}content-length: 100\r\n\r\n{{").as_bytes()).await;
    let answer = read_to_end(&mut stalls).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("nothing was sent for 1 seconds"), "{answer}");
    // One that moves, but never ends.
    let mut endless = connect(&lake).await;
    send(&mut endless, format!("{head}content-length: 100\r\n\r\n{{").as_bytes()).await;
    let (mut reader, mut writer) = endless.into_split();
    let dripping = tokio::spawn(async move {
        while tokio::io::AsyncWriteExt::write_all(&mut writer, b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let mut read = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut read);
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the server ends it");
    let answer = String::from_utf8_lossy(&read);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("request-timed-out"), "{answer}");
    dripping.abort();
}

#[tokio::test]
async fn a_stream_may_take_long_but_not_stand_still() {
    let settings = "[limits]\nstall_time = \"1s\"\nrequest_time = \"1s\"\n";
    let lake = TestLake::with_settings(settings, &["x"]).await;
    let content = vec![7; 32 << 20];
    let files = vec![NewUpload {
        name: "f".to_owned(),
        bytes: content.len() as u64,
        checksum: blake3_of(&content),
        meta: None,
    }];
    let new = NewUploads { to: did("s:d"), endpoint: name("x"), files };
    let Some(UploadView::Put { url, .. }) = lake.client.announce(&new).await.expect("announced").items.pop() else {
        panic!("it is wanted")
    };
    // An upload that stands still.
    let path = url.trim_start_matches(lake.url());
    let mut stalls = connect(&lake).await;
    let head = format!("PUT {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", content.len());
    send(&mut stalls, format!("{head}some").as_bytes()).await;
    let answer = read_to_end(&mut stalls).await;
    assert!(answer.contains("503 ") && answer.contains("silent for 1 seconds"), "{answer}");
    // One that takes twice as long as a request of the API may, but moves.
    let pieces: Vec<_> = content.chunks(4 << 20).map(bytes::Bytes::copy_from_slice).collect();
    let slow = futures::stream::unfold(pieces.into_iter(), |mut pieces| async {
        tokio::time::sleep(Duration::from_millis(250)).await;
        Some((Ok::<_, std::io::Error>(pieces.next()?), pieces))
    });
    let put = Client::new().request(Method::PUT, &url).header("content-length", content.len());
    let answer = put.body(reqwest::Body::wrap_stream(slow)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::CREATED);
    // A reader that reads nothing.
    let wish = NewUrl { did: did("s:f"), expires_seconds: 600, from: None, redirect: false };
    let minted = lake.client.mint(&wish).await.expect("a URL").url;
    let mut reader = connect(&lake).await;
    let head = format!("GET {} HTTP/1.1\r\nhost: h\r\n\r\n", minted.trim_start_matches(lake.url()));
    send(&mut reader, head.as_bytes()).await;
    // Four times as long as it may. What is on the way in buffers still comes, but not all of it.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut read = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut read);
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the server ended it");
    assert!(!read.is_empty() && read.len() < content.len(), "{} bytes came", read.len());
}
