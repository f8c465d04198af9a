//! `dapple account …` and `dapple whoami`: who is let in, with what, and how much they may hold.

mod key;
mod limit;
mod password;

use clap::{Subcommand, ValueEnum};

use crate::cli::Session;
use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::screen::Style;
use crate::model::account::{AccountKind, AccountName};
use crate::service::view::{AccountChange, NewAccount, NewMember, UsageView};

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Add an account
    Add {
        /// Its name, which never changes
        name: AccountName,
        /// What it stands for
        #[arg(long, value_enum, default_value = "user")]
        kind: KindWord,
        /// Let it change accounts and whatever else is the lake's
        #[arg(long)]
        admin: bool,
        /// Where its owner can be written to
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List accounts
    List,
    /// Show an account
    Show { name: AccountName },
    /// Change an account
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
    Change {
        name: AccountName,
        /// Keep it out: its keys and sessions open nothing
        #[arg(long, group = "change", conflicts_with = "resume")]
        suspend: bool,
        /// Let it in again
        #[arg(long, group = "change")]
        resume: bool,
        /// Whether it may change accounts and whatever else is the lake's
        #[arg(long, group = "change", value_name = "BOOL")]
        admin: Option<bool>,
        /// Where its owner can be written to; empty for nowhere
        #[arg(long, group = "change", value_name = "ADDRESS")]
        email: Option<String>,
        /// What it is for; empty for nothing to say
        #[arg(long, group = "change", value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Show what an account's rules hold, and may hold
    Usage { name: AccountName },
    /// Who is in a group
    #[command(subcommand)]
    Member(MemberCommand),
    /// API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// How much an account's rules may hold
    #[command(subcommand)]
    Limit(limit::LimitCommand),
    /// Set or remove a password
    Password(password::PasswordArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindWord {
    /// A person
    User,
    /// Several accounts
    Group,
    /// A program
    Service,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// Add members to a group
    Add {
        group: AccountName,
        /// Users, services or groups
        #[arg(required = true)]
        accounts: Vec<AccountName>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Take members out of a group
    Remove {
        group: AccountName,
        /// Who shall no longer be in it
        #[arg(required = true)]
        accounts: Vec<AccountName>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List the members of a group
    List { group: AccountName },
}

pub(crate) async fn run(session: &mut Session, command: AccountCommand) -> Result<(), Failure> {
    let client = session.client.clone();
    let view = match command {
        AccountCommand::Add { name, kind, admin, email, description, dry } => {
            dry.begin(session);
            let kind = match kind {
                KindWord::User => AccountKind::User,
                KindWord::Group => AccountKind::Group,
                KindWord::Service => AccountKind::Service,
            };
            session.client.add_account(&NewAccount { name, kind, admin, email, description }).await?
        }
        AccountCommand::List => return session.screen.list(client.accounts().stream()).await,
        AccountCommand::Show { name } => client.account(&name).await?,
        AccountCommand::Change { name, suspend, resume, admin, email, description, dry } => {
            dry.begin(session);
            let suspended = (suspend || resume).then_some(suspend);
            session.client.change_account(&name, &AccountChange { admin, suspended, email, description }).await?
        }
        AccountCommand::Usage { name } => {
            let usage = client.usage(&name).await?;
            return session.screen.page(&usage, |style| usage_page(&usage, style));
        }
        AccountCommand::Member(command) => return run_member(session, command).await,
        AccountCommand::Key(command) => return key::run(session, command).await,
        AccountCommand::Limit(command) => return limit::run(session, command).await,
        AccountCommand::Password(args) => return password::run(session, args).await,
    };
    session.screen.one(&view)
}

async fn run_member(session: &mut Session, command: MemberCommand) -> Result<(), Failure> {
    let group = match command {
        MemberCommand::Add { group, accounts, dry } => {
            dry.begin(session);
            for account in accounts {
                session.client.add_member(&group, &NewMember { account }).await?;
            }
            group
        }
        MemberCommand::Remove { group, accounts, dry } => {
            dry.begin(session);
            for account in accounts {
                session.client.remove_member(&group, &account).await?;
            }
            group
        }
        MemberCommand::List { group } => group,
    };
    session.screen.list(session.client.members(&group).stream()).await
}

pub(crate) async fn whoami(session: &mut Session) -> Result<(), Failure> {
    let view = session.client.whoami().await?;
    session.screen.one(&view)
}

/// What an account holds and may hold, one line each.
fn usage_page(usage: &UsageView, style: Style) -> String {
    let mut text = String::new();
    for holding in &usage.holdings {
        let bytes = style.bytes(holding.bytes);
        let files = holding.files.map(|files| format!(" in {files} files")).unwrap_or_default();
        text += &format!("holds {bytes}{files} at {}\n", holding.endpoint);
    }
    for limit in &usage.limits {
        let (used, bytes) = (style.bytes(limit.used_bytes), style.bytes(limit.bytes));
        text += &format!("may hold {bytes} at `{}`, holds {used}\n", limit.on);
    }
    if usage.holdings.is_empty() {
        text += &format!("the rules of {} hold nothing\n", usage.account);
    }
    if usage.limits.is_empty() {
        text += "there is no limit\n";
    }
    text
}
