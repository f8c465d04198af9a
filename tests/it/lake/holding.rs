//! Datasets and containers: closed and opened again, what happened to them, where they are, and members in
//! bulk.

use dapple::client::{Client, ClientError};
use dapple::model::account::AccountName;
use dapple::model::api_key::KeyScope;
use dapple::model::did::DidKind;
use dapple::service::view::{
    BadReplica, DidChange, HistoryView, LabelsChange, Members, MovedChunk, NewRule, NewUpload, NewUploads, UploadView,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::accounts::new_key;
use super::{TestLake, blake3_of, did, name};
use crate::peers::proxy::{Proxy, Way};

const CLOSED: DidChange = DidChange { closed: true };
const OPEN: DidChange = DidChange { closed: false };

fn code<T>(outcome: Result<T, ClientError>) -> String {
    outcome.err().expect("it is refused").problem().code
}

fn members(dids: &[&str]) -> Members {
    Members { dids: dids.iter().map(|text| did(text)).collect() }
}

/// `what` with what it was done to, of the whole history, in pages of two.
async fn told(client: &Client, of: &str) -> Vec<String> {
    let (mut told, mut after): (Vec<HistoryView>, Option<String>) = (Vec::new(), None);
    loop {
        let page = client.history(&did(of)).expect("addressable").page(2, after.as_deref()).await.expect("told");
        assert!(page.items.len() <= 2);
        told.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let word = |entry: HistoryView| {
        let about = entry.did.map(|did| format!(" {did}")).unwrap_or_default();
        let count = entry.count.map(|count| format!(" {count}")).unwrap_or_default();
        let at = entry.endpoint.map(|at| format!(" at {at}")).unwrap_or_default();
        let who = entry.account.as_ref().map_or("nobody", AccountName::as_str).to_owned();
        format!("{who} {}{about}{count}{at} {}", entry.what, entry.labels.join(" ")).trim_end().to_owned()
    };
    told.into_iter().map(word).collect()
}

#[tokio::test]
async fn what_is_closed_takes_no_more_members_by_any_way() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..2).await;
    lake.put_numbered("s:other", "x", 0..1).await;
    lake.make("s:all", DidKind::Container).await;
    lake.attach("s:all", &["s:d"]).await;
    assert!(lake.client.did(&did("s:d")).await.expect("shown").closed_at.is_none());
    let rehearsed = lake.client.clone().rehearsing().change_did(&did("s:d"), &CLOSED).await.expect("it could be");
    assert!(rehearsed.closed_at.is_some());
    assert!(lake.client.did(&did("s:d")).await.expect("shown").closed_at.is_none(), "a dry run closes nothing");
    for of in ["s:d", "s:all"] {
        let closed = lake.client.change_did(&did(of), &CLOSED).await.expect("closed");
        let again = lake.client.change_did(&did(of), &CLOSED).await.expect("closed already");
        assert!(closed.closed_at.is_some() && closed.closed_at == again.closed_at);
    }
    let listed = lake.client.dids(&"s".to_owned().try_into().expect("a scope"), None).page(100, None).await;
    let closed = listed.expect("listed").items.into_iter().filter(|item| item.closed_at.is_some());
    assert_eq!(closed.map(|item| item.did.to_string()).collect::<Vec<_>>(), ["s:all", "s:d"]);

    let refused = lake.client.attach(&did("s:d"), &members(&["s:other/0"])).await.expect_err("closed").problem();
    assert_eq!((refused.status, refused.code.as_str()), (409, "did-closed"));
    assert!(refused.detail.contains("s:d") && refused.hint.expect("a hint").contains("dapple did reopen s:d"));
    assert_eq!(code(lake.client.attach(&did("s:all"), &members(&["s:other"])).await), "did-closed");
    lake.client.attach(&did("s:d"), &members(&["s:d/0"])).await.expect("it holds that already");
    let file = |name: &str, bytes: &[u8]| NewUpload {
        name: name.to_owned(),
        bytes: bytes.len() as u64,
        checksum: blake3_of(bytes),
        meta: None,
    };
    let files = vec![file("d/0", &super::numbered("s:d", 0)), file("d/new", b"new")];
    let new = NewUploads { to: did("s:d"), endpoint: name("x"), files };
    let answers = lake.client.announce(&new).await.expect("answered").items;
    assert!(matches!(answers[0], UploadView::Done), "{answers:?}");
    assert!(matches!(&answers[1], UploadView::Refused { code, .. } if code == "did-closed"), "{answers:?}");
    let line = |name: &str| dapple::service::view::NewReplica {
        name: name.to_owned(),
        bytes: super::numbered("s:other", 0).len() as u64,
        checksum: blake3_of(&super::numbered("s:other", 0)),
        path: None,
        meta: None,
    };
    let (new, known, refused) = lake.register("s:d", "x", &[line("fresh"), line("other/0")]).await;
    assert_eq!((new, known, refused), (0, 0, vec!["1: did-closed".to_owned(), "2: did-closed".to_owned()]));
    assert_eq!(lake.client.did(&did("s:d")).await.expect("shown").length, Some(2));
    lake.detach("s:d", &["s:d/1"]).await;
    assert_eq!(code(lake.client.change_did(&did("s:d/0"), &CLOSED).await), "invalid-kind");

    let opened = lake.client.change_did(&did("s:d"), &OPEN).await.expect("opened");
    assert!(opened.closed_at.is_none());
    lake.attach("s:d", &["s:d/1", "s:other/0"]).await;
    lake.is_well().await;
}

#[tokio::test]
async fn an_upload_that_was_announced_does_not_land_in_a_dataset_closed_since() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let files = vec![NewUpload { name: "f".to_owned(), bytes: 1, checksum: blake3_of(b"1"), meta: None }];
    let new = NewUploads { to: did("s:d"), endpoint: name("x"), files };
    let answers = lake.client.announce(&new).await.expect("announced").items;
    let UploadView::Put { url, .. } = &answers[0] else { panic!("{answers:?}") };
    let send = || lake.client.upload(url, 1, || dapple::client::Payload::Whole(bytes::Bytes::from_static(b"1")));
    lake.client.change_did(&did("s:d"), &CLOSED).await.expect("closed");
    assert_eq!(code(send().await), "did-closed");
    assert_eq!(code(lake.client.did(&did("s:f")).await), "not-found");
    lake.client.change_did(&did("s:d"), &OPEN).await.expect("opened");
    send().await.expect("it lands now");
    lake.is_well().await;
}

#[tokio::test]
async fn a_history_tells_what_was_done_by_whom_and_nothing_of_what_is_hidden() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    let rule = NewRule {
        did: did("s:d"),
        copies: 1,
        expression: "x".to_owned(),
        grouping: dapple::model::rule::Grouping::Dataset,
        lifetime_seconds: None,
    };
    let id = lake.client.create_rule(&rule).await.expect("made").id;
    lake.client.remove_rule(id).await.expect("removed");
    lake.client.change_did(&did("s:d"), &CLOSED).await.expect("closed");
    lake.detach("s:d", &["s:d/1"]).await;
    lake.detach("s:d", &["s:d/2"]).await;
    lake.client.change_did(&did("s:d"), &OPEN).await.expect("opened");
    lake.attach("s:d", &["s:d/1"]).await;
    let labels = |labels: &[&str]| LabelsChange { labels: labels.iter().map(|label| (*label).to_owned()).collect() };
    lake.client.label_did(&did("s:d"), &labels(&["project=eo"])).await.expect("labelled");
    let bad = BadReplica { did: did("s:d/0"), endpoint: name("x") };
    lake.client.declare_bad(&bad).await.expect("declared");
    let all = [
        "root created",
        "root attached s:d/0 3",
        "root rule_made",
        "root rule_removed",
        "root closed",
        "root detached s:d/1 2",
        "root reopened",
        "root attached s:d/1 1",
        "root labelled project=eo",
        "root replicas_bad s:d/0 1 at x",
    ];
    assert_eq!(told(&lake.client, "s:d").await, all);
    assert_eq!(told(&lake.client, "s:d/0").await, ["root created", "root replicas_bad s:d/0 1 at x"]);
    // Who may only read is told no sums, and nothing of members that are hidden.
    let bob = lake.as_account("bob", &[KeyScope::Read]).await;
    lake.client.label_did(&did("s:d/0"), &labels(&["classification=personal"])).await.expect("hidden");
    let seen = told(&bob, "s:d").await;
    let expected = [
        "root created",
        "root rule_made",
        "root rule_removed",
        "root closed",
        "root detached s:d/1",
        "root reopened",
        "root attached s:d/1",
        "root labelled project=eo",
    ];
    assert_eq!(seen, expected);
    // Which acts a key lets through has no say in what its account may know.
    let reads = lake.client.add_key(&AccountName::root(), &new_key(&[KeyScope::Read])).await.expect("a key").key;
    assert_eq!(told(&lake.with_key(&reads), "s:d").await, all);
    assert_eq!(code(bob.history(&did("s:d/0")).expect("a name").page(10, None).await), "not-found");
}

#[tokio::test]
async fn coverage_tells_what_of_a_dataset_is_where() {
    let lake = TestLake::with_endpoints(&["x", "y", "z"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    lake.make("s:part", DidKind::Dataset).await;
    lake.attach("s:part", &["s:d/1"]).await;
    let rule = lake.rule("s:part", 1, "y").await;
    lake.until(rule, dapple::model::rule::RuleState::Ok).await;
    let of = lake.client.coverage(&did("s:d")).await.expect("told");
    let bytes = |numbers: std::ops::Range<usize>| {
        numbers.map(|number| super::numbered("s:d", number).len() as u64).sum::<u64>()
    };
    assert_eq!((of.files, of.bytes), (Some(3), Some(bytes(0..3))));
    let at = of.endpoints.expect("told").into_iter().map(|at| (at.endpoint.to_string(), at.files, at.bytes));
    let expected = [("x".to_owned(), 3, bytes(0..3)), ("y".to_owned(), 1, bytes(1..2))];
    assert_eq!(at.collect::<Vec<_>>(), expected);
    let problem = lake.client.coverage(&did("s:d/0")).await.expect_err("a file").problem();
    assert!(problem.code == "invalid-kind" && problem.hint.expect("a hint").contains("replica list"));
}

async fn chunks(
    answers: Result<impl futures::Stream<Item = Result<MovedChunk, ClientError>>, ClientError>,
) -> Vec<MovedChunk> {
    answers.expect("begun").try_collect().await.expect("answered")
}

fn lines(values: Vec<Value>) -> stream::BoxStream<'static, std::io::Result<bytes::Bytes>> {
    let text = |value: Value| Ok(bytes::Bytes::from(value.to_string() + "\n"));
    stream::iter(values.into_iter().map(text)).boxed()
}

fn sums(chunks: &[MovedChunk]) -> (u64, u64, Vec<String>) {
    let refused = chunks.iter().flat_map(|chunk| &chunk.refused);
    let refused = refused.map(|refused| format!("{}: {}", refused.line, refused.code)).collect();
    (chunks.iter().map(|chunk| chunk.done).sum(), chunks.iter().map(|chunk| chunk.same).sum(), refused)
}

#[tokio::test]
async fn many_are_made_attached_and_detached_as_lines_and_again_changes_nothing() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let client = &lake.client;
    lake.make("s:all", DidKind::Container).await;
    let made = |count: usize| {
        let mut new: Vec<_> = (0..count).map(|n| json!({"did": format!("s:n{n}"), "kind": "dataset"})).collect();
        new[0] = json!({"did": "s:f", "kind": "file"});
        new[1] = json!({"did": "nowhere:n", "kind": "dataset"});
        new[2] = json!({"did": "s:all", "kind": "dataset"});
        new[3] = json!({"did": "s:n3"});
        lines(new)
    };
    let refused = ["1: invalid-kind", "2: not-found", "3: exists", "4: invalid-line"].map(str::to_owned).to_vec();
    let dry = client.clone().rehearsing();
    assert_eq!(sums(&chunks(dry.create_dids(made(10)).await).await), (6, 0, refused.clone()));
    let answers = chunks(client.create_dids(made(1_234)).await).await;
    assert_eq!(answers.iter().map(|chunk| chunk.line).collect::<Vec<_>>(), [1, 1_001]);
    assert_eq!(sums(&answers), (1_230, 0, refused.clone()), "the dry run made nothing");
    assert_eq!(sums(&chunks(client.create_dids(made(1_234)).await).await), (0, 1_230, refused));

    // What a list prints can be sent; lines that cannot join keep none of the others out.
    let all = did("s:all");
    let mut joining: Vec<Value> = (4..1_234).map(|n| json!({"did": format!("s:n{n}"), "kind": "dataset"})).collect();
    joining.extend([json!({"did": "s:all"}), json!({"did": "s:missing"}), json!({"did": "s:n4"})]);
    let refused = ["1231: membership-circle", "1232: not-found"].map(str::to_owned).to_vec();
    let rehearsed = sums(&chunks(dry.attach_many(&all, lines(joining.clone())).await).await);
    assert_eq!(rehearsed.0, 1_231, "chunk by chunk, so one that stands in two is counted twice");
    let joined = chunks(client.attach_many(&all, lines(joining.clone())).await).await;
    assert_eq!(sums(&joined), (1_230, 1, refused.clone()));
    assert_eq!(client.did(&all).await.expect("shown").length, Some(1_230));
    let history = told(client, "s:all").await;
    assert_eq!(history, ["root created", "root attached s:n4 1230"], "one entry for all of it");
    assert_eq!(sums(&chunks(client.attach_many(&all, lines(joining.clone())).await).await), (0, 1_231, refused));
    client.change_did(&all, &CLOSED).await.expect("closed");
    let late = sums(&chunks(client.attach_many(&all, lines(vec![json!({"did": "s:n5"})])).await).await);
    assert_eq!(late, (0, 1, Vec::new()), "it is in there");
    let left = chunks(client.detach_many(&all, lines(joining)).await).await;
    assert_eq!(sums(&left), (1_230, 2, vec!["1232: not-found".to_owned()]));
    let late = sums(&chunks(client.attach_many(&all, lines(vec![json!({"did": "s:n5"})])).await).await);
    assert_eq!(late.2, ["1: did-closed"]);
    assert_eq!(code(client.attach_many(&did("s:nothing"), lines(Vec::new())).await.map(|_| ())), "not-found");
    lake.is_well().await;
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_made_once() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let port = lake.url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let proxy = std::sync::Arc::new(Proxy::to(port).await);
    proxy.set(Way::Cut(1));
    let way = std::sync::Arc::clone(&proxy);
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let key = Some(lake.key().to_owned());
    let client = Client::new(&url, key, dapple::clock::SystemClock::shared()).expect("a URL");
    let heard = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let ear = std::sync::Arc::clone(&heard);
    let client = client.with_notice(std::sync::Arc::new(move |_| {
        ear.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        way.set(Way::Open);
    }));
    let rule = NewRule {
        did: did("s:d"),
        copies: 1,
        expression: "x".to_owned(),
        grouping: dapple::model::rule::Grouping::Dataset,
        lifetime_seconds: None,
    };
    let made = client.create_rule(&rule).await.expect("answered at last");
    assert!(heard.load(std::sync::atomic::Ordering::SeqCst) > 0, "the first answer was lost");
    let rules = lake.client.rules(None).page(10, None).await.expect("listed").items;
    assert_eq!(rules.iter().map(|rule| rule.id).collect::<Vec<_>>(), [made.id]);
}
