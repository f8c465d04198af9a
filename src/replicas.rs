//! Replicas from the outside: registering what lies at an endpoint already, taking uploads, and
//! locating a copy to read.

pub mod announce;
pub mod locate;
pub mod names;
pub mod register;
pub mod upload;
