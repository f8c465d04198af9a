//! Finds out what a store does, by effect: it is asked, and then looked at what came of it.
//!
//! Works below a key of its own and leaves nothing. A store that is down, or lets us neither write
//! nor read, is an error; everything else is a finding.

mod checks;
mod objects;
mod uploads;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use futures::future::join_all;
use reqwest::StatusCode;

use crate::clock::within;
use crate::model::probe::{Feature, Finding};
use crate::storage::backend::{Check, PROBE_CLEAN_SPAN_MAX, StorageError};
use crate::storage::layout::{PROBE_PREFIX, is_left_by_probe, probe_name};
use crate::storage::probe::tried_and_removed;
use crate::storage::s3::bucket::Bucket;
use crate::storage::s3::fault::Refusal;
use crate::storage::s3::sender::asks_for_patience;
use crate::storage::s3::{leftover, list, object, root};

/// What is tried in one bucket, with the keys it takes.
struct Trial<'a> {
    bucket: &'a Bucket,
    /// Below which all of its keys lie.
    base: String,
}

/// What came of trying something: whether the store does it, and what was seen.
type Seen = (bool, String);

/// The keys of a trial. The first holds an object; its name is one that has to be encoded.
const OBJECT: &str = "an object ü+";
const FREE: &str = "free";
const COPY: &str = "copy";
const UPLOAD: &str = "upload";
const WRONG: &str = "wrong";
const RIGHT: &str = "right";
const PARTS: &str = "parts";
const ALL: [&str; 7] = [OBJECT, FREE, COPY, UPLOAD, WRONG, RIGHT, PARTS];

/// What the object holds, and what would replace it.
const CONTENT: &[u8] = b"dapple tries what this store does";
const OTHER: &[u8] = b"this must not be seen";

/// Tries everything.
pub(super) async fn probe(bucket: &Bucket) -> Result<Vec<Finding>, StorageError> {
    root::look(bucket).await?;
    sweep(bucket).await;
    let trial = Trial::new(bucket);
    Box::pin(trial.cleaned(trial.all(), &ALL)).await
}

/// Looks at the bucket, and puts an object into it if it has to take some.
pub(super) async fn check(bucket: &Bucket, what: Check) -> Result<(), StorageError> {
    root::look(bucket).await?;
    match what {
        Check::Reading => Ok(()),
        Check::Writing => {
            let trial = Trial::new(bucket);
            Box::pin(trial.cleaned(trial.put_and_read_back(), &[OBJECT])).await
        }
    }
}

/// Removes what probes left that did not come to their end. It is in nobody's way, so that it cannot
/// be found or removed is no reason to fail.
async fn sweep(bucket: &Bucket) {
    let (prefix, now) = (format!("{}{PROBE_PREFIX}", bucket.site.prefix), bucket.clock.now());
    let is_left = |key: &str| {
        let name = key.strip_prefix(&bucket.site.prefix).and_then(|path| path.split('/').next());
        name.is_some_and(|name| is_left_by_probe(name, now))
    };
    let swept = async {
        for key in list::page_below(bucket, &prefix).await?.into_iter().filter(|key| is_left(key)) {
            object::remove(bucket, &key).await?;
        }
        for (key, id) in leftover::page_below(bucket, &prefix).await?.into_iter().filter(|(key, _)| is_left(key)) {
            leftover::abort(bucket, &key, &id).await?;
        }
        Ok::<_, StorageError>(())
    };
    match within(bucket.clock.as_ref(), PROBE_CLEAN_SPAN_MAX, swept).await {
        Some(Ok(())) | None => {}
        Some(Err(error)) => tracing::debug!(%error, "it could not be seen whether earlier probes left something"),
    }
}

impl<'a> Trial<'a> {
    fn new(bucket: &'a Bucket) -> Self {
        Self { bucket, base: format!("{}{}/", bucket.site.prefix, probe_name(bucket.clock.as_ref())) }
    }

    /// Tries something for so long, and removes what may have come of it whatever the outcome.
    async fn cleaned<T>(
        &self,
        trying: impl Future<Output = Result<T, StorageError>>,
        names: &[&str],
    ) -> Result<T, StorageError> {
        tried_and_removed(self.bucket.clock.as_ref(), trying, self.clean(names)).await
    }

    /// In the order of [`Feature`].
    async fn all(&self) -> Result<Vec<Finding>, StorageError> {
        self.put_and_read_back().await?;
        let tried = [
            (Feature::RangedRead, self.reads_ranges().await?),
            (Feature::PutRefusesToReplace, self.put_refuses_to_replace().await?),
            (Feature::CompleteRefusesToReplace, self.complete_refuses_to_replace().await?),
            (Feature::ServerCopy, self.copies().await?),
            (Feature::ResumableUpload, self.resumes().await?),
            (Feature::ChecksMd5, self.checks_md5().await?),
            (Feature::ChecksCrc32c, self.checks_crc32c().await?),
            (Feature::TellsCrc32c, self.tells_crc32c().await?),
            (Feature::TellsMd5, self.tells_md5().await?),
            (Feature::SignedUrl, self.signs().await?),
            (Feature::TellsMd5OfParts, self.tells_md5_of_parts().await?),
        ];
        Ok(tried.map(|(feature, (holds, seen))| Finding { feature, holds, seen }).into())
    }

    /// Without this nothing else means anything.
    async fn put_and_read_back(&self) -> Result<(), StorageError> {
        let key = self.key(OBJECT);
        let put = self.bucket.sdk.put_object().bucket(&self.bucket.site.bucket).key(&key);
        put.body(CONTENT.to_vec().into()).send().await.map_err(|error| self.bucket.fault(&key, error))?;
        match self.content(OBJECT).await? {
            Some(content) if content == CONTENT => Ok(()),
            Some(_) => Err(self.faulty("it gives other bytes than it was given")),
            None => Err(self.faulty("what was put is not there")),
        }
    }

    async fn clean(&self, names: &[&str]) -> Result<(), StorageError> {
        let keys: Vec<String> = names.iter().map(|name| self.key(name)).collect();
        let removed = join_all(keys.iter().map(|key| object::remove(self.bucket, key))).await;
        // Uploads that a failed step left; most steps end theirs.
        if names.len() > 1 {
            for (key, id) in leftover::page_below(self.bucket, &self.base).await? {
                leftover::abort(self.bucket, &key, &id).await?;
            }
        }
        removed.into_iter().collect()
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }

    fn faulty(&self, what: &str) -> StorageError {
        StorageError::Faulty { path: self.base.clone(), what: what.to_owned() }
    }

    /// An object's bytes; `None` if it is not there.
    async fn content(&self, name: &str) -> Result<Option<Bytes>, StorageError> {
        objects::content(self.bucket, &self.key(name), None).await
    }

    /// The answer, or a refusal that says something of what the store does. One that asks for
    /// patience says nothing, but for 500: it was asked for several times by now, and some stores say
    /// so of what they do not know.
    fn answer<T, E>(&self, outcome: Result<T, SdkError<E, HttpResponse>>) -> Result<Result<T, Refusal>, StorageError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match outcome {
            Ok(answer) => Ok(Ok(answer)),
            Err(error) => match Refusal::of(&error) {
                Some(refusal) if !passes(refusal.status) => Ok(Err(refusal)),
                _ => Err(self.bucket.fault(&self.base, error)),
            },
        }
    }
}

/// Tells whether a refusal may be another one in a moment: that is nothing to remember of a store.
fn passes(status: u16) -> bool {
    status != 500 && StatusCode::from_u16(status).is_ok_and(asks_for_patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_says_of_the_moment_is_no_finding() {
        for status in [408, 429, 502, 503, 504] {
            assert!(passes(status), "{status}");
        }
        for status in [400, 403, 404, 405, 412, 500, 501] {
            assert!(!passes(status), "{status}");
        }
    }
}
