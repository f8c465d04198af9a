//! A server stops and starts, in order or not.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dapple::client::Client;
use dapple::clock::SystemClock;
use dapple::model::rule::RuleState;
use tempfile::TempDir;

use super::{TestLake, did, numbered, pause, tree};

#[tokio::test]
async fn a_lake_is_the_same_after_a_restart() {
    let mut lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..20).await;
    let rule = lake.rule("s:d", 1, "site=y").await;
    lake.restart().await;
    lake.until(rule, RuleState::Ok).await;
    assert_eq!(tree(&lake.root("y")), tree(&lake.root("x")));
    lake.restart().await;
    assert_eq!(lake.client.rule(rule).await.expect("the rule").state, RuleState::Ok);
    assert_eq!(lake.client.did(&did("s:d")).await.expect("the dataset").length, Some(20));
    lake.put_numbered("s:d", "x", 20..25).await;
    lake.until_rule(rule, |view| view.state == RuleState::Ok && view.files_done == 25).await;
    lake.is_well().await;
}

/// The binary itself, as scripts use it.
struct Process {
    directory: TempDir,
    address: String,
    server: Child,
}

fn dapple() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dapple"));
    command.env_remove("DAPPLE_URL").env_remove("DAPPLE_TOKEN").stdin(Stdio::null());
    command
}

fn spawn(directory: &Path, address: &str) -> Child {
    let mut command = dapple();
    command.arg("serve").arg("--dir").arg(directory.join("lake")).args(["--listen", address]);
    command.stderr(Stdio::null()).spawn().expect("the server starts")
}

impl Process {
    async fn start() -> Self {
        // The port is free now; nothing else in this test takes ports by number.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let directory = TempDir::new().expect("a temporary directory");
        let server = spawn(directory.path(), &address);
        let process = Self { directory, address, server };
        process.ready().await;
        process
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn ready(&self) {
        let client = Client::new(&self.url(), None, SystemClock::shared()).expect("a URL").with_pauses(Vec::new());
        let started = Instant::now();
        while client.health().await.is_err() {
            assert!(started.elapsed() < Duration::from_mins(1), "the server is not ready after a minute");
            pause().await;
        }
    }

    /// Pulls the plug.
    fn kill(&mut self) {
        self.server.kill().expect("it runs");
        self.server.wait().expect("it is gone");
    }

    async fn again(&mut self) {
        self.server = spawn(self.directory.path(), &self.address);
        self.ready().await;
    }

    /// A command against this server; it has not been started yet.
    fn command(&self, words: &[&str]) -> Command {
        let key = std::fs::read_to_string(self.directory.path().join("lake/admin.key")).expect("a key");
        let mut command = dapple();
        command.env("DAPPLE_URL", self.url()).env("DAPPLE_TOKEN", key.trim()).args(words);
        command
    }

    /// Runs a command that has to succeed, and reads its JSON.
    fn json(&self, words: &[&str]) -> serde_json::Value {
        let output = self.command(words).args(["-o", "json"]).output().expect("the command runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?} failed: {told}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn path(&self, below: &str) -> String {
        self.directory.path().join(below).display().to_string()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn write_tree(root: &Path, files: usize) {
    for number in 0..files {
        let path = root.join(format!("dir {}/file {number}.bin", number % 7));
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        std::fs::write(path, numbered("tree", number)).expect("written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_loses_nothing_and_leaves_nothing_behind() {
    let files = if std::env::var_os("DAPPLE_TEST_LONG").is_some() { 5_000 } else { 600 };
    let mut lake = Process::start().await;
    let source = lake.directory.path().join("tree");
    write_tree(&source, files);
    lake.json(&["scope", "add", "s"]);
    for site in ["a", "b", "c"] {
        let (path, attribute) = (lake.path(site), format!("site={site}"));
        lake.json(&["endpoint", "add", site, "--kind", "posix", "--path", &path, "--attr", &attribute, "--create"]);
    }
    // The plug is pulled while files are put; the same command goes on by itself.
    let (from, put) = (source.display().to_string(), ["--to", "s:d", "--endpoint", "a", "-o", "json"]);
    let mut putting = lake.command(&["put", &from]);
    let mut putting = putting.args(put).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    tokio::time::sleep(Duration::from_millis(300)).await;
    lake.kill();
    lake.again().await;
    putting.wait().expect("it ends");
    let report = lake.json(&["put", &from, "--to", "s:d", "--endpoint", "a"]);
    assert_eq!(report["files"], files);

    // And while they are copied.
    let rule = lake.json(&["rule", "add", "s:d", "--copies", "2", "--on", "site=b|site=c"]);
    let id = rule["id"].as_str().expect("an id");
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        lake.kill();
        lake.again().await;
    }
    let rule = lake.json(&["rule", "wait", id, "--for", "ok", "--timeout", "3m"]);
    assert_eq!(rule["files_done"], 2 * files);
    let wanted = tree(&source);
    for site in ["a", "b", "c"] {
        let found = tree(&lake.directory.path().join(site));
        assert_eq!(found.len(), files, "at {site}, no more and no less");
        for (path, content) in &wanted {
            assert!(found[&format!("s/d/{path}")] == *content, "{path} at {site}");
        }
    }
    lake.json(&["get", "s:d", "--to", &lake.path("copy")]);
    assert!(tree(&lake.directory.path().join("copy")) == wanted, "what comes back is what was put");
}

#[test]
fn the_demo_does_what_it_says() {
    let directory = TempDir::new().expect("a temporary directory");
    for _ in 0..2 {
        let mut command = dapple();
        command.args(["demo", "--once", "--listen", "127.0.0.1:0", "--dir"]).arg(directory.path());
        let output = command.output().expect("the demo runs");
        let (shown, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{shown}\n{told}");
        let first = shown.split_whitespace().find(|word| word.starts_with("http")).expect("it shows a URL");
        assert!(first.starts_with("http://127.0.0.1:"), "{first}");
        assert!(shown.contains("dapple endpoint set NAME --attr country=FR"), "{shown}");
    }
}
