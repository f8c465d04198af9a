//! Policy over a running lake: a second account sees, reads and is refused exactly what the policies
//! say, and what is hidden is answered as what is not there.

use dapple::app::serve::{ServeArgs, start};
use dapple::client::{Client, ClientError};
use dapple::clock::SystemClock;
use dapple::model::account::AccountKind;
use dapple::model::api_key::KeyScope;
use dapple::model::did::DidKind;
use dapple::model::rule::{Grouping, RuleState};
use dapple::model::scope::Scope;
use dapple::policy::decision::{Action, Effect};
use dapple::service::view::{
    BadReplica, EndpointChange, LabelsChange, Members, NewDid, NewMember, NewRule, NewScope, NewUpload, NewUploads,
    NewUrl, PoliciesView, PolicyQuestion, RuleChange, ScopeChange,
};
use reqwest::Method;

use super::accounts::{account, new_account};
use super::{TestLake, blake3_of, did, name};

const ALL: [KeyScope; 3] = [KeyScope::Read, KeyScope::Write, KeyScope::Rules];

fn labels(words: &[&str]) -> LabelsChange {
    LabelsChange { labels: words.iter().map(|word| (*word).to_owned()).collect() }
}

#[track_caller]
fn code<T>(outcome: Result<T, ClientError>) -> String {
    outcome.err().expect("it is refused").problem().code
}

fn url(of: &str) -> NewUrl {
    NewUrl { did: did(of), expires_seconds: 600, from: None, redirect: false }
}

fn rule(on: &str, expression: &str) -> NewRule {
    let (expression, grouping) = (expression.to_owned(), Grouping::Dataset);
    NewRule { did: did(on), copies: 1, expression, grouping, lifetime_seconds: None }
}

async fn names(client: &Client) -> Vec<String> {
    let scope = Scope::parse("s").expect("a scope");
    let page = client.dids(&scope, None).page(100, None).await.expect("listed");
    page.items.into_iter().map(|item| item.did.to_string()).collect()
}

/// What the server answers, but for what differs from request to request.
async fn answer(lake: &TestLake, token: &str, method: &Method, path: &str, body: &str) -> (u16, String) {
    let request = reqwest::Client::new().request(method.clone(), format!("{}/api/v1/{path}", lake.url()));
    let request = request.bearer_auth(token).header("content-type", "application/json").body(body.to_owned());
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let mut text: serde_json::Value = answer.json().await.expect("JSON");
    if let Some(object) = text.as_object_mut() {
        object.remove("request_id");
    }
    (status, text.to_string())
}

/// Who owns a scope and a dataset has no say in what others let them see.
#[tokio::test]
async fn nobody_opens_hides_or_widens_what_is_not_theirs() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:data", "x", 0..1).await;
    let bob = lake.as_account("bob", &ALL).await;
    let own = NewScope { scope: Scope::parse("own").expect("a scope"), owner: Some(account("bob")) };
    lake.client.add_scope(&own).await.expect("root may");
    let make = |text: &str, kind| NewDid { did: did(text), kind };
    for (name, kind) in [("own:a", DidKind::Dataset), ("own:b", DidKind::Container)] {
        bob.create_did(&make(name, kind)).await.expect("bob may");
    }
    let members = |text: &str| Members { dids: vec![did(text)] };
    bob.attach(&did("own:a"), &members("s:data/0")).await.expect("no label comes with it");

    // Not by the labels of his scope, and not by what holds what holds it.
    bob.label_scope(&own.scope, &labels(&["classification=personal"])).await.expect("his own");
    let shown = lake.client.did(&did("s:data/0")).await.expect("there");
    assert!(shown.labels.is_empty(), "{:?}", shown.labels);
    bob.label_did(&did("own:b"), &labels(&["classification=personal"])).await.expect("it holds nothing");
    assert_eq!(code(bob.attach(&did("own:b"), &members("own:a")).await), "denied");
    assert_eq!(code(bob.label_did(&did("own:a"), &labels(&["sensor=s2"])).await), "denied");

    // A rule that he may end is not his to widen: it counts for whoever made it.
    let on_his = lake.client.create_rule(&rule("own:a", "x")).await.expect("root may").id;
    let wider = |copies| RuleChange { copies: Some(copies), ..RuleChange::default() };
    assert_eq!(code(bob.change_rule(on_his, &wider(2)).await), "denied");
    lake.client.change_rule(on_his, &wider(2)).await.expect("it is root's");
    bob.change_rule(on_his, &wider(1)).await.expect("less is no harm");
    // No file is so long that a server would have to fear for its memory.
    let upload = NewUpload { name: "long".to_owned(), bytes: 1 << 62, checksum: blake3_of(b""), meta: None };
    let uploads =
        NewUploads { to: did("s:data"), endpoint: "x".to_owned().try_into().expect("valid"), files: vec![upload] };
    let answers = serde_json::to_string(&lake.client.announce(&uploads).await.expect("answered")).expect("JSON");
    assert!(answers.contains("invalid-length"), "{answers}");
}

#[tokio::test]
async fn a_second_account_sees_reads_and_is_refused_as_policy_says() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    for dataset in ["s:open", "s:secret", "s:later"] {
        lake.put_numbered(dataset, "x", 0..2).await;
    }
    let bob = lake.as_account("bob", &ALL).await;
    let before = bob.mint(&url("s:secret/0")).await.expect("it is internal yet");
    let whole = bob.mint(&url("s:secret")).await.expect("it is internal yet");
    bob.download(&before.url, 0, None).await.expect("readable");
    lake.client
        .label_did(&did("s:secret"), &labels(&["classification=restricted", "project=eo"]))
        .await
        .expect("root may");
    lake.client.label_did(&did("s:later"), &labels(&["embargo=2999-01-01"])).await.expect("root may");
    lake.client.create_rule(&rule("s:secret", "x")).await.expect("root may");

    // Lists, and everything by name.
    assert_eq!(names(&bob).await, ["s:open", "s:open/0", "s:open/1"]);
    assert_eq!(names(&lake.client).await.len(), 9);
    for hidden in ["s:secret", "s:secret/0", "s:later"] {
        let hidden = did(hidden);
        assert_eq!(code(bob.did(&hidden).await), "not-found");
        assert_eq!(code(bob.mint(&url(&hidden.to_string())).await), "not-found");
        assert_eq!(code(bob.create_rule(&rule(&hidden.to_string(), "x")).await), "not-found");
        assert_eq!(code(bob.label_did(&hidden, &labels(&["a=b"])).await), "not-found");
    }
    assert!(bob.rules(None).page(10, None).await.expect("listed").items.is_empty());
    assert!(bob.transfers(None, None).page(10, None).await.expect("listed").items.is_empty());
    // What a URL opened once it opens no more: the label binds at once.
    let refused = bob.download(&before.url, 0, None).await.err().expect("withdrawn").problem();
    assert_eq!((refused.status, refused.code.as_str()), (403, "grant-withdrawn"));
    let listing = reqwest::get(&whole.url).await.expect("an answer").status();
    assert_eq!(listing, 403);

    // What is seen may be read, and have copies made; it is not written, nor labelled.
    bob.mint(&url("s:open/0")).await.expect("readable");
    let own = bob.create_rule(&rule("s:open", "x")).await.expect("of what one may read");
    assert_eq!(code(bob.create_did(&NewDid { did: did("s:new"), kind: DidKind::Dataset }).await), "denied");
    let members = Members { dids: vec![did("s:open/0")] };
    assert_eq!(code(bob.detach(&did("s:open"), &members).await), "denied");
    assert_eq!(code(bob.label_did(&did("s:open"), &labels(&["classification=restricted"])).await), "denied");
    let roots = lake.client.create_rule(&rule("s:open", "x")).await.expect("root may");
    assert_eq!(code(bob.remove_rule(roots.id).await), "denied", "rules of others are not one's own");
    bob.remove_rule(own.id).await.expect("one's own are");
    let endpoint = bob.endpoint(&name("x")).await.expect("everybody sees endpoints");
    assert_eq!((endpoint.files, endpoint.bytes), (None, None), "but not how much lies there in all");

    // Members of the project see it; the group that owns the scope does as it likes.
    let eo = new_account("eo", AccountKind::Group);
    lake.client.add_account(&eo).await.expect("added");
    lake.client.add_member(&eo.name, &NewMember { account: account("bob") }).await.expect("added");
    bob.mint(&url("s:secret/0")).await.expect("a member of the project");
    bob.download(&before.url, 0, None).await.expect("and the old URL is good again");
    assert_eq!(code(bob.label_did(&did("s:secret"), &labels(&["project="])).await), "denied");
    let s = Scope::parse("s").expect("a scope");
    lake.client.change_scope(&s, &ScopeChange { owner: eo.name.clone() }).await.expect("root may");
    bob.label_did(&did("s:secret"), &labels(&["classification="])).await.expect("an owner");
    bob.create_did(&NewDid { did: did("s:new"), kind: DidKind::Dataset }).await.expect("an owner");
    // A suspended account's URLs open nothing.
    let suspend = dapple::service::view::AccountChange { suspended: Some(true), ..Default::default() };
    lake.client.change_account(&account("bob"), &suspend).await.expect("root may");
    assert_eq!(bob.download(&before.url, 0, None).await.err().expect("refused").problem().code, "grant-withdrawn");
}

#[tokio::test]
async fn hidden_is_answered_as_absent() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    lake.put_numbered("s:open", "x", 0..1).await;
    let hidden_rule = lake.rule("s:d", 1, "x").await;
    let t = Scope::parse("t").expect("a scope");
    lake.client.add_scope(&NewScope { scope: t.clone(), owner: None }).await.expect("added");
    lake.client.add_account(&new_account("bob", AccountKind::User)).await.expect("added");
    let new = dapple::service::view::NewKey {
        name: "test".to_owned(),
        scopes: ALL.to_vec(),
        only_scopes: None,
        addresses: Vec::new(),
        expires_seconds: 3_600,
    };
    let key = lake.client.add_key(&account("bob"), &new).await.expect("a key").key;
    lake.client.label_did(&did("s:d"), &labels(&["classification=personal"])).await.expect("root may");
    lake.client.label_scope(&t, &labels(&["classification=restricted"])).await.expect("root may");
    let absent_rule = dapple::model::id::RuleId(hidden_rule.0 + 1);
    let routes = [
        (Method::GET, "dids/NAME", ""),
        (Method::GET, "contents/NAME", ""),
        (Method::GET, "replicas/NAME", ""),
        (Method::GET, "history/NAME", ""),
        (Method::GET, "coverage/NAME", ""),
        (Method::PATCH, "dids/NAME", r#"{"closed":true}"#),
        (Method::POST, "bulk/contents?parent=DID", r#"{"did":"s:open"}"#),
        (Method::DELETE, "bulk/contents?parent=DID", r#"{"did":"s:open"}"#),
        (Method::POST, "bulk/contents?parent=s:open", r#"{"did":"DID"}"#),
        (Method::GET, "labels/NAME", ""),
        (Method::PATCH, "labels/NAME", r#"{"labels":["a=b"]}"#),
        (Method::GET, "metadata/NAME", ""),
        (Method::PUT, "metadata/NAME", r#"{"a":1}"#),
        (Method::PATCH, "metadata/NAME", r#"{"a":1}"#),
        (Method::POST, "contents/NAME", r#"{"dids":["s:open"]}"#),
        (Method::DELETE, "contents/NAME", r#"{"dids":["s:open"]}"#),
        (Method::POST, "contents/s/open", r#"{"dids":["DID"]}"#),
        (Method::POST, "urls", r#"{"did":"DID","expires_seconds":60}"#),
        (Method::POST, "rules", r#"{"did":"DID","copies":1,"expression":"x","grouping":"dataset"}"#),
        (Method::GET, "rules?did=DID", ""),
        (Method::POST, "bad-replicas", r#"{"did":"DID","endpoint":"x"}"#),
        (Method::POST, "policy/explain", r#"{"action":"read","did":"DID"}"#),
        (Method::GET, "rules/RULE", ""),
        (Method::GET, "rules/RULE/explanation", ""),
        (Method::POST, "rules/RULE/retry", ""),
        (Method::DELETE, "rules/RULE", ""),
        (Method::PATCH, "rules/RULE", r#"{"copies":2}"#),
        (Method::GET, "transfers?rule=RULE", ""),
        (Method::GET, "dids/SCOPE", ""),
        (Method::GET, "labels/SCOPE", ""),
        (Method::POST, "dids", r#"{"did":"SCOPE:x","kind":"dataset"}"#),
    ];
    for (method, path, body) in routes {
        let mut answers = Vec::new();
        for (scope, item, rule) in [("t", "d", hidden_rule), ("u", "e", absent_rule)] {
            let fill = |text: &str| {
                let text = text.replace("NAME", &format!("s/{item}")).replace("DID", &format!("s:{item}"));
                text.replace("SCOPE", scope).replace("RULE", &rule.to_string())
            };
            let (status, text) = answer(&lake, key.reveal(), &method, &fill(path), &fill(body)).await;
            // The names themselves are what was sent.
            let text = text.replace(&format!("s:{item}"), "s:").replace(&format!("`{scope}`"), "``");
            answers.push((status, text.replace(&rule.to_string(), "").replace(&format!("add {scope}"), "add ")));
        }
        assert_eq!(answers[0], answers[1], "{method} {path}");
        let other = path.starts_with("transfers") || path == "contents/s/open" || path == "bulk/contents?parent=s:open";
        assert!(answers[0].0 == 404 || other, "{method} {path}: {:?}", answers[0]);
    }
}

#[tokio::test]
async fn labels_of_members_and_holders_bind_both_ways() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..2).await;
    let bob = lake.as_account("bob", &ALL).await;
    let mine = Scope::parse("mine").expect("a scope");
    lake.client.add_scope(&NewScope { scope: mine, owner: Some(account("bob")) }).await.expect("added");
    let all = did("mine:all");
    bob.create_did(&NewDid { did: all.clone(), kind: DidKind::Container }).await.expect("bob's own");
    // To collect what others have is everybody's; to hide it that way is nobody's.
    bob.attach(&all, &Members { dids: vec![did("s:d")] }).await.expect("no label changes");
    let problem = bob.label_did(&all, &labels(&["classification=personal"])).await.expect_err("refused").problem();
    assert_eq!((problem.status, problem.code.as_str()), (403, "denied"));
    let strict = did("mine:strict");
    bob.create_did(&NewDid { did: strict.clone(), kind: DidKind::Container }).await.expect("bob's own");
    bob.label_did(&strict, &labels(&["classification=restricted"])).await.expect("it holds nothing");
    assert_eq!(code(bob.attach(&strict, &Members { dids: vec![did("s:d")] }).await), "denied");
    // Root may, and then the label holds for files below, for as long as they are there.
    lake.client.attach(&strict, &Members { dids: vec![did("s:d")] }).await.expect("root may");
    assert_eq!(lake.client.did(&did("s:d/0")).await.expect("seen").labels["classification"], "restricted");
    let view = lake.client.did_labels(&did("s:d")).await.expect("seen");
    assert!(view.own.is_empty() && view.effective["classification"] == "restricted");
    assert_eq!(code(bob.did(&did("s:d/0")).await), "not-found");
    lake.client.detach(&strict, &Members { dids: vec![did("s:d")] }).await.expect("root may");
    bob.did(&did("s:d/0")).await.expect("seen again");
}

#[tokio::test]
async fn data_lies_only_where_policy_lets_it() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    lake.client.label_did(&did("s:d"), &labels(&["residency=DE"])).await.expect("root may");
    let id = lake.client.create_rule(&rule("s:d", "y")).await.expect("made").id;
    let stuck = lake.until(id, RuleState::Stuck).await;
    assert_eq!(stuck.units_unplaced, 1);
    let told = lake.client.explain_rule(id).await.expect("explained");
    assert_eq!(told.problems[0].code, "denied-by-policy");
    assert_eq!(told.problems[0].reason, "policy does not let the data be at y: residency");
    let question = PolicyQuestion {
        account: Some(account("root")),
        action: Action::Place,
        did: Some(did("s:d")),
        scope: None,
        at: Some(name("y")),
        when: None,
    };
    let why = lake.client.explain_policy(&question).await.expect("root may ask");
    assert_eq!((why.effect, why.policies), (Effect::Deny, vec!["residency".to_owned()]));
    assert!(why.determined[0].text.contains("forbid"));
    // What would help helps.
    let attributes = [("country".to_owned(), Some("DE".to_owned()))].into();
    let change = EndpointChange { attributes, ..EndpointChange::default() };
    lake.client.change_endpoint(&name("y"), &change).await.expect("changed");
    lake.until(id, RuleState::Ok).await;
    // A label that tightens takes the rule's hold away; one that loosens gives it back.
    lake.client.label_did(&did("s:d"), &labels(&["residency=FR"])).await.expect("root may");
    lake.until(id, RuleState::Stuck).await;
    let s = Scope::parse("s").expect("a scope");
    lake.client.label_did(&did("s:d"), &labels(&["residency="])).await.expect("root may");
    lake.until(id, RuleState::Ok).await;
    lake.client.label_scope(&s, &labels(&["classification=personal"])).await.expect("root may");
    lake.until(id, RuleState::Stuck).await;
    // Uploads are held to it as well.
    let file = NewUpload { name: "f".to_owned(), bytes: 1, checksum: blake3_of(b"f"), meta: None };
    let upload = NewUploads { to: did("s:more"), endpoint: name("y"), files: vec![file] };
    assert_eq!(code(lake.client.announce(&upload).await), "denied", "personal, and y is not trusted");
    assert!(lake.client.check().await.expect("checked").findings.is_empty());
}

/// Waits until the server says of its policies what is wanted.
async fn until_policies(client: &Client, wanted: impl Fn(&PoliciesView) -> bool) -> PoliciesView {
    for _ in 0..1_000 {
        let shown = client.policies().await.expect("shown");
        if wanted(&shown) {
            return shown;
        }
        super::pause().await;
    }
    panic!("the policies never became what they should");
}

#[tokio::test]
async fn policies_of_a_directory_are_in_force_as_soon_as_they_hold_together() {
    let directory = tempfile::tempdir().expect("a directory");
    let (lake, policies) = (directory.path().join("lake"), directory.path().join("policies"));
    std::fs::create_dir(&policies).expect("made");
    let write = |text: &str| std::fs::write(policies.join("all.cedar"), text).expect("written");
    let permit = "// Admins.\n@id(\"admins\")\npermit (principal is Dapple::Account, action, resource) when { principal.admin };\n";
    let args = || ServeArgs {
        dir: lake.clone(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        public_url: None,
        policies: Some(policies.clone()),
    };
    write(
        "// Misspelt.\n@id(\"x\")\npermit (principal is Dapple::Account, action, resource) when { principal.amdin };\n",
    );
    let refused = start(args()).await.err().expect("a server does not start with such").to_string();
    assert!(refused.contains("all.cedar:3") && refused.contains("amdin"), "{refused}");
    write(permit);
    let server = start(args()).await.expect("it starts");
    let root = Client::new(&server.url, Some(server.admin_key.clone()), SystemClock::shared()).expect("a URL");
    let first = until_policies(&root, |shown| shown.items.len() == 1).await;
    assert_eq!((first.items[0].id.as_str(), first.items[0].line), ("admins", 2));
    assert!(root.health().await.expect("up").notes.is_empty());
    let s = Scope::parse("s").expect("a scope");
    root.add_scope(&NewScope { scope: s.clone(), owner: None }).await.expect("admins may");

    write("permit (principal, action, resource);");
    let told = until_policies(&root, |shown| shown.refused.is_some()).await;
    assert_eq!(told.revision, first.revision, "those in force stay");
    assert_eq!(root.health().await.expect("up").notes.len(), 1);
    let frozen = "// Nothing is labelled.\n@id(\"frozen\")\nforbid (principal, action in [Dapple::Action::\"Relabel\"], resource);\n";
    write(&format!("{permit}{frozen}"));
    let second = until_policies(&root, |shown| shown.items.len() == 2).await;
    assert!(second.refused.is_none() && second.revision != first.revision);
    assert_eq!(code(root.label_scope(&s, &labels(&["a=b"])).await), "denied");
    assert!(root.health().await.expect("up").notes.is_empty());
    server.stop().await.expect("a clean stop");
}

/// Equal data may be told apart by its name; one decision must not stand for all of it then.
#[tokio::test]
async fn a_policy_that_names_data_binds_it_among_its_equals() {
    let policies = tempfile::tempdir().expect("a directory");
    let admins = "// Admins.\n@id(\"admins\")\npermit (principal is Dapple::Account, action, resource) when { principal.admin };\n";
    let stays = "// This one stays.\n@id(\"stays\")\nforbid (principal, action == Dapple::Action::\"Place\", resource == Dapple::Did::\"s:b\");\n";
    let write = |text: &str| std::fs::write(policies.path().join("all.cedar"), text).expect("written");
    write(admins);
    let settings = format!("policy.dir = {:?}\n", policies.path());
    let lake = TestLake::with_settings(&settings, &["y"]).await;
    lake.make("s:box", DidKind::Container).await;
    for dataset in ["s:a", "s:b", "s:c"] {
        lake.make(dataset, DidKind::Dataset).await;
        lake.attach("s:box", &[dataset]).await;
    }
    let id = lake.grouped_rule("s:box", 1, "site=y", Grouping::All).await;
    lake.until_rule(id, |told| told.locks_ok == 3).await;
    write(&format!("{admins}{stays}"));
    lake.until_rule(id, |told| told.state == RuleState::Stuck && (told.locks_ok, told.units_unplaced) == (2, 1)).await;
    let why = lake.client.explain_rule(id).await.expect("explained");
    assert_eq!(why.problems[0].reason, "policy does not let the data be at y: stays");
}

/// All may be read, but what is near not from `y`.
const NEAR: &str = r#"
// All.
@id("all")
permit (principal is Dapple::Account, action, resource);
// Near.
@id("near")
forbid (principal, action == Dapple::Action::"ReadData", resource is Dapple::Did)
when { resource.hasTag("near") && context has at && context.at == Dapple::Endpoint::"y" };
"#;

#[tokio::test]
async fn bytes_come_from_no_endpoint_where_policy_does_not_let_them_be_read() {
    let policies = tempfile::tempdir().expect("a directory");
    std::fs::write(policies.path().join("all.cedar"), NEAR).expect("written");
    let settings = format!("[policy]\ndir = {:?}\n", policies.path().display().to_string());
    let lake = TestLake::with_settings(&settings, &["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let made = lake.rule("s:d", 1, "y").await;
    lake.until(made, RuleState::Ok).await;
    let signed = lake.client.mint(&url("s:d/0")).await.expect("it may be read").url;
    let get = async || reqwest::get(&signed).await.expect("an answer").status().as_u16();
    assert_eq!(get().await, 200);
    // It lies at `y` alone.
    std::fs::remove_dir_all(lake.root("x")).expect("removed");
    std::fs::create_dir(lake.root("x")).expect("made");
    assert_eq!(get().await, 200, "from y");
    lake.client.label_did(&did("s:d"), &labels(&["near=yes"])).await.expect("labelled");
    assert_ne!(get().await, 200, "policy closes y");
    lake.client.label_did(&did("s:d"), &labels(&["near="])).await.expect("labelled");
    assert_eq!(get().await, 200);
    // Nor is it opened where no other place is known.
    let bad = BadReplica { did: did("s:d/0"), endpoint: name("x") };
    lake.client.declare_bad(&bad).await.expect("declared");
    lake.client.label_did(&did("s:d"), &labels(&["near=yes"])).await.expect("labelled");
    assert_eq!(get().await, 403);
}
