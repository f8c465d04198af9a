//! The web pages over HTTP, and in a real browser.

use dapple::model::account::AccountKind;
use dapple::model::did::DidKind;
use dapple::model::rule::RuleState;
use dapple::service::view::{LabelsChange, NewPassword, SecretText};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode, header};

use super::accounts::{account, new_account};
use super::{TestLake, did};

mod journey;

/// A browser without scripts: it keeps one cookie, says where forms come from, and follows nothing.
pub(crate) struct Browser {
    http: reqwest::Client,
    url: String,
    cookie: Option<String>,
}

impl Browser {
    pub(super) fn new(lake: &TestLake) -> Self {
        let http = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().expect("a client");
        Self { http, url: lake.url().to_owned(), cookie: None }
    }

    pub(crate) async fn signed_in(lake: &TestLake, key: &str) -> Self {
        let mut browser = Self::new(lake);
        let answer = browser.post("/sign-in", &[("key", key)]).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        browser.keep(&answer);
        browser
    }

    fn keep(&mut self, answer: &Response) {
        let set = answer.headers()[header::SET_COOKIE].to_str().expect("text");
        self.cookie = set.split(';').next().map(str::to_owned);
    }

    async fn ask(&self, method: Method, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Response {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        if method == Method::POST {
            let pairs = fields.iter().map(|(key, value)| format!("{key}={}", encoded(value)));
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            request = request.body(pairs.collect::<Vec<_>>().join("&"));
        }
        request.send().await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, &[], &[]).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.ask(Method::POST, path, fields, &[("sec-fetch-site", "same-origin")]).await
    }

    /// The text of a page that is there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.expect("text")
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn goes_to(answer: &Response) -> &str {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    answer.headers()[header::LOCATION].to_str().expect("text")
}

#[tokio::test]
async fn only_who_shows_a_password_or_a_key_is_let_in_and_only_until_signing_out() {
    let lake = TestLake::with_endpoints(&[]).await;
    lake.client.add_account(&new_account("ada", AccountKind::User)).await.expect("added");
    let password = SecretText::new("correct horse battery".to_owned());
    lake.client.set_password(&account("ada"), &NewPassword { password, current: None }).await.expect("set");
    let mut browser = Browser::new(&lake);
    assert_eq!(goes_to(&browser.get("/").await), "/sign-in");
    assert_eq!(goes_to(&browser.get("/rules?state=stuck").await), "/sign-in?to=%2Frules%3Fstate%3Dstuck");
    assert!(browser.page("/sign-in").await.contains("admin.key"), "it says where a new lake's key is");
    for wrong in [[("account", "ada"), ("password", "wrong")], [("account", "eve"), ("password", "wrong")]] {
        let refused = browser.post("/sign-in", &wrong).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(refused.text().await.expect("text").contains("The account or the password is wrong."));
    }
    assert_eq!(browser.post("/sign-in", &[("key", "dapple_guess")]).await.status(), StatusCode::UNAUTHORIZED);

    let fields = [("account", "ada"), ("password", "correct horse battery"), ("to", "/rules?state=stuck")];
    let welcome = browser.post("/sign-in", &fields).await;
    assert_eq!(goes_to(&welcome), "/rules?state=stuck");
    let set = welcome.headers()[header::SET_COOKIE].to_str().expect("text");
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{set}");
    browser.keep(&welcome);
    assert!(browser.page("/").await.contains("Signed in as </span>ada"));
    let elsewhere = [("account", "ada"), ("password", "correct horse battery"), ("to", "//elsewhere.example")];
    assert_eq!(goes_to(&browser.post("/sign-in", &elsewhere).await), "/");
    // Who signs out is out, whatever the browser still has.
    assert_eq!(goes_to(&browser.post("/sign-out", &[]).await), "/sign-in?done=signed-out");
    assert_eq!(goes_to(&browser.get("/rules").await), "/sign-in?to=%2Frules");

    let browser = Browser::signed_in(&lake, lake.key()).await;
    assert!(!browser.cookie.as_deref().expect("kept").contains(lake.key()), "a browser never keeps a key");
    assert!(browser.page("/").await.contains("Signed in as </span>root"));
    browser.post("/sign-out", &[]).await;
    assert_eq!(goes_to(&browser.get("/").await), "/sign-in");
    let part = browser.ask(Method::GET, "/rules/x", &[], &[("hx-request", "true")]).await;
    assert_eq!(part.headers()["hx-redirect"], "/sign-in?to=%2Frules%2Fx", "a part of a page is no sign-in page");

    // The address that the demo prints signs in once.
    let link = lake.server.as_ref().expect("it is up").sign_in_url();
    let code = link.strip_prefix(lake.url()).expect("an address of the lake");
    let mut browser = Browser::new(&lake);
    let welcome = browser.get(code).await;
    assert_eq!(goes_to(&welcome), "/");
    browser.keep(&welcome);
    browser.page("/").await;
    assert_eq!(Browser::new(&lake).get(code).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn forms_of_other_sites_change_nothing() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let rule = lake.rule("s:d", 1, "*").await;
    let browser = Browser::signed_in(&lake, lake.key()).await;
    let remove = format!("/rules/{rule}/remove");
    let strange: [&[(&str, &str)]; 4] =
        [&[("sec-fetch-site", "cross-site")], &[("origin", "http://elsewhere.example")], &[("origin", "null")], &[]];
    for headers in strange {
        let answer = browser.ask(Method::POST, &remove, &[("a", "b")], headers).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{headers:?}");
        let page = answer.text().await.expect("text");
        assert!(page.contains("cross-site") && page.contains("Request <code>"), "{page}");
    }
    let signed_in = browser.ask(Method::POST, "/sign-in", &[("key", lake.key())], &[("origin", "null")]).await;
    assert_eq!(signed_in.status(), StatusCode::FORBIDDEN, "not even to sign in as somebody else");
    lake.until(rule, RuleState::Ok).await;
    let own = [("origin", lake.url())];
    assert_eq!(goes_to(&browser.ask(Method::POST, &remove, &[("a", "b")], &own).await), "/rules?done=removed");
}

/// Paths of all pages of a lake that has a dataset `s:d` at `x`, and a rule.
fn pages(rule: &str) -> Vec<String> {
    let known = ["/", "/rules", "/rules?state=stuck&did=s%3Ad", "/rules/new?did=s%3Ad", "/endpoints", "/endpoints/x"];
    let data = [
        "/data",
        "/data/s",
        "/data/s?prefix=d",
        "/data/s/d",
        "/data/s/d/0",
        "/search",
        "/transfers?state=failed",
        "/accounts",
    ];
    known.into_iter().chain(data).map(str::to_owned).chain([format!("/rules/{rule}")]).collect()
}

#[tokio::test]
async fn every_page_is_there_and_loads_nothing_from_elsewhere() {
    let lake = TestLake::with_endpoints(&[]).await;
    let browser = Browser::signed_in(&lake, lake.key()).await;
    for path in ["/", "/rules", "/rules/new", "/endpoints", "/data", "/data/s", "/search", "/transfers", "/accounts"] {
        let page = browser.page(path).await;
        let has_entries = ["/rules/new", "/accounts", "/data"].contains(&path);
        assert!(has_entries || page.contains("class=\"empty\""), "{path} says what to do");
    }
    lake.add_endpoint("x", &[]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    lake.rule("s:d", 1, "*").await;
    let rule = lake.rule("s:d", 1, "country=FR").await;
    lake.until(rule, RuleState::Stuck).await;
    let mut assets = Vec::new();
    for path in pages(&rule.to_string()) {
        let answer = browser.get(&path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        let page = answer.text().await.expect("text");
        assert_eq!(page.matches("<h1").count(), 1, "{path}");
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains(" onclick="), "{path}");
        for attribute in ["href=\"", "src=\"", "action=\"", "hx-get=\""] {
            for value in page.split(attribute).skip(1).map(|rest| rest.split('"').next().expect("closed")) {
                assert!(
                    value.starts_with('/') && !value.starts_with("//") || value.starts_with('#'),
                    "{path}: {value}"
                );
                assets.extend(value.starts_with("/assets/").then(|| value.to_owned()));
            }
        }
    }
    assets.sort();
    assets.dedup();
    assert_eq!(assets.len(), 4);
    for asset in assets {
        let answer = browser.get(&asset).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        let etag = answer.headers()[header::ETAG].to_str().expect("text").to_owned();
        let again = browser.ask(Method::GET, &asset, &[], &[("if-none-match", &etag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let text = answer.text().await.expect("text");
        let loads = ["@import", "url(http", "importScripts(", "fetch(\"http"];
        assert!(loads.iter().all(|load| !text.contains(load)), "{asset} loads from elsewhere");
    }
    let strange = browser.ask(Method::GET, "/strange", &[], &[("accept", "text/html,*/*;q=0.8")]).await;
    assert!(strange.headers().contains_key(header::CONTENT_SECURITY_POLICY));
    assert_eq!(strange.status(), StatusCode::NOT_FOUND);
    assert!(strange.text().await.expect("text").contains("no-such-route</p>"));
    let strange = browser.get("/strange").await;
    assert_eq!(strange.headers()[header::CONTENT_TYPE], "application/problem+json");
    for (path, status, code) in [
        ("/rules/abc", 404, "not-found"),
        ("/rules?state=odd", 400, "invalid-state"),
        ("/data/s/none", 404, "not-found"),
        ("/endpoints?after=x&after=y", 400, "invalid-query"),
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert!(answer.headers().contains_key(header::CONTENT_SECURITY_POLICY), "{path}");
        let page = answer.text().await.expect("text");
        assert!(page.contains(code) && page.contains("Request <code>") && page.contains("root"), "{path}: {page}");
    }
}

#[tokio::test]
async fn acts_of_pages_do_what_their_commands_do() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..2).await;
    let browser = Browser::signed_in(&lake, lake.key()).await;
    let wish = [("did", "s:d"), ("copies", "2"), ("expression", "*"), ("grouping", "dataset"), ("days", "3")];
    let added = browser.post("/rules", &wish).await;
    let path = goes_to(&added).strip_suffix("?done=added").expect("to the rule").to_owned();
    let id = path.rsplit('/').next().expect("its id").parse().expect("an id");
    let rule = lake.until(id, RuleState::Stuck).await;
    assert!(rule.expires_at.is_some());
    let page = browser.page(&path).await;
    assert!(page.contains("2 copies need 2 endpoints") && page.contains("Ask for 1 copy"), "{page}");
    goes_to(&browser.post(&format!("{path}/change"), &[("copies", "1")]).await);
    lake.until(id, RuleState::Ok).await;
    goes_to(&browser.post(&format!("{path}/change"), &[("expression", "place=far"), ("copies", "1")]).await);
    lake.until(id, RuleState::Stuck).await;
    let matching = [("endpoint", "x"), ("attribute", "place=far")];
    goes_to(&browser.post(&format!("{path}/match"), &matching).await);
    lake.until(id, RuleState::Ok).await;
    assert!(goes_to(&browser.post(&format!("{path}/retry"), &[]).await).ends_with("?done=retried"));
    assert!(browser.page(&format!("{path}?done=retried")).await.contains("What was stuck is tried again now."));
    let bad = [("did", "s:d/0"), ("endpoint", "x")];
    goes_to(&browser.post(&format!("{path}/declare-bad"), &bad).await);
    assert!(browser.page("/data/s/d/0").await.contains("state bad"));
    for (fields, code) in [([("copies", "0")], "invalid-copies"), ([("expression", "a=(")], "invalid-expression")] {
        let refused = browser.post(&format!("{path}/change"), &fields).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert!(refused.text().await.expect("text").contains(code));
    }
    goes_to(&browser.post("/endpoints/x/probe", &[]).await);
    goes_to(&browser.post("/endpoints/x/attributes", &[("key", "tier"), ("value", "1")]).await);
    assert!(browser.page("/endpoints/x").await.contains("tier=1"));
    goes_to(&browser.post("/endpoints/x/attributes", &[("key", "tier"), ("value", "")]).await);
    assert!(!browser.page("/endpoints/x").await.contains("tier=1"));

    let minted = browser.post("/data/s/d/1", &[("seconds", "60")]).await.text().await.expect("text");
    let url = minted.split("data-copy=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a URL");
    let read = reqwest::get(url.replace("&amp;", "&")).await.expect("an answer");
    assert_eq!(read.status(), StatusCode::OK);
    for tool in ["curl", "wget", "urllib", "fsspec", "read_blob", "rclone copyurl", "/vsicurl/"] {
        assert!(minted.contains(tool), "{tool}");
    }
    let whole = browser.post("/data/s/d", &[("seconds", "60")]).await.text().await.expect("text");
    assert!(whole.contains("rclone copy --http-url"));
    goes_to(&browser.post(&format!("{path}/remove"), &[]).await);
}

#[tokio::test]
async fn what_policy_hides_is_on_no_page_and_odd_names_are_text() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    for dataset in ["s:open", "s:secret"] {
        lake.put_numbered(dataset, "x", 0..2).await;
    }
    let odd = "s:a<script>\"'&?#%2F é";
    lake.make(odd, DidKind::Dataset).await;
    let label = LabelsChange { labels: vec!["classification=restricted".to_owned()] };
    lake.client.label_did(&did("s:secret"), &label).await.expect("root may");
    let rule = lake.rule("s:secret", 1, "country=FR").await;
    lake.until(rule, RuleState::Stuck).await;
    lake.client.add_account(&new_account("bob", AccountKind::User)).await.expect("added");
    let password = || SecretText::new("correct horse battery".to_owned());
    let new = NewPassword { password: password(), current: None };
    lake.client.set_password(&account("bob"), &new).await.expect("set");
    let (root, mut bob) = (Browser::signed_in(&lake, lake.key()).await, Browser::new(&lake));
    let welcome = bob.post("/sign-in", &[("account", "bob"), ("password", "correct horse battery")]).await;
    bob.keep(&welcome);
    let mut seen = 0;
    for path in ["/", "/rules", "/data", "/data/s", "/data/s?prefix=sec", "/data/s/open", "/transfers", "/endpoints/x"]
    {
        seen += usize::from(root.page(path).await.contains("secret"));
        assert!(!bob.page(path).await.contains("s:secret"), "{path}");
        assert!(!bob.page(path).await.contains("/data/s/secret"), "{path}");
    }
    assert!(seen >= 3, "root sees it");
    let hidden = format!("/rules/{rule}");
    for path in ["/data/s/secret", "/data/s/secret/0", &hidden] {
        assert_eq!(root.get(path).await.status(), StatusCode::OK, "{path}");
        assert_eq!(bob.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let refused = bob.post("/endpoints/x/attributes", &[("key", "a"), ("value", "b")]).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let retry = bob.post(&format!("{hidden}/retry"), &[]).await;
    assert_eq!(retry.status(), StatusCode::NOT_FOUND);

    let list = root.page("/data/s").await;
    assert!(!list.contains("<script>\"") && list.contains("&#60;script&#62;"), "{list}");
    let link = list.split("href=\"").find(|rest| rest.starts_with("/data/s/a%3C")).expect("a link");
    let page = root.page(link.split('"').next().expect("closed")).await;
    assert!(page.contains("a&#60;script&#62;&#34;&#39;&#38;?#%2F é</h1>"), "{page}");
}
