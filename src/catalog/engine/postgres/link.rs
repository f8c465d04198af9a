//! A connection, its settings and its prepared statements.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::runtime::Handle;
use tokio_postgres::{Client, Error, NoTls, Statement};

use super::super::{EngineError, Table};
use super::Password;
use super::address::Address;
use super::sql::Ask;
use super::tls::Secure;
use super::trouble::unreachable;
use crate::clock::{SharedClock, within};

/// How long a connection may take to be there.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long one statement may take.
const STATEMENT_TIME: &str = "60s";
/// How long a statement waits for a row that another transaction holds.
const LOCK_TIME: &str = "10s";
/// Settings of every connection. A small table that is read as a whole would make every transaction
/// that touches it conflict with every other, so indexes are used however small it is; and plans do not
/// depend on what was asked first. Servers that have no such setting need none.
const SETTINGS: [&str; 4] = [
    "SET enable_seqscan = off",
    "SET enable_bitmapscan = off",
    "SET plan_cache_mode = force_generic_plan",
    "SET jit = off",
];

/// What it takes to connect.
pub(super) struct Dial {
    pub(super) address: Address,
    pub(super) password: Option<Password>,
    /// The engine's own runtime, on which connections live.
    pub(super) runtime: Handle,
    pub(super) clock: SharedClock,
}

impl Dial {
    /// Connects. A transaction in which nothing happens for so long is broken off by the server.
    pub(super) async fn link(&self, idle: Duration) -> Result<Arc<Link>, EngineError> {
        let late = || EngineError::Unreachable { what: format!("no connection within {CONNECT_TIME:?}") };
        within(&*self.clock, CONNECT_TIME, self.connect(idle)).await.ok_or_else(late)?
    }

    async fn connect(&self, idle: Duration) -> Result<Arc<Link>, EngineError> {
        let mut config = self.address.config.clone();
        config.connect_timeout(CONNECT_TIME).keepalives_idle(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("dapple");
        }
        if let Some(password) = self.password.clone() {
            let read = self.clock.compute(move || password()).await;
            let text = read.map_err(|what| EngineError::Refused { what, hint: PASSWORD_HINT.to_owned() })?;
            config.password(text);
        }
        let (runtime, tls) = (self.runtime.clone(), self.address.tls.clone());
        // The connection is made where it will live.
        let connecting = self.runtime.spawn(async move {
            match tls {
                Some(tls) => {
                    let (client, connection) = config.connect(Secure(tls)).await?;
                    runtime.spawn(async move { drop(connection.await) });
                    Ok(client)
                }
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    runtime.spawn(async move { drop(connection.await) });
                    Ok(client)
                }
            }
        });
        let connected = connecting.await.map_err(|_| EngineError::Stopped)?;
        let client = connected.map_err(|error| unreachable(&error))?;
        prepare(&client, idle).await.map_err(|error| unreachable(&error))?;
        Ok(Arc::new(Link { client, statements: Mutex::default() }))
    }
}

const PASSWORD_HINT: &str = "catalog.password_file or catalog.password_command must give the password, on one line";

async fn prepare(client: &Client, idle: Duration) -> Result<(), Error> {
    let idle = idle.as_secs();
    let limits = format!(
        "SET statement_timeout = '{STATEMENT_TIME}'; SET lock_timeout = '{LOCK_TIME}'; \
         SET idle_in_transaction_session_timeout = '{idle}s'"
    );
    client.batch_execute(&limits).await?;
    for outcome in join_all(SETTINGS.map(|setting| client.batch_execute(setting))).await {
        match outcome {
            Err(error) if error.as_db_error().is_none() => return Err(error),
            // A server that does not know a setting says so.
            _ => {}
        }
    }
    // What is acknowledged is on disk, whatever the server does for others.
    let durable = client.query_one("SHOW synchronous_commit", &[]).await?;
    if durable.try_get::<_, &str>(0)? == "off" {
        client.batch_execute("SET synchronous_commit = on").await?;
    }
    Ok(())
}

/// A connection.
pub(super) struct Link {
    client: Client,
    statements: Mutex<HashMap<Asked, Statement>>,
}

/// What has been prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    Of(Table, Ask),
    Fixed(&'static str),
}

impl Link {
    /// The connection itself.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// A question of a table, prepared.
    pub(super) async fn ask(&self, table: Table, ask: Ask) -> Result<Statement, Error> {
        self.prepared(Asked::Of(table, ask)).await
    }

    /// A statement, prepared.
    pub(super) async fn statement(&self, text: &'static str) -> Result<Statement, Error> {
        self.prepared(Asked::Fixed(text)).await
    }

    async fn prepared(&self, asked: Asked) -> Result<Statement, Error> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(&asked).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let fresh = match asked {
            Asked::Of(table, ask) => self.client.prepare(&ask.text(table)).await?,
            Asked::Fixed(text) => self.client.prepare(text).await?,
        };
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(asked, fresh.clone());
        Ok(fresh)
    }
}
