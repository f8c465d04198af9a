//! What is put into the index, and how one document is stored.

use geo::Geometry;
use serde::{Deserialize, Serialize};

use crate::search::area::is_somewhere;
use crate::search::blob;
use crate::search::error::SearchError;
use crate::search::value::{Leaf, leaves};

/// Something that can be found.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its DID's number. A document replaces the one of the same key, and the one of the same
    /// collection and id.
    pub key: u64,
    /// Its collection's number, handed back with hits.
    pub collection: u64,
    /// Its collection's id.
    pub collection_id: String,
    /// Its id, one of its kind in the collection.
    pub id: String,
    /// Who may discover it, as a number that the caller gives to all documents that are alike in
    /// this.
    pub access: u32,
    /// When it begins, in milliseconds since the Unix epoch; also its `datetime`.
    pub start: i64,
    /// When it ends: the same for an instant. An end before the start counts as the start.
    pub end: i64,
    /// Where it is, in degrees of longitude and latitude on a plane. None, or one without points,
    /// matches no box and no shape.
    pub geometry: Option<Geometry<f64>>,
    /// What it can be filtered and sorted by.
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// What its words are taken from.
    pub text: String,
    /// What is handed back when it is found, byte for byte.
    pub json: Vec<u8>,
}

/// A document as it is stored: the small things to sort by, the others compressed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) head: Head,
    /// The JSON, packed by `blob`.
    pub(super) json: bytes::Bytes,
    /// A [`Body`], packed by `blob`.
    pub(super) body: bytes::Bytes,
}

/// What a document is found and sorted by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) key: u64,
    pub(super) collection: u64,
    pub(super) collection_id: String,
    pub(super) id: String,
    pub(super) access: u32,
    pub(super) start: i64,
    pub(super) end: i64,
}

/// What columns are made from, kept so that they can be made anew when segments are merged. The
/// geometry comes first, so that it can be read alone.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) geometry: Option<Geometry<f64>>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) text: String,
}

impl Row {
    pub(super) fn of(document: Document) -> Self {
        let Document { key, collection, collection_id, id, access, start, end, geometry, fields, text, json } =
            document;
        let body = Body { geometry: geometry.filter(is_somewhere), leaves: leaves(&fields), text };
        let body = postcard::to_stdvec(&body).expect("plain data can be encoded");
        let head = Head { key, collection, collection_id, id, access, start, end: end.max(start) };
        Row { head, json: blob::pack(&json), body: blob::pack(&body) }
    }
}

impl Body {
    /// Reads what [`Row::of`] packed.
    pub(super) fn read(packed: &[u8]) -> Result<Self, SearchError> {
        let bytes = blob::unpack(packed)?;
        postcard::from_bytes(&bytes).map_err(|e| SearchError::damaged(format!("a document cannot be decoded: {e}")))
    }

    /// Reads the geometry alone.
    pub(super) fn read_geometry(packed: &[u8]) -> Result<Option<Geometry<f64>>, SearchError> {
        let bytes = blob::unpack(packed)?;
        let (geometry, _) = postcard::take_from_bytes(&bytes)
            .map_err(|e| SearchError::damaged(format!("a geometry cannot be decoded: {e}")))?;
        Ok(geometry)
    }
}
