//! A lake behind a socket, and short ways to use it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dapple::catalog::Catalog;
use dapple::catalog::endpoints::{by_name, put as store_endpoint};
use dapple::catalog::engine::memory::Memory;
use dapple::clock::{Clock, SharedClock, SystemClock};
use dapple::model::account::Principal;
use dapple::model::checksum::{Algorithm, Checksum};
use dapple::model::did::Did;
use dapple::model::endpoint::{EndpointKind, EndpointName};
use dapple::model::scope::Scope;
use dapple::model::time::Timestamp;
use dapple::policy::judge::Judge;
use dapple::policy::token::{SigningKey, Verifier};
use dapple::replicas::upload::Uploads;
use dapple::search::follow::Search;
use dapple::service::search::Turns;
use dapple::service::view::{
    NewEndpoint, NewReplica, NewScope, NewSettings, NewUpload, NewUploads, NewUrl, UploadView,
};
use dapple::service::{Context, Lake, accounts, endpoints, replicas, scopes, uploads, urls};
use dapple::storage::backend::Backend;
use dapple::storage::registry::Registry;
use dapple::{gateway, net};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const SEED: [u8; 32] = [7; 32];

/// The machine's clock, set forward by hand.
struct ForwardClock {
    clock: SharedClock,
    forward_ms: AtomicU64,
}

impl Clock for ForwardClock {
    fn now(&self) -> Timestamp {
        let forward = Duration::from_millis(self.forward_ms.load(Ordering::SeqCst));
        self.clock.now().after(forward)
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.clock.sleep(pause)
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.clock.fill(bytes);
    }
}

/// A lake with the scope `s`, the dataset `s:set` and the endpoint `x`, served on a socket.
pub(super) struct World {
    pub(super) lake: Arc<Lake>,
    pub(super) ctx: Context,
    pub(super) client: Client,
    pub(super) address: SocketAddr,
    clock: Arc<ForwardClock>,
    scratch: TempDir,
    server: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(super) fn did(text: &str) -> Did {
    text.parse().expect("a DID")
}

/// Bytes that differ from place to place.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at % 251) ^ (at / 65_536 % 256)).expect("below 256");
    (0..length).map(byte).collect()
}

pub(super) fn blake3_of(bytes: &[u8]) -> Checksum {
    Checksum::new(Algorithm::Blake3, blake3::hash(bytes).as_bytes().to_vec()).expect("32 bytes")
}

impl World {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let clock = Arc::new(ForwardClock { clock: SystemClock::shared(), forward_ms: AtomicU64::new(0) });
        let catalog = Catalog::new(Memory::shared(), clock.clone());
        let (stores, signer) = (Arc::new(Registry::new()), SigningKey::from_seed(SEED));
        let judge = Judge::builtin();
        accounts::first_start(&catalog, "key").await.expect("memory does not fail");
        let lake = Arc::new(Lake {
            uploads: Uploads::new(catalog.clone(), stores.clone(), judge.clone()),
            judge,
            doorkeeper: accounts::Doorkeeper::default(),
            verifier: Verifier::new([signer.public_key()]),
            search: Arc::new(Search::scratch(&*clock)),
            searches: Turns::default(),
            directory: None,
            public_url: format!("http://{address}"),
            catalog,
            stores,
            signer,
        });
        let router = gateway::router(lake.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        let ctx = Context::new(lake.clone(), Principal::root());
        let world = Self {
            lake,
            ctx,
            client: net::builder().no_proxy().redirect(Policy::default()).build().expect("a client"),
            address,
            clock,
            scratch: tempfile::tempdir().expect("a scratch directory"),
            server,
        };
        let scope = NewScope { scope: Scope::parse("s").expect("a scope"), owner: None };
        scopes::add(&world.ctx, scope).await.expect("it is new");
        world.add_endpoint("x", EndpointKind::Posix).await;
        world
    }

    pub(super) async fn add_endpoint(&self, name: &str, kind: EndpointKind) {
        let location = match kind {
            EndpointKind::Posix => self.root(name).to_string_lossy().into_owned(),
            _ => name.to_owned(),
        };
        let new = NewEndpoint {
            name: EndpointName::parse(name).expect("a name"),
            kind,
            location,
            attributes: [].into(),
            create: true,
            settings: NewSettings::default(),
            secret: None,
            no_probe: false,
        };
        endpoints::add(&self.ctx, new).await.expect("it is new");
    }

    /// Lets an endpoint take readers itself, or not, and has a backend serve it.
    pub(super) async fn redirects(&self, name: &str, allowed: bool, backend: Option<Arc<dyn Backend>>) {
        let name = EndpointName::parse(name).expect("a name");
        let view = self.lake.catalog.view().await.expect("readable");
        let mut endpoint = by_name(&view, &name).await.expect("readable").expect("it is there");
        endpoint.settings.redirect = allowed;
        if let Some(backend) = backend {
            self.lake.stores.insert(endpoint.id, backend);
        }
        let changed = self.lake.catalog.transact(move |txn| {
            let endpoint = endpoint.clone();
            async move { store_endpoint(&txn, &endpoint).await }
        });
        changed.await.expect("writable");
    }

    /// The directory of a posix endpoint.
    pub(super) fn root(&self, endpoint: &str) -> PathBuf {
        self.scratch.path().join(endpoint)
    }

    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    pub(super) fn turn_clock(&self, span: Duration) {
        let span = u64::try_from(span.as_millis()).expect("short");
        self.clock.forward_ms.fetch_add(span, Ordering::SeqCst);
    }

    /// Announces a file for the dataset `s:set`; returns the URL that takes its bytes.
    pub(super) async fn announce(&self, name: &str, content: &[u8]) -> String {
        let new = NewUploads {
            to: did("s:set"),
            endpoint: EndpointName::parse("x").expect("a name"),
            files: vec![NewUpload {
                name: name.to_owned(),
                bytes: content.len() as u64,
                checksum: blake3_of(content),
                meta: None,
            }],
        };
        let answer = uploads::announce_files(&self.ctx, new).await.expect("it may");
        match &answer.items[..] {
            [UploadView::Put { url, .. }] => url.clone(),
            other => panic!("{name} is not wanted: {other:?}"),
        }
    }

    /// Uploads a file into the dataset `s:set`; returns a URL that reads it.
    pub(super) async fn put(&self, name: &str, content: &[u8]) -> String {
        let url = self.announce(name, content).await;
        let response = self.client.put(&url).body(content.to_vec()).send().await.expect("served");
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap_or_default());
        self.url(&format!("s:{name}"), 600).await
    }

    /// A URL that reads a file or dataset.
    pub(super) async fn url(&self, name: &str, expires_seconds: u64) -> String {
        self.wish(NewUrl { did: did(name), expires_seconds, from: None, redirect: false }).await
    }

    /// The URL that a wish is given.
    pub(super) async fn wish(&self, new: NewUrl) -> String {
        urls::mint(&self.ctx, new).await.expect("it is there").url
    }

    /// Registers a file that lies at an endpoint under `path`.
    pub(super) async fn register(&self, endpoint: &str, name: &str, path: &str, content: &[u8]) {
        let endpoint = EndpointName::parse(endpoint).expect("a name");
        let registration = replicas::begin_registration(&self.ctx, &did("s:set"), &endpoint).await;
        let line = NewReplica {
            name: name.to_owned(),
            bytes: content.len() as u64,
            checksum: blake3_of(content),
            path: Some(path.to_owned()),
            meta: None,
        };
        let lines = [serde_json::to_string(&line).expect("plain")];
        let outcome = registration.expect("it may").chunk(1, &lines).await.expect("it may");
        assert!(outcome.refused.is_empty(), "{outcome:?}");
    }

    pub(super) fn get(&self, url: &str) -> RequestBuilder {
        self.client.get(url)
    }

    pub(super) fn ask(&self, method: &str, url: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).expect("a method"), url)
    }

    /// Sends a request as it is, path untouched, and returns the answer as it is. Other clients
    /// resolve the dots in a path.
    pub(super) async fn raw(&self, request_line: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(self.address).await.expect("served");
        let length = body.len();
        let head =
            format!("{request_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        socket.write_all((head + body).as_bytes()).await.expect("taken");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("answered");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// [`World::put`] for names with dots; returns what stands behind the host in the URL.
    pub(super) async fn put_raw(&self, name: &str, content: &str) -> String {
        let url = self.announce(name, content.as_bytes()).await;
        let target = url.strip_prefix(&self.lake.public_url).expect("ours");
        let answer = self.raw(&format!("PUT {target}"), content).await;
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        let url = self.url(&format!("s:{name}"), 600).await;
        url.strip_prefix(&self.lake.public_url).expect("ours").to_owned()
    }
}

/// Awaits a request and its bytes.
pub(super) async fn bytes_of(request: RequestBuilder) -> (u16, Vec<u8>) {
    let response = request.send().await.expect("served");
    let status = response.status().as_u16();
    (status, response.bytes().await.expect("whole").to_vec())
}

/// Awaits a request that shall be refused: its status and code.
pub(super) async fn refusal(request: RequestBuilder) -> (u16, String) {
    problem(request.send().await.expect("served")).await
}

/// The status and code of a problem document.
pub(super) async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").cloned();
    assert_eq!(kind.expect("typed"), "application/problem+json");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let id = response.headers()["x-request-id"].to_str().expect("text").to_owned();
    let body: serde_json::Value = response.json().await.expect("a problem");
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], *id);
    (status, body["code"].as_str().expect("a code").to_owned())
}
