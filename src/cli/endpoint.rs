//! `dapple endpoint …`: storages that hold replicas.

mod place;
mod secret;
mod sheet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::watch::Watch;
use crate::cli::{Session, parse};
use crate::model::endpoint::{Addressing, EndpointKind, EndpointName};
use crate::service::view::{EndpointChange, EndpointView, NewEndpoint, NewSettings, SettingsChange};

use place::Place;
use secret::SecretArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    /// Add an endpoint
    Add(Box<AddArgs>),
    /// List endpoints
    List {
        #[command(flatten)]
        watch: Watch,
    },
    /// Show an endpoint, how it is spoken to, and what it was last seen to do
    Show {
        /// Its name
        #[arg(value_parser = parse::endpoint)]
        name: EndpointName,
        #[command(flatten)]
        watch: Watch,
    },
    /// Change attributes, settings or the secret
    Set(Box<SetArgs>),
    /// Try what an endpoint can do, and keep what comes of it
    Probe {
        /// Its name
        #[arg(value_parser = parse::endpoint)]
        name: EndpointName,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Accept what is at an endpoint since the lake was restored, so that things may be removed there again
    AcceptAudit(AcceptArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct AcceptArgs {
    /// Its name
    #[arg(value_parser = parse::endpoint)]
    name: EndpointName,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Its name
    #[arg(value_parser = parse::endpoint)]
    name: EndpointName,
    /// The protocol it speaks
    #[arg(long, value_enum, default_value = "posix")]
    kind: KindWord,
    #[command(flatten)]
    place: Place,
    /// For s3, the region that requests are signed for [default: us-east-1]
    #[arg(long)]
    region: Option<String>,
    /// For s3, where the store expects the bucket's name [default: path]
    #[arg(long, value_enum, value_name = "WHERE")]
    addressing: Option<AddressingWord>,
    /// For s3 and webdav, a file with certificates (PEM) of authorities to trust besides the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For s3, let readers be sent to the store itself, by a URL that it signs
    #[arg(long)]
    redirect: bool,
    #[command(flatten)]
    secret: SecretArgs,
    /// An attribute for expressions to match; may be given many times
    #[arg(long = "attr", value_name = "KEY=VALUE", value_parser = parse::attribute)]
    attributes: Vec<(String, String)>,
    /// Make the directory, bucket or collection if it is missing
    #[arg(long)]
    create: bool,
    /// Add it without trying it, as a store that is down now
    #[arg(long, conflicts_with = "create")]
    no_probe: bool,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args([
    "attributes", "unset", "region", "addressing", "ca", "no_ca", "redirect", "no_redirect",
    "secret_file", "secret_env", "secret_command", "no_secret",
])))]
#[expect(clippy::struct_excessive_bools, reason = "each stands for one option of the command line")]
pub(crate) struct SetArgs {
    /// Its name
    #[arg(value_parser = parse::endpoint)]
    name: EndpointName,
    /// An attribute to set; may be given many times
    #[arg(long = "attr", value_name = "KEY=VALUE", value_parser = parse::attribute)]
    attributes: Vec<(String, String)>,
    /// An attribute to remove; may be given many times
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// For s3, the region that requests are signed for
    #[arg(long)]
    region: Option<String>,
    /// For s3, where the store expects the bucket's name
    #[arg(long, value_enum, value_name = "WHERE")]
    addressing: Option<AddressingWord>,
    /// For s3 and webdav, a file with certificates (PEM) of authorities to trust besides the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust the system's authorities alone
    #[arg(long, conflicts_with = "ca")]
    no_ca: bool,
    /// For s3, let readers be sent to the store itself, by a URL that it signs
    #[arg(long)]
    redirect: bool,
    /// Send no readers to the store itself
    #[arg(long, conflicts_with = "redirect")]
    no_redirect: bool,
    #[command(flatten)]
    secret: SecretArgs,
    /// Forget the secret
    #[arg(long, conflicts_with_all = ["secret_file", "secret_env", "secret_command"])]
    no_secret: bool,
    /// Store changed settings or a changed secret without trying them, as for a store that is down
    #[arg(long)]
    no_probe: bool,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindWord {
    Posix,
    S3,
    Webdav,
    Memory,
}

impl KindWord {
    fn kind(self) -> EndpointKind {
        match self {
            KindWord::Posix => EndpointKind::Posix,
            KindWord::S3 => EndpointKind::S3,
            KindWord::Webdav => EndpointKind::Webdav,
            KindWord::Memory => EndpointKind::Memory,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AddressingWord {
    /// As the first segment of the path
    Path,
    /// As the first label of the host's name
    VirtualHost,
}

impl AddressingWord {
    fn addressing(self) -> Addressing {
        match self {
            AddressingWord::Path => Addressing::Path,
            AddressingWord::VirtualHost => Addressing::VirtualHost,
        }
    }
}

pub(crate) async fn run(session: &mut Session, command: EndpointCommand) -> Result<(), Failure> {
    let view = match command {
        EndpointCommand::List { watch } => {
            let show = async |session: &mut Session| session.screen.list(session.client.endpoints().stream()).await;
            return watch.show(session, show).await;
        }
        EndpointCommand::Show { name, watch } => {
            let show = async |session: &mut Session| {
                let view = session.client.endpoint(&name).await?;
                session.screen.page(&view, |style| sheet::sheet(&view, style))
            };
            return watch.show(session, show).await;
        }
        EndpointCommand::Probe { name, dry } => {
            dry.begin(session);
            let view = session.client.probe_endpoint(&name).await?;
            let findings = view.probe.as_ref().map(|probe| &probe.findings[..]).unwrap_or_default();
            return session.screen.rows(&view, findings);
        }
        EndpointCommand::AcceptAudit(args) => {
            args.dry.begin(session);
            session.client.accept_audit(&args.name).await?
        }
        EndpointCommand::Add(args) => add(session, *args).await?,
        EndpointCommand::Set(args) => set(session, *args).await?,
    };
    for note in &view.notes {
        session.screen.talk().say(&format!("note: {note}"));
    }
    session.screen.one(&view)
}

async fn add(session: &mut Session, args: AddArgs) -> Result<EndpointView, Failure> {
    args.dry.begin(session);
    let settings = Given {
        region: args.region.is_some(),
        addressing: args.addressing.is_some(),
        redirect: args.redirect,
        ca: args.ca.is_some(),
        secret: args.secret.is_given(),
    };
    settings.check(args.kind)?;
    let new = NewEndpoint {
        location: args.place.location(&args.name, args.kind)?,
        kind: args.kind.kind(),
        settings: NewSettings {
            region: args.region,
            addressing: args.addressing.map(AddressingWord::addressing),
            ca: certificates(args.ca.as_deref())?,
            redirect: args.redirect,
        },
        secret: args.secret.read(session.screen.talk()).await?,
        name: args.name,
        attributes: args.attributes.into_iter().collect(),
        create: args.create,
        no_probe: args.no_probe,
    };
    Ok(session.client.add_endpoint(&new).await?)
}

async fn set(session: &mut Session, args: SetArgs) -> Result<EndpointView, Failure> {
    args.dry.begin(session);
    if let Some((key, _)) = args.attributes.iter().find(|(key, _)| args.unset.contains(key)) {
        return Err(Failure::Usage {
            detail: format!("`{key}` cannot be set and unset at once"),
            hint: Some("leave out --attr or --unset for it".to_owned()),
        });
    }
    let removed = args.unset.into_iter().map(|key| (key, None));
    let kept = args.attributes.into_iter().map(|(key, value)| (key, Some(value)));
    let attributes: BTreeMap<_, _> = removed.chain(kept).collect();
    let secret = args.secret.read(session.screen.talk()).await?;
    let change = EndpointChange {
        attributes,
        settings: SettingsChange {
            region: args.region.map(Some),
            addressing: args.addressing.map(|word| Some(word.addressing())),
            ca: if args.no_ca { Some(None) } else { certificates(args.ca.as_deref())?.map(Some) },
            redirect: (args.redirect || args.no_redirect).then_some(args.redirect),
        },
        secret: if args.no_secret { Some(None) } else { secret.map(Some) },
        no_probe: args.no_probe,
    };
    Ok(session.client.change_endpoint(&args.name, &change).await?)
}

fn certificates(file: Option<&Path>) -> Result<Option<String>, Failure> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| Failure::io("read the certificates in", path, source))
    };
    file.map(read).transpose()
}

/// Which options that only some kinds have were given.
#[expect(clippy::struct_excessive_bools, reason = "each stands for one option of the command line")]
struct Given {
    region: bool,
    addressing: bool,
    redirect: bool,
    ca: bool,
    secret: bool,
}

impl Given {
    /// Refuses what the kind has no use for.
    fn check(&self, kind: KindWord) -> Result<(), Failure> {
        let s3 = kind == KindWord::S3;
        let remote = s3 || kind == KindWord::Webdav;
        let table = [
            (self.region, s3, "--region"),
            (self.addressing, s3, "--addressing"),
            (self.redirect, s3, "--redirect"),
            (self.ca, remote, "--ca"),
            (self.secret, remote, "--secret-file, --secret-env or --secret-command"),
        ];
        match table.iter().find(|(given, useful, _)| *given && !useful) {
            Some((_, _, option)) => Err(place::useless(option, kind)),
            None => Ok(()),
        }
    }
}
