//! Sends one file's bytes, and says clearly why if that fails.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;
use tokio::io::AsyncReadExt as _;

use crate::cli::put::Target;
use crate::cli::put::announce::{Ready, Upload, announce};
use crate::cli::put::hash::{HashedFile, Stamp};
use crate::cli::table::FailedFile;
use crate::client::{Client, ClientError, Payload};
use crate::clock::SharedClock;
use crate::fault::{Fault as _, Kind};

/// Files up to this length are sent from memory in one piece.
const WHOLE_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of a larger file that are read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// How often a file is announced again because of a conflict, with pauses that double.
const CONFLICT_ROUNDS_MAX: u32 = 4;
const CONFLICT_PAUSE: Duration = Duration::from_millis(500);
/// How often a large file is announced again because others of its size are on their way; the server
/// lets each wait for a minute several times.
const BUSY_ROUNDS_MAX: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_secs(5);
/// The code of an upload that the server no longer waits for; announced again, it does.
const UPLOAD_GONE: &str = "upload-gone";

/// What every upload of a run needs.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) client: Client,
    pub(crate) clock: SharedClock,
    pub(crate) target: Target,
    pub(crate) bar: ProgressBar,
}

/// What became of an upload.
pub(crate) enum Sent {
    Uploaded(u64),
    /// Somebody else, or an attempt whose answer was lost, has sent the same bytes.
    AlreadyThere(u64),
    Failed(FailedFile),
}

/// Sends a file. An error is one that stops the whole put: the server, or the endpoint, is gone.
pub(crate) async fn send(run: Run, mut upload: Upload) -> Result<Sent, ClientError> {
    let file = upload.file.clone();
    let mut tried = Tried::default();
    loop {
        let error = match attempt(&run.client, &upload, &run.bar).await {
            Attempt::Ended(sent) => return Ok(sent),
            Attempt::Error(error) => error,
        };
        let stops = run.client.is_gone_after(&error).await;
        match tried.pause(&error) {
            Some(pause) if !stops => run.clock.sleep(pause).await,
            _ => return explain(&file, error, stops).await,
        }
        let again = announce(&run.client, &run.target, vec![upload.file]).await?.pop();
        upload = match again.expect("one file was announced, so one answer came") {
            Ready::AlreadyThere(bytes) => return Ok(Sent::AlreadyThere(bytes)),
            Ready::Failed(failed) => return Ok(Sent::Failed(failed)),
            Ready::Skipped => unreachable!("announcements answer for files only"),
            Ready::Upload(fresh) => fresh,
        };
    }
}

/// What a file was announced again for.
#[derive(Default)]
struct Tried {
    conflicts: u32,
    busy: u32,
    is_renewed: bool,
}

impl Tried {
    /// How long to wait before the file is announced again, if that may help at all.
    fn pause(&mut self, error: &ClientError) -> Option<Duration> {
        match error.kind() {
            // An attempt whose connection broke may still be at work on the server's side.
            Kind::Conflict if error.problem().code != UPLOAD_GONE => {
                let round = self.conflicts;
                self.conflicts += 1;
                (round < CONFLICT_ROUNDS_MAX).then(|| CONFLICT_PAUSE * (1 << round))
            }
            Kind::Unavailable if error.is_busy() => {
                self.busy += 1;
                (self.busy <= BUSY_ROUNDS_MAX).then_some(BUSY_PAUSE)
            }
            // The URL may have expired, the server may have let go of the upload, or what is wrong was
            // lost when it hung up.
            Kind::Conflict | Kind::Denied | Kind::Unauthenticated | Kind::NotFound | Kind::Unavailable => {
                (!std::mem::replace(&mut self.is_renewed, true)).then_some(Duration::ZERO)
            }
            Kind::Invalid | Kind::Exhausted | Kind::Corrupt | Kind::Internal => None,
        }
    }
}

enum Attempt {
    Ended(Sent),
    Error(ClientError),
}

async fn attempt(client: &Client, upload: &Upload, bar: &ProgressBar) -> Attempt {
    let file = &upload.file;
    let bytes = file.stamp.bytes;
    let shown = Shown::on(bar);
    let sent = if bytes <= WHOLE_BYTES_MAX {
        match read_whole(file).await {
            Ok(content) => {
                let open = || Payload::Whole(content.clone());
                client.upload(&upload.url, bytes, open).await.inspect(|_| shown.add(bytes))
            }
            Err(failed) => return Attempt::Ended(Sent::Failed(failed)),
        }
    } else {
        let open = || {
            shown.take_back();
            let shown = shown.clone();
            let pieces = pieces(file.file.path.clone(), bytes);
            Payload::Stream(pieces.inspect_ok(move |piece| shown.add(piece.len() as u64)).boxed())
        };
        client.upload(&upload.url, bytes, open).await
    };
    match sent {
        Ok(_) => Attempt::Ended(Sent::Uploaded(bytes)),
        Err(error) => {
            shown.take_back();
            tracing::debug!("uploading {} failed: {error}", file.file.name);
            Attempt::Error(error)
        }
    }
}

/// What one file has added to the bar, to be taken back when it begins anew.
#[derive(Clone)]
struct Shown {
    bar: ProgressBar,
    bytes: Arc<AtomicU64>,
}

impl Shown {
    fn on(bar: &ProgressBar) -> Self {
        Self { bar: bar.clone(), bytes: Arc::default() }
    }

    fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bar.inc(bytes);
    }

    fn take_back(&self) {
        self.bar.dec(self.bytes.swap(0, Ordering::Relaxed));
    }
}

/// Tells a failure of the file from one of the server: only the latter stops the put.
async fn explain(hashed: &HashedFile, error: ClientError, stops: bool) -> Result<Sent, ClientError> {
    let path = hashed.file.path.clone();
    let now = tokio::task::spawn_blocking(move || std::fs::metadata(path).map(|found| Stamp::of(&found)))
        .await
        .expect("looking at a file does not panic");
    match now {
        Ok(stamp) if stamp == hashed.stamp => {}
        Ok(_) => return Ok(Sent::Failed(hashed.changed())),
        Err(gone) => return Ok(Sent::Failed(unreadable(hashed, &gone))),
    }
    if stops {
        return Err(error);
    }
    let problem = error.problem();
    Ok(Sent::Failed(hashed.file.failed(&problem.code, problem.detail)))
}

fn unreadable(hashed: &HashedFile, error: &io::Error) -> FailedFile {
    hashed.file.failed("unreadable", format!("it cannot be read: {error}"))
}

async fn read_whole(hashed: &HashedFile) -> Result<Bytes, FailedFile> {
    let hashed = hashed.clone();
    tokio::task::spawn_blocking(move || {
        let read = || {
            let mut file = File::open(&hashed.file.path)?;
            if Stamp::of(&file.metadata()?) != hashed.stamp {
                return Ok(None);
            }
            let mut content = Vec::with_capacity(usize::try_from(hashed.stamp.bytes).unwrap_or_default());
            file.by_ref().take(hashed.stamp.bytes + 1).read_to_end(&mut content)?;
            Ok((content.len() as u64 == hashed.stamp.bytes).then_some(content))
        };
        match read() {
            Ok(Some(content)) => Ok(Bytes::from(content)),
            Ok(None) => Err(hashed.changed()),
            Err(error) => Err(unreadable(&hashed, &error)),
        }
    })
    .await
    .expect("reading does not panic")
}

/// The first `bytes` of a file; an error if it has become shorter, as the length was promised.
fn pieces(path: PathBuf, bytes: u64) -> BoxStream<'static, io::Result<Bytes>> {
    let begin = (None, path, bytes);
    stream::try_unfold(begin, async |(open, path, left)| {
        if left == 0 {
            return Ok(None);
        }
        let mut file = match open {
            Some(file) => file,
            None => tokio::fs::File::open(&path).await?,
        };
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let mut piece = vec![0; wanted];
        file.read_exact(&mut piece).await?;
        let left = left - wanted as u64;
        Ok(Some((Bytes::from(piece), (Some(file), path, left))))
    })
    .boxed()
}
