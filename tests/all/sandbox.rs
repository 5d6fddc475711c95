//! The daemon with just what the shipped unit leaves it: its system calls and address families, no capability, a user
//! without rights, and a disk that it can write to nowhere but in its state directory.

use crate::support::{
    bench::{Bench, PATIENCE, Ran, behind},
    skip,
    space::Space,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
};
use tokio::process::Command;

const NOBODY: Option<u32> = Some(65534);
/// What needs more than reading and sending.
const ALL: &str = r#"
delete_grace = "50ms"
debounce = { quiet = "20ms", longest = "1s" }
xattrs = true
hard_links = true
before_read = ["/bin/true"]
drill = "1s"
scrub = "1d"
"#;

/// The words in there, shut in as the unit says.
fn jailed(space: &Space, command: Command) -> Command {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new("python3");
    python.arg(source.join("tests/support/sandbox.py")).arg(source.join("systemd/s3mirrord.service"));
    space.enter(behind(python, command))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_it_does_can_be_done_with_what_the_unit_leaves_it() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can give rights up so that a mount stays");
    }
    let bench = Bench::with(ALL).await;
    let (state, open) = (bench.state(), bench.dir.path().join("open"));
    for dir in [&state, &open] {
        fs::create_dir(dir).unwrap();
    }
    chown(&state, NOBODY, NOBODY).unwrap();
    chown(bench.config(), NOBODY, NOBODY).unwrap();
    fs::set_permissions(bench.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    // where the build lies it may not be readable to everybody
    let binary = bench.dir.path().join("s3mirrord");
    fs::copy(env!("CARGO_BIN_EXE_s3mirrord"), &binary).unwrap();
    let script = format!("mount --bind {state:?} {state:?} && mount -o remount,bind,ro /");
    let Some(space) = Space::new(&["--mount", "--propagation=private"], &script) else { return };

    let shell = |script: &str| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]);
        jailed(&space, shell)
    };
    let there = Ran::of(shell(&format!("echo here > {state:?}/probe && cat {state:?}/probe"))).await;
    assert_eq!((there.code, &*there.stdout), (0, "here\n"), "{there:?}");
    let elsewhere = Ran::of(shell(&format!("echo x > {open:?}/x"))).await;
    assert!(elsewhere.code != 0 && elsewhere.stderr.contains("Read-only"), "{elsewhere:?}");
    let mounts = Ran::of(shell("mount -t tmpfs none /mnt")).await;
    assert!(mounts.code != 0, "a call that the unit forbids: {mounts:?}");

    bench.write("d/plain", "1");
    bench.write("large", &"x".repeat(20 << 20));
    symlink("d/plain", bench.root.join("link")).unwrap();
    fs::hard_link(bench.root.join("d/plain"), bench.root.join("twin")).unwrap();
    let command = |words: &[&str]| {
        let plain = bench.command(words);
        let mut command = Command::new(&binary);
        command.args(words).env_clear();
        for (name, value) in plain.as_std().get_envs() {
            command.env(name, value.unwrap());
        }
        command
    };
    let mut daemon = bench.start_logged(jailed(&space, command(&["run"])));
    let settled = |told: &serde_json::Value| told["mirrors"][0]["settled"] == true;
    bench.await_status("settled", settled).await;
    bench.write("d/other", "2");
    bench.write("later/new", "3");
    fs::remove_file(bench.root.join("link")).unwrap();
    let large = "x".repeat(20 << 20);
    bench
        .await_objects(&[
            ("d/other", "2"),
            ("d/plain", "1"),
            ("large", &large),
            ("later/new", "3"),
            ("twin", "1"),
        ])
        .await;
    bench.await_status("drilled", |told| told["mirrors"][0]["drill"]["success"].is_i64()).await;
    let process = Pid::from_raw(daemon.id().unwrap() as i32).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, daemon.wait()).await.expect("it ends in time").unwrap();
    let log = bench.log();
    assert!(ended.success() && !log.contains("not permitted") && !log.contains("Read-only"), "{ended} {log}");
    let again = Ran::of(jailed(&space, command(&["once"]))).await;
    assert_eq!((again.code, &*again.stderr), (0, ""), "{again:?}");
}
