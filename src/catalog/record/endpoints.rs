//! Records of endpoints.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::catalog::table::{DecodeError, Value, decode_version, encode_version};
use crate::model::endpoint::{EndpointKind, EndpointName, SealedSecret, Settings};
use crate::model::probe::Probe;
use crate::model::time::Timestamp;

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// Its name.
    pub name: EndpointName,
    /// The protocol it speaks.
    pub kind: EndpointKind,
    /// Where it is.
    pub location: String,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// How it is spoken to.
    pub settings: Settings,
    /// What lets dapple in, sealed.
    pub secret: Option<SealedSecret>,
    /// What it was last seen to do.
    pub probe: Option<Probe>,
}

/// An endpoint as version 1 had it: without anything that only remote storage needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct EndpointRecordV1 {
    name: EndpointName,
    kind: EndpointKind,
    location: String,
    attributes: BTreeMap<String, String>,
    created_at: Timestamp,
}

impl From<EndpointRecordV1> for EndpointRecord {
    fn from(old: EndpointRecordV1) -> Self {
        Self {
            name: old.name,
            kind: old.kind,
            location: old.location,
            attributes: old.attributes,
            created_at: old.created_at,
            settings: Settings::default(),
            secret: None,
            probe: None,
        }
    }
}

impl Value for EndpointRecord {
    const VERSION: u8 = 2;

    fn encode(&self) -> Bytes {
        encode_version(2, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(1) => decode_version::<EndpointRecordV1>(1, bytes).map(Self::from),
            _ => decode_version(2, bytes),
        }
    }
}
