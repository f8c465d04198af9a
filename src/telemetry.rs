//! Logs and numbers: what a running process tells of itself. Logs go to stderr always, as stdout is
//! for data.

pub mod meters;
pub mod process;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The environment variable that overrides how much is logged, for example `info,dapple::rules=debug`.
pub const FILTER_VARIABLE: &str = "DAPPLE_LOG";

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// For people, with colours where a terminal shows them.
    Text {
        /// Whether colours are welcome.
        colour: bool,
    },
    /// One JSON object per line.
    Json,
}

/// Starts the log of a command, with `default` where the environment does not say how much. A filter
/// that cannot be read is reported, and `default` used. Only the first call of a process counts.
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
    begin(filter, Lines::Text { colour });
}

/// Starts the log of a server, as its settings say. Only the first call of a process counts.
pub fn start_as_set(filter: &str, lines: Lines) {
    begin(EnvFilter::new(filter), lines);
}

fn begin(filter: EnvFilter, lines: Lines) {
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // An error here means that a test, or an embedding program, has its own subscriber.
    let _ = match lines {
        Lines::Text { colour } => subscriber.with_ansi(colour && std::io::stderr().is_terminal()).try_init(),
        // Spans are of the parts that dapple is made of; its own fields are with each line.
        Lines::Json => subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
}
