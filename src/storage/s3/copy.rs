//! Copies within one store: the parts of an upload on the destination are ranges of the source,
//! which the store reads itself.
//!
//! Promises that all parts are of one version of the source, and to leave it to a relay where the
//! store was not seen to copy.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::id::IntentId;
use crate::model::probe::Feature;
use crate::storage::backend::{Staged, StorageError};
use crate::storage::layout::StoragePath;
use crate::storage::s3::bucket::{Bucket, bare};
use crate::storage::s3::desk::{Source, Upload, Waiting};
use crate::storage::s3::fault::Refusal;
use crate::storage::s3::leftover;
use crate::storage::s3::object;
use crate::storage::s3::part::{PART_BYTES, PARTS_MAX, Sent};

/// The length of a range, which a store copies in some seconds; more for what would have too many.
const RANGE_BYTES: u64 = 256 << 20;
/// How many ranges are copied at once.
const RANGES_AT_ONCE: usize = 4;
/// What stays as it is in the name of a source.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What is copied where.
struct Copy<'a> {
    bucket: &'a Bucket,
    key: &'a str,
    id: &'a str,
    from: &'a Bucket,
    source: &'a Source,
}

/// Stages a copy; `None` if a relay is to do it.
pub(super) async fn stage(
    bucket: &Bucket,
    path: &StoragePath,
    intent: IntentId,
    bytes: u64,
    from: &Arc<Bucket>,
    source_path: &StoragePath,
) -> Result<Option<Staged>, StorageError> {
    let near = bucket.site.shares_server(&from.site) && bucket.does(Feature::ServerCopy);
    let (key, from_key) = (bucket.site.key(path)?, from.site.key(source_path)?);
    // radosgw decodes the name of a source twice: one with `%` in it would be another object's.
    if !near || bytes < PART_BYTES || from_key.contains('%') {
        return Ok(None);
    }
    let head = object::head(from, source_path.as_str(), &from_key).await?;
    let head = head.ok_or_else(|| StorageError::NotFound { path: source_path.to_string() })?;
    let found = object::length(source_path.as_str(), &head)?;
    if found != bytes {
        return Err(StorageError::WrongLength { path: source_path.to_string(), expected: bytes, found });
    }
    let Some(etag) = head.e_tag() else { return Ok(None) };
    let source = Source { bucket: Arc::downgrade(from), key: from_key, etag: etag.to_owned() };

    let claim = bucket.desk.claim(&key, intent);
    let turn = bucket.turns.take(&key).await;
    leftover::sweep(bucket, &key, intent, claim.left.clone()).await?;
    let id = leftover::create(bucket, &key, None).await?;
    claim.owns(&id);
    drop(turn);
    let copy = Copy { bucket, key: &key, id: &id, from, source: &source };
    match copy.all_of_one_version(bytes).await {
        Ok(Some(parts)) => {
            let upload = Upload { id, parts, crc32c: None, source: Some(source) };
            claim.settle(Waiting::Upload(Arc::new(upload)));
            Ok(Some(Staged { bytes, checksums: Vec::new() }))
        }
        outcome => {
            // That it could not be ended says nothing new: the next attempt or a discard finds it.
            if leftover::abort(bucket, &key, &id).await.is_ok() {
                claim.disowns();
            }
            outcome.map(|_| None)
        }
    }
}

/// An object as the header of a copy names it.
pub(super) fn source_name(bucket: &str, key: &str) -> String {
    format!("{bucket}/{}", utf8_percent_encode(key, PLAIN))
}

impl Copy<'_> {
    /// Copies all ranges, and looks whether the source is still what it was: not every store minds
    /// the condition that goes with each range.
    async fn all_of_one_version(&self, bytes: u64) -> Result<Option<Vec<Sent>>, StorageError> {
        let parts = self.all(bytes).await?;
        let Source { key, etag, .. } = self.source;
        if parts.is_some() && object::etag(self.from, key, key).await?.as_deref() != Some(bare(etag)) {
            return Err(self.changed());
        }
        Ok(parts)
    }

    /// Copies all ranges; `None` if the store turns out not to be able to.
    async fn all(&self, bytes: u64) -> Result<Option<Vec<Sent>>, StorageError> {
        let length = bytes.div_ceil(PARTS_MAX).next_multiple_of(1 << 20).max(RANGE_BYTES);
        let starts = (0..bytes.div_ceil(length)).map(|number| number * length);
        let ranges = starts.zip(1..).map(|(start, number)| self.range(number, start, (start + length).min(bytes)));
        let copying = stream::iter(ranges).buffer_unordered(RANGES_AT_ONCE);
        let copied: Vec<Option<Sent>> = copying.try_collect().await?;
        let Some(mut parts) = copied.into_iter().collect::<Option<Vec<Sent>>>() else { return Ok(None) };
        parts.sort_by_key(|part| part.number);
        Ok(Some(parts))
    }

    async fn range(&self, number: i32, start: u64, end: u64) -> Result<Option<Sent>, StorageError> {
        let Source { key: from_key, etag, .. } = self.source;
        let name = source_name(&self.from.site.bucket, from_key);
        let request = self.bucket.sdk.upload_part_copy().bucket(&self.bucket.site.bucket).key(self.key);
        let request = request
            .upload_id(self.id)
            .part_number(number)
            .copy_source(name)
            .copy_source_range(format!("bytes={start}-{}", end - 1))
            .copy_source_if_match(etag);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                return match Refusal::of(&error) {
                    Some(refusal) if refusal.is_incapable() => Ok(None),
                    Some(refusal) if refusal.status == 412 => Err(self.changed()),
                    _ => Err(self.bucket.fault(self.key, error)),
                };
            }
        };
        let etag = answer.copy_part_result().and_then(|result| result.e_tag());
        let etag = etag.ok_or_else(|| StorageError::Faulty {
            path: self.key.to_owned(),
            what: "it says to have copied a range, but has no name for it".to_owned(),
        })?;
        Ok(Some(Sent { number, etag: bare(etag).to_owned(), crc32c: None, crc32c_so_far: None }))
    }

    fn changed(&self) -> StorageError {
        let what = "the source changed while it was copied".to_owned();
        StorageError::Faulty { path: self.source.key.clone(), what }
    }
}
