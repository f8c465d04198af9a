//! `dapple did meta`: what people say of a DID, shown and changed; of many DIDs from lines.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::Session;
use crate::cli::bulk::{self, Refused, Tally};
use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::screen::{Row, Style};
use crate::model::did::Did;
use crate::service::view::{MetadataChunk, MetadataObject, MetadataView, RefusedLine};

#[derive(Debug, Args)]
pub(crate) struct MetaArgs {
    /// scope:name
    #[arg(required_unless_present = "lines", conflicts_with = "lines")]
    did: Option<Did>,
    /// Set a key; VALUE is JSON if it reads as JSON, else text
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, conflicts_with_all = ["from", "lines"])]
    set: Vec<(String, Value)>,
    /// Take a key away
    #[arg(long, value_name = "KEY", conflicts_with_all = ["from", "lines"])]
    unset: Vec<String>,
    /// A file with a JSON object that takes the place of all there is; `-` for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "lines")]
    from: Option<PathBuf>,
    /// A file of JSON lines with `did` and `meta`, merged into what each DID has; `-` for stdin
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// Let each line take the place of all its DID has
    #[arg(long, requires = "lines")]
    replace: bool,
    #[command(flatten)]
    dry: DryRun,
}

/// A key of metadata, for people.
#[derive(Debug, Serialize)]
pub(crate) struct MetaRow {
    key: String,
    value: Value,
}

impl Row for MetaRow {
    const HEADERS: &'static [&'static str] = &["KEY", "VALUE"];

    fn cells(&self, _: Style) -> Vec<String> {
        let value = self.value.as_str().map_or_else(|| self.value.to_string(), str::to_owned);
        vec![self.key.clone(), value]
    }
}

/// What a change from lines did, in all.
#[derive(Debug, Default, Serialize)]
pub(crate) struct MetaSum {
    changed: u64,
    unchanged: u64,
    #[serde(flatten)]
    refused: Refused,
}

impl Row for MetaSum {
    const HEADERS: &'static [&'static str] = &["CHANGED", "UNCHANGED", "REFUSED"];

    fn cells(&self, _: Style) -> Vec<String> {
        [self.changed, self.unchanged, self.refused.count()].map(|count| count.to_string()).to_vec()
    }
}

impl Tally for MetaSum {
    type Chunk = MetadataChunk;

    fn add(&mut self, chunk: MetadataChunk) -> Vec<RefusedLine> {
        self.changed += chunk.changed;
        self.unchanged += chunk.unchanged;
        chunk.refused
    }

    fn good(&self) -> u64 {
        self.changed + self.unchanged
    }

    fn refused(&mut self) -> &mut Refused {
        &mut self.refused
    }
}

/// Reads `KEY=VALUE`. What is not JSON is text: few people write quotes within quotes.
pub(crate) fn pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    if key.is_empty() {
        return Err("there is no key before the `=`".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.to_owned(), value))
}

/// Reads a JSON object from a file, or from stdin.
pub(crate) fn read_object(from: &Path) -> Result<Map<String, Value>, Failure> {
    let mut text = String::new();
    let read = if from == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(from).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|source| Failure::io("read", from, source))?;
    serde_json::from_str(&text).map_err(|error| Failure::Usage {
        detail: format!("{}: {error}", from.display()),
        hint: Some("write a JSON object, such as {\"title\": \"Sea ice, daily\"}".to_owned()),
    })
}

pub(crate) async fn run(session: &mut Session, args: MetaArgs) -> Result<(), Failure> {
    if let Some(lines) = &args.lines {
        args.dry.begin(session);
        return run_lines(session, lines, args.replace).await;
    }
    let did = args.did.expect("clap asks for it where there are no lines");
    let view = if let Some(from) = &args.from {
        let new = MetadataObject(read_object(from)?);
        args.dry.begin(session);
        session.client.replace_metadata(&did, &new).await?
    } else if args.set.is_empty() && args.unset.is_empty() {
        session.client.metadata(&did).await?
    } else {
        let taken = args.unset.into_iter().map(|key| (key, Value::Null));
        let patch = MetadataObject(args.set.into_iter().chain(taken).collect());
        args.dry.begin(session);
        session.client.patch_metadata(&did, &patch).await?
    };
    show(session, &view)
}

fn show(session: &mut Session, view: &MetadataView) -> Result<(), Failure> {
    let row = |(key, value): (&String, &Value)| MetaRow { key: key.clone(), value: value.clone() };
    let rows: Vec<MetaRow> = view.metadata.0.iter().map(row).collect();
    session.screen.rows(view, &rows)
}

async fn run_lines(session: &mut Session, from: &Path, replace: bool) -> Result<(), Failure> {
    let lines = bulk::lines(from).await?;
    let answers = session.client.patch_many_metadata(replace, lines).await?;
    bulk::report::<MetaSum>(session, answers).await
}
