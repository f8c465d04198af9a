//! Contexts: servers that a person works with, by name, and how the key for each is found.
//!
//! Never holds a key: a context names the file or the command that gives it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All contexts of a person.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The one that holds where nothing else is said.
    pub current: Option<String>,
    /// All, by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// A server, and how to get in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The server's address.
    pub server: String,
    /// A file with the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A command that prints the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_command: Option<String>,
    /// A file with certificates of authorities that are trusted besides the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// Why contexts cannot be read, or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// The file is not as it should be.
    #[error("line {line}: {what}")]
    Unreadable {
        /// Where.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// No context may be named so.
    #[error("`{0}` cannot name a context: use letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// A value has characters that do not fit on a line.
    #[error("`{0}` has characters that no path or address has")]
    Value(String),
}

impl Contexts {
    /// Reads the text of a file.
    pub fn read(text: &str) -> Result<Self, ContextError> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text[..start].matches('\n').count() + 1;
            ContextError::Unreadable { line, what: error.message().to_owned() }
        })
    }

    /// The text of the file.
    pub fn write(&self) -> Result<String, ContextError> {
        let mut text = "# Contexts of dapple: `dapple context list` shows them.\n".to_owned();
        if let Some(current) = &self.current {
            text += &format!("current = {}\n", quoted(current)?);
        }
        for (name, context) in &self.contexts {
            check_name(name)?;
            text += &format!("\n[contexts.\"{name}\"]\nserver = {}\n", quoted(&context.server)?);
            let paths = [("token_file", &context.token_file), ("ca", &context.ca)];
            for (key, path) in paths.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?))) {
                let path = path.to_str().ok_or_else(|| ContextError::Value(path.display().to_string()))?;
                text += &format!("{key} = {}\n", quoted(path)?);
            }
            if let Some(command) = &context.token_command {
                text += &format!("token_command = {}\n", quoted(command)?);
            }
        }
        Ok(text)
    }
}

/// Refuses names that would have to be quoted wherever they are typed.
pub fn check_name(name: &str) -> Result<(), ContextError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.chars().all(good) { Ok(()) } else { Err(ContextError::Name(name.to_owned())) }
}

fn quoted(text: &str) -> Result<String, ContextError> {
    if text.chars().any(char::is_control) {
        return Err(ContextError::Value(text.escape_debug().to_string()));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let context = Context {
            server: "https://lake.example.org".to_owned(),
            token_file: Some(PathBuf::from("/home/a \"b\"/\\key")),
            token_command: Some("pass show 'dapple' | head -1".to_owned()),
            ca: Some(PathBuf::from("ca.pem")),
        };
        let contexts = Contexts { current: Some("a.b".to_owned()), contexts: [("a.b".to_owned(), context)].into() };
        assert_eq!(Contexts::read(&contexts.write().expect("written")), Ok(contexts));
        assert_eq!(Contexts::read(""), Ok(Contexts::default()));
        let error = Contexts::read("\n[contexts.a]\nserver = \"x\"\ntoken = \"secret\"\n").expect_err("unknown");
        assert!(error.to_string().starts_with("line 4: unknown field `token`"), "{error}");
        for name in ["", "a b", "a\"", "ä"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
