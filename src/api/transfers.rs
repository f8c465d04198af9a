//! `/transfers`.

use axum::Json;
use serde::Deserialize;

use crate::http::problem::Problem;
use crate::http::request::{Asking, Wanted, WantedPage};
use crate::model::id::RuleId;
use crate::service::transfers::{self, Filter};
use crate::service::view::{Page, TransferView};

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    state: Option<String>,
    rule: Option<RuleId>,
}

pub(super) async fn list(
    Asking(ctx): Asking,
    Wanted(which): Wanted<Which>,
    WantedPage(page): WantedPage,
) -> Result<Json<Page<TransferView>>, Problem> {
    let filter = Filter { state: which.state, rule: which.rule };
    Ok(Json(transfers::list(&ctx, filter, page).await?))
}
