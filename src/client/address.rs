//! Addresses: how names become parts of URLs without changing what they mean.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::client::error::ClientError;
use crate::model::did::{Did, DidName};

/// All that RFC 3986 does not call unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One segment of a path, or one value of a query.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A DID's name as it stands in a path: percent-encoded segment by segment.
///
/// URL parsers resolve `.` and `..` even when they are written `%2E`, so a name that has such a
/// segment keeps it away from them by encoding the slashes too. A name that is nothing else cannot
/// be addressed.
pub fn encode_name(name: &DidName) -> Result<String, ClientError> {
    let is_dots = |part: &str| matches!(part, "." | "..");
    let text = name.as_str();
    if is_dots(text) {
        return Err(ClientError::NotAddressable { name: text.to_owned() });
    }
    if text.split('/').any(is_dots) {
        return Ok(segment(text));
    }
    let parts: Vec<String> = text.split('/').map(segment).collect();
    Ok(parts.join("/"))
}

/// The URL of one file below the signed URL of its dataset.
pub fn file_url(base: &str, name: &DidName) -> Result<String, ClientError> {
    let slash = if base.ends_with('/') { "" } else { "/" };
    Ok(format!("{base}{slash}{}", encode_name(name)?))
}

pub(crate) fn did_path(list: &str, did: &Did) -> Result<String, ClientError> {
    Ok(format!("{list}/{}/{}", did.scope, encode_name(&did.name)?))
}

/// The query of what is wanted, with its question mark; empty if nothing is.
pub(crate) fn query(wanted: &[(&str, Option<&str>)]) -> String {
    let pairs: Vec<String> =
        wanted.iter().filter_map(|(key, value)| value.map(|value| format!("{key}={}", segment(value)))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Checks the address of a server and drops slashes at its end.
pub(crate) fn base(url: &str) -> Result<String, ClientError> {
    let invalid = |detail: &str| ClientError::BaseUrl { url: url.to_owned(), detail: detail.to_owned() };
    let parsed = reqwest::Url::parse(url).map_err(|e| invalid(&e.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(invalid("it begins with neither http:// nor https://"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(invalid("it must end with its path"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DidName {
        DidName::parse(text).expect("a name")
    }

    #[test]
    fn names_are_encoded_segment_by_segment() {
        let table = [
            ("a/b.nc", "a/b.nc"),
            ("a b+c", "a%20b%2Bc"),
            ("50%", "50%25"),
            ("%2F", "%252F"),
            ("a#b?c&d", "a%23b%3Fc%26d"),
            ("ü/ñ", "%C3%BC/%C3%B1"),
            ("a:b", "a%3Ab"),
            ("/store//x", "/store//x"),
            ("a\\b", "a%5Cb"),
            ("a/../b", "a%2F..%2Fb"),
            ("./x", ".%2Fx"),
            ("..x/.y", "..x/.y"),
        ];
        for (text, encoded) in table {
            assert_eq!(encode_name(&name(text)).expect("addressable"), encoded, "{text}");
        }
        for text in [".", ".."] {
            assert!(encode_name(&name(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_url_parser_makes_of_a_name_is_the_name() {
        for text in ["a/../b", "../../etc", "a//b", "/x", "x/.", "%2e%2e/a", "ü ?#", "a/.%2e/b"] {
            let url = format!("http://h/{}", encode_name(&name(text)).expect("addressable"));
            let parsed = reqwest::Url::parse(&url).expect("a URL");
            let decoded = percent_encoding::percent_decode_str(&parsed.path()[1..]).decode_utf8().expect("UTF-8");
            assert_eq!(decoded, text);
        }
    }

    #[test]
    fn a_base_keeps_its_path_and_loses_its_slash() {
        assert_eq!(base("http://h:1/lake/").expect("good"), "http://h:1/lake");
        assert_eq!(base("https://h").expect("good"), "https://h");
        for bad in ["h:1", "ftp://h", "http://h/?q=1", ""] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn queries_hold_what_is_wanted() {
        assert_eq!(query(&[("a", None)]), "");
        assert_eq!(query(&[("a", Some("x y&z")), ("b", None), ("c", Some("1"))]), "?a=x%20y%26z&c=1");
    }
}
