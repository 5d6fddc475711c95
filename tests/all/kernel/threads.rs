//! A thread that hangs: the one that reads what the kernel tells.

use super::*;
use crate::support::{manager::Manager, skip};
use std::{
    io::{BufRead, BufReader},
    process::{Child as Process, Command as Program, Stdio},
};

/// Holds one thread of a process, as a debugger does, until it ends.
struct Held(Process);

const HOLD: &str = "
import ctypes, os, sys
libc, thread = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
SEIZE, INTERRUPT, ANY = 0x4206, 0x4207, 0x40000000
if libc.ptrace(SEIZE, thread, 0, 0) or libc.ptrace(INTERRUPT, thread, 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(thread, ANY)
print('held', flush=True)
sys.stdin.read()
";

impl Held {
    fn new(thread: u64) -> Option<Self> {
        let mut python = Program::new("python3");
        python.args(["-c", HOLD, &thread.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(python) = python.spawn() else {
            skip("there is no python3");
            return None;
        };
        let mut held = Self(python);
        let mut line = String::new();
        BufReader::new(held.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "held\n" {
            skip("a thread of another process cannot be held (ptrace)");
            return None;
        }
        Some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Threads of a process whose name begins so.
fn threads(pid: u32, name: &str) -> Vec<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().filter_map(Result::ok);
    let named = tasks
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.starts_with(name)));
    named.map(|task| task.file_name().to_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn c14_a_thread_that_hangs_is_noticed_and_replaced() {
    let bench = Bench::new().await;
    bench.write("a", "1");
    let daemon = start_as(&bench, bench.command(&["run"]));
    bench.await_status("settled", settled).await;
    let [reader] = threads(daemon.id().unwrap(), "notify-rs")[..] else { panic!("one reads the events") };
    let Some(held) = Held::new(reader) else { return };
    bench.write("b", "2");
    let begun = Instant::now();
    // without the canary, in an hour
    bench.await_objects(&[("a", "1"), ("b", "2")]).await;
    eprintln!("noticed after {:?}", begun.elapsed());
    // whichever is asked first
    let told = log(&bench);
    assert!(told.contains("does not hear its canary") || told.contains("is not heard any more"), "{told}");
    bench.write("c", "3");
    bench.await_objects(&[("a", "1"), ("b", "2"), ("c", "3")]).await;
    let told = bench.await_status("settled", settled).await;
    assert!(mirror(&told)["degraded"].is_null(), "{told}");
    drop(held);
    assert_eq!(stop(daemon).await, Some(0));
}

/// What the service manager hears from the start to the end, the reload and a hang between them.
#[tokio::test(flavor = "multi_thread")]
async fn c14_while_the_watcher_hangs_nobody_feeds_the_watchdog() {
    let bench = Bench::new().await;
    bench.write("a", "1");
    let mut manager = Manager::new(bench.dir.path());
    let mut command = bench.command(&["run"]);
    manager.employ(&mut command);
    let mut daemon = start_as(&bench, command);
    manager.hear("READY=1").await;
    manager.hear("WATCHDOG=1").await;
    let pid = rustix::process::Pid::from_raw(daemon.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    manager.hear("RELOADING=1").await;
    manager.hear("READY=1").await;

    let [watch] = threads(daemon.id().unwrap(), "watch")[..] else { panic!("one looks after the watches") };
    let Some(held) = Held::new(watch) else { return };
    let took = manager.hear_no_more("WATCHDOG=1", Duration::from_secs(20)).await;
    assert!(took > Duration::from_secs(60), "it may be slow for a while: {took:?}");
    bench.write("b", "2");
    drop(held);
    manager.hear("WATCHDOG=1").await;
    bench.await_objects(&[("a", "1"), ("b", "2")]).await;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    manager.hear("STOPPING=1").await;
    assert_eq!(manager.hear_out(&mut daemon).await.code(), Some(0));
    let mut last = String::new();
    for (at, told) in &manager.heard {
        let told = told.trim_end().replace('\n', " ");
        if told != last {
            println!("{:6.1} s  {told}", at.as_secs_f64());
        }
        last = told;
    }
}
