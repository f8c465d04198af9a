//! Metadata of a DID: a JSON object that people and tools write. Some keys are known and typed (times,
//! geometry, title, keywords), some are reserved for what dapple says itself; all others are free.
//!
//! Promises: what is read here is valid, within limits, and has one canonical text. When and where
//! the data is from is derived from it, never stored beside it.

use serde_json::{Map, Value};

use crate::model::metadata::geometry::BoundingBox;
use crate::model::metadata::moment::Interval;

pub mod geometry;
pub mod moment;

/// The most bytes of the canonical text: with the rest it fits a stored value.
pub const METADATA_BYTES_MAX: usize = 60 << 10;
/// The most keys at the top.
pub const KEYS_MAX: usize = 256;
/// The most bytes of a key, at the top or below.
pub const KEY_BYTES_MAX: usize = 128;
/// How deep objects and lists may be within each other, the metadata itself counted. The geometry has
/// limits of its own.
pub const DEPTH_MAX: usize = 8;

/// Keys that dapple says itself, with what to do instead. One that ends in `:` stands for all that
/// begin so.
const RESERVED: [(&str, &str); 13] = [
    ("did", "the DID is said when it is shown; leave it out"),
    ("did:", "keys that begin with `did:` are what dapple says of a DID; name it otherwise"),
    ("file:", "length and checksum of a file follow from its bytes; name it otherwise"),
    ("links", "links are made when the DID is shown; leave it out"),
    ("assets", "assets are the files themselves, which are put or registered; leave it out"),
    ("id", "the DID's name is its id; leave it out, or call it `identifier`"),
    ("type", "call it otherwise, such as `data_type`"),
    ("collection", "attach the DID to a container instead: `dapple did attach CONTAINER DID`"),
    ("stac_version", "it is said when the DID is shown; leave it out"),
    ("stac_extensions", "they are said when the DID is shown; leave it out"),
    ("bbox", "the box follows from `geometry`; give that instead"),
    ("created", "dapple knows when the DID was registered; leave it out"),
    ("updated", "dapple knows when the metadata was changed; leave it out"),
];

/// Why something cannot be the metadata of a DID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("metadata{}: {what}", .key.as_ref().map_or_else(String::new, |key| format!(" `{key}`")))]
pub struct InvalidMetadata {
    /// The key at the top in which it is, unless it is the whole.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl InvalidMetadata {
    fn whole(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { key: None, what: what.into(), hint: hint.into() }
    }

    fn of(key: &str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), what: what.into(), hint: hint.into() }
    }
}

/// Valid metadata. Its keys are in order, at every depth.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    object: Map<String, Value>,
}

/// When and where the data is from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Extent {
    /// When; nothing if no time is given.
    pub interval: Option<Interval>,
    /// Where; nothing without a geometry.
    pub bounds: Option<BoundingBox>,
}

impl Metadata {
    /// Accepts an object that keeps to all rules.
    pub fn read(object: &Map<String, Value>) -> Result<Self, InvalidMetadata> {
        if object.len() > KEYS_MAX {
            let what = format!("it has {} keys, and at most {KEYS_MAX} fit", object.len());
            return Err(InvalidMetadata::whole(what, "put keys that belong together into an object"));
        }
        for (key, value) in object {
            check_key(key, key)?;
            check_reserved(key)?;
            if key == "geometry" {
                geometry::parts(value)?;
            } else {
                check_depth(key, value, 2)?;
                check_text(key, value)?;
            }
        }
        moment::interval(object)?;
        let metadata = Self { object: in_order(object) };
        let bytes = metadata.canonical().len();
        if bytes > METADATA_BYTES_MAX {
            let what = format!("it has {bytes} bytes, and at most {METADATA_BYTES_MAX} fit");
            return Err(InvalidMetadata::whole(what, "put what is long into a file of its own"));
        }
        Ok(metadata)
    }

    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, InvalidMetadata> {
        let object: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| InvalidMetadata::whole(error.to_string(), "write a JSON object, `{\"key\": value}`"))?;
        Self::read(&object)
    }

    /// Takes a text that was valid when it was stored, whatever rules have come since.
    pub fn stored(text: &str) -> Result<Self, serde_json::Error> {
        Ok(Self { object: in_order(&serde_json::from_str(text)?) })
    }

    /// The metadata after a merge patch (RFC 7386): keys of the patch replace, and `null` takes away.
    pub fn patched(&self, patch: &Map<String, Value>) -> Result<Self, InvalidMetadata> {
        let mut object = self.object.clone();
        merge(&mut object, patch);
        Self::read(&object)
    }

    /// Tells whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.object.is_empty()
    }

    /// The object.
    pub fn as_object(&self) -> &Map<String, Value> {
        &self.object
    }

    /// The object itself.
    pub fn into_object(self) -> Map<String, Value> {
        self.object
    }

    /// The one text that it is stored as: keys in order, no spaces.
    pub fn canonical(&self) -> String {
        serde_json::to_string(&self.object).expect("JSON has text keys only")
    }

    /// When and where the data is from.
    pub fn extent(&self) -> Extent {
        // Both were checked when they were read; by rules that came later they may say nothing.
        let interval = moment::interval(&self.object).unwrap_or_default();
        let parts = self.object.get("geometry").and_then(|geometry| geometry::parts(geometry).ok());
        Extent { interval, bounds: BoundingBox::around(&parts.unwrap_or_default()) }
    }
}

/// Merges as RFC 7386 says. Objects go as deep as JSON that was read, so this ends.
fn merge(into: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                into.remove(key);
            }
            Value::Object(patch) => {
                let place = into.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                merge(place.as_object_mut().expect("it was made one"), patch);
            }
            other => {
                into.insert(key.clone(), other.clone());
            }
        }
    }
}

fn in_order(object: &Map<String, Value>) -> Map<String, Value> {
    let mut keys: Vec<&String> = object.keys().collect();
    keys.sort();
    keys.into_iter().map(|key| (key.clone(), value_in_order(&object[key]))).collect()
}

fn value_in_order(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(in_order(object)),
        Value::Array(list) => Value::Array(list.iter().map(value_in_order).collect()),
        plain => plain.clone(),
    }
}

fn check_key(top: &str, key: &str) -> Result<(), InvalidMetadata> {
    let hint = format!("a key has 1 to {KEY_BYTES_MAX} bytes, and no control characters");
    let wrong = |what: String| Err(InvalidMetadata::of(&shortened(top), what, hint.clone()));
    if key.is_empty() {
        return wrong("a key is empty".to_owned());
    }
    if key.len() > KEY_BYTES_MAX {
        return wrong(format!("a key has {} bytes", key.len()));
    }
    match key.chars().find(|character| character.is_control()) {
        Some(character) => wrong(format!("a key has the control character {character:?} in it")),
        None => Ok(()),
    }
}

/// A key as messages show it: one that is too long is not repeated in whole.
fn shortened(key: &str) -> String {
    let mut shown: String = key.chars().take(40).collect();
    if shown.len() < key.len() {
        shown.push('…');
    }
    shown
}

fn check_reserved(key: &str) -> Result<(), InvalidMetadata> {
    let names = |known: &str| if known.ends_with(':') { key.starts_with(known) } else { key == known };
    match RESERVED.iter().find(|(known, _)| names(known)) {
        Some((_, hint)) => Err(InvalidMetadata::of(key, "the key is reserved", *hint)),
        None => Ok(()),
    }
}

fn check_depth(top: &str, value: &Value, depth: usize) -> Result<(), InvalidMetadata> {
    let too_deep = || {
        let what = format!("it is deeper than {DEPTH_MAX} objects or lists within each other");
        InvalidMetadata::of(top, what, "make it flatter, such as by keys with a `:` in them")
    };
    match value {
        Value::Object(object) => {
            if depth > DEPTH_MAX {
                return Err(too_deep());
            }
            for (key, value) in object {
                check_key(top, key)?;
                check_depth(top, value, depth + 1)?;
            }
        }
        Value::Array(list) => {
            if depth > DEPTH_MAX {
                return Err(too_deep());
            }
            for value in list {
                check_depth(top, value, depth + 1)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Checks the known keys that are texts.
fn check_text(key: &str, value: &Value) -> Result<(), InvalidMetadata> {
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    match key {
        "title" | "description" | "license" if !is_text(value) => {
            let example = if key == "license" { "\"CC-BY-4.0\"" } else { "\"Sea ice, daily\"" };
            let hint = format!("write a text, such as {example}, or leave it out");
            Err(InvalidMetadata::of(key, "it is not a text with something in it", hint))
        }
        "keywords" if !value.as_array().is_some_and(|list| list.iter().all(is_text)) => Err(InvalidMetadata::of(
            key,
            "it is not a list of texts",
            "write a list, such as [\"ice\", \"daily\"], or leave it out",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
