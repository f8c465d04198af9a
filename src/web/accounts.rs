//! Accounts, for those who look after them.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;

use crate::service::accounts::manage;
use crate::service::paging::Paging;
use crate::service::view::AccountView;
use crate::web::frame::{Frame, page};
use crate::web::oops::Oops;
use crate::web::show;
use crate::web::visitor::{Asked, Visitor};

/// How many accounts a page shows.
const SHOWN: usize = 100;

/// Which page.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct AccountsPage {
    frame: Frame,
    accounts: Vec<AccountView>,
    is_first: bool,
    next: Option<String>,
}

pub(super) async fn list(Visitor(ctx): Visitor, Asked(wish): Asked<Wish>) -> Result<Response, Oops> {
    let is_first = wish.after.is_none();
    let found = manage::list(&ctx, Paging { limit: Some(SHOWN), after: wish.after }).await?;
    let commands = ["dapple account list", "dapple account usage NAME", "dapple account password set NAME"];
    let frame = Frame::of(&ctx, "accounts", "Accounts").commands(commands.map(str::to_owned));
    Ok(page(&AccountsPage { frame, accounts: found.items, is_first, next: found.next }))
}
