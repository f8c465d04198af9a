//! Tests that need a disk, a process or a socket, in one binary; one module per subject.

#![allow(clippy::disallowed_methods, reason = "these tests live in the time of the world")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of tests are small, or cut on purpose")]

mod docs;
mod engine_conformance;
mod gateway;
mod lake;
mod peers;
mod remote;
mod stac;
mod storage_conformance;
mod stores;
