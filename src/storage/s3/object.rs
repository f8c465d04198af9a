//! Looks at objects and deletes them.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use aws_smithy_types::base64;

use crate::model::checksum::{Algorithm, Checksum};
use crate::storage::backend::{ObjectInfo, StorageError};
use crate::storage::layout::StoragePath;
use crate::storage::s3::bucket::{Bucket, bare};
use crate::storage::s3::fault::Refusal;
use crate::storage::s3::root;

/// What the store knows of an object.
pub(super) async fn stat(bucket: &Bucket, path: &StoragePath) -> Result<ObjectInfo, StorageError> {
    let key = bucket.site.key(path)?;
    match head(bucket, path.as_str(), &key).await? {
        Some(head) => Ok(ObjectInfo { bytes: length(path.as_str(), &head)?, checksums: checksums(&head) }),
        None => Err(absent(bucket, path.as_str()).await),
    }
}

/// Deletes an object. S3 says nothing of whether one was there, so that is asked before.
pub(super) async fn delete(bucket: &Bucket, path: &StoragePath) -> Result<(), StorageError> {
    let key = bucket.site.key(path)?;
    if head(bucket, path.as_str(), &key).await?.is_none() {
        return Err(absent(bucket, path.as_str()).await);
    }
    remove(bucket, &key).await
}

/// Deletes whatever is under a key, if anything.
pub(super) async fn remove(bucket: &Bucket, key: &str) -> Result<(), StorageError> {
    let request = bucket.sdk.delete_object().bucket(&bucket.site.bucket).key(key);
    request.send().await.map(|_| ()).map_err(|error| bucket.fault(key, error))
}

/// What the store says of a key; `None` if nothing is there.
pub(super) async fn head(bucket: &Bucket, path: &str, key: &str) -> Result<Option<HeadObjectOutput>, StorageError> {
    let request = bucket.sdk.head_object().bucket(&bucket.site.bucket).key(key);
    match request.checksum_mode(ChecksumMode::Enabled).send().await {
        Ok(head) => Ok(Some(head)),
        Err(error) if Refusal::of(&error).is_some_and(|refusal| refusal.is_absence()) => Ok(None),
        Err(error) => Err(bucket.fault(path, error)),
    }
}

/// The ETag of what is under a key.
pub(super) async fn etag(bucket: &Bucket, path: &str, key: &str) -> Result<Option<String>, StorageError> {
    let head = head(bucket, path, key).await?;
    Ok(head.and_then(|head| head.e_tag().map(|etag| bare(etag).to_owned())))
}

/// The length in a store's answer.
pub(super) fn length(path: &str, head: &HeadObjectOutput) -> Result<u64, StorageError> {
    let length = head.content_length().and_then(|length| u64::try_from(length).ok());
    length.ok_or_else(|| StorageError::Faulty {
        path: path.to_owned(),
        what: "it does not say how long the object is".to_owned(),
    })
}

/// A CRC-32C of the whole; one that is made of those of parts says nothing to others.
pub(super) fn checksums(head: &HeadObjectOutput) -> Vec<Checksum> {
    let whole = head.checksum_type().is_none_or(|kind| *kind == ChecksumType::FullObject);
    let of_parts = head.checksum_type().is_none() && head.e_tag().is_none_or(|etag| etag.contains('-'));
    let told = head.checksum_crc32_c().filter(|_| whole && !of_parts);
    let bytes = told.and_then(|text| base64::decode(text).ok());
    bytes.and_then(|bytes| Checksum::new(Algorithm::Crc32c, bytes)).into_iter().collect()
}

/// Nothing is there: the object is missing, or all of the bucket.
async fn absent(bucket: &Bucket, path: &str) -> StorageError {
    match root::look(bucket).await {
        Ok(()) => StorageError::NotFound { path: path.to_owned() },
        Err(error) => error,
    }
}
