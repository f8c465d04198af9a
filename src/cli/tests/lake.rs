//! A lake in memory, with just the calls that put and get make, and faults on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};

use crate::cli::Session;
use crate::cli::screen::{Format, Screen};
use crate::client::Client;
use crate::clock::SystemClock;
use crate::model::checksum::{Algorithm, Checksum};
use crate::service::view::{NewUploads, UploadView};

const TIME: &str = "2030-01-01T00:00:00.000Z";

/// What the lake holds, and how it misbehaves.
#[derive(Default)]
pub(crate) struct Inside {
    /// Name to bytes, all in one dataset.
    pub(crate) files: BTreeMap<String, Bytes>,
    /// Checksums that are listed instead of BLAKE3.
    pub(crate) checksums: BTreeMap<String, String>,
    /// Bytes that are served instead.
    pub(crate) corrupt: BTreeMap<String, Bytes>,
    /// Names that are refused when they are announced.
    pub(crate) refused: BTreeSet<String>,
    /// Every n-th PUT is turned away with 503.
    pub(crate) put_fails_every: Option<usize>,
    /// So many PUTs meet another that is under way.
    pub(crate) conflicts: usize,
    /// So many PUTs come when the lake no longer waits for them.
    pub(crate) gone: usize,
    /// Names of which no replica can be read.
    pub(crate) unreadable: BTreeSet<String>,
    /// Downloads break off after so many bytes.
    pub(crate) breaks_after: Option<usize>,
    /// PUT URLs are good only if they carry this many announcements or more.
    pub(crate) stale_until: usize,
    pub(crate) announced: Vec<usize>,
    /// The wishes for URLs.
    pub(crate) minted: Vec<Value>,
    pub(crate) puts: usize,
    /// The `Range` of each download.
    pub(crate) ranges: Vec<Option<String>>,
}

#[derive(Clone, Default)]
pub(crate) struct Lake(Arc<Mutex<Inside>>);

/// What a command printed.
#[derive(Clone, Default)]
pub(crate) struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panics").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Printed {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panics").clone()).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text()).expect("JSON")
    }
}

impl Lake {
    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().expect("no panics")
    }

    /// Serves the lake and opens a session with it.
    pub(crate) async fn session(&self, format: Format) -> (Session, Printed) {
        let router = Router::new()
            .route("/api/v1/uploads", post(announce))
            .route("/up/{turn}/{*name}", put(upload))
            .route("/api/v1/dids/{scope}/{*name}", get(did))
            .route("/api/v1/contents/{scope}/{*name}", get(contents))
            .route("/api/v1/urls", post(mint))
            .route("/signed/{*name}", get(download))
            .layer(DefaultBodyLimit::disable())
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let clock = SystemClock::shared();
        let client = Client::new(&url, Some("key".to_owned()), clock.clone())
            .expect("a good address")
            .with_pauses(vec![Duration::from_millis(1); 4]);
        let printed = Printed::default();
        let screen = Screen::of_test(format, false, clock, Box::new(printed.clone()));
        (Session { client, screen }, printed)
    }
}

fn blake3_of(bytes: &[u8]) -> Checksum {
    Checksum::new(Algorithm::Blake3, blake3::hash(bytes).as_bytes().to_vec()).expect("32 bytes")
}

fn problem(status: StatusCode, code: &str) -> Response {
    let body = json!({
        "type": "about:blank", "code": code, "title": "t", "status": status.as_u16(),
        "detail": format!("the lake says {code}"), "request_id": "R",
    });
    (status, Json(body)).into_response()
}

async fn announce(State(lake): State<Lake>, Json(new): Json<NewUploads>) -> Json<Value> {
    let mut lake = lake.inside();
    lake.announced.push(new.files.len());
    let turn = lake.announced.len();
    let answer = |file: &crate::service::view::NewUpload| {
        if lake.refused.contains(&file.name) {
            return json!({"outcome": "refused", "code": "content-differs", "detail": "other bytes have that name"});
        }
        match lake.files.get(&file.name) {
            Some(bytes) if blake3_of(bytes) == file.checksum => json!({"outcome": "done"}),
            _ => {
                let name = crate::client::encode_name(&file.name.parse_name()).expect("addressable");
                json!({"outcome": "put", "url": format!("/up/{turn}/{name}"), "expires_at": TIME})
            }
        }
    };
    let items: Vec<Value> = new.files.iter().map(answer).collect();
    assert!(items.iter().all(|item| serde_json::from_value::<UploadView>(item.clone()).is_ok()));
    Json(json!({"items": items}))
}

trait ParseName {
    fn parse_name(&self) -> crate::model::did::DidName;
}

impl ParseName for String {
    fn parse_name(&self) -> crate::model::did::DidName {
        crate::model::did::DidName::parse(self).expect("a name")
    }
}

async fn upload(
    State(lake): State<Lake>,
    Path((turn, name)): Path<(usize, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut lake = lake.inside();
    lake.puts += 1;
    if lake.put_fails_every.is_some_and(|n| lake.puts.is_multiple_of(n)) {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "busy");
    }
    if lake.conflicts > 0 {
        lake.conflicts -= 1;
        return problem(StatusCode::CONFLICT, "upload-under-way");
    }
    if lake.gone > 0 {
        lake.gone -= 1;
        return problem(StatusCode::NOT_FOUND, "upload-gone");
    }
    if turn < lake.stale_until {
        return problem(StatusCode::FORBIDDEN, "url-expired");
    }
    assert_eq!(headers["content-length"], body.len().to_string());
    let answer = json!({"did": format!("climate:{name}"), "bytes": body.len(), "checksum": blake3_of(&body)});
    lake.files.insert(name, body);
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn did(State(lake): State<Lake>, Path((scope, name)): Path<(String, String)>) -> Response {
    let lake = lake.inside();
    let did = format!("{scope}:{name}");
    let mut view = json!({"did": did, "account": "root", "created_at": TIME, "bytes": 0, "kind": "dataset"});
    if let Some(bytes) = lake.files.get(&name) {
        view["kind"] = json!("file");
        view["bytes"] = json!(bytes.len());
        view["checksums"] = json!([blake3_of(bytes)]);
    } else if name == "nowhere" {
        return problem(StatusCode::NOT_FOUND, "did-not-found");
    } else if name == "box" {
        view["kind"] = json!("container");
    }
    Json(view).into_response()
}

/// Two files a page.
async fn contents(
    State(lake): State<Lake>,
    Path((scope, name)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if name == "nowhere" {
        return problem(StatusCode::NOT_FOUND, "did-not-found");
    }
    let lake = lake.inside();
    let begin: usize = query.get("after").map_or(0, |after| after.parse().expect("our cursor"));
    let item = |(name, bytes): (&String, &Bytes)| {
        let checksum = lake.checksums.get(name).cloned();
        let checksum = checksum.unwrap_or_else(|| blake3_of(bytes).to_string());
        json!({"did": format!("{scope}:{name}"), "kind": "file", "bytes": bytes.len(), "checksums": [checksum], "seq": 0})
    };
    let items: Vec<Value> = lake.files.iter().skip(begin).take(2).map(item).collect();
    let next = (begin + 2 < lake.files.len()).then(|| (begin + 2).to_string());
    Json(json!({"items": items, "next": next})).into_response()
}

async fn mint(State(lake): State<Lake>, Json(new): Json<Value>) -> Json<Value> {
    let did = new["did"].as_str().expect("a DID");
    let name = did.split_once(':').expect("a DID").1;
    let is_file = lake.inside().files.contains_key(name);
    lake.inside().minted.push(new.clone());
    let url = if is_file { format!("/signed/{name}") } else { "/signed/".to_owned() };
    Json(json!({"url": url, "did": did, "expires_at": TIME}))
}

async fn download(State(lake): State<Lake>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    assert!(!headers.contains_key("authorization"), "the URL is the permission");
    let mut lake = lake.inside();
    let range = headers.get("range").map(|range| range.to_str().expect("text").to_owned());
    lake.ranges.push(range.clone());
    if lake.unreadable.contains(&name) {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "unreadable");
    }
    let Some(bytes) = lake.corrupt.get(&name).or(lake.files.get(&name)).cloned() else {
        return problem(StatusCode::NOT_FOUND, "file-not-found");
    };
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let status = if from.is_some() { 206 } else { 200 };
    let rest = bytes.slice(from.unwrap_or(0)..);
    let breaks = lake.breaks_after.filter(|after| *after < rest.len());
    let length = rest.len();
    let pieces = match breaks {
        Some(after) => vec![Ok(rest.slice(..after)), Err(std::io::Error::other("cut"))],
        None => vec![Ok(rest)],
    };
    // A pause before the cut lets what was sent arrive.
    let pieces = stream::unfold(pieces.into_iter(), async |mut pieces| {
        let piece = pieces.next()?;
        if piece.is_err() {
            SystemClock::shared().sleep(Duration::from_millis(20)).await;
        }
        Some((piece, pieces))
    });
    Response::builder()
        .status(status)
        .header("etag", "\"v1\"")
        .header("content-length", length)
        .body(Body::from_stream(pieces))
        .expect("a response")
}
