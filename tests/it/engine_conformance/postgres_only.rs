//! What only the engine on PostgreSQL can be asked: several processes, late commits, lost connections.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dapple::catalog::engine::postgres::schema::STEPS;
use dapple::catalog::engine::postgres::{Address, Password, Postgres, PostgresSettings};
use dapple::catalog::engine::{Engine, EngineError, FEED_BELL, Range, Tx, Verdict};
use dapple::catalog::record::TABLES;
use dapple::clock::SystemClock;
use futures::future::join_all;
use tokio_postgres::NoTls;

use super::{LEFT, RIGHT, fresh_database, get, number, on_server, put, rows, to_value, transact, try_on_server};
use crate::peers::postgres::{Postgres as Server, name_of, postgres as server};

/// Waits for something that comes about by itself.
pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(40), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) async fn feed(engine: &dyn Engine) -> Vec<(u64, Bytes)> {
    let page = engine.changes(0, 100_000).await.unwrap();
    page.into_iter().map(|entry| (entry.seq, entry.change)).collect()
}

/// Adds one to a count, and emits what it is then.
pub(super) async fn count(tx: Tx) -> Result<Verdict, EngineError> {
    let count = number(tx.get(LEFT, b"count").await?) + 1;
    tx.put(LEFT, Bytes::from("count"), to_value(count));
    tx.emit(to_value(count));
    Ok(Verdict::Commit)
}

/// A connection beside all engines, as another process has it.
async fn beside(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

#[tokio::test]
async fn the_tables_on_the_server_are_those_of_the_catalog() {
    let database = fresh_database().await;
    let told = server().sql(
        name_of(&database),
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' \
         AND table_name NOT LIKE 'engine%' AND table_name NOT LIKE 'test%'",
    );
    let there: BTreeSet<&str> = told.lines().collect();
    let wanted: BTreeSet<&str> = TABLES.iter().map(|table| table.name).collect();
    assert_eq!(there, wanted, "a table is made by a step of its own in catalog-schema/postgres");
}

#[tokio::test]
async fn indexes_are_used_however_small_a_table_is() {
    let database = fresh_database().await;
    let engine: Arc<dyn Engine> = on_server(&database).await;
    for n in 0..3 {
        put(&engine, LEFT, to_value(n), "").await;
    }
    server().sql(name_of(&database), "ANALYZE");
    let scanned = || {
        let sql = "SELECT coalesce(sum(seq_scan), 0), coalesce(sum(idx_scan), 0) FROM pg_stat_user_tables \
                   WHERE relname = 'test_left'";
        let told = server().sql(name_of(&database), sql);
        let (whole, by_index) = told.trim().split_once('|').unwrap();
        (whole.parse::<u64>().unwrap(), by_index.parse::<u64>().unwrap())
    };
    let (whole, by_index) = scanned();
    let some = Range { from: Bytes::from_static(b"\0"), to: Bytes::from_static(b"\x01"), reverse: false, limit: 9 };
    for _ in 0..8 {
        let some = some.clone();
        let look = move |tx: Tx| {
            let some = some.clone();
            async move {
                tx.get(LEFT, &to_value(1)).await?;
                tx.get_many(LEFT, &[to_value(1), to_value(2)]).await?;
                tx.scan(LEFT, &some).await?;
                tx.scan(LEFT, &some.clone().reversed()).await?;
                tx.scan_many(LEFT, &[some.clone(), some.clone().reversed(), Range::prefix(&[], 2)]).await?;
                tx.scan_many(LEFT, &[some.clone(), some.clone()]).await?;
                tx.delete(LEFT, to_value(1));
                tx.put(LEFT, to_value(1), Bytes::new());
                Ok(Verdict::Commit)
            }
        };
        transact(&engine, look).await.unwrap();
    }
    // The server tells of what has been read when a connection has come to rest.
    drop(engine);
    until("the server counts what was read", async || scanned().1 >= by_index + 8 * 7).await;
    assert_eq!(scanned().0, whole, "no table was read as a whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_commits_late_is_numbered_late_and_nothing_is_skipped() {
    let database = fresh_database().await;
    let engine = on_server(&database).await;
    let as_engine: Arc<dyn Engine> = engine.clone();
    // Somebody's transaction has its place in the inbox and is not over.
    let mut held = Vec::new();
    for n in 0..3_u64 {
        let other = beside(&database).await;
        other.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE").await.unwrap();
        let late = format!("late {n}").into_bytes();
        other
            .execute("INSERT INTO engine_inbox (id, part, value) VALUES (nextval('engine_inbox_id'), 1, $1)", &[&late])
            .await
            .unwrap();
        held.push(other);
        let emit = move |tx: Tx| async move {
            tx.emit(Bytes::from(format!("early {n}")));
            Ok(Verdict::Commit)
        };
        assert_eq!(transact(&as_engine, emit).await.unwrap(), n + 1);
    }
    let early: Vec<_> = (0..3).map(|n| (n + 1, Bytes::from(format!("early {n}")))).collect();
    assert_eq!(feed(&*engine).await, early);
    // A follower has read all there was. What commits now comes behind it, in no matter which order.
    for other in held.iter().rev() {
        other.batch_execute("COMMIT").await.unwrap();
    }
    until("late commits are numbered", async || feed(&*engine).await.len() == 6).await;
    let (first, rest) = (feed(&*engine).await, engine.changes(3, 9).await.unwrap());
    assert_eq!(first[..3], early, "what was read stays as it was");
    let late: BTreeSet<Bytes> = rest.iter().map(|entry| entry.change.clone()).collect();
    assert_eq!(late, (0..3).map(|n| Bytes::from(format!("late {n}"))).collect());
    assert_eq!(rest.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_share_one_feed_in_the_order_of_each_record() {
    let database = fresh_database().await;
    let mut engines: Vec<Arc<dyn Engine>> = Vec::new();
    for _ in 0..3 {
        engines.push(on_server(&database).await);
    }
    let began = Instant::now();
    let caller = |n: usize| {
        let engine = engines[n % 3].clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                // One record that all write, and one of each caller's own.
                let seq = transact(&engine, count).await.unwrap();
                let own = move |tx: Tx| async move {
                    tx.put(RIGHT, to_value(n as u64), Bytes::new());
                    tx.emit(Bytes::from("own"));
                    Ok(Verdict::Commit)
                };
                let later = transact(&engine, own).await.unwrap();
                assert!(later > seq);
                let seen = engine.changes(later - 1, 1).await.unwrap();
                assert_eq!(seen.len(), 1, "what is acknowledged is in the feed");
            }
        })
    };
    for outcome in join_all((0..9).map(caller)).await {
        outcome.unwrap();
    }
    let feed = feed(&*engines[0]).await;
    assert_eq!(feed.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=180).collect::<Vec<_>>());
    let counts: Vec<u64> =
        feed.iter().filter(|(_, what)| what.len() == 8).map(|(_, n)| number(Some(n.clone()))).collect();
    assert_eq!(counts, (1..=90).collect::<Vec<_>>(), "the feed has each record's changes in their order");
    println!("180 commits on one busy row by three processes: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bells_are_heard_in_other_processes_only() {
    let database = fresh_database().await;
    let (one, two) = (on_server(&database).await, on_server(&database).await);
    let (at_one, at_two) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let (own, others, fed) = (at_one.clone(), at_two.clone(), Arc::new(AtomicBool::new(false)));
    let told = fed.clone();
    one.listen(Box::new(move |bell| {
        if bell == "rules" {
            own.fetch_add(1, Ordering::Relaxed);
        }
    }));
    two.listen(Box::new(move |bell| match bell {
        FEED_BELL => told.store(true, Ordering::Relaxed),
        _ => {
            others.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let began = Instant::now();
    one.ring("rules");
    until("the other hears it", async || at_two.load(Ordering::Relaxed) == 1).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let as_engine: Arc<dyn Engine> = one.clone();
    transact(&as_engine, count).await.unwrap();
    until("the other hears of the feed", async || fed.load(Ordering::Relaxed)).await;
    two.ring("rules");
    until("the first hears it", async || at_one.load(Ordering::Relaxed) == 1).await;
    assert_eq!(at_two.load(Ordering::Relaxed), 1, "nobody hears itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_may_break_at_any_time_and_each_closure_takes_effect_once() {
    let database = fresh_database().await;
    let engine: Arc<dyn Engine> = on_server(&database).await;
    let (is_over, broken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let breaker = {
        let (is_over, broken, other) = (is_over.clone(), broken.clone(), beside(&database).await);
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = \
                           current_database() AND pid <> pg_backend_pid() AND random() < 0.3";
                let ended: i64 = other.query_one(end, &[]).await.unwrap().get(0);
                broken.fetch_add(ended.cast_unsigned(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        })
    };
    let caller = |_| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                transact(&engine, count).await.unwrap();
            }
        })
    };
    for outcome in join_all((0..6).map(caller)).await {
        outcome.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    breaker.await.unwrap();
    assert!(broken.load(Ordering::Relaxed) > 5, "connections were broken");
    assert_eq!(number(get(&engine, LEFT, b"count").await), 120);
    until("all is numbered", async || feed(&*engine).await.len() == 120).await;
    let counts: Vec<_> = feed(&*engine).await.into_iter().map(|(_, change)| number(Some(change))).collect();
    assert_eq!(counts, (1..=120).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_outlives_a_crash_of_the_server() {
    let crashing = tokio::task::spawn_blocking(|| Server::prepare("postgres-crashing", "")).await.unwrap();
    let process = crashing.start();
    crashing.sql("postgres", "CREATE DATABASE lake");
    let engine: Arc<dyn Engine> = on_server(&crashing.url("lake")).await;
    crashing.sql("lake", "CREATE TABLE test_left (key bytea PRIMARY KEY, value bytea NOT NULL)");
    let acknowledged = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (engine, acknowledged, is_over) = (engine.clone(), acknowledged.clone(), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    transact(&engine, count).await.unwrap();
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let grown = async |by: u64| {
        let before = acknowledged.load(Ordering::Relaxed);
        until("commits go on", async || acknowledged.load(Ordering::Relaxed) >= before + by).await;
    };
    grown(20).await;
    crashing.crash();
    process.stop();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let process = crashing.start();
    grown(20).await;
    is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let total = acknowledged.load(Ordering::Relaxed);
    assert_eq!(number(get(&engine, LEFT, b"count").await), total, "each closure took effect once");
    until("all is numbered", async || feed(&*engine).await.len() as u64 == total).await;
    drop(engine);
    process.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_hold_every_connection_do_not_stop_writers() {
    let database = fresh_database().await;
    let settings = PostgresSettings { address: Address::parse(&database).unwrap(), password: None, connections: 8 };
    let engine = Postgres::open(settings, SystemClock::shared()).await.unwrap();
    let held = [engine.snapshot().await.unwrap(), engine.snapshot().await.unwrap(), engine.snapshot().await.unwrap()];
    let engine: Arc<dyn Engine> = engine;
    for n in 0..20 {
        put(&engine, LEFT, to_value(n), "").await;
    }
    assert_eq!(held[0].scan(LEFT, &Range::prefix(&[], 99)).await.unwrap(), []);
    drop(held);
    assert_eq!(rows(&engine, LEFT).await.len(), 20);
    // A snapshot that is dropped leaves no transaction behind.
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    until("all transactions end", async || server().sql(name_of(&database), open).trim() == "0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_hold_one_snapshot_and_want_another_do_not_wait_for_each_other() {
    let database = fresh_database().await;
    let settings = PostgresSettings { address: Address::parse(&database).unwrap(), password: None, connections: 8 };
    let engine = Postgres::open(settings, SystemClock::shared()).await.unwrap();
    let began = Instant::now();
    let reader = |_| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let first = engine.snapshot().await.unwrap();
            // By now every other reader has its first one, if it can.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let second = engine.snapshot().await.unwrap();
            assert_eq!(first.get(LEFT, b"a").await.unwrap(), second.get(LEFT, b"a").await.unwrap());
        })
    };
    for outcome in join_all((0..12).map(reader)).await {
        outcome.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn whoever_cannot_connect_is_told_why() {
    let database = fresh_database().await;
    let told = async |url: &str| match try_on_server(url).await.map(drop) {
        Err(EngineError::Refused { what, hint }) => format!("{what}; {hint}"),
        Err(other) => other.to_string(),
        Ok(()) => panic!("{url} let us in"),
    };
    let at = |who: &str, name: &str| format!("postgres://{who}@127.0.0.1:{}/{name}", server().port);
    let missing = told(&at("ada", "missing")).await;
    assert!(missing.contains("3D000") && missing.contains("createdb"), "{missing}");
    let stranger = told(&at("stranger", name_of(&database))).await;
    assert!(stranger.contains("28000") && stranger.contains("pg_hba.conf"), "{stranger}");
    let nobody = told("postgres://ada@127.0.0.1:1/lake").await;
    assert!(nobody.contains("cannot be reached"), "{nobody}");
    let plain = told(&(database.clone() + "?sslmode=require")).await;
    assert!(plain.contains("TLS"), "{plain}");

    let name = name_of(&database);
    server().sql(name, "INSERT INTO engine_schema (step, name) VALUES (99, 'of another time')");
    let newer = told(&database).await;
    assert!(newer.contains("step 99") && newer.contains("newer dapple"), "{newer}");
    server().sql(name, "DELETE FROM engine_schema WHERE step = 99");
    on_server(&database).await;
    assert_eq!(server().sql(name, "SELECT count(*) FROM engine_schema").trim(), STEPS.len().to_string());

    for (at, sql) in [
        (name, "CREATE ROLE guest LOGIN"),
        (name, "CREATE DATABASE empty"),
        ("empty", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
    ] {
        server().sql(at, sql);
    }
    let guest = told(&at("guest", "empty")).await;
    assert!(guest.contains("42501") && guest.contains("GRANT CREATE"), "{guest}");
}

#[tokio::test]
async fn passwords_are_asked_for_and_secure_connections_checked() {
    let directory = crate::peers::authority().directory.clone();
    let settings =
        format!("ssl = on\nssl_cert_file = '{0}/server.crt'\nssl_key_file = 'server.key'", directory.display());
    let strict = tokio::task::spawn_blocking(move || {
        let strict = Server::prepare("postgres-strict", &settings);
        strict.own_file("server.key", &crate::peers::authority().read("server.key"));
        strict.own_file("pg_hba.conf", "hostssl all ada 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n");
        strict
    });
    let strict = strict.await.unwrap();
    let process = strict.start();
    for sql in ["ALTER ROLE ada PASSWORD 'hunter2'", "CREATE DATABASE lake"] {
        strict.sql_as("postgres", "sslmode=disable", sql);
    }
    let url = format!("postgres://ada@localhost:{}/lake", strict.port);
    let ca = directory.join("ca.pem");
    let open = async |url: String, password: Option<&'static str>| {
        let password = password.map(|word| Arc::new(move || Ok(word.to_owned())) as Password);
        let settings = PostgresSettings { address: Address::parse(&url)?, password, connections: 8 };
        Postgres::open(settings, SystemClock::shared()).await
    };
    let checked = format!("{url}?sslmode=verify-full&sslrootcert={}", ca.display());
    let engine: Arc<dyn Engine> = open(checked.clone(), Some("hunter2")).await.unwrap();
    assert_eq!(
        transact(&engine, |tx: Tx| async move {
            tx.emit(Bytes::new());
            Ok(Verdict::Commit)
        })
        .await
        .unwrap(),
        1
    );
    let secure = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND datname = 'lake'";
    assert_ne!(strict.sql_as("postgres", "sslmode=disable", secure).trim(), "0");
    match open(checked, Some("hunter3")).await.map(drop) {
        Err(EngineError::Refused { what, hint }) => {
            assert!(what.contains("28P01") && hint.contains("catalog.password_file"), "{what} {hint}");
        }
        other => panic!("{other:?}"),
    }
    // Nobody vouches for the server's certificate here.
    match open(format!("{url}?sslmode=require"), Some("hunter2")).await.map(drop) {
        Err(EngineError::Unreachable { what }) => assert!(what.contains("certificate"), "{what}"),
        other => panic!("{other:?}"),
    }
    drop(engine);
    process.stop();
}
