//! `verify`: what differs is told by its kind, and nothing else happens.

use crate::support::{
    bench::{Bench, PATIENCE, QUICK, Ran, binary},
    server::{Answer, Server},
};
use s3mirrord::embedded::{Kind, Rule};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant, UNIX_EPOCH},
};

/// What is told, by path.
fn told(ran: &Ran) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    ran.events("difference").iter().map(|event| (text(&event["path"]), text(&event["kind"]))).collect()
}

fn as_told(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(path, kind)| ((*path).to_owned(), (*kind).to_owned())).collect()
}

async fn verify(bench: &Bench, words: &[&str]) -> Ran {
    bench.run(&[&["verify", "--json"], words].concat()).await
}

fn set_time(path: &Path, seconds: u64) {
    fs::File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::new(seconds, 123_456_789)).unwrap();
}

/// Everything that a write would change of a tree: names, inodes, sizes, modes and times.
fn state(dir: &Path) -> BTreeMap<PathBuf, (u64, u64, u32, i64, i64)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            all.extend(state(&path));
        }
        all.insert(path, (meta.ino(), meta.size(), meta.mode(), meta.ctime(), meta.ctime_nsec()));
    }
    all
}

/// Replaces an object as another client does that copies its metadata: one bit of one byte is another.
async fn flip(bench: &Bench, key: &str) {
    let client = bench.client();
    let found = client.get_object().bucket("backups").key(key).send().await.unwrap();
    let metadata = found.metadata.clone();
    let mut body = found.body.collect().await.unwrap().into_bytes().to_vec();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    let put = client.put_object().bucket("backups").key(key).set_metadata(metadata);
    put.body(body.into()).send().await.unwrap();
}

/// One of each sort; the file that is no longer as it was has its old size and time.
async fn differing() -> (Bench, BTreeMap<String, String>) {
    let bench = Bench::new().await;
    for name in ["dir/same", "gone", "longer", "edited", "chmod", "touched", "flipped", "odd\u{7f}"] {
        bench.write(name, "as it was mirrored");
        set_time(&bench.root.join(name), 1_700_000_000);
    }
    // more than one part
    fs::write(bench.root.join("large"), vec![7; (20 << 20) + 5]).unwrap();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let ran = verify(&bench, &[]).await;
    assert_eq!((ran.code, told(&ran), &ran.summary()["equal"]), (0, BTreeMap::new(), &9.into()), "{ran:?}");
    bench.remove("gone");
    bench.write("new", "it has no object");
    bench.write("longer", "it is longer than it was mirrored");
    bench.write("edited", "AS it was mirrored");
    set_time(&bench.root.join("edited"), 1_700_000_000);
    fs::set_permissions(bench.root.join("chmod"), fs::Permissions::from_mode(0o600)).unwrap();
    set_time(&bench.root.join("touched"), 1_600_000_000);
    bench.put("www/theirs", "of somebody else").await;
    flip(&bench, "www/flipped").await;
    let want = [
        ("gone", "extra"),
        ("new", "missing"),
        ("longer", "different"),
        ("edited", "different"),
        ("flipped", "different"),
        ("chmod", "drift"),
        ("touched", "drift"),
        ("theirs", "foreign"),
    ];
    (bench, as_told(&want))
}

/// With the ledger, without it, and byte by byte it comes to the same; nothing is written, to the bucket or the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_difference_is_told_by_its_kind_and_nothing_is_written() {
    let (bench, want) = differing().await;
    let (before, objects) = (state(&bench.root), bench.objects().await);
    for (words, ledger) in [(&[][..], true), (&["--deep"], true), (&[], false), (&["--deep"], false)] {
        if !ledger {
            let _ = fs::remove_dir_all(bench.state());
        }
        bench.server.reset_requests();
        let ran = verify(&bench, words).await;
        assert_eq!((ran.code, told(&ran)), (1, want.clone()), "{words:?} {ledger} {ran:?}");
        let sums = ran.summary();
        let counts = ["equal", "missing", "extra", "different", "drift", "foreign", "unreadable", "busy"];
        let counts = counts.map(|name| sums[name].as_u64().unwrap());
        assert_eq!(counts, [3, 1, 1, 3, 2, 1, 0, 0], "{sums}");
        assert_eq!((&sums["mirror"], &sums["exit"]), (&"www".into(), &1.into()));
        let requests = bench.server.requests();
        let asks = |name: &String| ["ListObjectsV2", "HeadObject", "GetObject"].contains(&name.as_str());
        assert!(requests.keys().all(asks), "{requests:?}");
        // the owner record is read
        let fetched = requests.get("GetObject").copied().unwrap_or_default() - 1;
        assert_eq!(fetched > 0, !words.is_empty(), "{requests:?}");
        assert!(sums["bytes"].as_u64().unwrap() == 0 || !words.is_empty(), "{sums}");
        assert_eq!(ledger, bench.state().exists(), "no state is made");
    }
    assert_eq!((state(&bench.root), bench.objects().await), (before, objects));
    let why = |path: &str, ran: &Ran| -> String {
        ran.events("difference").iter().find(|event| event["path"] == path).unwrap()["why"].to_string()
    };
    let ran = verify(&bench, &["--deep"]).await;
    assert!(why("flipped", &ran).contains("byte 9 on"), "{ran:?}");
    assert!(why("chmod", &ran).contains("mode 100600 here"), "{ran:?}");
    assert!(why("touched", &ran).contains("mtime 1600000000.123456789 here, 1700000000.123456789 there"));
    // for people: a line each, on one line
    let ran = bench.run(&["verify"]).await;
    assert_eq!((ran.code, ran.stdout.lines().count()), (1, want.len() + 2), "{ran:?}");
    assert!(ran.stdout.contains("extra      gone  its file is gone\n") && !ran.stdout.contains('\x1b'));
    assert!(ran.stdout.contains("www: 3 equal, 1 missing, 1 extra, 3 different, 2 drift, 1 foreign, in "));
    assert!(bench.run(&["verify", "-q", "dir"]).await.stdout.is_empty());
}

/// What is proven costs neither a HEAD nor a read; what is not costs one of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_ledger_proves_costs_a_listing() {
    let bench = Bench::new().await;
    for n in 0..50 {
        bench.write(&format!("d{}/f{n}", n % 3), "x");
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let ran = verify(&bench, &[]).await;
    let sums = ran.summary();
    assert_eq!((ran.code, &sums["equal"], &sums["bytes_read"]), (0, &50.into(), &0.into()), "{ran:?}");
    assert_eq!(sums["requests"]["ListObjectsV2"], 1, "{sums}");
    assert!(sums["requests"]["HeadObject"].is_null(), "{sums}");
    fs::remove_dir_all(bench.state()).unwrap();
    let sums = verify(&bench, &[]).await.summary();
    assert_eq!((&sums["equal"], &sums["bytes_read"]), (&50.into(), &50.into()), "{sums}");
    assert_eq!(sums["requests"]["HeadObject"], 53, "each file and each directory: {sums}");
}

/// Behind a tag that is no digest and a checksum that is none, only the bytes tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_store_has_damaged_is_found_by_fetching_it() {
    let bench = Bench::new().await;
    let faults = bench.server.faults();
    for kind in [Kind::RandomEtag, Kind::NoChecksumVerification] {
        faults.add(Rule::new(kind));
    }
    faults.add(Rule::new(Kind::FlipBit).operation("PutObject").key("damaged"));
    for name in ["damaged", "whole"] {
        bench.write(name, "as it was");
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(verify(&bench, &[]).await.code, 0, "what the store says is believed");
    let ran = verify(&bench, &["--deep"]).await;
    assert_eq!((ran.code, told(&ran)), (1, as_told(&[("damaged", "different")])), "{ran:?}");
}

/// A tag that is no digest, and nothing else: that is not to say that the content is another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nothing_shows_is_called_neither_equal_nor_different() {
    let bench = Bench::new().await;
    bench.server.faults().add(Rule::new(Kind::OddEtag));
    bench.server.faults().add(Rule::new(Kind::NoChecksumVerification));
    bench.write("file", "as it was");
    bench.put("www/file", "as it was").await;
    let ran = verify(&bench, &[]).await;
    assert_eq!((ran.code, told(&ran)), (1, as_told(&[("file", "unproven")])), "{ran:?}");
    assert!(ran.stdout.contains("--deep") && ran.stderr.contains("no owner record"), "{ran:?}");
    let ran = verify(&bench, &["--deep"]).await;
    assert_eq!((ran.code, &ran.summary()["adopted"]), (0, &1.into()), "{ran:?}");
}

/// Beside a daemon that holds the ledger: what just changed is given the time to arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_daemon_the_ledger_is_not_needed() {
    let bench = Bench::with(QUICK).await;
    for name in ["a", "b/c"] {
        bench.write(name, "x");
    }
    let _daemon = bench.start(&["run"]);
    bench.await_objects(&[("a", "x"), ("b/c", "x")]).await;
    bench.await_status("settled", |told| told["mirrors"][0]["settled"] == true).await;
    for words in [&[][..], &["--deep"]] {
        let ran = verify(&bench, words).await;
        assert_eq!((ran.code, &ran.summary()["equal"]), (0, &2.into()), "{ran:?}");
        // it is not there, and arrives meanwhile
        bench
            .server
            .faults()
            .add(Rule::new(Kind::Latency(Duration::from_millis(300))).operation("PutObject"));
        bench.write("new", &words.len().to_string());
        let ran = verify(&bench, words).await;
        assert_eq!((ran.code, &ran.summary()["equal"]), (0, &3.into()), "{ran:?}");
        bench.server.faults().clear();
        bench.remove("new");
        bench.await_objects(&[("a", "x"), ("b/c", "x")]).await;
    }
    flip(&bench, "www/a").await;
    let ran = verify(&bench, &[]).await;
    assert_eq!((ran.code, told(&ran)), (1, as_told(&[("a", "different")])), "{ran:?}");
}

/// A file that cannot be read is there, and so may be all that is in a directory that cannot be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_never_called_missing_or_gone() {
    let bench = Bench::new().await;
    for name in ["a", "closed/b", "open", "locked"] {
        bench.write(name, "x");
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.write("new", "x");
    let close = |name: &str, mode| {
        fs::set_permissions(bench.root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in ["new", "locked", "closed"] {
        close(name, 0);
    }
    let want = as_told(&[("new", "unreadable"), ("locked", "unreadable"), ("closed/", "unreadable")]);
    for words in [&["verify", "--json", "--deep"][..], &["verify", "--json"]] {
        let Some(command) = bench.restrained(words).await else {
            return assert!(std::env::var_os("S3MIRRORD_REQUIRE_ALL").is_none(), "setpriv is missing");
        };
        let ran = Ran::of(command).await;
        assert_eq!((ran.code, told(&ran)), (1, want.clone()), "{words:?} {ran:?}");
    }
    close("closed", 0o755);
}

/// One that is written without end is compared a few times, and told as that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_rest_is_told_as_busy() {
    let bench = Bench::new().await;
    bench.write("log", "begun");
    bench.write("still", "x");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.server.faults().add(Rule::new(Kind::Latency(Duration::from_millis(200))).operation("HeadObject"));
    let (ended, log) = (AtomicBool::new(false), bench.root.join("log"));
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = fs::OpenOptions::new().append(true).open(&log).unwrap();
            while !ended.load(Relaxed) {
                std::io::Write::write_all(&mut log, b"more\n").unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let ran =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(verify(&bench, &[])));
        ended.store(true, Relaxed);
        ran
    });
    assert_eq!((ran.code, told(&ran)), (1, as_told(&[("log", "busy")])), "{ran:?}");
    assert_eq!(ran.summary()["busy"], 1);
}

/// What is excluded is left out on both sides, links and all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_excluded_is_left_out() {
    let bench = Bench::new().await;
    for name in ["a.tmp", "cache/x", "kept"] {
        bench.write(name, "x");
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let lines = "exclude = [\"*.tmp\", \"cache/\"]";
    bench.configure(&bench.mirror("www", &bench.root, "www/", lines));
    bench.remove("a.tmp");
    bench.write("new.tmp", "x");
    let ran = verify(&bench, &[]).await;
    let sums = ran.summary();
    assert_eq!((ran.code, &sums["equal"], &sums["skipped"]), (0, &1.into(), &2.into()), "{ran:?}");
    let ran = verify(&bench, &["new.tmp", "cache"]).await;
    assert_eq!((ran.code, told(&ran)), (0, BTreeMap::new()), "{ran:?}");
}

/// Files and directories by name; what is nowhere is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_or_directory_is_compared_by_itself() {
    let (bench, _) = differing().await;
    for name in ["d/in", "d-beside", "de"] {
        bench.write(name, "x");
    }
    bench.put("www/d-theirs", "named like it, and not below it").await;
    let absolute = bench.root.join("dir/same");
    for (words, code, want) in [
        (&["d"][..], 1, &[("d/", "missing"), ("d/in", "missing")][..]),
        (&["dir", "./gone"], 1, &[("gone", "extra")]),
        (&[absolute.to_str().unwrap(), "dir"], 0, &[]),
        (&["chmod", "new", "nowhere"], 1, &[("chmod", "drift"), ("new", "missing"), ("nowhere", "missing")]),
    ] {
        let ran = verify(&bench, words).await;
        assert_eq!((ran.code, told(&ran)), (code, as_told(want)), "{words:?} {ran:?}");
    }
    for wrong in ["../x", "/etc/passwd"] {
        assert_eq!(verify(&bench, &[wrong]).await.code, 2, "{wrong}");
    }
    assert_eq!(verify(&bench, &["--mirror", "ww"]).await.code, 2);
}

/// Each mirror has a summary of its own, and the worst counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrors_are_compared_one_after_the_other() {
    let bench = Bench::new().await;
    let other = bench.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    bench.write("a", "x");
    let both =
        [bench.mirror("www", &bench.root, "www/", ""), bench.mirror("other", &other, "other/", "")].concat();
    bench.configure(&both);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    fs::write(other.join("b"), "x").unwrap();
    let ran = verify(&bench, &[]).await;
    let exits: Vec<_> = ran.events("summary").iter().map(|sums| sums["exit"].clone()).collect();
    assert_eq!((ran.code, exits), (1, vec![0.into(), 1.into()]), "{ran:?}");
    assert_eq!(verify(&bench, &["b"]).await.code, 2, "of which mirror?");
    let ran = verify(&bench, &[other.join("b").to_str().unwrap()]).await;
    assert_eq!((ran.code, &ran.summary()["mirror"]), (1, &"other".into()), "{ran:?}");
    // a root that is gone is no reason to tell that all files are
    fs::rename(&other, bench.dir.path().join("away")).unwrap();
    let ran = verify(&bench, &[]).await;
    let sums = ran.events("summary");
    assert_eq!((ran.code, sums.len()), (3, 2), "{ran:?}");
    assert!(sums[1]["error"].as_str().unwrap().contains("root") && told(&ran).is_empty(), "{ran:?}");
    fs::create_dir(&other).unwrap();
    let ran = verify(&bench, &["--mirror", "other"]).await;
    assert_eq!((ran.code, told(&ran)), (3, BTreeMap::new()), "another directory in its place: {ran:?}");
}

/// A store that lists out of order, one that breaks off, one that is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_store_does_badly_is_no_difference() {
    let (bench, want) = differing().await;
    let faults = bench.server.faults();
    faults.add(Rule::new(Kind::CutShort).operation("GetObject").key("large").times(3));
    faults.add(Rule::new(Kind::SlowDown).operation("HeadObject").times(3));
    let unsorted = faults.add(Rule::new(Kind::UnsortedListing));
    for words in [&[][..], &["--deep"]] {
        let ran = verify(&bench, words).await;
        assert_eq!((ran.code, told(&ran)), (1, want.clone()), "{ran:?}");
        assert!(ran.stderr.contains("does not list in key order"), "{ran:?}");
    }
    assert!(faults.met(unsorted) > 0);
    faults.clear();
    faults.add(Rule::new(Kind::AccessDenied).operation("ListObjectsV2"));
    let ran = verify(&bench, &[]).await;
    assert_eq!((ran.code, told(&ran)), (3, BTreeMap::new()), "{ran:?}");
    faults.clear();
    faults.add(Rule::new(Kind::AccessDenied).operation("HeadObject"));
    fs::remove_dir_all(bench.state()).unwrap();
    let ran = verify(&bench, &["dir", "chmod"]).await;
    let want = as_told(&[("dir/", "unproven"), ("dir/same", "unproven"), ("chmod", "unproven")]);
    assert_eq!((ran.code, told(&ran)), (1, want), "what may not be asked for is not known: {ran:?}");
}

/// What is compared by then cannot be taken back, and what comes may have been passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_falls_out_of_order_is_refused() {
    let server = Server::start(|_, request| {
        let (keys, more) = match request.target.contains("continuation-token") {
            true => (["a", "d"], "<IsTruncated>false</IsTruncated>"),
            false => (
                ["b", "c"],
                "<IsTruncated>true</IsTruncated><NextContinuationToken>2</NextContinuationToken>",
            ),
        };
        let object = |key| {
            format!(
                "<Contents><Key>www/{key}</Key><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag>\
                 <Size>4</Size></Contents>"
            )
        };
        let objects = keys.map(object).concat();
        match (request.method.as_str(), request.target.contains("list-type=2")) {
            ("GET", true) => {
                Answer::new(200, format!("<ListBucketResult>{more}{objects}</ListBucketResult>"))
            }
            _ => Answer::error(404, "NoSuchKey"),
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let (root, config) = (dir.path().join("root"), dir.path().join("config.toml"));
    fs::create_dir(&root).unwrap();
    let text = format!(
        "state_dir = {:?}\n[s3]\nregion = \"us-east-1\"\nendpoint_url = {:?}\n[[mirror]]\nname = \"www\"\n\
         root = {root:?}\nbucket = \"backups\"\nprefix = \"www/\"\n",
        dir.path().join("state"),
        server.endpoint()
    );
    fs::write(&config, text).unwrap();
    let mut command = binary(&["verify", "--json", "--config", config.to_str().unwrap()]);
    command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
    let ran = Ran::of(command).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.summary()["error"].as_str().unwrap().contains("Remote is not sorted: a came after c"),
        "{ran:?}"
    );
}

/// Stopped in the middle it says so, and does not say that all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_that_is_stopped_ends_with_1() {
    let bench = Bench::new().await;
    bench.write("a", "x");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let slow = bench
        .server
        .faults()
        .add(Rule::new(Kind::Latency(Duration::from_secs(600))).operation("ListObjectsV2"));
    let child = bench.start(&["verify", "--json"]);
    let begun = Instant::now();
    while bench.server.faults().met(slow) == 0 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let out = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("stopped before it was over"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_are_not_mirrored_any_more_are_left_out() {
    let bench = Bench::new().await;
    bench.write("file", "x");
    std::os::unix::fs::symlink("file", bench.root.join("link")).unwrap();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let lines = format!("{QUICK}links = false\ndirectories = false\n");
    bench.configure(&bench.mirror("www", &bench.root, "www/", &lines));
    for words in [&[][..], &["--deep"], &["link"]] {
        let ran = verify(&bench, words).await;
        assert_eq!((ran.code, told(&ran)), (0, BTreeMap::new()), "{words:?} {ran:?}");
        assert!(ran.summary()["skipped"].as_u64() > Some(0), "{words:?} {ran:?}");
    }
}

/// What has content is no marker: it stays, and is no difference to anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_with_content_at_a_directorys_key_is_foreign() {
    let bench = Bench::new().await;
    bench.write("d/f", "x");
    bench.put("www/d/", "of another tool").await;
    for _ in 0..2 {
        let ran = verify(&bench, &[]).await;
        assert_eq!(told(&ran).get("d/").map(String::as_str), Some("foreign"), "{ran:?}");
        assert_eq!(bench.run(&["once"]).await.code, 0);
    }
    let ran = verify(&bench, &["--deep"]).await;
    assert_eq!((ran.code, told(&ran)), (0, as_told(&[("d/", "foreign")])), "{ran:?}");
    assert_eq!(bench.objects().await["d/"], "of another tool");
    let ran = bench.run(&["explain", "d"]).await;
    assert!(
        ran.stdout.contains("now: nothing, as an object with content is no directory's marker"),
        "{ran:?}"
    );
}

/// More names than a page has come between the file's and the link's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_found_by_its_name_beside_a_thousand_that_begin_like_it() {
    let bench = Bench::new().await;
    std::os::unix::fs::symlink("file", bench.root.join("cur")).unwrap();
    fs::create_dir(bench.root.join("empty")).unwrap();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    for n in 0..1_100 {
        bench.put(&format!("www/cur-{n}"), "").await;
    }
    let ran = verify(&bench, &["cur"]).await;
    assert_eq!((ran.code, told(&ran), &ran.summary()["equal"]), (0, BTreeMap::new(), &1.into()), "{ran:?}");
    let ran = bench.run(&["ls", "cur"]).await;
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1), "{ran:?}");
    // and one that nothing is in
    for words in [&["ls", "empty"][..], &["ls", "-R", "empty"]] {
        let ran = bench.run(words).await;
        assert_eq!((ran.code, &*ran.stdout), (0, ""), "{ran:?}");
    }
    // gone on disk
    bench.remove("cur");
    fs::remove_dir(bench.root.join("empty")).unwrap();
    for (name, key) in [("cur", "cur.rclonelink"), ("empty", "empty/")] {
        let ran = verify(&bench, &[name]).await;
        assert_eq!((ran.code, told(&ran)), (1, as_told(&[(key, "extra")])), "{ran:?}");
        let ran = bench.run(&["explain", "--json", name]).await;
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((&told["path"], &told["key"]), (&name.into(), &key.into()), "{told}");
        assert_eq!((&told["disk"]["is"], &told["ledger"]["is"]), (&"nothing".into(), &"proof".into()));
        assert_eq!(told["verdict"], "delete", "{told}");
    }
}
