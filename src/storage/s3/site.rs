//! Where a bucket is and who asks for it: an endpoint's location, settings and secret, read once.
//!
//! Promises that what it hands out is fit for both clients: a URL without a path, a bucket, a prefix
//! that ends with `/`, and keys that S3 can hold. Never prints a secret.

use std::fmt;

use reqwest::Url;

use crate::model::endpoint::{Addressing, Endpoint};
use crate::storage::backend::StorageError;
use crate::storage::layout::StoragePath;
use crate::storage::secret::Secret;

/// The region of requests to stores that know none.
pub(super) const REGION_DEFAULT: &str = "us-east-1";
/// The most bytes that S3 allows a key.
const KEY_BYTES_MAX: usize = 1_024;
/// The most bytes of a label of a host's name.
const LABEL_BYTES_MAX: usize = 63;

/// An access key and its secret key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) secret: String,
}

/// A bucket, or a prefix in one, as one user sees it.
pub(super) struct Site {
    /// `scheme://host[:port]`.
    pub(super) url: String,
    pub(super) bucket: String,
    /// Empty, or ends with `/`.
    pub(super) prefix: String,
    pub(super) region: String,
    pub(super) addressing: Addressing,
    /// `None` asks without a name.
    pub(super) pair: Option<Pair>,
}

impl Site {
    /// Reads an endpoint.
    pub(super) fn of(endpoint: &Endpoint, secret: Option<Secret>) -> Result<Self, StorageError> {
        let pair = match secret {
            None => None,
            Some(Secret::Pair { name, word }) => Some(Pair { key: name, secret: word }),
            Some(Secret::Token(_) | Secret::Certificate(_)) => {
                let why = "an S3 store takes an access key and its secret key: write `key:secret`";
                return Err(StorageError::Locked { why: why.to_owned() });
            }
        };
        let addressing = endpoint.settings.addressing;
        let refuse = |why: &str| StorageError::Outside { path: endpoint.location.clone(), why: why.to_owned() };
        let (url, bucket, prefix) = split(&endpoint.location).map_err(refuse)?;
        if addressing == Addressing::VirtualHost {
            hostable(&url, &bucket).map_err(refuse)?;
        }
        let region = endpoint.settings.region.clone().unwrap_or_else(|| REGION_DEFAULT.to_owned());
        Ok(Self { url, bucket, prefix, region, addressing, pair })
    }

    /// The key under which a path lies.
    pub(super) fn key(&self, path: &StoragePath) -> Result<String, StorageError> {
        let key = format!("{}{path}", self.prefix);
        let why = if key.len() > KEY_BYTES_MAX {
            format!("S3 keys have at most {KEY_BYTES_MAX} bytes, with the prefix this has {}", key.len())
        } else if key.contains(char::is_control) {
            "S3 keys with control characters do not survive its XML".to_owned()
        } else {
            return Ok(key);
        };
        Err(StorageError::Outside { path: path.to_string(), why })
    }

    /// Tells whether the other is on the same server and asks under the same name, so that the
    /// server may copy between the two.
    pub(super) fn shares_server(&self, other: &Self) -> bool {
        self.url == other.url && self.pair == other.pair
    }

    /// The root as people wrote it.
    pub(super) fn root(&self) -> String {
        format!("{}/{}/{}", self.url, self.bucket, self.prefix).trim_end_matches('/').to_owned()
    }

    /// The URL below which keys lie.
    pub(super) fn bucket_url(&self) -> String {
        match (self.addressing, self.url.split_once("://")) {
            (Addressing::VirtualHost, Some((scheme, host))) => format!("{scheme}://{}.{host}", self.bucket),
            _ => format!("{}/{}", self.url, self.bucket),
        }
    }

    /// Tells whether what is sent can be neither read nor changed on its way.
    pub(super) fn is_sealed(&self) -> bool {
        self.url.starts_with("https://")
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("root", &self.root()).field("region", &self.region).finish_non_exhaustive()
    }
}

fn split(location: &str) -> Result<(String, String, String), &'static str> {
    const SHAPE: &str = "an s3 endpoint's location is `URL/BUCKET` or `URL/BUCKET/PREFIX`, with http:// or https://";
    let (scheme, rest) = location.split_once("://").ok_or(SHAPE)?;
    let (host, rest) = rest.split_once('/').ok_or(SHAPE)?;
    if !matches!(scheme, "http" | "https") || host.is_empty() {
        return Err(SHAPE);
    }
    if host.contains(['@', '?', '#']) {
        return Err("the URL has to be a host and perhaps a port: a secret is set by itself, never in the location");
    }
    let url = format!("{scheme}://{host}");
    Url::parse(&url).map_err(|_| SHAPE)?;
    let (bucket, prefix) = rest.trim_end_matches('/').split_once('/').unwrap_or((rest.trim_end_matches('/'), ""));
    if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
        return Err("the bucket's name takes letters, digits, `.`, `-` and `_`");
    }
    if prefix.is_empty() {
        return Ok((url, bucket.to_owned(), String::new()));
    }
    let odd = |segment: &str| matches!(segment, "" | "." | "..") || segment.contains(char::is_control);
    if prefix.split('/').any(odd) {
        return Err("the prefix has no empty, `.` or `..` parts and no control characters");
    }
    Ok((url, bucket.to_owned(), format!("{prefix}/")))
}

fn hostable(url: &str, bucket: &str) -> Result<(), &'static str> {
    let parsed = Url::parse(url).map_err(|_| "the URL cannot be read")?;
    if parsed.domain().is_none() {
        return Err("a bucket cannot stand before an IP address: use path addressing");
    }
    let fits = bucket.len() <= LABEL_BYTES_MAX
        && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !bucket.starts_with('-')
        && !bucket.ends_with('-');
    if fits { Ok(()) } else { Err("this bucket cannot be the label of a host: use path addressing") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(location: &str, addressing: Addressing) -> Result<Site, &'static str> {
        let (url, bucket, prefix) = split(location)?;
        if addressing == Addressing::VirtualHost {
            hostable(&url, &bucket)?;
        }
        Ok(Site { url, bucket, prefix, region: REGION_DEFAULT.to_owned(), addressing, pair: None })
    }

    #[test]
    fn a_location_is_read_or_refused_with_a_reason() {
        let table = [
            ("http://h:1/b", Ok(("http://h:1", "b", ""))),
            ("https://h/b/", Ok(("https://h", "b", ""))),
            ("https://h/b/p/q", Ok(("https://h", "b", "p/q/"))),
            ("https://h/b/p/", Ok(("https://h", "b", "p/"))),
            ("h/b", Err("an s3 endpoint")),
            ("ftp://h/b", Err("an s3 endpoint")),
            ("https://h", Err("an s3 endpoint")),
            ("https://h/", Err("the bucket's name")),
            ("https://h/b?x=1", Err("the bucket's name")),
            ("https://key:word@h/b", Err("the URL has to be a host")),
            ("https://h/b/../c", Err("the prefix")),
            ("https://h/b//c", Err("the prefix")),
        ];
        for (location, expected) in table {
            match (site(location, Addressing::Path), expected) {
                (Ok(site), Ok((url, bucket, prefix))) => {
                    assert_eq!((&*site.url, &*site.bucket, &*site.prefix), (url, bucket, prefix), "{location}");
                }
                (Err(why), Err(beginning)) => assert!(why.starts_with(beginning), "{location}: {why}"),
                (found, _) => panic!("{location}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_bucket_stands_in_the_path_or_before_the_host() {
        let path = site("https://s3.example.org:9000/lake/a", Addressing::Path).expect("valid");
        assert_eq!(path.bucket_url(), "https://s3.example.org:9000/lake");
        let host = site("https://s3.example.org:9000/lake/a", Addressing::VirtualHost).expect("valid");
        assert_eq!(host.bucket_url(), "https://lake.s3.example.org:9000");
        assert!(site("https://127.0.0.1/lake", Addressing::VirtualHost).is_err());
        assert!(site("https://s3.example.org/My.Lake", Addressing::VirtualHost).is_err());
    }

    #[test]
    fn keys_that_s3_cannot_hold_are_refused() {
        let site = site("https://h/b/p", Addressing::Path).expect("valid");
        let key = |text: &str| site.key(&StoragePath::parse(text).expect("a path"));
        assert_eq!(key("a/ü +%2E").expect("it fits"), "p/a/ü +%2E");
        assert_eq!(key(&"x".repeat(1_022)).expect("it fits").len(), 1_024);
        for bad in ["x".repeat(1_023), "a\nb".to_owned(), "a\u{7f}".to_owned()] {
            assert!(matches!(key(&bad), Err(StorageError::Outside { .. })), "{bad:?}");
        }
    }
}
