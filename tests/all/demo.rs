//! `demo`, as a reader and as a script use it.

use crate::support::bench::{PATIENCE, Ran, binary};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    time::timeout,
};

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_sees_a_directory_in_sync_and_nothing_left_behind() {
    let (dir, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(dir.path().join("d")).unwrap();
    for (name, text) in [("a", "1"), ("d/b", "22")] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    for words in
        [&["demo", "--exit-when-synced"][..], &["demo", dir.path().to_str().unwrap(), "--exit-when-synced"]]
    {
        let mut command = binary(words);
        // whatever of AWS there is, it is not used
        command
            .env("TMPDIR", temporary.path())
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
            .env("AWS_PROFILE", "no");
        let ran = Ran::of(command).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.lines().last().unwrap().starts_with("verified: "), "{ran:?}");
        assert!(!ran.stdout.contains('\x1b'), "{ran:?}");
        assert!(
            ran.stdout.contains("rclone ")
                && ran.stdout.contains("boto3")
                && ran.stdout.contains("aws --endpoint-url")
        );
        assert_eq!(names(temporary.path()), BTreeSet::new());
    }
    assert_eq!(names(dir.path()), ["a", "d"].map(str::to_owned).into(), "nothing is written into it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_is_told_to_its_end() {
    let ran = Ran::of(binary(&["demo"])).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for says in
        ["film.mp4 → summer.mp4", "bytes sent for the rename: 0", "max_delete.count = 20", "' approve\n"]
    {
        assert!(ran.stdout.contains(says), "{says}: {ran:?}");
    }
    assert_eq!(ran.stdout.lines().last(), Some("  s3mirrord once DIR s3://your-bucket/prefix/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_alone_tells_where_it_is_and_what_was_asked() {
    let words = ["demo", "--server-only", "--listen", "127.0.0.1:0", "--bucket", "backups"];
    let keys = ["--access-key", "me", "--secret-key", "hush"];
    let mut command = binary(&[&words[..], &keys].concat());
    let mut child = command.kill_on_drop(true).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    timeout(PATIENCE, lines.read_line(&mut first)).await.expect("in time").unwrap();
    let told: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (&told["event"], &told["access_key"], &told["secret_key"], &told["bucket"]),
        (&"listening".into(), &"me".into(), &"hush".into(), &"backups".into())
    );
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(dir.path().join("a"), "a").unwrap();
    let once = || {
        let endpoint = told["endpoint"].as_str().unwrap();
        let mut once =
            binary(&["once", dir.path().to_str().unwrap(), "s3://backups/x/", "--endpoint-url", endpoint]);
        once.args(["--state-dir", state.path().to_str().unwrap()]);
        once.env("AWS_ACCESS_KEY_ID", "me").env("AWS_SECRET_ACCESS_KEY", "hush");
        Ran::of(once)
    };
    let pid = Pid::from_raw(child.id().unwrap() as i32).unwrap();
    for pass in 1..=2 {
        assert_eq!(once().await.code, 0);
        kill_process(pid, Signal::USR1).unwrap();
        let mut line = String::new();
        timeout(PATIENCE, lines.read_line(&mut line)).await.expect("in time").unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&told["event"], &told["requests"]["ListObjectsV2"]),
            (&"so_far".into(), &pass.into()),
            "{told}"
        );
    }
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(timeout(PATIENCE, child.wait()).await.expect("in time").unwrap().code(), Some(0));
    let mut rest = String::new();
    lines.read_to_string(&mut rest).await.unwrap();
    let told: Value = serde_json::from_str(rest.trim()).unwrap();
    assert_eq!(
        (&told["event"], &told["requests"]["ListObjectsV2"]),
        (&"requests".into(), &2.into()),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_away_server_holds_requests_back_all_at_once() {
    let words = ["demo", "--server-only", "--listen", "127.0.0.1:0", "--latency", "400ms"];
    let mut command = binary(&words);
    let mut child = command.kill_on_drop(true).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = timeout(PATIENCE, lines.next_line()).await.expect("in time").unwrap().unwrap();
    let told: Value = serde_json::from_str(&first).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for name in 0..40 {
        fs::write(dir.path().join(name.to_string()), "a").unwrap();
    }
    // a pass to an empty prefix: its requests and its seconds
    let pass = async |prefix: &str| {
        let (state, target) = (tempfile::tempdir().unwrap(), format!("s3://demo/{prefix}/"));
        let mut once = binary(&["once", dir.path().to_str().unwrap(), &target, "--json"]);
        once.args(["--endpoint-url", told["endpoint"].as_str().unwrap()]);
        once.args(["--state-dir", state.path().to_str().unwrap()]);
        once.env("AWS_ACCESS_KEY_ID", told["access_key"].as_str().unwrap());
        once.env("AWS_SECRET_ACCESS_KEY", told["secret_key"].as_str().unwrap());
        let ran = Ran::of(once).await;
        let summary: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
        let requests = summary["requests"].as_object().unwrap().values().map(|n| n.as_f64().unwrap());
        (requests.sum::<f64>(), summary["seconds"].as_f64().unwrap())
    };
    let (requests, seconds) = pass("far").await;
    // the listing, the owner and the puts wait one after the other, the 40 puts together
    assert!(requests >= 42.0 && seconds > 1.2, "{requests} requests in {seconds} s");
    assert!(seconds < 0.4 * requests - 4.0, "{requests} requests in {seconds} s");
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::USR2).unwrap();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("in time").unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["on"], false, "{line}");
    let near = pass("near").await.1;
    assert!(near < seconds - 0.8, "{near} s without the latency, {seconds} s with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_the_readers_own_is_followed_until_ctrl_c() {
    let (dir, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(dir.path().join("first"), "1").unwrap();
    let mut command = binary(&["demo", dir.path().to_str().unwrap()]);
    command.env("TMPDIR", temporary.path()).kill_on_drop(true).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = async |what: &str| {
        let seen = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(what) {
                    return true;
                }
            }
            false
        };
        assert!(timeout(PATIENCE, seen).await.expect("in time"), "{what}");
    };
    until("first").await;
    until("in sync").await;
    fs::write(dir.path().join("second"), "2").unwrap();
    until("second").await;
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::INT).unwrap();
    assert_eq!(timeout(PATIENCE, child.wait()).await.expect("in time").unwrap().code(), Some(0));
    assert_eq!(names(temporary.path()), BTreeSet::new());
}
