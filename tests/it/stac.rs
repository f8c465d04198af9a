//! The STAC API as clients meet it, and the index behind it.

use std::time::{Duration, Instant};

use dapple::model::account::{AccountKind, AccountName};
use dapple::model::api_key::KeyScope;
use dapple::model::did::DidKind;
use dapple::service::view::{LabelsChange, MetadataObject, NewAccount, NewKey};
use serde_json::Value;

use crate::lake::{TestLake, did, pause};

mod follows;
mod judges;
mod people;
mod rights;

/// How long the index may take to follow. Far more than it needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the door, with a key or without.
async fn ask(lake: &TestLake, key: Option<&str>, path: &str) -> (u16, Value) {
    let mut request = reqwest::Client::new().get(format!("{}/stac{path}", lake.url()));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}")))
}

/// Waits until the index has taken account of all that happened.
async fn caught_up(lake: &TestLake) {
    let began = Instant::now();
    loop {
        // The feed's head as it is; what the server last saw of it may be older.
        let head = lake.client.index().await.expect("its status");
        if head.state == "ready" && lake.changes(head.position, 1).await["items"].as_array().is_some_and(Vec::is_empty)
        {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the index does not catch up: {head:?}");
        pause().await;
    }
}

/// The key of a new account, which reads.
async fn key_of(lake: &TestLake, name: &str) -> String {
    let name = AccountName::parse(name).expect("a name");
    let new = NewAccount { name: name.clone(), kind: AccountKind::User, admin: false, email: None, description: None };
    lake.client.add_account(&new).await.expect("added");
    let new = NewKey {
        name: "test".to_owned(),
        scopes: vec![KeyScope::Read],
        only_scopes: None,
        addresses: Vec::new(),
        expires_seconds: 3_600,
    };
    lake.client.add_key(&name, &new).await.expect("a key").key.reveal().to_owned()
}

async fn say(lake: &TestLake, of: &str, metadata: Value) {
    let Value::Object(metadata) = metadata else { panic!("metadata is an object") };
    lake.client.patch_metadata(&did(of), &MetadataObject(metadata)).await.expect("said");
}

async fn label(lake: &TestLake, of: &str, label: &str) {
    let change = LabelsChange { labels: vec![label.to_owned()] };
    lake.client.label_did(&did(of), &change).await.expect("labelled");
}

async fn make(lake: &TestLake, container: &str, dataset: &str, metadata: Value) {
    lake.make(dataset, DidKind::Dataset).await;
    lake.attach(container, &[dataset]).await;
    say(lake, dataset, metadata).await;
}

/// Ids of a page's items, in order.
fn ids(page: &Value) -> Vec<String> {
    let features = page["features"].as_array().unwrap_or_else(|| panic!("a page: {page}"));
    features.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}
