//! GET and HEAD of one file: headers, ranges, conditions, names.

use futures::{StreamExt as _, stream};

use crate::gateway::world::{World, blake3_of, bytes_of, pattern, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_comes_back_as_it_was_sent_with_headers_that_say_what_it_is() {
    let (world, content) = (World::new().await, pattern(3_000_000));
    let url = world.put("run/t2m.nc", &content).await;
    assert_eq!(url.split('?').next(), Some(&*format!("{}/d/s/run/t2m.nc", world.lake.public_url)));
    let tag = format!("\"blake3-{}\"", blake3_of(&content).hex());
    for method in ["GET", "HEAD"] {
        let response = world.ask(method, &url).send().await.expect("served");
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        for (name, value) in [
            ("content-length", "3000000"),
            ("etag", &*tag),
            ("accept-ranges", "bytes"),
            ("content-type", "application/x-netcdf"),
            ("content-disposition", "attachment; filename=\"t2m.nc\""),
            ("cache-control", "private, max-age=0, must-revalidate"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-robots-tag", "noindex"),
            ("access-control-allow-origin", "*"),
            ("content-security-policy", "sandbox; default-src 'none'"),
        ] {
            assert_eq!(headers[name], value, "{method} {name}");
        }
        assert!(headers["digest"].to_str().unwrap().starts_with("blake3="));
        assert!(headers["repr-digest"].to_str().unwrap().starts_with("blake3=:"));
        assert!(headers["access-control-expose-headers"].to_str().unwrap().contains("Content-Range"));
        let body = response.bytes().await.expect("whole");
        assert!(body == if method == "GET" { &content[..] } else { &[] }, "{method}");
    }
}

#[tokio::test]
async fn pages_from_anywhere_may_ask() {
    let world = World::new().await;
    let url = world.put("a", b"abc").await;
    let response = world.ask("OPTIONS", &url).send().await.expect("served");
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(response.headers()["access-control-allow-methods"], "GET, HEAD, PUT, OPTIONS");
    assert!(response.headers()["access-control-allow-headers"].to_str().unwrap().contains("Range"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_are_slices() {
    let (world, content) = (World::new().await, pattern(2_500_001));
    let url = world.put("a.bin", &content).await;
    let length = content.len();
    // Places that repeat with the test and hit chunk borders as well as the middle of nowhere.
    let places = [0, 1, 2, 1_048_575, 1_048_576, 1_048_577, 2_097_152, 2_499_999, 2_500_000];
    let asks = (0..120_usize).map(|turn| {
        let random = |salt: usize| (turn * 7_919 + salt * 104_729) * 65_537 % length;
        let (a, b) = match turn {
            0..40 => (places[turn % 9], places[turn * 5 % 9]),
            _ => (random(1), random(2)),
        };
        (a.min(b), a.max(b))
    });
    let checks = asks.map(|(first, last)| {
        let (world, url, content) = (&world, &url, &content);
        async move {
            for (text, expected) in [
                (format!("bytes={first}-{last}"), first..last + 1),
                (format!("bytes={first}-"), first..length),
                (format!("bytes=-{}", length - first), first..length),
            ] {
                if expected.len() > 300_000 && first % 5 != 0 {
                    continue;
                }
                let response = world.get(url).header("range", &text).send().await.expect("served");
                assert_eq!(response.status(), 206, "{text}");
                let placed = format!("bytes {}-{}/{length}", expected.start, expected.end - 1);
                assert_eq!(response.headers()["content-range"], *placed);
                assert_eq!(response.headers()["content-length"], *expected.len().to_string());
                assert!(response.bytes().await.expect("whole") == content[expected], "{text}");
            }
        }
    });
    stream::iter(checks).for_each_concurrent(8, |check| check).await;
}

#[tokio::test]
async fn ranges_that_are_not_there_or_make_no_sense_are_answered_as_the_standard_says() {
    let world = World::new().await;
    let (url, empty) = (world.put("a", b"0123456789").await, world.put("empty", b"").await);
    let ask = |url: &str, range: &str| world.get(url).header("range", range);
    for range in ["bytes=10-", "bytes=10-20,30-", "bytes=-0"] {
        let response = ask(&url, range).send().await.expect("served");
        assert_eq!(response.headers()["content-range"], "bytes */10");
        assert_eq!(crate::gateway::world::problem(response).await, (416, "range-not-satisfiable".to_owned()));
    }
    for range in ["bytes=5-2", "items=0-1", "bytes=x", "bytes=0-0,2-2,x"] {
        assert_eq!(bytes_of(ask(&url, range)).await, (200, b"0123456789".to_vec()), "{range}");
    }
    let many = (0..17).map(|at| format!("{at}-{at}")).collect::<Vec<_>>().join(",");
    assert_eq!(bytes_of(ask(&url, &format!("bytes={many}"))).await.0, 200);
    assert_eq!(bytes_of(ask(&url, "bytes=1-1").header("range", "bytes=2-2")).await.0, 200);
    assert_eq!(bytes_of(ask(&url, "bytes=8-200")).await, (206, b"89".to_vec()));
    for range in ["bytes=0-", "bytes=-1"] {
        assert_eq!(bytes_of(ask(&empty, range)).await, (200, vec![]), "{range} of nothing");
    }
    assert_eq!(bytes_of(world.get(&empty)).await, (200, vec![]));
    // RFC 9110: a range on HEAD means nothing.
    let head = world.ask("HEAD", &url).header("range", "bytes=1-2").send().await.expect("served");
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"10".parse().unwrap()));
}

#[tokio::test]
async fn several_ranges_come_as_parts() {
    let (world, content) = (World::new().await, pattern(1_500_000));
    let url = world.put("a.tif", &content).await;
    let asked = "bytes=1200000-1299999,0-9,5-19,-7";
    let response = world.get(&url).header("range", asked).send().await.expect("served");
    assert_eq!(response.status(), 206);
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("parts").to_owned();
    let promised: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let body = response.bytes().await.expect("whole").to_vec();
    assert_eq!(body.len(), promised);
    let mut found = Vec::new();
    let mut rest = &body[..];
    loop {
        rest = rest.strip_prefix(format!("\r\n--{boundary}").as_bytes()).expect("a boundary");
        if rest == b"--\r\n" {
            break;
        }
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&rest[2..end]).expect("text");
        assert!(head.contains("Content-Type: image/tiff"), "{head}");
        let placed = head.split("Content-Range: bytes ").nth(1).expect("placed");
        let (first, last) = placed.strip_suffix("/1500000").unwrap().split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let part = &rest[end + 4..][..=last - first];
        assert!(part == &content[first..=last]);
        found.push((first, last));
        rest = &rest[end + 4 + part.len()..];
    }
    assert_eq!(found, [(1_200_000, 1_299_999), (0, 19), (1_499_993, 1_499_999)]);
}

#[tokio::test]
async fn conditions_hold_for_the_same_bytes_only() {
    let world = World::new().await;
    let url = world.put("a", b"0123456789").await;
    let tag = format!("\"blake3-{}\"", blake3_of(b"0123456789").hex());
    let (weak, other) = (format!("W/{tag}"), "\"blake3-00\"".to_owned());
    for method in ["GET", "HEAD"] {
        let response = world.ask(method, &url).header("if-none-match", &weak).send().await.expect("served");
        assert_eq!((response.status().as_u16(), &response.headers()["etag"]), (304, &tag.parse().unwrap()));
        assert_ne!(response.headers().get("content-length"), Some(&"0".parse().unwrap()));
        assert!(response.bytes().await.expect("nothing").is_empty());
        let response = world.ask(method, &url).header("if-match", &other).send().await.expect("served");
        assert_eq!(response.status(), 412);
    }
    let get = |name: &'static str, value: &str| world.get(&url).header(name, value);
    assert_eq!(refusal(get("if-match", &weak)).await, (412, "precondition-failed".to_owned()));
    assert_eq!(bytes_of(get("if-match", &tag)).await.0, 200);
    assert_eq!(bytes_of(get("if-none-match", &other)).await.0, 200);
    let range = |condition: &str| get("if-range", condition).header("range", "bytes=2-3");
    assert_eq!(bytes_of(range(&tag)).await, (206, b"23".to_vec()));
    for stale in [&weak, &other, "Wed, 21 Oct 2026 07:28:00 GMT"] {
        assert_eq!(bytes_of(range(stale)).await.0, 200, "{stale}");
    }
    assert_eq!(bytes_of(range(&tag).header("if-none-match", &tag)).await.0, 304);
}

#[tokio::test]
async fn odd_names_are_names() {
    let world = World::new().await;
    for name in [
        "with space.nc",
        "ünï/цветы 花.nc",
        "100%",
        "%41",
        "%2e%2e",
        "a+b",
        "a#b",
        "a?b=c&grant=x",
        "a&b;c=d",
        "a\"b'c",
        "/rooted//twice/",
        "a\\b",
        "~",
        "a:b@c",
        "<script>alert(1)</script>",
        "..%2f..",
        "-rf",
        "{*x}",
    ] {
        let content = name.as_bytes();
        let url = world.put(name, content).await;
        let response = world.get(&url).send().await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(response.status(), 200, "{name}");
        assert!(response.headers().contains_key("content-disposition"));
        assert_eq!(response.bytes().await.expect("whole"), content, "{name}");
        assert!(!url.split('?').next().unwrap().contains([' ', '"', '<', '#']), "{url}");
    }
}

#[tokio::test]
async fn dots_in_a_name_are_not_walked() {
    let world = World::new().await;
    let (up, plain) = (world.put_raw("a/../b", "up").await, world.put("b", b"plain").await);
    let query = |url: &str| url.split_once('?').expect("a grant").1.to_owned();
    // Decoded once, and as it was sent.
    let answer = world.raw(&format!("GET /d/s/a/../b?{}", query(&up)), "").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nup"), "{answer}");
    let answer = world.raw(&format!("GET /d/s/a/../b?{}", query(&plain)), "").await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("grant-out-of-scope"), "{answer}");
    let answer = world.raw(&format!("GET /d/s//b?{}", query(&plain)), "").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "`/b` is not `b`: {answer}");
    let answer = world.raw(&format!("GET /d/s/../../etc/passwd?{}", query(&plain)), "").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let answer = world.raw(&format!("GET /d/s/%2562?{}", query(&plain)), "").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "decoded once: {answer}");
    let answer = world.raw(&format!("GET /d/s/%62?{}", query(&plain)), "").await;
    assert!(answer.ends_with("\r\n\r\nplain"), "{answer}");
}

#[tokio::test]
async fn a_name_cannot_write_headers() {
    let world = World::new().await;
    for name in ["x\"; filename=evil.sh; y=\".nc", "..", "a/..", "\u{202e}gnp.exe", "a;b.nc"] {
        let target = world.put_raw(name, "abc").await;
        let answer = world.raw(&format!("HEAD {target}"), "").await;
        let line = answer.lines().find(|line| line.starts_with("content-disposition")).expect("there");
        let plain = line.split("filename=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("quoted");
        assert!(!plain.contains(['/', '\\', ';', '\u{202e}']) && plain != "..", "{line}");
        assert!(line.is_ascii() && line.matches("filename=\"").count() == 1, "{line}");
        let extended = line.split("filename*=UTF-8''").nth(1).unwrap_or_default();
        assert!(!extended.contains([';', '"', ' ', '/']), "{line}");
    }
}
