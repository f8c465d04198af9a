//! Wire shapes of the native API: what doors send and clients read. Apart from stored shapes and
//! from the model, so that each can change alone. `-o json` prints these as they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::account::AccountName;
use crate::model::checksum::Checksum;
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::EndpointName;
use crate::model::id::{RuleId, TransferId};
use crate::model::replica::{ReplicaState, Verification};
use crate::model::rule::{Grouping, RuleState};
use crate::model::scope::Scope;
use crate::model::time::Timestamp;

mod account;
mod backup;
mod data;
mod endpoint;
mod index;
mod metadata;
mod policy;
mod upload;

pub use account::{
    AccountChange, AccountView, HoldingView, KeyView, LimitView, MadeKey, MemberView, NewAccount, NewKey, NewLimit,
    NewMember, NewPassword, NewSession, PasswordRemoval, SessionView, UsageView, WhoView,
};
pub use backup::{AuditView, BackupProgress, BackupView, LockedEndpoint, NewBackup};
pub use data::{Attachment, CoverageView, DatasetCoverage, DidChange, HistoryView, MovedChunk};
pub use endpoint::{
    EndpointChange, EndpointState, EndpointView, FindingOfProbe, NewEndpoint, NewSettings, ProbeView, SecretText,
    SettingsChange, SettingsView,
};
pub use index::IndexView;
pub use metadata::{MetadataChunk, MetadataLine, MetadataObject, MetadataView};
pub use policy::{
    CheckedPolicies, FlawView, LabelsChange, LabelsView, PoliciesView, PolicyExplanation, PolicyFile, PolicyFiles,
    PolicyQuestion, PolicyView, UnmetView,
};
pub use upload::{NewUpload, NewUploads, UploadView, Uploaded, Uploads};

/// One page of a list, in the list's order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A scope.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ScopeView {
    /// Its name.
    pub scope: Scope,
    /// Its owner.
    pub account: AccountName,
    /// When it was added.
    pub created_at: Timestamp,
    /// Its labels; they bind all that is in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A scope to add.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewScope {
    /// Its name.
    pub scope: Scope,
    /// Its owner, if that is not who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountName>,
}

/// A change of a scope.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeChange {
    /// Its new owner.
    pub owner: AccountName,
}

/// A DID.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DidView {
    /// `scope:name`.
    pub did: Did,
    /// What it is.
    pub kind: DidKind,
    /// Who registered it.
    pub account: AccountName,
    /// When.
    pub created_at: Timestamp,
    /// For a file, its length; for a dataset or container, that of its direct members. Who may not write
    /// it is told of what they see, or nothing if it is large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Members directly in it, in the same way; absent for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// A file's checksums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checksums: Vec<Checksum>,
    /// Since when it takes no more members; absent while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// The labels that hold for it: its own, its scope's, and those of all that holds it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What people say of it, where one DID is shown; lists leave it out.
    #[serde(default, skip_serializing_if = "MetadataObject::is_empty")]
    pub metadata: MetadataObject,
}

/// A dataset or container to make.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDid {
    /// `scope:name`.
    pub did: Did,
    /// `dataset` or `container`.
    pub kind: DidKind,
}

/// Members to attach or detach.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// At most 1,000 of them.
    #[schema(max_items = 1000)]
    pub dids: Vec<Did>,
}

/// A member of a dataset or container.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ContentView {
    /// `scope:name`.
    pub did: Did,
    /// What it is.
    pub kind: DidKind,
    /// Its length in bytes; 0 for datasets and containers.
    pub bytes: u64,
    /// A file's checksums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checksums: Vec<Checksum>,
}

/// A replica of a file.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReplicaView {
    /// The file.
    pub did: Did,
    /// Where.
    pub endpoint: EndpointName,
    /// Its path below the endpoint's root.
    pub path: String,
    /// Whether it can be read.
    pub state: ReplicaState,
    /// How its bytes are known to be right.
    pub verification: Verification,
    /// The file's length.
    pub bytes: u64,
}

/// A replica to declare bad.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BadReplica {
    /// The file.
    pub did: Did,
    /// Where.
    pub endpoint: EndpointName,
}

/// One line of a registration in bulk: a file that lies at the endpoint already.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReplica {
    /// The file's name in the target's scope.
    #[schema(value_type = crate::model::did::DidName)]
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// `algorithm:hex`.
    pub checksum: Checksum,
    /// Its path below the root, where it is not `<scope>/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is said of it. Of a file that is known it takes the place of what there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<MetadataObject>,
}

/// The answer to one chunk of a registration in bulk.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RegisteredChunk {
    /// The first line of the chunk, counted from 1.
    pub line: u64,
    /// Files that are new.
    pub registered: u64,
    /// Files that were known already, with the same content; their replica is there now too.
    pub known: u64,
    /// Lines that were refused; nothing of them was stored, all others of the chunk were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedLine>,
}

/// A line that was refused.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RefusedLine {
    /// Its number, counted from 1.
    pub line: u64,
    /// A stable name of the reason.
    pub code: String,
    /// What is wrong.
    pub detail: String,
    /// What to do about it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A rule to make.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// What it is on.
    pub did: Did,
    /// How many copies.
    #[schema(minimum = 1, maximum = 100)]
    pub copies: u16,
    /// Where: an endpoint expression.
    #[schema(min_length = 1, examples("tier=1&(country=DE|country=FR)"))]
    pub expression: String,
    /// How the units of a container share endpoints.
    #[serde(default)]
    pub grouping: Grouping,
    /// After how many seconds it ends by itself.
    #[schema(maximum = 3_153_600_000_u64)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u64>,
}

/// A change of a rule. What is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleChange {
    /// How many copies.
    #[schema(minimum = 1, maximum = 100)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u16>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// After how many seconds from now it ends by itself; 0 for never.
    #[schema(maximum = 3_153_600_000_u64)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u64>,
}

/// A rule and how far it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    /// Its id.
    pub id: RuleId,
    /// What it is on.
    pub did: Did,
    /// Who made it.
    pub account: AccountName,
    /// How many copies.
    pub copies: u16,
    /// Where.
    pub expression: String,
    /// How units share endpoints.
    pub grouping: Grouping,
    /// How far it is satisfied.
    pub state: RuleState,
    /// Locks (a dataset or file at an endpoint) whose files are all there.
    pub locks_ok: u64,
    /// Locks on their way.
    pub locks_replicating: u64,
    /// Locks that cannot go on.
    pub locks_stuck: u64,
    /// Datasets or files for which no endpoints could be chosen.
    pub units_unplaced: u64,
    /// Copies of files that are there, of those that the rule's locks call for.
    pub files_done: u64,
    /// Copies of files that the rule's locks call for. Like `files_done` summed over the first
    /// 1,000 locks. Who may not write the data is told of what they see, and of datasets with over
    /// 1,000 members nothing.
    pub files_wanted: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// In a dry run, what would come of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<RulePlan>,
}

/// What a rule would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RulePlan {
    /// The endpoints that would hold copies, by name.
    pub endpoints: Vec<PlannedEndpoint>,
    /// Whether everything below the rule's DID was looked at. If not, the numbers are those of its
    /// beginning.
    pub complete: bool,
}

/// What would move to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedEndpoint {
    /// Its name.
    pub endpoint: EndpointName,
    /// Copies of files that are missing there. Absent where the caller may not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Their bytes; absent in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Why a rule is as it is, and what would help.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuleExplanation {
    /// The rule.
    pub rule: RuleView,
    /// One sentence.
    pub summary: String,
    /// Which endpoints each part of the expression matches.
    pub matched: Vec<ExpressionPart>,
    /// Where the rule's copies are or go, at most 100 locks, those with trouble first.
    pub locks: Vec<LockExplanation>,
    /// What keeps it from being satisfied, grouped by cause.
    pub problems: Vec<Problem>,
}

/// A part of an endpoint expression and the endpoints it matches.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExpressionPart {
    /// For example `country=DE`.
    pub part: String,
    /// Names of endpoints.
    pub endpoints: Vec<EndpointName>,
}

/// A lock, explained.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LockExplanation {
    /// The dataset or file.
    pub did: Did,
    /// Where.
    pub endpoint: EndpointName,
    /// `ok`, `replicating` or `stuck`.
    pub state: String,
    /// Files that are there.
    pub files_done: u64,
    /// Files that shall be.
    pub files_wanted: u64,
    /// Why these endpoints were chosen.
    pub chosen: String,
}

/// One cause of trouble.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The reason's stable name; `docs/stuck.md` has a section for each.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// What the endpoint said last, if the reason is about one that still ails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Files, or units, that it keeps back (counted up to 1,000).
    pub count: u64,
    /// One of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Did>,
    /// What would help, as commands to paste.
    pub help: Vec<String>,
    /// When dapple tries again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
}

/// A transfer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TransferView {
    /// Its id.
    pub id: TransferId,
    /// The file.
    pub did: Did,
    /// Where it goes.
    pub destination: EndpointName,
    /// `waiting`, `running` or `failed`.
    pub state: String,
    /// Attempts made.
    pub attempts: u32,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it goes on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// The file's length.
    pub bytes: u64,
    /// When it was planned.
    pub created_at: Timestamp,
}

/// A wish for a signed URL.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUrl {
    /// A file, or a dataset whose files shall all be readable.
    pub did: Did,
    /// For how long, at most 7 days.
    #[schema(minimum = 1, maximum = 604_800)]
    pub expires_seconds: u64,
    /// The only endpoint to read from, whatever lies nearer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EndpointName>,
    /// Whether readers are sent to the storage itself instead of reading through the gateway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redirect: bool,
}

/// A signed URL.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UrlView {
    /// The URL. For a dataset, a base: append a file's name. The base itself lists the files.
    pub url: String,
    /// What it reads.
    pub did: Did,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// A background worker.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Its name.
    pub name: String,
    /// `idle`, `busy`, `standby` (another process does its work) or `paused`.
    pub state: String,
    /// Activations since the process started.
    pub runs: u64,
    /// When it was last activated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_at: Option<Timestamp>,
    /// Its last fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<String>,
}

/// The catalog, checked against itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckView {
    /// Names of the invariants that were checked.
    pub checked: Vec<String>,
    /// Where they do not hold; empty when all is well. At most 100 for each invariant.
    pub findings: Vec<FindingView>,
    /// Endpoints at which nothing is removed until somebody accepts what is there: the lake was restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removal_locked: Vec<LockedEndpoint>,
}

/// One way in which the catalog contradicts itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// The invariant that does not hold.
    pub invariant: String,
    /// What it does not hold for.
    pub what: String,
    /// What was found, and what should have been.
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProblemView {
    /// A page that explains the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A stable name, in kebab-case.
    pub code: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub detail: String,
    /// What would help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Names the request in the server's log.
    pub request_id: String,
}

/// What `GET /health` answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ready` when it answers 200.
    pub status: String,
    /// The server's version.
    pub version: String,
    /// What a person should look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What `GET /health/ready` answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// `ready`, or `unready` with status 503.
    pub status: String,
    /// The server's version.
    pub version: String,
    /// What was looked at.
    pub checks: Vec<HealthCheck>,
}

/// One thing that a server needs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HealthCheck {
    /// Which.
    pub name: String,
    /// Whether it is well.
    pub ok: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
