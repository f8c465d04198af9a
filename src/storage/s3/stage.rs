//! Stages bytes: a small object waits in memory, a large one as parts of an upload on its final key.
//!
//! Promises that no more than [`PARTS_BYTES_MAX`] of parts are in memory, all uploads together, and that parts which an earlier attempt
//! left are sent again only if their bytes differ.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use aws_sdk_s3::primitives::ByteStream as SdkStream;
use aws_sdk_s3::types::ServerSideEncryption;
use futures::stream::{self, TryStreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::id::IntentId;
use crate::model::probe::Feature;
use crate::storage::backend::{ByteStream, Staged, StorageError};
use crate::storage::holding::Place;
use crate::storage::layout::StoragePath;
use crate::storage::s3::bucket::{Bucket, bare};
use crate::storage::s3::desk::{Claim, Held, Upload, Waiting};
use crate::storage::s3::leftover::{self, Begun};
use crate::storage::s3::part::{Cutter, PART_BYTES, Part, Print, Sent, part_bytes};

/// How many parts are on their way at once.
const PARTS_AT_ONCE: usize = 4;

/// How many bytes of parts are in this process's memory at once, whatever buckets they go to. Parts of
/// 5 TiB have 525 MiB; one such is there alone.
const PARTS_BYTES_MAX: u32 = 512 << 20;
static PARTS_ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(PARTS_BYTES_MAX as usize)));

/// How many bytes of an object so long are in memory at once.
pub(super) fn waiting_bytes(bytes: u64) -> u64 {
    bytes.min(PARTS_AT_ONCE as u64 * part_bytes(bytes))
}

/// Waits for room for a part.
async fn room(all: Arc<Semaphore>, bytes: u64) -> OwnedSemaphorePermit {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(PARTS_BYTES_MAX);
    all.acquire_many_owned(bytes).await.expect("it is never closed")
}

/// Stages a stream.
pub(super) async fn stage(
    bucket: &Bucket,
    path: &StoragePath,
    intent: IntentId,
    bytes: u64,
    content: ByteStream,
) -> Result<Staged, StorageError> {
    let key = bucket.site.key(path)?;
    let claim = bucket.desk.claim(&key, intent);
    match bucket.desk.reserve(bytes, bucket.clock.monotonic()) {
        Some(place) => hold(bucket, &key, claim, content, place).await?,
        None => upload(bucket, path, &key, claim, intent, bytes, content).await?,
    }
    Ok(Staged { bytes, checksums: Vec::new() })
}

async fn hold(bucket: &Bucket, key: &str, claim: Claim, content: ByteStream, place: Place) -> Result<(), StorageError> {
    if let Some(left) = &claim.left {
        leftover::try_abort(bucket, key, left).await;
    }
    let with_crc32c = bucket.sends_crc32c();
    let mut cutter = Cutter::new(key, content, place.bytes(), PART_BYTES, with_crc32c);
    let whole = cutter.next().await?.expect("even an empty stream has one part");
    let place = Arc::new(place);
    claim.settle(Waiting::Held(Held { content: whole.content, print: whole.print, place }));
    Ok(())
}

async fn upload(
    bucket: &Bucket,
    path: &StoragePath,
    key: &str,
    claim: Claim,
    intent: IntentId,
    bytes: u64,
    content: ByteStream,
) -> Result<(), StorageError> {
    let turn = bucket.turns.take(key).await;
    let begun = leftover::begin(bucket, key, intent, claim.left.as_deref()).await?;
    claim.owns(&begun.id);
    drop(turn);
    let cutter = Cutter::new(path.as_str(), content, bytes, part_bytes(bytes), bucket.sends_crc32c());
    let sent = match send_all(bucket, key, &begun, cutter).await {
        Ok(sent) => sent,
        Err(error @ StorageError::WrongLength { .. }) => {
            // Whatever comes the next time, it is not this. That it could not be ended says nothing
            // new: the next attempt or a discard finds it.
            if leftover::abort(bucket, key, &begun.id).await.is_ok() {
                claim.disowns();
            }
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let crc32c = sent.last().and_then(|last| last.crc32c_so_far);
    claim.settle(Waiting::Upload(Arc::new(Upload { id: begun.id, parts: sent, crc32c, source: None })));
    Ok(())
}

async fn send_all(bucket: &Bucket, key: &str, begun: &Begun, cutter: Cutter) -> Result<Vec<Sent>, StorageError> {
    let parts = stream::try_unfold(cutter, |mut cutter| async {
        // Taken for a whole part before the first of its bytes, or many that are cut at once could each
        // wait for the rest of theirs.
        let room = room(PARTS_ROOM.clone(), cutter.upcoming()).await;
        Ok(cutter.next().await?.map(|part| ((room, part), cutter)))
    });
    let sending = parts.map_ok(|(room, part)| send(bucket, key, begun, part, room));
    let sending = sending.try_buffer_unordered(PARTS_AT_ONCE);
    let mut sent: Vec<Sent> = sending.try_collect().await?;
    sent.sort_by_key(|sent| sent.number);
    Ok(sent)
}

/// Sends a part, and keeps its room until the store has it.
async fn send(
    bucket: &Bucket,
    key: &str,
    begun: &Begun,
    part: Part,
    _room: OwnedSemaphorePermit,
) -> Result<Sent, StorageError> {
    let sent =
        |etag: String| Sent { number: part.number, etag, crc32c: part.print.crc32c, crc32c_so_far: part.crc32c_so_far };
    if let Some(etag) = known(&begun.parts, &part) {
        return Ok(sent(etag));
    }
    let request = bucket.sdk.upload_part().bucket(&bucket.site.bucket).key(key).upload_id(&begun.id);
    let request = request
        .part_number(part.number)
        .set_content_md5(bucket.sends_md5().then(|| part.print.md5_base64()))
        .set_checksum_crc32_c(part.print.crc32c_base64())
        .body(SdkStream::from(part.content.clone()));
    let mut request = request.customize();
    if bucket.site.is_sealed() {
        request = request.disable_payload_signing();
    }
    let answer = request.send().await.map_err(|error| bucket.fault(key, error))?;
    let etag = bare(answer.e_tag().unwrap_or_default());
    let is_md5 =
        bucket.does(Feature::TellsMd5) && etag_is_md5(answer.server_side_encryption(), answer.sse_customer_algorithm());
    confirm(key, etag, is_md5, &part.print)?;
    Ok(sent(etag.to_owned()))
}

/// The ETag of a part that the store has already.
fn known(parts: &HashMap<i32, (u64, String)>, part: &Part) -> Option<String> {
    let (bytes, etag) = parts.get(&part.number)?;
    (*bytes == part.content.len() as u64 && *etag == part.print.md5_hex()).then(|| etag.clone())
}

/// Tells whether an ETag may be the MD5 of what was sent, where the store tells those at all. It is
/// not where the store encrypts with keys that it does not own alone.
pub(super) fn etag_is_md5(encryption: Option<&ServerSideEncryption>, customer: Option<&str>) -> bool {
    customer.is_none() && encryption.is_none_or(|encryption| *encryption == ServerSideEncryption::Aes256)
}

/// Tells whether a text could be an MD5.
pub(super) fn looks_md5(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Compares what the store says it has with what was sent, where its ETag is an MD5 at all.
pub(super) fn confirm(key: &str, etag: &str, is_md5: bool, print: &Print) -> Result<(), StorageError> {
    if is_md5 && looks_md5(etag) && !etag.eq_ignore_ascii_case(&print.md5_hex()) {
        let what = format!("it has bytes with the MD5 {etag}, sent were some with {}", print.md5_hex());
        return Err(StorageError::Faulty { path: key.to_owned(), what });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::storage::lanes::UPLOADS_BYTES_MAX;

    #[test]
    fn parts_wait_for_room_and_one_that_is_too_large_is_alone() {
        let all = Arc::new(Semaphore::new(PARTS_BYTES_MAX as usize));
        let take = |bytes| room(all.clone(), bytes).now_or_never();
        let few: Vec<_> = (0..64).map(|_| take(PART_BYTES).expect("there is room")).collect();
        assert!(take(1).is_none() && take(0).is_some());
        drop(few);
        assert_eq!(waiting_bytes(5 << 20), 5 << 20);
        assert_eq!(waiting_bytes(5 << 30), 4 * PART_BYTES);
        assert!(u64::from(PARTS_BYTES_MAX) >= 2 * UPLOADS_BYTES_MAX, "uploads leave half of it to transfers");
        let huge = take(part_bytes(50 << 40)).expect("all is free");
        assert!(take(1).is_none());
        drop(huge);
        assert_eq!(all.available_permits(), PARTS_BYTES_MAX as usize);
    }
}
