//! The debounced change queue under floods of events.

use crate::sample;
use divan::{Bencher, black_box, counter::ItemsCount};
use s3mirrord::{
    model::{Against, RelPath, Scope},
    queue::{Mono, Options, Pending},
};

const EVENTS: usize = 100_000;

/// Notes the paths, a microsecond apart, and takes out all that becomes due; how many notes that was.
fn run(paths: Vec<RelPath>) -> usize {
    let options = Options { quiet: Mono::from_secs(2), longest: Mono::from_secs(60), most: 10_000 };
    let (mut pending, mut now) = (Pending::new(options), Mono::ZERO);
    for path in paths {
        pending.note(Scope::File(path), Against::Ledger, now);
        now += Mono::from_micros(1);
    }
    let mut notes = 0;
    for swift in [true, false] {
        while let Some(due) = pending.next(swift) {
            black_box(pending.pop(due, swift));
            notes += 1;
        }
    }
    notes
}

fn bench(bencher: Bencher, number: impl Fn(usize) -> usize) {
    let paths: Vec<RelPath> = (0..EVENTS).map(|n| sample::path(number(n))).collect();
    bencher
        .counter(ItemsCount::new(EVENTS))
        .with_inputs(|| paths.clone())
        .bench_local_values(|paths| black_box(run(paths)));
}

/// A log that is written to: every event is for the same file.
#[divan::bench(sample_count = 20)]
fn one_file(bencher: Bencher) {
    bench(bencher, |_| 0);
}

/// A few files here and there: none fold.
#[divan::bench(sample_count = 20)]
fn five_thousand_files(bencher: Bencher) {
    bench(bencher, |n| n % 5_000 * 200);
}

/// An unpacked archive: directory after directory, each folds.
#[divan::bench(sample_count = 20)]
fn full_directories(bencher: Bencher) {
    bench(bencher, |n| n);
}
