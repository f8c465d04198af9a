//! Who may do what: decisions, and grants that carry a decision to a gateway in a URL.
//!
//! Everything here is pure: the facts, the time and the keys are handed in. Nothing here reads the
//! catalog, fetches a key or remembers a token.

pub mod decision;
pub mod grant;
pub mod token;
