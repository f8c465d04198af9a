//! Goes on for a reader where a lot of a list has nothing to show: much of it is hidden, or in another
//! state.

use crate::service::error::ServiceError;
use crate::service::view::Page;

/// How many lots are read before a page is empty, and leads on by a link.
const LOTS_MAX: usize = 5;

/// The first lot of a list behind a cursor with something to show.
pub(super) async fn first_shown<T, F>(
    mut after: Option<String>,
    mut list: impl FnMut(Option<String>) -> F,
) -> Result<Page<T>, ServiceError>
where
    F: Future<Output = Result<Page<T>, ServiceError>>,
{
    for _ in 1..LOTS_MAX {
        let lot = list(after).await?;
        if !lot.items.is_empty() || lot.next.is_none() {
            return Ok(lot);
        }
        after = lot.next;
    }
    list(after).await
}
