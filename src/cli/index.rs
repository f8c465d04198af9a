//! `dapple index …`: the search index of a server.

use clap::Subcommand;

use crate::cli::Session;
use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum IndexCommand {
    /// Show how far the index is
    Status,
    /// Build the index anew from the catalog; until it is ready, searches are told to wait
    Rebuild {
        #[command(flatten)]
        dry: DryRun,
    },
}

pub(crate) async fn run(session: &mut Session, command: IndexCommand) -> Result<(), Failure> {
    let view = match command {
        IndexCommand::Status => session.client.index().await?,
        IndexCommand::Rebuild { dry } => {
            dry.begin(session);
            session.client.rebuild_index().await?
        }
    };
    session.screen.one(&view)
}
