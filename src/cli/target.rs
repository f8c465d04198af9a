//! Which server a command works with, and with which key: flags, then the environment, then the
//! current context. Each part says where it came from.
//!
//! A key goes only where it belongs: that of a context is never sent to a server that was named otherwise.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::failure::Failure;
use crate::client::Client;
use crate::clock::SharedClock;
use crate::config::contexts::{Context, Contexts};
use crate::config::suggest::nearest;
use crate::net::{self, Trust};

/// Where the server is, unless that was typed.
const URL_VARIABLE: &str = "DAPPLE_URL";
const URL_USUAL: &str = "http://127.0.0.1:7070";
/// Where the key for the server is, unless a file has it.
const TOKEN_VARIABLE: &str = "DAPPLE_TOKEN";
/// Where the certificates of its authorities are, unless that was typed.
const CA_VARIABLE: &str = "DAPPLE_CA";
/// Which context holds, unless one was chosen with `dapple context use`.
const CONTEXT_VARIABLE: &str = "DAPPLE_CONTEXT";
/// Where contexts are kept.
const CONTEXTS_VARIABLE: &str = "DAPPLE_CONTEXTS";

/// What was typed about the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Typed {
    pub(crate) server: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
}

/// Something, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct From<T> {
    pub(crate) what: T,
    pub(crate) origin: String,
}

/// How the key is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    File(PathBuf),
    Command(String),
    Variable,
}

/// The server that a command works with.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) server: From<String>,
    pub(crate) key: Option<From<Key>>,
    pub(crate) ca: Option<From<PathBuf>>,
    /// What is amiss without being in the way.
    pub(crate) warnings: Vec<String>,
}

/// Finds out which server is meant. Reads no key.
pub(crate) fn find(typed: &Typed) -> Result<Target, Failure> {
    let environment = variable(URL_VARIABLE).map(|text| text_of(text, URL_VARIABLE)).transpose()?;
    let mut warnings = Vec::new();
    // A server that is named needs no context, not even a good one.
    let context = if typed.server.is_none() && environment.is_none() { current(&mut warnings)? } else { None };
    let of = |what, origin: &str| From { what, origin: origin.to_owned() };
    let (server, context) = match (&typed.server, environment, context) {
        (Some(url), _, _) => (of(url.clone(), "--server"), None),
        (None, Some(url), _) => (of(url, URL_VARIABLE), None),
        (None, None, Some((origin, context))) => (of(context.server.clone(), &origin), Some((origin, context))),
        (None, None, None) => (of(URL_USUAL.to_owned(), "default"), None),
    };
    let key = match (&typed.token_file, variable(TOKEN_VARIABLE), &context) {
        (Some(file), _, _) => Some(From { what: Key::File(file.clone()), origin: "--token-file".to_owned() }),
        (None, Some(_), _) => Some(From { what: Key::Variable, origin: TOKEN_VARIABLE.to_owned() }),
        (None, None, Some((origin, context))) => key_of(context).map(|what| From { what, origin: origin.clone() }),
        (None, None, None) => None,
    };
    let ca = match (&typed.ca, variable(CA_VARIABLE), &context) {
        (Some(file), _, _) => Some(From { what: file.clone(), origin: "--ca".to_owned() }),
        (None, Some(file), _) => Some(From { what: file.into(), origin: CA_VARIABLE.to_owned() }),
        (None, None, Some((origin, context))) => context.ca.clone().map(|what| From { what, origin: origin.clone() }),
        (None, None, None) => None,
    };
    if let (Some((_, context)), Some(From { what: Key::File(file), .. })) = (&context, &key)
        && context.token_file.as_ref() == Some(file)
    {
        warnings.extend(readable_by_others(file));
    }
    Ok(Target { server, key, ca, warnings })
}

/// The context that holds, with how it is told of.
fn current(warnings: &mut Vec<String>) -> Result<Option<(String, Context)>, Failure> {
    let kept = Kept::read()?;
    warnings.extend(kept.warning.clone());
    let named = variable(CONTEXT_VARIABLE).map(|name| name.to_string_lossy().into_owned());
    match named.or_else(|| kept.contexts.current.clone()) {
        Some(name) => Ok(Some((format!("context {name}"), kept.get(&name)?.clone()))),
        None => Ok(None),
    }
}

fn key_of(context: &Context) -> Option<Key> {
    let file = context.token_file.clone().map(Key::File);
    file.or_else(|| context.token_command.clone().map(Key::Command))
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|text| !text.is_empty())
}

fn text_of(text: OsString, variable: &str) -> Result<String, Failure> {
    text.into_string().map_err(|text| Failure::Usage {
        detail: format!("`{}` in {variable} is not the address of a server", text.display()),
        hint: Some(format!("the usual one is {URL_USUAL}")),
    })
}

impl Target {
    /// A client of the server, with the key in its hands.
    pub(crate) fn client(&self, clock: SharedClock) -> Result<Client, Failure> {
        let token = match &self.key {
            Some(key) => key.what.read()?,
            None => None,
        };
        let read = |ca: &From<PathBuf>| {
            let read = std::fs::read_to_string(&ca.what);
            read.map_err(|source| Failure::io("read the CA certificates in", &ca.what, source))
        };
        let trust = Trust { ca: self.ca.as_ref().map(read).transpose()?, identity: None };
        let builder = net::trusting(net::builder(), &trust).map_err(|error| Failure::Usage {
            detail: error.to_string(),
            hint: Some("give a file with certificates in PEM".to_owned()),
        })?;
        Ok(Client::from_builder(builder, &self.server.what, token, clock)?)
    }
}

impl Key {
    /// What may be shown of it: where it is, never what it is.
    pub(crate) fn place(&self) -> String {
        match self {
            Key::File(path) => format!("in the file {}", path.display()),
            Key::Command(command) => format!("printed by `{command}`"),
            Key::Variable => format!("in {TOKEN_VARIABLE}"),
        }
    }

    fn read(&self) -> Result<Option<String>, Failure> {
        match self {
            Key::File(path) => key_in_file(path).map(Some),
            Key::Command(command) => key_of_command(command).map(Some),
            Key::Variable => key(&variable(TOKEN_VARIABLE).unwrap_or_default().to_string_lossy(), TOKEN_VARIABLE),
        }
    }
}

/// The key in a file. White space around it does not count.
fn key_in_file(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|source| Failure::io("read the key in", path, source))?;
    let empty = || io::Error::new(io::ErrorKind::InvalidData, "the file is empty");
    key(&text, &path.display().to_string())?.ok_or_else(|| Failure::io("read the key in", path, empty()))
}

/// The key that a command prints. What it says on stderr, such as a question, goes to the terminal.
fn key_of_command(command: &str) -> Result<String, Failure> {
    let failed = |detail: String| Failure::Usage {
        detail,
        hint: Some("see `dapple context show`; the command prints the key and exits with 0".to_owned()),
    };
    let run = Command::new("/bin/sh").args(["-c", command]).stderr(Stdio::inherit()).output();
    let output = run.map_err(|error| failed(format!("`{command}` cannot be run: {error}")))?;
    if !output.status.success() {
        return Err(failed(format!("`{command}` gave no key: {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    key(&text, &format!("the output of `{command}`"))?.ok_or_else(|| failed(format!("`{command}` printed nothing")))
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

/// The contexts as they are kept in their file.
pub(crate) struct Kept {
    /// The file, whether it is there or not; nothing without a home.
    pub(crate) path: Option<PathBuf>,
    /// What is in it.
    pub(crate) contexts: Contexts,
    warning: Option<String>,
}

impl Kept {
    /// Reads the file; one that is not there has no contexts.
    pub(crate) fn read() -> Result<Self, Failure> {
        let path = variable(CONTEXTS_VARIABLE).map(PathBuf::from).or_else(|| {
            let home = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
            let home = home.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".config")));
            home.map(|home| home.join("dapple/contexts.toml"))
        });
        let empty = Self { path: path.clone(), contexts: Contexts::default(), warning: None };
        let Some(file) = &path else { return Ok(empty) };
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(empty),
            Err(error) => return Err(Failure::io("read the contexts in", file, error)),
        };
        let contexts = Contexts::read(&text).map_err(|error| Failure::Usage {
            detail: format!("{}: {error}", file.display()),
            hint: Some("mend the file, or remove it and add contexts with `dapple context add`".to_owned()),
        })?;
        Ok(Self { warning: readable_by_others(file), path, contexts })
    }

    /// A context by its name.
    pub(crate) fn get(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.contexts.get(name).ok_or_else(|| {
            let names = self.contexts.contexts.keys().map(String::as_str);
            let meant = nearest(name, names).map(|meant| format!("did you mean `{meant}`?"));
            Failure::Usage {
                detail: format!("there is no context `{name}`"),
                hint: Some(meant.unwrap_or_else(|| {
                    "see `dapple context list`, or add it with `dapple context add NAME --server URL`".to_owned()
                })),
            }
        })
    }
}

/// A warning about a file that others can read, and whose content tells how to get in.
fn readable_by_others(path: &Path) -> Option<String> {
    let mode = path.metadata().ok()?.permissions().mode();
    let (path, shown) = (path.display(), mode & 0o777);
    (mode & 0o077 != 0).then(|| format!("{path} can be read by others (mode {shown:o}): `chmod 600 {path}`"))
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
        assert_eq!(key_in_file(&path).expect("good"), "k");
        std::fs::write(&path, "\n").expect("writable");
        for path in [path, scratch.path().join("none")] {
            let failure = key_in_file(&path).expect_err("no key");
            assert!(failure.exit_code() == 1 && failure.to_string().contains(path.to_str().expect("text")));
        }
        assert_eq!(key_of_command("printf ' k\n'").expect("good"), "k");
        for command in ["exit 3", "true", "printf 'a b'"] {
            let failure = key_of_command(command).expect_err(command);
            assert!(failure.exit_code() == 2 && failure.to_string().contains(command), "{failure}");
        }
    }
}
