//! Rules choose endpoints, and files come to lie there.

use std::collections::BTreeMap;

use dapple::model::did::DidKind;
use dapple::model::rule::{Grouping, RuleState};
use dapple::service::view::{EndpointChange, RuleChange};

use super::{TestLake, did, name, pause, tree};

#[tokio::test]
async fn a_rule_brings_every_file_to_as_many_endpoints_as_it_wants() {
    let lake = TestLake::with_endpoints(&["x", "y", "z"]).await;
    lake.put_numbered("s:d", "x", 0..40).await;
    let rule = lake.rule("s:d", 2, "site=y|site=z").await;
    let view = lake.until(rule, RuleState::Ok).await;
    assert_eq!((view.locks_ok, view.files_done, view.files_wanted), (2, 80, 80));
    assert_eq!(tree(&lake.root("x")).len(), 40);
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    assert_eq!(tree(&lake.root("z")), tree(&lake.root("x")));
    lake.is_well().await;
}

#[tokio::test]
async fn a_copy_that_is_there_already_is_counted_and_not_made_again() {
    let lake = TestLake::with_endpoints(&["x", "y", "z"]).await;
    lake.put_numbered("s:d", "x", 0..5).await;
    let rule = lake.rule("s:d", 2, "*").await;
    let view = lake.until(rule, RuleState::Ok).await;
    assert_eq!(view.files_done, 10);
    let copies = tree(&lake.root("y")).len() + tree(&lake.root("z")).len();
    assert_eq!(copies, 5, "one more copy is enough");
    lake.is_well().await;
}

#[tokio::test]
async fn files_that_join_later_are_copied_too() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.until(rule, RuleState::Ok).await;
    lake.put_numbered("s:d", "x", 3..9).await;
    lake.until_rule(rule, |view| view.state == RuleState::Ok && view.files_wanted == 9).await;
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    lake.is_well().await;
}

#[tokio::test]
async fn grouping_decides_which_units_stay_together() {
    let lake = TestLake::with_endpoints(&["x", "a", "b", "c"]).await;
    lake.make("s:box", DidKind::Container).await;
    for dataset in 0..6 {
        let dataset = format!("s:d{dataset}");
        lake.put_numbered(&dataset, "x", 0..4).await;
        lake.attach("s:box", &[&dataset]).await;
    }
    let elsewhere = "site=a|site=b|site=c";
    let all = lake.grouped_rule("s:box", 1, elsewhere, Grouping::All).await;
    let view = lake.until(all, RuleState::Ok).await;
    assert_eq!((view.locks_ok, view.files_done), (6, 24));
    let full: Vec<_> = ["a", "b", "c"].into_iter().filter(|site| tree(&lake.root(site)).len() == 24).collect();
    assert_eq!(full.len(), 1, "all datasets went to one endpoint");

    let each = lake.grouped_rule("s:d0", 1, elsewhere, Grouping::None).await;
    let view = lake.until(each, RuleState::Ok).await;
    assert_eq!(view.locks_ok, 4, "one lock for each file");
    lake.is_well().await;
}

#[tokio::test]
async fn datasets_of_a_container_come_under_its_rule_and_leave_it() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.make("s:box", DidKind::Container).await;
    lake.make("s:inner", DidKind::Container).await;
    let rule = lake.rule("s:box", 1, "site=y").await;
    lake.until(rule, RuleState::Ok).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    lake.attach("s:inner", &["s:d"]).await;
    lake.attach("s:box", &["s:inner"]).await;
    lake.until_rule(rule, |view| view.state == RuleState::Ok && view.files_done == 3).await;
    lake.detach("s:box", &["s:inner"]).await;
    lake.until_rule(rule, |view| view.state == RuleState::Ok && view.locks_ok == 0).await;
    lake.is_well().await;
}

#[tokio::test]
async fn a_changed_rule_is_placed_again() {
    let lake = TestLake::with_endpoints(&["x", "y", "z"]).await;
    lake.put_numbered("s:d", "x", 0..4).await;
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.until(rule, RuleState::Ok).await;
    let wider = RuleChange { copies: Some(2), expression: Some("site=y|site=z".to_owned()), lifetime_seconds: None };
    lake.client.change_rule(rule, &wider).await.expect("changed");
    lake.until_rule(rule, |view| view.state == RuleState::Ok && view.locks_ok == 2).await;
    assert_eq!(tree(&lake.root("z")), tree(&lake.root("x")));
    let narrower = RuleChange { copies: Some(1), expression: None, lifetime_seconds: None };
    lake.client.change_rule(rule, &narrower).await.expect("changed");
    lake.until_rule(rule, |view| view.state == RuleState::Ok && view.locks_ok == 1).await;
    lake.is_well().await;
}

#[tokio::test]
async fn a_rule_without_a_place_is_stuck_until_an_endpoint_matches() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    let rule = lake.rule("s:d", 1, "country=FR").await;
    lake.until(rule, RuleState::Stuck).await;
    let explained = lake.client.explain_rule(rule).await.expect("explained");
    assert_eq!(explained.problems[0].code, "expression-matches-nothing");
    assert!(explained.problems[0].help.iter().any(|help| help.contains("--attr country=FR")), "{explained:#?}");
    let france = EndpointChange {
        attributes: BTreeMap::from([("country".to_owned(), Some("FR".to_owned()))]),
        ..EndpointChange::default()
    };
    lake.client.change_endpoint(&name("y"), &france).await.expect("changed");
    lake.until(rule, RuleState::Ok).await;
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    lake.is_well().await;
}

#[tokio::test]
async fn too_few_endpoints_get_what_they_can_take() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    let rule = lake.rule("s:d", 3, "*").await;
    lake.until_rule(rule, |view| view.state == RuleState::Stuck && view.locks_ok == 2).await;
    let explained = lake.client.explain_rule(rule).await.expect("explained");
    assert_eq!(explained.problems[0].code, "too-few-endpoints");
    assert!(explained.problems[0].help.contains(&format!("dapple rule update {rule} --copies 2")));
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    lake.is_well().await;
}

#[tokio::test]
async fn a_rule_ends_when_its_lifetime_is_over_or_it_is_removed() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..2).await;
    let (brief, removed) = (lake.rule("s:d", 1, "site=y").await, lake.rule("s:d", 1, "site=y").await);
    lake.until(brief, RuleState::Ok).await;
    let soon = RuleChange { copies: None, expression: None, lifetime_seconds: Some(1) };
    lake.client.change_rule(brief, &soon).await.expect("changed");
    lake.client.remove_rule(removed).await.expect("removed");
    for rule in [brief, removed] {
        while lake.client.rule(rule).await.is_ok() {
            pause().await;
        }
    }
    assert_eq!(tree(&lake.root("y")).len(), 2, "replicas stay");
    let rules = lake.client.rules(Some(&did("s:d"))).page(10, None).await.expect("a page");
    assert!(rules.items.is_empty());
    lake.is_well().await;
}
