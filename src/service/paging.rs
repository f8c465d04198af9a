//! Pages: every list has a limit and a seek cursor, which is the last entry's own key as text.

use crate::service::error::ServiceError;
use crate::service::view::Page;

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

/// A page of entries that were read with `limit`; the cursor of the last one leads on if it is full.
pub fn page<T>(items: Vec<T>, full: bool, cursor: impl FnOnce(&T) -> String) -> Page<T> {
    let next = items.last().filter(|_| full).map(cursor);
    Page { items, next }
}
