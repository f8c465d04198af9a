//! Reads within one transaction of the server: a snapshot, or what a running transaction sees.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::{join, try_join_all};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row as SqlRow};

use super::super::{BoxFuture, EngineError, Range, Read, Row, Table};
use super::link::Link;
use super::pool::Seated;
use super::sql::{Ask, BEGIN, HOLD, Walk};
use super::trouble::Trouble;

/// A transaction of the server, and what has gone wrong in it.
pub(super) struct Session {
    link: Arc<Link>,
    begun: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
    /// The seat of a snapshot, held as long as this is.
    _seat: Option<Seated>,
}

/// What a statement is given.
type Given<'a> = [&'a (dyn ToSql + Sync)];

impl Session {
    /// A transaction that begins with its first question.
    pub(super) fn writing(link: Arc<Link>) -> Self {
        Self { link, begun: AtomicBool::new(false), trouble: Mutex::default(), _seat: None }
    }

    /// No transaction: each question sees what is newest.
    pub(super) fn glance(link: Arc<Link>) -> Self {
        Self { begun: true.into(), ..Self::writing(link) }
    }

    /// A snapshot of now.
    pub(super) async fn hold(mut seat: Seated) -> Result<Self, EngineError> {
        let mut is_second = false;
        loop {
            let link = seat.link().await?;
            seat.set_open(true);
            match link.client().batch_execute(HOLD).await.map_err(|error| Trouble::of(&error)) {
                Ok(()) => return Ok(Self { link, begun: true.into(), trouble: Mutex::default(), _seat: Some(seat) }),
                // The server may have been restarted since this connection was last used.
                Err(Trouble::Lost(_)) if !is_second => {
                    is_second = true;
                    seat.hang_up();
                }
                Err(trouble) => return Err(trouble.into_error()),
            }
        }
    }

    /// Whether anything has been asked.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// What has gone wrong first.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, error: &Error) -> EngineError {
        let trouble = Trouble::of(error);
        let mut first = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| trouble.clone()).clone().into_error()
    }

    async fn ask(&self, table: Table, ask: Ask, given: &Given<'_>) -> Result<Vec<SqlRow>, EngineError> {
        self.asked(table, ask, given).await.map_err(|error| self.note(&error))
    }

    async fn asked(&self, table: Table, ask: Ask, given: &Given<'_>) -> Result<Vec<SqlRow>, Error> {
        let statement = self.link.ask(table, ask).await?;
        let client = self.link.client();
        if self.begun.swap(true, Ordering::AcqRel) {
            return client.query(&statement, given).await;
        }
        // Both are sent before either is answered.
        let (begun, rows) = join(client.batch_execute(BEGIN), client.query(&statement, given)).await;
        begun?;
        rows
    }

    /// Ranges that are walked in the same way, in one question.
    async fn walk(
        &self,
        table: Table,
        (walk, limit): (Walk, i64),
        ranges: Vec<&Range>,
    ) -> Result<Vec<Vec<Row>>, EngineError> {
        let low: Vec<&[u8]> = ranges.iter().map(|range| &range.from[..]).collect();
        let high: Vec<&[u8]> = ranges.iter().map(|range| &range.to[..]).collect();
        let bounded: [&(dyn ToSql + Sync); 3] = [&low, &high, &limit];
        let open: [&(dyn ToSql + Sync); 2] = [&low, &limit];
        let given: &Given<'_> = if walk.to_end { &open } else { &bounded };
        let found = self.ask(table, Ask::ScanMany(walk), given).await?;
        let mut answers = vec![Vec::new(); ranges.len()];
        for row in &found {
            let place: i64 = row.get(0);
            let place = usize::try_from(place - 1).expect("places count from 1");
            answers[place].push((bytes(row, 1), bytes(row, 2)));
        }
        for answer in &mut answers {
            in_order(answer, walk.reverse);
        }
        Ok(answers)
    }
}

/// Rows of a range come from an index in its order, though SQL does not promise it of a join.
fn in_order(rows: &mut [Row], reverse: bool) {
    if reverse {
        if !rows.is_sorted_by(|left, right| left.0 >= right.0) {
            rows.sort_unstable_by(|left, right| right.0.cmp(&left.0));
        }
    } else if !rows.is_sorted_by(|left, right| left.0 <= right.0) {
        rows.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    }
}

fn bytes(row: &SqlRow, column: usize) -> Bytes {
    Bytes::copy_from_slice(row.get::<_, &[u8]>(column))
}

fn walk_of(range: &Range) -> (Walk, i64) {
    let limit = i64::try_from(range.limit).unwrap_or(i64::MAX);
    (Walk { reverse: range.reverse, to_end: range.to.is_empty() }, limit)
}

impl Read for Session {
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Bytes>, EngineError>> {
        Box::pin(async move {
            let found = self.ask(table, Ask::Get, &[&key]).await?;
            Ok(found.first().map(|row| bytes(row, 0)))
        })
    }

    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, EngineError>> {
        Box::pin(async move {
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let wanted: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
            let found = self.ask(table, Ask::GetMany, &[&wanted]).await?;
            let values: HashMap<&[u8], Bytes> = found.iter().map(|row| (row.get(0), bytes(row, 1))).collect();
            Ok(wanted.iter().map(|key| values.get(key).cloned()).collect())
        })
    }

    fn scan<'a>(&'a self, table: Table, range: &'a Range) -> BoxFuture<'a, Result<Vec<Row>, EngineError>> {
        Box::pin(async move {
            let (walk, limit) = walk_of(range);
            if limit == 0 {
                return Ok(Vec::new());
            }
            let (low, high) = (&range.from[..], &range.to[..]);
            let found = if walk.to_end {
                self.ask(table, Ask::Scan(walk), &[&low, &limit]).await?
            } else {
                self.ask(table, Ask::Scan(walk), &[&low, &high, &limit]).await?
            };
            Ok(found.iter().map(|row| (bytes(row, 0), bytes(row, 1))).collect())
        })
    }

    fn scan_many<'a>(&'a self, table: Table, ranges: &'a [Range]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, EngineError>> {
        Box::pin(async move {
            let mut alike: BTreeMap<(Walk, i64), Vec<usize>> = BTreeMap::new();
            for (place, range) in ranges.iter().enumerate().filter(|(_, range)| range.limit > 0) {
                alike.entry(walk_of(range)).or_default().push(place);
            }
            let walks = alike.iter().map(|(how, places)| {
                let wanted = places.iter().map(|place| &ranges[*place]).collect();
                self.walk(table, *how, wanted)
            });
            let found = try_join_all(walks).await?;
            let mut answers = vec![Vec::new(); ranges.len()];
            for (places, rows) in alike.values().zip(found) {
                for (place, rows) in places.iter().zip(rows) {
                    answers[*place] = rows;
                }
            }
            Ok(answers)
        })
    }
}
