//! A way to a server that can be made bad: it can be cut, stand still, lie or answer by itself.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the way does with connections, those under way included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// Everything passes.
    Open,
    /// Every connection is closed at once: the server is dead.
    Dead,
    /// Connections come about, and nothing passes: the server hangs.
    Silent,
    /// Each connection ends after so many bytes of answers.
    Cut(usize),
    /// One bit of every answer is flipped, so many bytes from its beginning.
    Flipped(usize),
    /// Requests never reach the server; this is the answer to each.
    Answered(&'static str),
    /// What is PUT never reaches the server, though this is the answer; all else passes.
    Swallowed(&'static str),
}

/// A body of which so long nothing came has come whole.
const DRAINED_AFTER: std::time::Duration = std::time::Duration::from_millis(300);

/// A way to a server.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    way: watch::Sender<Way>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Opens a way to a server on this machine.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let own = listener.local_addr().expect("it is bound").port();
        let (way, seen) = watch::channel(Way::Open);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, SocketAddr::from(([127, 0, 0, 1], port)), seen));
        Self { port: own, way, _tasks: tasks }
    }

    /// Changes the way; what is under way is cut.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let mut way = way.clone();
        let now = way.borrow_and_update().clone();
        connections.spawn(async move {
            tokio::select! {
                () = carry(client, server, now) => {}
                _ = way.changed() => {}
            }
        });
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, way: Way) {
    match way {
        Way::Dead => {}
        Way::Silent => std::future::pending().await,
        Way::Answered(answer) => {
            let mut request = vec![0; 65_536];
            // The head is enough; a body is cut off, as servers that refuse one do.
            let _ = client.read(&mut request).await;
            let _ = client.write_all(answer.as_bytes()).await;
            let _ = client.shutdown().await;
        }
        Way::Open | Way::Cut(_) | Way::Flipped(_) | Way::Swallowed(_) => {
            let Ok(server) = TcpStream::connect(server).await else { return };
            let (from_client, mut to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let asked = Arc::new(tokio::sync::Notify::new());
            let swallowed = match way {
                Way::Swallowed(answer) => Some(answer),
                _ => None,
            };
            tokio::select! {
                () = forth(from_client, to_server, Arc::clone(&asked), swallowed.is_some()) => {
                    let _ = to_client.write_all(swallowed.unwrap_or_default().as_bytes()).await;
                }
                () = back(from_server, &mut to_client, way, asked) => {}
            }
        }
    }
}

async fn forth(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    asked: Arc<tokio::sync::Notify>,
    swallows: bool,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if swallows && buffer.starts_with(b"PUT ") {
            // Its body is taken, as by a server that stores it.
            while let Ok(Ok(1..)) = tokio::time::timeout(DRAINED_AFTER, from.read(&mut buffer)).await {}
            return;
        }
        asked.notify_one();
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
    // The answer may still be on its way.
    std::future::pending::<()>().await;
}

async fn back(
    mut from: tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    way: Way,
    asked: Arc<tokio::sync::Notify>,
) {
    let mut buffer = vec![0; 65_536];
    let mut passed = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        // A new request begins a new answer.
        if futures::FutureExt::now_or_never(asked.notified()).is_some() {
            passed = 0;
        }
        let chunk = &mut buffer[..count];
        if let Way::Flipped(at) = way
            && (passed..passed + count).contains(&at)
        {
            chunk[at - passed] ^= 1;
        }
        if let Way::Cut(most) = way
            && passed + count > most
        {
            let _ = to.write_all(&chunk[..most - passed]).await;
            return;
        }
        passed += count;
        if to.write_all(chunk).await.is_err() {
            return;
        }
    }
}
