//! Gives staged bytes their final name: a PUT of what waits in memory, a MOVE of what does not.
//!
//! A collection under the final name is never replaced: to a MOVE that may replace, the standard
//! has servers remove it with all that is in it.

use reqwest::header::HeaderValue;

use crate::model::id::IntentId;
use crate::storage::backend::{Overwrite, StorageError};
use crate::storage::layout::StoragePath;
use crate::storage::webdav::Webdav;
use crate::storage::webdav::collections::above;
use crate::storage::webdav::look::Seen;
use crate::storage::webdav::server::{Ask, Payload, Verb, faulty, long_span, refusal, sends_to_collection};
use crate::storage::webdav::stage::{HOPEFUL_BYTES_MAX, put};
use crate::storage::webdav::waiting::Held;

impl Webdav {
    pub(super) async fn publish_staged(
        &self,
        path: &StoragePath,
        intent: IntentId,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        self.holds_name(path.as_str()).await?;
        let temporary = path.temporary(intent);
        let _turn = self.turns.take(path.as_str()).await;
        if let Some(held) = self.waiting.get(&temporary) {
            self.publish_waiting(path.as_str(), &held, overwrite).await?;
            self.waiting.remove(&temporary);
            // An attempt before this one may have found no room in memory.
            if self.sizes.remove(&temporary) | self.begun.remove(&temporary) {
                // The object has its name; what is left of another attempt does not undo that.
                let _ = self.remove(&temporary).await;
            }
            return Ok(());
        }
        let bytes = match self.sizes.get(&temporary) {
            Some(bytes) => bytes,
            None => match self.server.length(&temporary).await? {
                Some(bytes) => bytes,
                None => return Err(self.absent(&temporary).await),
            },
        };
        self.publish_moved(path.as_str(), &temporary, bytes, overwrite).await?;
        self.sizes.remove(&temporary);
        Ok(())
    }

    async fn publish_waiting(&self, path: &str, held: &Held, overwrite: Overwrite) -> Result<(), StorageError> {
        if overwrite == Overwrite::Replace {
            self.may_replace(path, overwrite).await?;
        }
        let (bytes, above) = (held.bytes.len() as u64, above(path));
        if bytes > HOPEFUL_BYTES_MAX && !self.known.has(above) {
            self.make_above(path).await?;
        }
        for is_last in [false, true] {
            let mut ask = put(self, path, Payload::Held(held.bytes.clone()), bytes);
            if overwrite == Overwrite::Refuse {
                ask = ask.header("if-none-match", "*");
            }
            let response = self.server.ask(ask).await?;
            match response.status().as_u16() {
                200 | 201 | 204 => {
                    self.known.add(above);
                    return Ok(());
                }
                404 | 409 if is_last => return Err(self.conflict(path, overwrite).await?),
                404 | 409 => {
                    self.known.forget(above);
                    self.make_above(path).await?;
                }
                405 | 301 if overwrite == Overwrite::Refuse => return Err(exists(path)),
                _ => return Err(refusal(path, response.status())),
            }
        }
        Err(faulty(path, "it refuses to take it".to_owned()))
    }

    async fn publish_moved(
        &self,
        path: &str,
        temporary: &str,
        bytes: u64,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        let looks = overwrite == Overwrite::Replace || !self.can.move_refuses;
        if looks {
            self.may_replace(path, overwrite).await?;
        }
        // Only of a name that was seen to be free does its being taken afterwards prove anything.
        let was_free = looks && overwrite == Overwrite::Refuse;
        let destination = self.destination(path).await?;
        match self.relocate(temporary, path, destination, overwrite).await {
            // The answer got lost.
            Err(StorageError::Unavailable { .. }) if was_free && self.was_moved(temporary, path, bytes).await => Ok(()),
            outcome => outcome,
        }
    }

    async fn was_moved(&self, temporary: &str, path: &str, bytes: u64) -> bool {
        matches!(self.server.look(temporary).await, Ok(Seen::Nothing))
            && matches!(self.server.look(path).await, Ok(Seen::Object(found)) if found == bytes)
    }

    /// Moves an object to another name in its collection; `destination` is that name as the server
    /// understands it.
    pub(super) async fn relocate(
        &self,
        from: &str,
        to: &str,
        destination: HeaderValue,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        let mut ask = Ask::new(Verb::Move, self.server.address.object(from), to);
        ask.headers.insert("destination", destination);
        ask = ask.header("overwrite", if overwrite == Overwrite::Replace { "T" } else { "F" });
        // Some servers copy to move.
        ask.span = Some(long_span(0));
        let response = self.server.ask(ask).await?;
        match response.status().as_u16() {
            200 | 201 | 204 => Ok(()),
            404 | 410 => Err(self.absent(from).await),
            _ if sends_to_collection(&response) => Err(match overwrite {
                Overwrite::Refuse => exists(to),
                Overwrite::Replace => is_collection(to),
            }),
            409 => Err(self.obstacle(to).await?),
            _ => Err(refusal(to, response.status())),
        }
    }

    /// How a Destination header has to name a path.
    pub(super) async fn destination(&self, path: &str) -> Result<HeaderValue, StorageError> {
        let style = self.destination_style(path).await?;
        HeaderValue::from_bytes(&self.server.address.destination(path, style)).map_err(|_| StorageError::Outside {
            path: path.to_owned(),
            why: "the server cannot be told of control characters in a name".to_owned(),
        })
    }

    async fn may_replace(&self, path: &str, overwrite: Overwrite) -> Result<(), StorageError> {
        match (self.server.look(path).await?, overwrite) {
            (Seen::Nothing, _) | (Seen::Object(_), Overwrite::Replace) => Ok(()),
            (Seen::Object(_) | Seen::Collection, Overwrite::Refuse) => Err(exists(path)),
            (Seen::Collection, Overwrite::Replace) => Err(is_collection(path)),
        }
    }

    /// Why nothing can be put under a name although what is above it was made.
    async fn conflict(&self, path: &str, overwrite: Overwrite) -> Result<StorageError, StorageError> {
        // Below an object servers refuse to look in ways of their own.
        match self.may_replace(path, overwrite).await {
            Err(error @ (StorageError::Exists { .. } | StorageError::Outside { .. })) => Ok(error),
            _ => self.obstacle(path).await,
        }
    }
}

fn exists(path: &str) -> StorageError {
    StorageError::Exists { path: path.to_owned() }
}

pub(super) fn is_collection(path: &str) -> StorageError {
    StorageError::Outside { path: path.to_owned(), why: "it is a collection".to_owned() }
}
