//! The whole engine under paused time: random trees, operations, lost and doubled events, store faults
//! and crashes, all from one seed. Every write and every delete is checked at the moment it is made,
//! the rest when all is quiet.
//!
//! `S3MIRRORD_SEEDS=100000 cargo test --release --test simulation` tries more; `S3MIRRORD_SEED=7`
//! replays one and prints what happened.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod busy;
mod cases;
mod claims;
mod clones;
mod copies;
mod deletes;
mod denials;
mod hooks;
mod story;
mod trash;
mod turns;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};
use story::{Outcome, Sabotage, play};

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

fn seeds() -> u64 {
    std::env::var("S3MIRRORD_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
}

/// Plays seeds on both cores; outcomes by seed.
fn play_all(from: u64, to: u64, sabotage: Sabotage) -> BTreeMap<u64, Outcome> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let hands: Vec<_> = (0..threads)
        .map(|hand| {
            std::thread::spawn(move || {
                (from..to)
                    .filter(|seed| seed % threads == hand)
                    .map(|seed| (seed, run(play(seed, sabotage))))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    hands.into_iter().flat_map(|hand| hand.join().expect("no seed panics")).collect()
}

#[test]
fn promises_hold_under_every_fault() {
    if let Some(seed) = std::env::var("S3MIRRORD_SEED").ok().and_then(|n| n.parse().ok()) {
        let outcome = run(play(seed, Sabotage::default()));
        println!("{}\n{:#?}", outcome.trace.join("\n"), outcome.broken);
        assert!(outcome.broken.is_empty());
        return;
    }
    let outcomes = play_all(0, seeds(), Sabotage::default());
    let mut faults: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for outcome in outcomes.values() {
        for (fault, n) in &outcome.faults {
            let sum = faults.entry(fault).or_default();
            *sum = (sum.0 + n, sum.1 + 1);
        }
    }
    println!("{} seeds; {:>33} {:>9} {:>7}", outcomes.len(), "fault", "injected", "seeds");
    for (fault, (n, seeds)) in &faults {
        println!("{fault:>45} {n:>9} {seeds:>7}");
    }
    let (paths, steps) = (outcomes.values().map(|o| o.paths).min(), outcomes.values().map(|o| o.steps).min());
    println!("at least {paths:?} paths and {steps:?} steps a seed");
    if std::env::var_os("S3MIRRORD_HASHES").is_some() {
        use std::hash::{DefaultHasher, Hash, Hasher};
        for (seed, outcome) in &outcomes {
            let mut hasher = DefaultHasher::new();
            outcome.trace.hash(&mut hasher);
            println!("hash {seed} {:016x}", hasher.finish());
        }
    }
    let broken: Vec<_> = outcomes.iter().filter(|(_, o)| !o.broken.is_empty()).collect();
    for (seed, outcome) in broken.iter().take(5) {
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{seed}.txt"));
        std::fs::write(&file, outcome.trace.join("\n")).unwrap();
        println!("seed {seed}, told in {}: {:#?}", file.display(), outcome.broken);
    }
    let bad: BTreeSet<_> = broken.iter().map(|(seed, _)| **seed).collect();
    assert!(bad.is_empty(), "{} of {} seeds broke a promise: {bad:?}", bad.len(), outcomes.len());
    for kind in story::FAULTS {
        assert!(faults.contains_key(kind), "no seed injected `{kind}`");
    }
    assert!(paths >= Some(30) && steps >= Some(50));
}

#[test]
fn a_seed_replays_identically() {
    for seed in [1, 7, 42, 1234] {
        let first = run(play(seed, Sabotage::default()));
        for _ in 0..5 {
            let again = run(play(seed, Sabotage::default()));
            assert_eq!(first.trace, again.trace, "seed {seed}");
        }
        assert!(first.trace.len() > 100, "seed {seed} did something");
    }
}

fn caught(name: &str, promise: &str, sabotage: Sabotage) {
    let outcomes = play_all(0, 300, sabotage);
    let hits = outcomes.values().filter(|o| o.broken.iter().any(|b| b.contains(promise))).count();
    println!("{name}: caught by {hits} of {} seeds", outcomes.len());
    assert!(hits > 0, "{name} was not caught");
}

#[test]
fn a_delete_after_one_absence_is_caught() {
    caught("a delete after one absence", "I2", Sabotage { absent_for_good: true, ..Sabotage::default() });
}

#[test]
fn an_event_trusted_as_a_delete_is_caught() {
    caught(
        "an event trusted as a delete",
        "I2",
        Sabotage { events_are_deletes: true, ..Sabotage::default() },
    );
}

#[test]
fn a_skipped_second_fstat_is_caught() {
    caught("a skipped second fstat", "I3", Sabotage { frozen_stat: true, ..Sabotage::default() });
}

#[test]
fn a_ledger_written_before_the_confirmation_is_caught() {
    caught("a ledger written before the confirmation", "I5", Sabotage { lies: true, ..Sabotage::default() });
}

#[test]
fn a_trash_that_keeps_nothing_is_caught() {
    caught("a trash that keeps nothing", "trash", Sabotage { keeps_nothing: true, ..Sabotage::default() });
}
