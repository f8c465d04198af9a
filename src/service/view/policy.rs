//! Wire shapes of labels and policies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::account::AccountName;
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::model::scope::Scope;
use crate::model::time::Timestamp;
use crate::policy::decision::{Action, Effect};

/// Labels of a scope or DID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabelsView {
    /// Those that it has of its own.
    pub own: BTreeMap<String, String>,
    /// Those that hold: its own, its scope's, and those of all that holds it, joined to the strictest.
    pub effective: BTreeMap<String, String>,
}

/// Labels to set and to take away.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelsChange {
    /// `KEY=VALUE`, or `KEY=` to take one away.
    pub labels: Vec<String>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// Its `@id`.
    pub id: String,
    /// The file it is from.
    pub file: String,
    /// The line there.
    pub line: usize,
    /// `permit` or `forbid`.
    pub effect: String,
    /// What it is for.
    pub comment: String,
    /// Its text.
    pub text: String,
}

/// The policies in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoliciesView {
    /// Names the set: equal texts have equal revisions.
    pub revision: String,
    /// The policies, file by file.
    pub items: Vec<PolicyView>,
    /// Why a change of the files is not in force, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A text of policies or of their tests.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Its name: `*.cedar` for policies, `*.toml` for tests.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Policies to check, with their tests.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFiles {
    /// The files.
    pub files: Vec<PolicyFile>,
}

/// Something that is wrong with policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlawView {
    /// The file.
    pub file: String,
    /// The line there; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// What checking policies gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckedPolicies {
    /// How many policies there are.
    pub policies: usize,
    /// How many questions their tests asked.
    pub asked: usize,
    /// Names the set, if it could come into force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Everything that is wrong.
    pub flaws: Vec<FlawView>,
}

/// A question to the policies.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyQuestion {
    /// For whom; whoever asks, if left out. Asking for others is for admins.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    /// What for.
    pub action: Action,
    /// On which DID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did: Option<Did>,
    /// On which scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// At which endpoint; without DID and scope, on the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<EndpointName>,
    /// When; now, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Timestamp>,
}

/// A permit that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnmetView {
    /// The permit.
    pub policy: PolicyView,
    /// The first thing it asks for that is not so.
    pub unmet: String,
}

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyExplanation {
    /// For whom.
    pub account: AccountName,
    /// What for.
    pub action: Action,
    /// On what.
    pub resource: String,
    /// Where, if that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<EndpointName>,
    /// `allow` or `deny`.
    pub effect: Effect,
    /// The ids of the policies that determined it.
    pub policies: Vec<String>,
    /// Those of them that have a text.
    pub determined: Vec<PolicyView>,
    /// Where nobody let in: what each permit wanted.
    pub wanted: Vec<UnmetView>,
    /// The labels that hold for the resource.
    pub labels: BTreeMap<String, String>,
    /// The revision of the policies.
    pub revision: String,
    /// Until when the answer holds, if the time has to do with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
