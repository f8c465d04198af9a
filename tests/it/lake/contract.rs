//! The API keeps to its own description: schemathesis makes requests of it, good and bad ones, and
//! judges every answer.

use std::io::Write as _;
use std::process::Command;

use super::TestLake;

/// Where `tests/run` says that it is, or wherever the shell finds it.
fn schemathesis() -> Command {
    let path = std::env::var_os("DAPPLE_SCHEMATHESIS");
    Command::new(path.unwrap_or_else(|| "schemathesis".into()))
}

/// What a request that fits the schema may still be told, beyond what schemathesis expects: a store
/// that is not there, an expression that does not parse, a name that is too long in bytes.
const SETTINGS: &str = r#"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "304", "400", "403", "404", "409", "412", "503"]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "429"]

# Roots would be made all over this machine, and strangers' servers asked.
[[operations]]
include-operation-id = "add_endpoint"
parameters = { dry_run = true }

# It lists keys and uses what it learns: without its own key it would only test that nobody gets in.
[[operations]]
include-operation-id = "revoke_key"
parameters = { dry_run = true }

# Nobody guesses a password, and whoever tries is slowed down.
[[operations]]
include-operation-id = "sign_in"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "429"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_answer_that_the_description_does_not_name() {
    if schemathesis().arg("--version").output().is_err() {
        // `tests/run` installs it; who runs this alone may not have it.
        assert!(std::env::var_os("CI").is_none(), "schemathesis is not here: run tests/run");
        eprintln!("schemathesis is not here: tests/run installs it");
        return;
    }
    let lake = TestLake::with_endpoints(&["x", "y"]).await;
    lake.put_numbered("s:d", "x", 0..3).await;
    lake.rule("s:d", 2, "*").await;
    lake.rule("s:d", 3, "*").await;
    let mut settings = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    settings.write_all(SETTINGS.as_bytes()).expect("written");
    let long = std::env::var_os("DAPPLE_TEST_LONG").is_some();
    let key = &lake.server.as_ref().expect("it is up").admin_key;
    let mut command = schemathesis();
    command
        .arg("--config-file")
        .arg(settings.path())
        .args(["run", &format!("{}/api/v1/openapi.json", lake.url())])
        .args(["--url", lake.url(), "--header", &format!("Authorization: Bearer {key}")])
        .args(["--checks", "all", "--seed", "4", "--workers", "1", "--no-color", "--suppress-health-check", "all"])
        // It knows no lines of JSON; `registering`, `metadata` and `holding` test those.
        .args(["--exclude-operation-id", "register_replicas"])
        .args(["--exclude-operation-id", "create_dids"])
        .args(["--exclude-operation-id", "attach_many"])
        .args(["--exclude-operation-id", "detach_many"])
        .args(["--exclude-operation-id", "patch_many_metadata"])
        .args(["--max-examples", if long { "300" } else { "8" }])
        .args(["--phases", if long { "examples,coverage,fuzzing,stateful" } else { "examples,coverage,fuzzing" }])
        .env("HYPOTHESIS_STORAGE_DIRECTORY", settings.path().with_extension("hypothesis"));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ran").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    lake.is_well().await;
}
