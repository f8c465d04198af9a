//! What the catalog stores: every table, its key and its value. The list here is the stored format;
//! `catalog-schema/README.md` describes it. Shapes are only ever added: a change of one is a new
//! version beside the old.

use serde::{Deserialize, Serialize};

use crate::catalog::record::accounts::{
    AccountRecord, ApiKeyRecord, LimitRecord, MemberRecord, PasswordRecord, SessionRecord, key_indexes, member_indexes,
    session_indexes,
};
use crate::catalog::record::placing::{CauseRecord, PassRecord};
use crate::catalog::table::{IndexRow, Parts, Typed, stored_v1, tables};
use crate::model::account::AccountName;
use crate::model::id::{DecisionId, DidId, EndpointId, IntentId, LabelSetId, ProcessId, RuleId, TransferId};
use crate::model::lock::LockState;
use crate::model::replica::{ReplicaState, Verification};
use crate::model::rule::Grouping;
use crate::model::stuck::StuckReason;
use crate::model::time::Timestamp;
use crate::model::transfer::TransferState;

mod access;
pub mod accounts;
mod answers;
mod dids;
mod endpoints;
mod history;
mod lake;
mod metadata;
pub mod placing;

pub use access::{DecisionRecord, LabelSetRecord};
pub use answers::AnswerRecord;
use answers::answer_indexes;
pub use dids::{BacklogRecord, ContentRecord, DidContent, DidRecord, FileFacts, HeadRecord, NameRecord, ScopeRecord};
pub use endpoints::EndpointRecord;
pub use history::{ClosedRecord, Happening, HistoryRecord, Several};
pub use lake::{AcceptedRecord, AuditRecord, LakeRecord, RestoreRecord};
pub use metadata::MetadataRecord;

tables! {
    /// Few facts about the catalog itself: counters of ids, revisions.
    2 "facts" Facts: (String,) => u64;
    /// Scopes by name.
    3 "scopes" Scopes: (String,) => ScopeRecord;
    /// DIDs by scope and name. Names are never given twice.
    4 "did_names" DidNames: (String, String) => NameRecord;
    /// DIDs by number.
    5 "dids" Dids: (DidId,) => DidRecord;
    /// Head rows of datasets and containers: the next place for a member, and exact sums.
    6 "heads" Heads: (DidId,) => HeadRecord;
    /// Members by parent and place.
    7 "contents" Contents: (DidId, u64) => ContentRecord;
    /// Places by member and parent; a row exists as long as the member is attached.
    8 "parents" Parents: (DidId, DidId) => u64;
    /// Endpoints by number.
    9 "endpoints" Endpoints: (EndpointId,) => EndpointRecord;
    /// Endpoint numbers by name.
    10 "endpoint_names" EndpointNames: (String,) => u64;
    /// Replicas by file and endpoint.
    11 "replicas" Replicas: (DidId, EndpointId) => ReplicaRecord, replica_indexes;
    /// Files by endpoint.
    12 "replicas_by_endpoint" ReplicasByEndpoint: (EndpointId, DidId) => ();
    /// Files by path, where the path does not follow from the name.
    13 "paths" Paths: (EndpointId, String) => u64;
    /// Base of coverage: what of a dataset is available at an endpoint.
    14 "coverage" Coverage: (DidId, EndpointId) => Tally;
    /// Deltas of coverage, not yet folded into the base.
    15 "coverage_deltas" CoverageDeltas: (DidId, EndpointId, u128) => Tally;
    /// Base of usage: what lies at an endpoint.
    16 "usage" Usage: (EndpointId,) => Tally;
    /// Deltas of usage, not yet folded into the base.
    17 "usage_deltas" UsageDeltas: (EndpointId, u128) => Tally;
    /// Queue of (unit, endpoint) to be folded, by time.
    18 "folds" Folds: (u128,) => FoldRecord;
    /// Rules by id.
    19 "rules" Rules: (RuleId,) => RuleRecord, rule_indexes;
    /// Rules by what they are on.
    20 "rules_by_did" RulesByDid: (DidId, RuleId) => ();
    /// Rules by when they end.
    21 "rules_by_expiry" RulesByExpiry: (u64, RuleId) => ();
    /// What is left to do for a rule as a whole: placing or releasing, with a cursor.
    22 "rule_work" RuleWork: (RuleId,) => RuleWorkRecord;
    /// How many of a rule's locks are in which state.
    23 "rule_counts" RuleCountsTable: (RuleId,) => CountsRecord;
    /// Endpoints chosen for a rule, by group: a dataset, a file, or the rule's DID for all.
    24 "placements" Placements: (RuleId, DidId) => PlacementRecord, placement_indexes;
    /// Groups for which no endpoints could be chosen.
    25 "unplaced" Unplaced: (RuleId, DidId) => ();
    /// Locks by rule, unit and endpoint.
    26 "locks" Locks: (RuleId, DidId, EndpointId) => LockRecord, lock_indexes;
    /// Locks by unit and endpoint.
    27 "locks_by_unit" LocksByUnit: (DidId, EndpointId, RuleId) => ();
    /// Changes below a ruled DID that its rules have not taken account of: (ruled DID, unit).
    28 "backlog" Backlog: (DidId, DidId) => BacklogRecord;
    /// Units whose missing files are being turned into transfers: how far that has come.
    29 "filling" Filling: (DidId, EndpointId) => u64;
    /// Files that keep a unit's lock from being satisfied: (unit, endpoint, file).
    30 "stuck_files" StuckFiles: (DidId, EndpointId, DidId) => StuckReason;
    /// The one upload, transfer or deletion that has a (file, endpoint).
    31 "intents" Intents: (DidId, EndpointId) => IntentRecord, intent_indexes;
    /// Uploads by when they expire.
    32 "uploads_due" UploadsDue: (u64, DidId, EndpointId) => ();
    /// Transfers by id.
    33 "transfers" Transfers: (TransferId,) => TransferRecord, transfer_indexes;
    /// Waiting transfers by destination and time.
    34 "ready" Ready: (EndpointId, u64, TransferId) => ();
    /// Running transfers by deadline.
    35 "running" Running: (u64, TransferId) => ();
    /// Failed transfers by the time of their next try.
    36 "failed" Failed: (u64, TransferId) => ();
    /// Accounts by name.
    37 "accounts" Accounts: (String,) => AccountRecord;
    /// Accounts by the BLAKE3 of an API key; the key itself is nowhere.
    38 "api_keys" ApiKeys: (String,) => ApiKeyRecord, key_indexes;
    /// Leases by name.
    39 "leases" Leases: (String,) => LeaseRecord;
    /// Recorded policy decisions.
    40 "decisions" Decisions: (u128,) => DecisionRecord;
    /// Members of groups, by group.
    41 "account_members" AccountMembers: (String, String) => MemberRecord, member_indexes;
    /// Groups by member.
    42 "groups_of" GroupsOf: (String, String) => ();
    /// API keys, by their BLAKE3, of an account.
    43 "api_keys_by_account" ApiKeysByAccount: (String, String) => ();
    /// When an API key was last used, to the minute, by its BLAKE3.
    44 "api_key_uses" ApiKeyUses: (String,) => u64;
    /// Passwords of accounts, as slow hashes.
    45 "passwords" Passwords: (String,) => PasswordRecord;
    /// Sessions by the BLAKE3 of their token; the token itself is nowhere.
    46 "sessions" Sessions: (String,) => SessionRecord, session_indexes;
    /// Sessions, by the BLAKE3 of their token, of an account.
    47 "sessions_by_account" SessionsByAccount: (String, String) => ();
    /// How much an account's rules may hold, by account and endpoint expression.
    48 "account_limits" AccountLimits: (String, String) => LimitRecord;
    /// How many locks of an account's rules hold a unit at an endpoint: (unit, endpoint, account).
    49 "holders" Holders: (DidId, EndpointId, String) => u64;
    /// Base of holdings: what an account's rules hold at an endpoint.
    50 "holdings" Holdings: (String, EndpointId) => Tally;
    /// Deltas of holdings, not yet folded into the base.
    51 "holding_deltas" HoldingDeltas: (String, EndpointId, u128) => Tally;
    /// Label sets by number; each is kept once, however many things have it.
    60 "label_sets" LabelSets: (LabelSetId,) => LabelSetRecord;
    /// Numbers of label sets by the BLAKE3 of their stored form.
    61 "label_sets_by_hash" LabelSetsByHash: (String,) => u64;
    /// Labels that scopes have of their own.
    62 "scope_labels" ScopeLabels: (String,) => u64;
    /// Labels that DIDs have of their own.
    63 "did_labels" DidLabels: (DidId,) => u64;
    /// Changes by which places are decided that rules have not taken account of.
    64 "placing_causes" PlacingCauses: (u128,) => CauseRecord;
    /// The pass over all rules that takes account of them: one row, while it is under way.
    65 "placing_pass" PlacingPass: (u8,) => PassRecord;
    /// Bytes that a rule has been given at an endpoint and has not taken yet: (account, rule, endpoint).
    66 "reservations" Reservations: (String, RuleId, EndpointId) => u64;
    /// Files with labels of their own that joined or left a dataset, to be looked at.
    67 "labelled_due" LabelledDue: (DidId,) => ();
    /// Answers to requests that carried an `Idempotency-Key`, by account and key.
    70 "answers" Answers: (String, String) => AnswerRecord, answer_indexes;
    /// Answers by when they were given.
    71 "answers_by_time" AnswersByTime: (u64, String, String) => ();
    /// Metadata of DIDs. A DID without any has no row.
    80 "metadata" MetadataTable: (DidId,) => MetadataRecord;
    /// Datasets and containers that take no more members.
    90 "closed" Closed: (DidId,) => ClosedRecord;
    /// What happened to a DID, by number.
    91 "history" History: (DidId, u64) => HistoryRecord;
    /// The number that the next entry of a DID's history gets.
    92 "history_heads" HistoryHeads: (DidId,) => u64;
    /// The lake itself: one row.
    100 "lake" LakeTable: (u8,) => LakeRecord;
    /// Restores of the lake, by the epoch that each began.
    101 "restores" Restores: (u64,) => RestoreRecord;
    /// Endpoints as a restore found them, by endpoint and epoch, and who has accepted what is there.
    102 "audits" Audits: (EndpointId, u64) => AuditRecord;
}

impl crate::catalog::table::Value for u64 {
    const VERSION: u8 = 1;

    fn encode(&self) -> bytes::Bytes {
        crate::catalog::table::encode_version(1, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, crate::catalog::table::DecodeError> {
        crate::catalog::table::decode_version(1, bytes)
    }
}

/// A replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaRecord {
    /// Whether it can be read.
    pub state: ReplicaState,
    /// How its bytes are known to be right.
    pub verification: Verification,
    /// Its path below the root, where it does not follow from the name.
    pub path: Option<String>,
    /// When it appeared.
    pub created_at: Timestamp,
    /// The decision that allowed it to be here.
    pub decision: DecisionId,
}

fn replica_indexes(key: &(DidId, EndpointId), _: &ReplicaRecord) -> Vec<IndexRow> {
    vec![(ReplicasByEndpoint::TABLE, (key.1, key.0).encode())]
}

/// A number of files and their bytes; as a delta, possibly negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Files.
    pub files: i64,
    /// Bytes.
    pub bytes: i64,
}

/// A unit and endpoint whose deltas want folding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FoldRecord {
    /// Coverage of a unit at an endpoint, and the locks there.
    Unit(DidId, EndpointId),
    /// Usage of an endpoint.
    Usage(EndpointId),
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRecord {
    /// What it is on.
    pub did: DidId,
    /// Who made it.
    pub account: AccountName,
    /// How many copies.
    pub copies: u16,
    /// Where they may be.
    pub expression: crate::model::expression::Expression,
    /// How units share endpoints.
    pub grouping: Grouping,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Raised by every change.
    pub revision: u32,
    /// Whether its locks are being let go.
    pub releasing: bool,
}

fn rule_indexes(key: &(RuleId,), rule: &RuleRecord) -> Vec<IndexRow> {
    let mut rows = vec![(RulesByDid::TABLE, (rule.did, key.0).encode())];
    if let Some(end) = rule.expires_at.filter(|_| !rule.releasing) {
        rows.push((RulesByExpiry::TABLE, (end.as_millis(), key.0).encode()));
    }
    rows
}

/// What is left to do for a rule as a whole. Placing comes before sweeping; releasing ends both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleWorkRecord {
    /// Its units are being placed; the walk goes on at these positions, innermost last.
    pub place: Option<Vec<WalkPosition>>,
    /// Its locks are looked through for units that no longer lie below its DID, behind this one.
    pub sweep: Option<(DidId, EndpointId)>,
    /// Its locks are being let go.
    pub release: bool,
}

/// A position within one container or dataset of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkPosition {
    /// The parent being walked.
    pub parent: DidId,
    /// The next place to look at.
    pub seq: u64,
}

/// How many of a rule's locks are in which state, and how many groups have no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CountsRecord {
    /// Locks whose files are all there.
    pub ok: i64,
    /// Locks on their way.
    pub replicating: i64,
    /// Locks that cannot go on.
    pub stuck: i64,
    /// Groups without a place.
    pub unplaced: i64,
}

/// The endpoints chosen for a group of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRecord {
    /// Where.
    pub chosen: Vec<ChosenRecord>,
    /// Why there are too few, if there are.
    pub unplaced: Option<StuckReason>,
    /// The rule's revision it was made for.
    pub revision: u32,
}

/// One endpoint of a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenRecord {
    /// Where.
    pub endpoint: EndpointId,
    /// Why there.
    pub because: ChosenBecause,
}

/// Why an endpoint was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChosenBecause {
    /// It was chosen before, and nothing speaks against it.
    KeptPlace,
    /// Some of the bytes were there already.
    HadBytes,
    /// Its turn, by the hash of group and endpoint that spreads groups evenly.
    Spread,
}

fn placement_indexes(key: &(RuleId, DidId), placement: &PlacementRecord) -> Vec<IndexRow> {
    placement.unplaced.iter().map(|_| (Unplaced::TABLE, key.encode())).collect()
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// How far it is satisfied.
    pub state: LockState,
    /// Since when.
    pub since: Timestamp,
    /// The recorded decision that lets the data be placed here.
    pub decision: DecisionId,
}

fn lock_indexes(key: &(RuleId, DidId, EndpointId), _: &LockRecord) -> Vec<IndexRow> {
    vec![(LocksByUnit::TABLE, (key.1, key.2, key.0).encode())]
}

/// The one act that has a (file, endpoint).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRecord {
    /// Its id; names of staged bytes carry it.
    pub id: IntentId,
    /// The recorded decision that allows bytes to be placed.
    pub decision: DecisionId,
    /// What it is.
    pub act: IntentAct,
}

/// What an intent is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IntentAct {
    /// A transfer.
    Transfer(TransferId),
    /// An upload that was announced.
    Upload {
        /// The dataset that the file joins when it has landed.
        dataset: DidId,
        /// Until when it may begin.
        until: Timestamp,
        /// The process that announced it; staged bytes of an earlier process are nobody's.
        process: ProcessId,
    },
}

fn intent_indexes(key: &(DidId, EndpointId), intent: &IntentRecord) -> Vec<IndexRow> {
    match intent.act {
        IntentAct::Transfer(_) => Vec::new(),
        IntentAct::Upload { until, .. } => vec![(UploadsDue::TABLE, (until.as_millis(), key.0, key.1).encode())],
    }
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRecord {
    /// The file.
    pub file: DidId,
    /// Where it goes.
    pub destination: EndpointId,
    /// The intent it holds.
    pub intent: IntentId,
    /// Where it is in its life.
    pub state: TransferState,
    /// Whether rows of [`StuckFiles`] tell of it.
    pub told: bool,
    /// The file's length.
    pub bytes: u64,
    /// When it was planned.
    pub created_at: Timestamp,
    /// The process that runs it, or ran it last.
    pub process: Option<ProcessId>,
}

impl TransferRecord {
    /// Whether it was given up for now.
    pub fn has_failed(&self) -> bool {
        matches!(self.state, TransferState::Failed { .. })
    }
}

fn transfer_indexes(key: &(TransferId,), transfer: &TransferRecord) -> Vec<IndexRow> {
    vec![match &transfer.state {
        TransferState::Waiting { not_before, .. } => {
            (Ready::TABLE, (transfer.destination, not_before.as_millis(), key.0).encode())
        }
        TransferState::Running { until, .. } => (Running::TABLE, (until.as_millis(), key.0).encode()),
        TransferState::Failed { retry_at, .. } => (Failed::TABLE, (retry_at.as_millis(), key.0).encode()),
    }]
}

/// A lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Who holds it.
    pub holder: ProcessId,
    /// Raised whenever the holder changes.
    pub token: u64,
    /// Until when.
    pub until: Timestamp,
}

stored_v1!(ReplicaRecord);
stored_v1!(Tally);
stored_v1!(FoldRecord);
stored_v1!(RuleRecord);
stored_v1!(RuleWorkRecord);
stored_v1!(CountsRecord);
stored_v1!(PlacementRecord);
stored_v1!(LockRecord);
stored_v1!(StuckReason);
stored_v1!(IntentRecord);
stored_v1!(TransferRecord);
stored_v1!(LeaseRecord);

#[cfg(test)]
mod tests;
