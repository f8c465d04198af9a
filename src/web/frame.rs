//! What all pages have in common: head, navigation, notice, and the same at the command line.

use askama::Template;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use crate::model::time::Timestamp;
use crate::service::Context;
use crate::web::assets;

/// What is around a page's own content.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    /// What the page is called.
    pub(super) title: String,
    /// The part of the navigation that it belongs to.
    pub(super) here: &'static str,
    /// Who visits, if they are signed in.
    pub(super) account: Option<String>,
    /// Whether they look after accounts.
    pub(super) admin: bool,
    /// What has just been done.
    pub(super) notice: Option<&'static str>,
    /// The same at the command line.
    pub(super) commands: Vec<String>,
    /// When the page was made.
    pub(super) now: Timestamp,
}

impl Frame {
    /// The frame of a page for somebody who is signed in.
    pub(super) fn of(ctx: &Context, here: &'static str, title: impl ToString) -> Self {
        Self {
            title: title.to_string(),
            here,
            account: Some(ctx.account().to_string()),
            admin: ctx.principal.admin,
            now: ctx.lake.catalog.clock().now(),
            ..Self::default()
        }
    }

    /// The same with what has just been done.
    pub(super) fn after(mut self, done: &Done) -> Self {
        self.notice = done.done.as_deref().and_then(notice);
        self
    }

    /// The same with the commands that tell or do what the page does.
    pub(super) fn commands(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.commands = commands.into_iter().collect();
        self
    }

    /// The server's version.
    #[expect(clippy::unused_self, reason = "templates ask the frame")]
    pub(super) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// The address of an asset.
    #[expect(clippy::unused_self, reason = "templates ask the frame")]
    pub(super) fn asset(&self, name: &str) -> String {
        assets::href(name)
    }
}

/// What a form did, for the page that it leads to: `?done=`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Done {
    done: Option<String>,
}

fn notice(done: &str) -> Option<&'static str> {
    let words = match done {
        "added" => "The rule was added. Dapple looks for endpoints now.",
        "attribute" => "The attribute was changed. Rules that found no place are tried again.",
        "bad" => "The replica was declared bad. Rules replace it.",
        "changed" => "The rule was changed. Its place is decided again.",
        "probed" => "The endpoint was tried. What it can do stands below.",
        "removed" => "The rule was removed. Replicas stay where they are.",
        "retried" => "What was stuck is tried again now.",
        "signed-out" => "You are signed out.",
        _ => return None,
    };
    Some(words)
}

/// Draws a page.
pub(super) fn page(template: &impl Template) -> Response {
    Html(template.render().expect("templates write into memory")).into_response()
}

/// Leads on to a page that says what was done.
pub(super) fn done(to: &str, what: &str) -> Response {
    debug_assert!(notice(what).is_some(), "{what} has words");
    Redirect::to(&format!("{to}?done={what}")).into_response()
}
