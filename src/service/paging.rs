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

/// How many rows are looked at together, once a page was not filled by as many as it has entries.
const ROWS: usize = 1_000;
/// How many rows one page looks through for what is seen: behind those it ends, short or empty, and with
/// a cursor.
const ROWS_MAX: usize = if cfg!(test) { 8 } else { 20_000 };

/// Begins a cursor that is sealed; names that begin with it are sealed as well.
const SEALED: char = '~';

/// The rounds in which rows are looked at to fill a page.
pub(super) struct Rounds {
    rows: usize,
    left: usize,
}

impl Rounds {
    /// Those of a page of so many entries.
    pub(super) fn of(limit: usize) -> Self {
        Self { rows: limit, left: ROWS_MAX }
    }

    /// How many rows to look at now; `None` if that were too many.
    pub(super) fn next(&mut self) -> Option<usize> {
        let rows = self.rows.min(self.left);
        self.left -= rows;
        self.rows = ROWS;
        (rows > 0).then_some(rows)
    }
}

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
        self.after.as_ref().map(|text| text.parse().map_err(|_| invalid_cursor())).transpose()
    }
}

fn invalid_cursor() -> ServiceError {
    ServiceError::invalid("invalid-cursor", "send the `next` of the page before")
}

impl Context {
    /// The name that a cursor leads on from, in a list of names within something.
    pub(super) fn name(&self, within: &str, paging: &Paging) -> Result<Option<String>, ServiceError> {
        let Some(after) = &paging.after else { return Ok(None) };
        let Some(sealed) = after.strip_prefix(SEALED) else { return Ok(Some(after.clone())) };
        let opened = self.lake.signer.places().open_name(within, sealed);
        opened.map(Some).ok_or_else(invalid_cursor)
    }

    /// The cursor that leads on from a name that is shown.
    pub(super) fn behind_shown(&self, within: &str, name: &str) -> String {
        if name.starts_with(SEALED) { self.behind_any(within, name) } else { name.to_owned() }
    }

    /// The cursor that leads on from a name that may be hidden.
    pub(super) fn behind_any(&self, within: &str, name: &str) -> String {
        format!("{SEALED}{}", self.lake.signer.places().seal_name(within, name))
    }

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
