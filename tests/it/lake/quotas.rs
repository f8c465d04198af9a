//! Limits: what an account's rules may hold, and what becomes of a rule that would hold more.

use dapple::client::Client;
use dapple::model::api_key::KeyScope;
use dapple::model::id::RuleId;
use dapple::model::rule::{Grouping, RuleState};
use dapple::service::view::{NewLimit, NewRule};

use super::accounts::account;
use super::{TestLake, did, pause};

async fn rule(client: &Client, on: &str, copies: u16, grouping: Grouping) -> RuleId {
    let new =
        NewRule { did: did(on), copies, expression: "site=y|site=z".to_owned(), grouping, lifetime_seconds: None };
    client.create_rule(&new).await.expect("a rule").id
}

async fn limit(lake: &TestLake, on: &str, bytes: u64) {
    let new = NewLimit { on: on.to_owned(), bytes };
    lake.client.set_limit(&account("ada"), &new).await.expect("a limit");
}

/// What ada's rules hold in all, as the lake says.
async fn held(lake: &TestLake) -> u64 {
    let usage = lake.client.usage(&account("ada")).await.expect("usage");
    usage.holdings.iter().map(|holding| holding.bytes).sum()
}

#[tokio::test]
async fn a_rule_beyond_a_limit_is_stuck_until_there_is_room() {
    let lake = TestLake::with_endpoints(&["x", "y", "z"]).await;
    let ada = lake.as_account("ada", &KeyScope::ALL).await;
    for dataset in ["s:a", "s:b", "s:c"] {
        lake.put(dataset, "x", &[(&format!("{}.bin", &dataset[2..]), &[7; 1_000])]).await;
    }
    // Both copies count against a limit on both endpoints.
    limit(&lake, "site=y|site=z", 2_500).await;
    let first = rule(&ada, "s:a", 2, Grouping::Dataset).await;
    lake.until(first, RuleState::Ok).await;
    assert_eq!(held(&lake).await, 2_000);
    let again = rule(&ada, "s:a", 2, Grouping::Dataset).await;
    lake.until(again, RuleState::Ok).await;
    assert_eq!(held(&lake).await, 2_000, "what two rules hold counts once");
    let second = rule(&ada, "s:b", 1, Grouping::Dataset).await;
    lake.until(second, RuleState::Stuck).await;
    let explained = lake.client.explain_rule(second).await.expect("explained");
    assert_eq!(explained.problems[0].code, "quota-exceeded");
    assert!(explained.problems[0].reason.contains("needs 1000 B more"), "{explained:#?}");
    let help = "dapple account limit set ada --on 'site=y|site=z' --bytes 3000";
    assert!(explained.problems[0].help.contains(&help.to_owned()), "{explained:#?}");
    // Another account's rules are its own business.
    let roots = rule(&lake.client, "s:b", 2, Grouping::Dataset).await;
    lake.until(roots, RuleState::Ok).await;
    // What would help, helps.
    limit(&lake, "site=y|site=z", 3_000).await;
    lake.until(second, RuleState::Ok).await;
    let third = rule(&ada, "s:c", 1, Grouping::Dataset).await;
    lake.until(third, RuleState::Stuck).await;
    // Rules that end give room back, the last of them that holds a unit.
    for id in [first, again] {
        ada.remove_rule(id).await.expect("removed");
    }
    lake.until(third, RuleState::Ok).await;
    assert_eq!(held(&lake).await, 2_000);
    lake.is_well().await;
    let known = lake.client.limits(&account("ada")).page(10, None).await.expect("listed").items;
    assert_eq!((known[0].used_bytes, known[0].bytes, known[0].endpoints.len()), (2_000, 3_000, 2));
    let own = ada.limits(&account("ada")).page(10, None).await.expect("listed").items;
    assert_eq!((own[0].used_bytes, own[0].bytes), (1 << 20, 3_000), "what she may not see counts too");
    lake.client.remove_limit(&account("ada"), "site=y|site=z").await.expect("removed");
    assert!(ada.usage(&account("ada")).await.expect("usage").limits.is_empty());
}

#[tokio::test]
async fn a_group_of_datasets_has_room_for_all_of_it_or_none() {
    let lake = TestLake::with_endpoints(&["x", "y", "z"]).await;
    let ada = lake.as_account("ada", &KeyScope::ALL).await;
    lake.make("s:box", dapple::model::did::DidKind::Container).await;
    for number in 0..6 {
        let dataset = format!("s:d{number}");
        lake.put(&dataset, "x", &[(&format!("{number}.bin"), &[7; 100])]).await;
        lake.attach("s:box", &[&dataset]).await;
    }
    limit(&lake, "site=y", 1_000).await;
    limit(&lake, "site=z", 599).await;
    // One copy fits at y, none at z.
    let both = rule(&ada, "s:box", 2, Grouping::All).await;
    let stuck = lake.until_rule(both, |rule| rule.state == RuleState::Stuck && rule.locks_ok == 6).await;
    assert_eq!(stuck.units_unplaced, 1);
    assert_eq!(held(&lake).await, 600);
    lake.put("s:d0", "x", &[("more.bin", &[7; 1_000])]).await;
    while held(&lake).await != 1_600 {
        pause().await;
    }
    lake.until_rule(both, |rule| rule.state == RuleState::Stuck && rule.locks_ok == 6).await;
    limit(&lake, "site=z", 1_600).await;
    lake.until_rule(both, |rule| rule.state == RuleState::Ok && rule.locks_ok == 12).await;
    assert_eq!(held(&lake).await, 3_200);
    lake.detach("s:box", &["s:d0"]).await;
    while held(&lake).await != 1_000 {
        pause().await;
    }
    lake.is_well().await;
}
