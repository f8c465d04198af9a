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
    let items = ctx.catalog().changes(paging.after()?.unwrap_or(0), limit).await?;
    let full = items.len() == limit;
    Ok(page(items, full, |change| change.seq.to_string()))
}
