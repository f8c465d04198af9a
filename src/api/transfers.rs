//! `/transfers`.

use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::answer::WantedList;
use crate::http::problem::Problem;
use crate::http::request::{Asking, PageQuery, Wanted};
use crate::model::id::RuleId;
use crate::service::transfers::{self, Filter};
use crate::service::view::{Page, TransferView};

/// Which transfers.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those in this state.
    #[param(pattern = "^(waiting|running|failed)$")]
    state: Option<String>,
    /// Only those that this rule wants.
    rule: Option<RuleId>,
}

/// Lists transfers in the order in which they were planned. A page that a filter thins out may have
/// fewer entries than the limit and still lead on.
#[utoipa::path(get, path = "/transfers", params(Which, PageQuery), responses((status = 200, body = Page<TransferView>)), tag = "transfers", operation_id = "list_transfers")]
pub(super) async fn list(
    Asking(ctx): Asking,
    Wanted(which): Wanted<Which>,
    want: WantedList,
) -> Result<Response, Problem> {
    let filter = Filter { state: which.state, rule: which.rule };
    want.answer(move |page| {
        let (ctx, filter) = (ctx.clone(), filter.clone());
        async move { transfers::list(&ctx, filter, page).await }
    })
    .await
}
