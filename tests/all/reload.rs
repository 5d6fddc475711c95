//! SIGHUP: the configuration is read anew, beside uploads that are under way.

use crate::support::{
    bench::{Bench, PATIENCE, QUICK},
    manager::Manager,
};
use rustix::process::{Pid, Signal, kill_process};
use s3mirrord::{
    embedded::{Kind, Rule},
    ledger::Lock,
};
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::process::Child;

/// As long as it takes to see that others were not held up.
const SLOW: &str = "bandwidth = \"64KiB/s\"\n";

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), signal).unwrap();
}

/// Further roots, each with a file.
fn roots<const N: usize>(bench: &Bench, names: [&str; N]) -> [PathBuf; N] {
    names.map(|name| {
        let root = bench.dir.path().join(name);
        fs::create_dir(&root).unwrap();
        fs::write(root.join("file"), name).unwrap();
        root
    })
}

fn named<'a>(told: &'a Value, name: &str) -> Option<&'a Value> {
    told["mirrors"].as_array()?.iter().find(|mirror| mirror["mirror"] == name)
}

/// These mirrors and no others, in this order; all settled but `www`.
fn serves<'a>(names: &'a [&str]) -> impl Fn(&Value) -> bool + 'a {
    move |told| {
        let all = told["mirrors"].as_array().unwrap();
        all.iter().map(|mirror| mirror["mirror"].as_str().unwrap()).eq(names.iter().copied())
            && all.iter().all(|mirror| mirror["mirror"] == "www" || mirror["settled"] == true)
    }
}

/// How often a mirror was opened.
fn opened(bench: &Bench, name: &str) -> usize {
    let said =
        |line: &&str| line.contains("root and prefix are open") && line.contains(&format!("mirror={name:?}"));
    bench.log().lines().filter(said).count()
}

async fn until(bench: &Bench, what: &str, is: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}\n{}", bench.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until `status` shows it.
async fn shown(bench: &Bench, what: &str, shows: impl Fn(&Value) -> bool) {
    let asked = async || {
        let ran = bench.run(&["status", "--json"]).await;
        serde_json::from_str(&ran.stdout).is_ok_and(|told: Value| shows(&told))
    };
    until(bench, what, asked).await;
}

async fn end(bench: &Bench, mut child: Child) {
    send(&child, Signal::TERM);
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends in time").unwrap();
    assert_eq!(ended.code(), Some(0), "{}", bench.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn c68_a_reload_begins_changes_and_ends_mirrors_beside_one_that_sends() {
    let bench = Bench::new().await;
    let [two, three] = roots(&bench, ["two", "three"]);
    let www = bench.mirror("www", &bench.root, "www/", &format!("{QUICK}{SLOW}"));
    let mirror =
        |name, root, lines: &str| bench.mirror(name, root, &format!("{name}/"), &(QUICK.to_owned() + lines));
    bench.configure(&(www.clone() + &mirror("two", &two, "")));
    let daemon = bench.start_logged(bench.command(&["run"]));
    bench
        .await_status("settled", |told| {
            told["mirrors"].as_array().unwrap().iter().all(|m| m["settled"] == true)
        })
        .await;
    // some seconds of it
    let large = "x".repeat(400 << 10);
    bench.write("large", &large);
    shown(&bench, "it is sent", |told| named(told, "www").unwrap()["in_flight"] == 1).await;

    bench.configure(&(mirror("three", &three, "") + &www + &mirror("two", &two, "rescan = \"2h\"\n")));
    send(&daemon, Signal::HUP);
    shown(&bench, "one more", serves(&["three", "www", "two"])).await;
    until(&bench, "the changed one is begun anew", async || opened(&bench, "two") == 2).await;
    fs::write(two.join("later"), "seen").unwrap();
    until(&bench, "the changed one goes on", async || bench.objects_below("two/").await.len() == 2).await;
    assert_eq!(bench.objects_below("three/").await["file"], "three");
    let held = Lock::acquire(&bench.state().join("two"));
    assert!(held.is_err(), "it is this daemon's");

    bench.configure(&(www + &mirror("three", &three, "")));
    send(&daemon, Signal::HUP);
    shown(&bench, "one less", serves(&["www", "three"])).await;
    until(&bench, "its ledger is free", async || Lock::acquire(&bench.state().join("two")).is_ok()).await;
    // all of that was while it was sent
    shown(&bench, "it is still sent", |told| named(told, "www").unwrap()["in_flight"] == 1).await;
    fs::write(two.join("unseen"), "nobody looks").unwrap();
    until(&bench, "it is sent whole", async || bench.objects().await.get("large") == Some(&large)).await;
    // its watch is the same
    bench.write("small", "after");
    until(&bench, "it is seen", async || bench.objects().await.contains_key("small")).await;
    assert_eq!(
        (opened(&bench, "www"), opened(&bench, "two"), opened(&bench, "three")),
        (1, 2, 1),
        "{}",
        bench.log()
    );
    assert_eq!(bench.objects_below("two/").await.len(), 2);
    end(&bench, daemon).await;
    let log = bench.log();
    let mut sent: Vec<_> = log.lines().filter_map(|line| Some(line.split_once(" put key=")?.1)).collect();
    sent.sort();
    assert!(sent.len() == 5 && sent.windows(2).all(|two| two[0] != two[1]), "nothing twice: {sent:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c68_a_configuration_with_an_error_changes_nothing_and_is_told() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    let mut manager = Manager::new(bench.dir.path());
    let mut command = bench.command(&["run"]);
    manager.employ(&mut command);
    let daemon = bench.start_logged(command);
    manager.hear("READY=1").await;
    bench.await_objects(&[("a", "a")]).await;
    let good = fs::read_to_string(bench.config()).unwrap();

    let moved = bench.dir.path().join("elsewhere");
    let (was, is) = (format!("{:?}", bench.state()), format!("{moved:?}"));
    for (text, says) in [
        // both of its problems, each with its place and what to write
        (
            good.replace("quiet = \"20ms\"", "quiet = \"20 parsecs\"") + "[[mirror]]\nname = \"www\"\n",
            &[
                "config.toml:14:22: ",
                "parsecs",
                "config.toml:16:1: ",
                "has no `bucket`; write",
                "config.toml:17:8: ",
                "`www`; give each a name of its own",
            ][..],
        ),
        (good.replace(&was, &is), &["`state_dir` is", "restart it, or write state_dir = "]),
        ("mirror".into(), &["config.toml:1:"]),
    ] {
        fs::write(bench.config(), text).unwrap();
        let before = bench.log().len();
        send(&daemon, Signal::HUP);
        let begun = manager.hear("RELOADING=1").await;
        assert!(begun.contains("MONOTONIC_USEC="), "{begun}");
        let from = manager.heard.len();
        manager.hear("READY=1").await;
        let heard = manager.since(from).concat();
        assert!(heard.contains("STATUS=") && heard.contains("was not loaded anew: "), "{heard}");
        let told = bench.log()[before..].to_owned();
        assert!(says.iter().all(|says| told.contains(says)), "{says:?}\n{told}");
        assert!(told.contains("all goes on as before"), "{told}");
        // who asks the daemon is answered, whatever stands in the file by now
        let ran = bench.run(&["status"]).await;
        let text = fs::read_to_string(bench.config()).unwrap();
        if text.contains(&was) {
            assert!(
                ran.code == 0 && ran.stdout.starts_with("the configuration was not loaded anew: "),
                "{ran:?}"
            );
        } else {
            assert_eq!(
                ran.code,
                if text.contains(&is) { 3 } else { 2 },
                "where it is cannot be known: {ran:?}"
            );
        }
    }
    bench.write("b", "b");
    bench.await_objects(&[("a", "a"), ("b", "b")]).await;
    assert_eq!(opened(&bench, "www"), 1);
    assert!(!moved.exists());

    fs::write(bench.config(), good).unwrap();
    let from = manager.heard.len();
    send(&daemon, Signal::HUP);
    manager.hear("RELOADING=1").await;
    manager.hear("READY=1").await;
    let last = manager.since(from).into_iter().rfind(|told| told.starts_with("STATUS=")).unwrap();
    assert!(!last.contains("not loaded anew"), "{last}");
    let told = bench.await_status("in sync", |told| told["mirrors"][0]["state"] == "in sync").await;
    assert!(told["refused"].is_null(), "{told}");
    assert_eq!(opened(&bench, "www"), 1, "it is as it was");
    end(&bench, daemon).await;
}

/// One whose last upload never ends is given up after 25 seconds. Until then it keeps up whoever is to have its place,
/// and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_does_not_end_keeps_up_nobody_but_its_successor() {
    let bench = Bench::new().await;
    let [two, three, moved] = roots(&bench, ["two", "three", "moved"]);
    let mirror = |name: &str, root| bench.mirror(name, root, &format!("{name}/"), QUICK);
    bench.configure(&(mirror("two", &two) + &mirror("www", &bench.root)));
    let hangs = Rule::new(Kind::Latency(Duration::from_secs(600))).operation("PutObject").key("two/hangs");
    let hangs = bench.server.faults().add(hangs);
    let mut manager = Manager::new(bench.dir.path());
    let mut command = bench.command(&["run"]);
    manager.employ(&mut command);
    let daemon = bench.start_logged(command);
    manager.hear("READY=1").await;
    shown(&bench, "settled", |told| named(told, "two").unwrap()["settled"] == true).await;
    fs::write(two.join("hangs"), "never sent").unwrap();
    shown(&bench, "it hangs", |told| named(told, "two").unwrap()["in_flight"] == 1).await;

    bench.configure(&(mirror("two", &moved) + &mirror("www", &bench.root) + &mirror("three", &three)));
    send(&daemon, Signal::HUP);
    let begun = Instant::now();
    let others = |told: &Value| named(told, "three").is_some_and(|three| three["settled"] == true);
    shown(&bench, "the others are served", others).await;
    bench.write("a", "a");
    until(&bench, "a change is seen", async || bench.objects().await.contains_key("a")).await;
    let waits = |told: &Value| {
        named(told, "two").unwrap()["trouble"].as_str().is_some_and(|told| told.contains("still ending"))
    };
    shown(&bench, "it says what it waits for", waits).await;
    manager.hear("READY=1").await;
    manager.hear("WATCHDOG=1").await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(opened(&bench, "two"), 1);
    assert!(bench.server.faults().remove(hangs), "it was there");
    // the moved root is another one, which is told by the one that is now in its place
    let another =
        |told: &Value| named(told, "two").unwrap()["trouble"].as_str().is_some_and(|t| t.contains("another"));
    shown(&bench, "it is in its place", another).await;
    assert!(begun.elapsed() > Duration::from_secs(15), "not before: {:?}\n{}", begun.elapsed(), bench.log());
    end(&bench, daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_gets_another_name_waits_for_what_it_was() {
    let bench = Bench::new().await;
    bench.configure(&bench.mirror("www", &bench.root, "www/", &format!("{QUICK}{SLOW}")));
    let daemon = bench.start_logged(bench.command(&["run"]));
    shown(&bench, "settled", |told| told["mirrors"][0]["settled"] == true).await;
    let large = "x".repeat(200 << 10);
    bench.write("large", &large);
    shown(&bench, "it is sent", |told| told["mirrors"][0]["in_flight"] == 1).await;
    bench.configure(&bench.mirror("web", &bench.root, "www/", QUICK));
    send(&daemon, Signal::HUP);
    shown(&bench, "renamed", serves(&["web"])).await;
    assert_eq!(bench.objects().await.get("large"), Some(&large));
    let log = bench.log();
    let at = |what: &str, name: &str| {
        let line =
            log.lines().position(|line| line.contains(what) && line.contains(&format!("mirror={name:?}")));
        line.unwrap_or_else(|| panic!("{what} {name}\n{log}"))
    };
    assert!(
        at("put key=large", "www") < at("ended: ", "www") && at("ended: ", "www") < at("are open", "web"),
        "{log}"
    );
    assert!(!log.contains("put key=large bytes=204800 mirror=\"web\""), "{log}");
    end(&bench, daemon).await;
}

/// At the rate that it had it would take four minutes, which nobody waits for here; begun anew it would be opened twice.
#[tokio::test(flavor = "multi_thread")]
async fn another_rate_holds_for_what_is_being_sent_already() {
    let bench = Bench::new().await;
    let mirror = |lines: &str| bench.mirror("www", &bench.root, "www/", &(QUICK.to_owned() + lines));
    bench.configure(&mirror("bandwidth = \"16KiB/s\"\n"));
    let daemon = bench.start_logged(bench.command(&["run"]));
    shown(&bench, "settled", |told| told["mirrors"][0]["settled"] == true).await;
    let large = "x".repeat(4 << 20);
    bench.write("large", &large);
    shown(&bench, "it is sent", |told| told["mirrors"][0]["in_flight"] == 1).await;
    bench.configure(&mirror(""));
    send(&daemon, Signal::HUP);
    until(&bench, "it is sent whole", async || bench.objects().await.get("large") == Some(&large)).await;

    // and a limit where there was none, of all mirrors
    let limited = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), format!("bandwidth = \"256KiB/s\"\n{limited}")).unwrap();
    let before = bench.log().len();
    send(&daemon, Signal::HUP);
    let taken = "all mirrors together keep to another bandwidth";
    until(&bench, "it is taken", async || bench.log()[before..].contains(taken)).await;
    assert!(bench.log()[before..].contains("1 as before") && !bench.log()[before..].contains("it keeps to"));
    assert_eq!(bench.log()[..before].matches("it keeps to another bandwidth").count(), 1);
    let slower = Instant::now();
    let small = "y".repeat(1 << 20);
    bench.write("small", &small);
    until(&bench, "it is sent, too", async || bench.objects().await.get("small") == Some(&small)).await;
    assert!(slower.elapsed() > Duration::from_secs(3), "{:?}", slower.elapsed());
    assert_eq!(opened(&bench, "www"), 1, "{}", bench.log());
    let puts = bench.log().lines().filter(|line| line.contains(" put key=large")).count();
    assert_eq!(puts, 1, "{}", bench.log());
    end(&bench, daemon).await;
}
