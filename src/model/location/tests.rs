//! Tables of what is read and what is refused.

use super::*;

fn s3(text: &str) -> S3Location {
    S3Location::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn webdav(text: &str) -> WebdavLocation {
    WebdavLocation::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn s3_locations_have_one_spelling() {
    let table = [
        ("https://s3.example/data", "https://s3.example", "data", ""),
        ("HTTPS://S3.Example:443/data/", "https://s3.example", "data", ""),
        ("http://127.0.0.1:9000/my.data-1/a/b", "http://127.0.0.1:9000", "my.data-1", "a/b"),
        ("http://[::1]:9000/data/a%20b/ü/", "http://[::1]:9000", "data", "a%20b/ü"),
        ("https://bücher.example/data", "https://xn--bcher-kva.example", "data", ""),
    ];
    for (text, server, bucket, prefix) in table {
        let read = s3(text);
        assert_eq!((read.server(), read.bucket(), read.prefix()), (server, bucket, prefix), "{text}");
        assert_eq!(s3(&read.to_string()), read, "{text}");
    }
    assert_eq!(s3("https://S3.example/data/a/").to_string(), "https://s3.example/data/a");
}

#[test]
fn s3_locations_that_could_mean_something_else_are_refused() {
    let table = [
        ("s3://data", InvalidLocation::NoServer),
        ("s3.example/data", InvalidLocation::NoServer),
        ("https:///data", InvalidLocation::NoServer),
        ("https://s3.example", InvalidLocation::NoBucket),
        ("https://s3.example/", InvalidLocation::NoBucket),
        ("https://s3.example//data", InvalidLocation::Segment),
        ("https://key:word@s3.example/data", InvalidLocation::Credentials),
        ("https://s3.example/data?x=1", InvalidLocation::Query),
        ("https://s3.example/data#x", InvalidLocation::Query),
        ("https://s3.example?x=1", InvalidLocation::Query),
        ("https://s3.example/data/a b", InvalidLocation::Characters),
        ("https://s3.example\\data/abc", InvalidLocation::Characters),
        ("https://s3.example/data/a\nb", InvalidLocation::Characters),
        ("https://s3.example/data/a//b", InvalidLocation::Segment),
        ("https://s3.example/data//", InvalidLocation::Segment),
        ("https://s3.example/data/../other", InvalidLocation::Segment),
        ("https://s3.example/data/./x", InvalidLocation::Segment),
    ];
    for (text, expected) in table {
        assert_eq!(S3Location::parse(text), Err(expected), "{text}");
    }
    for bucket in ["ab", "Data", "da_ta", "-data", "data-", ".data", "da..ta", "10.0.0.1", &"a".repeat(64)] {
        let error = S3Location::parse(&format!("https://s3.example/{bucket}")).expect_err(bucket);
        assert_eq!(error, InvalidLocation::Bucket { bucket: bucket.to_owned() });
    }
    let long = format!("https://s3.example/data/{}", "a".repeat(PREFIX_BYTES_MAX + 1));
    assert_eq!(S3Location::parse(&long), Err(InvalidLocation::PrefixTooLong));
    let longer = format!("https://s3.example/data/{}", "a".repeat(LOCATION_BYTES_MAX));
    assert_eq!(S3Location::parse(&longer), Err(InvalidLocation::TooLong));
    for port in ["https://s3.example:x/data", "https://s3.example:99999/data"] {
        assert!(matches!(S3Location::parse(port), Err(InvalidLocation::Host(_))), "{port}");
    }
}

#[test]
fn webdav_locations_have_one_spelling() {
    let table = [
        ("https://dav.example", "https://dav.example", ""),
        ("https://dav.example/", "https://dav.example", ""),
        ("https://dav.example:443/a/b/", "https://dav.example", "/a/b"),
        ("http://dav.example:8080/a%2db/%7Ex/ü", "http://dav.example:8080", "/a-b/~x/%C3%BC"),
        ("https://dav.example/100%25/a+b,c=d", "https://dav.example", "/100%25/a+b,c=d"),
    ];
    for (text, server, path) in table {
        let read = webdav(text);
        assert_eq!((read.server(), read.path()), (server, path), "{text}");
        assert_eq!(webdav(&read.to_string()), read, "{text}");
    }
}

#[test]
fn webdav_locations_that_could_mean_something_else_are_refused() {
    let table = [
        ("dav://dav.example/a", InvalidLocation::NoServer),
        ("https://u:p@dav.example/a", InvalidLocation::Credentials),
        ("https://dav.example/a?authz=x", InvalidLocation::Query),
        ("https://dav.example/a#b", InvalidLocation::Query),
        ("https://dav.example/a//b", InvalidLocation::Segment),
        ("https://dav.example//", InvalidLocation::Segment),
        ("https://dav.example/a/%2e%2E/b", InvalidLocation::Segment),
        ("https://dav.example/a%2Fb", InvalidLocation::Encoding),
        ("https://dav.example/a%00", InvalidLocation::Encoding),
        ("https://dav.example/100%", InvalidLocation::Encoding),
        ("https://dav.example/%fg", InvalidLocation::Encoding),
        ("https://dav.example/%ff", InvalidLocation::Encoding),
        ("https://dav.example/a b", InvalidLocation::Characters),
    ];
    for (text, expected) in table {
        assert_eq!(WebdavLocation::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn a_password_in_a_location_is_not_repeated() {
    for text in ["https://u:hunter2@s3.example/data", "https://u:hunter2@", "http://hunter2@h:x/y"] {
        for error in [S3Location::parse(text).map(drop), WebdavLocation::parse(text).map(drop)] {
            let error = error.expect_err(text);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}

#[test]
fn places_overlap_when_one_lies_within_the_other() {
    let table = [
        ("https://h/data", "https://h/data", true),
        ("https://h/data", "https://h/data/a", true),
        ("https://h/data/a/b", "https://h/data/a", true),
        ("https://h/data/a", "https://h/data/ab", false),
        ("https://h/data", "https://h/other", false),
        ("https://h/data", "https://h:8443/data", false),
        ("https://h/data", "http://h/data", true),
        ("https://h./data", "https://H:443/data", true),
        ("https://g/data", "https://h/data", false),
    ];
    for (one, other, overlap) in table {
        assert_eq!(s3(one).overlaps(&s3(other)), overlap, "{one} {other}");
        assert_eq!(s3(other).overlaps(&s3(one)), overlap, "{other} {one}");
        assert_eq!(webdav(one).overlaps(&webdav(other)), overlap, "{one} {other}");
        assert_eq!(webdav(other).overlaps(&webdav(one)), overlap, "{other} {one}");
    }
    assert!(webdav("https://h").overlaps(&webdav("https://h/a")));
    assert!(webdav("https://h/%61").overlaps(&webdav("https://h/a/b")));
}

#[test]
fn this_machine_and_encryption_are_known() {
    for (text, loopback) in [
        ("http://localhost:1/abc", true),
        ("http://127.9.9.9/abc", true),
        ("http://[::1]/abc", true),
        ("http://[::ffff:127.0.0.1]/abc", true),
        ("http://10.0.0.1/abc", false),
        ("http://localhost.example/abc", false),
    ] {
        assert_eq!((s3(text).is_loopback(), webdav(text).is_loopback()), (loopback, loopback), "{text}");
        assert!(!s3(text).is_encrypted());
    }
    assert!(s3("https://h/abc").is_encrypted() && webdav("https://h/abc").is_encrypted());
    assert_eq!(s3("https://h:9/abc/p").virtual_host().expect("a name"), "https://abc.h:9");
    assert_eq!(s3("http://h/a.bc").virtual_host().expect("no certificate has to fit"), "http://a.bc.h");
    assert_eq!(s3("https://10.0.0.1/abc").virtual_host(), Err(InvalidLocation::AddressHost));
    assert_eq!(s3("https://h/a.bc").virtual_host(), Err(InvalidLocation::DottedBucket));
}
