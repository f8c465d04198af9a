//! Seeded simulations: many acts and faults under a clock that is turned by hand. One thread, no
//! runtime; the same seed gives the same run, event by event.
//!
//! `DAPPLE_SIM_SEED=n` replays one seed and prints its events; `DAPPLE_TEST_LONG=1` runs many, and
//! a number above that says how many.

mod client;
mod disk;
mod executor;
mod log;
mod random;
mod verdict;
mod workers;
mod world;

/// How many seeds every change is tried with.
const SEEDS: u64 = 20;
/// How many when there is time.
const SEEDS_LONG: u64 = 500;

#[expect(clippy::disallowed_methods, reason = "what to simulate is said by whoever runs the tests")]
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

#[test]
fn whatever_breaks_the_lake_keeps_its_promises() {
    if let Some(seed) = setting("DAPPLE_SIM_SEED") {
        let outcome = world::run(seed, true);
        println!("{} events, {} steps, {} crashes", outcome.events, outcome.steps, outcome.crashes);
        return;
    }
    let seeds = match setting("DAPPLE_TEST_LONG") {
        None | Some(0) => SEEDS,
        Some(1) => SEEDS_LONG,
        Some(seeds) => seeds,
    };
    let (mut events, mut crashes, mut failed) = (0, 0, Vec::new());
    for seed in 1..=seeds {
        match std::panic::catch_unwind(|| world::run(seed, false)) {
            Ok(outcome) => {
                events += outcome.events;
                crashes += outcome.crashes;
            }
            Err(_) => failed.push(seed),
        }
    }
    println!("{events} events, {crashes} crashes");
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

#[test]
fn a_seed_gives_the_same_run_twice_and_another_seed_another() {
    let (one, again, other) = (world::run(7, false), world::run(7, false), world::run(8, false));
    assert_eq!((one.hash, one.events, one.steps), (again.hash, again.events, again.steps));
    assert_ne!(one.hash, other.hash);
}
