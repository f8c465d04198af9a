//! What the parser takes, and what it refuses.

use futures::{FutureExt, stream};

use super::*;
use crate::fault::Fault as _;

fn read_text(text: &str) -> Result<Vec<Said>, StorageError> {
    read_pieces(text.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect())
}

fn read_pieces(pieces: Vec<Bytes>) -> Result<Vec<Said>, StorageError> {
    let stream = stream::iter(pieces.into_iter().map(Ok)).boxed();
    let mut all = Vec::new();
    let mut each = |said| {
        all.push(said);
        Ok(())
    };
    let source = Source { stream, chunk: Bytes::new(), taken: 0 };
    parse("a", source, &mut each).now_or_never().expect("nothing in it waits")?;
    Ok(all)
}

fn object(href: &str, length: u64) -> Said {
    Said { href: href.to_owned(), status: None, facts: Facts { length: Some(length), ..Facts::default() } }
}

#[test]
fn what_servers_answer_is_understood() {
    let apache = r#"<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:ns0="DAV:">
<D:response xmlns:lp1="DAV:" xmlns:g0="DAV:">
<D:href>/open/r/</D:href>
<D:propstat><D:prop><lp1:resourcetype><D:collection/></lp1:resourcetype></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat>
<D:propstat><D:prop><g0:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>
</D:response>
<D:response><D:href>/open/r/;&amp;%7c</D:href>
<D:propstat><D:prop><lp1:resourcetype/><lp1:getcontentlength>11</lp1:getcontentlength></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"#;
    let said = read_text(apache).expect("understood");
    assert_eq!((said[0].href.as_str(), said[0].facts.is_collection, said[0].facts.length), ("/open/r/", true, None));
    assert_eq!(said[1..], [object("/open/r/;&%7c", 11)]);

    let bare = "<multistatus><response><href>/a &#65;&lt;<![CDATA[<&]]> </href><propstat><prop>\
        <getcontentlength> 7 </getcontentlength></prop></propstat></response></multistatus>";
    assert_eq!(read_text(bare).expect("understood"), [object("/a A<<& ", 7)]);

    let gone = "<m:multistatus xmlns:m='DAV:'><m:response><m:href>/a</m:href><m:status>HTTP/1.1 423 Locked</m:status>\
        </m:response></m:multistatus>";
    assert_eq!(read_text(gone).expect("understood")[0].status, Some(423));
}

#[test]
fn facts_of_a_status_that_is_none_do_not_hold() {
    let text = "<multistatus><response><href>/a</href><propstat><prop><getcontentlength>7</getcontentlength>\
        <resourcetype><collection/></resourcetype><quota-used-bytes>1</quota-used-bytes></prop>\
        <status>HTTP/1.1 403 Forbidden</status></propstat></response></multistatus>";
    assert_eq!(read_text(text).expect("understood")[0].facts, Facts::default());
}

#[test]
fn bombs_and_nonsense_are_refused() {
    let lol = "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;&lol;\">]>\
        <multistatus><response><href>&lol2;</href></response></multistatus>";
    let deep = format!("<multistatus>{}", "<a>".repeat(40));
    let long = format!("<multistatus><response><href>{}", "x".repeat(70_000));
    let table = [
        (lol, "document type"),
        ("<multistatus><response><href>&own;</href></response></multistatus>", "entity `own`"),
        (&deep, "more than 32 levels"),
        (&long, "a text has more than"),
        ("<html><body>hello</body></html>", "begins with `html`"),
        ("", "no whole multistatus"),
        ("no XML at all", "no whole multistatus"),
        ("<multistatus><response></multistatus>", "makes no sense"),
        ("<multistatus><response>", "no whole multistatus"),
    ];
    for (text, expected) in table {
        let error = read_text(text).expect_err(expected);
        assert_eq!(error.code(), "storage-faulty");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let comment = Bytes::from(vec![b' '; 1 << 20]);
    let endless = [Bytes::from_static(b"<multistatus><a>")].into_iter().chain((0..65).map(|_| comment.clone()));
    let error = read_pieces(endless.collect()).expect_err("too much");
    assert_eq!(error.code(), "storage-faulty");
}
