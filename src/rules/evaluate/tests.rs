//! Rules whose pages are placed in turns, on a catalog in memory.

use super::*;
use crate::catalog::engine::memory::Memory;
use crate::catalog::ledger::holdings;
use crate::catalog::ledger::membership::{Member, attach};
use crate::catalog::ledger::replicas::put_did;
use crate::catalog::record::accounts::{AccountRecord, LimitRecord};
use crate::catalog::record::{
    AccountLimits, Accounts, CountsRecord, DidContent, DidRecord, FileFacts, HeadRecord, Heads, Reservations,
    RuleCountsTable, ScopeRecord, Scopes,
};
use crate::clock::SystemClock;
use crate::model::account::{AccountKind, AccountName};
use crate::model::did::{DidKind, DidName};
use crate::model::endpoint::{EndpointKind, EndpointName, Settings};
use crate::model::expression::Expression;
use crate::model::scope::Scope;
use crate::model::time::Timestamp;

/// More than one page of datasets, each of one file of 10 bytes.
const DATASETS: u64 = 250;
const FILE: DidId = DidId(1);
const X: EndpointId = EndpointId(1);

fn did(name: &str, content: DidContent) -> DidRecord {
    DidRecord {
        scope: Scope::parse("s").expect("a scope"),
        name: DidName::parse(name).expect("a name"),
        account: AccountName::root(),
        created_at: Timestamp::default(),
        content,
    }
}

/// A container with its datasets, and a rule on it for one copy at x.
async fn ruled_container(catalog: &Catalog, number: u64) -> RuleId {
    let (container, rule) = (DidId(1_000 * number), RuleId(u128::from(number)));
    catalog
        .transact(move |txn| async move {
            put_did(&txn, container, &did(&format!("c{number}"), DidContent::Container));
            txn.put::<Heads>(&(container,), &HeadRecord::default());
            let mut members = Vec::new();
            for at in 1..=DATASETS {
                let id = DidId(container.0 + at);
                put_did(&txn, id, &did(&format!("d{number}.{at}"), DidContent::Dataset));
                let dataset = Member { id, kind: DidKind::Dataset, bytes: 0 };
                let file = Member { id: FILE, kind: DidKind::File, bytes: 10 };
                attach(&txn, dataset, &[file]).await.expect("it fits");
                members.push(dataset);
            }
            let container = Member { id: container, kind: DidKind::Container, bytes: 0 };
            attach(&txn, container, &members).await.expect("it fits");
            let record = RuleRecord {
                did: container.id,
                account: AccountName::root(),
                copies: 1,
                expression: Expression::parse("*").expect("valid"),
                grouping: Grouping::All,
                created_at: txn.now(),
                expires_at: None,
                revision: 1,
                releasing: false,
            };
            txn.put::<Rules>(&(rule,), &record);
            txn.put::<RuleCountsTable>(&(rule,), &CountsRecord::default());
            begin(&txn, rule, container.id).await
        })
        .await
        .expect("memory does not fail");
    rule
}

async fn lake(limit: u64) -> Catalog {
    let catalog = Catalog::new(Memory::shared(), SystemClock::shared());
    catalog
        .transact(move |txn| async move {
            let root = AccountRecord {
                admin: true,
                created_at: txn.now(),
                kind: AccountKind::User,
                suspended_at: None,
                email: None,
                description: None,
            };
            txn.put::<Accounts>(&("root".to_owned(),), &root);
            let scope = ScopeRecord { account: AccountName::root(), created_at: txn.now() };
            txn.put::<Scopes>(&("s".to_owned(),), &scope);
            let endpoint = Endpoint {
                id: X,
                name: EndpointName::parse("x").expect("a name"),
                kind: EndpointKind::Memory,
                location: "x".to_owned(),
                settings: Settings::default(),
                secret: None,
                probe: None,
                attributes: BTreeMap::new(),
                created_at: txn.now(),
            };
            endpoints::put(&txn, &endpoint).await?;
            let on = Expression::parse("*").expect("valid");
            let limit = LimitRecord { on, bytes: limit, set_at: txn.now() };
            txn.put::<AccountLimits>(&("root".to_owned(), "*".to_owned()), &limit);
            let checksums = vec!["md5:d41d8cd98f00b204e9800998ecf8427e".parse().expect("valid")];
            let file = FileFacts { bytes: 10, checksums, announced: false };
            put_did(&txn, FILE, &did("file", DidContent::File(file)));
            Ok::<_, CatalogError>(())
        })
        .await
        .expect("memory does not fail");
    catalog
}

async fn held(catalog: &Catalog) -> i64 {
    let view = catalog.view().await.expect("a view");
    let held = holdings::held(&view, &AccountName::root()).await.expect("read");
    held.values().map(|tally| tally.bytes).sum()
}

#[tokio::test]
async fn rules_that_are_placed_in_turns_are_not_given_the_same_room() {
    // Room for one and a half of them.
    let catalog = lake(10 * (DATASETS + DATASETS / 2)).await;
    let judge = Judge::builtin();
    let rules = [ruled_container(&catalog, 1).await, ruled_container(&catalog, 2).await];
    let mut turns = 0;
    loop {
        let mut progress = Progress::Nothing;
        for rule in rules {
            progress = progress.or(step_of(&catalog, &judge, rule).await.expect("a step"));
        }
        turns += 1;
        if progress == Progress::Nothing || turns > 20 {
            break;
        }
    }
    assert!((3..20).contains(&turns), "{turns} turns");
    assert_eq!(held(&catalog).await, i64::try_from(10 * DATASETS).expect("small"), "one of them has all it needs");
    let view = catalog.view().await.expect("a view");
    assert!(!view.any::<Reservations>(&()).await.expect("read"), "nothing stays reserved");
    let group = (rules[1], DidId(2_000));
    let placed = view.get::<Placements>(&group).await.expect("read").expect("it was looked at");
    assert!(matches!(placed.unplaced, Some(StuckReason::QuotaExceeded { needed: 2_500, .. })), "{placed:?}");
    // What was given and not taken is given back when its rule ends on the way.
    let third = ruled_container(&catalog, 3).await;
    catalog
        .transact(|txn| async move {
            let key = ("root".to_owned(), "*".to_owned());
            let limit = txn.get::<AccountLimits>(&key).await?.expect("set above");
            txn.put::<AccountLimits>(&key, &LimitRecord { bytes: 100_000, ..limit });
            Ok::<_, CatalogError>(())
        })
        .await
        .expect("memory does not fail");
    // The first page finds datasets, the second holds some.
    for _ in 0..2 {
        step_of(&catalog, &judge, third).await.expect("a page");
    }
    let reserved = |view: View| async move { view.scan::<Reservations>(&(), 10).await.expect("read") };
    let left = reserved(catalog.view().await.expect("a view")).await;
    assert!(left.len() == 1 && left[0].1 > 0 && left[0].1 < 2_500, "{left:?}");
    catalog
        .transact(move |txn| async move {
            let rule = txn.get::<Rules>(&(third,)).await?.expect("there");
            expire::end_rule(&txn, third, &rule);
            Ok::<_, CatalogError>(())
        })
        .await
        .expect("memory does not fail");
    while step_of(&catalog, &judge, third).await.expect("a page") == Progress::Made {}
    assert_eq!(reserved(catalog.view().await.expect("a view")).await, []);
    assert_eq!(held(&catalog).await, 2_500);
}
