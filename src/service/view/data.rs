//! Wire shapes of what is done with datasets and containers beside their making: closing, history,
//! coverage, members in bulk.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::account::AccountName;
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::model::id::RuleId;
use crate::model::time::Timestamp;
use crate::service::view::RefusedLine;

/// A change of a dataset or container.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DidChange {
    /// Whether it shall take no more members.
    pub closed: bool,
}

/// Something that happened to a DID.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HistoryView {
    /// When; of several alike within a minute, the first.
    pub at: Timestamp,
    /// Who did it; absent if it came by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    /// `created`, `attached`, `detached`, `labelled`, `closed`, `reopened`, `rule_made`, `rule_changed`,
    /// `rule_removed`, `rule_expired` or `replicas_bad`; there may be more to come.
    pub what: String,
    /// How many members or files; only who may write the DID is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// One of them, if it can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did: Option<Did>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointName>,
    /// Which rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleId>,
    /// Labels that were set, as `KEY=VALUE`, or taken away, as `KEY=`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// How much of a dataset is where.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DatasetCoverage {
    /// The dataset.
    pub did: Did,
    /// Its files; absent where the caller may not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Their bytes; absent in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Each endpoint that has any of it, by name. Absent for a large dataset that the caller may not
    /// write: the sums would tell of files that are hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<CoverageView>>,
}

/// How much of a dataset is at an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CoverageView {
    /// Where.
    pub endpoint: EndpointName,
    /// Files that are available there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One line of members to attach or detach. Whatever else a line has is passed over, so that what a list
/// prints can be sent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Attachment {
    /// The member.
    pub did: Did,
}

/// The answer to one chunk of a change in bulk.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MovedChunk {
    /// The first line of the chunk, counted from 1.
    pub line: u64,
    /// Lines that changed something.
    pub done: u64,
    /// Lines that were so already.
    pub same: u64,
    /// Lines that were refused; nothing came of them, and of all others of the chunk it did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedLine>,
}
