//! Folds deltas of coverage and usage into their bases, and sets locks by what has become of them.
//! The only step that says a lock is OK or STUCK after arrivals.

use std::time::Duration;

use crate::catalog::engine::Range;
use crate::catalog::ledger::{locks, tally};
use crate::catalog::record::{FoldRecord, Folds};
use crate::catalog::table::Parts as _;
use crate::catalog::{Catalog, CatalogError};
use crate::model::time::Timestamp;
use crate::rules::Progress;

/// How many rows of the queue one step reads.
const PAGE: usize = 2_000;
/// How many units one transaction folds.
const UNITS: usize = 50;
/// How long a transaction can take: rows that sort before the cursor may still appear for so long.
const LATE: Duration = Duration::from_secs(10);

/// Where the queue is read from. Rows before it are gone; beginning there spares a walk over the
/// graves of a log-structured engine.
#[derive(Debug, Default)]
pub struct Cursor {
    from: Timestamp,
    whole_at: Duration,
}

/// How often the queue is read from its very beginning all the same.
const WHOLE_EVERY: Duration = Duration::from_mins(1);

/// Folds what the queue names, a page of it.
pub async fn step(catalog: &Catalog, cursor: &mut Cursor) -> Result<Progress, CatalogError> {
    let monotonic = catalog.clock().monotonic();
    if monotonic >= cursor.whole_at {
        *cursor = Cursor { from: Timestamp::default(), whole_at: monotonic + WHOLE_EVERY };
    }
    let started = catalog.clock().now();
    let mut range = Range::prefix(&[], PAGE);
    range.from = (u128::from(cursor.from.as_millis()) << 80,).encode();
    let rows = catalog.view().await?.range::<Folds>(range).await?;
    if rows.is_empty() {
        return Ok(Progress::Nothing);
    }
    let mut wanted: Vec<(FoldRecord, Vec<u128>)> = Vec::new();
    let mut sorted: Vec<_> = rows.iter().map(|((id,), fold)| (order(fold), *fold, *id)).collect();
    sorted.sort_by_key(|(order, _, id)| (*order, *id));
    for (_, fold, id) in sorted {
        match wanted.last_mut() {
            Some((last, ids)) if *last == fold => ids.push(id),
            _ => wanted.push((fold, vec![id])),
        }
    }
    for chunk in wanted.chunks(UNITS) {
        fold_chunk(catalog, chunk.to_vec()).await?;
    }
    if rows.len() < PAGE {
        let millis = started.as_millis().saturating_sub(u64::try_from(LATE.as_millis()).expect("ten seconds fit"));
        cursor.from = Timestamp::from_millis(millis).max(cursor.from);
    }
    Ok(Progress::Made)
}

fn order(fold: &FoldRecord) -> (u8, u64, u32) {
    match fold {
        FoldRecord::Unit(unit, endpoint) => (0, unit.0, endpoint.0),
        FoldRecord::Usage(endpoint) => (1, 0, endpoint.0),
    }
}

async fn fold_chunk(catalog: &Catalog, chunk: Vec<(FoldRecord, Vec<u128>)>) -> Result<(), CatalogError> {
    catalog
        .transact(move |txn| {
            let chunk = chunk.clone();
            async move {
                for (fold, ids) in chunk {
                    match fold {
                        FoldRecord::Unit(unit, endpoint) => {
                            locks::recount(&txn, unit, endpoint).await?;
                        }
                        FoldRecord::Usage(endpoint) => tally::fold_usage(&txn, endpoint).await?,
                    }
                    for id in ids {
                        txn.clear::<Folds>(&(id,));
                    }
                }
                Ok(())
            }
        })
        .await
}
