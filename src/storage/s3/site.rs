//! Where a bucket is and who asks for it: an endpoint's location, settings and secret, read once.
//!
//! Promises that what it hands out is fit for both clients: a URL without a path, a bucket, a prefix
//! that ends with `/`, and keys that S3 can hold. Never prints a secret.

use std::fmt;

use crate::model::endpoint::{Addressing, Endpoint};
use crate::model::location::{InvalidLocation, S3Location};
use crate::storage::backend::StorageError;
use crate::storage::layout::StoragePath;
use crate::storage::secret::Secret;

/// The region of requests to stores that know none.
pub(super) const REGION_DEFAULT: &str = "us-east-1";
/// The most bytes that S3 allows a key.
const KEY_BYTES_MAX: usize = 1_024;

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
    /// The URL below which keys lie.
    pub(super) bucket_url: String,
    /// Empty, or ends with `/`.
    pub(super) prefix: String,
    pub(super) region: String,
    pub(super) addressing: Addressing,
    /// `None` asks without a name.
    pub(super) pair: Option<Pair>,
    sealed: bool,
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
        let misplaced = |error: InvalidLocation| StorageError::Misconfigured { why: error.to_string() };
        let place = S3Location::parse(&endpoint.location).map_err(misplaced)?;
        let bucket_url = match addressing {
            Addressing::Path => format!("{}/{}", place.server(), place.bucket()),
            Addressing::VirtualHost => place.virtual_host().map_err(misplaced)?,
        };
        let prefix = if place.prefix().is_empty() { String::new() } else { format!("{}/", place.prefix()) };
        let region = endpoint.settings.region.clone().unwrap_or_else(|| REGION_DEFAULT.to_owned());
        Ok(Self {
            url: place.server().to_owned(),
            bucket: place.bucket().to_owned(),
            bucket_url,
            prefix,
            region,
            addressing,
            pair,
            sealed: place.is_encrypted(),
        })
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

    /// Tells whether what is sent can be neither read nor changed on its way.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("root", &self.root()).field("region", &self.region).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::endpoint::{EndpointKind, EndpointName, Settings};
    use crate::model::id::EndpointId;
    use crate::model::time::Timestamp;

    fn site(location: &str, addressing: Addressing) -> Result<Site, StorageError> {
        let endpoint = Endpoint {
            id: EndpointId(1),
            name: EndpointName::parse("x").expect("valid"),
            kind: EndpointKind::S3,
            location: location.to_owned(),
            settings: Settings { addressing, ..Settings::default() },
            secret: None,
            probe: None,
            attributes: BTreeMap::new(),
            created_at: Timestamp::from_millis(0),
        };
        Site::of(&endpoint, None)
    }

    #[test]
    fn a_location_is_read_or_refused_without_showing_a_secret() {
        let table = [
            ("http://h:1/bkt", "http://h:1", ""),
            ("https://h/bkt/", "https://h", ""),
            ("https://h/bkt/p/q", "https://h", "p/q/"),
            ("https://h/bkt/p/", "https://h", "p/"),
        ];
        for (location, url, prefix) in table {
            let site = site(location, Addressing::Path).expect("valid");
            assert_eq!((&*site.url, &*site.bucket, &*site.prefix), (url, "bkt", prefix), "{location}");
        }
        let error = site("https://key:word@h/bkt", Addressing::Path).expect_err("a secret is in it");
        assert!(matches!(&error, StorageError::Misconfigured { why } if !why.contains("word@")), "{error}");
    }

    #[test]
    fn a_bucket_stands_in_the_path_or_before_the_host() {
        let path = site("https://s3.example.org:9000/lake/a", Addressing::Path).expect("valid");
        assert_eq!(path.bucket_url, "https://s3.example.org:9000/lake");
        let host = site("https://s3.example.org:9000/lake/a", Addressing::VirtualHost).expect("valid");
        assert_eq!(host.bucket_url, "https://lake.s3.example.org:9000");
        let dotted = site("http://s3.example.org/my.lake", Addressing::VirtualHost).expect("no certificate has to fit");
        assert_eq!(dotted.bucket_url, "http://my.lake.s3.example.org");
        for bad in ["https://127.0.0.1/lake", "https://s3.example.org/my.lake"] {
            assert!(matches!(site(bad, Addressing::VirtualHost), Err(StorageError::Misconfigured { .. })), "{bad}");
        }
    }

    #[test]
    fn keys_that_s3_cannot_hold_are_refused() {
        let site = site("https://h/bkt/p", Addressing::Path).expect("valid");
        let key = |text: &str| site.key(&StoragePath::parse(text).expect("a path"));
        assert_eq!(key("a/ü +%2E").expect("it fits"), "p/a/ü +%2E");
        assert_eq!(key(&"x".repeat(1_022)).expect("it fits").len(), 1_024);
        for bad in ["x".repeat(1_023), "a\nb".to_owned(), "a\u{7f}".to_owned()] {
            assert!(matches!(key(&bad), Err(StorageError::Outside { .. })), "{bad:?}");
        }
    }
}
