//! A lake whose catalog is on PostgreSQL does what every lake does. All tests of lakes run on it with
//! `DAPPLE_TEST_CATALOG=postgres`; this is the short of it.

use std::path::Path;
use std::process::Command;

use dapple::model::rule::RuleState;
use reqwest::Method;
use serde_json::json;

use super::terms::{post, value};
use super::{TestLake, did, name, pause, tree};
use crate::peers::postgres::{Postgres, name_of, postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_on_postgresql_does_what_every_lake_does() {
    let url = postgres().database();
    let mut lake = TestLake::on_server(&url, "", &["x", "y", "z"]).await;
    lake.put_numbered("s:d", "x", 0..60).await;
    let rule = lake.rule("s:d", 2, "site=y|site=z").await;
    lake.until(rule, RuleState::Ok).await;
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    // A dry run reads what is there, and what it would have written itself.
    let wish = json!({"did": "s:d", "copies": 1, "expression": "site=x", "grouping": "dataset"});
    let answer = post(lake.ask(Method::POST, "/rules?dry_run=true"), wish).await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await.expect("a body"));
    assert!(lake.client.explain_rule(rule).await.is_ok());
    // Whoever makes a dataset finds it.
    for round in 0..20 {
        if !value(lake.ask(Method::GET, "/index").send().await.expect("an answer")).await["position"].is_null() {
            break;
        }
        assert!(round < 19, "the index follows");
        pause().await;
    }
    let changes = lake.changes(0, 1_000).await;
    let numbers: Vec<_> = changes["items"].as_array().expect("a page").iter().map(|one| one["seq"].clone()).collect();
    assert_eq!(numbers, (1..=numbers.len()).map(|seq| json!(seq)).collect::<Vec<_>>(), "no gap");
    assert!(numbers.len() > 60);
    lake.is_well().await;

    lake.restart().await;
    assert_eq!(lake.client.rule(rule).await.expect("the rule").state, RuleState::Ok);
    lake.put_numbered("s:d", "x", 60..80).await;
    lake.until_rule(rule, |view| view.state == RuleState::Ok && view.files_done == 160).await;
    lake.is_well().await;
    let waits = "SELECT count(*) FROM engine_inbox";
    assert_eq!(postgres().sql(name_of(&url), waits).trim(), "0", "all is numbered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_may_be_restarted_under_a_lake() {
    let own = tokio::task::spawn_blocking(|| Postgres::prepare("postgres-restarted", "fsync = off")).await;
    let own = own.expect("made");
    let process = own.start();
    own.sql("postgres", "CREATE DATABASE lake");
    let lake = TestLake::on_server(&own.url("lake"), "", &["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..40).await;
    let rule = lake.rule("s:d", 1, "site=y").await;
    process.stop();
    let process = own.start();
    lake.until(rule, RuleState::Ok).await;
    assert_eq!(lake.client.did(&did("s:d")).await.expect("the dataset").length, Some(40));
    lake.put_numbered("s:e", "x", 0..5).await;
    lake.is_well().await;
    drop(lake);
    process.stop();
}

#[test]
fn whoever_serves_from_a_server_that_is_not_there_is_told_and_no_password_is_shown() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dapple"));
        command.arg("-o").arg("json").args(words).arg("--dir").arg(directory.path());
        let output = command.output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(!all.contains("hunter2"), "{all}");
        (output.status.success(), all)
    };
    let (served, told) = run(&["serve", "--catalog", "postgres://ada:hunter2@127.0.0.1:1/lake"]);
    assert!(!served && told.contains("catalog-unavailable") && told.contains("cannot be reached"), "{told}");
    let missing = postgres().url("nowhere");
    let (served, told) = run(&["serve", "--catalog", &missing]);
    assert!(!served && told.contains("createdb"), "{told}");
    let (shown, told) = run(&["config", "show", "--catalog", "postgres://ada:hunter2@db.example.org/lake"]);
    assert!(shown && told.contains("postgres://ada:***@db.example.org/lake"), "{told}");
    assert!(!Path::new(directory.path()).join("admin.key").exists(), "no keys are made for a lake that is not there");
    assert_eq!(name("x").to_string(), "x");
}
