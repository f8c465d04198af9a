//! Why something cannot go on: typed, so that it can be counted, grouped and explained.
//!
//! Stored in the catalog, so variants are only ever added, at the end. Each has a section in
//! `docs/stuck.md` under its [`StuckReason::code`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::account::AccountName;
use crate::model::endpoint::EndpointName;
use crate::model::size::show_bytes;

/// Why a lock, a placement or a transfer cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StuckReason {
    /// The expression matches no endpoint of this lake.
    ExpressionMatchesNothing,
    /// The expression matches fewer endpoints than copies are wanted.
    TooFewEndpoints {
        /// Endpoints that match and may be written.
        matching: u32,
        /// Copies wanted.
        copies: u32,
    },
    /// No endpoint has an available replica of the file.
    NoSource,
    /// Endpoints that have a replica could not be read.
    SourceUnreachable {
        /// The endpoint tried last.
        endpoint: EndpointName,
    },
    /// The endpoint that should receive the file could not be reached.
    EndpointUnreachable {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// The endpoint has no room.
    EndpointFull {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// The endpoint does not let dapple read or write there.
    EndpointDenies {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// The bytes that arrived are not those that were registered.
    ChecksumMismatch {
        /// The endpoint the bytes came from.
        source: EndpointName,
        /// The registered checksum.
        expected: String,
        /// What the bytes gave.
        found: String,
    },
    /// Bytes that are not this file's lie under its name at the endpoint.
    PathOccupied {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// Policy does not let the data be placed at an endpoint that was to hold it.
    // Before there were policies that could deny, it named nothing, and was never stored.
    DeniedByPolicy {
        /// The endpoint.
        endpoint: EndpointName,
        /// The policies that determined it.
        policies: Vec<String>,
    },
    /// The catalog counts a replica at the endpoint, but nothing lies there.
    SourceMissing {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// The endpoint answers, but does not do what it is asked for.
    EndpointFaulty {
        /// The endpoint.
        endpoint: EndpointName,
        /// What it did.
        said: String,
    },
    /// The endpoint cannot hold a file of this name.
    NameRefused {
        /// The endpoint.
        endpoint: EndpointName,
        /// Why not.
        why: String,
    },
    /// The rule's account may not hold so much at the endpoints that a limit of its covers.
    QuotaExceeded {
        /// The account.
        account: AccountName,
        /// The endpoint expression of the limit.
        on: String,
        /// Bytes that the copy would add.
        needed: u64,
        /// Bytes that the account holds there.
        used: u64,
        /// Bytes that it may hold there.
        limit: u64,
    },
    /// The endpoint's location, settings or secret, or a clock, are not as they have to be.
    EndpointMisconfigured {
        /// The endpoint.
        endpoint: EndpointName,
        /// What is wrong.
        why: String,
    },
    /// The endpoint does not take or give this one file.
    FileRefused {
        /// The endpoint.
        endpoint: EndpointName,
        /// Why not.
        why: String,
    },
}

impl StuckReason {
    /// The endpoint that has to get well for this to pass, if it is about one.
    pub fn endpoint(&self) -> Option<&EndpointName> {
        match self {
            StuckReason::SourceUnreachable { endpoint }
            | StuckReason::EndpointUnreachable { endpoint }
            | StuckReason::EndpointFull { endpoint }
            | StuckReason::EndpointDenies { endpoint }
            | StuckReason::EndpointFaulty { endpoint, .. }
            | StuckReason::EndpointMisconfigured { endpoint, .. } => Some(endpoint),
            _ => None,
        }
    }

    /// The endpoint that it tells of, whatever has to be done about it.
    pub fn names(&self) -> Option<&EndpointName> {
        match self {
            StuckReason::ChecksumMismatch { source: endpoint, .. }
            | StuckReason::PathOccupied { endpoint }
            | StuckReason::DeniedByPolicy { endpoint, .. }
            | StuckReason::SourceMissing { endpoint }
            | StuckReason::NameRefused { endpoint, .. }
            | StuckReason::FileRefused { endpoint, .. } => Some(endpoint),
            StuckReason::ExpressionMatchesNothing
            | StuckReason::TooFewEndpoints { .. }
            | StuckReason::NoSource
            | StuckReason::QuotaExceeded { .. } => None,
            StuckReason::SourceUnreachable { .. }
            | StuckReason::EndpointUnreachable { .. }
            | StuckReason::EndpointFull { .. }
            | StuckReason::EndpointDenies { .. }
            | StuckReason::EndpointFaulty { .. }
            | StuckReason::EndpointMisconfigured { .. } => self.endpoint(),
        }
    }

    /// A stable name for scripts, counts and the docs.
    pub fn code(&self) -> &'static str {
        match self {
            StuckReason::ExpressionMatchesNothing => "expression-matches-nothing",
            StuckReason::TooFewEndpoints { .. } => "too-few-endpoints",
            StuckReason::NoSource => "no-source",
            StuckReason::SourceUnreachable { .. } => "source-unreachable",
            StuckReason::EndpointUnreachable { .. } => "endpoint-unreachable",
            StuckReason::EndpointFull { .. } => "endpoint-full",
            StuckReason::EndpointDenies { .. } => "endpoint-denies",
            StuckReason::ChecksumMismatch { .. } => "checksum-mismatch",
            StuckReason::PathOccupied { .. } => "path-occupied",
            StuckReason::DeniedByPolicy { .. } => "denied-by-policy",
            StuckReason::SourceMissing { .. } => "source-missing",
            StuckReason::EndpointFaulty { .. } => "endpoint-faulty",
            StuckReason::NameRefused { .. } => "name-refused",
            StuckReason::QuotaExceeded { .. } => "quota-exceeded",
            StuckReason::EndpointMisconfigured { .. } => "endpoint-misconfigured",
            StuckReason::FileRefused { .. } => "file-refused",
        }
    }
}

impl fmt::Display for StuckReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StuckReason::ExpressionMatchesNothing => f.write_str("no endpoint matches the expression"),
            StuckReason::TooFewEndpoints { matching, copies } => {
                write!(f, "{copies} copies need {copies} endpoints, but only {matching} match")
            }
            StuckReason::NoSource => f.write_str("no endpoint has an available replica to copy from"),
            StuckReason::SourceUnreachable { endpoint } => write!(f, "the source {endpoint} could not be read"),
            StuckReason::EndpointUnreachable { endpoint } => write!(f, "{endpoint} could not be reached"),
            StuckReason::EndpointFull { endpoint } => write!(f, "{endpoint} is full"),
            StuckReason::EndpointDenies { endpoint } => write!(f, "{endpoint} denies access"),
            StuckReason::ChecksumMismatch { source, expected, found } => {
                write!(f, "bytes from {source} are wrong: got {found}, registered {expected}")
            }
            StuckReason::PathOccupied { endpoint } => write!(f, "other bytes lie under the file's name at {endpoint}"),
            StuckReason::DeniedByPolicy { endpoint, policies } => {
                write!(f, "policy does not let the data be at {endpoint}: {}", policies.join(", "))
            }
            StuckReason::SourceMissing { endpoint } => write!(f, "the replica at {endpoint} is not there any more"),
            StuckReason::EndpointFaulty { endpoint, said } => {
                write!(f, "{endpoint} answers, but does not do as it is asked: {said}")
            }
            StuckReason::NameRefused { endpoint, why } => {
                write!(f, "{endpoint} cannot hold a file of this name: {why}")
            }
            StuckReason::QuotaExceeded { account, on, needed, used, limit } => write!(
                f,
                "{account} needs {} more at `{on}`, holds {} there, and may hold {}",
                show_bytes(*needed),
                show_bytes(*used),
                show_bytes(*limit),
            ),
            StuckReason::EndpointMisconfigured { endpoint, why } => write!(f, "{endpoint} is not set up right: {why}"),
            StuckReason::FileRefused { endpoint, why } => write!(f, "{endpoint} refuses this file: {why}"),
        }
    }
}
