//! The terms on which a request is carried out: as a rehearsal (`dry_run`), only on what the caller
//! has seen (`If-Match`), once for each key (`Idempotency-Key`).
//!
//! Promises: an answer that belongs to a key is kept in the transaction that makes the change, so
//! that after a crash either both are there or neither; a state that the caller has not seen is found
//! out in that transaction too.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::catalog::record::{AnswerRecord, Answers, AnswersByTime};
use crate::catalog::table::Value;
use crate::catalog::{Catalog, CatalogError, Txn};
use crate::model::account::AccountName;
use crate::model::api_key::KeyReach;
use crate::model::time::Timestamp;
use crate::service::Context;
use crate::service::error::ServiceError;

/// How long the answer to a key is kept.
pub const KEPT: Duration = Duration::from_hours(24);
/// The longest body that is kept: with the rest it fits a stored value.
pub const BODY_BYTES_MAX: usize = 60 << 10;
/// How many answers one transaction forgets.
const FORGOTTEN_AT_ONCE: usize = 500;

/// Names the stored state of a thing, so that a caller can say which one it has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// The tag of what is stored.
    pub fn of(record: &impl Value) -> Self {
        Self::of_parts(&[&record.encode()])
    }

    /// The tag of two records that are shown as one thing.
    pub fn of_two(one: &impl Value, other: &impl Value) -> Self {
        Self::of_parts(&[&one.encode(), &other.encode()])
    }

    /// The tag of stored forms that are shown as one thing.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
        }
        Self(hasher.finalize().to_hex()[..24].to_owned())
    }

    /// A tag as it was given out.
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A view with the tag of the state that it shows.
#[derive(Debug, Clone)]
pub struct Tagged<T> {
    /// What is stored, named.
    pub tag: Tag,
    /// What is shown.
    pub view: T,
}

impl<T> std::ops::Deref for Tagged<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.view
    }
}

/// What became of a thing, as the native API's status says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    New,
    /// It was there before.
    Changed,
    /// It goes; nothing is left to show.
    Gone,
}

impl Made {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Made::New => 201,
            Made::Changed => 200,
            Made::Gone => 204,
        }
    }
}

/// A request that shall be carried out once, however often it is sent.
#[derive(Debug, Clone)]
pub struct Once {
    /// Who sends it.
    pub account: AccountName,
    /// The key that the sender gave it.
    pub key: String,
    /// BLAKE3 of what is asked.
    pub request: [u8; 32],
    /// How far the API key reaches that it was sent with.
    pub reach: KeyReach,
}

impl Once {
    fn row(&self) -> (String, String) {
        (self.account.to_string(), self.key.clone())
    }

    /// Fails if another process has carried it out since this one looked.
    async fn is_first(&self, txn: &Txn) -> Result<(), ServiceError> {
        match txn.get::<Answers>(&self.row()).await? {
            Some(answer) if !is_old(&answer, txn.now()) => Err(in_progress()),
            _ => Ok(()),
        }
    }

    async fn keep(&self, txn: &Txn, status: u16, tag: Option<String>, body: Vec<u8>) -> Result<(), CatalogError> {
        if body.len() > BODY_BYTES_MAX {
            return Ok(());
        }
        let (request, reach) = (self.request, self.reach.clone());
        let answer = AnswerRecord { request, status, tag, body, at: txn.now(), reach };
        match txn.get::<Answers>(&self.row()).await? {
            Some(old) => txn.replace::<Answers>(&self.row(), &old, &answer),
            None => txn.put::<Answers>(&self.row(), &answer),
        }
        Ok(())
    }
}

fn is_old(answer: &AnswerRecord, now: Timestamp) -> bool {
    now.since(answer.at) >= KEPT
}

/// The error for a request whose twin is being carried out.
pub fn in_progress() -> ServiceError {
    ServiceError::Conflict {
        code: "in-progress",
        detail: "a request with the same Idempotency-Key is being carried out".to_owned(),
        hint: Some("send it again in a moment: it will be answered as the first".to_owned()),
    }
}

/// The terms of one request.
#[derive(Clone, Default)]
pub struct Terms {
    /// What a rehearsal works on instead of the lake's catalog.
    pub(super) rehearsal: Option<Catalog>,
    /// The states that the caller has seen; one of them has to be the present one.
    pub only_if: Option<Vec<Tag>>,
    /// The key under which the answer is kept.
    pub once: Option<Arc<Once>>,
}

impl Context {
    /// The same request as a rehearsal: every check is made, and nothing is changed.
    pub async fn rehearsing(mut self) -> Result<Self, ServiceError> {
        self.terms.rehearsal = Some(self.lake.catalog.rehearsing().await?);
        // What never happens needs no key.
        self.terms.once = None;
        Ok(self)
    }

    /// The same request; if it is a rehearsal, one of its own on top of what was rehearsed so far.
    pub(super) async fn apart(mut self) -> Result<Self, ServiceError> {
        if let Some(rehearsal) = &self.terms.rehearsal {
            self.terms.rehearsal = Some(rehearsal.rehearsing().await?);
        }
        Ok(self)
    }

    /// Whether this is a rehearsal.
    pub fn is_dry_run(&self) -> bool {
        self.terms.rehearsal.is_some()
    }

    /// Fails if the caller has asked for another state than this one. Called in the transaction that
    /// changes it.
    pub fn expect(&self, present: &Tag) -> Result<(), ServiceError> {
        match &self.terms.only_if {
            Some(seen) if !seen.contains(present) => Err(ServiceError::ChangedMeanwhile),
            _ => Ok(()),
        }
    }

    /// Carries out a change as one transaction, which also keeps its answer if the request has a key.
    pub async fn transact<T, F, Fut>(&self, made: Made, body: F) -> Result<Tagged<T>, ServiceError>
    where
        T: Serialize + Send + 'static,
        F: Fn(Txn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Tagged<T>, ServiceError>> + Send + 'static,
    {
        self.kept(made, |done: &Tagged<T>| (Some(done.tag.to_string()), to_body(&done.view)), body).await
    }

    /// The same of a change whose answer has no tag.
    pub async fn transact_untagged<T, F, Fut>(&self, made: Made, body: F) -> Result<T, ServiceError>
    where
        T: Serialize + Send + 'static,
        F: Fn(Txn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        self.kept(made, |done: &T| (None, to_body(done)), body).await
    }

    async fn kept<T, F, Fut>(&self, made: Made, answer: ToAnswer<T>, body: F) -> Result<T, ServiceError>
    where
        T: Send + 'static,
        F: Fn(Txn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        let once = self.terms.once.clone();
        self.catalog()
            .transact(move |txn| {
                let (running, once) = (body(txn.clone()), once.clone());
                async move {
                    let Some(once) = once else { return running.await };
                    once.is_first(&txn).await?;
                    let done = running.await?;
                    let (tag, body) = answer(&done);
                    let body = if made == Made::Gone { Vec::new() } else { body };
                    once.keep(&txn, made.status(), tag, body).await?;
                    Ok(done)
                }
            })
            .await
    }
}

/// How the tag and the body of an answer are got from what was done.
type ToAnswer<T> = fn(&T) -> (Option<String>, Vec<u8>);

fn to_body(view: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(view).expect("views have text keys only")
}

/// The answer that is kept for a request's key; fails if the key was given to another request, or the
/// answer to an API key that lets more through than the one that asks now.
pub async fn answer_to(catalog: &Catalog, once: &Once) -> Result<Option<AnswerRecord>, ServiceError> {
    let kept = catalog.view().await?.get::<Answers>(&once.row()).await?;
    match kept.filter(|answer| !is_old(answer, catalog.clock().now())) {
        Some(answer) if !once.reach.shows_as_much_as(&answer.reach) => Err(ServiceError::Conflict {
            code: "idempotency-key-reused",
            detail: "this Idempotency-Key was sent with an API key that lets more through than yours".to_owned(),
            hint: Some("ask with such an API key, or give the request an Idempotency-Key of its own".to_owned()),
        }),
        Some(answer) if answer.request != once.request => Err(ServiceError::Conflict {
            code: "idempotency-key-reused",
            detail: "this Idempotency-Key was sent with another request before".to_owned(),
            hint: Some("give every request a key of its own; keep it only to send the same again".to_owned()),
        }),
        kept => Ok(kept),
    }
}

/// Keeps the answer to a request that changed nothing: a refusal that stays one.
pub async fn keep_refusal(catalog: &Catalog, once: Arc<Once>, status: u16, body: Vec<u8>) -> Result<(), ServiceError> {
    catalog
        .transact(move |txn| {
            let (once, body) = (Arc::clone(&once), body.clone());
            async move { Ok(once.keep(&txn, status, None, body).await?) }
        })
        .await
}

/// Forgets answers whose time is over. Returns how many.
pub async fn forget_answers(catalog: &Catalog) -> Result<usize, CatalogError> {
    let rows = catalog.view().await?.scan::<AnswersByTime>(&(), FORGOTTEN_AT_ONCE).await?;
    let now = catalog.clock().now();
    let over = |at: &u64| now.since(Timestamp::from_millis(*at)) >= KEPT;
    let old: Vec<_> = rows.into_iter().map(|(key, ())| key).take_while(|(at, ..)| over(at)).collect();
    if old.is_empty() {
        return Ok(0);
    }
    catalog
        .transact_bulk(move |txn| {
            let old = old.clone();
            async move {
                let mut forgotten = 0;
                for (_, account, key) in old {
                    let row = (account, key);
                    if let Some(answer) = txn.get::<Answers>(&row).await?.filter(|answer| is_old(answer, txn.now())) {
                        txn.delete::<Answers>(&row, &answer);
                        forgotten += 1;
                    }
                }
                Ok(forgotten)
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::engine::memory::Memory;
    use crate::clock::SystemClock;
    use crate::model::api_key::KeyScope;

    #[tokio::test]
    async fn answers_are_kept_for_their_key_and_forgotten_when_their_time_is_over() {
        let catalog = Catalog::new(Memory::shared(), SystemClock::shared());
        let once = |key: &str| {
            Arc::new(Once {
                account: AccountName::root(),
                key: key.to_owned(),
                request: [7; 32],
                reach: KeyReach::whole(),
            })
        };
        keep_refusal(&catalog, once("new"), 400, b"no".to_vec()).await.expect("kept");
        let row = ("root".to_owned(), "old".to_owned());
        let at = Timestamp::from_millis(1_000);
        let reach = KeyReach::whole();
        let old = AnswerRecord { request: [7; 32], status: 200, tag: None, body: Vec::new(), at, reach };
        let put = move |txn: Txn| {
            txn.put::<Answers>(&row, &old);
            async { Ok::<_, CatalogError>(()) }
        };
        catalog.transact(put).await.expect("written");
        assert!(answer_to(&catalog, &once("old")).await.expect("looked").is_none(), "its time is over");
        assert_eq!(forget_answers(&catalog).await.expect("forgotten"), 1);
        assert_eq!(forget_answers(&catalog).await.expect("nothing left"), 0);
        let kept = answer_to(&catalog, &once("new")).await.expect("looked").expect("kept");
        assert_eq!((kept.status, &kept.body[..]), (400, &b"no"[..]));
        let other = Once { request: [8; 32], ..(*once("new")).clone() };
        let reused = answer_to(&catalog, &other).await.expect_err("another request");
        assert_eq!(crate::fault::Fault::code(&reused), "idempotency-key-reused");
        let narrow = KeyReach { scopes: [KeyScope::Read].into(), ..KeyReach::whole() };
        let narrow = Once { reach: narrow, ..(*once("new")).clone() };
        let withheld = answer_to(&catalog, &narrow).await.expect_err("it is for keys that show as much");
        assert_eq!(crate::fault::Fault::code(&withheld), "idempotency-key-reused");
    }
}
