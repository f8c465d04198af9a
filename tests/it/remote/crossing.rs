//! Files between kinds of storage.

use std::time::Duration;

use dapple::model::checksum::{Algorithm, Checksum};
use dapple::model::did::DidKind;
use dapple::model::rule::RuleState;
use dapple::service::view::NewReplica;

use super::{compare_by_rclone, on_apache, on_radosgw};
use crate::lake::{TestLake, blake3_of, name};
use crate::peers::apache::apache;
use crate::peers::radosgw::radosgw;

fn long() -> bool {
    std::env::var_os("DAPPLE_TEST_LONG").is_some()
}

/// Bytes that differ from place to place and from seed to seed.
fn content(seed: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_gets_copies_on_every_kind_and_an_independent_tool_finds_them_equal() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let (rgw, dav) = (on_radosgw(radosgw().port), on_apache(apache().port));
    lake.add_store("rgw", &rgw).await;
    lake.add_store("dav", &dav).await;
    lake.make("s:tree", DidKind::Dataset).await;
    // 5,000 files of 1 GiB in all when there is time; odd names and lengths in any case.
    let (count, mean) = if long() { (5_000, 214_748) } else { (300, 40_000) };
    let root = lake.root("x").join("s/tree");
    let mut lines = Vec::new();
    for number in 0..count {
        let length = match number {
            0 => 0,
            1 => 20_000_003,
            _ => (number * 7_919) % (2 * mean),
        };
        let relative = format!("tree/{}/füle {number}+%.nc", number % 17);
        let bytes = content(number, length);
        let path = lake.root("x").join("s").join(relative.replace('%', "%25"));
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(&path, &bytes).expect("written");
        let adler = Checksum::new(Algorithm::Blake3, *blake3::hash(&bytes).as_bytes()).expect("32 bytes");
        lines.push(NewReplica { name: relative, bytes: bytes.len() as u64, checksum: adler, path: None, meta: None });
    }
    let (registered, _, refused) = lake.register("s:tree", "x", &lines).await;
    assert_eq!((registered, refused), (count as u64, vec![]));
    let rule = lake.rule("s:tree", 2, "site=rgw|site=dav").await;
    let patience = Duration::from_mins(if long() { 20 } else { 6 });
    lake.until_within(patience, rule, |view| view.state == RuleState::Ok).await;

    let local = root.display().to_string();
    compare_by_rclone(&local, &rgw, "s/tree");
    compare_by_rclone(&local, &dav, "s/tree");
    let left = crate::lake::tree(dav.directory.as_ref().expect("it is here"));
    assert!(left.keys().all(|path| !path.contains(".dapple-")), "nothing temporary is left");
    lake.is_well().await;
}

/// Every pair of kinds, in both ways: within one store by the store itself, across by relay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_crosses_between_every_two_kinds() {
    let lake = TestLake::with_endpoints(&["x", "x2"]).await;
    let stores = [
        ("rgw", on_radosgw(radosgw().port)),
        ("rgw2", on_radosgw(radosgw().port)),
        ("dav", on_apache(apache().port)),
        ("dav2", on_apache(apache().port)),
    ];
    for (endpoint, store) in &stores {
        lake.add_store(endpoint, store).await;
    }
    let mut rules = Vec::new();
    for (number, source) in ["x", "rgw", "dav"].into_iter().enumerate() {
        for (turn, destination) in ["x2", "rgw2", "dav2"].into_iter().enumerate() {
            let dataset = format!("s:{source}-{destination}");
            let bytes = content(number * 3 + turn, 36_000_001 + number);
            lake.put(&dataset, source, &[(&format!("{source}-{destination}/large"), &bytes)]).await;
            rules.push((lake.rule(&dataset, 1, &format!("site={destination}")).await, destination, bytes));
        }
    }
    for (rule, destination, bytes) in rules {
        let view = lake.until_within(Duration::from_mins(6), rule, |view| view.state == RuleState::Ok).await;
        let file = format!("{}:{}/large", view.did.scope, view.did.name).parse().expect("a DID");
        let replicas = lake.client.replicas(&file).expect("a file").page(10, None).await.expect("a page").items;
        assert!(replicas.iter().any(|replica| replica.endpoint == name(destination)), "{replicas:?}");
        let read = lake.read_from(&file, destination).await;
        assert!(blake3_of(&read) == blake3_of(&bytes), "{file} at {destination}");
    }
    lake.is_well().await;
}
