//! The change feed: what followers (search, events, peers) read to learn what changed, in commit
//! order. An entry names a record; a follower reads the record itself.

use bytes::Bytes;
use serde::Serialize;

use crate::catalog::table::{decode_version, encode_version};
use crate::catalog::{Catalog, CatalogError};
use crate::model::change::Change;

/// A change with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NumberedChange {
    /// Counts without gaps, from 1 on; after a restore from 2^40 above what it was counted from before.
    pub seq: u64,
    /// What changed.
    #[serde(flatten)]
    pub change: Change,
}

pub(super) fn encode(change: &Change) -> Bytes {
    encode_version(1, change)
}

impl Catalog {
    /// The changes behind `after`, in order, at most `limit`.
    pub async fn changes(&self, after: u64, limit: usize) -> Result<Vec<NumberedChange>, CatalogError> {
        let base = self.feed_base();
        let entries = self.engine.changes(after.saturating_sub(base), limit).await?;
        entries
            .into_iter()
            .map(|entry| {
                let change = decode_version(1, &entry.change)
                    .map_err(|source| CatalogError::Decode { table: "changes", source })?;
                Ok(NumberedChange { seq: base + entry.seq, change })
            })
            .collect()
    }
}
