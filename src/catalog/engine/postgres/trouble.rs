//! What an error of the server means: try again, connect again, or tell somebody.

use tokio_postgres::Error;
use tokio_postgres::error::{Severity, SqlState};

use super::super::EngineError;
use super::address::said;

/// What an error means.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// Another transaction was in the way: nothing was done, and the same may work again.
    Conflict,
    /// The connection is gone.
    Lost(String),
    /// Trying again does not help.
    Final(EngineError),
}

impl Trouble {
    /// Reads an error.
    pub(super) fn of(error: &Error) -> Self {
        let Some(told) = error.as_db_error() else {
            return Self::Lost(said(error));
        };
        let code = told.code();
        let in_the_way =
            [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE];
        if in_the_way.contains(code) {
            return Self::Conflict;
        }
        let is_fatal = matches!(told.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        let text = format!("{} ({})", told.message(), code.code());
        if is_fatal || code.code().starts_with("08") || code.code().starts_with("57P") {
            return Self::Lost(text);
        }
        Self::Final(refused(code, &text).unwrap_or(EngineError::Io { what: text }))
    }

    /// The error for a caller for whom nothing is tried again.
    pub(super) fn into_error(self) -> EngineError {
        match self {
            Self::Conflict => EngineError::Contended,
            Self::Lost(what) => EngineError::Unreachable { what },
            Self::Final(error) => error,
        }
    }
}

/// The error of a server that cannot be reached or does not let us in.
pub(super) fn unreachable(error: &Error) -> EngineError {
    let Some(told) = error.as_db_error() else {
        return EngineError::Unreachable { what: said(error) };
    };
    let text = format!("{} ({})", told.message(), told.code().code());
    refused(told.code(), &text).unwrap_or(EngineError::Unreachable { what: text })
}

fn refused(code: &SqlState, text: &str) -> Option<EngineError> {
    let hint = match code.code() {
        "28P01" | "28000" => {
            "check the user in catalog.url, and catalog.password_file or catalog.password_command; \
             the server's pg_hba.conf says who may come from where"
        }
        "3D000" => "create the database first, such as with `createdb --owner USER DATABASE`",
        "42501" => "the user must own the catalog's tables: `GRANT CREATE ON SCHEMA public TO USER` lets it make them",
        "42P01" => "a table of the catalog is missing: was the database changed by hand, or restored in part?",
        "53300" => "the server has too few connections: raise its max_connections, or lower catalog.connections",
        "25006" => "the server only lets read: name the primary in catalog.url, not a standby",
        _ => return None,
    };
    Some(EngineError::Refused { what: text.to_owned(), hint: hint.to_owned() })
}
