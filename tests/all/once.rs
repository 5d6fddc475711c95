//! `once`, as cron and scripts see it: the real binary against the embedded server.

use crate::support::bench::{Bench, QUICK, Ran, binary};
use s3mirrord::embedded::{Kind, Rule};
use std::{
    fs,
    os::unix::ffi::OsStrExt,
    time::{Duration, Instant},
};

fn counts(told: &serde_json::Value, names: &[&str]) -> Vec<u64> {
    names.iter().map(|name| told[name].as_u64().unwrap_or_else(|| panic!("{name} in {told}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_second_pass_sends_one_list_and_one_get_and_reads_nothing() {
    let bench = Bench::new().await;
    for n in 0..50 {
        bench.write(&format!("d{}/f{n}", n % 7), &"x".repeat(n));
    }
    let first = bench.run(&["once", "--json"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    let sums = first.summary();
    assert_eq!(counts(&sums, &["uploaded", "unchanged", "bytes", "exit"]), [50, 0, 49 * 25, 0]);
    assert!(sums["bytes_read"].as_u64() >= Some(49 * 25), "{sums}");
    assert_eq!(first.actions().len(), 50);
    assert_eq!(bench.objects().await.len(), 50);

    bench.server.reset_requests();
    let second = bench.run(&["once", "--json"]).await;
    assert_eq!(second.code, 0, "{second:?}");
    let requests: Vec<_> = bench.server.requests().into_iter().collect();
    assert_eq!(requests, [("GetObject".to_owned(), 1), ("ListObjectsV2".to_owned(), 1)]);
    let sums = second.summary();
    assert_eq!(counts(&sums, &["uploaded", "unchanged", "bytes", "bytes_read"]), [0, 50, 0, 0]);
    assert_eq!(sums["requests"], serde_json::json!({"GetObject": 1, "ListObjectsV2": 1}));
    assert!(second.actions().is_empty() && second.stderr.is_empty(), "{second:?}");

    let quiet = bench.run(&["once"]).await;
    assert_eq!((quiet.code, &*quiet.stdout, &*quiet.stderr), (0, "", ""), "a clean pass from cron is silent");
    let told = bench.run(&["once", "-v"]).await;
    assert!(told.stdout.contains("50 unchanged"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_once_then_does_and_changes_nothing() {
    let bench = Bench::new().await;
    bench.write("same", "1");
    let first = bench.run(&["once", "--dry-run", "--json"]).await;
    assert_eq!((first.code, first.actions().len()), (0, 1), "{first:?}");
    assert!(
        !bench.state().exists() && bench.objects_below("").await.is_empty(),
        "no state, no object, no claim"
    );
    for (name, text) in
        [("same", "1"), ("edited", "2"), ("old", "some text"), ("gone", "4"), ("touched", "5")]
    {
        bench.write(name, text);
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.write("edited", "22");
    bench.write("new", "6");
    bench.remove("gone");
    fs::rename(bench.root.join("old"), bench.root.join("renamed")).unwrap();
    let touched = fs::File::options().append(true).open(bench.root.join("touched")).unwrap();
    touched.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9");
    fs::write(bench.root.join(odd), "7").unwrap();

    let before = (bench.objects().await, ledger_bytes(&bench));
    bench.server.reset_requests();
    let dry = bench.run(&["once", "--dry-run", "--json"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert_eq!((bench.objects().await, ledger_bytes(&bench)), before);
    for op in bench.server.requests().keys() {
        assert!(["GetObject", "HeadObject", "ListObjectsV2"].contains(&&**op), "{op}");
    }
    let told = dry.actions();
    assert!(told.iter().all(|(_, _, outcome)| outcome == "planned"), "{told:?}");

    let wet = bench.run(&["once", "--json"]).await;
    assert_eq!(wet.code, 0, "{wet:?}");
    let done = wet.actions();
    assert!(done.iter().all(|(_, _, outcome)| outcome == "done"), "{done:?}");
    let pairs = |all: &[(String, String, String)]| -> Vec<_> {
        all.iter().map(|(op, path, _)| (op.clone(), path.clone())).collect()
    };
    assert_eq!(pairs(&told), pairs(&done));
    let want = [
        ("copy", "renamed"),
        ("delete", "gone"),
        ("delete", "old"),
        ("metadata", "touched"),
        ("put", "caf\u{fffd}"),
        ("put", "edited"),
        ("put", "new"),
    ];
    assert_eq!(pairs(&done), want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let copy = &wet.events("action").into_iter().find(|a| a["op"] == "copy").unwrap();
    assert_eq!(copy["from"], "old");
    let odd = &wet.events("action").into_iter().find(|a| a["path"] == "caf\u{fffd}").unwrap();
    assert_eq!(odd["path_b64"], "Y2Fm6Q==");
}

fn ledger_bytes(bench: &Bench) -> Vec<u8> {
    fs::read(bench.state().join("www/ledger.redb")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn c61_held_deletes_exit_4_until_they_are_approved() {
    let lines = format!("{QUICK}max_delete = {{ count = 2, percent = 100, window = \"1h\" }}");
    let bench = Bench::with(&lines).await;
    for name in ["a/1", "a/2", "b/3", "keep"] {
        bench.write(name, name);
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let nothing = bench.run(&["approve", "--yes"]).await;
    assert_eq!(nothing.code, 0, "{nothing:?}");
    for name in ["a/1", "a/2", "b/3"] {
        bench.remove(name);
    }
    bench.write("new", "n");
    let dry = bench.run(&["once", "--dry-run"]).await;
    assert_eq!(dry.code, 4, "{dry:?}");
    let held = bench.run(&["once", "--json"]).await;
    assert_eq!(held.code, 4, "{held:?}");
    assert!(held.stderr.contains("s3mirrord approve --mirror www"), "{held:?}");
    assert_eq!(counts(&held.summary(), &["held", "uploaded", "deleted", "exit"]), [3, 1, 0, 4]);
    assert_eq!(bench.objects().await.len(), 5, "uploads went on, nothing was deleted");

    let asked = bench.run(&["approve"]).await;
    assert_eq!(asked.code, 2, "without a terminal it wants --yes: {asked:?}");
    assert!(asked.stdout.contains("3 deletes") && asked.stdout.contains("a/1"), "{asked:?}");
    let wrong = bench.run(&["approve", "--plan", "0123456789abcdef-9", "--yes"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let plan = asked.stdout.split_whitespace().skip_while(|word| *word != "plan").nth(1).unwrap();
    assert_eq!(bench.run(&["once"]).await.code, 4, "nothing was approved yet");
    let yes = bench.run(&["approve", "--mirror", "www", "--plan", plan, "--yes"]).await;
    assert_eq!(yes.code, 0, "{yes:?}");
    let done = bench.run(&["once", "--json"]).await;
    assert_eq!((done.code, counts(&done.summary(), &["deleted", "held"])), (0, vec![3, 0]), "{done:?}");
    assert_eq!(bench.objects().await.into_keys().collect::<Vec<_>>(), ["keep", "new"]);

    for name in ["keep", "new"] {
        bench.remove(name);
    }
    bench.write("x", "x");
    let later = bench.run(&["once"]).await;
    assert_eq!(later.code, 0, "approved deletes do not count: {later:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c63_a_held_lock_is_5_and_names_its_holder() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    let lock = s3mirrord::ledger::Lock::acquire(&bench.state().join("www")).unwrap();
    let second = bench.run(&["once", "--json"]).await;
    assert_eq!(second.code, 5, "{second:?}");
    assert!(second.stderr.contains(&format!("process {}", std::process::id())), "{second:?}");
    assert_eq!(second.summary()["exit"], 5);
    let waited = tokio::spawn(Ran::of(bench.command(&["once", "--wait", "50s"])));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waited.is_finished());
    drop(lock);
    assert_eq!(waited.await.unwrap().code, 0);
    assert_eq!(bench.objects().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_fail_are_1_and_are_told_while_the_others_go_on() {
    let bench = Bench::new().await;
    bench.write("bad", "bad");
    bench.write("good", "good");
    bench.server.faults().add(Rule::new(Kind::InternalError).operation("PutObject").key("/bad"));
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(counts(&ran.summary(), &["uploaded", "failed", "exit"]), [1, 1, 1]);
    let failed = ran.events("action").into_iter().find(|a| a["outcome"] == "failed").unwrap();
    assert_eq!((&failed["op"], &failed["path"]), (&"put".into(), &"bad".into()));
    assert!(
        failed["error"].as_str().unwrap().contains("500")
            || failed["error"].as_str().unwrap().contains("Internal"),
        "{failed}"
    );
    assert!(ran.stderr.contains("bad"), "{ran:?}");
    bench.server.faults().clear();
    assert_eq!(bench.run(&["once"]).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_fails_keeps_the_old_object() {
    let bench = Bench::new().await;
    for (old, new) in [("b", "a"), ("c", "d")] {
        bench.write(old, old);
        assert_eq!(bench.run(&["once"]).await.code, 0);
        fs::rename(bench.root.join(old), bench.root.join(new)).unwrap();
        let rule = |operation| Rule::new(Kind::InternalError).operation(operation).key(&format!("/{new}"));
        for operation in ["CopyObject", "PutObject"] {
            bench.server.faults().add(rule(operation));
        }
        let ran = bench.run(&["once", "--json"]).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(counts(&ran.summary(), &["failed", "deleted"]), [1, 0], "{old} to {new}");
        bench.server.faults().clear();
        let ran = bench.run(&["once", "--json"]).await;
        assert_eq!(counts(&ran.summary(), &["copied", "deleted", "exit"]), [1, 1, 0], "{old} to {new}");
    }
}

/// A policy that denies some names: the store lets the mirror write, and says so when it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn c54_what_may_not_be_written_is_1_and_the_rest_goes_on() {
    let bench = Bench::new().await;
    (0..40).for_each(|n| bench.write(&format!("d{n:02}.secret"), "d"));
    bench.write("large.secret", &"d".repeat(9 << 20));
    bench.write("good", "good");
    bench.server.faults().add(Rule::new(Kind::AccessDenied).key(".secret"));
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(counts(&ran.summary(), &["uploaded", "failed", "exit"]), [1, 41, 1]);
    assert!(ran.stderr.contains("d00.secret") && ran.stderr.contains("allow s3:PutObject"), "{ran:?}");
    let again = bench.run(&["once", "--json"]).await;
    assert_eq!(counts(&again.summary(), &["unchanged", "failed", "exit"]), [1, 41, 1]);
    bench.server.faults().clear();
    assert_eq!(bench.run(&["once"]).await.code, 0);
}

/// The prefix was claimed, and then nothing may be written any more.
#[tokio::test(flavor = "multi_thread")]
async fn c54_when_nothing_may_be_written_it_is_3() {
    let bench = Bench::new().await;
    (0..40).for_each(|n| bench.write(&format!("{n}.txt"), "d"));
    let denied = || Rule::new(Kind::AccessDenied).operation("PutObject");
    let files = bench.server.faults().add(denied().key(".txt"));
    bench.server.faults().add(denied().key("owner.json").skip(1));
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, &ran.summary()["exit"]), (3, &3.into()), "{ran:?}");
    assert!(ran.stderr.contains("allow s3:PutObject"), "{ran:?}");
    assert!(bench.server.faults().met(files) >= 8, "files were tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn c54_a_store_that_lets_nobody_in_is_3() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    bench.server.faults().add(Rule::new(Kind::AccessDenied));
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, &ran.summary()["exit"]), (3, &3.into()), "{ran:?}");
    assert!(ran.summary()["error"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn c60_a_missing_root_is_3_and_an_empty_one_deletes_nothing() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let away = bench.dir.path().join("away");
    fs::rename(&bench.root, &away).unwrap();
    let missing = bench.run(&["once", "--json"]).await;
    assert_eq!((missing.code, &missing.summary()["exit"]), (3, &3.into()), "{missing:?}");
    fs::create_dir(&bench.root).unwrap();
    let another = bench.run(&["once"]).await;
    assert_eq!(another.code, 3, "another directory of that name: {another:?}");
    assert!(another.stderr.contains("s3mirrord approve"), "{another:?}");
    assert_eq!(bench.objects().await.len(), 1);
    fs::remove_dir(&bench.root).unwrap();
    fs::rename(&away, &bench.root).unwrap();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.remove("a");
    let empty = bench.run(&["once"]).await;
    assert_eq!(empty.code, 4, "the same root, emptied: {empty:?}");
    assert_eq!(bench.objects().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn c07_another_root_is_accepted_by_an_operator_alone() {
    let bench = Bench::new().await;
    bench.write("a", "old");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    fs::rename(&bench.root, bench.dir.path().join("away")).unwrap();
    bench.write("a", "new");
    bench.write("b", "b");
    assert_eq!(bench.run(&["once"]).await.code, 3);
    let have = bench.objects().await;
    assert_eq!((&*have["a"], &*have["b"]), ("old", "b"), "only what the bucket lacked was uploaded");
    let asked = bench.run(&["approve"]).await;
    assert_eq!(asked.code, 2, "{asked:?}");
    assert_eq!(asked.stdout.matches("inode").count(), 2, "both identities are shown: {asked:?}");
    assert_eq!(bench.run(&["approve", "--yes"]).await.code, 0);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(bench.objects().await["a"], "new");
}

/// A prefix within another's is a mistake. What is there is another mirror's: it is not adopted, and not deleted either when a file goes
/// that is equal to it.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_mirror_has_within_this_prefix_is_told_and_left_alone() {
    let bench = Bench::new().await;
    let inner = bench.dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    (0..49).for_each(|n| fs::write(inner.join(format!("f{n}")), "theirs").unwrap());
    // that is listed before the record that says whose it is
    fs::write(inner.join("!first"), "theirs").unwrap();
    bench.configure(&bench.mirror("inner", &inner, "www/inner/", QUICK));
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let theirs = bench.objects_below("www/inner/").await;
    assert_eq!(theirs.len(), 50);
    for n in 0..50 {
        bench.put(&format!("www/d/e/leftover{n}"), "of another tool").await;
    }
    let both = ["inner/!first", "inner/f7"];
    both.iter().for_each(|name| bench.write(name, "theirs"));
    bench.configure(&bench.mirror("www", &bench.root, "www/", QUICK));
    for words in [&["once", "--json"][..], &["once", "--json", "--adopt"], &["once", "--json"]] {
        bench.server.reset_requests();
        let ran = bench.run(words).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let told =
            ran.stderr.lines().filter(|line| line.contains("another mirror's prefix lies within this one"));
        let told: Vec<_> = told.collect();
        assert!(told.len() == 1 && told[0].contains("prefix=\"inner/\""), "{ran:?}");
        let heads = bench.server.requests().get("HeadObject").copied().unwrap_or_default();
        assert!(heads <= 100 + 5, "each directory is asked for once: {heads}");
        for name in both {
            let _ = fs::remove_file(bench.root.join(name));
        }
    }
    let left = bench.objects().await;
    assert!(!left.keys().any(|key| key.starts_with("d/")), "they were adopted, and have no file");
    assert_eq!(bench.objects_below("www/inner/").await, theirs);
    let record = "www/inner/.s3mirrord/owner.json";
    assert!(bench.client().head_object().bucket("backups").key(record).send().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_ours_that_is_called_as_an_owner_record_is_no_other_mirrors() {
    let bench = Bench::new().await;
    bench.write("sub/.s3mirrord/owner.json", "a copy of a bucket, say");
    bench.write("sub/a", "a");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.put("www/sub/leftover", "of another tool").await;
    bench.remove("sub/a");
    let ran = bench.run(&["once", "--json", "--adopt"]).await;
    assert!(ran.code == 0 && !ran.stderr.contains("another mirror"), "{ran:?}");
    assert_eq!(bench.objects().await.into_keys().collect::<Vec<_>>(), ["sub/.s3mirrord/owner.json"]);
}

/// A server that is not there is waited for, for a while: it may be starting. Whoever waits is told what for.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_answers_a_pass_tells_what_it_waits_for_and_then_what_to_check() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    // bound, and nobody accepts: each connection is refused, and the port is nobody else's
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let there = format!("http://{}", nobody.local_addr().unwrap());
    let config = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), config.replace(&bench.server.endpoint(), &there)).unwrap();
    let ran = bench.run(&["once"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("the store has not answered yet"), "{ran:?}");
    assert!(
        ran.stderr.contains("Connection refused") && ran.stderr.contains("check `endpoint_url`"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_a_directory_and_a_target_are_enough() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    let (root, state) = (bench.root.to_str().unwrap().to_owned(), bench.dir.path().join("own"));
    let direct = |more: &[&str]| {
        let mut words = vec!["once", &*root, "s3://backups/direct/", "--json"];
        let endpoint = bench.server.endpoint();
        words.extend(["--endpoint-url", &endpoint, "--state-dir", state.to_str().unwrap()]);
        words.extend(more);
        let mut command = binary(&words);
        command
            .env("AWS_ACCESS_KEY_ID", bench.server.access_key())
            .env("AWS_SECRET_ACCESS_KEY", bench.server.secret_key());
        Ran::of(command)
    };
    let first = direct(&[]).await;
    assert_eq!((first.code, counts(&first.summary(), &["uploaded"])), (0, vec![1]), "{first:?}");
    bench.remove("a");
    bench.write("b", "b");
    assert_eq!(direct(&[]).await.code, 0);
    assert_eq!(bench.objects_below("direct/").await.len(), 2, "deletes default to keep");
    assert_eq!(direct(&["--delete", "mirror"]).await.code, 0);
    assert_eq!(bench.objects_below("direct/").await.into_keys().collect::<Vec<_>>(), ["b"]);
}

/// True if a file system in memory is mounted there now.
fn mount_memory(at: &std::path::Path, options: &str) -> bool {
    let command =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
    let mounted = command.is_ok_and(|ran| ran.status.success());
    if !mounted {
        assert!(std::env::var_os("S3MIRRORD_REQUIRE_ALL").is_none(), "this needs to mount");
        eprintln!("skipped: cannot mount");
    }
    mounted
}

/// However little room there is, from none for the ledger's first page on, the disk is named and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn c64_a_first_pass_on_a_small_disk_says_that_the_disk_is_full() {
    let bench = Bench::new().await;
    let state = bench.state();
    std::fs::create_dir(&state).unwrap();
    for n in 0..1000 {
        bench.write(&format!("{n}-{}", "x".repeat(100)), "new");
    }
    for size in ["16k", "40k", "80k", "160k"] {
        if !mount_memory(&state, &format!("size={size},mode=700")) {
            return;
        }
        let full = bench.run(&["once"]).await;
        rustix::mount::unmount(&state, rustix::mount::UnmountFlags::DETACH).unwrap();
        assert_eq!(full.code, 3, "{size}: {full:?}");
        assert!(full.stderr.contains("free some space"), "{size}: {full:?}");
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(bench.objects().await.len(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn c64_a_pass_ends_when_the_disk_of_the_ledger_is_full() {
    let bench = Bench::new().await;
    let state = bench.state();
    std::fs::create_dir(&state).unwrap();
    let mount = |options: &str| mount_memory(&state, options);
    if !mount("size=2m,mode=700") {
        return;
    }
    bench.write("a", "a");
    let first = bench.run(&["once"]).await;
    let filled = std::fs::write(state.join("ballast"), vec![1; 4 << 20]);
    for n in 0..2000 {
        bench.write(&format!("{n}-{}", "x".repeat(200)), "new");
    }
    let full = bench.run(&["once"]).await;
    std::fs::remove_file(state.join("ballast")).unwrap();
    let grown = mount("remount,size=64m");
    let free = bench.run(&["once"]).await;
    rustix::mount::unmount(&state, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(first.code == 0 && filled.is_err() && grown, "{first:?}");
    assert_eq!(full.code, 3, "{full:?}");
    assert!(full.stderr.contains("free some space"), "{full:?}");
    assert_eq!(free.code, 0, "{free:?}");
    assert_eq!(bench.objects().await.len(), 2001);
}

#[tokio::test(flavor = "multi_thread")]
async fn c63_a_take_over_claims_even_if_there_is_nothing_else_to_do() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.claim_by_another_host().await;
    assert_eq!(bench.run(&["once"]).await.code, 5);
    assert_eq!(bench.run(&["once", "--dry-run", "--take-over"]).await.code, 0);
    assert_eq!(bench.run(&["once"]).await.code, 5, "a dry run claims nothing");
    assert_eq!(bench.run(&["once", "--take-over"]).await.code, 0);
    let after = bench.run(&["once"]).await;
    assert_eq!(after.code, 0, "it is ours now: {after:?}");
}

/// Case 70: with `S3MIRRORD_TEST_FILES=1000000`, the million.
#[tokio::test(flavor = "multi_thread")]
async fn c65_c70_a_first_pass_that_is_killed_goes_on_without_sending_again_what_was_sent() {
    let files: u64 = std::env::var("S3MIRRORD_TEST_FILES").map_or(5_000, |n| n.parse().unwrap());
    let bench = Bench::new().await;
    for n in 0..files {
        bench.write(&format!("d{:04}/f{n:07}", n / 1_000), "x");
    }
    let puts = |bench: &Bench| bench.server.requests().get("PutObject").copied().unwrap_or_default();
    for part in 1..=3 {
        let mut pass = bench.start(&["once"]);
        let deadline = Instant::now() + Duration::from_secs(60 + files / 100);
        while puts(&bench) < files * part / 4 {
            assert!(Instant::now() < deadline, "{:?}", bench.server.requests());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        pass.kill().await.unwrap(); // SIGKILL
    }
    let limit = Duration::from_secs(60 + files / 100);
    let last = Ran::within(limit, bench.command(&["once", "--json"])).await;
    assert_eq!(last.code, 0, "{}", last.stderr);
    // each life may lose what was in flight or not yet durable, and claims and probes anew
    let again = puts(&bench) - files;
    assert!(again <= 3 * (256 + 20) + 20, "{again} of {files} were sent again");
    let counted = bench.run(&["once", "--json"]).await.summary();
    assert_eq!(counts(&counted, &["unchanged", "uploaded", "bytes_read"]), [files, 0, 0]);
}
