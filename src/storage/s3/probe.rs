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
use reqwest::StatusCode;

use crate::model::id::IntentId;
use crate::model::probe::{Feature, Finding};
use crate::storage::backend::StorageError;
use crate::storage::layout::TEMPORARY_PREFIX;
use crate::storage::s3::bucket::Bucket;
use crate::storage::s3::fault::Refusal;
use crate::storage::s3::sender::asks_for_patience;
use crate::storage::s3::{leftover, object, root};

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
    let number = bucket.clock.random();
    let trial = Trial { bucket, base: format!("{}{TEMPORARY_PREFIX}probe-{number:016x}/", bucket.site.prefix) };
    let tried = trial.all().await;
    let cleaned = trial.clean().await;
    let findings = tried?;
    cleaned?;
    Ok(findings)
}

impl Trial<'_> {
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

    async fn clean(&self) -> Result<(), StorageError> {
        for name in ALL {
            object::remove(self.bucket, &self.key(name)).await?;
        }
        // Uploads that a failed step left; most steps end theirs.
        for name in [OBJECT, FREE, COPY, UPLOAD, PARTS] {
            leftover::sweep(self.bucket, &self.key(name), IntentId(0), None).await?;
        }
        Ok(())
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
