//! The client against small servers that misbehave in known ways.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use crate::client::{Client, ClientError, Payload};
use crate::clock::SystemClock;
use crate::fault::{Fault as _, Kind};
use crate::model::account::AccountName;
use crate::model::did::{Did, DidKind};
use crate::service::view::{NewDid, NewKey, NewUpload, NewUploads, RegisteredChunk};

async fn serve(router: Router) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    client(&format!("http://{address}"))
}

fn client(url: &str) -> Client {
    Client::new(url, Some("key".to_owned()), SystemClock::shared())
        .expect("a good address")
        .with_pauses(vec![Duration::from_millis(1); 4])
}

fn did(text: &str) -> Did {
    text.parse().expect("a DID")
}

fn problem(status: u16, code: &str) -> Response {
    let body = json!({
        "type": "https://example.org", "code": code, "title": "t", "status": status,
        "detail": "what happened", "hint": "do this", "request_id": "R1",
    });
    (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response()
}

fn did_json(did: &str) -> serde_json::Value {
    json!({"did": did, "kind": "dataset", "account": "root", "created_at": "2026-01-01T00:00:00Z", "bytes": 0})
}

/// Answers with 503 until it has been asked `failures` times.
fn flaky(failures: usize, good: serde_json::Value) -> (Arc<AtomicUsize>, impl Fn() -> Response + Clone) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let answer = move || {
        if counter.fetch_add(1, Ordering::SeqCst) < failures {
            problem(503, "unavailable")
        } else {
            Json(good.clone()).into_response()
        }
    };
    (asked, answer)
}

#[tokio::test]
async fn passing_failures_are_tried_again_and_refusals_are_not() {
    for (failures, asked_in_all, good) in [(0, 1, true), (4, 5, true), (9, 5, false)] {
        let (asked, answer) = flaky(failures, did_json("s:x"));
        let client = serve(Router::new().route("/api/v1/dids/s/x", get(async move || answer()))).await;
        let told = Arc::new(AtomicUsize::new(0));
        let ear = told.clone();
        let client = client.with_notice(Arc::new(move |error| {
            assert_eq!(error.problem().code, "unavailable");
            ear.fetch_add(1, Ordering::SeqCst);
        }));
        assert_eq!(client.did(&did("s:x")).await.is_ok(), good);
        assert_eq!(asked.load(Ordering::SeqCst), asked_in_all);
        assert_eq!(told.load(Ordering::SeqCst), asked_in_all - 1, "of each that was followed by another");
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let unreadable = async move || {
        counter.fetch_add(1, Ordering::SeqCst);
        problem(503, "unreadable")
    };
    let client = serve(Router::new().route("/o/x", get(unreadable))).await;
    assert!(client.download("/o/x", 0, None).await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a file without replicas is asked for once more");

    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let refuse = async move || {
        counter.fetch_add(1, Ordering::SeqCst);
        problem(404, "not-found")
    };
    let client = serve(Router::new().route("/api/v1/dids/s/x", get(refuse))).await;
    let error = client.did(&did("s:x")).await.expect_err("refused");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!((error.kind(), error.hint().as_deref()), (Kind::NotFound, Some("do this")));
    let told = error.problem();
    assert_eq!((told.code.as_str(), told.request_id.as_str()), ("not-found", "R1"));
}

/// Takes requests and hangs up on the first so many, as if they were lost on the way back; keeps their heads.
async fn losing(count: usize) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = tokio::io::AsyncReadExt::read(&mut socket, &mut head).await.unwrap_or_default();
            let number = {
                let mut kept = kept.lock().expect("no panics");
                kept.push(String::from_utf8_lossy(&head[..read]).into_owned());
                kept.len()
            };
            if number > count {
                let body = did_json("s:x").to_string();
                let head = "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nconnection: close\r\n";
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, answer.as_bytes()).await;
            }
        }
    });
    (url, heads)
}

fn keys(heads: &Mutex<Vec<String>>) -> Vec<Option<String>> {
    let key = |head: &String| head.lines().find_map(|line| line.strip_prefix("idempotency-key: ").map(str::to_owned));
    heads.lock().expect("no panics").iter().map(key).collect()
}

#[tokio::test]
async fn a_change_is_sent_again_under_its_key_and_the_next_has_another() {
    let new = NewDid { did: did("s:x"), kind: DidKind::Dataset };
    let (url, heads) = losing(2).await;
    let client = client(&url);
    client.create_did(&new).await.expect("answered the third time");
    client.create_did(&new).await.expect("answered");
    let keys_of = keys(&heads);
    assert_eq!(keys_of.len(), 4);
    assert!(keys_of[0].is_some() && keys_of[0] == keys_of[1] && keys_of[1] == keys_of[2], "{keys_of:?}");
    assert!(keys_of[3].is_some() && keys_of[3] != keys_of[0], "{keys_of:?}");
    client.clone().rehearsing().create_did(&new).await.expect("answered");
    client.did(&did("s:x")).await.expect("answered");
    assert_eq!(keys(&heads)[4..], [None, None], "a dry run needs none, and neither does who reads");

    // While the first is still being carried out, the second waits for its answer.
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let busy = async move || match counter.fetch_add(1, Ordering::SeqCst) {
        0 => problem(409, "in-progress"),
        _ => Json(did_json("s:x")).into_response(),
    };
    let client = serve(Router::new().route("/api/v1/dids", post(busy))).await;
    client.create_did(&new).await.expect("done in a moment");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_takes_no_key_is_sent_again_only_if_it_was_turned_away() {
    let account = AccountName::parse("ada").expect("a name");
    let new = NewKey {
        name: "k".to_owned(),
        scopes: Vec::new(),
        only_scopes: None,
        addresses: Vec::new(),
        expires_seconds: 60,
    };
    let (asked, answer) = flaky(2, json!({}));
    let client = serve(Router::new().route("/api/v1/accounts/ada/keys", post(async move || answer()))).await;
    let _ = client.add_key(&account, &new).await;
    assert_eq!(asked.load(Ordering::SeqCst), 3, "503 means that nothing was done");

    // A server that takes the request and hangs up: nobody knows what it has done.
    let (url, heads) = losing(usize::MAX).await;
    let client = self::client(&url);
    assert!(matches!(client.add_key(&account, &new).await, Err(ClientError::Unreachable { .. })));
    assert_eq!(keys(&heads), [None]);
    assert!(client.did(&did("s:x")).await.is_err());
    assert_eq!(keys(&heads).len(), 6, "reading again does no harm");
}

#[tokio::test]
async fn what_was_read_before_is_asked_for_only_if_it_has_changed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let show = async move |headers: HeaderMap| {
        let turn = counter.fetch_add(1, Ordering::SeqCst);
        let tag = if turn < 2 { "\"one\"" } else { "\"two\"" };
        if headers.get("if-none-match").is_some_and(|seen| seen == tag) {
            return (StatusCode::NOT_MODIFIED, [("etag", tag)]).into_response();
        }
        assert_eq!(headers.contains_key("if-none-match"), turn > 0);
        ([("etag", tag)], Json(did_json(&format!("s:{turn}")))).into_response()
    };
    let client = serve(Router::new().route("/api/v1/dids/s/x", get(show))).await.remembering();
    let mut shown = Vec::new();
    for _ in 0..3 {
        shown.push(client.did(&did("s:x")).await.expect("shown").did.to_string());
    }
    assert_eq!(shown, ["s:0", "s:0", "s:2"]);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_server_that_restarts_is_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let client = client(&format!("http://{address}")).with_pauses(vec![Duration::from_millis(200); 10]);
    let late = async {
        SystemClock::shared().sleep(Duration::from_millis(300)).await;
        let listener = tokio::net::TcpListener::bind(address).await.expect("still free");
        let answer = Json(json!({"status": "ready", "version": "1"}));
        let router = Router::new().route("/health", get(async move || answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
    };
    let (health, ()) = tokio::join!(client.health(), late);
    assert_eq!(health.expect("it came up").status, "ready");
}

#[tokio::test]
async fn answers_that_are_not_ours_still_say_something() {
    let router = Router::new()
        .route("/api/v1/dids/s/html", get(async || (StatusCode::BAD_GATEWAY, "<html>proxy</html>")))
        .route("/api/v1/dids/s/away", get(async || (StatusCode::FOUND, [("location", "https://h.example/in?x=1")], "")))
        .route("/api/v1/dids/s/text", get(async || "hello"));
    let client = serve(router).await;
    let error = client.did(&did("s:html")).await.expect_err("a proxy's answer");
    assert_eq!((error.kind(), error.problem().status), (Kind::Unavailable, 502));
    let error = client.did(&did("s:text")).await.expect_err("not JSON");
    assert!(matches!(error, ClientError::Protocol { .. }));
    assert!(error.hint().expect("a hint").contains("another server"));
    // An address at which something else answers, or that leads elsewhere.
    let error = client.did(&did("s:missing")).await.expect_err("no such page").problem();
    assert!(error.detail.ends_with("not as a dapple server does"), "{}", error.detail);
    assert!(error.hint.expect("a hint").contains("dapple config show --origin"));
    let error = client.did(&did("s:away")).await.expect_err("sent on").problem();
    assert!(error.detail.contains("https://h.example/") && !error.detail.contains("x=1"), "{}", error.detail);
}

#[tokio::test]
async fn names_arrive_as_they_are_and_the_key_is_sent() {
    let echo = async |Path((scope, name)): Path<(String, String)>, headers: HeaderMap| {
        assert_eq!(headers["authorization"], "Bearer key");
        Json(did_json(&format!("{scope}:{name}")))
    };
    let client = serve(Router::new().route("/api/v1/dids/{scope}/{*name}", get(echo))).await;
    for text in ["s:a/b c+d", "s:50%#?&=", "s:ü/ñ:x", "s:a/../b", "s:a//b", "s:/x", "s:%2F"] {
        assert_eq!(client.did(&did(text)).await.expect(text).did, did(text));
    }
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let pages = async |uri: Uri| {
        let query = uri.query().expect("a limit");
        assert!(query.contains("limit=1000"), "{query}");
        assert!(query.contains("prefix=a%2Fb"), "{query}");
        let page = |items: &[&str], next: Option<&str>| {
            let items: Vec<_> = items.iter().map(|name| did_json(name)).collect();
            Json(json!({"items": items, "next": next}))
        };
        if query.contains("after=c%2B1") {
            page(&[], Some("c2"))
        } else if query.contains("after=c2") {
            page(&["s:3"], None)
        } else {
            page(&["s:1", "s:2"], Some("c+1"))
        }
    };
    let client = serve(Router::new().route("/api/v1/dids/s", get(pages))).await;
    let scope = did("s:x").scope;
    let all: Vec<_> = client
        .dids(&scope, Some("a/b"))
        .stream()
        .map_ok(|view| view.did.to_string())
        .try_collect()
        .await
        .expect("three pages");
    assert_eq!(all, ["s:1", "s:2", "s:3"]);
}

#[tokio::test]
async fn a_registration_is_answered_while_its_lines_still_go_up() {
    let answer = async |request: Request| {
        assert_eq!(request.uri().query(), Some("to=s%3Ad&endpoint=x"));
        let chunks = request.into_body().into_data_stream().scan(1, |line, chunk| {
            let text = String::from_utf8(chunk.expect("good lines").to_vec()).expect("text");
            let count = text.lines().count();
            let answer = json!({"line": *line, "registered": count, "known": 0}).to_string();
            *line += count;
            // Split, so that a line comes in pieces.
            let (a, b) = answer.split_at(5);
            let pieces = [a.to_owned(), format!("{b}\n")];
            futures::future::ready(Some(stream::iter(pieces.map(Ok::<_, std::io::Error>))))
        });
        Body::from_stream(chunks.flatten())
    };
    let client = serve(Router::new().route("/api/v1/replicas", post(answer))).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<&'static str>(1);
    let lines = stream::unfold(receiver, async |mut lines| {
        let line = lines.recv().await?;
        Some((Ok(Bytes::from(line)), lines))
    });
    let endpoint = crate::model::endpoint::EndpointName::parse("x").expect("a name");
    sender.send("1\n2\n").await.expect("open");
    let answers = client.register(&did("s:d"), &endpoint, lines.boxed()).await.expect("begun");
    let mut answers = std::pin::pin!(answers);
    let first: RegisteredChunk = answers.try_next().await.expect("good").expect("one");
    assert_eq!((first.line, first.registered), (1, 2), "before the rest is sent");
    sender.send("3\n").await.expect("open");
    drop(sender);
    let rest: Vec<RegisteredChunk> = answers.try_collect().await.expect("good");
    assert_eq!(rest.len(), 1);
    assert_eq!((rest[0].line, rest[0].registered), (3, 1));
}

#[tokio::test]
async fn uploads_open_their_bytes_anew_for_each_attempt_and_send_no_key() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let take = async move |headers: HeaderMap, body: Bytes| {
        assert!(!headers.contains_key("authorization"));
        assert_eq!(headers["content-length"], "6");
        assert_eq!(body, "abcdef");
        if counter.fetch_add(1, Ordering::SeqCst) == 0 {
            return problem(503, "unavailable");
        }
        let uploaded = json!({"did": "s:x", "bytes": 6, "checksum": "adler32:081e0256"});
        (StatusCode::CREATED, Json(uploaded)).into_response()
    };
    let client = serve(Router::new().route("/up", put(take))).await;
    let mut opened = 0;
    let uploaded = client
        .upload("/up?sig=1", 6, || {
            opened += 1;
            Payload::Stream(stream::iter(["abc", "def"].map(|part| Ok(Bytes::from(part)))).boxed())
        })
        .await
        .expect("taken");
    assert_eq!((uploaded.bytes, opened), (6, 2));
}

#[tokio::test]
async fn announcements_must_be_answered_for_each_file() {
    let client = serve(Router::new().route("/api/v1/uploads", post(async || Json(json!({"items": []}))))).await;
    let new = NewUploads {
        to: did("s:d"),
        endpoint: crate::model::endpoint::EndpointName::parse("x").expect("a name"),
        files: vec![NewUpload {
            name: "n".to_owned(),
            bytes: 0,
            checksum: "adler32:00000001".parse().expect("a checksum"),
            meta: None,
        }],
    };
    assert!(matches!(client.announce(&new).await, Err(ClientError::Protocol { .. })));
}

#[tokio::test]
async fn signed_urls_are_not_told() {
    let client = client("http://127.0.0.1:9").with_pauses(Vec::new());
    let error = client.download("http://127.0.0.1:9/s/secret/x", 0, None).await.err();
    let text = format!("{:?}", error.expect("nobody listens there"));
    assert!(!text.contains("secret"), "{text}");
}
