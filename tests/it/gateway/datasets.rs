//! URLs of datasets: members by name, the base as a list.

use dapple::service::view::{ContentView, Page};
use reqwest::header::ACCEPT;

use crate::gateway::world::{World, bytes_of, refusal};

#[tokio::test]
async fn one_grant_reads_every_member_by_its_name() {
    let world = World::new().await;
    let names = ["z.zarr/.zgroup", "z.zarr/t/0.0", "with space", "ü+%", "/rooted"];
    for name in names {
        world.put(name, name.as_bytes()).await;
    }
    let base = world.url("s:set", 60).await;
    for name in names {
        let encoded = name.replace('%', "%25").replace(' ', "%20").replace('ü', "%C3%BC");
        let url = format!("{base}{encoded}");
        assert_eq!(bytes_of(world.get(&url)).await, (200, name.as_bytes().to_vec()), "{url}");
        let (status, part) = bytes_of(world.get(&url).header("range", "bytes=1-")).await;
        assert_eq!((status, &part[..]), (206, &name.as_bytes()[1..]));
        let head = world.ask("HEAD", &url).send().await.expect("served");
        assert_eq!(head.headers()["content-length"], *name.len().to_string());
    }
}

#[tokio::test]
async fn what_is_no_member_is_not_found_whether_it_exists_or_not() {
    let world = World::new().await;
    world.put("a.tif", b"abc").await;
    let base = world.url("s:set", 60).await;
    let object = world.put("later", b"later").await;
    let mut told = Vec::new();
    for name in ["later", "a.tif.aux.xml", "a.tif.ovr", "set", ".zmetadata"] {
        let response = world.get(&format!("{base}{name}")).send().await.expect("served");
        assert_eq!(response.status(), 404, "{name}");
        let body: serde_json::Value = response.json().await.expect("a problem");
        assert_eq!(body["code"], "grant-out-of-scope");
        told.push(body["detail"].as_str().expect("text").replace(name, "NAME"));
    }
    told.dedup();
    assert_eq!(told.len(), 1, "files that exist look like files that do not: {told:?}");
    let token = base.split('/').nth(4).expect("a token");
    let root = &world.lake.public_url;
    for odd in [format!("{root}/s/{token}"), format!("{root}/s/{token}/s"), format!("{root}/s/{token}/other/a.tif")] {
        assert_eq!(refusal(world.get(&odd)).await, (404, "grant-out-of-scope".to_owned()), "{odd}");
    }
    assert_eq!(bytes_of(world.get(&object)).await.0, 200, "it exists");
    assert_eq!(refusal(world.get(&format!("{root}/s/x{token}/s/a.tif"))).await.0, 400);
}

#[tokio::test]
async fn the_base_lists_what_the_grant_opens_page_by_page() {
    let world = World::new().await;
    for at in 0..5 {
        world.put(&format!("f{at}"), b"abc").await;
    }
    let base = world.url("s:set", 60).await;
    for at in 5..9 {
        world.put(&format!("f{at}"), b"abc").await;
    }
    let (mut names, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let response = world.get(&format!("{base}?limit=2{after}")).send().await.expect("served");
        assert_eq!(response.headers()["content-type"], "application/json");
        let page: Page<ContentView> = response.json().await.expect("a page");
        names.extend(page.items.iter().map(|item| item.did.name.to_string()));
        pages += 1;
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["f0", "f1", "f2", "f3", "f4"]);
    assert_eq!(pages, 3, "nothing tells that more was added since");
    assert_eq!(refusal(world.get(&format!("{base}?limit=0"))).await, (400, "invalid-limit".to_owned()));
    assert_eq!(refusal(world.get(&format!("{base}?limit=x"))).await, (400, "invalid-query".to_owned()));
    let head = world.ask("HEAD", &base).send().await.expect("served");
    assert_eq!(head.status(), 200);
    let object = world.url("s:f0", 60).await;
    let token = object.split_once("?grant=").expect("signed").1;
    let url = format!("{}/s/{token}/s/", world.lake.public_url);
    assert_eq!(refusal(world.get(&url)).await, (400, "not-a-dataset".to_owned()));
}

#[tokio::test]
async fn people_get_a_page_of_links_that_work_and_cannot_act() {
    let world = World::new().await;
    let names = ["<img src=x onerror=alert(1)>", "a b?c#d%", "//host/x", "javascript:x", "plain.nc"];
    for name in names {
        world.put(name, name.as_bytes()).await;
    }
    let base = world.url("s:set", 60).await;
    let request = world.get(&base).header(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8");
    let response = request.send().await.expect("served");
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    let text = response.text().await.expect("text");
    assert!(!text.contains("<img"), "{text}");
    let links: Vec<_> = text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), names.len());
    let base = reqwest::Url::parse(&base).expect("a URL");
    for (link, name) in links.into_iter().zip(names) {
        let url = base.join(link).expect("relative");
        assert_eq!(bytes_of(world.get(url.as_str())).await, (200, name.as_bytes().to_vec()), "{url}");
    }
}
