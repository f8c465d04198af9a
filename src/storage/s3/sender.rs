//! Sends requests of both S3 clients, and sends them again when the store asks for patience.
//!
//! One mechanism for both: they differ in how they sign and read, not in when it is worth trying
//! again. Never changes a request, so a signature stays valid; never tries again once it may have
//! become stale.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, StatusCode};

use crate::clock::{SharedClock, within};
use crate::net::{NetError, Trust, client};
use crate::storage::patience::{self, Trouble, TroubleKind};

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

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Until its answer is there.
    answer: Duration,
    /// Since its signing, to be sent again.
    fresh: Duration,
}

/// The HTTP client of a bucket, and the patience with it.
pub(super) struct Sender {
    pub(super) client: Client,
    clock: SharedClock,
}

impl Sender {
    pub(super) fn new(trust: &Trust, clock: SharedClock) -> Result<Self, NetError> {
        Ok(Self { client: client(trust)?, clock })
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
            let limit = limit.min(span.answer);
            let outcome = within(self.clock.as_ref(), limit, attempt()).await.unwrap_or_else(|| {
                let what = format!("no answer came within {} s", limit.as_secs());
                Err(Trouble { what, kind: TroubleKind::Lasting })
            });
            let ended = age();
            // What took long will take as long once more.
            let late = ended > FRESH_SPAN && ended + ended.saturating_sub(sent) > AGE_MAX;
            let stale = late || ended > span.fresh;
            let pause = if stale { None } else { self.pause(number, &outcome) };
            let Some(pause) = pause else { return outcome };
            tracing::debug!(attempt = number, pause_ms = pause.as_millis(), "the store asks for patience");
            self.clock.sleep(pause).await;
            number += 1;
        }
    }

    /// How long to wait before the next attempt; `None` if there is no sense in one.
    fn pause<T: Reply>(&self, number: u32, outcome: &Result<T, Trouble>) -> Option<Duration> {
        let clock = self.clock.as_ref();
        match outcome {
            Err(trouble) if trouble.kind == TroubleKind::Passing => patience::pause(number, None, clock),
            Ok(reply) if asks_for_patience(reply.status()) => {
                patience::pause(number, patience::retry_after(reply.headers(), clock), clock)
            }
            Ok(_) | Err(_) => None,
        }
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
