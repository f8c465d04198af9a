//! Stages bytes: in memory where that is enough, else under the temporary name.
//!
//! What a server says of a PUT proves nothing: XRootD answers 200 and stores nothing if it does not
//! understand a header. So what arrived is looked at before anything is said to be staged.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};

use crate::model::id::IntentId;
use crate::storage::backend::{ByteStream, Staged, StorageError};
use crate::storage::layout::StoragePath;
use crate::storage::webdav::Webdav;
use crate::storage::webdav::collections::above;
use crate::storage::webdav::feed::Feed;
use crate::storage::webdav::look::Seen;
use crate::storage::webdav::publish::is_collection;
use crate::storage::webdav::server::{Ask, Payload, Verb, faulty, long_span, refusal};
use crate::storage::webdav::style::is_risky;

/// Up to this length a body is sent before it is known whether its collection is there: it is kept
/// in whole, and short enough for every server to read it before it refuses.
pub(super) const HOPEFUL_BYTES_MAX: u64 = 1 << 20;
/// Pauses before a short body is sent again. XRootD keeps a name locked for a while after a PUT to
/// it broke off.
const AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// When to look for what a broken-off PUT may leave: a server may notice only now that it did.
const SWEEPS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(250)];

impl Webdav {
    pub(super) async fn stage_stream(
        &self,
        path: &StoragePath,
        intent: IntentId,
        bytes: u64,
        content: ByteStream,
    ) -> Result<Staged, StorageError> {
        self.holds_name(path.as_str()).await?;
        let temporary = path.temporary(intent);
        self.waiting.remove(&temporary);
        if self.can.wait
            && let Some(place) = self.waiting.reserve(bytes, self.server.clock.monotonic())
        {
            self.waiting.take(&temporary, place, content).await?;
            return Ok(Staged { bytes, checksums: Vec::new() });
        }
        self.root_is_there().await?;
        let feed = Feed::new(&temporary, bytes, content);
        feed.prime().await?;
        if self.begun.has(&temporary) {
            // A dropped attempt may still be written, on some servers into the very same object.
            self.remove(&temporary).await?;
        }
        self.begun.add(&temporary, bytes);
        for pause in AGAIN {
            match self.attempt(&temporary, &feed).await {
                Err(StorageError::Faulty { .. } | StorageError::Unavailable { .. }) if feed.is_kept() => {
                    self.server.wait(pause).await;
                }
                outcome => return outcome,
            }
        }
        self.attempt(&temporary, &feed).await
    }

    async fn attempt(&self, temporary: &str, feed: &Feed) -> Result<Staged, StorageError> {
        if let Err(error) = self.upload(temporary, feed).await {
            self.sweep(temporary).await;
            return Err(error);
        }
        let staged = self.arrived(temporary, feed.length()).await?;
        self.begun.remove(temporary);
        Ok(staged)
    }

    /// Looks whether staged bytes are all there; if not, none are left.
    pub(super) async fn arrived(&self, temporary: &str, bytes: u64) -> Result<Staged, StorageError> {
        let what = match self.server.length(temporary).await {
            Ok(Some(found)) if found == bytes => match self.server.info(temporary, bytes, self.can.digest).await {
                Ok(info) => {
                    self.sizes.add(temporary, bytes);
                    return Ok(Staged { bytes, checksums: info.checksums });
                }
                Err(error) => error,
            },
            Ok(Some(found)) => faulty(temporary, format!("it kept {found} of {bytes} bytes and did not say so")),
            Ok(None) => faulty(temporary, format!("it took {bytes} bytes and kept nothing")),
            Err(error) => error,
        };
        self.sweep(temporary).await;
        Err(what)
    }

    /// Removes what a failed staging left. It is the failure that gets told; what cannot be removed
    /// now, `discard` will find.
    pub(super) async fn sweep(&self, temporary: &str) {
        self.sizes.remove(temporary);
        for pause in SWEEPS {
            self.server.wait(pause).await;
            match self.remove(temporary).await {
                Ok(false) => {}
                Ok(true) | Err(_) => return,
            }
        }
    }

    /// Removes an object; tells whether it was there.
    pub(super) async fn remove(&self, path: &str) -> Result<bool, StorageError> {
        // Some servers take what follows for a query, and would remove another object: the look fails
        // there, whatever was found out before.
        if is_risky(path) {
            match self.server.look(path).await? {
                Seen::Nothing => return Ok(false),
                Seen::Collection => return Err(is_collection(path)),
                Seen::Object(_) => {}
            }
        }
        let ask = Ask::new(Verb::Delete, self.server.address.object(path), path);
        let response = self.server.ask(ask).await?;
        match response.status().as_u16() {
            200 | 204 => Ok(true),
            404 | 410 => Ok(false),
            _ => Err(refusal(path, response.status())),
        }
    }

    async fn upload(&self, temporary: &str, feed: &Feed) -> Result<(), StorageError> {
        let above = above(temporary);
        if feed.length() > HOPEFUL_BYTES_MAX && !self.known.has(above) {
            self.make_above(temporary).await?;
        }
        for is_last in [false, true] {
            let response = self.server.ask(put(self, temporary, Payload::Fed(feed.clone()), feed.length())).await?;
            match response.status().as_u16() {
                200 | 201 | 204 => {
                    self.known.add(above);
                    return Ok(());
                }
                404 | 409 if is_last => return Err(self.obstacle(temporary).await?),
                404 | 409 => {
                    self.known.forget(above);
                    self.make_above(temporary).await?;
                }
                _ => return Err(refusal(temporary, response.status())),
            }
        }
        Err(faulty(temporary, "it refuses to take it".to_owned()))
    }
}

/// A PUT. It never has a Content-Range: servers that do not know it cut the object off.
pub(super) fn put<'a>(webdav: &Webdav, path: &'a str, payload: Payload, bytes: u64) -> Ask<'a> {
    let mut ask = Ask::new(Verb::Put, webdav.server.address.object(path), path);
    ask.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    ask.payload = payload;
    ask.span = Some(long_span(bytes));
    ask
}
