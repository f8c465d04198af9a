//! The command line as people and scripts meet it: arguments, screens, and whole puts and gets.

mod dry;
mod lake;
mod reference;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use clap::Parser as _;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::screen::{Format, Screen, Style};
use crate::cli::{Cli, Session, dispatch, report};
use crate::client::Client;
use crate::clock::SystemClock;
use crate::model::time::Timestamp;
use crate::service::view::RuleExplanation;

use lake::{Lake, Printed};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

async fn run(session: &Session, printed: &Printed, format: Format, line: &[&str]) -> Result<(), Failure> {
    let words = ["dapple"].iter().chain(line);
    let cli = Cli::try_parse_from(words).expect("a good command line");
    let screen = Screen::of_test(format, false, SystemClock::shared(), Box::new(printed.clone()));
    let client = session.client.clone();
    dispatch(cli.command, &mut Session { client, screen }).await
}

fn write(root: &Path, files: &[(&str, &[u8])]) {
    for (path, bytes) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("writable");
        std::fs::write(path, bytes).expect("writable");
    }
}

fn read(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let below = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
                files.insert(below, std::fs::read(path).expect("readable"));
            }
        }
    }
    files
}

#[test]
fn command_lines_are_read_or_refused() {
    let good = [
        "dapple serve --dir lake",
        "dapple demo --once --listen 127.0.0.1:0",
        "dapple endpoint add site-a --kind posix --path /data --attr tier=1 --attr country=DE --create",
        "dapple endpoint add mem --kind memory",
        "dapple endpoint add s --kind s3 --url https://h --bucket abc --prefix p --region eu --addressing virtual-host",
        "dapple endpoint add w --kind webdav --url https://h/d --ca ca.pem --secret-file - --no-probe",
        "dapple endpoint set a --secret-env STORE_SECRET --no-ca --no-redirect",
        "dapple endpoint set a --no-secret --no-probe",
        "dapple endpoint probe a",
        "dapple endpoint set a --unset tier",
        "dapple endpoint set a --attr tier=2 --unset country",
        "dapple scope add climate:",
        "dapple did create climate:era5 --kind dataset",
        "dapple did list climate --prefix a/b",
        "dapple did attach climate:all climate:era5 climate:x",
        "dapple ls climate:",
        "dapple ls climate:era5 -o json",
        "dapple -o ndjson ls climate:era5",
        "dapple put tree --to climate:era5 --endpoint a --parallel 4",
        "dapple get climate:era5 --to out",
        "dapple get climate:era5 --to out --from a",
        "dapple url climate:era5 --expires 10m",
        "dapple url climate:era5 --from a --redirect",
        "dapple replica register --endpoint a --to climate:era5 --from -",
        "dapple rule add climate:era5 --copies 2 --on tier=1&(country=DE|country=FR) --grouping all --lifetime 30d",
        "dapple rule list --did climate:era5",
        "dapple rule update 01J00000000000000000000000 --lifetime 0s",
        "dapple rule wait 01J00000000000000000000000 --for ok --timeout 2m",
        "dapple transfer list --state failed --rule 01J00000000000000000000000",
        "dapple worker pause transfers",
    ];
    for line in good {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).expect_err("refused"));
    }
    let bad = [
        "dapple ls climate",
        "dapple endpoint add a--b --path /x",
        "dapple endpoint add a --path /x --attr kind=posix",
        "dapple endpoint add a --path /x --attr tier",
        "dapple endpoint set a",
        "dapple endpoint set a --no-probe",
        "dapple endpoint set a --no-secret --secret-file f",
        "dapple endpoint set a --ca f --no-ca",
        "dapple endpoint set a --redirect --no-redirect",
        "dapple endpoint add a --kind webdav --secret-file f --secret-env E",
        "dapple endpoint add a --kind webdav --secret word",
        "dapple endpoint add a --path /x --create --no-probe",
        "dapple did create climate:x --kind file",
        "dapple did attach climate:x",
        "dapple put tree --to climate:era5 --endpoint a --parallel 0",
        "dapple rule add climate:x --on a --lifetime 30",
        "dapple rule add climate:x --on a --lifetime 0s",
        "dapple rule show 7",
        "dapple rule update 01J00000000000000000000000",
        "dapple url climate:x --expires soon",
        "dapple url climate:x --from a--b",
        "dapple get climate:x --to out --from climate:x",
        "dapple get climate:x --to out --redirect",
        "dapple ls climate:x -o yaml",
    ];
    for line in bad {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line} was taken"));
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    let told = parse("dapple ls climate").expect_err("refused").to_string();
    assert!(told.contains("write `climate:` for what is in that scope"), "{told}");
}

#[test]
fn what_is_done_with_datasets_is_read_or_refused() {
    let good = [
        "dapple did create --from -",
        "dapple did close climate:era5 --dry-run",
        "dapple did reopen climate:era5",
        "dapple did attach climate:all --from lines",
        "dapple search sea ice --bbox -10,36,4,44 --datetime 2024-01/2024-03 --sort -datetime --limit 5",
        "dapple search --text a --text b --filter n>=1 --filter n<2 --collection climate:era5 --sign -o json",
    ];
    for line in good {
        assert!(parse(line).is_ok(), "{line}");
    }
    let bad = [
        "dapple did create climate:x",
        "dapple did create climate:x --kind dataset --from lines",
        "dapple did attach climate:x climate:y --from lines",
        "dapple did close",
        "dapple search --bbox 1,2,3",
        "dapple search --datetime soon",
        "dapple search --filter n",
        "dapple search --limit 0",
    ];
    for line in bad {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line} was taken"));
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn what_concerns_settings_and_contexts_is_read_or_refused() {
    let good = [
        "dapple serve --config dapple.toml --listen https://127.0.0.1:443 --listen 127.0.0.1:80",
        "dapple config show --origin --listen 127.0.0.1:80",
        "dapple config describe limits.json_bytes",
        "dapple context add prod --server https://h --token-file key --cacert ca.pem",
        "dapple context add lab --server https://h --token-command pass",
        "dapple completion zsh",
        "dapple man pages",
    ];
    for line in good {
        assert!(parse(line).is_ok(), "{line}");
    }
    for line in
        ["dapple context add a --token-file f --token-command c", "dapple completion tcsh", "dapple config check"]
    {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line} was taken"));
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[tokio::test]
async fn a_tree_goes_in_and_comes_out_the_same() {
    let lake = Lake::default();
    lake.inside().put_fails_every = Some(3);
    let (session, printed) = lake.session(Format::Json).await;
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (tree, out) = (scratch.path().join("tree"), scratch.path().join("out"));
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 253) as u8).collect();
    write(&tree, &[("a/b c.nc", b"one"), ("a/+%#?.nc", b"two"), ("ü", b""), ("large", &large)]);
    std::os::unix::fs::symlink("a", tree.join("link")).expect("writable");
    let put = ["put", tree.to_str().expect("text"), "--to", "climate:era5", "--endpoint", "x"];
    run(&session, &printed, Format::Json, &put).await.expect("all went in");
    let expected = json!({
        "did": "climate:era5", "endpoint": "x", "files": 4, "bytes": 3_000_006, "uploaded": 4,
        "already_there": 0, "skipped": 1, "failed_count": 0, "failed": [],
    });
    assert_eq!(printed.json(), expected);
    assert!(lake.inside().files.contains_key("era5/a/b c.nc"));

    let again = Printed::default();
    run(&session, &again, Format::Json, &put).await.expect("nothing to do");
    assert_eq!((again.json()["uploaded"].clone(), again.json()["already_there"].clone()), (json!(0), json!(4)));

    let got = Printed::default();
    let get = ["get", "climate:era5", "--to", out.to_str().expect("text")];
    run(&session, &got, Format::Json, &get).await.expect("all came out");
    assert_eq!(got.json()["downloaded"], 4);
    std::fs::remove_file(tree.join("link")).expect("there");
    assert_eq!(read(&out), read(&tree));

    let asked = lake.inside().ranges.len();
    let again = Printed::default();
    run(&session, &again, Format::Json, &get).await.expect("nothing to do");
    assert_eq!(again.json()["already_there"], 4);
    assert_eq!(lake.inside().ranges.len(), asked, "nothing was downloaded");
}

#[tokio::test]
async fn prefixes_and_single_files_name_what_goes_in() {
    let lake = Lake::default();
    let (session, printed) = lake.session(Format::Json).await;
    let scratch = tempfile::tempdir().expect("a scratch directory");
    write(scratch.path(), &[("t/x", b"1"), ("t/d/y", b"2")]);
    let tree = scratch.path().join("t");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    for (path, prefix) in [(text(&tree), ""), (text(&tree.join("x")), "p/q")] {
        let line = ["put", &path, "--to", "climate:era5", "--endpoint", "x", "--prefix", prefix];
        run(&session, &printed, Format::Json, &line).await.expect("went in");
    }
    let names: Vec<String> = lake.inside().files.keys().cloned().collect();
    assert_eq!(names, ["d/y", "p/q/x", "x"]);
    let out = scratch.path().join("out");
    let get = ["get", "climate:p/q/x", "--to", out.to_str().expect("text")];
    run(&session, &printed, Format::Json, &get).await.expect("came out");
    assert_eq!(read(&out), BTreeMap::from([("x".to_owned(), b"1".to_vec())]));
}

#[tokio::test]
async fn many_files_are_announced_in_batches() {
    let lake = Lake::default();
    let (session, printed) = lake.session(Format::Json).await;
    let tree = tempfile::tempdir().expect("a scratch directory");
    for number in 0..1_234 {
        std::fs::write(tree.path().join(number.to_string()), number.to_string()).expect("writable");
    }
    let put = ["put", tree.path().to_str().expect("text"), "--to", "climate:n", "--endpoint", "x"];
    run(&session, &printed, Format::Json, &put).await.expect("all went in");
    assert_eq!(printed.json()["uploaded"], 1_234);
    assert_eq!(lake.inside().announced, [500, 500, 234]);
}

#[tokio::test]
async fn a_put_names_what_failed_and_renews_urls_that_expired() {
    let lake = Lake::default();
    lake.inside().stale_until = 2;
    lake.inside().conflicts = 1;
    lake.inside().refused.insert("d/bad".to_owned());
    let (session, printed) = lake.session(Format::Json).await;
    let tree = tempfile::tempdir().expect("a scratch directory");
    write(tree.path(), &[("bad", b"1"), ("good", b"2")]);
    let put = ["put", tree.path().to_str().expect("text"), "--to", "climate:d", "--endpoint", "x"];
    let failure = run(&session, &printed, Format::Json, &put).await.expect_err("one failed");
    assert_eq!(failure.exit_code(), 3);
    let report = printed.json();
    assert_eq!(report["failed"][0]["code"], "content-differs");
    assert_eq!(report["uploaded"], 1, "with the second URL");
    std::fs::remove_file(tree.path().join("good")).expect("there");
    let failure = run(&session, &printed, Format::Json, &put).await.expect_err("all failed");
    assert_eq!(failure.exit_code(), 1);
}

#[tokio::test]
async fn downloads_that_break_off_go_on_where_they_were() {
    let lake = Lake::default();
    let content: Vec<u8> = (0..200_000_u32).map(|i| (i % 249) as u8).collect();
    lake.inside().files.insert("d/x".to_owned(), Bytes::from(content.clone()));
    lake.inside().breaks_after = Some(90_000);
    let (session, printed) = lake.session(Format::Json).await;
    let out = tempfile::tempdir().expect("a scratch directory");
    // The beginning is there from an earlier run.
    std::fs::write(out.path().join(".x.dapple-part"), &content[..1_000]).expect("writable");
    let get = ["get", "climate:d", "--to", out.path().to_str().expect("text")];
    run(&session, &printed, Format::Json, &get).await.expect("came in pieces");
    assert_eq!(read(out.path()), BTreeMap::from([("x".to_owned(), content.clone())]));
    let ranges = lake.inside().ranges.clone();
    assert_eq!(ranges[0].as_deref(), Some("bytes=1000-"));
    assert!(ranges.len() >= 3, "{ranges:?}");

    // A beginning that is something else is found out and thrown away.
    std::fs::remove_file(out.path().join("x")).expect("there");
    std::fs::write(out.path().join(".x.dapple-part"), b"something else").expect("writable");
    lake.inside().breaks_after = None;
    run(&session, &printed, Format::Json, &get).await.expect("begun anew");
    assert_eq!(read(out.path()), BTreeMap::from([("x".to_owned(), content)]));
}

#[tokio::test]
async fn a_get_keeps_no_wrong_bytes_and_writes_nothing_outside() {
    let lake = Lake::default();
    {
        let mut inside = lake.inside();
        for (name, bytes) in [
            ("d/ok", "abc"),
            ("d/wrong", "abc"),
            ("d/short", "abc"),
            ("d/long", "abc"),
            ("../../up", "abc"),
            ("/root", "abc"),
            ("d/same", "1"),
            ("same", "22"),
        ] {
            inside.files.insert(name.to_owned(), Bytes::from(bytes));
        }
        for (name, bytes) in [("d/wrong", "abd"), ("d/short", "ab"), ("d/long", "abcd")] {
            inside.corrupt.insert(name.to_owned(), Bytes::from(bytes));
        }
        let md5 = "md5:900150983cd24fb0d6963f7d28e17f72".to_owned();
        inside.checksums.insert("d/ok".to_owned(), md5);
    }
    let (session, printed) = lake.session(Format::Json).await;
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let out = scratch.path().join("a/b/out");
    let get = ["get", "climate:d", "--to", out.to_str().expect("text")];
    let failure = run(&session, &printed, Format::Json, &get).await.expect_err("some failed");
    assert_eq!(failure.exit_code(), 3);
    let mut codes: Vec<(String, String)> = printed.json()["failed"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|f| (f["path"].as_str().expect("text").into(), f["code"].as_str().expect("text").into()))
        .collect();
    codes.sort();
    let detail = printed.json()["failed"].to_string();
    assert!(detail.contains("`dapple replica declare-bad 'climate:d/wrong' --at ENDPOINT`"), "{detail}");
    let expected = [
        ("climate:d/long", "checksum-mismatch"),
        ("climate:d/short", "checksum-mismatch"),
        ("climate:d/wrong", "checksum-mismatch"),
        ("climate:same", "same-path"),
    ];
    assert_eq!(codes, expected.map(|(path, code)| (path.to_owned(), code.to_owned())));
    let kept: Vec<String> = read(scratch.path()).into_keys().collect();
    assert_eq!(kept, ["a/b/out/%2E%2E/%2E%2E/up", "a/b/out/%2F/root", "a/b/out/ok", "a/b/out/same"]);
}

#[tokio::test]
async fn a_get_goes_on_past_a_file_that_cannot_be_read() {
    let lake = Lake::default();
    for number in 0..30 {
        lake.inside().files.insert(format!("d/{number}"), Bytes::from(number.to_string()));
    }
    lake.inside().unreadable.insert("d/2".to_owned());
    let (session, printed) = lake.session(Format::Json).await;
    let out = tempfile::tempdir().expect("a scratch directory");
    let get = ["get", "climate:d", "--to", out.path().to_str().expect("text"), "--parallel", "2"];
    let failure = run(&session, &printed, Format::Json, &get).await.expect_err("one failed");
    assert_eq!(failure.exit_code(), 3);
    let report = printed.json();
    assert_eq!((&report["downloaded"], &report["failed_count"]), (&json!(29), &json!(1)));
    assert_eq!(
        (&report["failed"][0]["path"], &report["failed"][0]["code"]),
        (&json!("climate:d/2"), &json!("unreadable"))
    );
    assert_eq!(lake.inside().ranges.len(), 31, "asked for once more");
}

#[tokio::test]
async fn where_to_read_and_how_is_asked_for_with_the_url() {
    let lake = Lake::default();
    lake.inside().files.insert("d/1".to_owned(), Bytes::from_static(b"one"));
    let (session, printed) = lake.session(Format::Json).await;
    let out = tempfile::tempdir().expect("a scratch directory");
    let to = out.path().to_str().expect("text");
    let lines: [(&[&str], serde_json::Value); 4] = [
        (&["get", "climate:d", "--to", to, "--from", "hamburg"], json!({"from": "hamburg"})),
        (&["get", "climate:d/1", "--to", to], json!({})),
        (&["url", "climate:d"], json!({})),
        (&["url", "climate:d", "--from", "hamburg", "--redirect"], json!({"from": "hamburg", "redirect": true})),
    ];
    for (line, asked) in lines {
        run(&session, &printed, Format::Json, line).await.expect("it is there");
        let minted = lake.inside().minted.pop().expect("a URL was asked for");
        for field in ["from", "redirect"] {
            assert_eq!(minted.get(field), asked.get(field), "{line:?}");
        }
    }
}

#[tokio::test]
async fn a_put_announces_what_is_gone_again_and_makes_empty_datasets() {
    let lake = Lake::default();
    lake.inside().conflicts = 1;
    lake.inside().gone = 1;
    let (session, printed) = lake.session(Format::Json).await;
    let tree = tempfile::tempdir().expect("a scratch directory");
    let path = tree.path().to_str().expect("text");
    let put = |path| ["put", path, "--to", "climate:d", "--endpoint", "x"];
    let empty = Printed::default();
    run(&session, &empty, Format::Json, &put(path)).await.expect("nothing to send");
    assert_eq!((empty.json()["files"].clone(), lake.inside().announced.clone()), (json!(0), vec![0]));

    write(tree.path(), &[("x", b"1")]);
    run(&session, &printed, Format::Json, &put(path)).await.expect("sent in the end");
    assert_eq!((printed.json()["uploaded"].clone(), lake.inside().announced.clone()), (json!(1), vec![0, 1, 1, 1]));
    lake.inside().files.clear();
    lake.inside().gone = 2;
    let failure = run(&session, &Printed::default(), Format::Json, &put(path)).await.expect_err("gone twice");
    assert_eq!(failure.exit_code(), 1, "{failure}");

    let endless = run(&session, &printed, Format::Json, &put("/dev/zero")).await.expect_err("no file");
    assert_eq!(endless.exit_code(), 2);
}

#[tokio::test]
async fn what_is_refused_prints_no_data() {
    let lake = Lake::default();
    let (session, printed) = lake.session(Format::Json).await;
    for format in [Format::Table, Format::Json, Format::Ndjson] {
        let failure = run(&session, &printed, format, &["ls", "climate:nowhere"]).await.expect_err("not there");
        assert_eq!((failure.exit_code(), printed.text().as_str()), (4, ""));
    }
    let line = ["endpoint", "set", "a", "--attr", "tier=1", "--unset", "tier"];
    let failure = run(&session, &printed, Format::Json, &line).await.expect_err("both");
    assert_eq!(failure.exit_code(), 2);
}

#[test]
fn a_usage_line_names_no_option_that_a_variable_gives() {
    let error = parse("dapple ls --no-progress").expect_err("no DID").to_string();
    assert!(!error.contains("--server"), "{error}");
    let error = parse("dapple endpoint set a").expect_err("no change").to_string();
    assert!(error.contains("<--attr <KEY=VALUE>|--unset <KEY>|"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_got_says_so_with_its_exit_code() {
    let lake = Lake::default();
    let (session, printed) = lake.session(Format::Json).await;
    let out = tempfile::tempdir().expect("a scratch directory");
    let path = out.path().to_str().expect("text");
    for (did, code) in [("climate:nowhere", 4), ("climate:box", 2)] {
        let failure = run(&session, &printed, Format::Json, &["get", did, "--to", path]).await;
        assert_eq!(failure.expect_err(did).exit_code(), code);
    }
    let failure = run(&session, &printed, Format::Json, &["endpoint", "add", "a"]).await;
    assert_eq!(failure.expect_err("posix needs a path").exit_code(), 2);
    let gone = Client::new("http://127.0.0.1:9", None, SystemClock::shared()).expect("a good address");
    let session = Session { client: gone.with_pauses(Vec::new()), screen: session.screen };
    let failure = run(&session, &printed, Format::Json, &["scope", "list"]).await;
    assert_eq!(failure.expect_err("nobody listens").exit_code(), 8);
}

#[tokio::test]
async fn lists_print_as_lines_for_pipes_and_as_one_page_for_json() {
    let lake = Lake::default();
    for name in ["a", "b", "c"] {
        lake.inside().files.insert(name.to_owned(), Bytes::from(name.repeat(2_000)));
    }
    let (session, _) = lake.session(Format::Table).await;
    let ls = ["ls", "climate:d"];
    let table = Printed::default();
    run(&session, &table, Format::Table, &ls).await.expect("listed");
    assert_eq!(table.text(), "climate:a\tfile\t2000\nclimate:b\tfile\t2000\nclimate:c\tfile\t2000\n");
    let page = Printed::default();
    run(&session, &page, Format::Json, &ls).await.expect("listed");
    assert_eq!(page.json()["items"].as_array().map(Vec::len), Some(3));
    let lines = Printed::default();
    run(&session, &lines, Format::Ndjson, &ls).await.expect("listed");
    assert_eq!(lines.text().lines().count(), 3);

    let person = Printed::default();
    let screen = Screen::of_test(Format::Table, true, SystemClock::shared(), Box::new(person.clone()));
    let cli = Cli::try_parse_from(["dapple", "ls", "climate:d"]).expect("good");
    let client = session.client;
    dispatch(cli.command, &mut Session { client, screen }).await.expect("listed");
    insta::assert_snapshot!(person.text());
}

#[tokio::test]
async fn failures_are_told_to_people_and_to_programs() {
    let lake = Lake::default();
    let (session, printed) = lake.session(Format::Json).await;
    let failure = run(&session, &printed, Format::Json, &["did", "show", "climate:nowhere"]).await;
    let failure = failure.expect_err("not there");
    let talk = |format| Screen::of_test(format, false, SystemClock::shared(), Box::new(std::io::sink())).talk();
    insta::assert_snapshot!(talk(Format::Table).render(&failure));
    insta::assert_snapshot!(talk(Format::Json).render(&failure));
}

#[test]
fn an_explanation_is_one_screen() {
    let explanation: RuleExplanation = serde_json::from_value(json!({
        "rule": {
            "id": "01J0000000000000000000000A", "did": "climate:era5", "account": "root", "copies": 2,
            "expression": "tier=1&country=FR", "grouping": "dataset", "state": "stuck", "locks_ok": 3,
            "locks_replicating": 0, "locks_stuck": 1, "units_unplaced": 1, "files_done": 702, "files_wanted": 703,
            "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-02-01T00:00:00Z",
        },
        "summary": "One file cannot be copied, and one dataset has no endpoint.",
        "matched": [
            {"part": "tier=1", "endpoints": ["a", "b"]},
            {"part": "country=FR", "endpoints": []},
        ],
        "locks": [
            {"did": "climate:era5", "endpoint": "site-b", "state": "stuck", "files_done": 351, "files_wanted": 352,
             "chosen": "it had most of the files"},
            {"did": "climate:era5/daily", "endpoint": "a", "state": "ok", "files_done": 351, "files_wanted": 351,
             "chosen": "it has the most room"},
        ],
        "problems": [{
            "code": "no-source", "reason": "no endpoint has a copy", "count": 1, "example": "climate:era5/t2m.nc",
            "help": ["dapple replica list climate:era5/t2m.nc", "dapple put tree --to climate:era5 --endpoint a"],
            "next_attempt_at": "2026-01-02T00:06:00Z",
        }, {
            "code": "endpoint-unreachable", "reason": "site-b could not be reached", "count": 1,
            "said": "storage failed at `climate/x`: connection refused", "help": ["dapple endpoint probe site-b"],
        }],
    }))
    .expect("the wire shape");
    let now: Timestamp = "2026-01-02T00:00:00Z".parse().expect("a time");
    insta::assert_snapshot!(report::explanation(&explanation, Style { human: true, now }));
}
