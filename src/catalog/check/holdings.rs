//! What accounts are said to hold, against the locks of their rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::check::{Report, all};
use crate::catalog::ledger::holdings;
use crate::catalog::record::{Holders, HoldingDeltas, Holdings, Locks, LocksByUnit, Rules, Tally};
use crate::catalog::{CatalogError, View};
use crate::model::account::AccountName;
use crate::model::id::{DidId, EndpointId};

/// The most rules that hold one unit at one endpoint.
const RULES_MAX: usize = 10_000;

/// Each unit is held, by each account, with as many locks as rules of the account lock it.
pub(super) async fn holders(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Holders>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((unit, endpoint, account), said) in rows {
            let found = locks_of(view, unit, endpoint).await?.get(&account).copied().unwrap_or(0);
            let what = || format!("did {unit} at endpoint {endpoint}");
            report.expect(said == found, what, || format!("{account} is said to lock it {said} times, does {found}"));
        }
    }
    let mut pages = all::<Locks>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let units: BTreeSet<_> = rows.iter().map(|((_, unit, endpoint), _)| (*unit, *endpoint)).collect();
        for (unit, endpoint) in units {
            for account in locks_of(view, unit, endpoint).await?.into_keys() {
                let is_held = view.get::<Holders>(&(unit, endpoint, account.clone())).await?.is_some();
                let what = || format!("did {unit} at endpoint {endpoint}");
                report.expect(is_held, what, || format!("{account} locks it and is not said to"));
            }
        }
    }
}

/// How many locks of each account's rules are on a unit at an endpoint.
async fn locks_of(view: &View, unit: DidId, endpoint: EndpointId) -> Result<BTreeMap<String, u64>, CatalogError> {
    let rows = view.scan::<LocksByUnit>(&(unit, endpoint), RULES_MAX).await?;
    let rules: Vec<_> = rows.into_iter().map(|((_, _, rule), ())| (rule,)).collect();
    let mut counts = BTreeMap::new();
    for rule in view.get_many::<Rules>(&rules).await?.into_iter().flatten() {
        *counts.entry(rule.account.to_string()).or_insert(0) += 1;
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
