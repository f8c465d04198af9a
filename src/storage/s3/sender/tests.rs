//! Patience, against a small server that answers what it is told to.

use std::pin::Pin;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::model::endpoint::{Endpoint, EndpointKind, EndpointName, Settings};
use crate::model::id::{EndpointId, IntentId};
use crate::model::probe::{Feature, Finding, Probe};
use crate::model::time::Timestamp;
use crate::storage::backend::{ByteRange, Overwrite, StorageError};
use crate::storage::layout::StoragePath;
use crate::storage::patience::{ATTEMPTS_MAX, PAUSE_MAX};
use crate::storage::s3::bucket::Bucket;
use crate::storage::s3::site::Site;
use crate::storage::s3::{leftover, object, publish, read, root, stage};
use crate::storage::secret::Secret;

/// A clock that passes time only when it is told to, and notes for how long it was asked to wait.
struct Noting {
    pauses: Mutex<Vec<Duration>>,
    deadlines: Mutex<Vec<Duration>>,
    passed: Mutex<Duration>,
    deadlines_come: std::sync::atomic::AtomicBool,
    system: SharedClock,
}

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600_000;

impl Clock for Noting {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW)
    }

    fn monotonic(&self) -> Duration {
        *self.passed.lock().expect("no panic")
    }

    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // Deadlines come when they are told to; pauses are over at once.
        if pause >= ANSWER_SPAN_MAX {
            self.deadlines.lock().expect("no panic").push(pause);
            let come = self.deadlines_come.load(std::sync::atomic::Ordering::SeqCst);
            return if come { Box::pin(std::future::ready(())) } else { Box::pin(futures::future::pending()) };
        }
        self.pauses.lock().expect("no panic").push(pause);
        Box::pin(std::future::ready(()))
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.system.fill(bytes);
    }
}

struct World {
    bucket: Bucket,
    clock: std::sync::Arc<Noting>,
    requests: std::sync::Arc<Mutex<Vec<String>>>,
}

/// A bucket of a server that gives these answers, one after the other, and then the last again.
async fn world(answers: &'static [&'static str]) -> World {
    world_that(&[], answers).await
}

/// The same, of a server that was seen to do something.
async fn world_that(does: &[Feature], answers: &'static [&'static str]) -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}/bkt", listener.local_addr().expect("it is bound"));
    let requests = std::sync::Arc::new(Mutex::new(Vec::new()));
    let noted = requests.clone();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = vec![0; 65_536];
            let length = stream.read(&mut request).await.expect("a request");
            noted.lock().expect("no panic").push(String::from_utf8_lossy(&request[..length]).into_owned());
            let answer = answers[number.min(answers.len() - 1)];
            stream.write_all(answer.as_bytes()).await.expect("it listens");
            stream.shutdown().await.expect("it is open");
        }
    });
    let clock = std::sync::Arc::new(Noting {
        pauses: Mutex::default(),
        deadlines: Mutex::default(),
        passed: Mutex::default(),
        deadlines_come: false.into(),
        system: SystemClock::shared(),
    });
    let endpoint = Endpoint {
        id: EndpointId(1),
        name: EndpointName::parse("x").expect("valid"),
        kind: EndpointKind::S3,
        location: url,
        settings: Settings::default(),
        secret: None,
        probe: None,
        attributes: std::collections::BTreeMap::new(),
        created_at: Timestamp::from_millis(0),
    };
    let secret = Secret::parse("key:not-to-be-shown").expect("a pair");
    let site = Site::of(&endpoint, Some(secret)).expect("valid");
    let findings = does.iter().map(|feature| Finding { feature: *feature, holds: true, seen: String::new() });
    let probe = Probe { at: Timestamp::from_millis(0), findings: findings.collect() };
    let bucket = Bucket::open(site, &Trust::default(), Some(probe), clock.clone()).expect("it opens");
    World { bucket, clock, requests }
}

impl World {
    fn pauses(&self) -> Vec<Duration> {
        std::mem::take(&mut self.clock.pauses.lock().expect("no panic"))
    }

    /// Methods and paths of the requests.
    fn begins(&self) -> Vec<String> {
        let requests = self.requests.lock().expect("no panic");
        requests.iter().map(|all| all.split(['?', '\r']).next().unwrap_or_default().replace(" HTTP/1.1", "")).collect()
    }

    fn requests(&self) -> usize {
        self.requests.lock().expect("no panic").len()
    }
}

fn path() -> StoragePath {
    StoragePath::parse("a").expect("valid")
}

const FOUND: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\netag: \"e\"\r\nconnection: close\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Slow Down\r\nretry-after: 7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

const NONE: &str = "HTTP/1.1 501 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BEGUN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 118\r\nconnection: close\r\n\r\n<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>a</Key><UploadId>u</UploadId></InitiateMultipartUploadResult>    ";

/// Stages one byte as an upload: no memory is left for it.
async fn stage_upload(world: &World) {
    let _full = world.bucket.desk.holding.fill();
    let content = futures::StreamExt::boxed(futures::stream::iter([Ok(bytes::Bytes::from_static(b"x"))]));
    stage::stage(&world.bucket, &path(), IntentId(1), 1, content).await.expect("it has a part");
}

#[tokio::test]
async fn retry_after_is_obeyed_by_both_clients() {
    let world = self::world(&[BUSY, FOUND]).await;
    assert_eq!(object::stat(&world.bucket, &path()).await.expect("the second time").bytes, 5);
    assert_eq!((asked(&world), world.requests()), (Some(7), 2));

    let world = self::world(&[BUSY, FOUND]).await;
    assert!(read::read(&world.bucket, &path(), None).await.is_ok());
    assert_eq!((asked(&world), world.requests()), (Some(7), 2));
}

/// The seconds that the store asked for, of the only pause: something drawn was added to them.
fn asked(world: &World) -> Option<u64> {
    match world.pauses()[..] {
        [pause] if (PAUSE_MAX / 2..=PAUSE_MAX).contains(&Duration::from_nanos(pause.subsec_nanos().into())) => {
            Some(pause.as_secs())
        }
        _ => None,
    }
}

#[tokio::test]
async fn who_may_come_back_at_once_pauses_all_the_same() {
    const NOW: &str = "HTTP/1.1 503 Slow Down\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const GONE_BY: &str = "HTTP/1.1 429 Too Many\r\nretry-after: Thu, 01 Jan 2015 00:00:12 GMT\r\n\
                           content-length: 0\r\nconnection: close\r\n\r\n";
    for answers in [&[NOW, FOUND], &[GONE_BY, FOUND]] {
        let world = self::world(answers).await;
        object::stat(&world.bucket, &path()).await.expect("the second time");
        assert_eq!(asked(&world), Some(0));
    }
}

#[tokio::test]
async fn retry_after_may_be_a_date() {
    const LATER: &str = "HTTP/1.1 429 Too Many\r\nretry-after: Thu, 01 Jan 2026 00:00:12 GMT\r\n\
                         content-length: 0\r\nconnection: close\r\n\r\n";
    let world = self::world(&[LATER, FOUND]).await;
    object::stat(&world.bucket, &path()).await.expect("the second time");
    assert_eq!(asked(&world), Some(12));
}

#[tokio::test]
async fn nobody_waits_for_longer_than_patience_lasts() {
    const MUCH_LATER: &str =
        "HTTP/1.1 503 Slow Down\r\nretry-after: 31\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let world = self::world(&[MUCH_LATER]).await;
    let error = object::stat(&world.bucket, &path()).await.expect_err("it is not there for us");
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
    assert_eq!((world.pauses().len(), world.requests()), (0, 1));
    let error = read::read(&world.bucket, &path(), None).await.err().expect("it is not there for us");
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn attempts_are_bounded_and_pauses_grow() {
    const BROKEN: &str = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-";
    for answers in [&[BROKEN], &[CUT]] {
        let world = self::world(answers).await;
        let error = object::stat(&world.bucket, &path()).await.expect_err("it is broken");
        assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
        let pauses = world.pauses();
        assert_eq!((pauses.len(), world.requests()), (4, 5));
        for (number, pause) in (0_u32..).zip(pauses) {
            let longest = PAUSE_MAX * 2_u32.pow(number);
            assert!(pause <= longest && pause >= longest / 2, "{number}: {pause:?}");
        }
    }
}

#[tokio::test]
async fn what_waiting_does_not_better_is_not_tried_again() {
    const REFUSED: &str = "HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let world = self::world(&[REFUSED]).await;
    let error = object::stat(&world.bucket, &path()).await.expect_err("it is refused");
    assert!(matches!(error, StorageError::Denied { .. }), "{error}");
    assert_eq!(world.requests(), 1);
}

#[tokio::test]
async fn a_success_that_s3_does_not_know_says_nothing_of_an_object() {
    const CREATED: &str = "HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let world = self::world(&[CREATED]).await;
    let looked = object::stat(&world.bucket, &path()).await.expect_err("it is no S3 store");
    let got = read::read(&world.bucket, &path(), None).await.err().expect("it is no S3 store");
    let content = futures::StreamExt::boxed(futures::stream::iter([Ok(bytes::Bytes::from_static(b"x"))]));
    stage::stage(&world.bucket, &path(), IntentId(1), 1, content).await.expect("it waits in memory");
    for overwrite in [Overwrite::Refuse, Overwrite::Replace] {
        let put = publish::publish(&world.bucket, &path(), IntentId(1), overwrite).await.expect_err("no S3 store");
        assert!(matches!(put, StorageError::Faulty { .. }), "{put}");
    }
    for error in [looked, got] {
        assert!(matches!(&error, StorageError::Faulty { what, .. } if what.contains("201")), "{error}");
    }
}

#[tokio::test]
async fn a_silent_store_is_waited_for_once() {
    let world = self::world(&[FOUND]).await;
    world.clock.deadlines_come.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = object::stat(&world.bucket, &path()).await.expect_err("its time is over");
    assert!(matches!(&error, StorageError::Unavailable { what, .. } if what.contains("no answer")), "{error}");
    assert!(world.pauses().is_empty());
}

#[tokio::test]
async fn a_success_with_an_error_inside_is_none() {
    const PART: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"no-md5\"\r\nconnection: close\r\n\r\n";
    // Stores begin to answer before they know, and send spaces while they work.
    const FAILED: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InternalError</Code><Message>We failed.</Message></Error>";
    let world = self::world(&[NONE, BEGUN, PART, FAILED]).await;
    stage_upload(&world).await;
    let error = publish::publish(&world.bucket, &path(), IntentId(1), Overwrite::Replace).await;
    let error = error.expect_err("there is an error inside");
    assert!(matches!(&error, StorageError::Unavailable { what, .. } if what.contains("InternalError")), "{error}");
}

const OTHER: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\nconnection: close\r\n\r\n";
/// A part of one byte, `x`, by its MD5.
const MD5_PART: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"9dd4e461268c8034f5c8564e155c67a6\"\r\nconnection: close\r\n\r\n";
const GONE: &str = "HTTP/1.1 204 Gone\r\nconnection: close\r\n\r\n";

/// Publishes an object of one byte that waits in memory.
async fn publish_held(world: &World) -> Result<(), StorageError> {
    let content = futures::StreamExt::boxed(futures::stream::iter([Ok(bytes::Bytes::from_static(b"x"))]));
    stage::stage(&world.bucket, &path(), IntentId(1), 1, content).await.expect("it waits in memory");
    publish::publish(&world.bucket, &path(), IntentId(1), Overwrite::Replace).await
}

#[tokio::test]
async fn wrong_bytes_are_noticed_by_the_name_the_store_gives_them_and_removed() {
    let world = world_that(&[Feature::TellsMd5, Feature::ChecksMd5], &[OTHER, OTHER, GONE]).await;
    let error = publish_held(&world).await;
    assert!(matches!(error, Err(StorageError::Faulty { .. })), "{error:?}");
    let begins = world.begins();
    assert!(begins == ["PUT /bkt/a", "HEAD /bkt/a", "DELETE /bkt/a"], "{begins:?}");
    let said = world.requests.lock().expect("no panic")[0].to_ascii_lowercase();
    assert!(said.contains("content-md5: ndtkysamgdt1yfzofvxnpg=="), "{said}");
    assert!(!format!("{error:?}{:?}", world.bucket.site).contains("not-to-be-shown"));
}

#[tokio::test]
async fn what_somebody_else_put_there_meanwhile_is_not_removed() {
    let world = world_that(&[Feature::TellsMd5], &[OTHER, FOUND]).await;
    let error = publish_held(&world).await;
    assert!(matches!(error, Err(StorageError::Faulty { .. })), "{error:?}");
    let said = world.requests.lock().expect("no panic")[0].to_ascii_lowercase();
    assert!(!said.contains("content-md5"), "this store does not mind it: {said}");
    let begins = world.begins();
    assert!(begins == ["PUT /bkt/a", "HEAD /bkt/a"], "{begins:?}");
}

#[tokio::test]
async fn names_that_only_look_like_hashes_contradict_nothing() {
    publish_held(&self::world(&[OTHER]).await).await.expect("this store was not seen to tell MD5s");
    let world = world_that(&[Feature::TellsMd5], &[NONE, BEGUN, MD5_PART, COMPLETED, NONE]).await;
    stage_upload(&world).await;
    let published = publish::publish(&world.bucket, &path(), IntentId(1), Overwrite::Replace).await;
    published.expect("it was not seen to name objects by their parts' MD5s");
}

const COMPLETED: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<CompleteMultipartUploadResult><ETag>&quot;00000000000000000000000000000000-1&quot;</ETag></CompleteMultipartUploadResult>";
const OPAQUE_PART: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"no-md5\"\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn completing_is_given_the_time_that_putting_together_takes() {
    let world = self::world(&[NONE, BEGUN, OPAQUE_PART, COMPLETED, NONE]).await;
    stage_upload(&world).await;
    publish::publish(&world.bucket, &path(), IntentId(1), Overwrite::Replace).await.expect("its ETags are no MD5s");
    let deadlines = world.clock.deadlines.lock().expect("no panic").clone();
    let (answer, work) = (ANSWER_SPAN_MAX, WORK_SPAN_MAX);
    assert_eq!(deadlines, [answer, answer, answer, work, answer]);
    let requests = world.requests.lock().expect("no panic");
    assert!(requests[3].starts_with("POST /bkt/a?uploadId=u"), "{}", requests[3]);
    assert!(requests[4].starts_with("GET /bkt") && requests[4].contains("uploads"), "left ones are looked for");
}

#[tokio::test]
async fn an_object_put_together_of_other_bytes_is_noticed_and_removed() {
    const THERE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\netag: \"00000000000000000000000000000000-1\"\r\nconnection: close\r\n\r\n";
    let does = [Feature::TellsMd5, Feature::TellsMd5OfParts];
    let world = world_that(&does, &[NONE, BEGUN, MD5_PART, COMPLETED, NONE, THERE, GONE]).await;
    stage_upload(&world).await;
    let error = publish::publish(&world.bucket, &path(), IntentId(1), Overwrite::Replace).await;
    assert!(matches!(error, Err(StorageError::Faulty { .. })), "{error:?}");
    assert_eq!(world.begins().last().map(String::as_str), Some("DELETE /bkt/a"));
}

#[tokio::test]
async fn the_own_upload_is_ended_whatever_becomes_of_listing() {
    const MISUNDERSTOOD: &str = "HTTP/1.1 400 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const ENDED: &str = "HTTP/1.1 204 Gone\r\nconnection: close\r\n\r\n";
    const BROKEN: &str = "HTTP/1.1 507 Full\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for (answers, fine) in [(&[ENDED, MISUNDERSTOOD], true), (&[ENDED, BROKEN], false)] {
        let world = self::world(answers).await;
        let swept = leftover::sweep(&world.bucket, "a", IntentId(1), Some("u".to_owned())).await;
        assert_eq!(swept.is_ok(), fine, "{swept:?}");
        let first = world.requests.lock().expect("no panic")[0].clone();
        assert!(first.starts_with("DELETE /bkt/a?") && first.contains("uploadId=u"), "{first}");
    }
}

#[tokio::test]
async fn only_a_refused_range_is_followed_by_a_look() {
    const BEYOND: &str = "HTTP/1.1 416 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let range = Some(ByteRange { start: 7, end: 9 });
    let world = self::world(&[BEYOND, FOUND]).await;
    let error = read::read(&world.bucket, &path(), range).await.err().expect("it is shorter");
    assert!(matches!(error, StorageError::WrongLength { expected: 9, found: 5, .. }), "{error}");
    for (answer, expected) in [(BUSY, ATTEMPTS_MAX as usize), (NONE, 1)] {
        let world = self::world(Box::leak(Box::new([answer]))).await;
        read::read(&world.bucket, &path(), range).await.err().expect("it is not there for us");
        assert_eq!(world.requests(), expected);
    }
}

#[tokio::test]
async fn a_wrong_clock_is_told_though_looking_has_no_words() {
    const MUTE: &str = "HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const SKEWED: &str = "HTTP/1.1 403 No\r\nconnection: close\r\n\r\n<Error><Code>RequestTimeTooSkewed</Code><Message>Too far.</Message></Error>";
    let world = self::world(&[MUTE, SKEWED]).await;
    let looked = root::look(&world.bucket).await.expect_err("it is refused");
    let got = read::read(&world.bucket, &path(), None).await.err().expect("it is refused");
    for error in [looked, got] {
        let told =
            matches!(&error, StorageError::Misconfigured { why } if why.contains("Too far.") && why.contains("clock"));
        assert!(told, "{error}");
    }
}

#[tokio::test]
async fn of_a_page_too_long_only_the_beginning_is_read() {
    const LONG: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789";
    let world = self::world(&[LONG]).await;
    let url = world.bucket.site.bucket_url.clone();
    for (bytes_max, expected) in [(4, "01234"), (9, "0123456789"), (10, "0123456789")] {
        let (_, content) = world.bucket.get_plain("a", &url, bytes_max).await.expect("up");
        assert_eq!(content, expected);
    }
}

impl Reply for () {
    fn status(&self) -> StatusCode {
        StatusCode::OK
    }

    fn headers(&self) -> &HeaderMap {
        unreachable!("only refusals are asked for them")
    }
}

#[tokio::test]
async fn what_took_long_is_sent_once_more_while_its_signature_is_young() {
    const MIB: u64 = 1 << 20;
    let world = self::world(&[FOUND]).await;
    let sender = Sender::new(&Trust::default(), world.clock.clone()).expect("there is a client");
    // How many bytes break off after how many seconds, and how often that is borne.
    for (bytes, seconds, expected) in
        [(8 * MIB, 180, 2), (8 * MIB, 90, 4), (0, 180, 1), (0, 50, 3), (900 * MIB, 400, 1), (900 * MIB, 1, 5)]
    {
        let sent = Mutex::new(0);
        let attempt = async || {
            *sent.lock().expect("no panic") += 1;
            *world.clock.passed.lock().expect("no panic") += Duration::from_secs(seconds);
            Err::<(), _>(Trouble { what: "it broke off".to_owned(), kind: TroubleKind::Passing })
        };
        sender.send(span(bytes, false), attempt).await.expect_err("it always breaks off");
        assert_eq!(*sent.lock().expect("no panic"), expected, "{bytes} {seconds}");
    }
}
