//! Random transactions, compared step by step with a map.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dapple::catalog::engine::{Engine, EngineError, Range, Row, Table, Tx, Verdict};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{LEFT, RIGHT, rows, transact};

const CASES: u32 = 32;

type Model = BTreeMap<(Table, Bytes), Bytes>;

#[derive(Debug, Clone)]
enum Step {
    Put(Table, Bytes, Bytes),
    Delete(Table, Bytes),
    Get(Table, Bytes),
    Scan(Table, Range),
}

type Script = Vec<(Vec<Step>, bool)>;

fn table() -> impl Strategy<Value = Table> {
    prop_oneof![Just(LEFT), Just(RIGHT)]
}

/// Few and similar keys, so that steps meet.
fn key() -> impl Strategy<Value = Bytes> {
    let byte = prop_oneof![Just(0_u8), Just(1), Just(255)];
    prop::collection::vec(byte, 1..4).prop_map(Bytes::from)
}

fn range() -> impl Strategy<Value = Range> {
    let end = prop_oneof![1 => Just(Bytes::new()), 3 => key()];
    (end.clone(), end, any::<bool>(), 0..12_usize).prop_map(|(from, to, reverse, limit)| Range {
        from,
        to,
        reverse,
        limit,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop::collection::vec(any::<u8>(), 0..3).prop_map(Bytes::from);
    prop_oneof![
        4 => (table(), key(), value).prop_map(|(table, key, value)| Step::Put(table, key, value)),
        2 => (table(), key()).prop_map(|(table, key)| Step::Delete(table, key)),
        2 => (table(), key()).prop_map(|(table, key)| Step::Get(table, key)),
        3 => (table(), range()).prop_map(|(table, range)| Step::Scan(table, range)),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let transaction = (prop::collection::vec(step(), 0..12), prop::bool::weighted(0.8));
    prop::collection::vec(transaction, 1..10)
}

/// Does a step to the map; what it reads is what the engine should have read.
fn predict(model: &mut Model, step: &Step) -> Vec<Row> {
    match step {
        Step::Put(table, key, value) => {
            model.insert((*table, key.clone()), value.clone());
            Vec::new()
        }
        Step::Delete(table, key) => {
            model.remove(&(*table, key.clone()));
            Vec::new()
        }
        Step::Get(table, key) => {
            let value = model.get(&(*table, key.clone()));
            value.map(|value| (key.clone(), value.clone())).into_iter().collect()
        }
        Step::Scan(table, range) => {
            let mut inside = table_of(model, *table);
            inside.retain(|(key, _)| range.holds(key));
            if range.reverse {
                inside.reverse();
            }
            inside.truncate(range.limit);
            inside
        }
    }
}

fn table_of(model: &Model, table: Table) -> Vec<Row> {
    let of_table = model.iter().filter(|((owner, _), _)| *owner == table);
    of_table.map(|((_, key), value)| (key.clone(), value.clone())).collect()
}

async fn perform(tx: &Tx, step: Step) -> Result<Vec<Row>, EngineError> {
    match step {
        Step::Put(table, key, value) => tx.put(table, key, value),
        Step::Delete(table, key) => tx.delete(table, key),
        Step::Get(table, key) => {
            let value = tx.get(table, &key).await?;
            return Ok(value.map(|value| (key, value)).into_iter().collect());
        }
        Step::Scan(table, range) => return tx.scan(table, &range).await,
    }
    Ok(Vec::new())
}

/// Runs one script; the engine's tables are empty before.
async fn follow(engine: &Arc<dyn Engine>, script: Script) -> Result<(), TestCaseError> {
    let mut model = Model::new();
    for (steps, is_committed) in script {
        let mut changed = model.clone();
        let predicted: Vec<_> = steps.iter().map(|step| predict(&mut changed, step)).collect();
        let read = Arc::new(Mutex::new(Vec::new()));
        let told = read.clone();
        let body = move |tx: Tx| {
            let (steps, told) = (steps.clone(), told.clone());
            async move {
                for step in steps {
                    let rows = perform(&tx, step).await?;
                    told.lock().unwrap().push(rows);
                }
                Ok(if is_committed { Verdict::Commit } else { Verdict::Abort })
            }
        };
        transact(engine, body).await.unwrap();
        prop_assert_eq!(&*read.lock().unwrap(), &predicted);
        if is_committed {
            model = changed;
        }
        for table in [LEFT, RIGHT] {
            prop_assert_eq!(rows(engine, table).await, table_of(&model, table));
        }
    }
    Ok(())
}

async fn clear(engine: &Arc<dyn Engine>) {
    let delete_all = |tx: Tx| async move {
        for table in [LEFT, RIGHT] {
            let rows = tx.scan(table, &Range::prefix(&[], usize::MAX)).await?;
            for (key, _) in rows {
                tx.delete(table, key);
            }
        }
        Ok(Verdict::Commit)
    };
    transact(engine, delete_all).await.unwrap();
}

pub(super) async fn random_transactions_match_a_model(engine: Arc<dyn Engine>) {
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let runtime = tokio::runtime::Handle::current();
    let run_one = |script| {
        runtime.block_on(async {
            clear(&engine).await;
            follow(&engine, script).await
        })
    };
    tokio::task::block_in_place(|| runner.run(&script(), run_one)).unwrap();
}
