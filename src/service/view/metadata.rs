//! Wire shapes of metadata.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::account::AccountName;
use crate::model::did::Did;
use crate::model::time::Timestamp;
use crate::service::view::RefusedLine;

/// Metadata, or a merge patch of it, as it is sent and shown: a JSON object. docs/metadata.md says which
/// keys are known or reserved.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct MetadataObject(pub Map<String, Value>);

impl MetadataObject {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The metadata of a DID.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetadataView {
    /// `scope:name`.
    pub did: Did,
    /// What people say of it.
    pub metadata: MetadataObject,
    /// How often it was changed since it was first given; 0 without metadata.
    pub revision: u64,
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// Who changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<AccountName>,
}

/// One line of a change in bulk.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetadataLine {
    /// `scope:name`.
    pub did: Did,
    /// Merged into what it has (RFC 7386), or put in its place if that was asked for.
    pub meta: MetadataObject,
}

/// The answer to one chunk of a change in bulk.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MetadataChunk {
    /// The first line of the chunk, counted from 1.
    pub line: u64,
    /// Lines that changed something.
    pub changed: u64,
    /// Lines that said what was there already.
    pub unchanged: u64,
    /// Lines that were refused; nothing of them was stored, all others of the chunk were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedLine>,
}
