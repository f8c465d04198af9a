//! Looks at objects and reads them, one chunk ahead of whoever takes them.

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use rustix::fs::{Advice, OFlags};

use crate::storage::backend::{ByteRange, ByteStream, CHUNK_BYTES_MAX, ObjectInfo, StorageError};
use crate::storage::posix::beneath::{Links, Root, object_bytes};
use crate::storage::posix::errno::fault;
use crate::storage::posix::hop::Hop;

/// Looks at an object.
pub(super) fn stat(root: &Root, path: &str) -> Result<ObjectInfo, StorageError> {
    let fault = |errno| fault(path, errno);
    let file = root.open()?.open(path, OFlags::PATH, Links::Inward).map_err(fault)?;
    let stat = rustix::fs::fstat(&file).map_err(fault)?;
    Ok(ObjectInfo { bytes: object_bytes(path, &stat)?, checksums: Vec::new() })
}

/// Opens an object for reading and tells its length. Does not wait for the other end of a pipe.
pub(super) fn open(root: &Root, path: &str, links: Links) -> Result<(OwnedFd, u64), StorageError> {
    let fault = |errno| fault(path, errno);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = root.open()?.open(path, flags, links).map_err(fault)?;
    let bytes = object_bytes(path, &rustix::fs::fstat(&file).map_err(fault)?)?;
    Ok((file, bytes))
}

/// Opens an object and reads its first chunk, which is all of a small one; the rest follows as the
/// stream is polled, with one chunk waiting and one being read.
pub(super) fn open_stream(
    root: &Root,
    path: String,
    range: Option<ByteRange>,
    links: Links,
) -> Result<ByteStream, StorageError> {
    let (file, bytes) = open(root, &path, links)?;
    let range = range.unwrap_or(ByteRange { start: 0, end: bytes });
    let needed = range.end.max(range.start);
    if needed > bytes {
        return Err(StorageError::WrongLength { path, expected: needed, found: bytes });
    }
    if range.length() == 0 {
        return Ok(stream::empty().boxed());
    }
    let reading = Arc::new(Reading { path, file, range });
    let first = reading.chunk(range.start)?;
    let next = range.start + first.len() as u64;
    if next < range.end {
        // Only advice: reading works without.
        let _ = rustix::fs::fadvise(&reading.file, range.start, NonZeroU64::new(range.length()), Advice::Sequential);
    }
    let rest = stream::unfold(Ahead::new(reading, next), Ahead::take);
    Ok(stream::iter([Ok(first)]).chain(rest).boxed())
}

/// An open file and the part of it that is wanted.
struct Reading {
    path: String,
    file: OwnedFd,
    range: ByteRange,
}

impl Reading {
    /// Reads a full chunk, or up to the end of the range.
    fn chunk(&self, start: u64) -> Result<Bytes, StorageError> {
        let end = self.range.end.min(start + CHUNK_BYTES_MAX as u64);
        let length = usize::try_from(end - start).expect("at most a chunk");
        let mut buffer = Vec::with_capacity(length);
        while buffer.len() < length {
            let at = start + buffer.len() as u64;
            let room = rustix::buffer::spare_capacity(&mut buffer);
            match rustix::io::pread(&self.file, room, at) {
                // The file was as long as the range when it was opened.
                Ok(0) => {
                    return Err(StorageError::WrongLength {
                        path: self.path.clone(),
                        expected: self.range.length(),
                        found: at - self.range.start,
                    });
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(fault(&self.path, errno)),
            }
        }
        // An allocator may give more room than asked for, and a growing file fill it.
        buffer.truncate(length);
        Ok(Bytes::from(buffer))
    }
}

/// The read that runs ahead of the consumer, if any is left.
struct Ahead {
    reading: Arc<Reading>,
    next: u64,
    hop: Option<Hop<Bytes>>,
}

impl Ahead {
    fn new(reading: Arc<Reading>, next: u64) -> Self {
        let mut ahead = Self { reading, next, hop: None };
        ahead.start();
        ahead
    }

    fn start(&mut self) {
        let (reading, start) = (self.reading.clone(), self.next);
        self.hop = (start < reading.range.end).then(|| Hop::start(&self.reading.path, move || reading.chunk(start)));
    }

    async fn take(mut self) -> Option<(Result<Bytes, StorageError>, Self)> {
        let chunk = self.hop.take()?.await;
        if let Ok(chunk) = &chunk {
            self.next += chunk.len() as u64;
            self.start();
        }
        Some((chunk, self))
    }
}
