//! Accounts as people type them: the real binary against a real server.

use std::process::{Command, Stdio};

use super::TestLake;

/// What a command printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) told: String,
}

impl TestLake {
    /// Runs a command with a key; `None` is the admin's.
    pub(crate) async fn typed(&self, key: Option<&str>, words: &[&str]) -> Ran {
        let key = key.unwrap_or(&self.server.as_ref().expect("it is up").admin_key);
        let mut command = Command::new(env!("CARGO_BIN_EXE_dapple"));
        command.env("DAPPLE_URL", self.url()).env("DAPPLE_TOKEN", key).args(words).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ran {
            code: output.status.code().expect("it ends by itself"),
            out: text(output.stdout),
            told: text(output.stderr),
        }
    }

    pub(crate) async fn good(&self, words: &[&str]) -> String {
        let ran = self.typed(None, words).await;
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.told);
        ran.out
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_looked_after_at_the_command_line() {
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    let added = lake.good(&["account", "add", "ada", "--email", "ada@example.org", "--description", "maps"]).await;
    assert!(
        added.starts_with("ada\tuser\tno\tactive\t-\tno\t") && added.ends_with("ada@example.org\tmaps\n"),
        "{added}"
    );
    lake.good(&["account", "add", "geo", "--kind", "group"]).await;
    assert!(lake.good(&["account", "member", "add", "geo", "ada"]).await.starts_with("ada\t"));
    assert!(lake.good(&["account", "show", "ada"]).await.contains("\tgeo\t"));
    let words = ["account", "key", "add", "ada", "--name", "laptop", "--scopes", "read,rules"];
    let key =
        lake.good(&[&words[..], &["--only-scope", "s", "--from", "127.0.0.0/8", "--expires", "2d"]].concat()).await;
    let key = key.trim();
    assert!(key.starts_with("dapple_"), "the key alone is on stdout: {key}");
    let who = lake.typed(Some(key), &["whoami"]).await;
    assert!(who.out.starts_with("ada\tuser\tno\tgeo\tread,rules\ts\t"), "{}", who.out);
    let listed = lake.good(&["account", "key", "list", "ada"]).await;
    assert!(listed.contains("\tlaptop\tread,rules\ts\t127.0.0.0/8\troot\t") && !listed.contains(key), "{listed}");
    let denied = lake.typed(Some(key), &["account", "add", "eve"]).await;
    assert_eq!(denied.code, 5, "{}", denied.told);
    assert!(denied.told.contains("lacks the key scope `admin`"), "{}", denied.told);

    assert!(lake.good(&["scope", "add", "t", "--owner", "geo"]).await.starts_with("t\tgeo\t"));
    assert!(lake.good(&["scope", "change", "t", "--owner", "ada"]).await.starts_with("t\tada\t"));

    let limit = lake.good(&["account", "limit", "set", "ada", "--on", "site=y", "--bytes", "1KiB"]).await;
    assert_eq!(limit, "site=y\t1024\t0\ty\n");
    lake.put("s:d", "x", &[("a.bin", &[7; 1_000])]).await;
    let rule = lake.typed(Some(key), &["rule", "add", "s:d", "--copies", "1", "--on", "site=y"]).await;
    let id = rule.out.split('\t').next().expect("an id");
    lake.good(&["rule", "wait", id, "--for", "ok", "--timeout", "1m"]).await;
    let usage = lake.good(&["account", "usage", "ada"]).await;
    assert_eq!(usage, "holds 1000 in 1 files at y\nmay hold 1024 at `site=y`, holds 1000\n");
    // Others may have put what is hidden from her into what she holds: she is told no more than about how much.
    let usage = lake.typed(Some(key), &["account", "usage", "ada"]).await.out;
    assert_eq!(usage, "holds 1048576 at y\nmay hold 1024 at `site=y`, holds 1024\n");
    lake.good(&["account", "limit", "remove", "ada", "--on", "site=y"]).await;
    assert_eq!(lake.good(&["account", "limit", "list", "ada"]).await, "");

    let asked = lake.typed(None, &["account", "password", "ada", "--password-file", "-"]).await;
    assert!(asked.code == 2 && asked.told.contains("12 characters"), "stdin is empty: {}", asked.told);
    lake.good(&["account", "member", "remove", "geo", "ada"]).await;
    lake.good(&["account", "change", "ada", "--suspend"]).await;
    assert_eq!(lake.typed(Some(key), &["whoami"]).await.code, 5);
    lake.good(&["account", "change", "ada", "--resume"]).await;
    let id = listed.split('\t').next().expect("an id");
    lake.good(&["account", "key", "revoke", "ada", id]).await;
    assert_eq!(lake.typed(Some(key), &["whoami"]).await.code, 5);
}
