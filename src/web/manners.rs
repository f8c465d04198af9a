//! What holds for all pages: they load nothing from elsewhere, are not kept, and their forms come from
//! themselves. Draws the page of what went wrong.
//!
//! A form of another site is refused twice: the cookie does not come along with it (`SameSite=Strict`),
//! and here, by what the browser says of where the form was.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::http::entry::Known;
use crate::http::problem::Problem;
use crate::web::Pages;
use crate::web::frame::Frame;
use crate::web::oops::Oops;

/// What a page may load and do.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Keeps pages to their manners.
pub(super) async fn keep(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let known = request.extensions().get::<Known>().cloned();
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = if changes && !is_own(request.headers(), &pages.lake.public_url) {
        let detail = "this form was sent by another site, or the browser does not say by which";
        let problem = Problem::new(StatusCode::FORBIDDEN, "cross-site", detail);
        Oops::from(problem.hint("open the page of this lake and send its form; programs use the API")).into_response()
    } else {
        next.run(request).await
    };
    let mut response = match answer.extensions().get::<Oops>() {
        Some(oops) => {
            let account = known.as_ref().and_then(Known::account).map(str::to_owned);
            oops.draw(Frame { account, now: pages.lake.catalog.clock().now(), ..Frame::default() })
        }
        None => answer,
    };
    dress(response.headers_mut());
    response
}

/// Tells the browser what a page may do, and that it is not kept.
pub(super) fn dress(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Other sites are told nothing; forms of this one say where they come from.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
}

/// Tells whether a form comes from a page of this lake: browsers say so in `Sec-Fetch-Site`, or, where
/// there is no TLS, in `Origin`.
fn is_own(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text("origin") else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    let is_asked = host.is_some() && host == text("host");
    is_asked || origin_of(public_url) == Some(origin)
}

/// Scheme, host and port of a URL.
fn origin_of(url: &str) -> Option<&str> {
    let host = url.find("://")? + 3;
    Some(url[host..].find('/').map_or(url, |end| &url[..host + end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_other_sites_are_told_apart() {
        let table: [(&[(&str, &str)], bool); 10] = [
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://lake.example.org")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "http://10.0.0.1:7070"), ("host", "10.0.0.1:7070")], true),
            (&[("origin", "http://10.0.0.2:7070"), ("host", "10.0.0.1:7070")], false),
            (&[("origin", "https://lake.example.org"), ("host", "inner:80")], true),
            (&[("origin", "http://lake.example.org"), ("host", "inner:80")], false),
            (&[("origin", "null"), ("host", "10.0.0.1:7070")], false),
            (&[("host", "10.0.0.1:7070")], false),
        ];
        for (sent, own) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_own(&headers, "https://lake.example.org/lake"), own, "{sent:?}");
        }
    }
}
