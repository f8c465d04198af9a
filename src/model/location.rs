//! Where a remote endpoint is: reads what people write, refuses what could mean two things, and
//! gives one spelling to each place, so that two endpoints on one place are found out.
//!
//! Never looks at the network, and never repeats what stands before an `@`: it may be a password.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Host, Url};

/// The most bytes a location may have.
pub const LOCATION_BYTES_MAX: usize = 1024;
/// The most bytes the prefix of an S3 endpoint may have: a key has 1,024, and paths need the rest.
pub const PREFIX_BYTES_MAX: usize = 512;

/// What stays as it is in a segment of a URL's path: unreserved characters, and delimiters that
/// have no meaning there.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// The text is no place that an endpoint could be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocation {
    /// It is too long.
    #[error("a location has at most {LOCATION_BYTES_MAX} bytes")]
    TooLong,
    /// It does not begin as a URL of a web server.
    #[error("the location has to begin with `https://` or `http://` and a host")]
    NoServer,
    /// The host or port cannot be read.
    #[error("the host or port of the location cannot be read: {0}")]
    Host(String),
    /// There is a user or a password in it.
    #[error("the location has a user or password before an `@`: leave it out and give it as the secret")]
    Credentials,
    /// There is a query or a fragment.
    #[error("the location has a `?` or `#`: write it without query and fragment")]
    Query,
    /// Blanks, control characters or backslashes.
    #[error("the location has blanks, control characters or backslashes")]
    Characters,
    /// An S3 location ends before the bucket.
    #[error("the location names no bucket: write `URL/BUCKET` or `URL/BUCKET/PREFIX`")]
    NoBucket,
    /// The text cannot name a bucket.
    #[error(
        "`{bucket}` cannot name a bucket: use 3 to 63 lower-case letters, digits, `.` or `-`, with a letter or digit at both ends, no two dots in a row, and no IP address"
    )]
    Bucket {
        /// What was given.
        bucket: String,
    },
    /// The prefix is too long.
    #[error("a prefix has at most {PREFIX_BYTES_MAX} bytes")]
    PrefixTooLong,
    /// The bucket cannot be a label before the host, which is an address.
    #[error("a bucket cannot stand before an IP address: use the addressing `path`, or a URL with a name")]
    AddressHost,
    /// The bucket cannot be a label before the host, as it has a dot.
    #[error("no certificate fits a host name with a bucket before it that has a dot: use the addressing `path`")]
    DottedBucket,
    /// A part of the path is empty or leads elsewhere.
    #[error("the path of the location has an empty part, or `.` or `..`: write it without")]
    Segment,
    /// A part of a URL's path is not percent-encoded text.
    #[error("the path of the location is not percent-encoded UTF-8, or hides a slash or a control character")]
    Encoding,
}

/// A bucket of an S3 store, or a prefix in one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct S3Location {
    server: Server,
    bucket: String,
    prefix: String,
}

impl S3Location {
    /// Reads `URL/BUCKET` or `URL/BUCKET/PREFIX`. The prefix is taken letter by letter: a `%` in it
    /// is a `%`. A slash at the end does not count.
    pub fn parse(text: &str) -> Result<Self, InvalidLocation> {
        let (server, path) = split(text)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() {
            return Err(if prefix.is_empty() { InvalidLocation::NoBucket } else { InvalidLocation::Segment });
        }
        if !is_bucket(bucket) {
            return Err(InvalidLocation::Bucket { bucket: bucket.to_owned() });
        }
        if prefix.len() > PREFIX_BYTES_MAX {
            return Err(InvalidLocation::PrefixTooLong);
        }
        if path.len() > bucket.len() && !prefix.split('/').all(is_segment) {
            return Err(InvalidLocation::Segment);
        }
        Ok(Self { server, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// The server: `https://host` or `https://host:port`, without a slash at the end.
    pub fn server(&self) -> &str {
        &self.server.text
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The prefix without slashes at its ends; empty where the endpoint has the whole bucket.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Tells whether bytes on their way to the server are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.server.encrypted
    }

    /// Tells whether the server is this machine.
    pub fn is_loopback(&self) -> bool {
        self.server.is_loopback()
    }

    /// The server with the bucket as a label before its host, if that can be.
    pub fn virtual_host(&self) -> Result<String, InvalidLocation> {
        if !matches!(self.server.host, Host::Domain(_)) {
            return Err(InvalidLocation::AddressHost);
        }
        if self.server.encrypted && self.bucket.contains('.') {
            return Err(InvalidLocation::DottedBucket);
        }
        let (scheme, host) = self.server.text.split_once("://").expect("a server has a scheme");
        Ok(format!("{scheme}://{}.{host}", self.bucket))
    }

    /// Tells whether some object could belong to both places.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.server.is_same(&other.server)
            && self.bucket == other.bucket
            && (is_within(&self.prefix, &other.prefix) || is_within(&other.prefix, &self.prefix))
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server.text, self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// A collection of a WebDAV server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebdavLocation {
    server: Server,
    path: String,
}

impl WebdavLocation {
    /// Reads the URL of a collection. A slash at the end does not count, nor which harmless
    /// characters are percent-encoded.
    pub fn parse(text: &str) -> Result<Self, InvalidLocation> {
        let (server, path) = split(text)?;
        let trimmed = path.strip_suffix('/').unwrap_or(path);
        let mut canonical = String::new();
        for segment in trimmed.split('/').take_while(|_| !path.is_empty()) {
            let bytes: Vec<u8> = decoded(segment)?;
            let segment = String::from_utf8(bytes).map_err(|_| InvalidLocation::Encoding)?;
            if !is_segment(&segment) {
                return Err(InvalidLocation::Segment);
            }
            if segment.contains(|c: char| c == '/' || c.is_control()) {
                return Err(InvalidLocation::Encoding);
            }
            canonical.push('/');
            canonical.extend(utf8_percent_encode(&segment, SEGMENT));
        }
        Ok(Self { server, path: canonical })
    }

    /// The server: `https://host` or `https://host:port`, without a slash at the end.
    pub fn server(&self) -> &str {
        &self.server.text
    }

    /// The collection's path, percent-encoded: it begins with a slash and ends without one, and is
    /// empty for the server's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Tells whether bytes on their way to the server are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.server.encrypted
    }

    /// Tells whether the server is this machine.
    pub fn is_loopback(&self) -> bool {
        self.server.is_loopback()
    }

    /// Tells whether some object could belong to both places.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, two) = (self.path.trim_start_matches('/'), other.path.trim_start_matches('/'));
        self.server.is_same(&other.server) && (is_within(one, two) || is_within(two, one))
    }
}

impl fmt::Display for WebdavLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.server.text, self.path)
    }
}

/// A server as a client reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Server {
    text: String,
    host: Host,
    /// `None` stands for the usual port of the scheme.
    port: Option<u16>,
    encrypted: bool,
}

impl Server {
    fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => {
                address.is_loopback() || address.to_ipv4_mapped().is_some_and(|mapped| mapped.is_loopback())
            }
        }
    }

    /// Tells whether two servers may well be one: a store that answers on both usual ports is one
    /// store.
    fn is_same(&self, other: &Self) -> bool {
        let bare = |host: &Host| host.to_string().trim_end_matches('.').to_owned();
        let same_host = bare(&self.host) == bare(&other.host) || (self.is_loopback() && other.is_loopback());
        same_host && self.port == other.port
    }
}

/// The server, and the path behind the slash that follows it, as it was written.
fn split(text: &str) -> Result<(Server, &str), InvalidLocation> {
    if text.len() > LOCATION_BYTES_MAX {
        return Err(InvalidLocation::TooLong);
    }
    let (scheme, rest) = text.split_once("://").ok_or(InvalidLocation::NoServer)?;
    let encrypted = scheme.eq_ignore_ascii_case("https");
    if !encrypted && !scheme.eq_ignore_ascii_case("http") {
        return Err(InvalidLocation::NoServer);
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(InvalidLocation::Credentials);
    }
    if text.contains(['?', '#']) {
        return Err(InvalidLocation::Query);
    }
    // The reader of URLs would drop or turn some of these by itself.
    if text.contains(|c: char| c == '\\' || c.is_whitespace() || c.is_control()) {
        return Err(InvalidLocation::Characters);
    }
    if authority.is_empty() {
        return Err(InvalidLocation::NoServer);
    }
    let url = Url::parse(&format!("{scheme}://{authority}"));
    let url = url.map_err(|error| InvalidLocation::Host(error.to_string()))?;
    let host = url.host().ok_or(InvalidLocation::NoServer)?.to_owned();
    let server = Server { text: url.origin().ascii_serialization(), host, port: url.port(), encrypted };
    Ok((server, path))
}

fn is_bucket(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(letters) && text.bytes().last().is_some_and(letters);
    (3..=63).contains(&text.len())
        && ends
        && text.bytes().all(|b| letters(b) || matches!(b, b'.' | b'-'))
        && !text.contains("..")
        && text.parse::<std::net::Ipv4Addr>().is_err()
}

fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
}

/// Decodes a segment; a `%` has to be followed by two hexadecimal digits.
fn decoded(segment: &str) -> Result<Vec<u8>, InvalidLocation> {
    let whole = |after: &str| after.len() >= 2 && after.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if segment.split('%').skip(1).all(whole) {
        Ok(percent_decode_str(segment).collect())
    } else {
        Err(InvalidLocation::Encoding)
    }
}

/// Tells whether a path is another, or lies below it.
fn is_within(path: &str, above: &str) -> bool {
    above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
