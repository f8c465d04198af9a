//! Why a use-case could not be carried out, in words for whoever asked.

use crate::catalog::CatalogError;
use crate::catalog::backup::BackupError;
use crate::catalog::ledger::membership::MembershipError;
use crate::fault::{Fault, Kind};
use crate::model::api_key::KeyScope;
use crate::model::checksum::InvalidChecksum;
use crate::model::did::{Did, InvalidDid, InvalidDidName};
use crate::model::endpoint::{EndpointName, InvalidAttribute};
use crate::model::expression::InvalidExpression;
use crate::model::label::InvalidLabel;
use crate::model::shell::quoted;
use crate::policy::grant::GrantError;
use crate::replicas::leave::IntakeError;
use crate::replicas::upload::UploadError;
use crate::search::error::SearchError;
use crate::storage::backend::StorageError;

/// Why a use-case could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The request says something that cannot be.
    #[error("{detail}")]
    Invalid {
        /// A stable name.
        code: &'static str,
        /// What is wrong.
        detail: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// Something named does not exist.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Something exists already, differently.
    #[error("{what} `{name}` exists already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The lake has moved on.
    #[error("{detail}")]
    Conflict {
        /// A stable name.
        code: &'static str,
        /// What happened.
        detail: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The caller has seen another state than the present one.
    #[error("this was changed since you read it")]
    ChangedMeanwhile,
    /// The key is missing, unknown or malformed.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// Policy says no.
    #[error("policy does not let you {action} {resource}")]
    Denied {
        /// What was to be done.
        action: &'static str,
        /// On what.
        resource: String,
    },
    /// Something was asked for too often.
    #[error("{detail}")]
    TooMany {
        /// A stable name.
        code: &'static str,
        /// What was too much.
        detail: String,
    },
    /// The API key does not let this kind of act through, whatever its account may do.
    #[error("the API key does not let you {action}: it lacks the key scope `{scope}`")]
    KeyScope {
        /// What was to be done.
        action: &'static str,
        /// What the key lacks.
        scope: KeyScope,
    },
    /// No replica of a file can be read now.
    #[error("no replica of `{did}` can be read now")]
    Unreadable {
        /// The file.
        did: Did,
    },
    /// The one replica that a signed URL reads cannot be read now.
    #[error("the replica of `{did}` at `{endpoint}` cannot be read now")]
    UnreadableThere {
        /// The file.
        did: Did,
        /// Where it was to be read.
        endpoint: EndpointName,
    },
    /// A signed URL reads from one endpoint, where the file is not.
    #[error("no replica of `{did}` is available at `{endpoint}`, and this URL reads from there alone")]
    NoReplicaThere {
        /// The file.
        did: Did,
        /// Where it was to be read.
        endpoint: EndpointName,
    },
    /// No storage signs a URL of its own for a file now.
    #[error("no storage that has `{did}` takes readers itself now, and this URL reads in no other way")]
    NoRedirect {
        /// The file.
        did: Did,
    },
    /// A signed URL was refused.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A signed URL that was good once: who asked for it may not do any more what it is for.
    #[error("this URL holds no more: the account that asked for it may not do this now")]
    Withdrawn,
    /// Members could not be changed.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// Files could not be taken in.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// An upload was refused.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The search index could not answer.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A backup could not be made.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl ServiceError {
    pub(crate) fn invalid(code: &'static str, detail: impl ToString) -> Self {
        ServiceError::Invalid { code, detail: detail.to_string(), hint: None }
    }

    pub(crate) fn not_found(what: &'static str, name: impl ToString) -> Self {
        ServiceError::NotFound { what, name: name.to_string() }
    }

    pub(crate) fn no_did(did: &Did) -> Self {
        Self::not_found("DID", did)
    }
}

impl Fault for ServiceError {
    fn kind(&self) -> Kind {
        match self {
            ServiceError::Invalid { .. } => Kind::Invalid,
            ServiceError::NotFound { .. } => Kind::NotFound,
            ServiceError::Exists { .. } | ServiceError::Conflict { .. } | ServiceError::ChangedMeanwhile => {
                Kind::Conflict
            }
            ServiceError::Unauthenticated(_) => Kind::Unauthenticated,
            ServiceError::Denied { .. } | ServiceError::KeyScope { .. } | ServiceError::Withdrawn => Kind::Denied,
            ServiceError::TooMany { .. }
            | ServiceError::Unreadable { .. }
            | ServiceError::UnreadableThere { .. }
            | ServiceError::NoRedirect { .. } => Kind::Unavailable,
            // Not `NotFound`: readers of datasets take that for a part that was never written.
            ServiceError::NoReplicaThere { .. } => Kind::Conflict,
            ServiceError::Grant(error) => error.kind(),
            ServiceError::Membership(error) => error.kind(),
            ServiceError::Intake(error) => error.kind(),
            ServiceError::Upload(error) => error.kind(),
            ServiceError::Storage(error) => error.kind(),
            ServiceError::Search(error) => error.kind(),
            ServiceError::Backup(error) => error.kind(),
            ServiceError::Catalog(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ServiceError::Invalid { code, .. }
            | ServiceError::Conflict { code, .. }
            | ServiceError::TooMany { code, .. } => code,
            ServiceError::NotFound { .. } => "not-found",
            ServiceError::Exists { .. } => "exists",
            ServiceError::ChangedMeanwhile => "changed-meanwhile",
            ServiceError::Unauthenticated(_) => "unauthenticated",
            ServiceError::Denied { .. } => "denied",
            ServiceError::Withdrawn => "grant-withdrawn",
            ServiceError::KeyScope { .. } => "key-scope",
            ServiceError::Unreadable { .. } | ServiceError::UnreadableThere { .. } => "unreadable",
            ServiceError::NoReplicaThere { .. } => "no-replica-there",
            ServiceError::NoRedirect { .. } => "no-redirect",
            ServiceError::Grant(error) => error.code(),
            ServiceError::Membership(error) => error.code(),
            ServiceError::Intake(error) => error.code(),
            ServiceError::Upload(error) => error.code(),
            ServiceError::Storage(error) => error.code(),
            ServiceError::Search(error) => error.code(),
            ServiceError::Backup(error) => error.code(),
            ServiceError::Catalog(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ServiceError::Invalid { hint, .. } | ServiceError::Conflict { hint, .. } => hint.clone(),
            ServiceError::NotFound { what: "scope", name } => Some(format!("add it with `dapple scope add {name}`")),
            ServiceError::NotFound { what: "endpoint", .. } => Some("see `dapple endpoint list`".to_owned()),
            ServiceError::NotFound { what: "account", .. } => Some("see `dapple account list`".to_owned()),
            ServiceError::NotFound { what: "rule", .. } => Some("see `dapple rule list`".to_owned()),
            ServiceError::ChangedMeanwhile => {
                Some("read it again, and send the new ETag as `If-Match` if the change is still right".to_owned())
            }
            ServiceError::Unauthenticated(_) => {
                Some("set DAPPLE_TOKEN to an API key; a lake's first one is in its directory, in admin.key".to_owned())
            }
            ServiceError::Denied { action: "administer", resource } if resource.starts_with("account ") => {
                Some("accounts are changed by admins alone, whatever policy says: ask one".to_owned())
            }
            ServiceError::Denied { action: "change", .. } => Some(
                "a rule is changed by its account, its groups, and whoever may delete what it is on: ask one of those"
                    .to_owned(),
            ),
            ServiceError::Denied { action: "widen", .. } => Some(
                "its own account or an admin lets a rule ask for more: ask them, or add one of your own".to_owned(),
            ),
            ServiceError::Denied { .. } => {
                Some("`dapple policy explain --action ACTION DID` says which policy, and what would let you".to_owned())
            }
            ServiceError::Withdrawn => Some("ask an account that may for a new one".to_owned()),
            ServiceError::KeyScope { scope, .. } => {
                Some(format!("ask with a key that has it: `dapple account key add ACCOUNT --scopes {scope}` makes one"))
            }
            ServiceError::Unreadable { did } => Some(format!("see `dapple replica list {}`", word(did))),
            ServiceError::UnreadableThere { did, .. } | ServiceError::NoReplicaThere { did, .. } => Some(format!(
                "see `dapple replica list {}`; a URL that was asked for without `--from` reads any replica",
                word(did)
            )),
            ServiceError::NoRedirect { did } => Some(format!(
                "see `dapple replica list {}`; a URL that was asked for without `--redirect` reads through the gateway",
                word(did)
            )),
            ServiceError::Grant(error) => error.hint(),
            ServiceError::Membership(error) => error.hint(),
            ServiceError::Intake(error) => error.hint(),
            ServiceError::Upload(error) => error.hint(),
            ServiceError::Storage(error) => error.hint(),
            ServiceError::Search(error) => error.hint(),
            ServiceError::Backup(error) => error.hint(),
            ServiceError::Catalog(error) => error.hint(),
            _ => None,
        }
    }
}

/// A DID as a word of a command.
fn word(did: &Did) -> String {
    quoted(&did.to_string())
}

macro_rules! invalid {
    ($($type:ty => $code:literal),* $(,)?) => {
        $(impl From<$type> for ServiceError {
            fn from(error: $type) -> Self {
                ServiceError::invalid($code, error)
            }
        })*
    };
}

invalid! {
    InvalidDid => "invalid-did",
    InvalidDidName => "invalid-name",
    InvalidChecksum => "invalid-checksum",
    InvalidAttribute => "invalid-attribute",
    InvalidExpression => "invalid-expression",
    InvalidLabel => "invalid-label",
}
