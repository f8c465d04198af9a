//! Which bytes a `Range` header asks for (RFC 9110, section 14). Pure. A header that cannot be
//! read, or asks for more pieces than are worth it, is ignored, as the standard allows.

use crate::storage::backend::ByteRange;

/// The most ranges that one request may ask for; more are answered with the whole.
pub(super) const RANGES_MAX: usize = 16;

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything.
    Whole,
    /// One range.
    One(ByteRange),
    /// Several that do not overlap.
    Many(Vec<ByteRange>),
    /// Nothing that was asked for is there.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `bytes` bytes. No range of an empty file could be named in
/// an answer, so there it is ignored.
pub(super) fn wanted(header: &str, bytes: u64) -> Wanted {
    if bytes == 0 {
        return Wanted::Whole;
    }
    let Some(specs) = read(header) else {
        return Wanted::Whole;
    };
    let satisfiable = specs.into_iter().filter_map(|spec| spec.within(bytes));
    let mut ranges = merge_overlapping(satisfiable);
    match ranges.len() {
        0 => Wanted::Unsatisfiable,
        1 => Wanted::One(ranges.remove(0)),
        _ => Wanted::Many(ranges),
    }
}

/// A range as it is asked for, before the length is known.
#[derive(Debug, Clone, Copy)]
enum Spec {
    /// From a byte to a byte, both included.
    Between(u64, u64),
    /// So many bytes at the end.
    Last(u64),
}

impl Spec {
    fn within(self, bytes: u64) -> Option<ByteRange> {
        let range = match self {
            Spec::Between(first, last) => ByteRange { start: first, end: last.saturating_add(1).min(bytes) },
            Spec::Last(count) => ByteRange { start: bytes.saturating_sub(count), end: bytes },
        };
        (range.start < range.end).then_some(range)
    }
}

fn read(header: &str) -> Option<Vec<Spec>> {
    let (unit, list) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let texts = list.split(',').map(|text| text.trim_matches([' ', '\t']));
    let mut specs = Vec::new();
    for text in texts.filter(|text| !text.is_empty()) {
        if specs.len() == RANGES_MAX {
            return None;
        }
        specs.push(read_spec(text)?);
    }
    (!specs.is_empty()).then_some(specs)
}

fn read_spec(text: &str) -> Option<Spec> {
    let (first, last) = text.split_once('-')?;
    match (first, last) {
        ("", count) => Some(Spec::Last(read_number(count)?)),
        (first, "") => Some(Spec::Between(read_number(first)?, u64::MAX)),
        (first, last) => {
            let (first, last) = (read_number(first)?, read_number(last)?);
            (first <= last).then_some(Spec::Between(first, last))
        }
    }
}

/// Digits only: `parse` would take a sign. What no file is long enough for is the largest number.
fn read_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Ranges in the order asked for, those that share a byte made one, so that no answer is longer
/// than the file by more than its part heads.
fn merge_overlapping(ranges: impl Iterator<Item = ByteRange>) -> Vec<ByteRange> {
    let mut kept: Vec<ByteRange> = Vec::new();
    for mut range in ranges {
        while let Some(at) = kept.iter().position(|other| overlap(*other, range)) {
            let other = kept.remove(at);
            range = ByteRange { start: range.start.min(other.start), end: range.end.max(other.end) };
        }
        kept.push(range);
    }
    kept
}

fn overlap(a: ByteRange, b: ByteRange) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end }
    }

    #[test]
    fn headers_are_read_as_the_standard_says() {
        let one = |start, end| Wanted::One(range(start, end));
        let table = [
            ("bytes=0-0", one(0, 1)),
            ("bytes=0-499", one(0, 100)),
            ("bytes=5-9", one(5, 10)),
            ("Bytes=5-", one(5, 100)),
            ("bytes=-5", one(95, 100)),
            ("bytes=-500", one(0, 100)),
            ("bytes=99-99", one(99, 100)),
            ("bytes=0-99999999999999999999999", one(0, 100)),
            ("bytes= 1-2 ,\t", one(1, 3)),
            ("bytes=1-2,200-300", one(1, 3)),
            ("bytes=0-9,5-14", one(0, 15)),
            ("bytes=0-9,20-29,5-24", one(0, 30)),
            ("bytes=50-59,0-9", Wanted::Many(vec![range(50, 60), range(0, 10)])),
            ("bytes=0-9,,10-19", Wanted::Many(vec![range(0, 10), range(10, 20)])),
            ("bytes=-1,0-0", Wanted::Many(vec![range(99, 100), range(0, 1)])),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=100-200,300-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
        ];
        for (header, expected) in table {
            assert_eq!(wanted(header, 100), expected, "{header}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=5",
            "bytes=9-5",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=a-b",
            "bytes=0x1-2",
            "bytes=1 - 2",
            "items=0-5",
            "bytes=0-1;2-3",
            "bytes=--5",
            "bytes=0-1,x",
            "bytes=٣-٤",
        ] {
            assert_eq!(wanted(header, 100), Wanted::Whole, "{header}");
        }
        for header in ["bytes=0-", "bytes=-5", "bytes=0-0", "bytes=7-"] {
            assert_eq!(wanted(header, 0), Wanted::Whole, "{header} of nothing");
        }
        let list = |count: u64| (0..count).map(|at| format!("{}-{}", at * 2, at * 2)).collect::<Vec<_>>().join(",");
        assert!(matches!(wanted(&format!("bytes={}", list(16)), 100), Wanted::Many(ranges) if ranges.len() == 16));
        assert_eq!(wanted(&format!("bytes={}", list(17)), 100), Wanted::Whole);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn every_byte_asked_for_is_sent_once_and_no_other(
            specs in proptest::collection::vec((0_usize..3, 0_u64..60, 0_u64..20), 1..=RANGES_MAX),
            bytes in 1_u64..50,
        ) {
            let mut asked = vec![false; usize::try_from(bytes).unwrap()];
            let mut texts = Vec::new();
            for (kind, first, more) in specs {
                let (text, range) = match kind {
                    0 => (format!("{first}-{}", first + more), first..first + more + 1),
                    1 => (format!("{first}-"), first..bytes),
                    _ => (format!("-{more}"), bytes.saturating_sub(more)..bytes),
                };
                texts.push(text);
                for at in range.filter(|at| *at < bytes) {
                    asked[usize::try_from(at).unwrap()] = true;
                }
            }
            let ranges = match wanted(&format!("bytes={}", texts.join(",")), bytes) {
                Wanted::Whole => panic!("it could be read"),
                Wanted::Unsatisfiable => Vec::new(),
                Wanted::One(range) => vec![range],
                Wanted::Many(ranges) => { prop_assert!(ranges.len() > 1); ranges }
            };
            let mut sent = vec![0; asked.len()];
            for range in ranges {
                prop_assert!(range.start < range.end && range.end <= bytes);
                for at in range.start..range.end {
                    sent[usize::try_from(at).unwrap()] += 1;
                }
            }
            let asked: Vec<i32> = asked.into_iter().map(i32::from).collect();
            prop_assert_eq!(sent, asked);
        }

        #[test]
        fn no_header_makes_it_panic(header in "(bytes=)?[-0-9, a=]{0,40}", bytes in 0_u64..u64::MAX) {
            wanted(&header, bytes);
        }
    }
}
