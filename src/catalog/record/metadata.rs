//! Stored metadata of DIDs.

use serde::{Deserialize, Serialize};

use crate::catalog::table::stored_v1;
use crate::model::account::AccountName;
use crate::model::time::Timestamp;

/// What people say of a DID. One without metadata has none of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataRecord {
    /// How often it was changed since it was first given.
    pub revision: u64,
    /// When it was changed last.
    pub at: Timestamp,
    /// Who changed it last.
    pub by: AccountName,
    /// The metadata as canonical JSON. The engine compresses what it stores.
    pub json: String,
}

stored_v1!(MetadataRecord);
