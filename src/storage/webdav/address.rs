//! Where things are: URLs of paths below the root collection, and paths from the hrefs of answers.
//!
//! Every segment of a path is percent-encoded but for what RFC 3986 calls unreserved. Servers
//! encode hrefs in other ways, or, as XRootD, not at all: they are read segment by segment.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;

use crate::model::location::WebdavLocation;
use crate::storage::backend::StorageError;

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a server writes names where it should percent-encode them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As it should.
    Encoded,
    /// As they are.
    Literal,
}

/// The root collection's URL, taken apart.
#[derive(Debug)]
pub(super) struct Address {
    root: Url,
    /// Scheme, host and port.
    origin: String,
    /// Segments of the root's own path, decoded.
    base: Vec<String>,
}

impl Address {
    /// Reads an endpoint's location.
    pub(super) fn parse(location: &str) -> Result<Self, StorageError> {
        let place = WebdavLocation::parse(location);
        let place = place.map_err(|error| StorageError::Misconfigured { why: error.to_string() })?;
        let root = Url::parse(&place.to_string()).expect("a location is a URL");
        let decoded = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        let base = place.path().split('/').filter(|segment| !segment.is_empty()).map(decoded).collect();
        Ok(Self { origin: place.server().to_owned(), root, base })
    }

    /// The root's URL, for people.
    pub(super) fn shown(&self) -> &str {
        self.root.as_str()
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Tells whether a URL is on the root's own server.
    pub(super) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.root.origin()
    }

    /// The URL of an object.
    pub(super) fn object(&self, path: &str) -> Url {
        self.url(path, "")
    }

    /// The URL of a collection; of the root if the path is empty.
    pub(super) fn collection(&self, path: &str) -> Url {
        self.url(path, "/")
    }

    /// The URLs of collections from the server's own root down to this one.
    pub(super) fn ancestors(&self) -> Vec<Url> {
        let levels = 1..=self.base.len();
        levels.map(|level| self.join(self.base[..level].iter().map(String::as_str), "/")).collect()
    }

    /// What stands in a Destination header.
    pub(super) fn destination(&self, path: &str, style: Style) -> Vec<u8> {
        if style == Style::Encoded {
            return self.object(path).as_str().as_bytes().to_vec();
        }
        let base = self.base.iter().fold(String::new(), |all, segment| format!("{all}/{segment}"));
        let mut destination = format!("{}{base}/{path}", self.origin).into_bytes();
        // XRootD takes trailing bytes of UTF-8 for blanks and cuts them off; a query keeps them.
        if destination.last().is_some_and(|byte| *byte == b' ' || !byte.is_ascii()) {
            destination.extend_from_slice(b"?dapple=1");
        }
        destination
    }

    /// The path below the root that an href means, empty for the root itself; `None` if it lies
    /// elsewhere or cannot be read.
    pub(super) fn below(&self, href: &str, style: Style) -> Option<String> {
        let path = match href.split_once("://") {
            Some(("http" | "https", rest)) => rest.split_once('/').map_or("", |r| r.1),
            _ => href,
        };
        let read = |segment: &str| match style {
            Style::Literal => Some(segment.to_owned()),
            Style::Encoded => {
                percent_decode_str(segment).decode_utf8().ok().map(String::from).filter(|name| !name.contains('/'))
            }
        };
        let segments: Option<Vec<_>> = path.split('/').filter(|segment| !segment.is_empty()).map(read).collect();
        let segments = segments?;
        let below = segments.strip_prefix(&self.base[..])?;
        let strange = |name: &String| matches!(name.as_str(), "." | "..") || name.contains('\0');
        if below.iter().any(strange) { None } else { Some(below.join("/")) }
    }

    fn url(&self, path: &str, end: &str) -> Url {
        let base = self.base.iter().map(String::as_str);
        self.join(base.chain(path.split('/').filter(|segment| !segment.is_empty())), end)
    }

    fn join<'a>(&self, segments: impl Iterator<Item = &'a str>, end: &str) -> Url {
        let mut text = self.origin.clone();
        for segment in segments {
            text.push('/');
            text.extend(utf8_percent_encode(segment, RESERVED));
        }
        text.push_str(end);
        Url::parse(&text).expect("an origin with an encoded path is a URL")
    }
}

/// Tells whether a path reads the same encoded and not.
pub(super) fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address::parse("http://h:81/d%20v/x/").expect("valid")
    }

    #[test]
    fn paths_become_urls_and_hrefs_become_paths() {
        let address = address();
        for name in ["a/b", "50%", "%2e%2e", "#", "?", "ü/文", "a%2Fb", "..x", " ", "&;'\"<>"] {
            let url = address.object(name);
            assert!(url.as_str().starts_with("http://h:81/d%20v/x/") && url.query().is_none(), "{url}");
            assert_eq!(address.below(url.as_str(), Style::Encoded).as_deref(), Some(name));
            assert_eq!(address.below(url.path(), Style::Encoded).as_deref(), Some(name));
            let literal = format!("/d v/x/{name}");
            assert_eq!(address.below(&literal, Style::Literal).as_deref(), Some(name));
        }
        assert_eq!(address.below("/d%20v/x", Style::Encoded).as_deref(), Some(""));
        assert_eq!(address.below("https://other/d%20v/%78/%c3%bc/", Style::Encoded).as_deref(), Some("ü"));
        for elsewhere in ["/", "/d%20v", "/d%20v/y/a", "/d%20v/x/a%2Fb", "/d%20v/x/%ff", "/d%20v/x/%2e%2e"] {
            assert_eq!(address.below(elsewhere, Style::Encoded), None, "{elsewhere}");
        }
        let all: Vec<_> = address.ancestors().iter().map(ToString::to_string).collect();
        assert_eq!(all, ["http://h:81/d%20v/", "http://h:81/d%20v/x/"]);
        assert_eq!(address.destination("a é", Style::Literal), "http://h:81/d v/x/a é?dapple=1".as_bytes());
        assert_eq!(address.destination("a é", Style::Encoded), b"http://h:81/d%20v/x/a%20%C3%A9");
    }

    #[test]
    fn locations_that_are_none_are_refused_without_being_shown() {
        for bad in ["h/x", "ftp://h/x", "http://u:secret@h/", "http://h/?secret", "http://h/#secret", "http:///x:y:z"] {
            let error = Address::parse(bad).expect_err(bad);
            assert!(matches!(error, StorageError::Misconfigured { .. }), "{error}");
            let error = error.to_string();
            assert!(!error.contains("secret@") && !error.contains("?s"), "{error}");
        }
    }
}
