//! What a store does with uploads of parts: conditions, copies, finding them again.

use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use crate::model::id::IntentId;
use crate::storage::backend::StorageError;
use crate::storage::s3::bucket::bare;
use crate::storage::s3::copy::source_name;
use crate::storage::s3::fault::Refusal;
use crate::storage::s3::leftover;
use crate::storage::s3::part::Print;
use crate::storage::s3::probe::{CONTENT, COPY, OBJECT, OTHER, PARTS, Seen, Trial, UPLOAD};

impl Trial<'_> {
    pub(super) async fn complete_refuses_to_replace(&self) -> Result<Seen, StorageError> {
        if let Err(refusal) = self.complete_on(PARTS).await? {
            return Ok((false, format!("{} where nothing was", refusal.told())));
        }
        let refusal = self.complete_on(OBJECT).await?.err();
        leftover::sweep(self.bucket, &self.key(OBJECT), IntentId(0), None).await?;
        self.replaced(refusal.map(|refusal| refusal.told())).await
    }

    /// Uploads and completes, if nothing is there.
    async fn complete_on(&self, name: &str) -> Result<Result<(), Refusal>, StorageError> {
        let (id, etag) = match self.begin(name, OTHER).await? {
            Ok(begun) => begun,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let completed = self.answer(self.complete(name, &id, &etag).if_none_match("*").send().await)?;
        if completed.is_err() {
            leftover::abort(self.bucket, &self.key(name), &id).await?;
        }
        Ok(completed.map(|_| ()))
    }

    /// Puts the content there as an upload of one part, whatever is there.
    pub(super) async fn join_parts(&self, name: &str) -> Result<Result<(), Refusal>, StorageError> {
        let (id, etag) = match self.begin(name, CONTENT).await? {
            Ok(begun) => begun,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let completed = self.answer(self.complete(name, &id, &etag).send().await)?;
        if completed.is_err() {
            leftover::abort(self.bucket, &self.key(name), &id).await?;
        }
        Ok(completed.map(|_| ()))
    }

    pub(super) async fn copies(&self) -> Result<Seen, StorageError> {
        let (site, key) = (&self.bucket.site, self.key(COPY));
        let begun =
            self.answer(self.bucket.sdk.create_multipart_upload().bucket(&site.bucket).key(&key).send().await)?;
        let id = match begun {
            Ok(begun) => begun.upload_id().unwrap_or_default().to_owned(),
            Err(refusal) => return Ok((false, refusal.told())),
        };
        let from = source_name(&site.bucket, &self.key(OBJECT));
        let copy = self.bucket.sdk.upload_part_copy().bucket(&site.bucket).key(&key).upload_id(&id);
        let copied = self.answer(copy.part_number(1).copy_source(from).send().await)?;
        let result = copied.map(|copied| copied.copy_part_result().and_then(|part| part.e_tag().map(Into::into)));
        let completed = match result {
            Ok(Some(etag)) => {
                let etag: String = etag;
                self.answer(self.complete(COPY, &id, &etag).send().await)?.map(|_| ())
            }
            Ok(None) => {
                leftover::abort(self.bucket, &key, &id).await?;
                return Ok((false, "200 without a name for the part".to_owned()));
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = completed {
            leftover::abort(self.bucket, &key, &id).await?;
            return Ok((false, refusal.told()));
        }
        let equal = self.content(COPY).await?.is_some_and(|content| content == CONTENT);
        Ok(if equal { (true, String::new()) } else { (false, "200, and the copy has other bytes".to_owned()) })
    }

    pub(super) async fn resumes(&self) -> Result<Seen, StorageError> {
        let key = self.key(UPLOAD);
        let (id, _) = match self.begin(UPLOAD, CONTENT).await? {
            Ok(begun) => begun,
            Err(refusal) => return Ok((false, refusal.told())),
        };
        let list = self.bucket.sdk.list_multipart_uploads().bucket(&self.bucket.site.bucket).prefix(&key);
        let listed = self.answer(list.send().await)?;
        let found = listed.map(|page| page.uploads().iter().any(|upload| upload.upload_id() == Some(&id)));
        let parts = leftover::parts(self.bucket, &key, &id).await?;
        leftover::abort(self.bucket, &key, &id).await?;
        let proven = parts.get(&1).is_some_and(|(_, etag)| *etag == Print::of(CONTENT, false).md5_hex());
        Ok(match (found, proven) {
            (Ok(true), true) => (true, String::new()),
            (Ok(true), false) => (false, "it lists the upload, but no part that could be recognised".to_owned()),
            (Ok(false), _) => (false, "200, but the upload is not in the list".to_owned()),
            (Err(refusal), _) => (false, refusal.told()),
        })
    }

    /// Begins an upload with one part; gives its id and the part's ETag.
    async fn begin(&self, name: &str, content: &[u8]) -> Result<Result<(String, String), Refusal>, StorageError> {
        let (site, key) = (&self.bucket.site, self.key(name));
        let begun =
            self.answer(self.bucket.sdk.create_multipart_upload().bucket(&site.bucket).key(&key).send().await)?;
        let id = match begun {
            Ok(begun) => begun.upload_id().unwrap_or_default().to_owned(),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let part = self.bucket.sdk.upload_part().bucket(&site.bucket).key(&key).upload_id(&id);
        let sent = self.answer(part.part_number(1).body(content.to_vec().into()).send().await)?;
        if sent.is_err() {
            leftover::abort(self.bucket, &key, &id).await?;
        }
        Ok(sent.map(|sent| (id, bare(sent.e_tag().unwrap_or_default()).to_owned())))
    }

    fn complete(&self, name: &str, id: &str, etag: &str) -> CompleteMultipartUploadFluentBuilder {
        let part = CompletedPart::builder().part_number(1).e_tag(etag).build();
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let request = self.bucket.sdk.complete_multipart_upload().bucket(&self.bucket.site.bucket);
        request.key(self.key(name)).upload_id(id).multipart_upload(parts)
    }
}
