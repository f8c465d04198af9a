//! Ends rules: those whose lifetime is over, and those that were removed. Their locks go page by
//! page; replicas stay, as removing unprotected ones is another decision.

use crate::catalog::history::note;
use crate::catalog::ledger::{locks, reservations};
use crate::catalog::record::{
    Happening, Locks, Placements, RuleCountsTable, RuleRecord, RuleWork, RuleWorkRecord, Rules, RulesByExpiry,
};
use crate::catalog::{Catalog, CatalogError, Txn};
use crate::model::change::Change;
use crate::model::id::RuleId;
use crate::rules::Progress;

/// How many rules one step ends.
const RULES: usize = 50;
/// How many locks one page lets go.
const PAGE: usize = 200;

/// Ends a few rules whose lifetime is over.
pub async fn step(catalog: &Catalog) -> Result<Progress, CatalogError> {
    let now = catalog.clock().now();
    let due = catalog.view().await?.scan::<RulesByExpiry>(&(), RULES).await?;
    let mut progress = Progress::Nothing;
    for ((end, id), ()) in due {
        if end > now.as_millis() {
            break;
        }
        progress = Progress::Made;
        catalog
            .transact(move |txn| async move {
                match txn.get::<Rules>(&(id,)).await? {
                    Some(rule) if rule.expires_at.is_some_and(|end| end <= txn.now()) => {
                        end_rule(&txn, id, &rule);
                        note(&txn, rule.did, None, Happening::RuleExpired(id)).await
                    }
                    _ => Ok::<_, CatalogError>(()),
                }
            })
            .await?;
    }
    Ok(progress)
}

/// Marks a rule as ended; its locks go from now on.
pub fn end_rule(txn: &Txn, id: RuleId, rule: &RuleRecord) {
    let ended = RuleRecord { releasing: true, revision: rule.revision + 1, ..rule.clone() };
    txn.replace::<Rules>(&(id,), rule, &ended);
    txn.put::<RuleWork>(&(id,), &RuleWorkRecord { release: true, ..RuleWorkRecord::default() });
    txn.emit(&Change::RuleChanged { rule: id });
}

/// Lets go a page of an ended rule's locks, and the rule itself when none is left.
pub async fn release_page(catalog: &Catalog, id: RuleId) -> Result<(), CatalogError> {
    catalog
        .transact_bulk(move |txn| async move {
            let held = txn.scan::<Locks>(&(id,), PAGE).await?;
            for ((_, unit, endpoint), _) in &held {
                locks::release(&txn, id, *unit, *endpoint).await?;
            }
            let placements = txn.scan::<Placements>(&(id,), PAGE).await?;
            for (key, placement) in &placements {
                locks::count_unplaced(&txn, id, -i64::from(placement.unplaced.is_some())).await?;
                txn.delete::<Placements>(key, placement);
            }
            if held.is_empty() && placements.is_empty() {
                if let Some(rule) = txn.get::<Rules>(&(id,)).await? {
                    reservations::end(&txn, &rule.account, id).await?;
                    txn.delete::<Rules>(&(id,), &rule);
                }
                txn.clear::<RuleCountsTable>(&(id,));
                txn.clear::<RuleWork>(&(id,));
                txn.emit(&Change::RuleChanged { rule: id });
            }
            Ok(())
        })
        .await
}
