//! `kill -9` in the middle of an upload in parts, again and again: what arrived is not sent again.

use crate::support::{
    memory::pattern,
    scene::{PREFIX, Scene},
};
use s3mirrord::embedded::{Kind, Rule};
use std::{collections::BTreeMap, time::Duration};

const PART: usize = 8 << 20;
/// Parts of the file, the last of them short.
const PARTS: u64 = 13;

impl Scene {
    /// The parts that the upload in the bucket holds, if one is open.
    async fn parts(&self) -> usize {
        let (client, key) = (self.bench.client(), format!("{PREFIX}big"));
        let uploads = client.list_multipart_uploads().bucket("backups").send().await.unwrap();
        let Some(id) = uploads.uploads().first().and_then(|upload| upload.upload_id()) else { return 0 };
        assert_eq!(uploads.uploads().len(), 1, "one upload goes on");
        let parts = client.list_parts().bucket("backups").key(key).upload_id(id).send().await.unwrap();
        parts.parts().len()
    }

    /// Lets `more` parts arrive and no others; kills the daemon when they are in the bucket and others on their way.
    /// Returns how many those are.
    async fn kill_after(&mut self, more: u32) -> u64 {
        let (had, asked) = (self.parts().await, self.requests("UploadPart"));
        let stuck = Rule::new(Kind::Latency(Duration::from_secs(3600))).operation("UploadPart").skip(more);
        let rule = self.bench.server.faults().add(stuck);
        self.start();
        self.until("others are on their way", || self.bench.server.faults().met(rule) > 0).await;
        let begun = std::time::Instant::now();
        while self.parts().await < had + more as usize {
            assert!(begun.elapsed() < Duration::from_secs(30), "{} of {more} parts came", self.parts().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.kill().await;
        self.bench.server.faults().clear();
        self.requests("UploadPart") - asked - u64::from(more)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c55_c65_after_kill_9_only_the_parts_that_are_missing_are_sent() {
    let Some(mut scene) = Scene::new().await else { return };
    let bytes = pattern((PARTS as usize - 1) * PART + 12_345, 7);
    scene.write("big", &bytes);
    let mut lost = scene.kill_after(5).await;
    assert_eq!(scene.parts().await, 5);
    lost += scene.kill_after(3).await;
    assert_eq!(scene.parts().await, 8);
    assert!((1..=8).contains(&lost), "{lost} were on their way when it was killed");

    let ran = scene.bench.run(&["once", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let summary = ran.summary();
    assert_eq!(summary["uploaded"], 1, "{summary}");
    assert_eq!(summary["bytes"], bytes.len() - 8 * PART, "{summary}");
    assert_eq!(summary["bytes_read"], bytes.len(), "{summary}");
    let requests: BTreeMap<String, u64> = serde_json::from_value(summary["requests"].clone()).unwrap();
    assert_eq!(requests.get("UploadPart"), Some(&(PARTS - 8)), "{requests:?}");
    assert_eq!(requests.get("ListParts"), Some(&1), "{requests:?}");
    assert_eq!(scene.requests("UploadPart"), PARTS + lost, "by the server's count");
    assert_eq!(scene.requests("CreateMultipartUpload"), 1);
    assert_eq!(scene.requests("AbortMultipartUpload"), 0);
    // equal, nothing left open, and nothing left to do
    scene.start();
    scene.in_sync().await;
    scene.stop().await;
    assert_eq!(scene.requests("UploadPart"), PARTS + lost);
}

/// Killed in the middle, and then the file goes: nobody will go on with its upload.
#[tokio::test(flavor = "multi_thread")]
async fn c65_the_upload_of_a_file_that_went_while_the_daemon_was_down_is_ended() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("big", pattern(4 * PART, 7));
    scene.kill_after(2).await;
    std::fs::remove_file(scene.at("big")).unwrap();
    scene.start();
    scene.in_sync().await;
    scene.stop().await;
    assert_eq!(scene.requests("AbortMultipartUpload"), 1);
    assert_eq!(scene.requests("CompleteMultipartUpload"), 0);
}
