//! Whether a request's conditions hold (RFC 9110, section 13). Pure. Bytes behind a DID never
//! change, so a file is known by the tags of its checksums; dates are never sent, and conditions on
//! dates not looked at.

use axum::http::{HeaderMap, HeaderName, header};

/// What a request's conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer it.
    Serve,
    /// The caller has these bytes already.
    NotModified,
    /// These are not the bytes that the caller expects.
    Failed,
}

/// Judges `If-Match` and `If-None-Match` for a file that goes by any of `tags`.
pub(super) fn judge(headers: &HeaderMap, tags: &[String]) -> Verdict {
    if let Some(expected) = list(headers, &header::IF_MATCH)
        && !expected.any
        && !expected.tags.iter().any(|tag| !tag.weak && tags.contains(&tag.text))
    {
        return Verdict::Failed;
    }
    if let Some(known) = list(headers, &header::IF_NONE_MATCH)
        && (known.any || known.tags.iter().any(|tag| tags.contains(&tag.text)))
    {
        return Verdict::NotModified;
    }
    Verdict::Serve
}

/// Whether `Range` applies: there is no `If-Range`, or it names this file.
pub(super) fn range_applies(headers: &HeaderMap, tags: &[String]) -> bool {
    list(headers, &header::IF_RANGE).is_none_or(|expected| {
        // Exactly one strong tag. What is left is a date or cannot be read, and matches nothing.
        matches!(&expected.tags[..], [tag] if !tag.weak && tags.contains(&tag.text))
    })
}

/// A list of tags as a header has them.
#[derive(Debug, Default, PartialEq, Eq)]
struct List {
    /// It is `*`.
    any: bool,
    tags: Vec<Tag>,
}

#[derive(Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// With its quotes.
    text: String,
}

/// The tags of a header, `None` if it is not there. What cannot be read ends the list.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<List> {
    headers.contains_key(name).then(|| {
        let mut list = List::default();
        for value in headers.get_all(name) {
            let text = value.to_str().unwrap_or_default();
            list.any |= text.trim() == "*";
            read_tags(text, &mut list.tags);
        }
        list
    })
}

fn read_tags(mut text: &str, tags: &mut Vec<Tag>) {
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        let (weak, rest) = text.strip_prefix("W/").map_or((false, text), |rest| (true, rest));
        let Some(end) = rest.strip_prefix('"').and_then(|inside| inside.find('"')) else {
            return;
        };
        let (tag, after) = rest.split_at(end + 2);
        tags.push(Tag { weak, text: tag.to_owned() });
        text = after;
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn tags() -> [String; 2] {
        ["\"blake3-ab\"".to_owned(), "\"md5-cd\"".to_owned()]
    }

    #[test]
    fn tags_are_compared_strongly_for_if_match_and_weakly_for_if_none_match() {
        let (wanted, known) = (header::IF_MATCH, header::IF_NONE_MATCH);
        let table = [
            (&wanted, "\"blake3-ab\"", Verdict::Serve),
            (&wanted, "\"x\", \"md5-cd\"", Verdict::Serve),
            (&wanted, "*", Verdict::Serve),
            (&wanted, "W/\"blake3-ab\"", Verdict::Failed),
            (&wanted, "\"x\"", Verdict::Failed),
            (&wanted, "blake3-ab", Verdict::Failed),
            (&wanted, "", Verdict::Failed),
            (&known, "\"blake3-ab\"", Verdict::NotModified),
            (&known, "W/\"blake3-ab\"", Verdict::NotModified),
            (&known, "\"x\",,W/\"y,z\" , \"md5-cd\"", Verdict::NotModified),
            (&known, "*", Verdict::NotModified),
            (&known, "\"x\"", Verdict::Serve),
            (&known, "\"blake3-ab", Verdict::Serve),
            (&known, "", Verdict::Serve),
        ];
        for (name, value, expected) in table {
            assert_eq!(judge(&headers(&[(name.clone(), value)]), &tags()), expected, "{name}: {value}");
        }
        let both = headers(&[(wanted, "\"x\""), (known, "\"blake3-ab\"")]);
        assert_eq!(judge(&both, &tags()), Verdict::Failed, "If-Match comes first");
        let lines = headers(&[(header::IF_NONE_MATCH, "\"x\""), (header::IF_NONE_MATCH, "\"blake3-ab\"")]);
        assert_eq!(judge(&lines, &tags()), Verdict::NotModified, "lines are one list");
    }

    #[test]
    fn a_range_applies_to_the_same_bytes_only() {
        let applies = |value| range_applies(&headers(&[(header::IF_RANGE, value)]), &tags());
        assert!(range_applies(&HeaderMap::new(), &tags()));
        assert!(applies("\"blake3-ab\"") && applies("\"md5-cd\""));
        for value in ["W/\"blake3-ab\"", "\"x\"", "*", "", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert!(!applies(value), "{value}");
        }
    }
}
