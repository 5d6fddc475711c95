//! Trees that are too wide or too deep for memory: shown whole, within it.

use super::*;
use crate::{
    local::{
        listing::Limits,
        root::Root,
        walk::{LIMITS, walk_within},
    },
    model::Class,
};

/// What a walk within these limits shows of the files below `root`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    present: usize,
    /// Entries that are not.
    others: Vec<String>,
    /// Those that came out of order.
    astray: usize,
    /// The most bytes of keys in a batch.
    longest: usize,
}

fn walk_tiny(root: &Path, aside: &Path, limits: Limits) -> Result<Shown, Fault> {
    let (root, mut shown, mut last) = (Root::new(root).open()?, Shown::default(), None);
    let mut give = |batch: Vec<Entry>| {
        shown.longest = shown.longest.max(batch.iter().map(|(key, _)| key.as_str().len()).sum());
        for (key, local) in batch {
            match local {
                Local::Present(_) => shown.present += 1,
                other => shown.others.push(format!("{key} {other:?}")),
            }
            shown.astray += usize::from(last.as_ref() >= Some(&key));
            last = Some(key);
        }
        true
    };
    walk_within((&root, limits), &Scope::everything(), &keep_all(), aside, &mut give)?;
    Ok(shown)
}

#[test]
fn c77_names_that_cannot_be_kept_make_their_directory_unknown_and_nothing_else() {
    let temp = tempfile::tempdir().expect("a directory");
    for dir in ["a", "many", "z"] {
        std::fs::create_dir(temp.path().join(dir)).expect("mkdir");
    }
    let many = (0..3000).map(|n| format!("many/{n}"));
    for file in many.chain(["a/f".into(), "z/f".into()]) {
        std::fs::write(temp.path().join(&file), &file).expect("write");
    }
    let limits = Limits { names: 4096, fan: 4, read: 1024 };
    let unknown = |shown: Shown| shown.present == 2 && shown.others == ["many/ Unknown"] && shown.astray == 0;
    let shown = walk_tiny(temp.path(), &temp.path().join("none"), limits).expect("a walk");
    assert!(unknown(shown), "no such directory");
    let aside = tempfile::tempdir().expect("a directory");
    let shown = walk_tiny(temp.path(), aside.path(), limits).expect("a walk");
    assert_eq!((shown.present, shown.others.len(), shown.astray), (3002, 0, 0));
    let none = Path::new("none");
    let fault = walk_tiny(&temp.path().join("many"), none, limits).expect_err("nothing is known of the root");
    assert_eq!((fault.class, fault.remedy.is_some()), (Class::Transient, true), "{fault}");

    let flags = rustix::mount::MountFlags::empty();
    match rustix::mount::mount("tmpfs", aside.path(), "tmpfs", flags, Some(c"size=8k")) {
        Ok(()) => {
            let _mounted = Mounted(aside.path().to_owned());
            let shown = walk_tiny(temp.path(), aside.path(), limits).expect("a walk");
            assert!(unknown(shown), "a full disk");
        }
        Err(errno) => skipped(errno),
    }
}

#[test]
fn c77_ten_thousand_directories_are_whole_within_little_memory() {
    let temp = tempfile::tempdir().expect("a directory");
    // The names of the upper one are held, or put to disk, while each of those below is read.
    for n in 0..10_000 {
        let dir = temp.path().join(format!("directory-{n:05}"));
        std::fs::create_dir(&dir).expect("mkdir");
        for file in 0..if n % 100 == 0 { 100 } else { 1 } {
            std::fs::write(dir.join(format!("{file:03}")), "").expect("write");
        }
    }
    let files = 9_900 + 100 * 100;
    // `Stack` checks in each build for tests that no more than this is held, and no more than 64 are open.
    for names in [2_000, 100_000, LIMITS.names] {
        let limits = Limits { names, fan: 8, read: 2048.min(names / 8) };
        let shown = walk_tiny(temp.path(), &std::env::temp_dir(), limits).expect("a walk");
        assert_eq!((shown.present, shown.others.len(), shown.astray), (files, 0, 0));
    }
}

#[test]
fn c30_five_thousand_levels_are_walked_with_few_descriptors_and_short_batches() {
    use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
    const DEPTH: usize = 5_000;
    let temp = tempfile::tempdir().expect("a directory");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = rustix::fs::open(temp.path(), flags, Mode::empty()).expect("open");
    for _ in 0..DEPTH {
        for file in ["a", "z"] {
            openat(&at, file, OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).expect("create");
        }
        mkdirat(&at, "dir", Mode::RWXU).expect("mkdir");
        at = openat(&at, "dir", flags, Mode::empty()).expect("open");
    }
    for limits in [LIMITS, Limits { names: 1_000, fan: 4, read: 64 }] {
        let shown = walk_tiny(temp.path(), &std::env::temp_dir(), limits).expect("a walk");
        assert_eq!((shown.present, shown.others.len(), shown.astray), (2 * DEPTH, 0, 0));
        assert!(shown.longest < 512 * 1024, "512 such keys would be 10 MB: {}", shown.longest);
    }
    // Upwards again: paths this long cannot be named in one piece.
    for _ in 0..DEPTH {
        at = openat(&at, "..", flags, Mode::empty()).expect("open");
        unlinkat(&at, "dir", AtFlags::REMOVEDIR).expect("rmdir");
        for file in ["a", "z"] {
            unlinkat(&at, file, AtFlags::empty()).expect("unlink");
        }
    }
}
