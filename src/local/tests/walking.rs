//! Walks: kinds, scopes, what cannot be read, what is too deep.

use super::*;
use crate::{
    local::{root::Root, walk::walk as walk_blocking},
    model::{Class, Key},
};
use std::{
    os::unix::fs::{PermissionsExt, symlink},
    sync::Arc,
};

fn tree(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for file in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        std::fs::write(path, file).expect("write");
    }
    dir
}

#[tokio::test]
async fn each_scope_gives_its_entries() {
    let temp = tree(&["a/b/c", "a/b-x", "a/d", "a.y", "e"]);
    std::fs::create_dir(temp.path().join("empty")).expect("mkdir");
    let dir = directory(temp.path());
    let everything = ["a.y present 3", "a/b-x present 5", "a/b/c present 5", "a/d present 3", "e present 1"];
    assert_eq!(walk(&dir, Scope::everything()).await, everything);
    assert_eq!(walk(&dir, Scope::Tree(p("a"))).await, everything[1..4]);
    assert_eq!(walk(&dir, Scope::Tree(p("a/b"))).await, everything[2..3]);
    assert_eq!(walk(&dir, Scope::Tree(p("a/d"))).await, everything[3..4], "a file is itself");
    assert_eq!(walk(&dir, Scope::File(p("a/d"))).await, everything[3..4]);
    assert_eq!(walk(&dir, Scope::File(p("a"))).await, [""; 0]);
    for gone in ["none", "none/x", "e/x", "empty"] {
        assert_eq!(walk(&dir, Scope::Tree(p(gone))).await, [""; 0], "{gone}");
    }
    let children = ["a/b-x present 5", "a/b/ absent of \"a\" true", "a/d present 3"];
    assert_eq!(walk(&dir, Scope::Children(p("a"))).await, children);
    let top = ["a.y present 3", "a/ absent of \"\" true", "e present 1", "empty/ absent of \"\" true"];
    assert_eq!(walk(&dir, Scope::Children(RelPath::root())).await, top);
}

#[tokio::test]
async fn what_is_pruned_is_left_out_and_not_entered() {
    let temp = tree(&["a/x.tmp", "a/x", "cache/deep/y", "cache-y"]);
    let dir = directory(temp.path());
    let prune = Prune::new(|path, is_dir| {
        assert!(!path.starts_with(b"cache/deep"), "not entered: {}", path.escape_ascii());
        path.ends_with(b".tmp") || (is_dir && path == b"cache")
    });
    let found = try_walk(&dir, Scope::everything(), prune.clone()).await.expect("a walk");
    assert_eq!(shown(found), ["a/x present 3", "cache-y present 7"]);
    for scope in [Scope::Tree(p("cache")), Scope::Tree(p("cache/deep")), Scope::Tree(p("a/x.tmp"))] {
        assert_eq!(try_walk(&dir, scope, prune.clone()).await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn c13_c29_links_and_special_files_are_told_but_never_followed() {
    let temp = tree(&["d/f"]);
    let at = |path: &str| temp.path().join(path);
    symlink("/etc", at("out")).expect("link");
    symlink("..", at("d/loop")).expect("link");
    symlink("nowhere", at("dangling")).expect("link");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), fifo, 0o600.into(), 0).expect("mkfifo");
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("socket");
    std::fs::File::create(at("sparse")).expect("create").set_len(1 << 40).expect("1 TiB");
    let dir = directory(temp.path());
    let want = [
        "d/f present 3",
        "d/loop link",
        "dangling link",
        "fifo special",
        "out link",
        "socket special",
        "sparse present 1099511627776",
    ];
    let mut found = walk(&dir, Scope::everything()).await;
    found.rotate_left(1);
    found.sort();
    assert_eq!(found, want);
    assert_eq!(walk(&dir, Scope::Tree(p("out"))).await, ["out link"]);
    assert_eq!(walk(&dir, Scope::Tree(p("out/passwd"))).await, ["out/passwd link", "out/passwd/ link"]);
    assert_eq!(walk(&dir, Scope::Children(p("out/x"))).await, ["out/x/ link"]);
    let kinds = Kinds { nodes: true, ..Kinds::default() };
    let with_nodes = Directory::new(temp.path(), kinds).expect("a directory");
    let found = walk(&with_nodes, Scope::everything()).await;
    let of = |end: &str| found.iter().filter(|line| line.ends_with(end)).cloned().collect::<Vec<_>>();
    assert_eq!(
        (of("present 0"), of("special")),
        (vec!["fifo present 0".into()], vec!["socket special".to_owned()])
    );
}

#[test]
fn c06_an_unreadable_directory_is_unknown_and_the_rest_goes_on() {
    let temp = tree(&["a/f", "b/locked/f", "b/z", "c/f"]);
    let locked = temp.path().join("b/locked");
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).expect("chmod");
    without_privilege(|| {
        let root = Root::new(temp.path()).open().expect("root");
        let walk = |scope: Scope| {
            let mut found = Vec::new();
            let done = walk_blocking(&root, &scope, &keep_all(), Path::new(""), &mut |batch| {
                found.extend(batch);
                true
            });
            done.expect("a walk");
            shown(found)
        };
        let want = ["a/f present 3", "b/locked/ unknown", "b/z present 3", "c/f present 3"];
        assert_eq!(walk(Scope::everything()), want);
        assert_eq!(walk(Scope::Tree(p("b/locked"))), ["b/locked/ unknown"]);
        let below = ["b/locked/f unknown", "b/locked/f/ unknown"];
        assert_eq!(walk(Scope::Tree(p("b/locked/f"))), below);
        let looked = crate::local::look::look(&root, &[k("b/locked/f"), k("b/locked/none"), k("b/none")]);
        assert!(matches!(&looked[..], [Local::Unknown, Local::Unknown, Local::Absent(_)]), "{looked:?}");
        let opened = crate::local::read::open(&root, &mut None, &k("b/locked/f")).expect_err("no right");
        assert_eq!((opened.class, opened.remedy.is_some()), (Class::Permanent, true));
        std::fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o000)).expect("chmod");
        let fault = Root::new(temp.path()).open().err().expect("unreadable");
        assert_eq!((fault.class, fault.remedy.is_some()), (Class::Fatal, true));
        std::fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o700)).expect("chmod");
    });
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o700)).expect("chmod");
}

#[tokio::test]
async fn c30_a_path_deeper_than_the_kernel_takes_in_one_piece() {
    use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
    const DEPTH: usize = 150;
    let temp = tree(&["last"]);
    let name = "n".repeat(100);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut chain = vec![rustix::fs::open(temp.path(), flags, Mode::empty()).expect("open")];
    for depth in 0..DEPTH {
        let at = chain.last().expect("one");
        // A file on either side of the way down: the way back up is tried at each depth.
        for file in ["a", "z"] {
            openat(at, file, OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).expect("create");
        }
        mkdirat(at, &*name, Mode::RWXU).expect("mkdir");
        let below = openat(at, &*name, flags, Mode::empty()).expect("open");
        assert!(depth < DEPTH);
        chain.push(below);
    }
    let bottom = chain.last().expect("one");
    openat(bottom, "deep", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).expect("create");
    let deep = p(&format!("{}deep", format!("{name}/").repeat(DEPTH)));
    assert!(deep.as_bytes().len() > 3 * 4096);
    let dir = directory(temp.path());
    let found = try_walk(&dir, Scope::everything(), keep_all()).await.expect("a walk");
    assert_eq!(found.len(), 2 * DEPTH + 2);
    assert!(found.iter().all(|(_, local)| matches!(local, Local::Present(_))), "none unknown");
    assert!(found.is_sorted_by(|a, b| a.0 < b.0));
    assert!(found.iter().any(|(key, _)| *key == Key::of(&deep)));
    let parent = deep.parent().expect("a parent");
    assert_eq!(try_walk(&dir, Scope::Tree(parent.clone()), keep_all()).await.expect("a walk").len(), 1);
    let gone = parent.join(b"gone").expect("a name");
    let looked = dir.look(vec![Key::of(&deep), Key::of(&gone)]).await.expect("a look");
    assert!(matches!(&looked[..], [Local::Present(_), Local::Absent(_)]), "{looked:?}");
    dir.open(&Key::of(&deep)).await.expect("it opens");
    unlinkat(bottom, "deep", AtFlags::empty()).expect("unlink");
    chain.pop();
    while let Some(at) = chain.pop() {
        unlinkat(&at, &*name, AtFlags::REMOVEDIR).expect("rmdir");
        for file in ["a", "z"] {
            unlinkat(&at, file, AtFlags::empty()).expect("unlink");
        }
    }
}

#[tokio::test]
async fn c07_a_walk_of_another_root_is_an_error_and_not_empty() {
    let temp = tree(&["root/f"]);
    let dir = directory(&temp.path().join("root"));
    let (id, step) = dir.root().await.expect("root");
    assert!(!step.is_zero());
    dir.bind(&id);
    assert_eq!(walk(&dir, Scope::everything()).await, ["f present 6"]);
    std::fs::rename(temp.path().join("root"), temp.path().join("away")).expect("rename");
    for replaced in [false, true] {
        if replaced {
            std::fs::create_dir(temp.path().join("root")).expect("mkdir");
        }
        let fatal = Some(Class::Fatal);
        let walked = try_walk(&dir, Scope::everything(), keep_all()).await;
        assert_eq!(walked.err().map(|f| f.class), fatal);
        assert_eq!(dir.look(vec![k("f")]).await.err().map(|f| f.class), fatal);
        assert_eq!(dir.open(&k("f")).await.err().map(|f| f.class), fatal);
    }
    let (other, _) = dir.root().await.expect("its identity can be shown");
    dir.bind(&other);
    assert_eq!(walk(&dir, Scope::everything()).await, [""; 0], "accepted");
}

#[tokio::test]
async fn a_walk_that_panics_ends_in_an_error() {
    let temp = tree(&["a", "b"]);
    let dir = directory(temp.path());
    let prune = Prune::new(|path, _| {
        assert!(path != b"b", "a filter that panics");
        false
    });
    let walked = try_walk(&dir, Scope::everything(), prune).await;
    assert_eq!(walked.err().map(|f| f.class), Some(Class::Transient), "else `b` would seem absent");
}

#[tokio::test]
async fn a_walk_stops_when_nobody_listens() {
    let temp = tempfile::tempdir().expect("a directory");
    for n in 0..6_000 {
        std::fs::write(temp.path().join(n.to_string()), "").expect("write");
    }
    let (dir, seen) = (directory(temp.path()), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let count = Arc::clone(&seen);
    let prune = Prune::new(move |_, _| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        false
    });
    let mut walk = Box::pin(dir.walk(&Scope::everything(), prune));
    let first = walk.next().await.expect("a batch").expect("no fault");
    assert_eq!(first.len(), 512);
    drop(walk);
    while Arc::strong_count(&seen) > 1 {
        tokio::task::yield_now().await;
    }
    assert!(seen.load(std::sync::atomic::Ordering::Relaxed) < 6_000);
}

#[test]
fn c12_a_directory_moved_away_in_mid_walk_leaves_the_rest_above_it_unknown() {
    let temp = tempfile::tempdir().expect("a directory");
    let deep = "d/".repeat(70);
    std::fs::create_dir_all(temp.path().join(&deep)).expect("mkdir");
    for file in ["z", "d/z", "d/d/z"] {
        std::fs::write(temp.path().join(file), "").expect("write");
    }
    std::fs::write(temp.path().join(&deep).join("bottom"), "").expect("write");
    let root = Root::new(temp.path()).open().expect("root");
    let (away, from) = (temp.path().join("away"), temp.path().join("d/d/d"));
    // Asked at the bottom, when the upper directories have been closed.
    let keep = Prune::new(move |path, _| {
        if path.ends_with(b"bottom") {
            std::fs::rename(&from, &away).expect("rename");
        }
        false
    });
    let mut found = Vec::new();
    let mut give = |batch: Vec<Entry>| {
        found.extend(batch.into_iter().map(|(key, local)| (key.to_string(), local == Local::Unknown)));
        true
    };
    walk_blocking(&root, &Scope::everything(), &keep, temp.path(), &mut give).expect("a walk");
    let want = [
        (format!("{deep}bottom"), false),
        ("d/d/z".to_owned(), true),
        ("d/z".to_owned(), true),
        ("z".to_owned(), true),
    ];
    assert_eq!(found, want, "never absent");
}

#[test]
fn c06_each_place_that_is_left_out_is_warned_of_once_with_its_cause() {
    let temp = tree(&["locked/f", "open/f", "m/f"]);
    let locked = temp.path().join("locked");
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).expect("chmod");
    let mounted = Mounted::tmpfs(&temp.path().join("m"));
    without_privilege(|| {
        let root = Root::new(temp.path());
        let pass = || {
            let opened = root.open().expect("root");
            let mut give = |_| true;
            walk_blocking(&opened, &Scope::everything(), &keep_all(), temp.path(), &mut give)
                .expect("a walk");
            crate::local::look::look(&opened, &[k("locked/f"), k("m/f")]);
        };
        let told = told(tracing::Level::WARN, || {
            pass();
            pass();
        });
        let line = |place: &str, says: &str| {
            let place = temp.path().join(place).display().to_string();
            told.lines().filter(|line| line.contains(&place) && line.contains(says)).count()
        };
        assert_eq!(line("locked", "Permission denied"), 1, "{told}");
        assert_eq!(line("m", "mount point"), usize::from(mounted.is_some()), "{told}");
        assert_eq!(told.lines().count(), 1 + usize::from(mounted.is_some()), "{told}");
    });
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o700)).expect("chmod");
}

#[test]
fn an_excluded_directory_is_not_even_opened() {
    let temp = tree(&["locked/f", "open/f"]);
    let locked = temp.path().join("locked");
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).expect("chmod");
    without_privilege(|| {
        let root = Root::new(temp.path()).open().expect("root");
        let prune = Prune::new(|path, is_dir| is_dir && path == b"locked");
        let mut found = Vec::new();
        let mut give = |batch| {
            found.extend(batch);
            true
        };
        walk_blocking(&root, &Scope::everything(), &prune, temp.path(), &mut give).expect("a walk");
        assert_eq!(shown(found), ["open/f present 6"], "nothing unknown");
    });
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o700)).expect("chmod");
}
