//! `dapple transfer …` and `dapple worker …`: what goes on by itself.

use clap::{Subcommand, ValueEnum};

use crate::cli::Session;
use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::watch::Watch;
use crate::model::id::RuleId;

#[derive(Debug, Subcommand)]
pub(crate) enum TransferCommand {
    /// List transfers that are not done
    List {
        /// Only those in this state
        #[arg(long, value_enum)]
        state: Option<StateWord>,
        /// Only those that this rule waits for
        #[arg(long, value_name = "ID")]
        rule: Option<RuleId>,
        #[command(flatten)]
        watch: Watch,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateWord {
    Waiting,
    Running,
    Failed,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List workers
    List {
        #[command(flatten)]
        watch: Watch,
    },
    /// Pause a worker
    Pause {
        /// Its name
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Let a paused worker go on
    Resume {
        /// Its name
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
}

pub(crate) async fn run_transfer(session: &mut Session, command: TransferCommand) -> Result<(), Failure> {
    let TransferCommand::List { state, rule, watch } = command;
    let state = state.map(|state| match state {
        StateWord::Waiting => "waiting",
        StateWord::Running => "running",
        StateWord::Failed => "failed",
    });
    let show = async |session: &mut Session| session.screen.list(session.client.transfers(state, rule).stream()).await;
    watch.show(session, show).await
}

pub(crate) async fn run(session: &mut Session, command: WorkerCommand) -> Result<(), Failure> {
    let view = match command {
        WorkerCommand::List { watch } => {
            let show = async |session: &mut Session| session.screen.list(session.client.workers().stream()).await;
            return watch.show(session, show).await;
        }
        WorkerCommand::Pause { name, dry } => {
            dry.begin(session);
            session.client.pause_worker(&name).await?
        }
        WorkerCommand::Resume { name, dry } => {
            dry.begin(session);
            session.client.resume_worker(&name).await?
        }
    };
    session.screen.one(&view)
}
