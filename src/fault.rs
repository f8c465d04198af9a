//! Kinds of failure: what a caller may do about a fault, apart from what it says.
//!
//! Every room has its own error enum; each answers the questions of [`Fault`], so that doors can
//! choose a status, workers a retry, and people a next step, without knowing the room.

/// What the caller may do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong and will stay wrong: change it.
    Invalid,
    /// What was named does not exist, or its existence is not for this caller to know.
    NotFound,
    /// The state of the lake contradicts the request: look again, then decide.
    Conflict,
    /// The caller could not be identified.
    Unauthenticated,
    /// Policy says no.
    Denied,
    /// A quota or a device is full: make room.
    Exhausted,
    /// A part is down or busy: the same request may succeed later.
    Unavailable,
    /// Stored bytes are not what they should be: a person should look.
    Corrupt,
    /// A defect of dapple: report it.
    Internal,
}

/// What every error of the house can say about itself.
pub trait Fault: std::error::Error {
    /// What the caller may do.
    fn kind(&self) -> Kind;
    /// A stable name for scripts, in kebab-case. The words of the message may change, this may not.
    fn code(&self) -> &'static str;
    /// The next step for a person, where there is one.
    fn hint(&self) -> Option<String> {
        None
    }
}
