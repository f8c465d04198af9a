//! A request as doors see it: its id, who asks, and the page it wants.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::clock::SharedClock;
use crate::http::entry::admit;
use crate::http::peer::PeerAddress;
use crate::http::problem::Problem;
use crate::model::id::GrantId;
use crate::service::error::ServiceError;
use crate::service::paging::Paging;
use crate::service::{Context, Lake, Reader, accounts};

tokio::task_local! {
    static REQUEST_ID: String;
}

/// The header that carries a request's id.
const HEADER: &str = "x-request-id";

/// The id of the request that is being answered.
pub fn current_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

/// Gives every request an id, which its log lines, its problem and its response carry. A request
/// that has one keeps it: doors give ids by themselves, and so may what they are built into.
pub async fn with_id(clock: SharedClock, request: Request, next: Next) -> Response {
    if REQUEST_ID.try_with(|_| ()).is_ok() {
        return next.run(request).await;
    }
    let id = GrantId(clock.id()).to_string();
    let header = HeaderValue::from_str(&id).expect("ids are letters and digits");
    let mut response = REQUEST_ID.scope(id, next.run(request)).await;
    response.headers_mut().insert(HEADER, header);
    response
}

/// Lets a task answer for the request that starts it.
pub fn under_current_id<F: Future>(work: F) -> impl Future<Output = F::Output> {
    REQUEST_ID.scope(current_id(), work)
}

/// The account that asks, proved by `Authorization: Bearer KEY`.
pub struct Asking(pub Context);

impl<S> FromRequestParts<S> for Asking
where
    S: Send + Sync,
    Arc<Lake>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Context>() {
            return Ok(Self(known.clone()));
        }
        let lake = Arc::<Lake>::from_ref(state);
        let header = parts.headers.get(header::AUTHORIZATION);
        match header.map(bearer) {
            Some(Some(key)) => {
                let peer = PeerAddress::of(&parts.extensions).map(|peer| peer.0);
                let context = accounts::authenticate(&lake, key, peer).await?;
                admit(&parts.extensions, context.account().as_str())?;
                Ok(Self(context))
            }
            Some(None) => Err(ServiceError::Unauthenticated("send `Authorization: Bearer KEY`").into()),
            None => Err(ServiceError::Unauthenticated("this needs an API key").into()),
        }
    }
}

/// Who reads: the account that a key proves, or anybody if none was sent. A key that was sent has to be
/// good: one that ended must not make things vanish in silence.
pub struct Reading(pub Reader);

impl<S> FromRequestParts<S> for Reading
where
    S: Send + Sync,
    Arc<Lake>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            let Asking(context) = Asking::from_request_parts(parts, state).await?;
            return Ok(Self(Reader::Known(Box::new(context))));
        }
        Ok(Self(Reader::Anonymous(Arc::<Lake>::from_ref(state))))
    }
}

/// The key or token of a header `Authorization: Bearer KEY`.
pub fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, key) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// The page that a list request wants.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The most entries of a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// The `next` of the page before. It has no meaning but that.
    after: Option<String>,
}

/// The page that a list request wants: `?limit=` and `?after=`.
pub struct WantedPage(pub Paging);

impl<S: Send + Sync> FromRequestParts<S> for WantedPage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Wanted(query) = Wanted::<PageQuery>::from_request_parts(parts, state).await?;
        Ok(Self(Paging { limit: query.limit, after: query.after }))
    }
}

/// Query parameters; ones that cannot be read are a problem document.
pub struct Wanted<T>(pub T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Wanted<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        let Query(query) =
            read.map_err(|error| Problem::from(ServiceError::invalid("invalid-query", error.body_text())))?;
        Ok(Self(query))
    }
}
