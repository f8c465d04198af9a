//! What must be true once everything is mended and at rest.

use std::collections::BTreeSet;

use dapple::catalog::record::{
    Backlog, CountsRecord, Dids, Locks, Placements, Replicas, RuleCountsTable, RuleRecord, RuleWork, Rules, StuckFiles,
};
use dapple::catalog::{View, endpoints};
use dapple::model::did::Did;
use dapple::model::id::{DidId, EndpointId, RuleId};
use dapple::model::lock::LockState;
use dapple::model::replica::ReplicaState;
use dapple::model::rule::{RuleCounts, RuleState, state};
use dapple::storage::layout::StoragePath;

use crate::disk::{Disk, Excuse, at_once, fits, registered};
use crate::world::World;

const MANY: usize = 100_000;

/// Holds a world at rest to what it promised.
pub(crate) fn judge(world: &World) {
    let view = at_once(world.observer.view()).expect("memory does not fail");
    rules_are_at_rest(world, &view);
    for disk in world.disks.all() {
        disk_is_explained(world, &view, &disk);
    }
}

/// Available replicas whose bytes the world has spoiled.
pub(crate) fn spoiled_replicas(world: &World) -> Vec<(DidId, EndpointId)> {
    let view = at_once(world.observer.view()).expect("memory does not fail");
    let mut spoiled = Vec::new();
    for (file, at, state, path) in replicas(&view) {
        let excuse = world.disks.get(at).and_then(|disk| disk.excuse_of(&path));
        if state == ReplicaState::Available && excuse == Some(Excuse::Spoiled) {
            spoiled.push((file, at));
        }
    }
    spoiled
}

fn replicas(view: &View) -> Vec<(DidId, EndpointId, ReplicaState, String)> {
    let rows = at_once(view.scan::<Replicas>(&(), MANY)).expect("memory does not fail");
    rows.into_iter()
        .map(|((file, at), replica)| {
            let path = replica.path.unwrap_or_else(|| StoragePath::derived(&did_of(view, file)).to_string());
            (file, at, replica.state, path)
        })
        .collect()
}

fn did_of(view: &View, id: DidId) -> Did {
    let record = at_once(view.get::<Dids>(&(id,))).expect("memory does not fail");
    record.expect("checked before").did()
}

/// Every object belongs to a replica, every available replica has its bytes, nothing is half done.
fn disk_is_explained(world: &World, view: &View, disk: &Disk) {
    let at = disk.endpoint;
    let here: Vec<_> = replicas(view).into_iter().filter(|(_, place, _, _)| *place == at).collect();
    let explained: BTreeSet<_> = here.iter().map(|(_, _, _, path)| path.clone()).collect();
    for path in disk.memory.paths() {
        if disk.excuse_of(&path).is_some() {
            continue;
        }
        if StoragePath::parse(&path).is_err() {
            world.log.wrong(format!("{path} is left at endpoint {at}"));
        } else if !explained.contains(&path) {
            world.log.wrong(format!("{path} lies at endpoint {at} and nobody knows of it"));
        }
    }
    for (file, _, state, path) in here {
        if state != ReplicaState::Available || disk.excuse_of(&path) == Some(Excuse::Spoiled) {
            continue;
        }
        let facts = registered(view, at, &path).filter(|(owner, _)| *owner == file);
        let right = facts.zip(disk.memory.content(&path)).is_some_and(|((_, facts), content)| fits(&facts, &content));
        if !right {
            world.log.wrong(format!("did {file} is not what lies under {path} at endpoint {at}"));
        }
    }
}

fn rules_are_at_rest(world: &World, view: &View) {
    for ((id,), rule) in at_once(view.scan::<Rules>(&(), MANY)).expect("memory does not fail") {
        let counts = at_once(view.get::<RuleCountsTable>(&(id,))).expect("memory does not fail");
        let work = at_once(view.get::<RuleWork>(&(id,))).expect("memory does not fail");
        let backlog = at_once(view.any::<Backlog>(&(rule.did,))).expect("memory does not fail");
        match state(rule.releasing, to_counts(counts.unwrap_or_default(), work.is_some() || backlog)) {
            RuleState::Ok => {}
            RuleState::Stuck => stuck_for_a_reason(world, view, id, &rule),
            other => world.log.wrong(format!("rule {id} is {other:?} though all is at rest: {rule:?}")),
        }
    }
}

fn to_counts(counts: CountsRecord, open_work: bool) -> RuleCounts {
    let natural = |count: i64| u64::try_from(count).expect("counts are never negative");
    RuleCounts {
        locks_ok: natural(counts.ok),
        locks_replicating: natural(counts.replicating),
        locks_stuck: natural(counts.stuck),
        units_unplaced: natural(counts.unplaced),
        open_work,
    }
}

/// Too few endpoints match, or files have no source, or what is not theirs lies in their place.
fn stuck_for_a_reason(world: &World, view: &View, id: RuleId, rule: &RuleRecord) {
    let all = at_once(endpoints::all(view)).expect("memory does not fail");
    let matching = rule.expression.select(&all).len();
    for ((_, group), placement) in at_once(view.scan::<Placements>(&(id,), MANY)).expect("memory does not fail") {
        if placement.unplaced.is_some() && matching >= usize::from(rule.copies) {
            world.log.wrong(format!(
                "rule {id} did not place did {group} though {matching} endpoints match for {} copies: {placement:?}",
                rule.copies
            ));
        }
    }
    for ((_, unit, at), lock) in at_once(view.scan::<Locks>(&(id,), MANY)).expect("memory does not fail") {
        match lock.state {
            LockState::Ok => {}
            LockState::Replicating => {
                world.log.wrong(format!("rule {id} still replicates did {unit} to endpoint {at}"));
            }
            LockState::Stuck { reason } => {
                let files = at_once(view.scan::<StuckFiles>(&(unit, at), MANY)).expect("memory does not fail");
                if !files.iter().any(|((_, _, file), _)| cannot_come(world, view, *file, at)) {
                    world
                        .log
                        .wrong(format!("rule {id} is stuck on did {unit} at endpoint {at} for nothing: {reason:?}"));
                }
            }
        }
    }
}

fn cannot_come(world: &World, view: &View, file: DidId, at: EndpointId) -> bool {
    let all: Vec<_> = replicas(view).into_iter().filter(|(id, _, _, _)| *id == file).collect();
    let has_source = all.iter().any(|(_, _, state, _)| *state == ReplicaState::Available);
    let derived = StoragePath::derived(&did_of(view, file)).to_string();
    let disk = world.disks.get(at).expect("a lock is at an endpoint that has a disk");
    let occupied = disk.memory.content(&derived).is_some_and(|content| {
        let facts = registered(view, at, &derived).filter(|(owner, _)| *owner == file);
        !facts.is_some_and(|(_, facts)| fits(&facts, &content))
    });
    !has_source || occupied
}
