//! Decisions: what can be asked of the policies, and what they answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::api_key::KeyScope;
use crate::model::facts::{EndpointFacts, Resource, Subject};
use crate::model::time::Timestamp;

/// What a decision names when a key may not do what its account may.
pub const KEY_SCOPE: &str = "builtin/key-scope";
/// What a decision names when no permit lets anybody in.
pub const NO_PERMIT: &str = "builtin/no-permit";
/// What a decision names when the policies could not be evaluated.
pub const EVALUATION_ERROR: &str = "builtin/evaluation-error";

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Learn that something exists, and its metadata.
    Discover,
    /// Read its bytes.
    Read,
    /// Register or upload, attach and detach, set labels that tighten.
    Write,
    /// Remove, and end or change rules of others.
    Delete,
    /// Put a rule on a DID.
    AddRule,
    /// Let bytes lie at an endpoint.
    Place,
    /// Set labels that loosen.
    Relabel,
    /// Change accounts, scopes or endpoints.
    Administer,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 8] = [
        Self::Discover,
        Self::Read,
        Self::Write,
        Self::Delete,
        Self::AddRule,
        Self::Place,
        Self::Relabel,
        Self::Administer,
    ];

    /// The word in records and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Discover => "discover",
            Action::Read => "read",
            Action::Write => "write",
            Action::Delete => "delete",
            Action::AddRule => "add-rule",
            Action::Place => "place",
            Action::Relabel => "relabel",
            Action::Administer => "administer",
        }
    }

    /// The action of a word.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// The name that policies use.
    pub const fn cedar(self) -> &'static str {
        match self {
            Action::Discover => "Discover",
            Action::Read => "ReadData",
            Action::Write => "Write",
            Action::Delete => "Delete",
            Action::AddRule => "AddRule",
            Action::Place => "Place",
            Action::Relabel => "Relabel",
            Action::Administer => "Administer",
        }
    }

    /// The key scope that an API key must have to let the act through.
    pub const fn key_scope(self) -> KeyScope {
        match self {
            Action::Discover | Action::Read => KeyScope::Read,
            Action::Write | Action::Delete | Action::Place | Action::Relabel => KeyScope::Write,
            Action::AddRule => KeyScope::Rules,
            Action::Administer => KeyScope::Admin,
        }
    }
}

/// A question to the policies, with all facts that they may read.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub subject: &'a Arc<Subject>,
    /// What for.
    pub action: Action,
    /// On what.
    pub resource: &'a Resource,
    /// Which endpoint is concerned, where one is.
    pub at: Option<&'a Arc<EndpointFacts>>,
    /// When.
    pub now: Timestamp,
}

/// What the policies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

/// An answer, with what determined it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Yes or no.
    pub effect: Effect,
    /// The policies that determined it.
    pub policies: Arc<[String]>,
    /// The revision of the policies that were asked.
    pub revision: Arc<str>,
    /// The first moment at which it may be another, if the time had to do with it.
    pub until: Option<Timestamp>,
}

impl Decision {
    /// Tells whether the answer is yes.
    pub fn allows(&self) -> bool {
        self.effect == Effect::Allow
    }
}
