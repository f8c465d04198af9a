//! Stored answers to requests that are carried out once.

use serde::{Deserialize, Serialize};

use crate::catalog::record::AnswersByTime;
use crate::catalog::table::{IndexRow, Parts as _, Typed as _, stored_v1};
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
}

pub(super) fn answer_indexes(key: &(String, String), answer: &AnswerRecord) -> Vec<IndexRow> {
    vec![(AnswersByTime::TABLE, (answer.at.as_millis(), key.0.clone(), key.1.clone()).encode())]
}

stored_v1!(AnswerRecord);
