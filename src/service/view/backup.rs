//! Wire shapes of backups and of what a restore leaves to be looked at.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::account::AccountName;
use crate::model::endpoint::EndpointName;
use crate::model::time::Timestamp;
use crate::service::view::ProblemView;

/// Where a backup is to go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The path below its root; one that no file of the lake can have, such as `.backups/monday`.
    pub path: String,
}

/// How far a backup to an endpoint has come: a line of the answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BackupProgress {
    /// Rows made so far.
    pub rows: u64,
    /// Bytes made so far.
    pub bytes: u64,
    /// The backup, on the last line: it is there, and was read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<BackupView>,
    /// Why there is none, on the last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<ProblemView>,
}

/// A backup at an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BackupView {
    /// Where it is.
    pub endpoint: EndpointName,
    /// Its path below the endpoint's root.
    pub path: String,
    /// The lake that it is of.
    pub lake: String,
    /// The lake's epoch.
    pub epoch: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// The newest change that it has.
    pub position: u64,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// BLAKE3 of all of it.
    pub blake3: String,
}

/// An endpoint as a restore of the lake found it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// When the lake was restored.
    pub restored_at: Timestamp,
    /// When somebody accepted what is there; until then nothing is removed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// Who did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_by: Option<AccountName>,
}

/// An endpoint at which nothing is removed, since the lake was restored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LockedEndpoint {
    /// Which.
    pub endpoint: EndpointName,
    /// Since when.
    pub since: Timestamp,
}
