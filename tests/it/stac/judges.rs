//! Clients and validators that others wrote judge the door: pystac-client does what a notebook does,
//! stac-api-validator reads every class of the specification that the door says it keeps to.

use std::path::{Path, PathBuf};
use std::process::Command;

use dapple::model::did::DidKind;
use dapple::model::scope::Scope;
use dapple::service::view::LabelsChange;
use serde_json::json;

use crate::lake::TestLake;
use crate::stac::{caught_up, label, make, say};

/// Where `tests/run` has put them.
fn judges() -> Option<PathBuf> {
    let found = std::env::var_os("DAPPLE_STAC_JUDGES").map(PathBuf::from);
    if found.is_none() {
        // `tests/run` installs them; who runs this alone may not have them.
        assert!(std::env::var_os("CI").is_none(), "the judges of STAC are not here: run tests/run");
        eprintln!("the judges of STAC are not here: tests/run installs them");
    }
    found
}

/// Twelve public days on a line, and one dataset that is kept back.
async fn lake() -> TestLake {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let public = LabelsChange { labels: vec!["classification=public".to_owned()] };
    lake.client.label_scope(&Scope::parse("s").expect("a scope"), &public).await.expect("labelled");
    lake.make("s:sea", DidKind::Container).await;
    say(&lake, "s:sea", json!({ "title": "The sea", "description": "Ice by day", "license": "CC-BY-4.0" })).await;
    for day in 1..=12 {
        let (dataset, file) = (format!("s:day-{day:02}"), format!("day-{day:02}.nc"));
        let (west, east) = (f64::from(day), f64::from(day) + 0.5);
        let ring = json!([[west, 10], [east, 10], [east, 11], [west, 11], [west, 10]]);
        let said = json!({
            "datetime": format!("2026-01-{day:02}T12:00:00+01:00"),
            "geometry": { "type": "Polygon", "coordinates": [ring] },
            "title": format!("Day {day}"),
            "day": day,
            "keywords": ["sea", "ice"],
        });
        make(&lake, "s:sea", &dataset, said).await;
        lake.put(&dataset, "x", &[(&file, format!("day {day}").as_bytes())]).await;
    }
    lake.make("s:kept", DidKind::Dataset).await;
    lake.put("s:kept", "x", &[("kept.nc", b"kept")]).await;
    label(&lake, "s:kept", "classification=restricted").await;
    caught_up(&lake).await;
    lake
}

/// Runs a judge, and tells what it said and which addresses outside it asked for.
async fn run(mut command: Command, directory: &Path) -> (bool, String) {
    let asked = directory.join("asked");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stac/offline");
    command.env("PYTHONPATH", here).env("STAC_ASKED", &asked).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ran").expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let outside = std::fs::read_to_string(&asked).unwrap_or_default();
    (output.status.success() && outside.is_empty(), format!("{said}\nasked outside: {outside}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_finds_and_reads_what_it_may() {
    let Some(judges) = judges() else { return };
    let (lake, directory) = (lake().await, tempfile::tempdir().expect("a scratch directory"));
    let mut command = Command::new(judges.join("bin/python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stac/client.py"));
    command.arg(format!("{}/stac", lake.url())).arg(lake.key());
    let (is_well, said) = run(command, directory.path()).await;
    assert!(is_well && said.contains("all well"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_validator_finds_nothing_to_complain_of() {
    let Some(judges) = judges() else { return };
    let lake = lake().await;
    let shape = json!({"type": "Polygon", "coordinates": [[[0, 0], [30, 0], [30, 20], [0, 20], [0, 0]]]}).to_string();
    // A crash of it hides all classes that come after, and tells of itself in words alone.
    for classes in
        ["core", "collections", "features", "item-search", "item-search#sort features#sort", "item-search#query"]
    {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let mut command = Command::new(judges.join("bin/python"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stac/validator.py"));
        command.args(["--log-level", "WARN", "--root-url", &format!("{}/stac", lake.url())]);
        command.args(["--collection", "s--sea", "--geometry", &shape, "--validate-pagination"]);
        let sums = ["eq", "neq", "lt", "lte", "gt", "gte"].map(|test| format!("--query-{test}-value"));
        command.args(["--query-comparison-field", "day"]).args(sums.iter().flat_map(|test| [test.as_str(), "6"]));
        command.args(["--query-substring-field", "title", "--query-starts-with-value", "Day"]);
        command.args(["--query-ends-with-value", "2", "--query-contains-value", "y 1"]);
        command.args(["--query-in-field", "keywords", "--query-in-values", "ice,snow"]);
        for class in classes.split(' ') {
            command.args(["--conformance", class]);
        }
        let (is_well, said) = run(command, directory.path()).await;
        assert!(is_well && !said.contains("Failed.") && said.contains("Errors: none"), "{classes}: {said}");
    }
}
