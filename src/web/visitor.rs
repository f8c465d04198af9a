//! Who visits a page: found out by the cookie, as strictly as the API does by its header.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::fault::{Fault as _, Kind};
use crate::http::entry::{Refused, admit};
use crate::http::peer::PeerAddress;
use crate::http::problem::Problem;
use crate::http::request::Wanted;
use crate::service::error::ServiceError;
use crate::service::{Context, accounts};
use crate::web::Pages;
use crate::web::oops::Oops;

/// The cookie's name where the lake is reached by https; browsers then keep it from other hosts and paths.
const SECURE_NAME: &str = "__Host-dapple";
/// Its name elsewhere.
const PLAIN_NAME: &str = "dapple";

/// A visitor who is signed in.
pub(super) struct Visitor(pub(super) Context);

impl FromRequestParts<Pages> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        let Some(cookie) = cookie(&parts.headers, &pages.lake.public_url) else {
            return Err(to_sign_in(parts));
        };
        let peer = PeerAddress::of(&parts.extensions).map(|peer| peer.0);
        let known = match pages.desk.key(cookie) {
            Some(key) => accounts::authenticate(&pages.lake, &key, peer).await,
            None => Err(ServiceError::Unauthenticated("the session has ended")),
        };
        let context = match known {
            Ok(context) => context,
            Err(error) if error.kind() == Kind::Unauthenticated => {
                let mut answer = to_sign_in(parts);
                answer.extensions_mut().insert(Refused);
                return Err(answer);
            }
            Err(error) => return Err(Oops::from(error).into_response()),
        };
        admit(&parts.extensions, context.account().as_str()).map_err(|problem| Oops::from(problem).into_response())?;
        Ok(Self(context))
    }
}

/// Sends a visitor to the sign-in page, from where they come back to what they wanted to see.
fn to_sign_in(parts: &Parts) -> Response {
    let wanted = parts.uri.path_and_query().map_or("/", |both| both.as_str());
    let to = match (&parts.method, wanted) {
        (&Method::GET, wanted) if wanted != "/" => {
            format!("/sign-in?to={}", utf8_percent_encode(wanted, NON_ALPHANUMERIC))
        }
        _ => "/sign-in".to_owned(),
    };
    if parts.headers.contains_key("hx-request") {
        // A part of a page cannot be the sign-in page: all of it goes there.
        let to = HeaderValue::from_str(&to).expect("percent-encoded");
        return (StatusCode::UNAUTHORIZED, [("hx-redirect", to)]).into_response();
    }
    Redirect::to(&to).into_response()
}

fn cookie_name(public_url: &str) -> &'static str {
    if public_url.starts_with("https:") { SECURE_NAME } else { PLAIN_NAME }
}

/// What the browser keeps for us.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, public_url: &str) -> Option<&'a str> {
    let name = cookie_name(public_url);
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value).next()
}

/// The header that has the browser keep something, or forget it if that is empty.
pub(super) fn set_cookie(value: &str, public_url: &str) -> HeaderValue {
    let (name, secure) = (cookie_name(public_url), if public_url.starts_with("https:") { "; Secure" } else { "" });
    let age = if value.is_empty() { "; Max-Age=0" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
    HeaderValue::from_str(&text).expect("tokens and tickets are letters, digits, `-` and `_`")
}

/// Query parameters of a page.
pub(super) struct Asked<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned> FromRequestParts<Pages> for Asked<T> {
    type Rejection = Oops;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Oops> {
        let Wanted(query) = Wanted::from_request_parts(parts, pages).await?;
        Ok(Self(query))
    }
}

/// The fields of a form.
pub(super) struct Fields<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned> FromRequest<Pages> for Fields<T> {
    type Rejection = Oops;

    async fn from_request(request: Request, pages: &Pages) -> Result<Self, Oops> {
        let read = axum::Form::from_request(request, pages).await;
        match read {
            Ok(axum::Form(fields)) => Ok(Self(fields)),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "the form is too long").into())
            }
            Err(error) => Err(ServiceError::invalid("invalid-body", error.body_text()).into()),
        }
    }
}

/// Whether a visitor may be told of something: what policy keeps from them is left out of a page
/// that has more to show.
pub(super) fn if_permitted<T>(told: Result<T, ServiceError>) -> Result<Option<T>, ServiceError> {
    match told {
        Ok(told) => Ok(Some(told)),
        Err(error) if error.kind() == Kind::Denied => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_bound_to_the_host_where_there_is_tls() {
        let secure = set_cookie("abc", "https://lake.example.org");
        assert_eq!(secure, "__Host-dapple=abc; Path=/; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(set_cookie("", "http://h"), "dapple=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; dapple=plain"));
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-dapple=secure"));
        assert_eq!(cookie(&headers, "https://h"), Some("secure"));
        assert_eq!(cookie(&headers, "http://h"), Some("plain"));
        assert_eq!(cookie(&HeaderMap::new(), "http://h"), None);
    }
}
