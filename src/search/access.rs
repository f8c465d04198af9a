//! What the access numbers of documents stand for: the traits of an item and of its collection,
//! which policies decide by. Owners stand there by name, as what is known of them changes without their
//! data. Numbers are given in order and never given twice; a file beside the
//! index keeps what each is for, synced before the first document that has it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::catalog::record::LabelSetRecord;
use crate::model::account::AccountName;
use crate::model::did::DidKind;
use crate::model::facts::{DidTraits, Subject};
use crate::model::label::LabelSet;
use crate::model::scope::Scope;
use crate::search::error::SearchError;

/// The name of the file.
const FILE: &str = "access";
/// Bytes before an entry: its length, and the beginning of its BLAKE3.
const HEAD: usize = 12;

/// What decides who may discover an item: it and its collection have to be seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outlook {
    /// The item.
    pub item: Traits,
    /// The container that is its collection; none if that is all of a scope that no container holds,
    /// which is told by the names of what is in it.
    pub collection: Option<Traits>,
}

/// What is known of a DID but for its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Traits {
    /// What it is.
    pub kind: DidKind,
    /// Whose it is.
    pub owner: AccountName,
    /// Its scope.
    pub scope: Scope,
    /// Whose that is.
    pub scope_owner: AccountName,
    /// The scope's labels.
    pub scope_labels: Arc<LabelSet>,
    /// The labels that hold for it.
    pub labels: Arc<LabelSet>,
}

impl From<&DidTraits> for Traits {
    fn from(traits: &DidTraits) -> Self {
        Self {
            kind: traits.kind,
            owner: name(&traits.owner),
            scope: traits.scope.scope.clone(),
            scope_owner: name(&traits.scope.owner),
            scope_labels: Arc::clone(&traits.scope.labels),
            labels: Arc::clone(&traits.labels),
        }
    }
}

fn name(owner: &Subject) -> AccountName {
    match owner {
        Subject::Account { name, .. } => name.clone(),
        // Nobody owns anything without a name.
        Subject::Anonymous => AccountName::root(),
    }
}

/// The numbers, and the file of them.
#[derive(Debug)]
pub struct AccessTable {
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    file: File,
    /// Where whole entries end.
    end: u64,
    outlooks: Vec<Arc<Outlook>>,
    numbers: HashMap<Arc<Outlook>, u32>,
    /// Whether any collection ever had files as items.
    files: bool,
}

/// An entry as it is stored. Variants are only ever added, at the end.
#[derive(Serialize, Deserialize)]
enum Entry {
    Outlook(Box<(StoredTraits, Option<StoredTraits>)>),
    Files,
}

#[derive(Serialize, Deserialize)]
struct StoredTraits {
    kind: DidKind,
    owner: AccountName,
    scope: Scope,
    scope_owner: AccountName,
    scope_labels: LabelSetRecord,
    labels: LabelSetRecord,
}

impl AccessTable {
    /// Opens the table of a directory, or begins an empty one. What was torn off by a crash was used
    /// by no document.
    pub fn open(directory: &Path) -> Result<Self, SearchError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(FILE))
            .map_err(SearchError::disk("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(SearchError::disk("read"))?;
        let mut known = Known { file, end: 0, outlooks: Vec::new(), numbers: HashMap::new(), files: false };
        let mut rest = bytes.as_slice();
        while let Some((entry, behind)) = next_entry(rest) {
            known.take(entry);
            rest = behind;
        }
        known.end = (bytes.len() - rest.len()) as u64;
        Ok(Self { known: Mutex::new(known) })
    }

    /// Forgets all numbers. No document may have one.
    pub fn clear(&self) -> Result<(), SearchError> {
        let mut known = self.known();
        known.file.set_len(0).map_err(SearchError::disk("write"))?;
        known.file.sync_data().map_err(SearchError::disk("sync"))?;
        known.end = 0;
        known.outlooks.clear();
        known.numbers.clear();
        known.files = false;
        Ok(())
    }

    /// The numbers of outlooks, in their order; new ones are on disk when this returns.
    pub fn numbers(&self, outlooks: &[Outlook]) -> Result<Vec<u32>, SearchError> {
        let mut known = self.known();
        let (mut bytes, mut numbers, mut fresh) = (Vec::new(), Vec::with_capacity(outlooks.len()), Vec::new());
        let mut new: HashMap<&Outlook, u32> = HashMap::new();
        for outlook in outlooks {
            let number = match (known.numbers.get(outlook), new.get(outlook)) {
                (Some(number), _) | (None, Some(number)) => *number,
                (None, None) => {
                    let next = known.outlooks.len() + fresh.len();
                    let number = u32::try_from(next).map_err(|_| SearchError::damaged("the access numbers ran out"))?;
                    frame(&mut bytes, &stored(outlook));
                    fresh.push(Arc::new(outlook.clone()));
                    new.insert(outlook, number);
                    number
                }
            };
            numbers.push(number);
        }
        known.append(&bytes)?;
        for outlook in fresh {
            known.add(outlook);
        }
        Ok(numbers)
    }

    /// What a number stands for.
    pub fn outlook(&self, number: u32) -> Option<Arc<Outlook>> {
        self.known().outlooks.get(number as usize).cloned()
    }

    /// How many numbers were given.
    pub fn len(&self) -> usize {
        self.known().outlooks.len()
    }

    /// Whether no number was given.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any collection ever had files as items.
    pub fn has_files(&self) -> bool {
        self.known().files
    }

    /// Notes that a collection has files as items.
    pub fn note_files(&self) -> Result<(), SearchError> {
        let mut known = self.known();
        if known.files {
            return Ok(());
        }
        let mut bytes = Vec::new();
        frame(&mut bytes, &Entry::Files);
        known.append(&bytes)?;
        known.files = true;
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Files => self.files = true,
            Entry::Outlook(outlook) => {
                let (item, collection) = *outlook;
                self.add(Arc::new(Outlook { item: item.traits(), collection: collection.map(StoredTraits::traits) }));
            }
        }
    }

    fn add(&mut self, outlook: Arc<Outlook>) {
        let number = u32::try_from(self.outlooks.len()).expect("numbers are given below 2^32");
        self.numbers.insert(Arc::clone(&outlook), number);
        self.outlooks.push(outlook);
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), SearchError> {
        if bytes.is_empty() {
            return Ok(());
        }
        // Numbers follow from the order in the file: what a failure left behind the end is none of them.
        self.file.set_len(self.end).map_err(SearchError::disk("write"))?;
        self.file.write_all_at(bytes, self.end).map_err(SearchError::disk("write"))?;
        self.file.sync_data().map_err(SearchError::disk("sync"))?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

fn frame(bytes: &mut Vec<u8>, entry: &Entry) {
    let entry = postcard::to_stdvec(entry).expect("plain data can be encoded");
    let length = u32::try_from(entry.len()).expect("traits are small");
    bytes.extend(length.to_le_bytes());
    bytes.extend(&blake3::hash(&entry).as_bytes()[..HEAD - 4]);
    bytes.extend(entry);
}

/// The first whole entry of some bytes, and the bytes behind it.
fn next_entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let length = u32::from_le_bytes(head[..4].try_into().expect("four bytes"));
    let (entry, rest) = rest.split_at_checked(length as usize)?;
    let whole = blake3::hash(entry).as_bytes()[..HEAD - 4] == head[4..];
    let entry = whole.then(|| postcard::from_bytes(entry).ok()).flatten()?;
    Some((entry, rest))
}

fn stored(outlook: &Outlook) -> Entry {
    let collection = outlook.collection.as_ref().map(StoredTraits::of);
    Entry::Outlook(Box::new((StoredTraits::of(&outlook.item), collection)))
}

impl StoredTraits {
    fn of(traits: &Traits) -> Self {
        let labels = |labels: &LabelSet| LabelSetRecord::from(labels.clone());
        Self {
            kind: traits.kind,
            owner: traits.owner.clone(),
            scope: traits.scope.clone(),
            scope_owner: traits.scope_owner.clone(),
            scope_labels: labels(&traits.scope_labels),
            labels: labels(&traits.labels),
        }
    }

    fn traits(self) -> Traits {
        Traits {
            kind: self.kind,
            owner: self.owner,
            scope: self.scope,
            scope_owner: self.scope_owner,
            scope_labels: Arc::new(self.scope_labels.into()),
            labels: Arc::new(self.labels.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn outlook(owner: &str) -> Outlook {
        let owner = AccountName::parse(owner).expect("a name");
        let item = Traits {
            kind: DidKind::Dataset,
            scope_owner: owner.clone(),
            owner,
            scope: Scope::parse("s").expect("a scope"),
            scope_labels: Arc::default(),
            labels: Arc::default(),
        };
        Outlook { collection: Some(item.clone()), item }
    }

    #[test]
    fn numbers_stay_what_they_are_and_a_torn_end_is_cut_off() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let table = AccessTable::open(directory.path()).expect("new");
        let (ada, bob) = (outlook("ada"), outlook("bob"));
        let numbers = table.numbers(&[ada.clone(), bob.clone(), ada.clone()]).expect("written");
        assert_eq!(numbers, [0, 1, 0]);
        table.note_files().expect("written");
        drop(table);
        let mut file = OpenOptions::new().append(true).open(directory.path().join(FILE)).expect("there");
        file.write_all(&[9, 0, 0, 0, 1, 2, 3]).expect("written");
        let table = AccessTable::open(directory.path()).expect("opened");
        assert!(table.has_files());
        assert_eq!(table.numbers(&[bob.clone(), outlook("eve")]).expect("written"), [1, 2]);
        assert_eq!(*table.outlook(1).expect("given"), bob);
        drop(table);
        let table = AccessTable::open(directory.path()).expect("opened");
        assert_eq!((table.len(), table.outlook(3)), (3, None));
        // What a write that failed has left is no number.
        let mut left = Vec::new();
        frame(&mut left, &stored(&outlook("mal")));
        OpenOptions::new()
            .append(true)
            .open(directory.path().join(FILE))
            .expect("there")
            .write_all(&left)
            .expect("left");
        assert_eq!(table.numbers(&[outlook("zoe")]).expect("written"), [3]);
        drop(table);
        let table = AccessTable::open(directory.path()).expect("opened");
        assert_eq!((table.len(), table.outlook(3).map(|one| one.item.owner.to_string())), (4, Some("zoe".to_owned())));
        table.clear().expect("cleared");
        assert_eq!(AccessTable::open(directory.path()).expect("opened").len(), 0);
    }
}
