//! What pages are made of besides their text: the style sheet, the scripts and the mark, all embedded.
//! Their addresses hold a hash of their content, so browsers may keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::http::problem::Problem;

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// htmx is under the Zero-Clause BSD licence, which lies beside it.
const ASSETS: [Asset; 4] = [
    Asset { name: "page.css", kind: "text/css; charset=utf-8", bytes: include_bytes!("assets/page.css") },
    Asset { name: "page.js", kind: "text/javascript; charset=utf-8", bytes: include_bytes!("assets/page.js") },
    Asset { name: "htmx.js", kind: "text/javascript; charset=utf-8", bytes: include_bytes!("assets/htmx.min.js") },
    Asset { name: "mark.svg", kind: "image/svg+xml", bytes: include_bytes!("assets/mark.svg") },
];

/// One word for the content of all of them.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for asset in &ASSETS {
        hasher.update(asset.bytes);
    }
    hasher.finalize().to_hex()[..16].to_owned()
});

/// The address of an asset.
pub(super) fn href(name: &str) -> String {
    format!("/assets/{}/{name}", *TAG)
}

/// Serves an asset. One of another version is not there: pages of that version name it, not of this.
pub(super) async fn serve(Path((tag, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name && tag == *TAG) else {
        let detail = "there is no such part of a page: load the page again";
        return Problem::new(StatusCode::NOT_FOUND, "no-such-route", detail).into_response();
    };
    let etag = format!("\"{tag}\"");
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|sent| sent.as_bytes() == etag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.kind)], asset.bytes).into_response()
    };
    let told = response.headers_mut();
    told.insert(header::ETAG, HeaderValue::from_str(&etag).expect("a hash in hex"));
    told.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    told.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
