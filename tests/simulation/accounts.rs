//! The accounts, when everything is quiet: are the two sides equal, does the ledger tell the truth, and does a second
//! pass have nothing to do?

use crate::support::{
    book::Book,
    bucket::Object,
    parts::ANOTHERS,
    world::{Fake, World},
};
use s3mirrord::{
    engine::End,
    model::{Key, Local},
};
use std::collections::BTreeMap;

/// Are the two sides equal (I1), and does the ledger tell the truth (I5)?
pub fn settle(world: &Fake) {
    world.with(|w| {
        let wrong: Vec<_> = [files(w), directories(w), objects(w), records(w), uploads(w)].concat();
        wrong.into_iter().for_each(|wrong| w.broke(wrong));
    });
}

/// What is skipped or excluded now is left alone, and so is its row.
fn left_alone(w: &World, key: &Key) -> bool {
    let excluded = w.law.prune.excludes_key(key, &Local::Unknown);
    excluded || key.place().is_some_and(|p| w.disk.is_skipped(&p))
}

fn files(w: &World) -> Vec<String> {
    let mut wrong = vec![];
    for (name, file) in &w.disk.files {
        let key = Key::of(name);
        if left_alone(w, &key) {
            continue;
        }
        match w.shelf.objects.get(&key) {
            None => wrong.push(format!("I1: {name} has no object")),
            // a silent write is only allowed not to be noticed: it is one of what was there since stat showed a change
            Some(o) if o.body != file.body && !file.mixtures.contains(&o.body) => {
                wrong.push(format!("I1: {name} differs"));
            }
            // what was adopted by content keeps the metadata it was found with
            Some(o) => {
                let known = w.book.records.get(&key).and_then(|r| r.attributes);
                let adopted = w.shelf.foreign.get(&key) == Some(o);
                let seen = known.filter(|_| !w.shelf.put_back.contains(&key) && !adopted);
                if seen.is_some_and(|a| a != file.meta().attributes || Some(a) != o.attributes) {
                    wrong.push(format!("I1: {name} has other metadata: {:?}", o.attributes));
                }
            }
        }
    }
    wrong
}

fn directories(w: &World) -> Vec<String> {
    let mut wrong = vec![];
    for dir in w.disk.directories().into_iter().filter(|_| w.disk.kinds.directories) {
        let key = Key::directory(&dir);
        match w.shelf.objects.get(&key) {
            _ if left_alone(w, &key) => {}
            None => wrong.push(format!("I1: {key} has no marker")),
            // what has content is none
            Some(o) if !o.body.is_empty() => {}
            Some(o) => {
                let known = w.book.records.get(&key).and_then(|r| r.attributes);
                let adopted = w.shelf.foreign.get(&key) == Some(o);
                if known.filter(|_| !adopted).is_some_and(|known| Some(known) != o.attributes) {
                    wrong.push(format!("I1: {key} has other metadata: {:?}", o.attributes));
                }
            }
        }
    }
    wrong
}

fn objects(w: &World) -> Vec<String> {
    let mut wrong = vec![];
    for (key, object) in &w.shelf.objects {
        let kept = w.law.keep || left_alone(w, key) || w.shelf.foreign.get(key) == Some(object);
        // by its tag it is the one that was another's
        let kept = kept || w.shelf.put_back.contains(key) && w.book.foreign.get(key) == Some(&object.etag);
        let marked = key.marked().is_some_and(|dir| w.disk.is_directory(&dir));
        let file = marked || key.path().is_some_and(|p| w.disk.files.contains_key(&p));
        if !file && !kept && !key.is_reserved() && key.trash_name().is_none() {
            wrong.push(format!("I1: {key} has no file and is still there"));
        }
    }
    wrong
}

fn records(w: &World) -> Vec<String> {
    let mut wrong = vec![];
    for (key, record) in w.book.records.iter().filter(|(key, _)| !left_alone(w, key)) {
        match w.shelf.objects.get(key) {
            None => wrong.push(format!("I5: {key} is recorded and is not there")),
            Some(object) if record.etag != object.etag => {
                wrong.push(format!("I5: {key} is recorded as {:?} and is {:?}", record.etag, object.etag));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// A lost ledger takes its intents with it, an old one lacks them, and clocks that are a year apart make them older
/// than any upload: nobody can tell those uploads from another's.
fn uploads(w: &World) -> Vec<String> {
    if w.apart || forgot(w) {
        return vec![];
    }
    let open = w.shelf.uploads.iter().filter(|(id, _)| *id != ANOTHERS);
    open.map(|(id, open)| format!("{id} of {} was left open", open.key)).collect()
}

/// The ledger was lost, or is an old one.
fn forgot(w: &World) -> bool {
    ["ledger lost", "ledger damaged", "ledger rolled back"].iter().any(|fault| w.faults.contains_key(fault))
}

/// I6: it wrote nothing, read nothing, and only listed.
pub fn second_pass(world: &Fake, end: &End, before: &(BTreeMap<Key, Object>, Book), unchanged: u64) {
    world.with(|w| {
        let others: Vec<_> =
            w.shelf.requests.keys().filter(|op| !["ListObjectsV2", "GetObject"].contains(op)).collect();
        if *end != End::Done || !others.is_empty() || w.shelf.requests["GetObject"] != 1 {
            let requests = w.shelf.requests.clone();
            w.broke(format!("I6: the second pass ended {end:?} and asked {requests:?}"));
        }
        if before.0 != w.shelf.objects || before.1.records != w.book.records {
            w.broke("I6: the second pass changed something");
        }
        let files = w.disk.files.keys().filter(|name| !left_alone(w, &Key::of(name))).count() as u64;
        if unchanged != files {
            w.broke(format!("I6: {files} files, but {unchanged} unchanged"));
        }
    });
}
