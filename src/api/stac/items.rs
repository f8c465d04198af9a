//! Shows items, and files of items. What the index keeps of an item goes out as it is; links, assets and
//! sums are written behind it, without a tree of values between.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;

use axum::http::Uri;
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::stac::show::{Base, GEOJSON, JSON, Link, answer, guarded};
use crate::model::checksum::{Algorithm, Checksum};
use crate::model::media;
use crate::model::stac_id;
use crate::service::search::{FileAsset, Files, Found, Item};
use crate::service::urls::plain_url;

/// Schemas of what items have beside the core.
const FILE: &str = "https://stac-extensions.github.io/file/v2.1.0/schema.json";
const ALTERNATE: &str = "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json";
const TIMESTAMPS: &str = "https://stac-extensions.github.io/timestamps/v1.1.0/schema.json";
/// About how many bytes are written behind an item.
const BEHIND: usize = 1_024;

/// What is written behind an item's properties.
#[derive(Serialize)]
struct Behind<'a> {
    stac_extensions: Vec<&'static str>,
    links: Vec<Link<'a>>,
    assets: BTreeMap<String, Asset<'a>>,
}

#[derive(Serialize)]
struct Asset<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    href: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'static str>,
    roles: [&'static str; 1],
    #[serde(rename = "file:size", skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(rename = "file:checksum", skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    alternate: BTreeMap<&'a str, Alternate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

#[derive(Serialize)]
struct Alternate<'a> {
    href: String,
    #[serde(rename = "alternate:name")]
    name: &'a str,
}

/// A page of items.
pub(super) fn page(base: &Base, found: &Found, links: &[Value], sign: bool) -> Response {
    let size: usize = found.items.iter().map(|item| item.text.open().len() + BEHIND).sum();
    let mut out = Vec::with_capacity(size + BEHIND);
    out.extend_from_slice(b"{\"type\":\"FeatureCollection\",\"features\":[");
    for (at, item) in found.items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(&mut out, base, item);
    }
    out.extend_from_slice(b"],\"links\":");
    put(&mut out, links);
    write!(out, ",\"numberReturned\":{}", found.items.len()).expect("memory takes all");
    if let Some(matched) = found.matched {
        write!(out, ",\"numberMatched\":{matched}").expect("memory takes all");
    }
    out.push(b'}');
    guarded(answer(out, GEOJSON), sign)
}

/// An item by itself.
pub(super) fn alone(base: &Base, item: &Item, sign: bool) -> Response {
    let mut out = Vec::new();
    write(&mut out, base, item);
    guarded(answer(out, GEOJSON), sign)
}

fn put(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("it has text keys only, and memory takes all");
}

fn write(out: &mut Vec<u8>, base: &Base, item: &Item) {
    out.extend_from_slice(item.text.open().as_bytes());
    for (key, sum) in [("did:length", item.length), ("did:bytes", item.bytes)] {
        if let Some(sum) = sum {
            write!(out, ",\"{key}\":{sum}").expect("memory takes all");
        }
    }
    out.push(b'}');
    let from = out.len();
    put(out, &behind(base, item));
    // The brace with which that begins: it goes on as members of the item.
    out[from] = b',';
}

fn behind<'a>(base: &'a Base, item: &'a Item) -> Behind<'a> {
    let (here, above) = (base.item(&item.collection, &item.id), base.collection(&item.collection));
    let list = format!("{here}/files");
    let mut links = vec![
        Link::new("self", here, GEOJSON),
        Link::new("root", base.root(), JSON),
        Link::new("parent", above.clone(), JSON),
        Link::new("collection", above, JSON),
    ];
    let assets = match &item.files {
        Files::Listed(files) => assets(base, files),
        Files::Many => {
            links.push(Link::new("files", list.clone(), JSON));
            let title = Some("The files, page by page");
            BTreeMap::from([("manifest".to_owned(), Asset { title, roles: ["metadata"], ..Asset::new(list, JSON) })])
        }
    };
    let has = |part: fn(&Asset<'_>) -> bool| assets.values().any(part);
    let used = [
        (FILE, has(|asset| asset.size.is_some())),
        (ALTERNATE, has(|asset| !asset.alternate.is_empty())),
        (TIMESTAMPS, has(|asset| asset.expires.is_some())),
    ];
    let stac_extensions = used.into_iter().filter_map(|(schema, is_used)| is_used.then_some(schema)).collect();
    Behind { stac_extensions, links, assets }
}

fn assets<'a>(base: &Base, files: &'a [FileAsset]) -> BTreeMap<String, Asset<'a>> {
    let ends: Vec<String> = files.iter().map(|file| stac_id::safe(file.did.name.file_name())).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for end in &ends {
        *counts.entry(end).or_default() += 1;
    }
    // Whoever shares the last part of a name is known by the whole of it, and by the scope.
    let key = |(file, end): (&FileAsset, &String)| {
        if counts[end.as_str()] == 1 { end.clone() } else { stac_id::of_did(&file.did) }
    };
    let keys: Vec<String> = files.iter().zip(&ends).map(key).collect();
    keys.into_iter().zip(files).map(|(key, file)| (key, Asset::of(base, file))).collect()
}

impl<'a> Asset<'a> {
    fn new(href: impl Into<Cow<'a, str>>, kind: &'a str) -> Self {
        Self {
            name: None,
            href: href.into(),
            kind,
            title: None,
            roles: ["data"],
            size: None,
            checksum: None,
            alternate: BTreeMap::new(),
            expires: None,
        }
    }

    fn of(base: &Base, file: &'a FileAsset) -> Self {
        let plain = plain_url(base.public(), &file.did);
        let alternate = |name: &'a str| {
            let href = format!("{plain}?from={}", utf8_percent_encode(name, NON_ALPHANUMERIC));
            (name, Alternate { href, name })
        };
        let alternate = file.endpoints.iter().map(|name| alternate(name.as_str())).collect();
        let kind = media::of(file.did.name.file_name()).content_type;
        let (href, expires) = match &file.signed {
            Some(signed) => (Cow::Borrowed(signed.url.as_str()), Some(signed.expires_at.to_string())),
            None => (Cow::Owned(plain), None),
        };
        let (size, checksum) = (Some(file.bytes), multihash(&file.checksums));
        Self { size, checksum, alternate, expires, ..Self::new(href, kind) }
    }
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
    let mut links = vec![Link::new("root", base.root(), JSON), Link::new("self", base.asked(uri), JSON)];
    links.extend(next.map(|next| Link::new("next", base.next(uri, next), JSON)));
    let named = files.iter().map(|file| Asset { name: Some(file.did.to_string()), ..Asset::of(base, file) });
    let shown: Vec<Asset<'_>> = named.collect();
    json!({ "files": shown, "links": links })
}
