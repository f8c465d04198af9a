//! How much one question may cost: documents that are looked at, and positions of geometries that are
//! compared. The door is open to everybody, so nothing that is asked may take as long as it likes.

use std::cell::Cell;

use crate::search::error::SearchError;

/// What reading a geometry from a file costs, in positions.
const READ_POSITIONS: u64 = 10_000;

/// What is left to spend.
#[derive(Debug)]
pub(in crate::search) struct Budget {
    documents: Cell<u64>,
    positions: Cell<u64>,
}

impl Budget {
    /// That of a page.
    pub(in crate::search) fn of_page() -> Self {
        Self::new(20_000_000, 1_000_000_000)
    }

    /// That of a count, which says less and may be left out.
    pub(in crate::search) fn of_count() -> Self {
        Self::new(4_000_000, 200_000_000)
    }

    pub(in crate::search) fn new(documents: u64, positions: u64) -> Self {
        Self { documents: Cell::new(documents), positions: Cell::new(positions) }
    }

    /// Pays for documents that are looked at.
    pub(super) fn look(&self, documents: u64) -> Result<(), SearchError> {
        spend(&self.documents, documents)
    }

    /// Pays for a geometry that is read.
    pub(super) fn read(&self) -> Result<(), SearchError> {
        spend(&self.positions, READ_POSITIONS)
    }

    /// Pays for comparing each of some positions with each of others.
    pub(super) fn compare(&self, some: usize, others: usize) -> Result<(), SearchError> {
        spend(&self.positions, (some as u64).saturating_mul(others as u64))
    }
}

fn spend(purse: &Cell<u64>, much: u64) -> Result<(), SearchError> {
    purse.set(purse.get().checked_sub(much).ok_or(SearchError::TooMuch)?);
    Ok(())
}
