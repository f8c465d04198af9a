//! What can go wrong with storage: transfers wait or stop with the right reason, and go on when it is
//! well.

use std::fs;

use dapple::model::replica::ReplicaState;
use dapple::model::rule::RuleState;
use dapple::service::view::{BadReplica, NewUpload, NewUploads, UploadView};

use super::{TestLake, blake3_of, did, name, numbered, tree};

#[tokio::test]
async fn a_rule_heals_after_a_replica_is_declared_bad() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.until(rule, RuleState::Ok).await;
    fs::write(lake.root("y").join("s/d/1"), "rot").expect("written");
    let bad = BadReplica { did: did("s:d/1"), endpoint: name("y") };
    let declared = lake.client.declare_bad(&bad).await.expect("declared");
    assert_eq!(declared.state, ReplicaState::Bad);
    lake.until(rule, RuleState::Ok).await;
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    lake.is_well().await;
}

#[tokio::test]
async fn wrong_bytes_at_the_source_are_never_published() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    let length = numbered("s:d", 2).len();
    fs::write(lake.root("x").join("s/d/2"), vec![b'?'; length]).expect("written");
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.until_rule(rule, |view| view.files_done == 2).await;
    let explained = explained(&lake, rule, "checksum-mismatch").await;
    assert_eq!(explained.help, ["dapple replica declare-bad 's:d/2' --at x"]);
    assert_eq!(tree(&lake.root("y")).len(), 2, "neither the wrong bytes nor a trace of them");
    lake.is_well().await;
}

#[tokio::test]
async fn a_source_that_vanished_is_told_apart_from_wrong_bytes() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..2).await;
    fs::remove_file(lake.root("x").join("s/d/0")).expect("removed");
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.until(rule, RuleState::Stuck).await;
    let problem = explained(&lake, rule, "source-missing").await;
    assert_eq!((problem.count, problem.example), (1, Some(did("s:d/0"))));
    assert!(problem.next_attempt_at.is_some());
    fs::write(lake.root("x").join("s/d/0"), numbered("s:d", 0)).expect("written");
    lake.client.retry_rule(rule).await.expect("retried");
    lake.until(rule, RuleState::Ok).await;
    lake.is_well().await;
}

#[tokio::test]
async fn bytes_that_are_not_dapples_are_never_overwritten() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..2).await;
    fs::create_dir_all(lake.root("y").join("s/d")).expect("made");
    fs::write(lake.root("y").join("s/d/1"), "somebody's").expect("written");
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.until(rule, RuleState::Stuck).await;
    explained(&lake, rule, "path-occupied").await;
    assert_eq!(tree(&lake.root("y"))["s/d/1"], b"somebody's");
    fs::remove_file(lake.root("y").join("s/d/1")).expect("removed");
    lake.client.retry_rule(rule).await.expect("retried");
    lake.until(rule, RuleState::Ok).await;
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    lake.is_well().await;
}

#[tokio::test]
async fn an_endpoint_that_went_away_is_waited_for() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    fs::remove_dir(lake.root("y")).expect("removed");
    let rule = lake.rule("s:d", 1, "site=y").await;
    // While an attempt is under way there is no next one to tell of.
    let mut problem = explained(&lake, rule, "endpoint-unreachable").await;
    for _ in 0..500 {
        if problem.next_attempt_at.is_some() {
            break;
        }
        super::pause().await;
        problem = explained(&lake, rule, "endpoint-unreachable").await;
    }
    assert!(problem.next_attempt_at.is_some(), "it is tried again by itself: {problem:#?}");
    fs::create_dir(lake.root("y")).expect("made");
    lake.until(rule, RuleState::Ok).await;
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    lake.is_well().await;
}

#[tokio::test]
async fn a_file_without_any_replica_comes_when_one_appears() {
    let lake = TestLake::with_endpoints(&["x", "y", "z"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let bad = BadReplica { did: did("s:d/0"), endpoint: name("x") };
    lake.client.declare_bad(&bad).await.expect("declared");
    let rule = lake.rule("s:d", 1, "site=y").await;
    explained(&lake, rule, "no-source").await;
    lake.put_numbered("s:d", "z", 0..1).await;
    lake.until(rule, RuleState::Ok).await;
    lake.is_well().await;
}

/// Waits until a rule's explanation names a problem.
async fn explained(lake: &TestLake, rule: dapple::model::id::RuleId, code: &str) -> dapple::service::view::Problem {
    for _ in 0..3_000 {
        let explained = lake.client.explain_rule(rule).await.expect("explained");
        if let Some(problem) = explained.problems.into_iter().find(|problem| problem.code == code) {
            return problem;
        }
        super::pause().await;
    }
    panic!("the rule is never explained by {code}: {:#?}", lake.client.explain_rule(rule).await);
}

#[tokio::test]
async fn an_upload_that_failed_does_not_keep_rules_from_its_place() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    let announced = NewUploads {
        to: did("s:d"),
        endpoint: name("y"),
        files: vec![NewUpload { name: "d/0".to_owned(), bytes: 5, checksum: blake3_of(b"right"), meta: None }],
    };
    let answer = lake.client.announce(&announced).await.expect("announced").items.remove(0);
    let UploadView::Put { url, .. } = answer else { panic!("the bytes are wanted: {answer:?}") };
    let refused = reqwest::Client::new().put(url).body("wrong").send().await.expect("an answer");
    assert_eq!(refused.status(), reqwest::StatusCode::BAD_REQUEST);
    lake.put("s:d", "x", &[("d/0", b"right")]).await;
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.until(rule, RuleState::Ok).await;
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    lake.is_well().await;
}

#[tokio::test]
async fn a_put_brings_what_a_transfer_waits_for() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let bad = BadReplica { did: did("s:d/0"), endpoint: name("x") };
    lake.client.declare_bad(&bad).await.expect("declared");
    let rule = lake.rule("s:d", 1, "site=y").await;
    explained(&lake, rule, "no-source").await;
    // The transfer to y has the place; whoever has the bytes comes first.
    lake.put_numbered("s:d", "y", 0..1).await;
    lake.until(rule, RuleState::Ok).await;
    assert_eq!(tree(&lake.root("y"))["s/d/0"], numbered("s:d", 0));
    lake.is_well().await;
}
