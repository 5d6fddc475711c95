//! Any tree: the walk is in key order, and shows what std's own reading shows.

use super::*;
use crate::{
    local::{
        listing::{
            Desk, Limits,
            tests::{TINY, listing},
        },
        root::Root,
        walk::{LIMITS, walk_within},
    },
    model::{Key, Kind},
};
use proptest::{prelude::*, test_runner::TestRunner};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    os::unix::ffi::OsStrExt,
};

fn name() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => "[ab]".prop_map(String::into_bytes),
        2 => prop::sample::select(vec!["-", ".", "0", " ", "+", "%", "\n", "\x01", "~", "\u{e9}"])
            .prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::sample::select(vec!["\u{201B}", "\u{FF0E}", "\u{FF0F}", "\u{2400}", "41", ".s3mirrord"])
            .prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::sample::select(vec![vec![0xff], vec![0xe2, 0x80], vec![0xc3]]),
    ];
    prop::collection::vec(part, 1..4)
        .prop_map(|parts| parts.concat())
        .prop_filter("a name", |name| RelPath::root().join(name).is_ok())
}

fn std_files(dir: &Path, below: &RelPath, out: &mut BTreeSet<Key>) {
    for entry in std::fs::read_dir(dir).expect("read") {
        let entry = entry.expect("an entry");
        let path = below.join(entry.file_name().as_bytes()).expect("a name");
        if entry.file_type().expect("a kind").is_dir() {
            std_files(&entry.path(), &path, out);
        } else {
            out.insert(Key::of(&path));
        }
    }
}

fn paths() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    prop::collection::vec(prop::collection::vec(name(), 1..4), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn c30_a_walk_is_sorted_by_key_and_complete(paths in paths()) {
        let temp = tempfile::tempdir().expect("a directory");
        plant(temp.path(), &paths);
        let mut want = BTreeSet::new();
        std_files(temp.path(), &RelPath::root(), &mut want);
        let want: Vec<Key> = want.into_iter().collect();
        let root = Root::new(temp.path()).open().expect("root");
        // With and without names on disk.
        for limits in [LIMITS, TINY, Limits { names: 1, ..TINY }] {
            let mut found = Vec::new();
            let mut give = |batch: Vec<Entry>| {
                found.extend(batch.into_iter().map(|(key, _)| key));
                true
            };
            let aside = std::env::temp_dir();
            let done = walk_within((&root, limits), &Scope::everything(), &keep_all(), &aside, &mut give);
            prop_assert_eq!(done, Ok(()));
            prop_assert_eq!(&found, &want, "{:?}", limits);
        }
    }
}

/// A tree in memory.
#[derive(Default)]
struct Tree(BTreeMap<CString, Option<Tree>>);

impl Tree {
    fn plant(&mut self, path: &[Vec<u8>]) {
        let [name, rest @ ..] = path else { return };
        let below = self.0.entry(CString::new(&**name).expect("no NUL"));
        let below = below.or_insert_with(|| (!rest.is_empty()).then(Self::default));
        if let Some(below) = below {
            below.plant(rest);
        }
    }

    /// Its files, as a walk gives them and as a flat listing would.
    fn walk(&self, above: &RelPath, desk: &mut Desk, walked: &mut Vec<Key>, listed: &mut BTreeSet<Key>) {
        let kind = |below: &Option<Self>| if below.is_some() { Kind::Directory } else { Kind::File };
        let entries: Vec<_> = self.0.iter().map(|(name, below)| (&**name, kind(below))).collect();
        let mut listing = listing(above.as_bytes(), &entries, desk);
        while let Some(name) = listing.next().expect("readable") {
            let path = above.join(name.raw.to_bytes()).expect("a name");
            let key = Key::of(&path);
            assert_eq!(key.as_str().rsplit('/').next(), Some(name.encoded));
            match &self.0[name.raw] {
                Some(below) => below.walk(&path, desk, walked, listed),
                None => {
                    walked.push(key.clone());
                    listed.insert(key);
                }
            }
        }
    }
}

#[test]
fn c30_ten_thousand_trees_are_walked_in_the_order_of_a_listing() {
    let mut runner = TestRunner::new(ProptestConfig { cases: 10_000, ..ProptestConfig::default() });
    let aside = std::env::temp_dir();
    let desks = [LIMITS, TINY].map(|limits| RefCell::new(Desk::new(&aside, limits)));
    let done = runner.run(&paths(), |paths| {
        let mut tree = Tree::default();
        paths.iter().for_each(|path| tree.plant(path));
        // Every other one with its names on disk.
        let mut desk = desks[paths.len() % 2].borrow_mut();
        let (mut walked, mut listed) = (Vec::new(), BTreeSet::new());
        tree.walk(&RelPath::root(), &mut desk, &mut walked, &mut listed);
        prop_assert_eq!(walked, listed.into_iter().collect::<Vec<_>>());
        Ok(())
    });
    done.expect("every tree");
}
