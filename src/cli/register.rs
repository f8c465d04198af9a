//! `dapple replica …`: files that lie at endpoints already, listed and registered in bulk.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::bulk::{self, Refused, Tally, lines};
use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::screen::{Row, Style};
use crate::cli::{Session, parse};
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::service::view::{BadReplica, RefusedLine, RegisteredChunk};

#[derive(Debug, Subcommand)]
pub(crate) enum ReplicaCommand {
    /// Register files that lie at an endpoint already
    Register(RegisterArgs),
    /// List the replicas of a file, or of all files of a dataset
    List {
        /// scope:name
        did: Did,
    },
    /// Say that a replica's bytes are missing or wrong; rules replace it
    DeclareBad {
        /// The file
        did: Did,
        /// Where its replica is bad
        #[arg(long, value_parser = parse::endpoint, value_name = "ENDPOINT")]
        at: EndpointName,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Where they lie
    #[arg(long, value_parser = parse::endpoint)]
    endpoint: EndpointName,
    /// The dataset they join
    #[arg(long, value_name = "DID")]
    to: Did,
    /// A file of JSON lines with `name`, `bytes`, `checksum`, `path` if it differs, and `meta` if
    /// something is to be said of it; `-` for stdin
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    dry: DryRun,
}

/// What a registration did, in all.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Sum {
    registered: u64,
    known: u64,
    #[serde(flatten)]
    refused: Refused,
}

impl Row for Sum {
    const HEADERS: &'static [&'static str] = &["REGISTERED", "KNOWN", "REFUSED"];

    fn cells(&self, _style: Style) -> Vec<String> {
        [self.registered, self.known, self.refused.count()].map(|n| n.to_string()).to_vec()
    }
}

impl Tally for Sum {
    type Chunk = RegisteredChunk;

    fn add(&mut self, chunk: RegisteredChunk) -> Vec<RefusedLine> {
        self.registered += chunk.registered;
        self.known += chunk.known;
        chunk.refused
    }

    fn good(&self) -> u64 {
        self.registered + self.known
    }

    fn refused(&mut self) -> &mut Refused {
        &mut self.refused
    }
}

pub(crate) async fn run(session: &mut Session, command: ReplicaCommand) -> Result<(), Failure> {
    match command {
        ReplicaCommand::List { did } => session.screen.list(session.client.replicas(&did)?.stream()).await,
        ReplicaCommand::Register(args) => register(session, args).await,
        ReplicaCommand::DeclareBad { did, at, dry } => {
            dry.begin(session);
            let bad = BadReplica { did, endpoint: at };
            let declared = session.client.declare_bad(&bad).await?;
            session.screen.one(&declared)
        }
    }
}

async fn register(session: &mut Session, args: RegisterArgs) -> Result<(), Failure> {
    args.dry.begin(session);
    let lines = lines(&args.from).await?;
    let answers = session.client.register(&args.to, &args.endpoint, lines).await?;
    bulk::report::<Sum>(session, answers).await
}
