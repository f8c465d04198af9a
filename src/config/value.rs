//! Types of settings: how each is read from text and shown, and what it tells who wrote it wrong.
//!
//! Limits are part of a type, so that a setting out of its range cannot be held, and the reference
//! page knows the range.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::network::Network;
use crate::model::time::{parse_span, show_span};

/// A number of a setting as a size in memory; what no memory can hold is the most there can be.
pub fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A value as it was written, before it is read as what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// One text, number or truth.
    One(String),
    /// A list.
    Many(Vec<String>),
}

/// A type that a setting can have.
pub trait Setting: Sized {
    /// Whether a list may be written.
    const IS_LIST: bool = false;
    /// Whether what was written may hold a secret, and is not repeated where it cannot be read.
    const IS_SECRET: bool = false;
    /// What to write, such as `a number of bytes such as 4MiB`.
    fn wanted() -> String;
    /// Reads a text; what is wrong with it is told by the caller, who knows what is wanted.
    fn read(text: &str, base: &Path) -> Option<Self>;
    /// Reads a list.
    fn read_many(_: &[String]) -> Option<Self> {
        None
    }
    /// The value as it would be written.
    fn show(&self) -> String;

    /// Reads what was written. Paths are taken from `base`.
    fn read_raw(raw: &Raw, base: &Path) -> Option<Self> {
        match raw {
            Raw::One(text) if Self::IS_LIST => Self::read_many(&parts(text)),
            Raw::One(text) => Self::read(text.trim(), base),
            Raw::Many(texts) => Self::read_many(texts),
        }
    }
}

/// The parts of a list that is written as one text, as variables and flags have it.
fn parts(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

impl Setting for bool {
    fn wanted() -> String {
        "true or false".to_owned()
    }

    fn read(text: &str, _: &Path) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A path; a relative one is taken from the directory of the file in which it is written.
impl Setting for Option<PathBuf> {
    fn wanted() -> String {
        "a path".to_owned()
    }

    fn read(text: &str, base: &Path) -> Option<Self> {
        Some((!text.is_empty()).then(|| base.join(text)))
    }

    fn show(&self) -> String {
        self.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }
}

/// The address of a server as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(pub String);

impl Setting for Option<PublicUrl> {
    fn wanted() -> String {
        "a URL such as https://lake.example.org".to_owned()
    }

    fn read(text: &str, _: &Path) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        let url = url::Url::parse(text).ok()?;
        let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
        let bare = url.username().is_empty() && url.password().is_none();
        (plain && bare).then(|| Some(PublicUrl(text.trim_end_matches('/').to_owned())))
    }

    fn show(&self) -> String {
        self.as_ref().map(|url| url.0.clone()).unwrap_or_default()
    }
}

/// A number within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> Setting for Count<MIN, MAX> {
    fn wanted() -> String {
        format!("a number from {MIN} to {MAX}")
    }

    fn read(text: &str, _: &Path) -> Option<Self> {
        text.replace('_', "").parse().ok().filter(|number| (MIN..=MAX).contains(number)).map(Self)
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// A number of bytes within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes<const MIN: u64, const MAX: u64>(pub u64);

const UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl<const MIN: u64, const MAX: u64> Setting for Bytes<MIN, MAX> {
    fn wanted() -> String {
        format!("a number of bytes such as {}, from {} to {}", show_bytes(MIN), show_bytes(MIN), show_bytes(MAX))
    }

    fn read(text: &str, _: &Path) -> Option<Self> {
        let unit = UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
        let (digits, size) = unit.unwrap_or((text, 1));
        let number: u64 = digits.trim().replace('_', "").parse().ok()?;
        number.checked_mul(size).filter(|bytes| (MIN..=MAX).contains(bytes)).map(Self)
    }

    fn show(&self) -> String {
        show_bytes(self.0)
    }
}

/// Shows bytes with the largest binary unit that leaves no rest.
fn show_bytes(bytes: u64) -> String {
    let whole = UNITS[..3].iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    whole.map_or_else(|| bytes.to_string(), |(unit, size)| format!("{}{unit}", bytes / size))
}

/// A span of time within bounds of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<const MIN: u64, const MAX: u64>(pub Duration);

impl<const MIN: u64, const MAX: u64> Setting for Span<MIN, MAX> {
    fn wanted() -> String {
        let show = |seconds| written_span(Duration::from_secs(seconds));
        format!("a span of time such as {}, from {} to {}", show(MIN), show(MIN), show(MAX))
    }

    fn read(text: &str, _: &Path) -> Option<Self> {
        let span = parse_span(text).ok()?;
        (MIN..=MAX).contains(&span.as_secs()).then_some(Self(span))
    }

    fn show(&self) -> String {
        written_span(self.0)
    }
}

fn written_span(span: Duration) -> String {
    show_span(span).replace(' ', "")
}

/// Whether connections at an address begin with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// If the server has a certificate.
    AsSet,
    /// Never.
    Http,
    /// Always.
    Https,
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: SocketAddr,
    /// How.
    pub scheme: Scheme,
}

impl Listen {
    /// Reads an address with or without its scheme.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(_) => return None,
            None => (Scheme::AsSet, text),
        };
        Some(Self { address: rest.parse().ok()?, scheme })
    }

    fn show(self) -> String {
        match self.scheme {
            Scheme::AsSet => self.address.to_string(),
            Scheme::Http => format!("http://{}", self.address),
            Scheme::Https => format!("https://{}", self.address),
        }
    }
}

impl Setting for Vec<Listen> {
    const IS_LIST: bool = true;

    fn wanted() -> String {
        "an address such as 127.0.0.1:7070, http://[::]:80 or https://0.0.0.0:443, or a list of them".to_owned()
    }

    fn read(_: &str, _: &Path) -> Option<Self> {
        None
    }

    fn read_many(texts: &[String]) -> Option<Self> {
        texts.iter().map(|text| Listen::parse(text)).collect()
    }

    fn show(&self) -> String {
        listed(self.iter().map(|listen| listen.show()))
    }
}

impl Setting for Vec<Network> {
    const IS_LIST: bool = true;

    fn wanted() -> String {
        "a network such as 10.0.0.0/8 or 192.0.2.7, or a list of them".to_owned()
    }

    fn read(_: &str, _: &Path) -> Option<Self> {
        None
    }

    fn read_many(texts: &[String]) -> Option<Self> {
        texts.iter().map(|text| text.parse().ok()).collect()
    }

    fn show(&self) -> String {
        listed(self.iter().map(Network::to_string))
    }
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    texts.fold(String::new(), |mut list, text| {
        let mark = if list.is_empty() { "" } else { ", " };
        write!(list, "{mark}{text}").expect("a string takes all text");
        list
    })
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Setting for LogFormat {
    fn wanted() -> String {
        "text or json".to_owned()
    }

    fn read(text: &str, _: &Path) -> Option<Self> {
        match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        }
    }
}

/// How much is logged, for all of the program or for parts of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(pub String);

impl Setting for LogFilter {
    fn wanted() -> String {
        "error, warn, info, debug or trace, or a filter such as info,dapple::rules=debug".to_owned()
    }

    fn read(text: &str, _: &Path) -> Option<Self> {
        // A lone word that is no level would be taken for the name of a part, and log nothing else.
        let lone = text.split(',').any(|part| !part.contains('=') && part.parse::<tracing::Level>().is_err());
        let off = text == "off";
        let reads = tracing_subscriber::EnvFilter::try_new(text).is_ok();
        (off || (reads && !lone)).then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<T: Setting>(text: &str) -> Option<String> {
        T::read_raw(&Raw::One(text.to_owned()), Path::new("/etc/dapple")).map(|value| value.show())
    }

    #[test]
    fn values_read_units_and_keep_their_bounds() {
        type Size = Bytes<1024, { 1 << 30 }>;
        let table = [
            (shown::<Size>("4MiB"), Some("4MiB")),
            (shown::<Size>("2_048"), Some("2KiB")),
            (shown::<Size>("1500 B"), Some("1500")),
            (shown::<Size>("2 MB"), Some("2000000")),
            (shown::<Size>("2GiB"), None),
            (shown::<Size>("1"), None),
            (shown::<Size>("4Mi"), None),
            (shown::<Size>("99999999999999GiB"), None),
            (shown::<Span<1, 60>>("1m"), Some("1m")),
            (shown::<Span<1, 60>>("61s"), None),
            (shown::<Span<1, 60>>("30"), None),
            (shown::<Count<1, 8>>("8"), Some("8")),
            (shown::<Count<1, 8>>("-1"), None),
            (shown::<bool>("yes"), None),
            (shown::<Option<PathBuf>>("tls/key.pem"), Some("/etc/dapple/tls/key.pem")),
            (shown::<Option<PathBuf>>("/k"), Some("/k")),
            (shown::<Option<PublicUrl>>("https://h/lake/"), Some("https://h/lake")),
            (shown::<Option<PublicUrl>>("https://u:p@h"), None),
            (shown::<Option<PublicUrl>>("h"), None),
            (shown::<Vec<Listen>>("127.0.0.1:1, https://[::]:2"), Some("127.0.0.1:1, https://[::]:2")),
            (shown::<Vec<Listen>>("localhost:1"), None),
            (shown::<Vec<Listen>>("ftp://127.0.0.1:1"), None),
            (shown::<Vec<Network>>("10.0.0.0/8,::1"), Some("10.0.0.0/8, ::1/128")),
            (shown::<LogFilter>("info,dapple::rules=debug"), Some("info,dapple::rules=debug")),
            (shown::<LogFilter>("verbose"), None),
            (shown::<LogFilter>("a=b=c"), None),
            (shown::<LogFormat>("xml"), None),
        ];
        for (index, (found, wanted)) in table.into_iter().enumerate() {
            assert_eq!(found.as_deref(), wanted, "row {index}");
        }
    }
}
