//! Tests that need a disk, a process or a socket, in one binary; one module per subject.

mod engine_conformance;
mod gateway;
mod lake;
mod storage_conformance;
