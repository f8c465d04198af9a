//! The STAC API, `/stac`: datasets as items, containers as collections, files as assets. No key is
//! needed for what is public; whoever shows one sees what they may.
//!
//! Speaks STAC 1.1.0 and STAC API 1.0.0: core, collections, features, item search, sort, query, free text.
//! Its errors are OGC's: a code and a description.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use serde_json::{Value, json};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::stac::ask::{Asked, BesideQuery, CollectionsQuery, FilesQuery, ItemQuery, SearchQuery};
use crate::api::stac::show::{Base, GEOJSON};
use crate::http::body::JsonBody;
use crate::http::panic::caught;
use crate::http::problem::Problem;
use crate::http::request::{Reading, Wanted};
use crate::service::error::ServiceError;
use crate::service::paging::Paging;
use crate::service::{Lake, Reader, search};

mod ask;
mod items;
mod show;

/// The media type of this door's description.
const OPENAPI: &str = "application/vnd.oai.openapi+json;version=3.1";
/// The most collections that the landing page links to.
const CHILDREN_MAX: usize = 100;
/// The most bytes of a problem that is put into other words.
const PROBLEM_BYTES_MAX: usize = 1 << 20;

/// What this door keeps to. Clients look for the names of both versions of `sort`.
const CONFORMANCE: [&str; 13] = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features#sort",
    "https://api.stacspec.org/v1.0.0/item-search#sort",
    "https://api.stacspec.org/v1.1.0/ogcapi-features#sort",
    "https://api.stacspec.org/v1.1.0/item-search#sort",
    "https://api.stacspec.org/v1.0.0/item-search#query",
    "https://api.stacspec.org/v1.0.0-rc.1/item-search#free-text",
    "https://api.stacspec.org/v1.0.0-rc.1/ogcapi-features#free-text",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
];

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "dapple STAC API",
    version = "1.0.0",
    description = "Datasets of the lake by place, time, words and fields. See docs/search.md.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Description;

/// The routes of the door.
pub fn router(lake: Arc<Lake>) -> Router {
    let (routes, api) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(landing))
        .routes(routes!(conformance))
        .routes(routes!(collections))
        .routes(routes!(collection))
        .routes(routes!(items))
        .routes(routes!(item))
        .routes(routes!(files))
        .routes(routes!(find, find_by_body))
        .split_for_parts();
    let text = Bytes::from(api.to_pretty_json().expect("the description has text keys only"));
    let known = [(header::CONTENT_TYPE, OPENAPI)];
    routes
        .route("/stac/", get(landing))
        .route("/stac/api", get(async move || (known, text.clone())))
        .route("/stac/{*rest}", any(nothing_here))
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn(with_manners))
        .layer(from_fn(caught))
        .with_state(lake)
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-route", "nothing is served under this path")
        .hint("the links of /stac lead to all there is")
}

async fn not_allowed(method: Method) -> Problem {
    let detail = format!("this path does not take {method}");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

/// The landing page: what there is, and what it keeps to.
#[utoipa::path(get, path = "/stac", responses((status = 200, body = Value)), tag = "stac", operation_id = "stac_landing")]
async fn landing(State(lake): State<Arc<Lake>>, Reading(reader): Reading) -> Result<Response, Problem> {
    let (children, _) = search::collections(&reader, None, CHILDREN_MAX).await?;
    Ok(show::json(&show::landing(&Base::of(&lake), &CONFORMANCE, &children), show::JSON))
}

/// What this door keeps to.
#[utoipa::path(get, path = "/stac/conformance", responses((status = 200, body = Value)), tag = "stac", operation_id = "stac_conformance")]
async fn conformance() -> Response {
    show::json(&json!({ "conformsTo": CONFORMANCE }), show::JSON)
}

/// The collections with something in them.
#[utoipa::path(get, path = "/stac/collections", params(CollectionsQuery), responses((status = 200, body = Value)), tag = "stac", operation_id = "stac_collections")]
async fn collections(
    State(lake): State<Arc<Lake>>,
    Reading(reader): Reading,
    Wanted(query): Wanted<CollectionsQuery>,
    uri: Uri,
) -> Result<Response, Problem> {
    let limit = ask::limit(query.limit.as_deref(), ask::COLLECTIONS_DEFAULT)?;
    let (all, next) = search::collections(&reader, query.token.as_deref(), limit).await?;
    Ok(show::json(&show::collections(&Base::of(&lake), &uri, &all, next.as_deref()), show::JSON))
}

/// One collection.
#[utoipa::path(get, path = "/stac/collections/{collection}", params(("collection" = String, Path)), responses((status = 200, body = Value)), tag = "stac", operation_id = "stac_collection")]
async fn collection(
    State(lake): State<Arc<Lake>>,
    Reading(reader): Reading,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let eyes = search::eyes(&reader).await?;
    let view = search::collection(&reader, &eyes, &id).await.map_err(|error| told(&reader, error))?;
    Ok(show::json(&show::collection(&Base::of(&lake), &view), show::JSON))
}

/// The items of a collection.
#[utoipa::path(get, path = "/stac/collections/{collection}/items", params(("collection" = String, Path), SearchQuery), responses((status = 200, body = Value, content_type = GEOJSON)), tag = "stac", operation_id = "stac_items")]
async fn items(
    State(lake): State<Arc<Lake>>,
    Reading(reader): Reading,
    Path(id): Path<String>,
    Wanted(query): Wanted<SearchQuery>,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = Asked::of_items(query, id.clone())?;
    let eyes = search::eyes(&reader).await?;
    search::collection(&reader, &eyes, &id).await.map_err(|error| told(&reader, error))?;
    search::knows_fields(&reader, &eyes, &asked.query).await?;
    let found = search::search(&reader, &eyes, asked.query, asked.sign).await?;
    let base = Base::of(&lake);
    let links = show::of_page(&base, &uri, found.next.as_deref(), Some(&id));
    Ok(items::page(&base, &found, &links, asked.sign))
}

/// One item.
#[utoipa::path(get, path = "/stac/collections/{collection}/items/{item}", params(("collection" = String, Path), ("item" = String, Path), ItemQuery), responses((status = 200, body = Value, content_type = GEOJSON)), tag = "stac", operation_id = "stac_item")]
async fn item(
    State(lake): State<Arc<Lake>>,
    Reading(reader): Reading,
    Path((collection, id)): Path<(String, String)>,
    Wanted(query): Wanted<ItemQuery>,
) -> Result<Response, Problem> {
    let sign = ask::sign(query.sign.as_deref())?;
    let item = search::item(&reader, &collection, &id, sign).await.map_err(|error| told(&reader, error))?;
    Ok(items::alone(&Base::of(&lake), &item, sign))
}

/// The files of an item, page by page.
#[utoipa::path(get, path = "/stac/collections/{collection}/items/{item}/files", params(("collection" = String, Path), ("item" = String, Path), FilesQuery), responses((status = 200, body = Value)), tag = "stac", operation_id = "stac_files")]
async fn files(
    State(lake): State<Arc<Lake>>,
    Reading(reader): Reading,
    Path((collection, id)): Path<(String, String)>,
    Wanted(query): Wanted<FilesQuery>,
    uri: Uri,
) -> Result<Response, Problem> {
    let limit = Some(ask::limit(query.limit.as_deref(), ask::FILES_DEFAULT)?);
    let (paging, sign) = (Paging { limit, after: query.token }, ask::sign(query.sign.as_deref())?);
    let files = search::files(&reader, &collection, &id, paging, sign).await;
    let (files, next) = files.map_err(|error| told(&reader, error))?;
    Ok(show::guarded(show::json(&items::files(&Base::of(&lake), &uri, &files, next.as_deref()), show::JSON), sign))
}

/// Finds items.
#[utoipa::path(get, path = "/stac/search", params(SearchQuery), responses((status = 200, body = Value, content_type = GEOJSON)), tag = "stac", operation_id = "stac_search")]
async fn find(
    State(lake): State<Arc<Lake>>,
    Reading(reader): Reading,
    Wanted(query): Wanted<SearchQuery>,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = Asked::of_query(query)?;
    let eyes = search::eyes(&reader).await?;
    search::knows_fields(&reader, &eyes, &asked.query).await?;
    let found = search::search(&reader, &eyes, asked.query, asked.sign).await?;
    let base = Base::of(&lake);
    let links = show::of_page(&base, &uri, found.next.as_deref(), None);
    Ok(items::page(&base, &found, &links, asked.sign))
}

/// Finds items; what is looked for is in the body.
#[utoipa::path(post, path = "/stac/search", params(BesideQuery), request_body = Value, responses((status = 200, body = Value, content_type = GEOJSON)), tag = "stac", operation_id = "stac_search_by_body")]
async fn find_by_body(
    State(lake): State<Arc<Lake>>,
    Reading(reader): Reading,
    Wanted(beside): Wanted<BesideQuery>,
    JsonBody(body): JsonBody<Value>,
) -> Result<Response, Problem> {
    let asked = Asked::of_body(&body, beside)?;
    let eyes = search::eyes(&reader).await?;
    search::knows_fields(&reader, &eyes, &asked.query).await?;
    let found = search::search(&reader, &eyes, asked.query, asked.sign).await?;
    let base = Base::of(&lake);
    let links = show::of_posted_page(&base, &body, found.next.as_deref());
    Ok(items::page(&base, &found, &links, asked.sign))
}

/// Tells those without a key that one might help.
fn told(reader: &Reader, error: ServiceError) -> Problem {
    let may_be_there = matches!((&error, reader), (ServiceError::NotFound { .. }, Reader::Anonymous(_)));
    let problem = Problem::from(error);
    if !may_be_there {
        return problem;
    }
    problem.hint("if it is not public, send `Authorization: Bearer KEY` with the key of an account that may see it")
}

/// What holds for all answers: any page may read them, and problems are told as OGC does.
async fn with_manners(request: Request, next: Next) -> Response {
    let mut response =
        if request.method() == Method::OPTIONS { preflight() } else { as_exception(next.run(request).await).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("X-Request-Id, Retry-After"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn preflight() -> Response {
    let headers = [
        (header::ALLOW, "GET, HEAD, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, Accept"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// A problem in the words of OGC.
async fn as_exception(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if response.status().as_u16() < 400 || kind.is_none_or(|kind| kind != "application/problem+json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let read = to_bytes(body, PROBLEM_BYTES_MAX).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&read).unwrap_or_default();
    let text = |key: &str| problem[key].as_str().unwrap_or_default();
    let description = match text("hint") {
        "" => text("detail").to_owned(),
        hint => format!("{}; {hint}", text("detail")),
    };
    let told = json!({ "code": text("code"), "description": description, "request_id": text("request_id") });
    set_kind(&mut parts.headers);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(told.to_string()))
}

fn set_kind(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(show::JSON));
}
