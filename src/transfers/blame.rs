//! Whose fault a failure was, and what it means for the transfer.

use std::time::Duration;

use crate::clock::within;
use crate::model::endpoint::{Endpoint, EndpointName};
use crate::model::id::EndpointId;
use crate::model::stuck::StuckReason;
use crate::storage::backend::{Backend, Check, StorageError};
use crate::transfers::execute::Tools;
use crate::transfers::job::{Job, Source};
use crate::transfers::stall::{Side, Watch};

/// How long a source may take to show its root.
const LOOK_SPAN_MAX: Duration = Duration::from_secs(20);

/// Why one try with one source failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another source may do better.
    AtSource(Trouble),
    /// No source would help.
    AtDestination(Trouble),
    /// There was no room on the way; nobody is to blame.
    NoLane,
    /// The catalog could not be asked whether the bytes may be there; no storage is to blame.
    Undecided,
}

impl Failure {
    /// Tells whether it is an outage that interrupted the work: what was done so far is good.
    pub(super) fn interrupts(&self) -> bool {
        match self {
            Failure::AtSource(trouble) | Failure::AtDestination(trouble) => trouble.interrupts(),
            Failure::NoLane | Failure::Undecided => true,
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
    /// Whether it may be this one file all the same, such as by rights of its own: the endpoint is
    /// looked at before it is blamed.
    doubtful: bool,
    /// What the endpoint has to do to be found well.
    pub(super) check: Check,
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

    /// It is about this one file.
    pub(super) fn of_file(reason: StuckReason, passing: bool) -> Self {
        Self { reason, passing, ailing: None, doubtful: false, check: Check::Writing }
    }

    fn of_endpoint(reason: StuckReason, passing: bool, said: impl ToString) -> Self {
        Self { reason, passing, ailing: Some(said.to_string()), doubtful: false, check: Check::Writing }
    }

    fn of_source(reason: StuckReason, passing: bool, said: impl ToString) -> Self {
        Self { check: Check::Reading, ..Self::of_endpoint(reason, passing, said) }
    }

    fn doubtful(self) -> Self {
        Self { doubtful: true, ..self }
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
        StorageError::Refused { why, .. } => {
            Trouble::of_file(StuckReason::FileRefused { endpoint, why: why.clone() }, false)
        }
        StorageError::Locked { .. } | StorageError::Misconfigured { .. } => {
            Trouble::of_source(reason(&source.endpoint, error), false, error)
        }
        StorageError::Denied { .. } => {
            Trouble::of_source(StuckReason::EndpointDenies { endpoint }, false, error).doubtful()
        }
        StorageError::WrongLength { expected, found, .. } => {
            let (expected, found) = (format!("{expected} bytes"), format!("{found} bytes"));
            Trouble::of_file(StuckReason::ChecksumMismatch { source: endpoint, expected, found }, true)
        }
        StorageError::Faulty { what, .. } => {
            Trouble::of_source(StuckReason::EndpointFaulty { endpoint, said: what.clone() }, true, error).doubtful()
        }
        _ => Trouble::of_source(StuckReason::SourceUnreachable { endpoint }, true, error),
    })
}

/// The same failure; a source that shows its root is not blamed for one file that it denies or spoils.
pub(super) async fn weighed(failure: Failure, source: &Source, tools: &Tools) -> Failure {
    match failure {
        Failure::AtSource(trouble) if trouble.doubtful => {
            let looking = async { tools.stores.get(&source.endpoint)?.check(Check::Reading).await };
            let looked = within(tools.clock.as_ref(), LOOK_SPAN_MAX, looking).await;
            let ailing = if matches!(looked, Some(Ok(()))) { None } else { trouble.ailing };
            Failure::AtSource(Trouble { ailing, ..trouble })
        }
        failure => failure,
    }
}

/// The destination failed.
pub(super) fn at_destination(destination: &Endpoint, error: &StorageError) -> Failure {
    let reason = reason(destination, error);
    Failure::AtDestination(match error {
        StorageError::Outside { .. } | StorageError::Refused { .. } => Trouble::of_file(reason, false),
        // Something came between: it is about this file alone.
        StorageError::NotFound { .. } | StorageError::Exists { .. } | StorageError::WrongLength { .. } => {
            Trouble::of_file(reason, true)
        }
        StorageError::Denied { .. }
        | StorageError::Locked { .. }
        | StorageError::Misconfigured { .. }
        | StorageError::Full { .. } => Trouble::of_endpoint(reason, false, error),
        _ => Trouble::of_endpoint(reason, true, error),
    })
}

/// Why an endpoint that failed so gets no files.
pub(super) fn reason(destination: &Endpoint, error: &StorageError) -> StuckReason {
    let endpoint = destination.name.clone();
    match error {
        StorageError::Denied { .. } => StuckReason::EndpointDenies { endpoint },
        StorageError::Misconfigured { why } => StuckReason::EndpointMisconfigured { endpoint, why: why.clone() },
        StorageError::Locked { .. } => StuckReason::EndpointMisconfigured { endpoint, why: error.to_string() },
        StorageError::Refused { why, .. } => StuckReason::FileRefused { endpoint, why: why.clone() },
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

#[cfg(test)]
mod tests {
    use crate::transfers::permit::Willing;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::model::endpoint::{EndpointKind, Settings};
    use crate::model::id::EndpointId;
    use crate::model::time::Timestamp;
    use crate::storage::layout::StoragePath;
    use crate::storage::registry::Registry;

    fn source() -> Source {
        let endpoint = Endpoint {
            id: EndpointId(1),
            name: EndpointName::parse("x").expect("valid"),
            kind: EndpointKind::Memory,
            location: "m".to_owned(),
            settings: Settings::default(),
            secret: None,
            probe: None,
            attributes: BTreeMap::new(),
            created_at: Timestamp::from_millis(0),
        };
        Source { endpoint, path: StoragePath::parse("a").expect("valid") }
    }

    fn trouble(failure: Failure) -> Trouble {
        match failure {
            Failure::AtSource(trouble) | Failure::AtDestination(trouble) => trouble,
            failure => panic!("nobody is to blame for {failure:?}"),
        }
    }

    #[test]
    fn trouble_of_one_file_is_not_counted_as_the_endpoints() {
        let path = "a".to_owned();
        let refused = StorageError::Refused { path, why: "it is in an archive".to_owned() };
        let source = source();
        for failure in [at_source(&source, &refused), at_destination(&source.endpoint, &refused)] {
            let trouble = trouble(failure);
            assert!(trouble.ailing.is_none() && !trouble.passing);
            assert_eq!(trouble.reason.to_string(), "x refuses this file: it is in an archive");
        }
    }

    #[test]
    fn a_secret_or_setting_that_cannot_work_is_told_with_its_why() {
        let misconfigured = StorageError::Misconfigured { why: "give `--region r`".to_owned() };
        let locked = StorageError::Locked { why: "no key".to_owned() };
        for (error, why) in [(misconfigured, "--region r"), (locked, "no key")] {
            let trouble = trouble(at_source(&source(), &error));
            assert!(trouble.ailing.is_some() && trouble.reason.to_string().contains(why), "{}", trouble.reason);
            assert_eq!(trouble.reason.code(), "endpoint-misconfigured");
        }
    }

    #[tokio::test]
    async fn a_source_that_denies_one_file_is_blamed_only_if_its_root_fails_too() {
        let (stores, guard) = (Arc::new(Registry::new()), Arc::new(Willing));
        let tools = Tools { stores, clock: SystemClock::shared(), guard };
        let (source, denied) = (source(), StorageError::Denied { path: "a".to_owned() });
        let weigh = async |error: &StorageError| {
            trouble(weighed(at_source(&source, error), &source, &tools).await).ailing.is_some()
        };
        assert!(!weigh(&denied).await);
        let down = StorageError::Unavailable { path: "a".to_owned(), what: "down".to_owned() };
        assert!(weigh(&down).await, "that is no trouble of one file");
        tools.stores.memory("m").faults().set_down(true);
        assert!(weigh(&denied).await);
    }
}
