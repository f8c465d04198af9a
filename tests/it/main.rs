//! Tests that need a disk, a process or a socket, in one binary.

mod storage_conformance;
