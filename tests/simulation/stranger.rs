//! Others at work on the bucket: an operator with another tool, and a second instance of ours on another host.

use crate::{
    scene::foreign,
    support::{bucket::Object, world::World},
};
use s3mirrord::model::{Key, RelPath, Stamp};

/// A claim that was not renewed for so many seconds is void.
const EXPIRES: i64 = 24 * 3600;
/// The other host.
const OTHER: &str = "another";

fn owner() -> Key {
    Key::raw(".s3mirrord/owner.json")
}

/// Now and then one of them does something.
pub fn acts(w: &mut World, names: &[RelPath]) {
    let key = Key::of(&names[w.rng.usize(0..names.len())]);
    let other = Key::of(&names[w.rng.usize(0..names.len())]);
    if w.strikes("another tool overwrites", 12) {
        let body = format!("another {}", w.rng.u64(..)).into_bytes();
        let etag = w.etag(&body, false);
        let object = foreign(body, etag, w.server_time());
        put(w, &key, object, true);
    }
    if w.strikes("another tool deletes", 12) {
        take(w, &key);
    }
    // metadata and all: what it says of its key shows whose it is
    if w.strikes("another tool copies", 12)
        && let Some(object) = w.shelf.objects.get(&other).cloned()
    {
        let to = if w.rng.u8(0..4) == 0 { Key::raw(format!("kept/{other}")) } else { key.clone() };
        let is_foreign = to != other || w.shelf.foreign.get(&other) == Some(&object);
        let etag = w.etag(&object.body, false);
        let modified = w.server_time();
        put(w, &to, Object { etag, modified, ..object }, is_foreign);
    }
    if w.strikes("another tool brings back what was", 12)
        && let Some(object) = w.shelf.former.get(&key).cloned()
    {
        let modified = w.server_time();
        put(w, &key, Object { modified, ..object }, false);
    }
    if w.strikes("another instance claims", 60) {
        claim(w);
    }
}

fn put(w: &mut World, key: &Key, object: Object, is_foreign: bool) {
    // by the tag alone, which is in the bucket or in a ledger, nobody sees that metadata is another
    let had = w.shelf.objects.get(key).map(|had| &had.etag);
    let books = [Some(&w.book), Some(&w.kept), w.undurable.as_ref()];
    let recorded = books.into_iter().flatten().filter_map(|book| book.records.get(key));
    if recorded.map(|record| &record.etag).chain(had).any(|etag| *etag == object.etag) {
        w.shelf.put_back.insert(key.clone());
    }
    match is_foreign {
        true => drop(w.shelf.foreign.insert(key.clone(), object.clone())),
        false => drop(w.shelf.foreign.remove(key)),
    }
    w.log(format_args!("another tool: {key} is {:?}", object.etag));
    w.put_object(key, Some(object));
}

fn take(w: &mut World, key: &Key) {
    if w.put_object(key, None).is_some() {
        w.shelf.taken.insert(key.clone());
        w.log(format_args!("another tool: {key} is gone"));
    }
}

/// The other instance has the mirror's id: it took the prefix over.
fn claim(w: &mut World) {
    let Some(mut object) = w.shelf.objects.get(&owner()).cloned() else { return };
    let mut record: serde_json::Value = serde_json::from_slice(&object.body).unwrap();
    record["host"] = OTHER.into();
    record["renewed"] = w.clock().into();
    record["root_inode"] = 99.into();
    object.body = record.to_string().into_bytes();
    (object.etag, object.modified) = (w.etag(&object.body, false), w.server_time());
    w.log("another instance claims the prefix");
    w.put_object(&owner(), Some(object));
}

/// True if another instance holds the prefix now, as far as the host's clock tells.
pub fn holds(w: &World) -> bool {
    let Some(object) = w.shelf.objects.get(&owner()) else { return false };
    let record: serde_json::Value = serde_json::from_slice(&object.body).unwrap();
    let Stamp { sec: now, .. } = Stamp { sec: w.clock(), nsec: 0 };
    record["host"] == OTHER && now - record["renewed"].as_i64().unwrap() < EXPIRES
}
