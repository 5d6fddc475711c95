//! Names to keys and back.

use crate::sample;
use divan::{Bencher, black_box, counter::ItemsCount};
use s3mirrord::model::{Key, RelPath};

const NAMES: usize = 100_000;

fn plain() -> Vec<RelPath> {
    (0..NAMES).map(sample::path).collect()
}

/// Names that need quoting: Latin-1, and the quote itself.
fn odd() -> Vec<RelPath> {
    let name = |n: usize| [format!("{n}/caf").as_bytes(), b"\xe9 \xe2\x80\x9b41.txt"].concat();
    (0..NAMES).map(|n| RelPath::new(&name(n)).expect("a valid path")).collect()
}

fn encode(bencher: Bencher, paths: &[RelPath]) {
    bencher.counter(ItemsCount::new(NAMES)).bench_local(|| {
        for path in black_box(paths) {
            black_box(Key::of(path));
        }
    });
}

fn decode(bencher: Bencher, paths: &[RelPath]) {
    let keys: Vec<Key> = paths.iter().map(Key::of).collect();
    bencher.counter(ItemsCount::new(NAMES)).bench_local(|| {
        for key in black_box(&keys) {
            assert!(black_box(key.path()).is_some());
        }
    });
}

#[divan::bench]
fn key_of_a_plain_name(bencher: Bencher) {
    encode(bencher, &plain());
}

#[divan::bench]
fn key_of_an_odd_name(bencher: Bencher) {
    encode(bencher, &odd());
}

#[divan::bench]
fn path_of_a_plain_key(bencher: Bencher) {
    decode(bencher, &plain());
}

#[divan::bench]
fn path_of_an_odd_key(bencher: Bencher) {
    decode(bencher, &odd());
}
