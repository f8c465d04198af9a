//! What a question may cost.

use geo::{Geometry, LineString};

use crate::search::error::SearchError;
use crate::search::find::Budget;
use crate::search::query::{Access, Bounds, PAGE_BYTES, Query, WORDS_MAX};
use crate::search::tests::{ids, index_of, named};

#[test]
fn a_search_that_looks_at_too_much_ends_and_its_count_is_left_out() {
    let line = |number: u32| Geometry::LineString(LineString::from(vec![(0.0, 0.0), (f64::from(number), 9.0)]));
    let all = (1..=20).map(|number| named(&format!("item-{number}"), Some(line(number)))).collect();
    let (_directory, index) = index_of(all);
    let query = Query { limit: 100, ids: Vec::new(), ..Query::default() };
    let placed = Query { bbox: Some(Bounds { west: 0.0, south: 1.0, east: 0.4, north: 2.0 }), ..query.clone() };
    let everything = Access::all();
    let page = |query: &Query, budget: Budget| index.search_within(query, &everything, &budget);
    let count = |query: &Query, budget: Budget| index.count_within(query, &everything, &budget).unwrap();
    assert_eq!(page(&query, Budget::new(20, 0)).unwrap().hits.len(), 20);
    assert!(matches!(page(&query, Budget::new(19, 0)), Err(SearchError::TooMuch)));
    assert_eq!((count(&query, Budget::new(20, 0)), count(&query, Budget::new(19, 0))), (Some(20), None));
    let found = page(&placed, Budget::new(1_000, 1_000_000)).unwrap().hits.len();
    assert!(found > 0 && found < 20, "the geometries themselves are asked: {found}");
    assert!(matches!(page(&placed, Budget::new(1_000, 100_000)), Err(SearchError::TooMuch)));
    assert_eq!(count(&placed, Budget::new(1_000, 100_000)), None);
}

#[test]
fn words_are_counted_once_and_not_without_end() {
    let mut document = named("ice", None);
    document.text = "Sea ice and snow".to_owned();
    let (_directory, index) = index_of(vec![document, named("other", None)]);
    let asked = |text: String| Query { text: vec![text], limit: 100, ..Query::default() };
    assert_eq!(ids(&index, asked("ice ".repeat(1_000) + "sea")), ["ice"]);
    assert!(ids(&index, asked("ice desert".to_owned())).is_empty());
    let many: Vec<String> = (0..=WORDS_MAX).map(|number| format!("word{number}")).collect();
    for text in [vec![many.join(" ")], many] {
        let query = Query { text, limit: 1, ..Query::default() };
        assert!(matches!(index.search(&query, &Access::all()), Err(SearchError::Question { .. })));
    }
}

#[test]
fn a_page_of_long_documents_ends_early_and_goes_on() {
    let long = |number: u32| {
        let mut document = named(&format!("item-{number}"), None);
        document.json = vec![b'x'; PAGE_BYTES / 2];
        document
    };
    let (_directory, index) = index_of((0..5).map(long).collect());
    let mut query = Query { limit: 5, ..Query::default() };
    let mut pages = Vec::new();
    loop {
        let page = index.search(&query, &Access::all()).unwrap();
        pages.push(page.hits.len());
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [2, 2, 1]);
}
