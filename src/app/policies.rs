//! Policies from files: read at the start, and again when the files change or the process is told to
//! by SIGHUP. Policies that do not hold together never come into force; those in force stay.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::error::AppError;
use crate::clock::SharedClock;
use crate::policy::judge::Judge;
use crate::policy::set::{PolicySet, TEXT_BYTES_MAX, revision_of};
use crate::service::view::PolicyFile;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The judge of a server: with the policies of a directory, or with those that come along.
pub fn judge(directory: Option<&Path>) -> Result<Arc<Judge>, AppError> {
    match directory {
        None => Ok(Judge::builtin()),
        Some(directory) => Ok(Arc::new(Judge::new(PolicySet::read(&texts(directory)?)?))),
    }
}

/// All policies of a directory: its `*.cedar`, by name.
fn texts(directory: &Path) -> Result<Vec<(String, String)>, AppError> {
    Ok(files(directory, "cedar")?.into_iter().map(|file| (file.name, file.text)).collect())
}

/// Policies of a directory with their tests, which are the `*.toml` of `tests` below it.
pub fn with_tests(directory: &Path) -> Result<Vec<PolicyFile>, AppError> {
    let mut all = files(directory, "cedar")?;
    let tests = directory.join("tests");
    if tests.is_dir() {
        all.extend(files(&tests, "toml")?);
    }
    Ok(all)
}

/// Files of a directory whose names end so, in the order of their names.
fn files(directory: &Path, end: &str) -> Result<Vec<PolicyFile>, AppError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(AppError::file(directory))? {
        let path = entry.map_err(AppError::file(directory))?.path();
        if path.extension().is_some_and(|extension| extension == end) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let length = std::fs::metadata(path).map_err(AppError::file(path))?.len();
        if length > TEXT_BYTES_MAX as u64 {
            return Err(AppError::PolicyTooLong { path: path.clone(), bytes: length });
        }
        let text = std::fs::read_to_string(path).map_err(AppError::file(path))?;
        Ok(PolicyFile { name: path.display().to_string(), text })
    };
    paths.iter().map(read).collect()
}

/// Follows the files of a directory until the server stops. The judge has what it holds from them.
pub async fn follow(directory: PathBuf, judge: Arc<Judge>, clock: SharedClock, mut stopped: watch::Receiver<bool>) {
    let mut hangup = signal(SignalKind::hangup()).expect("the process may set signal handlers");
    // Files that have changed since the judge was made are new.
    let mut seen = texts(&directory).ok().filter(|found| revision_of(found) == judge.set().revision());
    let mut before = seen.clone();
    loop {
        let told = tokio::select! {
            _ = hangup.recv() => true,
            () = clock.sleep(LOOK_EVERY) => false,
            _ = stopped.changed() => return,
        };
        let found = texts(&directory);
        // Files that are being replaced are let alone until two looks find the same: half a set of
        // policies may hold together and allow what the whole forbids.
        let settled = found.as_ref().ok() == before.as_ref();
        before = found.as_ref().ok().cloned();
        // What could not be read is told once, and when somebody asks.
        if told || (settled && found.as_ref().ok() != seen.as_ref()) {
            renew(&judge, &directory, &found);
            seen = found.ok();
        }
    }
}

fn renew(judge: &Judge, directory: &Path, found: &Result<Vec<(String, String)>, AppError>) {
    let set = match found {
        Ok(texts) => PolicySet::read(texts).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match set {
        Ok(set) => {
            let revision = set.revision().to_owned();
            tracing::info!(policy.revision = %revision, "policies {revision} of {} are in force", directory.display());
            judge.replace(set);
        }
        Err(why) => {
            tracing::error!("the policies of {} stay as they were: {why}", directory.display());
            judge.refuse(why);
        }
    }
}
