//! The journal: batches since the last segment was written, one record each, durable before it is
//! answered for. A record that is torn or damaged ends the journal, and what follows is cut off.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::search::blob::sum;
use crate::search::document::Row;
use crate::search::error::SearchError;

/// A batch as it is stored. A new shape takes a new `VERSION` of the manifest, and a rebuild.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Batch {
    pub(super) position: u64,
    pub(super) deletes: Vec<u64>,
    pub(super) upserts: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Where the last good record ends.
    end: u64,
}

impl Journal {
    pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
        directory.join(format!("journal-{number:08}"))
    }

    /// An empty journal.
    pub(super) fn create(directory: &Path, number: u64) -> Result<Self, SearchError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(Self::path(directory, number)).map_err(SearchError::disk("write"))?;
        file.sync_all().map_err(SearchError::disk("write"))?;
        Ok(Self { file, end: 0 })
    }

    /// Hands all good batches to `each`, in order, and cuts off what follows them.
    pub(super) fn open(
        directory: &Path,
        number: u64,
        mut each: impl FnMut(Batch) -> Result<(), SearchError>,
    ) -> Result<Self, SearchError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(Self::path(directory, number)).map_err(SearchError::disk("read"))?;
        let length = file.metadata().map_err(SearchError::disk("read"))?.len();
        let mut end = 0;
        while let Some((batch, next)) = read(&mut file, end, length)? {
            each(batch)?;
            end = next;
        }
        file.set_len(end).map_err(SearchError::disk("write"))?;
        Ok(Self { file, end })
    }

    /// How long it is.
    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    /// Writes a batch so that it survives a crash.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<(), SearchError> {
        let body = postcard::to_stdvec(batch).expect("plain data can be encoded");
        let mut record = Vec::with_capacity(body.len() + 12);
        record.extend_from_slice(&(body.len() as u64).to_le_bytes());
        record.extend_from_slice(&sum(&body).to_le_bytes());
        record.extend_from_slice(&body);
        let written = self
            .file
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| self.file.write_all(&record))
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // What is there of the record is overwritten by the next one, or ends the journal.
            return Err(SearchError::Disk { act: "write", source });
        }
        self.end += record.len() as u64;
        Ok(())
    }
}

/// The batch at a place and where it ends; `None` if there is no good one.
fn read(file: &mut File, at: u64, length: u64) -> Result<Option<(Batch, u64)>, SearchError> {
    let mut head = [0; 12];
    let body_at = at + head.len() as u64;
    if body_at > length {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut head)).map_err(SearchError::disk("read"))?;
    let (size, checksum) = head.split_at(8);
    let size = u64::from_le_bytes(size.try_into().expect("8 bytes"));
    let checksum = u32::from_le_bytes(checksum.try_into().expect("4 bytes"));
    if size == 0 || size > length - body_at {
        return Ok(None);
    }
    let mut body = vec![0; usize::try_from(size).expect("it fits into the file")];
    file.read_exact(&mut body).map_err(SearchError::disk("read"))?;
    if sum(&body) != checksum {
        return Ok(None);
    }
    Ok(postcard::from_bytes(&body).ok().map(|batch| (batch, body_at + size)))
}
