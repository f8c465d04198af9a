//! Stored answers to requests that are carried out once.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::catalog::record::AnswersByTime;
use crate::catalog::table::{DecodeError, IndexRow, Parts as _, Typed as _, Value, decode_version, encode_version};
use crate::model::api_key::KeyReach;
use crate::model::time::Timestamp;

/// The answer to a request that carried an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRecord {
    /// BLAKE3 of what was asked: method, path, query and body.
    pub request: [u8; 32],
    /// The status it was answered with.
    pub status: u16,
    /// What names the state that it shows, if that has a name.
    pub tag: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// When it was given.
    pub at: Timestamp,
    /// How far the key reaches with which it was asked for.
    pub reach: KeyReach,
}

/// An answer as version 1 had it, which did not say by which key: only one that holds nothing back is
/// told it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct AnswerRecordV1 {
    request: [u8; 32],
    status: u16,
    tag: Option<String>,
    body: Vec<u8>,
    at: Timestamp,
}

impl From<AnswerRecordV1> for AnswerRecord {
    fn from(old: AnswerRecordV1) -> Self {
        let AnswerRecordV1 { request, status, tag, body, at } = old;
        Self { request, status, tag, body, at, reach: KeyReach::whole() }
    }
}

impl Value for AnswerRecord {
    const VERSION: u8 = 2;

    fn encode(&self) -> Bytes {
        encode_version(2, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(1) => decode_version::<AnswerRecordV1>(1, bytes).map(Self::from),
            _ => decode_version(2, bytes),
        }
    }
}

pub(super) fn answer_indexes(key: &(String, String), answer: &AnswerRecord) -> Vec<IndexRow> {
    vec![(AnswersByTime::TABLE, (answer.at.as_millis(), key.0.clone(), key.1.clone()).encode())]
}
