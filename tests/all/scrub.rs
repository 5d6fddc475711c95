//! The rolling scrub of the daemon: what somebody spoilt, or took away, is put back without anything seeming to have
//! happened.

use crate::support::scene::Scene;

const LINES: &str = r#"
delete_grace = "1s"
debounce = { quiet = "200ms", longest = "2s" }
relist = "24h"
scrub = "2s"
scrub_fetch = true
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_that_somebody_flips_and_an_object_that_is_gone_are_found_and_healed() {
    let Some(mut scene) = Scene::with(LINES).await else { return };
    for n in 0..5 {
        scene.write(format!("d/{n}"), format!("content {n}"));
    }
    scene.start();
    scene.in_sync().await;
    // the same size, and the metadata that it had
    let client = scene.bench.client().clone();
    let head = client.head_object().bucket("backups").key("www/d/3").send().await.unwrap();
    let put = client.put_object().bucket("backups").key("www/d/3").body(b"c0ntent 3".to_vec().into());
    put.set_metadata(head.metadata().cloned()).send().await.unwrap();
    client.delete_object().bucket("backups").key("www/d/1").send().await.unwrap();
    scene.in_sync().await;

    let round = |told: &serde_json::Value| {
        let scrub = &told["mirrors"][0]["scrub"];
        scrub["healed"].as_u64() > Some(0) && scrub["whole"].is_i64()
    };
    scene.bench.await_status("healed, and all of it proven again", round).await;
    scene.stop().await;
    assert!(scene.log().contains("damaged or missing"), "{}", scene.log());
}
