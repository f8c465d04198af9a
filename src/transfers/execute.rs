//! Carries out a job: stage, verify, publish. Tries sources in turn; never writes to the final name
//! before the bytes are known to be right; leaves nothing behind when it fails.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};

use crate::clock::SharedClock;
use crate::model::checksum::{Checksum, contradiction};
use crate::model::id::{DecisionId, EndpointId};
use crate::model::replica::Verification;
use crate::model::stuck::StuckReason;
use crate::storage::arrival::{self, Sent};
use crate::storage::backend::{Backend, Overwrite, StorageError};
use crate::storage::hash::hash_stream;
use crate::storage::registry::Registry;
use crate::transfers::blame::{self, Failure, Trouble, at_destination, at_source, occupied};
use crate::transfers::job::{Ending, Job, Outcome, Source};
use crate::transfers::permit::{LastWord, Permission};
use crate::transfers::relay::{Trail, relay};
use crate::transfers::verify::{algorithms, compare};

/// Where the bytes of jobs are and what time it is.
#[derive(Clone)]
pub struct Tools {
    /// The storages, and how they are doing.
    pub stores: Arc<Registry>,
    /// For deadlines.
    pub clock: SharedClock,
    /// Says at the last moment whether bytes may be placed.
    pub guard: Arc<dyn LastWord>,
}

impl Tools {
    fn well(&self, endpoint: EndpointId) {
        self.stores.health().well(endpoint);
    }

    /// Takes note of an endpoint that ails.
    fn ended_by(&self, trouble: Trouble, endpoint: EndpointId) -> Ending {
        if let Some(said) = trouble.ailing {
            let reason = trouble.reason.clone();
            self.stores.health().failed_at(trouble.check, endpoint, reason, said, self.clock.as_ref());
        }
        Ending::Failed { reason: trouble.reason, passing: trouble.passing }
    }
}

/// Carries out a job within its lease. Never fails itself: the outcome says what happened.
pub async fn execute(job: Job, tools: Tools) -> Outcome {
    let left = job.deadline.saturating_sub(tools.clock.monotonic());
    if left.is_zero() {
        // Its lease was over before it had its turn: somebody else may have it by now.
        return Outcome { job, result: Ending::PutOff };
    }
    let trail = Trail::default();
    let result = {
        let work = Box::pin(attempt(&job, &tools, &trail));
        match select(work, tools.clock.sleep(left)).await {
            Either::Left((ending, _)) => ending,
            Either::Right(_) => {
                let (slow, trouble) = blame::late(&job, trail.take());
                tools.ended_by(trouble, slow)
            }
        }
    };
    Outcome { job, result }
}

async fn attempt(job: &Job, tools: &Tools, trail: &Trail) -> Ending {
    let at = job.destination.id;
    let destination = match tools.stores.get(&job.destination) {
        Ok(backend) => backend,
        Err(error) => return ended(job, tools, at_destination(&job.destination, &error), at),
    };
    let before = if !job.wanted || job.sources.is_empty() {
        without_copying(job, destination.as_ref()).await.map(Some)
    } else {
        match from_before(job, destination.as_ref()).await {
            // Bytes that may not be there do not go there, under whatever name.
            Ok(None) => permitted(job, tools).await.map(|_| None),
            found => found,
        }
    };
    match before {
        Ok(Some(ending)) => return ending,
        Ok(None) => {}
        Err(failure) => {
            if !failure.interrupts() {
                let _ = destination.discard(&job.path, job.intent).await;
            }
            return ended(job, tools, failure, at);
        }
    }
    let mut told: Option<Told> = None;
    let mut interrupted = false;
    for (tried, source) in job.sources.iter().enumerate() {
        // The one before may have taken its time.
        if tried > 0
            && let Err(failure) = permitted(job, tools).await
        {
            told = Some(Told { ending: ended(job, tools, failure, at), hope: u8::MAX });
            break;
        }
        let failure = match from_source(job, source, destination.as_ref(), tools, trail).await {
            Ok((verification, decision)) => {
                tools.well(at);
                tools.well(source.endpoint.id);
                return Ending::Landed { verification, decision };
            }
            Err(failure) => failure,
        };
        interrupted |= failure.interrupts();
        let (hopeless, hope) = match &failure {
            Failure::AtSource(trouble) => (false, trouble.hope()),
            Failure::AtDestination(_) | Failure::NoLane | Failure::Undecided => (true, u8::MAX),
        };
        let failure = blame::weighed(failure, source, tools).await;
        let ending = ended(job, tools, failure, source.endpoint.id);
        if told.as_ref().is_none_or(|told| hope >= told.hope) {
            told = Some(Told { ending, hope });
        }
        if hopeless {
            break;
        }
    }
    // What an outage interrupted is gone on with, where the store can; the next attempt has the same
    // intent. So it is with what the store does not let go of.
    if !interrupted {
        let _ = destination.discard(&job.path, job.intent).await;
    }
    told.map_or(Ending::Failed { reason: StuckReason::NoSource, passing: true }, |told| told.ending)
}

/// What is told of an attempt with several sources: that of the one with the most hope.
struct Told {
    ending: Ending,
    hope: u8,
}

fn ended(job: &Job, tools: &Tools, failure: Failure, source: EndpointId) -> Ending {
    match failure {
        Failure::AtSource(trouble) => tools.ended_by(trouble, source),
        Failure::AtDestination(trouble) => tools.ended_by(trouble, job.destination.id),
        Failure::NoLane | Failure::Undecided => Ending::PutOff,
    }
}

/// Looks for what an attempt before this one has published and could not say so, before anything is
/// sent again. What lies there with other bytes would only be found when all is sent.
async fn from_before(job: &Job, destination: &dyn Backend) -> Result<Option<Ending>, Failure> {
    if !job.was_tried || job.replaces_bad {
        return Ok(None);
    }
    match destination.stat(&job.path).await {
        Ok(info) if info.bytes == job.bytes => {
            // The bytes were placed when they were published, by the decision of then.
            let verification = adopt(job, destination).await?;
            Ok(Some(Ending::Landed { verification, decision: job.decision }))
        }
        Ok(_) => Err(occupied(&job.destination)),
        Err(StorageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(at_destination(&job.destination, &error)),
    }
}

/// Nobody wants the file, or it has nowhere to come from. Yet an attempt before this one may have
/// published it and died before it could say so: what lies there is not to be forgotten.
async fn without_copying(job: &Job, destination: &dyn Backend) -> Result<Ending, Failure> {
    match destination.stat(&job.path).await {
        Ok(info) if info.bytes == job.bytes => match adopt(job, destination).await {
            // The bytes were placed when they were published, by the decision of then.
            Ok(verification) => return Ok(Ending::Landed { verification, decision: job.decision }),
            Err(Failure::AtDestination(Trouble { reason: StuckReason::PathOccupied { .. }, .. })) => {}
            Err(failure) => return Err(failure),
        },
        Ok(_) | Err(StorageError::NotFound { .. }) => {}
        Err(error) => return Err(at_destination(&job.destination, &error)),
    }
    match destination.discard(&job.path, job.intent).await {
        Ok(()) if job.wanted => Ok(Ending::Failed { reason: StuckReason::NoSource, passing: true }),
        Ok(()) => Ok(Ending::Cancelled),
        Err(error) => Err(at_destination(&job.destination, &error)),
    }
}

async fn from_source(
    job: &Job,
    source: &Source,
    destination: &dyn Backend,
    tools: &Tools,
    trail: &Trail,
) -> Result<(Verification, DecisionId), Failure> {
    let origin = tools.stores.get(&source.endpoint).map_err(|error| at_source(source, &error))?;
    let copied = destination.stage_copy(&job.path, job.intent, job.bytes, origin.as_ref(), &source.path).await;
    let (computed, verification) = match copied {
        Ok(Some(_)) => {
            let back = destination.read_staged(&job.path, job.intent).await;
            let evidence = match back {
                Ok(evidence) => evidence,
                Err(error) => return Err(blame::of_copy(job, source, origin.as_ref(), &error).await),
            };
            let hashed = hash_stream(evidence.content, &algorithms(&job.checksums, &destination.tells())).await;
            let computed = match hashed {
                Ok(hashed) => hashed.checksums,
                Err(error) => return Err(blame::of_copy(job, source, origin.as_ref(), &error).await),
            };
            compare(job, source, &computed)?;
            (computed, evidence.proves)
        }
        // Stores refuse copies for reasons of their own as well: another key, another owner.
        Ok(None) | Err(StorageError::Denied { .. } | StorageError::Faulty { .. }) => {
            (relay(job, source, &origin, destination, tools, trail).await?, Verification::Streamed)
        }
        Err(error) => return Err(blame::of_copy(job, source, origin.as_ref(), &error).await),
    };
    publish(job, destination, &computed, verification, tools).await
}

/// The decision by which a job's bytes may be at its destination, at this moment.
async fn permitted(job: &Job, tools: &Tools) -> Result<DecisionId, Failure> {
    match tools.guard.permit(job).await {
        Ok(Permission::Granted(decision)) => Ok(decision),
        Ok(Permission::Denied { policies }) => {
            let reason = StuckReason::DeniedByPolicy { endpoint: job.destination.name.clone(), policies };
            Err(Failure::AtDestination(Trouble::of_file(reason, false)))
        }
        Err(error) => {
            tracing::warn!(transfer.id = %job.transfer, "{} waits for a decision: {error}", job.transfer);
            Err(Failure::Undecided)
        }
    }
}

/// Publishes what was verified, if the lease still holds and policy lets it be there, and looks
/// whether it is there.
async fn publish(
    job: &Job,
    destination: &dyn Backend,
    computed: &[Checksum],
    verification: Verification,
    tools: &Tools,
) -> Result<(Verification, DecisionId), Failure> {
    let decision = permitted(job, tools).await?;
    if tools.clock.monotonic() >= job.deadline.saturating_sub(Duration::from_secs(1)) {
        let trouble = Trouble::silence(&job.destination.name, "it was not done when its time was over");
        return Err(Failure::AtDestination(trouble));
    }
    let overwrite = if job.replaces_bad { Overwrite::Replace } else { Overwrite::Refuse };
    let sent = Sent { bytes: job.bytes, checksums: computed };
    match arrival::publish(destination, &job.path, job.intent, sent, overwrite).await {
        Ok(()) => Ok((verification, decision)),
        Err(StorageError::Exists { .. }) => Ok((adopt(job, destination).await?, decision)),
        Err(error) => Err(at_destination(&job.destination, &error)),
    }
}

/// Something lies under the final name. If it is this file, an attempt before this one published it
/// and could not say so.
async fn adopt(job: &Job, destination: &dyn Backend) -> Result<Verification, Failure> {
    let failed = |error| at_destination(&job.destination, &error);
    let there = destination.read(&job.path, None).await.map_err(failed)?;
    let hashed = hash_stream(there, &algorithms(&job.checksums, &[])).await.map_err(failed)?;
    if hashed.bytes != job.bytes || contradiction(&job.checksums, &hashed.checksums).is_some() {
        return Err(occupied(&job.destination));
    }
    destination.discard(&job.path, job.intent).await.map_err(failed)?;
    Ok(Verification::ReadBack)
}

#[cfg(test)]
mod tests;
