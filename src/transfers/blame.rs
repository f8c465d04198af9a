//! Whose fault a failure was, and what it means for the transfer.

use crate::model::endpoint::{Endpoint, EndpointName};
use crate::model::id::EndpointId;
use crate::model::stuck::StuckReason;
use crate::storage::backend::{Backend, StorageError};
use crate::transfers::job::{Job, Source};
use crate::transfers::stall::{Side, Watch};

/// Why one try with one source failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another source may do better.
    AtSource(Trouble),
    /// No source would help.
    AtDestination(Trouble),
    /// There was no room on the way; nobody is to blame.
    NoLane,
}

impl Failure {
    /// Tells whether it is an outage that interrupted the work: what was done so far is good.
    pub(super) fn interrupts(&self) -> bool {
        match self {
            Failure::AtSource(trouble) | Failure::AtDestination(trouble) => trouble.interrupts(),
            Failure::NoLane => true,
        }
    }
}

/// What went wrong.
#[derive(Debug)]
pub(super) struct Trouble {
    /// As rules tell it.
    pub(super) reason: StuckReason,
    /// Whether it may pass by itself.
    pub(super) passing: bool,
    /// What the endpoint said, if it is the endpoint that ails and not this one file.
    pub(super) ailing: Option<String>,
}

impl Trouble {
    fn interrupts(&self) -> bool {
        self.passing && self.ailing.is_some()
    }

    /// How much it is to be gone by among those of several sources: most if an endpoint ails for a
    /// while, as the file may well come from there later.
    pub(super) fn hope(&self) -> u8 {
        u8::from(self.passing) + u8::from(self.interrupts())
    }

    fn of_file(reason: StuckReason, passing: bool) -> Self {
        Self { reason, passing, ailing: None }
    }

    fn of_endpoint(reason: StuckReason, passing: bool, said: impl ToString) -> Self {
        Self { reason, passing, ailing: Some(said.to_string()) }
    }

    /// The endpoint did not answer in time.
    pub(super) fn silence(endpoint: &EndpointName, what: &str) -> Self {
        Self::of_endpoint(StuckReason::EndpointUnreachable { endpoint: endpoint.clone() }, true, what)
    }
}

/// The time of an attempt is over. Whoever is waited for now was slow; it ails only if it did nothing
/// at all.
pub(super) fn late(job: &Job, on_the_way: Option<(Source, Watch)>) -> (EndpointId, Trouble) {
    const LATE: &str = "it was not done when its time was over";
    let Some((source, watch)) = on_the_way else {
        return (job.destination.id, Trouble::silence(&job.destination.name, LATE));
    };
    let (slow, reason) = match watch.waits_for() {
        Side::Source => (source.endpoint.id, StuckReason::SourceUnreachable { endpoint: source.endpoint.name.clone() }),
        Side::Destination => {
            (job.destination.id, StuckReason::EndpointUnreachable { endpoint: job.destination.name.clone() })
        }
    };
    let moved = watch.bytes() > 0;
    (slow, if moved { Trouble::of_file(reason, true) } else { Trouble::of_endpoint(reason, true, LATE) })
}

/// A source failed.
pub(super) fn at_source(source: &Source, error: &StorageError) -> Failure {
    let endpoint = source.endpoint.name.clone();
    Failure::AtSource(match error {
        StorageError::NotFound { .. } | StorageError::Outside { .. } => {
            Trouble::of_file(StuckReason::SourceMissing { endpoint }, false)
        }
        StorageError::Denied { .. } | StorageError::Locked { .. } => {
            Trouble::of_endpoint(StuckReason::EndpointDenies { endpoint }, false, error)
        }
        StorageError::WrongLength { expected, found, .. } => {
            let (expected, found) = (format!("{expected} bytes"), format!("{found} bytes"));
            Trouble::of_file(StuckReason::ChecksumMismatch { source: endpoint, expected, found }, true)
        }
        StorageError::Faulty { what, .. } => {
            Trouble::of_endpoint(StuckReason::EndpointFaulty { endpoint, said: what.clone() }, true, error)
        }
        _ => Trouble::of_endpoint(StuckReason::SourceUnreachable { endpoint }, true, error),
    })
}

/// The destination failed.
pub(super) fn at_destination(destination: &Endpoint, error: &StorageError) -> Failure {
    let reason = reason(destination, error);
    Failure::AtDestination(match error {
        StorageError::Outside { .. } => Trouble::of_file(reason, false),
        // Something came between: it is about this file alone.
        StorageError::NotFound { .. } | StorageError::Exists { .. } | StorageError::WrongLength { .. } => {
            Trouble::of_file(reason, true)
        }
        StorageError::Denied { .. } | StorageError::Locked { .. } | StorageError::Full { .. } => {
            Trouble::of_endpoint(reason, false, error)
        }
        _ => Trouble::of_endpoint(reason, true, error),
    })
}

/// Why an endpoint that failed so gets no files.
pub(super) fn reason(destination: &Endpoint, error: &StorageError) -> StuckReason {
    let endpoint = destination.name.clone();
    match error {
        StorageError::Denied { .. } | StorageError::Locked { .. } => StuckReason::EndpointDenies { endpoint },
        StorageError::Full { .. } => StuckReason::EndpointFull { endpoint },
        StorageError::Outside { why, .. } => StuckReason::NameRefused { endpoint, why: why.clone() },
        StorageError::Faulty { what, .. } => StuckReason::EndpointFaulty { endpoint, said: what.clone() },
        _ => StuckReason::EndpointUnreachable { endpoint },
    }
}

/// Other bytes than those that were registered came from a source.
pub(super) fn wrong_bytes(source: &Source, expected: &impl ToString, found: &impl ToString) -> Failure {
    let (expected, found) = (expected.to_string(), found.to_string());
    let reason = StuckReason::ChecksumMismatch { source: source.endpoint.name.clone(), expected, found };
    // It may have been the way rather than the source: a few tries are due.
    Failure::AtSource(Trouble::of_file(reason, true))
}

/// Bytes that are not this file's lie under its name.
pub(super) fn occupied(destination: &Endpoint) -> Failure {
    Failure::AtDestination(Trouble::of_file(StuckReason::PathOccupied { endpoint: destination.name.clone() }, false))
}

/// A copy between two stores failed: asks the source whether it was its fault.
pub(super) async fn of_copy(job: &Job, source: &Source, origin: &dyn Backend, error: &StorageError) -> Failure {
    match origin.stat(&source.path).await {
        Err(at_origin) => at_source(source, &at_origin),
        Ok(info) if info.bytes != job.bytes => {
            let path = source.path.to_string();
            at_source(source, &StorageError::WrongLength { path, expected: job.bytes, found: info.bytes })
        }
        Ok(_) => at_destination(&job.destination, error),
    }
}
