//! The store misbehaves.

use crate::support::scene::{PREFIX, Scene, content};
use s3mirrord::embedded::{Kind, Rule};
use std::{
    fs::{self, File},
    time::{Duration, Instant},
};

/// A bucket and a directory that are equal, a daemon that has claimed the prefix.
async fn claimed() -> Option<Scene> {
    let mut scene = Scene::new().await?;
    scene.start();
    scene.write("before", "it has claimed the prefix");
    scene.in_sync().await;
    Some(scene)
}

#[tokio::test(flavor = "multi_thread")]
async fn c28_what_is_cut_or_removed_in_mid_upload_is_never_visible_torn() {
    let Some(mut scene) = claimed().await else { return };
    scene.outsider.keep_versions().await;
    let slow = Rule::new(Kind::Latency(Duration::from_millis(800))).operation("UploadPart");
    scene.bench.server.faults().add(slow);
    let bytes = |of: u8| (0..20usize << 20).map(|n| (n / 1000) as u8 ^ of).collect::<Vec<_>>();
    for (name, of) in [("cut", 1), ("gone", 2), ("rewritten", 3), ("replaced", 4)] {
        let parts = scene.requests("UploadPart");
        scene.write(name, bytes(of));
        scene.until("an upload is in flight", || scene.requests("UploadPart") > parts).await;
        match name {
            "cut" => File::options().write(true).open(scene.at(name)).unwrap().set_len(9 << 20).unwrap(),
            "gone" => fs::remove_file(scene.at(name)).unwrap(),
            "rewritten" => scene.write(name, bytes(of + 10)),
            _ => {
                scene.write(".new", "short");
                scene.rename(".new", name);
            }
        }
        scene.in_sync().await;
    }
    scene.stop().await;
    let whole: Vec<_> = [1, 2, 3, 4, 13].map(bytes).iter().map(|bytes| content(bytes).0).collect();
    let other = [&bytes(1)[..9 << 20], b"short", b"it has claimed the prefix"].map(|bytes| content(bytes).0);
    for (name, md5) in scene.outsider.versions(PREFIX).await {
        assert!(whole.contains(&md5) || other.contains(&md5), "torn: {}", name.escape_ascii());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c45_c46_c48_answers_that_lie_are_not_believed() {
    let Some(mut scene) = claimed().await else { return };
    let rules = [
        (Kind::Html200, "PutObject", 3),
        (Kind::LostReply, "PutObject", 7),
        (Kind::Drop, "PutObject", 7),
        (Kind::InternalError, "PutObject", 7),
        (Kind::Html200, "CreateMultipartUpload", 2),
        (Kind::LostReply, "CreateMultipartUpload", 1),
        (Kind::LostReply, "UploadPart", 2),
        (Kind::ErrorIn200, "CompleteMultipartUpload", 2),
        (Kind::CutShort, "CompleteMultipartUpload", 1),
        (Kind::LostReply, "CompleteMultipartUpload", 1),
        (Kind::Html200, "CompleteMultipartUpload", 1),
        (Kind::ErrorIn200, "CopyObject", 1),
        (Kind::CutShort, "CopyObject", 1),
        (Kind::LostReply, "CopyObject", 1),
        // each is sent once, and tried again after a longer pause each time
        (Kind::LostReply, "DeleteObject", 3),
        (Kind::Html200, "DeleteObject", 1),
        (Kind::LostReply, "DeleteObjects", 1),
        (Kind::Html200, "DeleteObjects", 1),
    ];
    // all at once, each for a file of its own, so that their pauses are one; a name that XML does not carry is deleted
    // by a request of its own
    let name = |n: usize| match rules[n].1 {
        "DeleteObject" => format!("file {n}.\u{1}"),
        _ => format!("file {n}."),
    };
    for (n, (_, operation, _)) in rules.iter().enumerate() {
        match *operation {
            "CopyObject" | "DeleteObject" => scene.write(name(n), name(n)),
            "DeleteObjects" => (0..4).for_each(|m| scene.write(format!("{}/{m}", name(n)), name(n))),
            _ => {}
        }
    }
    scene.in_sync().await;
    let met: Vec<_> = rules
        .iter()
        .enumerate()
        .map(|(n, (kind, operation, times))| {
            let rule = Rule::new(kind.clone()).operation(operation).times(*times);
            let rule = if *operation == "DeleteObjects" { rule } else { rule.key(&name(n)) };
            scene.bench.server.faults().add(rule)
        })
        .collect();
    for (n, (_, operation, _)) in rules.iter().enumerate() {
        match *operation {
            "CopyObject" => scene.rename(&name(n), &format!("renamed {}", name(n))),
            "DeleteObject" => fs::remove_file(scene.at(name(n))).unwrap(),
            "DeleteObjects" => fs::remove_dir_all(scene.at(name(n))).unwrap(),
            "PutObject" => scene.write(name(n), name(n)),
            _ => scene.write(name(n), vec![n as u8; 9 << 20]),
        }
    }
    scene.in_sync().await;
    for (rule, id) in rules.iter().zip(met) {
        assert!(scene.bench.server.faults().met(id) > 0, "{rule:?} met nothing");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c51_a_store_that_asks_for_less_gets_less_and_then_everything() {
    let Some(mut scene) = claimed().await else { return };
    let begun = Instant::now();
    let rule = scene.bench.server.faults().add(Rule::new(Kind::SlowDown));
    for n in 0..300 {
        scene.write(format!("{}/{n}", n % 7), n.to_string());
    }
    fs::remove_file(scene.at("before")).unwrap();
    scene.until("ten seconds of it", || begun.elapsed() > Duration::from_secs(10)).await;
    let met = scene.bench.server.faults().met(rule);
    eprintln!("{met} requests were refused");
    assert!((8..600).contains(&met), "{met} requests in 10 s");
    scene.bench.server.faults().clear();
    scene.in_sync().await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c54_a_missing_permission_is_named_and_not_asked_for_in_a_loop() {
    let Some(mut scene) = claimed().await else { return };
    for (operation, permission) in [
        ("PutObject", "s3:PutObject"),
        ("DeleteObject", "s3:DeleteObject"),
        ("CreateMultipartUpload", "s3:PutObject"),
    ] {
        let denied = Rule::new(Kind::AccessDenied).operation(operation);
        let denied = scene.bench.server.faults().add(denied);
        let (before, log) = (scene.bench.server.requests().values().sum::<u64>(), scene.log().len());
        match operation {
            "DeleteObject" => fs::remove_file(scene.at("before")).unwrap(),
            "PutObject" => (0..100).for_each(|n| scene.write(format!("{n}"), n.to_string())),
            _ => scene.write("large", vec![1; 9 << 20]),
        }
        scene.until("it is told", || scene.log()[log..].contains(permission)).await;
        let begun = Instant::now();
        scene.until("five seconds of it", || begun.elapsed() > Duration::from_secs(5)).await;
        let met = scene.bench.server.faults().met(denied);
        let all = scene.bench.server.requests().values().sum::<u64>() - before;
        eprintln!("{operation}: refused {met} times, {all} requests in all");
        assert!(met < 100 && all < 200, "{operation}: refused {met} times, {all} requests in all");
        scene.bench.server.faults().clear();
        if operation == "DeleteObject" {
            // a delete that failed again and again is tried every five minutes, and at the start
            scene.stop().await;
            scene.start();
        }
        scene.in_sync().await;
    }
    scene.stop().await;
}
