//! Commits whose answer is lost: a line between engine and server that breaks just then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dapple::catalog::engine::{Engine, Tx, Verdict};
use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::postgres_only::{count, feed, until};
use super::{LEFT, fresh_database, get, number, on_server, transact};
use crate::peers::postgres::{name_of, postgres as server};

/// A line that breaks at every third commit, in three ways in turn.
struct Line {
    commits: AtomicU64,
    broken: AtomicU64,
}

/// How a line breaks when a commit goes through it.
enum Break {
    /// The server never gets it.
    Before,
    /// The server gets it, and its answer is lost.
    After,
    /// The server gets it when its sender has long given it up.
    Late,
}

impl Line {
    /// What becomes of a commit.
    fn turn(&self) -> Option<Break> {
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        if number % 3 != 2 {
            return None;
        }
        self.broken.fetch_add(1, Ordering::Relaxed);
        Some(match number / 3 % 3 {
            0 => Break::After,
            1 => Break::Late,
            _ => Break::Before,
        })
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            let line = self.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", server().port)).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let answers = tokio::spawn(carry(from_server, to_client));
                line.ask(from_client, to_server, answers).await;
            });
        }
    }

    /// Carries what the engine asks, until it is time to break.
    async fn ask(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, answers: tokio::task::JoinHandle<()>) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(size @ 1..) = from.read(&mut buffer).await {
            let bytes = &buffer[..size];
            let commits = bytes.windows(7).any(|window| window == b"COMMIT\0");
            match commits.then(|| self.turn()).flatten() {
                None => {
                    if to.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Some(Break::Before) => return answers.abort(),
                Some(Break::After) => {
                    // The answers go nowhere from here on.
                    answers.abort();
                    to.write_all(bytes).await.unwrap();
                    return tokio::time::sleep(Duration::from_millis(300)).await;
                }
                Some(Break::Late) => {
                    answers.abort();
                    drop(from);
                    tokio::time::sleep(Duration::from_millis(700)).await;
                    // The server may have seen that the other side is gone.
                    let _ = to.write_all(bytes).await;
                    return tokio::time::sleep(Duration::from_millis(300)).await;
                }
            }
        }
        answers.abort();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    drop(tokio::io::copy(&mut from, &mut to).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_takes_effect_once() {
    let database = fresh_database().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = Arc::new(Line { commits: AtomicU64::new(0), broken: AtomicU64::new(0) });
    tokio::spawn(line.clone().serve(listener));
    let url = format!("postgres://ada@127.0.0.1:{port}/{}", name_of(&database));
    let engine: Arc<dyn Engine> = on_server(&url).await;
    let caller = |caller: u64| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for n in 0..8 {
                transact(&engine, count).await.unwrap();
                // One that reads nothing goes to the server in one piece.
                let blind = move |tx: Tx| async move {
                    tx.emit(Bytes::from(format!("{caller} {n}")));
                    Ok(Verdict::Commit)
                };
                transact(&engine, blind).await.unwrap();
            }
        })
    };
    for outcome in join_all((0..4).map(caller)).await {
        outcome.unwrap();
    }
    assert!(line.broken.load(Ordering::Relaxed) > 20, "the line broke often");
    // A late one that took effect after all would have done so by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let plain = on_server(&database).await;
    until("all is numbered", async || feed(&*plain).await.len() == 64).await;
    let plain: Arc<dyn Engine> = plain;
    assert_eq!(number(get(&plain, LEFT, b"count").await), 32);
    let mut told: Vec<Bytes> = feed(&*plain).await.into_iter().map(|(_, change)| change).collect();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 64, "each change is told once");
}
