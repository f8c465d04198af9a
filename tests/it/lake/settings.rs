//! What settings do to a running server: each limit is met, each way of listening is listened on, and
//! what is counted and logged can be read.

mod limits;
mod logs;
mod numbers;
mod tls;

use std::time::{Duration, Instant};

use dapple::model::did::DidKind;
use dapple::service::view::{NewDid, NewUrl};
use reqwest::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{TestLake, did, name, pause};

/// How long something may take that takes a second. A machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_server_is_what_its_settings_say() {
    let settings = "[serve]\npublic_url = \"https://lake.example.org/\"\nstop_time = \"0s\"\n[transfers]\nmovers = 3\n";
    let mut lake = TestLake::with_settings(settings, &["x"]).await;
    let workers = lake.client.workers().page(100, None).await.expect("listed").items;
    let movers: Vec<_> = workers.iter().filter(|worker| worker.name.starts_with("mover-")).collect();
    assert_eq!(movers.len(), 3, "{movers:?}");
    let dataset = NewDid { did: did("s:d"), kind: DidKind::Dataset };
    lake.client.create_did(&dataset).await.expect("made");
    let wish = NewUrl { did: did("s:d"), expires_seconds: 600, from: None, redirect: false };
    let url = lake.client.mint(&wish).await.expect("a URL").url;
    assert!(url.starts_with("https://lake.example.org/s/"), "{url}");
    // A request that would take a minute is not waited for.
    let mut stalls = connect(&lake).await;
    let head = format!("POST /api/v1/scopes HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n", lake.key());
    send(&mut stalls, format!("{head}content-length: 100\r\n\r\n{{").as_bytes()).await;
    let began = Instant::now();
    lake.restart().await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(read_to_end(&mut stalls).await, "");
}

/// A connection on which a test says what it likes.
async fn connect(lake: &TestLake) -> TcpStream {
    let address = lake.url().trim_start_matches("http://");
    TcpStream::connect(address).await.expect("a connection")
}

/// Sends bytes as they are.
async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("sent");
}

/// All that comes until the connection ends.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let reading = stream.read_to_end(&mut read);
    // A connection that is cut off ends with an error as well.
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the server ends it");
    String::from_utf8_lossy(&read).into_owned()
}

/// The status and the code of a problem.
async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let text = response.text().await.expect("a body");
    let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["request_id"].as_str().map(str::len), Some(26), "{body}");
    (status, body["code"].as_str().expect("a code").to_owned())
}
