//! `dapple serve`'s flags and `dapple config …`: what a server is told, and who said so.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::screen::{Row, Screen, Style};
use crate::cli::target::{self, Typed};
use crate::config::page;
use crate::config::resolve::{Origin, Resolved, Shown, Sources, all, find, resolve};
use crate::config::settings::CatalogSettings;

/// Where settings are if nobody says.
const USUAL_FILE: &str = "/etc/dapple/dapple.toml";
const FILE_VARIABLE: &str = "DAPPLE_CONFIG";

/// Flags that win over the settings of the same names.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ServeFlags {
    /// The file with the settings; wins over DAPPLE_CONFIG [default: /etc/dapple/dapple.toml if there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the lake keeps its catalog and keys (`serve.dir`)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where to listen, once or more (`serve.listen`) [default: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// The PostgreSQL server of the catalog, such as postgres://dapple@db.example.org/dapple
    /// (`catalog.url`) [default: the catalog is embedded, in the directory of the lake]
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
    /// How the lake is reached from outside; signed URLs begin with it (`serve.public_url`)
    /// [default: where it listens]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Policies: all *.cedar of this directory, in place of those that come along (`policy.dir`)
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the settings that hold here, of a server and of the commands that talk to one
    Show {
        /// Tell where each value comes from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        flags: ServeFlags,
    },
    /// Tell whether a settings file can be used, and all that is wrong with it
    Check {
        /// The file
        file: PathBuf,
    },
    /// Tell what a setting does, what it takes and what it is by default
    Describe {
        /// Its name, such as serve.listen; without one, all are listed
        key: Option<String>,
    },
    /// Print a file with every setting at its default, commented out
    Template,
}

/// Puts settings together from all that this process was given.
pub(crate) fn resolved(flags: ServeFlags) -> Result<Resolved, Failure> {
    Ok(resolve(&sources(flags)?)?)
}

/// The settings of a catalog that is at this address, with whatever else this process was given.
pub(crate) fn of_catalog(url: String) -> Result<CatalogSettings, Failure> {
    Ok(resolved(ServeFlags { catalog: Some(url), ..ServeFlags::default() })?.settings.catalog)
}

fn sources(flags: ServeFlags) -> Result<Sources, Failure> {
    let directory = std::env::current_dir().map_err(|source| Failure::io("find", Path::new("."), source))?;
    let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let variables: Vec<_> = variables.filter(|(name, _)| name.starts_with("DAPPLE_")).collect();
    let named = std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let usual = || Some(PathBuf::from(USUAL_FILE)).filter(|path| path.exists());
    let file = match flags.config.or(named).or_else(usual) {
        Some(path) => Some(read(path)?),
        None => None,
    };
    let mut typed = Vec::new();
    if let Some(dir) = flags.dir {
        typed.push(("serve.dir", "--dir", dir.display().to_string()));
    }
    if let Some(catalog) = flags.catalog {
        typed.push(("catalog.url", "--catalog", catalog));
    }
    if let Some(policies) = flags.policies {
        typed.push(("policy.dir", "--policies", policies.display().to_string()));
    }
    if !flags.listen.is_empty() {
        typed.push(("serve.listen", "--listen", flags.listen.join(",")));
    }
    if let Some(url) = flags.public_url {
        typed.push(("serve.public_url", "--public-url", url));
    }
    Ok(Sources { file, variables, flags: typed, directory })
}

fn read(path: PathBuf) -> Result<(PathBuf, String), Failure> {
    let text = std::fs::read_to_string(&path).map_err(|source| Failure::io("read the settings in", &path, source))?;
    Ok((path, text))
}

pub(crate) fn run(screen: &mut Screen, command: ConfigCommand, typed: &Typed) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show { origin, flags } => show(screen, flags, typed, origin),
        ConfigCommand::Check { file } => check(screen, file),
        ConfigCommand::Describe { key: Some(key) } => describe(screen, &key),
        ConfigCommand::Describe { key: None } => {
            let keys: Vec<_> =
                all().map(|declared| Key { key: declared.key, about: first_sentence(declared.about) }).collect();
            screen.rows(&keys, &keys)
        }
        ConfigCommand::Template => screen.print(&page::template()),
    }
}

fn show(screen: &mut Screen, flags: ServeFlags, typed: &Typed, origin: bool) -> Result<(), Failure> {
    let mut shown: Vec<_> = resolved(flags)?.shown.into_iter().map(SettingRow::from).collect();
    let target = target::find(typed)?;
    let row = |key, value, origin| SettingRow { key, value, origin };
    let (key, key_origin) = match &target.key {
        Some(key) => (key.what.place(), key.origin.clone()),
        None => (String::new(), Origin::Default.to_string()),
    };
    let (ca, ca_origin) = match &target.ca {
        Some(ca) => (ca.what.display().to_string(), ca.origin.clone()),
        None => (String::new(), Origin::Default.to_string()),
    };
    shown.push(row("client.server", target.server.what.clone(), target.server.origin.clone()));
    shown.push(row("client.key", key, key_origin));
    shown.push(row("client.ca", ca, ca_origin));
    for warning in &target.warnings {
        screen.talk().say(&format!("warning: {warning}"));
    }
    if origin {
        return screen.rows(&shown, &shown);
    }
    let bare: Vec<_> = shown.into_iter().map(|SettingRow { key, value, .. }| Bare { key, value }).collect();
    screen.rows(&bare, &bare)
}

fn check(screen: &mut Screen, file: PathBuf) -> Result<(), Failure> {
    let (path, text) = read(file)?;
    let sources = Sources { file: Some((path.clone(), text)), ..Sources::default() };
    let changed = resolve(&sources)?.shown.iter().filter(|shown| shown.origin != Origin::Default).count();
    screen.talk().say(&format!("{} is good: {changed} settings are set", path.display()));
    Ok(())
}

fn describe(screen: &mut Screen, key: &str) -> Result<(), Failure> {
    match find(key) {
        Ok(declared) => screen.print(&page::describe(declared)),
        Err(meant) => Err(Failure::Usage {
            detail: format!("there is no setting `{key}`"),
            hint: Some(meant.map_or_else(
                || "see `dapple config describe` for all there are".to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            )),
        }),
    }
}

fn first_sentence(about: &str) -> String {
    let line: Vec<_> = about.lines().map(str::trim).collect();
    let text = line.join(" ");
    text.split_once(". ").map_or(text.trim_end_matches('.').to_owned(), |(first, _)| first.to_owned())
}

/// A setting with where it comes from.
#[derive(Debug, Serialize)]
pub(crate) struct SettingRow {
    key: &'static str,
    value: String,
    origin: String,
}

impl From<Shown> for SettingRow {
    fn from(shown: Shown) -> Self {
        Self { key: shown.key, value: shown.value, origin: shown.origin.to_string() }
    }
}

impl Row for SettingRow {
    const HEADERS: &'static [&'static str] = &["SETTING", "VALUE", "FROM"];

    fn cells(&self, _: Style) -> Vec<String> {
        vec![self.key.to_owned(), dash_if_empty(&self.value), self.origin.clone()]
    }
}

/// A setting alone.
#[derive(Debug, Serialize)]
struct Bare {
    key: &'static str,
    value: String,
}

impl Row for Bare {
    const HEADERS: &'static [&'static str] = &["SETTING", "VALUE"];

    fn cells(&self, _: Style) -> Vec<String> {
        vec![self.key.to_owned(), dash_if_empty(&self.value)]
    }
}

/// What there is to be set.
#[derive(Debug, Serialize)]
struct Key {
    key: &'static str,
    about: String,
}

impl Row for Key {
    const HEADERS: &'static [&'static str] = &["SETTING", "WHAT IT DOES"];

    fn cells(&self, _: Style) -> Vec<String> {
        vec![self.key.to_owned(), self.about.clone()]
    }
}

fn dash_if_empty(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
