//! The command line: `dapple <noun> <verb>`, with short cuts for the everyday.
//!
//! stdout is for data, stderr for talk. `-o json` prints what the API answers, errors included.
//! Exit codes are part of the contract; `docs/cli.md` lists them.

mod demo;
mod did;
mod doctor;
mod dry;
mod endpoint;
mod failure;
mod get;
mod parse;
mod put;
mod register;
mod report;
mod rule;
mod screen;
mod table;
#[cfg(test)]
mod tests;
mod wait;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::app::serve::{self, ServeArgs};
use crate::client::Client;
use crate::clock::SystemClock;
use crate::telemetry;

use failure::Failure;
use screen::{Format, Screen};

/// The exit code of a command that was interrupted.
const EXIT_CANCELLED: u8 = 130;

/// Federated data-lake middleware: datasets, replication rules and signed URLs.
#[derive(Debug, Parser)]
#[command(name = "dapple", version, max_term_width = 100, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
The key that the server asks for is read from DAPPLE_TOKEN, or from the file given by --token-file.

Exit codes: 0 ok, 1 failed, 2 usage, 3 partly done, 4 not found, 5 denied, 6 conflict, 7 quota,
8 unavailable or timed out, 9 the wait ended stuck, 130 cancelled.";

/// The heading of options that every command takes.
const GLOBAL: &str = "Global options";

#[derive(Debug, clap::Args)]
struct Global {
    /// The server; wins over DAPPLE_URL [default: http://127.0.0.1:7070]
    // Read by clap, the variable would make `--server` look needed in the usage line of every error.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "URL")]
    server: Option<String>,
    /// A file with the key for the server; wins over DAPPLE_TOKEN
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How to print data: table, json, or ndjson (one entry per line)
    #[arg(
        short,
        long,
        global = true,
        help_heading = GLOBAL,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true
    )]
    output: Format,
    /// Show no progress bars
    #[arg(long, global = true, help_heading = GLOBAL)]
    no_progress: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server
    Serve {
        /// Where the lake keeps its catalog and keys
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Where to listen
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
        listen: SocketAddr,
        /// How the lake is reached from outside; signed URLs begin with it [default: where it listens]
        #[arg(long, value_name = "URL")]
        public_url: Option<String>,
    },
    /// Set up a small lake with sample data and serve it
    Demo(demo::DemoArgs),
    /// Put a tree of files into a dataset
    Put(put::PutArgs),
    /// Get the files of a dataset, or one file
    Get(get::GetArgs),
    /// List what is in a dataset, a container, or (`climate:`) a scope
    Ls(did::LsArgs),
    /// Mint a signed URL that anybody can read with
    Url(did::UrlArgs),
    /// Storages that hold replicas
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    /// Parts of the namespace
    #[command(subcommand)]
    Scope(did::ScopeCommand),
    /// Files, datasets and containers
    #[command(subcommand)]
    Did(did::DidCommand),
    /// Copies of files at endpoints
    #[command(subcommand)]
    Replica(register::ReplicaCommand),
    /// What shall be where
    #[command(subcommand)]
    Rule(rule::RuleCommand),
    /// Files on their way
    #[command(subcommand)]
    Transfer(worker::TransferCommand),
    /// Check the lake's catalog against itself
    Doctor,
    /// The server's background work
    #[command(subcommand)]
    Worker(worker::WorkerCommand),
}

/// What a command works with.
pub(crate) struct Session {
    client: Client,
    screen: Screen,
}

/// Carries out a command and tells how the process shall exit.
pub async fn run(cli: Cli) -> u8 {
    let clock = SystemClock::shared();
    let screen = Screen::of_process(cli.global.output, !cli.global.no_progress, clock.clone());
    let serves = matches!(cli.command, Command::Serve { .. } | Command::Demo(_));
    let demo = matches!(cli.command, Command::Demo(_));
    let level = match (serves, demo) {
        // The demo's stores log what they lack as if it were an error; their client says what matters.
        (_, true) => "warn,s3s=off,s3s_fs=off,dav_server=off",
        (true, false) => "info",
        (false, false) => "warn",
    };
    telemetry::start(level, screen.colour);
    let talk = screen.talk();
    let work = async {
        match cli.command {
            Command::Serve { dir, listen, public_url } => Ok(serve::run(ServeArgs { dir, listen, public_url }).await?),
            Command::Demo(args) => demo::run(args).await,
            command => {
                let token = parse::token(cli.global.token_file.as_deref())?;
                let client = Client::new(&parse::url(cli.global.server)?, token, clock)?;
                dispatch(command, &mut Session { client, screen }).await
            }
        }
    };
    let outcome = if serves {
        // The server listens to signals itself, to end in order.
        work.await
    } else {
        tokio::select! {
            outcome = work => outcome,
            _ = tokio::signal::ctrl_c() => return EXIT_CANCELLED,
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            talk.failure(&failure);
            failure.exit_code()
        }
    }
}

async fn dispatch(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Serve { .. } | Command::Demo(_) => unreachable!("run carries these out"),
        Command::Put(args) => put::run(session, args).await,
        Command::Get(args) => get::run(session, args).await,
        Command::Ls(args) => did::ls(session, args).await,
        Command::Url(args) => did::url(session, args).await,
        Command::Endpoint(command) => endpoint::run(session, command).await,
        Command::Scope(command) => did::run_scope(session, command).await,
        Command::Did(command) => did::run(session, command).await,
        Command::Replica(command) => register::run(session, command).await,
        Command::Rule(command) => rule::run(session, command).await,
        Command::Transfer(command) => worker::run_transfer(session, command).await,
        Command::Doctor => doctor::run(session).await,
        Command::Worker(command) => worker::run(session, command).await,
    }
}
