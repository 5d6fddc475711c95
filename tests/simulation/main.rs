//! The whole engine under paused time: random trees, operations, lost and doubled events, store faults
//! and crashes, all from one seed. Every write and every delete is checked at the moment it is made,
//! the rest when all is quiet.
//!
//! `S3MIRRORD_SEEDS=100000 cargo test --release --test simulation` tries more, `S3MIRRORD_FROM=5000` others.
//! With `S3MIRRORD_STOP=1` the first seed that breaks a promise is the last.
//! `S3MIRRORD_SEED=7` replays one and prints its plan and what happened; with `S3MIRRORD_PLAN`, as it was printed for a
//! seed that failed, less of it.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod busy;
mod cases;
mod claims;
mod clones;
mod copies;
mod deletes;
mod denials;
mod hooks;
mod lag;
mod outages;
mod overwrites;
mod plan;
mod scene;
mod scrub;
mod story;
mod stranger;
mod trash;
mod turns;
mod uploads;
mod user;
mod watcher;
mod watching;
mod weather;

use plan::Plan;
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};
use story::{Outcome, Sabotage, play};

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|n| n.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Plays a plan. A panic breaks a promise as well.
fn try_out(plan: &Plan, sabotage: Sabotage, tracing: bool) -> Outcome {
    let played = catch_unwind(AssertUnwindSafe(|| run(play(plan, sabotage, tracing))));
    played.unwrap_or_else(|_| Outcome { broken: vec!["panic: see above".into()], ..Outcome::default() })
}

/// No seed is begun any more.
static OVER: AtomicBool = AtomicBool::new(false);

/// Plays seeds on all cores; what `told` makes of each, by seed.
fn play_all<T: Send + 'static>(
    seeds: std::ops::Range<u64>,
    sabotage: Sabotage,
    told: fn(&Plan, Outcome) -> T,
) -> BTreeMap<u64, T> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let hands: Vec<_> = (0..threads)
        .map(|hand| {
            let seeds = seeds.clone().filter(move |seed| seed % threads == hand);
            let one = move |seed| {
                let plan = Plan::draw(seed);
                (seed, told(&plan, try_out(&plan, sabotage, hashes())))
            };
            let goes_on = |_: &u64| !OVER.load(Ordering::Relaxed);
            std::thread::spawn(move || seeds.take_while(goes_on).map(one).collect::<Vec<_>>())
        })
        .collect();
    hands.into_iter().flat_map(|hand| hand.join().expect("no seed panics")).collect()
}

fn hashes() -> bool {
    std::env::var_os("S3MIRRORD_HASHES").is_some()
}

/// What is remembered of a seed.
struct Told {
    broken: Vec<String>,
    faults: BTreeMap<&'static str, u64>,
    paths: usize,
    steps: u64,
}

fn told(plan: &Plan, outcome: Outcome) -> Told {
    if hashes() {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        outcome.trace.hash(&mut hasher);
        println!("hash {} {:016x}", plan.seed, hasher.finish());
    }
    let Outcome { broken, faults, paths, steps, .. } = outcome;
    if !broken.is_empty() && std::env::var_os("S3MIRRORD_STOP").is_some() {
        OVER.store(true, Ordering::Relaxed);
    }
    Told { broken, faults, paths, steps }
}

/// Which promise was broken first.
fn promise(broken: &[String]) -> Option<&str> {
    let first = broken.first()?;
    first.split_once(": ").map_or(Some(first.as_str()), |(_, what)| what.split(':').next())
}

/// Tells of a seed that broke a promise: the smallest plan that does, and in a file what happened.
fn tell(seed: u64, broken: &[String]) {
    println!("seed {seed}: {broken:#?}");
    let breaks = |plan: &Plan| promise(&try_out(plan, Sabotage::default(), false).broken) == promise(broken);
    let replays = asked("S3MIRRORD_REPLAYS").unwrap_or(400);
    let least = Plan::draw(seed).shrunk(replays.try_into().unwrap(), breaks);
    let outcome = try_out(&least, Sabotage::default(), true);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{seed}.txt"));
    std::fs::write(&file, outcome.trace.join("\n")).unwrap();
    println!("the least that breaks it: {least}\n{:#?}\ntold in {}", outcome.broken, file.display());
}

#[test]
fn promises_hold_under_every_fault() {
    if let Some(plan) = Plan::asked_for() {
        println!("{plan}");
        let outcome = try_out(&plan, Sabotage::default(), true);
        println!("{}\n{:#?}", outcome.trace.join("\n"), outcome.broken);
        assert!(outcome.broken.is_empty());
        return;
    }
    let from = asked("S3MIRRORD_FROM").unwrap_or(0);
    let (begin, seeds) = (Instant::now(), from..from + asked("S3MIRRORD_SEEDS").unwrap_or(2000));
    let outcomes = play_all(seeds, Sabotage::default(), told);
    let rate = outcomes.len() as f64 / begin.elapsed().as_secs_f64() * 60.0;
    let mut faults: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for outcome in outcomes.values() {
        for (fault, n) in &outcome.faults {
            let sum = faults.entry(fault).or_default();
            *sum = (sum.0 + n, sum.1 + 1);
        }
    }
    println!(
        "{} seeds from {from}, {rate:.0} a minute; {:>33} {:>9} {:>7}",
        outcomes.len(),
        "fault",
        "injected",
        "seeds"
    );
    for (fault, (n, seeds)) in &faults {
        println!("{fault:>45} {n:>9} {seeds:>7}");
    }
    let (paths, steps) = (outcomes.values().map(|o| o.paths).min(), outcomes.values().map(|o| o.steps).min());
    println!("at least {paths:?} paths and {steps:?} steps a seed");
    let broken: Vec<_> = outcomes.iter().filter(|(_, o)| !o.broken.is_empty()).collect();
    broken.iter().take(5).for_each(|(seed, outcome)| tell(**seed, &outcome.broken));
    let bad: BTreeSet<_> = broken.iter().map(|(seed, _)| **seed).collect();
    assert!(bad.is_empty(), "{} of {} seeds broke a promise: {bad:?}", bad.len(), outcomes.len());
    for kind in plan::FAULTS.iter().map(|(kind, _)| kind).chain(plan::EVENTS) {
        assert!(outcomes.len() < 1000 || faults.contains_key(kind), "no seed injected `{kind}`");
    }
    assert!(paths >= Some(30) && steps >= Some(50));
}

#[test]
fn a_seed_replays_identically() {
    for seed in [1, 7, 42, 1234] {
        let plan = Plan::draw(seed);
        let first = run(play(&plan, Sabotage::default(), true));
        for _ in 0..5 {
            let again = run(play(&plan, Sabotage::default(), true));
            assert_eq!(first.trace, again.trace, "seed {seed}");
        }
        assert!(first.trace.len() > 100, "seed {seed} did something");
    }
}

fn caught(name: &str, promise: &str, sabotage: Sabotage) {
    let outcomes = play_all(0..100, sabotage, told);
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
