//! Reads objects, whole or in ranges, and signs URLs by which others may.
//!
//! Promises chunks of at most [`CHUNK_BYTES_MAX`], and that a body which breaks off is gone on with
//! only while the object is the same.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore as _};
use reqwest::Method;

use crate::storage::backend::{ByteRange, ByteStream, CHUNK_BYTES_MAX, Signed, StorageError};
use crate::storage::layout::StoragePath;
use crate::storage::s3::bucket::Bucket;
use crate::storage::s3::desk::Source;
use crate::storage::s3::fault::{Refusal, reading};
use crate::storage::s3::object;
use crate::storage::silence::unless_silent;

/// The longest that a signature of this kind may be good for.
const SIGNED_SPAN_MAX: Duration = Duration::from_hours(7 * 24);

/// Reads an object or a range of it.
pub(super) async fn read(
    bucket: &Bucket,
    path: &StoragePath,
    range: Option<ByteRange>,
) -> Result<ByteStream, StorageError> {
    let key = bucket.site.key(path)?;
    let Some(range) = range else {
        return Ok(chunks(bucket, path.as_str(), get(bucket, path.as_str(), &key, None, None).await?));
    };
    if range.end <= range.start {
        let found = object::stat(bucket, path).await?.bytes;
        return match range.start.max(range.end) {
            end if end > found => Err(beyond(path, end, found)),
            _ => Ok(stream::empty().boxed()),
        };
    }
    let error = match try_get(bucket, path.as_str(), &key, Some(range), None).await? {
        Ok(result) if result.range.end < range.end => return Err(beyond(path, range.end, result.meta.size)),
        Ok(result) => return Ok(chunks(bucket, path.as_str(), result)),
        Err(error) => error,
    };
    // Not every store says of a range beyond the end how long the object is. One that gave no answer
    // is not asked once more.
    if Refusal::behind(&error).is_some_and(|refusal| matches!(refusal.status, 400 | 416))
        && let Ok(info) = object::stat(bucket, path).await
        && info.bytes < range.end
    {
        return Err(beyond(path, range.end, info.bytes));
    }
    Err(reading(&bucket.site, path.as_str(), &error))
}

/// Reads what is under a key, or a range that lies within it.
pub(super) async fn read_key(bucket: &Bucket, key: &str, range: Option<ByteRange>) -> Result<ByteStream, StorageError> {
    Ok(chunks(bucket, key, get(bucket, key, key, range, None).await?))
}

/// Reads the version of an object that was copied.
pub(super) async fn read_source(source: &Source) -> Result<ByteStream, StorageError> {
    let Some(bucket) = source.bucket.upgrade() else {
        let what = "the endpoint it was copied from was opened anew meanwhile: copy it again".to_owned();
        return Err(StorageError::Unavailable { path: source.key.clone(), what });
    };
    let result = get(&bucket, &source.key, &source.key, None, Some(&source.etag)).await?;
    Ok(chunks(&bucket, &source.key, result))
}

/// Signs a URL; `None` if there is nobody to sign as, or no signature lasts so long.
pub(super) async fn sign(
    bucket: &Bucket,
    path: &str,
    key: &str,
    what: Signed,
    span: Duration,
) -> Result<Option<String>, StorageError> {
    if bucket.site.pair.is_none() || span > SIGNED_SPAN_MAX {
        return Ok(None);
    }
    let method = match what {
        Signed::Get => Method::GET,
        Signed::Head => Method::HEAD,
    };
    let url = bucket.store.signed_url(method, &location(path, key)?, span).await;
    url.map(|url| Some(url.into())).map_err(|error| reading(&bucket.site, path, &error))
}

async fn get(
    bucket: &Bucket,
    path: &str,
    key: &str,
    range: Option<ByteRange>,
    etag: Option<&str>,
) -> Result<GetResult, StorageError> {
    let result = try_get(bucket, path, key, range, etag).await?;
    result.map_err(|error| reading(&bucket.site, path, &error))
}

async fn try_get(
    bucket: &Bucket,
    path: &str,
    key: &str,
    range: Option<ByteRange>,
    etag: Option<&str>,
) -> Result<Result<GetResult, object_store::Error>, StorageError> {
    let options = GetOptions {
        range: range.map(|range| GetRange::Bounded(range.start..range.end)),
        if_match: etag.map(ToOwned::to_owned),
        ..GetOptions::default()
    };
    Ok(bucket.store.get_opts(&location(path, key)?, options).await)
}

fn location(path: &str, key: &str) -> Result<Path, StorageError> {
    Path::parse(key).map_err(|error| StorageError::Outside { path: path.to_owned(), why: error.to_string() })
}

fn beyond(path: &StoragePath, expected: u64, found: u64) -> StorageError {
    StorageError::WrongLength { path: path.to_string(), expected, found }
}

fn chunks(bucket: &Bucket, path: &str, result: GetResult) -> ByteStream {
    let (root, path, shown) = (bucket.site.root(), path.to_owned(), path.to_owned());
    let failed = move |error: object_store::Error| StorageError::Unavailable {
        path: path.clone(),
        what: format!("a body from {root} broke off: {}", crate::net::told(&error)),
    };
    let whole = result.into_stream().map_err(failed);
    let whole = whole.map_ok(|chunk| stream::iter(pieces(chunk)).map(Ok)).try_flatten().boxed();
    unless_silent(whole, bucket.clock.clone(), shown)
}

/// A chunk in pieces that are not too long.
pub(super) fn pieces(mut chunk: Bytes) -> impl Iterator<Item = Bytes> + Send {
    std::iter::from_fn(move || (!chunk.is_empty()).then(|| chunk.split_to(chunk.len().min(CHUNK_BYTES_MAX))))
}
