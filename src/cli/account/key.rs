//! `dapple account key …`: API keys. A key is printed once, on stdout, and kept nowhere.

use std::time::Duration;

use clap::Subcommand;

use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::{Session, parse};
use crate::model::account::AccountName;
use crate::model::address::AddressRange;
use crate::model::api_key::KeyScope;
use crate::model::scope::Scope;
use crate::service::view::NewKey;

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make an API key and print it, this once
    Add {
        account: AccountName,
        /// What it is called
        #[arg(long)]
        name: String,
        /// What it lets through: read, write, rules, admin
        #[arg(long, value_name = "KEY-SCOPE", value_delimiter = ',', required = true)]
        scopes: Vec<KeyScope>,
        /// Let it at these data scopes alone
        #[arg(long, value_name = "SCOPE", value_delimiter = ',', value_parser = parse::scope)]
        only_scope: Vec<Scope>,
        /// Let it in from these addresses alone, such as 192.0.2.0/24
        #[arg(long, value_name = "RANGE", value_delimiter = ',')]
        from: Vec<AddressRange>,
        /// After how long it ends, at most 365d
        #[arg(long, value_name = "SPAN", default_value = "90d", value_parser = parse::span)]
        expires: Duration,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List an account's API keys; the keys themselves are not shown
    List { account: AccountName },
    /// Revoke an API key, at once
    Revoke {
        account: AccountName,
        /// Its id, as `list` shows it
        id: String,
        #[command(flatten)]
        dry: DryRun,
    },
}

pub(super) async fn run(session: &mut Session, command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Add { account, name, scopes, only_scope, from, expires, dry } => {
            dry.begin(session);
            let only_scopes = (!only_scope.is_empty()).then_some(only_scope);
            let expires_seconds = expires.as_secs();
            let new = NewKey { name, scopes, only_scopes, addresses: from, expires_seconds };
            let made = session.client.add_key(&account, &new).await?;
            if session.client.is_rehearsing() {
                return session.screen.one(&made.made);
            }
            session.screen.talk().say(&format!("the key {} is shown this once; keep it safe", made.made.id));
            session.screen.page(&made, |_| format!("{}\n", made.key.reveal()))
        }
        KeyCommand::List { account } => session.screen.list(session.client.keys(&account).stream()).await,
        KeyCommand::Revoke { account, id, dry } => {
            dry.begin(session);
            session.client.revoke_key(&account, &id).await?;
            session.screen.talk().say(&format!("the key {id} opens nothing any more"));
            Ok(())
        }
    }
}
