//! The times of metadata: `datetime`, or `start_datetime` and `end_datetime`. Times of data may lie
//! before 1970 and far ahead, unlike those of the lake itself.

use serde_json::{Map, Value};

use crate::model::metadata::InvalidMetadata;

const HINT: &str = "write a time with its offset (RFC 3339), such as \"2026-11-21T08:30:00Z\"";
const HINT_SPAN: &str = "give `start_datetime` and `end_datetime` together, or `datetime` alone";

/// A span of time, both ends included, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Its beginning.
    pub start_ms: i64,
    /// Its end; the beginning itself for a moment.
    pub end_ms: i64,
}

/// The span that metadata names. A span wins over the moment that stands for it.
pub(super) fn interval(object: &Map<String, Value>) -> Result<Option<Interval>, InvalidMetadata> {
    let (start, end) = (time(object, "start_datetime")?, time(object, "end_datetime")?);
    let moment = match object.get("datetime") {
        Some(Value::Null) => {
            if start.is_none() || end.is_none() {
                let what = "it is null, and there is no span instead";
                return Err(InvalidMetadata::of("datetime", what, HINT_SPAN));
            }
            None
        }
        _ => time(object, "datetime")?,
    };
    match (start, end) {
        (None, None) => Ok(moment.map(|at| Interval { start_ms: at, end_ms: at })),
        (Some(start_ms), Some(end_ms)) if start_ms <= end_ms => Ok(Some(Interval { start_ms, end_ms })),
        (Some(_), Some(_)) => {
            Err(InvalidMetadata::of("end_datetime", "it is before `start_datetime`", "exchange the two"))
        }
        (Some(_), None) => Err(InvalidMetadata::of("start_datetime", "there is no `end_datetime`", HINT_SPAN)),
        (None, Some(_)) => Err(InvalidMetadata::of("end_datetime", "there is no `start_datetime`", HINT_SPAN)),
    }
}

fn time(object: &Map<String, Value>, key: &str) -> Result<Option<i64>, InvalidMetadata> {
    let Some(value) = object.get(key) else { return Ok(None) };
    let wrong = |what: &str| InvalidMetadata::of(key, what, HINT);
    let text = value.as_str().ok_or_else(|| wrong("it is not a text"))?;
    let read = is_shaped(text).then(|| text.parse::<jiff::Timestamp>().ok()).flatten();
    read.map(|at| Some(at.as_millisecond())).ok_or_else(|| wrong("it is not an RFC 3339 time"))
}

/// A time as RFC 3339 has it, in small letters as well, in milliseconds since the Unix epoch.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let read = is_shaped(&text).then(|| text.parse::<jiff::Timestamp>().ok()).flatten();
    read.map(jiff::Timestamp::as_millisecond)
}

/// A time in milliseconds since the Unix epoch as text, in UTC.
pub fn show(millis: i64) -> String {
    // Times that were read fit; others are shown as the nearest that does.
    let at = jiff::Timestamp::from_millisecond(millis);
    let nearest = if millis < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    at.unwrap_or(nearest).to_string()
}

/// RFC 3339 is narrower than what a parser of times takes: all parts, one `T`, an offset, nothing else.
fn is_shaped(text: &str) -> bool {
    let bytes = text.as_bytes();
    let like = |part: &[u8], shape: &[u8]| {
        let fits = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
        part.len() == shape.len() && part.iter().zip(shape).all(fits)
    };
    let Some((head, rest)) = bytes.split_at_checked(19) else { return false };
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    let offset = rest == b"Z" || like(rest, b"+00:00") || like(rest, b"-00:00");
    like(head, b"0000-00-00T00:00:00") && offset
}
