//! Why an activation of a worker failed. The next activation is the retry.

use crate::catalog::CatalogError;
use crate::replicas::upload::UploadError;

/// Why an activation of a worker failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkFault {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// An upload could not be cleared up.
    #[error(transparent)]
    Upload(#[from] UploadError),
}
