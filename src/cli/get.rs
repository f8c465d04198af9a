//! `dapple get`: the files of a dataset become a tree again, the one that `put` was given.
//!
//! Each file is staged beside its place, checked, and renamed. What is there already is not fetched
//! again; what was begun is gone on with. Nothing is ever written outside the given directory.

mod fetch;
mod place;

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use clap::Args;
use futures::TryStreamExt as _;
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cli::failure::Failure;
use crate::cli::screen::{Row, Style};
use crate::cli::table::FailedFile;
use crate::cli::{Session, parse};
use crate::client::{Client, ClientError, file_url};
use crate::clock::SharedClock;
use crate::model::checksum::{Algorithm, Checksum};
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::EndpointName;
use crate::service::view::{ContentView, NewUrl, UrlView};

use fetch::{Fetched, Wanted};
use place::Root;

/// How long the URL that files are read with is good. A longer run mints another.
const URL_SECONDS: u64 = 12 * 3_600;
/// A URL that expires sooner than this is replaced before it is used.
const URL_MILLIS_MIN: u64 = 10 * 60 * 1_000;
/// Files listed ahead of downloading.
const LISTED_MAX: usize = 1_000;
/// Files that the report names as failed; further ones are only counted.
const FAILED_KEPT_MAX: usize = 1_000;

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// A dataset or a file
    did: Did,
    /// The directory that receives the files; made if it is missing
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Read from this endpoint alone, whatever lies nearer
    #[arg(long, value_name = "ENDPOINT", value_parser = parse::endpoint)]
    from: Option<EndpointName>,
    /// How many downloads at once
    #[arg(long, value_name = "N", default_value = "16", value_parser = parse::parallel)]
    parallel: usize,
}

/// What a get did, in all.
#[derive(Debug, Serialize)]
pub(crate) struct GetReport {
    did: Did,
    files: u64,
    /// Bytes of those that are there now.
    bytes: u64,
    downloaded: u64,
    already_there: u64,
    failed_count: u64,
    failed: Vec<FailedFile>,
}

impl Row for GetReport {
    const HEADERS: &'static [&'static str] = &["DID", "FILES", "BYTES", "DOWNLOADED", "ALREADY THERE", "FAILED"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            self.did.to_string(),
            self.files.to_string(),
            style.bytes(self.bytes),
            self.downloaded.to_string(),
            self.already_there.to_string(),
            self.failed_count.to_string(),
        ]
    }
}

pub(crate) async fn run(session: &mut Session, args: GetArgs) -> Result<(), Failure> {
    let bar = session.screen.bytes_bar();
    let mut report = GetReport {
        did: args.did.clone(),
        files: 0,
        bytes: 0,
        downloaded: 0,
        already_there: 0,
        failed_count: 0,
        failed: Vec::new(),
    };
    let clock = session.screen.clock().clone();
    let ended = get(&session.client, clock, args, &bar, &mut report).await;
    bar.finish_and_clear();
    let talk = session.screen.talk();
    talk.failed_files(&report.failed, report.failed_count);
    if let Err(failure) = ended {
        if report.downloaded > 0 {
            talk.say(&format!(
                "{} files were downloaded before this; the same command goes on from there",
                report.downloaded
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

async fn get(
    client: &Client,
    clock: SharedClock,
    args: GetArgs,
    bar: &ProgressBar,
    report: &mut GetReport,
) -> Result<(), Failure> {
    let did = client.did(&args.did).await?;
    if did.kind == DidKind::Container {
        return Err(Failure::Usage {
            detail: format!("{} is a container; get takes a dataset or a file", args.did),
            hint: Some(format!("dapple ls {}", args.did)),
        });
    }
    let root = Arc::new(Root::make(&args.to).map_err(|source| Failure::io("make", &args.to, source))?);
    let mut fetching = Fetching {
        run: Run { client: client.clone(), clock, root, bar: bar.clone() },
        base: None,
        did: args.did,
        from: args.from,
        kind: did.kind,
        parallel: args.parallel,
        taken: Taken::default(),
        running: JoinSet::new(),
        report,
    };
    if did.kind == DidKind::File {
        fetching.file(&fetching.did.clone(), did.bytes.unwrap_or(0), &did.checksums).await?;
    } else {
        fetching.dataset().await?;
    }
    fetching.finish().await
}

/// What every download of a run needs.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) client: Client,
    pub(crate) clock: SharedClock,
    pub(crate) root: Arc<Root>,
    pub(crate) bar: ProgressBar,
}

struct Fetching<'a> {
    run: Run,
    base: Option<UrlView>,
    did: Did,
    from: Option<EndpointName>,
    kind: DidKind,
    parallel: usize,
    taken: Taken,
    running: JoinSet<Result<Fetched, ClientError>>,
    report: &'a mut GetReport,
}

impl Fetching<'_> {
    /// Lists ahead in a task of its own, so that no download waits for a page.
    async fn dataset(&mut self) -> Result<(), Failure> {
        let contents = self.run.client.contents(&self.did)?;
        let (sender, mut listed) = mpsc::channel::<Result<ContentView, ClientError>>(LISTED_MAX);
        let mut lister = JoinSet::new();
        lister.spawn(async move {
            let mut items = pin!(contents.stream());
            loop {
                let item = match items.try_next().await {
                    Ok(Some(item)) => Ok(item),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                // An error is the last thing to tell.
                if item.is_err() | sender.send(item).await.is_err() {
                    return;
                }
            }
        });
        while let Some(item) = listed.recv().await {
            let item = item?;
            self.file(&item.did, item.bytes, &item.checksums).await?;
        }
        Ok(())
    }

    async fn file(&mut self, did: &Did, bytes: u64, checksums: &[Checksum]) -> Result<(), Failure> {
        self.report.files += 1;
        self.run.bar.inc_length(bytes);
        let path = if self.kind == DidKind::File {
            place::of_name(did.name.file_name())
        } else {
            place::of_member(&self.did.name, &did.name)
        };
        if !self.taken.take(&path) {
            self.report.fail(FailedFile {
                path: did.to_string(),
                code: "same-path".to_owned(),
                detail: format!("another file of this dataset is saved as {}", path.display()),
            });
            return Ok(());
        }
        let url = match self.url(did).await {
            Ok(url) => url,
            Err(error @ ClientError::NotAddressable { .. }) => {
                self.report.fail(failed(did, &error));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if self.running.len() >= self.parallel {
            self.collect_one().await?;
        }
        let wanted = Wanted { did: did.clone(), bytes, checksum: strongest(checksums).cloned(), path, url };
        self.running.spawn(fetch::fetch(self.run.clone(), wanted));
        Ok(())
    }

    async fn url(&mut self, did: &Did) -> Result<String, ClientError> {
        let now = self.run.clock.now();
        let is_fresh = |base: &&UrlView| base.expires_at.as_millis() > now.as_millis() + URL_MILLIS_MIN;
        let url = if let Some(base) = self.base.as_ref().filter(is_fresh) {
            base.url.clone()
        } else {
            let (did, from) = (self.did.clone(), self.from.clone());
            let new = NewUrl { did, expires_seconds: URL_SECONDS, from, redirect: false };
            let minted = self.run.client.mint(&new).await?;
            self.base.insert(minted).url.clone()
        };
        if self.kind == DidKind::File {
            return Ok(url);
        }
        file_url(&url, &did.name)
    }

    async fn collect_one(&mut self) -> Result<bool, Failure> {
        let Some(fetched) = self.running.join_next().await else {
            return Ok(false);
        };
        match fetched.expect("downloads do not panic")? {
            Fetched::Downloaded(bytes) => {
                self.report.downloaded += 1;
                self.report.bytes += bytes;
            }
            Fetched::AlreadyThere(bytes) => {
                self.report.already_there += 1;
                self.report.bytes += bytes;
            }
            Fetched::Failed(failed) => self.report.fail(failed),
        }
        self.run
            .bar
            .set_message(format!("{} downloaded, {} there already", self.report.downloaded, self.report.already_there));
        Ok(true)
    }

    async fn finish(mut self) -> Result<(), Failure> {
        while self.collect_one().await? {}
        Ok(())
    }
}

impl GetReport {
    fn fail(&mut self, failed: FailedFile) {
        self.failed_count += 1;
        if self.failed.len() < FAILED_KEPT_MAX {
            self.failed.push(failed);
        }
    }
}

pub(crate) fn failed(did: &Did, error: &ClientError) -> FailedFile {
    let problem = error.problem();
    FailedFile { path: did.to_string(), code: problem.code, detail: problem.detail }
}

/// The checksum to go by: the one that is hardest to meet by accident.
fn strongest(checksums: &[Checksum]) -> Option<&Checksum> {
    checksums.iter().min_by_key(|checksum| match checksum.algorithm() {
        Algorithm::Blake3 => 0,
        Algorithm::Sha256 => 1,
        Algorithm::Md5 => 2,
        Algorithm::Crc32c => 3,
        Algorithm::Adler32 => 4,
    })
}

/// Paths given out in this run, eight bytes each: two names can lead to one path, and the second
/// must not overwrite the first.
#[derive(Default)]
struct Taken {
    hasher: RandomState,
    paths: HashSet<u64>,
}

impl Taken {
    fn take(&mut self, path: &std::path::Path) -> bool {
        self.paths.insert(self.hasher.hash_one(path))
    }
}
