//! What accounts are said to hold, against the locks of their rules.

use std::collections::BTreeMap;

use crate::catalog::check::{Report, all};
use crate::catalog::ledger::holdings;
use crate::catalog::record::{Holders, HoldingDeltas, Holdings, Locks, LocksByUnit, Rules, Tally};
use crate::catalog::{CatalogError, View};
use crate::model::account::AccountName;
use crate::model::id::{DidId, EndpointId};

/// The most rules that hold one unit at one endpoint.
const RULES_MAX: usize = 10_000;
/// The most rows that are kept until the sum of all is known.
const SUSPECTS_MAX: usize = 100;

/// Each unit is held, by each account, with as many locks as rules of the account lock it. An index that
/// lacks a lock is another invariant's: too many are said only if the sum of all says so as well.
pub(super) async fn holders(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let (mut said_in_all, mut suspects) = (0, Vec::new());
    let mut pages = all::<Holders>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((unit, endpoint, account), said) in rows {
            said_in_all += said;
            let found = locks_of(view, unit, endpoint).await?.get(&account).copied().unwrap_or(0);
            let what = format!("did {unit} at endpoint {endpoint}");
            let detail = format!("{account} is said to lock it {said} times, does {found}");
            if found > said {
                report.add(what, detail);
            } else if found < said && suspects.len() < SUSPECTS_MAX {
                suspects.push((what, detail));
            }
        }
    }
    let found_in_all = locks(view, report).await?;
    if said_in_all > found_in_all && !report.is_full() {
        for (what, detail) in suspects {
            report.add(what, detail);
        }
    }
    Ok(())
}

/// Every lock is told of. Returns how many there are.
async fn locks(view: &View, report: &mut Report<'_>) -> Result<u64, CatalogError> {
    let (mut count, mut pages) = (0, all::<Locks>());
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(count);
        }
        count += rows.len() as u64;
        let rules: Vec<_> = rows.iter().map(|((rule, _, _), _)| (*rule,)).collect();
        let records = view.get_many::<Rules>(&rules).await?;
        let locks = rows.into_iter().zip(records).filter_map(|((key, _), rule)| Some((key, rule?.account.to_string())));
        let keys: Vec<_> = locks.map(|((_, unit, endpoint), account)| (unit, endpoint, account)).collect();
        for ((unit, endpoint, account), held) in keys.iter().zip(view.get_many::<Holders>(&keys).await?) {
            let what = || format!("did {unit} at endpoint {endpoint}");
            report.expect(held.is_some(), what, || format!("{account} locks it and is not said to"));
        }
    }
}

/// How many locks of each account's rules are on a unit at an endpoint.
async fn locks_of(view: &View, unit: DidId, endpoint: EndpointId) -> Result<BTreeMap<String, u64>, CatalogError> {
    let rows = view.scan::<LocksByUnit>(&(unit, endpoint), RULES_MAX).await?;
    let (rules, locks): (Vec<_>, Vec<_>) =
        rows.into_iter().map(|((_, _, rule), ())| ((rule,), (rule, unit, endpoint))).unzip();
    let mut counts = BTreeMap::new();
    for (rule, lock) in view.get_many::<Rules>(&rules).await?.into_iter().zip(view.get_many::<Locks>(&locks).await?) {
        if let (Some(rule), Some(_)) = (rule, lock) {
            *counts.entry(rule.account.to_string()).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

/// What an account is said to hold at an endpoint is the length of the units that it holds there.
pub(super) async fn sums(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut found = BTreeMap::<String, BTreeMap<EndpointId, Tally>>::new();
    let mut pages = all::<Holders>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((unit, endpoint, account), _) in rows {
            let length = holdings::length(view, unit).await?;
            *found.entry(account).or_default().entry(endpoint).or_default() += length;
        }
    }
    let mut pages = all::<Holdings>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((account, _), _) in rows {
            found.entry(account).or_default();
        }
    }
    let mut pages = all::<HoldingDeltas>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((account, _, _), _) in rows {
            found.entry(account).or_default();
        }
    }
    for (account, mut found) in found {
        found.retain(|_, tally| *tally != Tally::default());
        let name = AccountName::parse(&account).expect("only accounts hold anything");
        let said = holdings::held(view, &name).await?;
        report.expect(
            said == found || report.is_full(),
            || format!("account {account}"),
            || format!("said to hold {said:?}, holds {found:?}"),
        );
    }
    Ok(())
}
