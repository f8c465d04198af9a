//! Questions to the index, and cursors to go on from a page.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use geo::Geometry;
use serde::{Deserialize, Serialize};

use crate::search::error::SearchError;
use crate::search::value::Value;

/// How many fields one question may sort by.
pub const SORTS_MAX: usize = 4;
/// The longest page.
pub const LIMIT_MAX: usize = 10_000;
/// Counts are exact up to here, and not told beyond.
pub const COUNT_MAX: u64 = 10_000;
/// A page ends behind the document with which its documents have so many bytes.
pub const PAGE_BYTES: usize = 8 << 20;
/// How many different words all texts of one question may have.
pub const WORDS_MAX: usize = 32;
/// The longest text of a cursor.
const CURSOR_BYTES_MAX: usize = 16 << 10;

/// What is looked for. Everything that is said must hold; what is empty says nothing.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Touches this box.
    pub bbox: Option<Bounds>,
    /// Touches this shape.
    pub intersects: Option<Geometry<f64>>,
    /// Overlaps this time.
    pub datetime: Interval,
    /// Has one of these ids.
    pub ids: Vec<String>,
    /// Is in one of these collections, by id.
    pub collections: Vec<String>,
    /// Has fields with these values.
    pub filters: Vec<Filter>,
    /// Has all words of at least one of these texts.
    pub text: Vec<String>,
    /// In which order; then by time, the newest first, collection and id.
    pub sort: Vec<Sort>,
    /// How many at most.
    pub limit: usize,
    /// Only what comes after this, in the same order.
    pub after: Option<Cursor>,
}

/// A box of longitudes and latitudes. One that crosses the antimeridian begins east of its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The western edge.
    pub west: f64,
    /// The southern edge.
    pub south: f64,
    /// The eastern edge.
    pub east: f64,
    /// The northern edge.
    pub north: f64,
}

impl Bounds {
    /// A box from 4 numbers, or from 6, of which the heights are left out.
    pub fn parse(numbers: &[f64]) -> Result<Self, SearchError> {
        let hint = "give west,south,east,north in degrees, or with heights west,south,low,east,north,high";
        let [west, south, east, north] = match *numbers {
            [west, south, east, north] => [west, south, east, north],
            [west, south, _, east, north, _] => [west, south, east, north],
            _ => return Err(SearchError::question("a box has 4 or 6 numbers", hint)),
        };
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err(SearchError::question("a box has numbers that are not finite", hint));
        }
        if south > north {
            return Err(SearchError::question("the box ends south of where it begins", hint));
        }
        Ok(Self { west, south, east, north })
    }
}

impl FromStr for Bounds {
    type Err = SearchError;

    /// Reads `west,south,east,north` as people type it: all sides on the globe.
    fn from_str(text: &str) -> Result<Self, SearchError> {
        let wrong = |what: &str| SearchError::question(what, "write west,south,east,north in degrees: -10,36,4,44");
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|side| side.trim().parse()).collect();
        let bounds = Self::parse(&numbers.map_err(|_| wrong("a box has numbers alone"))?)?;
        let Self { west, south, east, north } = bounds;
        let is_on_globe = west.abs() <= 180.0 && east.abs() <= 180.0 && south.abs() <= 90.0 && north.abs() <= 90.0;
        if is_on_globe { Ok(bounds) } else { Err(wrong("a side of the box is not on the globe")) }
    }
}

/// A time in milliseconds since the Unix epoch, both ends included, each open if it is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    /// Not over before.
    pub from: Option<i64>,
    /// Not begun after.
    pub to: Option<i64>,
}

/// A field and what its value must be. `id`, `collection` and `datetime` (a time in RFC 3339) are
/// fields too; `properties.` before a name may be left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The path of the field.
    pub field: String,
    /// What is asked of it. A document without the field never passes; one with a list passes if
    /// an element does.
    pub test: Test,
}

/// What is asked of a value. Values of different kinds are neither equal nor in an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Is equal.
    Is(Value),
    /// Is there, and not equal.
    IsNot(Value),
    /// Is less.
    Less(Value),
    /// Is less or equal.
    AtMost(Value),
    /// Is greater.
    Greater(Value),
    /// Is greater or equal.
    AtLeast(Value),
    /// Is one of these.
    OneOf(Values),
    /// Is a text that ends so.
    EndsWith(String),
    /// Is a text with this in it.
    Contains(String),
    /// Is there, whatever it is.
    Present,
}

impl Test {
    /// Whether a value passes.
    pub fn passes(&self, value: &Value) -> bool {
        let order = |other: &Value| {
            let alike = std::mem::discriminant(value) == std::mem::discriminant(other);
            alike.then(|| value.compare(other))
        };
        match self {
            Test::Is(other) => order(other) == Some(Ordering::Equal),
            Test::IsNot(other) => order(other) != Some(Ordering::Equal),
            Test::Less(other) => order(other) == Some(Ordering::Less),
            Test::AtMost(other) => order(other).is_some_and(Ordering::is_le),
            Test::Greater(other) => order(other) == Some(Ordering::Greater),
            Test::AtLeast(other) => order(other).is_some_and(Ordering::is_ge),
            Test::OneOf(others) => others.have(value),
            Test::EndsWith(end) => matches!(value, Value::Text(text) if text.ends_with(end.as_str())),
            Test::Contains(part) => matches!(value, Value::Text(text) if text.contains(part.as_str())),
            Test::Present => true,
        }
    }
}

/// A set of values, sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct Values(Vec<Value>);

impl FromIterator<Value> for Values {
    fn from_iter<T: IntoIterator<Item = Value>>(values: T) -> Self {
        let mut values: Vec<Value> = values.into_iter().collect();
        values.sort_unstable_by(Value::compare);
        values.dedup();
        Self(values)
    }
}

impl Values {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    fn have(&self, value: &Value) -> bool {
        self.0.binary_search_by(|other| other.compare(value)).is_ok()
    }
}

/// A field to sort by. Documents without it come last, whichever the direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The path of the field, as in a [`Filter`].
    pub field: String,
    /// Which way.
    pub direction: Direction,
}

/// Which way to sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// The fields that every document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Time,
    Id,
    Collection,
}

/// Which field a path means.
pub(super) fn own(path: &str) -> Option<Own> {
    match inner(path) {
        "datetime" => Some(Own::Time),
        "id" => Some(Own::Id),
        "collection" => Some(Own::Collection),
        _ => None,
    }
}

/// A path without the `properties.` before it.
pub(super) fn inner(path: &str) -> &str {
    path.strip_prefix("properties.").unwrap_or(path)
}

/// Who may discover what: the `access` numbers of documents that may be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access(Option<HashSet<u32>>);

impl Access {
    /// Everything may be found.
    pub fn all() -> Self {
        Self(None)
    }

    /// Only documents with these numbers may be found.
    pub fn only(numbers: impl IntoIterator<Item = u32>) -> Self {
        Self(Some(numbers.into_iter().collect()))
    }

    /// Whether documents with this number may be found.
    pub fn allows(&self, number: u32) -> bool {
        self.0.as_ref().is_none_or(|numbers| numbers.contains(&number))
    }
}

/// Where a page ends: what its last document is sorted by. It stays good whatever is added to the
/// index or taken from it, that document included.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// The search that it belongs to.
    pub(super) search: u64,
    /// The values of the fields that are sorted by; none for those that every document has.
    pub(super) values: Vec<Option<Value>>,
    pub(super) start: i64,
    pub(super) collection: String,
    pub(super) id: String,
}

impl Cursor {
    /// The cursor as a text for URLs.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(postcard::to_stdvec(self).expect("plain data can be encoded"))
    }

    /// Reads what [`Cursor::encode`] wrote.
    pub fn decode(text: &str) -> Result<Self, SearchError> {
        let invalid = || SearchError::question("the cursor is not one of this search", "begin at the first page again");
        if text.len() > CURSOR_BYTES_MAX {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        postcard::from_bytes(&bytes).map_err(|_| invalid())
    }
}

/// A found document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its key.
    pub key: u64,
    /// Its collection's number.
    pub collection: u64,
    /// Its collection's id.
    pub collection_id: String,
    /// Its id.
    pub id: String,
    /// Its access number.
    pub access: u32,
    /// Its JSON, as it was put in.
    pub json: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What was found, in order.
    pub hits: Vec<Hit>,
    /// Where each of them stands.
    pub places: Vec<Cursor>,
    /// Where to go on. If it is there, so is at least one hit, here and behind it.
    pub next: Option<Cursor>,
}

/// Where and when documents are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// How many they are.
    pub count: u64,
    /// The least box around all that are somewhere, never across the antimeridian.
    pub bounds: Option<Bounds>,
    /// When the first begins.
    pub from: i64,
    /// When the last ends.
    pub to: i64,
}

/// A field that documents of a collection have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queryable {
    /// The path of the field.
    pub name: String,
    /// The kinds of its values, in the order of values.
    pub kinds: Vec<ValueKind>,
    /// Some of its values stand in lists.
    pub lists: bool,
}

/// A kind of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Numbers.
    Number,
    /// Texts.
    Text,
    /// Truth values.
    Bool,
}
