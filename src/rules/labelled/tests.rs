//! How far a walk comes, on a catalog in memory.

use super::*;
use crate::catalog::engine::Engine as _;
use crate::catalog::engine::memory::Memory as MemoryEngine;
use crate::clock::SystemClock;

/// More than two pages.
const LABELLED: u64 = 250;

async fn lake() -> (Arc<MemoryEngine>, Catalog) {
    let engine = MemoryEngine::shared();
    let catalog = Catalog::new(engine.clone(), SystemClock::shared());
    catalog
        .transact(|txn| async move {
            (1..=LABELLED).for_each(|did| txn.put::<DidLabels>(&(DidId(did),), &1));
            Ok::<_, CatalogError>(())
        })
        .await
        .expect("memory does not fail");
    (engine, catalog)
}

#[tokio::test]
async fn a_page_that_could_not_be_looked_at_is_looked_at_again() {
    let ((engine, catalog), judge, mut memory) = (lake().await, Judge::builtin(), Memory::default());
    engine.close().await.expect("closed");
    for _ in 0..3 {
        step(&catalog, &judge, &mut memory).await.expect_err("nothing can be written");
        assert_eq!(memory.after, Some(DidId(0)), "no page is passed over");
    }
    engine.reopen();
    assert_eq!(step(&catalog, &judge, &mut memory).await.expect("a step"), Progress::Made);
    assert_eq!(memory.after, Some(DidId(100)));
}
