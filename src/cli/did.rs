//! `dapple scope …`, `dapple did …`, `dapple ls` and `dapple url`: the namespace.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::bulk::MovedSum;
use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::watch::Watch;
use crate::cli::{Session, bulk, history, parse, policy};
use crate::model::account::AccountName;
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::EndpointName;
use crate::model::scope::Scope;
use crate::service::view::{DidChange, DidView, Members, NewDid, NewScope, NewUrl, ScopeChange};

pub(crate) mod meta;

/// Members that one call may carry.
const MEMBERS_MAX: usize = 1_000;

#[derive(Debug, Subcommand)]
pub(crate) enum ScopeCommand {
    /// Add a scope
    Add {
        /// Its name
        #[arg(value_parser = parse::scope)]
        scope: Scope,
        /// Its owner [default: your own account]
        #[arg(long, value_name = "ACCOUNT")]
        owner: Option<AccountName>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List scopes
    List,
    /// Set labels of a scope, which hold for all that is in it
    Label {
        /// The scope
        #[arg(value_parser = parse::scope)]
        scope: Scope,
        /// KEY=VALUE to set, KEY= to take away; none shows what there is
        #[arg(value_name = "LABEL")]
        labels: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Give a scope to another owner
    Change {
        /// Its name
        #[arg(value_parser = parse::scope)]
        scope: Scope,
        /// Its new owner
        #[arg(long, value_name = "ACCOUNT")]
        owner: AccountName,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DidCommand {
    /// Make a dataset or container
    Create {
        /// scope:name
        #[arg(required_unless_present = "from", conflicts_with = "from")]
        did: Option<Did>,
        /// What it shall be: a dataset holds files, a container holds datasets and containers
        #[arg(long, value_enum, required_unless_present = "from", conflicts_with = "from")]
        kind: Option<KindWord>,
        /// Make many: a file of JSON lines with `did` and `kind`; `-` for stdin
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Show a file, dataset or container
    Show {
        /// scope:name
        did: Did,
        #[command(flatten)]
        watch: Watch,
    },
    /// Close a dataset or container: it takes no more members
    Close {
        /// scope:name
        did: Did,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Open a closed dataset or container again
    Reopen {
        /// scope:name
        did: Did,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Tell what happened to a file, dataset or container, oldest first
    History {
        /// scope:name
        did: Did,
        #[command(flatten)]
        watch: Watch,
    },
    /// Tell how much of a dataset is available at which endpoint
    Coverage {
        /// The dataset
        did: Did,
        #[command(flatten)]
        watch: Watch,
    },
    /// List the DIDs of a scope
    List {
        /// The scope
        #[arg(value_parser = parse::scope)]
        scope: Scope,
        /// Only names that begin so
        #[arg(long)]
        prefix: Option<String>,
    },
    /// Set labels of a file, dataset or container, which hold for all that is in it
    Label {
        /// scope:name
        did: Did,
        /// KEY=VALUE to set, KEY= to take away; none shows what there is
        #[arg(value_name = "LABEL")]
        labels: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Show what is said of a file, dataset or container, or change it
    Meta(meta::MetaArgs),
    /// Attach members to a dataset or container
    Attach {
        /// The dataset or container
        parent: Did,
        /// What shall be in it
        #[arg(required_unless_present = "from", conflicts_with = "from")]
        children: Vec<Did>,
        /// The same as a file of JSON lines with a `did` each; `-` for stdin
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Detach members from a dataset or container
    Detach {
        /// The dataset or container
        parent: Did,
        /// What shall no longer be in it
        #[arg(required_unless_present = "from", conflicts_with = "from")]
        children: Vec<Did>,
        /// The same as a file of JSON lines with a `did` each; `-` for stdin
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindWord {
    Dataset,
    Container,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// A dataset or container, or a scope with its colon (`climate:`)
    #[arg(value_name = "DID")]
    place: Place,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Clone)]
enum Place {
    Scope(Scope),
    Did(Did),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix(':') {
            Some(scope) if !scope.contains(':') => parse::scope(scope).map(Place::Scope),
            None if parse::scope(text).is_ok() => Err(format!("write `{text}:` for what is in that scope")),
            _ => text.parse().map(Place::Did).map_err(|e: crate::model::did::InvalidDid| e.to_string()),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct UrlArgs {
    /// A file, or a dataset all of whose files shall be readable
    did: Did,
    /// For how long, at most 7d
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = parse::span)]
    expires: Duration,
    /// Read from this endpoint alone, whatever lies nearer
    #[arg(long, value_name = "ENDPOINT", value_parser = parse::endpoint)]
    from: Option<EndpointName>,
    /// Send readers on to the storage itself, where its endpoint allows that
    #[arg(long)]
    redirect: bool,
}

pub(crate) async fn run_scope(session: &mut Session, command: ScopeCommand) -> Result<(), Failure> {
    match command {
        ScopeCommand::Add { scope, owner, dry } => {
            dry.begin(session);
            let view = session.client.add_scope(&NewScope { scope, owner }).await?;
            session.screen.one(&view)
        }
        ScopeCommand::Change { scope, owner, dry } => {
            dry.begin(session);
            let view = session.client.change_scope(&scope, &ScopeChange { owner }).await?;
            session.screen.one(&view)
        }
        ScopeCommand::Label { scope, labels, dry } => {
            dry.begin(session);
            policy::label_scope(session, scope, labels).await
        }
        ScopeCommand::List => session.screen.list(session.client.scopes().stream()).await,
    }
}

pub(crate) async fn run(session: &mut Session, command: DidCommand) -> Result<(), Failure> {
    let view = match command {
        DidCommand::Create { did, kind, from, dry } => {
            dry.begin(session);
            let (Some(did), Some(kind)) = (did, kind) else {
                let lines = bulk::lines(&from.unwrap_or_default()).await?;
                let answers = session.client.create_dids(lines).await?;
                return bulk::report::<MovedSum>(session, answers).await;
            };
            let kind = match kind {
                KindWord::Dataset => DidKind::Dataset,
                KindWord::Container => DidKind::Container,
            };
            session.client.create_did(&NewDid { did, kind }).await?
        }
        DidCommand::Show { did, watch } => {
            let show = async |session: &mut Session| {
                let view = session.client.did(&did).await?;
                session.screen.one(&view)
            };
            return watch.show(session, show).await;
        }
        DidCommand::Close { did, dry } => {
            dry.begin(session);
            session.client.change_did(&did, &DidChange { closed: true }).await?
        }
        DidCommand::Reopen { did, dry } => {
            dry.begin(session);
            session.client.change_did(&did, &DidChange { closed: false }).await?
        }
        DidCommand::History { did, watch } => {
            return watch.show(session, async |session: &mut Session| history::history(session, &did).await).await;
        }
        DidCommand::Coverage { did, watch } => {
            return watch.show(session, async |session: &mut Session| history::coverage(session, &did).await).await;
        }
        DidCommand::List { scope, prefix } => {
            let list = session.client.dids(&scope, prefix.as_deref());
            return session.screen.list(list.stream()).await;
        }
        DidCommand::Label { did, labels, dry } => {
            dry.begin(session);
            return policy::label_did(session, did, labels).await;
        }
        DidCommand::Meta(args) => return meta::run(session, args).await,
        DidCommand::Attach { parent, children, from, dry } => {
            dry.begin(session);
            if let Some(from) = from {
                let answers = session.client.attach_many(&parent, bulk::lines(&from).await?).await?;
                return bulk::report::<MovedSum>(session, answers).await;
            }
            attach(session, &parent, &children).await?
        }
        DidCommand::Detach { parent, children, from, dry } => {
            dry.begin(session);
            if let Some(from) = from {
                let answers = session.client.detach_many(&parent, bulk::lines(&from).await?).await?;
                return bulk::report::<MovedSum>(session, answers).await;
            }
            detach(session, &parent, &children).await?
        }
    };
    session.screen.one(&view)
}

async fn attach(session: &Session, parent: &Did, children: &[Did]) -> Result<DidView, Failure> {
    let mut view = None;
    for dids in children.chunks(MEMBERS_MAX) {
        view = Some(session.client.attach(parent, &Members { dids: dids.to_vec() }).await?);
    }
    Ok(view.expect("clap asks for one child at least"))
}

async fn detach(session: &Session, parent: &Did, children: &[Did]) -> Result<DidView, Failure> {
    let mut view = None;
    for dids in children.chunks(MEMBERS_MAX) {
        view = Some(session.client.detach(parent, &Members { dids: dids.to_vec() }).await?);
    }
    Ok(view.expect("clap asks for one child at least"))
}

pub(crate) async fn ls(session: &mut Session, args: LsArgs) -> Result<(), Failure> {
    let LsArgs { place, watch } = args;
    let show = async |session: &mut Session| match &place {
        Place::Scope(scope) => session.screen.list(session.client.dids(scope, None).stream()).await,
        Place::Did(did) => session.screen.list(session.client.contents(did)?.stream()).await,
    };
    watch.show(session, show).await
}

pub(crate) async fn url(session: &mut Session, args: UrlArgs) -> Result<(), Failure> {
    let (expires_seconds, redirect) = (args.expires.as_secs(), args.redirect);
    let new = NewUrl { did: args.did, expires_seconds, from: args.from, redirect };
    let view = session.client.mint(&new).await?;
    session.screen.page(&view, |_| format!("{}\n", view.url))
}
