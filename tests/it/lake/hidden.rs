//! What is hidden is not told of by the way: not by a rule's counts and reasons, not by tags, cursors and
//! signed URLs, not by sums, and not in what stores said last.

use dapple::model::account::AccountKind;
use dapple::model::api_key::KeyScope;
use dapple::model::rule::{Grouping, RuleState};
use dapple::service::view::{LabelsChange, NewKey, NewLimit, NewRule, NewUrl};
use serde_json::Value;

use super::accounts::{account, new_account};
use super::{TestLake, did, name, pause};

/// Somebody who sees what everybody sees, by the wire.
struct Stranger<'a> {
    lake: &'a TestLake,
    key: String,
}

impl<'a> Stranger<'a> {
    async fn of(lake: &'a TestLake) -> Self {
        lake.client.add_account(&new_account("bob", AccountKind::User)).await.expect("added");
        let new = NewKey {
            name: "test".to_owned(),
            scopes: vec![KeyScope::Read, KeyScope::Rules],
            only_scopes: None,
            addresses: Vec::new(),
            expires_seconds: 3_600,
        };
        let key = lake.client.add_key(&account("bob"), &new).await.expect("a key").key;
        Self { lake, key: key.reveal().to_owned() }
    }

    /// The tag and the body of an answer.
    async fn get(&self, path: &str) -> (Option<String>, Value) {
        let request = reqwest::Client::new().get(format!("{}/api/v1/{path}", self.lake.url()));
        let answer = request.bearer_auth(&self.key).send().await.expect("an answer");
        let tag = answer.headers().get("etag").map(|tag| tag.to_str().expect("text").to_owned());
        (tag, answer.json().await.expect("JSON"))
    }

    /// What a rule would do.
    async fn plan(&self, rule: &Value) -> Value {
        let asked = reqwest::Client::new().post(format!("{}/api/v1/rules?dry_run=true", self.lake.url()));
        let asked = asked.bearer_auth(&self.key).header("content-type", "application/json").body(rule.to_string());
        let answer: Value = asked.send().await.expect("an answer").json().await.expect("JSON");
        answer["plan"].clone()
    }
}

async fn label(lake: &TestLake, what: &str, word: &str) {
    let change = LabelsChange { labels: vec![word.to_owned()] };
    lake.client.label_did(&did(what), &change).await.expect("root may");
}

/// Base64 without padding, as tokens have it.
fn decoded(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter).expect("base64url");
        bits = bits << 6 | u32::try_from(value).expect("below 64");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 255) as u8);
        }
    }
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn a_rule_tells_of_what_is_seen_alone() {
    let lake = TestLake::with_endpoints(&["y"]).await;
    lake.add_endpoint("x", &[("trust", "high")]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    lake.put_numbered("s:hidden", "x", 0..1).await;
    lake.make("s:all", dapple::model::did::DidKind::Container).await;
    lake.attach("s:all", &["s:d", "s:hidden"]).await;
    label(&lake, "s:d/2", "classification=personal").await;
    label(&lake, "s:hidden", "classification=personal").await;
    let bob = Stranger::of(&lake).await;
    // The hidden file may not be at y, nor may the hidden dataset, which finds no place at all.
    let on_dataset = lake.rule("s:d", 1, "y").await;
    let on_all = lake.rule("s:all", 1, "y").await;
    for rule in [on_dataset, on_all] {
        lake.until(rule, RuleState::Stuck).await;
        let told = lake.client.explain_rule(rule).await.expect("explained");
        assert!(told.problems.iter().any(|problem| problem.code == "denied-by-policy"), "{told:#?}");
        let started = std::time::Instant::now();
        let view = loop {
            let (_, view) = bob.get(&format!("rules/{rule}")).await;
            if view["files_done"] == 2 && view["state"] == "ok" {
                break view;
            }
            assert!(started.elapsed() < super::PATIENCE, "{view}");
            pause().await;
        };
        assert_eq!(view["files_wanted"], 2, "{view}");
        let counts =
            ["locks_ok", "locks_replicating", "locks_stuck", "units_unplaced"].map(|count| view[count].as_u64());
        assert_eq!(counts, [Some(1), Some(0), Some(0), Some(0)], "{view}");
        let (_, told) = bob.get(&format!("rules/{rule}/explanation")).await;
        assert_eq!(told["problems"], Value::Array(Vec::new()), "{told}");
        assert_eq!(told["locks"][0]["state"], "ok");
        assert!(!told.to_string().contains("personal") && !told.to_string().contains("s:d/2"), "{told}");
    }
    assert_eq!(lake.client.rule(on_dataset).await.expect("shown").files_wanted, 3);
}

#[tokio::test]
async fn a_plan_counts_what_is_seen_and_nothing_where_that_cannot_be_counted() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    lake.put_numbered("s:d", "y", 0..1).await;
    label(&lake, "s:d/2", "classification=personal").await;
    let many: Vec<_> = (0..1_001).map(|file| super::leave::line(&format!("many/{file}"), b"same")).collect();
    assert_eq!(lake.register("s:many", "x", &many).await.0, 1_001);
    let (bob, root) = (Stranger::of(&lake).await, Stranger { lake: &lake, key: lake.key().to_owned() });
    let bytes = |file: usize| super::numbered("s:d", file).len() as u64;
    let plans = [
        ("s:d", "root", Some((2, bytes(1) + bytes(2)))),
        ("s:d", "bob", Some((1, bytes(1)))),
        ("s:many", "root", Some((1_001, 4_004))),
        ("s:many", "bob", None),
    ];
    for (on, who, wanted) in plans {
        let wish = serde_json::json!({"did": on, "copies": 1, "expression": "y"});
        let plan = if who == "root" { root.plan(&wish).await } else { bob.plan(&wish).await };
        let planned = &plan["endpoints"][0];
        assert_eq!((&plan["complete"], &planned["endpoint"]), (&Value::from(true), &Value::from("y")), "{plan}");
        let told = planned["files"].as_u64().zip(planned["bytes"].as_u64());
        assert_eq!(told, wanted, "{on} for {who}: {plan}");
    }
}

#[tokio::test]
async fn tags_cursors_and_urls_do_not_count_what_is_hidden() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    label(&lake, "s:d/1", "classification=personal").await;
    let bob = Stranger::of(&lake).await;
    let (before, shown) = bob.get("dids/s/d").await;
    assert_eq!((before.is_some(), &shown["length"]), (true, &Value::from(2)));
    lake.put_numbered("s:d", "x", 3..4).await;
    assert_ne!(bob.get("dids/s/d").await.0, before, "what is seen to come changes the tag");
    label(&lake, "s:d/3", "classification=personal").await;
    assert_eq!(bob.get("dids/s/d").await.0, before, "what is hidden does not");

    for list in ["contents/s/d", "replicas/s/d"] {
        let (mut path, mut seen) = (format!("{list}?limit=1"), Vec::new());
        loop {
            let (_, page) = bob.get(&path).await;
            for item in page["items"].as_array().expect("a list") {
                assert!(item.get("seq").is_none(), "{item}");
                seen.push(item["did"].as_str().expect("a DID").to_owned());
            }
            let Some(next) = page["next"].as_str() else { break };
            assert!(next.len() == 16 && next.parse::<u16>().is_err(), "a place in the clear: {next}");
            path = format!("{list}?limit=1&after={next}");
        }
        assert_eq!(seen, ["s:d/0", "s:d/2"], "{list}");
        let (_, problem) = bob.get(&format!("{list}?after=2")).await;
        assert_eq!(problem["code"], "invalid-cursor", "{list}");
    }

    let wish = NewUrl { did: did("s:d"), expires_seconds: 60, from: None, redirect: false };
    let url = lake.client.mint(&wish).await.expect("minted").url;
    let token = url.split("/s/").nth(1).and_then(|rest| rest.split('/').next()).expect("a token");
    let claims: Value = serde_json::from_str(&decoded(token.split('.').nth(1).expect("claims"))).expect("JSON");
    let target = &claims["grant"]["target"]["dataset"];
    assert_eq!((target["up_to"].as_str().map(str::len), target.get("up_to_seq")), (Some(16), None), "{claims}");
    // It is still the same URL: what came before it opens, what comes later does not.
    lake.put_numbered("s:d", "x", 4..5).await;
    for (file, status) in [("d/0", 200), ("d/3", 200), ("d/4", 404)] {
        assert_eq!(reqwest::get(format!("{url}{file}")).await.expect("an answer").status(), status, "{file}");
    }
}

#[tokio::test]
async fn sums_and_words_of_others_are_for_admins() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    let bob = Stranger::of(&lake).await;
    lake.client.set_limit(&account("bob"), &NewLimit { on: "y".to_owned(), bytes: 10 }).await.expect("a limit");
    lake.client.set_limit(&account("root"), &NewLimit { on: "y".to_owned(), bytes: 10 }).await.expect("a limit");
    let client = dapple::client::Client::new(lake.url(), Some(bob.key.clone()), dapple::clock::SystemClock::shared())
        .expect("a URL");
    let rule = |on: &str| {
        let (expression, grouping) = (on.to_owned(), Grouping::Dataset);
        NewRule { did: did("s:d"), copies: 1, expression, grouping, lifetime_seconds: None }
    };
    let held = client.create_rule(&rule("x")).await.expect("made").id;
    lake.until(held, RuleState::Ok).await;
    let (_, usage) = bob.get("accounts/bob/usage").await;
    assert_eq!(usage["holdings"][0]["bytes"], 1 << 20, "{usage}");
    assert!(usage["holdings"][0].get("files").is_none(), "{usage}");
    let exact = lake.client.usage(&account("bob")).await.expect("shown").holdings.remove(0);
    assert_eq!((exact.files, exact.bytes < 1 << 20), (Some(3), true));
    // What a rule lacks is told in numbers to who may know both the data and the account.
    let (own, roots) = (client.create_rule(&rule("y")).await.expect("made").id, lake.rule("s:d", 1, "y").await);
    for rule in [own, roots] {
        lake.until(rule, RuleState::Stuck).await;
        let (_, told) = bob.get(&format!("rules/{rule}/explanation")).await;
        let reason = told["problems"][0]["reason"].as_str().expect("a reason");
        assert!(reason.ends_with("may not hold so much at `y`"), "{told}");
        let told = lake.client.explain_rule(rule).await.expect("explained").problems.remove(0).reason;
        assert!(told.contains("may hold 10 B"), "{told}");
    }
    // What an endpoint said may name any file.
    std::fs::remove_dir_all(lake.root("y")).expect("removed");
    for who in ["bob", "root"] {
        lake.client.remove_limit(&account(who), "y").await.expect("removed");
    }
    let notes = loop {
        let notes = lake.client.endpoint(&name("y")).await.expect("shown").notes;
        if !notes.is_empty() {
            break notes;
        }
        pause().await;
    };
    assert!(notes[0].contains("and said last: "), "{notes:?}");
    let (_, shown) = bob.get("endpoints/y").await;
    let note = shown["notes"][0].as_str().expect("a note");
    assert!(note.contains("has failed") && !note.contains("said"), "{note}");
    let (_, told) = bob.get(&format!("rules/{own}/explanation")).await;
    assert!(told["problems"].as_array().expect("a list").iter().all(|one| one.get("said").is_none()), "{told}");
}

#[tokio::test]
async fn endpoints_that_are_hidden_are_nowhere_named() {
    let policies = tempfile::tempdir().expect("a directory");
    for file in ["permits.cedar", "invariants.cedar"] {
        let from = format!("{}/policies/builtin/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(from, policies.path().join(file)).expect("copied");
    }
    let quiet = "// Some places are for admins to know.\n@id(\"quiet\")\n\
        forbid (principal, action == Dapple::Action::\"Discover\", resource is Dapple::Endpoint)\n\
        when { resource.hasTag(\"quiet\") } unless { principal is Dapple::Account && principal.admin };\n";
    std::fs::write(policies.path().join("quiet.cedar"), quiet).expect("written");
    let settings = format!("[policy]\ndir = {:?}\n", policies.path().display().to_string());
    let lake = TestLake::with_settings(&settings, &["x"]).await;
    lake.add_endpoint("dark", &[("quiet", "yes")]).await;
    lake.put_numbered("s:d", "x", 0..2).await;
    lake.put_numbered("s:d", "dark", 0..2).await;
    lake.put_numbered("s:new", "x", 0..2).await;
    let held = lake.rule("s:d", 2, "*").await;
    lake.until(held, RuleState::Ok).await;
    // What ails it is not told of either.
    std::fs::remove_dir_all(lake.root("dark")).expect("removed");
    let ailing = lake.rule("s:new", 2, "*").await;
    while lake.client.explain_rule(ailing).await.expect("explained").problems.is_empty() {
        pause().await;
    }
    let bob = Stranger::of(&lake).await;
    let root = Stranger { lake: &lake, key: lake.key().to_owned() };
    let lists = ["endpoints", "replicas/s/d", "coverage/s/d", "history/s/d", "transfers"].map(str::to_owned);
    let explained = [held, ailing].map(|rule| format!("rules/{rule}/explanation"));
    for path in lists.into_iter().chain(explained) {
        let (_, told) = bob.get(&path).await;
        assert!(told.get("code").is_none() && !told.to_string().contains("dark"), "{path}: {told}");
        let named = root.get(&path).await.1.to_string().contains("dark");
        assert_eq!(named, path != "history/s/d", "{path}");
    }
    for (who, wanted) in [(&root, vec!["dark", "x"]), (&bob, vec!["x"])] {
        let plan = who.plan(&serde_json::json!({"did": "s:d", "copies": 2, "expression": "*"})).await;
        let places: Vec<_> = plan["endpoints"].as_array().expect("a list").iter().map(|one| &one["endpoint"]).collect();
        assert_eq!(places, wanted, "{plan}");
    }
}
