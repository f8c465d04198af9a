//! URLs that send their reader on to the storage.

use std::io::Write;
use std::sync::{Arc, Mutex};

use dapple::fault::Fault as _;
use dapple::model::endpoint::{EndpointKind, EndpointName};
use dapple::net;
use dapple::service::urls;
use dapple::service::view::NewUrl;
use dapple::storage::backend::{Signed, StorageError};
use reqwest::Response;
use tracing_subscriber::EnvFilter;

use crate::gateway::store::{ETAG, Store};
use crate::gateway::world::{World, bytes_of, did, refusal};

const CONTENT: &[u8] = b"abcdef";

fn wish(name: &str, from: Option<&str>) -> NewUrl {
    let from = from.map(|from| EndpointName::parse(from).expect("a name"));
    NewUrl { did: did(name), expires_seconds: 600, from, redirect: true }
}

/// The file `s:a` at `x`, which is nearest and streams, and at `y`, which takes readers itself.
async fn world() -> (World, Arc<Store>) {
    let world = World::new().await;
    world.put("a", CONTENT).await;
    let store = add(&world, "y").await;
    (world, store)
}

async fn add(world: &World, name: &str) -> Arc<Store> {
    world.add_endpoint(name, EndpointKind::Memory).await;
    let inside = world.lake.stores.memory(name);
    inside.insert("kept", CONTENT.to_vec());
    world.register(name, "a", "kept", CONTENT).await;
    let store = Store::new(Arc::new(inside), CONTENT).await;
    world.redirects(name, true, Some(store.clone())).await;
    store
}

/// The gateway's own answer, not followed.
async fn answer(world: &World, method: &str, url: &str) -> Response {
    let client = net::builder().no_proxy().build().expect("a client");
    let request = world.ask(method, url).build().expect("a request");
    client.execute(request).await.expect("served")
}

#[tokio::test]
async fn get_and_head_are_sent_on_each_with_its_own_url() {
    let (world, store) = world().await;
    let (one, member) = (world.wish(wish("s:a", None)).await, world.wish(wish("s:set", None)).await + "a");
    for url in [&one, &member] {
        for (method, what) in [("GET", Signed::Get), ("HEAD", Signed::Head)] {
            let response = answer(&world, method, url).await;
            assert_eq!(response.status(), 307);
            let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
            assert!(header("location").starts_with(&format!("{}/kept?method={method}&", store.base)));
            assert_eq!(
                (header("cache-control").as_str(), header("referrer-policy").as_str()),
                ("no-store", "no-referrer")
            );
            assert_eq!(header("access-control-allow-origin"), "*");
            assert!(!response.headers().contains_key("etag"), "the tag is the storage's to give");
            let signed = store.signed.lock().expect("no panics").pop();
            assert_eq!(signed, Some(("kept".to_owned(), what, 300)));
            assert!(response.bytes().await.expect("whole").is_empty());
        }
        // As readers do it.
        let head = world.ask("HEAD", url).send().await.expect("served");
        assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"6".parse().unwrap()));
        let whole = world.get(url).send().await.expect("served");
        assert_eq!(whole.headers()["etag"], ETAG);
        assert_eq!(whole.bytes().await.expect("whole"), CONTENT);
        let part = bytes_of(world.get(url).header("range", "bytes=2-3")).await;
        assert_eq!(part, (206, b"cd".to_vec()));
    }
}

#[tokio::test]
async fn the_storages_url_does_not_outlive_the_grant() {
    let (world, store) = world().await;
    let url = world.wish(NewUrl { expires_seconds: 20, ..wish("s:a", None) }).await;
    answer(&world, "GET", &url).await;
    let seconds = store.signed.lock().expect("no panics").pop().expect("signed").2;
    assert!((1..=20).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn other_urls_of_the_same_file_and_uploads_go_through_the_gateway() {
    let (world, store) = world().await;
    let from_y = Some(EndpointName::parse("y").expect("a name"));
    for from in [None, from_y] {
        let url = world.wish(NewUrl { from, redirect: false, ..wish("s:a", None) }).await;
        let response = answer(&world, "GET", &url).await;
        assert_eq!(response.status(), 200);
        assert!(response.headers()["etag"].to_str().expect("text").starts_with("\"blake3-"));
    }
    world.redirects("x", true, None).await;
    world.put("b", b"uploaded").await;
    assert_eq!(std::fs::read(world.root("x").join("s/b")).expect("there"), b"uploaded");
    let base = world.wish(wish("s:set", None)).await;
    assert_eq!(answer(&world, "GET", &base).await.status(), 200, "the list of a dataset is the gateway's own");
    assert!(store.signed.lock().expect("no panics").is_empty());
}

#[tokio::test]
async fn a_reader_is_sent_to_the_endpoint_that_the_url_is_for() {
    let (world, y) = world().await;
    let z = add(&world, "z").await;
    for (name, store) in [("y", &y), ("z", &z)] {
        let url = world.wish(wish("s:a", Some(name))).await;
        let response = answer(&world, "GET", &url).await;
        assert!(response.headers()["location"].to_str().expect("text").starts_with(&store.base), "{name}");
    }
    // Where one cannot sign, the next does, unless the URL is for the first.
    *y.fails.lock().expect("no panics") = Some(Ok(None));
    let any = answer(&world, "GET", &world.wish(wish("s:a", None)).await).await;
    assert!(any.headers()["location"].to_str().expect("text").starts_with(&z.base));
    let url = world.wish(wish("s:a", Some("y"))).await;
    assert_eq!(refusal(world.get(&url)).await, (503, "no-redirect".to_owned()));
}

#[tokio::test]
async fn a_url_that_redirects_never_streams_instead() {
    let (world, store) = world().await;
    let url = world.wish(wish("s:a", None)).await;
    let down = StorageError::Unavailable { path: "kept".to_owned(), what: "no keys".to_owned() };
    for fails in [Err(down), Ok(None), Ok(Some("http://h/a\r\nx: y".to_owned()))] {
        *store.fails.lock().expect("no panics") = Some(fails);
        for request in [world.get(&url), world.get(&url).header("range", "bytes=0-1")] {
            assert_eq!(refusal(request).await, (503, "no-redirect".to_owned()));
        }
        assert_eq!(world.ask("HEAD", &url).send().await.expect("served").status(), 503);
    }
    *store.fails.lock().expect("no panics") = None;
    assert_eq!(bytes_of(world.get(&url)).await.0, 200);
    world.redirects("y", false, None).await;
    assert_eq!(
        refusal(world.get(&url)).await,
        (503, "no-redirect".to_owned()),
        "the endpoint's word counts when it is used"
    );
}

#[tokio::test]
async fn a_redirect_that_nobody_would_carry_out_is_not_promised() {
    let (world, _) = world().await;
    world.put("elsewhere", b"here").await;
    let table = [
        (wish("s:a", Some("x")), "`x` does not take readers itself, or has no available replica of `s:a`"),
        (wish("s:elsewhere", None), "no endpoint that has an available replica of `s:elsewhere` takes readers itself"),
        (
            wish("s:elsewhere", Some("y")),
            "`y` does not take readers itself, or has no available replica of `s:elsewhere`",
        ),
        (wish("s:set", Some("x")), "`x` does not take readers itself"),
    ];
    let refused = async |new: NewUrl| urls::mint(&world.ctx, new).await.expect_err("nobody would");
    for (new, detail) in table {
        let error = refused(new).await;
        assert_eq!((error.code(), error.to_string().as_str()), ("redirect-not-allowed", detail));
        assert!(error.hint().expect("what helps").contains("--redirect"));
    }
    // A dataset's file may be where nobody takes readers; that shows when it is read.
    let member = world.wish(wish("s:set", None)).await + "elsewhere";
    assert_eq!(refusal(world.get(&member)).await, (503, "no-redirect".to_owned()));
    world.redirects("y", false, None).await;
    assert_eq!(refused(wish("s:set", None)).await.to_string(), "no endpoint takes readers itself");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panics").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn redirects_are_logged_without_their_url() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("dapple=trace"))
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (world, store) = world().await;
    let url = world.wish(wish("s:a", None)).await;
    // A line that another test comes by first is off for ever, as nobody listens there, unless all are
    // asked again once they have been come by.
    answer(&world, "HEAD", &url).await;
    *store.fails.lock().expect("no panics") = Some(Ok(None));
    world.get(&url).send().await.expect("served");
    *store.fails.lock().expect("no panics") = None;
    tracing::callsite::rebuild_interest_cache();

    let response = answer(&world, "HEAD", &url).await;
    let id = response.headers()["x-request-id"].to_str().expect("text").to_owned();
    *store.fails.lock().expect("no panics") = Some(Ok(Some(format!("{}/kept?signature=\u{7}secret", store.base))));
    let problem = world.get(&url).send().await.expect("served").text().await.expect("text");
    let logged = String::from_utf8(lines.0.lock().expect("no panics").clone()).expect("text");
    let line = logged.lines().rfind(|line| line.contains("sent a reader of s:a on to y")).expect("it is logged");
    for part in ["INFO", &format!("request.id={id}"), "did=s:a", "endpoint.name=y", "method=HEAD"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(logged.contains("y takes no reader of s:a"), "{logged}");
    for secret in ["signature", "sesame", "secret", &store.base, &url[url.len() - 40..]] {
        assert!(!logged.contains(secret) && !problem.contains(secret), "{secret} is in {logged} {problem}");
    }
}
