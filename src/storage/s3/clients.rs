//! The two S3 clients, set up to agree: object_store reads and signs, the SDK does the rest.
//!
//! Both send through one [`Sender`], so they share connections, trust, deadlines and patience.
//! Neither retries a request by itself; object_store still goes on with a body that breaks off.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client as Sdk;
use aws_sdk_s3::config::retry::RetryConfig as SdkRetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::{ByteStream as SdkStream, SdkBody};
use aws_smithy_runtime_api::client::http::{
    HttpConnector as SdkConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest as SdkRequest, HttpResponse as SdkResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Body, Method, Request, StatusCode};

use crate::model::endpoint::Addressing;
use crate::storage::patience::{Trouble, TroubleKind};
use crate::storage::s3::fault::Refusal;
use crate::storage::s3::sender::{Reply, Sender, asks_for_patience, makes_sense, span};
use crate::storage::s3::site::Site;

/// The most bytes of an answer that is read whole. A page of a list stays far below it.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How often a body that breaks off is gone on with.
const RESUMPTIONS_MAX: usize = 4;
/// How long after its beginning a body is still gone on with: longer than any body takes. Each time
/// the request is signed anew, so nothing becomes stale.
const RESUMPTION_SPAN: Duration = Duration::from_hours(7 * 24);
/// The most bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// The client that writes, looks and lists.
pub(super) fn writer(site: &Site, sender: Arc<Sender>) -> Sdk {
    let connector = SharedHttpConnector::new(ForSdk(sender));
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(site.region.clone()))
        .endpoint_url(&site.url)
        .force_path_style(site.addressing == Addressing::Path)
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .retry_config(SdkRetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .identity_cache(IdentityCache::no_cache())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    let config = match &site.pair {
        Some(pair) => config.credentials_provider(Credentials::new(&pair.key, &pair.secret, None, None, "dapple")),
        None => config.allow_no_auth(),
    };
    Sdk::from_conf(config.build())
}

/// The client that reads and signs.
pub(super) fn reader(site: &Site, sender: Arc<Sender>) -> Result<AmazonS3, object_store::Error> {
    let hosted = site.addressing == Addressing::VirtualHost;
    let endpoint = if hosted { site.bucket_url.clone() } else { site.url.clone() };
    let builder = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_virtual_hosted_style_request(hosted)
        .with_bucket_name(&site.bucket)
        .with_region(&site.region)
        .with_allow_http(true)
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RESUMPTIONS_MAX,
            retry_timeout: RESUMPTION_SPAN,
        })
        .with_http_connector(ForObjectStore(sender));
    match &site.pair {
        Some(pair) => builder.with_access_key_id(&pair.key).with_secret_access_key(&pair.secret),
        // It would look for somebody's credentials on this machine otherwise.
        None => builder.with_skip_signature(true).with_access_key_id("").with_secret_access_key(""),
    }
    .build()
}

/// An answer that was read whole.
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply for Whole {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl Reply for HttpResponse {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }
}

#[derive(Debug, Clone)]
struct ForSdk(Arc<Sender>);

impl ForSdk {
    async fn send(&self, mut request: SdkRequest) -> Result<SdkResponse, ConnectorError> {
        let user = |error: &dyn std::error::Error| ConnectorError::user(error.to_string().into());
        let body = SdkStream::new(request.take_body()).collect().await.map_err(|e| user(&e))?.into_bytes();
        let bytes = body.len() as u64;
        let request = request.try_into_http1x().map_err(|e| user(&e))?.map(|_| Body::from(body));
        let mut request = Request::try_from(request).map_err(|e| user(&e))?;
        if bytes == 0 && matches!(*request.method(), Method::PUT | Method::POST) {
            // HTTP lets it be left out; stores refuse copies without it.
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let attempt = || self.attempt(request.try_clone().expect("its body lies in memory"));
        let span = span(bytes, has_the_store_work(&request));
        let answer = self.0.send(span, attempt).await.map_err(|trouble| ConnectorError::io(trouble.into()))?;
        if !makes_sense(answer.status) {
            return Err(ConnectorError::io(absurd(answer.status).into()));
        }
        let mut response = SdkResponse::new(answer.status.into(), SdkBody::from(answer.body));
        for (name, value) in &answer.headers {
            // A header that is no text is none that S3 means.
            if let Ok(value) = value.to_str() {
                response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(response)
    }

    async fn attempt(&self, request: Request) -> Result<Whole, Trouble> {
        let mut response = self.0.client.execute(request).await.map_err(Trouble::of_request)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(Trouble::of_request)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Trouble { what: "the answer is far too long".to_owned(), kind: TroubleKind::Absurd });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Whole { status, headers, body: body.freeze() })
    }
}

/// A store that copies, or puts parts together, may take minutes before it answers.
fn has_the_store_work(request: &Request) -> bool {
    let completes = || request.url().query().is_some_and(|query| query.contains("uploadId="));
    request.headers().contains_key("x-amz-copy-source") || *request.method() == Method::POST && completes()
}

fn absurd(status: StatusCode) -> Trouble {
    Trouble { what: format!("it answers {status}, which no S3 store does"), kind: TroubleKind::Absurd }
}

impl SdkConnector for ForSdk {
    fn call(&self, request: SdkRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move { this.send(request).await })
    }
}

#[derive(Debug, Clone)]
struct ForObjectStore(Arc<Sender>);

impl ForObjectStore {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let attempt = || async {
            let answer = HttpService::call(&self.0.client, request.clone()).await;
            answer.map_err(|error| Trouble::of(&error, error.kind() == HttpErrorKind::Timeout))
        };
        // Of this kind, object_store tries nothing again: that has been done.
        let over = |trouble: Trouble| HttpError::new(HttpErrorKind::Unknown, trouble);
        let answer = self.0.send(span(0, false), attempt).await.map_err(over)?;
        let status = answer.status();
        if asks_for_patience(status) {
            return Err(over(Trouble { what: format!("it answers {status}"), kind: TroubleKind::Passing }));
        }
        if !status.is_success() {
            return Err(HttpError::new(HttpErrorKind::Unknown, refusal(answer).await));
        }
        if !makes_sense(status) {
            return Err(over(absurd(status)));
        }
        Ok(answer)
    }
}

/// Reads why the store refuses. If that breaks off, its status says enough.
async fn refusal(answer: HttpResponse) -> Refusal {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut chunks = answer.into_body().bytes_stream();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_BYTES_MAX - body.len())]);
        if body.len() == REFUSAL_BYTES_MAX {
            break;
        }
    }
    Refusal::read(status, &headers, &String::from_utf8_lossy(&body))
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for ForObjectStore {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> Answering<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.send(request))
    }
}

impl HttpConnector for ForObjectStore {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
