//! Metadata of DIDs, at the command line and in the API: given, read, patched, and hidden with what it
//! is of.

use dapple::client::ClientError;
use dapple::model::api_key::KeyScope;
use dapple::model::did::DidKind;
use dapple::service::view::{LabelsChange, MetadataObject};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{TestLake, did};

impl TestLake {
    async fn meta(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> reqwest::Response {
        let url = format!("{}/api/v1/metadata{path}", self.url());
        let asked = reqwest::Client::new().request(method, url).bearer_auth(self.key());
        let asked = headers.iter().fold(asked, |asked, (name, value)| asked.header(*name, *value));
        asked.body(body.to_string()).send().await.expect("an answer")
    }
}

async fn value(answer: reqwest::Response) -> Value {
    serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
}

fn object(value: Value) -> MetadataObject {
    serde_json::from_value(value).expect("an object")
}

fn code<T>(outcome: Result<T, ClientError>) -> String {
    outcome.err().expect("it is refused").problem().code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_looked_after_at_the_command_line() {
    let lake = TestLake::with_endpoints(&[]).await;
    lake.make("s:d", DidKind::Dataset).await;
    assert_eq!(lake.good(&["did", "meta", "s:d"]).await, "");
    let set = ["did", "meta", "s:d", "--set", "title=Sea ice", "--set", "eo:cloud_cover=0.5", "--set", "a={\"b\":[1]}"];
    let shown = "a\t{\"b\":[1]}\neo:cloud_cover\t0.5\ntitle\tSea ice\n";
    assert_eq!(lake.good(&[&set[..], &["--dry-run"]].concat()).await, shown);
    assert_eq!(lake.good(&["did", "meta", "s:d"]).await, "", "it was a dry run");
    assert_eq!(lake.good(&set).await, shown);
    lake.good(&["did", "meta", "s:d", "--unset", "a", "--set", "title=Ice"]).await;
    let json: Value = serde_json::from_str(&lake.good(&["did", "meta", "s:d", "-o", "json"]).await).expect("JSON");
    assert_eq!(json["metadata"], json!({"eo:cloud_cover": 0.5, "title": "Ice"}));
    assert_eq!((&json["revision"], &json["updated_by"]), (&json!(2), &json!("root")));

    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("meta.json");
    std::fs::write(&file, r#"{"keywords": ["ice"]}"#).expect("written");
    let file = file.to_str().expect("text");
    assert_eq!(lake.good(&["did", "meta", "s:d", "--from", file]).await, "keywords\t[\"ice\"]\n");
    let shown = lake.client.did(&did("s:d")).await.expect("there");
    assert_eq!(shown.metadata, object(json!({"keywords": ["ice"]})));

    let refused = lake.typed(None, &["did", "meta", "s:d", "--set", "bbox=[0,0,1,1]"]).await;
    assert_eq!(refused.code, 2, "{}", refused.told);
    assert!(refused.told.contains("metadata `bbox`: the key is reserved"), "{}", refused.told);
    assert!(refused.told.contains("hint: the box follows from `geometry`"), "{}", refused.told);

    lake.make("s:e", DidKind::Dataset).await;
    let lines = scratch.path().join("lines");
    let text = "{\"did\":\"s:d\",\"meta\":{\"n\":1}}\n{\"did\":\"s:e\",\"meta\":{\"n\":2}}\n{\"did\":\"s:d\",\"meta\":\
                {\"n\":1}}\n{\"did\":\"s:none\",\"meta\":{}}\n{\"did\":\"s:e\",\"meta\":{\"title\":1}}\n{}\n";
    std::fs::write(&lines, text).expect("written");
    let many = ["did", "meta", "--lines", lines.to_str().expect("text")];
    let rehearsed = lake.typed(None, &[&many[..], &["--dry-run"]].concat()).await;
    assert_eq!((rehearsed.code, rehearsed.out.as_str()), (3, "2\t1\t3\n"), "{}", rehearsed.told);
    assert!(lake.client.metadata(&did("s:e")).await.expect("there").metadata.0.is_empty(), "it was a dry run");
    let done = lake.typed(None, &many).await;
    assert_eq!((done.code, done.out.as_str()), (3, "2\t1\t3\n"), "{}", done.told);
    for (line, code) in [(4, "not-found"), (5, "invalid-metadata"), (6, "invalid-line")] {
        let told = done.told.lines().find(|told| told.starts_with(&format!("line {line}:")));
        assert!(told.is_some_and(|told| told.contains(code)), "{}", done.told);
    }
    let merged = lake.client.metadata(&did("s:d")).await.expect("there").metadata;
    assert_eq!(merged, object(json!({"keywords": ["ice"], "n": 1})));
    lake.typed(None, &[&many[..], &["--replace"]].concat()).await;
    assert_eq!(lake.client.metadata(&did("s:d")).await.expect("there").metadata, object(json!({"n": 1})));
    lake.is_well().await;
}

#[tokio::test]
async fn changes_of_metadata_keep_to_their_terms_and_are_fed() {
    let lake = TestLake::with_endpoints(&[]).await;
    lake.make("s:d", DidKind::Dataset).await;
    let before = lake.changes(0, 1_000).await["items"].as_array().map_or(0, Vec::len);
    let none = lake.meta(Method::GET, "/s/d", &[], &json!({})).await;
    let absent = none.headers()["etag"].to_str().expect("text").to_owned();
    assert_eq!(value(none).await, json!({"did": "s:d", "metadata": {}, "revision": 0}));

    let key = [("content-type", "application/json"), ("idempotency-key", "k"), ("if-match", absent.as_str())];
    let first = lake.meta(Method::PUT, "/s/d", &key, &json!({"b": 1, "a": {"x": 1}})).await;
    assert_eq!(first.status(), StatusCode::OK);
    let tag = first.headers()["etag"].to_str().expect("text").to_owned();
    let again = lake.meta(Method::PUT, "/s/d", &key, &json!({"b": 1, "a": {"x": 1}})).await;
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    let stale = [("content-type", "application/merge-patch+json"), ("if-match", absent.as_str())];
    let late = lake.meta(Method::PATCH, "/s/d", &stale, &json!({"b": 2})).await;
    assert_eq!(late.status(), StatusCode::PRECONDITION_FAILED);
    let fresh = [stale[0], ("if-match", tag.as_str())];
    let patched =
        value(lake.meta(Method::PATCH, "/s/d", &fresh, &json!({"a": {"x": null, "y": 2}, "b": null})).await).await;
    assert_eq!(patched["metadata"], json!({"a": {"y": 2}}));
    // What changes nothing is no change; what is emptied is as it was at first.
    let same = value(lake.meta(Method::PATCH, "/s/d", &stale[..1], &json!({"a": {"y": 2}})).await).await;
    assert_eq!(same["revision"], 2);
    let gone = lake.meta(Method::PUT, "/s/d", &key[..1], &json!({})).await;
    assert_eq!(gone.headers()["etag"].to_str().expect("text").split('.').next(), absent.split('.').next());
    let list = lake.meta(Method::PUT, "/s/d", &key[..1], &json!([1])).await;
    assert_eq!(value(list).await["code"], "invalid-body");

    let changes = lake.changes(0, 1_000).await;
    let changes = changes["items"].as_array().expect("a list");
    let told = changes[before..].iter().filter(|change| change.get("metadata_changed").is_some());
    assert_eq!((changes.len() - before, told.count()), (3, 3), "{changes:#?}");
    // A chunk may write more than one transaction takes.
    let long = "x".repeat(50_000);
    let names: Vec<String> = (0..120).map(|number| format!("s:many{number}")).collect();
    for name in &names {
        lake.make(name, DidKind::Dataset).await;
    }
    let lines: Vec<String> = names
        .iter()
        .map(|name| json!({"did": name, "meta": {"n": name, "long": &long[..15_000]}}).to_string())
        .collect();
    let url = format!("{}/api/v1/metadata", lake.url());
    let sent = reqwest::Client::new().request(Method::PATCH, &url).bearer_auth(lake.key()).body(lines.join("\n"));
    let text = sent.send().await.expect("an answer").text().await.expect("lines");
    let chunks: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(chunks.len() > 1, "long lines make smaller chunks: {text}");
    assert_eq!(chunks.iter().map(|chunk| chunk["changed"].as_u64().expect("a number")).sum::<u64>(), 120);
    // Short lines can add up to much, as what was there before stays.
    for name in &names {
        let large = object(json!({"long": long}));
        lake.client.replace_metadata(&did(name), &large).await.expect("it fits");
    }
    let lines: Vec<String> = names.iter().map(|name| json!({"did": name, "meta": {"n": 1}}).to_string()).collect();
    let sent = reqwest::Client::new().request(Method::PATCH, &url).bearer_auth(lake.key()).body(lines.join("\n"));
    let chunk = value(sent.send().await.expect("an answer")).await;
    assert_eq!((&chunk["line"], &chunk["changed"]), (&json!(1), &json!(120)), "{chunk}");
    lake.is_well().await;
}

#[tokio::test]
async fn metadata_is_hidden_with_its_did_and_changed_by_those_who_may_write_it() {
    let lake = TestLake::with_endpoints(&[]).await;
    for name in ["s:open", "s:hidden"] {
        lake.make(name, DidKind::Dataset).await;
        lake.client.replace_metadata(&did(name), &object(json!({"title": name}))).await.expect("root may");
    }
    let secret = LabelsChange { labels: vec!["classification=personal".to_owned()] };
    lake.client.label_did(&did("s:hidden"), &secret).await.expect("root may");
    let bob = lake.as_account("bob", &[KeyScope::Read, KeyScope::Write]).await;
    let title = bob.metadata(&did("s:open")).await.expect("he sees it").metadata;
    assert_eq!(title, object(json!({"title": "s:open"})));
    let patch = object(json!({"title": "mine"}));
    assert_eq!(code(bob.patch_metadata(&did("s:open"), &patch).await), "denied");
    for absent in ["s:hidden", "s:nothing"] {
        assert_eq!(code(bob.metadata(&did(absent)).await), "not-found");
        assert_eq!(code(bob.patch_metadata(&did(absent), &patch).await), "not-found");
        assert_eq!(code(bob.replace_metadata(&did(absent), &patch).await), "not-found");
    }
    let lines =
        ["s:open", "s:hidden", "s:nothing"].map(|name| format!("{{\"did\":\"{name}\",\"meta\":{{\"a\":1}}}}\n"));
    let lines = futures::stream::iter([Ok(bytes::Bytes::from(lines.concat()))]);
    let answers = bob.patch_many_metadata(false, Box::pin(lines)).await.expect("answered");
    let chunks: Vec<_> = futures::StreamExt::collect(answers).await;
    let refused = &chunks[0].as_ref().expect("a chunk").refused;
    let told: Vec<_> = refused.iter().map(|refused| (refused.line, refused.code.as_str())).collect();
    assert_eq!(told, [(1, "denied"), (2, "not-found"), (3, "not-found")]);
    assert_eq!(refused[1].detail.replace("hidden", ""), refused[2].detail.replace("nothing", ""));
    let kept = lake.client.metadata(&did("s:hidden")).await.expect("root sees it").metadata;
    assert_eq!(kept, object(json!({"title": "s:hidden"})), "nothing of bob's came of it");
}

/// What is said of a DID.
async fn said(lake: &TestLake, of: &str) -> Value {
    serde_json::to_value(lake.client.metadata(&did(of)).await.expect("there").metadata).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_comes_with_files_that_are_put() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let scratch = tempfile::tempdir().expect("a directory");
    let tree = scratch.path().join("tree");
    std::fs::create_dir_all(tree.join("a")).expect("made");
    for name in ["a/1", "a/2", "b"] {
        std::fs::write(tree.join(name), name).expect("written");
    }
    let (of_all, of_files) = (scratch.path().join("all.json"), scratch.path().join("files.ndjson"));
    std::fs::write(&of_all, r#"{"title": "All", "n": 1}"#).expect("written");
    let line = |file: &str, meta: &str| format!("{{\"file\":\"{file}\",\"meta\":{meta}}}\n");
    std::fs::write(&of_files, line("a/1", r#"{"n":1}"#) + &line("b", r#"{"bbox":[]}"#)).expect("written");
    let text = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    let (tree_text, of_all, of_files_text) = (text(&tree), text(&of_all), text(&of_files));
    let put = ["put", &tree_text, "--to", "s:d", "--endpoint", "x", "--meta", &of_all, "--meta", "n=2"];
    let put = [&put[..], &["--file-meta", &of_files_text]].concat();
    let refused = lake.typed(None, &put).await;
    assert_eq!(refused.code, 2, "{}", refused.told);
    assert!(refused.told.contains("files.ndjson, line 2: metadata `bbox`: the key is reserved"), "{}", refused.told);
    assert!(lake.client.did(&did("s:d")).await.is_err(), "nothing was sent");

    std::fs::write(&of_files, line("a/1", r#"{"n":1}"#) + "\n" + &line("b", r#"{"n":2}"#)).expect("written");
    lake.good(&[&put[..], &["--dry-run"]].concat()).await;
    assert!(lake.client.did(&did("s:d")).await.is_err(), "it was a dry run");
    lake.good(&put).await;
    assert_eq!(said(&lake, "s:d").await, json!({"title": "All", "n": 2}));
    let of = async |name: &str| said(&lake, name).await;
    assert_eq!(
        (of("s:d/a/1").await, of("s:d/a/2").await, of("s:d/b").await),
        (json!({"n": 1}), json!({}), json!({"n": 2}))
    );
    // Put again, what the lines say now holds; what they do not name stays, and misspelt names are told.
    std::fs::write(&of_files, line("a/2", r#"{"n":3}"#) + &line("b", r#"{"m":1}"#) + &line("a/3", "{}"))
        .expect("written");
    let again = lake.typed(None, &put).await;
    assert_eq!((again.code, again.told.contains("no-such-file")), (3, true), "{}", again.told);
    assert_eq!(
        (of("s:d/a/1").await, of("s:d/a/2").await, of("s:d/b").await),
        (json!({"n": 1}), json!({"n": 3}), json!({"m": 1}))
    );
    lake.is_well().await;
}

#[tokio::test]
async fn metadata_comes_with_files_that_are_registered() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    let line = |name: &str, meta: Value| {
        json!({"name": name, "bytes": 1, "checksum": "adler32:00620062", "meta": meta}).to_string()
    };
    let lines = [line("a", json!({"n": 1})), line("b", json!({"links": []})), line("c", json!({}))];
    let answer = lake.raw_register("s:d", "x", lines.join("\n")).await;
    let chunk: Value = serde_json::from_str(&answer).expect("a chunk");
    assert_eq!(
        (&chunk["registered"], &chunk["refused"][0]["code"]),
        (&json!(2), &json!("invalid-metadata")),
        "{chunk}"
    );
    assert!(lake.client.did(&did("s:b")).await.is_err(), "nothing of it was stored");
    assert_eq!(lake.client.did(&did("s:a")).await.expect("there").metadata, object(json!({"n": 1})));
    let plain = |name: &str| json!({"name": name, "bytes": 1, "checksum": "adler32:00620062"}).to_string();
    let lines = [plain("a"), line("c", json!({"n": 3}))];
    lake.raw_register("s:d", "y", lines.join("\n")).await;
    assert_eq!((said(&lake, "s:a").await, said(&lake, "s:c").await), (json!({"n": 1}), json!({"n": 3})));
    // Much may be said of many: it is more than one transaction takes.
    let long = "x".repeat(900);
    let many: Vec<String> = (0..3_000).map(|n| line(&format!("many/{n}"), json!({"n": n, "long": long}))).collect();
    let answer = lake.raw_register("s:many", "x", many.join("\n")).await;
    let sum = |key: &str| {
        let chunks = answer.lines().map(|line| serde_json::from_str::<Value>(line).expect("a chunk"));
        chunks.map(|chunk| chunk[key].as_u64().expect("a number")).sum::<u64>()
    };
    assert_eq!(sum("registered"), 3_000, "{answer}");
    assert_eq!(said(&lake, "s:many/2999").await["n"], 2_999);
    // 1e15 is longer as it is stored than as it was sent.
    let numbers = |name: &str| {
        let list = vec!["1e15"; 3_000].join(",");
        format!("{{\"name\":\"{name}\",\"bytes\":1,\"checksum\":\"adler32:00620062\",\"meta\":{{\"l\":[{list}]}}}}")
    };
    let many: Vec<String> = (0..60).map(|n| numbers(&format!("numbers/{n}"))).collect();
    let answer = lake.raw_register("s:many", "x", many.join("\n")).await;
    assert!(answer.contains("\"registered\":60"), "{answer}");
    lake.is_well().await;
}

/// Files, once they are known, are written by nobody but admins; all else is everybody's.
const POLICIES: &str = r#"
// All.
@id("all")
permit (principal is Dapple::Account, action, resource);
// But not this.
@id("kept")
forbid (principal is Dapple::Account, action == Dapple::Action::"Write", resource is Dapple::Did)
when { resource.kind == "file" && !principal.admin };
"#;

#[tokio::test]
async fn known_files_are_described_by_those_alone_who_may_write_them() {
    let policies = tempfile::tempdir().expect("a directory");
    std::fs::write(policies.path().join("all.cedar"), POLICIES).expect("written");
    let settings = format!("[policy]\ndir = {:?}\n", policies.path());
    let lake = TestLake::with_settings(&settings, &["x"]).await;
    let bob = lake.as_account("bob", &[KeyScope::Read, KeyScope::Write]).await;
    let register = async |meta: &str| {
        let line = format!("{{\"name\":\"a\",\"bytes\":1,\"checksum\":\"{}\"{meta}}}", super::blake3_of(b"a"));
        let lines = futures::stream::iter([Ok(bytes::Bytes::from(line))]);
        let answers = bob.register(&did("s:d"), &super::name("x"), Box::pin(lines)).await.expect("answered");
        let chunks: Vec<_> = futures::StreamExt::collect(answers).await;
        let chunk = chunks[0].as_ref().expect("a chunk");
        let refused: Vec<_> = chunk.refused.iter().map(|refused| refused.code.clone()).collect();
        (chunk.registered, chunk.known, refused.join(","))
    };
    assert_eq!(register(",\"meta\":{\"n\":1}").await, (1, 0, String::new()));
    assert_eq!(register("").await, (0, 0, "denied".to_owned()), "nothing of what is known is said again");
    // The same as there is, or other: the answer does not tell which.
    for meta in ["{\"n\":1}", "{\"n\":2}"] {
        assert_eq!(register(&format!(",\"meta\":{meta}")).await, (0, 0, "denied".to_owned()));
        let file = dapple::service::view::NewUpload {
            name: "a".to_owned(),
            bytes: 1,
            checksum: super::blake3_of(b"a"),
            meta: Some(serde_json::from_str(meta).expect("an object")),
        };
        let new = dapple::service::view::NewUploads { to: did("s:d"), endpoint: super::name("x"), files: vec![file] };
        let answers = serde_json::to_string(&bob.announce(&new).await.expect("answered")).expect("JSON");
        assert!(answers.contains("\"denied\""), "{answers}");
        lake.client.announce(&new).await.expect("answered");
        assert_eq!(said(&lake, "s:a").await, serde_json::from_str::<Value>(meta).expect("JSON"), "root may");
    }
}

#[tokio::test]
async fn a_page_shows_what_is_said_of_a_did_as_text() {
    let lake = TestLake::with_endpoints(&[]).await;
    lake.make("s:d", DidKind::Dataset).await;
    let odd = json!({"title": "<b>Ice</b>", "description": "Daily", "nested": {"a": [1]}, "long": "y".repeat(3_000)});
    lake.client.replace_metadata(&did("s:d"), &object(odd)).await.expect("root may");
    let browser = super::web::Browser::signed_in(&lake, lake.key()).await;
    let page = browser.page("/data/s/d").await;
    assert!(page.contains("<p class=\"lead\">&#60;b&#62;Ice&#60;/b&#62;</p>"), "{page}");
    assert!(page.contains("<p class=\"muted\">Daily</p>") && page.contains("<h2 id=\"metadata\">Metadata</h2>"));
    assert!(page.contains("{&#34;a&#34;:[1]}") && page.contains("yyy…") && !page.contains(&"y".repeat(2_001)));
}
