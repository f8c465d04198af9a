//! People search at the command line and on the page, and find what they may, each with their own key.

use std::process::{Command, Output};

use reqwest::StatusCode;
use serde_json::Value;

use crate::lake::TestLake;
use crate::lake::web::Browser;
use crate::stac::{key_of, rights};

/// Runs a search as somebody types it.
async fn search(lake: &TestLake, key: Option<&str>, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dapple"));
    command.arg("search").args(words).env_clear().env("DAPPLE_URL", lake.url()).env("HOME", lake.root("x"));
    command.envs(key.map(|key| ("DAPPLE_TOKEN", key)));
    tokio::task::spawn_blocking(move || command.output()).await.expect("it ran").expect("it runs")
}

/// The first column of what it prints.
async fn found(lake: &TestLake, key: Option<&str>, words: &[&str]) -> Vec<String> {
    let output = search(lake, key, words).await;
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_finds_what_its_key_may_discover() {
    let lake = rights::lake().await;
    let (root, bob) = (Some(lake.key()), key_of(&lake, "bob").await);
    let bob = Some(bob.as_str());
    assert_eq!(found(&lake, None, &["ice"]).await, ["s:open"]);
    assert_eq!(found(&lake, bob, &["ice"]).await, ["s:inner", "s:open"]);
    assert_eq!(found(&lake, root, &[]).await, ["s:deep", "s:kept", "s:inner", "s:open"]);
    let table: [(&[&str], &[&str]); 9] = [
        (&["--bbox", "-5,5,30,15"], &["s:inner", "s:open"]),
        (&["--datetime", "2026-01-03/.."], &["s:deep", "s:kept"]),
        (&["--datetime", "2025"], &[]),
        (&["--collection", "s:vault"], &["s:deep"]),
        (&["--filter", "depth>1", "--filter", "depth!=3"], &["s:inner"]),
        (&["--sort", "-depth", "--limit", "2"], &["s:kept", "s:inner"]),
        (&["--sort", "datetime", "--limit", "1"], &["s:open"]),
        (&["--text", "kept", "--text", "open"], &["s:kept", "s:open"]),
        (&["ice", "kept"], &["s:kept"]),
    ];
    for (words, wanted) in table {
        assert_eq!(found(&lake, root, words).await, wanted, "{words:?}");
    }

    let inner = ["--filter", "title=Ice of s:inner", "-o", "json"];
    let read = |output: Output| serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["items"][0].clone();
    let plain = read(search(&lake, bob, &inner).await);
    let signed = read(search(&lake, bob, &[&inner[..], &["--sign"]].concat()).await);
    let get = async |item: &Value| reqwest::get(item["assets"]["in.nc"]["href"].as_str().expect("a URL")).await;
    assert_eq!(get(&plain).await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    assert_eq!(get(&signed).await.expect("an answer").text().await.expect("bytes"), "inside");

    for (words, says) in [
        (&["--bbox", "1,2,3"][..], "west,south,east,north"),
        (&["--datetime", "soon"], "2026-11-21T08:30:00Z"),
        (&["--filter", "depth"], "KEY=VALUE"),
        (&["--filter", "n=1", "--filter", "n=2"], "asked twice"),
        (&["--sort", "strange"], "no item has a field `strange`"),
        (&["--sign"], "-o json"),
    ] {
        let output = search(&lake, root, words).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(says), "{words:?}: {told}");
    }
}

#[tokio::test]
async fn the_page_finds_what_its_visitor_may_discover() {
    let lake = rights::lake().await;
    let bob = key_of(&lake, "bob").await;
    let (root, bob) = (Browser::signed_in(&lake, lake.key()).await, Browser::signed_in(&lake, &bob).await);
    let table: [(&str, &[&str], &[&str]); 5] = [
        ("", &["s:deep", "s:kept", "s:inner", "s:open"], &["s:inner", "s:open"]),
        ("?text=ice&bbox=30,0,50,20", &["s:kept"], &[]),
        ("?from=2026-01-02&to=2026-01-03", &["s:kept", "s:inner"], &["s:inner"]),
        ("?fields=depth%3E%3D2,depth%3C3&to=2026", &["s:inner"], &["s:inner"]),
        ("?text=nothing", &[], &[]),
    ];
    for (query, all, some) in table {
        for (browser, wanted) in [(&root, all), (&bob, some)] {
            let page = browser.page(&format!("/search{query}")).await;
            let links = page.split("href=\"/data/s/").skip(1).map(|rest| rest.split('"').next().expect("closed"));
            let links: Vec<String> = links.map(|name| format!("s:{name}")).collect();
            assert_eq!(links, wanted, "{query}");
            assert_eq!(page.contains("class=\"empty\""), wanted.is_empty(), "{query}");
        }
    }
    let page = root.page("/search?fields=depth%3E1&bbox=-180,-90,180,90").await;
    assert!(page.contains("2 results") && page.contains("Ice of s:kept") && page.contains("dapple search --bbox"));
    for (query, says) in [("bbox=1,2", "a box has 4 or 6 numbers"), ("from=soon", "is not a time")] {
        let answer = root.get(&format!("/search?{query}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
        let page = answer.text().await.expect("text");
        assert!(page.contains(says) && page.contains("value=\""), "what was typed is still there: {page}");
    }

    // More than a page.
    for number in 0..21 {
        lake.make(&format!("s:many-{number:02}"), dapple::model::did::DidKind::Dataset).await;
    }
    crate::stac::caught_up(&lake).await;
    let first = root.page("/search?text=many").await;
    let next = first.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a next page");
    let second = root.page(&next.replace("&#38;", "&").replace("&amp;", "&")).await;
    let count = |page: &str| page.matches("href=\"/data/s/many-").count();
    assert_eq!((count(&first), count(&second)), (20, 1));
}
