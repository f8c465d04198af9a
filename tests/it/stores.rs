//! The stores that run in the demo's process, by themselves, in the hands of clients that are not
//! dapple's own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use dapple::app::stores::{Pair, Store, s3, webdav};
use dapple::clock::SystemClock;
use dapple::net;
use futures::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutPayload};
use reqwest::{Client, Method, RequestBuilder};
use tempfile::TempDir;

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn pair() -> Pair {
    Pair::random(SystemClock::shared().as_ref())
}

fn client() -> Client {
    net::builder().no_proxy().build().expect("a client")
}

/// Sends a head as it is and returns the first line of the answer.
async fn raw(store: &Store, head: String) -> String {
    let address = store.address;
    let talk = move || {
        let mut socket = TcpStream::connect(address).expect("served");
        socket.write_all(head.as_bytes()).expect("taken");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("answered");
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    };
    tokio::task::spawn_blocking(talk).await.expect("it does not panic")
}

async fn stops(store: Store) {
    let address = store.address;
    store.stop().await;
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

/// curl signs a request for the S3 store; returns the status and the answer.
async fn curl(store: &Store, pair: &Pair, arguments: &[&str], path: &str) -> (u16, String) {
    let url = format!("http://{}/{path}", store.address);
    let usual = ["-sS", "--noproxy", "*", "--aws-sigv4", "aws:amz:us-east-1:s3", "-w", "\n%{http_code}", "--user"];
    let mut command = Command::new("curl");
    let unsigned = ["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"];
    command.args(usual).arg(pair.text()).args(unsigned).args(arguments).arg(url);
    let running = tokio::task::spawn_blocking(move || command.output());
    let output = running.await.expect("it does not panic").expect("curl runs, see tests/run");
    let told = String::from_utf8(output.stdout).expect("text");
    let (body, status) = told.rsplit_once('\n').expect("curl adds a line");
    (status.parse().expect("a status"), body.to_owned())
}

async fn s3_store(files: &TempDir, pair: &Pair) -> Store {
    let router = s3::router(&files.path().join("made"), pair).expect("a store");
    Store::serve(router, anywhere(), SystemClock::shared()).await.expect("a free port")
}

fn object_store(store: &Store, pair: &Pair) -> AmazonS3 {
    // It brings the TLS that the library wants even without TLS.
    drop(client());
    let endpoint = format!("http://{}", store.address);
    let builder = AmazonS3Builder::new().with_endpoint(endpoint).with_allow_http(true).with_bucket_name("lake");
    let retry = object_store::RetryConfig { max_retries: 0, ..Default::default() };
    let builder = builder.with_access_key_id(&pair.name).with_secret_access_key(&pair.word).with_retry(retry);
    builder.build().expect("a client")
}

#[tokio::test]
async fn the_s3_store_keeps_lists_and_gives_what_it_was_given() {
    let (files, pair) = (TempDir::new().expect("a directory"), pair());
    let store = s3_store(&files, &pair).await;
    assert_eq!(curl(&store, &pair, &["-X", "PUT"], "lake").await, (200, String::new()));
    assert_eq!(curl(&store, &pair, &["-X", "PUT"], "lake").await.0, 409, "the bucket is there already");
    let bucket = object_store(&store, &pair);
    let (one, two) = (Path::parse("climate/a b+ü.nc").expect("a path"), Path::from("climate/deep/two"));
    bucket.put(&one, PutPayload::from_static(b"abcdef")).await.expect("taken");
    let content: Vec<u8> = (0..11_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut parts = bucket.put_multipart(&two).await.expect("begun");
    for part in content.chunks(5 << 20) {
        parts.put_part(part.to_vec().into()).await.expect("taken");
    }
    parts.complete().await.expect("completed");
    assert_eq!(std::fs::read(files.path().join("made/lake/climate/a b+ü.nc")).expect("a file"), b"abcdef");
    assert!(bucket.get(&two).await.expect("there").bytes().await.expect("whole") == content);
    let options = GetOptions { range: Some(GetRange::Bounded(2..4)), ..GetOptions::default() };
    let part = bucket.get_opts(&one, options).await.expect("there");
    assert_eq!(part.bytes().await.expect("whole"), "cd");
    let listed: Vec<_> =
        bucket.list(None).map_ok(|meta| (meta.location, meta.size)).try_collect().await.expect("listed");
    assert_eq!(listed, [(one.clone(), 6), (two.clone(), content.len() as u64)]);
    bucket.copy(&one, &Path::from("copy")).await.expect("copied");
    bucket.delete(&one).await.expect("deleted");
    assert!(matches!(bucket.head(&one).await, Err(Error::NotFound { .. })));
    assert_eq!(bucket.head(&Path::from("copy")).await.expect("there").size, 6);
    stops(store).await;
}

#[tokio::test]
async fn the_s3_store_lets_in_who_can_sign_and_what_was_signed() {
    let (files, pair) = (TempDir::new().expect("a directory"), pair());
    let store = s3_store(&files, &pair).await;
    assert_eq!(curl(&store, &pair, &["-X", "PUT"], "lake").await, (200, String::new()));
    let (bucket, path) = (object_store(&store, &pair), Path::from("a"));
    bucket.put(&path, PutPayload::from_static(b"abc")).await.expect("taken");
    let wrong =
        [Pair { word: "guessed".to_owned(), ..pair.clone() }, Pair { name: "nobody".to_owned(), ..pair.clone() }];
    for wrong in wrong {
        assert!(object_store(&store, &wrong).get(&path).await.is_err());
        assert_eq!(curl(&store, &wrong, &["-X", "PUT"], "other").await.0, 403);
    }
    let (client, unsigned) = (client(), format!("http://{}/lake/a", store.address));
    assert_eq!(client.get(&unsigned).send().await.expect("served").status(), 403);
    let signed = bucket.signed_url(Method::GET, &path, Duration::from_mins(1)).await.expect("signed");
    let answer = client.get(signed.clone()).header("range", "bytes=1-").send().await.expect("served");
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("text")), (206, "bc".to_owned()));
    assert_eq!(client.head(signed.clone()).send().await.expect("served").status(), 403, "it is for GET alone");
    let head = bucket.signed_url(Method::HEAD, &path, Duration::from_mins(1)).await.expect("signed");
    assert_eq!(client.head(head).send().await.expect("served").status(), 200);
    let other = signed.as_str().replace("/lake/a?", "/lake/b?");
    assert_eq!(client.get(other).send().await.expect("served").status(), 403);
    let longer = signed.as_str().replace("X-Amz-Expires=60", "X-Amz-Expires=6000");
    assert_ne!(longer, signed.as_str());
    assert_eq!(client.get(longer).send().await.expect("served").status(), 403);
}

#[tokio::test]
async fn what_the_s3_store_lacks_is_known() {
    let (files, pair) = (TempDir::new().expect("a directory"), pair());
    let store = s3_store(&files, &pair).await;
    assert_eq!(curl(&store, &pair, &["-X", "PUT"], "lake").await, (200, String::new()));
    let (status, told) = curl(&store, &pair, &[], "lake?uploads=").await;
    assert!(status == 501 && told.contains("NotImplemented"), "ListMultipartUploads: {status} {told}");
    // Refused, and kept all the same.
    let wrong = ["-X", "PUT", "--data-binary", "abc", "-H", "Content-MD5: XUFAKrxLKna5cZ2REBfFkg=="];
    let (status, told) = curl(&store, &pair, &wrong, "lake/a").await;
    assert!(status == 400 && told.contains("BadDigest"), "{status} {told}");
    assert_eq!(std::fs::read(files.path().join("made/lake/a")).expect("a file"), b"abc");
    assert!(!files.path().join("made/secret").exists());
    let long = format!("lake/{}", "x".repeat(200));
    assert_eq!(curl(&store, &pair, &["-X", "PUT", "--data-binary", "abc"], &long).await.0, 500, "long keys");
}

fn dav(client: &Client, store: &Store, pair: &Pair, method: &str, path: &str) -> RequestBuilder {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let request = client.request(method, format!("http://{}/{path}", store.address));
    request.basic_auth(&pair.name, Some(&pair.word))
}

async fn dav_store(files: &TempDir, pair: &Pair) -> Store {
    let router = webdav::router(&files.path().join("made"), pair).expect("a store");
    Store::serve(router, anywhere(), SystemClock::shared()).await.expect("a free port")
}

#[tokio::test]
async fn the_webdav_server_keeps_lists_and_moves_what_it_was_given() {
    let (files, pair, client) = (TempDir::new().expect("a directory"), pair(), client());
    let store = dav_store(&files, &pair).await;
    let ask = |method: &str, path: &str| dav(&client, &store, &pair, method, path);
    let status = async |request: RequestBuilder| request.send().await.expect("served").status().as_u16();
    assert_eq!(status(ask("PUT", "dav/a").body("abcdef")).await, 409, "there is no collection");
    for (code, why) in [(201, "it is made"), (405, "it is there")] {
        assert_eq!(status(ask("MKCOL", "dav")).await, code, "{why}");
    }
    assert_eq!(status(ask("PUT", "dav/a%20b").body("abcdef")).await, 201);
    assert_eq!(status(ask("PUT", "dav/taken").body("other")).await, 201);
    assert_eq!(status(ask("PUT", "dav/taken").header("if-none-match", "*").body("x")).await, 412);
    let to = |name: &str| format!("http://{}/dav/{name}", store.address);
    let moved = |name: &str| ask("MOVE", "dav/a%20b").header("destination", to(name)).header("overwrite", "F");
    assert_eq!(status(moved("taken")).await, 412);
    assert_eq!(status(moved("b")).await, 201);
    assert_eq!(std::fs::read(files.path().join("made/dav/b")).expect("a file"), b"abcdef");
    assert_eq!(ask("GET", "dav/taken").send().await.expect("served").text().await.expect("text"), "other");
    let part = ask("GET", "dav/b").header("range", "bytes=2-3").send().await.expect("served");
    assert_eq!((part.status().as_u16(), part.text().await.expect("text")), (206, "cd".to_owned()));
    let listed = ask("PROPFIND", "dav/").header("depth", "1").send().await.expect("served");
    assert_eq!(listed.status(), 207);
    let listed = listed.text().await.expect("text");
    for part in ["<D:href>/dav/b</D:href>", "<D:href>/dav/taken</D:href>", ">6</D:getcontentlength>"] {
        assert!(listed.contains(part), "{part} is not in {listed}");
    }
    assert_eq!(status(ask("DELETE", "dav/b")).await, 204);
    assert_eq!(status(ask("GET", "dav/b")).await, 404);
    stops(store).await;
}

#[tokio::test]
async fn the_webdav_server_lets_in_who_knows_the_password_and_nobody_out_of_its_directory() {
    let (files, pair, client) = (TempDir::new().expect("a directory"), pair(), client());
    let store = dav_store(&files, &pair).await;
    std::fs::write(files.path().join("secret"), "not yours").expect("writable");
    std::os::unix::fs::symlink(files.path(), files.path().join("made/link")).expect("a link");
    let strangers = [
        Pair { word: "guessed".to_owned(), ..pair.clone() },
        Pair { name: "nobody".to_owned(), ..pair.clone() },
        Pair { name: pair.name.clone() + ":", ..pair.clone() },
    ];
    for stranger in strangers {
        for method in ["GET", "PROPFIND", "PUT", "MKCOL", "OPTIONS", "DELETE"] {
            let answer = dav(&client, &store, &stranger, method, "dav").send().await.expect("served");
            assert_eq!(answer.status(), 401, "{method}");
            assert!(answer.headers()["www-authenticate"].to_str().expect("text").starts_with("Basic "));
        }
    }
    assert_eq!(client.get(format!("http://{}/", store.address)).send().await.expect("served").status(), 401);
    let authorization = dav(&client, &store, &pair, "GET", "").build().expect("a request");
    let authorization = authorization.headers()["authorization"].to_str().expect("text").to_owned();
    for path in ["/../secret", "/%2e%2e/secret", "/dav/../../secret", "/..%2fsecret"] {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {authorization}\r\n\r\n");
        let line = raw(&store, head).await;
        assert!(line.starts_with("HTTP/1.1 4"), "{path}: {line}");
    }
}

#[tokio::test]
async fn what_is_too_long_is_turned_away_before_it_comes() {
    let (files, pair) = (TempDir::new().expect("a directory"), pair());
    for store in [s3_store(&files, &pair).await, dav_store(&files, &pair).await] {
        let bytes = 1_u64 << 40;
        let head = format!("PUT /lake/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n");
        assert_eq!(raw(&store, head).await, "HTTP/1.1 413 Payload Too Large");
    }
}
