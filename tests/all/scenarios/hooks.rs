//! `before_read` and `after_read`: the real binary, and commands that tell what they saw.

use crate::support::{
    bench::{Bench, PATIENCE, QUICK},
    scene::Scene,
};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Instant};

/// A program that tells what it was run as, and then does this.
fn program(bench: &Bench, name: &str, then: &str) -> PathBuf {
    let (path, log) = (bench.dir.path().join(name), told_at(bench));
    let text = format!(
        "#!/bin/sh\necho \"{name} $* $S3MIRRORD_MIRROR $S3MIRRORD_ROOT\" >> {}\necho words of {name}\n{then}\n",
        log.display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn told_at(bench: &Bench) -> PathBuf {
    bench.dir.path().join("told")
}

/// Which programs were run, in order; forgotten then.
fn told(bench: &Bench) -> Vec<String> {
    let text = fs::read_to_string(told_at(bench)).unwrap_or_default();
    let _ = fs::remove_file(told_at(bench));
    text.lines().map(str::to_owned).collect()
}

fn configure(bench: &Bench, before: &PathBuf, after: &PathBuf, lines: &str) {
    let lines = format!("before_read = [{before:?}, \"one word\"]\nafter_read = [{after:?}]\n{lines}{QUICK}");
    bench.configure(&bench.mirror("www", &bench.root, "www/", &lines));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_sends_what_a_command_has_just_made() {
    let bench = Bench::new().await;
    bench.write("a", "1");
    let dump = format!("echo dumped > {}/dump", bench.root.display());
    let (before, after) =
        (program(&bench, "before", &dump), program(&bench, "after", "rm $S3MIRRORD_ROOT/dump"));
    configure(&bench, &before, &after, "");
    let root = bench.root.display();
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, ran.summary()["uploaded"].as_u64()), (0, Some(2)), "{ran:?}");
    assert_eq!(told(&bench), [format!("before one word www {root}"), format!("after  www {root}")]);
    assert!(ran.stderr.contains("words of before"), "what it says is told, and not on stdout: {ran:?}");
    assert_eq!(bench.objects().await["dump"], "dumped\n");
    assert_eq!(bench.run(&["once", "--dry-run"]).await.code, 0);
    assert!(told(&bench).is_empty(), "a dry run runs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_or_takes_too_long_keeps_the_pass_from_reading() {
    let bench = Bench::new().await;
    bench.write("a", "1");
    let after = program(&bench, "after", "");
    let late = bench.dir.path().join("late");
    let slow = format!("(sleep 4; touch {}) & sleep 100", late.display());
    for (then, says) in [("exit 7", "exit status: 7"), (&slow, "longer than 1s")] {
        let before = program(&bench, "before", then);
        configure(&bench, &before, &after, "hook_timeout = \"1s\"\n");
        let begun = Instant::now();
        let ran = bench.run(&["once", "--json"]).await;
        assert_eq!((ran.code, ran.summary()["exit"].as_u64()), (1, Some(1)), "{ran:?}");
        assert!(ran.stderr.contains(says) && ran.stderr.contains("before_read of www"), "{ran:?}");
        assert_eq!(told(&bench).len(), 2, "after_read is run in any case");
        assert!(bench.objects().await.is_empty() && begun.elapsed() < PATIENCE / 2);
    }
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(!late.exists(), "what it has begun is ended with it");
    configure(&bench, &bench.dir.path().join("none"), &after, "");
    let ran = bench.run(&["once"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("No such file"), "{ran:?}");
    // what comes after fails: all is there, and it is told
    let (before, after) = (program(&bench, "before", ""), program(&bench, "after", "exit 9"));
    configure(&bench, &before, &after, "");
    let ran = bench.run(&["once"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("exit status: 9"), "{ran:?}");
    assert_eq!(bench.objects().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_stopped_runs_what_comes_after() {
    let bench = Bench::new().await;
    let (before, after) = (program(&bench, "before", "sleep 100"), program(&bench, "after", ""));
    configure(&bench, &before, &after, "");
    let mut child = bench.start(&["once"]);
    let begun = Instant::now();
    while !told_at(&bench).exists() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let id = rustix::process::Pid::from_raw(child.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!((status.code(), told(&bench).len()), (Some(1), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_reads_between_the_two_commands() {
    let Some(mut scene) = Scene::new().await else { return };
    let flag = scene.bench.dir.path().join("frozen");
    let before = program(&scene.bench, "before", &format!("touch {}", flag.display()));
    let after = program(&scene.bench, "after", &format!("rm {}", flag.display()));
    configure(&scene.bench, &before, &after, "");
    scene.start();
    scene.write("a", "1");
    scene.write("b", "2");
    scene.in_sync().await;
    scene.until("thawed", || !flag.exists()).await;
    scene.write("c", "3");
    scene.in_sync().await;
    scene.stop().await;
    assert!(!flag.exists(), "what was frozen is not left so");
    let told = told(&scene.bench);
    assert!(told.len() >= 4 && told.len().is_multiple_of(2), "{told:?}");
    for pair in told.chunks(2) {
        assert!(pair[0].starts_with("before") && pair[1].starts_with("after"), "{told:?}");
    }
}
