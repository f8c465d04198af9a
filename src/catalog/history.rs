//! What happened to each DID, for people who ask: a bounded list, written in the transaction of the
//! act. It tells of the DID itself, so that work in bulk writes one row to what it is done to, and none
//! for each file.

use std::time::Duration;

use crate::catalog::record::{Closed, ClosedRecord, Happening, History, HistoryHeads, HistoryRecord, Several};
use crate::catalog::{CatalogError, Rows, Txn, View};
use crate::model::account::AccountName;
use crate::model::id::DidId;

/// How many entries of one DID are kept, the newest.
pub const KEPT_MAX: u64 = 1_000;
/// What somebody does again in the same way within this time is the same entry.
const ALIKE: Duration = Duration::from_mins(1);

/// Notes that something happened to a DID.
pub async fn note(txn: &Txn, did: DidId, account: Option<&AccountName>, what: Happening) -> Result<(), CatalogError> {
    let next = txn.get::<HistoryHeads>(&(did,)).await?.unwrap_or(1);
    let new = HistoryRecord { at: txn.now(), account: account.cloned(), what };
    if let Some(last) = txn.get::<History>(&(did, next - 1)).await?
        && let Some(both) = joined(&last, &new)
    {
        txn.put::<History>(&(did, next - 1), &both);
        return Ok(());
    }
    txn.put::<History>(&(did, next), &new);
    txn.put::<HistoryHeads>(&(did,), &(next + 1));
    if let Some(oldest) = next.checked_sub(KEPT_MAX).filter(|oldest| *oldest > 0) {
        txn.clear::<History>(&(did, oldest));
    }
    Ok(())
}

/// Notes that members joined a dataset or container, if any did.
pub async fn note_joined(
    txn: &Txn,
    parent: DidId,
    account: &AccountName,
    members: Option<Several>,
) -> Result<(), CatalogError> {
    match members {
        Some(members) => note(txn, parent, Some(account), Happening::Attached(members)).await,
        None => Ok(()),
    }
}

/// Two entries as one, if they are alike.
fn joined(last: &HistoryRecord, new: &HistoryRecord) -> Option<HistoryRecord> {
    if last.account != new.account || new.at.since(last.at) >= ALIKE {
        return None;
    }
    let sum = |old: Several, new: Several| Several { count: old.count + new.count, ..old };
    let what = match (&last.what, &new.what) {
        (Happening::Attached(old), Happening::Attached(new)) => Happening::Attached(sum(*old, *new)),
        (Happening::Detached(old), Happening::Detached(new)) => Happening::Detached(sum(*old, *new)),
        (Happening::ReplicasBad(at, old), Happening::ReplicasBad(here, new)) if at == here => {
            Happening::ReplicasBad(*at, sum(*old, *new))
        }
        _ => return None,
    };
    Some(HistoryRecord { what, ..last.clone() })
}

/// Entries of a DID behind a number, oldest first.
pub async fn read(view: &View, did: DidId, after: u64, limit: usize) -> Result<Rows<History>, CatalogError> {
    view.scan_after::<History>(&(did,), &(did, after), limit).await
}

/// Closes a dataset or container, or opens it again. Returns whether that changed anything.
pub async fn set_closed(txn: &Txn, did: DidId, account: &AccountName, closed: bool) -> Result<bool, CatalogError> {
    if txn.get::<Closed>(&(did,)).await?.is_some() == closed {
        return Ok(false);
    }
    if closed {
        txn.put::<Closed>(&(did,), &ClosedRecord { at: txn.now(), account: account.clone() });
    } else {
        txn.clear::<Closed>(&(did,));
    }
    note(txn, did, Some(account), if closed { Happening::Closed } else { Happening::Reopened }).await?;
    Ok(true)
}

/// Tells whether a dataset or container takes no more members.
pub async fn is_closed(view: &View, did: DidId) -> Result<bool, CatalogError> {
    Ok(view.get::<Closed>(&(did,)).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::catalog::engine::memory::Memory;
    use crate::clock::SystemClock;

    async fn noted(catalog: &Catalog, account: &'static str, what: Happening) {
        let account = AccountName::parse(account).expect("a name");
        let work = move |txn: Txn| {
            let (account, what) = (account.clone(), what.clone());
            async move { note(&txn, DidId(1), Some(&account), what).await }
        };
        catalog.transact(work).await.expect("noted");
    }

    #[tokio::test]
    async fn what_is_alike_is_one_entry_and_the_oldest_go() {
        let catalog = Catalog::new(Memory::shared(), SystemClock::shared());
        let some = |first, count| Happening::Attached(Several { first: DidId(first), count });
        for (account, what) in [("root", some(5, 1_000)), ("root", some(6, 2)), ("ada", some(7, 1))] {
            noted(&catalog, account, what).await;
        }
        let view = catalog.view().await.expect("a view");
        let rows = read(&view, DidId(1), 0, 10).await.expect("read");
        let whats: Vec<_> = rows.iter().map(|((_, seq), row)| (*seq, row.what.clone())).collect();
        assert_eq!(whats, [(1, some(5, 1_002)), (2, some(7, 1))]);
        for turn in 0..KEPT_MAX {
            noted(&catalog, "root", if turn % 2 == 0 { Happening::Closed } else { Happening::Reopened }).await;
        }
        let view = catalog.view().await.expect("a view");
        let rows = read(&view, DidId(1), 0, 2_000).await.expect("read");
        assert_eq!((rows.len() as u64, rows[0].0.1), (KEPT_MAX, 3), "those of the beginning are gone");
        assert_eq!(read(&view, DidId(1), KEPT_MAX, 10).await.expect("read").len(), 2, "a cursor leads on");
        assert!(read(&view, DidId(2), 0, 10).await.expect("read").is_empty());
    }
}
