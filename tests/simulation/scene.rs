//! What is there when a seed's story begins: a tree, objects of others, and what the store and the disk are like.

use crate::support::{
    bucket::Object,
    disk::{BLOCK, File, path},
    parts::{ANOTHERS, Open},
    world::World,
};
use s3mirrord::local::Kinds;
use s3mirrord::model::{Capabilities, ETag, Extra, Key, RelPath, Spec, Stamp, TRASH};
use std::{collections::BTreeMap, time::Duration};

/// The names that files ever have.
pub fn names() -> Vec<RelPath> {
    let mut names: Vec<String> = vec![];
    for dir in ["", "d/", "d-1/", "e/", "e/f/"] {
        names.extend((0..8).map(|i| format!("{dir}n{i}")));
    }
    // a name that is now a file and now a directory, and names that sort around `/`
    names.extend(["e", "d", "d.x", "e/f", "odd \u{201B}\n", "d/n0/deep"].map(str::to_owned));
    names.iter().map(|n| path(n)).collect()
}

/// An object that another tool wrote.
pub fn foreign(body: Vec<u8>, etag: ETag, modified: Stamp) -> Object {
    Object {
        body,
        etag,
        own: None,
        sha256: None,
        part_size: None,
        mtime: None,
        attributes: None,
        extra: Extra::default(),
        modified,
        checksum: None,
    }
}

pub fn set(w: &mut World) {
    set_store(w);
    set_disk(w);
    set_uploads(w);
    set_files(w);
    if w.shelf.trash.is_some() {
        // what others put there stays; what we did goes when it is old
        for name in ["2020-01-01/theirs", "theirs/x", "2020-01-01/a.000000Z-0123456789abcdef"] {
            w.plant(&format!("{TRASH}{name}"), 0);
        }
    }
    for key in ["foreign/x", "n3", "d/n9", "a//b", "../x", "d/", "\u{FF0F}"] {
        let (body, etag) = (key.as_bytes().to_vec(), ETag::new(&format!("foreign {key}")));
        let object = foreign(body, etag, Stamp { sec: 1_600_000_001, nsec: 0 });
        w.shelf.foreign.insert(Key::raw(key), object.clone());
        w.put_object(&Key::raw(key), Some(object));
    }
}

fn set_store(w: &mut World) {
    let lasts = |w: &mut World, name| {
        let on = w.may(name);
        if on {
            w.count(name);
        }
        on
    };
    w.shelf.unsorted = w.may("unsorted listing");
    w.shelf.random_etags = lasts(w, "random etags");
    if lasts(w, "no conditions") {
        w.shelf.can = Capabilities { conditional_put: false, ..w.shelf.can };
    }
    w.shelf.can.conditional_delete = !w.may("no conditions on DELETE");
    if lasts(w, "no batches of deletes") {
        w.shelf.can.conditional_batch = Some(false);
    }
    if w.shelf.random_etags {
        w.shelf.can.etag_is_md5 = false;
        w.shelf.encrypted = w.rng.bool();
    }
    if lasts(w, "no checksums") {
        w.shelf.checksums = false;
        w.shelf.can.verifies_sha256 = w.rng.bool();
    }
    w.shelf.weather.parts_refused = w.may("parts are not listed");
    for (name, seconds) in
        [("the store's clock is 20 minutes off", 1200), ("the store's clock is a year off", 31_536_000)]
    {
        if lasts(w, name) {
            w.shelf.skew = if w.rng.bool() { seconds } else { -seconds };
        }
    }
    w.apart = w.shelf.skew.abs() >= 3600;
}

fn set_disk(w: &mut World) {
    w.disk.kinds = Kinds {
        links: w.may("links are stored"),
        directories: w.may("directories are stored"),
        ..Kinds::default()
    };
    for name in ["links are stored", "directories are stored", "a scrub"] {
        if w.may(name) {
            w.count(name);
        }
    }
    w.disk.shows_clock = w.rng.bool();
    w.disk.clones = w.rng.bool();
    if w.may("a clock of seconds") {
        w.count("a clock of seconds");
        w.disk.step = Duration::from_secs(1);
    }
    if w.may("a network clock") {
        w.count("a network clock");
        (w.disk.step, w.disk.shows_clock) = (Duration::from_secs(2), false);
    }
}

fn set_uploads(w: &mut World) {
    let n1 = path("n1");
    w.write(&n1, 0, 1);
    let (key, meta) = (Key::of(&n1), w.disk.files[&n1].meta());
    let at = Stamp { sec: w.server_time().sec - 7200, nsec: 0 };
    let (mtime, attributes) = (meta.print.mtime, meta.attributes);
    let spec = Spec {
        size: 8,
        mtime,
        attributes,
        names: None,
        keep: Default::default(),
        extra: Extra::default(),
        own: "another".into(),
        sha256: None,
        part_size: None,
    };
    let open = Open { key, at, spec, parts: BTreeMap::new() };
    w.shelf.uploads.insert(ANOTHERS.into(), open);
}

fn set_files(w: &mut World) {
    for (i, name) in names().iter().enumerate().take(40) {
        for block in 0..w.rng.usize(0..7) {
            w.write(name, block, i as u64 * 100 + block as u64);
        }
        if !w.disk.files.contains_key(name) {
            w.replace(name, vec![]);
        }
    }
    // another file system: some names are the same, no content is
    for (i, name) in names().iter().enumerate().skip(1).step_by(3).take(12) {
        let body = vec![i as u8 ^ 0xA5; BLOCK * (i % 4)];
        let file = File { body, inode: 10_000 + i as u64, mode: 0o100_644, ..File::default() };
        w.disk.elsewhere.0.insert(name.clone(), file);
    }
}
