//! Reads what is typed: names, spans and paths, each refused with a reason that helps.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::cli::failure::Failure;
use crate::model::endpoint::EndpointName;
use crate::model::scope::Scope;
use crate::model::size::parse_bytes;
use crate::model::time::parse_span;

/// Where the server is, unless that was typed.
const URL_VARIABLE: &str = "DAPPLE_URL";
const URL_USUAL: &str = "http://127.0.0.1:7070";
/// Where the key for the server is, unless a file has it.
const TOKEN_VARIABLE: &str = "DAPPLE_TOKEN";

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

/// Where the server is: what was typed, else the environment, else the usual place.
pub(crate) fn url(typed: Option<String>) -> Result<String, Failure> {
    let Some(text) = typed.map(OsString::from).or_else(|| std::env::var_os(URL_VARIABLE)) else {
        return Ok(URL_USUAL.to_owned());
    };
    text.into_string().map_err(|text| Failure::Usage {
        detail: format!("`{}` in {URL_VARIABLE} is not the address of a server", text.display()),
        hint: Some(format!("the usual one is {URL_USUAL}")),
    })
}

/// The key for the server, from the file or the environment. White space around it does not count.
pub(crate) fn token(file: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(path) = file else {
        let Some(text) = std::env::var_os(TOKEN_VARIABLE) else {
            return Ok(None);
        };
        return key(&text.to_string_lossy(), TOKEN_VARIABLE);
    };
    let text = std::fs::read_to_string(path).map_err(|source| Failure::io("read the key in", path, source))?;
    let key = key(&text, &path.display().to_string())?;
    if key.is_none() {
        let empty = io::Error::new(io::ErrorKind::InvalidData, "the file is empty");
        return Err(Failure::io("read the key in", path, empty));
    }
    Ok(key)
}

/// Takes what can stand in a request's header; anything else is a slip, such as a file with two keys.
fn key(text: &str, from: &str) -> Result<Option<String>, Failure> {
    let key = text.trim();
    if key.chars().all(|c| c.is_ascii_graphic()) {
        return Ok((!key.is_empty()).then(|| key.to_owned()));
    }
    Err(Failure::Usage {
        detail: format!("the key in {from} has spaces, control characters or other letters that no key has"),
        hint: Some("a lake's first key is in its directory, in admin.key".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_trimmed_and_what_cannot_be_one_is_refused() {
        for (text, read) in [("k.1-x", Some("k.1-x")), (" k\r\n", Some("k")), ("", None), (" \n", None)] {
            let key = key(text, "here").expect("good");
            assert_eq!(key.as_deref(), read, "{text:?}");
        }
        for text in ["a b", "a\nb", "a\u{1}b", "schl\u{fc}ssel"] {
            let failure = key(text, "here").expect_err(text);
            assert!(failure.exit_code() == 2 && failure.to_string().contains("here"), "{failure}");
        }
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("key");
        std::fs::write(&path, "\n k \n").expect("writable");
        assert_eq!(token(Some(&path)).expect("good").as_deref(), Some("k"));
        std::fs::write(&path, "\n").expect("writable");
        for path in [path, scratch.path().join("none")] {
            let failure = token(Some(&path)).expect_err("no key");
            assert!(failure.exit_code() == 1 && failure.to_string().contains(path.to_str().expect("text")));
        }
    }
}
