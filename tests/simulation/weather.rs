//! What comes over the mirror from outside, and lasts: roots, stores, clocks; and what happens while nothing runs.

use crate::{
    cases::owner,
    stranger,
    support::{
        bucket::Object,
        disk::path,
        world::{Fake, World},
    },
};
use s3mirrord::model::{Key, RootId};
use std::time::Duration;

const YEAR: i64 = 31_536_000;

/// The weather changes. What is not on in this seed leaves it as it is.
pub fn weather(w: &mut World) {
    // before the first claim, whichever root is there is the one
    let claimed = w.shelf.objects.contains_key(&owner());
    match w.rng.u8(0..15) {
        0 if w.may("store down") => w.shelf.down = !w.shelf.down,
        1 if w.may("credentials refused") => w.shelf.refuses = !w.shelf.refuses,
        2 if w.may("credentials expired") => w.shelf.expired = !w.shelf.expired,
        3 | 4 if w.may("directory closed") => {
            let dir = path(["d", "e", "e/f"][w.rng.usize(0..3)]);
            if !w.disk.closed.remove(&dir) {
                w.disk.closed.insert(dir);
                w.count("directory closed");
            }
        }
        5 if claimed && w.may("root missing") => {
            w.disk.root_changed = w.now();
            w.disk.missing = !w.disk.missing;
            w.count("root missing");
            w.log("disk: the root is gone, or back");
        }
        // another file system is mounted there, or the true one again
        6 if claimed && w.may("root swapped") => {
            w.swap_root();
            w.count("root swapped");
        }
        7 if w.may("a key denied") => {
            let under = ["d/", "e/", "e/f/"][w.rng.usize(0..3)];
            if !w.shelf.denied.remove(under) {
                w.shelf.denied.insert(under);
            }
        }
        8 if w.may("a storm of SlowDown") => {
            w.shelf.storm = w.now() + Duration::from_millis(w.rng.u64(500..6000));
        }
        9 | 10 if w.may("a mount below the root") => {
            let dir = path(["d", "e", "e/f", "d-1"][w.rng.usize(0..4)]);
            w.mount(&dir);
        }
        11 if w.strikes("wall clock jumped in a life", 1) => leap(w),
        12 if w.may("ledger disk full for long") => w.full = !w.full,
        _ => clears(w),
    }
}

/// It becomes fair, but for the root that is mounted.
pub fn clears(w: &mut World) {
    (w.shelf.down, w.shelf.refuses, w.shelf.expired, w.disk.missing, w.full) =
        (false, false, false, false, false);
}

/// 20 minutes or a year, either way.
fn leap(w: &mut World) {
    let seconds = [1200, -1200, YEAR, -YEAR][w.rng.usize(0..4)];
    w.jump(seconds);
    // what another instance claimed may be void now, or valid again
    w.law.forbidden = false;
}

/// A life has ended, as by a crash if it `crashed`.
pub fn between_lives(world: &Fake, crashed: bool) {
    world.with(|w| {
        w.spoil_uploads();
        let mut forgets = false;
        if let Some(before) = w.undurable.take()
            && crashed
            && w.strikes("a ledger write lost at a crash", 1)
        {
            (w.book, forgets) = (before, true);
        }
        if w.strikes("ledger lost", 3) {
            (w.book, forgets) = (Default::default(), true);
        }
        // what is torn is told when it is opened, and a new one is begun
        if w.strikes("ledger damaged", 4) {
            (w.book, forgets) = (Default::default(), true);
        }
        if w.strikes("ledger rolled back", 3) {
            (w.book, forgets) = (w.kept.clone(), true);
            // by its tag nobody sees that an object has got other metadata since
            let old = w.book.records.iter().filter(|(key, record)| {
                let same = |object: &&Object| object.etag == record.etag;
                let object = w.shelf.objects.get(*key).filter(same);
                record.attributes.is_some()
                    && object.is_some_and(|object| object.attributes != record.attributes)
            });
            w.shelf.put_back.extend(old.map(|(key, _)| key.clone()).collect::<Vec<_>>());
        }
        if w.strikes("ledger half lost", 4) {
            let keep = w.book.records.len() / 2;
            let late: Vec<Key> = w.book.records.keys().skip(keep).cloned().collect();
            late.iter().for_each(|key| {
                w.book.records.remove(key);
            });
        }
        // what was accepted since is forgotten with a ledger, and nobody can see that
        if forgets {
            w.disk.truth = believed(w);
        }
        // a ledger that forgot replacements counts them anew
        w.shelf.replaced.retain(|key, _| w.book.counted.contains_key(key));
        if w.strikes("wall clock jumped", 2) {
            leap(w);
        }
        if w.book.binding.is_some() && w.shelf.objects.contains_key(&owner()) {
            accept_root(w);
        }
    });
}

/// The root that ledger and owner record tell of, the ledger first.
fn believed(w: &World) -> RootId {
    let owner = w.shelf.objects.get(&owner()).map(|owner| {
        let record: serde_json::Value = serde_json::from_slice(&owner.body).unwrap();
        let filesystem = record["root_filesystem"].as_str().map(str::to_owned);
        RootId { inode: record["root_inode"].as_u64().unwrap(), filesystem }
    });
    let bound = w.book.binding.as_ref().map(|binding| binding.root.clone());
    // another instance's is not ours
    let known = bound.or(owner.filter(|_| !stranger::holds(w)));
    known.filter(|root| [&w.disk.root, &w.disk.spare].contains(&root)).unwrap_or_else(|| w.disk.truth.clone())
}

/// The operator has another root, and accepts it.
fn accept_root(w: &mut World) {
    if !w.strikes("another root accepted", 2) {
        return;
    }
    if w.disk.root == w.disk.truth {
        w.swap_root();
    }
    w.disk.truth = w.disk.root.clone();
    if let Some(binding) = &mut w.book.binding {
        binding.root = w.disk.root.clone();
    }
    w.log("the operator accepts this root");
}
