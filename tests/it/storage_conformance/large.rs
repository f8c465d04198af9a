//! Large objects in small memory. The test runs itself again as a process of its own, because the
//! peak it looks at is the whole process's.

use std::process::Command;

use bytes::Bytes;
use dapple::storage::backend::{Backend, CHUNK_BYTES_MAX, Overwrite};
use dapple::storage::hash::{hash_stream, hashing};
use dapple::storage::posix::Posix;
use futures::{StreamExt, stream};

use super::world::{PUT, path};

const CHILD: &str = "DAPPLE_TEST_LARGE_CHILD";
const GROWTH_KIB_MAX: u64 = 64 << 10;

#[tokio::test]
async fn a_large_object_passes_through_in_constant_memory() {
    if std::env::var_os(CHILD).is_some() {
        return pass_through().await;
    }
    let own = std::env::current_exe().expect("this binary");
    let name = "storage_conformance::large::a_large_object_passes_through_in_constant_memory";
    let output = Command::new(own).args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

async fn pass_through() {
    let long = std::env::var_os("DAPPLE_TEST_LONG").is_some();
    let bytes: u64 = if long { 6 << 30 } else { 256 << 20 };
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let store = Posix::new(scratch.path().to_owned());
    let (path, copy) = (path("a/b"), path("copy"));
    let before = peak_kib();

    let chunks = (0..bytes / CHUNK_BYTES_MAX as u64).map(|n| Ok(Bytes::from(vec![n as u8; CHUNK_BYTES_MAX])));
    let (content, passing) = hashing(stream::iter(chunks).boxed(), &[]);
    store.stage(&path, PUT, bytes, content).await.expect("room");
    let sent = passing.finish();
    let staged = store.read_staged(&path, PUT).await.expect("staged");
    assert_eq!(hash_stream(staged.content, &[]).await.expect("readable"), sent);
    store.publish(&path, PUT, Overwrite::Refuse).await.expect("free");

    let relayed = store.read(&path, None).await.expect("there");
    store.stage(&copy, PUT, bytes, relayed).await.expect("room");
    store.discard(&copy, PUT).await.expect("there");

    let grown = peak_kib() - before;
    println!("{bytes} bytes put, read back and relayed: the peak grew by {grown} KiB");
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("it has a peak");
    let number = line.split_whitespace().nth(1).expect("a number stands there");
    number.parse().expect("a number stands there")
}
