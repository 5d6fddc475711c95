//! What a directory holds beside plain files, on its way up and back: links, directories, modes, owners, times.

use crate::support::{
    bench::{Bench, PATIENCE, Ran},
    scene::Scene,
    skip,
};
use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use s3mirrord::embedded::{Kind as Fault, Rule};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt, chown, lchown, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

/// All that is to come back of one entry.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    /// Of a file its bytes, of a link what it leads to.
    content: Vec<u8>,
}

/// Every entry below, with its names as they are.
fn everything(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let (mut all, mut dirs) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let content = match meta.file_type() {
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
                kind if kind.is_file() => fs::read(&path).unwrap(),
                _ => vec![],
            };
            let owner = (meta.uid(), meta.gid());
            let told = Entry { mode: meta.mode(), owner, mtime: (meta.mtime(), meta.mtime_nsec()), content };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), told);
            if meta.is_dir() {
                dirs.push(path);
            }
        }
    }
    all
}

fn at(seconds: i64, nanos: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
    time + Duration::from_nanos(nanos.into())
}

/// Gives what lies there this time, a link itself.
fn touch(path: &Path, time: SystemTime) {
    let (sec, nsec) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (since.as_secs() as i64, since.subsec_nanos()),
        Err(before) => {
            let before = before.duration().as_nanos() as i128;
            ((-before).div_euclid(1_000_000_000) as i64, (-before).rem_euclid(1_000_000_000) as u32)
        }
    };
    let spec = rustix::fs::Timespec { tv_sec: sec, tv_nsec: nsec.into() };
    let times = rustix::fs::Timestamps { last_access: spec, last_modification: spec };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
}

/// A tree of every kind that is stored, with names of every sort.
fn plant(root: &Path) {
    let mut random = fastrand::Rng::with_seed(7);
    let path = |name: &[u8]| root.join(OsStr::from_bytes(name));
    for dir in ["empty", "deep/er/est", "closed", "sticky", "d.rclonelink", "．", "n\u{e9}\n"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    for name in [
        &b"a"[..],
        b"deep/er/f",
        b"closed/f",
        b"caf\xe9",
        b"deep/a b+%#?&'\"",
        b"\x01\x1b[2J",
        b"d-x",
        b"\xe2\x80\x9b41",
    ] {
        fs::write(path(name), name.repeat(7)).unwrap();
    }
    for (name, to) in [
        (&b"link"[..], &b"a"[..]),
        (b"absolute", b"/etc/passwd"),
        (b"dangling", b"no/such/thing"),
        (b"to a directory", b"deep"),
        (b"up", b"../../.."),
        (b"deep/odd \xff", b"caf\xe9\n\xff"),
        (b"\xef\xbc\x8e\xef\xbc\x8e", b"."),
        (b"itself", b"itself"),
        (b"deep/er/x.rclonelink", b"a link of a name like that"),
    ] {
        symlink(OsStr::from_bytes(to), path(name)).unwrap();
    }
    // names from a fuzzer
    for n in 0..200 {
        let name: Vec<u8> = (0..random.usize(1..40)).map(|_| random.u8(1..)).filter(|b| *b != b'/').collect();
        let target = path(&[b"fuzz-", &name[..]].concat());
        if target.symlink_metadata().is_ok() {
            continue;
        }
        match n % 4 {
            0 => fs::create_dir(&target).unwrap(),
            1 => symlink(OsStr::from_bytes(&name), &target)
                .unwrap_or_else(|_| fs::write(&target, "x").unwrap()),
            _ => fs::write(&target, &name).unwrap(),
        }
    }
    for (name, mode) in [
        ("a", 0o4755),
        ("closed/f", 0o400),
        ("d-x", 0o000),
        ("sticky", 0o1777),
        ("deep/er", 0o2750),
        ("closed", 0o555),
    ] {
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    if rustix::process::geteuid().is_root() {
        chown(root.join("deep"), Some(1234), Some(77)).unwrap();
        chown(root.join("d-x"), Some(65534), Some(65534)).unwrap();
        lchown(root.join("link"), Some(4321), Some(7)).unwrap();
    }
    let mut paths: Vec<_> = everything(root).into_keys().collect();
    // the deepest first: times of directories last
    paths.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    for path in paths {
        let time = at(random.i64(-100_000_000..2_000_000_000), random.u32(0..1_000_000_000));
        touch(&root.join(path), time);
    }
}

async fn restore(bench: &Bench, to: &Path, words: &[&str]) -> Ran {
    let words =
        [&["restore", "--json", "--owner", "--special", "--to", to.to_str().unwrap()], words].concat();
    bench.run(&words).await
}

fn requests(ran: &Ran, operation: &str) -> u64 {
    ran.summary()["requests"][operation].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c29_c30_c31_a_tree_of_every_kind_comes_back_as_it_was() {
    let bench = Bench::new().await;
    plant(&bench.root);
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!(
        (ran.code, &ran.summary()["skipped"], &ran.summary()["failed"]),
        (0, &0.into(), &0.into()),
        "{ran:?}"
    );
    // I6: nothing is left to be done
    let again = bench.run(&["once", "--json"]).await;
    let wrote = ["PutObject", "CopyObject", "DeleteObjects", "HeadObject"].map(|what| requests(&again, what));
    assert_eq!((again.code, wrote, &again.summary()["bytes_read"]), (0, [0; 4], &0.into()), "{again:?}");

    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let (have, want) = (everything(&out), everything(&bench.root));
    for (name, entry) in &want {
        assert_eq!(have.get(name), Some(entry), "{name:?}");
    }
    assert_eq!(have.len(), want.len(), "{have:?}");
    // and again over it
    let ran = restore(&bench, &out, &["--overwrite", "always"]).await;
    assert_eq!((ran.code, &ran.summary()["restored"]), (0, &0.into()), "{ran:?}");
    assert_eq!(everything(&out), want);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_of_links_and_directories_is_seen_and_converges_without_being_sent_again() {
    let bench = Bench::new().await;
    plant(&bench.root);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let root = &bench.root;
    fs::remove_file(root.join("link")).unwrap();
    symlink("elsewhere", root.join("link")).unwrap();
    fs::remove_file(root.join("dangling")).unwrap();
    fs::write(root.join("dangling"), "a file now").unwrap();
    fs::remove_file(root.join("d-x")).unwrap();
    symlink("a", root.join("d-x")).unwrap();
    fs::remove_dir(root.join("empty")).unwrap();
    fs::set_permissions(root.join("sticky"), Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(root.join("new")).unwrap();
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let out = bench.dir.path().join("out");
    assert_eq!(restore(&bench, &out, &[]).await.code, 0);
    assert_eq!(everything(&out), everything(root));
    // links as they are left out again: their objects stay, and are taken up again without being sent
    let set = |lines: &str| {
        bench.configure(&bench.mirror(
            "www",
            root,
            "www/",
            &format!("{}{lines}", crate::support::bench::QUICK),
        ));
    };
    set("links = false\ndirectories = false\n");
    let without = bench.run(&["once", "--json"]).await;
    assert_eq!((without.code, &without.summary()["deleted"]), (0, &0.into()), "{without:?}");
    assert!(without.summary()["skipped"].as_u64().unwrap() > 8, "{without:?}");
    set("");
    let with = bench.run(&["once", "--json"]).await;
    let wrote = ["PutObject", "CopyObject", "DeleteObjects"].map(|what| requests(&with, what));
    assert_eq!((with.code, wrote), (0, [0; 3]), "{with:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_links_and_directories_that_are_mirrored_no_longer_stay_when_these_are_gone() {
    let bench = Bench::new().await;
    fs::create_dir(bench.root.join("d")).unwrap();
    symlink("d", bench.root.join("l")).unwrap();
    bench.write("f", "1");
    bench.write("stays", "2");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let set = |lines: &str| {
        let lines = format!("{}{lines}", crate::support::bench::QUICK);
        bench.configure(&bench.mirror("www", &bench.root, "www/", &lines));
    };
    set("links = false\ndirectories = false\n");
    fs::remove_dir(bench.root.join("d")).unwrap();
    bench.remove("l");
    bench.remove("f");
    // named by an event or found by a comparison
    for _ in 0..2 {
        let ran = bench.run(&["once", "--json"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.actions().iter().all(|(op, path, _)| (&**op, &**path) == ("delete", "f")), "{ran:?}");
    }
    let keys = async || {
        let all = bench.client().list_objects_v2().bucket("backups").prefix("www/").send().await.unwrap();
        all.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect::<Vec<_>>()
    };
    let ours = "www/.s3mirrord/owner.json";
    assert_eq!(keys().await, [ours, "www/d/", "www/l.rclonelink", "www/stays"]);
    set("");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(keys().await, [ours, "www/stays"], "they are mirrored again, and gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_sees_links_and_directories_come_change_and_go() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("stays/f", "a root that is emptied is held");
    scene.start();
    scene.in_sync().await;
    symlink("stays/f", scene.at("link")).unwrap();
    fs::create_dir_all(scene.at("a/b/c")).unwrap();
    scene.in_sync().await;
    // another target, under the same name
    fs::remove_file(scene.at("link")).unwrap();
    symlink("stays", scene.at("link")).unwrap();
    symlink("x", scene.at("a/b/l")).unwrap();
    scene.in_sync().await;
    scene.rename("link", "a/moved");
    scene.rename("a/b", "b");
    scene.in_sync().await;
    fs::remove_file(scene.at("a/moved")).unwrap();
    scene.write("a/moved", "a file in the place of a link");
    fs::remove_dir_all(scene.at("b")).unwrap();
    symlink("a link in the place of a directory", scene.at("b")).unwrap();
    scene.in_sync().await;
    // of a directory mode and owner are seen as they change, and nothing else of it
    let copies = scene.requests("CopyObject");
    fs::set_permissions(scene.at("stays"), Permissions::from_mode(0o710)).unwrap();
    scene.until("the mode", || scene.requests("CopyObject") > copies).await;
    assert_eq!(scene.outsider.metadata("www/stays/").await["mode"], "040710");
    scene.write("stays/g", "its time changed, which waits for the next scan");
    scene.in_sync().await;
    scene.stop().await;
}

/// Bytes that it takes on the disk.
fn taken(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_come_back_as_holes() {
    let bench = Bench::new().await;
    let (mib, mut random) = (1_u64 << 20, fastrand::Rng::with_seed(3));
    // the one in pieces, the other at once; a hole at the end of each, and in between what is not worth one
    for (name, size, islands) in [("large", 256 * mib + 7, 40), ("small", 3 * mib + 1, 3)] {
        let file = File::create(bench.root.join(name)).unwrap();
        for _ in 0..islands {
            let bytes = vec![random.u8(1..); random.usize(1..3000)];
            file.write_all_at(&bytes, random.u64(..size - 100_000)).unwrap();
        }
        file.write_all_at(&[[1; 64], [0; 64], [1; 64]].concat(), 0).unwrap();
        file.set_len(size).unwrap();
    }
    fs::write(bench.root.join("zeros"), [0; 5000]).unwrap();
    if taken(&bench.root.join("large")) > 64 * mib {
        return skip("it takes a file system that has holes");
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for (name, most) in [("large", 8 * mib), ("small", mib), ("zeros", mib)] {
        assert!(fs::read(out.join(name)).unwrap() == fs::read(bench.root.join(name)).unwrap(), "{name}");
        assert!(taken(&out.join(name)) <= most, "{name} takes {}", taken(&out.join(name)));
    }
}

/// Extended attributes of what lies there that are to come back.
fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let len = listxattr(path, &mut names[..]).unwrap();
    let names = names[..len].split(|byte| *byte == 0).map(|name| String::from_utf8_lossy(name).into_owned());
    let wanted = names.filter(|name| name.starts_with("user.") || name.starts_with("system.posix_acl"));
    wanted
        .map(|name| {
            let mut value = vec![0; 65_536];
            let len = getxattr(path, &*name, &mut value[..]).unwrap();
            (name, value[..len].to_vec())
        })
        .collect()
}

fn set(path: &Path, name: &str, value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// An ACL that lets user 1234 read, and its group of `mode` what the mask says (acl(5), linux/posix_acl_xattr.h).
fn acl(mask: u16) -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, !0), (2, 4, 1234), (4, 4, !0), (0x10, mask, !0), (0x20, 0, !0)];
    let of = |(tag, rights, id): &(u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [2_u32.to_le_bytes().to_vec(), entries.iter().flat_map(of).collect()].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extended_attributes_and_acls_come_back_and_converge_without_being_sent_again() {
    let bench = Bench::new().await;
    let root = &bench.root;
    fs::create_dir(root.join("dir")).unwrap();
    bench.write("file", "with attributes");
    bench.write("plain", "without");
    bench.write("dir/large", &"large".repeat(2_000_000));
    let (file, dir) = (root.join("file"), root.join("dir"));
    if setxattr(&file, "user.a", b"1", XattrFlags::empty()).is_err() {
        return skip("it takes a file system that has extended attributes");
    }
    let with = format!("{}xattrs = true\n", crate::support::bench::QUICK);
    let configure = |lines: &str| bench.configure(&bench.mirror("www", root, "www/", lines));
    let has_acls = setxattr(&file, "system.posix_acl_access", &acl(4), XattrFlags::empty()).is_ok();
    if has_acls {
        set(&dir, "system.posix_acl_default", &acl(6));
    } else {
        skip("it takes a file system that has ACLs");
    }
    set(&root.join("dir/large"), "user.\u{e9}", &[0, 255, b'\n']);
    set(&dir, "user.of a directory", b"");
    let sent = |ran: &Ran| ["uploaded", "bytes"].map(|what| ran.summary()[what].as_u64().unwrap());
    let metadata = async |key: &str| {
        let head = bench.client().head_object().bucket("backups").key(key).send().await.unwrap();
        head.metadata.unwrap_or_default()
    };

    // before they are kept; then each file is looked at, none is read or sent, and only what has some is written
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert!(!metadata("www/file").await.contains_key("s3mirrord-xattrs"));
    configure(&with);
    let ran = bench.run(&["once", "--json"]).await;
    let told = (ran.code, sent(&ran), requests(&ran, "CopyObject"), &ran.summary()["bytes_read"]);
    assert_eq!(told, (0, [0; 2], 3, &0.into()), "{ran:?}");
    let again = bench.run(&["once", "--json"]).await;
    let wrote = ["PutObject", "CopyObject", "HeadObject"].map(|what| requests(&again, what));
    assert_eq!((again.code, wrote, &again.summary()["bytes_read"]), (0, [0; 3], &0.into()), "{again:?}");

    // what changes is seen by its time of change alone
    set(&file, "user.b", b"two");
    set(&root.join("plain"), "user.large", &[7; 2000]);
    set(&root.join("plain"), "user.small", b"fits");
    removexattr(root.join("dir/large"), "user.\u{e9}").unwrap();
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, sent(&ran), requests(&ran, "CopyObject")), (0, [0; 2], 3), "{ran:?}");
    assert!(ran.stderr.contains("user.large") && ran.stderr.contains("too large"), "{ran:?}");
    assert!(!metadata("www/dir/large").await.contains_key("s3mirrord-xattrs"));
    bench.write("new", "sent with them");
    set(&root.join("new"), "user.new", b"3");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(metadata("www/new").await["s3mirrord-xattrs"], "AQAIdXNlci5uZXcAATM=");

    set(&file, "user.c", b"not mirrored yet");
    let ran = bench.run(&["verify"]).await;
    assert!(ran.code == 1 && ran.stdout.contains("other extended attributes"), "{ran:?}");
    removexattr(&file, "user.c").unwrap();
    let ran = bench.run(&["verify"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for name in ["file", "dir", "dir/large", "new"] {
        assert_eq!(xattrs(&out.join(name)), xattrs(&root.join(name)), "{name}");
        let mode = |path: PathBuf| fs::metadata(path).unwrap().mode();
        assert_eq!(mode(out.join(name)), mode(root.join(name)), "{name}");
    }
    assert_eq!(xattrs(&out.join("plain")), BTreeMap::from([("user.small".to_owned(), b"fits".to_vec())]));

    // no longer kept: what is there stays, until it is written anew
    configure(crate::support::bench::QUICK);
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, sent(&ran), requests(&ran, "CopyObject")), (0, [0; 2], 0), "{ran:?}");
    fs::set_permissions(root.join("new"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert!(!metadata("www/new").await.contains_key("s3mirrord-xattrs"));
    assert!(metadata("www/file").await.contains_key("s3mirrord-xattrs"));
    configure(&with);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(metadata("www/new").await["s3mirrord-xattrs"], "AQAIdXNlci5uZXcAATM=");
}

/// Names of the same file, apart from each other.
fn same_files(root: &Path) -> Vec<Vec<PathBuf>> {
    let mut all: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    for name in everything(root).into_keys() {
        let meta = root.join(&name).symlink_metadata().unwrap();
        if meta.is_file() {
            all.entry(meta.ino()).or_default().push(name);
        }
    }
    let mut all: Vec<_> = all.into_values().filter(|names| names.len() > 1).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hard_links_come_back_as_one_file_and_only_where_they_are_alike() {
    let bench = Bench::with(&format!("{}hard_links = true\n", crate::support::bench::QUICK)).await;
    let root = &bench.root;
    let join = |from: &str, to: &str| fs::hard_link(root.join(from), root.join(to)).unwrap();
    fs::create_dir(root.join("dir")).unwrap();
    bench.write("small", "one file");
    bench.write("large", &"one large file".repeat(500_000));
    bench.write("alone", "one name");
    for (from, to) in [("small", "a name"), ("small", "dir/another"), ("large", "dir/large")] {
        join(from, to);
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let group = async |key: &str| {
        let head = bench.client().head_object().bucket("backups").key(key).send().await.unwrap();
        head.metadata.unwrap_or_default().remove("s3mirrord-links")
    };
    assert_eq!(group("www/alone").await, None);
    assert!(group("www/small").await.is_some_and(|group| group.len() == 16));
    // one that gets a second name, and one that loses it, are not sent again
    join("alone", "not alone");
    fs::remove_file(root.join("dir/large")).unwrap();
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, requests(&ran, "CopyObject")), (0, 3), "{ran:?}");
    assert_eq!(ran.summary()["uploaded"], 1, "the new name alone: {ran:?}");
    assert_eq!(group("www/alone").await, group("www/not alone").await);
    assert_eq!(group("www/large").await, None);
    join("large", "dir/large");
    assert_eq!(bench.run(&["once"]).await.code, 0);

    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let names = [&["a name", "dir/another", "small"][..], &["alone", "not alone"], &["dir/large", "large"]];
    let want: Vec<Vec<PathBuf>> =
        names.iter().map(|names| names.iter().map(PathBuf::from).collect()).collect();
    assert_eq!(same_files(&out), want);
    assert_eq!(everything(&out), everything(root));
    // by itself each is a file, and what stands in the way of a link gives way as to any file
    let some = bench.dir.path().join("some");
    fs::create_dir_all(some.join("dir")).unwrap();
    fs::write(some.join("dir/another"), "in the way").unwrap();
    let ran = restore(&bench, &some, &["--overwrite", "always", "a name", "dir/another"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(same_files(&some), [["a name", "dir/another"].map(PathBuf::from)]);
    assert_eq!(fs::read_dir(some.join("dir")).unwrap().count(), 1, "nothing is left");

    // what says that it is one with another and is not
    let lies = bench.client().put_object().bucket("backups").key("www/dir/another");
    let lies =
        lies.body(b"another!".to_vec().into()).metadata("s3mirrord-links", group("www/small").await.unwrap());
    lies.send().await.unwrap();
    let apart = bench.dir.path().join("apart");
    let ran = restore(&bench, &apart, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fs::read(apart.join("dir/another")).unwrap(), b"another!");
    assert_eq!(fs::read(apart.join("small")).unwrap(), b"one file");
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// That of a directory which is made like any other, by a process like this one.
fn usual(bench: &Bench) -> u32 {
    let any = bench.dir.path().join("any");
    fs::create_dir_all(&any).unwrap();
    mode(&any)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_are_their_owners_alone_until_all_is_there_also_after_a_kill() {
    let bench = Bench::new().await;
    for name in ["dir/fast", "dir/slow", "dir/sub/file"] {
        bench.write(name, name);
    }
    for (name, mode) in [("dir/sub", 0o711), ("dir", 0o750)] {
        fs::set_permissions(bench.root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    for name in ["plain/deep/fast", "plain/deep/slow"] {
        bench.put(&format!("www/{name}"), name).await;
    }
    let out = bench.dir.path().join("out");
    let faults = bench.server.faults();
    let slow =
        |key: &str| Rule::new(Fault::Latency(Duration::from_secs(600))).operation("GetObject").exact_key(key);
    let slow = ["www/dir/slow", "www/plain/deep/slow"].map(|key| faults.add(slow(key)));
    let mut child = bench.start(&["restore", "--to", out.to_str().unwrap()]);
    let begun = Instant::now();
    while !["dir/fast", "dir/sub/file", "plain/deep/fast"].iter().all(|name| out.join(name).exists()) {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let names = ["dir", "plain", "plain/deep"];
    let modes = |out: &Path| names.map(|name| mode(&out.join(name)));
    assert_eq!(modes(&out).map(|mode| mode & 0o777), [0o700; 3]);
    child.kill().await.unwrap();
    slow.into_iter().for_each(|rule| assert!(faults.remove(rule)));
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let usual = usual(&bench);
    assert_eq!((modes(&out), mode(&out.join("dir/sub"))), ([0o750, usual, usual], 0o711));
    // those above what is named have markers, too
    let some = bench.dir.path().join("some");
    let ran = restore(&bench, &some, &["dir/sub/file", "plain/deep/fast"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((modes(&some), mode(&some.join("dir/sub"))), ([0o750, usual, usual], 0o711));
    // one that was there, and has no marker, is left as it is
    fs::set_permissions(some.join("plain"), Permissions::from_mode(0o705)).unwrap();
    fs::remove_file(some.join("plain/deep/fast")).unwrap();
    assert_eq!(restore(&bench, &some, &["plain/deep/fast"]).await.code, 0);
    assert_eq!(modes(&some), [0o750, 0o705, usual]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_may_not_be_written_to_is_restored_to_again() {
    let bench = Bench::new().await;
    bench.write("closed/file", "a file");
    bench.write("closed/sub/file", "another");
    fs::set_permissions(bench.root.join("closed"), Permissions::from_mode(0o555)).unwrap();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let out = bench.dir.path().join("out");
    let words = ["restore", "--to", out.to_str().unwrap()];
    for name in ["", "closed/file", "closed/sub"] {
        match name {
            "" => {}
            "closed/sub" => fs::remove_dir_all(out.join(name)).unwrap(),
            file => fs::remove_file(out.join(file)).unwrap(),
        }
        let Some(command) = bench.restrained(&words).await else {
            return skip("setpriv cannot take away root's right to write everywhere");
        };
        let ran = Ran::of(command).await;
        assert_eq!((ran.code, mode(&out.join("closed"))), (0, 0o555), "{name} {ran:?}");
        assert_eq!(fs::read_to_string(out.join("closed/file")).unwrap(), "a file");
        assert_eq!(fs::read_to_string(out.join("closed/sub/file")).unwrap(), "another");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restored_has_no_acl_of_the_directory_that_it_comes_to() {
    let bench = Bench::new().await;
    bench.write("dir/file", "for its owner and group");
    for (name, mode) in [("dir/file", 0o640), ("dir", 0o750)] {
        fs::set_permissions(bench.root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.put("www/foreign", "by another tool").await;
    let out = bench.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    if setxattr(&out, "system.posix_acl_default", &acl(6), XattrFlags::empty()).is_err() {
        return skip("it takes a file system that has ACLs");
    }
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for name in ["dir", "dir/file"] {
        assert_eq!(xattrs(&out.join(name)), BTreeMap::new(), "{name}");
        assert_eq!(mode(&out.join(name)), mode(&bench.root.join(name)), "{name}");
    }
    // of this one nothing is known: it is a new file there
    assert!(xattrs(&out.join("foreign")).contains_key("system.posix_acl_access"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_directorys_marker_holds_is_told_to_be_lost() {
    let bench = Bench::new().await;
    bench.put("www/dir/", "content").await;
    bench.put("www/dir/file", "a file").await;
    let out = bench.dir.path().join("out");
    for words in [&["--dry-run"][..], &[]] {
        let ran = restore(&bench, &out, words).await;
        let told = (ran.code, &ran.summary()["failed"], &ran.summary()["restored"]);
        assert_eq!(told, (1, &1.into(), &1.into()), "{ran:?}");
        assert!(ran.stderr.contains("no file can have that name"), "{}", ran.stderr);
    }
    assert_eq!(fs::read_to_string(out.join("dir/file")).unwrap(), "a file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_the_first_was_not_proven_by_joins_no_file_to_it() {
    let bench = Bench::new().await;
    // of both objects the metadata tells the same digest, which is that of neither: what they are their tags tell
    for (key, body) in [("www/a", "one"), ("www/b", "two")] {
        let put =
            bench.client().put_object().bucket("backups").key(key).body(body.as_bytes().to_vec().into());
        let put =
            put.metadata("s3mirrord-links", "0123456789abcdef").metadata("s3mirrord-sha256", "7".repeat(64));
        put.send().await.unwrap();
    }
    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!((ran.code, &ran.summary()["unproven"]), (0, &0.into()), "{ran:?}");
    for (name, body) in [("a", "one"), ("b", "two")] {
        assert_eq!(fs::read_to_string(out.join(name)).unwrap(), body, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_kept_is_neither_written_nor_compared_and_each_setting_converges_without_data() {
    let bench = Bench::new().await;
    let root = &bench.root;
    let configure = |lines: &str| {
        bench.configure(&bench.mirror(
            "www",
            root,
            "www/",
            &format!("{}{lines}", crate::support::bench::QUICK),
        ));
    };
    let said = async |key: &str| {
        let head = bench.client().head_object().bucket("backups").key(key).send().await.unwrap();
        let all = head.metadata.unwrap_or_default();
        ["mtime", "mode", "uid", "gid"].map(|name| all.contains_key(name))
    };
    /// Files sent, copies and HEADs of a pass; nothing is read unless it changed.
    async fn pass(bench: &Bench, reads: bool) -> [u64; 3] {
        let ran = bench.run(&["once", "--json"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(reads || ran.summary()["bytes_read"] == 0, "{ran:?}");
        let sent = ran.summary()["uploaded"].as_u64().unwrap();
        [sent, requests(&ran, "CopyObject"), requests(&ran, "HeadObject")]
    }
    fs::create_dir(root.join("dir")).unwrap();
    bench.write("file", "a file");
    bench.write("dir/other", "another");
    bench.write("adopted", "by its tag");
    bench.put("www/adopted", "by its tag").await;
    symlink("file", root.join("link")).unwrap();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!((said("www/file").await, said("www/adopted").await), ([true; 4], [false; 4]));

    // nothing is to be done for what has it, nor for what gets another
    let none = "mtime = false\nmode = false\nowner = false\n";
    configure(none);
    assert_eq!(pass(&bench, false).await, [0; 3]);
    fs::set_permissions(root.join("file"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(root.join("dir"), Permissions::from_mode(0o700)).unwrap();
    touch(&root.join("file"), at(1_000_000_000, 5));
    if rustix::process::geteuid().is_root() {
        chown(root.join("file"), Some(1234), Some(1235)).unwrap();
    }
    assert_eq!(pass(&bench, true).await, [0; 3]);
    let ran = bench.run(&["verify"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    bench.write("new", "written without");
    symlink("new", root.join("new link")).unwrap();
    assert_eq!(pass(&bench, true).await[1], 0);
    assert_eq!(said("www/new").await, [false; 4]);
    assert_eq!(said("www/new link.rclonelink").await, [false, true, false, false], "it is a link");
    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &["new", "new link"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let (new, link) = (fs::read_to_string(out.join("new")).unwrap(), fs::read_link(out.join("new link")));
    assert_eq!((&*new, link.unwrap()), ("written without", PathBuf::from("new")));
    let ran = restore(&bench, &out, &["--overwrite", "older", "new", "new link"]).await;
    assert_eq!((ran.code, &ran.summary()["unchanged"]), (0, &2.into()), "it has the object's time: {ran:?}");

    // what lacks it gets it by a copy onto itself, and what is as it was stays; so does what others wrote
    configure("");
    assert_eq!(pass(&bench, false).await[..2], [0, 4], "file, directory, the new ones");
    assert_eq!((said("www/new").await, said("www/adopted").await), ([true; 4], [false; 4]));
    assert_eq!(pass(&bench, false).await, [0; 3]);
    let ran = bench.run(&["verify"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let whole = bench.dir.path().join("whole");
    assert_eq!(restore(&bench, &whole, &[]).await.code, 0);
    let but_adopted = |root: &Path| {
        let mut all = everything(root);
        all.remove(Path::new("adopted"));
        all
    };
    assert_eq!(but_adopted(&whole), but_adopted(root));

    // one by one; that something else is turned on meanwhile costs nothing
    for (at, (setting, want)) in [
        ("mtime", [false, true, true, true]),
        ("mode", [true, false, true, true]),
        ("owner", [true, true, false, false]),
    ]
    .into_iter()
    .enumerate()
    {
        configure(&format!("{setting} = false\n"));
        assert_eq!(pass(&bench, false).await, [0; 3], "{setting}");
        configure(&format!("{setting} = false\nhard_links = true\n"));
        assert_eq!(pass(&bench, false).await, [0; 3], "{setting}");
        let name = format!("of {setting}");
        bench.write(&name, &name);
        fs::set_permissions(root.join("file"), Permissions::from_mode(0o640 + at as u32)).unwrap();
        let wrote = pass(&bench, true).await;
        assert_eq!(wrote[..2], [1, u64::from(setting != "mode")], "{setting}");
        assert_eq!(said(&format!("www/{name}")).await, want, "{setting}");
        configure("");
        assert_eq!(pass(&bench, false).await[..2], [0, 2], "{setting}: what was written meanwhile");
        assert_eq!((said(&format!("www/{name}")).await, said("www/file").await), ([true; 4], [true; 4]));
        assert_eq!(pass(&bench, false).await, [0; 3], "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_go_by_name_where_it_is_asked_for_and_a_name_is_no_reason_to_write() {
    if !rustix::process::geteuid().is_root() {
        return skip("it takes root to give files to others");
    }
    let bench = Bench::new().await;
    let root = &bench.root;
    for (name, owner) in [("ours", 0), ("another's", 3), ("nobody's", 54321), ("lost", 54321)] {
        bench.write(name, name);
        chown(root.join(name), Some(owner), Some(owner)).unwrap();
    }
    let metadata = async |key: &str| {
        let head = bench.client().head_object().bucket("backups").key(format!("www/{key}")).send();
        head.await.unwrap().metadata.unwrap_or_default()
    };
    let names = async |key: &str| metadata(key).await.remove("s3mirrord-owner");
    let name = |kind: &str, id: u32| {
        let text = fs::read_to_string(format!("/etc/{kind}")).unwrap();
        let has = |line: &&str| line.split(':').nth(2) == Some(&id.to_string());
        text.lines().find(has).and_then(|line| line.split(':').next()).unwrap_or_default().to_owned()
    };
    let called = |id| format!("{}:{}", name("passwd", id), name("group", id));
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!((names("ours").await, names("nobody's").await), (Some(called(0)), None));
    assert_eq!(names("another's").await, Some(called(3)), "{:?}", metadata("another's").await);

    // another machine: there others have these numbers
    for (key, called) in
        [("another's", called(0)), ("nobody's", format!("no-such-user:{}", name("group", 3)))]
    {
        let mut all = metadata(key).await;
        all.insert("s3mirrord-owner".to_owned(), called);
        let source = format!("backups/www/{key}");
        let copy = bench.client().copy_object().bucket("backups").key(format!("www/{key}"));
        let copy = copy.copy_source(source).set_metadata(Some(all));
        copy.metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace).send().await.unwrap();
    }
    let configure = |lines: &str| {
        let lines = format!("{}{lines}", crate::support::bench::QUICK);
        bench.configure(&bench.mirror("www", root, "www/", &lines));
    };
    let owners = |out: &Path| {
        ["ours", "another's", "nobody's", "lost"].map(|name| {
            let meta = fs::metadata(out.join(name)).unwrap();
            (meta.uid(), meta.gid())
        })
    };
    let numbers = [(0, 0), (3, 3), (54321, 54321), (54321, 54321)];
    for (words, want) in
        [(&[][..], numbers), (&["--owner-names"], [(0, 0), (0, 0), (54321, 3), (54321, 54321)])]
    {
        let out = bench.dir.path().join(format!("out{}", words.len()));
        let ran = restore(&bench, &out, words).await;
        assert_eq!((ran.code, owners(&out)), (0, want), "{ran:?}");
        let told = ran.stderr.matches("1 names of owners are not known here (no-such-user)").count();
        assert_eq!(told, words.len(), "{ran:?}");
    }
    // what is called otherwise now is not written again, nor is it when names are no longer kept, or the ledger is lost
    for lines in ["", "owner_names = false\n", ""] {
        configure(lines);
        let ran = bench.run(&["once", "--json"]).await;
        let wrote = ["PutObject", "CopyObject", "HeadObject"].map(|what| requests(&ran, what));
        assert_eq!((ran.code, wrote), (0, [0; 3]), "{lines} {ran:?}");
        assert_eq!(bench.run(&["verify"]).await.code, 0, "{lines}");
    }
    fs::remove_dir_all(bench.state()).unwrap();
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, requests(&ran, "CopyObject")), (0, 0), "{ran:?}");
    configure("owner_names = false\n");
    bench.write("new", "without a name");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!((names("new").await, metadata("new").await.contains_key("uid")), (None, true));
}

/// `rclone --links` without `--metadata`: the name says that it is a link, and nothing else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_another_tool_wrote_is_told_and_gets_what_makes_it_one() {
    let bench = Bench::new().await;
    symlink("a/target", bench.root.join("link")).unwrap();
    bench.write("file.rclonelink", "no link");
    bench.put("www/link.rclonelink", "a/target").await;
    bench.put("www/file.rclonelink", "no link").await;
    let told = bench.run(&["verify", "--json"]).await;
    let events = told.events("difference");
    assert_eq!((told.code, events.len()), (1, 1), "{told:?}");
    assert_eq!((&events[0]["path"], &events[0]["kind"]), (&"link.rclonelink".into(), &"drift".into()));
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, requests(&ran, "CopyObject")), (0, 1), "{ran:?}");
    assert!(ran.actions().iter().all(|(op, ..)| op != "put"), "no bytes are sent: {ran:?}");
    let head =
        bench.client().head_object().bucket("backups").key("www/link.rclonelink").send().await.unwrap();
    assert_eq!(head.metadata().unwrap()["mode"], "0120777");
    let again = bench.run(&["once", "--json"]).await;
    let wrote = ["PutObject", "CopyObject", "HeadObject"].map(|what| requests(&again, what));
    assert_eq!((again.code, wrote), (0, [0; 3]), "{again:?}");
    let told = bench.run(&["verify", "--json"]).await;
    assert_eq!((told.code, told.events("difference").len()), (0, 0), "{told:?}");
    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("a/target"));
    assert_eq!(fs::read(out.join("file.rclonelink")).unwrap(), b"no link");
}

/// Patterns speak of names on the disk, where no link is called as its object is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_of_what_links_objects_are_called_leaves_out_files_alone() {
    let bench = Bench::with(&format!("{}exclude = [\"*.rclonelink\"]\n", crate::support::bench::QUICK)).await;
    symlink("target", bench.root.join("link")).unwrap();
    for name in ["stays", "file.rclonelink"] {
        bench.write(name, "x");
    }
    bench.put("www/theirs.rclonelink", "x").await;
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let have = bench.objects().await.into_keys().collect::<Vec<_>>();
    assert_eq!(have, all(&["link.rclonelink", "stays", "theirs.rclonelink"]));
    bench.remove("link");
    let told = bench.run(&["verify", "--json"]).await;
    assert_eq!((told.code, told.events("difference").len()), (1, 1), "{told:?}");
    let ran = bench.run(&["explain", "--json", "link"]).await;
    assert!(ran.stdout.contains("\"verdict\":\"delete\""), "{ran:?}");
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, &ran.summary()["deleted"]), (0, &1.into()), "{ran:?}");
    let have = bench.objects().await.into_keys().collect::<Vec<_>>();
    assert_eq!(have, all(&["stays", "theirs.rclonelink"]));
}
