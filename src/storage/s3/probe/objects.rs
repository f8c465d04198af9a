//! What a store does with whole objects: ranges, conditions, signed URLs.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use reqwest::StatusCode;

use crate::storage::backend::{ByteRange, Signed, StorageError};
use crate::storage::s3::bucket::Bucket;
use crate::storage::s3::probe::{CONTENT, FREE, OBJECT, OTHER, Seen, Trial};
use crate::storage::s3::read;

/// How long a URL that is tried is good for.
const SIGNED_SPAN: Duration = Duration::from_mins(5);

impl Trial<'_> {
    pub(super) async fn reads_ranges(&self) -> Result<Seen, StorageError> {
        let range = ByteRange { start: 7, end: 12 };
        match content(self.bucket, &self.key(OBJECT), Some(range)).await {
            Ok(Some(content)) if content == CONTENT[7..12] => Ok((true, String::new())),
            Ok(_) => Ok((false, "it gives other bytes than were asked for".to_owned())),
            Err(StorageError::Unavailable { what, .. } | StorageError::Faulty { what, .. }) => Ok((false, what)),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn put_refuses_to_replace(&self) -> Result<Seen, StorageError> {
        let put = |name| {
            let request = self.bucket.sdk.put_object().bucket(&self.bucket.site.bucket).key(self.key(name));
            request.if_none_match("*").body(OTHER.to_vec().into()).send()
        };
        if let Err(refusal) = self.answer(put(FREE).await)? {
            return Ok((false, format!("{} where nothing was", refusal.told())));
        }
        let refusal = self.answer(put(OBJECT).await)?.err();
        self.replaced(refusal.map(|refusal| refusal.told())).await
    }

    /// What a refusal to replace is worth, by what is there now. Puts the object back.
    pub(super) async fn replaced(&self, refused: Option<String>) -> Result<Seen, StorageError> {
        let intact = self.content(OBJECT).await?.is_some_and(|content| content == CONTENT);
        if !intact {
            self.put_and_read_back().await?;
        }
        Ok(match (refused, intact) {
            (Some(told), true) => (told.starts_with("412"), format!("{told}, and the object was unchanged")),
            (Some(told), false) => (false, format!("{told}, and replaced it")),
            (None, true) => (false, "200, and did nothing".to_owned()),
            (None, false) => (false, "200, and replaced it".to_owned()),
        })
    }

    pub(super) async fn signs(&self) -> Result<Seen, StorageError> {
        let key = self.key(OBJECT);
        let Some(url) = read::sign(self.bucket, &key, &key, Signed::Get, SIGNED_SPAN).await? else {
            return Ok((false, "there is no key to sign with".to_owned()));
        };
        let bare = url.split('?').next().unwrap_or_default();
        let (status, content) = self.bucket.get_plain(&key, &url, CONTENT.len()).await?;
        if status != StatusCode::OK || content != CONTENT {
            return Ok((false, format!("{} with a signature", status.as_u16())));
        }
        let (status, _) = self.bucket.get_plain(&key, bare, CONTENT.len()).await?;
        let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        Ok((refused, format!("200 with a signature, {} without", status.as_u16())))
    }
}

/// The bytes under a key; `None` if nothing is there. Of more than could be right, only the beginning.
pub(super) async fn content(
    bucket: &Bucket,
    key: &str,
    range: Option<ByteRange>,
) -> Result<Option<Bytes>, StorageError> {
    match read::read_key(bucket, key, range).await {
        Ok(mut stream) => {
            let mut content = BytesMut::new();
            while content.len() <= CONTENT.len()
                && let Some(chunk) = stream.try_next().await?
            {
                content.extend_from_slice(&chunk[..chunk.len().min(CONTENT.len() + 1 - content.len())]);
            }
            Ok(Some(content.freeze()))
        }
        Err(StorageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
