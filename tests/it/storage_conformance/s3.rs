//! What S3 alone promises, and what stores get wrong.

pub(crate) mod bucket;
mod counting;

use std::time::Duration;

use bytes::Bytes;
use dapple::clock::SystemClock;
use dapple::model::id::IntentId;
use dapple::model::probe::{Feature, Finding};
use dapple::storage::backend::{Backend, Check, Overwrite, Signed, StorageError};
use dapple::storage::s3::S3;
use futures::{StreamExt, TryStreamExt, stream};

use self::bucket::Bucket;
use self::counting::Counting;
use super::world::{PUT, chunks, code, path, pattern, whole};
use crate::peers::radosgw::radosgw;
use crate::peers::s3s::{self, S3s};
use crate::peers::{authority, free_port};

const MIB: usize = 1 << 20;
const PART: usize = 8 * MIB;

fn seen(findings: &[Finding]) -> Vec<(&'static str, bool, &str)> {
    findings.iter().map(|finding| (finding.feature.code(), finding.holds, &*finding.seen)).collect()
}

async fn put(store: &S3, name: &str, content: &[u8]) {
    store.stage(&path(name), PUT, content.len() as u64, chunks(content, MIB)).await.expect("room");
    store.publish(&path(name), PUT, Overwrite::Refuse).await.expect("free");
}

/// Sends the first `parts` parts of the content and then hangs; dropped there.
async fn stage_and_drop(store: &S3, name: &str, content: &[u8], parts: usize, counting: &Counting) {
    let sent: Vec<_> = content[..parts * PART].chunks(MIB).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let hanging = stream::iter(sent).chain(stream::pending()).boxed();
    let place = path(name);
    let staging = store.stage(&place, PUT, content.len() as u64, hanging);
    tokio::select! {
        outcome = staging => panic!("it cannot end: {outcome:?}"),
        () = counting.has(parts) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_says_what_radosgw_does_by_its_effects() {
    let bucket = Bucket::on_radosgw().probed().await;
    let probe = bucket.endpoint.probe.as_ref().expect("probed");
    let expected = [
        ("ranged-read", true, ""),
        ("put-refuses-to-replace", true, "412 PreconditionFailed, and the object was unchanged"),
        ("complete-refuses-to-replace", false, "200, and replaced it"),
        ("server-copy", true, ""),
        ("resumable-upload", true, ""),
        ("checks-md5", true, "400 BadDigest"),
        ("checks-crc32c", false, "200, and stored them"),
        ("tells-crc32c", false, "200, and none is told"),
        ("tells-md5", true, ""),
        ("signed-url", true, "200 with a signature, 403 without"),
        ("tells-md5-of-parts", true, ""),
    ];
    assert_eq!(seen(&probe.findings), expected);
    assert!(bucket.open().tells().is_empty());
    assert!(bucket.open().list().try_collect::<Vec<_>>().await.expect("listable").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_sweeps_what_others_left_long_ago() {
    let bucket = Bucket::on_radosgw().known().await;
    let probe = |millis: u64| format!(".dapple-probe-{millis:012x}-00000000");
    let (old, new) = (probe(7), probe(SystemClock::shared().now().as_millis()));
    for base in [&old, &new] {
        let left = bucket.clone().below(base).open();
        put(&left, "an object ü+", b"left").await;
        let content = pattern(PART + 1);
        left.stage(&path("upload"), PUT, content.len() as u64, chunks(&content, MIB)).await.expect("room");
    }
    bucket.open().probe().await.expect("it can be probed");
    let listed: Vec<_> = bucket.open().list().try_collect().await.expect("listable");
    let listed: Vec<_> = listed.into_iter().map(|listed| listed.path).collect();
    assert_eq!(listed, [format!("{new}/an object ü+")], "the new one may be at work");
    for (base, parts) in [(&old, 2), (&new, 0)] {
        let counting = Counting::before(radosgw().port, "partNumber=").await;
        let left = bucket.by(&counting.url).below(base).open();
        let content = pattern(PART + 1);
        left.stage(&path("upload"), PUT, content.len() as u64, chunks(&content, MIB)).await.expect("room");
        assert_eq!(counting.count(), parts, "parts that had to be sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_asks_for_no_more_than_it_is_told_to() {
    let bucket = Bucket::on_radosgw().known().await;
    let counting = Counting::before(radosgw().port, "PUT ").await;
    let store = bucket.by(&counting.url).open();
    store.check(Check::Reading).await.expect("it is well");
    assert_eq!(counting.count(), 0);
    store.check(Check::Writing).await.expect("it is well");
    assert_eq!(counting.count(), 1);
    assert!(store.list().try_collect::<Vec<_>>().await.expect("listable").is_empty());
    for what in [Check::Reading, Check::Writing] {
        assert_eq!(code(Bucket::on_radosgw().open().check(what).await), "storage-no-root");
        assert_eq!(code(bucket.with(None).open().check(what).await), "storage-denied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_upload_is_gone_on_with_by_the_parts_that_are_there() {
    let bucket = Bucket::on_radosgw().known().await;
    let counting = Counting::before(radosgw().port, "partNumber=").await;
    let content = pattern(5 * PART + 17);
    let by_proxy = bucket.by(&counting.url);
    stage_and_drop(&by_proxy.open(), "a", &content, 3, &counting).await;
    counting.count();

    // Another process: nothing is known of the first but what the store has.
    let store = by_proxy.open();
    store.stage(&path("a"), IntentId(7), content.len() as u64, chunks(&content, 300_000)).await.expect("room");
    assert_eq!(counting.count(), 3, "of six parts three were there");
    store.publish(&path("a"), IntentId(7), Overwrite::Refuse).await.expect("free");
    assert!(whole(store.read(&path("a"), None).await.expect("there")).await.expect("readable") == content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_other_bytes_are_sent_again() {
    let bucket = Bucket::on_radosgw().known().await;
    let counting = Counting::before(radosgw().port, "partNumber=").await;
    let by_proxy = bucket.by(&counting.url);
    let mut content = pattern(3 * PART + 17);
    stage_and_drop(&by_proxy.open(), "a", &content, 2, &counting).await;
    counting.count();
    content[PART + 5] ^= 1;
    let store = by_proxy.open();
    store.stage(&path("a"), PUT, content.len() as u64, chunks(&content, MIB)).await.expect("room");
    assert_eq!(counting.count(), 3, "only the first of four parts was the same");
    store.publish(&path("a"), PUT, Overwrite::Refuse).await.expect("free");
    assert!(whole(store.read(&path("a"), None).await.expect("there")).await.expect("readable") == content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discarding_ends_left_uploads_but_not_those_of_others() {
    let bucket = Bucket::on_radosgw().known().await;
    let counting = Counting::before(radosgw().port, "partNumber=").await;
    let by_proxy = bucket.by(&counting.url);
    let content = pattern(2 * PART + 17);
    let staged = |store: S3, intent| {
        let content = content.clone();
        async move {
            let length = content.len() as u64;
            store.stage(&path("a"), IntentId(intent), length, chunks(&content, MIB)).await.expect("room");
            store
        }
    };
    let store = staged(staged(bucket.open(), 1).await, 2).await;
    store.discard(&path("a"), IntentId(1)).await.expect("up");
    store.publish(&path("a"), IntentId(2), Overwrite::Refuse).await.expect("it was not touched");
    assert_eq!(code(store.publish(&path("a"), IntentId(1), Overwrite::Replace).await), "storage-not-found");
    assert!(whole(store.read(&path("a"), None).await.expect("there")).await.expect("readable") == content);

    // What a dropped attempt left is gone after a discard: the next one sends all parts.
    stage_and_drop(&by_proxy.open(), "b", &content, 2, &counting).await;
    by_proxy.open().discard(&path("b"), PUT).await.expect("up");
    counting.count();
    let store = by_proxy.open();
    store.stage(&path("b"), PUT, content.len() as u64, chunks(&content, MIB)).await.expect("room");
    assert_eq!(counting.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_are_not_shown_before_they_are_published() {
    let store = Bucket::on_radosgw().known().await.open();
    let content = pattern(PART + 1);
    store.stage(&path("a"), PUT, content.len() as u64, chunks(&content, MIB)).await.expect("room");
    let error = store.read_staged(&path("a"), PUT).await.err().expect("nothing can be shown");
    assert!(error.to_string().contains("before they are published"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_source_that_changed_is_refused() {
    let store = Bucket::on_radosgw().known().await.open();
    put(&store, "from", &pattern(PART + 9)).await;
    let short = store.stage_copy(&path("to"), PUT, 9 << 20, &store, &path("from")).await;
    assert_eq!(code(short), "storage-wrong-length");
    let copied = store.stage_copy(&path("to"), PUT, (PART + 9) as u64, &store, &path("from")).await;
    assert!(copied.expect("both are there").is_some());
    put(&store, "from%41", &pattern(PART)).await;
    let odd = store.stage_copy(&path("odd"), PUT, PART as u64, &store, &path("from%41")).await;
    assert!(odd.expect("both are there").is_none(), "it would take `fromA` for it");
    store.delete(&path("from")).await.expect("there");
    put(&store, "from", &pattern(PART + 8)).await;
    assert_eq!(code(store.read_staged(&path("to"), PUT).await), "storage-faulty");

    let elsewhere = Bucket::on_radosgw().known().await.open();
    let copied = elsewhere.stage_copy(&path("x"), PUT, (PART + 8) as u64, &store, &path("from")).await;
    assert!(copied.expect("both are there").is_some(), "buckets of one server");
    elsewhere.publish(&path("x"), PUT, Overwrite::Refuse).await.expect("free");
    assert_eq!(elsewhere.stat(&path("x")).await.expect("there").bytes, (PART + 8) as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_urls_do_one_thing_to_one_object_for_anybody_and_for_a_while() {
    let bucket = Bucket::on_radosgw().known().await;
    let store = bucket.open();
    put(&store, "a ü+%41", b"content").await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let sign = async |name: &str, what, seconds| {
        let url = store.sign(&path(name), what, Duration::from_secs(seconds)).await;
        url.expect("up").expect("it can sign")
    };
    let get = sign("a ü+%41", Signed::Get, 60).await;
    let answer = client.get(&get).header("range", "bytes=1-3").send().await.expect("up");
    assert_eq!(answer.status(), 206);
    assert_eq!(answer.text().await.expect("it is text"), "ont");
    let status = async |request: reqwest::RequestBuilder| request.send().await.expect("up").status().as_u16();
    assert_eq!(status(client.head(&get)).await, 403, "each method has its own");
    let head = sign("a ü+%41", Signed::Head, 60).await;
    assert_eq!(status(client.head(&head)).await, 200);
    assert_eq!(status(client.put(&get).body("by anybody")).await, 403);
    assert_eq!(status(client.get(get.replace("%2541", "%2542"))).await, 403, "of another object");
    assert_eq!(status(client.get(get.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))).await, 403, "for longer");

    let short = sign("a ü+%41", Signed::Get, 1).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(status(client.get(&short)).await, 403, "it is over");
    let week = Duration::from_hours(7 * 24 + 1);
    assert_eq!(store.sign(&path("a"), Signed::Get, week).await.expect("up"), None, "no signature lasts so long");
    assert_eq!(bucket.with(None).open().sign(&path("a"), Signed::Get, Duration::from_secs(1)).await.expect("up"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_apart() {
    let bucket = Bucket::on_radosgw().known().await;
    let stat = async |bucket: &Bucket| code(bucket.open().stat(&path("a")).await);
    assert_eq!(stat(&bucket).await, "storage-not-found");
    assert_eq!(stat(&Bucket::on_radosgw()).await, "storage-no-root");
    let key = radosgw().key;
    for stranger in [Some(&*format!("{key}:wrong")), Some("nobody:wrong"), None] {
        assert_eq!(stat(&bucket.with(stranger)).await, "storage-denied", "{stranger:?}");
    }
    assert_eq!(code(bucket.with(None).open().read(&path("a"), None).await), "storage-denied");
    assert_eq!(code(Bucket::on_radosgw().open().read(&path("a"), None).await), "storage-no-root");
    let listed: Result<Vec<_>, StorageError> = Bucket::on_radosgw().open().list().try_collect().await;
    assert_eq!(code(listed), "storage-no-root");
    assert_eq!(code(Bucket::on_radosgw().open().probe().await), "storage-no-root");
    let store = Bucket::on_radosgw().open();
    store.stage(&path("a"), PUT, 1, chunks(b"x", 1)).await.expect("it waits in memory");
    assert_eq!(code(store.publish(&path("a"), PUT, Overwrite::Replace).await), "storage-no-root");
    store.create_root().await.expect("it can be made");
    store.create_root().await.expect("it is ours already");

    let nobody = bucket.by(&format!("http://127.0.0.1:{}", free_port()));
    let error = nobody.open().stat(&path("a")).await.expect_err("nobody listens");
    assert!(matches!(&error, StorageError::Unavailable { what, .. } if what.contains("refused")), "{error}");
    let error = nobody.open().read(&path("a"), None).await.err().expect("nobody listens");
    assert!(matches!(&error, StorageError::Unavailable { what, .. } if what.contains("refused")), "{error}");

    let long = path(&["x"; 600].join("/"));
    assert_eq!(code(bucket.open().stage(&long, PUT, 1, chunks(b"x", 1)).await), "storage-outside-root");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reached_quota_is_a_full_store() {
    radosgw().admin("user create --uid=small --display-name=small --access-key=dapplesmall --secret=small-only");
    radosgw().admin("quota set --quota-scope=user --uid=small --max-size=1048576");
    radosgw().admin("quota enable --quota-scope=user --uid=small");
    let store = Bucket::on_radosgw().with(Some("dapplesmall:small-only")).probed().await.open();
    let content = pattern(2 * MIB);
    store.stage(&path("a"), PUT, content.len() as u64, chunks(&content, MIB)).await.expect("it waits in memory");
    assert_eq!(code(store.publish(&path("a"), PUT, Overwrite::Refuse).await), "storage-full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_an_own_authority_is_trusted_only_with_its_certificate() {
    let bucket = Bucket::on_radosgw().known().await;
    put(&bucket.open(), "a", b"content").await;
    let mut sealed = bucket.by(&radosgw().tls_url());
    let error = sealed.open().stat(&path("a")).await.expect_err("nobody vouches for it");
    assert!(matches!(&error, StorageError::Unavailable { what, .. } if what.contains("certificate")), "{error}");
    let error = sealed.open().read(&path("a"), None).await.err().expect("nobody vouches for it");
    assert!(matches!(&error, StorageError::Unavailable { what, .. } if what.contains("certificate")), "{error}");
    sealed.endpoint.settings.ca = Some(authority().certificate());
    let store = sealed.open();
    assert_eq!(store.stat(&path("a")).await.expect("there").bytes, 7);
    // Over TLS bodies are not hashed a second time for the signature.
    let content = pattern(PART + MIB);
    put(&store, "b", &content).await;
    put(&store, "c", b"small").await;
    assert!(whole(store.read(&path("b"), None).await.expect("there")).await.expect("readable") == content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_memory_cannot_hold_goes_as_an_upload() {
    let store = Bucket::on_radosgw().known().await.open();
    let content = pattern(PART);
    for number in 0..9 {
        let name = format!("a/{number}");
        store.stage(&path(&name), PUT, PART as u64, chunks(&content, MIB)).await.expect("room");
    }
    assert!(store.read_staged(&path("a/6"), PUT).await.is_ok(), "the seventh fills the memory");
    assert_eq!(code(store.read_staged(&path("a/7"), PUT).await), "storage-unavailable");
    for number in 0..9 {
        store.publish(&path(&format!("a/{number}")), PUT, Overwrite::Refuse).await.expect("free");
    }
    let read = whole(store.read(&path("a/8"), None).await.expect("there")).await.expect("readable");
    assert!(read == content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_no_path_of_ours_has_are_listed_as_they_are() {
    let bucket = Bucket::on_radosgw().known().await;
    put(&bucket.open(), "x", b"1").await;
    // A prefix makes a path of ours into a key that none could have.
    let odd = Bucket { endpoint: bucket.endpoint.clone(), pair: bucket.pair.clone() }.below("dir");
    put(&odd.open(), "a", b"22").await;
    let listed: Vec<_> = bucket.open().list().try_collect().await.expect("listable");
    let listed: Vec<_> = listed.into_iter().map(|listed| (listed.path, listed.bytes)).collect();
    assert_eq!(listed, [("dir/a".to_owned(), 2), ("x".to_owned(), 1)]);
    let below: Vec<_> = odd.open().list().try_collect().await.expect("listable");
    assert_eq!(below.len(), 1);
    assert_eq!(below[0].path, "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_probe_the_least_is_assumed_and_everything_still_works() {
    let mut bucket = Bucket::on_radosgw().known().await;
    bucket.endpoint.probe = None;
    let store = bucket.open();
    put(&store, "a", b"small").await;
    put(&store, "b", &pattern(PART + 1)).await;
    store.stage(&path("a"), PUT, 1, chunks(b"x", 1)).await.expect("room");
    assert_eq!(code(store.publish(&path("a"), PUT, Overwrite::Refuse).await), "storage-exists");
    let copied = store.stage_copy(&path("c"), PUT, (PART + 1) as u64, &store, &path("b")).await;
    assert!(copied.expect("both are there").is_none(), "nobody has seen it copy");
    assert_eq!(store.sign(&path("a"), Signed::Get, Duration::from_secs(1)).await.expect("up"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lists_no_uploads_begins_afresh() {
    let s3s = S3s::start().await;
    let bucket = Bucket::fresh(&s3s.url, s3s::PAIR).probed().await;
    let probe = bucket.endpoint.probe.as_ref().expect("probed");
    assert!(!probe.holds(Feature::ResumableUpload), "{:?}", seen(&probe.findings));
    let store = bucket.open();
    put(&store, "a", &pattern(2 * PART + 17)).await;
    store.discard(&path("a"), PUT).await.expect("up");
    let info = store.stat(&path("a")).await.expect("there");
    assert_eq!(info.bytes, (2 * PART + 17) as u64);
    println!("s3s: {:?}", seen(&probe.findings));
}
