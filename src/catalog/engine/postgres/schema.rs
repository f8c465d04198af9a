//! The tables on the server: made and changed by numbered steps, each once, by whoever comes first.

use tokio_postgres::{Client, Error};

use super::super::EngineError;
use super::link::Link;
use super::trouble::unreachable;
use crate::clock::Clock;

/// A step: its number counts from 1.
#[derive(Debug)]
pub struct Step {
    /// Its file.
    pub name: &'static str,
    /// What it does.
    pub sql: &'static str,
}

/// All steps, in order. One that is out is never changed; what comes to the catalog is a new one.
pub const STEPS: &[Step] = &[
    Step { name: "0001_tables.sql", sql: include_str!("../../../../catalog-schema/postgres/0001_tables.sql") },
    Step { name: "0002_lake.sql", sql: include_str!("../../../../catalog-schema/postgres/0002_lake.sql") },
];

/// Whoever makes tables holds this, so that only one does.
const LOCK: i64 = 0x0064_6170_706c_6501;

/// Brings the tables to the newest step.
pub(super) async fn prepare(link: &Link) -> Result<(), EngineError> {
    let client = link.client();
    let mut done = version(client).await.map_err(|error| unreachable(&error))?;
    let known = i32::try_from(STEPS.len()).expect("there are few steps");
    if done < known {
        done = advance(client).await.map_err(|error| unreachable(&error))?;
    }
    if done > known {
        return Err(EngineError::Refused {
            what: format!("its tables are at step {done}, and this dapple knows steps up to {known}"),
            hint: "a newer dapple has been here: run that version, or a newer one".to_owned(),
        });
    }
    Ok(())
}

/// The last step that was done.
async fn version(client: &Client) -> Result<i32, Error> {
    let there = "SELECT count(*) FROM information_schema.tables \
                 WHERE table_schema = current_schema() AND table_name = 'engine_schema'";
    if client.query_one(there, &[]).await?.try_get::<_, i64>(0)? == 0 {
        return Ok(0);
    }
    client.query_one("SELECT coalesce(max(step), 0) FROM engine_schema", &[]).await?.try_get(0)
}

/// Does what is left to do, in one transaction; waits for another process that does it.
async fn advance(client: &Client) -> Result<i32, Error> {
    client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let done = version(client).await?;
    let mut last = done;
    for (number, step) in (1..).zip(STEPS).skip(usize::try_from(done).unwrap_or(usize::MAX)) {
        client.batch_execute(step.sql).await?;
        client.execute("INSERT INTO engine_schema (step, name) VALUES ($1, $2)", &[&number, &step.name]).await?;
        last = number;
    }
    client.batch_execute("COMMIT").await?;
    Ok(last)
}

/// Tells of what makes the catalog work badly: settings of the server, and clocks that differ.
pub(super) async fn look_around(link: &Link, clock: &dyn Clock) -> Result<(), EngineError> {
    warn_of(link.client(), clock).await.map_err(|error| unreachable(&error))
}

async fn warn_of(client: &Client, clock: &dyn Clock) -> Result<(), Error> {
    let asked = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let theirs: i64 = client.query_one(asked, &[]).await?.try_get(0)?;
    let apart = theirs.saturating_sub_unsigned(clock.now().as_millis()).unsigned_abs();
    if apart > CLOCKS_APART_MAX {
        tracing::warn!(
            "the clock here and that of the catalog's server are {apart} ms apart: servers share work by leases, which \
             are told by clocks"
        );
    }
    let setting = async |name: &str| {
        let asked = "SELECT setting FROM pg_settings WHERE name = $1";
        let row = client.query_opt(asked, &[&name]).await?;
        row.map(|row| row.try_get::<_, String>(0)).transpose()
    };
    if setting("fsync").await?.as_deref() == Some("off") {
        tracing::warn!("the catalog's server runs with fsync=off: what it acknowledges may be gone after a power cut");
    }
    let locks = setting("max_pred_locks_per_transaction").await?.and_then(|locks| locks.parse::<u64>().ok());
    if locks.is_some_and(|locks| locks < PREDICATE_LOCKS) {
        tracing::warn!(
            "the catalog's server has max_pred_locks_per_transaction = {}: with less than {PREDICATE_LOCKS}, large \
             transactions lock whole tables and others have to be repeated",
            locks.unwrap_or_default()
        );
    }
    Ok(())
}

/// How far clocks may be apart, in milliseconds.
const CLOCKS_APART_MAX: u64 = 2_000;
/// How many rows and pages a transaction should be able to remember before it remembers whole tables.
const PREDICATE_LOCKS: u64 = 1_024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::STEPS;
    use crate::catalog::record::TABLES;

    #[test]
    fn the_steps_make_every_table_of_the_catalog() {
        let made = STEPS.iter().flat_map(|step| step.sql.lines()).filter_map(|line| line.strip_prefix("CREATE TABLE "));
        let made = made.filter_map(|rest| rest.split_whitespace().next()).filter(|name| !name.starts_with("engine_"));
        let (made, all): (BTreeSet<&str>, BTreeSet<&str>) = (made.collect(), TABLES.iter().map(|t| t.name).collect());
        assert_eq!(made, all, "a new table is made by a new step in catalog-schema/postgres, listed in STEPS");
    }
}
