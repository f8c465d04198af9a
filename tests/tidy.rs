//! Keeps the house in order: imports point downward, files and functions stay short, and what
//! would make the code hard to simulate or to read stays out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use syn::spanned::Spanned as _;
use syn::visit::Visit;

#[path = "tidy/scan.rs"]
mod scan;

use scan::{Seen, What, scan};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
/// From this storey on, code may start tasks and wait.
const TASKS_FROM_STOREY: u32 = 6;
/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "common", "manager", "managers"];
const LEFT_OVERS: [&str; 3] = ["todo", "unimplemented", "dbg"];
const TASKS: [&[&str]; 5] = [
    &["tokio", "spawn"],
    &["tokio", "time"],
    &["tokio", "task", "spawn"],
    &["tokio", "task", "spawn_blocking"],
    &["tokio", "task", "JoinSet"],
];

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let storeys = Storeys::read(&read(&root.join("src/lib.rs"))).expect("src/lib.rs lists the storeys");
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.iter().any(|file| file.ends_with("src/lib.rs")), "sources are found");
    let mut findings = Vec::new();
    for file in files {
        let path = file.strip_prefix(root).expect("collected below it");
        let path = path.to_string_lossy().replace('\\', "/");
        findings.extend(check(&path, &read(&file), &storeys));
    }
    let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(shown.is_empty(), "{} things to tidy:\n{}\n", shown.len(), shown.join("\n"));
}

#[test]
fn every_reason_for_being_stuck_every_error_code_and_every_feature_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = [
        ("src/model/stuck.rs", "docs/stuck.md", "## "),
        ("src/policy/grant.rs", "docs/errors.md", "### "),
        ("src/storage/backend.rs", "docs/errors.md", "### "),
        ("src/model/probe.rs", "docs/endpoints.md", "### "),
    ];
    for (source, page, heading) in pages {
        let text = read(&root.join(page));
        let source_text = read(&root.join(source));
        let codes: Vec<&str> = codes(&source_text).collect();
        assert!(codes.len() > 3, "{source} has codes");
        for code in codes {
            let section = format!("{heading}{code}");
            let explained = text.lines().any(|line| line == section);
            assert!(explained, "{page}: add a section `{section}` for the code in {source}");
        }
    }
}

/// The texts of a function `code`, arm by arm.
fn codes(source: &str) -> impl Iterator<Item = &str> {
    let body = source.split(" fn code(").nth(1).unwrap_or_default();
    let body = body.split("\n    }\n").next().unwrap_or_default();
    body.split('"').skip(1).step_by(2)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{} cannot be read: {e}", path.display()))
}

fn collect(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(directory)
        .expect("sources can be listed")
        .map(|entry| entry.expect("sources can be listed").path())
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
}

/// Which room is on which storey, as `lib.rs` lists them.
struct Storeys(BTreeMap<String, u32>);

impl Storeys {
    fn read(text: &str) -> Result<Self, String> {
        let mut rooms = BTreeMap::new();
        let mut storey = None;
        for (index, line) in text.lines().enumerate() {
            if let Some(rest) = line.strip_prefix("// storey ") {
                let number = rest.split_once(':').and_then(|(number, _)| number.parse().ok());
                let number: u32 = number.ok_or(format!("line {}: write `// storey N: words`", index + 1))?;
                if storey.is_some_and(|below| number <= below) {
                    return Err(format!("line {}: storeys go from the ground up", index + 1));
                }
                storey = Some(number);
            }
            let module = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ");
            if let Some(name) = module.and_then(|rest| rest.strip_suffix(';')) {
                let storey = storey.ok_or(format!("line {}: `{name}` stands on no storey", index + 1))?;
                rooms.insert(name.to_owned(), storey);
            }
        }
        Ok(Self(rooms))
    }
}

/// Something to tidy.
struct Finding {
    path: String,
    line: usize,
    advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.advice)
    }
}

/// Checks one file below `src`.
fn check(path: &str, text: &str, storeys: &Storeys) -> Vec<Finding> {
    let mut advice: Vec<(usize, String)> = Vec::new();
    check_file(path, text, &mut advice);
    match (syn::parse_file(text), text.parse()) {
        (Ok(syntax), Ok(tokens)) => {
            let module = module_of(path);
            let mut functions = Functions(&mut advice);
            functions.visit_file(&syntax);
            let in_test = module.iter().any(|part| part == "tests");
            for seen in scan(tokens, &module, in_test) {
                advice.extend(judge(path, &module, &seen, storeys).map(|words| (seen.line, words)));
            }
        }
        _ => advice.push((1, "this is not Rust: `cargo check` says why".to_owned())),
    }
    advice.sort();
    advice.dedup();
    let finding = |(line, advice)| Finding { path: path.to_owned(), line, advice };
    advice.into_iter().map(finding).collect()
}

fn check_file(path: &str, text: &str, advice: &mut Vec<(usize, String)>) {
    if !text.starts_with("//!") {
        let words = "open the file with `//!`: what it is for, what it promises, what it never does";
        advice.push((1, words.to_owned()));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        let words = format!("{lines} lines are more than {FILE_LINES_MAX}: split the file by verb");
        advice.push((FILE_LINES_MAX + 1, words));
    }
    if path.ends_with("/mod.rs") {
        advice.push((1, "name the file after its module, not mod.rs".to_owned()));
    }
    for part in module_of(path) {
        if is_empty_name(&part) {
            advice.push((1, empty_name(&part)));
        }
    }
}

fn is_empty_name(name: &str) -> bool {
    name.split('_').any(|part| EMPTY_NAMES.contains(&part))
}

fn empty_name(name: &str) -> String {
    format!("`{name}` says nothing of what is inside: name it after what it does")
}

/// `src/model/did.rs` is the module `model::did`.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let parts = inner.split('/').filter(|part| !matches!(*part, "lib" | "main" | "mod"));
    parts.map(str::to_owned).collect()
}

/// Looks at the length of functions.
struct Functions<'a>(&'a mut Vec<(usize, String)>);

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let lines = block.span().end().line + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            let words = format!("`{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}: give its parts names");
            self.0.push((first, words));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, function);
    }
}

/// What to do about something seen, if anything.
fn judge(path: &str, module: &[String], seen: &Seen, storeys: &Storeys) -> Option<String> {
    match &seen.what {
        What::Inside(to) if to.last().is_some_and(|last| last == "*") => glob(seen),
        What::Inside(to) if path != "src/main.rs" => direction(module, to, storeys),
        What::Inside(_) => None,
        What::Outside(to) if to.last().is_some_and(|last| last == "*") => glob(seen),
        What::Outside(to) => tasks(path, module, to, seen, storeys),
        What::RootRenamed => {
            Some("do not rename the crate: paths through the new name could not be checked".to_owned())
        }
        What::Module(name) => is_empty_name(name).then(|| empty_name(name)),
        What::Unwrap => (!seen.in_test).then(|| "say with `expect` why it cannot fail, or return an error".to_owned()),
        What::Macro(name) => {
            LEFT_OVERS.contains(&name.as_str()).then(|| format!("finish what `{name}!` stands for, or leave it out"))
        }
    }
}

fn glob(seen: &Seen) -> Option<String> {
    (!seen.in_test).then(|| "import by name, so that a reader sees where things come from".to_owned())
}

fn direction(module: &[String], to: &[String], storeys: &Storeys) -> Option<String> {
    let (Some(from), Some(room)) = (module.first(), to.first()) else {
        // The root itself only lists rooms.
        return to.first().map(|room| format!("`{room}` is imported at the root: name rooms where they are used"));
    };
    if from == room {
        return None;
    }
    let Some(here) = storeys.0.get(from) else {
        return Some(format!("list `{from}` under a storey in src/lib.rs"));
    };
    match storeys.0.get(room) {
        None => Some(format!("`{room}` is not a room that src/lib.rs lists")),
        Some(there) if there < here => None,
        Some(there) => Some(format!(
            "`{from}` (storey {here}) imports `{}` (storey {there}): have it handed in, or move the code up",
            to.join("::")
        )),
    }
}

fn tasks(path: &str, module: &[String], to: &[String], seen: &Seen, storeys: &Storeys) -> Option<String> {
    let storey = module.first().and_then(|room| storeys.0.get(room))?;
    let allowed = *storey >= TASKS_FROM_STOREY || path == "src/clock.rs" || path.starts_with("src/storage/posix");
    let is_task = TASKS.iter().any(|task| to.iter().zip(*task).filter(|(a, b)| a == b).count() == task.len());
    (is_task && !allowed && !seen.in_test).then(|| {
        format!(
            "`{}` below storey {TASKS_FROM_STOREY} escapes simulation: wait through the clock, return futures",
            to.join("::")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: &str = "//! Head.\n\
        // storey 0: ground\npub mod fault;\n\
        // storey 1: nouns\npub mod model;\n\
        // storey 3: rooms\npub mod catalog;\n// pub mod policy;\npub mod storage;\npub mod clock;\n\
        // storey 6: loops\npub mod workers;\n";

    fn advice_on(path: &str, text: &str) -> Vec<String> {
        let storeys = Storeys::read(ROOMS).expect("well formed");
        check(path, text, &storeys).iter().map(Finding::to_string).collect()
    }

    /// Asserts that the text below a proper head, from line 2 on, gives exactly one finding.
    fn assert_found(path: &str, text: &str, expected: &str) {
        let found = advice_on(path, &format!("//! Head.\n{text}"));
        let one = matches!(&found[..], [only] if only.contains(expected));
        assert!(one, "{path}: {text}\n expected {expected}\n found {found:#?}");
    }

    #[test]
    fn imports_that_point_upward_or_sideways_are_found_wherever_they_stand() {
        let upward = [
            "use crate::catalog::key::Key;",
            "use crate::{fault::Kind, catalog::key};",
            "use crate::{catalog::{key as k}};",
            "use {crate::catalog as store};",
            "use ::dapple::catalog::key;",
            "impl ::dapple::catalog::Read for u8 {}",
            "pub use crate::catalog::key;",
            "use super::super::catalog::key;",
            "use super::super::{catalog};",
            "pub(crate) use super::{super::catalog::key, scope};",
            "use crate::r#catalog::key;",
            "fn f() { crate::catalog::open(); }",
            "fn f() { let x = <crate::catalog::X as Clone>::clone(); }",
            "fn f(x: &crate::catalog::X) {}",
            "impl crate::catalog::Read for u8 {}",
            "fn f() { write!(f, \"{}\", crate::catalog::X); }",
            "macro_rules! m { () => { $crate::catalog::open() } }",
            "#[derive(crate::catalog::Record)] struct X;",
            "#[cfg(test)] mod tests { use crate::catalog::key; }",
            "mod inner { use super::super::super::catalog::key; }",
        ];
        for text in upward {
            assert_found("src/model/did.rs", text, "`model` (storey 1) imports `catalog");
        }
        assert_found("src/model.rs", "use super::catalog::key;", "imports `catalog::key` (storey 3)");
        assert_found("src/catalog/key.rs", "use crate::storage::backend;", "(storey 3) imports `storage");
        assert_found("src/catalog.rs", "use crate::policy::grant;", "not a room");
        assert_found("src/policy.rs", "use crate::fault::Kind;", "list `policy`");
        assert_found("src/model.rs", "use crate as root;", "do not rename");
        assert_found("src/lib.rs", "pub use crate::model::did::Did;", "at the root");
        assert_found("src/lib.rs", "pub use self::model::did::Did;", "at the root");
    }

    #[test]
    fn a_finding_names_file_and_line() {
        let found = advice_on("src/model.rs", "//! Head.\n\n\nuse crate::catalog::key;\n");
        assert!(found[0].starts_with("src/model.rs:4: "), "{found:?}");
    }

    #[test]
    fn habits_that_do_harm_are_found() {
        let table = [
            ("src/model.rs", "fn f() { Some(1).unwrap(); }", "say with `expect`"),
            ("src/model.rs", "fn f() { x.map(Option::unwrap); }", "say with `expect`"),
            ("src/model.rs", "fn f() { assert!(x.unwrap()); }", "say with `expect`"),
            ("src/model.rs", "#[cfg(not(test))] fn f() { x.unwrap(); }", "say with `expect`"),
            ("src/model.rs", "#[cfg(test)] mod t {} fn f() { x.unwrap(); }", "say with `expect`"),
            ("src/model.rs", "#[cfg(test)] use a::b; fn f() { x.unwrap(); }", "say with `expect`"),
            ("src/model.rs", "use std::io::*;", "import by name"),
            ("src/model.rs", "use std::{fmt, io::{self, *}};", "import by name"),
            ("src/model.rs", "use self::did::*;", "import by name"),
            ("src/model.rs", "fn f() { use Side::*; }", "import by name"),
            ("src/model.rs", "fn f() { todo!() }", "finish what `todo!`"),
            ("src/model.rs", "fn f() { std::unimplemented!() }", "finish what `unimplemented!`"),
            ("src/model.rs", "#[cfg(test)] mod t { fn f() { dbg!(1); } }", "finish what `dbg!`"),
            ("src/model.rs", "mod string_utils {}", "says nothing"),
            ("src/model/common.rs", "", "says nothing"),
            ("src/model/helpers/did.rs", "", "says nothing"),
            ("src/model/mod.rs", "", "not mod.rs"),
            ("src/model.rs", "fn f(", "not Rust"),
            ("src/catalog.rs", "fn f() { tokio::spawn(g()); }", "escapes simulation"),
            ("src/catalog.rs", "use tokio::{sync, time::sleep};", "escapes simulation"),
            ("src/catalog.rs", "fn f() { select! { _ = tokio::time::sleep(x) => {} } }", "escapes simulation"),
            ("src/storage/s3.rs", "use tokio::task::JoinSet;", "escapes simulation"),
        ];
        for (path, text, expected) in table {
            assert_found(path, text, expected);
        }
    }

    #[test]
    fn long_files_and_functions_and_files_without_a_head_are_found() {
        let lines = |count: usize| "    f();\n".repeat(count);
        let function = |count| format!("fn long() {{\n{}}}\n", lines(count));
        assert!(advice_on("src/model.rs", &format!("//! Head.\n{}", function(68))).is_empty());
        assert_found("src/model.rs", &function(69), "`long` has 71 lines");
        assert_found("src/model.rs", &format!("impl X {{\n{}}}", function(69)), "`long` has");
        assert_found("src/model.rs", &format!("trait X {{\n{}}}", function(69)), "`long` has");
        assert_found("src/model.rs", &"// line\n".repeat(600), "601 lines");
        assert!(advice_on("src/model.rs", &format!("//! Head.\n{}", "// line\n".repeat(599))).is_empty());
        assert!(advice_on("src/model.rs", "// Head.\n")[0].contains("open the file with `//!`"));
        assert!(advice_on("src/model.rs", "")[0].contains("open the file with `//!`"));
    }

    #[test]
    fn what_is_in_order_is_left_alone() {
        let fine = [
            ("src/catalog/key.rs", "use crate::model::id::DidId;\nuse crate::catalog::engine::Table;"),
            ("src/catalog/key.rs", "use super::engine;\nuse self::inner::X;\nmod inner { use super::super::engine; }"),
            ("src/model.rs", "/// See [`crate::catalog::key`].\npub(crate) fn f() -> bool { \"crate::catalog\" != x }"),
            ("src/model.rs", "#[cfg(test)]\nmod tests { use super::*; fn f() { x.unwrap(); } }"),
            ("src/model.rs", "#[cfg(test)]\n#[allow(dead_code)]\nfn f() { x.unwrap(); }"),
            ("src/model/did/tests.rs", "use super::*;\nfn f() { x.unwrap(); }"),
            ("src/model.rs", "fn f() { x.unwrap_or(1); y.unwrap_or_default(); a * b; c::<u8>(); if !todo {} }"),
            ("src/clock.rs", "fn f() { tokio::time::sleep(x) }"),
            ("src/storage/posix/read.rs", "fn f() { tokio::task::spawn_blocking(x) }"),
            ("src/workers.rs", "use crate::catalog::key;\nfn f() { tokio::spawn(x) }"),
            ("src/catalog.rs", "use tokio::sync::watch;\n#[cfg(test)] mod tests { fn f() { tokio::time::pause(); } }"),
            ("src/main.rs", "fn main() { dapple::workers::run() }"),
            ("src/lib.rs", "// storey 0: ground\npub mod fault;"),
        ];
        for (path, text) in fine {
            let found = advice_on(path, &format!("//! Head.\n{text}"));
            assert!(found.is_empty(), "{path}: {text}\n found {found:#?}");
        }
    }

    #[test]
    fn the_list_of_storeys_is_read_from_the_ground_up() {
        let storeys = Storeys::read(ROOMS).expect("well formed");
        assert_eq!(storeys.0.get("model"), Some(&1));
        assert_eq!(storeys.0.get("policy"), None, "commented out");
        for bad in ["pub mod model;", "// storey 1: a\n// storey 1: b", "// storey x: a"] {
            assert!(Storeys::read(bad).is_err(), "{bad}");
        }
    }
}
