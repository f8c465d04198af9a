//! Which rules a pass finds concerned, on a catalog in memory.

use super::*;
use crate::catalog::Txn;
use crate::catalog::engine::memory::Memory;
use crate::catalog::ledger::membership::{Member, attach, detach};
use crate::catalog::ledger::replicas::put_did;
use crate::catalog::record::accounts::MemberRecord;
use crate::catalog::record::{
    AccountMembers, CountsRecord, DidContent, FileFacts, HeadRecord, Heads, RuleCountsTable, RuleWork, ScopeRecord,
};
use crate::clock::SystemClock;
use crate::model::did::DidName;
use crate::model::expression::Expression;
use crate::policy::set::{BUILTIN, PolicySet};

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("a name")
}

fn put(txn: &Txn, id: u64, scope: &str, owner: &str, content: DidContent) -> Member {
    let record = DidRecord {
        scope: Scope::parse(scope).expect("a scope"),
        name: DidName::parse(&format!("d{id}")).expect("a name"),
        account: name(owner),
        created_at: txn.now(),
        content,
    };
    let kind = record.kind();
    put_did(txn, DidId(id), &record);
    if kind != DidKind::File {
        txn.put::<Heads>(&(DidId(id),), &HeadRecord::default());
    }
    Member { id: DidId(id), kind, bytes: 0 }
}

fn file(txn: &Txn, id: u64) -> Member {
    let checksums = vec!["md5:d41d8cd98f00b204e9800998ecf8427e".parse().expect("valid")];
    put(txn, id, "s", "root", DidContent::File(FileFacts { bytes: 0, checksums, announced: false }))
}

/// Puts a rule of root's on a DID, with the number of that for its own.
fn rule_on(txn: &Txn, did: u64, grouping: Grouping) {
    let record = RuleRecord {
        did: DidId(did),
        account: AccountName::root(),
        copies: 1,
        expression: Expression::parse("*").expect("valid"),
        grouping,
        created_at: txn.now(),
        expires_at: None,
        revision: 1,
        releasing: false,
    };
    txn.put::<Rules>(&(RuleId(u128::from(did)),), &record);
    txn.put::<RuleCountsTable>(&(RuleId(u128::from(did)),), &CountsRecord::default());
}

/// A catalog with two scopes, one of them owned by a group that bob is in.
async fn lake() -> Catalog {
    let catalog = Catalog::new(Memory::shared(), SystemClock::shared());
    catalog
        .transact(|txn| async move {
            for (scope, owner) in [("s", "root"), ("own", "eo")] {
                let record = ScopeRecord { account: name(owner), created_at: txn.now() };
                txn.put::<Scopes>(&(scope.to_owned(),), &record);
            }
            let key = ("eo".to_owned(), "bob".to_owned());
            txn.put::<AccountMembers>(&key, &MemberRecord { added_at: txn.now() });
            Ok::<_, CatalogError>(())
        })
        .await
        .expect("memory does not fail");
    catalog
}

/// The rules that are placed anew for a reason, or for what has never been taken account of.
async fn concerned(catalog: &Catalog, judge: &Judge, cause: Option<CauseRecord>) -> Vec<u128> {
    let told = catalog.transact(move |txn| {
        let cause = cause.clone();
        async move {
            if let Some(cause) = &cause {
                placing::tell(&txn, cause);
            }
            Ok::<_, CatalogError>(())
        }
    });
    told.await.expect("memory does not fail");
    while step(catalog, judge).await.expect("a step") == Progress::Made {}
    let found = catalog.transact(|txn| async move {
        let rows = txn.scan::<RuleWork>(&(), 100).await?;
        for (key, _) in &rows {
            txn.clear::<RuleWork>(key);
        }
        Ok::<_, CatalogError>(rows.into_iter().map(|((rule,), _)| rule.0).collect())
    });
    found.await.expect("memory does not fail")
}

#[tokio::test]
async fn data_is_placed_anew_when_its_owner_changes_if_policies_know_that() {
    let catalog = lake().await;
    catalog
        .transact(|txn| async move {
            put(&txn, 1, "s", "root", DidContent::Dataset);
            put(&txn, 2, "s", "bob", DidContent::Dataset);
            put(&txn, 3, "own", "root", DidContent::Dataset);
            put(&txn, 4, "s", "root", DidContent::Container);
            put(&txn, 5, "s", "root", DidContent::Dataset);
            for did in 1..=4 {
                rule_on(&txn, did, Grouping::Dataset);
            }
            rule_on(&txn, 5, Grouping::None);
            Ok::<_, CatalogError>(())
        })
        .await
        .expect("memory does not fail");
    let change = |who: &str| Some(CauseRecord::Account(name(who)));
    let judge = Judge::builtin();
    assert_eq!(concerned(&catalog, &judge, None).await, [1, 2, 3, 4, 5], "they were never placed");
    // That somebody is the owner is all that the policies that come with dapple know.
    assert!(concerned(&catalog, &judge, change("bob")).await.is_empty());
    for (condition, knows) in [
        ("resource.owner.admin", true),
        ("resource.scope.owner.groups.contains(\"house\")", true),
        ("resource.owner in principal", true),
        ("principal in [resource.owner]", true),
        ("principal == resource.owner || principal in resource.scope.owner", false),
    ] {
        let text = format!(
            "// Owners.\n@id(\"owners\")\nforbid (principal, action == Dapple::Action::\"Place\", resource is Dapple::Did) \
             when {{ principal is Dapple::Account && ({condition}) }};"
        );
        let own = ("own.cedar", text.as_str());
        let files = BUILTIN.into_iter().chain([own]).map(|(file, text)| (file.to_owned(), text.to_owned()));
        let set = PolicySet::read(&files.collect::<Vec<_>>()).unwrap_or_else(|why| panic!("{condition}: {why}"));
        judge.replace(set);
        assert_eq!(concerned(&catalog, &judge, None).await.len(), 5, "other policies are every rule's matter");
        // What is below a container, and each file, may be anybody's.
        let [of_bob, of_group, of_eve]: [&[u128]; 3] =
            if knows { [&[2, 4, 5], &[2, 3, 4, 5], &[4, 5]] } else { [&[], &[], &[]] };
        assert_eq!(concerned(&catalog, &judge, change("bob")).await, of_bob, "{condition}");
        assert_eq!(concerned(&catalog, &judge, change("eo")).await, of_group, "{condition}");
        assert_eq!(concerned(&catalog, &judge, change("eve")).await, of_eve, "{condition}");
    }
}

#[tokio::test]
async fn rules_that_place_each_file_follow_the_files_that_they_are_about() {
    let catalog = lake().await;
    catalog
        .transact(|txn| async move {
            let [one, other, third, far]: [Member; 4] =
                [1, 2, 3, 4].map(|id| put(&txn, id, "s", "root", DidContent::Dataset));
            let holder = put(&txn, 5, "s", "root", DidContent::Container);
            let files: Vec<Member> = (11..=14).map(|id| file(&txn, id)).collect();
            for (parent, members) in [
                (one, &files[..2]),
                (other, &files[..1]),
                (third, &files[1..2]),
                (far, &files[2..]),
                (holder, &[other][..]),
            ] {
                attach(&txn, parent, members).await.expect("it fits");
            }
            // It was in the one, and is in the third alone.
            detach(&txn, one, &files[1..2]).await.expect("it was there");
            for did in [1, 2, 3, 4, 5, 11] {
                rule_on(&txn, did, Grouping::None);
            }
            rule_on(&txn, 13, Grouping::Dataset);
            Ok::<_, CatalogError>(())
        })
        .await
        .expect("memory does not fail");
    let judge = Judge::builtin();
    assert_eq!(concerned(&catalog, &judge, None).await.len(), 7);
    let relabelled = |dataset| Some(CauseRecord::Files(DidId(dataset)));
    assert_eq!(concerned(&catalog, &judge, relabelled(1)).await, [1, 2, 3, 5, 11]);
    assert_eq!(concerned(&catalog, &judge, relabelled(4)).await, [4, 13]);
    // Of more files than can be walked up from, any rule may be about some.
    let many = catalog.transact(|txn| async move {
        let many: Vec<Member> = (1_001..=2_000).map(|id| file(&txn, id)).collect();
        let far = Member { id: DidId(4), kind: DidKind::Dataset, bytes: 0 };
        attach(&txn, far, &many).await.expect("it fits");
        Ok::<_, CatalogError>(())
    });
    many.await.expect("memory does not fail");
    assert_eq!(concerned(&catalog, &judge, relabelled(4)).await, [1, 2, 3, 4, 5, 13]);
}
