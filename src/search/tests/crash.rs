//! What is left after a crash, and after damage.

use std::path::{Path, PathBuf};

use crate::search::error::SearchError;
use crate::search::index::Index;
use crate::search::query::{Access, Query};
use crate::search::tests::names;
use crate::search::tests::world::{Dice, World, pages};

fn files(directory: &Path, beginning: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(beginning)).collect();
    found.sort();
    found
}

#[test]
fn a_torn_batch_is_as_if_it_had_never_been() {
    let mut dice = Dice(3);
    for round in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let index = Index::open(directory.path()).unwrap();
        let mut world = World::default();
        let mut states = vec![world.clone()];
        for position in 1..=8 {
            let (upserts, deletes) = world.change(&mut dice, 6);
            index.apply(upserts, deletes, position).unwrap();
            states.push(world.clone());
        }
        drop(index);
        let journal = files(directory.path(), "journal-").pop().unwrap();
        let mut bytes = std::fs::read(&journal).unwrap();
        let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
        if round % 2 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 0x40;
        }
        std::fs::write(&journal, &bytes).unwrap();
        let index = Index::open(directory.path()).unwrap();
        let position = usize::try_from(index.position()).unwrap();
        assert!(position < 8, "the last batch is damaged");
        let query = Query { limit: 50, ..Query::default() };
        let check = |index: &Index, world: &World| {
            assert_eq!(pages(index, &query, &Access::all()), names(&world.search(&query, &Access::all())));
        };
        check(&index, &states[position]);
        // It goes on from there, and what comes is kept.
        let mut world = states[position].clone();
        let (upserts, deletes) = world.change(&mut dice, 6);
        index.apply(upserts, deletes, 100).unwrap();
        drop(index);
        let index = Index::open(directory.path()).unwrap();
        assert_eq!(index.position(), 100);
        check(&index, &world);
    }
}

#[test]
fn damage_is_told_and_a_new_index_begins_in_its_place() {
    for (beginning, from_end) in [("manifest", 1), ("manifest", 9), ("segment-", 1), ("segment-", 40)] {
        let directory = tempfile::tempdir().unwrap();
        let index = Index::open(directory.path()).unwrap();
        let (upserts, deletes) = World::default().change(&mut Dice(4), 20);
        index.apply(upserts.clone(), deletes, 1).unwrap();
        index.close().unwrap();
        let path = files(directory.path(), beginning).pop().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let opened = Index::open(directory.path());
        assert!(matches!(opened, Err(SearchError::Damaged { .. })), "{beginning} {from_end}");
        let index = Index::create(directory.path()).unwrap();
        assert_eq!((index.position(), index.stats().documents), (0, 0));
        index.apply(upserts, Vec::new(), 1).unwrap();
        assert!(index.stats().documents > 0);
        assert!(files(directory.path(), "segment-").is_empty(), "nothing is left of the damaged one");
    }
}

#[test]
fn a_damaged_document_is_not_handed_back() {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open(directory.path()).unwrap();
    index.apply(vec![super::named("x", None)], Vec::new(), 1).unwrap();
    index.close().unwrap();
    let path = files(directory.path(), "segment-").pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let index = Index::open(directory.path()).unwrap();
    let page = index.search(&Query { limit: 1, ..Query::default() }, &Access::all());
    assert!(matches!(page, Err(SearchError::Damaged { .. })));
}

#[test]
fn one_process_has_an_index_at_a_time_and_wiping_empties_it() {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open(directory.path()).unwrap();
    assert!(matches!(Index::open(directory.path()), Err(SearchError::InUse)));
    index.apply(vec![super::named("x", None)], Vec::new(), 7).unwrap();
    index.wipe().unwrap();
    assert_eq!((index.position(), index.stats().documents, index.accesses().len()), (0, 0, 0));
    drop(index);
    assert_eq!(Index::open(directory.path()).unwrap().position(), 0);
}

#[test]
fn leftovers_of_an_interrupted_write_go_away() {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open(directory.path()).unwrap();
    index.apply(vec![super::named("x", None)], Vec::new(), 1).unwrap();
    index.close().unwrap();
    std::fs::write(directory.path().join("segment-00000099"), b"half").unwrap();
    let index = Index::open(directory.path()).unwrap();
    assert_eq!(files(directory.path(), "segment-").len(), 1);
    assert_eq!(index.stats().documents, 1);
}
