//! Several servers on one catalog: they share the work, and any of them may be killed or stand still.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dapple::client::Client;
use dapple::clock::SystemClock;
use dapple::model::id::RuleId;
use dapple::model::rule::RuleState;
use dapple::service::view::{NewScope, NewUrl};
use tempfile::TempDir;

use super::{TestLake, did, pause, tree};
use crate::peers::postgres::postgres;

/// A process that serves the lake.
struct OneOfMany {
    directory: PathBuf,
    address: String,
    process: Child,
}

fn start(directory: &Path, address: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dapple"));
    command.env_remove("DAPPLE_URL").env_remove("DAPPLE_TOKEN").stdin(Stdio::null()).stdout(Stdio::null());
    let log = std::fs::File::create(directory.join("log")).expect("a log");
    command.arg("serve").arg("--config").arg(directory.join("dapple.toml")).args(["--listen", address]);
    command.stderr(log).spawn().expect("the server starts")
}

impl OneOfMany {
    fn start(root: &Path, name: &str, database: &str) -> Self {
        let directory = root.join(name);
        std::fs::create_dir_all(directory.join("lake")).expect("made");
        let text = format!(
            "[serve]\ndir = \"lake\"\n[catalog]\nurl = \"{database}\"\nlease = \"5s\"\n[transfers]\nlease = \"8s\"\n"
        );
        std::fs::write(directory.join("dapple.toml"), text).expect("written");
        // The port is free now; nothing else in this test takes ports by number.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let address = address.to_string();
        let process = start(&directory, &address);
        Self { directory, address, process }
    }

    fn client(&self, key: &str) -> Client {
        let url = format!("http://{}", self.address);
        Client::new(&url, Some(key.to_owned()), SystemClock::shared()).expect("a URL")
    }

    /// What it counted of its transactions.
    async fn told_of_transactions(&self, key: &str) -> String {
        let url = format!("http://{}/metrics", self.address);
        let answer = reqwest::Client::new().get(url).bearer_auth(key).send().await.expect("an answer");
        let text = answer.text().await.expect("a body");
        let lines = text.lines().filter(|line| line.starts_with("dapple_catalog_transactions_"));
        lines.collect::<Vec<_>>().join(", ")
    }

    async fn ready(&self) {
        let client = self.client("").with_pauses(Vec::new());
        let started = Instant::now();
        while client.health().await.is_err() {
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_mins(1), "the server is not ready after a minute: {log}");
            pause().await;
        }
    }

    /// Takes the keys that the first server made.
    fn take_keys(root: &Path, from: &str, to: &str) {
        std::fs::create_dir_all(root.join(to).join("lake")).expect("made");
        for key in ["url-signing.key", "instance.key"] {
            let (from, to) = (root.join(from).join("lake").join(key), root.join(to).join("lake").join(key));
            std::fs::copy(from, to).expect("copied");
        }
    }

    /// Pulls the plug.
    fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it is gone");
    }

    /// Starts it again where it was.
    async fn again(&mut self) {
        self.process = start(&self.directory, &self.address);
        self.ready().await;
    }

    /// Has it stand still, or go on.
    fn signal(&self, signal: &str) {
        let told = Command::new("kill").args([signal, &self.process.id().to_string()]).status().expect("it runs");
        assert!(told.success());
    }
}

impl Drop for OneOfMany {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Puts a dataset and asks for copies of it.
async fn wish(lake: &TestLake, dataset: &str, files: usize) -> RuleId {
    lake.put_numbered(dataset, "x", 0..files).await;
    lake.rule(dataset, 2, "site=y|site=z").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_share_a_lake_and_any_may_be_killed_or_stand_still() {
    let directory = TempDir::new().expect("a temporary directory");
    let (root, database) = (directory.path().to_owned(), postgres().database());
    let mut a = OneOfMany::start(&root, "a", &database);
    a.ready().await;
    // A server with keys of its own would sign what nobody accepts.
    let mut stranger = OneOfMany::start(&root, "stranger", &database);
    assert!(!stranger.process.wait().expect("it ends").success());
    let told = std::fs::read_to_string(stranger.directory.join("log")).expect("a log");
    assert!(told.contains("url-signing.key") && told.contains("another server of this lake"), "{told}");
    for name in ["b", "c"] {
        OneOfMany::take_keys(&root, "a", name);
    }
    let (b, mut c) = (OneOfMany::start(&root, "b", &database), OneOfMany::start(&root, "c", &database));
    b.ready().await;
    c.ready().await;

    let key = std::fs::read_to_string(a.directory.join("lake/admin.key")).expect("a key").trim().to_owned();
    let mut lake = TestLake { server: None, client: a.client(&key), directory, settings: String::new() };
    let scope = NewScope { scope: "s".to_owned().try_into().expect("a scope"), owner: None };
    lake.client.add_scope(&scope).await.expect("a scope");
    for site in ["x", "y", "z"] {
        lake.add_endpoint(site, &[]).await;
    }
    // What one server is told, all work on. Signed URLs of one are served by every other.
    let mut rules = Vec::new();
    for (turn, server) in [&a, &b, &c].into_iter().enumerate() {
        lake.client = server.client(&key);
        let began = Instant::now();
        let rule = wish(&lake, &format!("s:calm{turn}"), 30).await;
        let asked = began.elapsed();
        lake.until(rule, RuleState::Ok).await;
        println!("a rule at one of three servers: put in {asked:?}, OK after {:?}", began.elapsed());
        rules.push((rule, 60));
    }
    let wish_for = NewUrl { did: did("s:calm0/3"), expires_seconds: 600, from: None, redirect: false };
    let minted = lake.client.mint(&wish_for);
    let url = minted.await.expect("a URL").url.replace(&c.address, &a.address);
    assert!(reqwest::get(&url).await.expect("an answer").status().is_success());

    // One is killed while it works.
    lake.client = b.client(&key);
    rules.push((wish(&lake, "s:killed", 120).await, 240));
    a.kill();
    rules.push((wish(&lake, "s:after", 30).await, 60));
    let began = Instant::now();
    for (rule, files) in &rules {
        lake.until_rule(*rule, |view| view.state == RuleState::Ok && view.files_done == *files).await;
    }
    println!("after a kill all is OK in {:?}", began.elapsed());
    a.again().await;

    // One stands still for longer than its leases, and goes on.
    lake.client = c.client(&key);
    rules.push((wish(&lake, "s:still", 120).await, 240));
    b.signal("-STOP");
    rules.push((wish(&lake, "s:meanwhile", 30).await, 60));
    let began = Instant::now();
    for (rule, files) in &rules {
        lake.until_rule(*rule, |view| view.state == RuleState::Ok && view.files_done == *files).await;
    }
    println!("beside one that stands still all is OK in {:?}", began.elapsed());
    b.signal("-CONT");
    rules.push((wish(&lake, "s:last", 60).await, 120));
    lake.client = a.client(&key);
    c.kill();
    for (rule, files) in &rules {
        lake.until_rule(*rule, |view| view.state == RuleState::Ok && view.files_done == *files).await;
    }
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    assert_eq!(tree(&lake.root("z")), tree(&lake.root("x")));
    for server in [&a, &b] {
        lake.client = server.client(&key);
        lake.is_well().await;
        println!("at {}: {}", server.address, server.told_of_transactions(&key).await);
    }
}
