//! Metadata that comes with files: of new ones it is stored with them; of those that are known it takes
//! the place of what they had, if whoever registers may write them.

use std::fmt;
use std::sync::Arc;

use crate::catalog::labels::Gatherer;
use crate::catalog::record::{Dids, MetadataRecord};
use crate::catalog::{CatalogError, Txn, metadata};
use crate::model::did::DidName;
use crate::model::facts::DidFacts;
use crate::model::id::DidId;
use crate::model::metadata::Metadata;
use crate::replicas::Target;

type MayWrite = dyn Fn(&Txn, &DidFacts) -> bool + Send + Sync;

/// Tells whether whoever registers files may write one that is known already.
#[derive(Clone)]
pub struct Writers(Arc<MayWrite>);

impl Writers {
    /// Asks this of each file.
    pub fn new(may_write: impl Fn(&Txn, &DidFacts) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(may_write))
    }

    /// Nobody: for whoever brings no metadata.
    pub fn nobody() -> Self {
        Self::new(|_, _| false)
    }
}

impl fmt::Debug for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writers")
    }
}

/// Why metadata cannot be given to a file that is known; `None` if it can. What is there for nobody yet,
/// or is no file, has no say here.
pub(super) async fn refusal(
    txn: &Txn,
    target: &Target,
    file: DidId,
    name: &DidName,
    given: Option<&Metadata>,
) -> Result<Option<String>, CatalogError> {
    if given.is_none() {
        return Ok(None);
    }
    let record = txn.get::<Dids>(&(file,)).await?;
    let Some(record) = record.filter(|record| record.file().is_some_and(|facts| !facts.announced)) else {
        return Ok(None);
    };
    let facts = Gatherer::new(txn).did(file, &record).await?;
    // Asked before anything is compared: the answer tells nothing of what is there.
    let may = (target.writers.0)(txn, &facts);
    Ok((!may).then(|| format!("policy does not let you write `{name}`; leave its metadata out")))
}

/// Metadata given to files in one transaction.
#[derive(Default)]
pub(super) struct Given {
    changed: Vec<DidId>,
}

impl Given {
    /// Gives a new file its metadata.
    pub(super) fn put_new(&mut self, txn: &Txn, target: &Target, file: DidId, given: Option<&Metadata>) {
        if let Some(given) = given {
            self.put(txn, target, file, None, given);
        }
    }

    /// Gives a known file its metadata, once nothing stands against it.
    pub(super) async fn put_known(
        &mut self,
        txn: &Txn,
        target: &Target,
        file: DidId,
        given: Option<&Metadata>,
    ) -> Result<(), CatalogError> {
        if let Some(given) = given {
            let old = metadata::of(txn, file).await?;
            self.put(txn, target, file, old.as_ref(), given);
        }
        Ok(())
    }

    fn put(&mut self, txn: &Txn, target: &Target, file: DidId, old: Option<&MetadataRecord>, given: &Metadata) {
        let (_, is_changed) = metadata::put(txn, file, old, given, &target.account);
        if is_changed {
            self.changed.push(file);
        }
    }

    /// Tells the feed.
    pub(super) fn tell(self, txn: &Txn) {
        metadata::tell(txn, self.changed);
    }
}
