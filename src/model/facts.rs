//! What a policy decision is made from: who asks, on what, and where. Gathered from the catalog and
//! handed to the policies, which read nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::account::{AccountKind, AccountName, Principal};
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::{Endpoint, EndpointName};
use crate::model::label::LabelSet;
use crate::model::scope::Scope;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Somebody who has not said who they are.
    Anonymous,
    /// An account.
    Account {
        /// Its name.
        name: AccountName,
        /// What it stands for.
        kind: AccountKind,
        /// Whether it looks after the lake.
        admin: bool,
        /// The groups it is in, directly or not.
        groups: BTreeSet<AccountName>,
    },
}

impl From<&Principal> for Subject {
    fn from(principal: &Principal) -> Self {
        Subject::Account {
            name: principal.account.clone(),
            kind: principal.kind,
            admin: principal.admin,
            groups: principal.groups.clone(),
        }
    }
}

impl Subject {
    /// An account of which nothing is known but its name.
    pub fn only_named(name: AccountName) -> Self {
        Subject::Account { name, kind: AccountKind::default(), admin: false, groups: BTreeSet::new() }
    }

    /// The name that records show.
    pub fn name(&self) -> &str {
        match self {
            Subject::Anonymous => "anonymous",
            Subject::Account { name, .. } => name.as_str(),
        }
    }

    /// Tells whether it is an account, or a member of a group.
    pub fn is_or_is_in(&self, other: &AccountName) -> bool {
        match self {
            Subject::Anonymous => false,
            Subject::Account { name, groups, .. } => name == other || groups.contains(other),
        }
    }
}

/// What is known of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScopeFacts {
    /// Its name.
    pub scope: Scope,
    /// Whose it is.
    pub owner: Arc<Subject>,
    /// Its labels.
    pub labels: Arc<LabelSet>,
}

/// What is known of a DID but for its name: DIDs with the same traits are decided as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DidTraits {
    /// What it is.
    pub kind: DidKind,
    /// Whose it is.
    pub owner: Arc<Subject>,
    /// Its scope.
    pub scope: Arc<ScopeFacts>,
    /// The labels that hold for it: its own, its scope's, and those of everything that holds it.
    pub labels: Arc<LabelSet>,
}

/// What is known of a DID.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DidFacts {
    /// `scope:name`.
    pub did: Did,
    /// All the rest.
    pub traits: DidTraits,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointFacts {
    /// Its name.
    pub name: EndpointName,
    /// The protocol it speaks.
    pub kind: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

impl From<&Endpoint> for EndpointFacts {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            name: endpoint.name.clone(),
            kind: endpoint.kind.name().to_owned(),
            attributes: endpoint.attributes.clone(),
        }
    }
}

/// On what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The lake as a whole: its accounts, workers and catalog.
    Lake,
    /// A scope.
    Scope(Arc<ScopeFacts>),
    /// A file, dataset or container.
    Did(DidFacts),
    /// An endpoint.
    Endpoint(Arc<EndpointFacts>),
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Resource::Lake => f.write_str("the lake"),
            Resource::Scope(facts) => write!(f, "scope {}", facts.scope),
            Resource::Did(facts) => write!(f, "{}", facts.did),
            Resource::Endpoint(facts) => write!(f, "endpoint {}", facts.name),
        }
    }
}
