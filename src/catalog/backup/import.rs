//! Reads a backup: frame by frame, each judged before it is used. Nothing that was torn, changed,
//! repeated, left out or put in elsewhere gets by, and no length that a file claims is believed.

use std::io::{ErrorKind, Read};

use bytes::Bytes;

use crate::catalog::backup::format::{
    Counting, END, FORMAT, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FrameHead, HEAD_BYTES, HEADER_BYTES_MAX, Header, MAGIC,
    ROWS, SUM_BYTES, TableSum, Totals, chained, read_row,
};
use crate::catalog::backup::{BackupError, shape};
use crate::catalog::engine::Row;
use crate::catalog::table::Shape;

/// A backup that is being read.
pub struct Reader<R> {
    from: R,
    header: Header,
    chain: [u8; SUM_BYTES],
    whole: blake3::Hasher,
    at: u64,
    table: Option<(&'static Shape, Counting)>,
    /// The key read last, of the table that is being read.
    last: Bytes,
    totals: Totals,
}

/// Rows of a table, in the order of their keys.
pub(super) struct Frame {
    pub(super) shape: &'static Shape,
    pub(super) rows: Vec<Row>,
}

impl<R: Read> Reader<R> {
    /// Begins to read a backup; fails if this dapple cannot read it whole.
    pub fn open(mut from: R) -> Result<Self, BackupError> {
        let (mut head, mut whole) = ([0; HEAD_BYTES], blake3::Hasher::new());
        let got = read_up_to(&mut from, &mut head)?;
        if got < MAGIC.len() || head[..MAGIC.len()] != MAGIC[..] {
            return Err(BackupError::Foreign);
        }
        if got < HEAD_BYTES {
            return Err(BackupError::Torn { at: got as u64 });
        }
        let format = u16::from_be_bytes([head[8], head[9]]);
        if format != FORMAT {
            let what = format!("it has the format {format}, and formats up to {FORMAT} are known");
            return Err(BackupError::Newer { dapple: "of another version".to_owned(), what });
        }
        let length = u32::from_be_bytes(*head[10..].first_chunk().expect("the head is longer"));
        if length > HEADER_BYTES_MAX {
            return Err(BackupError::Damaged { at: 10, what: format!("a header of {length} bytes") });
        }
        let mut json = vec![0; length as usize];
        let got = read_up_to(&mut from, &mut json)?;
        if got < json.len() {
            return Err(BackupError::Torn { at: (HEAD_BYTES + got) as u64 });
        }
        whole.update(&head).update(&json);
        let header: Header = serde_json::from_slice(&json).map_err(|error| BackupError::Damaged {
            at: HEAD_BYTES as u64,
            what: format!("its header cannot be read: {error}"),
        })?;
        check(&header)?;
        Ok(Self {
            from,
            header,
            chain: *whole.finalize().as_bytes(),
            whole,
            at: (HEAD_BYTES + json.len()) as u64,
            table: None,
            last: Bytes::new(),
            totals: Totals::default(),
        })
    }

    /// What the backup says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What was read so far; all of it at the end.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// How many bytes were read so far.
    pub fn bytes(&self) -> u64 {
        self.at
    }

    /// Reads everything, each row as what it should be.
    pub fn verify(mut self, mut progress: impl FnMut(u64)) -> Result<(Header, Totals), BackupError> {
        while let Some(frame) = self.next()? {
            for (key, value) in &frame.rows {
                (frame.shape.read)(key, value).map_err(|source| row_error(frame.shape, source))?;
            }
            progress(self.at);
        }
        Ok((self.header, self.totals))
    }

    /// The next rows; `None` at the end, once everything that the backup says of itself was found true.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, BackupError> {
        let begin = self.at;
        let (head, content) = self.frame()?;
        match head.kind {
            ROWS => self.rows(begin, head, content).map(Some),
            END => self.end(begin, &content).map(|()| None),
            other => Err(damaged(begin, format!("a frame of the kind {other}"))),
        }
    }

    /// A frame as it was written, unpacked.
    fn frame(&mut self) -> Result<(FrameHead, Bytes), BackupError> {
        let begin = self.at;
        let mut raw = [0; FRAME_HEAD_BYTES];
        self.fill(&mut raw)?;
        let head = FrameHead::decode(raw);
        if head.length > FRAME_BYTES_MAX || head.stored > head.length {
            return Err(damaged(begin, format!("a frame of {} bytes, stored as {}", head.length, head.stored)));
        }
        let mut stored = vec![0; head.stored as usize];
        self.fill(&mut stored)?;
        let mut sum = [0; SUM_BYTES];
        self.fill(&mut sum)?;
        self.chain = chained(&self.chain, &raw, &stored);
        if self.chain != sum {
            let what = "the frame that begins here is not what was written, or not where it was written";
            return Err(damaged(begin, what.to_owned()));
        }
        if head.stored == head.length {
            return Ok((head, stored.into()));
        }
        let unpacked = lz4_flex::block::decompress(&stored, head.length as usize).ok();
        let unpacked = unpacked.filter(|content| content.len() == head.length as usize);
        let content = unpacked.ok_or_else(|| damaged(begin, "a frame cannot be unpacked".to_owned()))?;
        Ok((head, content.into()))
    }

    fn rows(&mut self, begin: u64, head: FrameHead, content: Bytes) -> Result<Frame, BackupError> {
        let shape = shape(head.table).filter(|_| self.header.tables.iter().any(|table| table.number == head.table));
        let shape = shape.ok_or_else(|| damaged(begin, format!("rows of the table {}, unannounced", head.table)))?;
        match &self.table {
            Some((open, _)) if open.table.number == head.table => {}
            Some((open, _)) if open.table.number > head.table => {
                return Err(damaged(begin, format!("rows of `{}` in the wrong place", shape.table.name)));
            }
            _ => {
                self.close();
                self.table = Some((shape, Counting::default()));
            }
        }
        if let Some((_, counting)) = &mut self.table {
            counting.add(head.rows, &content);
        }
        self.totals.frames += 1;
        let (mut rows, mut left) = (Vec::new(), content);
        while !left.is_empty() {
            let row = read_row(&mut left).ok_or_else(|| damaged(begin, "a row without its end".to_owned()))?;
            if row.0 <= self.last {
                return Err(damaged(begin, format!("rows of `{}` out of order", shape.table.name)));
            }
            self.last = row.0.clone();
            rows.push(row);
        }
        if rows.len() != head.rows as usize {
            return Err(damaged(begin, format!("{} rows where {} should be", rows.len(), head.rows)));
        }
        Ok(Frame { shape, rows })
    }

    /// Notes what there was of the table that was read.
    fn close(&mut self) {
        self.last = Bytes::new();
        if let Some((shape, counting)) = self.table.take() {
            self.totals.tables.push(counting.sum(shape.table.number, shape.table.name));
        }
    }

    /// Compares the backup's own account with what was read, and looks that nothing follows.
    fn end(&mut self, begin: u64, content: &[u8]) -> Result<(), BackupError> {
        self.close();
        let told: Totals = serde_json::from_slice(content)
            .map_err(|error| damaged(begin, format!("its account cannot be read: {error}")))?;
        let told_of: Vec<&TableSum> = told.tables.iter().filter(|table| table.rows > 0).collect();
        if told.frames != self.totals.frames || told_of != self.totals.tables.iter().collect::<Vec<_>>() {
            return Err(damaged(begin, "it does not have the rows that its account tells of".to_owned()));
        }
        self.totals = told;
        let (whole, begin) = (*self.whole.finalize().as_bytes(), self.at);
        let mut sum = [0; SUM_BYTES];
        self.fill(&mut sum)?;
        if sum != whole {
            return Err(damaged(begin, "the sum of the whole is not what was written".to_owned()));
        }
        match read_up_to(&mut self.from, &mut [0])? {
            0 => Ok(()),
            _ => Err(damaged(self.at, "something follows behind its end".to_owned())),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        let got = read_up_to(&mut self.from, bytes)?;
        self.at += got as u64;
        if got < bytes.len() {
            return Err(BackupError::Torn { at: self.at });
        }
        self.whole.update(bytes);
        Ok(())
    }
}

pub(super) fn row_error(shape: &Shape, source: crate::catalog::table::DecodeError) -> BackupError {
    BackupError::Row { table: shape.table.name, source }
}

fn damaged(at: u64, what: String) -> BackupError {
    BackupError::Damaged { at, what }
}

/// Refuses what only a later dapple can read.
fn check(header: &Header) -> Result<(), BackupError> {
    let newer = |what: String| Err(BackupError::Newer { dapple: header.dapple.clone(), what });
    for table in &header.tables {
        match shape(table.number).filter(|shape| shape.table.name == table.name) {
            None => return newer(format!("it has a table `{}` with the number {}", table.name, table.number)),
            Some(shape) if shape.version < table.version => {
                let (found, known) = (table.version, shape.version);
                return newer(format!("rows of `{}` have the version {found}, and {known} is known", table.name));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Fills `bytes` as far as there is something.
fn read_up_to(from: &mut impl Read, bytes: &mut [u8]) -> Result<usize, BackupError> {
    let mut got = 0;
    while got < bytes.len() {
        match from.read(&mut bytes[got..]) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(BackupError::Unreadable(cause)),
        }
    }
    Ok(got)
}
