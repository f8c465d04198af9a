//! What follows from labels, and from whatever else placements are decided by: whoever labels a holder
//! answers for what changes below, and rules let go of places that are allowed no more, whatever it was
//! that closed them.

use dapple::client::{Client, ClientError};
use dapple::model::account::AccountKind;
use dapple::model::api_key::KeyScope;
use dapple::model::did::DidKind;
use dapple::model::id::RuleId;
use dapple::model::rule::{Grouping, RuleState};
use dapple::model::scope::Scope;
use dapple::service::view::{
    AccountChange, EndpointChange, LabelsChange, Members, NewDid, NewMember, NewReplica, NewRule, NewScope, ScopeChange,
};

use super::accounts::{account, new_account};
use super::{TestLake, blake3_of, did, name, numbered, tree};

const ALL: [KeyScope; 3] = [KeyScope::Read, KeyScope::Write, KeyScope::Rules];

fn labels(words: &[&str]) -> LabelsChange {
    LabelsChange { labels: words.iter().map(|word| (*word).to_owned()).collect() }
}

#[track_caller]
fn code<T>(outcome: Result<T, ClientError>) -> String {
    outcome.err().expect("it is refused").problem().code
}

async fn label(client: &Client, what: &str, words: &[&str]) {
    client.label_did(&did(what), &labels(words)).await.unwrap_or_else(|error| panic!("{what} {words:?}: {error}"));
}

async fn rule_of(client: &Client, on: &str, expression: &str) -> RuleId {
    let (expression, grouping) = (expression.to_owned(), Grouping::Dataset);
    let new = NewRule { did: did(on), copies: 1, expression, grouping, lifetime_seconds: None };
    client.create_rule(&new).await.expect("a rule").id
}

async fn set(lake: &TestLake, endpoint: &str, key: &str, value: &str) {
    let attributes = [(key.to_owned(), Some(value.to_owned()))].into();
    let change = EndpointChange { attributes, ..EndpointChange::default() };
    lake.client.change_endpoint(&name(endpoint), &change).await.expect("changed");
}

/// A rule is refused its place, and says so.
async fn is_denied(lake: &TestLake, rule: RuleId, why: &str) {
    let shown = lake.until(rule, RuleState::Stuck).await;
    assert_eq!((shown.locks_ok, shown.locks_replicating), (0, 0), "it lets go of its hold: {why}");
    let told = lake.client.explain_rule(rule).await.expect("explained");
    assert_eq!(told.problems[0].code, "denied-by-policy", "{why}: {told:#?}");
}

#[tokio::test]
async fn whoever_labels_a_holder_answers_for_what_changes_below_and_for_nothing_else() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let bob = lake.as_account("bob", &ALL).await;
    let eo = new_account("eo", AccountKind::Group);
    lake.client.add_account(&eo).await.expect("added");
    lake.client.add_member(&eo.name, &NewMember { account: account("bob") }).await.expect("added");
    let own = NewScope { scope: Scope::parse("own").expect("a scope"), owner: Some(account("bob")) };
    lake.client.add_scope(&own).await.expect("added");
    lake.put_numbered("s:d", "x", 0..1).await;
    lake.put_numbered("s:hidden", "x", 0..1).await;
    lake.put_numbered("s:held", "x", 0..1).await;
    label(&lake.client, "s:d", &["classification=restricted", "project=eo"]).await;
    label(&lake.client, "s:hidden", &["classification=personal"]).await;
    lake.make("s:holder", DidKind::Container).await;
    label(&lake.client, "s:holder", &["residency=DE"]).await;
    lake.attach("s:holder", &["s:held"]).await;
    for one in ["own:top", "own:mid", "own:other"] {
        bob.create_did(&NewDid { did: did(one), kind: DidKind::Container }).await.expect("bob's own");
    }
    lake.attach("own:top", &["own:mid"]).await;
    lake.attach("own:mid", &["s:d", "s:hidden"]).await;
    lake.attach("own:other", &["s:held"]).await;

    // A member with labels of its own keeps them: what changes nothing there is nobody else's matter,
    // and what is hidden is not told of.
    for harmless in ["classification=internal", "classification=restricted", "classification="] {
        bob.label_did(&did("own:top"), &labels(&[harmless])).await.unwrap_or_else(|why| panic!("{harmless}: {why}"));
    }
    for harmful in ["classification=personal", "embargo=2999-01-01", "sensor=s2", "residency=DE"] {
        assert_eq!(code(bob.label_did(&did("own:top"), &labels(&[harmful])).await), "denied", "{harmful}");
    }
    assert_eq!(lake.client.did(&did("s:d/0")).await.expect("there").labels["classification"], "restricted");
    // The same of labels that come from another holder.
    label(&bob, "own:other", &["residency=DE,FR"]).await;
    label(&bob, "own:other", &["residency="]).await;
    assert_eq!(code(bob.label_did(&did("own:other"), &labels(&["residency=FR"])).await), "denied");
    // And of moving: what hands on nothing new is attached, and detached, by who may write the holder.
    label(&bob, "own:other", &["residency=DE,FR"]).await;
    bob.detach(&did("own:other"), &Members { dids: vec![did("s:held")] }).await.expect("the other holder says more");
    bob.attach(&did("own:other"), &Members { dids: vec![did("s:held")] }).await.expect("and says it still");
    assert_eq!(code(bob.attach(&did("own:other"), &Members { dids: vec![did("own:mid")] }).await), "denied");
}

#[tokio::test]
async fn a_place_is_decided_anew_when_the_attributes_of_an_endpoint_change() {
    let lake = TestLake::with_endpoints(&[]).await;
    for endpoint in ["x", "y", "z"] {
        lake.add_endpoint(endpoint, &[("country", "DE")]).await;
    }
    lake.put_numbered("s:d", "x", 0..2).await;
    label(&lake.client, "s:d", &["residency=DE"]).await;
    let bound = lake.rule("s:d", 1, "y").await;
    let free = lake.rule("s:d", 1, "site=y|site=z").await;
    lake.until(bound, RuleState::Ok).await;
    lake.until(free, RuleState::Ok).await;
    set(&lake, "y", "country", "FR").await;
    is_denied(&lake, bound, "y is in France now").await;
    let at_z = |told: &dapple::service::view::RuleExplanation| {
        told.rule.state == RuleState::Ok && told.locks.iter().all(|lock| lock.endpoint == name("z"))
    };
    while !at_z(&lake.client.explain_rule(free).await.expect("explained")) {
        super::pause().await;
    }
    // Nothing new gets there.
    let before = tree(&lake.root("y"));
    lake.put_numbered("s:d", "x", 2..4).await;
    lake.until_rule(free, |view| view.state == RuleState::Ok && view.files_done == 4).await;
    assert_eq!(tree(&lake.root("y")).len(), before.len());
    // What opens it again gives it back.
    set(&lake, "y", "country", "DE").await;
    lake.until(bound, RuleState::Ok).await;
    // A rule follows the attributes that its expression is about as well.
    let german = lake.rule("s:d", 3, "country=DE").await;
    lake.until(german, RuleState::Ok).await;
    set(&lake, "z", "country", "ES").await;
    lake.until(german, RuleState::Stuck).await;
    lake.is_well().await;
}

#[tokio::test]
async fn a_place_is_decided_anew_when_its_account_or_its_scope_changes() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    let bob = lake.as_account("bob", &ALL).await;
    for group in ["eo", "outer"] {
        lake.client.add_account(&new_account(group, AccountKind::Group)).await.expect("added");
    }
    let join = |group: &'static str, member: &'static str| {
        let (client, new) = (lake.client.clone(), NewMember { account: account(member) });
        async move { client.add_member(&account(group), &new).await.expect("added") }
    };
    join("eo", "outer").await;
    join("outer", "bob").await;
    lake.put_numbered("s:d", "x", 0..2).await;
    label(&lake.client, "s:d", &["classification=restricted", "project=eo"]).await;
    let own = NewScope { scope: Scope::parse("own").expect("a scope"), owner: Some(account("bob")) };
    lake.client.add_scope(&own).await.expect("added");
    lake.put_numbered("own:d", "x", 0..1).await;
    lake.make("own:box", DidKind::Container).await;
    lake.attach("own:box", &["own:d"]).await;
    label(&lake.client, "own:d", &["classification=restricted"]).await;

    let of_group = rule_of(&bob, "s:d", "y").await;
    let of_scope = rule_of(&bob, "own:box", "y").await;
    let of_root = lake.rule("s:d", 1, "y").await;
    for rule in [of_group, of_scope, of_root] {
        lake.until(rule, RuleState::Ok).await;
    }
    // Not he himself leaves, but a group that he is in.
    lake.client.remove_member(&account("eo"), &account("outer")).await.expect("removed");
    is_denied(&lake, of_group, "he is in the project no more").await;
    lake.client.change_scope(&own.scope, &ScopeChange { owner: account("root") }).await.expect("changed");
    is_denied(&lake, of_scope, "the scope is his no more").await;
    // An admin may place both; who is one no more, neither.
    let admin = |admin| AccountChange { admin: Some(admin), ..AccountChange::default() };
    lake.client.change_account(&account("bob"), &admin(true)).await.expect("changed");
    lake.until(of_group, RuleState::Ok).await;
    lake.until(of_scope, RuleState::Ok).await;
    lake.client.change_account(&account("bob"), &admin(false)).await.expect("changed");
    is_denied(&lake, of_group, "he is no admin any more").await;
    is_denied(&lake, of_scope, "he is no admin any more").await;
    join("eo", "bob").await;
    lake.until(of_group, RuleState::Ok).await;
    assert_eq!(lake.client.rule(of_root).await.expect("shown").state, RuleState::Ok, "root's is its own matter");
    lake.is_well().await;
}

#[tokio::test]
async fn rules_on_files_follow_the_labels_of_what_holds_them() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..2).await;
    lake.make("s:other", DidKind::Dataset).await;
    lake.attach("s:other", &["s:d/1"]).await;
    lake.make("s:all", DidKind::Container).await;
    label(&lake.client, "s:all", &["residency=FR"]).await;
    let of_file = lake.rule("s:d/0", 1, "y").await;
    let by_file = lake.grouped_rule("s:other", 1, "y", Grouping::None).await;
    let of_dataset = lake.rule("s:d", 1, "y").await;
    let rules = [of_file, by_file, of_dataset];
    for rule in rules {
        lake.until(rule, RuleState::Ok).await;
    }
    label(&lake.client, "s:d", &["residency=FR"]).await;
    for rule in rules {
        is_denied(&lake, rule, "its dataset may be in France alone").await;
    }
    label(&lake.client, "s:d", &["residency="]).await;
    for rule in rules {
        lake.until(rule, RuleState::Ok).await;
    }
    // Labels come with a holder, and go with it.
    lake.attach("s:all", &["s:d"]).await;
    for rule in rules {
        is_denied(&lake, rule, "its holder may be in France alone").await;
    }
    lake.detach("s:all", &["s:d"]).await;
    for rule in rules {
        lake.until(rule, RuleState::Ok).await;
    }
    lake.make("s:strict", DidKind::Dataset).await;
    label(&lake.client, "s:strict", &["residency=FR"]).await;
    lake.attach("s:strict", &["s:d/0", "s:d/1"]).await;
    for rule in [of_file, by_file] {
        is_denied(&lake, rule, "a second dataset may be in France alone").await;
    }
    lake.is_well().await;
}

#[tokio::test]
async fn a_file_that_is_labelled_after_it_landed_keeps_its_rule_from_being_satisfied() {
    let lake = TestLake::with_endpoints(&[]).await;
    for (endpoint, country) in [("x", "DE"), ("y", "FR")] {
        lake.add_endpoint(endpoint, &[("country", country)]).await;
    }
    lake.put_numbered("s:d", "x", 0..3).await;
    let rule = lake.rule("s:d", 1, "y").await;
    lake.until(rule, RuleState::Ok).await;
    let is_stuck_on_it = async || {
        lake.until(rule, RuleState::Stuck).await;
        let told = lake.client.explain_rule(rule).await.expect("explained");
        let [problem] = &told.problems[..] else { panic!("one thing is wrong: {told:#?}") };
        assert_eq!((problem.code.as_str(), problem.example.clone()), ("denied-by-policy", Some(did("s:d/1"))));
        assert_eq!(tree(&lake.root("y")).len(), 3, "nothing is deleted");
    };
    label(&lake.client, "s:d/1", &["residency=DE"]).await;
    is_stuck_on_it().await;
    lake.is_well().await;
    // It is a member no more, and one again.
    lake.client.detach(&did("s:d"), &Members { dids: vec![did("s:d/1")] }).await.expect("detached");
    lake.until(rule, RuleState::Ok).await;
    lake.attach("s:d", &["s:d/1"]).await;
    is_stuck_on_it().await;
    label(&lake.client, "s:d/1", &["residency="]).await;
    lake.until(rule, RuleState::Ok).await;
    label(&lake.client, "s:d/1", &["residency=DE"]).await;
    is_stuck_on_it().await;
    // What decisions are made from changes elsewhere.
    set(&lake, "y", "country", "DE").await;
    lake.until(rule, RuleState::Ok).await;
    set(&lake, "y", "country", "FR").await;
    is_stuck_on_it().await;
    lake.is_well().await;
}

#[tokio::test]
async fn files_that_join_a_dataset_bring_their_labels_whichever_way_they_come() {
    let lake = TestLake::with_endpoints(&[]).await;
    for (endpoint, country) in [("x", "DE"), ("y", "FR")] {
        lake.add_endpoint(endpoint, &[("country", country)]).await;
    }
    lake.put_numbered("s:d", "x", 0..2).await;
    let first = lake.rule("s:d", 1, "y").await;
    lake.until(first, RuleState::Ok).await;
    label(&lake.client, "s:d/0", &["residency=DE"]).await;
    lake.until(first, RuleState::Stuck).await;
    let contents = [numbered("s:d", 0), numbered("s:d", 1)];
    let line = |number: usize| NewReplica {
        name: format!("d/{number}"),
        bytes: contents[number].len() as u64,
        checksum: blake3_of(&contents[number]),
        path: None,
        meta: None,
    };
    // The file lies in France already, where a rule on the dataset that it joins wants it.
    for (to, is_put) in [("s:registered", false), ("s:uploaded", true)] {
        lake.make(to, DidKind::Dataset).await;
        let rule = lake.rule(to, 1, "y").await;
        lake.until(rule, RuleState::Ok).await;
        if is_put {
            lake.put(to, "x", &[("d/0", &contents[0])]).await;
        } else {
            assert_eq!(lake.register(to, "x", &[line(0)]).await, (0, 1, vec![]));
        }
        lake.until(rule, RuleState::Stuck).await;
        let told = lake.client.explain_rule(rule).await.expect("explained");
        assert_eq!(
            (told.problems[0].code.as_str(), &told.problems[0].example),
            ("denied-by-policy", &Some(did("s:d/0")))
        );
    }
    // The labels of the dataset come with it, for rules on the file and on each file of another dataset.
    let of_file = lake.rule("s:d/1", 1, "y").await;
    let by_file = lake.grouped_rule("s:d", 1, "y", Grouping::None).await;
    lake.until(of_file, RuleState::Ok).await;
    lake.until_rule(by_file, |view| view.locks_ok == 1).await;
    lake.make("s:german", DidKind::Dataset).await;
    label(&lake.client, "s:german", &["residency=DE"]).await;
    assert_eq!(lake.register("s:german", "x", &[line(1)]).await, (0, 1, vec![]));
    is_denied(&lake, of_file, "it is in a German dataset").await;
    is_denied(&lake, by_file, "both of its files are German").await;
    lake.detach("s:german", &["s:d/1"]).await;
    lake.until(of_file, RuleState::Ok).await;
    lake.until_rule(by_file, |view| view.locks_ok == 1).await;
    lake.is_well().await;
}
