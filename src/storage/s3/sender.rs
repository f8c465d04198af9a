//! Sends requests of both S3 clients, and sends them again when the store asks for patience.
//!
//! One mechanism for both: they differ in how they sign and read, not in when it is worth trying
//! again. Promises at most [`ATTEMPTS_MAX`] attempts, pauses that grow and are drawn at random, and
//! to obey `Retry-After` up to [`PATIENCE_MAX`] and never be earlier. Never changes a request, so a signature stays valid;
//! never tries again once it may have become stale.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures::future::{Either, select};
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};

use crate::clock::SharedClock;
use crate::net::{NetError, Trust, Use, client, told};

/// How often a request is sent at most.
const ATTEMPTS_MAX: u32 = 5;
/// The first pause at its longest; it doubles each time.
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// The longest `Retry-After` that is waited for.
const PATIENCE_MAX: Duration = Duration::from_secs(30);
/// How long after its signing a request is still sent again, besides its bytes.
const FRESH_SPAN: Duration = Duration::from_mins(2);
/// How long after its signing one that was sent again late has to be over. Stores refuse signatures
/// that are older than 15 minutes.
const AGE_MAX: Duration = Duration::from_mins(10);
/// How long any request may take, besides its bytes.
const ANSWER_SPAN_MAX: Duration = Duration::from_mins(1);
/// How long one may take for which the store itself moves many bytes: a copy, or a completion.
const WORK_SPAN_MAX: Duration = Duration::from_mins(10);
/// How long a MiB may take on its way.
const MIB_SPAN_MAX: Duration = Duration::from_secs(20);

/// What a store answered, as far as trying again depends on it.
pub(super) trait Reply {
    fn status(&self) -> StatusCode;
    fn headers(&self) -> &HeaderMap;
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) kind: TroubleKind,
}

/// What trouble calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TroubleKind {
    /// It may be gone the next moment.
    Passing,
    /// Trying again at once would not help: a silent store was waited for already, and certificates
    /// do not get better.
    Lasting,
    /// An answer came that no S3 store gives.
    Absurd,
}

impl Trouble {
    /// What happened to a request.
    pub(super) fn of(error: &dyn std::error::Error, timed_out: bool) -> Self {
        let what = told(error);
        let lasts = timed_out || what.contains("certificate") || what.contains("builder error");
        Self { what, kind: if lasts { TroubleKind::Lasting } else { TroubleKind::Passing } }
    }

    /// The trouble behind another error, if it was ours.
    pub(super) fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(trouble) = error.downcast_ref() {
                return Some(trouble);
            }
            next = error.source();
        }
        None
    }
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Until its answer is there.
    answer: Duration,
    /// Since its signing, to be sent again.
    fresh: Duration,
}

/// The two HTTP clients of a bucket, and the patience with it.
pub(super) struct Sender {
    pub(super) reading: Client,
    pub(super) writing: Client,
    clock: SharedClock,
}

impl Sender {
    pub(super) fn new(trust: &Trust, clock: SharedClock) -> Result<Self, NetError> {
        Ok(Self { reading: client(Use::Reading, trust)?, writing: client(Use::Writing, trust)?, clock })
    }

    /// Sends until there is an answer that trying again would not better, or patience ends. `attempt`
    /// sends once, which may take so long.
    pub(super) async fn send<T: Reply, F>(&self, span: Span, attempt: impl Fn() -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let begun = self.clock.monotonic();
        let age = || self.clock.monotonic().saturating_sub(begun);
        let mut number = 1;
        loop {
            let sent = age();
            let limit = if sent > FRESH_SPAN { AGE_MAX.saturating_sub(sent) } else { span.answer };
            let outcome = self.within(limit.min(span.answer), attempt()).await;
            let ended = age();
            // What took long will take as long once more.
            let late = ended > FRESH_SPAN && ended + ended.saturating_sub(sent) > AGE_MAX;
            let stale = late || ended > span.fresh;
            let pause = if number >= ATTEMPTS_MAX || stale { None } else { self.pause(number, &outcome) };
            let Some(pause) = pause else { return outcome };
            tracing::debug!(attempt = number, pause_ms = pause.as_millis(), "the store asks for patience");
            self.clock.sleep(pause).await;
            number += 1;
        }
    }

    async fn within<T>(&self, span: Duration, sending: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        match select(std::pin::pin!(sending), self.clock.sleep(span)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                let what = format!("no answer came within {} s", span.as_secs());
                Err(Trouble { what, kind: TroubleKind::Lasting })
            }
        }
    }

    /// How long to wait before the next attempt; `None` if there is no sense in one.
    fn pause<T: Reply>(&self, number: u32, outcome: &Result<T, Trouble>) -> Option<Duration> {
        let longest = PAUSE_MAX * 2_u32.pow(number - 1);
        let half_micros = u64::try_from(longest.as_micros()).expect("it is seconds") / 2;
        let drawn = Duration::from_micros(half_micros + self.clock.random() % half_micros);
        match outcome {
            Err(trouble) => (trouble.kind == TroubleKind::Passing).then_some(drawn),
            Ok(reply) if !asks_for_patience(reply.status()) => None,
            Ok(reply) => match self.retry_after(reply.headers()) {
                // Not all that were asked for the same come back at once, nor at once if it is over.
                Some(asked) => (asked <= PATIENCE_MAX).then_some(asked + drawn),
                None => Some(drawn),
            },
        }
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let at = DateTimeParser::new().parse_timestamp(text).ok()?.as_millisecond();
        let at = u64::try_from(at).ok()?;
        Some(Duration::from_millis(at.saturating_sub(self.clock.now().as_millis())))
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

/// Tells whether the same request may fare better a moment later.
pub(super) fn asks_for_patience(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// Tells whether a success is one that S3 knows. Others come from something that is no S3 store.
pub(super) fn makes_sense(status: StatusCode) -> bool {
    !status.is_success() || matches!(status.as_u16(), 200 | 204 | 206)
}

/// How long a request may take that sends so many bytes, or has the store work.
pub(super) fn span(bytes: u64, works: bool) -> Span {
    let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    let way = MIB_SPAN_MAX.saturating_mul(mib);
    let answer = if works { WORK_SPAN_MAX } else { ANSWER_SPAN_MAX };
    Span { answer: answer.saturating_add(way), fresh: FRESH_SPAN.saturating_add(way) }
}

#[cfg(test)]
mod tests;
