//! The binary: reads the arguments, starts the runtime, and exits as the command line says.

use std::process::ExitCode;

use clap::Parser as _;
use dapple::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Runtime::new().expect("the system has threads and timers to give");
    let code = runtime.block_on(cli::run(cli));
    // Blocking work that a cancelled command left behind must not hold the process.
    runtime.shutdown_background();
    ExitCode::from(code)
}
