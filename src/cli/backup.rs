//! `dapple backup …`: the whole lake in one file.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::app::backup::into_directory;
use crate::catalog::backup::{Header, Reader, TableSum, Totals};
use crate::cli::Session;
use crate::cli::config;
use crate::cli::failure::Failure;
use crate::cli::screen::{Screen, Style, clean};
use crate::config::settings::{CatalogSettings, Settings};

mod create;

use create::CreateArgs;

/// How much of a file is read at once.
const READ_BYTES: usize = 1 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Make a backup of the lake while it is served, or of one that rests
    Create(CreateArgs),
    /// Read a backup to its end and tell whether every byte of it is as it was written
    Verify {
        /// The backup; `-` for stdin
        file: PathBuf,
    },
    /// Restore a backup as a new lake; no server is asked
    Restore {
        /// The backup; `-` for stdin
        file: PathBuf,
        /// The directory of the new lake, which `dapple serve --dir` then serves
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The PostgreSQL server that is to keep its catalog, as for `dapple serve --catalog`
        #[arg(long, value_name = "URL")]
        catalog: Option<String>,
        /// A directory with the old lake's keys, to be copied along
        #[arg(long, value_name = "DIR")]
        keys: Option<PathBuf>,
    },
}

impl BackupCommand {
    /// Whether no server is asked.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            BackupCommand::Create(args) => args.is_local(),
            BackupCommand::Verify { .. } | BackupCommand::Restore { .. } => true,
        }
    }
}

/// Carries out what asks a server.
pub(crate) async fn run(session: &mut Session, command: BackupCommand) -> Result<(), Failure> {
    match command {
        BackupCommand::Create(args) => create::run(session, args).await,
        local => run_local(&mut session.screen, local).await,
    }
}

/// Carries out what asks no server.
pub(crate) async fn run_local(screen: &mut Screen, command: BackupCommand) -> Result<(), Failure> {
    match command {
        BackupCommand::Create(args) => create::run_local(screen, args).await,
        BackupCommand::Verify { file } => verify(screen, &file),
        BackupCommand::Restore { file, dir, catalog, keys } => {
            let settings = catalog.map(config::of_catalog).transpose()?.unwrap_or_else(|| Settings::default().catalog);
            restore(screen, &file, &dir, &settings, keys.as_deref()).await
        }
    }
}

/// What a backup has, as `-o json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    lake: String,
    epoch: u64,
    made_at: crate::model::time::Timestamp,
    dapple: String,
    position: u64,
    rows: u64,
    bytes: u64,
    tables: Vec<TableSum>,
}

impl Told {
    pub(crate) fn new(header: &Header, totals: &Totals, bytes: u64) -> Self {
        Self {
            lake: header.lake.to_string(),
            epoch: header.epoch,
            made_at: header.made_at,
            dapple: header.dapple.clone(),
            position: header.position,
            rows: totals.rows(),
            bytes,
            tables: totals.tables.clone(),
        }
    }

    pub(crate) fn page(&self, style: Style) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| text += &format!("{name:<10}{}\n", clean(&value));
        line("lake", self.lake.clone());
        line("epoch", self.epoch.to_string());
        line("made", format!("{} by dapple {}", style.time(self.made_at), self.dapple));
        line("changes", format!("up to {}", self.position));
        line("rows", self.rows.to_string());
        line("bytes", style.bytes(self.bytes));
        for table in self.tables.iter().filter(|table| table.rows > 0) {
            text += &format!("  {:<20} {:>12}\n", clean(&table.name), table.rows);
        }
        text
    }
}

/// Opens a backup to be read.
fn open(file: &Path) -> Result<Reader<Box<dyn Read + Send>>, Failure> {
    let from: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|source| Failure::io("read", file, source))?)
    };
    Ok(Reader::open(Box::new(BufReader::with_capacity(READ_BYTES, from)) as Box<dyn Read + Send>)?)
}

/// A bar over the length of a file.
fn bar_over(screen: &Screen, file: &Path) -> ProgressBar {
    let bar = screen.bytes_bar();
    bar.set_length(std::fs::metadata(file).map_or(0, |file| file.len()));
    bar
}

fn verify(screen: &mut Screen, file: &Path) -> Result<(), Failure> {
    let bar = bar_over(screen, file);
    let (mut bytes, reader) = (0, open(file)?);
    let (header, totals) = reader.verify(|done| {
        bytes = done;
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let told = Told::new(&header, &totals, bytes);
    screen.page(&told, |style| told.page(style))
}

async fn restore(
    screen: &mut Screen,
    file: &Path,
    dir: &Path,
    settings: &CatalogSettings,
    keys: Option<&Path>,
) -> Result<(), Failure> {
    let bar = bar_over(screen, file);
    let (mut bytes, reader) = (0, open(file)?);
    let restored = into_directory(dir, settings, keys, reader, |done| {
        bytes = done;
        bar.set_position(done);
    });
    let restored = restored.await?;
    bar.finish_and_clear();
    let talk = screen.talk();
    for name in &restored.missing {
        let so = match *name {
            "instance.key" => "without it no secret of an endpoint can be opened",
            "url-signing.key" => "without it signed URLs that were given out are not good any more",
            _ => "without it another key for root is made at the first start",
        };
        talk.say(&format!("note: {name} of the old lake's directory belongs into {}: {so}", dir.display()));
    }
    talk.say("note: nothing is removed from an endpoint until `dapple endpoint accept-audit NAME`");
    let told = Told::new(&restored.header, &restored.totals, bytes);
    screen.page(&told, |style| told.page(style))
}
