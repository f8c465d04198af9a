//! Transfers that are not done, and why they are not.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;

use crate::service::paging::Paging;
use crate::service::transfers::{self, Filter};
use crate::service::view::TransferView;
use crate::web::frame::{Frame, page};
use crate::web::lots::first_shown;
use crate::web::oops::Oops;
use crate::web::show;
use crate::web::visitor::{Asked, Visitor};

/// How many transfers a page shows.
const SHOWN: usize = 100;

/// Which transfers to show.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    state: String,
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "transfers.html")]
struct TransfersPage {
    frame: Frame,
    states: [&'static str; 3],
    state: String,
    transfers: Vec<TransferView>,
    is_first: bool,
    next: Option<String>,
}

impl TransfersPage {
    fn base(&self) -> String {
        format!("/transfers?state={}&", self.state)
    }
}

pub(super) async fn list(Visitor(ctx): Visitor, Asked(wish): Asked<Wish>) -> Result<Response, Oops> {
    let is_first = wish.after.is_none();
    let state = Some(wish.state.clone()).filter(|state| !state.is_empty());
    let filter = Filter { state: state.clone(), rule: None };
    let found =
        first_shown(wish.after, |after| transfers::list(&ctx, filter.clone(), Paging { limit: Some(SHOWN), after }))
            .await?;
    let of = state.map(|state| format!(" --state {state}")).unwrap_or_default();
    let frame = Frame::of(&ctx, "transfers", "Transfers").commands([format!("dapple transfer list{of}")]);
    let states = ["running", "waiting", "failed"];
    Ok(page(&TransfersPage { frame, states, state: wish.state, transfers: found.items, is_first, next: found.next }))
}
