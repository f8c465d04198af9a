//! The ledger: the only code that changes replica state, membership or locks. Whatever follows from
//! such a change (coverage, usage, lock counts, backlog, the change feed) is written in the same
//! transaction, so that none of it can be forgotten elsewhere.

pub mod ancestors;
pub mod denied;
pub mod holdings;
pub mod locks;
pub mod membership;
pub mod replicas;
pub mod reservations;
pub mod tally;
pub mod transfers;
