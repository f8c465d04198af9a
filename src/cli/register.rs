//! `dapple replica …`: files that lie at endpoints already, listed and registered in bulk.

use std::path::PathBuf;
use std::pin::pin;

use clap::{Args, Subcommand};
use futures::TryStreamExt as _;
use serde::Serialize;

use crate::cli::bulk::{REFUSED_KEPT_MAX, lines};
use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::screen::{Format, Row, Style};
use crate::cli::{Session, parse};
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::service::view::{BadReplica, RefusedLine};

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
    refused_count: u64,
    refused: Vec<RefusedLine>,
}

impl Row for Sum {
    const HEADERS: &'static [&'static str] = &["REGISTERED", "KNOWN", "REFUSED"];

    fn cells(&self, _style: Style) -> Vec<String> {
        [self.registered, self.known, self.refused_count].map(|n| n.to_string()).to_vec()
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
    let mut answers = pin!(answers);
    let mut sum = Sum::default();
    let line = session.screen.status_line();
    while let Some(chunk) = answers.try_next().await? {
        if session.screen.format == Format::Ndjson {
            let text = serde_json::to_string(&chunk).expect("views have text keys only");
            session.screen.print(&format!("{text}\n"))?;
        }
        for refused in &chunk.refused {
            let words = format!("line {}: {} ({})", refused.line, refused.detail, refused.code);
            line.suspend(|| session.screen.talk().say(&words));
        }
        sum.registered += chunk.registered;
        sum.known += chunk.known;
        sum.refused_count += chunk.refused.len() as u64;
        let room = REFUSED_KEPT_MAX - sum.refused.len();
        sum.refused.extend(chunk.refused.into_iter().take(room));
        line.set_message(format!("{} registered, {} known", sum.registered, sum.known));
        line.tick();
    }
    line.finish_and_clear();
    if session.screen.format != Format::Ndjson {
        session.screen.one(&sum)?;
    }
    if sum.refused_count == 0 {
        return Ok(());
    }
    Err(Failure::Partly {
        failed: sum.refused_count,
        all: sum.refused_count + sum.registered + sum.known,
        things: "lines",
    })
}
