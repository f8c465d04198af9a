//! The pages in Chromium: the journey of a data manager, and what axe finds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dapple::model::rule::RuleState;

use crate::lake::TestLake;

/// Names that Chromium goes by.
const BROWSERS: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

fn browser() -> PathBuf {
    let found = BROWSERS.iter().map(Path::new).find(|path| path.exists());
    found.expect("Chromium is installed: tests/run does that").to_owned()
}

/// The directory of the script, with what it imports in place.
fn script() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web");
    let installed = directory.join("node_modules/playwright-core/package.json").exists();
    assert!(installed, "what the browser test imports is missing: run `npm ci` in tests/web, or tests/run");
    directory
}

#[tokio::test]
async fn a_data_manager_finds_what_is_stuck_and_helps_it_in_a_browser() {
    let (script, browser) = (script(), browser());
    let lake = TestLake::with_endpoints(&["lisbon", "hamburg"]).await;
    for (dataset, expression) in [("s:run", "country=FR"), ("s:walk", "country=ES"), ("s:never", "country=AQ")] {
        lake.put_numbered(dataset, "lisbon", 0..4).await;
        let rule = lake.rule(dataset, 1, expression).await;
        lake.until(rule, RuleState::Stuck).await;
    }
    let mut node = Command::new("node");
    node.arg("journey.mjs").current_dir(script).stdin(Stdio::null());
    node.env("LAKE", lake.url()).env("KEY", lake.key()).env("CHROMIUM", browser);
    node.env("STUCK", "s:run").env("BORED", "s:walk").env("PLACE", "hamburg");
    let ran = tokio::task::spawn_blocking(move || node.output()).await.expect("it ran").expect("node is installed");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert_eq!(said.lines().count(), 4, "{said}");
}
