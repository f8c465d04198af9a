//! Who may register and announce what: files that are known already, paths that lead elsewhere, and what
//! changes while a stream goes on.

use dapple::model::account::AccountKind;
use dapple::model::api_key::KeyScope;
use dapple::model::checksum::{Algorithm, Checksum};
use dapple::model::did::DidKind;
use dapple::model::scope::Scope;
use dapple::service::view::{
    AccountChange, LabelsChange, NewKey, NewReplica, NewScope, NewUpload, NewUploads, RefusedLine, RegisteredChunk,
    ScopeChange, SecretText, UploadView,
};
use futures::channel::mpsc;
use reqwest::{Body, Method, Response};
use serde_json::{Value, json};

use super::accounts::{account, new_account};
use super::{TestLake, blake3_of, did, name};

pub(super) fn line(name: &str, content: &[u8]) -> NewReplica {
    NewReplica {
        name: name.to_owned(),
        bytes: content.len() as u64,
        checksum: blake3_of(content),
        path: None,
        meta: None,
    }
}

fn text(lines: &[NewReplica]) -> String {
    lines.iter().map(|line| serde_json::to_string(line).expect("plain") + "\n").collect()
}

fn scope(text: &str) -> Scope {
    Scope::parse(text).expect("a scope")
}

async fn owns(lake: &TestLake, of: &str, owner: &str) {
    let new = NewScope { scope: scope(of), owner: Some(account(owner)) };
    lake.client.add_scope(&new).await.expect("added");
}

async fn label(lake: &TestLake, of: &str, words: &[&str]) {
    let labels = LabelsChange { labels: words.iter().map(|word| (*word).to_owned()).collect() };
    lake.client.label_did(&did(of), &labels).await.expect("root may");
}

/// A key of an account that reads and writes, and its id.
async fn key_of(lake: &TestLake, of: &str) -> (SecretText, String) {
    let new = NewKey {
        name: "test".to_owned(),
        scopes: vec![KeyScope::Read, KeyScope::Write],
        only_scopes: None,
        addresses: Vec::new(),
        expires_seconds: 3_600,
    };
    let made = lake.client.add_key(&account(of), &new).await.expect("a key");
    (made.key, made.made.id)
}

async fn add(lake: &TestLake, name: &str) -> (SecretText, String) {
    lake.client.add_account(&new_account(name, AccountKind::User)).await.expect("added");
    key_of(lake, name).await
}

async fn post(lake: &TestLake, key: &SecretText, to: &str, at: &str, body: reqwest::Body) -> reqwest::Response {
    let request = reqwest::Client::new().post(format!("{}/api/v1/replicas", lake.url()));
    let request = request.query(&[("to", to), ("endpoint", at)]).bearer_auth(key.reveal()).body(body);
    request.send().await.expect("an answer")
}

/// What becomes of lines: how many were registered or known, and the refusals.
async fn register(
    lake: &TestLake,
    key: &SecretText,
    to: &str,
    at: &str,
    lines: &[NewReplica],
) -> (u64, Vec<RefusedLine>) {
    let answer = post(lake, key, to, at, text(lines).into()).await.text().await.expect("a body");
    let chunk: RegisteredChunk = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    (chunk.registered + chunk.known, chunk.refused)
}

/// Bob writes in `s` and whatever is internal there. The rest is hidden from him; what is frozen he only
/// sees, and what is to stay near lies at `x` alone.
const POLICIES: &str = r#"
// Admins.
@id("admins")
permit (principal is Dapple::Account, action, resource) when { principal.admin };
// The scope.
@id("scope")
permit (principal is Dapple::Account, action in [Dapple::Action::"Discover", Dapple::Action::"Write"], resource is Dapple::Scope);
// What is internal.
@id("data")
permit (principal is Dapple::Account, action, resource is Dapple::Did) when { resource.classification == "internal" };
// Frozen.
@id("frozen")
forbid (principal, action == Dapple::Action::"Write", resource is Dapple::Did) when { resource.hasTag("frozen") };
// Near.
@id("near")
forbid (principal, action == Dapple::Action::"Place", resource is Dapple::Did)
when { resource.hasTag("near") && context.at == Dapple::Endpoint::"y" };
"#;

#[tokio::test]
async fn a_file_that_is_known_is_registered_again_only_by_who_may_write_it() {
    let policies = tempfile::tempdir().expect("a directory");
    std::fs::write(policies.path().join("all.cedar"), POLICIES).expect("written");
    let settings = format!("[policy]\ndir = {:?}\n", policies.path().display().to_string());
    let lake = TestLake::with_settings(&settings, &["x", "y"]).await;
    let names = ["hidden", "frozen", "near", "plain", "under/hidden"];
    let lines: Vec<_> = names.iter().map(|name| line(name, b"same")).collect();
    assert_eq!(lake.register("s:d", "x", &lines).await.0, 5);
    label(&lake, "s:hidden", &["classification=restricted"]).await;
    label(&lake, "s:under/hidden", &["classification=restricted"]).await;
    label(&lake, "s:frozen", &["frozen=yes"]).await;
    label(&lake, "s:near", &["near=yes"]).await;
    let (bob, _) = add(&lake, "bob").await;
    let other_content = |name: &str| line(name, b"another");
    let lines = [line("hidden", b"same"), other_content("hidden"), line("frozen", b"same"), other_content("frozen")];
    let lines = [&lines[..], &[line("near", b"same"), line("plain", b"same"), line("new", b"same")]].concat();
    let mut told = Vec::new();
    // The same name twice in a chunk is another matter.
    for one in &lines {
        let (good, refused) = register(&lake, &bob, "s:mine", "y", std::slice::from_ref(one)).await;
        assert_eq!(good + refused.len() as u64, 1);
        told.extend(refused.into_iter().map(|refused| format!("{}: {}", refused.code, refused.detail)));
    }
    // What is hidden and what is only seen, with the right content and with the wrong: one answer.
    let write = |name: &str| format!("denied: policy does not let you write `s:{name}`");
    let near = "denied: policy does not let you place `s:near` at y".to_owned();
    assert_eq!(told, [write("hidden"), write("hidden"), write("frozen"), write("frozen"), near]);
    let (_, refused) = register(&lake, &bob, "s:mine", "y", &[line("under", b"same")]).await;
    assert_eq!(
        (refused[0].code.as_str(), refused[0].detail.as_str()),
        ("name-conflict", "a file lies below this name")
    );
    // Announcements are held to the same.
    let client = lake.with_key(&bob);
    let upload =
        |name: &&str| NewUpload { name: (*name).to_owned(), bytes: 4, checksum: blake3_of(b"same"), meta: None };
    let files = names[..4].iter().map(upload).collect();
    let uploads = NewUploads { to: did("s:mine"), endpoint: name("y"), files };
    let answers = client.announce(&uploads).await.expect("answered").items;
    let codes: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            UploadView::Refused { detail, .. } => detail.trim_start_matches("policy does not let you ").to_owned(),
            UploadView::Done => "done".to_owned(),
            UploadView::Put { .. } => "put".to_owned(),
        })
        .collect();
    assert_eq!(codes, ["write `s:hidden`", "write `s:frozen`", "place `s:near` at y", "done"]);
    for (file, copies) in [("s:hidden", 1), ("s:frozen", 1), ("s:near", 1), ("s:plain", 2)] {
        let replicas = lake.client.replicas(&did(file)).expect("a listing").page(10, None).await.expect("listed").items;
        assert_eq!(replicas.len(), copies, "{file}");
    }
    lake.is_well().await;
}

#[tokio::test]
async fn bytes_are_the_same_only_if_one_kind_of_checksum_says_so() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    assert_eq!(lake.register("s:d", "x", &[line("f", b"good")]).await.0, 1);
    let md5 = Checksum::new(Algorithm::Md5, [7; 16]).expect("16 bytes");
    let unlike = NewReplica { checksum: md5, ..line("f", b"evil") };
    assert_eq!(lake.register("s:d", "y", &[unlike]).await.2, ["1: checksum-not-comparable"]);
    assert_eq!(lake.register("s:d", "y", &[line("f", b"good")]).await.1, 1);
    let shown = lake.client.did(&did("s:f")).await.expect("there");
    assert_eq!(shown.checksums, [blake3_of(b"good")]);
}

#[tokio::test]
async fn a_path_is_stated_by_who_may_write_where_it_leads_and_by_nobody_else() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let (bob, _) = add(&lake, "bob").await;
    owns(&lake, "own", "bob").await;
    owns(&lake, "more", "bob").await;
    owns(&lake, "secret", "root").await;
    let hide = LabelsChange { labels: vec!["classification=restricted".to_owned()] };
    lake.client.label_scope(&scope("secret"), &hide).await.expect("root may");
    let stated = |name: &str, path: &str| NewReplica { path: Some(path.to_owned()), ..line(name, b"bytes") };
    assert_eq!(lake.register("s:d", "x", &[stated("odd", "archive/taken")]).await.0, 1, "root may");
    // Taken or free, hidden or not there at all: one answer.
    let mut told = std::collections::BTreeSet::new();
    let elsewhere = ["s/d/0", "s/free", "secret/free", "nobodys/free", "archive/taken", "archive/free", "s", "top"];
    for path in elsewhere {
        let (good, refused) = register(&lake, &bob, "own:d", "x", &[stated("f", path)]).await;
        assert_eq!((good, refused.len()), (0, 1), "{path}");
        told.insert((refused[0].code.clone(), refused[0].detail.replace(&format!("`{path}`"), "PATH")));
    }
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told.pop_first().expect("one").0, "path-denied");
    let lines = [stated("a", "own/old/a"), stated("b", "more/b")];
    assert_eq!(register(&lake, &bob, "own:d", "x", &lines).await.0, 2, "where he may write");
    let (_, refused) = register(&lake, &bob, "own:d", "x", &[stated("c", "more/b")]).await;
    assert_eq!(refused[0].code, "path-taken");
    // A key that is limited to one of them reaches no farther.
    let new = NewKey {
        name: "narrow".to_owned(),
        scopes: vec![KeyScope::Read, KeyScope::Write],
        only_scopes: Some(vec![scope("own")]),
        addresses: Vec::new(),
        expires_seconds: 3_600,
    };
    let narrow = lake.client.add_key(&account("bob"), &new).await.expect("a key").key;
    let (_, refused) = register(&lake, &narrow, "own:d", "x", &[stated("c", "more/c")]).await;
    assert_eq!(refused[0].code, "path-denied");
    lake.is_well().await;
}

#[tokio::test]
async fn lines_are_not_broken_off_by_labels_that_change_meanwhile() {
    const COUNT: u64 = 1_000;
    let lake = TestLake::with_endpoints(&["x"]).await;
    let (bob, _) = add(&lake, "bob").await;
    owns(&lake, "own", "bob").await;
    lake.make("own:top", DidKind::Container).await;
    label(&lake, "own:top", &["classification=restricted"]).await;
    lake.make("s:other", DidKind::Dataset).await;
    let made: String =
        (0..COUNT).map(|n| json!({"did": format!("own:c/{n}"), "kind": "container"}).to_string() + "\n").collect();
    let made = stream(&lake, (Method::POST, "bulk/dids"), &bob, made.into()).await;
    assert_eq!(made.json::<Value>().await.expect("a chunk")["done"], COUNT);
    let attach = async || {
        let lines: String = (0..COUNT).map(|n| json!({"did": format!("own:c/{n}")}).to_string() + "\n").collect();
        let answer = stream(&lake, (Method::POST, "bulk/contents?parent=own:top"), &bob, lines.into()).await;
        answer.json::<Value>().await.expect("a whole answer")
    };
    let relabelled = async {
        loop {
            label(&lake, "s:other", &["project=one"]).await;
            label(&lake, "s:other", &["project=two"]).await;
        }
    };
    let chunk = tokio::select! {
        () = relabelled => unreachable!("it goes on for ever"),
        chunk = attach() => chunk,
    };
    let refused: Vec<RefusedLine> =
        serde_json::from_value(chunk.get("refused").cloned().unwrap_or(json!([]))).expect("a list");
    assert_eq!(good(&chunk) + refused.len() as u64, COUNT, "{chunk}");
    let told = |refused: &RefusedLine| refused.code == "members-changed" && refused.hint.is_some();
    assert!(refused.iter().all(told), "{refused:?}");
    assert_eq!(good(&attach().await), COUNT, "and all of them when nothing changes");
    lake.is_well().await;
}

/// The next line of a streamed answer.
async fn next_chunk(answer: &mut reqwest::Response) -> Value {
    let mut read = Vec::new();
    while !read.ends_with(b"\n") {
        read.extend_from_slice(&answer.chunk().await.expect("readable").expect("not at its end"));
    }
    serde_json::from_slice(&read).expect("a chunk")
}

/// How many lines of a chunk were good.
fn good(chunk: &Value) -> u64 {
    let counts = ["registered", "known", "done", "same", "changed", "unchanged"];
    counts.iter().filter_map(|count| chunk.get(count)?.as_u64()).sum()
}

/// What a line looks like, by its number.
type LineOf = fn(u32) -> Value;

/// Every door for lines, with its lines.
fn doors() -> Vec<(Method, &'static str, LineOf)> {
    let member = |file: u32| json!({"did": format!("s:f/{file}")});
    vec![
        (Method::POST, "replicas?to=s:d&endpoint=x", |file| json!(line(&format!("new/{file}"), b"same"))),
        (Method::POST, "bulk/dids", |file| json!({"did": format!("s:made/{file}"), "kind": "dataset"})),
        (Method::POST, "bulk/contents?parent=s:set", member),
        (Method::DELETE, "bulk/contents?parent=s:set", member),
        (Method::PATCH, "metadata", |file| json!({"did": format!("s:f/{file}"), "meta": {"n": 1}})),
    ]
}

async fn stream(lake: &TestLake, (method, path): (Method, &str), key: &SecretText, body: Body) -> Response {
    let asked = reqwest::Client::new().request(method, format!("{}/api/v1/{path}", lake.url()));
    asked.bearer_auth(key.reveal()).body(body).send().await.expect("an answer")
}

#[tokio::test]
async fn a_stream_goes_on_only_as_long_as_its_account_may() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let files: Vec<_> = (0..1_003).map(|file| line(&format!("f/{file}"), b"same")).collect();
    assert_eq!(lake.register("s:files", "x", &files).await.0, 1_003);
    lake.make("s:d", DidKind::Dataset).await;
    lake.make("s:set", DidKind::Dataset).await;
    let (_, _) = add(&lake, "bob").await;
    let give = async |owner: &str| {
        let change = ScopeChange { owner: account(owner) };
        lake.client.change_scope(&scope("s"), &change).await.expect("root may");
    };
    let suspend = async |suspended| {
        let change = AccountChange { suspended: Some(suspended), ..AccountChange::default() };
        lake.client.change_account(&account("bob"), &change).await.expect("root may");
    };
    for (happens, code) in [("given", "denied"), ("revoked", "unauthenticated"), ("suspended", "unauthenticated")] {
        for (method, path, line) in doors() {
            suspend(false).await;
            give("bob").await;
            let (key, id) = key_of(&lake, "bob").await;
            let lines = |from: u32, to: u32| {
                Ok::<_, std::io::Error>((from..to).map(|file| line(file).to_string() + "\n").collect::<String>())
            };
            let (send, body) = mpsc::unbounded();
            send.unbounded_send(lines(0, 1_000)).expect("it is open");
            let mut answer = stream(&lake, (method.clone(), path), &key, Body::wrap_stream(body)).await;
            assert_eq!(good(&next_chunk(&mut answer).await), 1_000, "{method} {path}");
            match happens {
                "given" => give("root").await,
                "revoked" => lake.client.revoke_key(&account("bob"), &id).await.expect("root may"),
                _ => suspend(true).await,
            }
            send.unbounded_send(lines(1_000, 1_003)).expect("it is open");
            drop(send);
            let chunk = next_chunk(&mut answer).await;
            assert_eq!(good(&chunk), 0, "{happens}: {method} {path}");
            let refused: Vec<RefusedLine> = serde_json::from_value(chunk["refused"].clone()).expect("a list");
            let told: Vec<_> = refused.iter().map(|refused| (refused.line, refused.code.as_str())).collect();
            assert_eq!(told, [(1_001, code), (1_002, code), (1_003, code)], "{happens}: {method} {path}");
            assert!(refused.iter().all(|refused| refused.hint.is_some()), "{happens}: {refused:?}");
        }
    }
    // An upload is decided anew before it is published.
    suspend(false).await;
    give("bob").await;
    let client = lake.with_key(&key_of(&lake, "bob").await.0);
    let files = vec![NewUpload { name: "up".to_owned(), bytes: 4, checksum: blake3_of(b"same"), meta: None }];
    let new = NewUploads { to: did("s:his"), endpoint: name("x"), files };
    let Some(UploadView::Put { url, .. }) = client.announce(&new).await.expect("his").items.pop() else {
        panic!("it is wanted")
    };
    give("root").await;
    let put = async || reqwest::Client::new().put(&url).body("same").send().await.expect("an answer").status();
    assert_eq!(put().await, 403);
    assert!(!lake.root("x").join("s/up").exists());
    give("bob").await;
    assert_eq!(put().await, 201, "and again when he may");
    lake.is_well().await;
}
