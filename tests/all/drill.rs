//! The restore drill of the daemon.

use crate::support::scene::Scene;
use s3mirrord::embedded::{Kind, Rule};
use serde_json::Value;
use std::{
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

const LINES: &str = r#"
delete_grace = "1s"
debounce = { quiet = "200ms", longest = "2s" }
relist = "24h"
drill = "1s"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bucket_holds_is_restored_and_compared_and_what_is_not_the_file_is_told() {
    let Some(mut scene) = Scene::with(LINES).await else { return };
    for n in 0..5 {
        scene.write(format!("d/{n}"), format!("content {n}"));
    }
    scene.write("large", vec![7; 9 << 20]);
    symlink("d/1", scene.at("link")).unwrap();
    scene.start();
    scene.in_sync().await;
    let drill = |told: &Value| told["mirrors"][0]["drill"].clone();
    let whole = |told: &Value| drill(told)["files"] == 7 && drill(told)["failed"] == 0;
    let told = scene.bench.await_status("a drill of all", whole).await;
    assert_eq!(drill(&told)["bytes"], (9 << 20) + 5 * 9 + 3);
    let success = drill(&told)["success"].clone();
    assert!(success.is_i64());

    // somebody put another content there, whole and with a tag of its own
    let put =
        scene.bench.client().put_object().bucket("backups").key("www/d/3").body(b"c0ntent 3".to_vec().into());
    put.send().await.unwrap();
    let told = scene.bench.await_status("a failure", |told| drill(told)["failed"] == 1).await;
    assert_eq!(drill(&told)["files"], 6);
    assert!(scene.log().contains("it did not come back as it is"), "{}", scene.log());
    assert!(drill(&told)["success"].as_i64() >= success.as_i64(), "it is remembered");
    scene.stop().await;
    assert!(!scene.bench.state().join("www/drill").exists(), "nothing is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_brings_what_it_picked_alone_and_a_link_has_to_come_back_as_one() {
    let Some(mut scene) = Scene::with(LINES).await else { return };
    scene.write("a", "picked");
    symlink("a", scene.at("link")).unwrap();
    scene.start();
    scene.in_sync().await;
    let drill = |told: &Value| told["mirrors"][0]["drill"].clone();
    let both = |told: &Value| drill(told)["files"] == 2 && drill(told)["failed"] == 0;
    let first = drill(&scene.bench.await_status("a drill", both).await)["at"].as_i64();
    let listings = scene.requests("ListObjectsV2");
    // nothing below the name of a file is asked for
    scene.bench.await_status("the next", |told| both(told) && drill(told)["at"].as_i64() > first).await;
    assert_eq!(scene.requests("ListObjectsV2"), listings);

    // the same bytes, and nothing that says what they are
    scene.bench.put("www/link.rclonelink", "a").await;
    scene.bench.await_status("a failure", |told| drill(told)["failed"] == 1).await;
    assert!(scene.log().contains("a file instead of a link"), "{}", scene.log());
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_could_not_be_done_leaves_nothing_and_says_when_it_is_tried_again() {
    let Some(mut scene) = Scene::with(&LINES.replace("drill = \"1s\"", "drill = \"5s\"")).await else {
        return;
    };
    // some are there when it comes to the last
    for n in 0..12 {
        scene.write(format!("{n:02}"), "x");
    }
    scene.write("last", "x");
    scene.start();
    scene.in_sync().await;
    let all = |told: &Value| told["mirrors"][0]["drill"]["files"] == 13;
    scene.bench.await_status("a drill of all", all).await;
    let scratch = scene.bench.state().join("www/drill");
    let told = || scene.log().matches("a restore drill could not be done; trying again in 5s").count();
    let before = told();
    let moved = Rule::new(Kind::Moved("eu-west-1".to_owned()));
    scene.bench.server.faults().add(moved.operation("HeadObject").key("last"));
    scene.until("a fault", || told() > before).await;
    // the next one clears it when it begins
    let begun = Instant::now();
    let is_late = || begun.elapsed() > Duration::from_secs(3);
    scene.until("what was restored to be gone", || !scratch.exists() || is_late()).await;
    assert!(!is_late(), "it stayed for the next drill");
    scene.stop().await;
}
