//! Lists the files that a dataset's grant opens: as JSON, or as a page of relative links for people
//! and for tools that follow links.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use crate::http::problem::Problem;
use crate::model::scope::Scope;
use crate::service::Lake;
use crate::service::paging::Paging;
use crate::service::urls::{self, encode_name};
use crate::service::view::{ContentView, Page};

/// A page of links needs nothing: no script, no style, no frame around it.
const PAGE_POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";

/// Answers GET and HEAD of a dataset's base.
pub(super) async fn answer(
    lake: &Lake,
    token: &str,
    scope: &Scope,
    paging: Paging,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let limit = paging.limit;
    let page = urls::list(lake, token, paging).await?;
    let mut response = if prefers_html(headers) {
        let content_type = (header::CONTENT_TYPE, "text/html; charset=utf-8");
        ([content_type], html(&page, scope, limit)).into_response()
    } else {
        Json(page).into_response()
    };
    for (name, value) in [
        (header::CACHE_CONTROL, "private, no-store"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::VARY, "Accept"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Whether `text/html` is named, and liked better than JSON.
fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json) = (0.0, [None; 3]);
    for value in headers.get_all(header::ACCEPT) {
        for entry in value.to_str().unwrap_or_default().split(',') {
            let mut parts = entry.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
            let quality: f32 = quality.unwrap_or(1.0);
            match kind.as_str() {
                "text/html" => html = quality,
                "application/json" => json[0] = Some(quality),
                "application/*" => json[1] = Some(quality),
                "*/*" => json[2] = Some(quality),
                _ => {}
            }
        }
    }
    html > json.into_iter().flatten().next().unwrap_or(0.0)
}

fn html(page: &Page<ContentView>, scope: &Scope, limit: Option<usize>) -> String {
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{scope}</title></head><body>\n\
         <h1>{scope}</h1>\n<table>\n<tr><th>Name</th><th>Bytes</th><th>Checksum</th></tr>\n"
    );
    for item in &page.items {
        let checksum = item.checksums.first().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!(
            "<tr><td><a href=\"{}\">{}</a></td><td>{}</td><td>{checksum}</td></tr>\n",
            escape(&link(item, scope)),
            escape(item.did.name.as_str()),
            item.bytes,
        ));
    }
    text.push_str("</table>\n");
    if let Some(next) = &page.next {
        let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
        let query = format!("?after={}{limit}", encode_name(next));
        text.push_str(&format!("<p><a rel=\"next\" href=\"{}\">More</a></p>\n", escape(&query)));
    }
    text.push_str("</body></html>\n");
    text
}

/// A link relative to the base. It begins with a dot, so that no name reads as a host or a scheme.
fn link(item: &ContentView, scope: &Scope) -> String {
    let name = encode_name(item.did.name.as_str());
    if item.did.scope == *scope { format!("./{name}") } else { format!("../{}/{name}", item.did.scope) }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::did::DidKind;

    #[test]
    fn html_is_for_those_who_ask_for_it() {
        for (accept, html) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("text/html", true),
            ("text/html, application/json;q=0.9", true),
            ("application/json;q=0.1, text/html;q=0.2, */*", true),
            ("*/*", false),
            ("", false),
            ("application/json", false),
            ("text/html, application/json", false),
            ("text/html;q=0.5, */*", false),
            ("text/html;q=0", false),
            ("text/*", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(prefers_html(&headers), html, "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn names_cannot_write_html_or_lead_elsewhere() {
        let item = |did: &str| ContentView {
            did: did.parse().expect("valid"),
            kind: DidKind::File,
            bytes: 3,
            checksums: Vec::new(),
        };
        let names = ["s:<script>\"'&", "s://evil.example/x", "s:javascript:x", "other:a"];
        let page = Page { items: names.map(item).into(), next: Some("7".to_owned()) };
        let text = html(&page, &Scope::parse("s").expect("valid"), Some(4));
        for expected in [
            "<a href=\"./%3Cscript%3E%22%27%26\">&lt;script&gt;&quot;&#39;&amp;</a>",
            "<a href=\".///evil.example/x\">",
            "<a href=\"./javascript%3Ax\">",
            "<a href=\"../other/a\">",
            "<a rel=\"next\" href=\"?after=7&amp;limit=4\">",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert!(!text.contains("<script"));
    }
}
