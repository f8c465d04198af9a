//! The command line: `dapple <noun> <verb>`, with short cuts for the everyday.
//!
//! stdout is for data, stderr for talk. `-o json` prints what the API answers, errors included.
//! Exit codes are part of the contract; `docs/cli.md` lists them.

mod account;
mod backup;
mod bulk;
mod config;
mod context;
mod demo;
mod did;
mod doctor;
mod dry;
mod endpoint;
mod failure;
mod get;
mod history;
mod index;
mod parse;
mod policy;
mod put;
mod register;
mod report;
mod rule;
mod screen;
mod search;
mod shell;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod wait;
mod watch;
mod worker;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::app::serve;
use crate::client::Client;
use crate::clock::{SharedClock, SystemClock};
use crate::config::value::LogFormat;
use crate::telemetry::{self, Lines};

use failure::Failure;
use policy::PolicyCommand;
use screen::{Format, Screen};
use target::Typed;

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
    /// The server; wins over DAPPLE_URL and the current context [default: http://127.0.0.1:7070]
    // Read by clap, the variable would make `--server` look needed in the usage line of every error.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "URL")]
    server: Option<String>,
    /// A file with the key for the server; wins over DAPPLE_TOKEN
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with certificates (PEM) of authorities to trust; wins over DAPPLE_CA
    #[arg(long = "cacert", global = true, help_heading = GLOBAL, value_name = "FILE")]
    ca: Option<PathBuf>,
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
    Serve(config::ServeFlags),
    /// Set up a small lake with sample data and serve it
    Demo(demo::DemoArgs),
    /// Put a tree of files into a dataset
    Put(put::PutArgs),
    /// Get the files of a dataset, or one file
    Get(get::GetArgs),
    /// List what is in a dataset, a container, or (`climate:`) a scope
    Ls(did::LsArgs),
    /// Find data by words, place, time and fields
    Search(search::SearchArgs),
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
    /// Who may do what, and where data may be
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Who is let in, with what, and how much they may hold
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Say who you are to the server, and what your key lets through
    Whoami,
    /// Check the lake's catalog against itself
    Doctor,
    /// Make, check and restore backups, which also move a lake to another engine
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// The server's background work
    #[command(subcommand)]
    Worker(worker::WorkerCommand),
    /// The server's search index
    #[command(subcommand)]
    Index(index::IndexCommand),
    /// What a server is told, and where each setting comes from
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Servers by name, and how to get in
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Print what a shell needs to complete commands
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: shell::Shell,
    },
    /// Write man pages
    Man {
        /// The directory, which has to be there
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
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
    let talk = screen.talk();
    let typed = Typed { server: cli.global.server, token_file: cli.global.token_file, ca: cli.global.ca };
    let outcome = match cli.command {
        // The server listens to signals itself, to end in order.
        Command::Serve(flags) => serve(flags, screen.colour).await,
        Command::Demo(args) => {
            // The demo's stores log what they lack as if it were an error; their client says what matters.
            telemetry::start("warn,s3s=off,s3s_fs=off,dav_server=off", screen.colour);
            demo::run(args).await
        }
        command => {
            telemetry::start("warn", screen.colour);
            tokio::select! {
                outcome = carry_out(command, typed, screen, clock) => outcome,
                _ = tokio::signal::ctrl_c() => return EXIT_CANCELLED,
            }
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

/// Runs a server as its settings say.
async fn serve(flags: config::ServeFlags, colour: bool) -> Result<(), Failure> {
    let settings = config::resolved(flags)?.settings;
    let lines = match settings.log.format {
        LogFormat::Text => Lines::Text { colour },
        LogFormat::Json => Lines::Json,
    };
    telemetry::start_as_set(&settings.log.level.0, lines);
    Ok(serve::run(settings).await?)
}

/// Carries out what is not a server: with the one that is meant, or with none.
async fn carry_out(command: Command, typed: Typed, mut screen: Screen, clock: SharedClock) -> Result<(), Failure> {
    match command {
        Command::Config(command) => config::run(&mut screen, command, &typed),
        Command::Context(command) => context::run(&mut screen, command, typed),
        Command::Completion { shell } => shell::completion(&mut screen, shell),
        Command::Man { directory } => shell::man(&directory),
        // Policies are checked where they are written, and no server is asked.
        Command::Policy(PolicyCommand::Check(args)) => policy::check(&mut screen, args),
        Command::Backup(command) if command.is_local() => backup::run_local(&mut screen, command).await,
        command => {
            let target = target::find(&typed)?;
            for warning in &target.warnings {
                screen.talk().say(&format!("warning: {warning}"));
            }
            dispatch(command, &mut Session { client: target.client(clock)?, screen }).await
        }
    }
}

async fn dispatch(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Config(_)
        | Command::Context(_)
        | Command::Completion { .. }
        | Command::Man { .. } => unreachable!("run carries these out"),
        Command::Put(args) => put::run(session, args).await,
        Command::Get(args) => get::run(session, args).await,
        Command::Ls(args) => did::ls(session, args).await,
        Command::Search(args) => search::run(session, args).await,
        Command::Url(args) => did::url(session, args).await,
        Command::Endpoint(command) => endpoint::run(session, command).await,
        Command::Scope(command) => did::run_scope(session, command).await,
        Command::Did(command) => did::run(session, command).await,
        Command::Replica(command) => register::run(session, command).await,
        Command::Rule(command) => rule::run(session, command).await,
        Command::Transfer(command) => worker::run_transfer(session, command).await,
        Command::Policy(command) => policy::run(session, command).await,
        Command::Account(command) => account::run(session, command).await,
        Command::Whoami => account::whoami(session).await,
        Command::Doctor => doctor::run(session).await,
        Command::Backup(command) => backup::run(session, command).await,
        Command::Worker(command) => worker::run(session, command).await,
        Command::Index(command) => index::run(session, command).await,
    }
}
