//! Which files make up the index, and the files of segments. A manifest is replaced as a whole, so
//! a crash leaves the old one or the new one; files that it does not name are left-overs.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::search::blob::{Blob, sum};
use crate::search::error::SearchError;
use crate::search::segment::{Columns, Segment};
use crate::search::snapshot::{Bits, Part};

/// The version of all files. One of another version is rebuilt.
const VERSION: u32 = 2;
const NAME: &str = "manifest";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    /// How far the segments follow the feed.
    pub(super) position: u64,
    /// The journal that goes on from there.
    pub(super) journal: u64,
    /// Segments by number, with their dead.
    segments: Vec<(u64, Vec<u64>)>,
}

impl Manifest {
    pub(super) fn new(position: u64, journal: u64, parts: &[Part]) -> Self {
        let numbered = |part: &Part| part.number.map(|number| (number, part.dead.words().to_vec()));
        Self { version: VERSION, position, journal, segments: parts.iter().filter_map(numbered).collect() }
    }

    /// The manifest of a directory, if it has one.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, SearchError> {
        let bytes = match std::fs::read(directory.join(NAME)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SearchError::Disk { act: "read", source }),
        };
        let damaged = || SearchError::damaged("its list of segments is not what was written");
        let (checksum, body) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
        if u32::from_le_bytes(*checksum) != sum(body) {
            return Err(damaged());
        }
        let manifest: Self = postcard::from_bytes(body).map_err(|_| damaged())?;
        if manifest.version != VERSION {
            return Err(SearchError::damaged(format!("it is of version {}, not {VERSION}", manifest.version)));
        }
        Ok(Some(manifest))
    }

    /// Puts this manifest in the place of the last one.
    pub(super) fn write(&self, directory: &Path) -> Result<(), SearchError> {
        let body = postcard::to_stdvec(self).expect("plain data can be encoded");
        let next = directory.join("manifest-next");
        let write = || {
            let mut file = File::create(&next)?;
            file.write_all(&sum(&body).to_le_bytes())?;
            file.write_all(&body)?;
            file.sync_all()?;
            std::fs::rename(&next, directory.join(NAME))?;
            File::open(directory)?.sync_all()
        };
        write().map_err(SearchError::disk("write"))
    }

    /// The segments.
    pub(super) fn parts(&self, directory: &Path) -> Result<Vec<Part>, SearchError> {
        let part = |(number, dead): &(u64, Vec<u64>)| {
            let segment = read(directory, *number)?;
            Ok(Part::new(segment, Bits::from_words(dead.clone()), Some(*number)))
        };
        self.segments.iter().map(part).collect()
    }

    /// Removes files that the manifest does not name.
    pub(super) fn tidy(&self, directory: &Path) -> Result<(), SearchError> {
        let mut named: Vec<PathBuf> = self.segments.iter().map(|(number, _)| path(directory, *number)).collect();
        named.push(crate::search::journal::Journal::path(directory, self.journal));
        for entry in std::fs::read_dir(directory).map_err(SearchError::disk("read"))? {
            let path = entry.map_err(SearchError::disk("read"))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let ours = name.starts_with("segment-") || name.starts_with("journal-");
            if ours && !named.contains(&path) {
                std::fs::remove_file(&path).map_err(SearchError::disk("write"))?;
            }
        }
        Ok(())
    }
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("segment-{number:08}"))
}

/// Writes a segment's file: documents, columns, and where the columns are.
pub(super) fn write(
    directory: &Path,
    number: u64,
    documents: impl FnOnce(&mut dyn Write) -> Result<Columns, SearchError>,
) -> Result<Segment, SearchError> {
    let path = path(directory, number);
    let file = File::create(&path).map_err(SearchError::disk("write"))?;
    let mut to = BufWriter::with_capacity(1 << 20, file);
    let columns = documents(&mut to)?;
    let body = postcard::to_stdvec(&columns).expect("plain data can be encoded");
    let finish = || {
        to.write_all(&body)?;
        to.write_all(&sum(&body).to_le_bytes())?;
        to.write_all(&(body.len() as u64).to_le_bytes())?;
        to.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        File::open(&path)
    };
    let file = finish().map_err(SearchError::disk("write"))?;
    Ok(Segment::new(columns, Blob::File(file)))
}

fn read(directory: &Path, number: u64) -> Result<Segment, SearchError> {
    let damaged = || SearchError::damaged(format!("segment {number} is not what was written"));
    let file = match File::open(path(directory, number)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(damaged()),
        Err(source) => return Err(SearchError::Disk { act: "read", source }),
    };
    let length = file.metadata().map_err(SearchError::disk("read"))?.len();
    let tail_at = length.checked_sub(12).ok_or_else(damaged)?;
    let mut tail = [0; 12];
    file.read_exact_at(&mut tail, tail_at).map_err(SearchError::disk("read"))?;
    let (checksum, size) = tail.split_at(4);
    let checksum = u32::from_le_bytes(checksum.try_into().expect("4 bytes"));
    let size = u64::from_le_bytes(size.try_into().expect("8 bytes"));
    let body_at = tail_at.checked_sub(size).ok_or_else(damaged)?;
    let mut body = vec![0; usize::try_from(size).map_err(|_| damaged())?];
    file.read_exact_at(&mut body, body_at).map_err(SearchError::disk("read"))?;
    if sum(&body) != checksum {
        return Err(damaged());
    }
    let columns: Columns = postcard::from_bytes(&body).map_err(|_| damaged())?;
    Ok(Segment::new(columns, Blob::File(file)))
}
