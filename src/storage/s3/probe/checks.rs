//! What a store does with checksums: whether it looks at them, keeps them and tells them.

use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};

use crate::model::checksum::{Algorithm, Checksum};
use crate::storage::backend::StorageError;
use crate::storage::s3::fault::Refusal;
use crate::storage::s3::leftover;
use crate::storage::s3::object;
use crate::storage::s3::part::{Print, Sent};
use crate::storage::s3::probe::{CONTENT, OBJECT, OTHER, PARTS, RIGHT, Seen, Trial, WRONG};
use crate::storage::s3::publish::etag_of;

impl Trial<'_> {
    pub(super) async fn checks_md5(&self) -> Result<Seen, StorageError> {
        let put = self.put(WRONG).content_md5(Print::of(OTHER, false).md5_base64());
        let refused = self.answer(put.send().await)?.err();
        self.stored_wrong(refused).await
    }

    pub(super) async fn checks_crc32c(&self) -> Result<Seen, StorageError> {
        let put = self.put(WRONG).set_checksum_crc32_c(Print::of(OTHER, true).crc32c_base64());
        let refused = self.answer(put.send().await)?.err();
        self.stored_wrong(refused).await
    }

    /// Both of an object that came whole and of one that came in parts: who compares cannot know
    /// which it was.
    pub(super) async fn tells_crc32c(&self) -> Result<Seen, StorageError> {
        let put = self.put(RIGHT).set_checksum_crc32_c(Print::of(CONTENT, true).crc32c_base64());
        if let Err(refusal) = self.answer(put.send().await)? {
            return Ok((false, refusal.told()));
        }
        if !self.told(RIGHT).await? {
            return Ok((false, "200, and none is told".to_owned()));
        }
        if let Err(refusal) = self.put_in_parts().await? {
            return Ok((false, format!("{} for an object of parts", refusal.told())));
        }
        let told = self.told(PARTS).await?;
        let seen = if told { "" } else { "it tells none of the whole of an object of parts" };
        Ok((told, seen.to_owned()))
    }

    pub(super) async fn tells_md5(&self) -> Result<Seen, StorageError> {
        self.named(OBJECT, Print::of(CONTENT, false).md5_hex()).await
    }

    pub(super) async fn tells_md5_of_parts(&self) -> Result<Seen, StorageError> {
        let md5 = Print::of(CONTENT, false).md5_hex();
        if let Err(refusal) = self.join_parts(PARTS).await? {
            return Ok((false, refusal.told()));
        }
        self.named(PARTS, etag_of(&[Sent { number: 1, etag: md5, crc32c: None, crc32c_so_far: None }])).await
    }

    /// Whether the store names an object so.
    async fn named(&self, name: &str, expected: String) -> Result<Seen, StorageError> {
        let key = self.key(name);
        let etag = object::etag(self.bucket, &key, &key).await?;
        Ok(match etag {
            Some(etag) if etag == expected => (true, String::new()),
            Some(_) => (false, "its ETag is something else".to_owned()),
            None => (false, "it has no ETag".to_owned()),
        })
    }

    async fn put_in_parts(&self) -> Result<Result<(), Refusal>, StorageError> {
        let (site, key) = (&self.bucket.site, self.key(PARTS));
        let crc32c = Print::of(CONTENT, true).crc32c_base64();
        let begin = self.bucket.sdk.create_multipart_upload().bucket(&site.bucket).key(&key);
        let begin = begin.checksum_algorithm(ChecksumAlgorithm::Crc32C).checksum_type(ChecksumType::FullObject);
        let id = match self.answer(begin.send().await)? {
            Ok(begun) => begun.upload_id().unwrap_or_default().to_owned(),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let part = self.bucket.sdk.upload_part().bucket(&site.bucket).key(&key).upload_id(&id).part_number(1);
        let sent = part.set_checksum_crc32_c(crc32c.clone()).body(CONTENT.to_vec().into()).send().await;
        let completed = match self.answer(sent)? {
            Ok(sent) => {
                let part = CompletedPart::builder().part_number(1).set_e_tag(sent.e_tag().map(Into::into));
                let part = part.set_checksum_crc32_c(crc32c.clone()).build();
                let parts = CompletedMultipartUpload::builder().parts(part).build();
                let complete = self.bucket.sdk.complete_multipart_upload().bucket(&site.bucket).key(&key);
                let complete = complete.upload_id(&id).multipart_upload(parts).checksum_type(ChecksumType::FullObject);
                self.answer(complete.set_checksum_crc32_c(crc32c).send().await)?.map(|_| ())
            }
            Err(refusal) => Err(refusal),
        };
        if completed.is_err() {
            leftover::abort(self.bucket, &key, &id).await?;
        }
        Ok(completed)
    }

    async fn told(&self, name: &str) -> Result<bool, StorageError> {
        let key = self.key(name);
        let crc32c = Print::of(CONTENT, true).crc32c.expect("it was asked for");
        let expected = Checksum::new(Algorithm::Crc32c, crc32c).expect("it has four bytes");
        let head = object::head(self.bucket, &key, &key).await?;
        Ok(head.is_some_and(|head| object::checksums(&head) == [expected]))
    }

    /// What refusing wrong bytes is worth, by whether they are there now. Removes them.
    async fn stored_wrong(&self, refused: Option<Refusal>) -> Result<Seen, StorageError> {
        let key = self.key(WRONG);
        let stored = object::head(self.bucket, &key, &key).await?.is_some();
        object::remove(self.bucket, &key).await?;
        Ok(match (refused, stored) {
            (Some(refusal), false) if refusal.status == 400 => (true, refusal.told()),
            (Some(refusal), false) => (false, refusal.told()),
            (Some(refusal), true) => (false, format!("{}, and stored them", refusal.told())),
            (None, true) => (false, "200, and stored them".to_owned()),
            (None, false) => (false, "200, and stored nothing".to_owned()),
        })
    }

    fn put(&self, name: &str) -> PutObjectFluentBuilder {
        let request = self.bucket.sdk.put_object().bucket(&self.bucket.site.bucket).key(self.key(name));
        request.body(CONTENT.to_vec().into())
    }
}
