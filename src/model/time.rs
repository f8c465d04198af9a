//! Points in time and spans of it, as they are stored, typed and shown.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, in UTC. Shown and read as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// A time from milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as JWT claims count.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The time `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The span from `earlier` to this time; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => f.write_str("(out of range)"),
        }
    }
}

/// The text is not an RFC 3339 time stamp.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is not a time such as 2026-11-21T08:30:00Z")]
pub struct InvalidTimestamp {
    text: String,
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidTimestamp { text: text.to_owned() };
        let time: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
        u64::try_from(time.as_millisecond()).map(Self).map_err(|_| invalid())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

/// The text is not a span of time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is not a span of time such as 90s, 10m, 2h, 30d or 1h30m")]
pub struct InvalidSpan {
    text: String,
}

/// Reads a span such as `90s`, `10m`, `2h`, `30d`, `4w` or `1h30m`. A bare number is refused:
/// its unit would be a guess.
pub fn parse_span(text: &str) -> Result<Duration, InvalidSpan> {
    let invalid = || InvalidSpan { text: text.to_owned() };
    let mut rest = text.trim();
    let mut seconds = 0_u64;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let count: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        let letters = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let factor = match &rest[digits..digits + letters] {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(invalid()),
        };
        seconds = count.checked_mul(factor).and_then(|s| seconds.checked_add(s)).ok_or_else(invalid)?;
        rest = &rest[digits + letters..];
    }
    Ok(Duration::from_secs(seconds))
}

/// Shows a span with its two largest units: `2h 5m`, `3d`, `0s`.
pub fn show_span(span: Duration) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut rest = span.as_secs();
    let mut parts = Vec::new();
    for (name, size) in UNITS {
        if rest >= size && parts.len() < 2 {
            parts.push(format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_units_and_refuse_guesses() {
        let table = [
            ("90s", Some(90)),
            ("1h30m", Some(5_400)),
            ("2w", Some(1_209_600)),
            ("10", None),
            ("", None),
            ("5y", None),
            ("h", None),
        ];
        for (text, seconds) in table {
            assert_eq!(parse_span(text).ok(), seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(show_span(Duration::from_secs(7_530)), "2h 5m");
    }

    #[test]
    fn a_time_reads_back_as_it_was_shown() {
        let time = Timestamp::from_millis(1_795_202_476_123);
        assert_eq!(time.to_string().parse::<Timestamp>().expect("own text"), time);
    }
}
