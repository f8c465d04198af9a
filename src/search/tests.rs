//! The index beside a list that is searched from one end to the other.

mod budget;
mod crash;
mod paging;
mod world;

use std::collections::BTreeMap;

use geo::Intersects as _;
use geo::{Coord, Geometry, Rect};

use crate::search::document::Document;
use crate::search::error::SearchError;
use crate::search::index::Index;
use crate::search::query::{Access, Bounds, Direction, Filter, Interval, Query, Sort, Test};
use crate::search::tests::world::{Dice, World, pages};
use crate::search::value::Value;

/// Documents that are found when they should not be, or the other way round, show as a difference
/// of these.
fn names(documents: &[&Document]) -> Vec<(String, String)> {
    documents.iter().map(|document| (document.collection_id.clone(), document.id.clone())).collect()
}

#[test]
fn every_search_finds_what_a_look_at_every_document_finds() {
    let directory = tempfile::tempdir().unwrap();
    let mut dice = Dice(1);
    let mut world = World::default();
    let mut index = Index::open(directory.path()).unwrap();
    for round in 0..40 {
        let (upserts, deletes) = world.change(&mut dice, 25);
        index.apply(upserts, deletes, round + 1).unwrap();
        // Some rounds leave segments in memory and a journal, some write files, some merge them.
        if round % 3 == 0 {
            index.close().unwrap();
            index = Index::open(directory.path()).unwrap();
        } else if round % 7 == 0 {
            drop(index);
            index = Index::open(directory.path()).unwrap();
        }
        if round % 10 == 9 {
            while index.tend().unwrap() {}
        }
        assert_eq!(index.position(), round + 1);
        for _ in 0..25 {
            let (query, access) = (dice.query(), dice.access());
            let expected = names(&world.search(&query, &access));
            let found = pages(&index, &query, &access);
            assert_eq!(found, expected, "round {round}: {query:?} {access:?}");
            assert_eq!(index.count(&query, &access).unwrap(), Some(expected.len() as u64));
        }
        check_the_rest(&index, &world, &mut dice);
    }
    let stats = index.stats();
    // Fewer than six of each size are left alone, and so few documents come in two sizes.
    assert!(stats.segments > 0 && stats.segments <= 10, "segments are merged: {stats:?}");
}

#[test]
fn a_small_place_is_found_among_many_documents() {
    let (mut dice, mut world) = (Dice(6), World::default());
    for key in 0..5_000 {
        world.insert(dice.spot(key));
    }
    let (_directory, index) = index_of(world.documents.values().cloned().collect());
    let mut found = 0;
    for _ in 0..60 {
        let query = dice.small_place();
        let expected = names(&world.search(&query, &Access::all()));
        assert_eq!(pages(&index, &query, &Access::all()), expected, "{query:?}");
        found += expected.len();
    }
    assert!(found > 100, "boxes are not all empty: {found}");
}

/// Everything beside searches.
fn check_the_rest(index: &Index, world: &World, dice: &mut Dice) {
    let mut accesses = BTreeMap::new();
    for document in world.documents.values() {
        *accesses.entry(document.access).or_insert(0) += 1;
    }
    assert_eq!(index.accesses(), accesses);
    assert_eq!(index.stats().documents, world.documents.len() as u64);
    let access = dice.access();
    assert_eq!(index.extents(&access), world.extents(&access));
    for collection in ["a", "b", "c", "nowhere"] {
        assert_eq!(index.extent(collection, &access), world.extents(&access).remove(collection));
        assert_eq!(index.queryables(collection, &access), world.queryables(collection, &access));
        for known in index.queryables(collection, &access) {
            assert!(index.has_field(&known.name, &access), "{}", known.name);
        }
        let id = dice.id();
        let named = |document: &&Document| document.collection_id == collection && document.id == id;
        let expected = world.documents.values().find(named).filter(|document| access.allows(document.access));
        let found = index.item(collection, &id, &access).unwrap();
        assert_eq!(
            found.map(|hit| (hit.key, hit.json)),
            expected.map(|document| (document.key, document.json.clone()))
        );
    }
}

fn at(x: f64, y: f64) -> Geometry<f64> {
    Geometry::Point(geo::Point::new(x, y))
}

fn named(id: &str, geometry: Option<Geometry<f64>>) -> Document {
    let key = id.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte));
    Document {
        key,
        collection: 1,
        collection_id: "c".to_owned(),
        id: id.to_owned(),
        access: 0,
        start: 0,
        end: 0,
        geometry,
        fields: serde_json::Map::new(),
        text: String::new(),
        json: id.as_bytes().to_vec(),
    }
}

fn index_of(documents: Vec<Document>) -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open(directory.path()).unwrap();
    index.apply(documents, Vec::new(), 1).unwrap();
    (directory, index)
}

fn ids(index: &Index, query: Query) -> Vec<String> {
    let page = index.search(&Query { limit: 100, ..query }, &Access::all()).unwrap();
    page.hits.into_iter().map(|hit| hit.id).collect()
}

#[test]
fn a_box_across_the_antimeridian_finds_both_sides_and_what_is_nowhere_is_in_no_box() {
    let documents = vec![
        named("fiji", Some(at(179.5, -17.0))),
        named("samoa", Some(at(-172.0, -13.5))),
        named("greenwich", Some(at(0.0, 51.5))),
        named("nowhere", None),
        named("empty", Some(Geometry::MultiPoint(geo::MultiPoint::empty()))),
    ];
    let (_directory, index) = index_of(documents);
    let boxed =
        |numbers: &[f64]| ids(&index, Query { bbox: Some(Bounds::parse(numbers).unwrap()), ..Query::default() });
    assert_eq!(boxed(&[170.0, -30.0, -170.0, 0.0]), ["fiji", "samoa"]);
    assert_eq!(boxed(&[-170.0, -30.0, 170.0, 60.0]), ["greenwich"]);
    assert_eq!(boxed(&[-180.0, -90.0, 0.0, 180.0, 90.0, 9.0]), ["fiji", "greenwich", "samoa"]);
    assert_eq!(boxed(&[0.0, 51.5, 0.0, 51.5]), ["greenwich"], "a box may be a point");
    assert_eq!(ids(&index, Query::default()).len(), 5);
    let shape = Geometry::Rect(Rect::new(Coord { x: -180.0, y: -90.0 }, Coord { x: 180.0, y: 90.0 }));
    let shaped = ids(&index, Query { intersects: Some(shape), ..Query::default() });
    assert_eq!(shaped, ["fiji", "greenwich", "samoa"]);
}

#[test]
fn a_box_in_a_hole_touches_nothing() {
    let polygon = world::ring([0.0, 0.0, 10.0, 10.0], Some([3.0, 3.0, 7.0, 7.0]));
    assert!(polygon.intersects(&at(1.0, 1.0)));
    let (_directory, index) = index_of(vec![named("ring", Some(polygon))]);
    let boxed =
        |numbers: [f64; 4]| ids(&index, Query { bbox: Some(Bounds::parse(&numbers).unwrap()), ..Query::default() });
    assert!(boxed([4.0, 4.0, 5.0, 5.0]).is_empty());
    assert!(boxed([4.5, 4.5, 4.5, 4.5]).is_empty());
    assert_eq!(boxed([4.0, 4.0, 7.5, 5.0]), ["ring"]);
    assert_eq!(boxed([1.0, 1.0, 1.0, 1.0]), ["ring"]);
}

#[test]
fn words_are_found_in_any_case_and_all_of_one_text_must_be_there() {
    let mut documents = vec![named("one", None), named("two", None), named("three", None)];
    documents[0].text = "Sea-surface Temperature, ÆRØ".to_owned();
    documents[1].text = "temperature of the air".to_owned();
    documents[2].text = "salinity".to_owned();
    let (_directory, index) = index_of(documents);
    let found = |texts: &[&str]| {
        ids(&index, Query { text: texts.iter().map(|&text| text.to_owned()).collect(), ..Query::default() })
    };
    assert_eq!(found(&["TEMPERATURE"]), ["one", "two"]);
    assert_eq!(found(&["surface temperature"]), ["one"]);
    assert_eq!(found(&["ærø", "salinity"]), ["one", "three"]);
    assert!(found(&["temper"]).is_empty());
    assert!(found(&["..."]).is_empty());
}

#[test]
fn fields_of_documents_themselves_are_filtered_and_sorted_by() {
    let mut documents = vec![named("x", None), named("y", None), named("z", None)];
    documents[1].start = 1_000;
    documents[1].end = 5_000;
    let (_directory, index) = index_of(documents);
    let filtered = |field: &str, test: Test| {
        ids(&index, Query { filters: vec![Filter { field: field.to_owned(), test }], ..Query::default() })
    };
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(filtered("id", Test::Greater(text("x"))), ["y", "z"]);
    assert_eq!(filtered("collection", Test::Is(text("d"))), [""; 0]);
    assert_eq!(filtered("properties.datetime", Test::AtLeast(text("1970-01-01T00:00:01Z"))), ["y"]);
    let sorted = |field: &str, direction| {
        ids(&index, Query { sort: vec![Sort { field: field.to_owned(), direction }], ..Query::default() })
    };
    assert_eq!(sorted("datetime", Direction::Ascending), ["x", "z", "y"]);
    assert_eq!(sorted("id", Direction::Descending), ["z", "y", "x"]);
    let datetime = Interval { from: Some(2_000), to: None };
    assert_eq!(ids(&index, Query { datetime, ..Query::default() }), ["y"], "it lasts until then");
}

#[test]
fn what_cannot_be_answered_says_what_to_ask() {
    let (_directory, index) = index_of(vec![named("x", None)]);
    let ask = |query: Query| index.search(&query, &Access::all()).unwrap_err().to_string();
    let filter = |value| Filter { field: "datetime".to_owned(), test: Test::Is(value) };
    assert_eq!(ask(Query::default()), "a page cannot have 0 documents");
    let noon = vec![filter(Value::Text("noon".to_owned()))];
    assert_eq!(ask(Query { filters: noon, limit: 1, ..Query::default() }), "`noon` is not a time");
    let empty = Some(Geometry::MultiPoint(geo::MultiPoint::empty()));
    assert_eq!(ask(Query { intersects: empty, limit: 1, ..Query::default() }), "the geometry has no points");
    for numbers in [&[0.0; 3][..], &[0.0, 5.0, 1.0, 4.0], &[0.0, 0.0, f64::NAN, 1.0]] {
        assert!(matches!(Bounds::parse(numbers), Err(SearchError::Question { .. })));
    }
}
