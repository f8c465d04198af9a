//! Hashes files before they are announced, a few at a time, in the order they were found.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use futures::{StreamExt as _, stream};
use indicatif::ProgressBar;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::cli::put::walk::{Found, LocalFile};
use crate::cli::table::FailedFile;
use crate::model::checksum::{Algorithm, Checksum};
use crate::storage::hash::hash_file;

/// Files hashed at once; large ones use all cores by themselves.
const HASHING_MAX: usize = 4;

/// What is known of a file's content without reading it: if it differs, the file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) bytes: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), inode: metadata.ino(), changed: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// A file whose checksum is known.
#[derive(Debug, Clone)]
pub(crate) struct HashedFile {
    pub(crate) file: LocalFile,
    pub(crate) stamp: Stamp,
    pub(crate) checksum: Checksum,
}

impl HashedFile {
    pub(crate) fn changed(&self) -> FailedFile {
        let detail = "it was changed while it was being read; run the command again when it rests";
        self.file.failed("file-changed", detail)
    }
}

/// What hashing passes on.
pub(crate) enum Hashed {
    File(HashedFile),
    Skipped,
    Failed(FailedFile),
}

/// The second stage.
pub(crate) async fn hash_all(found: Receiver<Found>, hashed: Sender<Hashed>, bar: ProgressBar) {
    let found = stream::unfold(found, async |mut found| Some((found.recv().await?, found)));
    let mut results = Box::pin(found.map(hash_one).buffered(HASHING_MAX));
    while let Some(result) = results.next().await {
        if let Hashed::File(file) = &result {
            bar.inc_length(file.stamp.bytes);
        }
        // Nobody listens any more: the put has ended early.
        if hashed.send(result).await.is_err() {
            return;
        }
    }
}

async fn hash_one(found: Found) -> Hashed {
    let file = match found {
        Found::File(file) => file,
        Found::Skipped => return Hashed::Skipped,
        Found::Failed(failed) => return Hashed::Failed(failed),
    };
    tokio::task::spawn_blocking(move || match hash(&file) {
        Ok((before, after, checksum)) => {
            let hashed = HashedFile { file, stamp: before, checksum };
            if before == after { Hashed::File(hashed) } else { Hashed::Failed(hashed.changed()) }
        }
        Err(error) => Hashed::Failed(file.failed("unreadable", format!("it cannot be read: {error}"))),
    })
    .await
    .expect("hashing does not panic")
}

fn hash(file: &LocalFile) -> io::Result<(Stamp, Stamp, Checksum)> {
    let mut open = File::open(&file.path)?;
    let before = Stamp::of(&open.metadata()?);
    let hashed = hash_file(&mut open, &[])?;
    let after = Stamp { bytes: hashed.bytes, ..Stamp::of(&open.metadata()?) };
    let blake3 = hashed.checksum(Algorithm::Blake3).cloned();
    Ok((before, after, blake3.expect("BLAKE3 is always computed")))
}
