//! Settings become parts: a directory and an address become a running lake.

pub mod backup;
pub mod build;
mod catalog;
mod crowd;
pub mod error;
mod listen;
mod patient;
pub mod policies;
pub mod secrets;
pub mod serve;
pub mod stores;
mod tls;
