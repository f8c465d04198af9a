//! The rule engine: keeps what is in step with what rules say shall be.
//!
//! Evaluate chooses endpoints and writes locks, fill turns missing files into transfers, fold
//! counts what has arrived, expire and release end rules. Each step takes no input, reads its work
//! from the catalog, does a bounded piece of it, and can be repeated or broken off anywhere.

pub mod evaluate;
pub mod expire;
pub mod fill;
pub mod fold;
pub mod follow;
pub mod labelled;
pub mod need;
mod permit;
pub mod place;
pub mod quota;
pub mod reconsider;
pub mod walk;

/// Whether a step found work, and so should be called again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It did something.
    Made,
    /// There was nothing to do.
    Nothing,
}

impl Progress {
    /// Made, if either was.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Progress::Made { self } else { other }
    }
}
