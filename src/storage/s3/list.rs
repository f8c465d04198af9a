//! Lists a bucket page by page, as it is: names that no path of ours could have are listed, too.

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::storage::backend::{Listed, StorageError};
use crate::storage::s3::bucket::Bucket;

enum Next {
    First,
    After(String),
    End,
}

/// All objects below the root.
pub(super) fn list(bucket: &Bucket) -> BoxStream<'_, Result<Listed, StorageError>> {
    let pages = stream::try_unfold(Next::First, move |next| async move {
        let token = match next {
            Next::First => None,
            Next::After(token) => Some(token),
            Next::End => return Ok(None),
        };
        page(bucket, token).await.map(Some)
    });
    pages.map_ok(|page| stream::iter(page).map(Ok)).try_flatten().boxed()
}

/// The first page of the keys that begin so.
pub(super) async fn page_below(bucket: &Bucket, prefix: &str) -> Result<Vec<String>, StorageError> {
    let request = bucket.sdk.list_objects_v2().bucket(&bucket.site.bucket).prefix(prefix);
    let page = request.send().await.map_err(|error| bucket.fault(&bucket.site.root(), error))?;
    Ok(page.contents().iter().filter_map(|object| object.key().map(ToOwned::to_owned)).collect())
}

async fn page(bucket: &Bucket, token: Option<String>) -> Result<(Vec<Listed>, Next), StorageError> {
    let prefix = &bucket.site.prefix;
    let request = bucket.sdk.list_objects_v2().bucket(&bucket.site.bucket).set_continuation_token(token);
    let request = if prefix.is_empty() { request } else { request.prefix(prefix) };
    let page = request.send().await.map_err(|error| bucket.fault(&bucket.site.root(), error))?;
    let mut listed = Vec::with_capacity(page.contents().len());
    for object in page.contents() {
        let path = object.key().and_then(|key| key.strip_prefix(prefix.as_str())).unwrap_or_default();
        // Consoles leave an empty object under the prefix itself, to show it as a directory.
        if !path.is_empty() {
            let bytes = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            listed.push(Listed { path: path.to_owned(), bytes });
        }
    }
    let next = match (page.is_truncated(), page.next_continuation_token()) {
        (Some(true), Some(token)) => Next::After(token.to_owned()),
        (Some(true), None) => {
            let what = "a page of its list has no successor, but is not the last".to_owned();
            return Err(StorageError::Faulty { path: bucket.site.root(), what });
        }
        _ => Next::End,
    };
    Ok((listed, next))
}
