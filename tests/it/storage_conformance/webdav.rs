//! What only WebDAV servers can get wrong: answers that are not true, redirects, certificates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use dapple::clock::SystemClock;
use dapple::model::endpoint::EndpointKind;
use dapple::model::id::IntentId;
use dapple::model::probe::{Feature, Finding, Probe};
use dapple::model::time::Timestamp;
use dapple::storage::arrival::{self, Sent};
use dapple::storage::backend::{Backend, ByteRange, Check, Overwrite, StorageError};
use dapple::storage::secret::Secret;
use dapple::storage::webdav::Webdav;
use futures::{StreamExt, stream};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::world::{PUT, chunks, code, endpoint, path, pattern, whole};
use crate::peers::apache::{PAIR, apache};
use crate::peers::authority;
use crate::peers::nginx::nginx;

pub(super) fn fresh_url(url: &str) -> String {
    format!("{url}/t{:x}", SystemClock::shared().random())
}

pub(super) fn open(url: &str, secret: Option<Secret>, ca: bool, can: &[Feature]) -> Webdav {
    let mut endpoint = endpoint(EndpointKind::Webdav, url);
    endpoint.settings.ca = ca.then(|| authority().certificate());
    let findings = can.iter().map(|feature| Finding { feature: *feature, holds: true, seen: String::new() }).collect();
    endpoint.probe = Some(Probe { at: Timestamp::from_millis(0), findings });
    Webdav::open(&endpoint, secret).expect("a URL")
}

pub(super) async fn made(url: &str, can: &[Feature]) -> Webdav {
    let store = open(&fresh_url(url), None, false, can);
    store.create_root().await.expect("writable");
    store
}

pub(super) async fn put(store: &Webdav, name: &str, content: &[u8]) {
    let path = path(name);
    store.stage(&path, PUT, content.len() as u64, chunks(content, 100_000)).await.expect("room");
    store.publish(&path, PUT, Overwrite::Refuse).await.expect("free");
}

/// The servers that are open to all, and live.
fn servers() -> [String; 2] {
    [apache().open(), nginx().url()]
}

/// What a probe finds of each server is what is known of it.
#[tokio::test]
async fn a_probe_tells_servers_apart() {
    for (url, expected) in [
        (apache().open(), "ranged-read put-refuses-to-replace move-refuses-to-replace whole-put server-copy"),
        (nginx().url(), "ranged-read move-refuses-to-replace server-copy"),
    ] {
        finds(&url, expected).await;
    }
}

pub(super) async fn finds(url: &str, expected: &str) {
    let findings = made(url, &[]).await.probe().await.expect("writable");
    let held: Vec<_> = findings.iter().filter(|f| f.holds).map(|f| f.feature.code()).collect();
    assert_eq!(held.join(" "), expected, "{findings:?}");
}

#[tokio::test]
async fn a_collection_is_no_object_and_is_never_removed() {
    for url in servers() {
        tells_collections_from_objects(&url).await;
    }
}

pub(super) async fn tells_collections_from_objects(url: &str) {
    let store = made(url, &[]).await;
    put(&store, "dir/file", b"1").await;
    let dir = path("dir");
    assert_eq!(code(store.stat(&dir).await), "storage-outside-root", "{url}");
    assert_eq!(code(store.delete(&dir).await), "storage-outside-root", "{url}");
    store.stage(&dir, PUT, 1, chunks(b"x", 1)).await.expect("room");
    assert_eq!(code(store.publish(&dir, PUT, Overwrite::Refuse).await), "storage-exists", "{url}");
    assert_eq!(code(store.publish(&dir, PUT, Overwrite::Replace).await), "storage-outside-root", "{url}");
    store.discard(&dir, PUT).await.expect("ours");
    assert_eq!(store.stat(&path("dir/file")).await.expect("untouched").bytes, 1);
}

#[tokio::test]
async fn a_missing_root_is_said_to_be_missing() {
    for url in servers() {
        misses_its_root(&url).await;
    }
}

pub(super) async fn misses_its_root(url: &str) {
    let store = open(&fresh_url(url), None, false, &[]);
    assert_eq!(code(store.stat(&path("a")).await), "storage-no-root", "{url}");
    assert_eq!(code(store.stage(&path("a/b"), PUT, 1, chunks(b"x", 1)).await), "storage-no-root", "{url}");
    assert_eq!(code(store.probe().await), "storage-no-root", "{url}");
}

#[tokio::test]
async fn credentials_let_in_who_has_them() {
    let url = apache().guarded();
    let pair = |word: &str| Some(Secret::Pair { name: PAIR.0.to_owned(), word: word.to_owned() });
    let store = open(&url, pair(PAIR.1), false, &[]);
    store.probe().await.expect("let in");
    for secret in [None, pair("wrong"), Some(Secret::Token("wrong".to_owned()))] {
        let store = open(&url, secret, false, &[]);
        assert_eq!(code(store.stat(&path("a")).await), "storage-denied");
        assert_eq!(code(store.stage(&path("a"), PUT, 1, chunks(b"x", 1)).await), "storage-denied");
    }
    let certified = apache().certified();
    let pem = authority().client();
    open(&certified, Some(Secret::Certificate(pem)), true, &[]).probe().await.expect("let in");
    assert_eq!(code(open(&certified, None, true, &[]).stat(&path("a")).await), "storage-denied");
}

#[tokio::test]
async fn a_token_lets_in_who_bears_it() {
    let router = Router::new().fallback(|headers: HeaderMap| async move {
        match headers.get("authorization").and_then(|value| value.to_str().ok()) {
            Some("Bearer word") => "content".into_response(),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        }
    });
    let url = serve(router).await;
    let token = |word: &str| Some(Secret::Token(word.to_owned()));
    let content = open(&url, token("word"), false, &[]).read(&path("a"), None).await.expect("let in");
    assert_eq!(whole(content).await.expect("readable"), b"content");
    for secret in [None, token("wrong")] {
        assert_eq!(code(open(&url, secret, false, &[]).read(&path("a"), None).await), "storage-denied");
    }
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_trusted() {
    is_trusted_with_its_authority_alone(&apache().tls()).await;
}

pub(super) async fn is_trusted_with_its_authority_alone(url: &str) {
    let error = open(url, None, false, &[]).stat(&path("a")).await.expect_err("not trusted");
    let is_unavailable = matches!(error, StorageError::Unavailable { .. });
    assert!(is_unavailable && error.to_string().contains("certificate"), "{error}");
    assert_eq!(code(open(url, None, true, &[]).stat(&path("a")).await), "storage-not-found");
}

#[tokio::test]
async fn copies_stay_on_one_server_and_with_one_identity() {
    let can = [Feature::ServerCopy];
    let one = made(&apache().open(), &can).await;
    put(&one, "a", b"content").await;
    let counted = Arc::new(AtomicUsize::new(0));
    let other = open(&serve(counter(counted.clone())).await, None, false, &can);
    let pair = Secret::Pair { name: "x".to_owned(), word: "y".to_owned() };
    let same_host = open(&apache().open(), Some(pair), false, &can);
    let unprobed = open(&apache().open(), None, false, &[]);
    for target in [&other, &same_host, &unprobed] {
        let copied = target.stage_copy(&path("b"), PUT, 7, &one, &path("a")).await.expect("no request");
        assert!(copied.is_none());
    }
    assert_eq!(counted.load(Ordering::Relaxed), 0);
    assert_eq!(code(one.stage_copy(&path("b"), PUT, 7, &one, &path("missing")).await), "storage-not-found");
    assert_eq!(code(one.stage_copy(&path("b"), PUT, 9, &one, &path("a")).await), "storage-wrong-length");
}

/// A server in this process that answers as it is told.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("the loopback is up");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn counter(counted: Arc<AtomicUsize>) -> Router {
    Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { StatusCode::OK }
    })
}

fn multistatus(href: &str, bytes: Option<u64>) -> Response {
    let props = match bytes {
        Some(bytes) => format!("<getcontentlength>{bytes}</getcontentlength>"),
        None => "<resourcetype><collection/></resourcetype>".to_owned(),
    };
    let body = format!(
        "<multistatus xmlns='DAV:'><response><href>{href}</href><propstat><prop>{props}</prop></propstat></response>\
         </multistatus>"
    );
    (StatusCode::MULTI_STATUS, body).into_response()
}

/// XRootD answers 201 to a COPY before it knows how that ends, and says it in the last line.
#[tokio::test]
async fn a_copy_that_fails_after_its_answer_is_noticed() {
    let router = Router::new().fallback(|request: Request| async move {
        match (request.method().as_str(), request.uri().path()) {
            ("PROPFIND", "/") => multistatus("/", None),
            ("PROPFIND", name) => multistatus(name, Some(7)),
            ("COPY", _) => {
                (StatusCode::CREATED, "Perf Marker\nEnd\nfailure: it broke at http://x/?authz=secret\n").into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    });
    let store = open(&serve(router).await, None, false, &[Feature::ServerCopy]);
    let error = store.stage_copy(&path("b"), PUT, 7, &store, &path("a")).await.expect_err("it failed");
    let said = error.to_string();
    assert!(said.contains("failure: it broke") && !said.contains("secret"), "{said}");
}

/// Answers of success without an effect are found out.
#[tokio::test]
async fn a_server_that_keeps_nothing_is_faulty() {
    let router = Router::new().fallback(|request: Request| async move {
        match (request.method().as_str(), request.uri().path()) {
            ("PROPFIND", "/") => multistatus("/", None),
            ("PUT" | "HEAD", _) => StatusCode::OK.into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    });
    let store = open(&serve(router).await, None, false, &[]);
    assert_eq!(code(store.stage(&path("a"), PUT, 7, chunks(b"content", 7)).await), "storage-faulty");
}

/// A server that sends everything to another one, which tells what it was sent.
async fn redirecting() -> (String, Arc<std::sync::Mutex<Vec<(String, bool, usize)>>>) {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let target = {
        let seen = seen.clone();
        Router::new().fallback(move |headers: HeaderMap, request: Request| {
            let seen = seen.clone();
            async move {
                let method = request.method().to_string();
                let body = axum::body::to_bytes(request.into_body(), 64 << 20).await.expect("whole");
                let has_credentials = headers.contains_key("authorization");
                seen.lock().expect("no panic").push((method.clone(), has_credentials, body.len()));
                match method.as_str() {
                    "HEAD" => ([("content-length", "3000000")], Body::empty()).into_response(),
                    "GET" => "content".into_response(),
                    _ => StatusCode::CREATED.into_response(),
                }
            }
        })
    };
    let target = serve(target).await;
    let home = Router::new().fallback(move |request: Request| {
        let to = format!("{target}{}?token=secret", request.uri().path());
        async move {
            match (request.method().as_str(), request.uri().path()) {
                ("PROPFIND", "/") => multistatus("/", None),
                _ => (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response(),
            }
        }
    });
    (serve(home).await, seen)
}

#[tokio::test]
async fn redirects_keep_method_and_body_and_lose_credentials() {
    let (url, seen) = redirecting().await;
    let store = open(&url, Some(Secret::Token("word".to_owned())), false, &[]);
    let content = store.read(&path("a"), None).await.expect("there");
    assert_eq!(whole(content).await.expect("readable"), b"content");
    let staged = store.stage(&path("a"), PUT, 3_000_000, chunks(&pattern(3_000_000), 300_000)).await;
    assert_eq!(staged.expect("it arrived").bytes, 3_000_000);
    let seen = seen.lock().expect("no panic").clone();
    assert!(seen.contains(&("PUT".to_owned(), false, 3_000_000)), "{seen:?}");
    assert!(seen.iter().all(|(_, has_credentials, _)| !has_credentials), "{seen:?}");
}

#[tokio::test]
async fn redirects_without_end_are_given_up() {
    let router = Router::new().fallback(|| async { (StatusCode::FOUND, [("location", "/elsewhere/x")]) });
    let error = open(&serve(router).await, None, false, &[]).read(&path("a"), None).await.err().expect("no end");
    assert!(error.to_string().contains("redirects more than"), "{error}");
}

#[tokio::test]
async fn answers_that_make_no_sense_are_refused() {
    for body in [
        "<!DOCTYPE m [<!ENTITY a \"aaaa\">]><multistatus><response><href>&a;</href></response></multistatus>",
        "<multistatus><response><href>/a</href>",
        "<html>welcome</html>",
    ] {
        let router = Router::new().fallback(move || async move { (StatusCode::MULTI_STATUS, body) });
        let store = open(&serve(router).await, None, false, &[]);
        assert_eq!(code(store.stat(&path("a")).await), "storage-faulty", "{body}");
    }
}

#[tokio::test]
async fn a_range_that_was_not_asked_for_is_refused_and_a_whole_is_cut() {
    let wrong = Router::new()
        .fallback(|| async { (StatusCode::PARTIAL_CONTENT, [("content-range", "bytes 0-4/100")], "hello") });
    let store = open(&serve(wrong).await, None, false, &[]);
    let range = Some(ByteRange { start: 6, end: 11 });
    assert_eq!(code(store.read(&path("a"), range).await), "storage-faulty");
    let whole_one = Router::new().fallback(|| async { "hello world and more" });
    let store = open(&serve(whole_one).await, None, false, &[]);
    let content = store.read(&path("a"), range).await.expect("cut");
    assert_eq!(whole(content).await.expect("readable"), b"world");
}

const MULTISTATUS: &str = "<multistatus xmlns='DAV:'><response><href>";
const OBJECT: &str = "<getcontentlength>7</getcontentlength></prop></propstat></response></multistatus>";
const COLLECTION: &str = "<resourcetype><collection/></resourcetype></prop></propstat></response></multistatus>";

/// A server that keeps the head of each request as it came over the wire, and agrees to everything.
async fn heads() -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("the loopback is up");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let seen: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.is_ok_and(|bytes| bytes > 0) {}
            let answer = match head.split(' ').next() {
                Some("PUT") => {
                    stream.read_exact(&mut [0; 7]).await.expect("seven bytes");
                    "201 Created\r\nContent-Length: 0"
                }
                Some("HEAD") => "200 OK\r\nContent-Length: 7",
                Some("GET") => "206 Partial Content\r\nContent-Range: bytes 1-2/7\r\nContent-Length: 2",
                Some("PROPFIND") => "207 Multi-Status",
                _ => "201 Created\r\nContent-Length: 0",
            };
            let body = match head.split(' ').collect::<Vec<_>>()[..2] {
                ["GET", _] => "on".to_owned(),
                ["PROPFIND", "/"] => format!("{MULTISTATUS}/</href><propstat><prop>{COLLECTION}"),
                ["PROPFIND", name] => format!("{MULTISTATUS}{name}</href><propstat><prop>{OBJECT}"),
                _ => String::new(),
            };
            log.lock().expect("no panic").push(head);
            let answer = format!("HTTP/1.1 {answer}\r\nConnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.expect("it listens");
        }
    });
    (url, seen)
}

/// XRootD below 5.7 knows header names in one spelling alone: a `content-length` stores nothing, a
/// `range` gives the whole, a `destination` is none.
#[tokio::test]
async fn header_names_are_spelt_as_old_servers_know_them() {
    let (url, seen) = heads().await;
    let store = open(&url, Some(Secret::Token("word".to_owned())), false, &[Feature::ServerCopy]);
    store.stage(&path("a"), PUT, 7, chunks(b"content", 7)).await.expect("agreed");
    store.publish(&path("a"), PUT, Overwrite::Replace).await.expect("agreed");
    let range = Some(ByteRange { start: 1, end: 3 });
    let part = store.read(&path("a"), range).await.expect("agreed");
    assert_eq!(whole(part).await.expect("readable"), b"on");
    store.stage_copy(&path("b"), PUT, 7, &store, &path("a")).await.expect("agreed");
    let seen = seen.lock().expect("no panic").concat();
    for header in ["Content-Length: 7", "Range: bytes=1-2", "Destination: http", "Overwrite: T", "Authorization: "] {
        assert!(seen.contains(&format!("\r\n{header}")), "{header}\n{seen}");
    }
}

#[tokio::test]
async fn a_put_that_was_refused_at_once_proves_nothing_of_broken_ones() {
    let findings = made(&apache().narrow(), &[]).await.probe().await.expect("writable");
    let whole_put = findings.iter().find(|finding| finding.feature == Feature::WholePut).expect("tried");
    assert!(!whole_put.holds && whole_put.seen.contains("could not be tried: 413"), "{whole_put:?}");
}

/// A server that answers each request as `answer` says, and what it was asked.
async fn answering(answer: fn(&str, &str, &HeaderMap) -> Response) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = asked.clone();
    let router = Router::new().fallback(move |headers: HeaderMap, request: Request| {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        log.lock().expect("no panic").push(method.clone());
        async move {
            axum::body::to_bytes(request.into_body(), 64 << 20).await.expect("whole");
            answer(&method, &path, &headers)
        }
    });
    (serve(router).await, asked)
}

/// What small objects need to wait in memory.
const WAITS: [Feature; 2] = [Feature::WholePut, Feature::PutRefusesToReplace];

#[tokio::test]
async fn wrong_bytes_under_a_final_name_are_removed() {
    let (url, asked) = answering(|method, path, _| match (method, path) {
        ("PROPFIND", "/") => multistatus("/", None),
        ("PROPFIND", "/a") => multistatus("/a", Some(3)),
        ("HEAD", _) => [("content-length", "3")].into_response(),
        ("PUT", _) => StatusCode::CREATED.into_response(),
        ("DELETE", _) => StatusCode::NO_CONTENT.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    })
    .await;
    let store = open(&url, None, false, &WAITS);
    store.stage(&path("a"), PUT, 7, chunks(b"content", 7)).await.expect("it waits");
    let sent = Sent { bytes: 7, checksums: &[] };
    let published = arrival::publish(&store, &path("a"), PUT, sent, Overwrite::Refuse).await;
    assert_eq!(code(published), "storage-faulty");
    assert_eq!(asked.lock().expect("no panic").last().map(String::as_str), Some("DELETE"));
}

#[tokio::test]
async fn a_lost_answer_to_a_move_that_replaces_proves_nothing() {
    let (url, _) = answering(|method, path, _| match (method, path) {
        ("PROPFIND", "/") => multistatus("/", None),
        ("PROPFIND", "/a") => multistatus("/a", Some(7)),
        ("HEAD", _) => [("content-length", "7")].into_response(),
        ("PUT", _) => StatusCode::CREATED.into_response(),
        ("MOVE", _) => StatusCode::BAD_GATEWAY.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    })
    .await;
    let store = open(&url, None, false, &[]);
    store.stage(&path("a"), PUT, 7, chunks(b"content", 7)).await.expect("it arrived");
    assert_eq!(code(store.publish(&path("a"), PUT, Overwrite::Replace).await), "storage-unavailable");
}

#[tokio::test]
async fn a_copy_begins_afresh_over_what_a_dropped_one_may_write() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = asked.clone();
    let router = Router::new().fallback(move |request: Request| {
        let method = request.method().to_string();
        let copies = {
            let mut log = log.lock().expect("no panic");
            log.push(method.clone());
            log.iter().filter(|method| *method == "COPY").count()
        };
        async move {
            match (method.as_str(), request.uri().path()) {
                ("PROPFIND", "/") => multistatus("/", None),
                ("HEAD", _) => [("content-length", "7")].into_response(),
                ("COPY", _) if copies == 1 => std::future::pending().await,
                ("COPY", _) => StatusCode::CREATED.into_response(),
                _ => StatusCode::NO_CONTENT.into_response(),
            }
        }
    });
    let store = open(&serve(router).await, None, false, &[Feature::ServerCopy]);
    let (target, source) = (path("b"), path("a"));
    let mut dropped = Box::pin(store.stage_copy(&target, PUT, 7, &store, &source));
    while !asked.lock().expect("no panic").contains(&"COPY".to_owned()) {
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), &mut dropped).await.is_err(), "it hangs");
    }
    drop(dropped);
    store.stage_copy(&target, PUT, 7, &store, &source).await.expect("it copies").expect("it can");
    let asked = asked.lock().expect("no panic").join(" ");
    assert!(asked.ends_with("COPY DELETE COPY HEAD"), "{asked}");
}

#[tokio::test]
async fn a_copy_that_keeps_failing_is_no_outage() {
    let (url, asked) = answering(|method, path, _| match (method, path) {
        ("PROPFIND", "/") => multistatus("/", None),
        ("PROPFIND", _) => multistatus(path, Some(7)),
        ("COPY", _) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        ("MKCOL", _) => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    })
    .await;
    let store = open(&url, None, false, &[Feature::ServerCopy]);
    assert_eq!(code(store.stage_copy(&path("d/b"), PUT, 7, &store, &path("a")).await), "storage-faulty");
    let asked = asked.lock().expect("no panic").join(" ");
    assert!(asked.contains("MKCOL COPY MKCOL COPY"), "{asked}");
}

#[tokio::test]
async fn only_a_redirect_says_that_a_name_is_a_collection() {
    for status in [StatusCode::MULTIPLE_CHOICES, StatusCode::SEE_OTHER, StatusCode::NOT_MODIFIED] {
        let router = Router::new().fallback(move || async move { (status, [("location", "/elsewhere")]) });
        let store = open(&serve(router).await, None, false, &[]);
        assert_eq!(code(store.read(&path("a"), None).await), "storage-faulty", "{status}");
        assert_eq!(code(store.stat(&path("a")).await), "storage-faulty", "{status}");
    }
    let (url, _) = redirecting().await;
    let range = Some(ByteRange { start: 1, end: 3 });
    assert_eq!(code(open(&url, None, false, &[]).read(&path("a"), range).await), "storage-faulty");
}

#[tokio::test]
async fn a_look_at_the_length_asks_for_no_digest() {
    let (url, asked) = answering(|method, path, _| match (method, path) {
        ("PROPFIND", "/") => multistatus("/", None),
        ("PROPFIND", _) => multistatus(path, Some(7)),
        _ => [("content-length", "7"), ("digest", "adler32=1a0b045d")].into_response(),
    })
    .await;
    let store = open(&url, None, false, &[Feature::TellsAdler32]);
    assert!(store.stat(&path("a")).await.expect("there").checksums.is_empty());
    assert!(!asked.lock().expect("no panic").iter().any(|method| method == "HEAD"));
    assert_eq!(store.stat_with_checksums(&path("a")).await.expect("there").checksums.len(), 1);
}

#[tokio::test]
async fn a_put_is_sent_again_when_the_server_said_it_may_be() {
    static PUTS: AtomicUsize = AtomicUsize::new(0);
    let (url, _) = answering(|method, path, _| match (method, path) {
        ("PROPFIND", "/") => multistatus("/", None),
        ("PUT", _) if PUTS.fetch_add(1, Ordering::SeqCst) == 0 => {
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")]).into_response()
        }
        ("HEAD", _) => [("content-length", "7")].into_response(),
        _ => StatusCode::CREATED.into_response(),
    })
    .await;
    let (store, begun) = (open(&url, None, false, &[]), std::time::Instant::now());
    store.stage(&path("a"), PUT, 7, chunks(b"content", 7)).await.expect("it arrived");
    assert_eq!(PUTS.load(Ordering::SeqCst), 2);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1), "no earlier than it asked for");
}

#[tokio::test]
async fn a_probe_sweeps_what_others_left_long_ago() {
    let url = fresh_url(&apache().open());
    let store = open(&url, None, false, &[]);
    store.create_root().await.expect("writable");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let probe = |millis: u64| format!(".dapple-probe-{millis:012x}-00000000");
    let (old, new) = (probe(7), probe(SystemClock::shared().now().as_millis()));
    for name in [&*old, &*format!("{old}-to%20%2541"), &*new] {
        let answer = client.put(format!("{url}/{name}")).body("left").send().await.expect("up");
        assert!(answer.status().is_success(), "{name}");
    }
    store.probe().await.expect("it can be probed");
    let listed: Vec<_> = store.list().map(|item| item.expect("listable").path).collect().await;
    assert_eq!(listed, [new], "that one may be at work");
    store.check(Check::Reading).await.expect("it is well");
    store.check(Check::Writing).await.expect("it is well");
    assert_eq!(store.list().count().await, 1);
}

#[tokio::test]
async fn an_object_whose_digest_is_not_told_is_there_all_the_same() {
    let (url, _) = answering(|method, path, headers| match (method, path) {
        ("PROPFIND", "/") => multistatus("/", None),
        ("PROPFIND", _) => multistatus(path, Some(7)),
        ("HEAD", _) if headers.contains_key("want-digest") => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        ("HEAD", _) => [("content-length", "7")].into_response(),
        _ => StatusCode::CREATED.into_response(),
    })
    .await;
    let store = open(&url, None, false, &[Feature::TellsMd5]);
    let info = store.stat_with_checksums(&path("a")).await.expect("there");
    assert!(info.bytes == 7 && info.checksums.is_empty(), "{info:?}");
    let staged = store.stage(&path("a"), PUT, 7, chunks(b"content", 7)).await.expect("it arrived");
    assert!(staged.bytes == 7 && staged.checksums.is_empty(), "{staged:?}");
}

#[tokio::test]
async fn a_put_to_a_collection_finds_the_name_taken() {
    let (url, _) = answering(|method, path, _| match (method, path) {
        ("PROPFIND", _) => multistatus(path, None),
        ("MKCOL", _) => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        _ => StatusCode::CONFLICT.into_response(),
    })
    .await;
    let store = open(&url, None, false, &WAITS);
    store.stage(&path("a"), PUT, 1, chunks(b"x", 1)).await.expect("it waits");
    assert_eq!(code(store.publish(&path("a"), PUT, Overwrite::Refuse).await), "storage-exists");
    assert_eq!(code(store.publish(&path("a"), PUT, Overwrite::Replace).await), "storage-outside-root");
    // What is not staged may still be there: a conflict does not say that it is not.
    assert_eq!(code(store.discard(&path("b"), IntentId(2)).await), "storage-faulty");
}

#[test]
fn an_unreadable_authority_is_called_one() {
    let mut endpoint = endpoint(EndpointKind::Webdav, "https://localhost/a");
    endpoint.settings.ca = Some("no certificate".to_owned());
    let error = Webdav::open(&endpoint, None).expect_err("nothing is in it").to_string();
    assert!(error.contains("the CA certificates cannot be read") && !error.contains("secret"), "{error}");
}

/// Run by hand, optimised: `cargo test --release --test it small_files -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn many_small_files_reach_apache_quickly() {
    let store = made(&apache().open(), &[Feature::WholePut, Feature::PutRefusesToReplace]).await;
    let (content, started) = (pattern(4_096), std::time::Instant::now());
    let before = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    stream::iter(0..5_000_u32)
        .for_each_concurrent(48, |number| {
            let (store, content) = (&store, &content);
            async move {
                let path = path(&format!("{}/{number}", number % 50));
                store.stage(&path, IntentId(u128::from(number)), 4_096, chunks(content, 4_096)).await.expect("room");
                store.publish(&path, IntentId(u128::from(number)), Overwrite::Refuse).await.expect("free");
            }
        })
        .await;
    let wall = started.elapsed().as_secs_f64();
    let after = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu_micros = (after.tv_sec - before.tv_sec) * 1_000_000 + (after.tv_nsec - before.tv_nsec) / 1_000;
    println!("{:.0} files/s, {} us CPU per file", 5_000.0 / wall, cpu_micros / 5_000);
}
