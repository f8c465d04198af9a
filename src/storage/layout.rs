//! Where a replica lies below its endpoint's root: `<scope>/<name>`, segment by segment.
//!
//! Segments that a file system could not hold, or that dapple keeps for itself, are percent-encoded;
//! `%` always is, so the encoding can be undone. Everything else stays as it is, so that people find
//! their files and paths sort almost as names do.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::clock::Clock;
use crate::model::did::{Did, DidName};
use crate::model::id::IntentId;
use crate::model::scope::Scope;
use crate::model::time::Timestamp;

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

/// How names of what a probe makes begin, before the time of its making.
pub(in crate::storage) const PROBE_PREFIX: &str = ".dapple-probe-";

/// After how long what a probe made was left by one that did not come to its end: longer than any
/// takes, and than clocks of several servers may differ.
const PROBE_LEFT_AFTER_MS: u64 = 60 * 60 * 1_000;

/// The beginning of names for what a probe makes. Nobody else has it, and it tells how old it is.
pub(in crate::storage) fn probe_name(clock: &dyn Clock) -> String {
    format!("{PROBE_PREFIX}{:012x}-{:08x}", clock.now().as_millis(), clock.random() >> 32)
}

/// Tells whether a name is that of something which a probe made and left.
pub(in crate::storage) fn is_left_by_probe(name: &str, now: Timestamp) -> bool {
    let Some(rest) = name.strip_prefix(PROBE_PREFIX) else { return false };
    let made = rest.get(..12).filter(|_| rest[12..].starts_with('-'));
    match made.map(|millis| u64::from_str_radix(millis, 16)) {
        Some(Ok(made)) => now.as_millis().saturating_sub(made) > PROBE_LEFT_AFTER_MS,
        // Before names told their time they had sixteen digits.
        _ => rest.len() >= 16 && rest.bytes().take(16).all(|byte| byte.is_ascii_hexdigit()),
    }
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
    use crate::clock::SystemClock;

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
    fn only_what_a_probe_left_long_ago_is_taken_for_left() {
        let clock = SystemClock::shared();
        let (now, name) = (clock.now(), probe_name(clock.as_ref()));
        let later = |millis| Timestamp::from_millis(now.as_millis() + millis);
        assert!(!is_left_by_probe(&name, now) && !is_left_by_probe(&name, later(PROBE_LEFT_AFTER_MS)));
        for name in [name.clone(), format!("{name}-to %41"), ".dapple-probe-0123456789abcdef-copy".to_owned()] {
            assert!(is_left_by_probe(&name, later(PROBE_LEFT_AFTER_MS + 10_000)), "{name}");
        }
        for other in [".dapple-probe-77-0", ".dapple-0123456789abcdef", "probe", ".dapple-probe-ü", ".dapple-probe-"] {
            assert!(!is_left_by_probe(other, later(u64::MAX >> 20)), "{other}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for bad in ["", "/etc", "a/../b", "a//b", "./a", "a/.dapple-1", "a\0"] {
            assert!(StoragePath::parse(bad).is_err(), "{bad:?}");
        }
    }
}
