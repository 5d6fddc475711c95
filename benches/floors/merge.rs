//! Walk ⋈ listing ⋈ ledger.

use crate::sample::{self, FILES, PAGE};
use divan::{Bencher, black_box, counter::ItemsCount};
use s3mirrord::{
    model::{Key, Local, Record, RemoteMeta},
    plan::{Merge, Side, Step},
};

type Pages<T> = std::vec::IntoIter<Vec<(Key, T)>>;

fn pages<T>(keys: &[Key], what: impl Fn(usize) -> T) -> Pages<T> {
    let numbers: Vec<usize> = (0..keys.len()).collect();
    let page = |page: &[usize]| page.iter().map(|n| (keys[*n].clone(), what(*n))).collect();
    numbers.chunks(PAGE).map(page).collect::<Vec<_>>().into_iter()
}

/// Runs it to its end; how many keys came out.
fn run(
    mut local: Pages<Local>,
    mut remote: Pages<Option<RemoteMeta>>,
    mut ledger: Pages<Option<Record>>,
) -> usize {
    let (mut merge, mut keys) = (Merge::default(), 0);
    loop {
        match merge.step() {
            Step::Need(side @ Side::Local) => match local.next() {
                Some(page) => merge.push_local(page).expect("sorted"),
                None => merge.end(side),
            },
            Step::Need(side @ Side::Remote) => match remote.next() {
                Some(page) => merge.push_remote(page).expect("sorted"),
                None => merge.end(side),
            },
            Step::Need(side @ Side::Ledger) => match ledger.next() {
                Some(page) => merge.push_ledger(page).expect("sorted"),
                None => merge.end(side),
            },
            Step::Next(merged) => {
                black_box(merged);
                keys += 1;
            }
            Step::End => return keys,
        }
    }
}

/// A relist of a tree that is in sync: all three sides have every key.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn of_three_equal_sides(bencher: Bencher) {
    let keys: Vec<Key> = (0..FILES).map(|n| Key::of(&sample::path(n))).collect();
    bencher
        .counter(ItemsCount::new(FILES))
        .with_inputs(|| {
            let remote = pages(&keys, |n| Some(sample::remote(n)));
            (pages(&keys, sample::local), remote, pages(&keys, |n| Some(sample::record(n))))
        })
        .bench_local_values(|(local, remote, ledger)| assert_eq!(run(local, remote, ledger), FILES));
}

/// A rescan: nothing is listed.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn of_disk_and_ledger(bencher: Bencher) {
    let keys: Vec<Key> = (0..FILES).map(|n| Key::of(&sample::path(n))).collect();
    bencher
        .counter(ItemsCount::new(FILES))
        .with_inputs(|| (pages(&keys, sample::local), pages(&keys, |n| Some(sample::record(n)))))
        .bench_local_values(|(local, ledger)| assert_eq!(run(local, vec![].into_iter(), ledger), FILES));
}
