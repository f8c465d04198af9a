//! Carries out a job: stage, verify, publish. Tries sources in turn; never writes to the final name
//! before the bytes are known to be right; leaves nothing behind when it fails.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;

use crate::clock::SharedClock;
use crate::model::checksum::{Algorithm, Checksum};
use crate::model::endpoint::EndpointName;
use crate::model::replica::Verification;
use crate::model::stuck::StuckReason;
use crate::storage::backend::{Backend, ByteStream, Overwrite, StorageError};
use crate::storage::hash::{hash_stream, hashing};
use crate::storage::registry::Registry;
use crate::transfers::job::{Ending, Job, Outcome, Source};

/// Why one try with one source failed.
#[derive(Debug)]
enum Failure {
    /// Another source may do better.
    AtSource(StuckReason, bool),
    /// No source would help.
    AtDestination(StuckReason, bool),
}

/// Carries out a job within its lease. Never fails itself: the outcome says what happened.
pub async fn execute(job: Job, stores: Arc<Registry>, clock: SharedClock) -> Outcome {
    let left = job.deadline.saturating_sub(clock.monotonic());
    if left.is_zero() {
        // It waited for its turn until its lease was over: somebody else may have it by now.
        let result = failed(unreachable(&job.destination.name), true);
        return Outcome { job, result };
    }
    let result = {
        let work = Box::pin(attempt(&job, &stores, &clock));
        match futures::future::select(work, clock.sleep(left)).await {
            futures::future::Either::Left((ending, _)) => ending,
            futures::future::Either::Right(_) => failed(unreachable(&job.destination.name), true),
        }
    };
    Outcome { job, result }
}

fn failed(reason: StuckReason, passing: bool) -> Ending {
    Ending::Failed { reason, passing }
}

fn unreachable(endpoint: &EndpointName) -> StuckReason {
    StuckReason::EndpointUnreachable { endpoint: endpoint.clone() }
}

async fn attempt(job: &Job, stores: &Registry, clock: &SharedClock) -> Ending {
    let destination = match stores.get(&job.destination) {
        Ok(backend) => backend,
        Err(error) => return at_destination(job, &error),
    };
    if !job.wanted || job.sources.is_empty() {
        return without_copying(job, destination.as_ref()).await;
    }
    let mut last = failed(StuckReason::NoSource, true);
    for source in &job.sources {
        match from_source(job, source, destination.as_ref(), stores, clock).await {
            Ok(verification) => return Ending::Landed(verification),
            Err(Failure::AtDestination(reason, passing)) => {
                last = failed(reason, passing);
                break;
            }
            Err(Failure::AtSource(reason, passing)) => last = failed(reason, passing),
        }
    }
    // What the store no longer answers for stays under its temporary name; the next attempt, which
    // has the same intent, begins afresh on it.
    let _ = destination.discard(&job.path, job.intent).await;
    last
}

/// Nobody wants the file, or it has nowhere to come from. Yet an attempt before this one may have
/// published it and died before it could say so: what lies there is not to be forgotten.
async fn without_copying(job: &Job, destination: &dyn Backend) -> Ending {
    match destination.stat(&job.path).await {
        Ok(info) if info.bytes == job.bytes => match adopt(job, destination).await {
            Ok(()) => return Ending::Landed(Verification::ReadBack),
            Err(Failure::AtDestination(StuckReason::PathOccupied { .. }, _)) => {}
            Err(Failure::AtSource(reason, passing) | Failure::AtDestination(reason, passing)) => {
                return failed(reason, passing);
            }
        },
        Ok(_) | Err(StorageError::NotFound { .. }) => {}
        Err(error) => return at_destination(job, &error),
    }
    match destination.discard(&job.path, job.intent).await {
        Ok(()) if job.wanted => failed(StuckReason::NoSource, true),
        Ok(()) => Ending::Cancelled,
        Err(error) => at_destination(job, &error),
    }
}

async fn from_source(
    job: &Job,
    source: &Source,
    destination: &dyn Backend,
    stores: &Registry,
    clock: &SharedClock,
) -> Result<Verification, Failure> {
    let origin = stores.get(&source.endpoint).map_err(|error| at_source(source, &error))?;
    let copied = destination.stage_copy(&job.path, job.intent, job.bytes, origin.as_ref(), &source.path).await;
    let verification = match copied {
        Ok(Some(_)) => {
            let back = destination.read_staged(&job.path, job.intent).await;
            let evidence = back.map_err(|error| destination_failure(job, &error))?;
            verify(job, source, evidence.content).await?;
            evidence.proves
        }
        Ok(None) => {
            relay(job, source, origin.as_ref(), destination).await?;
            Verification::Streamed
        }
        Err(error) => return Err(blame(job, source, origin.as_ref(), &error).await),
    };
    publish(job, destination, clock).await?;
    Ok(verification)
}

/// A copy between two stores failed: asks the source whether it was its fault.
async fn blame(job: &Job, source: &Source, origin: &dyn Backend, error: &StorageError) -> Failure {
    match origin.stat(&source.path).await {
        Err(at_origin) => at_source(source, &at_origin),
        Ok(info) if info.bytes != job.bytes => {
            let path = source.path.to_string();
            at_source(source, &StorageError::WrongLength { path, expected: job.bytes, found: info.bytes })
        }
        Ok(_) => destination_failure(job, error),
    }
}

/// Streams the bytes through this process, hashing them on the way.
async fn relay(job: &Job, source: &Source, origin: &dyn Backend, destination: &dyn Backend) -> Result<(), Failure> {
    let content = origin.read(&source.path, None).await.map_err(|error| at_source(source, &error))?;
    let fault: Arc<Mutex<Option<StorageError>>> = Arc::default();
    let noted = Arc::clone(&fault);
    let content: ByteStream = content
        .inspect(move |chunk| {
            if let Err(error) = chunk {
                *noted.lock().expect("nothing panics while holding it") = Some(error.clone());
            }
        })
        .boxed();
    let (content, hashed) = hashing(content, &algorithms(&job.checksums));
    let staged = destination.stage(&job.path, job.intent, job.bytes, content).await;
    if let Err(error) = staged {
        let from_source = fault.lock().expect("nothing panics while holding it").take();
        return Err(match (from_source, &error) {
            (Some(error), _) => at_source(source, &error),
            (None, StorageError::WrongLength { .. }) => at_source(source, &error),
            (None, _) => destination_failure(job, &error),
        });
    }
    let hashed = hashed.finish();
    compare(job, source, &hashed.checksums)
}

async fn verify(job: &Job, source: &Source, back: ByteStream) -> Result<(), Failure> {
    let hashed = hash_stream(back, &algorithms(&job.checksums)).await;
    let hashed = hashed.map_err(|error| destination_failure(job, &error))?;
    compare(job, source, &hashed.checksums)
}

/// The algorithms to compute for a comparison with what is registered.
pub fn algorithms(registered: &[Checksum]) -> Vec<Algorithm> {
    registered.iter().map(Checksum::algorithm).collect()
}

/// The registered checksum that the computed ones contradict, with what was computed.
pub fn contradiction<'a>(registered: &'a [Checksum], computed: &'a [Checksum]) -> Option<(&'a Checksum, &'a Checksum)> {
    registered.iter().find_map(|expected| {
        let found = computed.iter().find(|found| found.algorithm() == expected.algorithm())?;
        (found != expected).then_some((expected, found))
    })
}

fn compare(job: &Job, source: &Source, computed: &[Checksum]) -> Result<(), Failure> {
    match contradiction(&job.checksums, computed) {
        None => Ok(()),
        Some((expected, found)) => {
            let reason = StuckReason::ChecksumMismatch {
                source: source.endpoint.name.clone(),
                expected: expected.to_string(),
                found: found.to_string(),
            };
            // It may have been the way rather than the source: a few tries are due.
            Err(Failure::AtSource(reason, true))
        }
    }
}

/// Publishes what was verified, if the lease still holds, and looks whether it is there.
async fn publish(job: &Job, destination: &dyn Backend, clock: &SharedClock) -> Result<(), Failure> {
    if clock.monotonic() >= job.deadline.saturating_sub(Duration::from_secs(1)) {
        return Err(Failure::AtDestination(unreachable(&job.destination.name), true));
    }
    let overwrite = if job.replaces_bad { Overwrite::Replace } else { Overwrite::Refuse };
    match destination.publish(&job.path, job.intent, overwrite).await {
        Ok(()) => {}
        Err(StorageError::Exists { .. }) => return adopt(job, destination).await,
        Err(error) => return Err(destination_failure(job, &error)),
    }
    let info = destination.stat(&job.path).await.map_err(|error| destination_failure(job, &error))?;
    if info.bytes == job.bytes { Ok(()) } else { Err(Failure::AtDestination(unreachable(&job.destination.name), true)) }
}

/// Something lies under the final name. If it is this file, an attempt before this one published it
/// and could not say so.
async fn adopt(job: &Job, destination: &dyn Backend) -> Result<(), Failure> {
    let occupied = || {
        let endpoint = job.destination.name.clone();
        Failure::AtDestination(StuckReason::PathOccupied { endpoint }, false)
    };
    let there = destination.read(&job.path, None).await.map_err(|error| destination_failure(job, &error))?;
    let hashed = hash_stream(there, &algorithms(&job.checksums)).await;
    let hashed = hashed.map_err(|error| destination_failure(job, &error))?;
    if hashed.bytes != job.bytes || contradiction(&job.checksums, &hashed.checksums).is_some() {
        return Err(occupied());
    }
    destination.discard(&job.path, job.intent).await.map_err(|error| destination_failure(job, &error))
}

fn at_source(source: &Source, error: &StorageError) -> Failure {
    let endpoint = source.endpoint.name.clone();
    match error {
        StorageError::NotFound { .. } | StorageError::Outside { .. } => {
            Failure::AtSource(StuckReason::SourceMissing { endpoint }, false)
        }
        StorageError::Denied { .. } => Failure::AtSource(StuckReason::EndpointDenies { endpoint }, false),
        StorageError::WrongLength { expected, found, .. } => {
            let (expected, found) = (format!("{expected} bytes"), format!("{found} bytes"));
            Failure::AtSource(StuckReason::ChecksumMismatch { source: endpoint, expected, found }, true)
        }
        _ => Failure::AtSource(StuckReason::SourceUnreachable { endpoint }, true),
    }
}

fn destination_failure(job: &Job, error: &StorageError) -> Failure {
    let endpoint = job.destination.name.clone();
    match error {
        StorageError::Denied { .. } => Failure::AtDestination(StuckReason::EndpointDenies { endpoint }, false),
        StorageError::Full { .. } => Failure::AtDestination(StuckReason::EndpointFull { endpoint }, false),
        StorageError::Outside { .. } => Failure::AtDestination(StuckReason::PathOccupied { endpoint }, false),
        _ => Failure::AtDestination(StuckReason::EndpointUnreachable { endpoint }, true),
    }
}

fn at_destination(job: &Job, error: &StorageError) -> Ending {
    match destination_failure(job, error) {
        Failure::AtSource(reason, passing) | Failure::AtDestination(reason, passing) => failed(reason, passing),
    }
}
