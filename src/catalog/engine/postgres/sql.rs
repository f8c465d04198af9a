//! What is asked of the server, as SQL: the same few questions of every table, in words that other
//! servers of the same wire understand too.

use super::super::Table;

/// A question that is asked of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    /// The value of a key.
    Get,
    /// The values of many keys.
    GetMany,
    /// The rows of a range.
    Scan(Walk),
    /// The rows of many ranges, with the place of their range.
    ScanMany(Walk),
    /// Sets many keys.
    Put,
    /// Removes many keys.
    Delete,
}

/// How a range is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Walk {
    /// Last key first.
    pub(super) reverse: bool,
    /// To the end of the table.
    pub(super) to_end: bool,
}

impl Ask {
    /// The statement.
    pub(super) fn text(self, table: Table) -> String {
        let name = table.name;
        match self {
            Ask::Get => format!("SELECT value FROM {name} WHERE key = $1"),
            Ask::GetMany => format!("SELECT key, value FROM {name} WHERE key = ANY($1)"),
            Ask::Scan(walk) => {
                let (inside, limit) = if walk.to_end { ("key >= $1", "$2") } else { ("key >= $1 AND key < $2", "$3") };
                let order = walk.order();
                format!("SELECT key, value FROM {name} WHERE {inside} ORDER BY key {order} LIMIT {limit}")
            }
            Ask::ScanMany(walk) => {
                let (ranges, columns, inside, limit) = if walk.to_end {
                    ("$1::bytea[]", "low, place", "key >= wanted.low", "$2")
                } else {
                    ("$1::bytea[], $2::bytea[]", "low, high, place", "key >= wanted.low AND key < wanted.high", "$3")
                };
                let order = walk.order();
                format!(
                    "SELECT wanted.place, found.key, found.value \
                     FROM unnest({ranges}) WITH ORDINALITY AS wanted ({columns}) \
                     CROSS JOIN LATERAL (SELECT key, value FROM {name} WHERE {inside} ORDER BY key {order} \
                     LIMIT {limit}) AS found"
                )
            }
            Ask::Put => format!(
                "INSERT INTO {name} (key, value) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            ),
            Ask::Delete => format!("DELETE FROM {name} WHERE key = ANY($1)"),
        }
    }
}

impl Walk {
    fn order(self) -> &'static str {
        if self.reverse { "DESC" } else { "ASC" }
    }
}

/// Begins a transaction that writes.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
/// Begins a snapshot. A server takes it with the first statement behind the beginning.
pub(super) const HOLD: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1";

/// Notes that an attempt of a seat takes effect, in the transaction that it is. One that has been barred
/// meanwhile divides by zero, and so comes to nothing.
pub(super) const ATTEMPT: &str = "INSERT INTO engine_attempts (seat, attempt, barred, at) VALUES ($1, $2, 0, now()) \
     ON CONFLICT (seat) DO UPDATE SET at = now(), attempt = CASE \
     WHEN engine_attempts.barred < excluded.attempt THEN excluded.attempt \
     ELSE 1 / (excluded.attempt - excluded.attempt) END";
/// Makes sure that a seat has a row.
pub(super) const ATTEMPT_NONE: &str = "INSERT INTO engine_attempts (seat, attempt, barred, at) \
     VALUES ($1, 0, 0, now()) ON CONFLICT (seat) DO NOTHING";
/// Bars the attempts of a seat up to one; waits for one that is about to take effect.
pub(super) const ATTEMPT_BAR: &str = "UPDATE engine_attempts SET barred = $2, at = now() WHERE seat = $1";
/// The last attempt of a seat that took effect.
pub(super) const ATTEMPT_LAST: &str = "SELECT attempt FROM engine_attempts WHERE seat = $1";
/// Forgets seats of processes that are long gone.
pub(super) const ATTEMPTS_FORGET: &str = "DELETE FROM engine_attempts WHERE at < now() - interval '30 days'";

/// Puts changes into the inbox, under one number that is taken here and now.
pub(super) const INBOX: &str = "WITH taken AS MATERIALIZED (SELECT nextval('engine_inbox_id') AS id), \
     put AS (INSERT INTO engine_inbox (id, part, value) \
     SELECT taken.id, change.part, change.value \
     FROM taken CROSS JOIN unnest($1::bytea[]) WITH ORDINALITY AS change (value, part)) \
     SELECT id FROM taken";

/// Numbers what is in the inbox. One message, so that a process that is stopped in the middle of it
/// keeps nobody else waiting.
pub(super) const NUMBER: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
     SELECT seq FROM engine_head WHERE id = 1 FOR UPDATE; \
     WITH taken AS (DELETE FROM engine_inbox WHERE id >= 0 RETURNING id, part, value), \
     numbered AS (SELECT id, value, (SELECT seq FROM engine_head WHERE id = 1) \
     + row_number() OVER (ORDER BY id, part) AS seq FROM taken), \
     kept AS (INSERT INTO changes (key, value) \
     SELECT decode(lpad(to_hex(seq), 16, '0'), 'hex'), value FROM numbered), \
     moved AS (UPDATE engine_head SET seq = seq + (SELECT count(*) FROM taken) \
     WHERE id = 1 AND EXISTS (SELECT 1 FROM taken)) \
     SELECT id, max(seq) AS last FROM numbered GROUP BY id; \
     INSERT INTO meta (key, value) SELECT 'last_seq', decode(lpad(to_hex(seq), 16, '0'), 'hex') \
     FROM engine_head WHERE id = 1 AND seq > 0 ON CONFLICT (key) DO UPDATE SET value = excluded.value; \
     COMMIT; \
     SELECT seq FROM engine_head WHERE id = 1";
/// How far the feed is, whether the inbox has anything, and which bells have been rung how often.
pub(super) const LOOK: &str = "SELECT seq, EXISTS (SELECT 1 FROM engine_inbox) AS waiting FROM engine_head \
     WHERE id = 1; SELECT name, rung FROM engine_bells ORDER BY name";

/// Rings bells, whose names need no quoting. What is lost by a crash is a hint, so it is not waited for.
pub(super) fn ring(bells: &[&'static str]) -> String {
    let rows: Vec<String> = bells.iter().map(|bell| format!("('{bell}', 1)")).collect();
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off; \
         INSERT INTO engine_bells (name, rung) VALUES {} \
         ON CONFLICT (name) DO UPDATE SET rung = engine_bells.rung + 1 RETURNING name, rung; COMMIT",
        rows.join(", ")
    )
}
