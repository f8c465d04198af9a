//! Publishes what waits: one PUT of an object held in memory, or the completion of an upload.
//!
//! Promises that of concurrent publishes in this process one wins, on every store: a store that
//! refuses to replace is a second belt, the catalog's intent the first. What the store says to have
//! made of other bytes than were sent does not keep the final name.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream as SdkStream;
use aws_sdk_s3::types::{ChecksumType, CompletedMultipartUpload, CompletedPart};
use aws_smithy_types::base64;
use md5::{Digest as _, Md5};

use crate::model::id::IntentId;
use crate::model::probe::Feature;
use crate::storage::backend::{Overwrite, StorageError};
use crate::storage::layout::StoragePath;
use crate::storage::s3::bucket::{Bucket, bare};
use crate::storage::s3::desk::{Held, Upload, Waiting};
use crate::storage::s3::fault::Refusal;
use crate::storage::s3::leftover;
use crate::storage::s3::object;
use crate::storage::s3::part::{Sent, hex};
use crate::storage::s3::stage::{confirm, etag_is_md5, looks_md5};

/// Publishes what waits for an intent.
pub(super) async fn publish(
    bucket: &Bucket,
    path: &StoragePath,
    intent: IntentId,
    overwrite: Overwrite,
) -> Result<(), StorageError> {
    let key = bucket.site.key(path)?;
    let _turn = bucket.turns.take(&key).await;
    let waiting = bucket.desk.waiting(&key, intent);
    let waiting = waiting.ok_or_else(|| StorageError::NotFound { path: path.to_string() })?;
    if overwrite == Overwrite::Refuse && object::head(bucket, path.as_str(), &key).await?.is_some() {
        return Err(StorageError::Exists { path: path.to_string() });
    }
    let (made, uploaded) = match waiting {
        Waiting::Held(held) => (put(bucket, path.as_str(), &key, held, overwrite).await?, false),
        Waiting::Upload(upload) => {
            let completed = complete(bucket, path.as_str(), &key, upload, overwrite).await;
            if let Err(StorageError::NotFound { .. }) = completed {
                bucket.desk.clear(&key, intent);
            }
            (completed?, true)
        }
    };
    bucket.desk.clear(&key, intent);
    if uploaded {
        leftover::try_sweep(bucket, &key, intent).await;
    }
    if made.verdict.is_err() {
        take_back(bucket, path.as_str(), &key, &made.etag).await;
    }
    made.verdict
}

/// What the store says that it has made of what was sent, under the final name.
struct Made {
    etag: String,
    /// Whether that can be true.
    verdict: Result<(), StorageError>,
}

impl Made {
    /// By an attempt before this one, whose answer was lost: its ETag was compared already.
    fn before(etag: String) -> Self {
        Self { etag, verdict: Ok(()) }
    }
}

/// Removes what was just made of other bytes, if it is still what is there. The contradiction gets
/// told all the same.
async fn take_back(bucket: &Bucket, path: &str, key: &str, etag: &str) {
    let removed = match object::etag(bucket, path, key).await {
        Ok(Some(there)) if there == etag => object::remove(bucket, key).await,
        there => there.map(drop),
    };
    if let Err(error) = removed {
        tracing::warn!(key, %error, "wrong bytes were published and could not be removed again");
    }
}

async fn put(bucket: &Bucket, path: &str, key: &str, held: Held, overwrite: Overwrite) -> Result<Made, StorageError> {
    let condition = condition(bucket, overwrite, Feature::PutRefusesToReplace);
    let md5 = held.print.md5_hex();
    let request = bucket.sdk.put_object().bucket(&bucket.site.bucket).key(key).set_if_none_match(condition);
    let request = request
        .set_content_md5(bucket.sends_md5().then(|| held.print.md5_base64()))
        .set_checksum_crc32_c(held.print.crc32c_base64())
        .body(SdkStream::from(held.content));
    let mut request = request.customize();
    if bucket.site.is_sealed() {
        request = request.disable_payload_signing();
    }
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let taken = Refusal::of(&error).is_some_and(|refusal| refusal.status == 412);
            // A moment ago nothing was there. If just this is there now, it was put by an attempt
            // whose answer was lost.
            if taken && object::etag(bucket, path, key).await?.is_some_and(|etag| etag == md5) {
                return Ok(Made::before(md5));
            }
            return Err(bucket.fault(path, error));
        }
    };
    let etag = bare(answer.e_tag().unwrap_or_default()).to_owned();
    let is_md5 =
        bucket.does(Feature::TellsMd5) && etag_is_md5(answer.server_side_encryption(), answer.sse_customer_algorithm());
    Ok(Made { verdict: confirm(path, &etag, is_md5, &held.print), etag })
}

async fn complete(
    bucket: &Bucket,
    path: &str,
    key: &str,
    upload: Arc<Upload>,
    overwrite: Overwrite,
) -> Result<Made, StorageError> {
    let parts = upload.parts.iter().map(|part| {
        let crc32c = part.crc32c.map(base64::encode);
        CompletedPart::builder().part_number(part.number).e_tag(&part.etag).set_checksum_crc32_c(crc32c).build()
    });
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
    let condition = condition(bucket, overwrite, Feature::CompleteRefusesToReplace);
    let request = bucket.sdk.complete_multipart_upload().bucket(&bucket.site.bucket).key(key).upload_id(&upload.id);
    let request = request
        .set_if_none_match(condition)
        .set_checksum_type(upload.crc32c.map(|_| ChecksumType::FullObject))
        .set_checksum_crc32_c(upload.crc32c.map(base64::encode))
        .multipart_upload(parts);
    let error = match request.send().await {
        Ok(answer) => {
            let etag = bare(answer.e_tag().unwrap_or_default()).to_owned();
            let is_md5 = bucket.does(Feature::TellsMd5OfParts) && etag_is_md5(answer.server_side_encryption(), None);
            return Ok(Made { verdict: confirm_parts(path, &etag, is_md5, &upload.parts), etag });
        }
        Err(error) => error,
    };
    let lost = Refusal::of(&error).is_some_and(|refusal| refusal.is_absence());
    // The store may have put it together and its answer was lost: then the key has just this.
    let expected = etag_of(&upload.parts);
    if lost && object::etag(bucket, path, key).await?.is_some_and(|etag| etag == expected) {
        return Ok(Made::before(expected));
    }
    Err(bucket.fault(path, error))
}

fn condition(bucket: &Bucket, overwrite: Overwrite, feature: Feature) -> Option<String> {
    (overwrite == Overwrite::Refuse && bucket.does(feature)).then(|| "*".to_owned())
}

/// Compares what the store says it put together with what was sent, where its ETags are MD5s at all.
fn confirm_parts(path: &str, etag: &str, is_md5: bool, parts: &[Sent]) -> Result<(), StorageError> {
    let looks_so = etag.split_once('-').is_some_and(|(md5, number)| looks_md5(md5) && number.parse::<u32>().is_ok());
    let plain = is_md5 && looks_so && parts.iter().all(|part| looks_md5(&part.etag));
    let expected = etag_of(parts);
    if plain && !etag.eq_ignore_ascii_case(&expected) {
        let what = format!("it put together an object with the ETag {etag}, of what was sent it is {expected}");
        return Err(StorageError::Faulty { path: path.to_owned(), what });
    }
    Ok(())
}

/// The ETag that stores give an object of parts: the MD5 of its parts' MD5s, and their number.
pub(super) fn etag_of(parts: &[Sent]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        let digits = part.etag.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
        let bytes: Vec<u8> = digits.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        md5.update(bytes);
    }
    format!("{}-{}", hex(&md5.finalize()), parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_etag_of_parts_is_the_hash_of_their_hashes() {
        // The MD5 of the 32 bytes of two MD5s of nothing, computed with md5sum.
        let empty = "d41d8cd98f00b204e9800998ecf8427e";
        let part = |number| Sent { number, etag: empty.to_owned(), crc32c: None, crc32c_so_far: None };
        assert_eq!(etag_of(&[part(1), part(2)]), "5873dd45edd01f09c1ef2e7819369e8e-2");
    }

    #[test]
    fn an_object_of_other_parts_is_noticed_where_names_are_hashes() {
        let empty = "d41d8cd98f00b204e9800998ecf8427e";
        let part = |etag: &str| Sent { number: 1, etag: etag.to_owned(), crc32c: None, crc32c_so_far: None };
        let hashes = [part(empty), part(empty)];
        let wrong = "00000000000000000000000000000000-2";
        let table: [(&str, bool, &[Sent], bool); 8] = [
            ("5873dd45edd01f09c1ef2e7819369e8e-2", true, &hashes, true),
            ("5873DD45EDD01F09C1EF2E7819369E8E-2", true, &hashes, true),
            ("5873dd45edd01f09c1ef2e7819369e8e-1", true, &hashes, false),
            (wrong, true, &hashes, false),
            (wrong, false, &hashes, true),
            (wrong, true, &[part(empty), part("no-hash")], true),
            (empty, true, &hashes, true),
            ("", true, &hashes, true),
        ];
        for (etag, is_md5, parts, fine) in table {
            let confirmed = confirm_parts("a", etag, is_md5, parts);
            assert_eq!(confirmed.is_ok(), fine, "{etag}: {confirmed:?}");
        }
    }
}
