//! Shows what was found as STAC has it: items with links and assets, collections, pages.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::did::Did;
use crate::model::metadata::moment;
use crate::search::follow::shape::STAC_VERSION;
use crate::service::Lake;
use crate::service::search::CollectionView;

/// Media types.
pub(super) const JSON: &str = "application/json";
pub(super) const GEOJSON: &str = "application/geo+json";

/// Where the door is.
pub(super) struct Base {
    /// The lake's address.
    public: String,
    /// The door's address.
    root: String,
}

impl Base {
    pub(super) fn of(lake: &Lake) -> Self {
        Self { public: lake.public_url.clone(), root: format!("{}/stac", lake.public_url) }
    }

    pub(super) fn public(&self) -> &str {
        &self.public
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn collection(&self, id: &str) -> String {
        format!("{}/collections/{id}", self.root)
    }

    pub(super) fn item(&self, collection: &str, id: &str) -> String {
        format!("{}/items/{id}", self.collection(collection))
    }

    /// The address that was asked for.
    pub(super) fn asked(&self, uri: &Uri) -> String {
        let path = uri.path_and_query().map_or("", |both| both.as_str());
        format!("{}{path}", self.public)
    }

    /// The same address with another token.
    pub(super) fn next(&self, uri: &Uri, token: &str) -> String {
        let kept = uri.query().unwrap_or_default().split('&');
        let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with("token="));
        let token = format!("token={}", utf8_percent_encode(token, NON_ALPHANUMERIC));
        let query: Vec<&str> = kept.chain([token.as_str()]).collect();
        format!("{}{}?{}", self.public, uri.path(), query.join("&"))
    }
}

/// An answer of JSON.
pub(super) fn json(value: &Value, kind: &'static str) -> Response {
    answer(value.to_string().into_bytes(), kind)
}

/// An answer of JSON that has been written.
pub(super) fn answer(written: Vec<u8>, kind: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, kind), (header::VARY, "Authorization"), (header::CACHE_CONTROL, "private, no-cache")];
    (headers, Body::from(written)).into_response()
}

/// Signed URLs are for whoever asked, and for now.
pub(super) fn guarded(mut response: Response, sign: bool) -> Response {
    if sign {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    response
}

/// A link to something else.
#[derive(Serialize)]
pub(super) struct Link<'a> {
    rel: &'static str,
    href: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl<'a> Link<'a> {
    pub(super) fn new(rel: &'static str, href: impl Into<Cow<'a, str>>, kind: &'static str) -> Self {
        Self { rel, href: href.into(), kind }
    }
}

fn link<'a>(rel: &'static str, href: impl Into<Cow<'a, str>>, kind: &'static str) -> Value {
    json!(Link::new(rel, href, kind))
}

/// The landing page.
pub(super) fn landing(base: &Base, conformance: &[&str], children: &[CollectionView]) -> Value {
    let root = &base.root;
    let searched =
        |method: &str| json!({ "rel": "search", "href": format!("{root}/search"), "type": GEOJSON, "method": method });
    let mut links = vec![
        link("root", root, JSON),
        link("self", root, JSON),
        link("conformance", format!("{root}/conformance"), JSON),
        link("data", format!("{root}/collections"), JSON),
        searched("GET"),
        searched("POST"),
        link("service-desc", format!("{root}/api"), super::OPENAPI),
    ];
    for child in children {
        let mut link = link("child", base.collection(&child.id), JSON);
        link["title"] = title(child).into();
        links.push(link);
    }
    json!({
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": "dapple",
        "title": "dapple",
        "description": "Datasets of the lake by place, time, words and fields",
        "conformsTo": conformance,
        "links": links,
    })
}

/// A page of collections.
pub(super) fn collections(base: &Base, uri: &Uri, all: &[CollectionView], next: Option<&str>) -> Value {
    let mut links = vec![link("root", &base.root, JSON), link("self", base.asked(uri), JSON)];
    links.extend(next.map(|next| link("next", base.next(uri, next), JSON)));
    let shown: Vec<Value> = all.iter().map(|view| collection(base, view)).collect();
    json!({ "collections": shown, "links": links, "numberReturned": shown.len() })
}

fn title(view: &CollectionView) -> String {
    let said = view.metadata.get("title").and_then(Value::as_str).map(str::to_owned);
    said.or_else(|| view.did.as_ref().map(Did::to_string)).unwrap_or_else(|| view.scope.to_string())
}

/// A collection.
pub(super) fn collection(base: &Base, view: &CollectionView) -> Value {
    let here = base.collection(&view.id);
    let links = json!([
        link("self", &here, JSON),
        link("root", &base.root, JSON),
        link("parent", &base.root, JSON),
        link("items", format!("{here}/items"), GEOJSON),
    ]);
    let text = |key: &str| view.metadata.get(key).and_then(Value::as_str);
    let description = text("description").map_or_else(
        || match &view.did {
            Some(did) => format!("What {did} holds"),
            None => format!("What is in the scope {}, and in no container", view.scope),
        },
        str::to_owned,
    );
    // SPDX names, as the schema of collections has them.
    let is_license = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte));
    let license = text("license").filter(is_license).unwrap_or("other");
    let bounds = view.extent.and_then(|extent| extent.bounds);
    let around = bounds.map_or([-180.0, -90.0, 180.0, 90.0], |all| [all.west, all.south, all.east, all.north]);
    let times = view
        .extent
        .map_or([Value::Null, Value::Null], |extent| [extent.from, extent.to].map(|at| moment::show(at).into()));
    let mut shown = json!({
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": view.id,
        "title": title(view),
        "description": description,
        "license": license,
        "extent": { "spatial": { "bbox": [around] }, "temporal": { "interval": [times] } },
        "links": links,
    });
    if let Some(did) = &view.did {
        shown["did"] = did.to_string().into();
    }
    if let Some(keywords) = view.metadata.get("keywords") {
        shown["keywords"] = keywords.clone();
    }
    let is_provider = |one: &Value| one.get("name").is_some_and(Value::is_string);
    if let Some(Value::Array(providers)) = view.metadata.get("providers")
        && providers.iter().all(is_provider)
    {
        shown["providers"] = json!(providers);
    }
    shown
}

/// Links of a page that was asked for by its address.
pub(super) fn of_page(base: &Base, uri: &Uri, next: Option<&str>, collection: Option<&str>) -> Vec<Value> {
    let mut links = vec![link("root", &base.root, JSON), link("self", base.asked(uri), GEOJSON)];
    if let Some(collection) = collection {
        links.push(link("collection", base.collection(collection), JSON));
        links.push(link("parent", base.collection(collection), JSON));
    }
    links.extend(next.map(|next| {
        let mut link = link("next", base.next(uri, next), GEOJSON);
        link["method"] = "GET".into();
        link
    }));
    links
}

/// Links of a page that was asked for by a body.
pub(super) fn of_posted_page(base: &Base, body: &Value, next: Option<&str>) -> Vec<Value> {
    let here = format!("{}/search", base.root);
    let mut links = vec![link("root", &base.root, JSON), link("self", &here, GEOJSON)];
    links.extend(next.map(|next| {
        let mut body = body.clone();
        body["token"] = next.into();
        json!({ "rel": "next", "href": here, "type": GEOJSON, "method": "POST", "merge": false, "body": body })
    }));
    links
}
