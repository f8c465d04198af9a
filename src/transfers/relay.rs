//! Streams a file through this process, hashing it on the way, in bounded memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{Either, select};

use crate::model::checksum::Checksum;
use crate::storage::ahead::read_ahead;
use crate::storage::arrival::Sent;
use crate::storage::backend::{Backend, ByteStream, StorageError};
use crate::storage::hash::hashing;
use crate::storage::lanes::LARGE_BYTES_MIN;
use crate::storage::overheard::overheard;
use crate::transfers::blame::{Failure, Trouble, at_destination, at_source};
use crate::transfers::execute::Tools;
use crate::transfers::job::{Job, Source};
use crate::transfers::stall::{Side, Watch, watched};
use crate::transfers::verify::{algorithms, compare};

/// How long a large file waits for a lane. No more are claimed than have one, so that is rare.
const LANE_SPAN_MAX: Duration = Duration::from_mins(2);

/// Whose bytes were on their way last, for telling who was slow when the time of an attempt is over.
#[derive(Default)]
pub(super) struct Trail(Mutex<Option<(Source, Watch)>>);

impl Trail {
    fn note(&self, source: &Source, watch: &Watch) {
        *self.0.lock().expect("nothing panics while holding it") = Some((source.clone(), watch.clone()));
    }

    /// What was noted last.
    pub(super) fn take(&self) -> Option<(Source, Watch)> {
        self.0.lock().expect("nothing panics while holding it").take()
    }
}

/// Stages a source's bytes at the destination and compares them with what is registered. Returns
/// the checksums that were computed, those included that the destination tells.
pub(super) async fn relay(
    job: &Job,
    source: &Source,
    origin: &Arc<dyn Backend>,
    destination: &dyn Backend,
    tools: &Tools,
    trail: &Trail,
) -> Result<Vec<Checksum>, Failure> {
    let lanes = tools.stores.lanes();
    let left = job.deadline.saturating_sub(tools.clock.monotonic());
    let lane = Box::pin(lanes.transfer(job.destination.id, job.bytes));
    let Either::Left((_lane, _)) = select(lane, tools.clock.sleep(LANE_SPAN_MAX.min(left / 2))).await else {
        return Err(Failure::NoLane);
    };
    let content = open(job, source, origin, tools).await.map_err(|error| at_source(source, &error))?;
    let (content, fault) = overheard(content);
    let told = destination.tells();
    let (content, hashed) = hashing(content, &algorithms(&job.checksums, &told));
    let (content, watch) = watched(content, destination.stage_bytes(job.bytes));
    trail.note(source, &watch);
    let staging = destination.stage(&job.path, job.intent, job.bytes, content);
    let staged = match watch.guard(&tools.clock, staging).await {
        Ok(staged) => staged,
        Err(Side::Source) => {
            let trouble = StorageError::Unavailable {
                path: source.path.to_string(),
                what: "it was asked for bytes and gave none for a minute".to_owned(),
            };
            return Err(at_source(source, &trouble));
        }
        Err(Side::Destination) => {
            let trouble = Trouble::silence(&job.destination.name, "it took no bytes for minutes");
            return Err(Failure::AtDestination(trouble));
        }
    };
    let heard = fault.lock().expect("nothing panics while holding it").take();
    let staged = staged.map_err(|error| accuse(job, source, heard, &error))?;
    let computed = hashed.finish().checksums;
    compare(job, source, &computed)?;
    let sent = Sent { bytes: job.bytes, checksums: &computed };
    let agreed = sent.compare(job.path.as_str(), staged.bytes, &staged.checksums);
    agreed.map_err(|error| at_destination(&job.destination, &error))?;
    Ok(computed)
}

async fn open(
    job: &Job,
    source: &Source,
    origin: &Arc<dyn Backend>,
    tools: &Tools,
) -> Result<ByteStream, StorageError> {
    match origin.range_bytes() {
        Some(range_bytes) if job.bytes >= LARGE_BYTES_MIN && range_bytes < job.bytes => {
            let (origin, path) = (Arc::clone(origin), source.path.clone());
            // Ranges would not show that the object is longer than it should be.
            let found = origin.stat(&path).await?.bytes;
            if found != job.bytes {
                return Err(StorageError::WrongLength { path: path.to_string(), expected: job.bytes, found });
            }
            Ok(read_ahead(origin, path, job.bytes, range_bytes, tools.clock.clone()))
        }
        _ => origin.read(&source.path, None).await,
    }
}

fn accuse(job: &Job, source: &Source, heard: Option<StorageError>, error: &StorageError) -> Failure {
    match (heard, error) {
        (Some(error), _) => at_source(source, &error),
        (None, StorageError::WrongLength { .. }) => at_source(source, error),
        (None, _) => at_destination(&job.destination, error),
    }
}
