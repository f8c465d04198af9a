//! Pages: every list has a limit and a seek cursor, which is the last entry's own key as text.

use crate::model::id::DidId;
use crate::model::place::SealedPlace;
use crate::service::error::ServiceError;
use crate::service::view::Page;
use crate::service::{Context, Lake};

/// How many entries a page has when nobody says.
pub const LIMIT_DEFAULT: usize = 100;
/// The most entries a page has.
pub const LIMIT_MAX: usize = 1_000;

/// Which page of a list.
#[derive(Debug, Clone, Default)]
pub struct Paging {
    /// The cursor: the `next` of the page before.
    pub after: Option<String>,
    /// The most entries, between 1 and [`LIMIT_MAX`].
    pub limit: Option<usize>,
}

impl Paging {
    /// The limit, within its bounds.
    pub fn limit(&self) -> Result<usize, ServiceError> {
        match self.limit.unwrap_or(LIMIT_DEFAULT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            _ => Err(ServiceError::invalid("invalid-limit", format!("a page has between 1 and {LIMIT_MAX} entries"))),
        }
    }

    /// The cursor, read as what the list sorts by.
    pub fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, ServiceError> {
        let read = |text: &String| {
            text.parse().map_err(|_| ServiceError::invalid("invalid-cursor", "send the `next` of the page before"))
        };
        self.after.as_ref().map(read).transpose()
    }
}

impl Context {
    /// The place in a holder that a cursor leads on from. Places are sealed: by themselves they would
    /// tell of members that are hidden.
    pub(super) fn place(&self, holder: DidId, paging: &Paging) -> Result<Option<u64>, ServiceError> {
        place(&self.lake, holder, paging)
    }

    /// The cursor that leads on from a place in a holder.
    pub(super) fn cursor(&self, holder: DidId, place: Option<u64>) -> Option<String> {
        cursor(&self.lake, holder, place)
    }
}

/// The place in a holder that a cursor leads on from.
pub(super) fn place(lake: &Lake, holder: DidId, paging: &Paging) -> Result<Option<u64>, ServiceError> {
    let sealed: Option<SealedPlace> = paging.after()?;
    Ok(sealed.map(|sealed| lake.signer.places().open(holder, sealed)))
}

/// The cursor that leads on from a place in a holder.
pub(super) fn cursor(lake: &Lake, holder: DidId, place: Option<u64>) -> Option<String> {
    place.map(|place| lake.signer.places().seal(holder, place).to_string())
}

/// A page of entries that were read with `limit`; the cursor of the last one leads on if it is full.
pub fn page<T>(items: Vec<T>, full: bool, cursor: impl FnOnce(&T) -> String) -> Page<T> {
    let next = items.last().filter(|_| full).map(cursor);
    Page { items, next }
}
