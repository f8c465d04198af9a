//! What a file's answer says about it: length, tags, digests, type, name. All of it is from the
//! catalog, none from a storage.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::checksum::{Algorithm, Checksum};
use crate::model::media::{self, Media};
use crate::service::urls::Opened;
use crate::storage::backend::ByteRange;

/// What every answer of the gateway says.
pub(super) const MANNERS: [(HeaderName, &str); 5] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, Digest, ETag, Repr-Digest, X-Request-Id",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];

/// What may stand in an extended parameter as it is (RFC 8187, attr-char).
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The tags that a file goes by, with their quotes, the one that is sent first. All are accepted: a
/// checksum that becomes known later must not spoil a download that is half done.
pub(super) fn tags(opened: &Opened) -> Vec<String> {
    strongest_first(&opened.checksums)
        .iter()
        .map(|checksum| format!("\"{}-{}\"", checksum.algorithm().name(), checksum.hex()))
        .collect()
}

fn strongest_first(checksums: &[Checksum]) -> Vec<&Checksum> {
    let mut sorted: Vec<_> = checksums.iter().collect();
    sorted.sort_by_key(|checksum| checksum.algorithm());
    sorted
}

/// What the answers to GET and HEAD have in common.
pub(super) fn of(opened: &Opened) -> HeaderMap {
    let media = media_of(opened);
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=0, must-revalidate"));
    // The bytes are somebody's, the address is the lake's: nothing in them may act in its name.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(header::CONTENT_DISPOSITION, value(&disposition(media, opened.did.name.file_name())));
    if let Some(tag) = tags(opened).first() {
        headers.insert(header::ETAG, value(tag));
    }
    let sorted = strongest_first(&opened.checksums);
    for (name, text) in [("digest", digest(&sorted)), ("repr-digest", repr_digest(&sorted))] {
        if !text.is_empty() {
            headers.insert(HeaderName::from_static(name), value(&text));
        }
    }
    headers
}

/// The type of a file's content.
pub(super) fn media_of(opened: &Opened) -> Media {
    media::of(opened.did.name.file_name())
}

/// A header that was put together from parts that fit.
pub(super) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("made of visible ASCII characters")
}

/// `Content-Range` of a range that is sent.
pub(super) fn content_range(range: ByteRange, bytes: u64) -> String {
    format!("bytes {}-{}/{bytes}", range.start, range.end - 1)
}

/// `Digest` (RFC 3230): of the whole file, whichever part is sent.
fn digest(checksums: &[&Checksum]) -> String {
    let one = |checksum: &&Checksum| match checksum.algorithm() {
        Algorithm::Blake3 => format!("blake3={}", base64(checksum.bytes())),
        Algorithm::Sha256 => format!("sha-256={}", base64(checksum.bytes())),
        Algorithm::Md5 => format!("md5={}", base64(checksum.bytes())),
        Algorithm::Adler32 => format!("adler32={}", checksum.hex()),
        // XRootD, which is asked for it most, gives it in base64.
        Algorithm::Crc32c => format!("crc32c={}", base64(checksum.bytes())),
    };
    checksums.iter().map(one).collect::<Vec<_>>().join(",")
}

/// `Repr-Digest` (RFC 9530), which has no room for algorithms that can be broken.
fn repr_digest(checksums: &[&Checksum]) -> String {
    let one = |checksum: &&Checksum| match checksum.algorithm() {
        Algorithm::Blake3 => Some(format!("blake3=:{}:", base64(checksum.bytes()))),
        Algorithm::Sha256 => Some(format!("sha-256=:{}:", base64(checksum.bytes()))),
        Algorithm::Md5 | Algorithm::Adler32 | Algorithm::Crc32c => None,
    };
    checksums.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

/// `Content-Disposition` (RFC 6266): a plain name for all, and the true one where it differs.
fn disposition(media: Media, file_name: &str) -> String {
    let name = harmless(file_name);
    let ascii: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || " !#$&()+,-.=@[]^_`{}~".contains(c) { c } else { '_' })
        .collect();
    let kind = if media.shown { "inline" } else { "attachment" };
    let mut text = format!("{kind}; filename=\"{ascii}\"");
    if ascii != name {
        text.push_str("; filename*=UTF-8''");
        text.extend(utf8_percent_encode(&name, ATTR_CHAR));
    }
    text
}

/// A name under which nothing leaves the directory it is saved in, or looks like what it is not:
/// no separators, no text that runs backwards, and more than dots.
fn harmless(file_name: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '/' | '\\' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || c == '\u{feff}'
    };
    let name: String = file_name.chars().map(|c| if harmful(c) { '_' } else { c }).collect();
    if name.chars().all(|c| c == '.' || c == ' ') { "file".to_owned() } else { name }
}

/// Base64 with padding, as digests are written.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let known = digit <= group.len();
            let at = (bits >> (18 - 6 * digit)) & 63;
            text.push(if known { char::from(DIGITS[at as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::DidId;
    use crate::model::time::Timestamp;
    use crate::policy::grant::Mode;

    fn opened(did: &str, checksums: &[&str]) -> Opened {
        Opened {
            places: None,
            id: DidId(1),
            did: did.parse().expect("valid"),
            bytes: 3,
            checksums: checksums.iter().map(|text| text.parse().expect("valid")).collect(),
            from: None,
            mode: Mode::Stream,
            expires_at: Timestamp::default(),
        }
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn checksums_become_tags_and_digests_strongest_first() {
        let sha = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let file = opened("s:a.nc", &["adler32:024d0127", "md5:900150983cd24fb0d6963f7d28e17f72", sha]);
        assert_eq!(tags(&file)[0], format!("\"sha256-{}\"", &sha[7..]));
        assert_eq!(tags(&file)[2], "\"adler32-024d0127\"");
        let headers = of(&file);
        assert_eq!(
            headers["digest"],
            "sha-256=ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=,md5=kAFQmDzST7DWlj99KOF/cg==,adler32=024d0127"
        );
        assert_eq!(headers["repr-digest"], "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:");
        let bare = of(&opened("s:a", &[]));
        assert!(!bare.contains_key("etag") && !bare.contains_key("digest") && !bare.contains_key("repr-digest"));
    }

    #[test]
    fn hostile_names_are_harmless() {
        for (name, expected) in [
            ("a/b/t2m.nc", "attachment; filename=\"t2m.nc\""),
            ("a b.txt", "inline; filename=\"a b.txt\""),
            ("a\".nc", "attachment; filename=\"a_.nc\"; filename*=UTF-8''a%22.nc"),
            ("a\\b.nc", "attachment; filename=\"a_b.nc\""),
            ("100%41.nc", "attachment; filename=\"100_41.nc\"; filename*=UTF-8''100%2541.nc"),
            ("ü.nc", "attachment; filename=\"_.nc\"; filename*=UTF-8''%C3%BC.nc"),
            (
                "x;filename=evil.sh",
                "attachment; filename=\"x_filename=evil.sh\"; filename*=UTF-8''x%3Bfilename%3Devil.sh",
            ),
            ("..", "attachment; filename=\"file\""),
            ("a/..", "attachment; filename=\"file\""),
            ("///", "attachment; filename=\"___\""),
            ("ab\u{202e}fdp.exe", "attachment; filename=\"ab_fdp.exe\""),
            ("a.html", "attachment; filename=\"a.html\""),
        ] {
            let headers = of(&opened(&format!("s:{name}"), &[]));
            assert_eq!(headers["content-disposition"], expected, "{name}");
        }
    }
}
