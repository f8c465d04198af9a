//! Signing in and out.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use crate::fault::{Fault as _, Kind};
use crate::http::entry::LetIn;
use crate::http::peer::Peer;
use crate::service::accounts::{authenticate, sessions};
use crate::service::error::ServiceError;
use crate::service::view::{NewSession, SecretText};
use crate::web::Pages;
use crate::web::frame::{Done, Frame, page};
use crate::web::oops::Oops;
use crate::web::visitor::{Asked, Fields, cookie, set_cookie};

/// Where to go after signing in, and a code that signs in by itself.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    to: Option<String>,
    code: Option<String>,
}

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage {
    frame: Frame,
    to: String,
    account: String,
    refused: Option<String>,
}

fn form(pages: &Pages, to: Option<String>) -> SignInPage {
    let now = pages.lake.catalog.clock().now();
    let frame = Frame { title: "Sign in".to_owned(), now, ..Frame::default() };
    let to = to.filter(|to| is_local(to)).unwrap_or_else(|| "/".to_owned());
    SignInPage { frame, to, account: String::new(), refused: None }
}

/// Tells whether an address is one of this lake. Browsers take a backslash for a slash, and two slashes
/// for the beginning of a host.
fn is_local(to: &str) -> bool {
    to.starts_with('/') && !to.starts_with("//") && to.chars().all(|c| c.is_ascii_graphic() && c != '\\')
}

/// Asks who is there, or lets in whoever has a code.
pub(super) async fn ask(
    State(pages): State<Pages>,
    Asked(wish): Asked<Wish>,
    Asked(done): Asked<Done>,
) -> Result<Response, Oops> {
    if let Some(code) = &wish.code {
        return Ok(match pages.desk.redeem(code) {
            Some(key) => let_in(&pages, &pages.desk.ticket(key), "/"),
            None => {
                let refused = Some("The link has been used before, or its time is over.".to_owned());
                unauthorized(&SignInPage { refused, ..form(&pages, wish.to) })
            }
        });
    }
    let SignInPage { frame, to, .. } = form(&pages, wish.to);
    Ok(page(&SignInPage { frame: frame.after(&done), to, account: String::new(), refused: None }))
}

/// What a visitor shows: an account and its password, or an API key.
#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    account: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    key: String,
    to: Option<String>,
}

/// Lets somebody in who shows what they need to.
pub(super) async fn begin(
    State(pages): State<Pages>,
    Peer(peer): Peer,
    Fields(shown): Fields<Shown>,
) -> Result<Response, Oops> {
    let (key, account) = (shown.key.trim(), shown.account.trim());
    let let_in_by = if key.is_empty() {
        let new = NewSession { account: account.to_owned(), password: SecretText::new(shown.password) };
        let begun = sessions::begin(&pages.lake, new, peer, false).await;
        begun.map(|session| session.token.reveal().to_owned())
    } else {
        authenticate(&pages.lake, key, peer).await.map(|_| pages.desk.ticket(key.to_owned()))
    };
    let asked = form(&pages, shown.to);
    match let_in_by {
        Ok(token) => Ok(let_in(&pages, &token, &asked.to)),
        Err(error) if error.kind() == Kind::Unauthenticated || error.code() == "too-many-logins" => {
            let status = if error.kind() == Kind::Unauthenticated {
                StatusCode::UNAUTHORIZED
            } else {
                StatusCode::TOO_MANY_REQUESTS
            };
            let refused = Some(sentence(&error));
            let mut response = page(&SignInPage { account: account.to_owned(), refused, ..asked });
            *response.status_mut() = status;
            Ok(response)
        }
        Err(error) => Err(error.into()),
    }
}

/// An error as a sentence.
fn sentence(error: &ServiceError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn unauthorized(asked: &SignInPage) -> Response {
    let mut response = page(asked);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

fn let_in(pages: &Pages, token: &str, to: &str) -> Response {
    let kept = [(header::SET_COOKIE, set_cookie(token, &pages.lake.public_url))];
    (Extension(LetIn), kept, Redirect::to(to)).into_response()
}

/// Signs out: ends the session, and has the browser forget it.
pub(super) async fn end(State(pages): State<Pages>, Peer(peer): Peer, headers: HeaderMap) -> Result<Response, Oops> {
    let public_url = &pages.lake.public_url;
    if let Some(cookie) = cookie(&headers, public_url)
        && !pages.desk.forget(cookie)
        && let Ok(context) = authenticate(&pages.lake, cookie, peer).await
    {
        sessions::end(&context, cookie).await?;
    }
    let forgotten = [(header::SET_COOKIE, set_cookie("", public_url))];
    Ok((forgotten, Redirect::to("/sign-in?done=signed-out")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_pages_of_this_lake_alone() {
        for (to, local) in [
            ("/", true),
            ("/rules?state=stuck&after=1", true),
            ("/data/s/a%20b", true),
            ("//elsewhere.example", false),
            ("/\\elsewhere.example", false),
            ("https://elsewhere.example", false),
            ("/a\r\nset-cookie: x", false),
            ("rules", false),
            ("", false),
        ] {
            assert_eq!(is_local(to), local, "{to}");
        }
    }
}
