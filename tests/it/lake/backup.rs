//! A restore drill: a lake with something of everything is backed up while it works, and comes back in
//! another directory as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use dapple::app::error::AppError;
use dapple::app::serve::{ServeArgs, start};
use dapple::catalog::CatalogError;
use dapple::clock::SystemClock;
use dapple::fault::Fault as _;
use dapple::model::account::AccountKind;
use dapple::model::api_key::KeyScope;
use dapple::model::did::DidKind;
use dapple::model::rule::RuleState;
use dapple::service::view::{NewUrl, SecretText};
use tempfile::TempDir;

use super::accounts::{account, new_account, new_key};
use super::{PATIENCE, TestLake, client_of, did, name, numbered, pause, serve, tree};

/// Questions whose answers a restore leaves as they were.
const QUESTIONS: [&[&str]; 11] = [
    &["scope", "list"],
    &["ls", "s:d"],
    &["ls", "s:top"],
    &["did", "show", "s:d", "-o", "json"],
    &["did", "meta", "s:d", "-o", "json"],
    &["did", "history", "s:d"],
    &["did", "coverage", "s:d"],
    &["replica", "list", "s:d/1"],
    &["account", "list"],
    &["account", "member", "list", "geo"],
    &["account", "limit", "list", "ada"],
];

async fn answers(lake: &TestLake) -> Vec<String> {
    let mut answers = Vec::new();
    for words in QUESTIONS {
        answers.push(lake.good(words).await);
    }
    answers
}

/// Runs a command that asks no server.
fn dapple(words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dapple"));
    let output = command.env_remove("DAPPLE_URL").env_remove("DAPPLE_TOKEN").args(words).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl TestLake {
    /// Stops this lake and serves the one that a backup gives, in a directory of its own. The sites stay.
    async fn come_back(&mut self, backup: &Path) -> (PathBuf, TempDir) {
        self.server.take().expect("it is up").stop().await.expect("a clean stop");
        let fresh = TempDir::new().expect("a temporary directory");
        let (old, new) = (self.directory.path().join("lake"), fresh.path().join("lake"));
        let (code, _, told) =
            dapple(&["backup", "restore", &shown(backup), "--dir", &shown(&new), "--keys", &shown(&old)]);
        assert_eq!(code, 0, "{told}");
        assert!(!told.contains("instance.key"), "no key is missing: {told}");
        let server = serve(fresh.path(), &self.settings).await;
        self.client = client_of(&server);
        self.server = Some(server);
        (new, fresh)
    }

    async fn found(&self, word: &str) -> String {
        let begun = Instant::now();
        loop {
            let ran = self.typed(None, &["search", word]).await;
            if ran.code == 0 && !ran.out.is_empty() {
                return ran.out;
            }
            assert!(begun.elapsed() < PATIENCE, "nothing is found: {} {}", ran.out, ran.told);
            pause().await;
        }
    }
}

/// Fills a lake with something of everything, and takes an endpoint away on which transfers wait.
async fn furnish(lake: &TestLake) -> (dapple::client::Client, [dapple::model::id::RuleId; 3]) {
    lake.put_numbered("s:d", "x", 0..30).await;
    lake.make("s:top", DidKind::Container).await;
    lake.attach("s:top", &["s:d"]).await;
    lake.good(&["did", "meta", "s:d", "--set", "title=Sea ice", "--set", "datetime=2024-06-15T00:00:00Z"]).await;
    lake.good(&["did", "label", "s:d", "project=eo"]).await;
    lake.good(&["scope", "label", "s", "licence=CC-BY-4.0"]).await;
    let ada = lake.as_account("ada", &[KeyScope::Read]).await;
    lake.client.add_account(&new_account("geo", AccountKind::Group)).await.expect("added");
    lake.good(&["account", "member", "add", "geo", "ada"]).await;
    lake.good(&["account", "limit", "set", "ada", "--on", "x", "--bytes", "1GiB"]).await;
    let kept = lake.rule("s:top", 1, "site=y").await;
    lake.until(kept, RuleState::Ok).await;
    let stuck = lake.rule("s:d", 2, "site=y").await;
    lake.until(stuck, RuleState::Stuck).await;
    fs::remove_dir_all(lake.root("z")).expect("it is there");
    let waiting = lake.rule("s:d", 1, "site=z").await;
    lake.until_rule(waiting, |view| view.state != RuleState::Ok && view.locks_replicating + view.locks_stuck > 0).await;
    (ada, [kept, stuck, waiting])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_comes_back_from_a_backup_as_it_was() {
    let mut lake = TestLake::with_endpoints(&["x", "y", "z"]).await;
    let (ada, [kept, stuck, waiting]) = furnish(&lake).await;
    let key = lake.client.add_key(&account("ada"), &new_key(&[KeyScope::Read])).await.expect("a key").key;
    drop(ada);
    let before = answers(&lake).await;
    let wish = NewUrl { did: did("s:d/3"), expires_seconds: 600, from: None, redirect: false };
    let signed = lake.client.mint(&wish).await.expect("a URL").url;
    let cursor = lake.changes(0, 1_000).await["items"].as_array().expect("changes").len();

    // The backup is made while others write.
    let out = TempDir::new().expect("a temporary directory");
    let file = out.path().join("monday");
    let place = shown(&file);
    let words = ["backup", "create", "--to", &place];
    let (made, ()) = tokio::join!(lake.good(&words), lake.put_numbered("s:e", "x", 0..40));
    assert!(made.contains("\n  replicas"), "{made}");
    lake.put_numbered("s:late", "x", 0..2).await;
    let (code, verified, _) = dapple(&["backup", "verify", &place]);
    assert_eq!((code, verified), (0, made.clone()));
    let again = lake.typed(None, &words).await;
    assert_eq!(again.code, 2, "no backup is written over another: {}", again.told);

    let (_, _fresh) = lake.come_back(&file).await;
    lake.is_well().await;
    assert_eq!(answers(&lake).await, before);
    lake.until(kept, RuleState::Ok).await;
    assert_eq!(lake.client.rule(stuck).await.expect("the rule").state, RuleState::Stuck);
    let gone = lake.client.did(&did("s:late")).await.expect_err("it came after the backup");
    assert_eq!(gone.problem().code, "not-found");
    assert_eq!(lake.with_key(&key).whoami().await.expect("let in").account, account("ada"));
    assert!(lake.found("ice").await.contains("s:d"));

    // A signed URL is good for what is still there; a cursor of before is told from one of now.
    let path = &signed[signed.find("/d/").or(signed.find("/g/")).unwrap_or_else(|| panic!("{signed}"))..];
    let mut download = lake.client.download(path, 0, None).await.expect("it opens");
    let mut read = Vec::new();
    while let Some(piece) = download.chunk().await.expect("readable") {
        read.extend_from_slice(&piece);
    }
    assert_eq!(read, numbered("s:d", 3));
    let stale = lake.changes(cursor as u64, 10).await;
    assert_eq!(stale["code"], "feed-restarted", "{stale}");
    let first = lake.changes(0, 1).await["items"][0]["seq"].as_u64().expect("a number");
    assert!(first > 1 << 40, "{first}");

    // What waited goes on, and what is new is no other than what is gone.
    fs::create_dir_all(lake.root("z")).expect("made");
    lake.good(&["endpoint", "probe", "z"]).await;
    lake.client.retry_rule(waiting).await.expect("retried");
    lake.until(waiting, RuleState::Ok).await;
    assert_eq!(fs::read(lake.root("z").join("s/d/7")).expect("it came"), numbered("s:d", 7));
    lake.put_numbered("s:new", "y", 0..3).await;
    lake.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removal_stays_locked_until_somebody_accepts_each_endpoint() {
    let mut lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..2).await;
    let unlocked = lake.good(&["doctor"]).await;
    assert!(!unlocked.contains("nothing is removed"), "{unlocked}");
    let sent = lake.good(&["backup", "create", "--to", "endpoint:y/.backups/monday"]).await;
    assert!(sent.starts_with("endpoint:y/.backups/monday\n"), "{sent}");
    let there = lake.root("y").join(".backups/monday");
    let whole = blake3::hash(&fs::read(&there).expect("it is there")).to_hex().to_string();
    assert!(sent.contains(&whole), "{sent}");
    assert_eq!(tree(&lake.root("y")).len(), 1, "nothing else is left there");
    for (place, code, why) in [
        ("endpoint:y/.backups/monday", 6, "exists already"),
        ("endpoint:y/s/d/1", 2, "begin with what can be no scope"),
        ("endpoint:nowhere/.b", 4, "no endpoint `nowhere`"),
        ("endpoint:y/../b", 2, "not a path below"),
        ("endpoint:y", 2, "endpoint:NAME/PATH"),
    ] {
        let ran = lake.typed(None, &["backup", "create", "--to", place]).await;
        assert!(ran.code == code && ran.told.contains(why), "{place}: {} {}", ran.code, ran.told);
    }
    let (directory, _fresh) = lake.come_back(&there).await;

    let told = lake.good(&["doctor"]).await;
    assert!(told.contains("nothing is removed at x:") && told.contains("nothing is removed at y:"), "{told}");
    let sheet = lake.good(&["endpoint", "show", "x"]).await;
    assert!(sheet.contains("dapple endpoint accept-audit x"), "{sheet}");
    lake.good(&["endpoint", "accept-audit", "x", "--dry-run"]).await;
    assert_eq!(lake.client.check().await.expect("checked").removal_locked.len(), 2, "a dry run accepts nothing");
    lake.good(&["endpoint", "accept-audit", "x"]).await;
    let locked = lake.client.check().await.expect("checked").removal_locked;
    assert_eq!(locked.iter().map(|one| one.endpoint.clone()).collect::<Vec<_>>(), [name("y")]);
    let audits = lake.client.endpoint(&name("x")).await.expect("shown").audits;
    assert_eq!((audits.len(), &audits[0].accepted_by), (1, &Some(account("root"))));
    let ada = lake.as_account("ada", &[KeyScope::Read, KeyScope::Write]).await;
    let denied = ada.accept_audit(&name("y")).await.expect_err("she may not");
    assert_eq!(denied.problem().status, 403);

    // Another restore locks it again, and the history of both stays.
    lake.server.take().expect("it is up").stop().await.expect("a clean stop");
    let (second, out) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let (file, new) = (out.path().join("b"), second.path().join("lake"));
    let (code, _, told) = dapple(&["backup", "create", "--dir", &shown(&directory), "--to", &shown(&file)]);
    assert_eq!(code, 0, "{told}");
    let (code, page, told) = dapple(&["backup", "restore", &shown(&file), "--dir", &shown(&new)]);
    assert!(code == 0 && page.contains("epoch     2\n"), "{code} {page} {told}");
    assert!(told.contains("instance.key of the old lake's directory belongs into"), "{told}");
    let server = serve(second.path(), "").await;
    let client = client_of(&server);
    let audits = client.endpoint(&name("x")).await.expect("shown").audits;
    assert_eq!(audits.iter().map(|audit| audit.accepted_by.is_some()).collect::<Vec<_>>(), [true, false]);
    server.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_not_whole_makes_no_lake() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..2).await;
    let out = TempDir::new().expect("a temporary directory");
    let file = |name: &str| out.path().join(name);
    lake.good(&["backup", "create", "--to", &shown(&file("whole"))]).await;
    let whole = fs::read(file("whole")).expect("it is there");
    fs::write(file("torn"), &whole[..whole.len() - 7]).expect("written");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 4;
    fs::write(file("changed"), changed).expect("written");
    fs::write(file("other"), "not at all").expect("written");
    for (name, code, why) in [("torn", 1, "is torn"), ("changed", 1, "is damaged"), ("other", 2, "not a backup")] {
        for words in [&["backup", "verify"][..], &["backup", "restore", "--dir", &shown(&file("lake-of-").join(name))]]
        {
            let (ended, _, told) = dapple(&[words, &[&shown(&file(name))]].concat());
            assert!(ended == code && told.contains(why), "{name} {words:?}: {ended} {told}");
        }
    }
    // What it left is not served, and not restored onto.
    let half = out.path().join("lake-of-/torn");
    let (code, _, told) = dapple(&["backup", "restore", &shown(&file("whole")), "--dir", &shown(&half)]);
    assert!(code == 6 && told.contains("restored by half"), "{code} {told}");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let args = ServeArgs { dir: half, listen, public_url: None, policies: None };
    let refused = start(args).await.err().expect("it is not served");
    assert!(matches!(refused, AppError::Catalog(CatalogError::HalfRestored)), "{refused}");
    assert_eq!(refused.code(), "lake-half-restored");
    assert!(refused.hint().expect("a hint").contains("restore the backup again"));
    // Neither is a lake that is there, served or not.
    let there = lake.directory.path().join("lake");
    let (code, _, told) = dapple(&["backup", "restore", &shown(&file("whole")), "--dir", &shown(&there)]);
    assert!(code == 1 && told.contains("another process has the catalog"), "{code} {told}");
    let (code, _, told) = dapple(&["backup", "create", "--dir", &shown(&there), "--to", &shown(&file("b"))]);
    assert!(code == 1 && told.contains("another process has the catalog"), "{code} {told}");
    let (code, _, told) = dapple(&["backup", "create", "--dir", &shown(&file("none")), "--to", &shown(&file("b"))]);
    assert!(code == 1 && told.contains("there is no lake in"), "{code} {told}");
    assert!(!file("none").exists() && !file("b").exists() && !file("b.part").exists());
    let twice = out.path().join("twice");
    for code in [0, 6] {
        let (ended, _, told) = dapple(&["backup", "restore", &shown(&file("whole")), "--dir", &shown(&twice)]);
        assert_eq!(ended, code, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_looks_after_the_whole_lake_reads_a_backup() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let ada = lake.as_account("ada", &[KeyScope::Read, KeyScope::Write, KeyScope::Rules]).await;
    assert_eq!(ada.backup().await.err().expect("refused").problem().status, 403);
    let reading = lake.client.add_key(&account("root"), &new_key(&[KeyScope::Read])).await.expect("a key").key;
    assert_eq!(lake.with_key(&reading).backup().await.err().expect("refused").problem().code, "key-scope");
    let nobody = lake.with_key(&SecretText::new("dapple_no".to_owned()));
    assert_eq!(nobody.backup().await.err().expect("refused").problem().status, 401);
    let clock = SystemClock::shared();
    let root = dapple::client::Client::new(lake.url(), Some(lake.key().to_owned()), clock).expect("a URL");
    let mut incoming = root.backup().await.expect("it begins");
    let first = incoming.chunk().await.expect("a piece").expect("bytes");
    assert!(first.starts_with(b"dapplebk"));
}
