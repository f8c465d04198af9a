//! `/changes`: the change feed.

use axum::response::Response;

use crate::catalog::feed::NumberedChange;
use crate::http::answer::WantedList;
use crate::http::problem::Problem;
use crate::http::request::{Asking, PageQuery};
use crate::service::changes;
use crate::service::view::Page;

/// Lists changes behind a number, oldest first.
#[utoipa::path(get, path = "/changes", params(PageQuery), responses((status = 200, body = Page<NumberedChange>)), tag = "changes", operation_id = "list_changes")]
pub(super) async fn list(Asking(ctx): Asking, want: WantedList) -> Result<Response, Problem> {
    want.answer(move |page| {
        let ctx = ctx.clone();
        async move { changes::list(&ctx, page).await }
    })
    .await
}
