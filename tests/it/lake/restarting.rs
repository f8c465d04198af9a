//! A server stops and starts, in order or not.

use dapple::model::rule::RuleState;

use super::{TestLake, did, tree};

#[tokio::test]
async fn a_lake_is_the_same_after_a_restart() {
    let mut lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..20).await;
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.restart().await;
    lake.until(rule, RuleState::Ok).await;
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    lake.restart().await;
    assert_eq!(lake.client.rule(rule).await.expect("the rule").state, RuleState::Ok);
    assert_eq!(
        lake.client.did(&did("s:d")).await.expect("the dataset").length,
        Some(20)
    );
    lake.put_numbered("s:d", "x", 20..25).await;
    lake.until_rule(rule, |view| view.state == RuleState::Ok && view.files_done == 25)
        .await;
}
