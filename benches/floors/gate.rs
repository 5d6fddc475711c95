//! What stands before a delete: the licence and the budget.

use crate::sample;
use divan::{Bencher, black_box, counter::ItemsCount};
use s3mirrord::{
    model::{Condemned, Key, Local, Sameness},
    plan::{License, Limits},
};
use std::time::Duration;

const ROWS: usize = 100_000;
const GRACE: Duration = Duration::from_secs(10);

fn rows() -> Vec<Condemned> {
    let row = |n| Condemned {
        row: n as u64,
        key: Key::of(&sample::path(n)),
        etag: sample::etag(n),
        seen: 1,
        approved: false,
        moved: false,
    };
    (0..ROWS).map(row).collect()
}

fn licences(bencher: Bencher, now: Local) {
    let (rows, granted) = (rows(), matches!(now, Local::Absent(_)));
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        for row in black_box(&rows) {
            let licence = License::grant(row, Sameness::Same, Some(GRACE), GRACE, black_box(&now), false);
            assert_eq!(black_box(licence).is_ok(), granted);
        }
    });
}

#[divan::bench]
fn licences_granted(bencher: Bencher) {
    licences(bencher, sample::absent());
}

#[divan::bench]
fn licences_refused(bencher: Bencher) {
    licences(bencher, sample::local(0));
}

/// Within the budget, and over it.
#[divan::bench(args = [1_000, 1_000_000])]
fn budget(bencher: Bencher, pending: u64) {
    let limits = Limits { count: 10_000, percent: 20, window: Duration::from_secs(3_600) };
    let records = sample::FILES as u64;
    bencher.bench_local(|| black_box(limits).judge("max_delete", 10, black_box(pending), black_box(records)));
}
