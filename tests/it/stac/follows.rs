//! The index follows whatever happens: after seeded random changes a search finds what a walk over the
//! catalog finds, for everybody; a restart, a damaged index and a rebuild change nothing.

use std::collections::{BTreeMap, BTreeSet};

use dapple::client::Client;
use dapple::clock::SystemClock;
use dapple::model::did::DidKind;
use dapple::model::stac_id;
use serde_json::{Value, json};

use crate::lake::{TestLake, did};
use crate::stac::{ask, caught_up, key_of, label, say};

/// A generator of numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn one<'a>(&mut self, of: &'a [String]) -> &'a str {
        &of[self.roll(of.len())]
    }
}

/// What was done, as the test knows it. DIDs come in the order in which they were made, which is that
/// of their numbers.
struct World {
    lake: TestLake,
    dice: Dice,
    made: Vec<(String, DidKind)>,
    parents: BTreeMap<String, BTreeSet<usize>>,
    of_files: BTreeSet<String>,
}

impl World {
    fn of_kind(&self, kind: DidKind) -> Vec<String> {
        self.made.iter().filter(|(_, known)| *known == kind).map(|(name, _)| name.clone()).collect()
    }

    fn place(&self, name: &str) -> usize {
        self.made.iter().position(|(known, _)| known == name).expect("it was made")
    }

    async fn make(&mut self, kind: DidKind) {
        let name = format!("s:{kind}/{}", self.made.len());
        if kind == DidKind::File {
            let datasets = self.of_kind(DidKind::Dataset);
            let dataset = self.dice.one(&datasets).to_owned();
            self.lake.put(&dataset, "x", &[(&name[2..], name.as_bytes())]).await;
            let place = self.place(&dataset);
            self.parents.entry(name.clone()).or_default().insert(place);
        } else {
            self.lake.make(&name, kind).await;
        }
        self.made.push((name, kind));
    }

    /// Attaches or detaches something that can be held by something that can hold it.
    async fn move_one(&mut self) {
        let (children, parents) = match self.dice.roll(4) {
            0 => (self.of_kind(DidKind::File), self.of_kind(DidKind::Dataset)),
            1 => (self.of_kind(DidKind::Container), self.of_kind(DidKind::Container)),
            _ => (self.of_kind(DidKind::Dataset), self.of_kind(DidKind::Container)),
        };
        if children.is_empty() {
            return;
        }
        let (child, parent) = (self.dice.one(&children).to_owned(), self.dice.one(&parents).to_owned());
        let place = self.place(&parent);
        let held = self.parents.entry(child.clone()).or_default();
        if held.remove(&place) {
            self.lake.detach(&parent, &[&child]).await;
        } else if self.made[place].1 == DidKind::Dataset || self.made[place].0 < child {
            // Containers hold later ones alone, so that there is no circle.
            self.parents.entry(child.clone()).or_default().insert(place);
            self.lake.attach(&parent, &[&child]).await;
        }
    }

    async fn change(&mut self) {
        match self.dice.roll(12) {
            0 => self.make(DidKind::Container).await,
            1 | 2 => self.make(DidKind::Dataset).await,
            3 | 4 => self.make(DidKind::File).await,
            5..=7 => self.move_one().await,
            8 => {
                let containers = self.of_kind(DidKind::Container);
                let container = self.dice.one(&containers).to_owned();
                let value = if self.of_files.remove(&container) {
                    Value::Null
                } else {
                    self.of_files.insert(container.clone());
                    "files".into()
                };
                say(&self.lake, &container, json!({ "stac:items": value })).await;
            }
            9 | 10 => {
                let at = self.dice.roll(self.made.len());
                let classes = ["public", "internal", "restricted", ""];
                let class = format!("classification={}", classes[self.dice.roll(classes.len())]);
                label(&self.lake, &self.made[at].0, &class).await;
            }
            _ => {
                let at = self.dice.roll(self.made.len());
                let number = self.dice.roll(100);
                say(&self.lake, &self.made[at].0, json!({ "number": number })).await;
            }
        }
    }

    /// The container whose item, or whose files' holder, a dataset is.
    fn home(&self, dataset: &str) -> Option<&str> {
        let first = self.parents.get(dataset)?.iter().next()?;
        Some(&self.made[*first].0)
    }

    /// Collections and DIDs of all items.
    fn items(&self) -> Vec<(Option<String>, String)> {
        let mut items = Vec::new();
        for (name, kind) in &self.made {
            let home = match kind {
                DidKind::Container => continue,
                DidKind::Dataset => match self.home(name) {
                    Some(home) if self.of_files.contains(home) => continue,
                    home => home.map(str::to_owned),
                },
                DidKind::File => {
                    let datasets = self.parents.get(name).into_iter().flatten();
                    let homes = datasets.filter_map(|at| self.home(&self.made[*at].0));
                    match homes.filter(|home| self.of_files.contains(*home)).map(str::to_owned).next() {
                        Some(home) => Some(home),
                        None => continue,
                    }
                }
            };
            items.push((home, name.clone()));
        }
        items
    }

    /// What somebody should find who sees so much: collection, id, and the number that was said of it.
    async fn expected(&self, sees: &BTreeSet<String>) -> BTreeSet<(String, String, String)> {
        let mut expected = BTreeSet::new();
        for (home, name) in self.items() {
            if !sees.contains(&name) || home.as_ref().is_some_and(|home| !sees.contains(home)) {
                continue;
            }
            let said = self.lake.client.metadata(&did(&name)).await.expect("root may").metadata.0;
            let number = said.get("number").unwrap_or(&Value::Null).to_string();
            let collection = home.map_or_else(|| "s".to_owned(), |home| stac_id::of_did(&did(&home)));
            expected.insert((collection, stac_id::of_did(&did(&name)), number));
        }
        expected
    }

    /// What of all there is an account sees, or everybody.
    async fn seen(&self, client: Option<&Client>) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        for (name, _) in &self.made {
            let there = match client {
                Some(client) => client.did(&did(name)).await.is_ok(),
                None => {
                    let shown = self.lake.client.did(&did(name)).await.expect("root may");
                    shown.labels.get("classification").is_some_and(|class| class == "public")
                }
            };
            if there {
                seen.insert(name.clone());
            }
        }
        seen
    }
}

/// All that a search finds, page by page, and that its count says the same.
async fn found(lake: &TestLake, key: Option<&str>) -> BTreeSet<(String, String, String)> {
    let (mut path, mut found) = ("/search?limit=7&sortby=-properties.number".to_owned(), BTreeSet::new());
    let mut matched = None;
    loop {
        let (status, page) = ask(lake, key, &path).await;
        if status == 400 {
            // Nobody has said a number yet of what this reader sees.
            "/search?limit=7".clone_into(&mut path);
            continue;
        }
        assert_eq!(status, 200, "{page}");
        if matched.is_none() {
            matched = Some(page["numberMatched"].clone());
        } else {
            assert_eq!(page["numberMatched"], Value::Null, "counts are on first pages");
        }
        for item in page["features"].as_array().expect("features") {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let number = item["properties"]["number"].to_string();
            assert!(found.insert((text(&item["collection"]), text(&item["id"]), number)), "twice: {item}");
        }
        let links = page["links"].as_array().expect("links");
        let next = links.iter().find(|link| link["rel"] == json!("next"));
        let Some(next) = next else {
            assert_eq!(matched, Some(json!(found.len())), "{key:?}");
            return found;
        };
        let url = next["href"].as_str().expect("a URL");
        url.strip_prefix(&format!("{}/stac", lake.url())).expect("of this door").clone_into(&mut path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_what_a_walk_over_the_catalog_finds() {
    let seed = std::env::var("DAPPLE_STAC_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(11);
    eprintln!("seed {seed}");
    let lake = TestLake::with_endpoints(&["x"]).await;
    let bob = key_of(&lake, "bob").await;
    let (parents, of_files) = (BTreeMap::new(), BTreeSet::new());
    let mut world = World { lake, dice: Dice(seed), made: Vec::new(), parents, of_files };
    for kind in [DidKind::Container, DidKind::Container, DidKind::Dataset, DidKind::Dataset, DidKind::File] {
        world.make(kind).await;
    }
    let rounds = if std::env::var_os("DAPPLE_TEST_LONG").is_some() { 40 } else { 6 };
    for round in 0..rounds {
        for _ in 0..12 {
            world.change().await;
        }
        caught_up(&world.lake).await;
        is_found(&world, &bob, &format!("round {round}")).await;
    }
    let index = |world: &World| world.lake.root("x").join("../../lake/index").canonicalize().expect("it is there");

    world.lake.restart().await;
    caught_up(&world.lake).await;
    is_found(&world, &bob, "after a restart").await;

    world.lake.client.rebuild_index().await.expect("root may");
    world.change().await;
    caught_up(&world.lake).await;
    is_found(&world, &bob, "after a rebuild").await;

    let directory = index(&world);
    world
        .lake
        .restart_after(|| {
            for entry in std::fs::read_dir(&directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                let length = path.metadata().expect("a file").len();
                if length > 0 {
                    std::fs::OpenOptions::new()
                        .write(true)
                        .open(&path)
                        .expect("a file")
                        .set_len(length / 2)
                        .expect("cut");
                }
            }
        })
        .await;
    caught_up(&world.lake).await;
    is_found(&world, &bob, "after all files were cut in half").await;
}

async fn is_found(world: &World, bob: &str, when: &str) {
    let client = Client::new(world.lake.url(), Some(bob.to_owned()), SystemClock::shared()).expect("a URL");
    let readers = [
        (Some(world.lake.key()), world.seen(Some(&world.lake.client)).await),
        (Some(bob), world.seen(Some(&client)).await),
        (None, world.seen(None).await),
    ];
    for (key, sees) in readers {
        assert_eq!(found(&world.lake, key).await, world.expected(&sees).await, "{when}, {key:?}");
    }
}
