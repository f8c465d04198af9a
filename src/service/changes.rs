//! Changes: what happened to the catalog, in commit order, for whoever follows it.

use crate::catalog::feed::NumberedChange;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, page};
use crate::service::view::Page;

/// Lists changes behind a number, oldest first. An empty page means that there is nothing new yet.
pub async fn list(ctx: &Context, paging: Paging) -> Result<Page<NumberedChange>, ServiceError> {
    ctx.permit(Action::Administer, "changes")?;
    let limit = paging.limit()?;
    let after = paging.after()?.unwrap_or(0);
    if after > 0 && after < ctx.lake.catalog.feed_base() {
        return Err(feed_restarted());
    }
    let items = ctx.catalog().changes(after, limit).await?;
    let full = items.len() == limit;
    Ok(page(items, full, |change| change.seq.to_string()))
}

/// Whoever asks has seen changes of which the lake knows nothing any more.
fn feed_restarted() -> ServiceError {
    ServiceError::Conflict {
        code: "feed-restarted",
        detail: "the lake was restored from a backup since that change".to_owned(),
        hint: Some("read everything anew, and then the changes from the beginning: leave out `after`".to_owned()),
    }
}
