//! What is said of DIDs: each is there, and what is said of it can be read.

use crate::catalog::check::{Report, all};
use crate::catalog::record::{Dids, MetadataTable};
use crate::catalog::{CatalogError, View, metadata};

/// Metadata is of a DID that is there, and can be read.
pub(super) async fn has_its_did(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<MetadataTable>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
        for (((id,), record), did) in rows.iter().zip(view.get_run::<Dids>(&ids).await?) {
            let what = || format!("metadata of did {id}");
            report.expect(did.is_some(), what, || "there is no such DID".to_owned());
            let reads = metadata::read(Some(record)).is_ok_and(|read| !read.is_empty());
            report.expect(reads, what, || "it is empty, or no JSON object".to_owned());
        }
    }
}
