//! `/changes`: the change feed.

use axum::Json;

use crate::catalog::feed::NumberedChange;
use crate::http::problem::Problem;
use crate::http::request::{Asking, WantedPage};
use crate::service::changes;
use crate::service::view::Page;

pub(super) async fn list(
    Asking(ctx): Asking,
    WantedPage(page): WantedPage,
) -> Result<Json<Page<NumberedChange>>, Problem> {
    Ok(Json(changes::list(&ctx, page).await?))
}
