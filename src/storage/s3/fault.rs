//! What an S3 store's refusals mean. The code in its answer says more than the status, so it is
//! asked first; a HEAD has no body, so it is the status then.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::net::told;
use crate::storage::backend::StorageError;
use crate::storage::patience::{Trouble, TroubleKind};
use crate::storage::s3::site::Site;

/// The most of a store's own words that is passed on.
const WORDS_CHARS_MAX: usize = 300;

/// What a store answered when it refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    words: String,
    /// Where the bucket is, if the store says so.
    region: Option<String>,
}

/// The header in which a store says where a bucket is.
const BUCKET_REGION: &str = "x-amz-bucket-region";

impl Refusal {
    /// The refusal in an error; `None` if the store gave no answer, or one that made no sense.
    pub(super) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Self> {
        let service = error.as_service_error()?;
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let text = |text: Option<&str>| text.unwrap_or_default().chars().take(WORDS_CHARS_MAX).collect::<String>();
        let region = error.raw_response().and_then(|response| response.headers().get(BUCKET_REGION));
        let region = region.map(|region| text(Some(region)));
        Some(Self { status, code: text(service.code()), words: text(service.message()), region })
    }

    /// The refusal in an answer.
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let text = |element: &str| {
            let (_, rest) = body.split_once(&format!("<{element}>"))?;
            let (text, _) = rest.split_once(&format!("</{element}>"))?;
            Some(text.trim().chars().take(WORDS_CHARS_MAX).collect::<String>())
        };
        let of = |element| text(element).unwrap_or_default();
        let region = headers.get(BUCKET_REGION).and_then(|region| region.to_str().ok());
        let region = region.map(|region| region.chars().take(WORDS_CHARS_MAX).collect());
        Self { status: status.as_u16(), code: of("Code"), words: of("Message"), region }
    }

    /// The refusal behind an error of object_store's, if it was one.
    pub(super) fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(refusal) = error.downcast_ref() {
                return Some(refusal);
            }
            next = error.source();
        }
        None
    }

    /// Tells whether it is about what was asked for, and says nothing of the bucket, of who asks, or
    /// of the moment: other requests may fare better, this one never.
    pub(super) fn is_of_this_request(&self) -> bool {
        let of_all = matches!(
            &*self.code,
            "NoSuchBucket"
                | "SignatureDoesNotMatch"
                | "InvalidAccessKeyId"
                | "InvalidToken"
                | "ExpiredToken"
                | "RequestTimeTooSkewed"
                | "AuthorizationHeaderMalformed"
                | "RequestTimeout"
                | "SlowDown"
        );
        let refused = (400..500).contains(&self.status) && !matches!(self.status, 401 | 408 | 409 | 429);
        self.is_incapable() || refused && !of_all
    }

    /// Tells whether the store does not know what it was asked for, or lets nobody ask it.
    pub(super) fn is_incapable(&self) -> bool {
        matches!(self.status, 405 | 501) || matches!(&*self.code, "NotImplemented" | "MethodNotAllowed")
    }

    /// Tells whether what was asked for is not there.
    pub(super) fn is_absence(&self) -> bool {
        self.status == 404 && self.code != "NoSuchBucket"
    }

    /// Short, for findings.
    pub(super) fn told(&self) -> String {
        if self.code.is_empty() { self.status.to_string() } else { format!("{} {}", self.status, self.code) }
    }

    fn means(self, site: &Site, path: &str) -> StorageError {
        let path = path.to_owned();
        if let Some(why) = self.elsewhere(site) {
            return StorageError::Misconfigured { why };
        }
        match (&*self.code, self.status) {
            ("NoSuchBucket", _) => StorageError::NoRoot { root: site.root() },
            ("QuotaExceeded" | "InsufficientStorage" | "InsufficientCapacity" | "XMinioStorageFull", _) => {
                StorageError::Full { path }
            }
            (_, 507) => StorageError::Full { path },
            ("EntityTooLarge", _) | (_, 413) => {
                let why = format!("it takes no object so large ({})", self.told());
                StorageError::Refused { path, why }
            }
            ("InvalidObjectState", _) => {
                let why =
                    format!("it is in an archive, and has to be restored before it can be read ({})", self.told());
                StorageError::Refused { path, why }
            }
            ("PreconditionFailed", _) | (_, 412) => StorageError::Exists { path },
            ("RequestTimeTooSkewed", _) => {
                let todo = "the store's clock and this machine's differ: set the wrong one right";
                StorageError::Misconfigured { why: format!("{todo} ({})", self.sentence()) }
            }
            ("AccessDenied" | "SignatureDoesNotMatch" | "InvalidAccessKeyId" | "ExpiredToken", _) | (_, 401 | 403) => {
                StorageError::Denied { path }
            }
            (_, 404) => StorageError::NotFound { path },
            (
                "SlowDown"
                | "InternalError"
                | "ServiceUnavailable"
                | "RequestTimeout"
                | "OperationAborted"
                | "ConditionalRequestConflict",
                _,
            )
            | (_, 408 | 409 | 429 | 500 | 502..=506 | 508..) => {
                StorageError::Unavailable { path, what: self.sentence() }
            }
            _ => StorageError::Faulty { path, what: self.sentence() },
        }
    }

    /// What is wrong if the bucket is in another region than the one that requests were made for.
    fn elsewhere(&self, site: &Site) -> Option<String> {
        let sends_away = matches!(&*self.code, "PermanentRedirect" | "AuthorizationHeaderMalformed");
        let may_be = sends_away || matches!(self.status, 301 | 307 | 400);
        let tried = format!("requests were signed for the region `{}`", site.region);
        match &self.region {
            Some(region) if may_be && *region != site.region => Some(format!(
                "the bucket is in the region `{region}`, and {tried}: give `--region {region}` ({})",
                self.sentence()
            )),
            Some(region) if sends_away || self.status == 301 => Some(format!(
                "the bucket is in the region `{region}`, and this URL is that of another: give the URL of that region ({})",
                self.sentence()
            )),
            _ if sends_away => Some(format!("{tried}, {}: give the store's region with `--region`", self.sentence())),
            _ => None,
        }
    }

    fn sentence(&self) -> String {
        if self.words.is_empty() {
            format!("it answers {}", self.told())
        } else {
            format!("it answers {}: {}", self.told(), self.words)
        }
    }
}

/// What an SDK's error means.
pub(super) fn meaning<E>(site: &Site, path: &str, error: SdkError<E, HttpResponse>) -> StorageError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if let Some(refusal) = Refusal::of(&error) {
        return refusal.means(site, path);
    }
    if let Some(absurd) = absurdity(path, &error) {
        return absurd;
    }
    let path = path.to_owned();
    match &error {
        SdkError::DispatchFailure(failure) => {
            let what = failure.as_connector_error().map_or_else(|| told(&error), |error| cause(error));
            StorageError::Unavailable { path, what }
        }
        SdkError::TimeoutError(_) => StorageError::Unavailable { path, what: "no answer came in time".to_owned() },
        SdkError::ResponseError(_) => {
            StorageError::Faulty { path, what: format!("its answer makes no sense: {}", told(&error)) }
        }
        _ => StorageError::Faulty { path, what: told(&error) },
    }
}

/// What object_store's error means.
pub(super) fn reading(site: &Site, path: &str, error: &object_store::Error) -> StorageError {
    if let Some(absurd) = absurdity(path, error) {
        return absurd;
    }
    match Refusal::behind(error) {
        Some(refusal) if refusal.status == 412 => {
            StorageError::Faulty { path: path.to_owned(), what: "the object changed meanwhile".to_owned() }
        }
        Some(refusal) => refusal.clone().means(site, path),
        None => {
            let what = cause(error).chars().take(WORDS_CHARS_MAX).collect();
            StorageError::Unavailable { path: path.to_owned(), what }
        }
    }
}

/// What an answer means that no S3 store gives.
fn absurdity(path: &str, error: &(dyn std::error::Error + 'static)) -> Option<StorageError> {
    let trouble = Trouble::behind(error).filter(|trouble| trouble.kind == TroubleKind::Absurd)?;
    Some(StorageError::Faulty { path: path.to_owned(), what: trouble.what.clone() })
}

/// The innermost reason: what wraps it only repeats the request.
fn cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fault::Fault as _;
    use crate::model::endpoint::{Endpoint, EndpointKind, EndpointName, Settings};
    use crate::model::id::EndpointId;
    use crate::model::time::Timestamp;

    fn site() -> Site {
        let endpoint = Endpoint {
            id: EndpointId(1),
            name: EndpointName::parse("x").expect("valid"),
            kind: EndpointKind::S3,
            location: "http://h/bkt".to_owned(),
            settings: Settings::default(),
            secret: None,
            probe: None,
            attributes: BTreeMap::new(),
            created_at: Timestamp::from_millis(0),
        };
        Site::of(&endpoint, None).expect("valid")
    }

    #[test]
    fn each_refusal_leads_to_its_own_act() {
        let table = [
            (404, "NoSuchBucket", "storage-no-root"),
            (404, "NoSuchKey", "storage-not-found"),
            (404, "NoSuchUpload", "storage-not-found"),
            (404, "", "storage-not-found"),
            (403, "", "storage-denied"),
            (403, "SignatureDoesNotMatch", "storage-denied"),
            (403, "RequestTimeTooSkewed", "storage-misconfigured"),
            (400, "AuthorizationHeaderMalformed", "storage-misconfigured"),
            (403, "InvalidObjectState", "storage-refused"),
            (403, "QuotaExceeded", "storage-full"),
            (507, "", "storage-full"),
            (400, "EntityTooLarge", "storage-refused"),
            (413, "", "storage-refused"),
            (412, "PreconditionFailed", "storage-exists"),
            (503, "SlowDown", "storage-unavailable"),
            (500, "InternalError", "storage-unavailable"),
            (200, "SlowDown", "storage-unavailable"),
            (200, "InternalError", "storage-unavailable"),
            (409, "OperationAborted", "storage-unavailable"),
            (400, "BadDigest", "storage-faulty"),
            (400, "XAmzContentSHA256Mismatch", "storage-faulty"),
            (301, "PermanentRedirect", "storage-misconfigured"),
            (301, "", "storage-faulty"),
            (501, "NotImplemented", "storage-faulty"),
        ];
        for (status, code, expected) in table {
            let refusal = Refusal { status, code: code.to_owned(), words: "words".to_owned(), region: None };
            assert_eq!(refusal.means(&site(), "a").code(), expected, "{status} {code}");
        }
    }

    #[test]
    fn a_wrong_clock_and_a_wrong_region_are_told_with_the_words_of_the_store() {
        let told = |code: &str| {
            let body = format!("<Error><Code>{code}</Code><Message>So it is.</Message></Error>");
            Refusal::read(StatusCode::BAD_REQUEST, &HeaderMap::new(), &body).means(&site(), "a").to_string()
        };
        let (clock, region) = (told("RequestTimeTooSkewed"), told("AuthorizationHeaderMalformed"));
        assert!(clock.contains("clock") && clock.contains("RequestTimeTooSkewed: So it is."), "{clock}");
        assert!(region.contains("`us-east-1`") && region.contains("So it is."), "{region}");
        assert!(region.contains("--region"), "{region}");
    }

    #[test]
    fn the_region_that_a_store_names_is_told() {
        let told = |status: u16, region: &str| {
            let headers = [(BUCKET_REGION.parse().expect("a name"), region.parse().expect("a value"))];
            let headers: HeaderMap = headers.into_iter().collect();
            let status = StatusCode::from_u16(status).expect("a status");
            Refusal::read(status, &headers, "").means(&site(), "").to_string()
        };
        for status in [301, 400] {
            let told = told(status, "eu-central-1");
            assert!(told.contains("--region eu-central-1") && told.contains("`us-east-1`"), "{told}");
        }
        assert!(told(301, "us-east-1").contains("the URL of that region"));
        assert!(told(400, "us-east-1").contains("did not do as it was asked"), "it is something else");
        assert!(told(404, "eu-central-1").contains("is not there"), "each region tells its own absence");
    }

    #[test]
    fn what_is_about_one_request_says_nothing_of_others() {
        let table = [
            (501, "NotImplemented", true),
            (405, "", true),
            (403, "AccessDenied", true),
            (400, "InvalidArgument", true),
            (404, "NoSuchKey", true),
            (404, "NoSuchBucket", false),
            (403, "InvalidAccessKeyId", false),
            (400, "RequestTimeout", false),
            (429, "", false),
            (503, "SlowDown", false),
            (500, "InternalError", false),
        ];
        for (status, code, expected) in table {
            let refusal = Refusal { status, code: code.to_owned(), words: String::new(), region: None };
            assert_eq!(refusal.is_of_this_request(), expected, "{status} {code}");
        }
    }
}
