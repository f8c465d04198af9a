//! Numbers for DIDs and endpoints, handed out in blocks: one transaction reserves a block, and the
//! process then numbers from memory. A block that a stopped process did not use up is lost, which
//! costs nothing. Files registered together get neighbouring numbers.

use std::sync::Mutex;

use crate::catalog::record::Facts;
use crate::catalog::{Catalog, CatalogError};
use crate::model::id::{DidId, EndpointId};

/// How many DID numbers one block has.
const DID_BLOCK: u64 = 10_000;

/// What is left of this process's blocks.
#[derive(Debug, Default)]
pub struct IdBlocks {
    dids: Mutex<std::ops::Range<u64>>,
}

impl Catalog {
    /// The first of `count` neighbouring DID numbers that nobody else has.
    pub async fn did_ids(&self, count: u64) -> Result<DidId, CatalogError> {
        if let Some(first) = self.take_dids(count) {
            return Ok(DidId(first));
        }
        let size = DID_BLOCK.max(count);
        let block = self.reserve("next_did", size).await?;
        let first = block.start;
        *self.ids.dids.lock().expect("nothing panics while holding it") = first + count..block.end;
        Ok(DidId(first))
    }

    /// A number for an endpoint. Endpoints are few, so each takes a transaction.
    pub async fn endpoint_id(&self) -> Result<EndpointId, CatalogError> {
        let block = self.reserve("next_endpoint", 1).await?;
        Ok(EndpointId(u32::try_from(block.start).expect("there are fewer than 2^32 endpoints")))
    }

    fn take_dids(&self, count: u64) -> Option<u64> {
        let mut left = self.ids.dids.lock().expect("nothing panics while holding it");
        let first = left.start;
        if left.end - first < count {
            return None;
        }
        left.start += count;
        Some(first)
    }

    async fn reserve(&self, counter: &'static str, size: u64) -> Result<std::ops::Range<u64>, CatalogError> {
        self.transact(move |txn| async move {
            let key = (counter.to_owned(),);
            let first = txn.get::<Facts>(&key).await?.unwrap_or(1);
            txn.put::<Facts>(&key, &(first + size));
            Ok(first..first + size)
        })
        .await
    }
}
