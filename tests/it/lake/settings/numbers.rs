//! `/metrics` and `/health`: who may read them, and whether what they say is so.

use std::collections::BTreeMap;

use dapple::model::rule::RuleState;
use reqwest::{Client, StatusCode};

use super::super::name;
use super::TestLake;

/// The samples of a text in OpenMetrics, each by its name and labels. Refuses what a scraper would.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples = BTreeMap::new();
    let body = text.strip_suffix("# EOF\n").expect("it says where it ends");
    for line in body.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (family, kind) = kind.split_once(' ').expect("a kind");
            assert!(kinds.insert(family, kind).is_none(), "{family} is told twice");
            continue;
        }
        if line.starts_with("# HELP ") || line.starts_with("# UNIT ") {
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let bare = sample.split('{').next().expect("a name");
        let owner = kinds.iter().find(|(family, kind)| match **kind {
            "counter" => bare == format!("{family}_total"),
            "histogram" => ["_bucket", "_sum", "_count"].iter().any(|end| bare == format!("{family}{end}")),
            "info" => bare == format!("{family}_info"),
            _ => bare == **family,
        });
        let (family, _) = owner.unwrap_or_else(|| panic!("{line} belongs to nothing"));
        assert!(family.starts_with("dapple_") || family.starts_with("process_"), "{line}");
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} is told twice");
    }
    samples
}

async fn scrape(url: &str) -> BTreeMap<String, f64> {
    let answer = Client::new().get(format!("{url}/metrics")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    samples(&answer.text().await.expect("a body"))
}

#[tokio::test]
async fn numbers_say_what_happened() {
    let lake = TestLake::with_settings("[metrics]\nlisten = \"127.0.0.1:0\"\n", &["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.until(rule, RuleState::Ok).await;
    let stuck = lake.rule("s:d", 1, "site=nowhere").await;
    lake.until(stuck, RuleState::Stuck).await;
    let bytes: usize = (0..3).map(|number| super::super::numbered("s:d", number).len()).sum();
    let missing = lake.client.endpoint(&name("nothing")).await;
    assert!(missing.is_err());
    let all = scrape(lake.metrics_url()).await;
    let expected = [
        ("dapple_rules{state=\"ok\"}", 1.0),
        ("dapple_rules{state=\"stuck\"}", 1.0),
        ("dapple_transfers{state=\"waiting\"}", 0.0),
        ("dapple_stuck{reason=\"expression-matches-nothing\"}", 1.0),
        ("dapple_transfer_attempts_total{outcome=\"landed\"}", 3.0),
        ("dapple_transferred_bytes_total", f64::from(bytes as u32)),
        ("dapple_http_requests_total{route=\"/api/v1/endpoints/{name}\",method=\"GET\",status=\"404\"}", 1.0),
        ("dapple_http_requests_total{route=\"/api/v1/rules\",method=\"POST\",status=\"201\"}", 2.0),
        ("dapple_http_requests_total{route=\"/d/{*file}\",method=\"PUT\",status=\"201\"}", 3.0),
        ("dapple_http_request_duration_seconds_count{route=\"/api/v1/rules\",method=\"POST\"}", 2.0),
    ];
    for (sample, value) in expected {
        assert_eq!(all.get(sample).copied(), Some(value), "{sample} in {all:#?}");
    }
    for positive in [
        "dapple_connections_open",
        "dapple_connections_bytes_total{direction=\"in\"}",
        "dapple_catalog_transactions_total{outcome=\"committed\"}",
        "dapple_catalog_transaction_duration_seconds_count",
        "dapple_change_feed_head",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    ] {
        assert!(all.get(positive).is_some_and(|value| *value > 0.0), "{positive} in {all:#?}");
    }
    assert!(all.keys().any(|sample| sample.starts_with("dapple_build_info{version=")), "{all:#?}");
}

#[tokio::test]
async fn numbers_are_for_admins_unless_they_are_open() {
    let lake = TestLake::with_settings("", &[]).await;
    let http = Client::new();
    let url = format!("{}/metrics", lake.url());
    let stranger = http.get(&url).send().await.expect("an answer");
    assert_eq!(super::problem(stranger).await, (401, "unauthenticated".to_owned()));
    let admin = http.get(&url).bearer_auth(lake.key()).send().await.expect("an answer");
    samples(&admin.text().await.expect("a body"));
    let open = TestLake::with_settings("[metrics]\nopen = true\nlisten = \"127.0.0.1:0\"\n", &[]).await;
    scrape(open.url()).await;
    // What is for those who watch serves nothing else.
    let other = http.get(format!("{}/api/v1/scopes", open.metrics_url())).bearer_auth(open.key());
    assert_eq!(other.send().await.expect("an answer").status(), StatusCode::NOT_FOUND);
    for path in ["/health", "/health/live", "/health/ready"] {
        for server in [open.url(), open.metrics_url()] {
            let answer = http.get(format!("{server}{path}")).send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            let body: serde_json::Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
            assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
            if path == "/health/ready" {
                assert_eq!(body["checks"], serde_json::json!([{"name": "catalog", "ok": true}]));
            }
        }
    }
}
