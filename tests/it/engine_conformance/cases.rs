//! The cases. Each gets a fresh engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use dapple::catalog::engine::{
    CHANGES, Engine, EngineError, KEY_BYTES_MAX, META, Range, Read, TRANSACTION_BYTES_MAX, TRANSACTION_KEYS_MAX, Tx,
    Urgency, VALUE_BYTES_MAX, Verdict,
};
use futures::FutureExt;
use futures::future::join_all;

use super::{LEFT, RIGHT, get, keys, number, put, rows, to_value, transact, transact_as};

pub(super) use super::model::random_transactions_match_a_model;

pub(super) async fn values_are_put_got_and_deleted(engine: Arc<dyn Engine>) {
    assert_eq!(get(&engine, LEFT, b"a").await, None);
    put(&engine, LEFT, "a", "1").await;
    put(&engine, LEFT, "b", "").await;
    put(&engine, LEFT, "a", "2").await;
    assert_eq!(get(&engine, LEFT, b"a").await, Some(Bytes::from("2")));
    assert_eq!(get(&engine, LEFT, b"b").await, Some(Bytes::new()));
    assert_eq!(get(&engine, RIGHT, b"a").await, None);
    let delete = |tx: Tx| async move {
        tx.delete(LEFT, Bytes::from("a"));
        tx.delete(LEFT, Bytes::from("never there"));
        Ok(Verdict::Commit)
    };
    transact(&engine, delete).await.unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    let found = snapshot.get_many(LEFT, &["b", "a", "b"].map(Bytes::from)).await;
    assert_eq!(found.unwrap(), [Some(Bytes::new()), None, Some(Bytes::new())]);
    assert_eq!(snapshot.get(LEFT, b"").await.unwrap(), None);
}

pub(super) async fn a_transaction_sees_its_own_writes(engine: Arc<dyn Engine>) {
    put(&engine, LEFT, "a", "before").await;
    let look = |tx: Tx| async move {
        tx.put(LEFT, Bytes::from("a"), Bytes::from("after"));
        tx.put(LEFT, Bytes::from("b"), Bytes::from("new"));
        assert_eq!(tx.get(LEFT, b"a").await?, Some(Bytes::from("after")));
        tx.delete(LEFT, Bytes::from("a"));
        assert_eq!(tx.get(LEFT, b"a").await?, None);
        let found = tx.get_many(LEFT, &["a", "b"].map(Bytes::from)).await?;
        assert_eq!(found, [None, Some(Bytes::from("new"))]);
        tx.put(LEFT, Bytes::from("a"), Bytes::from("again"));
        assert_eq!(tx.scan(LEFT, &Range::prefix(b"", 9)).await?.len(), 2);
        Ok(Verdict::Commit)
    };
    transact(&engine, look).await.unwrap();
    assert_eq!(get(&engine, LEFT, b"a").await, Some(Bytes::from("again")));
}

pub(super) async fn scans_merge_own_writes_in_both_directions(engine: Arc<dyn Engine>) {
    let store = |tx: Tx| async move {
        (0..200_u8).for_each(|n| tx.put(LEFT, Bytes::copy_from_slice(&[n]), Bytes::from("stored")));
        Ok(Verdict::Commit)
    };
    transact(&engine, store).await.unwrap();
    let look = |tx: Tx| async move {
        // More rows are hidden than any scan fetches beyond its limit.
        (10..150_u8).for_each(|n| tx.delete(LEFT, Bytes::copy_from_slice(&[n])));
        tx.put(LEFT, Bytes::from(vec![100, 5]), Bytes::from("own"));
        tx.put(LEFT, Bytes::from(vec![160]), Bytes::from("own"));
        let range = Range { from: Bytes::from(vec![8]), to: Bytes::from(vec![162]), reverse: false, limit: 100 };
        let forward = tx.scan(LEFT, &range).await?;
        let expected: Vec<Vec<u8>> =
            [vec![8], vec![9], vec![100, 5]].into_iter().chain((150..162).map(|n| vec![n])).collect();
        assert_eq!(keys(&forward), expected);
        assert!(forward.iter().any(|row| *row == (Bytes::from(vec![160]), Bytes::from("own"))));
        let backward = tx.scan(LEFT, &range.clone().reversed()).await?;
        assert_eq!(backward, forward.iter().rev().cloned().collect::<Vec<_>>());
        for limit in 0..=forward.len() + 1 {
            let limited = Range { limit, ..range.clone() };
            let count = limit.min(forward.len());
            assert_eq!(tx.scan(LEFT, &limited).await?, forward[..count]);
            assert_eq!(tx.scan(LEFT, &limited.reversed()).await?, backward[..count]);
        }
        let second = Range { limit: 2, ..range }.after(&forward[1].0);
        assert_eq!(tx.scan(LEFT, &second).await?, forward[2..4]);
        Ok(Verdict::Commit)
    };
    transact(&engine, look).await.unwrap();
    assert_eq!(rows(&engine, LEFT).await.len(), 61);
}

pub(super) async fn many_ranges_are_answered_one_by_one(engine: Arc<dyn Engine>) {
    let store = |tx: Tx| async move {
        for n in 0..60_u8 {
            tx.put(LEFT, Bytes::copy_from_slice(&[n / 10, n % 10]), Bytes::new());
        }
        Ok(Verdict::Commit)
    };
    transact(&engine, store).await.unwrap();
    let prefix = |first: u8, limit| Range::prefix(&[first], limit);
    let empty = Range { from: Bytes::from(vec![5]), to: Bytes::from(vec![4]), reverse: false, limit: 9 };
    // Neighbours, a full one among them, one backwards, one without keys, one again.
    let ranges = vec![
        prefix(1, 99),
        prefix(2, 3),
        prefix(3, 99),
        prefix(4, 99).reversed(),
        empty,
        prefix(5, 10),
        prefix(6, 99),
        prefix(1, 0),
    ];
    let expected = [10, 3, 10, 10, 0, 10, 0, 0];
    let ask = |state: Arc<dyn Read>, ranges: Vec<Range>| async move {
        let answers = state.scan_many(LEFT, &ranges).await.unwrap();
        for (answer, range) in answers.iter().zip(&ranges) {
            assert_eq!(*answer, state.scan(LEFT, range).await.unwrap(), "{range:?}");
        }
        answers.iter().map(Vec::len).collect::<Vec<_>>()
    };
    let snapshot = engine.snapshot().await.unwrap();
    assert_eq!(ask(snapshot, ranges.clone()).await, expected);
    let inside = move |tx: Tx| {
        let ranges = ranges.clone();
        async move {
            assert_eq!(ask(tx.clone(), ranges.clone()).await, expected);
            tx.delete(LEFT, Bytes::from(vec![2, 0]));
            tx.delete(LEFT, Bytes::from(vec![3, 0]));
            assert_eq!(ask(tx, ranges).await, [10, 3, 9, 10, 0, 10, 0, 0]);
            Ok(Verdict::Abort)
        }
    };
    transact(&engine, inside).await.unwrap();
}

pub(super) async fn write_skew_is_prevented(engine: Arc<dyn Engine>) {
    for _ in 0..25 {
        put(&engine, LEFT, "x", to_value(1)).await;
        put(&engine, LEFT, "y", to_value(1)).await;
        let withdraw = |from: &'static str| {
            let engine = engine.clone();
            let take = move |tx: Tx| async move {
                let sum = number(tx.get(LEFT, b"x").await?) + number(tx.get(LEFT, b"y").await?);
                if sum == 2 {
                    tx.put(LEFT, Bytes::from(from), to_value(0));
                }
                Ok(Verdict::Commit)
            };
            tokio::spawn(async move { transact(&engine, take).await })
        };
        for outcome in join_all([withdraw("x"), withdraw("y")]).await {
            outcome.unwrap().unwrap();
        }
        let sum = number(get(&engine, LEFT, b"x").await) + number(get(&engine, LEFT, b"y").await);
        assert_eq!(sum, 1);
    }
}

pub(super) async fn phantoms_are_prevented(engine: Arc<dyn Engine>) {
    let book = |n: u64| {
        let engine = engine.clone();
        let unless_full = move |tx: Tx| async move {
            let seats = tx.scan(LEFT, &Range::prefix(b"seat", 100)).await?;
            if seats.len() < 5 {
                tx.put(LEFT, Bytes::from(format!("seat {n}")), Bytes::new());
            }
            Ok(Verdict::Commit)
        };
        tokio::spawn(async move { transact(&engine, unless_full).await })
    };
    for outcome in join_all((0..32).map(book)).await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(rows(&engine, LEFT).await.len(), 5);
}

pub(super) async fn no_update_is_lost_in_a_storm(engine: Arc<dyn Engine>) {
    let increment = |tx: Tx| async move {
        let count = number(tx.get(LEFT, b"count").await?);
        tx.put(LEFT, Bytes::from("count"), to_value(count + 1));
        Ok(Verdict::Commit)
    };
    let caller = |n: u64| {
        let engine = engine.clone();
        let urgency = if n == 0 { Urgency::Bulk } else { Urgency::Interactive };
        tokio::spawn(async move {
            for _ in 0..50 {
                transact_as(&engine, urgency, increment).await.unwrap();
            }
        })
    };
    for outcome in join_all((0..32).map(caller)).await {
        outcome.unwrap();
    }
    assert_eq!(number(get(&engine, LEFT, b"count").await), 1_600);
}

pub(super) async fn rows_are_deleted_page_by_page(engine: Arc<dyn Engine>) {
    let store = |tx: Tx| async move {
        (0..1_000_u64).for_each(|n| tx.put(LEFT, to_value(n), Bytes::new()));
        tx.put(RIGHT, Bytes::from("stays"), Bytes::new());
        Ok(Verdict::Commit)
    };
    transact(&engine, store).await.unwrap();
    let delete_a_few_pages = |tx: Tx| async move {
        let mut page = Range::prefix(&[], 70);
        for _ in 0..3 {
            let rows = tx.scan(LEFT, &page).await?;
            let Some((last, _)) = rows.last() else {
                return Ok(Verdict::Commit);
            };
            page = page.after(last);
            for (key, _) in rows {
                tx.delete(LEFT, key);
            }
        }
        Ok(Verdict::Commit)
    };
    for left in [790, 580, 370, 160, 0] {
        transact(&engine, delete_a_few_pages).await.unwrap();
        assert_eq!(rows(&engine, LEFT).await.len(), left);
    }
    assert_eq!(rows(&engine, RIGHT).await.len(), 1);
}

pub(super) async fn a_snapshot_does_not_see_later_commits(engine: Arc<dyn Engine>) {
    put(&engine, LEFT, "a", "1").await;
    let snapshot = engine.snapshot().await.unwrap();
    put(&engine, LEFT, "a", "2").await;
    put(&engine, LEFT, "b", "2").await;
    put(&engine, RIGHT, "a", "2").await;
    assert_eq!(snapshot.get(LEFT, b"a").await.unwrap(), Some(Bytes::from("1")));
    let seen = snapshot.scan(LEFT, &Range::prefix(&[], 9)).await.unwrap();
    assert_eq!(seen, [(Bytes::from("a"), Bytes::from("1"))]);
    assert_eq!(snapshot.get(RIGHT, b"a").await.unwrap(), None);
    assert_eq!(get(&engine, LEFT, b"a").await, Some(Bytes::from("2")));
}

pub(super) async fn a_snapshot_is_consistent_over_tables(engine: Arc<dyn Engine>) {
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (engine, is_over) = (engine.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut newest = 0;
            while !is_over.load(Ordering::Relaxed) {
                let snapshot = engine.snapshot().await.unwrap();
                let left = number(snapshot.get(LEFT, b"first").await.unwrap());
                let right = number(snapshot.get(RIGHT, b"last").await.unwrap());
                assert_eq!(left, right);
                assert!(left >= newest, "snapshots never go back");
                newest = left;
                tokio::task::yield_now().await;
            }
        })
    };
    for n in 1..=150 {
        let write = move |tx: Tx| async move {
            let ballast = Bytes::from(vec![n as u8; 4_000]);
            tx.put(LEFT, Bytes::from("first"), to_value(n));
            for part in 0..100_u64 {
                tx.put(LEFT, to_value(n * 100 + part), ballast.clone());
            }
            tx.put(RIGHT, Bytes::from("last"), to_value(n));
            Ok(Verdict::Commit)
        };
        transact(&engine, write).await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    reader.await.unwrap();
}

pub(super) async fn what_is_not_committed_leaves_nothing(engine: Arc<dyn Engine>) {
    put(&engine, LEFT, "a", "1").await;
    let emit = |tx: Tx| async move {
        tx.emit(Bytes::from("kept"));
        Ok(Verdict::Commit)
    };
    assert_eq!(transact(&engine, emit).await.unwrap(), 1);
    let before = (rows(&engine, META).await, rows(&engine, CHANGES).await);
    let spoil = |tx: &Tx| {
        tx.put(LEFT, Bytes::from("a"), Bytes::from("2"));
        tx.delete(LEFT, Bytes::from("a"));
        tx.put(RIGHT, Bytes::from("b"), Bytes::from("2"));
        tx.emit(Bytes::from("forgotten"));
    };
    let abort = move |tx: Tx| {
        spoil(&tx);
        async { Ok(Verdict::Abort) }
    };
    assert_eq!(transact(&engine, abort).await.unwrap(), 1);
    let fail = move |tx: Tx| {
        spoil(&tx);
        async { Err(EngineError::Contended) }
    };
    assert!(matches!(transact(&engine, fail).await, Err(EngineError::Contended)));
    assert_eq!(get(&engine, LEFT, b"a").await, Some(Bytes::from("1")));
    assert_eq!(rows(&engine, RIGHT).await, []);
    assert_eq!((rows(&engine, META).await, rows(&engine, CHANGES).await), before);
    let feed = engine.changes(0, 10).await.unwrap();
    assert_eq!(feed.len(), 1);
}

pub(super) async fn cancelled_callers_leave_no_half_transaction(engine: Arc<dyn Engine>) {
    let write = |n: u64| {
        move |tx: Tx| async move {
            tx.put(LEFT, to_value(n), Bytes::new());
            tx.emit(to_value(n));
            tx.put(RIGHT, to_value(n), Bytes::new());
            Ok(Verdict::Commit)
        }
    };
    for round in 0..40 {
        let patient = round * 4;
        let kept = transact(&engine, write(patient));
        for hasty in 1..4 {
            let _ = transact(&engine, write(patient + hasty)).now_or_never();
        }
        kept.await.unwrap();
    }
    if !engine.is_exclusive() {
        // What nobody waits for may commit, and be numbered, a moment later.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let left = rows(&engine, LEFT).await;
    assert_eq!(left, rows(&engine, RIGHT).await);
    let mut emitted: Vec<Bytes> = feed_of(&engine).await.into_iter().map(|entry| entry.1).collect();
    emitted.sort();
    assert_eq!(keys(&left), emitted);
    assert!((0..40).all(|round| keys(&left).contains(&&to_value(round * 4)[..])));
}

/// The whole feed, read in small pages.
async fn feed_of(engine: &Arc<dyn Engine>) -> Vec<(u64, Bytes)> {
    let mut feed = Vec::new();
    loop {
        let after = feed.last().map_or(0, |(seq, _)| *seq);
        let page = engine.changes(after, 7).await.unwrap();
        if page.is_empty() {
            return feed;
        }
        feed.extend(page.into_iter().map(|entry| (entry.seq, entry.change)));
    }
}

pub(super) async fn the_feed_is_gapless_and_in_commit_order(engine: Arc<dyn Engine>) {
    let writer = |_| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                let own = Arc::new(AtomicU64::new(0));
                let told = own.clone();
                let count_and_emit = move |tx: Tx| {
                    let told = told.clone();
                    async move {
                        let count = number(tx.get(LEFT, b"count").await?);
                        tx.put(LEFT, Bytes::from("count"), to_value(count + 2));
                        tx.emit(to_value(count + 1));
                        tx.emit(to_value(count + 2));
                        told.store(count + 2, Ordering::Relaxed);
                        Ok(Verdict::Commit)
                    }
                };
                let seq = transact(&engine, count_and_emit).await.unwrap();
                let own = own.load(Ordering::Relaxed);
                assert!(seq == own || !engine.is_exclusive() && seq > own, "{seq} of {own}");
            }
        })
    };
    for outcome in join_all((0..16).map(writer)).await {
        outcome.unwrap();
    }
    let feed = feed_of(&engine).await;
    let expected: Vec<_> = (1..=320).map(|n| (n, to_value(n))).collect();
    assert_eq!(feed, expected);
    assert_eq!(engine.changes(u64::MAX, 9).await.unwrap(), []);
    let only_reads = |_: Tx| async { Ok(Verdict::Commit) };
    assert_eq!(transact(&engine, only_reads).await.unwrap(), 320);
}

pub(super) async fn limits_are_kept(engine: Arc<dyn Engine>) {
    let keys = |count: u64| move |tx: &Tx| (0..count).for_each(|n| tx.put(LEFT, to_value(n), Bytes::new()));
    let changes = |count: u64| move |tx: &Tx| (0..count).for_each(|_| tx.emit(Bytes::new()));
    let values = |count: u64| {
        move |tx: &Tx| {
            let value = Bytes::from(vec![1; VALUE_BYTES_MAX]);
            (0..count).for_each(|n| tx.put(LEFT, to_value(n), value.clone()));
        }
    };
    let key = |size: usize| move |tx: &Tx| tx.put(LEFT, Bytes::from(vec![1; size]), Bytes::new());
    let value = |size: usize| move |tx: &Tx| tx.put(LEFT, Bytes::from("a"), Bytes::from(vec![1; size]));
    let full = (TRANSACTION_BYTES_MAX / (VALUE_BYTES_MAX + 8)) as u64;
    limit_lies_between(&engine, "keys", keys(10_000), keys(10_001)).await;
    limit_lies_between(&engine, "keys", changes(10_000), changes(10_001)).await;
    limit_lies_between(&engine, "bytes", values(full), values(full + 1)).await;
    limit_lies_between(&engine, "bytes in a key", key(KEY_BYTES_MAX), key(KEY_BYTES_MAX + 1)).await;
    limit_lies_between(&engine, "bytes in a value", value(VALUE_BYTES_MAX), value(VALUE_BYTES_MAX + 1)).await;
    let same_key_again_and_again = |tx: Tx| async move {
        (0..2 * TRANSACTION_KEYS_MAX).for_each(|_| tx.put(LEFT, Bytes::from("a"), Bytes::from("b")));
        Ok(Verdict::Commit)
    };
    transact(&engine, same_key_again_and_again).await.unwrap();
}

async fn limit_lies_between(
    engine: &Arc<dyn Engine>,
    limited: &str,
    good: impl Fn(&Tx) + Send + Sync + 'static,
    excessive: impl Fn(&Tx) + Send + Sync + 'static,
) {
    let allow = move |tx: Tx| {
        good(&tx);
        async { Ok(Verdict::Commit) }
    };
    transact(engine, allow).await.unwrap();
    let refuse = move |tx: Tx| {
        tx.put(RIGHT, Bytes::from("trace"), Bytes::new());
        excessive(&tx);
        async { Ok(Verdict::Commit) }
    };
    match transact(engine, refuse).await {
        Err(EngineError::TooLarge { what, .. }) => assert_eq!(what, limited),
        other => panic!("{limited}: {other:?}"),
    }
    assert_eq!(rows(engine, RIGHT).await, []);
}

pub(super) async fn a_foreign_await_is_an_error_and_harmless(engine: Arc<dyn Engine>) {
    let wait = |tx: Tx| async move {
        tx.put(LEFT, Bytes::from("a"), Bytes::new());
        std::future::pending::<()>().await;
        Ok(Verdict::Commit)
    };
    let outcome = transact(&engine, wait).await;
    assert!(matches!(outcome, Err(EngineError::ForeignAwait)), "{outcome:?}");
    put(&engine, LEFT, "b", "").await;
    assert_eq!(keys(&rows(&engine, LEFT).await), [b"b"]);
}

pub(super) async fn a_transaction_inside_a_transaction_is_refused(engine: Arc<dyn Engine>) {
    let inner = engine.clone();
    let nest = move |tx: Tx| {
        let inner = inner.clone();
        async move {
            tx.put(LEFT, Bytes::from("outer"), Bytes::new());
            put(&inner, LEFT, "inner", "").await;
            Ok(Verdict::Commit)
        }
    };
    let outcome = transact(&engine, nest).await;
    assert!(matches!(outcome, Err(EngineError::ForeignAwait)), "{outcome:?}");
    put(&engine, LEFT, "later", "").await;
    assert_eq!(keys(&rows(&engine, LEFT).await), [b"later"]);
}

pub(super) async fn a_panic_fails_its_own_transaction(engine: Arc<dyn Engine>) {
    let caller = engine.clone();
    let panics = |tx: Tx| async move {
        tx.put(LEFT, Bytes::from("a"), Bytes::new());
        tx.emit(Bytes::new());
        tx.put(LEFT, Bytes::new(), Bytes::from("a key without bytes is a defect"));
        Ok(Verdict::Commit)
    };
    let outcome = tokio::spawn(async move { transact(&caller, panics).await }).await;
    assert!(outcome.unwrap_err().is_panic());
    put(&engine, LEFT, "b", "").await;
    assert_eq!(keys(&rows(&engine, LEFT).await), [b"b"]);
    assert_eq!(engine.changes(0, 9).await.unwrap(), []);
}

pub(super) async fn a_closed_engine_refuses_writes(engine: Arc<dyn Engine>) {
    put(&engine, LEFT, "a", "").await;
    engine.close().await.unwrap();
    engine.close().await.unwrap();
    let late = transact(&engine, |_| async { Ok(Verdict::Commit) }).await;
    assert!(matches!(late, Err(EngineError::Stopped)), "{late:?}");
    assert_eq!(get(&engine, LEFT, b"a").await, Some(Bytes::new()));
}
