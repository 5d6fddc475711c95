//! `restore --at`: the tree as it was at each moment, by the bucket's versions and by the trash; and what cannot be known.
//!
//! Stores count seconds. Two states are of two moments when the clock has gone past the second of the first.

use crate::{
    restore::{noise, outcomes, restore, tree, write},
    support::{
        bench::{Bench, PATIENCE, QUICK, Ran, binary},
        moto::Moto,
        outsider::Outsider,
        site::Site,
        skip,
    },
};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const TRASH: &str = "delete = \"trash\"\ntrash_prefix = \"old/www\"\n";

type Files = BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)>;

fn second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The second that it is now, when it is over.
async fn passed() -> u64 {
    let (now, begun) = (second(), Instant::now());
    while second() == now {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    now
}

fn at(second: u64) -> String {
    jiff::Timestamp::from_second(i64::try_from(second).unwrap()).unwrap().to_string()
}

async fn version(bench: &Bench, status: BucketVersioningStatus) {
    let set = VersioningConfiguration::builder().status(status).build();
    let put = bench.client().put_bucket_versioning().bucket("backups").versioning_configuration(set);
    put.send().await.unwrap();
}

/// Makes the tree what it is in this generation: changed, deleted, made again, renamed there and back.
fn generation(root: &Path, n: i64) {
    let remove = |name: &str| fs::remove_file(root.join(name)).unwrap();
    let text = |name: &str| format!("{name}, for the {n}. time").into_bytes();
    // one of each of its modes; the sizes stay, so that nothing is told by them
    write(root, b"changed", &text("changed"), 0o600 + u32::try_from(n).unwrap() * 8, 1_700_000_000 + n);
    write(root, b"odd/caf\xe9 %+#?&\n", &text("odd"), 0o644, 1_700_000_000 + n);
    for i in 0..350 {
        write(root, format!("many/{i}").as_bytes(), &text("many"), 0o644, 1_700_000_000 + n);
    }
    match n {
        1 => {
            write(root, b"dir/kept", b"kept", 0o640, 1_600_000_000);
            write(root, b"dir/gone", b"gone", 0o755, 1_600_000_000);
            write(root, b"from", b"moves", 0o644, 1_600_000_001);
            write(root, b"again", b"the first", 0o644, 1_600_000_002);
            write(root, b"large", &noise((9 << 20) + 5, 1), 0o644, 1_600_000_003);
            write(root, "x".repeat(250).as_bytes(), &text("long"), 0o644, 1_600_000_004);
        }
        2 => {
            remove("dir/gone");
            remove("again");
            remove(&"x".repeat(250));
            fs::rename(root.join("from"), root.join("to")).unwrap();
            write(root, b"dir/new", b"new", 0o644, 1_600_000_004);
            write(root, b"large", &noise((9 << 20) + 5, 2), 0o644, 1_600_000_005);
        }
        3 => {
            write(root, b"again", b"the 2nd..", 0o600, 1_600_000_002);
            write(root, b"dir/gone", b"gone", 0o755, 1_600_000_000);
            fs::rename(root.join("to"), root.join("from")).unwrap();
            remove("dir/new");
        }
        _ => {
            for name in ["changed", "again", "from", "large", "dir/gone"] {
                remove(name);
            }
            write(root, b"to", b"moved", 0o644, 1_600_000_001);
        }
    }
}

/// Mirrors four generations of a tree: each with the second at which it was whole.
async fn generations(bench: &Bench) -> Vec<(u64, Files)> {
    let mut all = vec![];
    for n in 1..5 {
        generation(&bench.root, n);
        let ran = bench.run(&["once", "--json"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        all.push((passed().await, tree(&bench.root)));
    }
    all
}

async fn each_comes_back(bench: &Bench, all: &[(u64, Files)]) {
    for (n, (second, want)) in all.iter().enumerate() {
        let out = bench.dir.path().join(format!("out {n}"));
        let ran = restore(bench, &out, &["--at", &at(*second)]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(tree(&out) == *want, "generation {n}: {:?}", tree(&out).keys());
        assert_eq!(ran.summary()["restored"], want.len(), "{ran:?}");
    }
    // some of it, and what was not there
    let out = bench.dir.path().join("some");
    let ran = restore(bench, &out, &["--at", &at(all[0].0), "dir", "from", "to", "many/7"]).await;
    let want = ["dir/gone", "dir/kept", "from", "many/7"];
    assert_eq!(tree(&out).into_keys().collect::<Vec<_>>(), want.map(PathBuf::from));
    assert_eq!((ran.code, outcomes(&ran)["to"].as_str()), (1, "failed"), "{ran:?}");
    assert!(ran.stderr.contains("nothing of that name then"), "{}", ran.stderr);
    let matched = bench.dir.path().join("matched");
    let ran = restore(bench, &matched, &["--at", &at(all[0].0), "dir/*", "no/*"]).await;
    let want = ["dir/gone", "dir/kept"];
    assert_eq!(tree(&matched).into_keys().collect::<Vec<_>>(), want.map(PathBuf::from));
    assert_eq!((ran.code, &ran.summary()["failed"]), (1, &1.into()), "{ran:?}");
    // again, and as a rehearsal: all is there
    for words in [&["--dry-run"][..], &[]] {
        let third = at(all[2].0);
        let words = [&["--at", &*third], words].concat();
        let sums = restore(bench, &bench.dir.path().join("out 2"), &words).await.summary();
        assert_eq!((&sums["restored"], &sums["unchanged"]), (&0.into(), &all[2].1.len().into()));
    }
    // counted back
    let ago = format!("{}s ago", second() - all[1].0);
    let out = bench.dir.path().join("ago");
    let ran = restore(bench, &out, &["--at", &ago, "dir"]).await;
    assert_eq!((ran.code, tree(&out).len()), (0, 2), "{ago}: {ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_generation_comes_back_by_its_versions() {
    let bench = Bench::new().await;
    version(&bench, BucketVersioningStatus::Enabled).await;
    let before = passed().await;
    let all = generations(&bench).await;
    each_comes_back(&bench, &all).await;
    // of more versions than a page has, each once
    bench.server.reset_requests();
    let out = bench.dir.path().join("counted");
    let sums = restore(&bench, &out, &["--at", &at(all[3].0)]).await.summary();
    assert!(sums["requests"]["ListObjectVersions"].as_u64().unwrap() >= 3, "{sums}");
    assert!(sums["requests"]["ListObjectsV2"].is_null(), "what is there now is a version, too: {sums}");
    // before the first of them the bucket may have kept none
    let refused = restore(&bench, &bench.dir.path().join("no"), &["--at", &at(before)]).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("nothing below the prefix shows"), "{}", refused.stderr);
    // without a configuration
    let (key, secret, url) = (bench.server.access_key(), bench.server.secret_key(), bench.server.endpoint());
    let out = bench.dir.path().join("direct");
    let words = ["restore", "--from", "s3://backups/www/", "--endpoint-url", &url, "--to"];
    let mut command = binary(&[&words[..], &[out.to_str().unwrap(), "--at", &at(all[0].0)]].concat());
    command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_REGION", "us-east-1");
    let ran = Ran::of(command).await;
    assert_eq!((ran.code, tree(&out) == all[0].1), (0, true), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_generation_comes_back_by_the_trash() {
    let bench = Bench::with(&format!("{QUICK}{TRASH}")).await;
    let before = passed().await;
    let all = generations(&bench).await;
    each_comes_back(&bench, &all).await;
    let refused = restore(&bench, &bench.dir.path().join("no"), &["--at", &at(before)]).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("its trash reaches back to"), "{}", refused.stderr);
    // on a host that knows the prefix alone: the owner record tells where the trash is
    let (key, secret, url) = (bench.server.access_key(), bench.server.secret_key(), bench.server.endpoint());
    let out = bench.dir.path().join("direct");
    let words = ["restore", "--from", "s3://backups/www/", "--endpoint-url", &url, "--to"];
    let mut command = binary(&[&words[..], &[out.to_str().unwrap(), "--at", &at(all[1].0)]].concat());
    command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_REGION", "us-east-1");
    let ran = Ran::of(command).await;
    assert_eq!((ran.code, tree(&out) == all[1].1), (0, true), "{}", ran.stderr);
}

/// `a b` lies between `a` and `a/x` among the keys: of either the trash tells what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_whose_keys_lie_among_each_other_come_back_by_the_trash() {
    let bench = Bench::with(&format!("{QUICK}{TRASH}")).await;
    let names = ["a/x", "a b", "a.rclonelink"];
    for n in 1..3 {
        for name in names {
            write(&bench.root, name.as_bytes(), format!("{name} {n}").as_bytes(), 0o644, 1_600_000_000 + n);
        }
        assert_eq!(bench.run(&["once"]).await.code, 0);
        passed().await;
    }
    let out = bench.dir.path().join("out");
    let ran = restore(&bench, &out, &["--at", &at(passed().await), "a", "a b", "a.rclonelink"]).await;
    assert_eq!((ran.code, &ran.summary()["restored"]), (0, &3.into()), "{ran:?}");
    assert!(tree(&out) == tree(&bench.root), "{:?}", tree(&out).keys());
}

/// New metadata makes an object new to the store; the bytes are what they were, and by versions all is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_touched_since_is_not_taken_for_new() {
    for (lines, exact) in [(TRASH, false), ("", true)] {
        let bench = Bench::with(&format!("{QUICK}{lines}")).await;
        if exact {
            version(&bench, BucketVersioningStatus::Enabled).await;
        }
        write(&bench.root, b"touched", b"as ever", 0o644, 1_600_000_000);
        write(&bench.root, b"large", &noise(9 << 20, 3), 0o644, 1_600_000_000);
        assert_eq!(bench.run(&["once"]).await.code, 0);
        let (first, was) = (passed().await, tree(&bench.root));
        for mode in [0o600, 0o640] {
            for name in ["touched", "large"] {
                fs::set_permissions(bench.root.join(name), fs::Permissions::from_mode(mode)).unwrap();
            }
            let ran = bench.run(&["once", "--json"]).await;
            assert_eq!((ran.code, &ran.summary()["metadata"]), (0, &2.into()), "{ran:?}");
            passed().await;
        }
        let out = bench.dir.path().join("out");
        let ran = restore(&bench, &out, &["--at", &at(first)]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(tree(&out) == if exact { was } else { tree(&bench.root) });
        // and when it is replaced after that
        write(&bench.root, b"touched", b"another", 0o644, 1_600_000_000);
        assert_eq!(bench.run(&["once"]).await.code, 0);
        let out = bench.dir.path().join("before");
        assert_eq!(restore(&bench, &out, &["--at", &at(first)]).await.code, 0);
        assert_eq!(fs::read(out.join("touched")).unwrap(), b"as ever");
    }
}

/// Whoever has neither, or had neither then, is told so, and nothing is restored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_known_is_refused() {
    let bench = Bench::new().await;
    let out = bench.dir.path().join("out");
    let refused = async |when: u64, says: &[&str]| {
        let ran = restore(&bench, &out, &["--at", &at(when)]).await;
        assert_eq!((ran.code, out.exists()), (3, false), "{ran:?}");
        for says in says {
            assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
        }
        assert!(ran.summary()["error"].as_str().unwrap().contains("turn on versioning"), "{ran:?}");
    };
    write(&bench.root, b"a", b"one", 0o644, 1);
    write(&bench.root, b"kept", b"as ever", 0o644, 1);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let first = passed().await;
    refused(first, &["keeps no versions", "has no trash"]).await;
    // a trash since later, and one that was off in between
    let mirror = |lines: &str| bench.mirror("www", &bench.root, "www/", &format!("{QUICK}{lines}"));
    bench.configure(&mirror(TRASH));
    write(&bench.root, b"a", b"two", 0o644, 2);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let second = passed().await;
    refused(first, &["keeps no versions", "its trash reaches back to"]).await;
    assert_eq!(restore(&bench, &bench.dir.path().join("two"), &["--at", &at(second)]).await.code, 0);
    bench.configure(&mirror(""));
    write(&bench.root, b"a", b"three", 0o644, 3);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    refused(second, &["has no trash"]).await;
    bench.configure(&mirror(TRASH));
    write(&bench.root, b"a", b"four", 0o644, 4);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    refused(second, &["its trash reaches back to"]).await;
    // versions since later
    version(&bench, BucketVersioningStatus::Enabled).await;
    let third = passed().await;
    write(&bench.root, b"a", b"five", 0o644, 5);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    refused(second, &["nothing below the prefix shows"]).await;
    let ran = restore(&bench, &bench.dir.path().join("four"), &["--at", &at(third)]).await;
    assert_eq!(ran.code, 0, "the trash reaches back to it: {ran:?}");
    assert_eq!(fs::read(bench.dir.path().join("four/a")).unwrap(), b"four");
    for nonsense in ["2999-01-01T00:00:00Z", "yesterday", "2h", "2026-11-29T11:50:13"] {
        let ran = restore(&bench, &out, &["--at", nonsense]).await;
        assert_eq!((ran.code, out.exists()), (2, false), "{nonsense}: {ran:?}");
    }
}

/// While versions are suspended what is written takes the place of what was written so before: of such a key it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_while_versions_were_suspended_is_told_by_name() {
    let bench = Bench::new().await;
    version(&bench, BucketVersioningStatus::Enabled).await;
    for (name, text) in [("a", "one"), ("b", "one"), ("c", "one")] {
        bench.write(name, text);
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let first = passed().await;
    version(&bench, BucketVersioningStatus::Suspended).await;
    bench.write("a", "two, without a version");
    bench.remove("c");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    for again in [false, true] {
        if again {
            version(&bench, BucketVersioningStatus::Enabled).await;
        }
        let out = bench.dir.path().join(format!("out {again}"));
        let ran = restore(&bench, &out, &["--at", &at(first)]).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        let told = outcomes(&ran);
        assert_eq!(["a", "b", "c"].map(|name| told[name].as_str()), ["failed", "done", "failed"], "{ran:?}");
        assert_eq!(tree(&out).len(), 1);
        assert!(ran.stderr.contains("kept no versions"), "{}", ran.stderr);
    }
}

/// Another server, whose pages and markers have forms of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_generation_comes_back_on_moto() {
    let Some(moto) = Moto::start() else { return skip("python3 has no moto") };
    moto.create_bucket("backups");
    let site = Site::new(moto.endpoint(), "k", "s");
    let boto3 = Outsider::start(&site.endpoint, "k", "s", "backups").await;
    let Some(mut boto3) = boto3 else { return skip("python3 has no boto3") };
    boto3.keep_versions().await;
    let mut all = vec![];
    for n in 1..4 {
        generation(&site.root, n);
        // which moto has no place for
        fs::remove_dir_all(site.root.join("odd")).unwrap();
        let ran = site.once(&["--delete", "mirror"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        all.push((passed().await, tree(&site.root)));
    }
    for (n, (second, want)) in all.iter().enumerate() {
        let out = site.dir.path().join(format!("out {n}"));
        let ran = site.restore(&out, &["--at", &at(*second)]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(tree(&out) == *want, "generation {n}");
    }
}
