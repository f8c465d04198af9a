//! Searches against the catalog, while the index lags behind, is broken off, opened again or built anew:
//! nothing is found by those who may not discover it, at any moment; and once the index has caught up,
//! everything that somebody may discover is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::model::account::{AccountKind, AccountName, Principal};
use crate::model::did::{Did, DidKind};
use crate::model::scope::Scope;
use crate::model::stac_id;
use crate::search::follow::{FollowError, Memory};
use crate::search::query::{Cursor, Query};
use crate::service::accounts::manage;
use crate::service::metadata::{self, Mode};
use crate::service::search::{eyes, search};
use crate::service::sight::Sight;
use crate::service::sight::tests::{Dice, lake, principal};
use crate::service::view::{LabelsChange, Members, MetadataObject, NewAccount, NewDid, NewScope, ScopeChange};
use crate::service::{Context, Lake, Reader, dids, labels, scopes};

const SCOPES: [&str; 2] = ["a", "b"];

struct World {
    lake: Arc<Lake>,
    dice: Dice,
    /// In the order in which they were made, which is that of their numbers.
    made: Vec<(Did, DidKind)>,
    /// What holds something, by places in `made`.
    parents: BTreeMap<usize, BTreeSet<usize>>,
    memory: Memory,
}

impl World {
    async fn new(seed: u64) -> Self {
        let (made, parents) = (Vec::new(), BTreeMap::new());
        let mut world = Self { lake: lake(), dice: Dice(seed), made, parents, memory: Memory::default() };
        let root = world.root();
        for name in ["ann", "bob"] {
            let (name, kind) = (AccountName::parse(name).expect("a name"), AccountKind::User);
            let new = NewAccount { name, kind, admin: false, email: None, description: None };
            manage::add(&root, new).await.expect("it is new");
        }
        for name in SCOPES {
            let scope = Scope::parse(name).expect("a scope");
            scopes::add(&root, NewScope { scope, owner: None }).await.expect("it is new");
        }
        for _ in 0..6 {
            world.make().await;
        }
        world
    }

    fn root(&self) -> Context {
        self.context(&principal("root", &[]))
    }

    fn context(&self, who: &Principal) -> Context {
        Context::new(Arc::clone(&self.lake), who.clone())
    }

    fn readers(&self) -> Vec<Reader> {
        let known = ["root", "ann", "cleo"].map(|name| Reader::Known(Box::new(self.context(&principal(name, &[])))));
        known.into_iter().chain([Reader::Anonymous(Arc::clone(&self.lake))]).collect()
    }

    async fn make(&mut self) {
        let number = self.made.len();
        let kind = if number.is_multiple_of(3) { DidKind::Container } else { DidKind::Dataset };
        let did: Did = format!("{}:n{number}", SCOPES[self.dice.below(2)]).parse().expect("a DID");
        dids::create(&self.root(), NewDid { did: did.clone(), kind }).await.expect("it is new");
        self.made.push((did, kind));
    }

    async fn change(&mut self) {
        let (root, at) = (self.root(), self.dice.below(self.made.len()));
        let did = self.made[at].0.clone();
        match self.dice.below(12) {
            0 | 1 => self.make().await,
            2..=5 => self.move_one(at).await,
            6..=8 => {
                let classes = ["public", "internal", "restricted", "personal", ""];
                let word = format!("classification={}", classes[self.dice.below(classes.len())]);
                labels::label_did(&root, did, LabelsChange { labels: vec![word] }).await.expect("root may");
            }
            9 => {
                let word = ["classification=public", "classification=restricted", "classification="];
                let change = LabelsChange { labels: vec![word[self.dice.below(word.len())].to_owned()] };
                labels::label_scope(&root, did.scope, change).await.expect("root may");
            }
            10 => {
                let owner = AccountName::parse(["ann", "bob"][self.dice.below(2)]).expect("a name");
                scopes::change(&root, &did.scope, ScopeChange { owner }).await.expect("root may");
            }
            _ => {
                let Value::Object(said) = json!({ "number": self.dice.below(9) }) else { unreachable!() };
                metadata::change(&root, did, MetadataObject(said), Mode::Merge).await.expect("root may");
            }
        }
    }

    /// Attaches or detaches something. Containers hold what was made later alone, so that there is no circle.
    async fn move_one(&mut self, at: usize) {
        let containers = (0..at).filter(|at| self.made[*at].1 == DidKind::Container).collect::<Vec<_>>();
        if containers.is_empty() {
            return;
        }
        let holder = containers[self.dice.below(containers.len())];
        let (root, parent) = (self.root(), self.made[holder].0.clone());
        let members = Members { dids: vec![self.made[at].0.clone()] };
        let held = self.parents.entry(at).or_default();
        if held.remove(&holder) {
            dids::detach(&root, parent, members).await.expect("root may");
        } else {
            held.insert(holder);
            dids::attach(&root, parent, members).await.expect("root may");
        }
    }

    /// One step of the index, which may be broken off, kept from its files, or have lost its memory.
    async fn step(&mut self) {
        let room = AtomicUsize::new(self.dice.below(12));
        let halted = || room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err();
        let held = (self.dice.below(3) == 0).then(|| self.lake.search.ready().ok());
        match self.dice.below(12) {
            0 => self.lake.search.ask_rebuild(),
            1 if held.is_none() => {
                self.lake.search.close();
                self.memory = Memory::default();
            }
            _ => {}
        }
        let stepped = self.lake.search.step(&self.lake.catalog, &mut self.memory, &halted).await;
        drop(held);
        match stepped {
            Ok(_) => {}
            // A search has the old index open still; the next step will do.
            Err(FollowError::Index(error)) => assert!(error.to_string().contains("in use"), "{error}"),
            Err(FollowError::Catalog(error)) => panic!("{error}"),
        }
    }

    async fn catch_up(&mut self) {
        let halted = || false;
        for _ in 0..100 {
            let search = &self.lake.search;
            let more = search.step(&self.lake.catalog, &mut self.memory, &halted).await.expect("nothing is in its way");
            let behind = self.lake.catalog.changes(search.standing().position, 1).await.expect("memory");
            if !more && behind.is_empty() && search.ready().is_ok() {
                return;
            }
        }
        panic!("the index does not catch up");
    }

    /// The ids of all that a reader may discover.
    async fn seen(&self, reader: &Reader) -> BTreeSet<String> {
        let view = self.lake.catalog.view().await.expect("memory");
        let mut sight = Sight::of_reader(reader, &view);
        let mut seen = BTreeSet::new();
        for (did, _) in &self.made {
            seen.extend(sight.did(did).await.is_ok().then(|| stac_id::of_did(did)));
        }
        seen
    }

    /// What a reader should find: items that they see, and of which they see the collection, too.
    async fn expected(&self, reader: &Reader) -> BTreeSet<(String, String)> {
        let seen = self.seen(reader).await;
        let mut expected = BTreeSet::new();
        for (at, (did, kind)) in self.made.iter().enumerate() {
            let home = self.parents.get(&at).and_then(|parents| parents.first());
            let home = home.map(|home| stac_id::of_did(&self.made[*home].0));
            let id = stac_id::of_did(did);
            if *kind == DidKind::Dataset && seen.contains(&id) && home.as_ref().is_none_or(|home| seen.contains(home)) {
                expected.insert((home.unwrap_or_else(|| stac_id::of_scope(&did.scope)), id));
            }
        }
        expected
    }
}

/// What a reader finds, page by page, and how many they are told there are; nothing if the index is being
/// built.
async fn found(reader: &Reader, limit: usize) -> Option<(BTreeSet<(String, String)>, Option<u64>)> {
    let (mut all, mut matched, mut after) = (BTreeSet::new(), None, None::<String>);
    loop {
        let eyes = eyes(reader).await.ok()?;
        let cursor = after.as_deref().map(|text| Cursor::decode(text).expect("our own"));
        let query = Query { limit, after: cursor, ..Query::default() };
        let page = search(reader, &eyes, query, false).await.expect("a page");
        matched = matched.or(page.matched);
        all.extend(page.items.into_iter().map(|item| (item.collection, item.id)));
        after = Some(match page.next {
            Some(next) => next,
            None => return Some((all, matched)),
        });
    }
}

#[tokio::test]
async fn nobody_finds_what_is_hidden_however_far_behind_the_index_is() {
    let (mut lagging, mut hidden) = (0, 0);
    let seeds = if std::env::var_os("DAPPLE_TEST_LONG").is_some() { 40 } else { 3 };
    for seed in 0..seeds {
        let mut world = World::new(seed).await;
        world.catch_up().await;
        for round in 0..30 {
            for _ in 0..world.dice.below(4) {
                world.change().await;
            }
            if world.dice.below(2) == 0 {
                world.step().await;
            }
            if world.lake.search.ready().is_err() {
                continue;
            }
            for reader in world.readers() {
                let expected = world.expected(&reader).await;
                let Some((found, matched)) = found(&reader, 1 + world.dice.below(5)).await else { continue };
                // In which collection it is may be an old story.
                let seen = world.seen(&reader).await;
                for (collection, id) in &found {
                    assert!(seen.contains(id), "seed {seed}, round {round}: {collection}/{id} is hidden");
                }
                lagging += usize::from(found != expected);
                hidden += world.made.len() - expected.len();
                assert!(matched.is_none_or(|matched| matched == found.len() as u64), "seed {seed}, round {round}");
            }
        }
        world.catch_up().await;
        for reader in world.readers() {
            let expected = world.expected(&reader).await;
            let (found, matched) = found(&reader, 3).await.expect("it is built");
            assert_eq!((matched, &found), (Some(expected.len() as u64), &expected), "seed {seed}");
        }
    }
    assert!(lagging > 20 && hidden > 100, "nothing was ever behind, or hidden: {lagging} {hidden}");
}
