//! Limits of inotify: too few watches, no instance, a queue that is too short.

use super::*;
use crate::support::skip;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// What is not seen is looked for each second, instead of each minute.
const POLLED: &str = "delete_grace = \"50ms\"\nmax_delete = \"off\"\nrescan = \"1s\"\n\
                      debounce = { quiet = \"20ms\", longest = \"1s\" }";

/// Files in many directories are changed, made and deleted; all of it arrives, and nothing else is touched.
async fn all_arrives(bench: &Bench) {
    let before = history(bench).await;
    let mut expected = vec![];
    for n in (0..150).step_by(3) {
        expected.push(format!("d{n:03}/f"));
        match n % 2 {
            0 => bench.remove(&format!("d{n:03}/f")),
            _ => bench.write(&format!("d{n:03}/f"), "changed"),
        }
        bench.write(&format!("d{n:03}/new"), "new");
    }
    let equal = async || {
        let have = bench.objects().await;
        let is = |name: &str, text| have.get(name).map(|text| &**text) == text;
        (0..150).all(|n| {
            let (file, new) = (format!("d{n:03}/f"), format!("d{n:03}/new"));
            match (n % 3, n % 2) {
                (0, 0) => is(&file, None) && is(&new, Some("new")),
                (0, _) => is(&file, Some("changed")) && is(&new, Some("new")),
                _ => is(&file, Some("1")) && is(&new, None),
            }
        })
    };
    until(bench, "all changes", equal).await;
    bench.await_status("settled", settled).await;
    let after = history(bench).await;
    let changed: Vec<_> =
        before.iter().filter(|(name, times)| after[*name] != **times).map(|(name, _)| name.clone()).collect();
    assert_eq!(changed, expected);
}

/// What the user may not have more of than so many; then more.
async fn within(limit: &'static str, script: &'static str, told: &[&str]) {
    let Some(space) = Space::new(&["--user", "--map-root-user"], script) else { return };
    let bench = Bench::with(POLLED).await;
    keep_versions(&bench).await;
    (0..150).for_each(|n| bench.write(&format!("d{n:03}/f"), "1"));
    let daemon = start(&bench, &space);
    bench.await_status("settled", settled).await;
    bench.await_status("degraded", says("degraded", told)).await;
    all_arrives(&bench).await;
    space.run(&format!("echo 10000 > /proc/sys/user/{limit}"), &[]);
    // it tries for more twice a minute
    bench.await_status("restored", |told| mirror(told)["degraded"].is_null() && settled(told)).await;
    assert!(log(&bench).contains("changes are seen as they happen again"), "{}", log(&bench));
    bench.write("d149/last", "last");
    until(&bench, "the last", async || bench.objects().await.contains_key("d149/last")).await;
    assert_eq!(stop(daemon).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn c05_a_hundred_watches_for_more_directories_lose_nothing_and_more_are_used_when_there_are() {
    // of 151 directories 99 are watched: the canary is, too
    let told = ["52 of 151 directories are not watched", "user.max_inotify_watches is 100", "= 512`"];
    within("max_inotify_watches", "echo 100 > /proc/sys/user/max_inotify_watches", &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c05_c10_without_any_watcher_nothing_is_lost_and_one_is_used_when_there_is() {
    let told = ["user.max_inotify_instances = "];
    within("max_inotify_instances", "echo 0 > /proc/sys/user/max_inotify_instances", &told).await;
}

/// Queues of events that are made meanwhile are that short, of everybody: there is no such limit for some alone. Whatever
/// becomes of us, it ends with us.
struct ShortQueues(std::process::Child);

impl ShortQueues {
    fn new(events: usize) -> Option<Self> {
        let script = format!(
            "at=/proc/sys/fs/inotify/max_queued_events; was=$(cat $at); echo {events} > $at; echo ready; \
             cat > /dev/null; echo $was > $at"
        );
        let mut keeper = Command::new("sh");
        keeper.args(["-ec", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = Self(keeper.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(keeper.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "ready\n" {
            skip("fs.inotify.max_queued_events cannot be set, and a namespace has none of its own");
            return None;
        }
        Some(keeper)
    }
}

impl Drop for ShortQueues {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c02_a_queue_of_sixteen_events_that_overflows_loses_nothing() {
    let bench = Bench::new().await;
    keep_versions(&bench).await;
    for n in 0..20 {
        bench.write(&format!("old/{n}"), "old");
    }
    let Some(short) = ShortQueues::new(16) else { return };
    let daemon = start_as(&bench, bench.command(&["run"]));
    let pid = daemon.id().unwrap();
    let watches = async || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(Result::ok);
        open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|to| to.to_string_lossy().contains("inotify"))
    };
    until(&bench, "it watches", watches).await;
    drop(short);
    bench.await_status("settled", settled).await;

    // while it stands still, more happens than the queue takes: directories are made of which it never hears
    let send = |signal| kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
    send(Signal::STOP);
    // (it hears of the first files, and of nothing that comes after)
    let made = |dir: &str, n| (format!("{dir}/{n}"), "new".to_owned());
    let mut want: Vec<_> = (100..150).map(|n| made("old", n)).collect();
    want.extend((0..100).map(|n| made(&format!("born/{}", n % 7), n)));
    want.iter().for_each(|(name, text)| bench.write(name, text));
    for n in 0..20 {
        match n % 2 {
            0 => bench.remove(&format!("old/{n}")),
            _ => want.push((format!("old/{n}"), "old".to_owned())),
        }
    }
    send(Signal::CONT);
    fn borrowed(all: &[(String, String)]) -> Vec<(&str, &str)> {
        all.iter().map(|(name, text)| (&**name, &**text)).collect()
    }
    bench.await_objects(&borrowed(&want)).await;
    assert!(log(&bench).contains("events were lost"), "{}", log(&bench));
    assert_eq!(deleted(&bench).await.len(), 10);

    // and they are watched now
    want.push(("born/3/later".to_owned(), "later".to_owned()));
    bench.write("born/3/later", "later");
    bench.await_objects(&borrowed(&want)).await;
    assert_eq!(stop(daemon).await, Some(0));
}
