//! The overlay: writes of a running transaction, laid over the state it reads.
//!
//! Promises: a transaction sees its own writes, in scans too, in either direction and whatever the
//! limit; a deletion hides the row below it; breaking a limit of the contract is remembered until
//! the end. Layers stack: a transaction lies over what its batch has written so far, and that over
//! a snapshot of the store. Nothing here is durable, and nothing below is ever changed.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{
    BoxFuture, EngineError, KEY_BYTES_MAX, Range, Read, Row, TRANSACTION_BYTES_MAX, TRANSACTION_KEYS_MAX, Table,
    VALUE_BYTES_MAX, Write,
};

/// Rows fetched from below beyond the limit of a scan, so that a few hidden rows cost no second
/// scan.
const SCAN_SLACK: usize = 32;
/// What a change costs besides its own bytes: the key of its row in the feed.
const CHANGE_KEY_BYTES: usize = size_of::<u64>();

/// A state that answers at once. Every such state is a [`Read`] whose futures are ready.
pub(super) trait Base: Send + Sync {
    /// The value of a key.
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError>;
    /// The rows of a range, in its order, at most its limit.
    fn rows(&self, table: Table, range: &Range) -> Result<Vec<Row>, EngineError>;
    /// The rows of many ranges, answered range by range.
    fn rows_of_many(&self, table: Table, ranges: &[Range]) -> Result<Vec<Vec<Row>>, EngineError> {
        ranges.iter().map(|range| self.rows(table, range)).collect()
    }
}

impl<B: Base> Read for B {
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Bytes>, EngineError>> {
        Box::pin(std::future::ready(self.value(table, key)))
    }

    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, EngineError>> {
        let values = keys.iter().map(|key| self.value(table, key)).collect();
        Box::pin(std::future::ready(values))
    }

    fn scan<'a>(&'a self, table: Table, range: &'a Range) -> BoxFuture<'a, Result<Vec<Row>, EngineError>> {
        Box::pin(std::future::ready(self.rows(table, range)))
    }

    fn scan_many<'a>(&'a self, table: Table, ranges: &'a [Range]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, EngineError>> {
        Box::pin(std::future::ready(self.rows_of_many(table, ranges)))
    }
}

/// The writes to one table: a value, or `None` for a deletion.
pub(super) type TableWrites = BTreeMap<Bytes, Option<Bytes>>;

/// Writes to any number of tables, the last one to a key standing for all before it.
#[derive(Debug, Default)]
pub(super) struct Writes {
    tables: BTreeMap<Table, TableWrites>,
    keys: usize,
    bytes: usize,
}

impl Writes {
    /// Sets a key, or deletes it.
    pub(super) fn set(&mut self, table: Table, key: Bytes, value: Option<Bytes>) {
        let size = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let key_size = key.len();
        self.bytes += size(&value);
        match self.tables.entry(table).or_default().insert(key, value) {
            Some(before) => self.bytes -= size(&before),
            None => {
                self.bytes += key_size;
                self.keys += 1;
            }
        }
    }

    /// Adds the writes of a later transaction.
    pub(super) fn absorb(&mut self, later: Writes) {
        for (table, rows) in later.tables {
            for (key, value) in rows {
                self.set(table, key, value);
            }
        }
    }

    /// How many bytes of keys and values there are.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tells whether nothing is written.
    pub(super) fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// The writes, table by table.
    pub(super) fn into_tables(self) -> impl Iterator<Item = (Table, TableWrites)> {
        self.tables.into_iter()
    }

    /// The value of a key as these writes leave it over `below`.
    pub(super) fn value_over(&self, below: &dyn Base, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        match self.of(table, key) {
            Some(written) => Ok(written.clone()),
            None => below.value(table, key),
        }
    }

    /// The rows of a range as these writes leave it over `below`.
    pub(super) fn rows_over(&self, below: &dyn Base, table: Table, range: &Range) -> Result<Vec<Row>, EngineError> {
        let written = self.tables.get(&table);
        let Some(bounds) = bounds_of(range).filter(|_| range.limit > 0) else {
            return Ok(Vec::new());
        };
        let Some(written) = written.filter(|rows| rows.range::<[u8], _>(bounds).next().is_some()) else {
            return below.rows(table, range);
        };
        let inside = written.range::<[u8], _>(bounds).map(|(key, value)| (key.clone(), value.clone()));
        if range.reverse { merge(inside.rev(), below, table, range) } else { merge(inside, below, table, range) }
    }

    /// What is written inside a range, in its order.
    pub(super) fn inside(&self, table: Table, range: &Range) -> Vec<Written> {
        let (Some(rows), Some(bounds)) = (self.tables.get(&table), bounds_of(range)) else {
            return Vec::new();
        };
        let inside = rows.range::<[u8], _>(bounds).map(|(key, value)| (key.clone(), value.clone()));
        if range.reverse { inside.rev().collect() } else { inside.collect() }
    }

    /// What is written of a key: `None` if nothing is.
    pub(super) fn of(&self, table: Table, key: &[u8]) -> Option<&Option<Bytes>> {
        self.tables.get(&table).and_then(|rows| rows.get(key))
    }

    /// The rows of many ranges as these writes leave them over `below`.
    pub(super) fn rows_of_many_over(
        &self,
        below: &dyn Base,
        table: Table,
        ranges: &[Range],
    ) -> Result<Vec<Vec<Row>>, EngineError> {
        if !self.tables.contains_key(&table) {
            return below.rows_of_many(table, ranges);
        }
        ranges.iter().map(|range| self.rows_over(below, table, range)).collect()
    }
}

/// Bounds as ordered maps want them.
pub(super) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The bounds of a range; `None` if no key can lie between them.
pub(super) fn bounds_of(range: &Range) -> Option<Bounds<'_>> {
    if range.to.is_empty() {
        return Some((Bound::Included(&range.from), Bound::Unbounded));
    }
    (range.from < range.to).then_some((Bound::Included(&range.from[..]), Bound::Excluded(&range.to[..])))
}

/// Merges written rows with those below, page by page, until the limit of the range is reached.
pub(super) struct Merge<I: Iterator<Item = Written>> {
    written: Peekable<I>,
    merged: Vec<Row>,
    range: Range,
    wanted: Range,
}

/// A key that was written, and its value or nothing.
pub(super) type Written = (Bytes, Option<Bytes>);

impl<I: Iterator<Item = Written>> Merge<I> {
    /// A merge of what is written inside `range`, in the order of the range.
    pub(super) fn new(written: I, range: &Range) -> Self {
        let mut written = written.peekable();
        let mut wanted = range.clone();
        if written.peek().is_some() {
            wanted.limit = range.limit.saturating_add(SCAN_SLACK);
        }
        Self { written, merged: Vec::new(), range: range.clone(), wanted }
    }

    /// What to read below next.
    pub(super) fn wanted(&self) -> &Range {
        &self.wanted
    }

    /// Takes what was read there. Answers whether all is there now.
    pub(super) fn take(&mut self, page: Vec<Row>) -> bool {
        let is_last = page.len() < self.wanted.limit;
        if let Some((key, _)) = page.last() {
            self.wanted = behind(self.wanted.clone(), key);
        }
        let is_reverse = self.range.reverse;
        let comes_before = |own: &Bytes, key: &Bytes| if is_reverse { own > key } else { own < key };
        for (key, value) in page {
            while let Some((own_key, own)) = self.written.next_if(|(own, _)| comes_before(own, &key)) {
                self.merged.extend(own.map(|own| (own_key, own)));
            }
            match self.written.next_if(|(own, _)| *own == key) {
                Some((_, own)) => self.merged.extend(own.map(|own| (key, own))),
                None => self.merged.push((key, value)),
            }
            if self.merged.len() >= self.range.limit {
                self.merged.truncate(self.range.limit);
                return true;
            }
        }
        if is_last {
            let room = self.range.limit - self.merged.len();
            let left = self.written.by_ref().filter_map(|(key, value)| Some((key, value?)));
            self.merged.extend(left.take(room));
        }
        is_last
    }

    /// What there is.
    pub(super) fn rows(self) -> Vec<Row> {
        self.merged
    }
}

fn merge(
    written: impl Iterator<Item = Written>,
    below: &dyn Base,
    table: Table,
    range: &Range,
) -> Result<Vec<Row>, EngineError> {
    let mut merge = Merge::new(written, range);
    loop {
        let page = below.rows(table, merge.wanted())?;
        if merge.take(page) {
            return Ok(merge.rows());
        }
    }
}

/// What is left of a range behind a row of it.
fn behind(mut range: Range, key: &Bytes) -> Range {
    if !range.reverse {
        return range.after(key);
    }
    range.to = key.clone();
    range
}

/// The handle of a running transaction: its writes over the state it began with.
pub(super) struct Overlay {
    base: Arc<dyn Base>,
    buffer: Mutex<Buffer>,
}

/// What a transaction wants to change.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Its writes.
    pub(super) writes: Writes,
    /// Its entries for the change feed, in order.
    pub(super) changes: Vec<Bytes>,
    change_bytes: usize,
    broken_limit: Option<EngineError>,
}

impl Overlay {
    /// A transaction that has written nothing.
    pub(super) fn new(base: Arc<dyn Base>) -> Self {
        Self { base, buffer: Mutex::default() }
    }

    /// Takes what the transaction wants to change. Whoever still holds the handle writes to nowhere.
    pub(super) fn take(&self) -> Result<Buffer, EngineError> {
        std::mem::take(&mut *self.buffer()).within_limits()
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        // A panic below leaves the buffer whole, and its transaction is discarded anyway.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// Writes that are done.
    pub(super) fn of(writes: Writes) -> Self {
        Self { writes, ..Self::default() }
    }

    /// What is to be written, unless a limit was broken on the way.
    pub(super) fn within_limits(self) -> Result<Self, EngineError> {
        match self.broken_limit {
            Some(broken) => Err(broken),
            None => Ok(self),
        }
    }

    /// Sets a key, or deletes it.
    pub(super) fn set(&mut self, table: Table, key: Bytes, value: Option<Bytes>) {
        assert!(!key.is_empty(), "a key has at least one byte");
        let value_size = value.as_ref().map_or(0, Bytes::len);
        self.check("bytes in a key", key.len(), KEY_BYTES_MAX);
        self.check("bytes in a value", value_size, VALUE_BYTES_MAX);
        if self.broken_limit.is_none() {
            self.writes.set(table, key, value);
            self.check_sums();
        }
    }

    /// Notes a change for the feed.
    pub(super) fn emit(&mut self, change: Bytes) {
        self.check("bytes in a value", change.len(), VALUE_BYTES_MAX);
        if self.broken_limit.is_none() {
            self.change_bytes += CHANGE_KEY_BYTES + change.len();
            self.changes.push(change);
            self.check_sums();
        }
    }

    fn check_sums(&mut self) {
        self.check("keys", self.writes.keys + self.changes.len(), TRANSACTION_KEYS_MAX);
        self.check("bytes", self.writes.bytes + self.change_bytes, TRANSACTION_BYTES_MAX);
    }

    fn check(&mut self, what: &'static str, count: usize, limit: usize) {
        if count > limit && self.broken_limit.is_none() {
            self.broken_limit = Some(EngineError::TooLarge { what, limit });
        }
    }
}

impl Base for Overlay {
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.buffer().writes.value_over(&*self.base, table, key)
    }

    fn rows(&self, table: Table, range: &Range) -> Result<Vec<Row>, EngineError> {
        self.buffer().writes.rows_over(&*self.base, table, range)
    }

    fn rows_of_many(&self, table: Table, ranges: &[Range]) -> Result<Vec<Vec<Row>>, EngineError> {
        self.buffer().writes.rows_of_many_over(&*self.base, table, ranges)
    }
}

impl Write for Overlay {
    fn put(&self, table: Table, key: Bytes, value: Bytes) {
        self.buffer().set(table, key, Some(value));
    }

    fn delete(&self, table: Table, key: Bytes) {
        self.buffer().set(table, key, None);
    }

    fn emit(&self, change: Bytes) {
        self.buffer().emit(change);
    }
}
