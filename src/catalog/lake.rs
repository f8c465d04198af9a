//! The lake itself: which one it is, how often it was restored, and which endpoints wait for somebody
//! to accept what is there.
//!
//! A restore takes the lake back to what it was, so whoever followed it may have seen what is gone. The
//! epoch tells: numbers of changes begin anew far above those that were ever given, and an older one is
//! known as such. Nothing removes data from stores yet; what will has to ask [`locked_since`] first.

use std::sync::atomic::Ordering;

use crate::catalog::record::{AcceptedRecord, AuditRecord, Audits, Facts, LakeRecord, LakeTable};
use crate::catalog::{Catalog, CatalogError, Txn, View};
use crate::model::account::AccountName;
use crate::model::change::Change;
use crate::model::id::{EndpointId, LakeId};
use crate::model::time::Timestamp;

/// The row of the lake: there is one.
pub(super) const LAKE: (u8,) = (1,);
/// The fact that a restore has begun and is not at its end.
pub(super) const RESTORING: &str = "restoring";
/// How far a restore raises counters of 64 bits; so many changes begin each epoch but the first.
pub(super) const RAISED_BY: u64 = 1 << 40;
/// How many restores of one endpoint are looked at together.
const AUDITS_MAX: usize = 1_000;

impl Catalog {
    /// Begins work with the catalog: gives the lake its id if it has none, and refuses one that was
    /// restored by half.
    pub async fn begin(&self) -> Result<LakeRecord, CatalogError> {
        let id = LakeId(self.clock.id());
        let lake = self
            .transact(move |txn| async move {
                if txn.get::<Facts>(&(RESTORING.to_owned(),)).await?.is_some() {
                    return Err(CatalogError::HalfRestored);
                }
                if let Some(known) = txn.get::<LakeTable>(&LAKE).await? {
                    return Ok(known);
                }
                let new = LakeRecord { id, epoch: 1, since: txn.now() };
                txn.put::<LakeTable>(&LAKE, &new);
                Ok(new)
            })
            .await?;
        self.feed_base.store(feed_base(lake.epoch), Ordering::Release);
        Ok(lake)
    }

    /// The number behind which this epoch's changes begin.
    pub fn feed_base(&self) -> u64 {
        self.feed_base.load(Ordering::Acquire)
    }
}

/// The number behind which an epoch's changes begin.
pub(super) fn feed_base(epoch: u64) -> u64 {
    epoch.saturating_sub(1).saturating_mul(RAISED_BY)
}

/// The restores after which an endpoint was, or is, to be accepted, oldest first.
pub async fn audits(view: &View, endpoint: EndpointId) -> Result<Vec<AuditRecord>, CatalogError> {
    let rows = view.scan::<Audits>(&(endpoint,), AUDITS_MAX).await?;
    Ok(rows.into_iter().map(|(_, audit)| audit).collect())
}

/// Since when nothing may be removed at an endpoint, if nothing may.
pub async fn locked_since(view: &View, endpoint: EndpointId) -> Result<Option<Timestamp>, CatalogError> {
    let audits = audits(view, endpoint).await?;
    Ok(audits.into_iter().find(|audit| audit.accepted.is_none()).map(|audit| audit.restored_at))
}

/// Accepts what is at an endpoint, for every restore so far. Returns whether anything was locked.
pub async fn accept(txn: &Txn, endpoint: EndpointId, account: &AccountName) -> Result<bool, CatalogError> {
    let rows = txn.scan::<Audits>(&(endpoint,), AUDITS_MAX).await?;
    let open: Vec<_> = rows.into_iter().filter(|(_, audit)| audit.accepted.is_none()).collect();
    for (key, audit) in &open {
        let accepted = Some(AcceptedRecord { at: txn.now(), account: account.clone() });
        txn.put::<Audits>(key, &AuditRecord { accepted, ..audit.clone() });
    }
    if !open.is_empty() {
        txn.emit(&Change::EndpointChanged { endpoint });
    }
    Ok(!open.is_empty())
}
