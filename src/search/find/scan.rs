//! The best documents of one segment, by whichever way looks at the fewest: along time, or those
//! near a place, with a word, or of an id.

use std::collections::BinaryHeap;
use std::ops::Range;

use crate::search::error::SearchError;
use crate::search::find::plan::{Order, Plan};
use crate::search::find::sieve::Sieve;
use crate::search::query::{Cursor, Direction, SORTS_MAX};
use crate::search::segment::Segment;
use crate::search::segment::field::{Field, MISSING};
use crate::search::snapshot::Part;

/// So many documents are looked at along time before the tree is asked for those near a place:
/// where hits are dense, that fills a page.
const LOOKED_AT_FIRST: u32 = 2048;
/// A place is looked up in the tree if it has no more than this part of the documents.
const NEAR_PART: usize = 6;

/// Where a document is in the order asked for: what it is sorted by, then its ordinal.
type Rank = ([u64; SORTS_MAX], u32);

/// The first documents of a segment, behind one place and before another, in order.
pub(super) fn best(
    part: &Part,
    plan: &Plan,
    after: Option<&Cursor>,
    until: Option<&Cursor>,
    most: usize,
) -> Result<Vec<u32>, SearchError> {
    let Some(sieve) = Sieve::new(part, plan) else { return Ok(Vec::new()) };
    let segment = &*part.segment;
    let mut window = segment.window(plan.query.datetime.from, plan.query.datetime.to);
    if plan.is_natural() {
        if let Some(at) = after {
            window.start = window.start.max(segment.position(at.start, &at.collection, &at.id, true));
        }
        if let Some(at) = until {
            window.end = window.end.min(segment.position(at.start, &at.collection, &at.id, false));
        }
        return first(segment, plan, &sieve, window, most);
    }
    let keys: Vec<Key> = plan.orders.iter().map(|(order, direction)| Key::of(segment, order, *direction)).collect();
    let rank = |at: &Cursor, through| {
        let mut ranks = [0; SORTS_MAX];
        for (index, key) in keys.iter().enumerate() {
            ranks[index] = key.rank_of(at, index);
        }
        (ranks, segment.position(at.start, &at.collection, &at.id, through))
    };
    let bounds = (after.map(|at| rank(at, true)), until.map(|at| rank(at, false)));
    let candidates = candidates(segment, plan, window)?;
    smallest(&keys, &sieve, candidates, bounds, most)
}

/// How many documents of a segment are meant, up to `most`.
pub(super) fn count(part: &Part, plan: &Plan, most: u64) -> Result<u64, SearchError> {
    let Some(sieve) = Sieve::new(part, plan) else { return Ok(0) };
    let window = part.segment.window(plan.query.datetime.from, plan.query.datetime.to);
    let mut count = 0;
    for ordinal in candidates(&part.segment, plan, window)?.iter() {
        if sieve.passes(ordinal)? {
            count += 1;
            if count >= most {
                break;
            }
        }
    }
    Ok(count)
}

/// Documents to look at.
enum Candidates {
    All(Range<u32>),
    /// Sorted.
    These(Vec<u32>),
}

impl Candidates {
    fn iter(&self) -> Box<dyn DoubleEndedIterator<Item = u32> + '_> {
        match self {
            Candidates::All(range) => Box::new(range.clone()),
            Candidates::These(list) => Box::new(list.iter().copied()),
        }
    }
}

fn candidates(segment: &Segment, plan: &Plan, window: Range<u32>) -> Result<Candidates, SearchError> {
    if let Some(list) = named(segment, plan, &window)? {
        return Ok(Candidates::These(list));
    }
    if plan.area.is_some()
        && let Some(list) = near(segment, plan, &window)
    {
        return Ok(Candidates::These(list));
    }
    Ok(Candidates::All(window))
}

/// The documents of the ids and words asked for, if any are.
fn named(segment: &Segment, plan: &Plan, window: &Range<u32>) -> Result<Option<Vec<u32>>, SearchError> {
    let mut found: Option<Vec<u32>> = None;
    if !plan.query.ids.is_empty() {
        let mut list: Vec<u32> = plan.query.ids.iter().flat_map(|id| segment.find_id(id)).copied().collect();
        list.sort_unstable();
        list.dedup();
        found = Some(list);
    }
    if !plan.words.is_empty() {
        let list = segment.with_words(&plan.words, |documents| plan.budget.look(documents))?;
        found = Some(match found {
            None => list,
            Some(mut both) => {
                both.retain(|ordinal| list.binary_search(ordinal).is_ok());
                both
            }
        });
    }
    if let Some(list) = &mut found {
        list.retain(|ordinal| window.contains(ordinal));
    }
    Ok(found)
}

/// The documents near the place asked for, unless they are too many to be worth it.
fn near(segment: &Segment, plan: &Plan, window: &Range<u32>) -> Option<Vec<u32>> {
    let mut list = segment.near(&plan.covers, window.len() / NEAR_PART)?;
    list.retain(|ordinal| window.contains(ordinal));
    Some(list)
}

/// The first that pass, in the order of the segment.
fn first(
    segment: &Segment,
    plan: &Plan,
    sieve: &Sieve,
    window: Range<u32>,
    most: usize,
) -> Result<Vec<u32>, SearchError> {
    let mut found = Vec::new();
    let mut take = |ordinals: &mut dyn Iterator<Item = u32>| {
        for ordinal in ordinals {
            if sieve.passes(ordinal)? {
                found.push(ordinal);
                if found.len() == most {
                    return Ok(true);
                }
            }
        }
        Ok::<bool, SearchError>(false)
    };
    if let Some(list) = named(segment, plan, &window)? {
        take(&mut list.into_iter())?;
        return Ok(found);
    }
    let middle = window.end.min(window.start.saturating_add(LOOKED_AT_FIRST));
    if take(&mut (window.start..middle))? || middle == window.end {
        return Ok(found);
    }
    let rest = middle..window.end;
    match plan.area.as_ref().and_then(|_| near(segment, plan, &rest)) {
        Some(list) => take(&mut list.into_iter())?,
        None => take(&mut rest.clone())?,
    };
    Ok(found)
}

/// The smallest by rank that pass.
fn smallest(
    keys: &[Key],
    sieve: &Sieve,
    candidates: Candidates,
    (after, until): (Option<Rank>, Option<Rank>),
    most: usize,
) -> Result<Vec<u32>, SearchError> {
    let by_time = matches!(keys.first(), Some(Key::Time { .. }));
    let oldest_first = matches!(keys.first(), Some(Key::Time { descending: false, .. }));
    let all = candidates.iter();
    let all: Box<dyn Iterator<Item = u32>> = if oldest_first { Box::new(all.rev()) } else { Box::new(all) };
    let mut heap: BinaryHeap<Rank> = BinaryHeap::with_capacity(most + 1);
    for ordinal in all {
        sieve.look()?;
        let worst = if heap.len() == most { heap.peek() } else { until.as_ref() };
        let mut ranks = [0; SORTS_MAX];
        ranks[0] = keys[0].rank(ordinal);
        if worst.is_some_and(|worst| ranks[0] > worst.0[0]) {
            if by_time {
                // All that follow are as far away or farther.
                break;
            }
            continue;
        }
        for (rank, key) in ranks.iter_mut().zip(keys).skip(1) {
            *rank = key.rank(ordinal);
        }
        let rank = (ranks, ordinal);
        let too_early = after.as_ref().is_some_and(|after| rank < *after);
        let too_late = until.as_ref().is_some_and(|until| rank >= *until);
        let worse = heap.len() == most && heap.peek().is_some_and(|worst| rank > *worst);
        if too_early || too_late || worse || !sieve.passes(ordinal)? {
            continue;
        }
        heap.push(rank);
        if heap.len() > most {
            heap.pop();
        }
    }
    Ok(heap.into_sorted_vec().into_iter().map(|(_, ordinal)| ordinal).collect())
}

/// Something to sort one segment by, as numbers that sort alike. A document's number is odd, so
/// that a place between two documents has one too; what is missing comes last.
enum Key<'a> {
    Time { segment: &'a Segment, descending: bool },
    Id { segment: &'a Segment, descending: bool },
    Collection { segment: &'a Segment, descending: bool },
    Field { field: Option<&'a Field>, descending: bool },
}

impl<'a> Key<'a> {
    fn of(segment: &'a Segment, order: &Order, direction: Direction) -> Self {
        let descending = direction == Direction::Descending;
        match order {
            Order::Time => Key::Time { segment, descending },
            Order::Id => Key::Id { segment, descending },
            Order::Collection => Key::Collection { segment, descending },
            Order::Field(path) => Key::Field { field: segment.columns.fields.get(*path), descending },
        }
    }

    fn rank(&self, ordinal: u32) -> u64 {
        match self {
            Key::Time { segment, descending } => time(segment.columns.starts[ordinal as usize], *descending),
            Key::Id { segment, descending } => {
                let rank = segment.ranks().rank[ordinal as usize];
                at(u64::from(rank), segment.distinct_ids(), *descending)
            }
            Key::Collection { segment, descending } => {
                let groups = &segment.columns.groups;
                let id = &segment.group(ordinal).collection_id;
                let first = groups.partition_point(|group| group.collection_id < *id);
                at(first as u64, groups.len(), *descending)
            }
            Key::Field { field: None, .. } => u64::MAX,
            Key::Field { field: Some(field), descending } => match field.code(ordinal) {
                MISSING => u64::MAX,
                code => at(u64::from(code), field.len() as usize, *descending),
            },
        }
    }

    /// The rank of a place.
    fn rank_of(&self, place: &Cursor, index: usize) -> u64 {
        match self {
            Key::Time { descending, .. } => time(place.start, *descending),
            Key::Id { segment, descending } => found(segment.rank_of(&place.id), segment.distinct_ids(), *descending),
            Key::Collection { segment, descending } => {
                let groups = &segment.columns.groups;
                let first = groups.partition_point(|group| group.collection_id < place.collection);
                let there = groups.get(first).is_some_and(|group| group.collection_id == place.collection);
                found(if there { Ok(first) } else { Err(first) }, groups.len(), *descending)
            }
            Key::Field { field, descending } => match (field, &place.values[index]) {
                (_, None) => u64::MAX,
                // Nothing here has the field, and all of it comes behind what has.
                (None, Some(_)) => 0,
                (Some(field), Some(value)) => {
                    let code = field.find(value).map(|code| code as usize).map_err(|next| next as usize);
                    found(code, field.len() as usize, *descending)
                }
            },
        }
    }
}

/// The rank of a document's code among so many.
fn at(code: u64, codes: usize, descending: bool) -> u64 {
    if descending { 2 * (codes as u64 - 1 - code) + 1 } else { 2 * code + 1 }
}

/// The rank of a value that may not be among the codes.
fn found(code: Result<usize, usize>, codes: usize, descending: bool) -> u64 {
    match code {
        Ok(code) => at(code as u64, codes, descending),
        Err(next) if descending => 2 * (codes - next) as u64,
        Err(next) => 2 * next as u64,
    }
}

/// The rank of a time.
fn time(millis: i64, descending: bool) -> u64 {
    let ascending = millis.cast_unsigned() ^ (1 << 63);
    if descending { !ascending } else { ascending }
}
