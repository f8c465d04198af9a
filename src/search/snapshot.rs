//! What readers see: segments and which of their documents are dead. A snapshot never changes; the
//! writer puts a new one in its place.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::search::area::{NOWHERE, Sides, grow};
use crate::search::segment::Segment;

/// A set of ordinals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bits {
    words: Vec<u64>,
    count: usize,
}

impl Bits {
    pub(super) fn from_words(words: Vec<u64>) -> Self {
        let count = words.iter().map(|word| word.count_ones() as usize).sum();
        Self { words, count }
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn has(&self, ordinal: u32) -> bool {
        self.words.get(ordinal as usize / 64).is_some_and(|word| word >> (ordinal % 64) & 1 == 1)
    }

    /// Adds an ordinal, and says whether it was not there.
    pub(super) fn add(&mut self, ordinal: u32) -> bool {
        if self.has(ordinal) {
            return false;
        }
        let at = ordinal as usize / 64;
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        self.words[at] |= 1 << (ordinal % 64);
        self.count += 1;
        true
    }
}

/// A segment and its dead.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    pub(super) dead: Arc<Bits>,
    /// The number of its file; none in memory.
    pub(super) number: Option<u64>,
    /// What lives in each group, made when somebody asks.
    living: Arc<OnceLock<Vec<Living>>>,
}

/// Where and when the living documents of a group are.
#[derive(Debug, Clone)]
pub(super) struct Living {
    pub(super) count: u64,
    pub(super) sides: Sides,
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Part {
    pub(super) fn new(segment: Segment, dead: Bits, number: Option<u64>) -> Self {
        Self { segment: Arc::new(segment), dead: Arc::new(dead), number, living: Arc::default() }
    }

    /// What lives in each group, in their order.
    pub(super) fn living(&self) -> &[Living] {
        self.living.get_or_init(|| {
            let columns = &self.segment.columns;
            if self.dead.len() == 0 {
                let whole = columns.groups.iter();
                return whole
                    .map(|group| Living { count: group.count, sides: group.sides, from: group.from, to: group.to })
                    .collect();
            }
            let none = Living { count: 0, sides: NOWHERE, from: i64::MAX, to: i64::MIN };
            let mut all = vec![none; columns.groups.len()];
            for ordinal in self.ordinals() {
                let at = ordinal as usize;
                let living = &mut all[columns.group[at] as usize];
                living.count += 1;
                living.from = living.from.min(columns.starts[at]);
                living.to = living.to.max(columns.ends[at]);
                grow(&mut living.sides, &columns.boxes[at]);
            }
            all
        })
    }

    pub(super) fn alive(&self) -> usize {
        self.segment.len() - self.dead.len()
    }

    /// The ordinals of documents that are not dead.
    pub(super) fn ordinals(&self) -> impl Iterator<Item = u32> {
        (0u32..).take(self.segment.len()).filter(|&ordinal| !self.dead.has(ordinal))
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) parts: Vec<Part>,
    pub(super) position: u64,
    /// How many documents have each access number.
    pub(super) accesses: BTreeMap<u32, u64>,
}

impl Snapshot {
    pub(super) fn of(parts: Vec<Part>, position: u64) -> Self {
        let mut snapshot = Self { parts: Vec::new(), position, accesses: BTreeMap::new() };
        for part in parts {
            snapshot.push(part);
        }
        snapshot
    }

    pub(super) fn push(&mut self, part: Part) {
        for ordinal in part.ordinals() {
            *self.accesses.entry(part.segment.group(ordinal).access).or_default() += 1;
        }
        self.parts.push(part);
    }

    /// Whether a document has this key.
    pub(super) fn has(&self, key: u64) -> bool {
        let lives = |part: &Part| part.segment.find_key(key).is_some_and(|ordinal| !part.dead.has(ordinal));
        self.parts.iter().any(lives)
    }

    /// Takes out the document of a key.
    pub(super) fn remove_key(&mut self, key: u64) {
        self.remove(|segment| segment.find_key(key));
    }

    /// Takes out the document of an id in a collection.
    pub(super) fn remove_item(&mut self, collection_id: &str, id: &str) {
        self.remove(|segment| segment.find_item(collection_id, id));
    }

    fn remove(&mut self, find: impl Fn(&Segment) -> Option<u32>) {
        for part in &mut self.parts {
            let Some(ordinal) = find(&part.segment).filter(|&ordinal| !part.dead.has(ordinal)) else { continue };
            Arc::make_mut(&mut part.dead).add(ordinal);
            part.living = Arc::default();
            let access = part.segment.group(ordinal).access;
            if let Some(count) = self.accesses.get_mut(&access) {
                *count -= 1;
                if *count == 0 {
                    self.accesses.remove(&access);
                }
            }
            // A key and a name each have one living document at most.
            return;
        }
    }
}
