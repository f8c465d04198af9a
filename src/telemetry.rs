//! Logs: where they go and how much of them. To stderr always, as stdout is for data.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The environment variable that overrides how much is logged, for example `info,dapple::rules=debug`.
pub const FILTER_VARIABLE: &str = "DAPPLE_LOG";

/// Starts logging, with `default` where the environment does not say how much. A filter that cannot
/// be read is reported, and `default` used. Only the first call of a process counts.
pub fn start(default: &str, colour: bool) {
    let filter = match EnvFilter::try_from_env(FILTER_VARIABLE) {
        Ok(filter) => filter,
        Err(error) => {
            if std::env::var_os(FILTER_VARIABLE).is_some_and(|text| !text.is_empty()) {
                eprintln!("warning: {FILTER_VARIABLE} cannot be read: {error}");
            }
            EnvFilter::new(default)
        }
    };
    // An error here means that a test, or an embedding program, has its own subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour && std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}
