//! Who may do what: decisions by policies, and grants that carry a decision to a gateway in a URL.
//!
//! Everything here is pure: the facts, the time and the keys are handed in. Nothing here reads the
//! catalog or fetches a key; what is remembered are answers, which the same question gets again.

pub mod cases;
pub mod decision;
mod entities;
pub mod explain;
pub mod grant;
pub mod judge;
pub mod seal;
pub mod set;
pub mod standing;
#[cfg(test)]
mod tests;
pub mod token;
