//! `dapple context …`: servers by name. The file is its owner's alone, and is written whole or not at all.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::parse::absolute;
use crate::cli::screen::{Row, Screen, Style};
use crate::cli::target::{Kept, Typed};
use crate::config::contexts::{Context, ContextError, check_name};

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// Keep what `--server`, `--token-file` and `--cacert` say under a name; the first one becomes current
    Add {
        /// What to call it
        name: String,
        /// A command that prints the key, instead of a file that has it
        #[arg(long, value_name = "COMMAND", conflicts_with = "token_file")]
        token_command: Option<String>,
    },
    /// Make a server the current one
    Use {
        /// Its name
        name: String,
    },
    /// List servers
    List,
    /// Show a server
    Show {
        /// Its name [default: the current one]
        name: Option<String>,
    },
    /// Remove a server; its key stays where it is
    Remove {
        /// Its name
        name: String,
    },
}

/// A context as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct ContextRow {
    name: String,
    current: bool,
    #[serde(flatten)]
    context: Context,
}

impl Row for ContextRow {
    const HEADERS: &'static [&'static str] = &["NAME", "CURRENT", "SERVER", "KEY", "CA"];

    fn cells(&self, _: Style) -> Vec<String> {
        let key = match (&self.context.token_file, &self.context.token_command) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(command)) => format!("`{command}`"),
            (None, None) => "-".to_owned(),
        };
        let ca = self.context.ca.as_ref().map_or_else(|| "-".to_owned(), |ca| ca.display().to_string());
        let current = if self.current { "yes" } else { "no" };
        vec![self.name.clone(), current.to_owned(), self.context.server.clone(), key, ca]
    }
}

pub(crate) fn run(screen: &mut Screen, command: ContextCommand, typed: Typed) -> Result<(), Failure> {
    let mut kept = Kept::read()?;
    match command {
        ContextCommand::Add { name, token_command } => {
            check_name(&name).map_err(|error| unusable(&error))?;
            let context = made(typed, token_command)?;
            kept.contexts.contexts.insert(name.clone(), context);
            kept.contexts.current.get_or_insert_with(|| name.clone());
            save(&kept)?;
            screen.one(&row(&kept, &name)?)
        }
        ContextCommand::Use { name } => {
            kept.get(&name)?;
            kept.contexts.current = Some(name.clone());
            save(&kept)?;
            screen.one(&row(&kept, &name)?)
        }
        ContextCommand::List => {
            let rows: Vec<_> = kept.contexts.contexts.keys().map(|name| row(&kept, name)).collect::<Result<_, _>>()?;
            screen.rows(&rows, &rows)
        }
        ContextCommand::Show { name } => {
            let name = name.or_else(|| kept.contexts.current.clone()).ok_or_else(|| Failure::Usage {
                detail: "there is no current context".to_owned(),
                hint: Some("name one, or choose one with `dapple context use NAME`".to_owned()),
            })?;
            screen.one(&row(&kept, &name)?)
        }
        ContextCommand::Remove { name } => {
            kept.get(&name)?;
            kept.contexts.contexts.remove(&name);
            kept.contexts.current.take_if(|current| *current == name);
            save(&kept)
        }
    }
}

fn row(kept: &Kept, name: &str) -> Result<ContextRow, Failure> {
    let context = kept.get(name)?.clone();
    Ok(ContextRow { name: name.to_owned(), current: kept.contexts.current.as_deref() == Some(name), context })
}

/// Paths are kept as they are from anywhere; whether the files are there is seen when they are needed.
fn made(typed: Typed, token_command: Option<String>) -> Result<Context, Failure> {
    let server = typed.server.ok_or_else(|| Failure::Usage {
        detail: "a context needs a server".to_owned(),
        hint: Some("say which with `--server URL`".to_owned()),
    })?;
    crate::client::check_address(&server)?;
    let from_anywhere = |path: Option<PathBuf>| path.as_deref().map(absolute).transpose();
    Ok(Context { server, token_file: from_anywhere(typed.token_file)?, token_command, ca: from_anywhere(typed.ca)? })
}

fn unusable(error: &ContextError) -> Failure {
    Failure::Usage { detail: error.to_string(), hint: None }
}

fn save(kept: &Kept) -> Result<(), Failure> {
    let Some(path) = &kept.path else {
        return Err(Failure::Usage {
            detail: "there is no directory for contexts, as HOME is not set".to_owned(),
            hint: Some("name a file in DAPPLE_CONTEXTS".to_owned()),
        });
    };
    let text = kept.contexts.write().map_err(|error| unusable(&error))?;
    write(path, &text).map_err(|source| Failure::io("write the contexts in", path, source))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let part = path.with_extension("part");
    // What an earlier attempt left behind may have another mode.
    let _ = fs::remove_file(&part);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)
}
