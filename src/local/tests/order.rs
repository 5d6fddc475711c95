//! Any tree: the walk is in key order, and shows what std's own reading shows.

use super::*;
use crate::model::Key;
use proptest::prelude::*;
use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt};

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn c30_a_walk_is_sorted_by_key_and_complete(
        paths in prop::collection::vec(prop::collection::vec(name(), 1..4), 1..25),
    ) {
        let temp = tempfile::tempdir().expect("a directory");
        for path in paths {
            let path: PathBuf = path.iter().map(|part| OsStr::from_bytes(part)).collect();
            let path = temp.path().join(path);
            // Where a file stands in the way of a directory, there is one file less.
            if std::fs::create_dir_all(path.parent().expect("a parent")).is_ok() {
                let _either = std::fs::write(&path, "");
            }
        }
        let mut want = BTreeSet::new();
        std_files(temp.path(), &RelPath::root(), &mut want);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let found = runtime.block_on(try_walk(&directory(temp.path()), Scope::everything(), keep_all()));
        let found: Vec<Key> = found.expect("a walk").into_iter().map(|(key, _)| key).collect();
        prop_assert_eq!(found, want.into_iter().collect::<Vec<_>>());
    }
}
