//! A secret is given once and is nowhere in the clear afterwards: not below the lake's directory, in
//! no answer, on no screen, in no log. The server is the real binary and logs all it can; the
//! store refuses everybody.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use dapple::client::Client;
use dapple::clock::SystemClock;
use tempfile::TempDir;

use super::{pause, tree};

/// The secrets' word; nothing else has it.
const WORD: &str = "qZx7canaryKv93Wt";
/// A word that is no secret, to show that the search finds words.
const SHOWN: &str = "shownRt55Lm";

/// The binary, its log, and all that it ever printed or answered.
struct Watched {
    directory: TempDir,
    address: String,
    server: Option<Child>,
    told: Vec<u8>,
}

fn free_address() -> String {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("an address").to_string()
}

impl Watched {
    async fn start() -> Self {
        let directory = TempDir::new().expect("a scratch directory");
        let mut watched = Self { directory, address: free_address(), server: None, told: Vec::new() };
        watched.serve().await;
        watched
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    async fn serve(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dapple"));
        command.arg("serve").arg("--dir").arg(self.directory.path().join("lake")).args(["--listen", &self.address]);
        let child = command.env("DAPPLE_LOG", "trace").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.server = Some(child.expect("the server starts"));
        let url = format!("http://{}", self.address);
        let client = Client::new(&url, None, SystemClock::shared()).expect("a URL").with_pauses(Vec::new());
        let started = Instant::now();
        while client.health().await.is_err() {
            assert!(started.elapsed() < Duration::from_mins(1), "the server is not ready after a minute");
            pause().await;
        }
    }

    fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may be gone already, which is what is wanted.
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    fn key(&self) -> String {
        let key = fs::read_to_string(self.directory.path().join("lake/admin.key")).expect("a key");
        key.trim().to_owned()
    }

    /// Runs a command with a secret in its environment; keeps all it prints, and tells its exit code.
    async fn run(&mut self, words: &[&str]) -> i32 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dapple"));
        command.env("DAPPLE_URL", format!("http://{}", self.address)).env("DAPPLE_TOKEN", self.key());
        command.env("DAPPLE_LOG", "trace").env("STORE_SECRET", format!("env:{WORD}")).args(words).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
        self.told.extend(&output.stdout);
        self.told.extend(&output.stderr);
        output.status.code().expect("it ends by itself")
    }

    /// Sends a request; keeps the answer.
    async fn ask(&mut self, method: reqwest::Method, path: &str, body: Option<&str>) -> u16 {
        let url = format!("http://{}/api/v1{path}", self.address);
        let request = reqwest::Client::new().request(method, url).bearer_auth(self.key());
        let answer = request.body(body.unwrap_or_default().to_owned()).send().await.expect("an answer");
        let status = answer.status().as_u16();
        self.told.extend(format!("{:?}", answer.headers()).as_bytes());
        self.told.extend(answer.bytes().await.expect("a body"));
        status
    }

    /// Sends a request whose answer tells a secret; returns what a member of it is.
    async fn ask_for(&self, path: &str, body: &str, member: &str) -> String {
        let url = format!("http://{}/api/v1{path}", self.address);
        let request = reqwest::Client::new().post(url).bearer_auth(self.key()).body(body.to_owned());
        let answer = request.send().await.expect("an answer").text().await.expect("a body");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        answer[member].as_str().unwrap_or_else(|| panic!("{member}: {answer}")).to_owned()
    }

    /// Lets accounts in, and keeps them out; what was told of that once is nowhere afterwards.
    async fn lets_accounts_in(&mut self) {
        use reqwest::Method;
        let password = secret_file(self.directory.path(), &format!("{WORD} and more"));
        assert_eq!(self.run(&["account", "add", "ada"]).await, 0);
        assert_eq!(self.run(&["account", "password", "ada", "--password-file", &password]).await, 0);
        let right = format!(r#"{{"account": "ada", "password": "{WORD} and more"}}"#);
        let token = self.ask_for("/sessions", &right, "token").await;
        let key = r#"{"name": "k", "scopes": ["read"], "expires_seconds": 60}"#;
        let key = self.ask_for("/accounts/ada/keys", key, "key").await;
        let wrong = format!(r#"{{"account": "ada", "password": "{WORD} and less"}}"#);
        assert_eq!(self.ask(Method::POST, "/sessions", Some(&wrong)).await, 401);
        let nobody = format!(r#"{{"account": "{WORD}", "password": "{WORD}"}}"#);
        assert_eq!(self.ask(Method::POST, "/sessions", Some(&nobody)).await, 401);
        let no_text = format!(r#"{{"account": "ada", "password": ["{WORD}"]}}"#);
        assert_eq!(self.ask(Method::POST, "/sessions", Some(&no_text)).await, 400);
        let short = r#"{"password": "qZx7"}"#;
        assert_eq!(self.ask(Method::PUT, "/accounts/ada/password", Some(short)).await, 400);
        for words in [&["account", "list"][..], &["account", "show", "ada"], &["account", "key", "list", "ada"]] {
            assert_eq!(self.run(words).await, 0);
        }
        assert_eq!(self.ask(Method::GET, "/accounts/ada/keys", None).await, 200);
        assert_eq!(self.ask(Method::GET, "/changes", None).await, 200);
        for secret in [token, key] {
            let url = format!("http://{}", self.address);
            let own = Client::new(&url, Some(secret.clone()), SystemClock::shared()).expect("a URL");
            assert_eq!(own.whoami().await.expect("let in").account.as_str(), "ada");
            assert_eq!(self.places(secret.as_bytes()), Vec::<String>::new(), "{secret} is in the clear");
        }
    }

    /// Waits until a transfer was begun, whatever came of it.
    async fn tried_a_transfer(&mut self) {
        let url = format!("http://{}", self.address);
        let client = Client::new(&url, Some(self.key()), SystemClock::shared()).expect("a URL");
        let started = Instant::now();
        loop {
            let transfers = client.transfers(None, None).page(10, None).await.expect("listed").items;
            if transfers.iter().any(|transfer| transfer.attempts > 0) {
                return;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "{transfers:?}");
            pause().await;
        }
    }

    /// The places where a text is in the clear.
    fn places(&self, text: &[u8]) -> Vec<String> {
        let mut files = tree(&self.directory.path().join("lake"));
        files.insert("the log".to_owned(), fs::read(self.log()).expect("a log"));
        files.insert("what was told".to_owned(), self.told.clone());
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        files.into_iter().filter(|(_, bytes)| has(bytes)).map(|(name, _)| name).collect()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Base64 of whole groups of three bytes.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63]))
    };
    bytes.as_chunks::<3>().0.iter().flat_map(|three| group(three)).collect()
}

/// The word in every shape in which it could have got out: as it is, in
/// hexadecimal, and within base64 wherever it begins there.
fn shapes() -> Vec<String> {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    let hex: String = WORD.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    let within = (0..3).map(|start| base64(&WORD.as_bytes()[start..]));
    [WORD.to_owned(), hex].into_iter().chain(within).collect()
}

fn secret_file(directory: &Path, text: &str) -> String {
    let path = directory.join("secret");
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// A store that lets nobody in.
async fn refusing_store() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let router = Router::new().fallback(|| async { (StatusCode::UNAUTHORIZED, "go away") });
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[test]
fn base64_is_what_others_make_of_it() {
    assert_eq!(base64(b"user:password12"), "dXNlcjpwYXNzd29yZDEy");
    assert_eq!(base64(b"abcde"), "YWJj", "whole groups only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_in_the_clear_nowhere() {
    let mut lake = Watched::start().await;
    // Outside the lake's directory: the caller's own file may have it.
    let secret = secret_file(lake.directory.path(), &format!("user:{WORD}"));
    let store = refusing_store().await;
    let attribute = format!("site={SHOWN}");
    let (dav, tokens) = (format!("{store}/data"), format!("{store}/token"));
    let print = format!("printf %s 'tok{WORD}'");
    let webdav = ["endpoint", "add", "dav", "--kind", "webdav", "--url", &dav, "--secret-file", &secret];
    assert_ne!(lake.run(&webdav).await, 0, "the store lets nobody in");
    let stored = [&webdav[..], &["--no-probe", "--attr", &attribute]].concat();
    assert_eq!(lake.run(&stored).await, 0);
    let token = ["endpoint", "add", "token", "--kind", "webdav", "--url", &tokens, "--secret-command", &print];
    assert_eq!(lake.run(&[&token[..], &["--no-probe"]].concat()).await, 0);
    let s3 = ["endpoint", "add", "s3", "--kind", "s3", "--url", &store, "--bucket", "data", "--secret-env"];
    assert_eq!(lake.run(&[&s3[..], &["STORE_SECRET", "--no-probe"]].concat()).await, 0);
    let posix = lake.directory.path().join("posix").display().to_string();
    let posix = ["endpoint", "add", "posix", "--path", &posix, "--create"];
    assert_ne!(lake.run(&[&posix[..], &["--secret-file", &secret]].concat()).await, 0, "it takes none");
    assert_eq!(lake.run(&posix).await, 0);

    // What people do with them, and how it fails.
    for name in ["dav", "token", "s3"] {
        assert_eq!(lake.run(&["endpoint", "show", name]).await, 0);
        assert_eq!(lake.run(&["endpoint", "show", name, "-o", "json"]).await, 0);
        assert_ne!(lake.run(&["endpoint", "probe", name]).await, 0);
        assert_ne!(lake.run(&["endpoint", "set", name, "--secret-env", "STORE_SECRET"]).await, 0);
        let body = format!(r#"{{"secret": "b:{WORD}", "no_probe": true}}"#);
        assert_eq!(lake.ask(reqwest::Method::PATCH, &format!("/endpoints/{name}"), Some(&body)).await, 200);
    }
    for body in [
        format!(r#"{{"secret": ["{WORD}"]}}"#),
        format!(r#"{{"secret": {{"word": "{WORD}"}}}}"#),
        format!(r#"{{"secret": "a:{WORD}\n{WORD}"}}"#),
        format!(r#"{{"secret": "-----BEGIN {WORD}"}}"#),
    ] {
        assert_eq!(lake.ask(reqwest::Method::PATCH, "/endpoints/dav", Some(&body)).await, 400, "{body}");
    }
    let credentials = format!(
        r#"{{"name": "c", "kind": "webdav", "location": "http://user:{WORD}@{}/c"}}"#,
        store.trim_start_matches("http://")
    );
    assert_eq!(lake.ask(reqwest::Method::POST, "/endpoints", Some(&credentials)).await, 400);

    // A password, given, wrong, changed; a session's token is told once, and so is a key.
    lake.lets_accounts_in().await;

    // A transfer that cannot get in, and all that tells of it.
    let file = lake.directory.path().join("file");
    fs::write(&file, "content").expect("written");
    let file = file.display().to_string();
    assert_eq!(lake.run(&["scope", "add", "s"]).await, 0);
    assert_eq!(lake.run(&["put", &file, "--to", "s:d", "--endpoint", "posix"]).await, 0);
    assert_eq!(lake.run(&["rule", "add", "s:d", "--copies", "1", "--on", "kind=webdav"]).await, 0);
    assert_ne!(lake.run(&["put", &file, "--to", "s:e", "--endpoint", "dav"]).await, 0);
    lake.tried_a_transfer().await;
    for words in [
        &["endpoint", "list"][..],
        &["endpoint", "list", "-o", "json"],
        &["transfer", "list", "-o", "json"],
        &["rule", "list", "-o", "json"],
        &["worker", "list"],
        &["doctor"],
    ] {
        assert_eq!(lake.run(words).await, 0, "{words:?}");
    }
    for path in ["/endpoints", "/endpoints/dav", "/changes", "/transfers", "/check", "/workers"] {
        assert_eq!(lake.ask(reqwest::Method::GET, path, None).await, 200, "{path}");
    }
    // A server that starts on another instance key finds all of them locked, and says so.
    lake.stop();
    fs::remove_file(lake.directory.path().join("lake/instance.key")).expect("it was there");
    lake.serve().await;
    assert_ne!(lake.run(&["doctor"]).await, 0);
    assert_eq!(lake.run(&["endpoint", "show", "dav"]).await, 0);
    lake.stop();

    let seen = lake.places(SHOWN.as_bytes());
    assert!(seen.iter().any(|place| place == "what was told"), "the search finds words: {seen:?}");
    assert!(seen.iter().any(|place| place.contains("catalog")), "in the catalog as well: {seen:?}");
    assert!(!lake.places(b"TRACE").is_empty(), "the log has all there is");
    for shape in shapes() {
        assert_eq!(lake.places(shape.as_bytes()), Vec::<String>::new(), "{shape} is in the clear");
    }
}
