//! URLs that are not, or not any more, what they were.

use std::time::Duration;

use dapple::model::account::AccountName;
use dapple::model::id::{DecisionId, DidId, GrantId};
use dapple::policy::grant::{Grant, Method, Methods, Mode, Target};
use dapple::policy::token::SigningKey;

use crate::gateway::world::{World, bytes_of, did, problem, refusal};

fn split(url: &str) -> (&str, &str) {
    url.split_once("?grant=").expect("a signed URL")
}

fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_token_that_was_touched_opens_nothing() {
    let world = World::new().await;
    let url = world.put("a", b"abc").await;
    let (path, token) = split(&url);
    let get = |token: &str| world.get(&format!("{path}?grant={token}"));
    for at in 0..token.len() {
        let mut bytes = token.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        let (status, code) = refusal(get(&changed)).await;
        let expected = ["grant-malformed", "grant-bad-signature", "grant-unknown-key"];
        assert!(expected.contains(&&*code) && [400, 403].contains(&status), "at {at}: {status} {code}");
    }
    let signature = token.rfind('.').expect("three parts") + 1;
    for cut in [0, 1, 10, signature, signature + 20, token.len() - 1] {
        let (status, code) = refusal(get(&token[..cut])).await;
        assert!(status == 400 || code == "grant-bad-signature", "cut at {cut}: {status} {code}");
    }
    assert_eq!(refusal(world.get(path)).await, code(401, "unauthenticated"), "nobody knows who asks");
    assert_eq!(refusal(world.get(&format!("{url}&grant={token}"))).await, code(400, "grant-malformed"));
    assert_eq!(refusal(get(&"x".repeat(4_000))).await, code(400, "grant-malformed"));
    assert_eq!(bytes_of(world.get(&url)).await, (200, b"abc".to_vec()), "untouched, it opens");
    assert_eq!(bytes_of(world.get(&format!("{path}?x=y&grant={token}&z"))).await.0, 200);
}

#[tokio::test]
async fn a_grant_opens_what_it_names_and_nothing_else() {
    let world = World::new().await;
    let (a, b) = (world.put("a", b"abc").await, world.put("b", b"def").await);
    let ((path_a, token_a), (path_b, token_b)) = (split(&a), split(&b));
    for (path, token) in [(path_a, token_b), (path_b, token_a)] {
        let crossed = format!("{path}?grant={token}");
        assert_eq!(refusal(world.get(&crossed)).await, code(403, "grant-out-of-scope"));
        assert_eq!(world.ask("HEAD", &crossed).send().await.expect("served").status(), 403);
    }
    let base = &world.lake.public_url;
    for missing in ["d/s/nothing", "d/other/a", "d/s/a.aux.xml"] {
        let url = format!("{base}/{missing}?grant={token_a}");
        assert_eq!(refusal(world.get(&url)).await, code(403, "grant-out-of-scope"), "{missing}");
    }
    for bad in ["d/s", "d/s/", "d/s/%ff", "d/%2e/a", "d/s/a%0d%0aX-Evil:%201"] {
        let answer = world.raw(&format!("GET /{bad}?grant={token_a}"), "").await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("invalid-did"), "{bad}: {answer}");
        assert!(!answer.to_lowercase().contains("\r\nx-evil"), "{answer}");
    }
}

#[tokio::test]
async fn a_grant_ends_at_its_second() {
    let world = World::new().await;
    world.put("a", b"abc").await;
    let (url, set) = (world.url("s:a", 5).await, world.url("s:set", 5).await);
    assert_eq!(bytes_of(world.get(&url)).await.0, 200);
    world.turn_clock(Duration::from_secs(6));
    assert_eq!(refusal(world.get(&url)).await, code(403, "grant-expired"));
    assert_eq!(refusal(world.get(&set)).await, code(403, "grant-expired"));
    assert_eq!(refusal(world.get(&format!("{set}a"))).await, code(403, "grant-expired"));
    let upload = world.announce("b", b"def").await;
    world.turn_clock(Duration::from_hours(2));
    assert_eq!(refusal(world.client.put(&upload).body("def")).await, code(403, "grant-expired"));
}

#[tokio::test]
async fn a_method_that_was_not_granted_is_refused() {
    let world = World::new().await;
    let (read, upload) = (world.put("a", b"abc").await, world.announce("b", b"def").await);
    let set = world.url("s:set", 60).await;
    let wrong = code(403, "grant-wrong-method");
    assert_eq!(refusal(world.client.put(&read).body("abc")).await, wrong);
    assert_eq!(refusal(world.get(&upload)).await, wrong);
    assert_eq!(world.ask("HEAD", &upload).send().await.expect("served").status(), 403);
    let (path, _) = split(&read);
    let token = set.split('/').nth(4).expect("a token");
    assert_eq!(refusal(world.client.put(format!("{path}?grant={token}")).body("x")).await, wrong);
    for method in ["DELETE", "POST", "PATCH", "PROPFIND"] {
        for (url, allowed) in [(&read, "GET, HEAD, PUT, OPTIONS"), (&set, "GET, HEAD, OPTIONS")] {
            let response = world.ask(method, url).send().await.expect("served");
            assert_eq!(response.headers()["allow"], allowed);
            assert_eq!(problem(response).await, code(405, "method-not-allowed"));
        }
    }
    assert_eq!(refusal(world.client.put(format!("{set}a")).body("x")).await, code(405, "method-not-allowed"));
    assert_eq!(bytes_of(world.get(&read)).await, (200, b"abc".to_vec()), "nothing happened to it");
}

#[tokio::test]
async fn a_grant_of_another_house_or_another_time_is_refused() {
    let world = World::new().await;
    let url = world.put("a", b"abc").await;
    let (path, _) = split(&url);
    let now = world.lake.catalog.clock().now();
    let grant = Grant {
        id: GrantId(1),
        subject: AccountName::root(),
        issued_at: now,
        not_before: now,
        expires_at: now.after(Duration::from_mins(1)),
        methods: Methods::from_iter([Method::Read]),
        target: Target::Object { did: did("s:a"), id: DidId(1) },
        from: None,
        mode: Mode::Stream,
        decision: DecisionId(1),
    };
    let get = |token: String| world.get(&format!("{path}?grant={token}"));
    let stranger = SigningKey::from_seed([8; 32]).mint(&grant).expect("sound");
    assert_eq!(refusal(get(stranger)).await, code(403, "grant-unknown-key"));
    let early = Grant { not_before: now.after(Duration::from_secs(50)), ..grant };
    let early = world.lake.signer.mint(&early).expect("sound");
    assert_eq!(refusal(get(early)).await, code(403, "grant-not-yet-valid"));
}

#[tokio::test]
async fn problems_tell_nothing_of_the_token() {
    let world = World::new().await;
    let url = world.put("a", b"abc").await;
    let (path, token) = split(&url);
    for url in [format!("{path}.x?grant={token}"), format!("{path}?grant={token}x"), format!("{url}&grant=")] {
        let response = world.get(&url).send().await.expect("served");
        let told = format!("{:?}", response.headers()) + &response.text().await.expect("text");
        assert!(!told.contains(&token[60..90]), "{told}");
    }
}
