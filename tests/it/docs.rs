//! The pages keep their word: every `console` block of the README and of `docs/` is run, line by line, on a
//! terminal, and what a page shows is what comes.
//!
//! A page is one session with one lake. A line that begins with `$ ` is a command; `\` at its end goes on in
//! the next. What follows up to the next command is what it shows, and a command without such lines may
//! show anything. A command succeeds, unless what it shows begins with `error:`. In what is shown, `...`
//! stands for anything within a line, and a line of its own for any lines; an id stands for any id, a time
//! for any time, a span for any span; how wide columns are is of no weight. `ID` in a command is the last id
//! that was printed. What cannot be run has another word behind its fence than `console`.

use std::path::{Path, PathBuf};

mod page;
mod session;

use page::{Step, console_blocks, mismatch};
use session::Session;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What a page finds when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// A lake like the demo's, with data, accounts and rules.
    Lake,
    /// Nothing: it starts a server itself.
    Nothing,
}

fn run_page(name: &str, beginning: Beginning, more: &[&str]) {
    let text = std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let steps = console_blocks(&text);
    assert!(!steps.is_empty(), "{name} has no console block");
    let mut session = Session::begin();
    if beginning == Beginning::Lake {
        session.serve();
        session.prepare(FIXTURE);
    }
    session.prepare(more);
    let mut wrong = Vec::new();
    for Step { line, command, shown } in steps {
        let command = session.with_id(&command);
        let (status, printed) = session.run(&command);
        let fails = shown.first().is_some_and(|line| line.starts_with("error:"));
        if (status == 0) == fails {
            let wanted = if fails { "a failure" } else { "success" };
            wrong
                .push(format!("{name}:{line}: `{command}` exits with {status}, not {wanted}:\n{}", printed.join("\n")));
        } else if !shown.is_empty()
            && let Some(what) = mismatch(&shown, &printed)
        {
            wrong.push(format!("{name}:{line}: `{command}`: {what}\nit printed:\n{}", printed.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}\n", wrong.join("\n\n"));
}

/// What pages take for granted.
const FIXTURE: &[&str] = &[
    "dapple endpoint add lisbon --kind posix --path /data/lisbon --attr country=PT --attr tier=1 --create",
    "dapple endpoint add hamburg --kind s3 --url https://s3.example.org --bucket lake --secret-file s3.key \
     --attr country=DE --attr tier=1 --create",
    "dapple endpoint add bologna --kind webdav --url https://dav.example.org/lake --secret-file dav.token \
     --attr country=IT --attr tier=2 --create",
    "dapple scope add climate",
    "dapple account add grace",
    "dapple put ./era5 --to climate:era5 --endpoint lisbon",
];

#[test]
fn the_page_on_datasets() {
    run_page("docs/datasets.md", Beginning::Lake, &[]);
}

#[test]
fn the_page_on_accounts() {
    run_page("docs/accounts.md", Beginning::Lake, &[]);
}

#[test]
fn the_page_on_endpoints() {
    run_page("docs/endpoints.md", Beginning::Lake, &[]);
}

#[test]
fn the_page_on_running_a_server() {
    run_page("docs/operate.md", Beginning::Lake, &[]);
}

#[test]
fn the_page_on_backups() {
    run_page("docs/backup.md", Beginning::Lake, &[]);
}

#[test]
fn the_page_on_policy() {
    let more = [
        "dapple account add ada",
        "dapple did create climate:t2m --kind dataset",
        "dapple did create climate:stations --kind dataset",
    ];
    run_page("docs/policy.md", Beginning::Lake, &more);
}

#[test]
fn the_page_on_what_is_stuck() {
    let more =
        ["dapple rule add climate:era5 --on country=FR", "dapple rule wait $(dapple rule list | cut -f1) --for stuck"];
    run_page("docs/stuck.md", Beginning::Lake, &more);
}

#[test]
fn the_page_on_search() {
    let said = "dapple did meta climate:ice --set 'title=Sea ice, daily' --set datetime=2024-06-15T00:00:00Z \
                --set eo:cloud_cover=5 --set synthetic=true --set 'geometry={\"type\":\"Polygon\",\"coordinates\":\
                [[[6,46],[10,46],[10,47],[6,47],[6,46]]]}'";
    let followed = "until dapple search ice | grep -q climate:ice; do sleep 0.1; done";
    run_page("docs/search.md", Beginning::Lake, &["dapple did create climate:ice --kind dataset", said, followed]);
}

#[test]
fn the_page_on_signed_urls() {
    let more = [
        "dapple rule add climate:era5 --on hamburg",
        "dapple rule wait $(dapple rule list | cut -f1)",
        "dapple endpoint set hamburg --redirect",
    ];
    run_page("docs/urls.md", Beginning::Lake, &more);
}

#[test]
fn the_readme() {
    let lines = [
        r#"{"name":"older/a","bytes":1,"checksum":"md5:0cc175b9c0f1b6a831c399e269772661"}"#,
        r#"{"name":"older/b","bytes":1,"checksum":"md5:92eb5ffee6ae2fec3ad71c777531578f"}"#,
    ];
    run_page(
        "README.md",
        Beginning::Nothing,
        &[&format!("printf '%s\\n' '{}' '{}' >files.ndjson", lines[0], lines[1])],
    );
}

#[test]
fn every_page_with_console_blocks_is_run() {
    let source = std::fs::read_to_string(Path::new(ROOT).join("tests/it/docs.rs")).expect("this file");
    let docs = std::fs::read_dir(Path::new(ROOT).join("docs")).expect("docs");
    let mut pages: Vec<PathBuf> = docs.map(|entry| entry.expect("an entry").path()).collect();
    pages.push(Path::new(ROOT).join("README.md"));
    for page in pages.into_iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let name = page.strip_prefix(ROOT).expect("below the root").display().to_string();
        let text = std::fs::read_to_string(&page).expect("text");
        let runs = source.contains(&format!("\"{name}\","));
        assert_eq!(!console_blocks(&text).is_empty(), runs, "{name}: add it to tests/it/docs.rs, or take it out");
    }
}
