//! Metadata that comes with files: of new ones it is stored with them; of those that are known, which
//! whoever registers may write, it takes the place of what they had.

use crate::catalog::record::MetadataRecord;
use crate::catalog::{CatalogError, Txn, metadata};
use crate::model::id::DidId;
use crate::model::metadata::Metadata;
use crate::replicas::Target;

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
