//! Walking up: which ruled DIDs stand above a dataset, and telling them that something below them
//! changed.

use std::collections::BTreeSet;

use crate::catalog::record::{Backlog, BacklogRecord, Parents, RulesByDid};
use crate::catalog::{CatalogError, Txn, View};
use crate::model::id::DidId;

/// The most parents of one DID that are followed in one read.
const PARENTS_MAX: usize = 10_000;

/// The DID and everything that holds it, directly or not, in the order of a walk upward.
pub async fn upward(view: &View, did: DidId) -> Result<Vec<DidId>, CatalogError> {
    let mut seen = BTreeSet::from([did]);
    let mut order = vec![did];
    let mut at = 0;
    while at < order.len() {
        for ((_, parent), _) in view.scan::<Parents>(&(order[at],), PARENTS_MAX).await? {
            if seen.insert(parent) {
                order.push(parent);
            }
        }
        at += 1;
    }
    Ok(order)
}

/// Writes, for every rule on `unit` or above it, that the unit has to be looked at again, and
/// what is new. A rule with such a row is not shown OK.
pub(super) async fn tell_rules(txn: &Txn, unit: DidId, news: BacklogRecord) -> Result<(), CatalogError> {
    for ancestor in upward(txn, unit).await? {
        if !txn.any::<RulesByDid>(&(ancestor,)).await? {
            continue;
        }
        let key = (ancestor, unit);
        let told = txn.get::<Backlog>(&key).await?;
        txn.put::<Backlog>(&key, &told.map_or(news, |told| merge(told, news)));
    }
    Ok(())
}

fn merge(told: BacklogRecord, news: BacklogRecord) -> BacklogRecord {
    BacklogRecord { from_seq: told.from_seq.min(news.from_seq), detached: told.detached || news.detached }
}
