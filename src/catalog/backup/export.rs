//! Makes a backup: one state of the catalog, table by table and page by page. Holds one frame and one
//! page in memory, however large the lake is.

use bytes::Bytes;

use crate::catalog::backup::format::{
    Counting, END, FORMAT, FRAME_BYTES, FrameHead, HEAD_BYTES, Header, MAGIC, ROWS, SUM_BYTES, TableHead, Totals,
    chained, write_row,
};
use crate::catalog::backup::{BackupError, carried};
use crate::catalog::engine::{CHANGES, Range};
use crate::catalog::lake::{LAKE, RESTORING, feed_base};
use crate::catalog::record::{Facts, LakeTable};
use crate::catalog::table::Shape;
use crate::catalog::{Catalog, CatalogError, View};

/// How many rows are read together: no more than 32 MiB, were all as long as they may be.
const PAGE: usize = 512;

/// A backup that is being made.
pub struct Export {
    view: View,
    header: Header,
    tables: Vec<&'static Shape>,
    stage: Stage,
    /// The sum of what was written last.
    chain: [u8; SUM_BYTES],
    /// The sum of all that was written.
    whole: blake3::Hasher,
    totals: Totals,
    bytes: u64,
}

/// What comes next.
enum Stage {
    Header,
    Rows(Box<Table>),
    End,
    Done,
}

/// How far a table has come.
struct Table {
    place: usize,
    after: Option<Bytes>,
    counting: Counting,
}

impl Table {
    fn at(place: usize) -> Stage {
        Stage::Rows(Box::new(Self { place, after: None, counting: Counting::default() }))
    }
}

impl Export {
    /// Begins a backup of the catalog as it is now.
    pub async fn begin(catalog: &Catalog) -> Result<Self, BackupError> {
        let mut view = catalog.view().await?;
        if view.get::<Facts>(&(RESTORING.to_owned(),)).await?.is_some() {
            return Err(CatalogError::HalfRestored.into());
        }
        // A catalog that can be read and not written any more is what wants a backup most.
        let lake = match view.get::<LakeTable>(&LAKE).await? {
            Some(lake) => lake,
            None => {
                drop(view);
                let lake = catalog.begin().await?;
                view = catalog.view().await?;
                lake
            }
        };
        let last = Range { from: Bytes::new(), to: Bytes::new(), reverse: true, limit: 1 };
        let newest = view.read.scan(CHANGES, &last).await.map_err(CatalogError::from)?;
        let newest = newest.first().and_then(|(key, _)| key.first_chunk()).map_or(0, |key| u64::from_be_bytes(*key));
        let tables: Vec<_> = carried().collect();
        let head = |shape: &&Shape| TableHead {
            number: shape.table.number,
            name: shape.table.name.to_owned(),
            version: shape.version,
        };
        let header = Header {
            dapple: env!("CARGO_PKG_VERSION").to_owned(),
            lake: lake.id,
            epoch: lake.epoch,
            made_at: catalog.clock().now(),
            position: feed_base(lake.epoch) + newest,
            tables: tables.iter().map(head).collect(),
        };
        Ok(Self {
            view,
            header,
            tables,
            stage: Stage::Header,
            chain: [0; SUM_BYTES],
            whole: blake3::Hasher::new(),
            totals: Totals::default(),
            bytes: 0,
        })
    }

    /// What the backup says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What was written so far; all of it at the end.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// How many bytes were written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next piece, of about a mebibyte at most; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BackupError> {
        loop {
            let piece = match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Header => {
                    self.stage = Table::at(0);
                    self.head()
                }
                Stage::Rows(table) => match self.rows(table).await? {
                    Some(frame) => frame,
                    None => continue,
                },
                Stage::End => self.end(),
                Stage::Done => return Ok(None),
            };
            self.bytes += piece.len() as u64;
            return Ok(Some(piece));
        }
    }

    fn head(&mut self) -> Bytes {
        let json = serde_json::to_vec(&self.header).expect("a header has text keys only");
        let mut piece = Vec::with_capacity(HEAD_BYTES + json.len());
        piece.extend_from_slice(MAGIC);
        piece.extend_from_slice(&FORMAT.to_be_bytes());
        piece.extend_from_slice(&u32::try_from(json.len()).expect("there are few tables").to_be_bytes());
        piece.extend_from_slice(&json);
        self.chain = *blake3::hash(&piece).as_bytes();
        self.whole.update(&piece);
        piece.into()
    }

    /// A frame of the table's next rows; `None` if it has no more, and the next is to be begun.
    async fn rows(&mut self, mut table: Box<Table>) -> Result<Option<Bytes>, BackupError> {
        let shape = self.tables[table.place];
        let (mut encoded, mut rows, mut is_over) = (Vec::new(), 0_u32, false);
        while encoded.len() < FRAME_BYTES && !is_over {
            let page = Range::prefix(&[], PAGE);
            let page = if let Some(after) = &table.after { page.after(after) } else { page };
            let found = self.view.read.scan(shape.table, &page).await.map_err(CatalogError::from)?;
            is_over = found.len() < PAGE;
            for row in found {
                write_row(&mut encoded, &row);
                rows += 1;
                table.after = Some(row.0);
                if encoded.len() >= FRAME_BYTES {
                    is_over = false;
                    break;
                }
            }
        }
        let frame = (rows > 0).then(|| {
            table.counting.add(rows, &encoded);
            self.totals.frames += 1;
            self.frame(ROWS, shape.table.number, rows, &encoded)
        });
        self.stage = if is_over { self.close(&table) } else { Stage::Rows(table) };
        Ok(frame)
    }

    /// Notes what there was of a table, and goes to the next.
    fn close(&mut self, table: &Table) -> Stage {
        let shape = self.tables[table.place];
        self.totals.tables.push(table.counting.sum(shape.table.number, shape.table.name));
        if table.place + 1 < self.tables.len() { Table::at(table.place + 1) } else { Stage::End }
    }

    fn frame(&mut self, kind: u8, table: u8, rows: u32, content: &[u8]) -> Bytes {
        let packed = lz4_flex::block::compress(content);
        let stored = if packed.len() < content.len() { &packed[..] } else { content };
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a frame has a bound");
        let head = FrameHead { kind, table, rows, length: length(content), stored: length(stored) }.encode();
        self.chain = chained(&self.chain, &head, stored);
        let piece = [&head[..], stored, &self.chain[..]].concat();
        self.whole.update(&piece);
        piece.into()
    }

    fn end(&mut self) -> Bytes {
        let json = serde_json::to_vec(&self.totals).expect("totals have text keys only");
        let last = self.frame(END, 0, 0, &json);
        [&last[..], self.whole.finalize().as_bytes()].concat().into()
    }
}
