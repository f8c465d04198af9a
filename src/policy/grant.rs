//! Grants: a decision that somebody may read or write one thing for a while, to be carried in a URL.
//!
//! A grant is made for a DID and an action, never for a URL that a caller names. What it looks like
//! on its way stands in [`crate::policy::token`].

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Kind};
use crate::model::account::AccountName;
use crate::model::checksum::Checksum;
use crate::model::did::Did;
use crate::model::id::{DecisionId, DidId, EndpointId, GrantId, IntentId};
use crate::model::place::SealedPlace;
use crate::model::time::Timestamp;

/// What a grant's holder may do with its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// GET and HEAD.
    Read,
    /// PUT.
    Write,
}

/// A set of methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Methods {
    read: bool,
    write: bool,
}

impl Methods {
    /// Only [`Method::Read`].
    pub const READ: Self = Self { read: true, write: false };
    /// Only [`Method::Write`].
    pub const WRITE: Self = Self { read: false, write: true };

    /// Tells whether a method is in the set.
    pub fn contains(self, method: Method) -> bool {
        match method {
            Method::Read => self.read,
            Method::Write => self.write,
        }
    }

    /// Tells whether no method is in the set.
    pub fn is_empty(self) -> bool {
        !self.read && !self.write
    }

    /// The methods in the set.
    pub fn iter(self) -> impl Iterator<Item = Method> {
        [Method::Read, Method::Write].into_iter().filter(move |method| self.contains(*method))
    }
}

impl FromIterator<Method> for Methods {
    fn from_iter<I: IntoIterator<Item = Method>>(methods: I) -> Self {
        let mut set = Self { read: false, write: false };
        for method in methods {
            match method {
                Method::Read => set.read = true,
                Method::Write => set.write = true,
            }
        }
        set
    }
}

/// What a grant is for. Ids stand beside names, so that a verifier needs no look-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// One file, to be read.
    Object {
        /// The file.
        did: Did,
        /// Its number.
        id: DidId,
    },
    /// The files of a dataset, to be read.
    Dataset {
        /// The dataset.
        did: Did,
        /// Its number.
        id: DidId,
        /// Files attached at this place or behind it are not included; without one, later ones are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        up_to: Option<SealedPlace>,
        /// The same in the clear, as grants had it before places were sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        up_to_seq: Option<u64>,
    },
    /// One upload to one endpoint, of bytes that are known beforehand.
    Upload {
        /// The file that the bytes will be.
        did: Did,
        /// Its number.
        id: DidId,
        /// Where the bytes go.
        endpoint: EndpointId,
        /// The claim on that place.
        intent: IntentId,
        /// How many bytes must come.
        bytes: u64,
        /// What they must hash to.
        checksum: Checksum,
    },
}

impl Target {
    /// The DID it names.
    pub fn did(&self) -> &Did {
        match self {
            Target::Object { did, .. } | Target::Dataset { did, .. } | Target::Upload { did, .. } => did,
        }
    }

    /// The number of the DID it names.
    pub fn id(&self) -> DidId {
        match self {
            Target::Object { id, .. } | Target::Dataset { id, .. } | Target::Upload { id, .. } => *id,
        }
    }

    /// Tells whether a method makes sense for it: uploads are written, all else is read.
    pub fn takes(&self, method: Method) -> bool {
        matches!(self, Target::Upload { .. }) == (method == Method::Write)
    }
}

/// How bytes reach the reader. A grant keeps to one way, so that readers see one ETag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Through the gateway.
    #[default]
    Stream,
    /// From the storage itself, by a URL that it signs.
    Redirect,
}

/// A permission for one subject, target and span of time. Times are whole seconds once it has
/// travelled as a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Its id, by which it can be revoked.
    pub id: GrantId,
    /// The account it was made for, which answers for its use.
    pub subject: AccountName,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it begins to hold.
    pub not_before: Timestamp,
    /// The first moment at which it does not hold any more.
    pub expires_at: Timestamp,
    /// What may be done.
    pub methods: Methods,
    /// With what.
    pub target: Target,
    /// The only endpoint to read from; `None` leaves the choice to the gateway. An upload names its
    /// endpoint in its target.
    pub from: Option<EndpointId>,
    /// How bytes reach the reader.
    pub mode: Mode,
    /// The recorded decision behind it.
    pub decision: DecisionId,
}

impl Grant {
    /// Checks that the grant allows `method` on `did`. For a dataset's grant only the method is
    /// checked: whether the file is, or was, a member is known to the catalog, so the caller must
    /// ask there.
    pub fn permits(&self, method: Method, did: &Did) -> Result<(), GrantError> {
        if !self.methods.contains(method) || !self.target.takes(method) {
            return Err(GrantError::WrongMethod);
        }
        match &self.target {
            Target::Dataset { .. } => Ok(()),
            Target::Object { did: named, .. } | Target::Upload { did: named, .. } if named == did => Ok(()),
            Target::Object { .. } | Target::Upload { .. } => Err(GrantError::OutOfScope { asked: did.clone() }),
        }
    }
}

/// Why a grant does not open the door, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It is not a grant of dapple's, whoever signed it.
    #[error("this is not a grant: {why}")]
    Malformed {
        /// What does not fit.
        why: &'static str,
    },
    /// The key that it says it was signed with is not, or no longer, trusted here.
    #[error("the grant was signed with a key that is not trusted here")]
    UnknownKey,
    /// The bytes are not those that were signed.
    #[error("the grant's signature does not fit its content")]
    BadSignature,
    /// It has ended.
    #[error("the grant expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// It has not begun.
    #[error("the grant does not hold before {from}")]
    NotYetValid {
        /// When it begins.
        from: Timestamp,
    },
    /// It holds, but not for this method.
    #[error("the grant does not allow this method")]
    WrongMethod,
    /// It holds, but for something else.
    #[error("the grant is not for {asked}")]
    OutOfScope {
        /// What was asked for.
        asked: Did,
    },
}

impl Fault for GrantError {
    fn kind(&self) -> Kind {
        match self {
            GrantError::Malformed { .. } => Kind::Invalid,
            GrantError::UnknownKey
            | GrantError::BadSignature
            | GrantError::Expired { .. }
            | GrantError::NotYetValid { .. }
            | GrantError::WrongMethod
            | GrantError::OutOfScope { .. } => Kind::Denied,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            GrantError::Malformed { .. } => "grant-malformed",
            GrantError::UnknownKey => "grant-unknown-key",
            GrantError::BadSignature => "grant-bad-signature",
            GrantError::Expired { .. } => "grant-expired",
            GrantError::NotYetValid { .. } => "grant-not-yet-valid",
            GrantError::WrongMethod => "grant-wrong-method",
            GrantError::OutOfScope { .. } => "grant-out-of-scope",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            GrantError::Malformed { .. } | GrantError::BadSignature => {
                "check that the URL was copied whole, or ask for a new one with `dapple url SCOPE:NAME`".to_owned()
            }
            GrantError::OutOfScope { asked } => format!("ask for a new URL with `dapple url {asked}`"),
            GrantError::NotYetValid { .. } => "wait, and check that this machine's clock is right".to_owned(),
            GrantError::UnknownKey | GrantError::Expired { .. } | GrantError::WrongMethod => {
                "ask for a new URL with `dapple url SCOPE:NAME`".to_owned()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(text: &str) -> Did {
        text.parse().expect("valid")
    }

    fn grant(methods: Methods, target: Target) -> Grant {
        Grant {
            id: GrantId(1),
            subject: AccountName::root(),
            issued_at: Timestamp::default(),
            not_before: Timestamp::default(),
            expires_at: Timestamp::from_millis(1_000),
            methods,
            target,
            from: None,
            mode: Mode::Stream,
            decision: DecisionId(2),
        }
    }

    #[test]
    fn a_grant_permits_its_methods_on_its_did_alone() {
        let (mine, other) = (did("s:mine"), did("s:other"));
        let object = Target::Object { did: mine.clone(), id: DidId(1) };
        let dataset = Target::Dataset { did: mine.clone(), id: DidId(1), up_to: None, up_to_seq: None };
        let upload = Target::Upload {
            did: mine.clone(),
            id: DidId(1),
            endpoint: EndpointId(1),
            intent: IntentId(1),
            bytes: 3,
            checksum: "adler32:00000001".parse().expect("valid"),
        };
        let outside = Err(GrantError::OutOfScope { asked: other.clone() });
        let method = Err(GrantError::WrongMethod);
        let both = Methods::from_iter([Method::Read, Method::Write]);
        let table = [
            (&object, Methods::READ, Method::Read, &mine, Ok(())),
            (&object, Methods::READ, Method::Read, &other, outside.clone()),
            (&object, Methods::READ, Method::Write, &mine, method.clone()),
            (&object, both, Method::Write, &mine, method.clone()),
            (&dataset, Methods::READ, Method::Read, &other, Ok(())),
            (&dataset, Methods::READ, Method::Write, &mine, method.clone()),
            (&upload, Methods::WRITE, Method::Write, &mine, Ok(())),
            (&upload, Methods::WRITE, Method::Write, &other, outside),
            (&upload, Methods::WRITE, Method::Read, &mine, method.clone()),
            (&upload, both, Method::Read, &mine, method),
        ];
        for (target, methods, method, asked, expected) in table {
            let grant = grant(methods, target.clone());
            assert_eq!(grant.permits(method, asked), expected, "{methods:?} {method:?} {asked}");
        }
    }

    #[test]
    fn every_refusal_has_a_code_and_a_next_step() {
        let all = [
            GrantError::Malformed { why: "test" },
            GrantError::UnknownKey,
            GrantError::BadSignature,
            GrantError::Expired { at: Timestamp::default() },
            GrantError::NotYetValid { from: Timestamp::default() },
            GrantError::WrongMethod,
            GrantError::OutOfScope { asked: did("s:n") },
        ];
        let codes: std::collections::BTreeSet<_> = all.iter().map(Fault::code).collect();
        assert_eq!(codes.len(), all.len(), "codes are distinct");
        assert!(all.iter().all(|error| error.hint().is_some()));
        assert_eq!(all[0].kind(), Kind::Invalid);
        assert!(all[1..].iter().all(|error| error.kind() == Kind::Denied));
    }
}
