//! The restore drill of the daemon.

use crate::support::scene::Scene;
use serde_json::Value;
use std::os::unix::fs::symlink;

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
