//! The store is away for half a minute while files change.

use crate::support::scene::Scene;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

/// Processor time of a process so far.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10) // USER_HZ is 100
}

/// Changes files at a steady pace for this long.
async fn change(scene: &Scene, span: Duration, round: u32) {
    let begun = Instant::now();
    for n in 0u32.. {
        if begun.elapsed() >= span {
            return;
        }
        scene.write(format!("{}/{}", n % 5, n % 23), format!("{round} {n}"));
        scene.write(format!("new/{round}/{n}"), n.to_string());
        match n % 10 {
            3 => fs::remove_file(scene.at(format!("old/{round}/{}", n / 10))).unwrap(),
            6 => scene.rename(&format!("old/{round}/{}", 20 + n / 10), &format!("renamed {round} {n}")),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_minute_without_the_store_loses_nothing_and_keeps_nobody_busy() {
    let Some(mut scene) = Scene::new().await else { return };
    for n in 0..40 {
        scene.write(format!("old/0/{n}"), n.to_string());
        scene.write(format!("old/1/{n}"), n.to_string());
    }
    scene.start();
    scene.in_sync().await;

    // connections are refused
    let contents = scene.kill_server().await;
    let (begun, used) = (Instant::now(), processor_time(scene.pid()));
    change(&scene, Duration::from_secs(15), 0).await;
    // connections are taken and break
    let listener = TcpListener::bind(contents.listen).await.unwrap();
    let attempts = Arc::new(AtomicU64::new(0));
    let count = attempts.clone();
    let breaking = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Relaxed);
        }
    });
    change(&scene, Duration::from_secs(15), 1).await;
    let (span, used) = (begun.elapsed(), processor_time(scene.pid()) - used);
    breaking.abort();
    let _ = breaking.await;
    let attempts = attempts.load(Relaxed);
    eprintln!("used {used:?} of {span:?}; {attempts} connections in the second half");
    assert!(used < span / 5, "busy: {used:?} of {span:?}");
    assert!(attempts < 500, "{attempts} connections in 15 s");

    scene.raise_server(contents).await;
    scene.in_sync().await;
    scene.stop().await;
}
