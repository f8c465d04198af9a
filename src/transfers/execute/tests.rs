//! What an attempt tells, leaves behind, and spares.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};

use super::*;
use crate::catalog::CatalogError;
use crate::catalog::engine::EngineError;
use crate::clock::Clock;
use crate::model::checksum::Algorithm;
use crate::model::endpoint::{Endpoint, EndpointKind, EndpointName, Settings};
use crate::model::id::{DecisionId, DidId, IntentId, TransferId};
use crate::model::time::Timestamp;
use crate::storage::lanes::{LANES, LARGE_BYTES_MIN};
use crate::storage::layout::StoragePath;
use crate::storage::memory::Memory;
use crate::transfers::permit::Willing;
use crate::transfers::stall::watched;

/// A clock that stands still, and whose sleeps are over at once.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// Two sources and a destination.
struct World {
    tools: Tools,
    sources: [Memory; 2],
    destination: Memory,
    job: Job,
}

const CONTENT: &[u8] = b"bytes";

fn endpoint(id: u32, name: &str) -> Endpoint {
    Endpoint {
        id: EndpointId(id),
        name: EndpointName::parse(name).expect("valid"),
        kind: EndpointKind::Memory,
        location: name.to_owned(),
        settings: Settings::default(),
        secret: None,
        probe: None,
        attributes: BTreeMap::new(),
        created_at: Timestamp::default(),
    }
}

impl World {
    fn new() -> Self {
        let (stores, path) = (Arc::new(Registry::new()), StoragePath::parse("s/f").expect("valid"));
        let ends = [endpoint(1, "a"), endpoint(2, "b"), endpoint(3, "to")];
        let memories = ends.each_ref().map(|end| {
            let memory = Memory::new();
            stores.insert(end.id, Arc::new(memory.clone()));
            memory
        });
        let [a, b, destination] = ends;
        let job = Job {
            transfer: TransferId(1),
            file: DidId(1),
            bytes: CONTENT.len() as u64,
            checksums: vec![Checksum::new(Algorithm::Blake3, *blake3::hash(CONTENT).as_bytes()).expect("32 bytes")],
            destination,
            path: path.clone(),
            path_is_stated: false,
            intent: IntentId(1),
            decision: DecisionId(1),
            was_tried: false,
            replaces_bad: false,
            sources: [a, b].map(|endpoint| Source { endpoint, path: path.clone() }).to_vec(),
            wanted: true,
            until: Timestamp::default(),
            deadline: Duration::from_hours(1),
        };
        let [one, other, destination] = memories;
        let tools = Tools { stores, clock: Arc::new(Still), guard: Arc::new(Willing) };
        Self { tools, sources: [one, other], destination, job }
    }

    fn run(&self) -> Ending {
        execute(self.job.clone(), self.tools.clone()).now_or_never().expect("nothing in it waits").result
    }
}

#[test]
fn an_outage_of_one_source_is_not_hidden_by_what_is_wrong_with_another() {
    for down in [0, 1] {
        let world = World::new();
        world.sources[down].faults().set_down(true);
        // An attempt before this one was interrupted.
        let staged = futures::stream::iter([Ok(bytes::Bytes::from_static(b"by"))]).boxed();
        let path = world.job.path.clone();
        world.destination.stage(&path, world.job.intent, 2, staged).now_or_never().expect("at once").expect("staged");
        let reason = StuckReason::SourceUnreachable { endpoint: world.job.sources[down].endpoint.name.clone() };
        assert_eq!(world.run(), Ending::Failed { reason, passing: true });
        assert_eq!(world.destination.paths().len(), 1, "what has arrived is gone on with");
    }
}

#[test]
fn what_an_attempt_before_has_published_is_not_sent_again() {
    let mut world = World::new();
    world.destination.insert("s/f", CONTENT);
    world.sources.iter().for_each(|source| source.faults().set_down(true));
    assert!(matches!(world.run(), Ending::Failed { .. }), "a first attempt has none before it");
    world.job.was_tried = true;
    let (verification, decision) = (Verification::ReadBack, world.job.decision);
    assert_eq!(world.run(), Ending::Landed { verification, decision });

    for strange in [&b"bites"[..], b"byte"] {
        world.destination.insert("s/f", strange);
        let reason = StuckReason::PathOccupied { endpoint: world.job.destination.name.clone() };
        assert_eq!(world.run(), Ending::Failed { reason, passing: false });
    }
}

/// Says the same of everything.
struct Says(Result<Permission, CatalogError>);

impl LastWord for Says {
    fn permit<'a>(&'a self, _: &'a Job) -> BoxFuture<'a, Result<Permission, CatalogError>> {
        futures::future::ready(self.0.clone()).boxed()
    }
}

#[test]
fn bytes_that_may_not_be_there_are_not_even_sent() {
    let mut world = World::new();
    world.sources.iter().for_each(|source| source.insert("s/f", CONTENT));
    // Whoever sends something is told that there is no room.
    world.destination.faults().set_full(true);
    let policies = vec!["residency".to_owned()];
    world.tools.guard = Arc::new(Says(Ok(Permission::Denied { policies: policies.clone() })));
    let reason = StuckReason::DeniedByPolicy { endpoint: world.job.destination.name.clone(), policies };
    assert_eq!(world.run(), Ending::Failed { reason, passing: false });
    world.tools.guard = Arc::new(Says(Err(CatalogError::Engine(EngineError::Stopped))));
    assert_eq!(world.run(), Ending::PutOff, "no endpoint is to blame for the catalog");
    world.tools.guard = Arc::new(Willing);
    let reason = StuckReason::EndpointFull { endpoint: world.job.destination.name.clone() };
    assert_eq!(world.run(), Ending::Failed { reason, passing: false });
}

/// Says yes, and counts how often.
#[derive(Default)]
struct Counts(AtomicUsize);

impl LastWord for Counts {
    fn permit<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Permission, CatalogError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Willing.permit(job)
    }
}

#[test]
fn an_attempt_asks_before_each_source_and_again_before_the_final_name() {
    for (there, asked) in [(&[][..], 2), (&[1_usize][..], 3), (&[0, 1][..], 2)] {
        let (mut world, guard) = (World::new(), Arc::new(Counts::default()));
        for source in there {
            world.sources[*source].insert("s/f", CONTENT);
        }
        world.tools.guard = guard.clone();
        assert_eq!(matches!(world.run(), Ending::Landed { .. }), !there.is_empty());
        assert_eq!(guard.0.load(Ordering::Relaxed), asked, "the file is at {there:?}");
    }
}

#[test]
fn a_large_file_without_a_lane_is_put_off_and_nobody_is_blamed() {
    let mut world = World::new();
    world.job.bytes = LARGE_BYTES_MIN;
    let lanes = world.tools.stores.lanes();
    let taken: Vec<_> = (0..LANES)
        .map(|at| lanes.transfer(EndpointId(u32::try_from(at).expect("few")), LARGE_BYTES_MIN).now_or_never())
        .collect();
    assert_eq!(world.run(), Ending::PutOff);
    let ids = [1, 2, 3].map(EndpointId);
    assert!(ids.iter().all(|id| world.tools.stores.health().ailment(*id).is_none()));
    drop(taken);
    assert!(!matches!(world.run(), Ending::PutOff));
}

#[test]
fn who_was_slow_at_the_end_of_its_time_ails_only_if_nothing_moved() {
    let world = World::new();
    let (source, to) = (world.job.sources[0].clone(), world.job.destination.id);
    let chunks = |count| futures::stream::iter((0..count).map(|_| Ok(bytes::Bytes::from_static(b"1"))));
    let table = [(0, true, source.endpoint.id), (2, true, source.endpoint.id), (2, false, to)];
    for (moved, asks_for_more, slow) in table {
        let (mut content, watch) = watched(chunks(moved).chain(futures::stream::pending()).boxed(), 1);
        for _ in 0..moved + usize::from(asks_for_more) {
            let _ = content.next().now_or_never();
        }
        let (who, trouble) = blame::late(&world.job, Some((source.clone(), watch)));
        assert_eq!((who, trouble.passing, trouble.ailing.is_some()), (slow, true, moved == 0));
    }
    let (who, trouble) = blame::late(&world.job, None);
    assert!(who == to && trouble.ailing.is_some(), "a copy between two stores did not end");
}
