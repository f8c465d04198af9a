//! Reads what is typed: names, spans and paths, each refused with a reason that helps.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::cli::failure::Failure;
use crate::model::endpoint::EndpointName;
use crate::model::scope::Scope;
use crate::model::size::parse_bytes;
use crate::model::time::parse_span;

pub(crate) fn endpoint(text: &str) -> Result<EndpointName, String> {
    EndpointName::parse(text).map_err(|e| e.to_string())
}

/// A scope, with or without the colon that ends it in DIDs.
pub(crate) fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text.strip_suffix(':').unwrap_or(text)).map_err(|e| e.to_string())
}

pub(crate) fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|e| e.to_string())
}

pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    parse_bytes(text).map_err(|e| e.to_string())
}

/// A span after which something ends.
pub(crate) fn lifetime(text: &str) -> Result<Duration, String> {
    match span(text)? {
        Duration::ZERO => Err("leave --lifetime out for a rule without an end".to_owned()),
        span => Ok(span),
    }
}

pub(crate) fn attribute(text: &str) -> Result<(String, String), String> {
    crate::model::endpoint::parse_attribute(text).map_err(|e| e.to_string())
}

/// How many at once: at least one, and no more than a server would like.
pub(crate) fn parallel(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=256) => Ok(number),
        _ => Err("write a number from 1 to 256".to_owned()),
    }
}

/// The path as the server shall know it: absolute. Symbolic links in it stay, as people may mean to
/// move them; only a `..` behind one forces them to be followed.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let read = if path.components().any(|part| part == Component::ParentDir) {
        path.canonicalize()
    } else {
        std::path::absolute(path)
    };
    read.map_err(|source| Failure::io("find", path, source))
}
