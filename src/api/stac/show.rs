//! Shows what was found as STAC has it: items with links and assets, collections, pages.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::model::checksum::{Algorithm, Checksum};
use crate::model::did::Did;
use crate::model::media;
use crate::model::metadata::moment;
use crate::model::stac_id;
use crate::search::follow::shape::STAC_VERSION;
use crate::service::Lake;
use crate::service::search::{CollectionView, FileAsset, Files, Found, Item};
use crate::service::urls::plain_url;

/// Media types.
pub(super) const JSON: &str = "application/json";
pub(super) const GEOJSON: &str = "application/geo+json";

/// Schemas of what items have beside the core.
const FILE: &str = "https://stac-extensions.github.io/file/v2.1.0/schema.json";
const ALTERNATE: &str = "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json";
const TIMESTAMPS: &str = "https://stac-extensions.github.io/timestamps/v1.1.0/schema.json";

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

    fn collection(&self, id: &str) -> String {
        format!("{}/collections/{id}", self.root)
    }

    fn item(&self, collection: &str, id: &str) -> String {
        format!("{}/items/{id}", self.collection(collection))
    }

    /// The address that was asked for.
    fn asked(&self, uri: &Uri) -> String {
        let path = uri.path_and_query().map_or("", |both| both.as_str());
        format!("{}{path}", self.public)
    }

    /// The same address with another token.
    fn next(&self, uri: &Uri, token: &str) -> String {
        let kept = uri.query().unwrap_or_default().split('&');
        let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with("token="));
        let token = format!("token={}", utf8_percent_encode(token, NON_ALPHANUMERIC));
        let query: Vec<&str> = kept.chain([token.as_str()]).collect();
        format!("{}{}?{}", self.public, uri.path(), query.join("&"))
    }
}

/// An answer of JSON.
pub(super) fn json(value: &Value, kind: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, kind), (header::VARY, "Authorization"), (header::CACHE_CONTROL, "private, no-cache")];
    (headers, Body::from(value.to_string())).into_response()
}

/// Signed URLs are for whoever asked, and for now.
pub(super) fn guarded(mut response: Response, sign: bool) -> Response {
    if sign {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    response
}

fn link(rel: &str, href: impl Into<String>, kind: &str) -> Value {
    json!({ "rel": rel, "href": href.into(), "type": kind })
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

/// A page of items.
pub(super) fn page(base: &Base, found: Found, links: Vec<Value>, sign: bool) -> Response {
    let features: Vec<Value> = found.items.into_iter().map(|one| item(base, one)).collect();
    let mut page = json!({ "type": "FeatureCollection", "links": links, "numberReturned": features.len() });
    page["features"] = features.into();
    if let Some(matched) = found.matched {
        page["numberMatched"] = matched.into();
    }
    guarded(json(&page, GEOJSON), sign)
}

/// An item by itself.
pub(super) fn item_alone(base: &Base, one: Item, sign: bool) -> Response {
    guarded(json(&item(base, one), GEOJSON), sign)
}

fn item(base: &Base, item: Item) -> Value {
    let Item { id, collection, json: mut shown, length, bytes, files, .. } = item;
    let (here, above) = (base.item(&collection, &id), base.collection(&collection));
    let mut links = vec![
        link("self", &here, GEOJSON),
        link("root", &base.root, JSON),
        link("parent", &above, JSON),
        link("collection", &above, JSON),
    ];
    if let Some(Value::Object(properties)) = shown.get_mut("properties") {
        for (key, sum) in [("did:length", length), ("did:bytes", bytes)] {
            properties.extend(sum.map(|sum| (key.to_owned(), sum.into())));
        }
    }
    let assets = match files {
        Files::Listed(files) => assets(base, &files),
        Files::Many => {
            let list = format!("{here}/files");
            links.push(link("files", &list, JSON));
            let manifest =
                json!({ "href": list, "type": JSON, "title": "The files, page by page", "roles": ["metadata"] });
            Map::from_iter([("manifest".to_owned(), manifest)])
        }
    };
    let has = |key: &str| assets.values().any(|asset| asset.get(key).is_some());
    let used = [("file:size", FILE), ("alternate", ALTERNATE), ("expires", TIMESTAMPS)];
    let extensions: Vec<&str> = used.into_iter().filter(|(key, _)| has(key)).map(|(_, schema)| schema).collect();
    shown.insert("stac_extensions".to_owned(), json!(extensions));
    shown.insert("links".to_owned(), links.into());
    shown.insert("assets".to_owned(), assets.into());
    shown.into()
}

fn assets(base: &Base, files: &[FileAsset]) -> Map<String, Value> {
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        *ends.entry(stac_id::safe(file.did.name.file_name())).or_default() += 1;
    }
    let key = |file: &FileAsset| {
        let end = stac_id::safe(file.did.name.file_name());
        // Whoever shares the last part of a name is known by the whole of it, and by the scope.
        if ends[&end] == 1 { end } else { stac_id::of_did(&file.did) }
    };
    files.iter().map(|file| (key(file), asset(base, file))).collect()
}

fn asset(base: &Base, file: &FileAsset) -> Value {
    let plain = plain_url(&base.public, &file.did);
    let mut asset = json!({
        "href": plain,
        "type": media::of(file.did.name.file_name()).content_type,
        "roles": ["data"],
        "file:size": file.bytes,
    });
    if let Some(sum) = multihash(&file.checksums) {
        asset["file:checksum"] = sum.into();
    }
    if !file.endpoints.is_empty() {
        let alternate = |name: &crate::model::endpoint::EndpointName| {
            let href = format!("{plain}?from={}", utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC));
            (name.to_string(), json!({ "href": href, "alternate:name": name.as_str() }))
        };
        asset["alternate"] = Value::Object(file.endpoints.iter().map(alternate).collect());
    }
    if let Some(signed) = &file.signed {
        asset["href"] = signed.url.clone().into();
        asset["expires"] = signed.expires_at.to_string().into();
    }
    asset
}

/// The strongest checksum that all readers know, as a multihash.
fn multihash(checksums: &[Checksum]) -> Option<String> {
    let known = [(Algorithm::Sha256, "1220"), (Algorithm::Blake3, "1e20"), (Algorithm::Md5, "d50110")];
    known.into_iter().find_map(|(algorithm, code)| {
        let sum = checksums.iter().find(|sum| sum.algorithm() == algorithm)?;
        Some(format!("{code}{}", sum.hex()))
    })
}

/// A page of an item's files.
pub(super) fn files(base: &Base, uri: &Uri, files: &[FileAsset], next: Option<&str>) -> Value {
    let mut links = vec![link("root", &base.root, JSON), link("self", base.asked(uri), JSON)];
    links.extend(next.map(|next| link("next", base.next(uri, next), JSON)));
    let shown: Vec<Value> = files
        .iter()
        .map(|file| {
            let mut shown = asset(base, file);
            shown["name"] = file.did.to_string().into();
            shown
        })
        .collect();
    json!({ "files": shown, "links": links })
}
