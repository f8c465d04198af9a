//! Which columns each view has.

use serde::Serialize;

use crate::cli::screen::{Row, Style};
use crate::model::did::DidKind;
use crate::model::replica::{ReplicaState, Verification};
use crate::model::rule::{Grouping, RuleState};
use crate::service::view::{
    AccountView, ContentView, DidView, EndpointState, EndpointView, FindingOfProbe, IndexView, KeyView, LimitView,
    MemberView, ReplicaView, RuleView, ScopeView, TransferView, WhoView, WorkerView,
};

impl Row for ScopeView {
    const HEADERS: &'static [&'static str] = &["SCOPE", "ACCOUNT", "CREATED"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![self.scope.to_string(), self.account.to_string(), style.time(self.created_at)]
    }
}

impl Row for AccountView {
    const HEADERS: &'static [&'static str] =
        &["NAME", "KIND", "ADMIN", "STATE", "GROUPS", "PASSWORD", "CREATED", "EMAIL", "DESCRIPTION"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            self.name.to_string(),
            self.kind.name().to_owned(),
            yes_no(self.admin),
            if self.suspended_at.is_some() { "suspended" } else { "active" }.to_owned(),
            joined(&self.groups),
            yes_no(self.has_password),
            style.time(self.created_at),
            self.email.clone().unwrap_or_else(dash),
            self.description.clone().unwrap_or_else(dash),
        ]
    }
}

impl Row for WhoView {
    const HEADERS: &'static [&'static str] = &["ACCOUNT", "KIND", "ADMIN", "GROUPS", "SCOPES", "ONLY", "EXPIRES"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            self.account.to_string(),
            self.kind.name().to_owned(),
            yes_no(self.admin),
            joined(&self.groups),
            joined(&self.scopes),
            self.only_scopes.as_deref().map_or_else(dash, joined),
            style.time_or_dash(self.expires_at),
        ]
    }
}

impl Row for MemberView {
    const HEADERS: &'static [&'static str] = &["ACCOUNT", "SINCE"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![self.account.to_string(), style.time(self.added_at)]
    }
}

impl Row for KeyView {
    const HEADERS: &'static [&'static str] =
        &["ID", "NAME", "SCOPES", "ONLY", "FROM", "MADE BY", "CREATED", "EXPIRES", "LAST USED"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            self.id.clone(),
            self.name.clone(),
            joined(&self.scopes),
            self.only_scopes.as_deref().map_or_else(dash, joined),
            joined(&self.addresses),
            self.made_by.to_string(),
            style.time(self.created_at),
            style.time_or_dash(self.expires_at),
            style.time_or_dash(self.last_used_at),
        ]
    }
}

impl Row for LimitView {
    const HEADERS: &'static [&'static str] = &["ON", "LIMIT", "HELD", "ENDPOINTS"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![self.on.clone(), style.bytes(self.bytes), style.bytes(self.used_bytes), joined(&self.endpoints)]
    }
}

impl Row for EndpointView {
    const HEADERS: &'static [&'static str] =
        &["NAME", "KIND", "STATE", "ATTRIBUTES", "FILES", "BYTES", "FREE", "LOCATION"];

    fn cells(&self, style: Style) -> Vec<String> {
        let attributes: Vec<String> = self.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let state = match self.state {
            EndpointState::Well => "well",
            EndpointState::Ailing => "ailing",
            EndpointState::Resting => "resting",
        };
        vec![
            self.name.to_string(),
            self.kind.name().to_owned(),
            state.to_owned(),
            dash_if_empty(attributes.join(",")),
            self.files.map_or_else(dash, |files| files.to_string()),
            self.bytes.map_or_else(dash, |bytes| style.bytes(bytes)),
            self.free_bytes.map_or_else(dash, |free| style.bytes(free)),
            self.location.clone(),
        ]
    }
}

impl Row for FindingOfProbe {
    const HEADERS: &'static [&'static str] = &["FEATURE", "HOLDS", "SEEN", "WITHOUT IT"];

    fn cells(&self, _: Style) -> Vec<String> {
        vec![
            self.feature.clone(),
            if self.holds { "yes" } else { "no" }.to_owned(),
            dash_if_empty(self.seen.clone()),
            self.consequence.clone().unwrap_or_else(dash),
        ]
    }
}

impl Row for DidView {
    const HEADERS: &'static [&'static str] =
        &["DID", "KIND", "STATE", "MEMBERS", "BYTES", "ACCOUNT", "CREATED", "CHECKSUMS"];

    fn cells(&self, style: Style) -> Vec<String> {
        let checksums: Vec<String> = self.checksums.iter().map(ToString::to_string).collect();
        let state = match (self.kind, self.closed_at) {
            (DidKind::File, _) => "-",
            (_, None) => "open",
            (_, Some(_)) => "closed",
        };
        vec![
            self.did.to_string(),
            self.kind.to_string(),
            state.to_owned(),
            self.length.map_or_else(dash, |length| length.to_string()),
            self.bytes.map_or_else(dash, |bytes| style.bytes(bytes)),
            self.account.to_string(),
            style.time(self.created_at),
            dash_if_empty(checksums.join(",")),
        ]
    }
}

impl Row for ContentView {
    const HEADERS: &'static [&'static str] = &["DID", "KIND", "BYTES"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![self.did.to_string(), self.kind.to_string(), style.bytes(self.bytes)]
    }
}

impl Row for ReplicaView {
    const HEADERS: &'static [&'static str] = &["DID", "ENDPOINT", "STATE", "VERIFIED", "BYTES", "PATH"];

    fn cells(&self, style: Style) -> Vec<String> {
        let state = match self.state {
            ReplicaState::Available => "available",
            ReplicaState::Bad => "bad",
        };
        let verified = match self.verification {
            Verification::Claimed => "claimed",
            Verification::Streamed => "streamed",
            Verification::ReadBack => "read_back",
        };
        vec![
            self.did.to_string(),
            self.endpoint.to_string(),
            state.to_owned(),
            verified.to_owned(),
            style.bytes(self.bytes),
            self.path.clone(),
        ]
    }
}

impl Row for RuleView {
    const HEADERS: &'static [&'static str] =
        &["ID", "STATE", "DID", "COPIES", "ON", "LOCKS", "FILES", "GROUPING", "EXPIRES"];

    fn cells(&self, style: Style) -> Vec<String> {
        let locks = self.locks_ok + self.locks_replicating + self.locks_stuck;
        vec![
            self.id.to_string(),
            state_word(self.state).to_owned(),
            self.did.to_string(),
            self.copies.to_string(),
            self.expression.clone(),
            format!("{}/{locks}", self.locks_ok),
            format!("{}/{}", self.files_done, self.files_wanted),
            grouping_word(self.grouping).to_owned(),
            style.time_or_dash(self.expires_at),
        ]
    }
}

impl Row for TransferView {
    const HEADERS: &'static [&'static str] = &["ID", "STATE", "DID", "TO", "BYTES", "ATTEMPTS", "NEXT", "REASON"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.state.clone(),
            self.did.to_string(),
            self.destination.to_string(),
            style.bytes(self.bytes),
            self.attempts.to_string(),
            style.time_or_dash(self.next_attempt_at),
            self.reason.clone().unwrap_or_else(dash),
        ]
    }
}

impl Row for WorkerView {
    const HEADERS: &'static [&'static str] = &["NAME", "STATE", "RUNS", "LAST RUN", "LAST FAULT"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            self.name.clone(),
            self.state.clone(),
            self.runs.to_string(),
            style.time_or_dash(self.last_run_at),
            self.last_fault.clone().unwrap_or_else(dash),
        ]
    }
}

impl Row for IndexView {
    const HEADERS: &'static [&'static str] = &["STATE", "DOCUMENTS", "POSITION", "BEHIND", "SEGMENTS", "BYTES"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            self.state.clone(),
            self.documents.to_string(),
            self.position.to_string(),
            self.behind.to_string(),
            self.segments.to_string(),
            style.bytes(self.bytes),
        ]
    }
}

/// The word of a state, as the API has it.
pub(crate) fn state_word(state: RuleState) -> &'static str {
    match state {
        RuleState::Ok => "ok",
        RuleState::Replicating => "replicating",
        RuleState::Stuck => "stuck",
        RuleState::Releasing => "releasing",
    }
}

fn grouping_word(grouping: Grouping) -> &'static str {
    match grouping {
        Grouping::All => "all",
        Grouping::Dataset => "dataset",
        Grouping::None => "none",
    }
}

/// A file that failed, in the report of a command that goes on.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct FailedFile {
    pub(crate) path: String,
    pub(crate) code: String,
    pub(crate) detail: String,
}

pub(crate) fn dash() -> String {
    "-".to_owned()
}

fn yes_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn joined<T: ToString>(items: &[T]) -> String {
    dash_if_empty(items.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

fn dash_if_empty(text: String) -> String {
    if text.is_empty() { dash() } else { text }
}
