//! Numbers of bytes, as they are typed and shown.

/// Units of bytes, each 1,024 times the one before.
const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
/// Units of bytes, each 1,000 times the one before.
const DECIMAL_UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// The text is not a number of bytes.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is not a number of bytes such as 500GiB, 10TiB, 2TB or 4096")]
pub struct InvalidSize {
    text: String,
}

/// Reads a number of bytes such as `10TiB` (1,024s), `10TB` (1,000s), `1.5GiB` or `4096`.
pub fn parse_bytes(text: &str) -> Result<u64, InvalidSize> {
    let invalid = || InvalidSize { text: text.to_owned() };
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let power = |units: &[&str; 7]| units.iter().position(|known| known.eq_ignore_ascii_case(unit));
    let factor = match (unit, power(&UNITS), power(&DECIMAL_UNITS)) {
        ("", _, _) => 1,
        (_, Some(power), _) => 1_u128 << (10 * power),
        (_, None, Some(power)) => 1_000_u128.pow(u32::try_from(power).map_err(|_| invalid())?),
        _ => return Err(invalid()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > 6 || (number.contains('.') && part.is_empty()) {
        return Err(invalid());
    }
    let scale = 10_u128.pow(u32::try_from(part.len()).map_err(|_| invalid())?);
    let digits: u128 = format!("{whole}{part}").parse().map_err(|_| invalid())?;
    let bytes = digits.checked_mul(factor).ok_or_else(invalid)?;
    if bytes % scale != 0 && factor == 1 {
        return Err(invalid());
    }
    u64::try_from(bytes / scale).map_err(|_| invalid())
}

/// Shows a number of bytes so that it reads back as the same: `10 TiB`, `1536 B`.
pub fn show_bytes(bytes: u64) -> String {
    let power =
        UNITS.iter().enumerate().rev().find(|(power, _)| bytes != 0 && bytes.is_multiple_of(1_u64 << (10 * power)));
    let (power, unit) = power.map_or((0, "B"), |(power, unit)| (power, *unit));
    format!("{} {unit}", bytes >> (10 * power))
}

/// Shows a number of bytes for people, in the unit that leaves one to four digits: `1.2 GiB`.
pub fn human_bytes(bytes: u64) -> String {
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    // Tenths in whole numbers, rounded; what rounds to 1024.0 is one of the next unit.
    let tenths = |power: usize| (u128::from(bytes) * 10 + (1 << (10 * power - 1))) >> (10 * power);
    let mut power = 1;
    while power + 1 < UNITS.len() && tenths(power) >= 10_240 {
        power += 1;
    }
    format!("{}.{} {}", tenths(power) / 10, tenths(power) % 10, UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let table = [
            ("4096", Some(4_096)),
            ("10TiB", Some(10 << 40)),
            ("10 tib", Some(10 << 40)),
            ("2TB", Some(2_000_000_000_000)),
            ("1.5GiB", Some(3 << 29)),
            ("0", Some(0)),
            ("15EiB", Some(15 << 60)),
            ("16EiB", None),
            ("1.5", None),
            ("1.5.5GiB", None),
            (".5GiB", None),
            ("-1", None),
            ("GiB", None),
            ("10 apples", None),
            ("", None),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_bytes(text).ok(), bytes, "{text}");
        }
        let table = [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_525, "1.0 MiB"),
            (2_000, "2.0 KiB"),
            (1_288_490_189, "1.2 GiB"),
            (5 << 40, "5.0 TiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(human_bytes(bytes), text);
        }
        for (bytes, text) in [(0, "0 B"), (1_536, "1536 B"), (10 << 40, "10 TiB"), (3 << 29, "1536 MiB")] {
            assert_eq!(show_bytes(bytes), text);
            assert_eq!(parse_bytes(text).expect("own text"), bytes);
        }
    }
}
