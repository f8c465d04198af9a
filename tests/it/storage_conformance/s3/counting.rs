//! Stands between a client and a server, passes everything on, and counts what they say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A way that ends with the test's runtime.
pub(crate) struct Counting {
    pub(crate) url: String,
    seen: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
}

/// What a store says when it has a part or an object.
const HAS_IT: &str = "ETag: \"";

impl Counting {
    /// Stands before a port and counts how often the client says `word`.
    pub(crate) async fn before(port: u16, word: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("some port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let seen = Arc::new(AtomicUsize::new(0));
        let answered = Arc::new(AtomicUsize::new(0));
        let (asking, answering) = (seen.clone(), answered.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.expect("the server is up");
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, word, asking.clone()));
                tokio::spawn(pass(from_server, to_client, HAS_IT, answering.clone()));
            }
        });
        Self { url, seen, answered }
    }

    /// Waits until the store has said of so many parts that it has them.
    pub(crate) async fn has(&self, parts: usize) {
        while self.answered.load(Ordering::SeqCst) < parts {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How often it was said since this was last asked.
    pub(crate) fn count(&self) -> usize {
        self.seen.swap(0, Ordering::SeqCst)
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, word: &str, counter: Arc<AtomicUsize>) {
    let mut buffer = vec![0; 64 << 10];
    // The end of what was read last may be the beginning of the word.
    let mut tail = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        tail.extend_from_slice(&buffer[..read]);
        let found = tail.windows(word.len()).filter(|window| *window == word.as_bytes()).count();
        counter.fetch_add(found, Ordering::SeqCst);
        tail.drain(..tail.len().saturating_sub(word.len() - 1));
    }
}
