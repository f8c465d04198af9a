//! Writes bytes under temporary names, from streams and from other files.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::future::{Either, select};
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::model::probe::{Feature, Finding};
use crate::storage::backend::{ByteStream, CHUNK_BYTES_MAX, Staged, StorageError};
use crate::storage::layout::TEMPORARY_PREFIX;
use crate::storage::posix::beneath::{Links, Root, split};
use crate::storage::posix::errno::fault;
use crate::storage::posix::hop::Hop;
use crate::storage::posix::{read, remove};

/// How much one hop copies between files, so that a dropped copy ends soon.
const SLICE_BYTES: u64 = 64 << 20;

/// How often directories are made again that somebody else found empty and removed meanwhile.
const REMOVALS_MAX: usize = 64;

/// Writes a stream of exactly `bytes` bytes. While a batch is written the next one is gathered.
pub(super) async fn stage(
    root: Arc<Root>,
    temporary: String,
    bytes: u64,
    mut content: ByteStream,
) -> Result<Staged, StorageError> {
    let batch = gather(&mut content).await?;
    let mut is_last = batch.is_last;
    let mut hop = Hop::start(&temporary.clone(), move || Part::create(&root, temporary, bytes)?.take(batch));
    while !is_last {
        let (part, batch) = match select(hop, pin!(gather(&mut content))).await {
            Either::Left((part, gathering)) => (part?, gathering.await),
            Either::Right((batch, hop)) => (hop.await?, batch),
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                return Hop::start(&part.path.clone(), move || Err(part.fail(error))).await;
            }
        };
        is_last = batch.is_last;
        hop = Hop::start(&part.path.clone(), move || part.take(batch));
    }
    hop.await.map(|part| Staged { bytes: part.written, checksums: Vec::new() })
}

/// Copies a file beneath another root by the kernel alone; `None` where it cannot.
pub(super) async fn stage_copy(
    root: Arc<Root>,
    temporary: String,
    bytes: u64,
    source: (Arc<Root>, String),
) -> Result<Option<Staged>, StorageError> {
    let mut hop = Hop::start(&temporary.clone(), move || {
        let (source, source_path) = source;
        let (file, found) = read::open(&source, &source_path, Links::Inward)?;
        if found != bytes {
            return Err(StorageError::WrongLength { path: source_path, expected: bytes, found });
        }
        Part::create(&root, temporary, bytes)?.copy_slice(file)
    });
    loop {
        match hop.await? {
            Copying::More(part, file) => hop = Hop::start(&part.path.clone(), move || part.copy_slice(file)),
            Copying::Done(staged) => return Ok(Some(staged)),
            Copying::Impossible => return Ok(None),
        }
    }
}

/// Checks that the root is there and takes new files, leaving nothing behind.
pub(super) fn probe(root: &Root) -> Result<Vec<Finding>, StorageError> {
    static PROBES: AtomicU64 = AtomicU64::new(0);
    let process = rustix::process::getpid();
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let name = format!("{TEMPORARY_PREFIX}probe-{process}-{number}");
    let fault = |errno| fault(&name, errno);
    let directory = root.open()?.directory("").map_err(fault)?;
    create_anew(&directory, &name).map_err(fault)?;
    rustix::fs::unlinkat(&directory, &name, AtFlags::empty()).map_err(fault)?;
    let room = root.room()?;
    let seen = format!("{} of {} bytes are free", room.free_bytes, room.total_bytes);
    Ok(vec![Finding { feature: Feature::Room, holds: true, seen }])
}

/// Chunks of a stream, written in one hop.
#[derive(Default)]
struct Batch {
    chunks: Vec<Bytes>,
    bytes: usize,
    is_last: bool,
}

/// Takes chunks until a batch is full or the stream ends, so that many small chunks are one hop.
async fn gather(content: &mut ByteStream) -> Result<Batch, StorageError> {
    let mut batch = Batch::default();
    while batch.bytes < CHUNK_BYTES_MAX {
        let Some(chunk) = content.next().await else {
            batch.is_last = true;
            break;
        };
        let chunk = chunk?;
        batch.bytes += chunk.len();
        batch.chunks.push(chunk);
    }
    Ok(batch)
}

enum Copying {
    More(Part, OwnedFd),
    Done(Staged),
    Impossible,
}

/// A file being written under a temporary name.
struct Part {
    root: Arc<Root>,
    path: String,
    directory: OwnedFd,
    file: OwnedFd,
    expected: u64,
    written: u64,
}

impl Part {
    /// Makes the file, and directories for it. It is always a new inode: a predecessor whose write
    /// is still under way in another thread writes to its own, which has no name any more.
    fn create(root: &Arc<Root>, path: String, expected: u64) -> Result<Self, StorageError> {
        let (above, name) = split(&path);
        let mut removals = 0;
        let (directory, file) = loop {
            let made = root.open()?.make_directory(above, &root.syncs).and_then(|directory| {
                let file = create_anew(&directory, name)?;
                Ok((directory, file))
            });
            match made {
                Err(Errno::NOENT) if removals < REMOVALS_MAX => removals += 1,
                made => break made.map_err(|errno| fault(&path, errno))?,
            }
        };
        let part = Self { root: root.clone(), path, directory, file, expected, written: 0 };
        match part.reserve() {
            Ok(()) => Ok(part),
            Err(error) => Err(part.fail(error)),
        }
    }

    /// Takes the room for a large file at once, so that a full device says so before bytes move.
    fn reserve(&self) -> Result<(), StorageError> {
        if self.expected <= CHUNK_BYTES_MAX as u64 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, self.expected) {
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(fault(&self.path, errno)),
            // Not every file system can; then writing finds out.
            _ => Ok(()),
        }
    }

    /// Writes a batch; after the last one the file is whole and synced. On failure nothing is left.
    fn take(mut self, batch: Batch) -> Result<Self, StorageError> {
        match self.write(&batch) {
            Ok(()) => Ok(self),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), StorageError> {
        let seen = self.written + batch.bytes as u64;
        if seen > self.expected {
            return Err(self.wrong_length(seen));
        }
        for chunk in &batch.chunks {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                match rustix::io::write(&self.file, rest) {
                    Ok(taken) => rest = &rest[taken..],
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(fault(&self.path, errno)),
                }
            }
        }
        self.written = seen;
        if batch.is_last { self.finish() } else { Ok(()) }
    }

    fn copy_slice(mut self, source: OwnedFd) -> Result<Copying, StorageError> {
        match self.copy(&source) {
            Ok(()) if self.written < self.expected => Ok(Copying::More(self, source)),
            Ok(()) => match self.finish() {
                Ok(()) => Ok(Copying::Done(Staged { bytes: self.written, checksums: Vec::new() })),
                Err(error) => Err(self.fail(error)),
            },
            // What kernels answer for two file systems, or for one that cannot.
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                self.remove();
                Ok(Copying::Impossible)
            }
            // The source was as long as announced when it was opened.
            Err(Errno::NODATA) => {
                let error = self.wrong_length(self.written);
                Err(self.fail(error))
            }
            Err(errno) => {
                let error = fault(&self.path, errno);
                Err(self.fail(error))
            }
        }
    }

    fn copy(&mut self, source: &OwnedFd) -> rustix::io::Result<()> {
        let end = self.expected.min(self.written + SLICE_BYTES);
        while self.written < end {
            let wanted = usize::try_from(end - self.written).expect("at most a slice");
            let mut at = self.written;
            match rustix::fs::copy_file_range(source, Some(&mut at), &self.file, None, wanted) {
                Ok(0) => return Err(Errno::NODATA),
                Ok(copied) => self.written += copied as u64,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), StorageError> {
        if self.written != self.expected {
            return Err(self.wrong_length(self.written));
        }
        rustix::fs::fdatasync(&self.file).map_err(|errno| fault(&self.path, errno))
    }

    fn wrong_length(&self, found: u64) -> StorageError {
        StorageError::WrongLength { path: self.path.clone(), expected: self.expected, found }
    }

    fn fail(self, error: StorageError) -> StorageError {
        self.remove();
        error
    }

    /// Removes the file, unless another attempt has put its own under the name since, and
    /// directories that are empty for it. It is called after a failure, which is what gets told;
    /// what cannot be removed now, `discard` will find.
    fn remove(self) {
        let name = split(&self.path).1;
        let ours = rustix::fs::fstat(&self.file).map(|stat| stat.st_ino);
        let named = rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_ino);
        if ours == named {
            let _ = rustix::fs::unlinkat(&self.directory, name, AtFlags::empty());
            if let Ok(root) = self.root.open() {
                remove::prune(&root, split(&self.path).0);
            }
        }
    }
}

/// Makes a file that was not there; whatever had its name is unlinked, never opened.
fn create_anew(directory: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644)) {
            Err(Errno::EXIST) => match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            },
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
