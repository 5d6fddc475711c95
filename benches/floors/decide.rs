//! The truth table.

use crate::sample;
use divan::{Bencher, black_box, counter::ItemsCount};
use s3mirrord::{
    model::{ETag, Fingerprint, Keep, Sameness, Stamp, Triple},
    plan::{Facts, View, decide, evidence},
};

const TRIPLES: usize = 100_000;
const VIEW: View = View {
    root: Sameness::Same,
    deletes: true,
    keep: Keep { mtime: true, mode: true, owner: true, xattrs: false, hard_links: false },
};

fn run(bencher: Bencher, triples: &[Triple]) {
    bencher.counter(ItemsCount::new(triples.len())).bench_local(|| {
        for triple in black_box(triples) {
            black_box(decide(triple, VIEW));
        }
    });
}

/// What a pass over an unchanged tree decides.
#[divan::bench]
fn in_sync(bencher: Bencher) {
    run(bencher, &(0..TRIPLES).map(sample::triple).collect::<Vec<_>>());
}

/// A day's work: one file in ten is new, gone, grown, touched, or overwritten by someone else.
#[divan::bench]
fn one_in_ten_changed(bencher: Bencher) {
    let change = |n: usize| {
        let mut triple = sample::triple(n);
        match n % 50 {
            0 => (triple.remote, triple.record) = (None, None),
            10 => triple.local = sample::absent(),
            20 => triple.remote.iter_mut().for_each(|remote| remote.size += 1),
            30 => triple.local = sample::local(n + 1_000),
            40 => triple.remote.iter_mut().for_each(|remote| remote.etag = ETag::new("another")),
            _ => {}
        }
        triple
    };
    run(bencher, &(0..TRIPLES).map(change).collect::<Vec<_>>());
}

/// How a touched file is to be proven.
#[divan::bench]
fn evidence_of_a_touched_file(bencher: Bencher) {
    let triples: Vec<Triple> = (0..TRIPLES).map(sample::triple).collect();
    bencher.counter(ItemsCount::new(TRIPLES)).bench_local(|| {
        for (n, triple) in black_box(&triples).iter().enumerate() {
            let remote = triple.remote.as_ref().expect("listed");
            let touched = Fingerprint { ctime: Stamp { sec: 1, nsec: 0 }, ..sample::print(n) };
            let (print, record) = (&touched, triple.record.as_ref());
            let facts = Facts { print, record, remote, own: None, refuted: &[], head: None, can: None };
            black_box(evidence(&facts));
        }
    });
}
