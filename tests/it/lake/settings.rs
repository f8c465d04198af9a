//! What settings do to a running server: each limit is met, each way of listening is listened on, and
//! what is counted and logged can be read.

mod limits;
mod logs;
mod numbers;
mod tls;

use std::time::{Duration, Instant};

use reqwest::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{TestLake, did, name, pause};

/// How long something may take that takes a second. A machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

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
