//! `restore`: what was mirrored comes back as it was, and nothing else happens.

use crate::support::{
    bench::{Bench, PATIENCE, QUICK, Ran, binary},
    server::{Answer, Server},
};
use s3mirrord::embedded::{Kind, Rule};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Bytes, permission bits and times of every file below.
pub(crate) fn tree(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)> {
    let (mut all, mut dirs) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                dirs.push(path);
            } else {
                let told = (fs::read(&path).unwrap(), meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec());
                all.insert(path.strip_prefix(dir).unwrap().to_owned(), told);
            }
        }
    }
    all
}

pub(crate) fn write(root: &Path, name: &[u8], bytes: &[u8], mode: u32, mtime: i64) {
    let path = root.join(OsStr::from_bytes(name));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let time = std::time::UNIX_EPOCH + Duration::new(mtime.unsigned_abs(), 123_456_789);
    fs::File::open(&path).unwrap().set_modified(time).unwrap();
}

/// Bytes that repeat nowhere soon.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.u8(..)).collect()
}

/// Names of every sort, an empty file, one that goes up and comes down in pieces.
fn files(root: &Path) {
    write(root, b"a.txt", b"hello", 0o644, 1_000_000_000);
    write(root, b"empty", b"", 0o600, 1);
    write(root, b"dir/sub/run.sh", b"#!/bin/sh\n", 0o755, 1_700_000_000);
    write(root, b"caf\xe9 %+#?&\n\x01", b"odd", 0o640, 1_700_000_001);
    write(root, "‛／␀".as_bytes(), b"quoted", 0o400, 1_700_000_002);
    write(root, b" . ", b"spaces", 0o644, 1_700_000_003);
    write(root, b"middle", &noise((4 << 20) + 1, 1), 0o644, 1_700_000_004);
    write(root, b"dir/large", &noise((40 << 20) + 17, 2), 0o444, 1_700_000_005);
}

async fn mirrored() -> Bench {
    let bench = Bench::new().await;
    files(&bench.root);
    let ran = bench.run(&["once"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    bench
}

pub(crate) async fn restore(bench: &Bench, to: &Path, words: &[&str]) -> Ran {
    let words = [&["restore", "--json", "--to", to.to_str().unwrap()], words].concat();
    bench.run(&words).await
}

/// What came of the keys, by name.
pub(crate) fn outcomes(ran: &Ran) -> BTreeMap<String, String> {
    ran.actions().into_iter().map(|(_, path, outcome)| (path, outcome)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c29_c30_c31_what_was_mirrored_comes_back_as_it_was() {
    let bench = mirrored().await;
    let out = bench.dir.path().join("out/of/it");
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(tree(&out), tree(&bench.root));
    let sums = ran.summary();
    assert_eq!((&sums["restored"], &sums["unproven"], &sums["failed"]), (&8.into(), &0.into(), &0.into()));
    assert!(sums["requests"]["PutObject"].is_null(), "nothing is written to the bucket: {sums}");
    // again: all is there
    let ran = restore(&bench, &out, &[]).await;
    let sums = ran.summary();
    assert_eq!((ran.code, &sums["restored"], &sums["unchanged"]), (0, &0.into(), &8.into()));
    assert!(sums["requests"]["GetObject"].is_null(), "{sums}");
    // without a configuration, on another machine
    let (key, secret) = (bench.server.access_key(), bench.server.secret_key());
    let other = bench.dir.path().join("other");
    let url = bench.server.endpoint();
    let words =
        ["restore", "--from", "s3://backups/www/", "--endpoint-url", &url, "--to", other.to_str().unwrap()];
    let mut command = binary(&words);
    command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_REGION", "us-east-1");
    command.env("HOME", bench.dir.path());
    let ran = Ran::of(command).await;
    assert_eq!((ran.code, tree(&other)), (0, tree(&bench.root)), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_or_a_directory_comes_back_by_itself() {
    let bench = mirrored().await;
    let out = bench.dir.path().join("out");
    let absolute = bench.root.join("dir/sub");
    let words = ["./a.txt", "dir/sub/run.sh", "a.txt", absolute.to_str().unwrap()];
    let ran = restore(&bench, &out, &words).await;
    assert_eq!((ran.code, &ran.summary()["restored"]), (0, &2.into()), "{ran:?}");
    let names: Vec<_> = tree(&out).into_keys().collect();
    assert_eq!(names, [Path::new("a.txt"), Path::new("dir/sub/run.sh")]);
    let ran = restore(&bench, &out, &["not/there", "empty", &"x".repeat(1200)]).await;
    assert_eq!((ran.code, &ran.summary()["restored"]), (1, &1.into()), "the rest goes on: {ran:?}");
    assert_eq!(ran.summary()["failed"], 2, "{ran:?}");
    for wrong in ["../x", "/etc/passwd", "dir/../../x"] {
        assert_eq!(restore(&bench, &out, &[wrong]).await.code, 2, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pattern_matches_comes_back() {
    let bench = Bench::new().await;
    let names = [
        "photos/2024-01/a.jpg",
        "photos/2024-02/b",
        "photos/2025-01/c.jpg",
        "photos/[x]/d",
        "photos/x/e",
        "f.jpg",
    ];
    for name in names {
        write(&bench.root, name.as_bytes(), name.as_bytes(), 0o644, 1_700_000_000);
    }
    fs::set_permissions(bench.root.join("photos/2024-01"), fs::Permissions::from_mode(0o711)).unwrap();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    for (n, (words, want, failed)) in [
        (&["photos/2024-*/**"][..], &[names[0], names[1]][..], 0),
        (&["*.jpg"], &[names[5], names[0], names[2]], 0),
        (&["./*.jpg", "photos/x"], &[names[5], names[4]], 0),
        // one that is there under this very name
        (&["photos/[x]"], &[names[3]], 0),
        (&["photos/[x]/*", "no/such/*", "photos/{x,y}", "photos/?"], &[names[4]], 2),
    ]
    .into_iter()
    .enumerate()
    {
        let out = bench.dir.path().join(format!("out{n}"));
        let ran = restore(&bench, &out, words).await;
        assert_eq!((ran.code, &ran.summary()["failed"]), (i32::from(failed > 0), &failed.into()), "{ran:?}");
        assert_eq!(
            tree(&out).into_keys().collect::<Vec<_>>(),
            want.iter().map(PathBuf::from).collect::<Vec<_>>()
        );
        let modes =
            [&out, &bench.root].map(|dir| fs::metadata(dir.join("photos/2024-01")).ok().map(|m| m.mode()));
        assert!(modes[0].is_none() || modes[0] == modes[1], "{words:?} {modes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_gives_way_only_if_it_is_asked_to() {
    let bench = Bench::new().await;
    for name in ["same", "older", "newer", "longer"] {
        write(&bench.root, name.as_bytes(), b"mirrored", 0o644, 1_700_000_000);
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let out = bench.dir.path().join("out");
    let lay = || {
        write(&out, b"same", b"mirrored", 0o644, 1_700_000_000);
        write(&out, b"older", b"is here!", 0o644, 1_600_000_000);
        write(&out, b"newer", b"is here!", 0o644, 1_800_000_000);
        write(&out, b"longer", b"is longer", 0o644, 1_700_000_000);
    };
    for (words, restored) in [
        (&[][..], &[][..]),
        (&["--overwrite", "older"], &["older"]),
        (&["--overwrite", "always"], &["longer", "newer", "older"]),
    ] {
        lay();
        let before = tree(&out);
        let ran = restore(&bench, &out, &[words, &["--dry-run"]].concat()).await;
        assert_eq!(tree(&out), before, "a rehearsal: {ran:?}");
        let planned = outcomes(&ran);
        let ran = restore(&bench, &out, words).await;
        let done = outcomes(&ran);
        for (name, outcome) in &done {
            let want = match name.as_str() {
                "same" => "unchanged",
                name if restored.contains(&name) => "done",
                _ => "kept",
            };
            assert_eq!(outcome, want, "{name} {words:?}");
            assert_eq!(planned[name], if want == "done" { "planned" } else { want }, "{name} {words:?}");
            let body = fs::read(out.join(name)).unwrap();
            assert_eq!(body == b"mirrored", want != "kept", "{name} {words:?}");
        }
        assert_eq!((done.len(), ran.code), (4, i32::from(restored.len() < 3)), "{words:?}");
    }
}

/// Keys of every hostile sort, written by somebody else, and links planted where files are to go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c69_hostile_keys_and_planted_links_lead_nowhere_and_are_told() {
    let bench = Bench::new().await;
    write(&bench.root, b"good", b"good", 0o644, 1_700_000_000);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let out = bench.dir.path().join("out");
    let outside = bench.dir.path().join("outside");
    for dir in [&out, &outside, &out.join("real")] {
        fs::create_dir_all(dir).unwrap();
    }
    fs::write(outside.join("victim"), "untouched").unwrap();
    symlink(&outside, out.join("link")).unwrap();
    symlink(outside.join("victim"), out.join("aim")).unwrap();
    symlink("../outside", out.join("real/up")).unwrap();
    symlink(outside.join("new"), out.join("dangling")).unwrap();
    let mut hostile: Vec<String> = [
        "../escaped",
        "/absolute",
        "a//b",
        "./dot",
        "x/../../escaped",
        "x/./y",
        "..",
        ".",
        "x/..",
        "/",
        "//",
        "a/b/../c",
        "\u{FF0F}",
        "nul\u{2400}\u{2400}\0",
        "link/planted",
        "aim",
        "real/up/planted",
        "dangling",
    ]
    .map(str::to_owned)
    .to_vec();
    hostile.push(format!("{}x", "../".repeat(40)));
    hostile.push(format!("deep/{}", "x".repeat(300)));
    let mut written = 0;
    for key in &hostile {
        let put = bench.client().put_object().bucket("backups").key(format!("www/{key}"));
        // some of them no client can write
        written += u64::from(put.body(b"hostile".to_vec().into()).send().await.is_ok());
    }
    bench.put("www/file", "a file").await;
    bench.put("www/file/below", "and a directory").await;
    let before: Vec<_> = fs::read_dir(bench.dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(written > 10, "{written}");
    for words in [&[][..], &["--overwrite", "always", "--owner", "--special"]] {
        let ran = restore(&bench, &out, words).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        let sums = ran.summary();
        // and one of the file and the directory that have the same name
        assert_eq!(sums["failed"].as_u64().unwrap(), written + 1, "{sums}");
        assert_eq!(
            ran.events("action").iter().filter(|e| e["outcome"] == "failed").count() as u64,
            sums["failed"]
        );
        assert_eq!(fs::read(out.join("good")).unwrap(), b"good", "the rest goes on");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "nothing new outside");
        assert_eq!(fs::read(outside.join("victim")).unwrap(), b"untouched");
        for link in ["link", "aim", "real/up", "dangling"] {
            assert!(out.join(link).symlink_metadata().unwrap().is_symlink(), "{link}");
        }
    }
    let after: Vec<_> = fs::read_dir(bench.dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(after.len(), before.len(), "{after:?}");
    let left: Vec<_> =
        walk(&out).into_iter().filter(|name| name.to_string_lossy().contains(".part")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What the bucket has of one name, as a file and as a link: what comes second finds what came first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_and_a_link_of_one_name_are_brought_one_after_the_other() {
    let bench = Bench::new().await;
    write(&bench.root, b"x", &noise(20 << 20, 1), 0o644, 1_700_000_000);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let link =
        bench.client().put_object().bucket("backups").key("www/x.rclonelink").metadata("mode", "120777");
    link.body(b"aim".to_vec().into()).send().await.unwrap();
    let slow = Rule::new(Kind::Latency(Duration::from_millis(500))).operation("GetObject").exact_key("www/x");
    bench.server.faults().add(slow);
    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!((ran.code, outcomes(&ran)["x"].as_str()), (1, "done"), "{ran:?}");
    assert_eq!(outcomes(&ran)["x.rclonelink"], "failed");
    assert!(ran.stderr.contains("a file of that name is there"), "{}", ran.stderr);
    assert_eq!(tree(&out), tree(&bench.root));
}

/// How many files have their names, while others get theirs.
fn present(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let count = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => present(&entry.path()),
        Ok(_) => usize::from(!entry.file_name().to_string_lossy().ends_with(".part")),
        Err(_) => 0,
    };
    entries.map(count).sum()
}

/// How many have not, in the directory itself.
pub(super) fn drafts(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part")).count()
}

pub(crate) fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            all.extend(walk(&path));
        }
        all.push(path);
    }
    all
}

/// Rights beyond reading and writing, and owners, only when they are asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c69_special_bits_and_owners_are_given_only_if_asked_for() {
    let bench = Bench::new().await;
    write(&bench.root, b"suid", b"x", 0o6755, 1_700_000_000);
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(bench.root.join("suid"), Some(1234), Some(4321)).unwrap();
        fs::set_permissions(bench.root.join("suid"), fs::Permissions::from_mode(0o6755)).unwrap();
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let shown = |out: &Path| {
        let meta = out.join("suid").metadata().unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    };
    let (plain, full) = (bench.dir.path().join("plain"), bench.dir.path().join("full"));
    assert_eq!(restore(&bench, &plain, &[]).await.code, 0);
    assert_eq!(shown(&plain).0, 0o755);
    assert_ne!(shown(&plain).1, 1234);
    assert_eq!(
        restore(&bench, &full, &["--special"]).await.code,
        2,
        "whose they would be is another question"
    );
    assert_eq!(restore(&bench, &full, &["--special", "--owner"]).await.code, 0);
    assert_eq!(shown(&full).0, 0o6755);
    assert_eq!(root, shown(&full) == (0o6755, 1234, 4321));
}

/// What comes is compared before it takes its name: here the store has damaged what it was given, and tells no checksum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_what_was_stored_is_not_restored() {
    let bench = Bench::new().await;
    let faults = bench.server.faults();
    for kind in [Kind::RandomEtag, Kind::NoChecksumVerification] {
        faults.add(Rule::new(kind));
    }
    faults.add(Rule::new(Kind::FlipBit).operation("PutObject").key("damaged"));
    for name in ["damaged", "whole"] {
        write(&bench.root, name.as_bytes(), b"as it was", 0o644, 1_700_000_000);
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("not those that were stored"), "{}", ran.stderr);
    let names: Vec<_> = walk(&out);
    assert_eq!(names, [out.join("whole")]);
}

/// An object that breaks off, a store that is away for a moment: asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_is_asked_for_again() {
    let bench = mirrored().await;
    let faults = bench.server.faults();
    faults.add(Rule::new(Kind::CutShort).operation("GetObject").times(6));
    faults.add(Rule::new(Kind::SlowDown).operation("GetObject").times(3));
    faults.add(Rule::new(Kind::Drop).operation("GetObject").skip(4).times(3));
    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(tree(&out), tree(&bench.root));
}

/// Killed in the middle, and run again: what was restored stays, and nothing but the files is there in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c65_a_restore_that_is_killed_goes_on_when_it_is_run_again() {
    let bench = Bench::with(QUICK).await;
    for n in 0..300 {
        write(&bench.root, format!("d{}/f{n}", n % 7).as_bytes(), &noise(3000, n), 0o644, 1_700_000_000);
    }
    write(&bench.root, b"0", &noise(24 << 20, 5), 0o644, 1_700_000_000);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let out = bench.dir.path().join("out");
    let faults = bench.server.faults();
    let stuck =
        Rule::new(Kind::Latency(Duration::from_secs(600))).operation("GetObject").exact_key("www/0").skip(1);
    let slow = [stuck, Rule::new(Kind::Latency(Duration::from_millis(60))).operation("GetObject")]
        .map(|rule| faults.add(rule));
    let mut child = bench.start(&["restore", "--to", out.to_str().unwrap()]);
    let begun = Instant::now();
    // the last piece of the large one does not come
    while present(&out) < 50 || drafts(&out) == 0 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().await.unwrap();
    assert!(drafts(&out) > 0 && !out.join("0").exists());
    slow.into_iter().for_each(|rule| assert!(faults.remove(rule)));
    let ran = restore(&bench, &out, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.summary()["unchanged"].as_u64().unwrap() >= 40, "{ran:?}");
    assert_eq!(tree(&out), tree(&bench.root));
}

/// Two that write to one directory would take each other's files for their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_restore_to_the_same_place_is_refused() {
    let bench = mirrored().await;
    let out = bench.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let first = fs::File::open(&out).unwrap();
    rustix::fs::flock(&first, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let second = restore(&bench, &out, &[]).await;
    assert_eq!((second.code, walk(&out).len()), (5, 0), "{second:?}");
    drop(first);
    assert_eq!(restore(&bench, &out, &[]).await.code, 0);
    assert_eq!(tree(&out), tree(&bench.root));
}

/// A prefix that is misspelt is no mirror of nothing.
#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_nothing_a_restore_says_so() {
    let bench = mirrored().await;
    let to = bench.dir.path().join("to");
    let from = |prefix: &str| {
        let url = format!("s3://backups/{prefix}");
        let mut command = binary(&["restore", "--from", &url, "--to", to.to_str().unwrap()]);
        command.args(["--endpoint-url", &bench.server.endpoint()]);
        command.env("AWS_ACCESS_KEY_ID", bench.server.access_key()).env("AWS_REGION", "us-east-1");
        command.env("AWS_SECRET_ACCESS_KEY", bench.server.secret_key());
        Ran::of(command)
    };
    let ran = from("ww/").await;
    assert!(
        ran.code == 3 && ran.stderr.contains("there is nothing below") && ran.stderr.contains("/ww/"),
        "{ran:?}"
    );
    // what was mirrored there is nothing by now
    let empty = bench.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("a"), "a").unwrap();
    bench.configure(&bench.mirror("www", &empty, "empty/", QUICK));
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.client().delete_object().bucket("backups").key("empty/a").send().await.unwrap();
    let ran = from("empty/").await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// What is restored where it would be mirrored is restored again and again; what is half restored is mirrored by nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_feeds_no_mirror() {
    let bench = mirrored().await;
    let inside = bench.root.join("restored");
    let ran = restore(&bench, &inside, &[]).await;
    assert_eq!((ran.code, inside.exists()), (2, false), "{ran:?}");
    assert_eq!(restore(&bench, &bench.root, &[]).await.summary()["unchanged"], 8, "to the root itself");
    bench.write(".s3mirrord-0123456789abcdef01234567.part", "half");
    bench.write("dir/.s3mirrord-0123456789abcdef01234567.part", "half");
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, &ran.summary()["uploaded"]), (0, &0.into()), "{ran:?}");
    // one that somebody else put there
    bench.put("www/.s3mirrord-0123456789abcdef01234567.part", "x").await;
    let link = bench.client().put_object().bucket("backups").body(b"aim".to_vec().into());
    let link = link.key("www/.s3mirrord-0123456789abcdef01234567.part.rclonelink").metadata("mode", "120777");
    link.send().await.unwrap();
    let ran = restore(&bench, &bench.dir.path().join("out"), &[]).await;
    assert_eq!((ran.code, &ran.summary()["failed"], &ran.summary()["restored"]), (1, &2.into(), &8.into()));
}

/// An object that is listed and cannot be had is no reason to say that all is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_store_has_lost_is_told() {
    let server = Server::start(|_, request| {
        let list = |keys: &str| {
            Answer::new(
                200,
                format!("<ListBucketResult><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>"),
            )
        };
        let object = "<Contents><Key>www/lost</Key><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag>\
            <Size>4</Size></Contents>";
        match (request.method.as_str(), request.target.contains("list-type=2")) {
            ("GET", true) => list(object),
            _ => Answer::error(404, "NoSuchKey"),
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let url = server.endpoint();
    let words = [
        "restore",
        "--from",
        "s3://backups/www/",
        "--endpoint-url",
        &url,
        "--to",
        out.to_str().unwrap(),
        "--json",
    ];
    let mut command = binary(&words);
    command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s").env("AWS_REGION", "us-east-1");
    let ran = Ran::of(command).await;
    assert_eq!((ran.code, &ran.summary()["failed"]), (1, &1.into()), "{ran:?}");
    assert!(ran.stderr.contains("it is listed, and cannot be had"), "{}", ran.stderr);
}

/// A store that heeds neither conditions nor ranges, and an object that is replaced while it is fetched: what comes is one
/// version or the other, whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replaced_meanwhile_is_one_version_or_the_other() {
    let bench = Bench::new().await;
    let (old, new) = (noise(20 << 20, 1), noise(20 << 20, 2));
    write(&bench.root, b"large", &old, 0o644, 1_700_000_000);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let faults = bench.server.faults();
    faults.add(Rule::new(Kind::IgnoreConditions));
    faults.add(Rule::new(Kind::Latency(Duration::from_millis(400))).operation("GetObject").skip(1).times(1));
    let out = bench.dir.path().join("out");
    let replacing = async {
        let begun = Instant::now();
        while drafts(&out) == 0 {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let put = bench.client().put_object().bucket("backups").key("www/large");
        put.body(new.clone().into()).send().await.unwrap();
    };
    let (ran, ()) = tokio::join!(restore(&bench, &out, &[]), replacing);
    assert_eq!(ran.code, 0, "{ran:?}");
    let came = fs::read(out.join("large")).unwrap();
    assert!(came == old || came == new);
    assert_eq!((walk(&out).len(), drafts(&out)), (1, 0));
}
