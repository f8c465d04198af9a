//! Wire shapes of the search index.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far the search index of a server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndexView {
    /// `ready`, or `building` as long as it does not have everything.
    pub state: String,
    /// The last change that it has taken account of.
    pub position: u64,
    /// How many changes it is behind.
    pub behind: u64,
    /// Items that can be found.
    pub documents: u64,
    /// Items that were replaced or taken out, and still take room.
    pub dead: u64,
    /// Files of the index.
    pub segments: u64,
    /// Bytes of its documents.
    pub bytes: u64,
}
