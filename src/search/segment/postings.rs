//! Which documents have a word: for each word the ordinals, as distances in as few bytes as each
//! needs.

use std::collections::HashMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::search::segment::strings::Strings;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Postings {
    /// All words, sorted.
    words: Strings,
    /// Where each word's documents end.
    ends: Vec<u32>,
    documents: Bytes,
}

impl Postings {
    /// The ordinals of documents that have a word, ascending, read as they are asked for.
    pub(super) fn of(&self, word: &str) -> impl Iterator<Item = u32> {
        let (mut last, mut number, mut shift) = (0, 0u32, 0);
        self.packed(word).iter().filter_map(move |byte| {
            number |= u32::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 != 0 {
                return None;
            }
            last += number;
            (number, shift) = (0, 0);
            Some(last)
        })
    }

    /// How many bytes must be read for a word; no fewer than it has documents.
    pub(super) fn size(&self, word: &str) -> usize {
        self.packed(word).len()
    }

    fn packed(&self, word: &str) -> &[u8] {
        let Ok(index) = self.words.find(word) else { return &[] };
        let from = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.documents[from..self.ends[index] as usize]
    }
}

/// Gathers words of documents in the order of their ordinals.
#[derive(Debug, Default)]
pub(super) struct PostingsBuilder {
    words: HashMap<String, Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    /// One more than the last ordinal; 0 at first.
    next: u32,
    documents: Vec<u8>,
}

impl PostingsBuilder {
    pub(super) fn add(&mut self, ordinal: u32, word: String) {
        let gathered = self.words.entry(word).or_default();
        if gathered.next == ordinal + 1 {
            return;
        }
        let mut distance = ordinal - gathered.next.saturating_sub(1);
        gathered.next = ordinal + 1;
        while distance >= 0x80 {
            gathered.documents.push(distance.to_le_bytes()[0] | 0x80);
            distance >>= 7;
        }
        gathered.documents.push(distance.to_le_bytes()[0]);
    }

    pub(super) fn finish(self) -> Postings {
        let mut sorted: Vec<_> = self.words.into_iter().collect();
        sorted.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        let (mut words, mut ends, mut documents) = (Strings::default(), Vec::new(), Vec::new());
        for (word, gathered) in sorted {
            words.push(&word);
            documents.extend_from_slice(&gathered.documents);
            ends.push(u32::try_from(documents.len()).expect("a segment's words are below 4 GiB"));
        }
        Postings { words, ends, documents: documents.into() }
    }
}
