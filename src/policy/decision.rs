//! Decides whether an account may do something.
//!
//! There is one policy so far, built in: every account that has proved who it is may do everything.
//! A request names an account, so what is anonymous cannot even be asked about.

use serde::{Deserialize, Serialize};

use crate::model::account::AccountName;
use crate::model::api_key::KeyScope;
use crate::model::endpoint::EndpointName;

/// The name of the built-in policy, as decisions show it.
pub const ALLOW_AUTHENTICATED: &str = "builtin/allow-authenticated";

/// The revision of the policies in force; it rises when what they allow changes.
pub const REVISION: u64 = 1;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Learn that something exists, and its metadata.
    Discover,
    /// Read its bytes.
    Read,
    /// Register or upload, attach and detach.
    Write,
    /// Put a rule on a DID, change it or remove it.
    AddRule,
    /// Let bytes lie at an endpoint.
    Place,
    /// Change accounts, scopes or endpoints.
    Administer,
}

impl Action {
    /// The word in records and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Discover => "discover",
            Action::Read => "read",
            Action::Write => "write",
            Action::AddRule => "add-rule",
            Action::Place => "place",
            Action::Administer => "administer",
        }
    }

    /// The key scope that an API key must have to let the act through.
    pub const fn key_scope(self) -> KeyScope {
        match self {
            Action::Discover | Action::Read => KeyScope::Read,
            Action::Write | Action::Place => KeyScope::Write,
            Action::AddRule => KeyScope::Rules,
            Action::Administer => KeyScope::Admin,
        }
    }
}

/// A question to the policies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// Who asks.
    pub principal: AccountName,
    /// What for.
    pub action: Action,
    /// On what: a DID or an endpoint, as text.
    pub resource: String,
    /// Which endpoint is concerned, where one is.
    pub endpoint: Option<EndpointName>,
}

/// What the policies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

/// An answer, with what determined it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Decision {
    /// Yes or no.
    pub effect: Effect,
    /// The policies that determined it.
    pub policies: Vec<&'static str>,
    /// The revision of the policies that were asked.
    pub revision: u64,
}

impl Decision {
    /// Tells whether the answer is yes.
    pub fn allows(&self) -> bool {
        self.effect == Effect::Allow
    }
}

/// Answers a request. That it names an account is all the built-in policy asks for.
pub fn decide(_request: &Request) -> Decision {
    Decision { effect: Effect::Allow, policies: vec![ALLOW_AUTHENTICATED], revision: REVISION }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_may_do_everything_and_the_decision_says_why() {
        for action in
            [Action::Discover, Action::Read, Action::Write, Action::AddRule, Action::Place, Action::Administer]
        {
            let decision = decide(&Request {
                principal: AccountName::parse("ada").expect("valid"),
                action,
                resource: "climate:t2m".to_owned(),
                endpoint: None,
            });
            assert!(decision.allows());
            assert_eq!(decision.policies, [ALLOW_AUTHENTICATED]);
        }
    }
}
