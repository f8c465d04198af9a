//! Writes `docs/cli.md` from the arguments themselves, and fails when the two differ.

use std::path::Path;

use clap::{Command, CommandFactory as _};

use crate::cli::Cli;
use crate::cli::bulk::MovedSum;
use crate::cli::config::SettingRow;
use crate::cli::context::ContextRow;
use crate::cli::did::meta::{MetaRow, MetaSum};
use crate::cli::get::GetReport;
use crate::cli::history::CoverageRow;
use crate::cli::put::PutReport;
use crate::cli::register::Sum;
use crate::cli::screen::Row as _;
use crate::service::view::{
    AccountView, ContentView, DidView, EndpointView, FindingOfProbe, HistoryView, IndexView, KeyView, LimitView,
    MemberView, ReplicaView, RuleView, ScopeView, TransferView, WhoView, WorkerView,
};

const HEAD: &str = "\
# The command line

This page is made from the program's own `--help` by a test. To bring it up to date:
`UPDATE_DOCS=1 cargo test --lib reference`.

## What goes where

stdout is for data, stderr for everything else. On a terminal, data is a table with a header and
human units. In a pipe the same columns, in the order below, are separated by tabs, without a
header, with exact numbers of bytes and RFC 3339 times. `-o json` prints what the API answers; a
list is one page `{\"items\": [...]}` with all entries. `-o ndjson` prints one entry per line, as it
comes.

With `-o json` and `-o ndjson`, an error is one problem object on stderr. Otherwise it is
`error: ...`, then `hint: ...` if there is one, and `request ...`, which names the request in the
server's log. An option or argument that cannot be read is told as plain text in any format, as the
format itself is not known by then; the exit code is 2.

## Columns
";

const MIDDLE: &str = "
## Exit codes

| code | meaning |
|---|---|
| 0 | ok |
| 1 | failed |
| 2 | the arguments, or the request, make no sense |
| 3 | partly done: some files or lines failed; the report names them |
| 4 | not found |
| 5 | denied, or the key is missing or wrong |
| 6 | conflict with what is there |
| 7 | a quota or an endpoint is full |
| 8 | the server does not answer, or time is up |
| 9 | the rule that was waited for is stuck |
| 130 | cancelled |

## Environment

| variable | meaning |
|---|---|
| `DAPPLE_URL` | the server, unless `--server` says |
| `DAPPLE_TOKEN` | the key for the server, unless `--token-file` says |
| `DAPPLE_CA` | a file with certificates of authorities to trust, unless `--cacert` says |
| `DAPPLE_CONTEXT` | the context, instead of the one that `dapple context use` chose |
| `DAPPLE_CONTEXTS` | the file with contexts, instead of `dapple/contexts.toml` below `$XDG_CONFIG_HOME` or `~/.config` |
| `DAPPLE_CONFIG` | the file with a server's settings, unless `--config` says |
| `DAPPLE_LOG` | how much is logged to stderr, such as `debug` |
| `NO_COLOR` | no colours |

A server's settings have variables as well: see [settings.md](settings.md).

## Which server

A command works with the server that `--server` names, else the one in `DAPPLE_URL`, else the one of the
current context, else `http://127.0.0.1:7070`. The key comes from `--token-file`, else `DAPPLE_TOKEN`, else
the context; the key of a context is sent to the context's own server only. `dapple config show --origin`
tells which server and key are meant, and by whom.

```text
dapple context add prod --server https://lake.example.org --token-file ~/lake.key
dapple context add lab --server https://lake.example.net --token-command 'pass show dapple/lab'
dapple context use lab
```

The file with contexts never has a key in it. Dapple writes it for its owner alone, and warns if others
can read it.

## Commands
";

#[test]
fn the_reference_page_is_what_the_program_says() {
    let mut root = Cli::command().term_width(100).disable_help_subcommand(true);
    root.build();
    let mut page = HEAD.to_owned() + &columns() + MIDDLE;
    describe(&root, &mut page);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == page, "docs/cli.md differs from --help: run `UPDATE_DOCS=1 cargo test --lib reference`");
}

/// The columns of each table, as they follow each other in a pipe.
fn columns() -> String {
    let tables = [
        ("`put`", PutReport::HEADERS),
        ("`get`", GetReport::HEADERS),
        ("`ls` of a dataset or container", ContentView::HEADERS),
        ("`ls` of a scope, `did create`, `show`, `list`, `attach`, `detach`, `close`, `reopen`", DidView::HEADERS),
        ("`did create`, `attach`, `detach` with `--from`", MovedSum::HEADERS),
        ("`did history`", HistoryView::HEADERS),
        ("`did coverage`", CoverageRow::HEADERS),
        ("`did meta`", MetaRow::HEADERS),
        ("`did meta --lines`", MetaSum::HEADERS),
        ("`endpoint add`, `list`, `set`", EndpointView::HEADERS),
        ("`endpoint probe`", FindingOfProbe::HEADERS),
        ("`scope add`, `list`, `change`", ScopeView::HEADERS),
        ("`replica list`, `declare-bad`", ReplicaView::HEADERS),
        ("`replica register`", Sum::HEADERS),
        ("`rule add`, `list`, `show`, `update`, `wait`, `retry`", RuleView::HEADERS),
        ("`transfer list`", TransferView::HEADERS),
        ("`account add`, `list`, `show`, `change`", AccountView::HEADERS),
        ("`account member add`, `remove`, `list`", MemberView::HEADERS),
        ("`account key list`", KeyView::HEADERS),
        ("`account limit set`, `list`", LimitView::HEADERS),
        ("`whoami`", WhoView::HEADERS),
        ("`worker list`, `pause`, `resume`", WorkerView::HEADERS),
        ("`index status`, `rebuild`", IndexView::HEADERS),
        ("`config show --origin`", SettingRow::HEADERS),
        ("`context add`, `use`, `list`, `show`", ContextRow::HEADERS),
    ];
    let rows = tables.map(|(commands, headers)| format!("| {commands} | {} |\n", headers.join(", ")));
    format!("\n| command | columns |\n|---|---|\n{}", rows.concat())
}

/// Global options are told once, with the program itself.
fn describe(command: &Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or("dapple").to_owned();
    let is_root = !name.contains(' ');
    let mut shown = command.clone().mut_args(|argument| {
        let hidden = argument.is_global_set() && !is_root;
        argument.hide(hidden)
    });
    let help = shown.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    *page += &format!("\n### {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for below in command.get_subcommands() {
        describe(below, page);
    }
}
