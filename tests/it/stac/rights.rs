//! Two accounts, and somebody without a key, see exactly what policy says: in searches, counts, items,
//! collections, extents and files. What is hidden is as if it were not there.

use dapple::model::did::DidKind;
use serde_json::{Value, json};

use crate::lake::TestLake;
use crate::stac::{ask, caught_up, ids, key_of, label, make, say};

fn at(x: f64, day: u32, extra: Value) -> Value {
    let mut said = json!({
        "datetime": format!("2026-01-{day:02}T00:00:00Z"),
        "geometry": {"type": "Point", "coordinates": [x, 10.0]},
    });
    said.as_object_mut().expect("an object").extend(extra.as_object().cloned().unwrap_or_default());
    said
}

/// A container that everybody sees, with data that fewer and fewer do.
pub(super) async fn lake() -> TestLake {
    let lake = TestLake::with_endpoints(&["x"]).await;
    for container in ["s:sea", "s:vault"] {
        lake.make(container, DidKind::Container).await;
    }
    label(&lake, "s:sea", "classification=public").await;
    label(&lake, "s:vault", "classification=restricted").await;
    for (dataset, x, day) in [("s:open", 1.0, 1), ("s:inner", 20.0, 2), ("s:kept", 40.0, 3)] {
        make(&lake, "s:sea", dataset, at(x, day, json!({ "title": format!("Ice of {dataset}"), "depth": day }))).await;
    }
    make(&lake, "s:vault", "s:deep", at(60.0, 4, json!({}))).await;
    say(&lake, "s:sea", json!({ "title": "The sea", "keywords": ["ice"], "license": "CC-BY-4.0" })).await;
    label(&lake, "s:open", "classification=public").await;
    label(&lake, "s:inner", "classification=internal").await;
    label(&lake, "s:kept", "classification=restricted").await;
    lake.put("s:open", "x", &[("a/one.nc", b"abc"), ("b/one.nc", b"defg"), ("two.txt", b"hi"), ("quiet.nc", b"x")])
        .await;
    label(&lake, "s:quiet.nc", "classification=personal").await;
    lake.put("s:inner", "x", &[("in.nc", b"inside")]).await;
    caught_up(&lake).await;
    lake
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_finds_what_policy_lets_them_discover() {
    let lake = lake().await;
    let bob = key_of(&lake, "bob").await;
    let readers = [(None, 1, 1.0_f64), (Some(bob.as_str()), 2, 20.0), (Some(lake.key()), 4, 60.0)];
    let all = ["s--open", "s--inner", "s--kept", "s--deep"];
    for (key, count, east) in readers {
        let (status, page) = ask(&lake, key, "/search?sortby=datetime").await;
        assert_eq!((status, ids(&page)), (200, all[..count].iter().map(|id| (*id).to_owned()).collect()), "{key:?}");
        assert_eq!((&page["numberMatched"], &page["numberReturned"]), (&json!(count), &json!(count)));
        let (_, found) = ask(&lake, key, "/search?bbox=19,0,70,20").await;
        assert_eq!(found["numberMatched"], json!(count - 1), "a box tells no more: {found}");

        let (_, listed) = ask(&lake, key, "/collections").await;
        let listed = listed["collections"].as_array().expect("a list").clone();
        assert_eq!(listed.len(), if count == 4 { 2 } else { 1 }, "{key:?}");
        let (_, sea) = ask(&lake, key, "/collections/s--sea").await;
        assert_eq!(sea, listed[0]);
        let in_sea = east.min(40.0);
        assert_eq!(sea["extent"]["spatial"]["bbox"], json!([[1.0, 10.0, in_sea, 10.0]]), "{key:?}");
        let last = format!("2026-01-{:02}T00:00:00Z", count.min(3));
        assert_eq!(sea["extent"]["temporal"]["interval"], json!([["2026-01-01T00:00:00Z", last]]));
        assert_eq!((&sea["title"], &sea["license"]), (&json!("The sea"), &json!("CC-BY-4.0")));

        for (at, id) in all.iter().enumerate() {
            let collection = if *id == "s--deep" { "s--vault" } else { "s--sea" };
            let (status, item) = ask(&lake, key, &format!("/collections/{collection}/items/{id}")).await;
            assert_eq!(status, if at < count { 200 } else { 404 }, "{key:?} {item}");
            assert_eq!(item["code"] == json!("not-found"), at >= count);
            let (status, _) = ask(&lake, key, &format!("/collections/{collection}/items/{id}/files")).await;
            assert_eq!(status, if at < count { 200 } else { 404 });
        }
        let (status, _) = ask(&lake, key, "/collections/s--vault/items").await;
        assert_eq!(status, if count == 4 { 200 } else { 404 });
    }
    let (_, hidden) = ask(&lake, None, "/collections/s--sea/items/s--kept").await;
    let (_, missing) = ask(&lake, None, "/collections/s--sea/items/s--nothing").await;
    let words = |answer: &Value| answer["description"].as_str().expect("words").replace("s--kept", "s--nothing");
    assert_eq!(words(&hidden), words(&missing), "the hidden is as if it were not there");

    // A label binds at once, whatever the index knows of it.
    label(&lake, "s:open", "classification=restricted").await;
    let (_, page) = ask(&lake, None, "/search").await;
    assert_eq!(ids(&page), Vec::<String>::new());
    caught_up(&lake).await;
    let (_, none) = ask(&lake, None, "/collections").await;
    assert_eq!(none["collections"], json!([]), "a collection without anything to see is not listed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_assets_that_open_as_they_say() {
    let lake = lake().await;
    let (status, item) = ask(&lake, None, "/collections/s--sea/items/s--open").await;
    assert_eq!(status, 200, "{item}");
    let assets = item["assets"].as_object().expect("assets");
    let keys: Vec<&str> = assets.keys().map(String::as_str).collect();
    assert_eq!(keys, ["s--a~2Fone.nc", "s--b~2Fone.nc", "two.txt"], "the hidden file is not there");
    assert_eq!(item["properties"]["did:length"], json!(3));
    assert_eq!(item["properties"]["did:bytes"], json!(9));
    let asset = &assets["s--b~2Fone.nc"];
    assert_eq!(asset["href"], json!(format!("{}/d/s/b/one.nc", lake.url())));
    assert_eq!((&asset["type"], &asset["file:size"]), (&json!("application/x-netcdf"), &json!(4)));
    assert_eq!(asset["file:checksum"], json!(format!("1e20{}", blake3::hash(b"defg").to_hex())));
    assert_eq!(asset["alternate"], Value::Null, "who shows no key is not told of endpoints");
    let bob = key_of(&lake, "bob").await;
    let (_, known) = ask(&lake, Some(&bob), "/collections/s--sea/items/s--open").await;
    let there = known["assets"]["s--b~2Fone.nc"]["alternate"]["x"]["href"].as_str().expect("an alternate");
    let read = async |url: &str| {
        let answer = reqwest::get(url).await.expect("an answer");
        (answer.status().as_u16(), answer.bytes().await.expect("bytes").to_vec())
    };
    let read_as_bob = async |url: &str| {
        let answer = reqwest::Client::new().get(url).bearer_auth(&bob).send().await.expect("an answer");
        (answer.status().as_u16(), answer.bytes().await.expect("bytes").to_vec())
    };
    assert_eq!(read_as_bob(there).await, (200, b"defg".to_vec()));
    assert_eq!(read(there).await.0, 404, "nor can the name of an endpoint be guessed");
    assert_eq!(read(asset["href"].as_str().expect("a URL")).await, (200, b"defg".to_vec()));
    let plain = asset["href"].as_str().expect("a URL");
    assert_eq!(read(&format!("{plain}?from=nowhere")).await.0, 404);
    lake.add_endpoint("y", &[]).await;
    assert_eq!(read_as_bob(&format!("{plain}?from=y")).await.0, 409, "nothing is there");
    assert_eq!(read(&format!("{plain}?from=x&from=y")).await.0, 400);

    // What is not public is signed for who may read it, in items, pages and answers to bodies alike.
    let inner = "/collections/s--sea/items/s--inner";
    let (_, unsigned) = ask(&lake, Some(lake.key()), inner).await;
    assert_eq!(read(unsigned["assets"]["in.nc"]["href"].as_str().expect("a URL")).await.0, 401);
    for path in [format!("{inner}?sign=1"), "/search?ids=s--inner&sign=1".to_owned()] {
        let (_, signed) = ask(&lake, Some(lake.key()), &path).await;
        let item = if signed["features"].is_array() { &signed["features"][0] } else { &signed };
        let asset = &item["assets"]["in.nc"];
        assert!(asset["expires"].is_string(), "{item}");
        assert_eq!(read(asset["href"].as_str().expect("a URL")).await, (200, b"inside".to_vec()));
    }
    let (_, plain) = ask(&lake, None, "/collections/s--sea/items/s--open?sign=1").await;
    assert_eq!(plain["assets"], item["assets"], "nobody signs for who does not say who they are");
    let (status, refused) = ask(&lake, Some("wrong"), "/search").await;
    assert_eq!((status, &refused["code"]), (401, &json!("unauthenticated")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_files_have_a_list_and_files_can_be_items() {
    let lake = lake().await;
    let names: Vec<String> = (0..205).map(|number| format!("many/{number:03}.nc")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    make(&lake, "s:sea", "s:many", at(1.0, 9, json!({}))).await;
    lake.put("s:many", "x", &files).await;
    label(&lake, "s:many", "classification=internal").await;
    let (_, item) = ask(&lake, Some(lake.key()), "/collections/s--sea/items/s--many").await;
    assert_eq!(item["assets"].as_object().expect("assets").keys().collect::<Vec<_>>(), ["manifest"]);
    let (mut url, mut found) = (item["assets"]["manifest"]["href"].as_str().map(str::to_owned), 0);
    while let Some(next) = url {
        let path = next.strip_prefix(&format!("{}/stac", lake.url())).expect("of this door").to_owned();
        let (status, page) = ask(&lake, Some(lake.key()), &path).await;
        assert_eq!(status, 200, "{page}");
        found += page["files"].as_array().expect("files").len();
        let links = page["links"].as_array().expect("links");
        url = links
            .iter()
            .find(|link| link["rel"] == json!("next"))
            .map(|link| link["href"].as_str().expect("a URL").to_owned());
    }
    assert_eq!(found, 205);
    // Who sees few of them gets them listed, and is not told that there are more.
    for name in names.iter().take(6) {
        label(&lake, &format!("s:{name}"), "classification=restricted").await;
    }
    let bob = key_of(&lake, "bob").await;
    let (_, item) = ask(&lake, Some(&bob), "/collections/s--sea/items/s--many").await;
    assert_eq!(
        (item["assets"].as_object().map(serde_json::Map::len), &item["properties"]["did:length"]),
        (Some(199), &json!(199))
    );

    say(&lake, "s:sea", json!({ "stac:items": "files" })).await;
    caught_up(&lake).await;
    let (_, page) = ask(&lake, None, "/collections/s--sea/items?limit=100&sortby=id").await;
    assert_eq!(ids(&page), ["s--a~2Fone.nc", "s--b~2Fone.nc", "s--two.txt"]);
    assert_eq!(page["features"][2]["properties"]["did:datetime_source"], json!("created"));
    assert_eq!(page["features"][2]["assets"].as_object().expect("assets").len(), 1);
    lake.put("s:open", "x", &[("late.nc", b"late")]).await;
    lake.detach("s:open", &["s:two.txt"]).await;
    caught_up(&lake).await;
    let (_, page) = ask(&lake, None, "/collections/s--sea/items?sortby=id").await;
    // What comes to a public dataset is public only if it says so, or its dataset does.
    assert_eq!(ids(&page), ["s--a~2Fone.nc", "s--b~2Fone.nc", "s--late.nc"]);
    say(&lake, "s:sea", json!({ "stac:items": null })).await;
    caught_up(&lake).await;
    let (_, page) = ask(&lake, None, "/collections/s--sea/items").await;
    assert_eq!(ids(&page), ["s--open"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_questions_are_told_what_is_wrong() {
    let lake = lake().await;
    for (path, status) in [
        ("/search?limit=0", 400),
        ("/search?bbox=1,2,3", 400),
        ("/search?bbox=1,9,3,4", 400),
        ("/search?datetime=yesterday", 400),
        ("/search?sortby=colour", 400),
        ("/search?sortby=properties.depth", 200),
        ("/search?colour=red", 400),
        ("/search?intersects=here", 400),
        ("/search?token=x", 400),
        ("/search?sortby=-depth,id,datetime,collection,title", 400),
        ("/search?query=%7B%22depth%22%3A%7B%22neq%22%3A1%7D%7D", 200),
        ("/search?query=%7B%22depth%22%3A%7B%22about%22%3A1%7D%7D", 400),
        ("/search?query=%7B%22depth%22%3A%7B%22gte%22%3A2%7D%7D", 200),
        ("/collections/nothing", 404),
        ("/nothing", 404),
        ("/collections?limit=none", 400),
    ] {
        let (found, answer) = ask(&lake, Some(lake.key()), path).await;
        assert_eq!(found, status, "{path}: {answer}");
        let is_told = answer["code"].is_string() && answer["description"].as_str().is_some_and(|words| words.len() > 9);
        assert_eq!(is_told, status >= 400, "{answer}");
    }
    let many = (0..40).map(|number| format!("w{number}")).collect::<Vec<_>>().join(",");
    assert_eq!(ask(&lake, None, &format!("/search?q={many}")).await.0, 400);
    let (_, found) = ask(&lake, Some(lake.key()), "/search?q=ICE&query=%7B%22depth%22%3A%7B%22gte%22%3A2%7D%7D").await;
    assert_eq!(ids(&found), ["s--kept", "s--inner"]);
    let http = reqwest::Client::new();
    let asked =
        http.request(reqwest::Method::OPTIONS, format!("{}/stac/search", lake.url())).send().await.expect("an answer");
    assert_eq!(
        (asked.status().as_u16(), &asked.headers()["access-control-allow-origin"]),
        (204, &"*".parse().expect("a value"))
    );
    let body = http
        .post(format!("{}/stac/search", lake.url()))
        .bearer_auth(lake.key())
        .json(&json!({"collections": ["s--sea"], "limit": 2}));
    let page: Value =
        serde_json::from_str(&body.send().await.expect("an answer").text().await.expect("a body")).expect("JSON");
    let next = page["links"].as_array().expect("links").iter().find(|link| link["rel"] == json!("next")).expect("more");
    let body = http.post(next["href"].as_str().expect("a URL")).bearer_auth(lake.key()).json(&next["body"]);
    let rest: Value =
        serde_json::from_str(&body.send().await.expect("an answer").text().await.expect("a body")).expect("JSON");
    assert_eq!((ids(&page).len(), ids(&rest)), (2, vec!["s--open".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_end_where_what_is_seen_ends_and_name_nothing_hidden() {
    let lake = lake().await;
    // What was public a moment ago may still be so in the index.
    label(&lake, "s:inner", "classification=public").await;
    caught_up(&lake).await;
    label(&lake, "s:inner", "classification=restricted").await;
    let (_, first) = ask(&lake, None, "/search?limit=1&sortby=-datetime").await;
    assert_eq!((ids(&first), next(&first)), (vec!["s--open".to_owned()], None), "only hidden rows follow");
    let (_, first) = ask(&lake, Some(lake.key()), "/search?limit=1&sortby=datetime").await;
    assert_eq!((ids(&first), &first["numberMatched"]), (vec!["s--open".to_owned()], &json!(4)));
    let url = next(&first).expect("more follows");
    let path = url.strip_prefix(&format!("{}/stac", lake.url())).expect("of this door");
    let (_, second) = ask(&lake, Some(lake.key()), path).await;
    assert_eq!((ids(&second), &second["numberMatched"]), (vec!["s--inner".to_owned()], &Value::Null));
    let token = path.rsplit("token=").next().expect("a token");
    let (status, refused) = ask(&lake, Some(lake.key()), &format!("/search?limit=1&sortby=id&token={token}")).await;
    assert_eq!((status, &refused["code"]), (400, &json!("search-invalid")), "of another search");
}

fn next(page: &Value) -> Option<&str> {
    let links = page["links"].as_array().expect("links");
    links.iter().find(|link| link["rel"] == json!("next")).map(|link| link["href"].as_str().expect("a URL"))
}

/// Equal data may be told apart by its name alone, which no number of an index stands for: every row is
/// decided by itself then, and nothing is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_a_policy_hides_by_its_name_is_not_found() {
    let policies = tempfile::tempdir().expect("a directory");
    let everybody = r#"
// All is seen.
@id("all")
permit (principal, action, resource);
"#;
    let hidden = r#"
// But this.
@id("but-this")
forbid (principal, action, resource)
when { resource == Dapple::Did::"s:b" }
unless { principal is Dapple::Account && principal.admin };
"#;
    std::fs::write(policies.path().join("all.cedar"), format!("{everybody}{hidden}")).expect("written");
    let lake = TestLake::with_settings(&format!("policy.dir = {:?}\n", policies.path()), &["x"]).await;
    lake.make("s:box", DidKind::Container).await;
    for (dataset, day) in [("s:a", 1), ("s:b", 2), ("s:c", 3)] {
        make(&lake, "s:box", dataset, at(f64::from(day), day, json!({ "depth": day }))).await;
    }
    caught_up(&lake).await;
    let bob = key_of(&lake, "bob").await;
    for key in [None, Some(bob.as_str())] {
        let (_, all) = ask(&lake, key, "/search?sortby=datetime").await;
        assert_eq!((ids(&all), &all["numberMatched"]), (vec!["s--a".to_owned(), "s--c".to_owned()], &Value::Null));
        let (_, first) = ask(&lake, key, "/search?sortby=datetime&limit=1").await;
        let url = next(&first).expect("more follows");
        let (_, second) = ask(&lake, key, url.strip_prefix(&format!("{}/stac", lake.url())).expect("here")).await;
        assert_eq!((ids(&second), next(&second)), (vec!["s--c".to_owned()], None));
        assert_eq!(ask(&lake, key, "/collections/s--box/items/s--b").await.0, 404);
        let (_, held) = ask(&lake, key, "/collections/s--box").await;
        let everywhere = json!([[-180.0, -90.0, 180.0, 90.0]]);
        assert_eq!(held["extent"]["spatial"]["bbox"], everywhere, "an extent would tell of it");
    }
    let (_, all) = ask(&lake, Some(lake.key()), "/search?sortby=datetime").await;
    assert_eq!(ids(&all).len(), 3);
}
