//! Why an activation of a worker failed. The next activation is the retry.

use crate::catalog::CatalogError;
use crate::replicas::upload::UploadError;
use crate::search::follow::FollowError;

/// Why an activation of a worker failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkFault {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The search index could not follow.
    #[error(transparent)]
    Index(#[from] FollowError),
    /// An upload could not be cleared up.
    #[error(transparent)]
    Upload(#[from] UploadError),
}
