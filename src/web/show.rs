//! How pages show numbers, times and states.

use std::borrow::Borrow;
use std::fmt::Display;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::replica::{ReplicaState, Verification};
use crate::model::rule::RuleState;
use crate::model::size::human_bytes;
use crate::model::time::Timestamp;
use crate::service::view::EndpointState;

/// A number of bytes in the unit that reads best.
pub(super) fn bytes(bytes: impl Borrow<u64>) -> String {
    human_bytes(*bytes.borrow())
}

/// A number with its thousands apart.
pub(super) fn number(number: impl Borrow<u64>) -> String {
    let digits = number.borrow().to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            // A thin space that does not break: commas and points mean different things to people.
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown
}

/// `1 file`, `3 files`.
pub(super) fn count(how_many: impl Borrow<u64>, what: &str) -> String {
    let how_many = *how_many.borrow();
    format!("{} {what}{}", number(how_many), if how_many == 1 { "" } else { "s" })
}

/// What a problem keeps back: it counts files, or datasets that found no place.
pub(super) fn held(how_many: impl Borrow<u64>) -> String {
    match *how_many.borrow() {
        1 => "1 file or dataset".to_owned(),
        many => format!("{} files or datasets", number(many)),
    }
}

/// `1 copy`, `2 copies`.
pub(super) fn copies(how_many: impl Borrow<u16>) -> String {
    match *how_many.borrow() {
        1 => "1 copy".to_owned(),
        many => format!("{many} copies"),
    }
}

/// A name in the path of an address.
pub(super) fn path(name: impl Display) -> String {
    /// What may stand in a path as it is (RFC 3986), and the slash between its parts.
    const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
    utf8_percent_encode(&name.to_string(), PATH).to_string()
}

/// A value in the query of an address.
pub(super) fn query(value: impl Display) -> String {
    utf8_percent_encode(&value.to_string(), NON_ALPHANUMERIC).to_string()
}

/// A point in time, however templates have borrowed it.
pub(super) trait Moment {
    /// The time itself.
    fn moment(&self) -> Timestamp;
}

impl Moment for Timestamp {
    fn moment(&self) -> Timestamp {
        *self
    }
}

impl<T: Moment> Moment for &T {
    fn moment(&self) -> Timestamp {
        (*self).moment()
    }
}

/// How long ago, or in how long.
pub(super) fn ago(at: impl Moment, now: impl Moment) -> String {
    let (at, now) = (at.moment(), now.moment());
    if at > now {
        return format!("in {}", span(at.since(now)));
    }
    match now.since(at) {
        since if since < Duration::from_secs(2) => "just now".to_owned(),
        since => format!("{} ago", span(since)),
    }
}

fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The word for a rule's state, which style sheets know as well.
pub(super) fn rule_state(state: impl Borrow<RuleState>) -> &'static str {
    match state.borrow() {
        RuleState::Ok => "ok",
        RuleState::Replicating => "replicating",
        RuleState::Stuck => "stuck",
        RuleState::Releasing => "releasing",
    }
}

/// The same for an endpoint.
pub(super) fn endpoint_state(state: impl Borrow<EndpointState>) -> &'static str {
    match state.borrow() {
        EndpointState::Well => "well",
        EndpointState::Ailing => "ailing",
        EndpointState::Resting => "resting",
    }
}

/// The same for a replica.
pub(super) fn replica_state(state: impl Borrow<ReplicaState>) -> &'static str {
    match state.borrow() {
        ReplicaState::Available => "available",
        ReplicaState::Bad => "bad",
    }
}

/// How a replica's bytes are known to be right.
pub(super) fn verification(how: impl Borrow<Verification>) -> &'static str {
    match how.borrow() {
        Verification::Claimed => "claimed when it was registered",
        Verification::Streamed => "hashed while it was written",
        Verification::ReadBack => "read back and hashed",
    }
}

/// A sign for a state, so that it is not told by colour alone.
pub(super) fn sign(state: &str) -> &'static str {
    match state {
        "ok" | "well" | "available" | "active" => "✓",
        "replicating" | "running" | "busy" | "copying" => "↻",
        "stuck" | "failed" | "ailing" | "bad" | "fault" => "!",
        "waiting" | "resting" | "idle" | "standby" => "…",
        _ => "–",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((count(1, "file"), count(0, "rule")), ("1 file".to_owned(), "0 rules".to_owned()));
        let at = Timestamp::from_millis(1_000_000_000);
        let later = |seconds| at.after(Duration::from_secs(seconds));
        assert_eq!(ago(at, later(1)), "just now");
        assert_eq!(ago(at, later(90)), "90 s ago");
        assert_eq!(ago(at, later(7_199)), "119 min ago");
        assert_eq!(ago(later(200_000), at), "in 2 days");
    }
}
