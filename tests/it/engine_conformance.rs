//! What every catalog engine promises, run for each engine by one line, and what only one of them can
//! be asked: the embedded one of crashes, locks and damage, the one on PostgreSQL of lost connections,
//! of several processes and of late commits.

mod cases;
mod embedded_only;
mod model;
mod postgres_lost;
mod postgres_only;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dapple::catalog::engine::embedded::{Embedded, EmbeddedSettings};
use dapple::catalog::engine::memory::Memory;
use dapple::catalog::engine::postgres::{Address, Postgres, PostgresSettings};
use dapple::catalog::engine::{Engine, EngineError, Range, Row, Table, Tx, Urgency, Verdict};
use dapple::clock::SystemClock;

use crate::peers::postgres::{name_of, postgres as server};

const LEFT: Table = Table { number: 200, name: "test_left" };
const RIGHT: Table = Table { number: 201, name: "test_right" };

/// An engine under test, and the directory that must outlive it.
struct Subject {
    engine: Arc<dyn Engine>,
    _directory: Option<tempfile::TempDir>,
}

async fn memory() -> Subject {
    Subject { engine: Memory::shared(), _directory: None }
}

async fn postgres() -> Subject {
    Subject { engine: on_server(&fresh_database().await).await, _directory: None }
}

/// The URL of a fresh database that has the tables of the tests too.
async fn fresh_database() -> String {
    let database = tokio::task::spawn_blocking(|| server().database()).await.unwrap();
    // The first one who opens a database makes the catalog's tables.
    drop(on_server(&database).await);
    for table in [LEFT, RIGHT] {
        let sql = format!("CREATE TABLE {} (key bytea PRIMARY KEY, value bytea NOT NULL)", table.name);
        server().sql(name_of(&database), &sql);
    }
    database
}

async fn on_server(url: &str) -> Arc<Postgres> {
    try_on_server(url).await.unwrap()
}

async fn try_on_server(url: &str) -> Result<Arc<Postgres>, EngineError> {
    let settings = PostgresSettings { address: Address::parse(url)?, password: None, connections: 24 };
    Postgres::open(settings, SystemClock::shared()).await
}

async fn embedded() -> Subject {
    let directory = tempfile::tempdir().unwrap();
    Subject { engine: open(directory.path()).unwrap(), _directory: Some(directory) }
}

fn open(directory: &Path) -> Result<Arc<Embedded>, EngineError> {
    Embedded::open(directory, &EmbeddedSettings::default(), SystemClock::shared())
}

/// One test per case and engine.
macro_rules! conformance {
    ($engine:ident: $($case:ident),+ $(,)?) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let subject = super::$engine().await;
                    super::cases::$case(subject.engine.clone()).await;
                }
            )+
        }
    };
}

/// The cases, for all engines.
macro_rules! for_each_engine {
    ($($case:ident),+ $(,)?) => {
        conformance!(memory: $($case),+);
        conformance!(embedded: $($case),+);
        conformance!(postgres: $($case),+);
    };
}

for_each_engine! {
    values_are_put_got_and_deleted,
    a_transaction_sees_its_own_writes,
    scans_merge_own_writes_in_both_directions,
    many_ranges_are_answered_one_by_one,
    write_skew_is_prevented,
    phantoms_are_prevented,
    no_update_is_lost_in_a_storm,
    rows_are_deleted_page_by_page,
    a_snapshot_does_not_see_later_commits,
    a_snapshot_is_consistent_over_tables,
    what_is_not_committed_leaves_nothing,
    cancelled_callers_leave_no_half_transaction,
    the_feed_is_gapless_and_in_commit_order,
    limits_are_kept,
    a_foreign_await_is_an_error_and_harmless,
    a_transaction_inside_a_transaction_is_refused,
    a_panic_fails_its_own_transaction,
    a_closed_engine_refuses_writes,
    random_transactions_match_a_model,
}

/// Runs a transaction somebody waits for.
async fn transact<F, Fut>(engine: &Arc<dyn Engine>, closure: F) -> Result<u64, EngineError>
where
    F: Fn(Tx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Verdict, EngineError>> + Send + 'static,
{
    transact_as(engine, Urgency::Interactive, closure).await
}

async fn transact_as<F, Fut>(engine: &Arc<dyn Engine>, urgency: Urgency, closure: F) -> Result<u64, EngineError>
where
    F: Fn(Tx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Verdict, EngineError>> + Send + 'static,
{
    engine.transact(urgency, Box::new(move |tx| Box::pin(closure(tx)))).await
}

/// Sets one key.
async fn put(engine: &Arc<dyn Engine>, table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) {
    let (key, value) = (key.into(), value.into());
    let write = move |tx: Tx| {
        tx.put(table, key.clone(), value.clone());
        async { Ok(Verdict::Commit) }
    };
    transact(engine, write).await.unwrap();
}

async fn get(engine: &Arc<dyn Engine>, table: Table, key: &[u8]) -> Option<Bytes> {
    engine.snapshot().await.unwrap().get(table, key).await.unwrap()
}

/// All rows of a table.
async fn rows(engine: &Arc<dyn Engine>, table: Table) -> Vec<Row> {
    let snapshot = engine.snapshot().await.unwrap();
    snapshot.scan(table, &Range::prefix(&[], usize::MAX)).await.unwrap()
}

/// The number a value holds; nothing counts as 0.
fn number(value: Option<Bytes>) -> u64 {
    value.map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
}

fn to_value(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

fn keys(rows: &[Row]) -> Vec<&[u8]> {
    rows.iter().map(|(key, _)| &key[..]).collect()
}
