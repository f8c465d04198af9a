//! A question made ready: checked, and read once for all segments.

use std::collections::{BTreeSet, HashSet};

use crate::search::area::{Area, Sides};
use crate::search::error::SearchError;
use crate::search::find::budget::Budget;
use crate::search::query::{
    Access, Cursor, Direction, Filter, LIMIT_MAX, Own, Query, SORTS_MAX, Test, WORDS_MAX, inner, own,
};
use crate::search::segment::Segment;
use crate::search::segment::field::MISSING;
use crate::search::value::Value;
use crate::search::words::words;

/// What is sorted by.
#[derive(Debug)]
pub(super) enum Order<'q> {
    Time,
    Id,
    Collection,
    Field(&'q str),
}

/// What is filtered by.
#[derive(Debug)]
pub(super) enum Subject<'q> {
    Time,
    Id,
    Collection,
    Field(&'q str),
}

#[derive(Debug)]
pub(super) struct Plan<'q> {
    pub(super) query: &'q Query,
    pub(super) access: &'q Access,
    pub(super) budget: &'q Budget,
    /// What tells this search from others, whatever the page.
    search: u64,
    pub(super) area: Option<Area>,
    /// Boxes outside of which nothing is found, if the question has an area.
    pub(super) covers: Vec<Sides>,
    /// Empty if anything goes.
    pub(super) collections: HashSet<&'q str>,
    pub(super) filters: Vec<(Subject<'q>, Test)>,
    /// For each text its words, each once.
    pub(super) words: Vec<Vec<String>>,
    pub(super) orders: Vec<(Order<'q>, Direction)>,
}

impl<'q> Plan<'q> {
    pub(super) fn of(query: &'q Query, access: &'q Access, budget: &'q Budget) -> Result<Self, SearchError> {
        if query.limit == 0 || query.limit > LIMIT_MAX {
            let what = format!("a page cannot have {} documents", query.limit);
            return Err(SearchError::question(what, format!("ask for 1 to {LIMIT_MAX}")));
        }
        if query.sort.len() > SORTS_MAX {
            let what = format!("the question sorts by {} fields", query.sort.len());
            return Err(SearchError::question(what, format!("sort by {SORTS_MAX} at most")));
        }
        let orders: Vec<_> = query.sort.iter().map(|sort| (order(&sort.field), sort.direction)).collect();
        let search = fingerprint(query);
        let is_other = |after: &Cursor| after.search != search || after.values.len() != orders.len();
        if query.after.as_ref().is_some_and(is_other) {
            let hint = "repeat the question of the first page, or begin at the first page again";
            return Err(SearchError::question("the cursor is not one of this search", hint));
        }
        let area = Area::of(query)?;
        let covers = area.as_ref().map(Area::covers).unwrap_or_default();
        let collections = query.collections.iter().map(String::as_str).collect();
        let filters = query.filters.iter().map(filter).collect::<Result<_, _>>()?;
        let words = words_of(query)?;
        Ok(Self { query, access, budget, search, area, covers, collections, filters, words, orders })
    }

    /// Sorted by time, the newest first, as segments are.
    pub(super) fn is_natural(&self) -> bool {
        match self.orders.as_slice() {
            [] => true,
            [(Order::Time, direction)] => *direction == Direction::Descending,
            _ => false,
        }
    }

    /// What a document is sorted by.
    pub(super) fn place(&self, segment: &Segment, ordinal: u32) -> Cursor {
        let value = |order: &Order| match order {
            Order::Field(path) => {
                let field = segment.columns.fields.get(*path)?;
                Some(field.code(ordinal)).filter(|&code| code != MISSING).map(|code| field.value(code))
            }
            Order::Time | Order::Id | Order::Collection => None,
        };
        Cursor {
            search: self.search,
            values: self.orders.iter().map(|(order, _)| value(order)).collect(),
            start: segment.columns.starts[ordinal as usize],
            collection: segment.group(ordinal).collection_id.clone(),
            id: segment.id(ordinal).to_owned(),
        }
    }
}

/// The words of each text, each once.
fn words_of(query: &Query) -> Result<Vec<Vec<String>>, SearchError> {
    let (mut all, mut count) = (BTreeSet::new(), 0);
    for text in &query.text {
        let each: BTreeSet<String> = words(text).collect();
        if all.insert(each.iter().cloned().collect::<Vec<_>>()) {
            count += each.len();
        }
        if count > WORDS_MAX {
            let what = format!("the question has more than {WORDS_MAX} words");
            return Err(SearchError::question(what, "leave out the words that matter least"));
        }
    }
    Ok(all.into_iter().collect())
}

/// The same for all pages of a search, and hardly ever for two searches.
fn fingerprint(query: &Query) -> u64 {
    let Query { bbox, intersects, datetime, ids, collections, filters, text, sort, limit: _, after: _ } = query;
    let asked = format!("{:?}", (bbox, intersects, datetime, ids, collections, filters, text, sort));
    let hash = blake3::hash(asked.as_bytes());
    u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("a BLAKE3 hash has 32 bytes"))
}

fn order(path: &str) -> Order<'_> {
    match own(path) {
        Some(Own::Time) => Order::Time,
        Some(Own::Id) => Order::Id,
        Some(Own::Collection) => Order::Collection,
        None => Order::Field(inner(path)),
    }
}

fn filter(filter: &Filter) -> Result<(Subject<'_>, Test), SearchError> {
    Ok(match own(&filter.field) {
        Some(Own::Time) => (Subject::Time, times(&filter.test)?),
        Some(Own::Id) => (Subject::Id, filter.test.clone()),
        Some(Own::Collection) => (Subject::Collection, filter.test.clone()),
        None => (Subject::Field(inner(&filter.field)), filter.test.clone()),
    })
}

/// The test with numbers of milliseconds for its times.
fn times(test: &Test) -> Result<Test, SearchError> {
    Ok(match test {
        Test::Is(value) => Test::Is(millis(value)?),
        Test::IsNot(value) => Test::IsNot(millis(value)?),
        Test::Less(value) => Test::Less(millis(value)?),
        Test::AtMost(value) => Test::AtMost(millis(value)?),
        Test::Greater(value) => Test::Greater(millis(value)?),
        Test::AtLeast(value) => Test::AtLeast(millis(value)?),
        Test::OneOf(values) => Test::OneOf(values.iter().map(millis).collect::<Result<_, _>>()?),
        Test::EndsWith(_) | Test::Contains(_) => {
            let hint = "compare it with eq, neq, lt, lte, gt, gte or in";
            return Err(SearchError::question("`datetime` is a time, of whose letters nothing can be asked", hint));
        }
        Test::Present => Test::Present,
    })
}

fn millis(value: &Value) -> Result<Value, SearchError> {
    let Value::Text(text) = value else {
        let hint = "write a time as a text such as 2026-11-21T08:30:00Z";
        return Err(SearchError::question("`datetime` is compared with what is not a time", hint));
    };
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        SearchError::question(format!("`{text}` is not a time"), "write it such as 2026-11-21T08:30:00Z")
    })?;
    Ok(Value::Number(as_number(time.as_millisecond())))
}

/// Exact up to the year 287,396.
#[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
pub(super) fn as_number(millis: i64) -> f64 {
    millis as f64
}
