//! When a request is worth sending again, and how long to wait before: one patience with all stores.
//!
//! Promises pauses that grow and are drawn at random, and to obey `Retry-After` up to
//! [`PATIENCE_MAX`] and never be earlier. Which answers ask for patience, each protocol knows itself.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::clock::Clock;
use crate::net::told;

/// How often a request is sent at most.
pub(in crate::storage) const ATTEMPTS_MAX: u32 = 5;
/// The first pause at its longest; it doubles each time.
pub(in crate::storage) const PAUSE_MAX: Duration = Duration::from_millis(200);
/// The longest `Retry-After` that is waited for.
pub(in crate::storage) const PATIENCE_MAX: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
pub(in crate::storage) struct Trouble {
    /// What happened, without the URL.
    pub(in crate::storage) what: String,
    /// What it calls for.
    pub(in crate::storage) kind: TroubleKind,
}

/// What trouble calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum TroubleKind {
    /// It may be gone the next moment.
    Passing,
    /// Trying again at once would not help: a silent store was waited for already, and certificates
    /// do not get better.
    Lasting,
    /// An answer came that no such store gives.
    Absurd,
}

impl Trouble {
    /// What happened to a request.
    pub(in crate::storage) fn of(error: &dyn std::error::Error, timed_out: bool) -> Self {
        let what = told(error);
        let lasts = timed_out || is_of_tls(error) || what.contains("builder error");
        Self { what, kind: if lasts { TroubleKind::Lasting } else { TroubleKind::Passing } }
    }

    /// The same, of the HTTP client's own errors.
    pub(in crate::storage) fn of_request(error: reqwest::Error) -> Self {
        let timed_out = error.is_timeout();
        Self::of(&error.without_url(), timed_out)
    }

    /// The trouble behind another error, if it was ours.
    pub(in crate::storage) fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
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

/// Tells whether the two sides do not agree on TLS: that stays as it is until somebody mends it. The
/// HTTP client hides whose error it was, so its words have to tell.
fn is_of_tls(error: &dyn std::error::Error) -> bool {
    const WORDS: [&str; 6] = [
        "certificate",
        "received fatal alert",
        "received corrupt message",
        "peer is incompatible",
        "peer misbehaved",
        "no process-level CryptoProvider",
    ];
    let what = told(error);
    WORDS.iter().any(|words| what.contains(words))
}

/// How long to wait before the next attempt, after so many and with what the last answer asked for;
/// `None` if patience is over.
pub(in crate::storage) fn pause(attempts: u32, asked: Option<Duration>, clock: &dyn Clock) -> Option<Duration> {
    if attempts >= ATTEMPTS_MAX {
        return None;
    }
    let longest = PAUSE_MAX * 2_u32.pow(attempts.saturating_sub(1));
    let half_micros = u64::try_from(longest.as_micros()).expect("it is seconds") / 2;
    let drawn = Duration::from_micros(half_micros + clock.random() % half_micros);
    match asked {
        // Not all that were asked for the same come back at once, nor at once if it is over.
        Some(asked) => (asked <= PATIENCE_MAX).then_some(asked + drawn),
        None => Some(drawn),
    }
}

/// What an answer's `Retry-After` asks for, which may be seconds or a date.
pub(in crate::storage) fn retry_after(headers: &HeaderMap, clock: &dyn Clock) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTimeParser::new().parse_timestamp(text).ok()?.as_millisecond();
    let at = u64::try_from(at).ok()?;
    Some(Duration::from_millis(at.saturating_sub(clock.now().as_millis())))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn pauses_grow_and_nobody_comes_back_earlier_than_asked() {
        let clock = SystemClock::shared();
        for attempts in 1..ATTEMPTS_MAX {
            let longest = PAUSE_MAX * 2_u32.pow(attempts - 1);
            let pause = |asked| pause(attempts, asked, clock.as_ref());
            let drawn = pause(None).expect("there is patience");
            assert!((longest / 2..=longest).contains(&drawn), "{attempts}: {drawn:?}");
            for asked in [Duration::ZERO, PATIENCE_MAX] {
                let paused = pause(Some(asked)).expect("there is patience");
                assert!((asked + longest / 2..=asked + longest).contains(&paused), "{attempts}: {paused:?}");
            }
            assert_eq!(pause(Some(PATIENCE_MAX + Duration::from_secs(1))), None);
        }
        assert_eq!(pause(ATTEMPTS_MAX, None, clock.as_ref()), None);
    }

    #[test]
    fn who_may_come_back_when_is_told_in_seconds_or_by_a_date() {
        let clock = SystemClock::shared();
        let asked = |text: &str| {
            let headers: HeaderMap = [(RETRY_AFTER, text.parse().expect("a value"))].into_iter().collect();
            retry_after(&headers, clock.as_ref())
        };
        assert_eq!(asked(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(asked("Thu, 01 Jan 2015 00:00:12 GMT"), Some(Duration::ZERO));
        assert!(asked("Thu, 01 Jan 2099 00:00:12 GMT").expect("a date") > PATIENCE_MAX);
        assert_eq!((asked("soon"), asked("")), (None, None));
    }

    #[test]
    fn what_does_not_get_better_is_told_from_what_may() {
        let kind = |what: &str, timed_out| Trouble::of(&io::Error::other(what.to_owned()), timed_out).kind;
        for lasting in ["invalid peer certificate: UnknownIssuer", "received fatal alert: HandshakeFailure"] {
            assert_eq!(kind(lasting, false), TroubleKind::Lasting, "{lasting}");
        }
        assert_eq!(kind("operation timed out", true), TroubleKind::Lasting);
        assert_eq!(kind("connection reset by peer", false), TroubleKind::Passing);
    }
}
