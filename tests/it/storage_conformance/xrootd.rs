//! What only XRootD does: header names that are read case-sensitively, names cut at a `?`, macaroons.

use bytes::Bytes;
use dapple::model::probe::Feature;
use dapple::storage::backend::{Backend as _, ByteRange, Overwrite, StorageError};
use dapple::storage::secret::Secret;
use futures::{StreamExt, stream};

use super::webdav::{
    finds, fresh_url, is_trusted_with_its_authority_alone, made, misses_its_root, open, put,
    tells_collections_from_objects,
};
use super::world::{PUT, ask, chunks, code, path, whole};
use crate::peers::xrootd::Xrootd;

/// Asks an XRootD that is open to all.
async fn ask_open(promise: impl AsyncFn(&Xrootd)) {
    ask(async || Xrootd::open(), promise).await;
}

#[tokio::test]
async fn a_probe_finds_what_is_known_of_xrootd() {
    ask_open(async |server| {
        finds(&server.url(), "ranged-read server-copy tells-adler32 tells-crc32c tells-md5").await;
    })
    .await;
}

#[tokio::test]
async fn a_collection_is_no_object_and_is_never_removed() {
    ask_open(async |server| tells_collections_from_objects(&server.url()).await).await;
}

#[tokio::test]
async fn a_missing_root_is_said_to_be_missing() {
    ask_open(async |server| misses_its_root(&server.url()).await).await;
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    ask_open(async |server| is_trusted_with_its_authority_alone(&server.tls_url()).await).await;
}

#[tokio::test]
async fn it_understands_our_headers() {
    ask_open(async |server| {
        let store = made(&server.url(), &[Feature::TellsAdler32]).await;
        put(&store, "a", b"hello world").await;
        let content = store.read(&path("a"), Some(ByteRange { start: 6, end: 11 })).await.expect("there");
        assert_eq!(whole(content).await.expect("readable"), b"world");
        let info = store.stat_with_checksums(&path("a")).await.expect("there");
        assert_eq!((info.bytes, info.checksums[0].to_string().as_str()), (11, "adler32:1a0b045d"));
    })
    .await;
}

#[tokio::test]
async fn no_part_of_an_object_has_a_final_name() {
    ask_open(async |server| {
        let store = made(&server.url(), &[]).await;
        let broken = StorageError::Unavailable { path: "source".to_owned(), what: "cut".to_owned() };
        let items = (0..6).map(|_| Ok(Bytes::from(vec![1; 1 << 20]))).chain([Err(broken)]);
        let outcome = store.stage(&path("b"), PUT, 9 << 20, stream::iter(items).boxed()).await;
        assert_eq!(code(outcome), "storage-unavailable");
        assert_eq!(code(store.stat(&path("b")).await), "storage-not-found");
        let left: Vec<_> = store.list().collect().await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

/// XRootD takes what follows a `?` for a query, however it is encoded.
#[tokio::test]
async fn a_name_that_the_server_takes_for_another_removes_nothing() {
    ask_open(async |server| {
        let store = made(&server.url(), &[Feature::ServerCopy]).await;
        put(&store, "a", b"content").await;
        store.discard(&path("a?b/c"), PUT).await.expect("nothing was staged");
        for name in ["a?b", "a?b/c"] {
            let name = path(name);
            assert_eq!(code(store.delete(&name).await), "storage-outside-root", "{name}");
            assert_eq!(code(store.stat(&name).await), "storage-outside-root", "{name}");
            assert_eq!(code(store.read(&name, None).await), "storage-outside-root", "{name}");
            assert_eq!(code(store.publish(&name, PUT, Overwrite::Replace).await), "storage-outside-root", "{name}");
            let copied = store.stage_copy(&path("b"), PUT, 7, &store, &name).await;
            assert_eq!(code(copied), "storage-outside-root", "{name}");
        }
        assert_eq!(store.stat(&path("a")).await.expect("untouched").bytes, 7);
    })
    .await;
}

/// The grid's own way in: a macaroon as a bearer token, over TLS.
#[tokio::test]
async fn a_macaroon_opens_it() {
    ask(
        async || Xrootd::guarded(),
        async |server| {
            let url = server.tls_url();
            let token = Secret::parse(&server.macaroon()).expect("a token");
            assert!(matches!(token, Secret::Token(_)));
            let store = open(&fresh_url(&url), Some(token), true, &[]);
            store.create_root().await.expect("it may");
            put(&store, "a", b"content").await;
            let read = store.read(&path("a"), None).await.expect("it may");
            assert_eq!(whole(read).await.expect("readable"), b"content");
            let stranger = open(&url, Some(Secret::Token("nobody".to_owned())), true, &[]);
            let staged = stranger.stage(&path("b"), PUT, 1, chunks(b"1", 1)).await;
            assert_eq!(code(staged), "storage-denied");
        },
    )
    .await;
}
