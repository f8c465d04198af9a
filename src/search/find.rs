//! Finds documents in a snapshot: each segment gives its best, the best of all make the page.

mod budget;
mod plan;
mod scan;
mod sieve;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::search::area::{NOWHERE, Sides, grow};
use crate::search::blob;
use crate::search::error::SearchError;
pub(super) use crate::search::find::budget::Budget;
use crate::search::find::plan::{Order, Plan};
use crate::search::find::scan::{best, count};
use crate::search::query::{
    Access, Bounds, COUNT_MAX, Cursor, Direction, Extent, Hit, PAGE_BYTES, Page, Query, Queryable, ValueKind,
};
use crate::search::segment::Segment;
use crate::search::segment::field::{Field, Kinds, MISSING};
use crate::search::snapshot::{Part, Snapshot};
use crate::search::value::Value;

/// A found document, with what it is sorted by.
struct Found<'a> {
    part: &'a Part,
    ordinal: u32,
    place: Cursor,
}

impl Snapshot {
    pub(super) fn search(&self, query: &Query, access: &Access, budget: &Budget) -> Result<Page, SearchError> {
        let plan = Plan::of(query, access, budget)?;
        let wanted = query.limit + 1;
        let mut parts: Vec<&Part> = self.parts.iter().collect();
        // Where the newest are asked for, whoever has them goes first, and the others end early.
        parts.sort_by_key(|part| std::cmp::Reverse(part.segment.columns.starts.first().copied()));
        let mut found: Vec<Found> = Vec::new();
        for part in parts {
            let until = (found.len() == wanted).then(|| found.last().map(|last| &last.place)).flatten();
            let ordinals = best(part, &plan, query.after.as_ref(), until, wanted)?;
            if ordinals.is_empty() {
                continue;
            }
            let place = |ordinal| Found { part, ordinal, place: plan.place(&part.segment, ordinal) };
            found.extend(ordinals.into_iter().map(place));
            found.sort_by(|one, two| compare(&plan, &one.place, &two.place));
            found.truncate(wanted);
        }
        let (all, mut hits, mut bytes) = (found.len(), Vec::new(), 0);
        for found in found.iter().take(query.limit) {
            let hit = hit(&found.part.segment, found.ordinal)?;
            bytes += hit.json.len();
            hits.push(hit);
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        let places: Vec<Cursor> = found.into_iter().take(hits.len()).map(|found| found.place).collect();
        let next = if all > hits.len() { places.last().cloned() } else { None };
        Ok(Page { hits, places, next })
    }

    pub(super) fn count(&self, query: &Query, access: &Access, budget: &Budget) -> Result<Option<u64>, SearchError> {
        let plan = Plan::of(query, access, budget)?;
        let mut all = 0;
        for part in &self.parts {
            all += match count(part, &plan, COUNT_MAX + 1 - all) {
                Err(SearchError::TooMuch) => return Ok(None),
                count => count?,
            };
            if all > COUNT_MAX {
                return Ok(None);
            }
        }
        Ok(Some(all))
    }

    pub(super) fn item(&self, collection_id: &str, id: &str, access: &Access) -> Result<Option<Hit>, SearchError> {
        for part in &self.parts {
            let found = part.segment.find_item(collection_id, id).filter(|&ordinal| !part.dead.has(ordinal));
            if let Some(ordinal) = found {
                let allowed = access.allows(part.segment.group(ordinal).access);
                return allowed.then(|| hit(&part.segment, ordinal)).transpose();
            }
        }
        Ok(None)
    }

    /// Where and when the documents of each collection are, or of one alone.
    pub(super) fn extents(&self, only: Option<&str>, access: &Access) -> BTreeMap<String, Extent> {
        let mut all = BTreeMap::new();
        for part in &self.parts {
            for (group, living) in part.segment.columns.groups.iter().zip(part.living()) {
                let is_asked = only.is_none_or(|only| only == group.collection_id);
                if living.count > 0 && is_asked && access.allows(group.access) {
                    join(&mut all, &group.collection_id, living.count, &living.sides, (living.from, living.to));
                }
            }
        }
        all.into_iter().map(|(id, (extent, sides))| (id, Extent { bounds: bounds(&sides), ..extent })).collect()
    }

    /// Whether a document has a field.
    pub(super) fn has_field(&self, path: &str, access: &Access) -> bool {
        self.parts.iter().any(|part| {
            let columns = &part.segment.columns;
            let Some(field) = columns.fields.get(path) else { return false };
            let is_visible = |group: u32| access.allows(columns.groups[group as usize].access);
            let has = |ordinal| {
                is_visible(columns.group[ordinal as usize])
                    && (field.code(ordinal) != MISSING || field.elements(ordinal).next().is_some())
            };
            field.groups.iter().any(|(group, _)| is_visible(*group))
                && (part.dead.len() == 0 || part.ordinals().any(has))
        })
    }

    pub(super) fn queryables(&self, collection_id: &str, access: &Access) -> Vec<Queryable> {
        let mut all: BTreeMap<&str, Kinds> = BTreeMap::new();
        for part in &self.parts {
            let groups = &part.segment.columns.groups;
            let wanted = |group: u32| {
                let group = &groups[group as usize];
                group.collection_id == collection_id && access.allows(group.access)
            };
            for (path, field) in &part.segment.columns.fields {
                for (group, kinds) in field.groups.iter().filter(|(group, _)| wanted(*group)) {
                    let kinds = if part.dead.len() == 0 { *kinds } else { living(part, *group, field, *kinds) };
                    if kinds != Kinds::default() {
                        all.entry(path).or_default().add(kinds);
                    }
                }
            }
        }
        let known =
            [(Kinds::NUMBERS, ValueKind::Number), (Kinds::TEXTS, ValueKind::Text), (Kinds::TRUTHS, ValueKind::Bool)];
        let queryable = |(name, kinds): (&str, Kinds)| Queryable {
            name: name.to_owned(),
            kinds: known.iter().filter(|(kind, _)| kinds.have(*kind)).map(|(_, kind)| *kind).collect(),
            lists: kinds.have(Kinds::LISTS),
        };
        all.into_iter().map(queryable).collect()
    }
}

/// Which kinds of values the living documents of a group have, of those that all have.
fn living(part: &Part, group: u32, field: &Field, all: Kinds) -> Kinds {
    let mut kinds = Kinds::default();
    for ordinal in part.ordinals().filter(|&ordinal| part.segment.columns.group[ordinal as usize] == group) {
        let code = field.code(ordinal);
        if code != MISSING {
            kinds.add(field.kind(code));
        }
        for code in field.elements(ordinal) {
            kinds.add(field.kind(code));
            kinds.add(Kinds::LISTS);
        }
        if kinds == all {
            break;
        }
    }
    kinds
}

fn join(all: &mut BTreeMap<String, (Extent, Sides)>, id: &str, count: u64, sides: &Sides, time: (i64, i64)) {
    if !all.contains_key(id) {
        let none = Extent { count: 0, bounds: None, from: i64::MAX, to: i64::MIN };
        all.insert(id.to_owned(), (none, NOWHERE));
    }
    let (extent, around) = all.get_mut(id).expect("it was put in if it was missing");
    extent.count += count;
    extent.from = extent.from.min(time.0);
    extent.to = extent.to.max(time.1);
    grow(around, sides);
}

fn bounds(sides: &Sides) -> Option<Bounds> {
    let [west, south, east, north] = *sides;
    (!west.is_nan()).then_some(Bounds { west, south, east, north })
}

pub(super) fn hit(segment: &Segment, ordinal: u32) -> Result<Hit, SearchError> {
    let group = segment.group(ordinal);
    Ok(Hit {
        key: segment.columns.keys[ordinal as usize],
        collection: group.collection,
        collection_id: group.collection_id.clone(),
        id: segment.id(ordinal).to_owned(),
        access: group.access,
        json: blob::unpack(&segment.json(ordinal)?)?,
    })
}

/// The order of two places.
fn compare(plan: &Plan, one: &Cursor, two: &Cursor) -> Ordering {
    let newest = || two.start.cmp(&one.start);
    for (at, (order, direction)) in plan.orders.iter().enumerate() {
        let turned = |ordering: Ordering| match direction {
            Direction::Ascending => ordering,
            Direction::Descending => ordering.reverse(),
        };
        let ordering = match order {
            Order::Time => turned(one.start.cmp(&two.start)),
            Order::Id => turned(one.id.cmp(&two.id)),
            Order::Collection => turned(one.collection.cmp(&two.collection)),
            Order::Field(_) => match (&one.values[at], &two.values[at]) {
                (Some(one), Some(two)) => turned(Value::compare(one, two)),
                (one, two) => two.is_some().cmp(&one.is_some()),
            },
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    newest().then_with(|| one.collection.cmp(&two.collection)).then_with(|| one.id.cmp(&two.id))
}
