//! Signals under load.

use crate::support::scene::Scene;
use rustix::process::Signal;
use s3mirrord::embedded::{Kind, Rule};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn c67_a_stop_under_load_finishes_what_is_in_flight_and_nothing_else() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.start();
    scene.write("before", "it has claimed the prefix");
    scene.in_sync().await;
    let slow = Rule::new(Kind::Latency(Duration::from_secs(1)));
    scene.bench.server.faults().add(slow.operation("PutObject"));
    let puts = scene.requests("PutObject");
    for n in 0..300 {
        scene.write(format!("{n}"), n.to_string());
    }
    scene.write("large", vec![1; 20 << 20]);
    scene.until("uploads are in flight", || scene.requests("PutObject") > puts + 20).await;
    let asked = Instant::now();
    scene.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(28), "{:?}", asked.elapsed());
    assert_eq!(scene.outsider.uploads("").await, [""; 0], "uploads left open");
    let begun = scene.requests("PutObject") - puts;
    assert!(begun < 300, "it did not go on to the end: {begun}");

    // what was confirmed was written down: nothing is sent twice
    scene.bench.server.faults().clear();
    scene.start();
    scene.in_sync().await;
    let sent = scene.requests("PutObject") - puts;
    assert_eq!(sent, 301, "each file once, and the owner record");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c67_a_second_signal_ends_at_once() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.start();
    scene.write("before", "it has claimed the prefix");
    scene.in_sync().await;
    let slow = Rule::new(Kind::Latency(Duration::from_secs(60)));
    let slow = scene.bench.server.faults().add(slow.operation("UploadPart"));
    scene.write("large", vec![1; 20 << 20]);
    scene.until("an upload is in flight", || scene.bench.server.faults().met(slow) > 0).await;
    scene.signal(Signal::TERM);
    scene.told("finishing what is in flight").await;
    let asked = Instant::now();
    scene.signal(Signal::TERM);
    assert_eq!(scene.ended().await.code(), Some(1));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    scene.bench.server.faults().clear();
    scene.start();
    scene.in_sync().await;
    scene.stop().await;
}
