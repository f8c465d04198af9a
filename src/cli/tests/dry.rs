//! Dry runs, of every command: one that changes a lake has `--dry-run`, and with it asks for nothing else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use clap::{CommandFactory as _, Parser as _};

use crate::cli::screen::{Format, Screen};
use crate::cli::tests::lake::Printed;
use crate::cli::{Cli, Session, dispatch};
use crate::client::Client;
use crate::clock::SystemClock;

/// Commands that change nothing in a lake: they read, wait, mint what is kept nowhere, or concern this
/// machine alone.
const READING: [&str; 38] = [
    "serve",
    "demo",
    "get",
    "ls",
    "search",
    "url",
    "endpoint list",
    "endpoint show",
    "scope list",
    "did show",
    "did list",
    "did history",
    "did coverage",
    "replica list",
    "rule list",
    "rule show",
    "rule explain",
    "rule wait",
    "transfer list",
    "policy show",
    "policy check",
    "policy explain",
    "account list",
    "account show",
    "account usage",
    "account member list",
    "account key list",
    "account limit list",
    "whoami",
    "doctor",
    "backup verify",
    "backup restore",
    "index status",
    "worker list",
    "config",
    "context",
    "completion",
    "man",
];

/// One line for each command that changes something. FILE has a line for commands that read one.
const CHANGING: [&str; 30] = [
    "put TREE --to s:d --endpoint x",
    "endpoint add x --kind memory",
    "endpoint set x --attr tier=1",
    "endpoint probe x",
    "scope add s",
    "scope label s a=b",
    "scope change s --owner ada",
    "did create s:d --kind dataset",
    "did create --from FILE",
    "did close s:d",
    "did reopen s:d",
    "did label s:d a=b",
    "did attach s:d s:f",
    "did attach s:d --from FILE",
    "did detach s:d s:f",
    "did detach s:d --from FILE",
    "replica register --endpoint x --to s:d --from FILE",
    "replica declare-bad s:f --at x",
    "rule add s:d --on x",
    "rule update 01J00000000000000000000000 --copies 2",
    "rule retry 01J00000000000000000000000",
    "rule remove 01J00000000000000000000000",
    "account add ada",
    "account change ada --suspend",
    "account member add g ada",
    "account member remove g ada",
    "account key add ada --name k --scopes read",
    "account key revoke ada 0123",
    "account limit set ada --on x --bytes 1GiB",
    "account limit remove ada --on x",
];
/// The rest of them.
const CHANGING_TOO: [&str; 8] = [
    "account password ada --remove --current-file FILE",
    "did meta s:d --set a=1",
    "did meta --lines FILE",
    "index rebuild",
    "backup create --to endpoint:x/.backups/b",
    "endpoint accept-audit x",
    "worker pause check",
    "worker resume check",
];

/// The words of every command that does something, with whether it has `--dry-run`.
fn leaves(command: &clap::Command, above: &str, found: &mut Vec<(String, bool)>) {
    for below in command.get_subcommands() {
        let name = format!("{above} {}", below.get_name()).trim().to_owned();
        if below.has_subcommands() {
            leaves(below, &name, found);
        } else {
            let dry = below.get_arguments().any(|argument| argument.get_long() == Some("dry-run"));
            found.push((name, dry));
        }
    }
}

fn begins(line: &str, command: &str) -> bool {
    line == command || line.strip_prefix(command).is_some_and(|rest| rest.starts_with(' '))
}

#[test]
fn every_command_that_changes_something_has_a_dry_run() {
    let mut found = Vec::new();
    leaves(&Cli::command(), "", &mut found);
    assert!(found.len() > 50, "{}", found.len());
    let lines: Vec<&str> = CHANGING.into_iter().chain(CHANGING_TOO).collect();
    for (command, dry) in &found {
        let reads = READING.iter().any(|known| begins(command, known));
        let tried = lines.iter().any(|line| begins(line, command));
        assert_eq!(*dry, !reads, "`dapple {command}`: does it change a lake? then it has --dry-run");
        assert_eq!(*dry, tried, "`dapple {command}`: add a line to the table, so that its dry run is tried");
    }
}

type Asked = Arc<Mutex<Vec<(Method, String)>>>;

async fn record(State(asked): State<Asked>, request: Request) -> (StatusCode, &'static str) {
    let query = request.uri().to_string();
    asked.lock().expect("no panics").push((request.method().clone(), query));
    // Nothing is there, so that no command goes on.
    (StatusCode::NOT_FOUND, "{}")
}

#[tokio::test]
async fn a_dry_run_asks_for_nothing_but_dry_runs() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (tree, file) = (scratch.path().join("tree"), scratch.path().join("lines"));
    std::fs::create_dir(&tree).expect("made");
    std::fs::write(tree.join("f"), "1").expect("written");
    std::fs::write(&file, "{}\n").expect("written");
    let asked = Asked::default();
    let router = Router::new().fallback(record).with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let clock = SystemClock::shared();
    let mut seen = BTreeSet::new();
    for line in CHANGING.into_iter().chain(CHANGING_TOO) {
        let words = line.split(' ').map(|word| match word {
            "TREE" => tree.display().to_string(),
            "FILE" => file.display().to_string(),
            word => word.to_owned(),
        });
        let words: Vec<String> = std::iter::once("dapple".to_owned()).chain(words).collect();
        for dry in [true, false] {
            let more = dry.then(|| "--dry-run".to_owned());
            let cli = Cli::try_parse_from(words.iter().cloned().chain(more)).unwrap_or_else(|e| panic!("{line}: {e}"));
            let client = Client::new(&url, Some("key".to_owned()), clock.clone()).expect("a good address");
            let out = Box::new(Printed::default());
            let screen = Screen::of_test(Format::Json, false, clock.clone(), out);
            let _ = dispatch(cli.command, &mut Session { client: client.with_pauses(Vec::new()), screen }).await;
            let asked = std::mem::take(&mut *asked.lock().expect("no panics"));
            let changes: Vec<_> = asked.into_iter().filter(|(method, _)| *method != Method::GET).collect();
            assert!(!changes.is_empty(), "`dapple {line}` asked for no change at all");
            for (method, url) in changes {
                assert_eq!(url.contains("dry_run=true"), dry, "`dapple {line}`: {method} {url}");
                seen.insert((method.to_string(), url.split('?').next().unwrap_or_default().to_owned()));
            }
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
}
