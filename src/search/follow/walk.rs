//! Walks from changes to the items they touch, and puts those in as they are. Long ways are gone page
//! by page, each read from a state of its own and written before the next; the feed's position is
//! written when all is done, so a walk that is broken off begins again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::catalog::record::{ContentRecord, Contents, DidNames, DidRecord, Dids, MetadataTable, Scopes};
use crate::catalog::{Catalog, View};
use crate::model::change::Change;
use crate::model::did::DidKind;
use crate::model::id::DidId;
use crate::search::follow::shape::{Shaper, says_files};
use crate::search::follow::{FollowError, Opened};

/// How many rows are read, and items written, together.
const PAGE: usize = 1_000;

/// A walk, and the items that it has met and not written.
pub(super) struct Walk<'a> {
    catalog: &'a Catalog,
    opened: Arc<Opened>,
    halted: &'a (dyn Fn() -> bool + Sync),
    /// Whether it was halted somewhere on its way: a halt may be taken back.
    broken_off: bool,
    position: u64,
    datasets: BTreeSet<DidId>,
    files: BTreeSet<DidId>,
    touched: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(catalog: &'a Catalog, opened: &Arc<Opened>, halted: &'a (dyn Fn() -> bool + Sync)) -> Self {
        let (datasets, files) = (BTreeSet::new(), BTreeSet::new());
        let position = opened.index.position();
        Self {
            catalog,
            opened: Arc::clone(opened),
            halted,
            broken_off: false,
            position,
            datasets,
            files,
            touched: false,
        }
    }

    /// Meets everything that there is. Says whether it came to the end.
    pub(super) async fn everything(&mut self) -> Result<bool, FollowError> {
        let mut after: Option<(String,)> = None;
        loop {
            let view = self.view().await?;
            let rows = match &after {
                None => view.scan::<Scopes>(&(), PAGE).await?,
                Some(after) => view.scan_after::<Scopes>(&(), after, PAGE).await?,
            };
            after = rows.last().map(|(key, _)| key.clone());
            let is_end = rows.len() < PAGE;
            for ((scope,), _) in rows {
                self.names_of(&scope, true).await?;
            }
            if is_end || self.stops() {
                return Ok(!self.stops());
            }
        }
    }

    /// Meets all that changes may have touched. Says whether that is anything.
    pub(super) async fn changes(
        &mut self,
        changes: &[Change],
        walked: &mut HashMap<DidId, u64>,
    ) -> Result<bool, FollowError> {
        let (mut labelled, mut scopes) = (BTreeSet::new(), BTreeSet::new());
        let mut contents: BTreeMap<DidId, u64> = BTreeMap::new();
        for change in changes {
            match change {
                Change::ContentsChanged { parent, from_seq } => {
                    let from = contents.entry(*parent).or_insert(*from_seq);
                    *from = (*from).min(*from_seq);
                }
                Change::ScopeChanged { scope } | Change::ScopeLabelled { scope } => {
                    scopes.insert(scope.clone());
                }
                Change::DidLabelled { did } => {
                    labelled.insert(*did);
                }
                Change::DidsRegistered { first, count } => self.run(*first, *count, false).await?,
                Change::MetadataChanged { first, count } => self.run(*first, *count, true).await?,
                // A file that was only announced is there from its first replica on.
                Change::ReplicasChanged { first, count, .. } if self.opened.access.has_files() => {
                    self.run(*first, *count, false).await?;
                }
                Change::ReplicasChanged { .. }
                | Change::ScopeAdded { .. }
                | Change::EndpointChanged { .. }
                | Change::RuleChanged { .. }
                | Change::AccountAdded { .. }
                | Change::AccountChanged { .. } => {}
            }
        }
        for (parent, from) in contents {
            self.contents(parent, from, walked).await?;
        }
        for did in labelled {
            match self.record(did).await?.map(|record| record.kind()) {
                Some(DidKind::Container) => self.tree(did).await?,
                Some(DidKind::Dataset) => self.dataset_with_files(did).await?,
                Some(DidKind::File) => self.file(did).await?,
                None => {}
            }
        }
        for scope in scopes {
            self.names_of(&scope, false).await?;
        }
        Ok(self.touched)
    }

    /// Whether the walk ends here; once it has, it stays so.
    fn stops(&mut self) -> bool {
        self.broken_off |= (self.halted)();
        self.broken_off
    }

    /// Whether it was halted before it came to the end.
    pub(super) fn is_broken_off(&self) -> bool {
        self.broken_off
    }

    /// Writes what was met, and that the feed was followed up to a position.
    pub(super) async fn finish(&mut self, position: u64) -> Result<(), FollowError> {
        self.flush().await?;
        self.position = position;
        let opened = Arc::clone(&self.opened);
        Ok(self.catalog.clock().compute(move || opened.index.apply(Vec::new(), Vec::new(), position)).await?)
    }

    async fn view(&self) -> Result<View, FollowError> {
        Ok(self.catalog.view().await?)
    }

    async fn record(&self, did: DidId) -> Result<Option<DidRecord>, FollowError> {
        Ok(self.view().await?.get::<Dids>(&(did,)).await?)
    }

    async fn dataset(&mut self, did: DidId) -> Result<(), FollowError> {
        self.touched = true;
        self.datasets.insert(did);
        if self.datasets.len() >= PAGE { self.flush().await } else { Ok(()) }
    }

    async fn file(&mut self, did: DidId) -> Result<(), FollowError> {
        if !self.opened.access.has_files() {
            return Ok(());
        }
        self.touched = true;
        self.files.insert(did);
        if self.files.len() >= PAGE { self.flush().await } else { Ok(()) }
    }

    /// A dataset whose files may be items, or have been.
    async fn dataset_with_files(&mut self, did: DidId) -> Result<(), FollowError> {
        self.dataset(did).await?;
        if self.opened.access.has_files() {
            let mut after = None;
            while let Some(members) = self.members(did, true, &mut after).await? {
                for (file, _) in members {
                    self.file(file).await?;
                }
            }
        }
        Ok(())
    }

    /// Meets a run of neighbours that were registered, or of which something was said.
    async fn run(&mut self, first: DidId, count: u64, said: bool) -> Result<(), FollowError> {
        let ids: Vec<_> = (first.0..first.0.saturating_add(count)).map(|id| (DidId(id),)).collect();
        for ids in ids.chunks(PAGE) {
            let records = self.view().await?.get_run::<Dids>(ids).await?;
            for ((id,), record) in ids.iter().zip(records) {
                match record.map(|record| record.kind()) {
                    Some(DidKind::Dataset) => self.dataset(*id).await?,
                    Some(DidKind::File) => self.file(*id).await?,
                    Some(DidKind::Container) if said => self.said_of(*id).await?,
                    Some(DidKind::Container) | None => {}
                }
            }
            if self.stops() {
                break;
            }
        }
        Ok(())
    }

    /// Something was said of a container: that may be what its items are.
    async fn said_of(&mut self, container: DidId) -> Result<(), FollowError> {
        // What its items are now is told by each of them alone: a walk that was broken off may have
        // changed some.
        self.notes_files(container).await?;
        if self.opened.access.has_files() { self.direct(container).await } else { Ok(()) }
    }

    /// Whether the items of a container are files; from then on files are looked at.
    async fn notes_files(&mut self, container: DidId) -> Result<bool, FollowError> {
        let said = self.view().await?.get::<MetadataTable>(&(container,)).await?;
        let files = says_files(said.as_ref())?;
        if files {
            self.opened.access.note_files()?;
        }
        Ok(files)
    }

    /// Meets what came to a parent, or went from it, since a place.
    async fn contents(
        &mut self,
        parent: DidId,
        from: u64,
        walked: &mut HashMap<DidId, u64>,
    ) -> Result<(), FollowError> {
        let Some(record) = self.record(parent).await? else { return Ok(()) };
        let of_files = record.kind() == DidKind::Dataset;
        if of_files && !self.opened.access.has_files() {
            return Ok(());
        }
        // What was read before has been there by then: places are given once.
        let from = walked.get(&parent).copied().unwrap_or(0).max(from);
        let mut after = from.checked_sub(1);
        while let Some(members) = self.members(parent, of_files, &mut after).await? {
            for (member, kind) in members {
                match kind {
                    DidKind::File => self.file(member).await?,
                    DidKind::Dataset => self.dataset_with_files(member).await?,
                    DidKind::Container => self.tree(member).await?,
                }
            }
            if self.stops() {
                return Ok(());
            }
        }
        if let Some(last) = after {
            walked.insert(parent, last + 1);
        }
        Ok(())
    }

    /// Meets everything below a container.
    async fn tree(&mut self, container: DidId) -> Result<(), FollowError> {
        let (mut open, mut seen) = (vec![container], BTreeSet::from([container]));
        while let Some(container) = open.pop() {
            let mut after = None;
            while let Some(members) = self.members(container, false, &mut after).await? {
                for (member, kind) in members {
                    match kind {
                        DidKind::Container if seen.insert(member) => open.push(member),
                        DidKind::Dataset => self.dataset_with_files(member).await?,
                        DidKind::Container | DidKind::File => {}
                    }
                }
                if self.stops() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Meets the datasets directly in a container.
    async fn direct(&mut self, container: DidId) -> Result<(), FollowError> {
        let mut after = None;
        while let Some(members) = self.members(container, false, &mut after).await? {
            for (member, kind) in members {
                if kind == DidKind::Dataset {
                    self.dataset_with_files(member).await?;
                }
            }
        }
        Ok(())
    }

    /// Meets what is named in a scope, and what its containers hold, to which they are collections.
    async fn names_of(&mut self, scope: &str, all: bool) -> Result<(), FollowError> {
        let mut after: Option<(String, String)> = None;
        loop {
            let view = self.view().await?;
            let prefix = (scope.to_owned(),);
            let rows = match &after {
                None => view.scan::<DidNames>(&prefix, PAGE).await?,
                Some(after) => view.scan_after::<DidNames>(&prefix, after, PAGE).await?,
            };
            drop(view);
            after = rows.last().map(|(key, _)| key.clone());
            let is_end = rows.len() < PAGE;
            for (_, name) in rows {
                match name.kind {
                    DidKind::Dataset => self.dataset(name.id).await?,
                    DidKind::File if !all => self.file(name.id).await?,
                    // Of all there is, files are met below the containers that make them items.
                    DidKind::File => {}
                    DidKind::Container => {
                        if self.notes_files(name.id).await? || !all {
                            self.direct(name.id).await?;
                        }
                    }
                }
            }
            if is_end || self.stops() {
                return Ok(());
            }
        }
    }

    /// The next page of members that are, or were, in a parent; `None` behind the last. Datasets hold
    /// nothing but files, whose records need not be read for that.
    async fn members(
        &mut self,
        parent: DidId,
        of_files: bool,
        after: &mut Option<u64>,
    ) -> Result<Option<Vec<(DidId, DidKind)>>, FollowError> {
        let view = self.view().await?;
        let rows = match *after {
            None => view.scan::<Contents>(&(parent,), PAGE).await?,
            Some(seq) => view.scan_after::<Contents>(&(parent,), &(parent, seq), PAGE).await?,
        };
        let Some(((_, last), _)) = rows.last() else { return Ok(None) };
        *after = Some(*last);
        let member = |(_, row)| match row {
            ContentRecord::Member(member) | ContentRecord::Detached(member) => member,
        };
        let members: Vec<DidId> = rows.into_iter().map(member).collect();
        if of_files {
            return Ok(Some(members.into_iter().map(|member| (member, DidKind::File)).collect()));
        }
        let keys: Vec<_> = members.iter().map(|member| (*member,)).collect();
        let records = view.get_run::<Dids>(&keys).await?;
        let there = members.into_iter().zip(records);
        Ok(Some(there.filter_map(|(member, record)| Some((member, record?.kind()))).collect()))
    }

    /// Writes what was met, as it is now.
    async fn flush(&mut self) -> Result<(), FollowError> {
        let datasets: Vec<DidId> = std::mem::take(&mut self.datasets).into_iter().collect();
        let files: Vec<DidId> = std::mem::take(&mut self.files).into_iter().collect();
        if datasets.is_empty() && files.is_empty() {
            return Ok(());
        }
        let mut shaper = Shaper::new(&self.view().await?);
        let (mut drafts, mut deletes) = (Vec::new(), Vec::new());
        let shaped = shaper.datasets(&datasets).await?.into_iter().chain(shaper.files(&files).await?);
        for (id, draft) in shaped {
            match draft {
                Some(draft) => drafts.push(draft),
                // Most files are no items, and never were.
                None if self.opened.index.has(id.0) => deletes.push(id.0),
                None => {}
            }
        }
        if drafts.is_empty() && deletes.is_empty() {
            return Ok(());
        }
        let (opened, position) = (Arc::clone(&self.opened), self.position);
        Ok(self.catalog.clock().compute(move || opened.apply(drafts, deletes, position)).await?)
    }
}
