//! Files that lie at an endpoint already are registered in place.

use std::fs;

use dapple::model::rule::RuleState;
use dapple::service::view::NewReplica;

use super::{TestLake, blake3_of, did, tree};

fn line(name: &str, content: &[u8]) -> NewReplica {
    NewReplica {
        name: name.to_owned(),
        bytes: content.len() as u64,
        checksum: blake3_of(content),
        path: None,
        meta: None,
    }
}

#[tokio::test]
async fn registered_files_are_read_and_copied_like_any_other() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    fs::create_dir_all(lake.root("x").join("s/old")).expect("made");
    fs::create_dir_all(lake.root("x").join("archive")).expect("made");
    fs::write(lake.root("x").join("s/old/a"), "aaa").expect("written");
    fs::write(lake.root("x").join("archive/b.bin"), "bb").expect("written");
    let elsewhere = NewReplica { path: Some("archive/b.bin".to_owned()), ..line("old/b", b"bb") };
    let lines = [line("old/a", b"aaa"), elsewhere];
    assert_eq!(lake.register("s:d", "x", &lines).await, (2, 0, vec![]));
    assert_eq!(lake.register("s:d", "x", &lines).await, (0, 2, vec![]), "the same again changes nothing");
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.until(rule, RuleState::Ok).await;
    let copied = tree(&lake.root("y"));
    assert_eq!((&copied["s/old/a"][..], &copied["s/old/b"][..]), (&b"aaa"[..], &b"bb"[..]));
    let listed = lake.client.did(&did("s:d")).await.expect("the dataset");
    assert_eq!((listed.length, listed.bytes), (Some(2), Some(5)));
    lake.is_well().await;
}

#[tokio::test]
async fn lines_that_contradict_what_is_known_are_refused_one_by_one() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    assert_eq!(lake.register("s:d", "x", &[line("a", b"1"), line("dir/b", b"2")]).await.0, 2);
    let lines = [
        line("a", b"other"),
        line("a/below-a-file", b"3"),
        line("dir", b"4"),
        line("c", b"5"),
        line("c", b"5"),
        line("d", b"the dataset's own name"),
        NewReplica { path: Some("../outside".to_owned()), ..line("e", b"6") },
    ];
    let (registered, known, refused) = lake.register("s:d", "x", &lines).await;
    assert_eq!((registered, known), (1, 0));
    let expected =
        ["1: name-taken", "2: name-conflict", "3: name-conflict", "5: name-twice", "6: name-taken", "7: invalid-line"];
    assert_eq!(refused, expected);
    // Each path belongs to one file, whether by its name or because somebody said so.
    let elsewhere = |name: &str, path: &str| NewReplica { path: Some(path.to_owned()), ..line(name, b"7") };
    let by_name = [elsewhere("g", "s/a"), elsewhere("g", "s/later"), line("later", b"8")];
    let (registered, _, refused) = lake.register("s:d", "x", &by_name).await;
    assert_eq!((registered, refused), (1, vec!["1: path-taken".to_owned(), "2: name-twice".to_owned()]));
    let (registered, _, refused) = lake.register("s:d", "x", &[elsewhere("h", "s/soon")]).await;
    assert_eq!((registered, refused), (1, vec![]));
    let (_, _, refused) = lake.register("s:d", "x", &[line("soon", b"9")]).await;
    assert_eq!(refused, ["1: path-taken"]);
    let answer = lake.raw_register("s:d", "x", "{\"name\": \"f\"}\nnot json\n".to_owned()).await;
    assert!(answer.contains("\"line\":1") && answer.contains("\"line\":2"), "{answer}");
    lake.is_well().await;
}

#[tokio::test]
async fn a_long_registration_is_answered_chunk_by_chunk_and_listed_page_by_page() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let lines: Vec<_> = (0..2_500).map(|number| line(&format!("f/{number:05}"), b"same")).collect();
    assert_eq!(lake.register("s:d", "x", &lines).await, (2_500, 0, vec![]));
    let listing = lake.client.contents(&did("s:d")).expect("a listing");
    let (mut names, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = listing.page(1_000, after.as_deref()).await.expect("a page");
        names.extend(page.items.into_iter().map(|item| item.did.name.to_string()));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((names.len(), pages), (2_500, 3));
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    lake.is_well().await;
}

#[tokio::test]
async fn every_change_is_told_once_and_in_order() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let lines: Vec<_> = (0..5).map(|number| line(&format!("f/{number}"), b"same")).collect();
    assert_eq!(lake.register("s:d", "x", &lines).await.0, 5);
    let (mut told, mut after) = (Vec::new(), 0);
    loop {
        let page = lake.changes(after, 2).await;
        told.extend(page["items"].as_array().expect("a list").clone());
        match page["next"].as_str() {
            Some(next) => after = next.parse().expect("a number"),
            None => break,
        }
    }
    let numbers: Vec<_> = told.iter().map(|change| change["seq"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=told.len() as u64).collect::<Vec<_>>(), "without gaps");
    let registered = told.iter().find(|change| change["replicas_changed"]["count"] == 5);
    assert!(registered.is_some(), "{told:#?}");
}
