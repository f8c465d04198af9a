//! Backups: the whole catalog as one stream, the same whatever engine it comes from or goes to.
//!
//! Promises: a stream shows one state of the catalog, and is made and read in bounded memory; one that is
//! torn, changed or put together from several is always noticed; a restore that did not come to its end
//! is never served. `docs/backup.md` has the format.
//!
//! Never in a backup: the change feed and the engine's own marks, which belong to one life of a catalog;
//! indexes, which follow from records; leases and sessions, which are of the moment.

use std::io;

use crate::catalog::CatalogError;
use crate::catalog::engine::Table;
use crate::catalog::record::SHAPES;
use crate::catalog::table::{DecodeError, Shape, Typed as _};
use crate::catalog::{record, table};
use crate::fault::{Fault, Kind};

mod export;
mod format;
mod import;
mod restore;
#[cfg(test)]
mod tests;

pub use export::Export;
pub use format::{Header, TableSum, Totals};
pub use import::Reader;
pub use restore::restore;

/// Tables whose rows follow from records.
const INDEXES: [Table; 13] = [
    record::ReplicasByEndpoint::TABLE,
    record::RulesByDid::TABLE,
    record::RulesByExpiry::TABLE,
    record::Unplaced::TABLE,
    record::LocksByUnit::TABLE,
    record::UploadsDue::TABLE,
    record::Ready::TABLE,
    record::Running::TABLE,
    record::Failed::TABLE,
    record::GroupsOf::TABLE,
    record::ApiKeysByAccount::TABLE,
    record::SessionsByAccount::TABLE,
    record::AnswersByTime::TABLE,
];
/// Tables whose rows are worth nothing once the processes are gone that wrote them.
const PASSING: [Table; 2] = [record::Leases::TABLE, record::Sessions::TABLE];

/// The tables that backups have, in the order of their numbers.
fn carried() -> impl Iterator<Item = &'static Shape> {
    let stays = |shape: &&Shape| !INDEXES.contains(&shape.table) && !PASSING.contains(&shape.table);
    SHAPES.iter().filter(stays)
}

fn shape(number: u8) -> Option<&'static table::Shape> {
    carried().find(|shape| shape.table.number == number)
}

/// Why a backup could not be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The bytes do not begin as a backup does.
    #[error("this is not a backup of dapple")]
    Foreign,
    /// The backup was made by a dapple that knows more.
    #[error("the backup was made by dapple {dapple}, and this one, {own}, cannot read it: {what}", own = env!("CARGO_PKG_VERSION"))]
    Newer {
        /// Its version, as far as it could be read.
        dapple: String,
        /// What is not known here.
        what: String,
    },
    /// The backup ends before its end.
    #[error("the backup is torn: it ends at byte {at}, and its end is missing")]
    Torn {
        /// Where it ends.
        at: u64,
    },
    /// The backup is not what was written.
    #[error("the backup is damaged at byte {at}: {what}")]
    Damaged {
        /// Where that was found.
        at: u64,
        /// What was found.
        what: String,
    },
    /// A row is not what its table should have.
    #[error("the backup has a row in the table `{table}` that cannot be read: {source}")]
    Row {
        /// The table.
        table: &'static str,
        /// Why.
        source: DecodeError,
    },
    /// There is something in the catalog that is to be restored.
    #[error("there is a lake already: its table `{table}` has rows")]
    NotEmpty {
        /// A table that has rows.
        table: &'static str,
    },
    /// The bytes could not be read.
    #[error("the backup could not be read: {0}")]
    Unreadable(#[source] io::Error),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Fault for BackupError {
    fn kind(&self) -> Kind {
        match self {
            BackupError::Foreign | BackupError::Newer { .. } => Kind::Invalid,
            BackupError::Torn { .. } | BackupError::Damaged { .. } | BackupError::Row { .. } => Kind::Corrupt,
            BackupError::NotEmpty { .. } => Kind::Conflict,
            BackupError::Unreadable(_) => Kind::Unavailable,
            BackupError::Catalog(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            BackupError::Foreign => "backup-foreign",
            BackupError::Newer { .. } => "backup-newer",
            BackupError::Torn { .. } => "backup-torn",
            BackupError::Damaged { .. } | BackupError::Row { .. } => "backup-damaged",
            BackupError::NotEmpty { .. } => "lake-not-empty",
            BackupError::Unreadable(_) => "backup-unreadable",
            BackupError::Catalog(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            BackupError::Foreign => "is it the right file? a backup begins with the letters `dapplebk`",
            BackupError::Newer { .. } => "use the dapple that made it, or a later one",
            BackupError::Torn { .. } => "was it copied whole, and did `dapple backup create` come to its end?",
            BackupError::Damaged { .. } | BackupError::Row { .. } => "use another copy of it, or an earlier backup",
            BackupError::NotEmpty { .. } => "restore into a directory that is new",
            BackupError::Unreadable(_) => return None,
            BackupError::Catalog(error) => return error.hint(),
        };
        Some(hint.to_owned())
    }
}
