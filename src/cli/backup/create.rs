//! `dapple backup create`: to a file, to stdout, or to an endpoint of the lake. A file appears under its
//! name when it is whole, on disk, and was read back.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::Bytes;
use futures::TryStreamExt as _;
use indicatif::ProgressBar;

use crate::app::backup::Resting;
use crate::catalog::backup::{Export, Reader};
use crate::cli::Session;
use crate::cli::backup::Told;
use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::screen::{Screen, Talk, clean};
use crate::client::{Client, ClientError, IncomingBackup};
use crate::model::endpoint::EndpointName;
use crate::service::view::{BackupView, NewBackup};

/// How a place at an endpoint begins.
const ENDPOINT: &str = "endpoint:";

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// A file, `-` for stdout, or `endpoint:NAME/PATH` such as `endpoint:tape/.backups/monday`
    #[arg(long, value_name = "PLACE")]
    to: Place,
    /// Ask no server, and back up the lake in this directory, which no server may have
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    dry: DryRun,
}

impl CreateArgs {
    pub(crate) fn is_local(&self) -> bool {
        self.dir.is_some()
    }
}

/// Where a backup goes.
#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Stdout,
    Endpoint(NewBackup),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(place) = text.strip_prefix(ENDPOINT) else {
            return Ok(if text == "-" { Place::Stdout } else { Place::File(PathBuf::from(text)) });
        };
        let (name, path) = place.split_once('/').ok_or("a place at an endpoint is endpoint:NAME/PATH")?;
        let endpoint = EndpointName::parse(name).map_err(|error| error.to_string())?;
        Ok(Place::Endpoint(NewBackup { endpoint, path: path.to_owned() }))
    }
}

/// Where pieces come from.
enum Source {
    Server(Box<IncomingBackup>),
    Directory(Box<Export>),
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Source::Server(incoming) => Ok(incoming.chunk().await?),
            Source::Directory(export) => Ok(export.next().await?),
        }
    }
}

pub(crate) async fn run(session: &mut Session, args: CreateArgs) -> Result<(), Failure> {
    args.dry.begin(session);
    let client = session.client.clone();
    match args.to {
        Place::Endpoint(new) => send(session, &client, new).await,
        to => {
            let incoming = Box::new(client.backup().await?);
            receive(&mut session.screen, Source::Server(incoming), &to, client.is_rehearsing()).await
        }
    }
}

pub(crate) async fn run_local(screen: &mut Screen, args: CreateArgs) -> Result<(), Failure> {
    let directory = args.dir.as_deref().unwrap_or(Path::new("."));
    if matches!(args.to, Place::Endpoint(_)) {
        return Err(Failure::Usage {
            detail: "a lake that is not served reaches no endpoint".to_owned(),
            hint: Some("give a file, or leave out --dir and ask the server".to_owned()),
        });
    }
    let lake = Resting::open(directory).await?;
    let export = Box::new(lake.backup().await?);
    let received = receive(screen, Source::Directory(export), &args.to, args.dry.is_wished()).await;
    lake.close().await?;
    received
}

/// Has the server put a backup to an endpoint.
async fn send(session: &mut Session, client: &Client, new: NewBackup) -> Result<(), Failure> {
    let bar = session.screen.bytes_bar();
    let mut said = std::pin::pin!(client.send_backup(&new).await?);
    let mut made: Option<BackupView> = None;
    while let Some(progress) = said.try_next().await? {
        bar.set_length(progress.bytes);
        bar.set_position(progress.bytes);
        if let Some(problem) = progress.failed {
            return Err(ClientError::Problem(Box::new(problem)).into());
        }
        made = progress.done;
    }
    bar.finish_and_clear();
    let Some(view) = made else {
        if client.is_rehearsing() {
            return Ok(());
        }
        return Err(Failure::Io {
            act: "make",
            path: PathBuf::from(&new.path),
            source: io::Error::other("the server broke off before the backup was whole"),
        });
    };
    tell_of_keys(session.screen.talk());
    session.screen.page(&view, |style| {
        let place = format!("{ENDPOINT}{}/{}", view.endpoint, view.path);
        let (rows, bytes, made) = (view.rows, style.bytes(view.bytes), style.time(view.made_at));
        format!("{}\n  {rows} rows, {bytes}, made {made}\n  blake3 {}\n", clean(&place), clean(&view.blake3))
    })
}

async fn receive(screen: &mut Screen, mut source: Source, to: &Place, rehearses: bool) -> Result<(), Failure> {
    if rehearses {
        // Whoever may not is told so before this.
        return Ok(());
    }
    let bar = screen.bytes_bar();
    let Place::File(path) = to else {
        let mut out = io::stdout();
        while let Some(piece) = source.next().await? {
            out.write_all(&piece).map_err(Failure::Print)?;
        }
        return out.flush().map_err(Failure::Print);
    };
    refuse_existing(path)?;
    let part = Part::begin(path)?;
    part.fill(&mut source, &bar).await?;
    // What came over a line is whole only if its end says so.
    let from = BufReader::new(File::open(&part.path).map_err(|source| Failure::io("read", &part.path, source))?);
    let mut bytes = 0;
    let (header, totals) = Reader::open(from)?.verify(|done| bytes = done)?;
    part.finish(path)?;
    bar.finish_and_clear();
    tell_of_keys(screen.talk());
    let told = Told::new(&header, &totals, bytes);
    screen.page(&told, |style| told.page(style))
}

fn refuse_existing(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Err(Failure::Usage {
            detail: format!("{} is there already", path.display()),
            hint: Some("give another name: an earlier backup is worth more than a name".to_owned()),
        });
    }
    Ok(())
}

fn tell_of_keys(talk: Talk) {
    talk.say(
        "note: secrets of endpoints are in it as they are sealed; keep instance.key and url-signing.key of the lake's \
         directory too, and apart from it",
    );
}

/// A file that is being written, under a name of its own. It goes if it is not finished.
struct Part {
    path: PathBuf,
    file: File,
    is_done: bool,
}

impl Part {
    fn begin(path: &Path) -> Result<Self, Failure> {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        // It has what passwords are checked with, so it is for its owner's eyes.
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&part);
        let file = file.map_err(|source| Failure::io("write", &part, source))?;
        Ok(Self { path: part, file, is_done: false })
    }

    async fn fill(&self, source: &mut Source, bar: &ProgressBar) -> Result<(), Failure> {
        let failed = |source| Failure::io("write", &self.path, source);
        while let Some(piece) = source.next().await? {
            (&self.file).write_all(&piece).map_err(failed)?;
            // How much there is in all is known at the end.
            bar.inc_length(piece.len() as u64);
            bar.inc(piece.len() as u64);
        }
        self.file.sync_all().map_err(failed)
    }

    fn finish(mut self, path: &Path) -> Result<(), Failure> {
        std::fs::rename(&self.path, path).map_err(|source| Failure::io("name", path, source))?;
        self.is_done = true;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|source| Failure::io("keep", directory, source))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_done {
            // What is left of it has no use, and says so by its name.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
