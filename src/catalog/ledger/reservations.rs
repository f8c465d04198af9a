//! Reservations: room that a rule has been given and has not taken yet. A rule that places all of its
//! datasets together chooses for the whole of them with its first page, and holds them page by page;
//! what the other pages need is reserved meanwhile, so that no other rule of its account is given it.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::ledger::holdings;
use crate::catalog::record::Reservations;
use crate::catalog::{CatalogError, Txn, View};
use crate::model::account::AccountName;
use crate::model::id::{DidId, EndpointId, RuleId};

/// The most reservations of one account that are added up.
const READ_MAX: usize = 100_000;

/// What an account's rules have reserved, by endpoint, but for one of them.
pub async fn of_others(
    view: &View,
    account: &AccountName,
    but: Option<RuleId>,
) -> Result<BTreeMap<EndpointId, u64>, CatalogError> {
    let mut sums = BTreeMap::<EndpointId, u64>::new();
    for ((_, rule, endpoint), bytes) in view.scan::<Reservations>(&(account.to_string(),), READ_MAX).await? {
        if Some(rule) != but {
            let sum = sums.entry(endpoint).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }
    Ok(sums)
}

/// Reserves room for a rule at endpoints where it had none, and gives back what it has at others than
/// those it goes to.
pub async fn reserve(
    txn: &Txn,
    account: &AccountName,
    rule: RuleId,
    new: &[(EndpointId, u64)],
    chosen: &BTreeSet<EndpointId>,
) -> Result<(), CatalogError> {
    for ((account, rule, endpoint), _) in txn.scan::<Reservations>(&(account.to_string(), rule), READ_MAX).await? {
        if !chosen.contains(&endpoint) {
            txn.clear::<Reservations>(&(account, rule, endpoint));
            holdings::tell_room(txn).await?;
        }
    }
    for (endpoint, bytes) in new.iter().filter(|(_, bytes)| *bytes > 0) {
        txn.put::<Reservations>(&(account.to_string(), rule, *endpoint), bytes);
    }
    Ok(())
}

/// A rule is about to hold a unit: what it needs is taken from what was reserved, unless the account
/// holds the unit there already.
pub async fn take(
    txn: &Txn,
    account: &AccountName,
    rule: RuleId,
    unit: DidId,
    endpoint: EndpointId,
) -> Result<(), CatalogError> {
    let key = (account.to_string(), rule, endpoint);
    let Some(left) = txn.get::<Reservations>(&key).await? else {
        return Ok(());
    };
    if holdings::holding(txn, unit, account).await?.contains(&endpoint) {
        return Ok(());
    }
    let bytes = u64::try_from(holdings::length(txn, unit).await?.bytes).unwrap_or(0);
    match left.saturating_sub(bytes) {
        0 => txn.clear::<Reservations>(&key),
        left => txn.put::<Reservations>(&key, &left),
    }
    Ok(())
}

/// A rule has placed all it has, or has ended: what it did not take is given back.
pub async fn end(txn: &Txn, account: &AccountName, rule: RuleId) -> Result<(), CatalogError> {
    let rows = txn.scan::<Reservations>(&(account.to_string(), rule), READ_MAX).await?;
    if !rows.is_empty() {
        holdings::tell_room(txn).await?;
    }
    for (key, _) in rows {
        txn.clear::<Reservations>(&key);
    }
    Ok(())
}
