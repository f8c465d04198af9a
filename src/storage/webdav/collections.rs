//! Makes collections: the root when it is asked for, and those above an object when they are found
//! missing. Never removes one: a DELETE of a collection takes along what has just been put into it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use reqwest::Url;

use crate::storage::backend::StorageError;
use crate::storage::webdav::Webdav;
use crate::storage::webdav::look::Seen;
use crate::storage::webdav::server::{Ask, Verb, faulty, refusal};

/// How many collections are remembered.
const KNOWN_MAX: usize = 8_192;
/// For how long the root is taken to be there after it was seen.
const ROOT_SPAN: Duration = Duration::from_secs(10);

/// Collections known to be there, until an answer says otherwise.
#[derive(Default)]
pub(super) struct Known {
    collections: Mutex<BTreeSet<String>>,
    root_seen_at: Mutex<Option<Duration>>,
}

impl Known {
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.lock().contains(path)
    }

    pub(super) fn add(&self, path: &str) {
        let mut collections = self.lock();
        if collections.len() >= KNOWN_MAX {
            collections.clear();
        }
        if !collections.contains(path) {
            collections.insert(path.to_owned());
        }
    }

    pub(super) fn forget(&self, path: &str) {
        self.lock().remove(path);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.collections.lock().expect("no holder of the lock panics")
    }
}

enum Made {
    Now,
    Before,
    NoParent,
}

impl Webdav {
    /// Fails with `NoRoot` if the root is not there, and looks at most once in a while.
    pub(super) async fn root_is_there(&self) -> Result<(), StorageError> {
        let now = self.server.clock.monotonic();
        let seen_at = *self.known.root_seen_at.lock().expect("no holder of the lock panics");
        if seen_at.is_some_and(|at| now.saturating_sub(at) < ROOT_SPAN) {
            return Ok(());
        }
        match self.server.look("").await? {
            Seen::Collection => {
                *self.known.root_seen_at.lock().expect("no holder of the lock panics") = Some(now);
                Ok(())
            }
            Seen::Nothing => Err(self.no_root()),
            Seen::Object(_) => Err(StorageError::Outside {
                path: self.server.address.shown().to_owned(),
                why: "the endpoint's root is no collection".to_owned(),
            }),
        }
    }

    /// What an object's absence means.
    pub(super) async fn absent(&self, path: &str) -> StorageError {
        match self.root_is_there().await {
            Err(error @ StorageError::NoRoot { .. }) => error,
            _ => StorageError::NotFound { path: path.to_owned() },
        }
    }

    /// Makes the collections above an object.
    pub(super) async fn make_above(&self, path: &str) -> Result<(), StorageError> {
        let above = above(path);
        let (mut missing, mut at) = (Vec::new(), above);
        while !at.is_empty() {
            match self.make(at).await? {
                Made::Now | Made::Before => break,
                Made::NoParent => missing.push(at),
            }
            at = self::above(at);
        }
        if at.is_empty() {
            self.root_is_there().await?;
        }
        for at in missing.into_iter().rev() {
            if let Made::NoParent = self.make(at).await? {
                return Err(self.obstacle(at).await?);
            }
        }
        self.known.add(above);
        Ok(())
    }

    /// Why something cannot be made although what is above it was made: an object is in the way.
    pub(super) async fn obstacle(&self, path: &str) -> Result<StorageError, StorageError> {
        let mut at = above(path);
        while !at.is_empty() {
            // Servers refuse to look below an object in ways of their own.
            if let Ok(Seen::Object(_)) = self.server.look(at).await {
                let why = format!("`{at}` is no collection");
                return Ok(StorageError::Outside { path: path.to_owned(), why });
            }
            at = above(at);
        }
        self.root_is_there().await?;
        Ok(faulty(path, "it lacks a collection that it made".to_owned()))
    }

    /// Makes the root, and what is missing above it on the server.
    pub(super) async fn make_root(&self) -> Result<(), StorageError> {
        let about = self.server.address.shown();
        if let Seen::Collection = self.server.look("").await? {
            return Ok(());
        }
        let mut ancestors = self.server.address.ancestors();
        let mut missing = Vec::new();
        while let Some(url) = ancestors.pop() {
            match self.mkcol(url.clone(), about).await? {
                Made::Now | Made::Before => break,
                Made::NoParent => missing.push(url),
            }
        }
        for url in missing.into_iter().rev() {
            self.mkcol(url, about).await?;
        }
        match self.server.look("").await? {
            Seen::Collection => Ok(()),
            Seen::Nothing | Seen::Object(_) => Err(faulty(about, "it did not make the collection".to_owned())),
        }
    }

    fn no_root(&self) -> StorageError {
        StorageError::NoRoot { root: self.server.address.shown().to_owned() }
    }

    async fn make(&self, path: &str) -> Result<Made, StorageError> {
        match self.mkcol(self.server.address.collection(path), path).await {
            // Of two that make the same one at once, Apache denies one.
            Err(error @ StorageError::Denied { .. }) => match self.server.look(path).await {
                Ok(Seen::Collection) => Ok(Made::Before),
                _ => Err(error),
            },
            made => made,
        }
    }

    async fn mkcol(&self, url: Url, about: &str) -> Result<Made, StorageError> {
        let response = self.server.ask(Ask::new(Verb::Mkcol, url, about)).await?;
        match response.status().as_u16() {
            200 | 201 | 204 => Ok(Made::Now),
            301 | 405 => Ok(Made::Before),
            404 | 409 => Ok(Made::NoParent),
            _ => Err(refusal(about, response.status())),
        }
    }
}

/// The collection something lies in; empty for the root.
pub(super) fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}
