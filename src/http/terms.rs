//! The terms that a request of change names: `?dry_run=`, `If-Match`, `Idempotency-Key`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use crate::http::answer::answer;
use crate::http::body::{json_bytes_max, read_whole};
use crate::http::problem::Problem;
use crate::http::request::{Asking, Wanted, under_current_id};
use crate::service::error::ServiceError;
use crate::service::terms::{BODY_BYTES_MAX, Once, Tag, answer_to, in_progress, keep_refusal};
use crate::service::{Context, Lake};

/// The header that names a request, so that it is carried out once.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key.
const KEY_BYTES_MAX: usize = 255;

#[derive(Debug, Deserialize)]
struct Rehearsed {
    #[serde(default)]
    dry_run: bool,
}

/// Who asks for a change, on which terms. The thing changed has no state that `If-Match` could name.
pub struct Changing(pub Context);

/// Who asks for a change of something that has an ETag.
pub struct ChangingSeen(pub Context);

/// Who asks for what keeps no answer for an `Idempotency-Key`: streams, announcements, URLs, secrets.
pub struct Unkept(pub Context);

async fn changing<S>(parts: &mut Parts, state: &S) -> Result<Context, Problem>
where
    S: Send + Sync,
    Arc<Lake>: FromRef<S>,
{
    let Asking(mut ctx) = Asking::from_request_parts(parts, state).await?;
    let Wanted(Rehearsed { dry_run }) = Wanted::from_request_parts(parts, state).await?;
    ctx.terms.once = parts.extensions.get::<Arc<Once>>().cloned();
    Ok(if dry_run { ctx.rehearsing().await? } else { ctx })
}

fn refuse_header(headers: &HeaderMap, name: &HeaderName, why: &str) -> Result<(), Problem> {
    if headers.contains_key(name) {
        return Err(ServiceError::invalid("header-not-taken", why).into());
    }
    Ok(())
}

/// Refuses a key where no answer is kept, rather than to let its sender rely on it.
fn refuse_key(headers: &HeaderMap) -> Result<(), Problem> {
    refuse_header(headers, &IDEMPOTENCY_KEY, "this request takes no Idempotency-Key: see its description")
}

/// On which terms somebody asks who has no key yet: whether it is a dry run.
pub struct Signing {
    /// Whether it is.
    pub dry_run: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Signing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        refuse_key(&parts.headers)?;
        let Wanted(Rehearsed { dry_run }) = Wanted::from_request_parts(parts, state).await?;
        Ok(Self { dry_run })
    }
}

impl<S> FromRequestParts<S> for Changing
where
    S: Send + Sync,
    Arc<Lake>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let ctx = changing(parts, state).await?;
        refuse_header(&parts.headers, &header::IF_MATCH, "this request changes nothing that has an ETag")?;
        Ok(Self(ctx))
    }
}

impl<S> FromRequestParts<S> for ChangingSeen
where
    S: Send + Sync,
    Arc<Lake>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut ctx = changing(parts, state).await?;
        ctx.terms.only_if = seen(&parts.headers)?;
        Ok(Self(ctx))
    }
}

impl<S> FromRequestParts<S> for Unkept
where
    S: Send + Sync,
    Arc<Lake>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Changing(ctx) = Changing::from_request_parts(parts, state).await?;
        refuse_key(&parts.headers)?;
        Ok(Self(ctx))
    }
}

/// The states that `If-Match` names. `*` is any that is there, which every change asks for anyway.
fn seen(headers: &HeaderMap) -> Result<Option<Vec<Tag>>, Problem> {
    let mut tags = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        let malformed = || ServiceError::invalid("invalid-etag", "send `If-Match` with an ETag as it was given");
        let text = value.to_str().map_err(|_| malformed())?;
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                return Ok(None);
            }
            let tag = entry.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(malformed)?;
            // What is behind the dot names the answer, not what is stored.
            tags.push(Tag::from_text(tag.split_once('.').map_or(tag, |(stored, _)| stored)));
        }
    }
    Ok(headers.contains_key(header::IF_MATCH).then_some(tags))
}

/// Requests with a key that this process is carrying out.
#[derive(Debug, Clone, Default)]
pub struct UnderWay(Arc<Mutex<BTreeSet<(String, String)>>>);

struct Mine {
    row: (String, String),
    all: UnderWay,
}

impl UnderWay {
    fn begin(&self, once: &Once) -> Option<Mine> {
        let row = (once.account.to_string(), once.key.clone());
        let fresh = self.0.lock().expect("nothing panics while holding it").insert(row.clone());
        fresh.then(|| Mine { row, all: self.clone() })
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        self.all.0.lock().expect("nothing panics while holding it").remove(&self.row);
    }
}

/// Carries out a request with an `Idempotency-Key` once, and answers it again as it was answered.
pub async fn once_by_key(lake: Arc<Lake>, under_way: UnderWay, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    let answered = by_key(lake, &under_way, request, next).await;
    answered.unwrap_or_else(axum::response::IntoResponse::into_response)
}

async fn by_key(lake: Arc<Lake>, under_way: &UnderWay, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let Asking(ctx) = Asking::from_request_parts(&mut parts, &lake).await?;
    let key = read_key(&parts.headers)?;
    // Who asks is found out once, and counted once.
    parts.extensions.insert(ctx.clone());
    let body = read_whole(body, json_bytes_max(&parts.extensions)).await?;
    let (account, reach) = (ctx.principal.account, ctx.principal.key);
    let once = Arc::new(Once { account, key, request: hash(&parts, &body), reach });
    let mine = under_way.begin(&once).ok_or_else(in_progress)?;
    if let Some(kept) = answer_to(&lake.catalog, &once).await? {
        let mut response = answer(kept.status, kept.tag.as_deref(), kept.body);
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        return Ok(response);
    }
    parts.extensions.insert(Arc::clone(&once));
    let request = Request::from_parts(parts, Body::from(body));
    // A task of its own finishes what it began, also when the sender hangs up.
    let work = tokio::spawn(under_current_id(async move {
        let _mine = mine;
        let response = next.run(request).await;
        keep_if_refused(&lake, once, response).await
    }));
    work.await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(ServiceError::Catalog(crate::catalog::CatalogError::Engine(
            crate::catalog::engine::EngineError::Stopped,
        ))
        .into()),
    })
}

fn read_key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = keys.next().and_then(|value| value.to_str().ok()).map(str::trim);
    let fits =
        |key: &&str| !key.is_empty() && key.len() <= KEY_BYTES_MAX && key.bytes().all(|byte| byte.is_ascii_graphic());
    match (key.filter(fits), keys.next()) {
        (Some(key), None) => Ok(key.to_owned()),
        _ => {
            let detail = format!("an Idempotency-Key is 1 to {KEY_BYTES_MAX} visible ASCII characters, given once");
            Err(ServiceError::invalid("invalid-idempotency-key", detail).into())
        }
    }
}

/// What is asked: two requests with one hash ask for the same.
fn hash(parts: &Parts, body: &[u8]) -> [u8; 32] {
    let uri = parts.extensions.get::<axum::extract::OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let seen = parts.headers.get(header::IF_MATCH).map_or(&b""[..], HeaderValue::as_bytes);
    let mut hasher = blake3::Hasher::new();
    for part in [parts.method.as_str().as_bytes(), uri.to_string().as_bytes(), seen, body] {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
    }
    hasher.finalize().into()
}

/// Refusals that hold whenever the request is sent again; others are of the moment: what is not there
/// now may be registered in a minute.
fn is_final(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
}

async fn keep_if_refused(lake: &Lake, once: Arc<Once>, response: Response) -> Result<Response, Problem> {
    if !is_final(response.status()) {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    // It is the lake's own, and in memory; one that is too long is given, and not kept.
    let body = read_whole(body, usize::MAX).await?;
    if body.len() <= BODY_BYTES_MAX {
        keep_refusal(&lake.catalog, once, parts.status.as_u16(), body.to_vec()).await?;
    }
    Ok((parts, body).into_response())
}
