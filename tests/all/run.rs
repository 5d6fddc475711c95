//! `run`, `status` and `approve`: the real daemon against the embedded server.

use crate::support::bench::{Bench, PATIENCE, QUICK, Ran};
use rustix::process::{Pid, Signal, kill_process};
use s3mirrord::embedded::{Kind, Rule};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::Child,
};

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().unwrap() as i32).unwrap();
    kill_process(pid, signal).unwrap();
}

async fn end(mut child: Child, signal: Signal) -> Option<i32> {
    send(&child, signal);
    tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends in time").unwrap().code()
}

fn settled(told: &serde_json::Value) -> bool {
    told["mirrors"].as_array().is_some_and(|all| all.iter().all(|m| m["settled"] == true))
}

#[tokio::test(flavor = "multi_thread")]
async fn c20_c65_c67_changes_arrive_through_stops_and_crashes() {
    let bench = Bench::new().await;
    bench.write("old", "old");
    let daemon = bench.start(&["run"]);
    bench.await_objects(&[("old", "old")]).await;
    bench.write("d/e/new", "1");
    bench.write("other", "2");
    bench.await_objects(&[("d/e/new", "1"), ("old", "old"), ("other", "2")]).await;
    bench.write("d/e/new", "changed");
    bench.remove("other");
    fs::rename(bench.root.join("old"), bench.root.join("renamed")).unwrap();
    bench.await_objects(&[("d/e/new", "changed"), ("renamed", "old")]).await;
    assert_eq!(bench.server.requests().get("CopyObject"), Some(&1), "the rename sent no bytes");
    // an atomic save leaves no object of its temporary name
    bench.write("d/.save", "saved");
    fs::rename(bench.root.join("d/.save"), bench.root.join("d/e/new")).unwrap();
    bench.await_objects(&[("d/e/new", "saved"), ("renamed", "old")]).await;
    let told = bench.await_status("settled", settled).await;
    assert_eq!((&told["mirrors"][0]["mirror"], &told["mirrors"][0]["files"]), (&"www".into(), &2.into()));
    assert_eq!(end(daemon, Signal::TERM).await, Some(0));
    assert!(!bench.state().join("control.sock").exists());

    bench.write("while away", "3");
    let daemon = bench.start(&["run"]);
    bench.await_objects(&[("d/e/new", "saved"), ("renamed", "old"), ("while away", "3")]).await;
    bench.write("crash", "4");
    assert_eq!(end(daemon, Signal::KILL).await, None);
    bench.remove("renamed");
    let daemon = bench.start(&["run"]);
    bench.await_objects(&[("crash", "4"), ("d/e/new", "saved"), ("while away", "3")]).await;
    assert_eq!(end(daemon, Signal::INT).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_looks_at_the_bucket_again() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    let daemon = bench.start(&["run"]);
    bench.await_status("settled", settled).await;
    let lists = || bench.server.requests().get("ListObjectsV2").copied().unwrap_or_default();
    let before = lists();
    send(&daemon, Signal::HUP);
    let begun = Instant::now();
    while lists() == before {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(end(daemon, Signal::TERM).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn c67_a_stop_under_load_finishes_what_is_in_flight() {
    let bench = Bench::new().await;
    for n in 0..100 {
        bench.write(&format!("f{n}"), "x");
    }
    let slow = Rule::new(Kind::Latency(Duration::from_millis(500))).operation("PutObject");
    let slow = bench.server.faults().add(slow.key("9"));
    let daemon = bench.start(&["run"]);
    // the prefix is claimed, and files are on their way
    let begun = Instant::now();
    while bench.objects().await.is_empty() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let code = end(daemon, Signal::TERM).await;
    assert_eq!(code, Some(0));
    bench.server.faults().remove(slow);
    let done = bench.objects().await.len() as u64;
    bench.server.reset_requests();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let sent = bench.server.requests().get("PutObject").copied().unwrap_or_default();
    assert!(sent <= 100 - done + 1, "what was finished was recorded: {done} done, then {sent} sent");
    assert_eq!(bench.objects().await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_ready_when_it_is_so_and_stopping() {
    let bench = Bench::new().await;
    let late = bench.dir.path().join("late");
    let mirrors =
        bench.mirror("www", &bench.root, "www/", QUICK) + &bench.mirror("late", &late, "late/", QUICK);
    bench.configure(&mirrors);
    let path = bench.dir.path().join("notify");
    let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
    let held =
        bench.server.faults().add(Rule::new(Kind::Latency(Duration::from_secs(2))).operation("GetObject"));
    let mut command = bench.command(&["run"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000000");
    let daemon = command.kill_on_drop(true).spawn().unwrap();
    let mut heard = vec![];
    let mut hear = async |what: &str| {
        let mut bytes = [0; 1024];
        loop {
            let n = tokio::time::timeout(PATIENCE, manager.recv(&mut bytes)).await.expect(what).unwrap();
            let told = String::from_utf8_lossy(&bytes[..n]).into_owned();
            heard.push(told.clone());
            if told.contains(what) {
                return heard.clone();
            }
        }
    };
    let before = hear("READY=1").await;
    assert!(before.iter().any(|told| told.contains("EXTEND_TIMEOUT_USEC")), "not ready at once: {before:?}");
    assert!(before.iter().any(|told| told.contains("STATUS=") && told.contains("late: ")), "{before:?}");
    bench.server.faults().remove(held);
    hear("WATCHDOG=1").await;
    send(&daemon, Signal::HUP);
    hear("RELOADING=1").await;
    hear("READY=1").await;
    send(&daemon, Signal::TERM);
    hear("STOPPING=1").await;
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn c61_an_approval_goes_over_the_socket() {
    let lines = format!("{QUICK}max_delete = {{ count = 1, percent = 100, window = \"1h\" }}");
    let bench = Bench::with(&lines).await;
    for name in ["1", "2", "keep"] {
        bench.write(name, name);
    }
    let daemon = bench.start(&["run"]);
    bench.await_status("settled", settled).await;
    bench.remove("1");
    bench.remove("2");
    let told = bench.await_status("held", |told| told["mirrors"][0]["held"]["deletes"] == 2).await;
    assert!(told["mirrors"][0]["held"]["why"].as_str().unwrap().contains("max_delete.count = 1"), "{told}");
    let human = bench.run(&["status"]).await;
    assert!(human.code == 0 && human.stdout.contains("s3mirrord approve --mirror www"), "{human:?}");
    assert_eq!(bench.run(&["approve"]).await.code, 2);
    assert_eq!(bench.run(&["approve", "--plan", "00-1", "--yes"]).await.code, 2);
    assert_eq!(bench.objects().await.len(), 3);
    let yes = bench.run(&["approve", "--yes"]).await;
    assert_eq!(yes.code, 0, "{yes:?}");
    bench.await_objects(&[("keep", "keep")]).await;
    bench.await_status("free again", |told| told["mirrors"][0]["held"].is_null() && settled(told)).await;
    assert_eq!(end(daemon, Signal::TERM).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn c07_another_root_is_told_and_accepted_over_the_socket() {
    let bench = Bench::new().await;
    bench.write("a", "old");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    fs::rename(&bench.root, bench.dir.path().join("away")).unwrap();
    bench.write("a", "new");
    let daemon = bench.start(&["run"]);
    bench.await_status("in trouble", |told| told["mirrors"][0]["trouble"].is_string()).await;
    assert_eq!(bench.objects().await["a"], "old");
    let yes = bench.run(&["approve", "--yes"]).await;
    assert!(yes.code == 0 && yes.stdout.matches("inode").count() == 2, "{yes:?}");
    bench.await_objects(&[("a", "new")]).await;
    bench.await_status("settled", settled).await;
    assert_eq!(end(daemon, Signal::TERM).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn c07_c09_a_root_that_goes_away_under_the_daemon_is_told_and_costs_nothing() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    let daemon = bench.start(&["run"]);
    bench.await_status("settled", settled).await;
    let away = bench.dir.path().join("away");
    let trouble = |told: &serde_json::Value| {
        told["mirrors"][0]["trouble"].is_string() && told["mirrors"][0]["settled"] == false
    };
    fs::rename(&bench.root, &away).unwrap();
    bench.await_status("in trouble: the root is missing", trouble).await;
    fs::rename(&away, &bench.root).unwrap();
    bench.await_status("settled", settled).await;

    fs::rename(&bench.root, &away).unwrap();
    bench.write("a", "of another root");
    let another = |told: &serde_json::Value| {
        trouble(told) && told["mirrors"][0]["trouble"].as_str().is_some_and(|t| t.contains("another"))
    };
    bench.await_status("in trouble: it is another one", another).await;
    assert_eq!(bench.objects().await["a"], "a");
    fs::remove_dir_all(&bench.root).unwrap();
    fs::rename(&away, &bench.root).unwrap();
    bench.write("b", "b");
    bench.await_objects(&[("a", "a"), ("b", "b")]).await;
    let told = bench.await_status("settled", settled).await;
    assert!(told["mirrors"][0]["degraded"].is_null() && told["mirrors"][0]["deleted"] == 0, "{told}");
    assert_eq!(end(daemon, Signal::TERM).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn c09_a_missing_root_is_waited_for_while_the_others_are_served() {
    let bench = Bench::new().await;
    let late = bench.dir.path().join("late");
    bench.configure(
        &(bench.mirror("www", &bench.root, "www/", QUICK) + &bench.mirror("late", &late, "late/", QUICK)),
    );
    bench.write("a", "a");
    let daemon = bench.start(&["run"]);
    bench.await_objects(&[("a", "a")]).await;
    let trouble = |told: &serde_json::Value| told["mirrors"][1]["trouble"].is_string();
    bench.await_status("in trouble", trouble).await;
    fs::create_dir(&late).unwrap();
    fs::write(late.join("b"), "b").unwrap();
    bench.await_status("settled", settled).await;
    assert_eq!(bench.objects_below("late/").await["b"], "b");
    assert_eq!(end(daemon, Signal::TERM).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn c63_a_daemon_whose_mirrors_are_all_held_ends_with_5() {
    let bench = Bench::new().await;
    let other = bench.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    let lock = s3mirrord::ledger::Lock::acquire(&bench.state().join("www")).unwrap();
    let alone = bench.run(&["run"]).await;
    assert_eq!(alone.code, 5, "{alone:?}");
    assert!(alone.stderr.contains(&format!("process {}", std::process::id())), "{alone:?}");
    bench.configure(
        &(bench.mirror("www", &bench.root, "www/", QUICK) + &bench.mirror("two", &other, "two/", QUICK)),
    );
    fs::write(other.join("x"), "x").unwrap();
    bench.write("a", "a");
    let daemon = bench.start(&["run"]);
    let one = |told: &serde_json::Value| {
        told["mirrors"][0]["trouble"].is_string() && told["mirrors"][1]["settled"] == true
    };
    bench.await_status("one held, one settled", one).await;
    drop(lock);
    bench.await_objects(&[("a", "a")]).await;
    let beside = bench.run(&["once", "--mirror", "two"]).await;
    assert_eq!(beside.code, 5, "{beside:?}");
    assert_eq!(end(daemon, Signal::TERM).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_private_and_takes_no_nonsense() {
    let bench = Bench::new().await;
    let none = bench.run(&["status"]).await;
    assert_eq!(none.code, 3, "{none:?}");
    assert!(none.stderr.contains("s3mirrord run"), "{none:?}");
    let daemon = bench.start(&["run"]);
    bench.await_status("settled", settled).await;
    let path = bench.state().join("control.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for (words, answer) in [
        (&b"{}\n"[..], "not understood"),
        (b"hello\n", "not understood"),
        (b"{\"request\":\"question\",\"mirror\":\"x\\u001b\"}\n", "no mirror"),
        (&[b'x'; 70_000], "too long"),
        (b"{\"request\":\"status\"}\n", "\"mirror\":\"www\""),
    ] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        // it may hang up on what is too long before all of it is sent
        let _ = stream.write_all(words).await;
        let mut told = vec![0; 4096];
        let n = tokio::time::timeout(PATIENCE, stream.read(&mut told)).await.unwrap().unwrap_or_default();
        let told = String::from_utf8_lossy(&told[..n]).into_owned();
        assert!(told.contains(answer) || answer == "too long", "{told}");
    }
    assert_eq!(end(daemon, Signal::KILL).await, None);
    assert!(path.exists(), "a daemon that was killed leaves its socket");
    assert_eq!(bench.run(&["status"]).await.code, 3);
    let daemon = bench.start(&["run"]);
    bench.await_status("settled", settled).await;
    assert_eq!(end(daemon, Signal::TERM).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_configurations_are_told_whole() {
    let bench = Bench::new().await;
    bench.configure("[[mirror]]\nname = \"a/b\"\nroot = \"rel\"\nbuckets = \"x\"\n");
    for verb in ["run", "once", "status", "approve"] {
        let ran: Ran = bench.run(&[verb]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        for says in ["name", "root", "bucket"] {
            assert!(ran.stderr.contains(says), "{ran:?}");
        }
    }
}
