//! Keeps the index in step with the catalog: reads the change feed, and puts in anew whatever a change
//! may have touched, as it is now. So it may do things twice, or late, and never wrongly for long.
//!
//! The index lies beside the catalog and holds nothing that is not there: one that is missing or
//! damaged is built again from a walk over everything. Replicas never touch it, but for the first of
//! a file, which is when a file is there at all.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::catalog::feed::NumberedChange;
use crate::catalog::record::{DidRecord, Dids};
use crate::catalog::{Catalog, CatalogError};
use crate::clock::Clock;
use crate::model::change::Change;
use crate::model::did::DidKind;
use crate::model::id::{DidId, GrantId};
use crate::search::access::AccessTable;
use crate::search::error::SearchError;
use crate::search::follow::shape::Draft;
use crate::search::follow::walk::Walk;
use crate::search::index::{Index, Stats};

pub mod shape;
mod walk;

/// How many changes are taken together.
const CHANGES: usize = 512;
/// How many changes that are nothing to the index are passed over before its position is written.
const PASSED_MAX: u64 = 10_000;
/// Of how many datasets it is remembered up to where their members were read.
const WALKED_MAX: usize = 10_000;
/// How many changes ahead of the index are looked through for one of who may see what.
const AHEAD_MAX: usize = 1_000;

/// Why the index could not follow.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] SearchError),
}

/// The search index of a lake, and how far it is.
#[derive(Debug)]
pub struct Search {
    directory: PathBuf,
    /// Whether the directory goes away with this.
    scratch: bool,
    opened: RwLock<Option<Arc<Opened>>>,
    built: AtomicBool,
    rebuild: AtomicBool,
    seen: AtomicU64,
}

/// The index with what its access numbers stand for.
#[derive(Debug)]
pub struct Opened {
    /// The documents.
    pub index: Index,
    /// The numbers.
    pub access: AccessTable,
}

/// How far the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether it can be searched; otherwise it is being built.
    pub ready: bool,
    /// The last change that it has taken account of.
    pub position: u64,
    /// What is in it; nothing if it is not open.
    pub stats: Option<Stats>,
}

/// What a follower remembers between its steps, to save work.
#[derive(Debug, Default)]
pub struct Memory {
    /// Up to where the members of a dataset or container were read.
    walked: HashMap<DidId, u64>,
}

impl Search {
    /// The index that is kept in a directory.
    pub fn kept(directory: PathBuf) -> Self {
        Self::of(directory, false)
    }

    /// An index that goes away with the process, for a lake that is on no disk.
    pub fn scratch(clock: &dyn Clock) -> Self {
        let name = format!("dapple-index-{}", GrantId(clock.id()));
        Self::of(std::env::temp_dir().join(name), true)
    }

    fn of(directory: PathBuf, scratch: bool) -> Self {
        let (built, rebuild) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { directory, scratch, opened: RwLock::default(), built, rebuild, seen: AtomicU64::new(0) }
    }

    /// Opens the index. One that is damaged is begun anew, and built by the steps that follow.
    pub fn open(&self) -> Result<(), SearchError> {
        if self.opened().is_some() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.directory).map_err(SearchError::disk("make a directory for"))?;
        let opened = match Opened::open(&self.directory) {
            Err(SearchError::Damaged { what }) => {
                tracing::warn!("the search index is damaged and will be built again: {what}");
                Opened::create(&self.directory)?
            }
            opened => opened?,
        };
        let position = opened.index.position();
        self.seen.store(position, Ordering::Release);
        // One that is about to be built anew is not taken for whole, whatever it has.
        self.built.store(position > 0 && !self.rebuild.load(Ordering::Acquire), Ordering::Release);
        self.put(Some(Arc::new(opened)));
        Ok(())
    }

    /// Lets go of the files, so that another process may have them.
    pub fn close(&self) {
        self.put(None);
    }

    /// Has everything put in anew, from the next step on.
    pub fn ask_rebuild(&self) {
        self.built.store(false, Ordering::Release);
        self.rebuild.store(true, Ordering::Release);
    }

    /// The index, if it has everything.
    pub fn ready(&self) -> Result<Arc<Opened>, SearchError> {
        let built = self.built.load(Ordering::Acquire);
        self.opened().filter(|_| built).ok_or(SearchError::Building)
    }

    /// How far it is.
    pub fn standing(&self) -> Standing {
        let opened = self.opened();
        Standing {
            ready: opened.is_some() && self.built.load(Ordering::Acquire),
            position: self.seen.load(Ordering::Acquire),
            stats: opened.map(|opened| opened.index.stats()),
        }
    }

    /// Whether the index has seen all there is to know of who may see what. Ask before searching.
    pub async fn knows_all_access(&self, catalog: &Catalog) -> Result<bool, CatalogError> {
        let seen = self.seen.load(Ordering::Acquire);
        let mut ahead = catalog.changes(seen.saturating_sub(1), AHEAD_MAX).await?;
        if !is_of_feed(catalog, seen, &ahead) {
            return Ok(false);
        }
        let is_all = ahead.len() < AHEAD_MAX;
        ahead.retain(|one| one.seq > seen);
        let has_files = self.opened().is_none_or(|opened| opened.access.has_files());
        let mut parents = Vec::new();
        for one in &ahead {
            match one.change {
                Change::ScopeChanged { .. } | Change::ScopeLabelled { .. } | Change::DidLabelled { .. } => {
                    return Ok(false);
                }
                Change::ContentsChanged { .. } if has_files => return Ok(false),
                Change::ContentsChanged { parent, .. } => parents.push((parent,)),
                _ => {}
            }
        }
        // What comes to a dataset changes nothing of it.
        let records = catalog.view().await?.get_many::<Dids>(&parents).await?;
        let is_container = |record: &DidRecord| record.kind() == DidKind::Container;
        Ok(is_all && !records.iter().flatten().any(is_container))
    }

    /// Follows a stretch of the feed, or builds what is missing. Says whether there may be more to do.
    pub async fn step(
        &self,
        catalog: &Catalog,
        memory: &mut Memory,
        halted: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, FollowError> {
        self.open()?;
        let outcome = if self.built.load(Ordering::Acquire) && !self.rebuild.load(Ordering::Acquire) {
            self.follow(catalog, memory, halted).await
        } else {
            memory.walked.clear();
            self.build(catalog, halted).await
        };
        if matches!(outcome, Err(FollowError::Index(SearchError::Damaged { .. }))) {
            self.ask_rebuild();
        }
        if outcome.is_err() {
            // What was read and not written is read again.
            memory.walked.clear();
        }
        outcome
    }

    /// Puts everything in anew.
    async fn build(&self, catalog: &Catalog, halted: &(dyn Fn() -> bool + Sync)) -> Result<bool, FollowError> {
        // Whatever comes behind this is followed afterwards, whether the walk has seen it or not.
        catalog.transact(|_| async { Ok::<_, CatalogError>(()) }).await?;
        let head = catalog.meters().feed_head();
        // In this order: an index that lacks something is never seen as whole.
        self.built.store(false, Ordering::Release);
        self.rebuild.store(false, Ordering::Release);
        self.put(None);
        let fresh = match Opened::create(&self.directory) {
            Ok(fresh) => Arc::new(fresh),
            Err(error) => {
                // A search that is under way may have the old one open still.
                self.rebuild.store(true, Ordering::Release);
                return Err(error.into());
            }
        };
        self.put(Some(Arc::clone(&fresh)));
        self.seen.store(0, Ordering::Release);
        let mut walk = Walk::new(catalog, &fresh, halted);
        if !walk.everything().await? || self.rebuild.load(Ordering::Acquire) {
            return Ok(false);
        }
        walk.finish(head).await?;
        self.seen.store(head, Ordering::Release);
        catalog.meters().indexed(head);
        self.built.store(true, Ordering::Release);
        Ok(true)
    }

    async fn follow(
        &self,
        catalog: &Catalog,
        memory: &mut Memory,
        halted: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, FollowError> {
        let opened = self.ready()?;
        let seen = self.seen.load(Ordering::Acquire);
        let mut changes = catalog.changes(seen.saturating_sub(1), CHANGES).await?;
        if !is_of_feed(catalog, seen, &changes) {
            tracing::warn!(
                "the search index has followed changes that the catalog does not have; it will be built again"
            );
            self.ask_rebuild();
            return Ok(true);
        }
        changes.retain(|one| one.seq > seen);
        let Some(last) = changes.last().map(|last| last.seq) else {
            return Ok(catalog.clock().compute(move || opened.index.tend()).await?);
        };
        if memory.walked.len() > WALKED_MAX {
            memory.walked.clear();
        }
        let mut walk = Walk::new(catalog, &opened, halted);
        let changes: Vec<Change> = changes.into_iter().map(|one| one.change).collect();
        let touched = walk.changes(&changes, &mut memory.walked).await?;
        if walk.is_broken_off() {
            memory.walked.clear();
            return Ok(false);
        }
        if touched || last - opened.index.position() > PASSED_MAX {
            walk.finish(last).await?;
        }
        self.seen.store(last, Ordering::Release);
        catalog.meters().indexed(last);
        Ok(true)
    }

    fn opened(&self) -> Option<Arc<Opened>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, opened: Option<Arc<Opened>>) {
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = opened;
    }
}

/// Whether the feed has the change up to which it was followed. One that was put back to what it was
/// earlier has not.
fn is_of_feed(catalog: &Catalog, seen: u64, from_there: &[NumberedChange]) -> bool {
    seen == catalog.feed_base() || from_there.first().is_some_and(|one| one.seq == seen)
}

impl Drop for Search {
    fn drop(&mut self) {
        if self.scratch {
            self.put(None);
            // It may never have been made.
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

impl Opened {
    fn open(directory: &std::path::Path) -> Result<Self, SearchError> {
        let opened = Self { index: Index::open(directory)?, access: AccessTable::open(directory)? };
        let greatest = opened.index.accesses().keys().next_back().copied();
        if greatest.is_some_and(|number| number as usize >= opened.access.len()) {
            return Err(SearchError::damaged("documents have access numbers that stand for nothing"));
        }
        Ok(opened)
    }

    fn create(directory: &std::path::Path) -> Result<Self, SearchError> {
        let (index, access) = (Index::create(directory)?, AccessTable::open(directory)?);
        access.clear()?;
        Ok(Self { index, access })
    }

    /// Puts drafts in and takes documents out.
    fn apply(&self, drafts: Vec<Draft>, deletes: Vec<u64>, position: u64) -> Result<(), SearchError> {
        let (mut documents, outlooks): (Vec<_>, Vec<_>) =
            drafts.into_iter().map(|draft| (draft.document, draft.outlook)).unzip();
        for (document, number) in documents.iter_mut().zip(self.access.numbers(&outlooks)?) {
            document.access = number;
        }
        self.index.apply(documents, deletes, position)
    }
}
