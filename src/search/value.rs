//! Values of fields: what can be filtered by and sorted by.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// How many values of one document are kept for filters and sorts.
pub const VALUES_MAX: usize = 500;
/// A longer text can be searched by its words, but not filtered or sorted by.
pub const TEXT_BYTES_MAX: usize = 1000;

/// A value of a field. Whole numbers beyond 2^53 lose their last digits, as they do in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A text, compared byte by byte.
    Text(String),
    /// True or false.
    Bool(bool),
}

impl Value {
    /// A number, a text or a truth value of JSON; `None` for everything else.
    pub fn from_json(json: &serde_json::Value) -> Option<Self> {
        match json {
            // Zero has one value here, so that equal numbers are equal values.
            serde_json::Value::Number(number) => number.as_f64().map(|number| Value::Number(number + 0.0)),
            serde_json::Value::String(text) => Some(Value::Text(text.clone())),
            serde_json::Value::Bool(truth) => Some(Value::Bool(*truth)),
            _ => None,
        }
    }

    /// The order of all values: numbers, then texts, then truth values.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::Number(one), Value::Number(two)) => one.total_cmp(two),
            (Value::Text(one), Value::Text(two)) => one.cmp(two),
            (Value::Bool(one), Value::Bool(two)) => one.cmp(two),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Number(_) => 0,
            Value::Text(_) => 1,
            Value::Bool(_) => 2,
        }
    }
}

/// One value of a document, by the path of its field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Leaf {
    pub(super) path: String,
    pub(super) value: Value,
    /// One of a list: filters look at it, sorts do not.
    pub(super) element: bool,
}

/// The values inside of `fields`. Parts of a path are joined by dots; lists inside of lists and
/// objects inside of lists have no path, and are left out.
pub(super) fn leaves(fields: &serde_json::Map<String, serde_json::Value>) -> Vec<Leaf> {
    let mut found = Vec::new();
    walk("", fields, &mut found);
    found
}

fn walk(above: &str, fields: &serde_json::Map<String, serde_json::Value>, found: &mut Vec<Leaf>) {
    for (name, json) in fields {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match json {
            serde_json::Value::Object(inner) => walk(&path, inner, found),
            serde_json::Value::Array(list) => {
                for json in list {
                    keep(&path, json, true, found);
                }
            }
            json => keep(&path, json, false, found),
        }
    }
}

fn keep(path: &str, json: &serde_json::Value, element: bool, found: &mut Vec<Leaf>) {
    let Some(value) = Value::from_json(json) else { return };
    let short = !matches!(&value, Value::Text(text) if text.len() > TEXT_BYTES_MAX);
    if short && path.len() <= TEXT_BYTES_MAX && found.len() < VALUES_MAX {
        found.push(Leaf { path: path.to_owned(), value, element });
    }
}
