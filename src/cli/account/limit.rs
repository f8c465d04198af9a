//! `dapple account limit …`: how much an account's rules may hold.

use clap::Subcommand;

use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::{Session, parse};
use crate::model::account::AccountName;
use crate::service::view::NewLimit;

#[derive(Debug, Subcommand)]
pub(crate) enum LimitCommand {
    /// Set how much an account's rules may hold at endpoints
    Set {
        account: AccountName,
        /// Where: an endpoint expression; the limit is on all of them together
        #[arg(long, value_name = "EXPRESSION")]
        on: String,
        /// How much, such as 10TiB
        #[arg(long, value_name = "SIZE", value_parser = parse::bytes)]
        bytes: u64,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List an account's limits
    List { account: AccountName },
    /// Remove a limit
    Remove {
        account: AccountName,
        /// The endpoint expression of the limit
        #[arg(long, value_name = "EXPRESSION")]
        on: String,
        #[command(flatten)]
        dry: DryRun,
    },
}

pub(super) async fn run(session: &mut Session, command: LimitCommand) -> Result<(), Failure> {
    match command {
        LimitCommand::Set { account, on, bytes, dry } => {
            dry.begin(session);
            let view = session.client.set_limit(&account, &NewLimit { on, bytes }).await?;
            session.screen.one(&view)
        }
        LimitCommand::List { account } => session.screen.list(session.client.limits(&account).stream()).await,
        LimitCommand::Remove { account, on, dry } => {
            dry.begin(session);
            session.client.remove_limit(&account, &on).await?;
            session.screen.talk().say(&format!("{account} has no limit on `{on}` any more"));
            Ok(())
        }
    }
}
