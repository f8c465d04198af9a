//! Finds uploads that earlier attempts left on a key, and ends those nobody needs.
//!
//! Never touches an upload that another intent of this process has. Where the store cannot list
//! uploads, does not let us, or does not understand us, there is nothing to find.

use std::collections::HashMap;

use crate::model::id::IntentId;
use crate::model::probe::Feature;
use crate::storage::backend::StorageError;
use crate::storage::s3::bucket::{Bucket, bare};
use crate::storage::s3::fault::Refusal;

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType};

/// How many pages of uploads are looked at. Keys that go on below this one share them.
const PAGES_MAX: usize = 10;
/// How many uploads on one key are looked into; more are ended unseen.
const LOOKED_INTO_MAX: usize = 4;

/// An upload as the store lists it.
struct Found {
    id: String,
    has_crc32c: bool,
}

/// An upload to go on with.
pub(super) struct Begun {
    pub(super) id: String,
    /// Length and ETag of the parts it has, by their number.
    pub(super) parts: HashMap<i32, (u64, String)>,
}

/// Begins an upload on a key, or goes on with one that was left there. To be called in the key's
/// turn, so that uploads which others are just beginning are not mistaken for left ones.
pub(super) async fn begin(
    bucket: &Bucket,
    key: &str,
    intent: IntentId,
    left: Option<&str>,
) -> Result<Begun, StorageError> {
    let mut best: Option<Begun> = None;
    let found = match find(bucket, key, intent).await? {
        Some(found) => found,
        None => left.map(|id| Found { id: id.to_owned(), has_crc32c: bucket.sends_crc32c() }).into_iter().collect(),
    };
    for (number, upload) in found.into_iter().enumerate() {
        let fits = bucket.does(Feature::ResumableUpload)
            && upload.has_crc32c == bucket.sends_crc32c()
            && number < LOOKED_INTO_MAX;
        let parts = if fits { parts(bucket, key, &upload.id).await? } else { HashMap::new() };
        let begun = Begun { id: upload.id, parts };
        let beaten = match &best {
            Some(best) => begun.parts.len() <= best.parts.len(),
            None => begun.parts.is_empty(),
        };
        let worse = if beaten { Some(begun) } else { best.replace(begun) };
        if let Some(worse) = worse {
            try_abort(bucket, key, &worse.id).await;
        }
    }
    match best {
        Some(best) => Ok(best),
        None => {
            let checksum = bucket.sends_crc32c().then_some(ChecksumAlgorithm::Crc32C);
            Ok(Begun { id: create(bucket, key, checksum).await?, parts: HashMap::new() })
        }
    }
}

/// Ends all uploads on a key but those that other intents have; the one that is known first, for
/// which nothing has to be found.
pub(super) async fn sweep(
    bucket: &Bucket,
    key: &str,
    intent: IntentId,
    own: Option<String>,
) -> Result<(), StorageError> {
    if let Some(own) = &own {
        abort(bucket, key, own).await?;
    }
    let found = find(bucket, key, intent).await?.unwrap_or_default();
    for found in found.iter().filter(|found| own.as_ref() != Some(&found.id)) {
        abort(bucket, key, &found.id).await?;
    }
    Ok(())
}

/// Ends what was left on a key that has just been published, such as an upload whose beginning was
/// never answered. What stays costs room, but is no reason to fail.
pub(super) async fn try_sweep(bucket: &Bucket, key: &str, intent: IntentId) {
    if let Err(error) = sweep(bucket, key, intent, None).await {
        tracing::warn!(key, %error, "it could not be seen whether uploads were left on a published key");
    }
}

/// Ends an upload that is in nobody's way: one that stays costs room, but is no reason to fail.
pub(super) async fn try_abort(bucket: &Bucket, key: &str, id: &str) {
    if let Err(error) = abort(bucket, key, id).await {
        tracing::warn!(key, %error, "an upload that nobody needs could not be ended");
    }
}

/// Ends an upload; one that is not there has ended.
pub(super) async fn abort(bucket: &Bucket, key: &str, id: &str) -> Result<(), StorageError> {
    let request = bucket.sdk.abort_multipart_upload().bucket(&bucket.site.bucket).key(key).upload_id(id);
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) if Refusal::of(&error).is_some_and(|refusal| refusal.is_absence()) => Ok(()),
        Err(error) => Err(bucket.fault(key, error)),
    }
}

/// Begins an upload, whatever else there is; `None` promises no checksum of the parts, as of bytes that
/// nobody here sees.
pub(super) async fn create(
    bucket: &Bucket,
    key: &str,
    checksum: Option<ChecksumAlgorithm>,
) -> Result<String, StorageError> {
    let mut request = bucket.sdk.create_multipart_upload().bucket(&bucket.site.bucket).key(key);
    if let Some(checksum) = checksum {
        request = request.checksum_algorithm(checksum).checksum_type(ChecksumType::FullObject);
    }
    let created = request.send().await.map_err(|error| bucket.fault(key, error))?;
    let nameless =
        || StorageError::Faulty { path: key.to_owned(), what: "it began an upload without an id".to_owned() };
    created.upload_id().map(ToOwned::to_owned).ok_or_else(nameless)
}

/// Uploads on exactly this key that no other intent of this process has; `None` if the store does
/// not list any.
async fn find(bucket: &Bucket, key: &str, intent: IntentId) -> Result<Option<Vec<Found>>, StorageError> {
    let mut found = Vec::new();
    let mut markers = (None, None);
    for _ in 0..PAGES_MAX {
        let request = bucket.sdk.list_multipart_uploads().bucket(&bucket.site.bucket).prefix(key);
        let page = match request.set_key_marker(markers.0).set_upload_id_marker(markers.1).send().await {
            Ok(page) => page,
            Err(error) => match Refusal::of(&error) {
                Some(refusal) if refusal.is_of_this_request() => return Ok(None),
                _ => return Err(bucket.fault(key, error)),
            },
        };
        for upload in page.uploads().iter().filter(|upload| upload.key() == Some(key)) {
            let has_crc32c = upload.checksum_algorithm() == Some(&ChecksumAlgorithm::Crc32C);
            found.extend(upload.upload_id().map(|id| Found { id: id.to_owned(), has_crc32c }));
        }
        markers = (page.next_key_marker().map(Into::into), page.next_upload_id_marker().map(Into::into));
        // Keys come in order: this one comes before all that go on below it.
        if page.is_truncated() != Some(true) || markers.0.as_deref().is_none_or(|marker: &str| marker > key) {
            break;
        }
    }
    let others = bucket.desk.of_others(key, intent);
    found.retain(|found| !others.contains(&found.id));
    Ok(Some(found))
}

/// The first page of the uploads on keys that begin so, with their ids; none if the store does not
/// list any.
pub(super) async fn page_below(bucket: &Bucket, prefix: &str) -> Result<Vec<(String, String)>, StorageError> {
    match bucket.sdk.list_multipart_uploads().bucket(&bucket.site.bucket).prefix(prefix).send().await {
        Ok(page) => {
            let named = page.uploads().iter().filter_map(|upload| upload.key().zip(upload.upload_id()));
            // Some stores give all, whatever the prefix.
            let below = named.filter(|(key, _)| key.starts_with(prefix));
            Ok(below.map(|(key, id)| (key.to_owned(), id.to_owned())).collect())
        }
        Err(error) if Refusal::of(&error).is_some_and(|refusal| refusal.is_of_this_request()) => Ok(Vec::new()),
        Err(error) => Err(bucket.fault(prefix, error)),
    }
}

/// The parts of an upload; none if it is not there or cannot be looked into.
pub(super) async fn parts(bucket: &Bucket, key: &str, id: &str) -> Result<HashMap<i32, (u64, String)>, StorageError> {
    let mut parts = HashMap::new();
    let mut marker = None;
    loop {
        let request = bucket.sdk.list_parts().bucket(&bucket.site.bucket).key(key).upload_id(id);
        let page = match request.set_part_number_marker(marker).send().await {
            Ok(page) => page,
            Err(error) => match Refusal::of(&error) {
                Some(refusal) if refusal.is_of_this_request() => return Ok(HashMap::new()),
                _ => return Err(bucket.fault(key, error)),
            },
        };
        let before = parts.len();
        for part in page.parts() {
            if let (Some(number), Some(size), Some(etag)) = (part.part_number(), part.size(), part.e_tag()) {
                parts.insert(number, (u64::try_from(size).unwrap_or(0), bare(etag).to_owned()));
            }
        }
        marker = page.next_part_number_marker().map(ToOwned::to_owned);
        if page.is_truncated() != Some(true) || marker.is_none() || parts.len() == before {
            return Ok(parts);
        }
    }
}
