//! A store that signs URLs, and the tiny server that its URLs lead to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use dapple::model::id::IntentId;
use dapple::model::probe::Finding;
use dapple::storage::backend::{
    Backend, BoxFuture, ByteRange, ByteStream, Evidence, Listed, ObjectInfo, Overwrite, Room, Signed, Staged,
    StorageError,
};
use dapple::storage::layout::StoragePath;
use futures::stream::BoxStream;
use serde::Deserialize;
use tokio::net::TcpListener;

/// What the server wants to see in a URL.
const SIGNATURE: &str = "sesame-0123456789";
/// The server's own tag of any content.
pub(super) const ETAG: &str = "\"of-the-store\"";

/// A backend whose URLs its server honours; all else is done by the backend inside.
pub(super) struct Store {
    inside: Arc<dyn Backend>,
    pub(super) base: String,
    /// What was signed: path, method, seconds.
    pub(super) signed: Mutex<Vec<(String, Signed, u64)>>,
    /// What signing ends in instead, while it is set.
    pub(super) fails: Mutex<Option<Result<Option<String>, StorageError>>>,
}

impl Store {
    /// Serves `content` under every signed URL.
    pub(super) async fn new(inside: Arc<dyn Backend>, content: &'static [u8]) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().route("/{*path}", any(serve)).with_state(content);
        // It ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, router).await });
        Arc::new(Self { inside, base, signed: Mutex::default(), fails: Mutex::default() })
    }
}

#[derive(Deserialize)]
struct Proof {
    signature: String,
    method: String,
}

/// As S3 does: a URL is good for the one method that it was signed for.
async fn serve(
    State(content): State<&'static [u8]>,
    method: Method,
    Query(proof): Query<Proof>,
    asked: HeaderMap,
) -> Response {
    if proof.signature != SIGNATURE || proof.method != method.as_str() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let range = asked.get("range").map(|range| range.to_str().expect("text").to_owned());
    let range = range.map(|range| {
        let (first, last) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).expect("a range");
        first.parse().expect("a number")..=last.parse().expect("a number")
    });
    let (status, part) = match range {
        Some(range) => (StatusCode::PARTIAL_CONTENT, &content[range]),
        None => (StatusCode::OK, content),
    };
    (status, [("etag", ETAG)], Body::from(part)).into_response()
}

impl Backend for Store {
    fn sign<'a>(
        &'a self,
        path: &'a StoragePath,
        what: Signed,
        span: Duration,
    ) -> BoxFuture<'a, Result<Option<String>, StorageError>> {
        let method = match what {
            Signed::Get => "GET",
            Signed::Head => "HEAD",
        };
        let url = format!("{}/{path}?method={method}&signature={SIGNATURE}", self.base);
        self.signed.lock().expect("no panics").push((path.to_string(), what, span.as_secs()));
        let fails = self.fails.lock().expect("no panics").clone();
        Box::pin(std::future::ready(fails.unwrap_or(Ok(Some(url)))))
    }

    fn stat<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<ObjectInfo, StorageError>> {
        self.inside.stat(path)
    }

    fn read<'a>(
        &'a self,
        path: &'a StoragePath,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<ByteStream, StorageError>> {
        self.inside.read(path, range)
    }

    fn stage<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        content: ByteStream,
    ) -> BoxFuture<'a, Result<Staged, StorageError>> {
        self.inside.stage(path, intent, bytes, content)
    }

    fn stage_copy<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        source: &'a dyn Backend,
        source_path: &'a StoragePath,
    ) -> BoxFuture<'a, Result<Option<Staged>, StorageError>> {
        self.inside.stage_copy(path, intent, bytes, source, source_path)
    }

    fn read_staged<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
    ) -> BoxFuture<'a, Result<Evidence, StorageError>> {
        self.inside.read_staged(path, intent)
    }

    fn publish<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        overwrite: Overwrite,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        self.inside.publish(path, intent, overwrite)
    }

    fn discard<'a>(&'a self, path: &'a StoragePath, intent: IntentId) -> BoxFuture<'a, Result<(), StorageError>> {
        self.inside.discard(path, intent)
    }

    fn delete<'a>(&'a self, path: &'a StoragePath) -> BoxFuture<'a, Result<(), StorageError>> {
        self.inside.delete(path)
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StorageError>> {
        self.inside.list()
    }

    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, StorageError>> {
        self.inside.room()
    }

    fn create_root(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.inside.create_root()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Vec<Finding>, StorageError>> {
        self.inside.probe()
    }
}
