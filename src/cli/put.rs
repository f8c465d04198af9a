//! `dapple put`: a tree of files becomes the files of a dataset.
//!
//! Four stages with bounded queues between them: walk, hash, announce in batches, upload. None
//! holds the whole list, so a tree may have any number of files. What is there already is not sent
//! again, so running it once more goes on after any interruption.

mod announce;
mod hash;
mod meta;
mod send;
mod walk;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::cli::screen::{Row, Style, Talk};
use crate::cli::table::FailedFile;
use crate::cli::{Session, parse};
use crate::client::{ClientError, Notice};
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::service::view::MetadataObject;

use announce::Ready;
use meta::FileMeta;
use send::{Run, Sent};

/// Files between walking and hashing.
const FOUND_MAX: usize = 1_000;
/// Files that the report names as failed; further ones are only counted.
const FAILED_KEPT_MAX: usize = 1_000;

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// A directory or a file
    tree: PathBuf,
    /// The dataset; made if it is missing and its scope exists
    #[arg(long, value_name = "DID")]
    to: Did,
    /// The endpoint that takes the bytes
    #[arg(long, value_parser = parse::endpoint)]
    endpoint: EndpointName,
    /// What stands before the path below TREE in a file's name; '' for nothing
    /// [default: the dataset's name]
    #[arg(long, verbatim_doc_comment)]
    prefix: Option<String>,
    /// What to say of the dataset: KEY=VALUE, or a file with a JSON object; merged into what is said
    #[arg(long, value_name = "FILE|KEY=VALUE")]
    meta: Vec<String>,
    /// What to say of the files: JSON lines with `file`, its path below TREE, and `meta`
    #[arg(long, value_name = "FILE")]
    file_meta: Option<PathBuf>,
    /// How many uploads at once
    #[arg(long, value_name = "N", default_value = "16", value_parser = parse::parallel)]
    parallel: usize,
    #[command(flatten)]
    dry: DryRun,
}

/// Where files go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) to: Did,
    pub(crate) endpoint: EndpointName,
    /// What is said of the files.
    pub(crate) meta: Option<Arc<FileMeta>>,
}

/// What a put did, in all.
#[derive(Debug, Serialize)]
pub(crate) struct PutReport {
    did: Did,
    endpoint: EndpointName,
    /// Regular files found, whatever became of them.
    files: u64,
    /// Bytes of those that are in the dataset now.
    bytes: u64,
    uploaded: u64,
    already_there: u64,
    /// Symbolic links and special files.
    skipped: u64,
    failed_count: u64,
    failed: Vec<FailedFile>,
}

impl Row for PutReport {
    const HEADERS: &'static [&'static str] =
        &["DID", "FILES", "BYTES", "UPLOADED", "ALREADY THERE", "SKIPPED", "FAILED"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            self.did.to_string(),
            self.files.to_string(),
            style.bytes(self.bytes),
            self.uploaded.to_string(),
            self.already_there.to_string(),
            self.skipped.to_string(),
            self.failed_count.to_string(),
        ]
    }
}

pub(crate) async fn run(session: &mut Session, args: PutArgs) -> Result<(), Failure> {
    args.dry.begin(session);
    let bar = session.screen.bytes_bar();
    let mut report = PutReport::new(&args);
    let prefix = args.prefix.clone().unwrap_or_else(|| args.to.name.as_str().to_owned());
    let meta = args.file_meta.as_deref().map(|path| FileMeta::open(path, &prefix)).transpose()?.map(Arc::new);
    let of_dataset = meta::of_dataset(&args.meta)?;
    let run = Run {
        client: session.client.clone().with_notice(told_once(session.screen.talk(), bar.clone())),
        clock: session.screen.clock().clone(),
        target: Target { to: args.to.clone(), endpoint: args.endpoint.clone(), meta },
        bar: bar.clone(),
    };
    let ended = put(&run, args, prefix, of_dataset, &mut report).await;
    bar.finish_and_clear();
    let talk = session.screen.talk();
    talk.failed_files(&report.failed, report.failed_count);
    if let Err(failure) = ended {
        if report.uploaded > 0 {
            talk.say(&format!(
                "{} files were uploaded before this; the same command goes on from there",
                report.uploaded
            ));
        }
        return Err(failure);
    }
    session.screen.one(&report)?;
    if report.failed_count == 0 {
        return Ok(());
    }
    Err(Failure::Partly { failed: report.failed_count, all: report.files, things: "files" })
}

/// Says once for each kind of failure that files are sent again because of it: an endpoint that is down
/// would be waited for in silence.
fn told_once(talk: Talk, bar: ProgressBar) -> Notice {
    let told = Mutex::new(BTreeSet::new());
    Arc::new(move |error| {
        let problem = error.problem();
        if told.lock().expect("nothing panics while holding it").insert(problem.code) {
            bar.suspend(|| talk.say(&format!("{}; trying again", problem.detail)));
        }
    })
}

async fn put(
    run: &Run,
    args: PutArgs,
    prefix: String,
    of_dataset: MetadataObject,
    report: &mut PutReport,
) -> Result<(), Failure> {
    let tree = std::fs::metadata(&args.tree).map_err(|source| Failure::io("read", &args.tree, source))?;
    if !tree.is_dir() && !tree.is_file() {
        return Err(Failure::Usage {
            detail: format!("{} is neither a directory nor a regular file", args.tree.display()),
            hint: None,
        });
    }
    if !of_dataset.0.is_empty() {
        meta::describe_dataset(&run.client, &run.target, &of_dataset).await?;
    }
    // Dropped on the way out, this ends the stages too.
    let mut stages = JoinSet::new();
    let (found_in, found) = mpsc::channel(FOUND_MAX);
    stages.spawn_blocking(move || walk::walk(&args.tree, tree.is_dir(), &prefix, &found_in));
    let (hashed_in, hashed) = mpsc::channel(announce::BATCH_FILES_MAX);
    stages.spawn(hash::hash_all(found, hashed_in, run.bar.clone()));
    let (ready_in, mut ready) = mpsc::channel(announce::BATCH_FILES_MAX);
    stages.spawn(announce::announce_all(run.client.clone(), run.target.clone(), hashed, ready_in));

    let mut uploads: JoinSet<Result<Sent, ClientError>> = JoinSet::new();
    while let Some(next) = ready.recv().await {
        match next? {
            Ready::Skipped => report.skipped += 1,
            Ready::Failed(failed) => report.fail(failed),
            Ready::AlreadyThere(bytes) => {
                report.already_there += 1;
                report.bytes += bytes;
                run.bar.inc(bytes);
            }
            Ready::Upload(upload) if run.client.is_rehearsing() => {
                report.count(Sent::Uploaded(upload.file.stamp.bytes));
            }
            Ready::Upload(upload) => {
                if uploads.len() >= args.parallel
                    && let Some(sent) = uploads.join_next().await
                {
                    report.count(sent.expect("uploads do not panic")?);
                }
                uploads.spawn(send::send(run.clone(), upload));
            }
        }
        run.bar.set_message(format!("{} uploaded, {} there already", report.uploaded, report.already_there));
    }
    while let Some(sent) = uploads.join_next().await {
        report.count(sent.expect("uploads do not panic")?);
    }
    while let Some(stage) = stages.join_next().await {
        stage.expect("stages do not panic");
    }
    for unused in run.target.meta.iter().flat_map(|meta| meta.unused()) {
        report.fail(unused);
    }
    report.files = report.uploaded + report.already_there + report.failed_count;
    Ok(())
}

impl PutReport {
    fn new(args: &PutArgs) -> Self {
        Self {
            did: args.to.clone(),
            endpoint: args.endpoint.clone(),
            files: 0,
            bytes: 0,
            uploaded: 0,
            already_there: 0,
            skipped: 0,
            failed_count: 0,
            failed: Vec::new(),
        }
    }

    fn fail(&mut self, failed: FailedFile) {
        self.failed_count += 1;
        if self.failed.len() < FAILED_KEPT_MAX {
            self.failed.push(failed);
        }
    }

    fn count(&mut self, sent: Sent) {
        match sent {
            Sent::Uploaded(bytes) => {
                self.uploaded += 1;
                self.bytes += bytes;
            }
            Sent::AlreadyThere(bytes) => {
                self.already_there += 1;
                self.bytes += bytes;
            }
            Sent::Failed(failed) => self.fail(failed),
        }
    }
}
