//! Times as people write them when they look for something: a moment, a day, a month or a year, or a
//! beginning and an end with a `/` between.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::metadata::moment;

/// A span of time in milliseconds since the Unix epoch, both ends included, of which one may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Where it begins.
    pub from_ms: Option<i64>,
    /// Where it ends.
    pub to_ms: Option<i64>,
}

/// Why a text is no period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPeriod {
    /// A part is no time.
    #[error(
        "`{0}` is not a time; write 2026, 2026-11, 2026-11-21 or 2026-11-21T08:30:00Z, or FROM/TO with one of them open (`2026-11/..`)"
    )]
    Time(String),
    /// Both ends are open.
    #[error("both ends are open; leave it out to find what is of any time")]
    Open,
    /// The end comes first.
    #[error("it ends before it begins; exchange the two")]
    Backwards,
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let (from, to) = text.split_once('/').unwrap_or((text, text));
        let is_open = |end: &str| matches!(end.trim(), "" | "..");
        if is_open(from) && is_open(to) {
            return Err(if text.contains('/') { InvalidPeriod::Open } else { InvalidPeriod::Time(text.to_owned()) });
        }
        let read = |end: &str| {
            let end = end.trim();
            if is_open(end) {
                return Ok(None);
            }
            span(end).map(Some).ok_or_else(|| InvalidPeriod::Time(end.to_owned()))
        };
        let (from_ms, to_ms) = (read(from)?.map(|(first, _)| first), read(to)?.map(|(_, last)| last));
        match (from_ms, to_ms) {
            (Some(from), Some(to)) if from > to => Err(InvalidPeriod::Backwards),
            _ => Ok(Self { from_ms, to_ms }),
        }
    }
}

impl fmt::Display for Period {
    /// As the parameter `datetime` of STAC has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: Option<i64>| end.map_or_else(|| "..".to_owned(), moment::show);
        write!(f, "{}/{}", end(self.from_ms), end(self.to_ms))
    }
}

/// The first and the last millisecond of a moment, a day, a month or a year, in UTC.
fn span(text: &str) -> Option<(i64, i64)> {
    if let Some(at) = moment::parse(text) {
        return Some((at, at));
    }
    let is_shaped = text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let parts: Vec<&str> = text.split('-').filter(|_| is_shaped).collect();
    let number = |at: usize, digits: usize| parts.get(at).filter(|part| part.len() == digits)?.parse::<i16>().ok();
    let year = number(0, 4)?;
    let part = |at: usize| i8::try_from(number(at, 2)?).ok();
    let (first, last) = match parts.len() {
        1 => (Date::new(year, 1, 1).ok()?, Date::new(year, 12, 31).ok()?),
        2 => {
            let first = Date::new(year, part(1)?, 1).ok()?;
            (first, first.last_of_month())
        }
        3 => {
            let day = Date::new(year, part(1)?, part(2)?).ok()?;
            (day, day)
        }
        _ => return None,
    };
    let millis = |at: jiff::civil::DateTime| Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond());
    Some((millis(first.at(0, 0, 0, 0))?, millis(last.at(23, 59, 59, 999_000_000))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let table = [
            ("2024", "2024-01-01T00:00:00Z/2024-12-31T23:59:59.999Z"),
            ("2024-02", "2024-02-01T00:00:00Z/2024-02-29T23:59:59.999Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z/2024-02-29T23:59:59.999Z"),
            ("2024-01/2024-03", "2024-01-01T00:00:00Z/2024-03-31T23:59:59.999Z"),
            ("2024/..", "2024-01-01T00:00:00Z/.."),
            ("/1969", "../1969-12-31T23:59:59.999Z"),
            ("2024-01-01T12:00:00+01:00", "2024-01-01T11:00:00Z/2024-01-01T11:00:00Z"),
        ];
        for (text, shown) in table {
            assert_eq!(text.parse::<Period>().expect(text).to_string(), shown, "{text}");
        }
        for text in
            ["", "..", "/", "../..", "2024-13", "2024-02-30", "24", "2024-1", "2024-01-01T12:00", "-2024", "x/2024"]
        {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        assert_eq!("2025/2024".parse::<Period>(), Err(InvalidPeriod::Backwards));
    }
}
