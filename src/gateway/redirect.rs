//! Sends a reader to the storage itself, by a URL that the storage's backend signs for one method and
//! a short while. Promises to keep to the grant: its endpoint, its end, and its mode; when no storage
//! can take the reader now, it says so and never streams instead, as the reader would see another
//! ETag. Never lets the signed URL into a log line or a problem.

use std::time::Duration;

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::clock::within;
use crate::fault::Fault as _;
use crate::http::request::current_id;
use crate::model::time::Timestamp;
use crate::policy::grant::GrantError;
use crate::replicas::locate::Located;
use crate::service::Lake;
use crate::service::error::ServiceError;
use crate::service::urls::{Opened, replicas};
use crate::storage::backend::{Signed, StorageError};

/// How long a storage's URL is good: a reader begins with it at once and asks here again.
const REDIRECT_SPAN_MAX: Duration = Duration::from_mins(5);
/// How long a backend may take to sign.
const SIGN_SPAN_MAX: Duration = Duration::from_secs(10);

/// Answers GET or HEAD of a file with the URL of the nearest storage that signs one.
pub(super) async fn answer(lake: &Lake, opened: &Opened, method: &Method) -> Result<Response, ServiceError> {
    let span = span(opened.expires_at, lake.catalog.clock().now())?;
    let what = if method == Method::HEAD { Signed::Head } else { Signed::Get };
    for replica in replicas(lake, opened).await?.iter().filter(|replica| replica.endpoint.settings.redirect) {
        match sign(lake, replica, what, span).await {
            Ok(url) => {
                let (id, did, endpoint) = (current_id(), &opened.did, &replica.endpoint.name);
                tracing::info!(
                    request.id = %id, did = %did, endpoint.name = %endpoint, method = %method,
                    "sent a reader of {did} on to {endpoint}"
                );
                return Ok(respond(url));
            }
            Err(error) => log(opened, replica, &error),
        }
    }
    Err(ServiceError::NoRedirect { did: opened.did.clone() })
}

/// How long a URL may be good that is made now, in whole seconds, as storages count.
fn span(expires_at: Timestamp, now: Timestamp) -> Result<Duration, GrantError> {
    let left = Duration::from_secs(expires_at.as_millis().saturating_sub(now.as_millis()) / 1_000);
    if left.is_zero() { Err(GrantError::Expired { at: expires_at }) } else { Ok(left.min(REDIRECT_SPAN_MAX)) }
}

async fn sign(lake: &Lake, replica: &Located, what: Signed, span: Duration) -> Result<HeaderValue, StorageError> {
    let backend = lake.stores.get(&replica.endpoint)?;
    let signing = within(lake.catalog.clock().as_ref(), SIGN_SPAN_MAX, backend.sign(&replica.path, what, span)).await;
    let path = || replica.path.to_string();
    let late = || Err(StorageError::Unavailable { path: path(), what: "no URL was signed in time".to_owned() });
    let none = || StorageError::Faulty { path: path(), what: "a store of this kind signs no URLs".to_owned() };
    let unfit = |_| StorageError::Faulty { path: path(), what: "what was signed is no URL".to_owned() };
    let url = signing.unwrap_or_else(late)?.ok_or_else(none)?;
    let mut url = HeaderValue::try_from(url).map_err(unfit)?;
    url.set_sensitive(true);
    Ok(url)
}

fn log(opened: &Opened, replica: &Located, error: &StorageError) {
    let (id, did, endpoint) = (current_id(), &opened.did, &replica.endpoint.name);
    tracing::warn!(
        request.id = %id, did = %did, endpoint.name = %endpoint, code = error.code(),
        "{endpoint} takes no reader of {did}: {error}"
    );
}

fn respond(url: HeaderValue) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    let headers = [(header::LOCATION, url), (header::CACHE_CONTROL, no_store)];
    (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storages_url_ends_with_the_grant_and_soon() {
        let at = Timestamp::from_millis;
        let table = [
            (at(10_000), at(0), Some(10)),
            (at(10_000), at(8_001), Some(1)),
            (at(10_000_000), at(0), Some(300)),
            (at(300_999), at(0), Some(300)),
            (at(10_000), at(9_001), None),
            (at(10_000), at(10_000), None),
            (at(10_000), at(20_000), None),
        ];
        for (expires_at, now, seconds) in table {
            let expected = seconds.map(Duration::from_secs).ok_or(GrantError::Expired { at: expires_at });
            assert_eq!(span(expires_at, now), expected, "{expires_at} at {now}");
        }
    }
}
