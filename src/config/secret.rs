//! Settings that have to do with secrets: they are shown without them.

use std::fmt;
use std::path::Path;

use crate::config::value::Setting;

/// The URL of a database. A password in it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Reads a URL; what comes behind its scheme is for the engine to judge.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme))?;
        (!rest.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The URL with all that is in it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// The URL without its password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        let (bare, asked) = rest.split_once('?').unwrap_or((rest, ""));
        write!(formatter, "{scheme}://")?;
        match bare.rsplit_once('@') {
            Some((who, place)) => match who.split_once(':') {
                Some((user, _)) => write!(formatter, "{user}:***@{place}")?,
                None => formatter.write_str(bare)?,
            },
            None => formatter.write_str(bare)?,
        }
        for (index, pair) in asked.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            let pair = if pair.starts_with("password=") { "password=***" } else { pair };
            write!(formatter, "{}{pair}", if index == 0 { "?" } else { "&" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Setting for Option<DatabaseUrl> {
    fn wanted() -> String {
        "a URL such as postgres://dapple@db.example.org/dapple".to_owned()
    }

    fn read(text: &str, _: &Path) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        DatabaseUrl::parse(text).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map(DatabaseUrl::to_string).unwrap_or_default()
    }
}

/// A command for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellLine(pub String);

impl Setting for Option<ShellLine> {
    fn wanted() -> String {
        "a command for the shell".to_owned()
    }

    fn read(text: &str, _: &Path) -> Option<Self> {
        Some((!text.is_empty()).then(|| ShellLine(text.to_owned())))
    }

    fn show(&self) -> String {
        self.as_ref().map(|line| line.0.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("postgres://ada@db/lake", "postgres://ada@db/lake"),
            ("postgres://ada:hunter2@db:5433/lake", "postgres://ada:***@db:5433/lake"),
            ("postgresql://ada:hunt@er2@db/lake?sslmode=disable", "postgresql://ada:***@db/lake?sslmode=disable"),
            ("postgres://ada@db/lake?a=b&password=hunter2", "postgres://ada@db/lake?a=b&password=***"),
            ("postgres://db/lake", "postgres://db/lake"),
        ] {
            let read = DatabaseUrl::parse(url).expect("a URL");
            assert_eq!((read.to_string(), format!("{read:?}")), (shown.to_owned(), shown.to_owned()));
            assert_eq!(read.reveal(), url);
        }
        assert!(DatabaseUrl::parse("mysql://db/lake").is_none() && DatabaseUrl::parse("postgres://").is_none());
    }
}
