//! Copies of what is too large for one request (CASES 56): renames, and metadata alone. No byte of such a file is sent
//! again, and no upload is left open.

use crate::{
    cases::requests,
    story::Story,
    support::{
        bucket::md5,
        disk::path,
        parts::{ANOTHERS, Open},
    },
};
use s3mirrord::{
    engine::{Options, Report},
    local::Notice,
    model::{Key, Scope, Stamp},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, sleep};

const BIG: &str = "big";
const MOVED: &str = "moved";

/// What the user does, what is counted of it, and the name of the file then.
type Change = (fn(&Story), fn(&Report) -> u64, &'static str);

/// A rename, and a change of the mode.
const CHANGES: [Change; 2] = [
    (
        |story| story.world.with(|w| w.rename(&path(BIG), &path(MOVED))),
        |report| report.status().sums.copied,
        MOVED,
    ),
    (|story| story.world.with(|w| w.chmod(&path(BIG), 0o600)), |report| report.status().sums.metadata, BIG),
];

/// A file of four parts, in sync.
async fn scene() -> Story {
    let story = Story::calm();
    story.world.with(|w| (0..7).for_each(|block| w.write(&path(BIG), block, block as u64)));
    story.once(story.options(true)).await;
    assert_eq!(requests(&story, "UploadPart"), 4);
    story
}

/// The object is the file, has its mode and the tag of its parts, and nothing is open.
fn whole(story: &Story, name: &str) {
    assert_eq!(story.world.open_uploads().len(), 0, "left open");
    story.world.with(|w| {
        let trace = w.trace.join("\n");
        let (object, file) = (&w.shelf.objects[&Key::raw(name)], &w.disk.files[&path(name)]);
        assert_eq!(object.body, file.body, "{trace}");
        assert_eq!(object.attributes.map(|a| a.mode), Some(file.mode), "{trace}");
        let parts: Vec<u8> = file.body.chunks(16).flat_map(md5).collect();
        assert_eq!(object.etag.to_string(), format!("{}-4", hex::encode(md5(&parts))), "{trace}");
        assert_eq!(object.part_size, Some(16), "{trace}");
        assert!(w.book.intents.is_empty(), "{:?}", w.book.intents);
        assert!(w.broken.is_empty(), "{:#?}\n{trace}", w.broken);
    });
}

#[tokio::test(start_paused = true)]
async fn c56_what_is_too_large_for_one_copy_is_copied_by_parts() {
    for (change, count, name) in CHANGES {
        let story = scene().await;
        change(&story);
        let report = story.once(story.options(true)).await;
        whole(&story, name);
        assert_eq!(count(&report), 1, "{name}");
        let sent = ["UploadPart", "UploadPartCopy", "CopyObject"].map(|op| requests(&story, op));
        assert_eq!(sent, [4, 4, 0], "{name}: no byte is sent again");
        let done = story.world.with(|w| w.shelf.requests.clone());
        story.once(story.options(true)).await;
        let more: u64 = ["PutObject", "CreateMultipartUpload", "UploadPartCopy", "HeadObject"]
            .map(|op| requests(&story, op) - done.get(op).copied().unwrap_or_default())
            .iter()
            .sum();
        assert_eq!(more, 0, "{name}: it is proven");
    }
}

/// Killed in the middle of a copy: the next pass ends what is open, also if the id is not known, and copies anew.
#[tokio::test(start_paused = true)]
async fn c55_c56_a_copy_that_was_killed_is_ended_and_begun_anew() {
    for (change, _, name) in CHANGES {
        for id_is_known in [true, false] {
            let story = scene().await;
            change(&story);
            story.world.with(|w| w.shelf.weather.part_takes = 1_000);
            let killed = async {
                let begun = Instant::now();
                while requests(&story, "UploadPartCopy") < 2 {
                    assert!(begun.elapsed() < Duration::from_secs(30));
                    sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::select! {
                _ = story.once(story.options(true)) => panic!("it ended"),
                () = killed => {}
            }
            assert_eq!(story.world.open_uploads().len(), 1, "{name}");
            story.world.with(|w| {
                assert_eq!(w.book.intents.len(), 1);
                w.book.intents.values_mut().for_each(|intent| {
                    intent.upload.take_if(|_| !id_is_known);
                });
                let open = w.shelf.uploads.values().next().unwrap().clone();
                let at = Stamp { sec: open.at.sec - 7_200, nsec: 0 };
                w.shelf.uploads.insert(ANOTHERS.into(), Open { at, parts: BTreeMap::new(), ..open });
            });
            story.once(story.options(true)).await;
            whole(&story, name);
            let sent = ["UploadPart", "CreateMultipartUpload"].map(|op| requests(&story, op));
            assert_eq!(sent, [4, 3], "{name}");
            story.world.with(|w| assert!(w.shelf.uploads.contains_key(ANOTHERS), "another's"));
        }
    }
}

/// The file changes while its object is copied: what it was is not made visible.
#[tokio::test(start_paused = true)]
async fn c28_c56_a_file_that_changes_while_it_is_copied_is_sent() {
    for (change, count, name) in CHANGES {
        let story = scene().await;
        change(&story);
        story.world.with(|w| w.shelf.weather.part_takes = 1_000);
        let write = async {
            let begun = Instant::now();
            while requests(&story, "UploadPartCopy") < 2 {
                assert!(begun.elapsed() < Duration::from_secs(30));
                sleep(Duration::from_millis(10)).await;
            }
            story.world.with(|w| w.write(&path(name), 0, 99));
            std::future::pending::<()>().await;
        };
        let report = tokio::select! {
            report = story.once(story.options(true)) => report,
            () = write => unreachable!("it never ends"),
        };
        whole(&story, name);
        assert_eq!((count(&report), requests(&story, "UploadPart")), (0, 8), "{name}");
        assert_eq!(requests(&story, "AbortMultipartUpload"), 1, "{name}");
    }
}

/// What the store copied is not what the file holds, though the ledger thought so: the file is sent.
#[tokio::test(start_paused = true)]
async fn c56_a_copy_of_other_bytes_is_none() {
    for (change, count, name) in CHANGES {
        let story = scene().await;
        change(&story);
        story.world.with(|w| w.shelf.objects.get_mut(&Key::raw(BIG)).unwrap().body[20] ^= 1);
        let report = story.once(story.options(true)).await;
        whole(&story, name);
        assert_eq!((count(&report), requests(&story, "UploadPart")), (0, 8), "{name}");
    }
}

/// The store goes in the middle of a copy, so that what was begun cannot be ended either; the daemon goes on.
#[tokio::test(start_paused = true)]
async fn c51_c56_what_a_copy_left_open_is_ended_before_the_next_one() {
    for (change, _, name) in CHANGES {
        let story = scene().await;
        story.world.with(|w| w.shelf.weather.part_takes = 1_000);
        // no rescan ends it before
        let (rescan, relist) = (Duration::from_secs(1_000), Duration::from_secs(1_000));
        let options = Options { rescan, relist, ..story.options(false) };
        story
            .daemon_with(options, async |notices| {
                sleep(Duration::from_secs(5)).await;
                change(&story);
                for path in [path(BIG), path(MOVED)] {
                    notices.send(Notice::Look(Scope::File(path))).await.unwrap();
                }
                let begun = Instant::now();
                while requests(&story, "UploadPartCopy") < 2 {
                    assert!(begun.elapsed() < Duration::from_secs(30), "{name}");
                    sleep(Duration::from_millis(10)).await;
                }
                story.world.with(|w| w.shelf.down = true);
                sleep(Duration::from_secs(10)).await;
                assert_eq!(story.world.open_uploads().len(), 1, "{name}");
                story.world.with(|w| w.shelf.down = false);
                sleep(Duration::from_secs(100)).await;
            })
            .await;
        whole(&story, name);
        // once a rename was tried, the old object may go, and then the file is sent
        let again = if name == MOVED { 4 } else { 0 };
        assert!(requests(&story, "UploadPart") <= 4 + again, "{name}");
    }
}
