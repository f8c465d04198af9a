//! Items as the index keeps them: the text of a STAC item without links and assets, written so that
//! what an answer adds is put in without reading the text again. Properties come last for that.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::search::error::SearchError;

/// What an item's text ends with: its properties, which are never empty, and itself.
const END: &str = "}}";

/// What is said of an item, in the order in which it is written.
#[derive(Debug, Serialize)]
pub(super) struct Said<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) stac_version: &'static str,
    pub(super) id: &'a str,
    pub(super) collection: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bbox: Option<[f64; 4]>,
    pub(super) geometry: &'a Value,
    pub(super) properties: &'a Map<String, Value>,
}

impl Said<'_> {
    /// The item's text.
    pub(super) fn to_text(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("JSON has text keys only")
    }
}

/// The text of an item.
#[derive(Debug)]
pub struct ItemText(String);

impl ItemText {
    /// Takes a text as the index hands it back.
    pub fn of(json: Vec<u8>) -> Result<Self, SearchError> {
        let text = String::from_utf8(json).map_err(|_| SearchError::damaged("an item is no text"))?;
        if text.ends_with(END) { Ok(Self(text)) } else { Err(SearchError::damaged("an item has no end")) }
    }

    /// Everything up to where further properties may be put, each behind a comma. [`END`] closes it;
    /// further members of the item go between its two braces, behind a comma as well.
    pub fn open(&self) -> &str {
        &self.0[..self.0.len() - END.len()]
    }

    /// Reads the text.
    pub fn read(&self) -> Result<Map<String, Value>, SearchError> {
        serde_json::from_str(&self.0).map_err(|error| SearchError::damaged(format!("an item is no JSON: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_put_in_is_part_of_the_item() {
        let Value::Object(properties) = json!({ "title": "a }} in it", "created": "now" }) else { unreachable!() };
        let said = Said {
            kind: "Feature",
            stac_version: "1.1.0",
            id: "s--a",
            collection: "s",
            bbox: Some([1.0, 2.0, 3.5, 4.0]),
            geometry: &Value::Null,
            properties: &properties,
        };
        let text = ItemText::of(said.to_text()).expect("an item");
        let spliced = format!("{},\"did:length\":3}},\"links\":[]}}", text.open());
        let read: Value = serde_json::from_str(&spliced).expect("JSON");
        assert_eq!(read["properties"], json!({ "title": "a }} in it", "created": "now", "did:length": 3 }));
        assert_eq!((&read["links"], &read["id"]), (&json!([]), &json!("s--a")));
        assert_eq!(text.read().expect("JSON")["bbox"], json!([1.0, 2.0, 3.5, 4.0]));
    }

    #[test]
    fn what_is_no_item_is_refused() {
        for text in [&b"{}"[..], b"", b"\xff}}"] {
            assert!(ItemText::of(text.to_vec()).is_err(), "{text:?}");
        }
    }
}
