//! Nothing is served to strangers.

use dapple::model::endpoint::EndpointKind;
use dapple::service::view::{NewEndpoint, NewSettings, RuleChange};
use reqwest::{Method, StatusCode};

use super::TestLake;

#[tokio::test]
async fn every_route_but_health_needs_a_key() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let http = reqwest::Client::new();
    let rule = lake.rule("s:d", 1, "*").await;
    let routes = [
        (Method::GET, "whoami".to_owned()),
        (Method::DELETE, "sessions/current".to_owned()),
        (Method::GET, "accounts".to_owned()),
        (Method::POST, "accounts".to_owned()),
        (Method::GET, "accounts/root".to_owned()),
        (Method::PATCH, "accounts/root".to_owned()),
        (Method::GET, "accounts/root/members".to_owned()),
        (Method::POST, "accounts/root/members".to_owned()),
        (Method::DELETE, "accounts/root/members/ada".to_owned()),
        (Method::GET, "accounts/root/keys".to_owned()),
        (Method::POST, "accounts/root/keys".to_owned()),
        (Method::DELETE, "accounts/root/keys/x".to_owned()),
        (Method::PUT, "accounts/root/password".to_owned()),
        (Method::DELETE, "accounts/root/password".to_owned()),
        (Method::GET, "accounts/root/limits".to_owned()),
        (Method::PUT, "accounts/root/limits".to_owned()),
        (Method::DELETE, "accounts/root/limits?on=x".to_owned()),
        (Method::GET, "accounts/root/usage".to_owned()),
        (Method::PATCH, "scopes/s".to_owned()),
        (Method::GET, "scopes".to_owned()),
        (Method::POST, "scopes".to_owned()),
        (Method::GET, "endpoints".to_owned()),
        (Method::POST, "endpoints".to_owned()),
        (Method::GET, "endpoints/x".to_owned()),
        (Method::PATCH, "endpoints/x".to_owned()),
        (Method::POST, "dids".to_owned()),
        (Method::GET, "dids/s".to_owned()),
        (Method::GET, "dids/s/d".to_owned()),
        (Method::PATCH, "dids/s/d".to_owned()),
        (Method::GET, "history/s/d".to_owned()),
        (Method::GET, "coverage/s/d".to_owned()),
        (Method::POST, "bulk/dids".to_owned()),
        (Method::POST, "bulk/contents?parent=s:d".to_owned()),
        (Method::DELETE, "bulk/contents?parent=s:d".to_owned()),
        (Method::GET, "contents/s/d".to_owned()),
        (Method::POST, "contents/s/d".to_owned()),
        (Method::DELETE, "contents/s/d".to_owned()),
        (Method::POST, "replicas?to=s:d&endpoint=x".to_owned()),
        (Method::GET, "replicas/s/d".to_owned()),
        (Method::POST, "bad-replicas".to_owned()),
        (Method::POST, "uploads".to_owned()),
        (Method::GET, "rules".to_owned()),
        (Method::POST, "rules".to_owned()),
        (Method::GET, format!("rules/{rule}")),
        (Method::PATCH, format!("rules/{rule}")),
        (Method::DELETE, format!("rules/{rule}")),
        (Method::GET, format!("rules/{rule}/explanation")),
        (Method::POST, format!("rules/{rule}/retry")),
        (Method::GET, "transfers".to_owned()),
        (Method::POST, "urls".to_owned()),
        (Method::GET, "workers".to_owned()),
        (Method::GET, "check".to_owned()),
        (Method::GET, "changes".to_owned()),
        (Method::GET, "policy".to_owned()),
        (Method::POST, "policy/check".to_owned()),
        (Method::POST, "policy/explain".to_owned()),
        (Method::GET, "labels/s".to_owned()),
        (Method::PATCH, "labels/s".to_owned()),
        (Method::GET, "labels/s/d".to_owned()),
        (Method::PATCH, "labels/s/d".to_owned()),
        (Method::GET, "metadata/s/d".to_owned()),
        (Method::PUT, "metadata/s/d".to_owned()),
        (Method::PATCH, "metadata/s/d".to_owned()),
        (Method::PATCH, "metadata".to_owned()),
        (Method::POST, "workers/fold/pause".to_owned()),
        (Method::POST, "workers/fold/resume".to_owned()),
    ];
    for (method, route) in routes {
        let url = format!("{}/api/v1/{route}", lake.url());
        for key in [None, Some("dapple_wrong"), Some("dapples_wrong")] {
            let mut request = http.request(method.clone(), &url).body("{}");
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {route} with {key:?}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json", "{method} {route}");
        }
    }
    let health = http.get(format!("{}/health", lake.url())).send().await.expect("an answer");
    assert_eq!(health.status(), StatusCode::OK);
}

#[tokio::test]
async fn bad_requests_are_answered_with_what_is_wrong() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let ends_early = dapple::service::view::NewRule {
        did: super::did("s:d"),
        copies: 1,
        expression: "country=DE|".to_owned(),
        grouping: dapple::model::rule::Grouping::All,
        lifetime_seconds: None,
    };
    let refused = lake.client.create_rule(&ends_early).await;
    let problem = refused.expect_err("an expression that ends early").problem();
    assert_eq!((problem.code.as_str(), problem.status), ("invalid-expression", 400));
    assert!(problem.detail.contains('^'), "the error points at the column: {}", problem.detail);
    let missing = lake.client.did(&super::did("s:nothing")).await.expect_err("there is none").problem();
    assert_eq!((missing.code.as_str(), missing.status), ("not-found", 404));
    assert_eq!(missing.request_id.len(), 26);
}

#[tokio::test]
async fn an_endpoint_cannot_lie_where_another_or_the_lake_itself_does() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let link = lake.root("link");
    std::os::unix::fs::symlink(lake.root("x"), &link).expect("a link");
    let sites = lake.root("x").parent().expect("above it").to_owned();
    let own = sites.parent().expect("above them").join("lake/catalog");
    for location in [lake.root("x"), lake.root("x").join("below"), link, sites, own] {
        let new = NewEndpoint {
            name: super::name("another"),
            kind: EndpointKind::Posix,
            location: location.display().to_string(),
            attributes: [].into(),
            create: true,
            settings: NewSettings::default(),
            secret: None,
            no_probe: false,
        };
        let problem = lake.client.add_endpoint(&new).await.expect_err("they overlap").problem();
        assert_eq!(problem.code, "endpoint-overlaps", "{}", location.display());
    }
}

#[tokio::test]
async fn a_lifetime_beyond_all_calendars_is_refused() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let change = RuleChange { copies: None, expression: None, lifetime_seconds: Some(u64::MAX / 1_000) };
    let rule = lake.rule("s:d", 1, "*").await;
    let problem = lake.client.change_rule(rule, &change).await.expect_err("too long").problem();
    assert_eq!(problem.code, "invalid-lifetime");
    let listed = lake.client.rules(None).page(10, None).await.expect("the list is well");
    assert_eq!(listed.items.len(), 1);
}
