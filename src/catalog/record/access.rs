//! What the catalog stores of policy: label sets, and decisions.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::catalog::table::{DecodeError, Value, decode_version, encode_version, stored_v1};
use crate::model::account::AccountName;
use crate::model::endpoint::EndpointName;
use crate::model::label::{Classification, LabelSet};
use crate::model::time::Timestamp;

/// A label set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSetRecord {
    /// How sensitive the data is.
    pub classification: Option<Classification>,
    /// The project it belongs to.
    pub project: Option<String>,
    /// Until when it is kept back.
    pub embargo: Option<Timestamp>,
    /// Its licence.
    pub licence: Option<String>,
    /// The countries in which copies may lie.
    pub residency: Option<BTreeSet<String>>,
    /// Free tags.
    pub tags: BTreeMap<String, BTreeSet<String>>,
}

impl From<LabelSet> for LabelSetRecord {
    fn from(labels: LabelSet) -> Self {
        let LabelSet { classification, project, embargo, licence, residency, tags } = labels;
        Self { classification, project, embargo, licence, residency, tags }
    }
}

impl From<LabelSetRecord> for LabelSet {
    fn from(record: LabelSetRecord) -> Self {
        let LabelSetRecord { classification, project, embargo, licence, residency, tags } = record;
        Self { classification, project, embargo, licence, residency, tags }
    }
}

stored_v1!(LabelSetRecord);

/// A policy decision, kept for whoever asks why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Who asked.
    pub principal: AccountName,
    /// What for.
    pub action: String,
    /// On what.
    pub resource: String,
    /// Where, if that mattered.
    pub endpoint: Option<EndpointName>,
    /// Whether it was allowed.
    pub allowed: bool,
    /// The policies that determined it.
    pub policies: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// The revision of the policies that were asked; empty for decisions older than policies.
    pub revision: String,
    /// The labels of what it was about, as text.
    pub labels: String,
}

/// A decision as version 1 had it: there was one policy, and no labels.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct DecisionRecordV1 {
    principal: AccountName,
    action: String,
    resource: String,
    endpoint: Option<EndpointName>,
    allowed: bool,
    policies: Vec<String>,
    at: Timestamp,
}

impl From<DecisionRecordV1> for DecisionRecord {
    fn from(old: DecisionRecordV1) -> Self {
        Self {
            principal: old.principal,
            action: old.action,
            resource: old.resource,
            endpoint: old.endpoint,
            allowed: old.allowed,
            policies: old.policies,
            at: old.at,
            revision: String::new(),
            labels: String::new(),
        }
    }
}

impl Value for DecisionRecord {
    const VERSION: u8 = 2;

    fn encode(&self) -> Bytes {
        encode_version(2, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(1) => decode_version::<DecisionRecordV1>(1, bytes).map(Self::from),
            _ => decode_version(2, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Vec<u8> {
        let length = u8::try_from(value.len()).expect("short");
        [&[length], value.as_bytes()].concat()
    }

    #[test]
    fn a_decision_of_version_1_is_still_read_and_version_2_is_written_as_it_was() {
        let words = ["root", "place", "climate:t2m"].map(text).concat();
        let rest = [vec![0, 1, 1], text("admins"), vec![0xe8, 0x07]].concat();
        let mut bytes = [vec![1], words, rest].concat();
        let record = DecisionRecord::decode(&bytes).expect("it was written once");
        assert_eq!((record.revision.as_str(), record.policies.as_slice()), ("", ["admins".to_owned()].as_slice()));
        let record = DecisionRecord { revision: "r".to_owned(), labels: "a=b".to_owned(), ..record };
        bytes[0] = 2;
        bytes.extend([text("r"), text("a=b")].concat());
        assert_eq!(record.encode(), bytes);
        assert_eq!(DecisionRecord::decode(&bytes).expect("a golden record"), record);
    }

    #[test]
    fn a_label_set_is_written_as_it_was() {
        let set = LabelSetRecord {
            classification: Some(Classification::Restricted),
            project: Some("eo".to_owned()),
            embargo: Some(Timestamp::from_millis(1_000)),
            licence: None,
            residency: Some(BTreeSet::from(["DE".to_owned()])),
            tags: BTreeMap::from([("a".to_owned(), BTreeSet::from(["b".to_owned()]))]),
        };
        let head = [vec![1, 1, 2, 1], text("eo"), vec![1, 0xe8, 0x07, 0, 1, 1], text("DE")].concat();
        let golden = [head, vec![1], text("a"), vec![1], text("b")].concat();
        assert_eq!(set.encode(), golden);
        assert_eq!(LabelSetRecord::decode(&golden).expect("a golden record"), set);
    }
}
