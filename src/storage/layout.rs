//! Where a replica lies below its endpoint's root: `<scope>/<name>`, segment by segment.
//!
//! Segments that a file system could not hold, or that dapple keeps for itself, are percent-encoded;
//! `%` always is, so the encoding can be undone. Everything else stays as it is, so that people find
//! their files and paths sort almost as names do.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::model::did::{Did, DidName};
use crate::model::id::IntentId;
use crate::model::scope::Scope;

/// How names of staged bytes begin. No derived path has a segment that begins so.
pub(in crate::storage) const TEMPORARY_PREFIX: &str = ".dapple-";

/// A path below an endpoint's root: relative, without empty, `.` or `..` segments, and without
/// segments that dapple uses for staging.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoragePath(String);

/// The text cannot be a path below a root.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is not a path below an endpoint's root: no empty, `.`, `..` or `{TEMPORARY_PREFIX}` parts, no NUL")]
pub struct InvalidPath {
    text: String,
}

impl StoragePath {
    /// The path that follows from a DID.
    pub fn derived(did: &Did) -> Self {
        let mut path = did.scope.to_string();
        for segment in did.name.as_str().split('/') {
            path.push('/');
            path.push_str(&encode(segment));
        }
        Self(path)
    }

    /// The DID whose derived path this is; `None` if it is none's.
    pub fn did(&self) -> Option<Did> {
        let (scope, rest) = self.0.split_once('/')?;
        let segments: Option<Vec<String>> = rest.split('/').map(decode).collect();
        let did = Did { scope: Scope::parse(scope).ok()?, name: DidName::parse(&segments?.join("/")).ok()? };
        (Self::derived(&did) == *self).then_some(did)
    }

    /// Accepts a relative path as a registration may state it.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let fits = |segment: &str| {
            !matches!(segment, "" | "." | "..") && !segment.starts_with(TEMPORARY_PREFIX) && !segment.contains('\0')
        };
        if text.split('/').all(fits) { Ok(Self(text.to_owned())) } else { Err(InvalidPath { text: text.to_owned() }) }
    }

    /// The path as text, with `/` between segments.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory it lies in, empty for the root itself, and its last segment.
    pub fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }

    /// The name, in the same directory, under which an intent stages bytes for this path.
    pub fn temporary(&self, intent: IntentId) -> String {
        match self.split().0 {
            "" => format!("{TEMPORARY_PREFIX}{intent}"),
            directory => format!("{directory}/{TEMPORARY_PREFIX}{intent}"),
        }
    }
}

/// Tells whether a listed path is that of staged bytes.
pub fn is_temporary(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(TEMPORARY_PREFIX))
}

impl fmt::Display for StoragePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn decode(segment: &str) -> Option<String> {
    if segment == "%" {
        return Some(String::new());
    }
    percent_decode_str(segment).decode_utf8().ok().map(Into::into)
}

fn encode(segment: &str) -> String {
    match segment {
        "" => "%".to_owned(),
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => {
            let escaped = segment.replace('%', "%25");
            match escaped.strip_prefix(TEMPORARY_PREFIX) {
                Some(rest) => format!("%2E{}{rest}", &TEMPORARY_PREFIX[1..]),
                None => escaped,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(name: &str) -> String {
        StoragePath::derived(&format!("s:{name}").parse().expect("valid")).to_string()
    }

    #[test]
    fn ordinary_names_stay_as_they_are_and_reserved_ones_are_encoded() {
        let table = [
            ("a/b.nc", "s/a/b.nc"),
            ("/store/x", "s/%/store/x"),
            ("../../etc", "s/%2E%2E/%2E%2E/etc"),
            ("a//.", "s/a/%/%2E"),
            ("50%", "s/50%25"),
            ("%2E%2E", "s/%252E%252E"),
            (".dapple-x", "s/%2Edapple-x"),
            ("ü +:", "s/ü +:"),
        ];
        for (name, path) in table {
            assert_eq!(derived(name), path);
            let back = StoragePath::parse(path).expect("it can be stored").did();
            assert_eq!(back.expect("it is derived").to_string(), format!("s:{name}"));
            assert!(StoragePath::parse(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for bad in ["", "/etc", "a/../b", "a//b", "./a", "a/.dapple-1", "a\0"] {
            assert!(StoragePath::parse(bad).is_err(), "{bad:?}");
        }
    }
}
