//! Lists against brute force: in random worlds, what a list shows is exactly what the policies let
//! each account see, item by item, whatever the size of its pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::catalog::engine::memory::Memory;
use crate::catalog::labels::Supposed;
use crate::catalog::record::{CountsRecord, RuleCountsTable, TransferRecord, Transfers};
use crate::clock::SystemClock;
use crate::fault::Fault as _;
use crate::model::account::{AccountKind, AccountName, Principal};
use crate::model::api_key::KeyReach;
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::{Endpoint, EndpointKind, EndpointName, Settings};
use crate::model::facts::{DidFacts, DidTraits, Resource, ScopeFacts, Subject};
use crate::model::id::{EndpointId, IntentId, RuleId, TransferId};
use crate::model::label::LabelSet;
use crate::model::scope::Scope;
use crate::model::time::Timestamp;
use crate::model::transfer::TransferState;
use crate::policy::decision::{Action, Question};
use crate::policy::judge::Judge;
use crate::policy::token::{SigningKey, Verifier};
use crate::replicas::upload::Uploads;
use crate::search::follow::Search;
use crate::service::labels::below;
use crate::service::paging::Paging;
use crate::service::search::Turns;
use crate::service::view::{LabelsChange, Members, NewDid, NewRule, NewScope, Page};
use crate::service::{Context, Lake, accounts, dids, labels, rules, scopes, transfers};
use crate::storage::registry::Registry;

/// Randomness from a seed (SplitMix64).
pub(in crate::service) struct Dice(pub(in crate::service) u64);

impl Dice {
    pub(in crate::service) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed >> 33) % end as u64).expect("small")
    }

    fn labels(&mut self) -> Vec<String> {
        let all = [
            "classification=public",
            "classification=internal",
            "classification=restricted",
            "classification=personal",
            "project=eo",
            "project=other",
            "embargo=2999-01-01",
            "embargo=1999-01-01",
        ];
        (0..self.below(3)).map(|_| all[self.below(all.len())].to_owned()).collect()
    }
}

fn account(name: &str) -> AccountName {
    AccountName::parse(name).expect("a name")
}

pub(in crate::service) fn principal(name: &str, groups: &[&str]) -> Principal {
    let groups = groups.iter().map(|group| account(group)).collect();
    let (account, kind, admin) = (account(name), AccountKind::User, name == "root");
    Principal { account, kind, admin, groups, key: KeyReach::whole(), authenticated_at: None }
}

pub(in crate::service) fn lake() -> Arc<Lake> {
    let catalog = Catalog::new(Memory::shared(), SystemClock::shared());
    let (stores, judge) = (Arc::new(Registry::new()), Judge::builtin());
    let signer = SigningKey::from_seed([7; 32]);
    Arc::new(Lake {
        uploads: Uploads::new(catalog.clone(), Arc::clone(&stores), Arc::clone(&judge)),
        judge,
        doorkeeper: accounts::Doorkeeper::default(),
        verifier: Verifier::new([signer.public_key()]),
        catalog,
        stores,
        signer,
        search: Arc::new(Search::scratch(&*SystemClock::shared())),
        searches: Turns::default(),
        directory: None,
        public_url: "http://lake.example".to_owned(),
    })
}

/// A world as the test knows it, apart from how the catalog keeps it.
struct World {
    lake: Arc<Lake>,
    /// Of its own, so that nothing is remembered from what lists have asked.
    judge: Arc<Judge>,
    people: Vec<Principal>,
    scopes: BTreeMap<String, LabelSet>,
    own: BTreeMap<Did, LabelSet>,
    owners: BTreeMap<Did, AccountName>,
    parents: BTreeMap<Did, BTreeSet<Did>>,
    rules: BTreeMap<RuleId, Did>,
    transfers: BTreeMap<TransferId, Did>,
}

impl World {
    fn context(&self, who: &Principal) -> Context {
        Context::new(Arc::clone(&self.lake), who.clone())
    }

    /// The labels that hold, by the definition: one's own, those of what holds it, those of its scope.
    fn effective(&self, did: &Did) -> LabelSet {
        let (mut order, mut at) = (vec![did.clone()], 0);
        while at < order.len() {
            for parent in self.parents.get(&order[at]).into_iter().flatten() {
                if !order.contains(parent) {
                    order.push(parent.clone());
                }
            }
            at += 1;
        }
        let strictest = |pick: fn(&LabelSet) -> LabelSet| {
            let all = order.iter().map(|did| &self.own[did]).chain([&self.scopes[did.scope.as_str()]]);
            all.map(pick).fold(LabelSet::default(), |sum, one| sum.join(&one))
        };
        let only_strict = |set: &LabelSet| LabelSet {
            classification: set.classification,
            embargo: set.embargo,
            ..LabelSet::default()
        };
        let mut labels = strictest(only_strict);
        // With one project at most above each in these worlds, the nearest is one's own or the only.
        let own = self.own[did].project.clone();
        labels.project =
            own.or_else(|| strictest(|set| LabelSet { project: set.project.clone(), ..LabelSet::default() }).project);
        labels
    }

    fn may_see(&self, who: &Principal, did: &Did) -> bool {
        let root = Arc::new(Subject::only_named(AccountName::root()));
        let labels = Arc::new(self.scopes[did.scope.as_str()].clone());
        let scope = Arc::new(ScopeFacts { scope: did.scope.clone(), owner: root, labels });
        let owner = Arc::new(Subject::only_named(self.owners[did].clone()));
        let labels = Arc::new(self.effective(did));
        let traits = DidTraits { kind: DidKind::Dataset, owner, scope, labels };
        let resource = Resource::Did(DidFacts { did: did.clone(), traits });
        let (subject, now) = (Arc::new(Subject::from(who)), self.lake.catalog.clock().now());
        let question = Question { subject: &subject, action: Action::Discover, resource: &resource, at: None, now };
        self.judge.decide(&question).allows()
    }
}

async fn world(seed: u64) -> World {
    let mut dice = Dice(seed);
    let people = vec![
        principal("root", &[]),
        principal("ada", &["eo"]),
        principal("bob", &[]),
        principal("eve", &["bob", "other"]),
    ];
    let (scopes, own, owners, parents) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (rules, transfers) = (BTreeMap::new(), BTreeMap::new());
    let mut world =
        World { lake: lake(), judge: Judge::builtin(), people, scopes, own, owners, parents, rules, transfers };
    let root = world.context(&principal("root", &[]));
    for name in ["a", "b"] {
        let scope = Scope::parse(name).expect("a scope");
        scopes::add(&root, NewScope { scope: scope.clone(), owner: None }).await.expect("it is new");
        let words = if dice.below(3) == 0 { vec!["classification=restricted".to_owned()] } else { Vec::new() };
        let set = set_labels(&words);
        if !words.is_empty() {
            labels::label_scope(&root, scope, LabelsChange { labels: words }).await.expect("root may");
        }
        world.scopes.insert(name.to_owned(), set);
    }
    let mut all = Vec::new();
    for number in 0..14 {
        let did: Did = format!("{}:n{number}", ["a", "b"][dice.below(2)]).parse().expect("a DID");
        let kind = if number % 3 == 0 { DidKind::Container } else { DidKind::Dataset };
        // Root makes all; owners are as the record says.
        dids::create(&root, NewDid { did: did.clone(), kind }).await.expect("it is new");
        world.owners.insert(did.clone(), AccountName::root());
        world.own.insert(did.clone(), LabelSet::default());
        for holder in all.iter().filter(|(_, kind)| *kind == DidKind::Container) {
            let (holder, _): &(Did, DidKind) = holder;
            if dice.below(3) == 0 {
                let members = Members { dids: vec![did.clone()] };
                dids::attach(&root, holder.clone(), members).await.expect("no circle: it is new");
                world.parents.entry(did.clone()).or_default().insert(holder.clone());
            }
        }
        all.push((did, kind));
    }
    for (did, _) in &all {
        let mut words = dice.labels();
        // Projects only where nothing lies below, so that there is one to be the nearest.
        if all.iter().any(|(other, _)| world.parents.get(other).is_some_and(|parents| parents.contains(did))) {
            words.retain(|word| !word.starts_with("project"));
        }
        if !words.is_empty() {
            world.own.insert(did.clone(), set_labels(&words));
            labels::label_did(&root, did.clone(), LabelsChange { labels: words }).await.expect("root may");
        }
    }
    rules_and_transfers(&mut world, &mut dice, &all, &root).await;
    world
}

fn set_labels(words: &[String]) -> LabelSet {
    let changes: Vec<_> =
        words.iter().map(|word| crate::model::label::LabelChange::parse(word).expect("a label")).collect();
    LabelSet::default().changed(&changes).expect("labels")
}

async fn rules_and_transfers(world: &mut World, dice: &mut Dice, all: &[(Did, DidKind)], root: &Context) {
    let endpoint = Endpoint {
        id: EndpointId(1),
        name: EndpointName::parse("x").expect("a name"),
        kind: EndpointKind::Memory,
        location: "x".to_owned(),
        settings: Settings::default(),
        secret: None,
        probe: None,
        attributes: BTreeMap::new(),
        created_at: Timestamp::default(),
    };
    let (catalog, stored) = (&world.lake.catalog, endpoint);
    catalog
        .transact(move |txn| {
            let stored = stored.clone();
            async move { crate::catalog::endpoints::put(&txn, &stored).await }
        })
        .await
        .expect("memory does not fail");
    for number in 0..10_u128 {
        let did = all[dice.below(all.len())].0.clone();
        let new = NewRule {
            did: did.clone(),
            copies: 1,
            expression: "*".to_owned(),
            grouping: crate::model::rule::Grouping::Dataset,
            lifetime_seconds: None,
        };
        let rule = rules::create(root, new).await.expect("root may").view;
        world.rules.insert(rule.id, did.clone());
        let (file, _) =
            dids::find(&catalog.view().await.expect("memory"), &did).await.expect("memory").expect("it is there");
        let id = TransferId(number + 1);
        let record = TransferRecord {
            file,
            destination: EndpointId(1),
            intent: IntentId(number),
            state: TransferState::Waiting { attempts: 0, not_before: Timestamp::default(), last: None },
            told: false,
            bytes: 1,
            created_at: Timestamp::default(),
            process: None,
        };
        world.transfers.insert(id, did);
        catalog
            .transact(move |txn| {
                let record = record.clone();
                async move {
                    txn.put::<Transfers>(&(id,), &record);
                    txn.put::<RuleCountsTable>(&(rule.id,), &CountsRecord::default());
                    Ok::<_, crate::catalog::CatalogError>(())
                }
            })
            .await
            .expect("memory does not fail");
    }
}

/// All entries of a list, page by page.
/// A list from its first page to its last, and the cursors between. A page looks through eight rows here.
async fn whole<T, F: Future<Output = Page<T>>>(limit: usize, page: impl Fn(Paging) -> F) -> (Vec<T>, Vec<String>) {
    let (mut all, mut cursors) = (Vec::new(), Vec::<String>::new());
    loop {
        let got = page(Paging { after: cursors.last().cloned(), limit: Some(limit) }).await;
        assert!(got.items.len() <= limit);
        all.extend(got.items);
        match got.next {
            Some(next) => cursors.push(next),
            None => return (all, cursors),
        }
    }
}

#[tokio::test]
async fn lists_show_what_brute_force_says_and_nothing_else() {
    let (mut hidden, mut sealed) = (0, 0);
    for seed in 0..8 {
        let world = world(seed).await;
        for who in &world.people {
            let ctx = world.context(who);
            for scope in ["a", "b"].map(|name| Scope::parse(name).expect("a scope")) {
                let expected: BTreeSet<_> =
                    world.own.keys().filter(|did| did.scope == scope && world.may_see(who, did)).cloned().collect();
                hidden += world.own.keys().filter(|did| did.scope == scope).count() - expected.len();
                let listed = dids::list(&ctx, &scope, "", Paging::default()).await;
                let restricted = world.scopes[scope.as_str()] != LabelSet::default();
                if restricted && who.account != AccountName::root() {
                    assert!(listed.is_err(), "seed {seed}: a hidden scope lists nothing");
                    continue;
                }
                for limit in [1, 3, 100] {
                    let page =
                        |paging| async { dids::list(&ctx, &scope, "", paging).await.expect("the scope is seen") };
                    let (shown, cursors) = whole(limit, page).await;
                    let shown: BTreeSet<_> = shown.into_iter().map(|item| item.did).collect();
                    for cursor in cursors {
                        let told = shown.iter().any(|did| did.name.as_str() == cursor);
                        sealed += usize::from(!told);
                        assert!(told || cursor.starts_with('~'), "`{cursor}` is the name of nothing that is seen");
                    }
                    assert_eq!(shown, expected, "seed {seed}, {}", who.account);
                }
            }
            let rules: BTreeSet<_> =
                world.rules.iter().filter(|(_, did)| world.may_see(who, did)).map(|(id, _)| *id).collect();
            let page = |paging| async { rules::list(&ctx, None, paging).await.expect("lists are for all") };
            let shown: BTreeSet<_> = whole(2, page).await.0.into_iter().map(|item| item.id).collect();
            assert_eq!(shown, rules, "seed {seed}, {}", who.account);
            let wanted = world.transfers.iter().filter(|(_, did)| world.may_see(who, did)).map(|(id, _)| *id).collect();
            let page = |paging| async {
                transfers::list(&ctx, transfers::Filter::default(), paging).await.expect("lists are for all")
            };
            let shown: BTreeSet<_> = whole(2, page).await.0.into_iter().map(|item| item.id).collect();
            assert_eq!(shown, wanted, "seed {seed}, {}", who.account);
            for did in world.own.keys() {
                let shown = dids::show(&ctx, did).await;
                assert_eq!(shown.is_ok(), world.may_see(who, did), "seed {seed}, {}: {did}", who.account);
            }
        }
    }
    assert!(sealed > 0, "some pages end at what is hidden");
    assert!(hidden > 100, "the worlds hide enough to find mistakes: {hidden}");
}

#[tokio::test]
async fn members_that_come_while_labels_are_looked_through_are_found_out() {
    let lake = lake();
    let root = Context::new(Arc::clone(&lake), principal("root", &[]));
    // The owner of all, who is asked about each: admins are not.
    let owner = Context::new(Arc::clone(&lake), Principal { admin: false, ..principal("root", &[]) });
    scopes::add(&root, NewScope { scope: Scope::parse("a").expect("a scope"), owner: None }).await.expect("new");
    let [top, mid, leaf]: [Did; 3] = ["a:top", "a:mid", "a:leaf"].map(|text| text.parse().expect("a DID"));
    for (did, kind) in [(&top, DidKind::Container), (&mid, DidKind::Container), (&leaf, DidKind::Dataset)] {
        dids::create(&root, NewDid { did: did.clone(), kind }).await.expect("it is new");
    }
    let attach =
        |holder: &Did, member: &Did| dids::attach(&root, holder.clone(), Members { dids: vec![member.clone()] });
    attach(&top, &mid).await.expect("no circle");
    let look = async || {
        let view = lake.catalog.view().await.expect("memory");
        let seen = owner.sight(&view).did(&top).await.expect("it is there");
        let change = Supposed::Labelled(seen.id, set_labels(&["classification=personal".to_owned()]));
        below::permit(&owner, &view, &[&seen], change).await.expect("the owner may")
    };
    let holds = async |looked: &below::Looked| {
        let view = lake.catalog.view().await.expect("memory");
        looked.still_holds(&view, &top).await.map_err(|error| error.code())
    };
    let looked = look().await;
    assert_eq!(holds(&looked).await, Ok(()));
    // Not to the topmost, but to something in it.
    attach(&mid, &leaf).await.expect("no circle");
    assert_eq!(holds(&looked).await, Err("members-changed"));
    let looked = look().await;
    assert_eq!(holds(&looked).await, Ok(()));
    let change = LabelsChange { labels: vec!["residency=DE".to_owned()] };
    labels::label_did(&root, leaf, change).await.expect("root may");
    assert_eq!(holds(&looked).await, Err("members-changed"));
}
