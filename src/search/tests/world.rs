//! Random documents and questions, and a search that looks at every document.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use geo::{
    BoundingRect as _, Coord, Geometry, GeometryCollection, Intersects as _, LineString, MultiPolygon, Point, Polygon,
    Rect,
};
use serde_json::json;

use crate::search::document::Document;
use crate::search::index::Index;
use crate::search::query::{
    Access, Bounds, Direction, Extent, Filter, Interval, Query, Queryable, Sort, Test, ValueKind,
};
use crate::search::value::Value;

/// A sequence of numbers from its seed.
pub(super) struct Dice(pub(super) u64);

const FIELDS: [&str; 6] = ["number", "text", "truth", "list", "inner.number", "mixed"];
const WORDS: [&str; 5] = ["sea", "Surface", "air", "SALT", "wind"];

impl Dice {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }

    /// Few numbers, so that edges meet.
    fn degree(&mut self, most: i32) -> f64 {
        let steps = u64::try_from(most / 10 * 2 + 1).unwrap();
        f64::from(i32::try_from(self.below(steps)).unwrap() * 10 - most)
    }

    fn sides(&mut self) -> [f64; 4] {
        let (x, y) = (self.degree(180), self.degree(90));
        let size = |dice: &mut Self| f64::from(i32::try_from(dice.below(5)).unwrap()) * 10.0;
        [x, y, (x + size(self)).min(180.0), (y + size(self)).min(90.0)]
    }

    fn polygon(&mut self) -> Geometry<f64> {
        let [west, south, ..] = self.sides();
        let (east, north) = (west + 30.0, south + 30.0);
        let hole = self.one_in(2).then_some([west + 8.0, south + 8.0, east - 8.0, north - 8.0]);
        ring([west, south, east, north], hole)
    }

    fn geometry(&mut self) -> Geometry<f64> {
        let [west, south, east, north] = self.sides();
        match self.below(8) {
            0 => Geometry::Point(Point::new(west, south)),
            1 => Geometry::LineString(LineString::from(vec![(west, south), (east, north), (east + 7.0, south)])),
            2 => Geometry::Polygon(Rect::new((west, south), (east + 1.0, north + 1.0)).to_polygon()),
            3 => {
                // Across the antimeridian, in two parts.
                let part = |from: f64, to: f64| Rect::new((from, south), (to, south + 12.0)).to_polygon();
                Geometry::MultiPolygon(MultiPolygon(vec![part(175.0, 180.0), part(-180.0, -174.0)]))
            }
            4 => Geometry::GeometryCollection(GeometryCollection(vec![
                Geometry::Point(Point::new(east, north)),
                self.polygon(),
            ])),
            5 => Geometry::Polygon(Polygon::new(
                LineString::from(vec![(west, south), (west + 25.0, south + 3.0), (west + 5.0, south + 25.0)]),
                Vec::new(),
            )),
            _ => self.polygon(),
        }
    }

    /// Few times, so that many are equal.
    fn time(&mut self) -> i64 {
        i64::try_from(self.below(12)).unwrap() * 1_000 - 4_000
    }

    pub(super) fn id(&mut self) -> String {
        format!("item-{}", self.below(60))
    }

    fn value(&mut self, field: &str) -> Value {
        match field {
            "number" | "inner.number" => Value::Number(f64::from(u32::try_from(self.below(7)).unwrap()) - 3.0),
            "truth" => Value::Bool(self.one_in(2)),
            "mixed" if self.one_in(2) => Value::Number(5.0),
            _ => Value::Text(self.pick(&["", "alpha", "beta", "gamma", "é"]).to_owned()),
        }
    }

    fn fields(&mut self) -> serde_json::Map<String, serde_json::Value> {
        let mut fields = serde_json::Map::new();
        for field in FIELDS {
            if self.one_in(3) {
                continue;
            }
            let value = self.value(field);
            match field {
                "list" => {
                    let list = [to_json(&value), to_json(&self.value(field)), json!(null), json!({ "x": 1 })];
                    fields.insert(field.to_owned(), json!(list));
                }
                "inner.number" => {
                    fields.insert("inner".to_owned(), json!({ "number": to_json(&value), "none": null }));
                }
                field => {
                    fields.insert(field.to_owned(), to_json(&value));
                }
            }
        }
        fields
    }

    fn document(&mut self, key: u64) -> Document {
        let start = self.time();
        let end = if self.one_in(3) { start + self.time() } else { start };
        let collection_id = self.pick(&["a", "b", "c"]);
        let text = (0..self.below(4)).map(|_| self.pick(&WORDS)).collect::<Vec<_>>().join(", ");
        Document {
            key,
            collection: u64::from(collection_id.as_bytes()[0]),
            collection_id: collection_id.to_owned(),
            id: self.id(),
            access: u32::try_from(self.below(4)).unwrap(),
            start,
            end,
            geometry: if self.one_in(5) { None } else { Some(self.geometry()) },
            fields: self.fields(),
            text,
            json: format!("{{\"key\":{key},\"salt\":{}}}", self.below(1000)).into_bytes(),
        }
    }

    /// A document at a point, with an id of its own.
    pub(super) fn spot(&mut self, key: u64) -> Document {
        let mut degree =
            |most: u32| f64::from(u32::try_from(self.below(u64::from(most) * 20)).unwrap()) / 10.0 - f64::from(most);
        let geometry = Some(Geometry::Point(Point::new(degree(180), degree(90))));
        Document { geometry, id: format!("spot-{key}"), ..self.document(key) }
    }

    /// A box of a few degrees, with a time or without.
    pub(super) fn small_place(&mut self) -> Query {
        let [west, south, ..] = self.sides();
        let bbox = Some(Bounds::parse(&[west, south, west + 6.0, south + 6.0]).unwrap());
        let datetime = Interval { from: self.one_in(2).then(|| self.time()), to: None };
        let sort = if self.one_in(2) { Vec::new() } else { self.sorts() };
        Query { bbox, datetime, sort, limit: 5, ..Query::default() }
    }

    pub(super) fn access(&mut self) -> Access {
        if self.one_in(2) { Access::all() } else { Access::only((0..4).filter(|_| self.one_in(2))) }
    }

    pub(super) fn sorts(&mut self) -> Vec<Sort> {
        let fields =
            ["datetime", "id", "collection", "properties.number", "text", "list", "inner.number", "mixed", "none"];
        let sort = |dice: &mut Self| Sort {
            field: dice.pick(&fields).to_owned(),
            direction: dice.pick(&[Direction::Ascending, Direction::Descending]),
        };
        (0..self.below(4)).map(|_| sort(self)).collect()
    }

    fn filter(&mut self) -> Filter {
        let field = self.pick(&FIELDS);
        let value = self.value(field);
        let test = match self.below(10) {
            0 => Test::Is(value),
            1 => Test::Less(value),
            2 => Test::AtMost(value),
            3 => Test::Greater(value),
            4 => Test::AtLeast(value),
            5 => Test::Present,
            6 => Test::IsNot(value),
            7 => Test::EndsWith(self.pick(&["a", "ma", "", "é"]).to_owned()),
            8 => Test::Contains(self.pick(&["et", "a", "", "x"]).to_owned()),
            _ => Test::OneOf([value, self.value(field), self.value("mixed")].into_iter().collect()),
        };
        Filter { field: field.to_owned(), test }
    }

    pub(super) fn query(&mut self) -> Query {
        let mut query =
            Query { limit: 1 + usize::try_from(self.below(30)).unwrap(), sort: self.sorts(), ..Query::default() };
        if self.one_in(3) {
            let [west, south, east, north] = self.sides();
            let (west, east) = if self.one_in(4) { (east, west) } else { (west, east) };
            query.bbox = Some(Bounds::parse(&[west, south, east, north]).unwrap());
        }
        if self.one_in(6) {
            query.intersects = Some(self.geometry());
        }
        if self.one_in(4) {
            let (one, two) = (self.time(), self.time());
            let open = self.below(3);
            query.datetime =
                Interval { from: (open != 0).then_some(one.min(two)), to: (open != 1).then_some(one.max(two)) };
        }
        if self.one_in(10) {
            query.ids = (0..4).map(|_| self.id()).collect();
        }
        if self.one_in(5) {
            query.collections = vec![self.pick(&["a", "b", "none"]).to_owned(), "c".to_owned()];
        }
        query.filters = (0..self.below(3)).map(|_| self.filter()).collect();
        if self.one_in(6) {
            query.text = vec![self.pick(&WORDS).to_owned(), format!("{} {}", self.pick(&WORDS), self.pick(&WORDS))];
        }
        query
    }
}

/// A polygon from a box and a hole in it.
pub(super) fn ring(outer: [f64; 4], hole: Option<[f64; 4]>) -> Geometry<f64> {
    let line = |[west, south, east, north]: [f64; 4]| {
        LineString::from(vec![(west, south), (east, south), (east, north), (west, north), (west, south)])
    };
    Geometry::Polygon(Polygon::new(line(outer), hole.map(line).into_iter().collect()))
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Number(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Bool(truth) => json!(truth),
    }
}

/// What the index should know.
#[derive(Default, Clone)]
pub(super) struct World {
    pub(super) documents: BTreeMap<u64, Document>,
    next: u64,
}

impl World {
    /// A batch of new documents, changed ones and deleted ones.
    pub(super) fn change(&mut self, dice: &mut Dice, count: usize) -> (Vec<Document>, Vec<u64>) {
        let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let known: Vec<u64> = self.documents.keys().copied().collect();
            if !known.is_empty() && dice.one_in(4) {
                deletes.push(dice.pick(&known));
                continue;
            }
            self.next += 1;
            let key = if !known.is_empty() && dice.one_in(3) { dice.pick(&known) } else { self.next };
            upserts.push(dice.document(key));
        }
        for key in &deletes {
            self.documents.remove(key);
        }
        for document in &upserts {
            self.documents
                .retain(|_, other| (&other.collection_id, &other.id) != (&document.collection_id, &document.id));
            self.documents.insert(document.key, document.clone());
        }
        (upserts, deletes)
    }

    pub(super) fn insert(&mut self, document: Document) {
        self.documents.insert(document.key, document);
    }

    /// All that is found, in order.
    pub(super) fn search(&self, query: &Query, access: &Access) -> Vec<&Document> {
        let mut found: Vec<&Document> = self
            .documents
            .values()
            .filter(|document| access.allows(document.access) && matches(document, query))
            .collect();
        found.sort_by(|one, two| compare(one, two, &query.sort));
        found
    }

    pub(super) fn extents(&self, access: &Access) -> BTreeMap<String, Extent> {
        let mut all: BTreeMap<String, Vec<&Document>> = BTreeMap::new();
        for document in self.documents.values().filter(|document| access.allows(document.access)) {
            all.entry(document.collection_id.clone()).or_default().push(document);
        }
        let extent = |documents: Vec<&Document>| {
            let rects = documents.iter().filter_map(|document| document.geometry.as_ref()?.bounding_rect());
            let bounds = rects
                .map(|rect| Bounds { west: rect.min().x, south: rect.min().y, east: rect.max().x, north: rect.max().y })
                .reduce(|one, two| Bounds {
                    west: one.west.min(two.west),
                    south: one.south.min(two.south),
                    east: one.east.max(two.east),
                    north: one.north.max(two.north),
                });
            Extent {
                count: documents.len() as u64,
                bounds,
                from: documents.iter().map(|document| document.start).min().unwrap(),
                to: documents.iter().map(|document| document.end.max(document.start)).max().unwrap(),
            }
        };
        all.into_iter().map(|(id, documents)| (id, extent(documents))).collect()
    }

    pub(super) fn queryables(&self, collection: &str, access: &Access) -> Vec<Queryable> {
        let visible = self
            .documents
            .values()
            .filter(|document| document.collection_id == collection && access.allows(document.access));
        let mut all: BTreeMap<String, Queryable> = BTreeMap::new();
        for (document, path) in visible.flat_map(|document| FIELDS.map(|path| (document, path))) {
            for value in values(document, path) {
                let none = Queryable { name: path.to_owned(), kinds: Vec::new(), lists: false };
                let known = all.entry(path.to_owned()).or_insert(none);
                let kind = match value {
                    Value::Number(_) => ValueKind::Number,
                    Value::Text(_) => ValueKind::Text,
                    Value::Bool(_) => ValueKind::Bool,
                };
                if !known.kinds.contains(&kind) {
                    known.kinds.push(kind);
                    known.kinds.sort_by_key(|kind| *kind as u8);
                }
                known.lists |= path == "list";
            }
        }
        all.into_values().collect()
    }
}

/// The values of a field, or of its list.
fn values(document: &Document, path: &str) -> Vec<Value> {
    let found = path.split('.').try_fold(&json!(document.fields), |json, part| json.get(part)).cloned();
    match found {
        Some(serde_json::Value::Array(list)) => list.iter().filter_map(Value::from_json).collect(),
        found => found.iter().filter_map(Value::from_json).collect(),
    }
}

fn matches(document: &Document, query: &Query) -> bool {
    let touches = |shape: &Geometry<f64>| document.geometry.as_ref().is_some_and(|geometry| geometry.intersects(shape));
    let boxed = query.bbox.is_none_or(|bounds| {
        let rect = |west: f64, east: f64| {
            let rect = Rect::new(Coord { x: west, y: bounds.south }, Coord { x: east, y: bounds.north });
            Geometry::Polygon(rect.to_polygon())
        };
        if bounds.west <= bounds.east {
            touches(&rect(bounds.west, bounds.east))
        } else {
            touches(&rect(bounds.west, 180.0)) || touches(&rect(-180.0, bounds.east))
        }
    });
    let end = document.end.max(document.start);
    let time = query.datetime;
    let text = document.text.to_lowercase();
    let has = |word: &str| text.split(", ").any(|other| other == word.to_lowercase());
    boxed
        && query.intersects.as_ref().is_none_or(touches)
        && time.from.is_none_or(|from| end >= from)
        && time.to.is_none_or(|to| document.start <= to)
        && (query.ids.is_empty() || query.ids.contains(&document.id))
        && (query.collections.is_empty() || query.collections.contains(&document.collection_id))
        && query
            .filters
            .iter()
            .all(|filter| values(document, &filter.field).iter().any(|value| filter.test.passes(value)))
        && (query.text.is_empty() || query.text.iter().any(|text| text.split(' ').all(has)))
}

pub(super) fn compare(one: &Document, two: &Document, sorts: &[Sort]) -> Ordering {
    let text = |document: &Document, field: &str| match field {
        "id" => Some(Value::Text(document.id.clone())),
        "collection" => Some(Value::Text(document.collection_id.clone())),
        "datetime" => Some(Value::Number(f64::from(i32::try_from(document.start).unwrap()))),
        "list" => None,
        field => values(document, field.trim_start_matches("properties.")).into_iter().next(),
    };
    for sort in sorts {
        let ordering = match (text(one, &sort.field), text(two, &sort.field)) {
            (Some(one), Some(two)) if sort.direction == Direction::Ascending => one.compare(&two),
            (Some(one), Some(two)) => two.compare(&one),
            (one, two) => two.is_some().cmp(&one.is_some()),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    let place =
        |document: &Document| (std::cmp::Reverse(document.start), document.collection_id.clone(), document.id.clone());
    place(one).cmp(&place(two))
}

/// All pages of a search, one behind the other.
pub(super) fn pages(index: &Index, query: &Query, access: &Access) -> Vec<(String, String)> {
    let (mut query, mut found) = (query.clone(), Vec::new());
    loop {
        let page = index.search(&query, access).unwrap();
        assert!(page.hits.len() <= query.limit);
        assert!(query.after.is_none() || !page.hits.is_empty(), "no page behind a cursor is empty");
        found.extend(page.hits.into_iter().map(|hit| (hit.collection_id, hit.id)));
        match page.next {
            Some(next) => query.after = Some(crate::search::query::Cursor::decode(&next.encode()).unwrap()),
            None => return found,
        }
    }
}
