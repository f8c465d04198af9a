//! The binary with a settings file: its log is one JSON object per line, tells who asked for what, and
//! nothing that would let a reader in. Contexts lead the command line there.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::{Instant, PATIENCE, pause};
use crate::peers::{authority, free_port};

/// A command of the binary that sees nothing of this machine's own settings.
fn dapple(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dapple"));
    command.env_clear().env("HOME", directory).env("PATH", "/usr/bin:/bin").current_dir(directory).stdin(Stdio::null());
    command
}

async fn run(directory: &Path, words: &[&str]) -> Output {
    let mut command = dapple(directory);
    command.args(words);
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs")
}

async fn good(directory: &Path, words: &[&str]) -> String {
    let output = run(directory, words).await;
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server that ends with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_for_programs_says_who_asked_for_what_and_lets_nobody_in() {
    let scratch = TempDir::new().expect("a scratch directory");
    let at = scratch.path();
    for file in ["server.crt", "server.key", "ca.pem"] {
        fs::write(at.join(file), authority().read(file)).expect("written");
    }
    let port = free_port();
    let settings = format!(
        "[serve]\ndir = \"lake\"\nlisten = \"127.0.0.1:{port}\"\n[tls]\ncertificate = \"server.crt\"\n\
         key = \"server.key\"\n[log]\nformat = \"json\"\nrequests = true\n"
    );
    fs::write(at.join("dapple.toml"), settings).expect("written");
    let log = fs::File::create(at.join("log")).expect("a log");
    let mut serve = dapple(at);
    serve.args(["serve", "--config", "dapple.toml"]).stdout(Stdio::null()).stderr(log);
    let serving = Serving(serve.spawn().expect("it starts"));
    let server = format!("https://127.0.0.1:{port}");
    let add = ["context", "add", "here", "--server", &server, "--token-file", "lake/admin.key", "--cacert", "ca.pem"];
    good(at, &add).await;
    let began = Instant::now();
    while !run(at, &["scope", "list"]).await.status.success() {
        assert!(began.elapsed() < PATIENCE, "the context leads nowhere");
        pause().await;
    }
    // From anywhere, as the paths of a context are kept whole.
    assert_eq!(
        dapple(Path::new("/")).env("HOME", at).args(["scope", "add", "s"]).status().expect("it runs").code(),
        Some(0)
    );
    good(at, &["endpoint", "add", "x", "--path", at.join("x").to_str().expect("text"), "--create"]).await;
    fs::write(at.join("file"), "content").expect("written");
    good(at, &["put", "file", "--to", "s:d", "--endpoint", "x"]).await;
    let url = good(at, &["url", "s:d/file"]).await;
    good(at, &["get", "s:d", "--to", "out"]).await;
    let shown = good(at, &["config", "show", "--origin"]).await;
    assert!(shown.contains(&format!("client.server\t{server}\tcontext here")), "{shown}");
    // A key of a context goes to no other server.
    let elsewhere = run(at, &["--server", &server, "--cacert", "ca.pem", "scope", "list"]).await;
    assert_eq!(elsewhere.status.code(), Some(5), "no key was sent: {elsewhere:?}");
    let others = fs::metadata(at.join(".config/dapple/contexts.toml")).expect("it is there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&others.permissions()) & 0o777, 0o600);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(at.join(".config/dapple/contexts.toml"), open).expect("it is ours");
    let warned = run(at, &["scope", "list"]).await;
    assert!(String::from_utf8_lossy(&warned.stderr).contains("can be read by others"), "{warned:?}");
    drop(serving);

    let log = fs::read_to_string(at.join("log")).expect("a log");
    let key = fs::read_to_string(at.join("lake/admin.key")).expect("a key");
    let grant = url.split_once("grant=").expect("a signed URL").1.trim().to_owned();
    let signature = grant.rsplit('.').next().expect("a signature");
    let mut requests = Vec::new();
    for line in log.lines() {
        assert!(!line.contains(key.trim()) && !line.contains("grant=") && !line.contains(signature), "{line}");
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
        if line["request.route"].is_string() {
            requests.push(line);
        }
    }
    let of = |route: &str| requests.iter().find(|line| line["request.route"] == route).expect(route);
    let scope = of("/api/v1/scopes");
    assert_eq!(scope["request.id"].as_str().map(str::len), Some(26), "{scope}");
    let all = of("/api/v1/contents/{scope}/{*name}");
    assert_eq!((&all["account"], &all["request.path"]), (&"root".into(), &"/api/v1/contents/s/d".into()), "{all}");
    assert_eq!((&all["response.status"], &all["peer"]), (&200.into(), &"127.0.0.1".into()), "{all}");
    assert!(all["duration_ms"].as_f64().is_some_and(|took| took > 0.0), "{all}");
    assert_eq!(of("/d/{*file}")["request.path"], serde_json::Value::Null, "paths of signed URLs are not told");
}

#[tokio::test]
async fn a_server_says_what_is_wrong_with_its_settings() {
    let scratch = TempDir::new().expect("a scratch directory");
    let at = scratch.path();
    fs::write(at.join("dapple.toml"), "[serve]\ndir = \"lake\"\nlisten = \"nowhere\"\n[limit]\n").expect("written");
    for words in [&["serve", "--config", "dapple.toml"][..], &["config", "check", "dapple.toml"]] {
        let output = run(at, words).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        for wanted in ["dapple.toml:3: serve.listen cannot be `nowhere`", "dapple.toml:4: there is no section `limit`"]
        {
            assert!(told.contains(wanted), "{told}");
        }
    }
    assert!(!at.join("lake").exists(), "nothing was begun");
    let mut serve = dapple(at);
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = busy.local_addr().expect("bound").to_string();
    let quiet = serve.env("DAPPLE_LOG", "off").args(["serve", "--dir", "lake", "--listen", &address]).output();
    let told = String::from_utf8_lossy(&quiet.expect("it runs").stderr).into_owned();
    assert!(told.starts_with(&format!("error: cannot listen on {address}")), "flags lead: {told}");
    let mut serve = dapple(at);
    let output = serve.env("DAPPLE_SERVE_LISTN", "x").arg("serve").output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `DAPPLE_SERVE_LISTEN`?"), "{output:?}");
    let pages = at.join("pages");
    fs::create_dir(&pages).expect("made");
    good(at, &["man", "pages"]).await;
    assert!(fs::read_to_string(pages.join("dapple-serve.1")).expect("a page").contains("public\\-url"));
    assert!(good(at, &["completion", "fish"]).await.contains("complete -c dapple"));
    let template = good(at, &["config", "template"]).await;
    fs::write(at.join("all.toml"), template).expect("written");
    good(at, &["config", "check", "all.toml"]).await;
}
