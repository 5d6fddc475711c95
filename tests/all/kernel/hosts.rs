//! More than one that would hold a prefix: of two hosts, of one host, and after a holder was killed.

use super::*;
use crate::support::bench::Ran;
use std::{os::unix::fs::OpenOptionsExt, path::PathBuf};

/// A configuration beside that of a bench: state and root of its own, the same prefix.
struct Other {
    config: PathBuf,
    root: PathBuf,
}

impl Other {
    fn new(bench: &Bench, root: PathBuf) -> Self {
        let (config, state) = (bench.dir.path().join("other.toml"), bench.dir.path().join("other state"));
        let text = fs::read_to_string(bench.config()).unwrap();
        let text = text.replace(&format!("{:?}", bench.state()), &format!("{state:?}"));
        let text = text.replace(&format!("root = {:?}", bench.root), &format!("root = {root:?}"));
        let mut open = fs::OpenOptions::new();
        let file = open.write(true).create_new(true).mode(0o600).open(&config).unwrap();
        std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
        Self { config, root }
    }

    fn command(&self, bench: &Bench, words: &[&str]) -> Command {
        let mut command = bench.command(words);
        command.env("S3MIRRORD_CONFIG", &self.config);
        command
    }
}

fn kill(child: &Child) {
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn c63_a_second_host_is_refused_until_it_takes_over_even_after_the_first_was_killed() {
    let Some(space) = Space::new(&["--uts"], "echo another-host > /proc/sys/kernel/hostname") else { return };
    let bench = Bench::new().await;
    keep_versions(&bench).await;
    // the second has a copy of what the first has, and lacks some of it by now
    let other = Other::new(&bench, bench.dir.path().join("copy"));
    fs::create_dir(&other.root).unwrap();
    for n in 0..20 {
        bench.write(&format!("f{n}"), "same");
        if n < 15 {
            fs::write(other.root.join(format!("f{n}")), "same").unwrap();
        }
    }
    let mut first = start_as(&bench, bench.command(&["run"]));
    bench.await_status("settled", settled).await;

    let holder = format!("process {} on host ", first.id().unwrap());
    let refused = Ran::of(space.enter(other.command(&bench, &["once"]))).await;
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains(&holder) && refused.stderr.contains("--take-over"), "{refused:?}");
    // a daemon waits until the claim is void, and says so
    let second = start_as(&bench, space.enter(other.command(&bench, &["run"])));
    let says = async || log(&bench).contains(&holder) && log(&bench).contains("--take-over");
    until(&bench, "it says who holds the prefix", says).await;
    bench.write("f0", "changed");
    until(&bench, "the first goes on", async || bench.objects().await["f0"] == "changed").await;
    bench.await_status("settled", settled).await;
    assert_eq!(touched(&bench).await, ["f0"]);
    assert_eq!(stop(second).await, Some(0));

    kill(&first);
    first.wait().await.unwrap();
    let refused = Ran::of(space.enter(other.command(&bench, &["once"]))).await;
    assert_eq!(refused.code, 5, "its claim outlives it: {refused:?}");
    assert_eq!(touched(&bench).await, ["f0"]);
    fs::write(other.root.join("f0"), "changed").unwrap();
    fs::write(other.root.join("new"), "new").unwrap();
    let taken = Ran::of(space.enter(other.command(&bench, &["once", "--take-over"]))).await;
    assert_eq!(taken.code, 0, "{taken:?}");
    assert_eq!(deleted(&bench).await, ["f15", "f16", "f17", "f18", "f19"], "its own root counts now");
    let refused = bench.run(&["once"]).await;
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("on host another-host"), "{refused:?}");
    let have = bench.objects().await;
    assert_eq!((have.len(), &*have["new"]), (16, "new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn c63_two_daemons_of_one_host_with_one_root_lose_nothing() {
    let bench = Bench::new().await;
    keep_versions(&bench).await;
    let other = Other::new(&bench, bench.root.clone());
    for n in 0..20 {
        bench.write(&format!("f{n}"), "1");
    }
    let first = start_as(&bench, bench.command(&["run"]));
    bench.await_status("settled", settled).await;
    let second = start_as(&bench, other.command(&bench, &["run"]));
    for round in 2..6 {
        let mut want = vec![];
        for n in 0..20 {
            let (name, text) = (format!("f{n}"), format!("{round}"));
            match (n + round) % 4 {
                0 => drop(fs::remove_file(bench.root.join(&name))),
                _ => {
                    bench.write(&name, &text);
                    want.push((name, text));
                }
            }
        }
        let want: Vec<_> = want.iter().map(|(name, text)| (&**name, &**text)).collect();
        bench.await_objects(&want).await;
    }
    assert_eq!((stop(first).await, stop(second).await), (Some(0), Some(0)));
}

/// A configuration that was copied, with another root: what the bucket holds is not of that root.
#[tokio::test(flavor = "multi_thread")]
async fn c07_c63_another_root_on_the_same_host_touches_nothing_of_the_first() {
    let bench = Bench::new().await;
    keep_versions(&bench).await;
    bench.write("a", "1");
    bench.write("b", "1");
    let first = start_as(&bench, bench.command(&["run"]));
    bench.await_status("settled", settled).await;
    let other = Other::new(&bench, bench.dir.path().join("another"));
    fs::create_dir(&other.root).unwrap();
    fs::write(other.root.join("a"), "of another root").unwrap();
    let refused = Ran::of(other.command(&bench, &["once"])).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("another directory"), "{refused:?}");
    assert_eq!(touched(&bench).await, [""; 0]);
    assert_eq!(stop(first).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn c63_c65_a_pass_that_waits_beside_a_daemon_goes_on_when_that_is_killed() {
    let bench = Bench::new().await;
    bench.write("a", "1");
    let mut daemon = start_as(&bench, bench.command(&["run"]));
    bench.await_status("settled", settled).await;
    let beside = bench.run(&["once"]).await;
    assert_eq!(beside.code, 5, "{beside:?}");
    assert!(beside.stderr.contains(&format!("process {}", daemon.id().unwrap())), "{beside:?}");
    let waits = tokio::spawn(Ran::of(bench.command(&["once", "--wait", "50s", "--json"])));
    bench.write("b", "2");
    until(&bench, "the daemon sends on", async || bench.objects().await.contains_key("b")).await;
    assert!(!waits.is_finished());
    kill(&daemon);
    daemon.wait().await.unwrap();
    let waited = waits.await.unwrap();
    assert_eq!((waited.code, &waited.summary()["failed"]), (0, &0.into()), "{waited:?}");
    assert_eq!(bench.objects().await.len(), 2);
}
