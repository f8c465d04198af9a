//! The terms of changes: dry runs, ETags, Idempotency-Key; and lists as pages, links and lines.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::TestLake;

impl TestLake {
    pub(super) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let key = &self.server.as_ref().expect("it is up").admin_key;
        reqwest::Client::new().request(method, format!("{}/api/v1{path}", self.url())).bearer_auth(key)
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path).send().await.expect("an answer")
    }
}

pub(super) async fn post(asked: RequestBuilder, body: Value) -> Response {
    asked.header("content-type", "application/json").body(body.to_string()).send().await.expect("an answer")
}

pub(super) async fn value(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_and_changes_nothing() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    let before = lake.changes(0, 1_000).await;
    let rule = json!({"did": "s:d", "copies": 2, "expression": "*"});
    let answer = post(lake.ask(Method::POST, "/rules?dry_run=true"), rule).await;
    assert_eq!((answer.status(), &answer.headers()["dry-run"]), (StatusCode::OK, &"true".parse().expect("text")));
    let shown = value(answer).await;
    let bytes: usize = (0..3).map(|number| super::numbered("s:d", number).len()).sum();
    let plan = json!({"complete": true, "endpoints": [
        {"endpoint": "x", "files": 0, "bytes": 0}, {"endpoint": "y", "files": 3, "bytes": bytes},
    ]});
    assert_eq!(shown["plan"], plan, "{shown:#}");
    let location = lake.root("z");
    let new = json!({"name": "z", "kind": "posix", "location": location, "create": true});
    let answer = post(lake.ask(Method::POST, "/endpoints?dry_run=true"), new).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!location.exists(), "no root was made");
    let upload = json!({"to": "s:new", "endpoint": "x", "files": [
        {"name": "f", "bytes": 1, "checksum": super::blake3_of(b"1")},
    ]});
    let shown = value(post(lake.ask(Method::POST, "/uploads?dry_run=true"), upload).await).await;
    assert!(shown["items"][0]["url"].as_str().is_some_and(|url| url.ends_with("?grant=")), "{shown:#}");
    let missing = json!({"did": "s:missing", "copies": 2, "expression": "*"});
    let refused = post(lake.ask(Method::POST, "/rules?dry_run=true"), missing).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND, "every check is made");
    let worker = value(post(lake.ask(Method::POST, "/workers/check/pause?dry_run=true"), json!({})).await).await;
    assert_eq!(worker["state"], "paused");
    assert_eq!(lake.get("/dids/s/new").await.status(), StatusCode::NOT_FOUND);
    assert!(!value(lake.get("/workers").await).await.to_string().contains("paused"));
    assert!(lake.client.rules(None).page(10, None).await.expect("listed").items.is_empty());
    assert_eq!(lake.changes(0, 1_000).await, before, "nothing reached the change feed");
}

#[tokio::test]
async fn who_has_not_seen_the_present_state_does_not_change_it() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let rule = lake.rule("s:d", 1, "*").await;
    let cases = [
        (format!("/rules/{rule}"), Method::PATCH, format!("/rules/{rule}"), json!({"lifetime_seconds": 9_000})),
        ("/endpoints/x".to_owned(), Method::PATCH, "/endpoints/x".to_owned(), json!({"attributes": {"tier": "1"}})),
        ("/dids/s/d".to_owned(), Method::PATCH, "/dids/s/d".to_owned(), json!({"closed": true})),
        ("/dids/s/d".to_owned(), Method::DELETE, "/contents/s/d".to_owned(), json!({"dids": ["s:d/0"]})),
    ];
    for (shown_at, method, path, change) in cases {
        let seen = lake.get(&shown_at).await.headers()["etag"].clone();
        let asked = || lake.ask(method.clone(), &path).header("if-match", &seen);
        let first = post(asked(), change.clone()).await;
        assert_eq!(first.status(), StatusCode::OK, "{path}");
        assert_ne!(first.headers()["etag"], seen, "{path}");
        let second = post(asked(), change.clone()).await;
        assert_eq!(second.status(), StatusCode::PRECONDITION_FAILED, "{path}");
        assert_eq!(value(second).await["code"], "changed-meanwhile", "{path}");
        let any = post(lake.ask(method.clone(), &path).header("if-match", "*"), change.clone()).await;
        assert_eq!(any.status(), StatusCode::OK, "{path}");
    }
    let unheard = post(lake.ask(Method::POST, "/scopes").header("if-match", "\"x\""), json!({"scope": "t"})).await;
    assert_eq!(value(unheard).await["code"], "header-not-taken");
    let seen = lake.get("/scopes/s").await.headers()["etag"].clone();
    let again = lake.ask(Method::GET, "/scopes/s").header("if-none-match", &seen).send().await.expect("an answer");
    assert_eq!((again.status(), &again.headers()["etag"]), (StatusCode::NOT_MODIFIED, &seen));
    let other = lake.ask(Method::GET, "/scopes/s").header("if-none-match", "\"a.b\"").send().await.expect("an answer");
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_request_with_a_key_is_carried_out_once_also_across_a_restart() {
    let mut lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let rule = json!({"did": "s:d", "copies": 1, "expression": "*"});
    let ask = |lake: &TestLake, body: &Value| {
        post(lake.ask(Method::POST, "/rules").header("idempotency-key", "key-1"), body.clone())
    };
    let first = ask(&lake, &rule).await;
    assert_eq!((first.status(), first.headers().get("idempotency-replayed")), (StatusCode::CREATED, None));
    let (tag, first) = (first.headers()["etag"].clone(), value(first).await);
    lake.restart().await;
    let again = ask(&lake, &rule).await;
    assert_eq!(again.status(), StatusCode::CREATED);
    assert_eq!((&again.headers()["idempotency-replayed"], &again.headers()["etag"]), (&"true".parse().unwrap(), &tag));
    assert_eq!(value(again).await, first);
    assert_eq!(lake.client.rules(None).page(10, None).await.expect("listed").items.len(), 1);
    let other = ask(&lake, &json!({"did": "s:d", "copies": 2, "expression": "*"})).await;
    assert_eq!(other.status(), StatusCode::CONFLICT);
    assert_eq!(value(other).await["code"], "idempotency-key-reused");
    // What was told to a key that shows all is not told to one that shows less.
    let narrow = json!({"name": "narrow", "scopes": ["read"], "expires_seconds": 60});
    let narrow = value(post(lake.ask(Method::POST, "/accounts/root/keys"), narrow).await).await["key"].clone();
    let asked = reqwest::Client::new().post(format!("{}/api/v1/rules", lake.url()));
    let asked = asked.bearer_auth(narrow.as_str().expect("a key")).header("idempotency-key", "key-1");
    let withheld = post(asked, rule.clone()).await;
    assert_eq!(withheld.status(), StatusCode::CONFLICT);
    assert_eq!(value(withheld).await["code"], "idempotency-key-reused");
    // Refusals that stay ones are kept as well, with the request id of the first.
    let refuse = async |key: &str, rule: serde_json::Value| {
        value(post(lake.ask(Method::POST, "/rules").header("idempotency-key", key.to_owned()), rule).await).await
    };
    let invalid = json!({"did": "s:d", "copies": 1, "expression": "(("});
    let (one, two) = (refuse("key-2", invalid.clone()).await, refuse("key-2", invalid).await);
    assert_eq!((&one["status"], &one["request_id"]), (&json!(400), &two["request_id"]));
    // One that is too long to be kept is told whole, each time.
    let long = json!({"x".repeat(70_000): 1});
    let (one, two) = (refuse("key-5", long.clone()).await, refuse("key-5", long).await);
    assert_eq!((&one["code"], &two["code"]), (&json!("invalid-body"), &json!("invalid-body")));
    assert_ne!(one["request_id"], two["request_id"]);
    // What is not there yet may come.
    let missing = json!({"did": "s:nothing", "copies": 1, "expression": "*"});
    let (one, two) = (refuse("key-4", missing.clone()).await, refuse("key-4", missing).await);
    assert_eq!((&one["status"], &two["status"]), (&json!(404), &json!(404)));
    assert_ne!(one["request_id"], two["request_id"]);
    let id = first["id"].as_str().expect("an id");
    let remove = || lake.ask(Method::DELETE, &format!("/rules/{id}")).header("idempotency-key", "key-3").send();
    for _ in 0..2 {
        assert_eq!(remove().await.expect("an answer").status(), StatusCode::NO_CONTENT);
    }
    let bad = post(lake.ask(Method::POST, "/scopes").header("idempotency-key", "a b"), json!({"scope": "t"})).await;
    assert_eq!(value(bad).await["code"], "invalid-idempotency-key");
    let stream = lake.ask(Method::POST, "/replicas?to=s:d&endpoint=x").header("idempotency-key", "k");
    assert_eq!(value(stream.send().await.expect("an answer")).await["code"], "header-not-taken");
}

#[tokio::test]
async fn of_requests_with_one_key_at_the_same_time_one_is_carried_out() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let rule = json!({"did": "s:d", "copies": 1, "expression": "*"});
    let asked = (0..8).map(|_| post(lake.ask(Method::POST, "/rules").header("idempotency-key", "same"), rule.clone()));
    for answer in futures::future::join_all(asked).await {
        match answer.status() {
            StatusCode::CREATED => {}
            _ => assert_eq!(value(answer).await["code"], "in-progress"),
        }
    }
    assert_eq!(lake.client.rules(None).page(10, None).await.expect("listed").items.len(), 1);
}

#[tokio::test]
async fn a_list_comes_as_linked_pages_or_as_lines() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..5).await;
    let (mut path, mut names, mut pages) = ("/contents/s/d?limit=2".to_owned(), Vec::new(), 0);
    loop {
        let answer = lake.get(&path).await;
        let link = answer.headers().get("link").map(|link| link.to_str().expect("text").to_owned());
        let page = value(answer).await;
        names.extend(page["items"].as_array().expect("items").iter().map(|item| item["did"].clone()));
        pages += 1;
        assert_eq!(link.is_some(), page.get("next").is_some());
        let Some(link) = link else { break };
        let target = link.strip_prefix("</api/v1").and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
        target.expect("a link").clone_into(&mut path);
    }
    assert_eq!((names.len(), pages), (5, 3));
    for list in ["/contents/s/d?limit=2", "/dids/s", "/replicas/s/d?limit=1", "/rules", "/transfers", "/endpoints"] {
        let asked = lake.ask(Method::GET, list).header("accept", "application/x-ndjson");
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "application/x-ndjson", "{list}");
        let text = answer.text().await.expect("lines");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let expected = [("/contents", 5), ("/dids", 6), ("/replicas", 5), ("/endpoints", 1)];
        let expected = expected.iter().find(|(path, _)| list.starts_with(path)).map_or(0, |(_, count)| *count);
        assert_eq!(lines.len(), expected, "{list}");
    }
}

#[tokio::test]
async fn whatever_is_wrong_is_told_as_a_problem() {
    let lake = TestLake::with_endpoints(&[]).await;
    let long = format!("{{\"scope\": \"{}\"}}", "x".repeat(5 << 20));
    let as_json = |asked: RequestBuilder| asked.header("content-type", "application/json");
    let cases = [
        (lake.ask(Method::GET, "/nothing"), 404, "no-such-route"),
        (lake.ask(Method::PUT, "/scopes"), 405, "no-such-method"),
        (as_json(lake.ask(Method::POST, "/scopes")).body("{"), 400, "invalid-body"),
        (as_json(lake.ask(Method::POST, "/scopes")).body(long), 413, "body-too-large"),
        (lake.ask(Method::POST, "/scopes").header("content-type", "text/plain").body("x"), 415, "not-json"),
        (lake.ask(Method::GET, "/scopes?limit=0"), 400, "invalid-limit"),
        (as_json(lake.ask(Method::POST, "/scopes?dry_run=perhaps")).body("{}"), 400, "invalid-query"),
    ];
    for (asked, status, code) in cases {
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{code}");
        assert_eq!(answer.status().as_u16(), status, "{code}");
        let id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
        let problem = value(answer).await;
        assert_eq!((&problem["code"], &problem["request_id"]), (&json!(code), &json!(id)));
    }
    let open = reqwest::get(format!("{}/api/v1/openapi.json", lake.url())).await.expect("an answer");
    let described = value(open).await;
    assert_eq!(described["openapi"], "3.1.0");
    assert!(described["paths"]["/api/v1/dids/{scope}/{name}"]["get"].is_object());
}
