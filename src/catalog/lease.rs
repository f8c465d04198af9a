//! Leases: who does a piece of background work at a time. A lease has a token that grows whenever
//! its holder changes; every write of a holder reads the token row, so a holder that was thought
//! dead cannot write after its successor began.

use std::time::Duration;

use crate::catalog::record::{LeaseRecord, Leases};
use crate::catalog::{Catalog, CatalogError, Txn};

/// How long a lease lasts unless renewed, if nothing else is said.
pub const LEASE_SPAN: Duration = Duration::from_secs(30);

/// A lease this process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    name: String,
    token: u64,
    /// Monotonic time, counted from before the request, after which the holder must not write.
    deadline: Duration,
}

impl Lease {
    /// Fails the transaction if the lease has gone to somebody else.
    pub async fn verify(&self, txn: &Txn) -> Result<(), CatalogError> {
        let record = txn.get::<Leases>(&(self.name.clone(),)).await?;
        match record {
            Some(record) if record.token == self.token => Ok(()),
            _ => Err(CatalogError::LeaseLost { name: self.name.clone() }),
        }
    }
}

impl Catalog {
    /// Takes or keeps a lease. `None` while another process has it. A lease that is still fresh is
    /// kept without a transaction.
    pub async fn lease(&self, name: &str, held: Option<Lease>) -> Result<Option<Lease>, CatalogError> {
        let asked = self.clock.monotonic();
        let span = self.lease_span;
        if let Some(lease) = held.filter(|lease| lease.deadline > asked + span / 2) {
            return Ok(Some(lease));
        }
        let (name, process, exclusive) = (name.to_owned(), self.process, self.is_exclusive());
        self.transact(move |txn| {
            let name = name.clone();
            async move {
                let key = (name.clone(),);
                let old = txn.get::<Leases>(&key).await?;
                let token = match old {
                    Some(old) if old.holder == process => old.token,
                    // An exclusive engine proves that every other holder is gone.
                    Some(old) if exclusive || old.until <= txn.now() => old.token + 1,
                    Some(_) => return Ok(None),
                    None => 1,
                };
                let until = txn.now().after(span);
                txn.put::<Leases>(&key, &LeaseRecord { holder: process, token, until });
                Ok(Some(Lease { name, token, deadline: asked + span }))
            }
        })
        .await
    }

    /// Gives a lease up, so that another process need not wait for its end.
    pub async fn release(&self, lease: Lease) -> Result<(), CatalogError> {
        self.transact(move |txn| {
            let lease = lease.clone();
            async move {
                let key = (lease.name.clone(),);
                if let Some(record) = txn.get::<Leases>(&key).await?.filter(|record| record.token == lease.token) {
                    txn.put::<Leases>(&key, &LeaseRecord { until: txn.now(), ..record });
                }
                Ok(())
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::engine::memory::Memory;
    use crate::catalog::record::Facts;
    use crate::clock::SystemClock;

    async fn note(catalog: &Catalog) -> Result<(), CatalogError> {
        catalog
            .transact(|txn| async move {
                txn.put::<Facts>(&("noted".to_owned(),), &1);
                Ok(())
            })
            .await
    }

    #[tokio::test]
    async fn who_lost_a_lease_writes_no_more() {
        let engine = Memory::shared();
        let first = Catalog::new(Arc::clone(&engine) as _, SystemClock::shared());
        let held = first.lease("work", None).await.expect("asked").expect("free");
        let kept = first.lease("work", Some(held.clone())).await.expect("asked");
        assert_eq!(kept, Some(held.clone()), "a fresh lease is kept as it is");
        let guarded = first.under(held);
        note(&guarded).await.expect("it holds the lease");

        // A process that starts on an exclusive engine proves that the first is gone.
        let second = Catalog::new(engine, SystemClock::shared());
        let taken = second.lease("work", None).await.expect("asked").expect("the first is gone");
        let lost = note(&guarded).await.expect_err("the lease has gone");
        assert!(matches!(lost, CatalogError::LeaseLost { .. }), "{lost}");
        note(&second.under(taken)).await.expect("it holds the lease now");
        note(&first).await.expect("what needs no lease is not kept back");
    }

    #[tokio::test]
    async fn a_lease_that_is_given_up_is_free() {
        let catalog = Catalog::new(Memory::shared(), SystemClock::shared());
        let held = catalog.lease("work", None).await.expect("asked").expect("free");
        catalog.release(held.clone()).await.expect("given up");
        let again = catalog.lease("work", None).await.expect("asked").expect("free");
        let until = |lease: &Lease| (lease.name.clone(), lease.token);
        assert_eq!(until(&again), until(&held), "its holder may have it again");
        catalog.release(Lease { token: 99, ..again.clone() }).await.expect("somebody else's is left alone");
        note(&catalog.under(again)).await.expect("it is held");
    }
}
