//! Where bytes are. One trait, [`backend::Backend`], implemented per kind of storage; every
//! implementation passes the same conformance suite (`tests/it/storage_conformance.rs`).
//! Nothing here knows of datasets, rules or the catalog.

pub mod ahead;
pub mod arrival;
pub mod backend;
pub mod hash;
pub mod health;
mod holding;
pub mod lanes;
pub mod layout;
pub mod memory;
pub mod overheard;
mod patience;
pub mod posix;
mod probe;
pub mod registry;
pub mod s3;
pub mod secret;
mod silence;
mod turns;
pub mod webdav;
