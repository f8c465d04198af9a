//! `dapple rule …`: what shall be where.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use crate::cli::dry::{self, DryRun};
use crate::cli::failure::Failure;
use crate::cli::watch::Watch;
use crate::cli::{Session, parse, report, wait};
use crate::model::did::Did;
use crate::model::id::RuleId;
use crate::model::rule::Grouping;
use crate::service::view::{NewRule, RuleChange};

#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// Ask for copies of a DID
    Add {
        /// The file, dataset or container
        did: Did,
        /// How many copies, on distinct endpoints
        #[arg(long, value_name = "N", default_value = "1")]
        copies: u16,
        /// Where: an endpoint expression such as `tier=1&(country=DE|country=FR)`
        #[arg(long, value_name = "EXPRESSION")]
        on: String,
        /// What of a container shall lie together
        #[arg(long, value_enum, default_value = "dataset")]
        grouping: GroupingWord,
        /// After how long the rule ends by itself, such as 30d [default: never]
        #[arg(long, value_name = "SPAN", value_parser = parse::lifetime)]
        lifetime: Option<Duration>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List rules
    List {
        /// Only rules on this DID
        #[arg(long)]
        did: Option<Did>,
        #[command(flatten)]
        watch: Watch,
    },
    /// Show a rule
    Show {
        id: RuleId,
        #[command(flatten)]
        watch: Watch,
    },
    /// Say why a rule is as it is, and what would help
    Explain {
        id: RuleId,
        #[command(flatten)]
        watch: Watch,
    },
    /// Change a rule
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
    Update {
        id: RuleId,
        /// How many copies
        #[arg(long, value_name = "N", group = "change")]
        copies: Option<u16>,
        /// Where
        #[arg(long, value_name = "EXPRESSION", group = "change")]
        on: Option<String>,
        /// After how long from now it ends by itself; 0s for never
        #[arg(long, value_name = "SPAN", value_parser = parse::span, group = "change")]
        lifetime: Option<Duration>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Wait until a rule is satisfied
    Wait(wait::WaitArgs),
    /// Try everything that a rule waits for afresh
    Retry {
        id: RuleId,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Remove a rule; what nothing else holds may then be deleted
    Remove {
        id: RuleId,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupingWord {
    /// All datasets at the same endpoints
    All,
    /// Each dataset's files together
    Dataset,
    /// Each file by itself
    None,
}

pub(crate) async fn run(session: &mut Session, command: RuleCommand) -> Result<(), Failure> {
    if let RuleCommand::Add { dry, .. }
    | RuleCommand::Update { dry, .. }
    | RuleCommand::Retry { dry, .. }
    | RuleCommand::Remove { dry, .. } = &command
    {
        dry.begin(session);
    }
    let client = session.client.clone();
    let view = match command {
        RuleCommand::Add { did, copies, on, grouping, lifetime, .. } => {
            let new = NewRule {
                did,
                copies,
                expression: on,
                grouping: match grouping {
                    GroupingWord::All => Grouping::All,
                    GroupingWord::Dataset => Grouping::Dataset,
                    GroupingWord::None => Grouping::None,
                },
                lifetime_seconds: lifetime.map(|span| span.as_secs()),
            };
            client.create_rule(&new).await?
        }
        RuleCommand::List { did, watch } => {
            let show =
                async |session: &mut Session| session.screen.list(session.client.rules(did.as_ref()).stream()).await;
            return watch.show(session, show).await;
        }
        RuleCommand::Show { id, watch } => {
            let show = async |session: &mut Session| {
                let rule = session.client.rule(id).await?;
                session.screen.one(&rule)
            };
            return watch.show(session, show).await;
        }
        RuleCommand::Explain { id, watch } => {
            let show = async |session: &mut Session| {
                let explanation = session.client.explain_rule(id).await?;
                session.screen.page(&explanation, |style| report::explanation(&explanation, style))
            };
            return watch.show(session, show).await;
        }
        RuleCommand::Update { id, copies, on, lifetime, .. } => {
            let change = RuleChange { copies, expression: on, lifetime_seconds: lifetime.map(|span| span.as_secs()) };
            client.change_rule(id, &change).await?
        }
        RuleCommand::Wait(args) => return wait::run(session, args).await,
        RuleCommand::Retry { id, .. } => client.retry_rule(id).await?,
        RuleCommand::Remove { id, .. } => {
            client.remove_rule(id).await?;
            session.screen.talk().say(&format!("rule {id} lets go of its replicas"));
            return Ok(());
        }
    };
    session.screen.one(&view)?;
    if let Some(plan) = &view.plan {
        dry::tell(session, plan);
    }
    Ok(())
}
