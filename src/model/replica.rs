//! Replicas: one copy of a file at one endpoint.

use serde::{Deserialize, Serialize};

/// The most bytes that a file may be said to have: more than any store takes (S3: 50 TB), and few enough
/// that nobody has to fear for sums and buffers.
pub const FILE_BYTES_MAX: u64 = 64 << 40;

/// How far a replica is to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// Complete and readable, as far as is known.
    Available,
    /// Found to be missing or to have other bytes; never read, never counted.
    Bad,
}

/// How it is known that a replica has the right bytes, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// Somebody said so at registration.
    Claimed,
    /// The bytes were hashed while they were written, and the store confirmed their number.
    Streamed,
    /// The bytes were read back from the store and hashed.
    ReadBack,
}
