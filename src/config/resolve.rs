//! Puts settings together: defaults, then a file, then the environment, then flags. Whatever comes
//! later wins, and each value keeps where it came from.
//!
//! Reads nothing by itself: texts are handed in.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use crate::config::declared::Declared;
use crate::config::settings::{SECTIONS, Settings};
use crate::config::suggest::nearest;
use crate::config::value::{Raw, Setting};

/// Variables that begin as settings do and are none: clients and tests read them.
const OTHER_VARIABLES: [&str; 8] = [
    "DAPPLE_CA",
    "DAPPLE_CONFIG",
    "DAPPLE_CONTEXT",
    "DAPPLE_CONTEXTS",
    "DAPPLE_TEST_CATALOG",
    "DAPPLE_TEST_LONG",
    "DAPPLE_TOKEN",
    "DAPPLE_URL",
];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// A line of a file.
    File {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Something that is wrong with what was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slip {
    /// Where.
    pub origin: Origin,
    /// What, and what would be right.
    pub what: String,
}

/// All that is wrong with what was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slips(pub Vec<Slip>);

impl fmt::Display for Slips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, slip) in self.0.iter().enumerate() {
            let mark = if index == 0 { "" } else { "\n" };
            write!(f, "{mark}{}: {}", slip.origin, slip.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for Slips {}

/// What settings are made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file, and what is in it.
    pub file: Option<(PathBuf, String)>,
    /// The environment.
    pub variables: Vec<(String, String)>,
    /// Flags that were typed: the setting, the flag, and its value.
    pub flags: Vec<(&'static str, &'static str, String)>,
    /// The directory from which paths outside of the file are taken.
    pub directory: PathBuf,
}

/// A setting as it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Which.
    pub key: &'static str,
    /// What it is.
    pub value: String,
    /// Where that comes from.
    pub origin: Origin,
}

/// Settings with the origin of each.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// Each of them, in the order of the reference.
    pub shown: Vec<Shown>,
}

struct Value {
    raw: Raw,
    origin: Origin,
    base: PathBuf,
}

/// What was given so far, and what is wrong with it.
pub struct Given {
    values: BTreeMap<&'static str, Value>,
    slips: Vec<Slip>,
    shown: Vec<Shown>,
}

/// Makes settings from all sources, or tells all that is wrong with them.
pub fn resolve(sources: &Sources) -> Result<Resolved, Slips> {
    let mut given = Given { values: BTreeMap::new(), slips: Vec::new(), shown: Vec::new() };
    if let Some((path, text)) = &sources.file {
        given.file(path, text);
    }
    given.variables(&sources.variables, &sources.directory);
    for (key, flag, text) in &sources.flags {
        given.set(key, Raw::One(text.clone()), Origin::Flag(flag), &sources.directory);
    }
    let settings = Settings::read(&mut given);
    // What could not be read makes no sense together either.
    if given.slips.is_empty() {
        for (key, what) in settings.contradictions() {
            let shown = given.shown.iter().find(|shown| shown.key == key);
            let origin = shown.map_or(Origin::Default, |shown| shown.origin.clone());
            given.slips.push(Slip { origin, what });
        }
    }
    // In the order in which somebody reads the file.
    given.slips.sort_by_key(|slip| match slip.origin {
        Origin::File { line, .. } => line,
        _ => usize::MAX,
    });
    if given.slips.is_empty() { Ok(Resolved { settings, shown: given.shown }) } else { Err(Slips(given.slips)) }
}

impl Default for Settings {
    fn default() -> Self {
        let usual = resolve(&Sources::default());
        usual.expect("defaults are what their types want: a test reads them").settings
    }
}

/// All settings as they are declared.
pub fn all() -> impl Iterator<Item = &'static Declared> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// A setting by its whole name; otherwise the name that may have been meant.
pub fn find(key: &str) -> Result<&'static Declared, Option<&'static str>> {
    all().find(|declared| declared.key == key).ok_or_else(|| {
        let section = SECTIONS.iter().find(|section| key.split('.').next() == Some(section.name));
        let Some(section) = section else { return nearest(key, all().map(|declared| declared.key)) };
        // A section that is right makes two names no more alike.
        let name = &key[section.name.len()..].trim_start_matches('.');
        let meant = nearest(name, section.keys.iter().map(|declared| declared.name))?;
        section.keys.iter().find(|declared| declared.name == meant).map(|declared| declared.key)
    })
}

impl Given {
    fn set(&mut self, key: &'static str, raw: Raw, origin: Origin, base: &Path) {
        self.values.insert(key, Value { raw, origin, base: base.to_owned() });
    }

    fn slip(&mut self, origin: Origin, what: String) {
        self.slips.push(Slip { origin, what });
    }

    /// Takes a setting; one that cannot be read is noted, and stands in as its default.
    pub(super) fn take<T: Setting>(&mut self, key: &'static str, default: &str) -> T {
        let usual = || {
            let raw = Raw::One(default.to_owned());
            T::read_raw(&raw, Path::new("")).expect("defaults are what their types want: a test reads them")
        };
        let (value, origin) = match self.values.remove(key) {
            None => (usual(), Origin::Default),
            Some(Value { raw, origin, base }) => match T::read_raw(&raw, &base) {
                Some(value) => (value, origin),
                None => {
                    let written = match raw {
                        Raw::One(text) => format!("`{text}`"),
                        Raw::Many(texts) => format!("the list [{}]", texts.join(", ")),
                    };
                    self.slip(origin.clone(), format!("{key} cannot be {written}: write {}", T::wanted()));
                    (usual(), origin)
                }
            },
        };
        self.shown.push(Shown { key, value: value.show(), origin });
        value
    }

    fn file(&mut self, path: &Path, text: &str) {
        let origin = |span: Range<usize>| Origin::File {
            path: path.to_owned(),
            line: text[..span.start.min(text.len())].matches('\n').count() + 1,
        };
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let at = origin(error.span().unwrap_or_default());
                return self.slip(at, format!("this is not TOML: {}", error.message()));
            }
        };
        let base = path.parent().unwrap_or(Path::new(""));
        for (name, value) in table.get_ref() {
            let (name, at) = (name.get_ref(), origin(name.span()));
            let Some(section) = SECTIONS.iter().find(|section| section.name == *name) else {
                let meant = nearest(name, SECTIONS.iter().map(|section| section.name));
                let all: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
                let instead = meant.map_or_else(|| format!("there are {}", all.join(", ")), did_you_mean);
                self.slip(at, format!("there is no section `{name}`; {instead}"));
                continue;
            };
            let Some(keys) = value.get_ref().as_table() else {
                self.slip(at, format!("`{name}` is a section: write [{name}], and its settings below"));
                continue;
            };
            for (name, value) in keys {
                let (name, at) = (name.get_ref(), origin(name.span()));
                let key = format!("{}.{name}", section.name);
                match (find(&key), raw_of(value.get_ref())) {
                    (Ok(declared), Some(raw)) => self.set(declared.key, raw, at, base),
                    (Ok(declared), None) => {
                        let kind = value.get_ref().type_str();
                        self.slip(at, format!("{key} cannot be a {kind}: write {}", (declared.wanted)()));
                    }
                    (Err(meant), _) => self.slip(at, unknown("setting", &key, meant)),
                }
            }
        }
    }

    fn variables(&mut self, variables: &[(String, String)], base: &Path) {
        let known: Vec<_> = all().map(|declared| (declared.variable(), declared.key)).collect();
        for (name, text) in variables {
            if let Some((_, key)) = known.iter().find(|(variable, _)| variable == name) {
                // An empty variable is how many ways of starting a program leave one out.
                if !text.is_empty() {
                    self.set(key, Raw::One(text.clone()), Origin::Variable(name.clone()), base);
                }
                continue;
            }
            if OTHER_VARIABLES.contains(&name.as_str()) || !name.starts_with("DAPPLE_") {
                continue;
            }
            let names = known.iter().map(|(variable, _)| variable.as_str());
            let meant = nearest(name, names);
            let is_ours =
                SECTIONS.iter().any(|section| name.starts_with(&format!("DAPPLE_{}_", section.name.to_uppercase())));
            // Others may have variables of their own that begin so, as Kubernetes has for a service.
            if is_ours || meant.is_some() {
                let what = unknown("variable", name, meant);
                self.slip(Origin::Variable(name.clone()), what);
            }
        }
    }
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

fn unknown(what: &str, name: &str, meant: Option<&str>) -> String {
    let instead = meant.map_or_else(|| "`dapple config template` has all there are".to_owned(), did_you_mean);
    format!("there is no {what} `{name}`; {instead}")
}

/// A value of a file as text; nothing for what no setting is.
fn raw_of(value: &DeValue<'_>) -> Option<Raw> {
    if let Some(array) = value.as_array() {
        return array.iter().map(|entry| scalar(entry.get_ref())).collect::<Option<_>>().map(Raw::Many);
    }
    scalar(value).map(Raw::One)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
