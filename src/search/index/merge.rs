//! Which segments to join, and joining them. Segments of like size are joined, so that a document
//! is written a few times in its life, however many there are.

use std::path::Path;

use crate::search::document::Head;
use crate::search::error::SearchError;
use crate::search::manifest;
use crate::search::segment::Segment;
use crate::search::segment::build;
use crate::search::snapshot::Part;

/// So many segments of like size in memory are joined.
const SMALL: usize = 12;
/// So many segments of like size in files are joined.
const LARGE: usize = 6;
/// How much larger segments of the next size are.
const STEP: usize = 8;
/// A merged segment has no more documents: it bounds how long a merge takes.
const DOCUMENTS_MAX: usize = 1 << 18;

/// The places of segments in memory.
pub(super) fn in_memory(parts: &[Part]) -> Vec<usize> {
    (0..parts.len()).filter(|&at| parts[at].segment.in_memory()).collect()
}

/// Segments in memory that should be one.
pub(super) fn small(parts: &[Part]) -> Option<Vec<usize>> {
    alike(parts, &in_memory(parts), SMALL)
}

/// Segments in files that should be one, or one that is mostly dead.
pub(super) fn to_merge(parts: &[Part]) -> Option<Vec<usize>> {
    let written: Vec<usize> = (0..parts.len()).filter(|&at| parts[at].number.is_some()).collect();
    let wasteful = written.iter().find(|&&at| parts[at].dead.len() * 3 > parts[at].segment.len());
    if let Some(&at) = wasteful {
        return Some(vec![at]);
    }
    alike(parts, &written, LARGE)
}

/// So many segments of the same size, if there are, the smallest size first.
fn alike(parts: &[Part], among: &[usize], many: usize) -> Option<Vec<usize>> {
    let mut sized: Vec<(usize, usize)> = among.iter().map(|&at| (parts[at].alive(), at)).collect();
    sized.sort_unstable();
    for group in sized.chunk_by(|one, two| size(one.0) == size(two.0)) {
        let mut sum = 0;
        let fitting = group.iter().take(many).take_while(|(alive, _)| {
            sum += alive;
            sum <= DOCUMENTS_MAX
        });
        let mut chosen: Vec<usize> = fitting.map(|(_, at)| *at).collect();
        // Large segments fill a merged one before they are many.
        if group.len() >= many && chosen.len() * 2 >= many {
            chosen.sort_unstable();
            return Some(chosen);
        }
    }
    None
}

fn size(documents: usize) -> u32 {
    documents.max(1).ilog(STEP)
}

/// Writes the living documents of segments to one file.
pub(super) fn merge(sources: &[&Part], directory: &Path, number: u64) -> Result<Segment, SearchError> {
    let mut heads: Vec<Head> = Vec::new();
    let mut places: Vec<(usize, u32)> = Vec::new();
    for (source, part) in sources.iter().enumerate() {
        for ordinal in part.ordinals() {
            heads.push(part.segment.head(ordinal));
            places.push((source, ordinal));
        }
    }
    manifest::write(directory, number, |to| {
        let row = |index: usize| {
            let (source, ordinal): (usize, u32) = places[index];
            sources[source].segment.row(ordinal)
        };
        build::write(heads, row, to)
    })
}
