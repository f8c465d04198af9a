//! Fetches one file: finds what is there, goes on from it, checks, renames.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use crate::cli::get::{Run, failed};
use crate::cli::table::FailedFile;
use crate::client::ClientError;
use crate::fault::{Fault as _, Kind};
use crate::model::checksum::{Algorithm, Checksum};
use crate::model::did::Did;
use crate::model::shell::quoted;
use crate::storage::hash::{Hashed, Hasher, hash_file};

/// How a file is called while it is on its way: `.<name>.dapple-part`.
const PART_SUFFIX: &str = ".dapple-part";
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1024 * 1024;
/// How often a download that broke off without a single new byte is gone on with.
const BREAKS_MAX: u32 = 5;
/// The pause after a break; it grows with each that follows.
const BREAK_PAUSE: Duration = Duration::from_millis(500);

/// A file to fetch.
pub(crate) struct Wanted {
    pub(crate) did: Did,
    pub(crate) bytes: u64,
    pub(crate) checksum: Option<Checksum>,
    /// Below the root.
    pub(crate) path: PathBuf,
    pub(crate) url: String,
}

/// What became of it.
pub(crate) enum Fetched {
    Downloaded(u64),
    AlreadyThere(u64),
    Failed(FailedFile),
}

/// Why a file could not be fetched.
enum Trouble {
    Client(ClientError),
    Local(io::Error),
    /// The bytes are not those that were registered.
    Differs(String),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Trouble::Client(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Local(error)
    }
}

/// Fetches a file. An error is one that stops the whole get: the server is gone.
pub(crate) async fn fetch(run: Run, wanted: Wanted) -> Result<Fetched, ClientError> {
    let told = |code: &str, detail: String| {
        Ok(Fetched::Failed(FailedFile { path: wanted.did.to_string(), code: code.to_owned(), detail }))
    };
    match try_fetch(&run, &wanted).await {
        Ok(fetched) => Ok(fetched),
        Err(Trouble::Client(error)) if run.client.is_gone_after(&error).await => Err(error),
        Err(Trouble::Client(error)) => Ok(Fetched::Failed(failed(&wanted.did, &error))),
        Err(Trouble::Local(error)) => told("local-io", format!("{}: {error}", wanted.path.display())),
        Err(Trouble::Differs(detail)) => told("checksum-mismatch", detail + &what_helps(&wanted.did)),
    }
}

/// What a person can do about a replica whose bytes are wrong.
fn what_helps(did: &Did) -> String {
    let did = quoted(&did.to_string());
    format!(
        "; `dapple replica list {did}` shows where it is, `dapple replica declare-bad {did} --at ENDPOINT` replaces it"
    )
}

async fn try_fetch(run: &Run, wanted: &Wanted) -> Result<Fetched, Trouble> {
    let (root, path, bytes, checksum) = (run.root.clone(), wanted.path.clone(), wanted.bytes, wanted.checksum.clone());
    let begun = blocking(move || begin(&root.place(&path)?, bytes, checksum.as_ref())).await?;
    let Begun::Part { part, place } = begun else {
        run.bar.inc(bytes);
        return Ok(Fetched::AlreadyThere(bytes));
    };
    let path = part.path.clone();
    let whole = complete(run, wanted, *part).await;
    blocking(move || match whole {
        Ok(()) => std::fs::rename(&path, &place).map_err(Trouble::from),
        Err(trouble @ Trouble::Differs(_)) => {
            std::fs::remove_file(&path)?;
            Err(trouble)
        }
        // What has arrived is gone on with next time.
        Err(trouble) => {
            if std::fs::metadata(&path).is_ok_and(|part| part.len() == 0) {
                std::fs::remove_file(&path)?;
            }
            Err(trouble)
        }
    })
    .await?;
    Ok(Fetched::Downloaded(bytes))
}

/// Brings a part to its full length and checks it.
async fn complete(run: &Run, wanted: &Wanted, mut part: Part) -> Result<(), Trouble> {
    let resumed = part.written > 0;
    run.bar.inc(part.written);
    part = receive(run, wanted, part).await?;
    let (mut part, mut verdict) = check(part, wanted).await?;
    if verdict.is_some() && resumed {
        // What an earlier run had left was something else: once more, from the beginning.
        run.bar.dec(part.written);
        part = blocking(move || part.restart()).await?;
        part = receive(run, wanted, part).await?;
        (_, verdict) = check(part, wanted).await?;
    }
    verdict.map_or(Ok(()), |detail| Err(Trouble::Differs(detail)))
}

async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Trouble>
where
    T: Send + 'static,
    E: Into<Trouble> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.expect("work on files does not panic").map_err(Into::into)
}

/// What a place looks like before anything is fetched.
enum Begun {
    /// The file is there.
    There,
    /// It is to be fetched, from where the part ends.
    Part { part: Box<Part>, place: PathBuf },
}

/// A file on its way.
struct Part {
    path: PathBuf,
    file: File,
    written: u64,
    /// The checksum of what is written, kept up only while all of it passed through here.
    passing: Option<Hasher>,
}

fn begin(place: &Path, bytes: u64, checksum: Option<&Checksum>) -> io::Result<Begun> {
    if is_there(place, bytes, checksum)? {
        return Ok(Begun::There);
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(place.file_name().expect("places end in a name"));
    name.push(PART_SUFFIX);
    let path = place.with_file_name(name);
    // Never through a link: it might lead out of the directory.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)?;
    let mut written = file.metadata()?.len();
    if written > bytes {
        file.set_len(0)?;
        written = 0;
    }
    file.seek(SeekFrom::Start(written))?;
    let algorithm = checksum.map(Checksum::algorithm).filter(|_| written == 0);
    let part = Part { path, file, written, passing: algorithm.map(|algorithm| Hasher::new(&[algorithm])) };
    Ok(Begun::Part { part: Box::new(part), place: place.to_owned() })
}

/// Tells whether the file is there with the right content, as far as that is known.
fn is_there(place: &Path, bytes: u64, checksum: Option<&Checksum>) -> io::Result<bool> {
    match std::fs::symlink_metadata(place) {
        Ok(found) if found.is_dir() => {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "a directory is in its place"));
        }
        Ok(found) if found.is_file() && found.len() == bytes => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let Some(checksum) = checksum else {
        return Ok(true);
    };
    let found = hash_file(&mut File::open(place)?, &[checksum.algorithm()])?;
    Ok(found.checksum(checksum.algorithm()) == Some(checksum))
}

/// Downloads until the part is whole. Breaks are gone on with from where they were.
async fn receive(run: &Run, wanted: &Wanted, mut part: Part) -> Result<Part, Trouble> {
    let mut etag = None;
    let mut breaks = 0;
    // An empty file is asked for as well: whether it may be read, and is there, the server knows.
    let mut unasked = part.written == 0;
    while unasked || part.written < wanted.bytes {
        unasked = false;
        let before = part.written;
        let (returned, ended) = stream_into(run, wanted, part, &mut etag).await?;
        part = returned;
        match ended {
            Ok(()) if part.written < wanted.bytes => {
                return Err(Trouble::Differs(format!(
                    "the server has {} bytes of it; {} are registered",
                    part.written, wanted.bytes
                )));
            }
            Ok(()) => {}
            Err(error) if error.kind() != Kind::Unavailable => return Err(error.into()),
            Err(error) => {
                breaks = if part.written > before { 0 } else { breaks + 1 };
                if breaks >= BREAKS_MAX {
                    return Err(error.into());
                }
                run.clock.sleep(BREAK_PAUSE * (breaks + 1)).await;
            }
        }
    }
    Ok(part)
}

/// One download, as far as it gets.
async fn stream_into(
    run: &Run,
    wanted: &Wanted,
    mut part: Part,
    etag: &mut Option<String>,
) -> Result<(Part, Result<(), ClientError>), Trouble> {
    let begun = run.client.download(&wanted.url, part.written, etag.as_deref());
    // The client has tried that for a while already.
    let mut download = begun.await?;
    if download.offset != part.written {
        run.bar.dec(part.written);
        part = blocking(move || part.restart()).await?;
        if let Some(checksum) = &wanted.checksum {
            part.passing = Some(Hasher::new(&[checksum.algorithm()]));
        }
    }
    etag.clone_from(&download.etag);
    let mut gathered: Vec<Bytes> = Vec::new();
    let mut gathered_bytes = 0;
    loop {
        let next = download.chunk().await;
        if let Ok(Some(chunk)) = &next {
            gathered_bytes += chunk.len();
            if part.written + gathered_bytes as u64 > wanted.bytes {
                let words = format!("the server sends more than the {} bytes that are registered", wanted.bytes);
                return Err(Trouble::Differs(words));
            }
            gathered.push(chunk.clone());
        }
        let ended = !matches!(next, Ok(Some(_)));
        if gathered_bytes >= WRITE_BYTES || (ended && gathered_bytes > 0) {
            run.bar.inc(gathered_bytes as u64);
            let chunks = std::mem::take(&mut gathered);
            gathered_bytes = 0;
            part = blocking(move || part.write(&chunks)).await?;
        }
        match next {
            Ok(Some(_)) => {}
            Ok(None) => return Ok((part, Ok(()))),
            Err(error) => return Ok((part, Err(error))),
        }
    }
}

impl Part {
    fn write(mut self, chunks: &[Bytes]) -> io::Result<Self> {
        for chunk in chunks {
            self.file.write_all(chunk)?;
            self.written += chunk.len() as u64;
            if let Some(passing) = &mut self.passing {
                passing.update(chunk);
            }
        }
        Ok(self)
    }

    /// Forgets what is written; the checksum is then computed by reading back.
    fn restart(mut self) -> io::Result<Self> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.written = 0;
        self.passing = None;
        Ok(self)
    }

    fn hashed(&mut self, algorithm: Algorithm) -> io::Result<Hashed> {
        if let Some(passing) = self.passing.take() {
            return Ok(passing.finish());
        }
        self.file.seek(SeekFrom::Start(0))?;
        hash_file(&mut self.file, &[algorithm])
    }
}

/// Compares a whole part with what is registered, and says what differs.
async fn check(mut part: Part, wanted: &Wanted) -> Result<(Part, Option<String>), Trouble> {
    let Some(expected) = wanted.checksum.clone() else {
        return Ok((part, None));
    };
    blocking(move || {
        let hashed = part.hashed(expected.algorithm())?;
        let found = hashed.checksum(expected.algorithm()).expect("what is asked for is computed");
        let differs = (*found != expected).then(|| format!("it has {found}; {expected} is registered"));
        Ok::<_, io::Error>((part, differs))
    })
    .await
}
