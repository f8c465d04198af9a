//! A bucket with all it takes to work in it.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client as Sdk;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::{Bytes, BytesMut};
use object_store::aws::AmazonS3;
use reqwest::StatusCode;

use crate::clock::{SharedClock, within};
use crate::model::probe::{Feature, Probe};
use crate::net::{Trust, told};
use crate::storage::backend::StorageError;
use crate::storage::s3::clients;
use crate::storage::s3::desk::Desk;
use crate::storage::s3::fault::{meaning, reading};
use crate::storage::s3::sender::Sender;
use crate::storage::s3::site::Site;
use crate::storage::turns::Turns;

/// How long a short answer to anybody may take.
const PLAIN_SPAN_MAX: Duration = Duration::from_mins(1);

/// A bucket, or a prefix in one.
pub(super) struct Bucket {
    pub(super) site: Site,
    pub(super) sdk: Sdk,
    pub(super) store: AmazonS3,
    pub(super) desk: Desk,
    pub(super) turns: Turns,
    pub(super) clock: SharedClock,
    sender: Arc<Sender>,
    probe: Option<Probe>,
}

impl Bucket {
    pub(super) fn open(
        site: Site,
        trust: &Trust,
        probe: Option<Probe>,
        clock: SharedClock,
    ) -> Result<Self, StorageError> {
        let unavailable = |what: String| StorageError::Unavailable { path: site.root(), what };
        let sender = Sender::new(trust, clock.clone()).map_err(|error| unavailable(error.to_string()))?;
        let sender = Arc::new(sender);
        let sdk = clients::writer(&site, sender.clone());
        let store = clients::reader(&site, sender.clone()).map_err(|error| reading(&site, &site.root(), &error))?;
        Ok(Self { site, sdk, store, desk: Desk::default(), turns: Turns::default(), clock, sender, probe })
    }

    /// Tells whether the store was seen to do something. What nobody looked for, it does not do.
    pub(super) fn does(&self, feature: Feature) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.holds(feature))
    }

    /// Whether parts and objects go with their MD5: not where the store was seen not to mind a wrong one,
    /// or to keep what it refuses for it.
    pub(super) fn sends_md5(&self) -> bool {
        self.probe.as_ref().is_none_or(|probe| probe.holds(Feature::ChecksMd5))
    }

    /// Whether parts and objects go with their CRC-32C: only where the store checks and keeps it.
    pub(super) fn sends_crc32c(&self) -> bool {
        self.does(Feature::ChecksCrc32c) && self.does(Feature::TellsCrc32c)
    }

    /// What anybody gets who asks for a URL; of an answer with more than so many bytes, one more.
    pub(super) async fn get_plain(
        &self,
        path: &str,
        url: &str,
        bytes_max: usize,
    ) -> Result<(StatusCode, Bytes), StorageError> {
        let asking = async {
            let mut answer = self.sender.client.get(url).send().await?;
            let mut content = BytesMut::new();
            while content.len() <= bytes_max
                && let Some(chunk) = answer.chunk().await?
            {
                content.extend_from_slice(&chunk[..chunk.len().min(bytes_max + 1 - content.len())]);
            }
            Ok::<_, reqwest::Error>((answer.status(), content.freeze()))
        };
        let what = match within(self.clock.as_ref(), PLAIN_SPAN_MAX, asking).await {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => told(&error.without_url()),
            None => format!("no answer came within {} s", PLAIN_SPAN_MAX.as_secs()),
        };
        Err(StorageError::Unavailable { path: path.to_owned(), what })
    }

    /// What an error means, for the object it befell.
    pub(super) fn fault<E>(&self, path: &str, error: SdkError<E, HttpResponse>) -> StorageError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        meaning(&self.site, path, error)
    }
}

/// An ETag without its quotes.
pub(super) fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}
