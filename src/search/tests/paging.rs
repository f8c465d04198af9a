//! Pages while the index changes below them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::search::document::Document;
use crate::search::error::SearchError;
use crate::search::index::Index;
use crate::search::query::{Access, Cursor, Query};
use crate::search::tests::world::{Dice, World, compare};

#[test]
fn what_does_not_change_between_pages_is_found_once_and_in_order() {
    let mut dice = Dice(2);
    for _ in 0..30 {
        let directory = tempfile::tempdir().unwrap();
        let index = Index::open(directory.path()).unwrap();
        let mut world = World::default();
        let (upserts, deletes) = world.change(&mut dice, 120);
        index.apply(upserts, deletes, 1).unwrap();
        let before = world.clone();
        let mut changed: HashSet<u64> = HashSet::new();
        let mut query = Query { sort: dice.sorts(), limit: 7, ..Query::default() };
        let mut found: Vec<Document> = Vec::new();
        for round in 2.. {
            let page = index.search(&query, &Access::all()).unwrap();
            found.extend(page.hits.iter().map(|hit| world.documents[&hit.key].clone()));
            let Some(next) = page.next else { break };
            query.after = Some(next);
            let old = world.clone();
            let (upserts, deletes) = world.change(&mut dice, 4);
            index.apply(upserts, deletes, round).unwrap();
            let differs = |key: &&u64| old.documents.get(key) != world.documents.get(key);
            let keys: HashSet<u64> = old.documents.keys().chain(world.documents.keys()).copied().collect();
            changed.extend(keys.iter().filter(differs));
        }
        assert!(found.is_sorted_by(|one, two| compare(one, two, &query.sort).is_lt()), "{:?}", query.sort);
        let steady: Vec<u64> = found.iter().map(|document| document.key).filter(|key| !changed.contains(key)).collect();
        let all = before.search(&Query { after: None, ..query.clone() }, &Access::all());
        let expected: Vec<u64> = all.iter().map(|document| document.key).filter(|key| !changed.contains(key)).collect();
        assert_eq!(steady, expected);
    }
}

#[test]
fn a_reader_sees_a_batch_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open(directory.path()).unwrap();
    let batch = |version: i64| -> Vec<Document> {
        let document = |key: u64| {
            let mut document = super::named(&format!("item-{key}"), None);
            document.key = key;
            document.start = version;
            document.json = version.to_string().into_bytes();
            document
        };
        (0..50).map(document).collect()
    };
    index.apply(batch(0), Vec::new(), 1).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for version in 1..60 {
                index.apply(batch(version), Vec::new(), version.cast_unsigned() + 1).unwrap();
                if version % 20 == 0 {
                    while index.tend().unwrap() {}
                }
            }
            done.store(true, Ordering::Release);
        });
        let mut looks = 0;
        while !done.load(Ordering::Acquire) || looks == 0 {
            let page = index.search(&Query { limit: 100, ..Query::default() }, &Access::all()).unwrap();
            assert_eq!(page.hits.len(), 50);
            assert!(page.hits.iter().all(|hit| hit.json == page.hits[0].json), "one version at a time");
            looks += 1;
        }
    });
}

#[test]
fn a_cursor_of_another_search_is_refused() {
    let (_directory, index) = super::index_of(vec![super::named("x", None), super::named("y", None)]);
    let page = index.search(&Query { limit: 1, ..Query::default() }, &Access::all()).unwrap();
    let sort = Dice(5).sorts();
    assert!(!sort.is_empty());
    let other = index.search(&Query { limit: 1, sort, after: page.next, ..Query::default() }, &Access::all());
    assert!(matches!(other, Err(SearchError::Question { .. })));
    let filtered = |collection: &str| Query { limit: 1, collections: vec![collection.to_owned()], ..Query::default() };
    let page = index.search(&filtered("c"), &Access::all()).unwrap();
    assert!(page.next.is_some());
    let same = index.search(&Query { after: page.next.clone(), limit: 7, ..filtered("c") }, &Access::all()).unwrap();
    assert_eq!((same.hits.len(), same.next), (1, None), "the limit may change");
    let other = index.search(&Query { after: page.next, ..filtered("d") }, &Access::all());
    assert!(matches!(other, Err(SearchError::Question { .. })));
    for text in ["", "!", "AAAA", "\u{1f600}"] {
        assert!(Cursor::decode(text).is_err(), "{text}");
    }
}
