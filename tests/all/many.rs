//! Many mirrors in one process: each follows its own directory, and what is wrong with one is not the others' matter.

use crate::support::bench::{Bench, QUICK};
use std::{fs, time::Duration};

const MIRRORS: usize = 50;

/// Of `/proc/PID/status` (proc(5)): a number.
fn of_process(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Ticks of the processor that it took (proc(5), utime and stime: hundredths of a second).
fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest: Vec<_> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    rest[11].parse::<u64>().unwrap() + rest[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_mirrors_in_one_process_each_follow_their_directory() {
    let bench = Bench::new().await;
    let root = |n: usize| bench.dir.path().join(format!("root-{n}"));
    let mirrors: Vec<_> =
        (0..MIRRORS).map(|n| bench.mirror(&format!("m{n}"), &root(n), &format!("m{n}/"), QUICK)).collect();
    // one of them has no root
    for n in 1..MIRRORS {
        fs::create_dir_all(root(n).join("d")).unwrap();
        fs::write(root(n).join("d/f"), format!("first of {n}")).unwrap();
    }
    bench.configure(&mirrors.concat());
    let mut daemon = bench.start_logged(bench.command(&["run"]));
    let pid = daemon.id().unwrap();
    let others_settled = |told: &serde_json::Value| {
        let mirrors = told["mirrors"].as_array().unwrap();
        mirrors.len() == MIRRORS && mirrors[1..].iter().all(|mirror| mirror["settled"] == true)
    };
    bench.await_status("49 mirrors in sync", others_settled).await;
    for n in 1..MIRRORS {
        fs::write(root(n).join("d/g"), format!("second of {n}")).unwrap();
        fs::remove_file(root(n).join("d/f")).unwrap();
    }
    for n in 1..MIRRORS {
        let begun = std::time::Instant::now();
        let want = [("d/g".to_owned(), format!("second of {n}"))].into();
        while bench.objects_below(&format!("m{n}/")).await != want {
            assert!(begun.elapsed() < crate::support::bench::PATIENCE, "m{n}: {}", bench.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // the one whose root comes late
    fs::create_dir_all(root(0)).unwrap();
    fs::write(root(0).join("late"), "x").unwrap();
    let all_settled =
        |told: &serde_json::Value| told["mirrors"].as_array().unwrap().iter().all(|m| m["settled"] == true);
    bench.await_status("all 50 in sync", all_settled).await;
    assert_eq!(bench.objects_below("m0/").await.len(), 1);

    // a watcher, a ledger and what waits for disks: so many for each, and not for each file
    let (threads, rss) = (of_process(pid, "Threads:"), of_process(pid, "VmRSS:"));
    let before = ticks(pid);
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!(
        "{MIRRORS} mirrors: {threads} threads, {} MiB, {} ticks in 3 s at rest",
        rss >> 10,
        ticks(pid) - before
    );
    assert!(threads < 6 * MIRRORS as u64, "{threads} threads");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid as i32).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert_eq!(daemon.wait().await.unwrap().code(), Some(0));
}
