//! A segment: documents that never change, sorted by time, the newest first. Their columns are in
//! memory; their JSON, and what columns are made from, lies in a blob.

pub(super) mod build;
pub(super) mod field;
mod postings;
pub(super) mod strings;
mod tree;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::search::area::Sides;
use crate::search::blob::Blob;
use crate::search::document::{Body, Head, Row};
use crate::search::error::SearchError;
use crate::search::segment::field::Field;
use crate::search::segment::postings::Postings;
use crate::search::segment::strings::Strings;
use crate::search::segment::tree::Tree;

/// Documents of one collection and one access number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) collection: u64,
    pub(super) collection_id: String,
    pub(super) access: u32,
    pub(super) count: u64,
    pub(super) sides: Sides,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// The columns of a segment. An ordinal is a document's place in the order of time (the newest
/// first), collection and id.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Columns {
    /// Sorted by collection id.
    pub(super) groups: Vec<Group>,
    pub(super) group: Vec<u32>,
    pub(super) keys: Vec<u64>,
    pub(super) starts: Vec<i64>,
    pub(super) ends: Vec<i64>,
    /// The longest time between a start and an end.
    pub(super) longest: i64,
    pub(super) boxes: Vec<Sides>,
    /// Whether a geometry fills its box.
    pub(super) full: Vec<bool>,
    ids: Strings,
    /// Where each document's JSON begins in the blob, and where its body; and the blob's end.
    json_at: Vec<u64>,
    body_at: Vec<u64>,
    /// Ordinals sorted by key, and by id and collection.
    by_key: Vec<u32>,
    by_id: Vec<u32>,
    tree: Tree,
    pub(super) fields: BTreeMap<String, Field>,
    postings: Postings,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) columns: Columns,
    blob: Blob,
    ranks: OnceLock<Ranks>,
}

/// The order of ids, made when somebody sorts by id.
#[derive(Debug)]
pub(super) struct Ranks {
    /// For each ordinal the place of its id among all distinct ids.
    pub(super) rank: Vec<u32>,
    /// For each distinct id a document that has it.
    first: Vec<u32>,
}

impl Segment {
    pub(super) fn new(columns: Columns, blob: Blob) -> Self {
        Self { columns, blob, ranks: OnceLock::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.columns.keys.len()
    }

    pub(super) fn group(&self, ordinal: u32) -> &Group {
        &self.columns.groups[self.columns.group[ordinal as usize] as usize]
    }

    pub(super) fn id(&self, ordinal: u32) -> &str {
        self.columns.ids.get(ordinal as usize)
    }

    pub(super) fn in_memory(&self) -> bool {
        matches!(self.blob, Blob::Memory(_))
    }

    /// How many bytes the documents take.
    pub(super) fn bytes(&self) -> u64 {
        self.columns.json_at.last().copied().unwrap_or(0)
    }

    /// The packed JSON of a document.
    pub(super) fn json(&self, ordinal: u32) -> Result<Bytes, SearchError> {
        let at = ordinal as usize;
        self.blob.read(self.columns.json_at[at], self.columns.body_at[at])
    }

    /// The packed body of a document.
    fn body(&self, ordinal: u32) -> Result<Bytes, SearchError> {
        let at = ordinal as usize;
        self.blob.read(self.columns.body_at[at], self.columns.json_at[at + 1])
    }

    pub(super) fn geometry(&self, ordinal: u32) -> Result<Option<geo::Geometry<f64>>, SearchError> {
        Body::read_geometry(&self.body(ordinal)?)
    }

    pub(super) fn head(&self, ordinal: u32) -> Head {
        let (at, group) = (ordinal as usize, self.group(ordinal));
        Head {
            key: self.columns.keys[at],
            collection: group.collection,
            collection_id: group.collection_id.clone(),
            id: self.id(ordinal).to_owned(),
            access: group.access,
            start: self.columns.starts[at],
            end: self.columns.ends[at],
        }
    }

    pub(super) fn row(&self, ordinal: u32) -> Result<Row, SearchError> {
        Ok(Row { head: self.head(ordinal), json: self.json(ordinal)?, body: self.body(ordinal)? })
    }

    /// The document of a key.
    pub(super) fn find_key(&self, key: u64) -> Option<u32> {
        let columns = &self.columns;
        let at = columns.by_key.partition_point(|&ordinal| columns.keys[ordinal as usize] < key);
        columns.by_key.get(at).copied().filter(|&ordinal| columns.keys[ordinal as usize] == key)
    }

    /// The documents of an id, in whatever collections.
    pub(super) fn find_id(&self, id: &str) -> &[u32] {
        let by_id = &self.columns.by_id;
        let from = by_id.partition_point(|&ordinal| self.id(ordinal) < id);
        let count = by_id[from..].partition_point(|&ordinal| self.id(ordinal) == id);
        &by_id[from..from + count]
    }

    /// The document of an id in a collection.
    pub(super) fn find_item(&self, collection_id: &str, id: &str) -> Option<u32> {
        self.find_id(id).iter().copied().find(|&ordinal| self.group(ordinal).collection_id == collection_id)
    }

    /// The order of a document and of a place in the order that all documents have.
    pub(super) fn compare(&self, ordinal: u32, start: i64, collection: &str, id: &str) -> Ordering {
        start
            .cmp(&self.columns.starts[ordinal as usize])
            .then_with(|| self.group(ordinal).collection_id.as_str().cmp(collection))
            .then_with(|| self.id(ordinal).cmp(id))
    }

    /// How many documents come before a place; with the document at the place itself if `through`.
    pub(super) fn position(&self, start: i64, collection: &str, id: &str, through: bool) -> u32 {
        let (mut low, mut high) = (0, u32::try_from(self.len()).expect("segments are small"));
        while low < high {
            let middle = low.midpoint(high);
            let order = self.compare(middle, start, collection, id);
            if order.is_lt() || (through && order.is_eq()) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The ordinals that may overlap a time.
    pub(super) fn window(&self, from: Option<i64>, to: Option<i64>) -> std::ops::Range<u32> {
        let starts = &self.columns.starts;
        let first = to.map_or(0, |to| starts.partition_point(|&start| start > to));
        let last = from.map_or(starts.len(), |from| {
            let from = from.saturating_sub(self.columns.longest);
            starts.partition_point(|&start| start >= from)
        });
        let ordinal = |at| u32::try_from(at).expect("segments are small");
        ordinal(first)..ordinal(last.max(first))
    }

    /// Sorted ordinals that may touch one of the boxes; `None` if they are more than `most`.
    pub(super) fn near(&self, boxes: &[Sides], most: usize) -> Option<Vec<u32>> {
        let mut found = Vec::new();
        for area in boxes {
            if !self.columns.tree.collect(area, most, &mut found) {
                return None;
            }
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    /// Sorted ordinals of documents that have all words of at least one list. What is read of a word's
    /// list is paid for first, and no two lists are held at once.
    pub(super) fn with_words(
        &self,
        alternatives: &[Vec<String>],
        pay: impl Fn(u64) -> Result<(), SearchError>,
    ) -> Result<Vec<u32>, SearchError> {
        let postings = &self.columns.postings;
        let mut found = Vec::new();
        for words in alternatives {
            let mut words: Vec<(usize, &String)> = words.iter().map(|word| (postings.size(word), word)).collect();
            words.sort_unstable();
            let mut words = words.into_iter();
            let Some((size, rarest)) = words.next() else { continue };
            pay(size as u64)?;
            let mut all: Vec<u32> = postings.of(rarest).collect();
            for (size, word) in words.take_while(|_| size > 0) {
                pay(size as u64)?;
                keep_common(&mut all, postings.of(word));
            }
            found.append(&mut all);
            found.sort_unstable();
            found.dedup();
        }
        Ok(found)
    }

    pub(super) fn ranks(&self) -> &Ranks {
        self.ranks.get_or_init(|| {
            let mut ranks = Ranks { rank: vec![0; self.len()], first: Vec::new() };
            for &ordinal in &self.columns.by_id {
                if ranks.first.last().is_none_or(|&last| self.id(last) != self.id(ordinal)) {
                    ranks.first.push(ordinal);
                }
                ranks.rank[ordinal as usize] = u32::try_from(ranks.first.len() - 1).expect("segments are small");
            }
            ranks
        })
    }

    /// The number of distinct ids.
    pub(super) fn distinct_ids(&self) -> usize {
        self.ranks().first.len()
    }

    /// The place of an id among the distinct ones, or where it would be.
    pub(super) fn rank_of(&self, id: &str) -> Result<usize, usize> {
        self.ranks().first.binary_search_by(|&ordinal| self.id(ordinal).cmp(id))
    }
}

/// Keeps of one ascending list what another has, too.
fn keep_common(all: &mut Vec<u32>, other: impl Iterator<Item = u32>) {
    let mut other = other.peekable();
    all.retain(|ordinal| {
        while other.next_if(|next| next < ordinal).is_some() {}
        other.peek() == Some(ordinal)
    });
}
