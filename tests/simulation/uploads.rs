//! Uploads in parts that are left open, by a crash or a fault, and what becomes of them: each case once, on a fair day.

use crate::{
    cases::requests,
    story::Story,
    support::{
        bucket::{Object, md5},
        disk::path,
        parts::{ANOTHERS, Open, Weather},
    },
};
use s3mirrord::{
    engine::{Options, Report},
    local::{Notice, Prune},
    model::{Capabilities, ETag, Key, Scope, Stamp},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, sleep};

const BIG: &str = "big";

/// What happens between two passes.
type Change = fn(&Story);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Four parts, the last of them half as long; beside it a small file.
fn scene() -> Story {
    let story = Story::calm();
    story.world.with(|w| {
        (0..7).for_each(|block| w.write(&path(BIG), block, block as u64));
        w.write(&path("small"), 0, 1);
        w.shelf.weather.part_takes = 1_000;
    });
    story
}

/// How often each part of `big` arrived.
fn arrived(story: &Story) -> Vec<usize> {
    let count = |number: usize| {
        let line = format!("bucket: part {number} of upload");
        story.world.with(|w| w.trace.iter().filter(|told| told.contains(&line)).count())
    };
    (1..=4).map(count).collect()
}

/// A pass that is killed when so many parts have arrived.
async fn crash_after(story: &Story, parts: usize) {
    let killed = async {
        let begun = Instant::now();
        while arrived(story).iter().sum::<usize>() < parts {
            assert!(begun.elapsed() < ms(30_000), "{:?}", arrived(story));
            sleep(ms(10)).await;
        }
    };
    tokio::select! {
        _ = story.once(story.options(true)) => panic!("it ended before {parts} parts had arrived"),
        () = killed => {}
    }
    assert_eq!(story.world.open_uploads().len(), 1);
}

/// The object is the file, and nothing is open.
fn whole(story: &Story) {
    assert_eq!(story.world.open_uploads().len(), 0, "left open");
    story.world.with(|w| {
        let (trace, object) = (w.trace.join("\n"), w.shelf.objects.get(&Key::raw(BIG)));
        assert_eq!(object.map(|o| &o.body), Some(&w.disk.files[&path(BIG)].body), "{trace}");
        assert!(w.book.intents.is_empty(), "{:?}", w.book.intents);
        assert!(w.broken.is_empty(), "{:#?}\n{trace}", w.broken);
    });
}

async fn pass(story: &Story) -> Report {
    story.once(story.options(true)).await
}

#[tokio::test(start_paused = true)]
async fn c55_after_a_crash_only_what_is_missing_is_sent() {
    let story = scene();
    crash_after(&story, 2).await;
    let report = pass(&story).await;
    whole(&story);
    assert_eq!((arrived(&story), requests(&story, "CreateMultipartUpload")), (vec![1; 4], 1));
    let sums = report.status().sums;
    // the small one was sent by the pass that was killed
    assert_eq!((sums.uploaded, sums.bytes, sums.bytes_read), (1, 16 + 8, 56));
    assert_eq!(report.progress().bytes, 16 + 8);
}

#[tokio::test(start_paused = true)]
async fn c55_a_crash_after_the_last_part_sends_none_again() {
    let story = scene();
    story.world.with(|w| w.shelf.write_takes = 500);
    crash_after(&story, 4).await;
    let report = pass(&story).await;
    whole(&story);
    assert_eq!((arrived(&story), report.status().sums.bytes), (vec![1; 4], 0));
}

/// Three lives, each of which sends a part.
#[tokio::test(start_paused = true)]
async fn c65_crash_after_crash_the_upload_goes_on() {
    let story = scene();
    for parts in 1..=3 {
        crash_after(&story, parts).await;
        // longer than clocks may be apart
        story.world.with(|w| w.wall += 7_200);
    }
    pass(&story).await;
    whole(&story);
    assert_eq!((arrived(&story), requests(&story, "CreateMultipartUpload")), (vec![1; 4], 1));
}

#[tokio::test(start_paused = true)]
async fn c55_a_part_that_differs_is_sent_again_on_every_sort_of_store() {
    for [checksums, verifies, md5s] in (0..8).map(|n| [n & 1, n & 2, n & 4].map(|bit| bit != 0)) {
        let story = scene();
        story.world.with(|w| {
            (w.shelf.checksums, w.shelf.random_etags) = (checksums, !md5s);
            w.shelf.can = Capabilities { verifies_sha256: verifies, etag_is_md5: md5s, ..w.shelf.can };
        });
        crash_after(&story, 3).await;
        story.world.with(|w| {
            let (id, open) = w.shelf.uploads.first_key_value().unwrap();
            let (id, mut damaged, mut short) =
                (id.clone(), open.parts[&1].body.clone(), open.parts[&2].body.clone());
            damaged[7] ^= 1;
            short.pop();
            w.put_part(&id, 1, damaged).unwrap();
            w.put_part(&id, 2, short).unwrap();
        });
        pass(&story).await;
        whole(&story);
        // by hand the first two came a second time; of the third nothing shows what it is where there is no digest
        let blind = !(checksums && verifies || md5s);
        let want = [3, 3, 1 + usize::from(blind), 1];
        assert_eq!(arrived(&story), want, "checksums {checksums}, verifies {verifies}, MD5 {md5s}");
    }
}

#[tokio::test(start_paused = true)]
async fn c55_an_upload_whose_time_is_over_is_begun_anew_in_the_same_pass() {
    let story = scene();
    crash_after(&story, 2).await;
    story.world.with(|w| w.shelf.uploads.clear());
    let report = pass(&story).await;
    whole(&story);
    assert_eq!((arrived(&story), report.status().sums.bytes), (vec![2, 2, 1, 1], 56));
}

/// What was begun is not what would be begun now: it is ended.
#[tokio::test(start_paused = true)]
async fn c55_an_upload_of_another_content_or_on_other_terms_is_ended() {
    let changes: [(&str, Change); 5] = [
        ("its content", |story| story.world.with(|w| w.write(&path(BIG), 0, 77))),
        ("its mode", |story| story.world.with(|w| w.chmod(&path(BIG), 0o600))),
        ("the configuration", |story| story.world.with(|w| w.shelf.weather.words = "another storage class")),
        ("the part size", |story| story.world.with(|w| w.shelf.part = 8)),
        ("the ledger, which is of an older version", |story| {
            story.world.with(|w| w.book.intents.values_mut().for_each(|intent| intent.terms = None));
        }),
    ];
    for (what, change) in changes {
        let story = scene();
        crash_after(&story, 2).await;
        let before = story.world.open_uploads();
        change(&story);
        let report = pass(&story).await;
        whole(&story);
        assert_eq!(requests(&story, "CreateMultipartUpload"), 2, "{what}");
        assert_eq!(report.status().sums.bytes, 56, "{what}");
        assert!(story.world.open_uploads().is_disjoint(&before), "{what}");
    }
}

/// No upload will come: it is ended at the start.
#[tokio::test(start_paused = true)]
async fn c65_the_upload_of_a_file_that_is_gone_small_or_excluded_is_ended() {
    let excluding = |name: &'static str| Prune::new(move |path, _| path == name.as_bytes());
    for (what, prune, change) in [
        ("gone", Prune::default(), (|story| story.world.with(|w| w.remove(&path(BIG)))) as Change),
        ("small", Prune::default(), |story| story.world.with(|w| w.truncate(&path(BIG), 2))),
        ("a link", Prune::default(), |story| story.world.with(|w| w.link(&path(BIG)))),
        ("excluded", excluding(BIG), |_| {}),
    ] {
        let story = scene();
        crash_after(&story, 2).await;
        change(&story);
        story.once_without(story.options(true), prune).await;
        assert_eq!(story.world.open_uploads().len(), 0, "{what}");
        story.world.with(|w| assert!(w.book.intents.is_empty() && w.broken.is_empty(), "{what}"));
        assert_eq!(requests(&story, "CreateMultipartUpload"), 1, "{what}");
    }
}

/// It stays open, which is no reason to send nothing; a later pass ends it.
#[tokio::test(start_paused = true)]
async fn c54_an_upload_that_may_not_be_ended_keeps_nothing_else_up() {
    let story = scene();
    crash_after(&story, 2).await;
    story.world.with(|w| {
        w.remove(&path(BIG));
        w.write(&path("new"), 0, 1);
        w.shelf.denied.insert(BIG);
    });
    story.once(story.options(true)).await;
    assert_eq!(story.world.open_uploads().len(), 1);
    story.world.with(|w| {
        assert!(w.shelf.objects.contains_key(&Key::raw("new")));
        w.shelf.denied.clear();
    });
    story.once(story.options(true)).await;
    assert_eq!(story.world.open_uploads().len(), 0);
    story.world.with(|w| assert!(w.book.intents.is_empty() && w.broken.is_empty()));
}

/// Somebody else uploaded the same bytes meanwhile: there is nothing to send any more.
#[tokio::test(start_paused = true)]
async fn c65_the_upload_of_what_is_in_sync_by_now_is_ended() {
    let story = scene();
    crash_after(&story, 2).await;
    story.world.with(|w| {
        let body = w.disk.files[&path(BIG)].body.clone();
        let etag = ETag::new(&hex::encode(md5(&body)));
        let modified = Stamp { sec: 1_700_000_100, nsec: 0 };
        w.shelf.tags.insert((Key::raw(BIG), etag.clone()));
        let (own, sha256, part_size, mtime, attributes, checksum) = (None, None, None, None, None, None);
        let extra = s3mirrord::model::Extra::default();
        let object =
            Object { body, etag, own, sha256, part_size, mtime, attributes, extra, modified, checksum };
        w.shelf.objects.insert(Key::raw(BIG), object);
    });
    let report = pass(&story).await;
    whole(&story);
    assert_eq!((report.status().sums.adopted, report.status().sums.bytes), (1, 0));
}

/// No job comes to a file that is known to be in sync.
#[tokio::test(start_paused = true)]
async fn c65_the_upload_of_what_was_in_sync_before_is_ended() {
    let story = scene();
    crash_after(&story, 2).await;
    let left = story.world.with(|w| (w.shelf.uploads.clone(), w.book.intents.clone()));
    pass(&story).await;
    // as if ending it had failed
    story.world.with(|w| (w.shelf.uploads, w.book.intents) = left);
    pass(&story).await;
    whole(&story);
    assert_eq!(requests(&story, "CreateMultipartUpload"), 1);
}

/// Where it is not allowed to ask for the parts.
#[tokio::test(start_paused = true)]
async fn c55_where_parts_are_not_told_they_are_sent_again() {
    let story = scene();
    crash_after(&story, 2).await;
    story.world.with(|w| w.shelf.weather.parts_refused = true);
    let report = pass(&story).await;
    whole(&story);
    assert_eq!(report.status().sums.bytes, 56);
}

/// Somebody else sends the same file at the same time, in parts of the same size, and is further: another program, or
/// we ourselves before the ledger was lost, and with other metadata.
#[tokio::test(start_paused = true)]
async fn c55_only_the_very_upload_goes_on_and_those_of_others_are_not_touched() {
    let story = scene();
    crash_after(&story, 1).await;
    let (fuller, beside) = story.world.with(|w| {
        let open = w.shelf.uploads.values().next().unwrap().clone();
        let mut spec = open.spec.clone();
        spec.attributes.mode ^= 0o777;
        let fuller = w.create_upload(&Key::raw(BIG), &spec, open.at);
        let body = w.disk.files[&path(BIG)].body.clone();
        for (number, part) in (1..).zip(body.chunks(16)) {
            w.put_part(&fuller, number, part.to_vec()).unwrap();
        }
        (fuller, w.create_upload(&Key::raw("big and another"), &open.spec, open.at))
    });
    let report = pass(&story).await;
    assert_eq!(report.status().sums.bytes, 16 + 16 + 8, "our first part was there");
    assert_eq!(story.world.open_uploads(), [fuller, beside].into());
    story.world.with(|w| {
        let mode = w.disk.files[&path(BIG)].mode;
        assert_eq!(w.shelf.objects[&Key::raw(BIG)].attributes.map(|a| a.mode), Some(mode));
        w.shelf.uploads.clear();
    });
    whole(&story);
}

/// The file is gone, and somebody else uploads one of its name.
#[tokio::test(start_paused = true)]
async fn c55_when_ours_is_ended_those_of_others_stay() {
    let story = scene();
    crash_after(&story, 1).await;
    let other = story.world.with(|w| {
        let open = w.shelf.uploads.values().next().unwrap().clone();
        w.remove(&path(BIG));
        w.create_upload(&Key::raw(BIG), &open.spec, open.at)
    });
    pass(&story).await;
    assert_eq!(story.world.open_uploads(), [other].into());
    story.world.with(|w| w.shelf.uploads.clear());
}

/// The answer to Create is lost: nobody knows the id. What was begun since is ended, and nothing older.
#[tokio::test(start_paused = true)]
async fn c55_an_upload_whose_id_is_not_known_is_ended() {
    let story = scene();
    crash_after(&story, 1).await;
    story.world.with(|w| {
        w.book.intents.values_mut().for_each(|intent| intent.upload = None);
        let open = w.shelf.uploads.values().next().unwrap().clone();
        let at = Stamp { sec: open.at.sec - 7_200, nsec: 0 };
        w.shelf.uploads.insert(ANOTHERS.into(), Open { at, parts: BTreeMap::new(), ..open });
    });
    let report = pass(&story).await;
    assert_eq!((report.status().sums.bytes, requests(&story, "CreateMultipartUpload")), (56, 2));
    story.world.with(|w| assert!(w.shelf.uploads.remove(ANOTHERS).is_some()));
    whole(&story);
}

/// What the store says it holds it cannot make an object of, or it cannot say: in the end the file is sent anew.
#[tokio::test(start_paused = true)]
async fn c55_an_upload_that_cannot_be_completed_is_given_up() {
    for untold in [false, true] {
        let story = scene();
        crash_after(&story, 3).await;
        let spoilt = story.world.open_uploads().pop_first().filter(|_| !untold);
        story
            .world
            .with(|w| w.shelf.weather = Weather { spoilt, parts_untold: untold, ..Weather::default() });
        story.daemon(async |_| sleep(ms(1_800_000)).await).await;
        whole(&story);
        assert_eq!(requests(&story, "CreateMultipartUpload"), 2, "untold {untold}");
    }
}

/// One answer that does not come is no reason to throw away what was sent.
#[tokio::test(start_paused = true)]
async fn c55_parts_that_are_not_told_once_are_not_sent_again() {
    let story = scene();
    crash_after(&story, 3).await;
    story.world.with(|w| w.shelf.weather.parts_untold = true);
    story
        .daemon(async |_| {
            sleep(ms(3_000)).await;
            assert!(requests(&story, "ListParts") > 0);
            story.world.with(|w| w.shelf.weather.parts_untold = false);
            sleep(ms(60_000)).await;
        })
        .await;
    whole(&story);
    assert_eq!((arrived(&story), requests(&story, "CreateMultipartUpload")), (vec![1; 4], 1));
}

/// The disk is not mounted yet when it starts: nothing is known of the file, and nothing is ended.
#[tokio::test(start_paused = true)]
async fn c07_under_another_root_no_upload_is_ended() {
    let story = scene();
    crash_after(&story, 2).await;
    story.world.with(|w| w.swap_root());
    pass(&story).await;
    assert_eq!(story.world.open_uploads().len(), 1);
    story.world.with(|w| w.swap_root());
    pass(&story).await;
    whole(&story);
    assert_eq!((arrived(&story), requests(&story, "CreateMultipartUpload")), (vec![1; 4], 1));
}

/// The line breaks, and comes back after the next rescan.
#[tokio::test(start_paused = true)]
async fn c51_after_a_fault_that_passes_only_what_is_missing_is_sent() {
    let story = scene();
    story.world.with(|w| w.shelf.weather.parts_left = Some(2));
    story
        .daemon(async |_| {
            sleep(ms(40_000)).await;
            assert_eq!((arrived(&story), story.world.open_uploads().len()), (vec![1, 1, 0, 0], 1));
            story.world.with(|w| w.shelf.weather.parts_left = None);
            sleep(ms(60_000)).await;
        })
        .await;
    whole(&story);
    assert_eq!((arrived(&story), requests(&story, "CreateMultipartUpload")), (vec![1; 4], 1));
}

/// Nothing is allowed for a while, and then it is again.
#[tokio::test(start_paused = true)]
async fn c54_after_a_fault_of_the_mirrors_only_what_is_missing_is_sent() {
    let story = scene();
    story
        .daemon(async |_| {
            let begun = Instant::now();
            while arrived(&story)[1] == 0 {
                assert!(begun.elapsed() < ms(9_000));
                sleep(ms(10)).await;
            }
            story.world.with(|w| w.shelf.refuses = true);
            sleep(ms(40_000)).await;
            assert_eq!((arrived(&story)[3], story.world.open_uploads().len()), (0, 1));
            story.world.with(|w| w.shelf.refuses = false);
            sleep(ms(600_000)).await;
        })
        .await;
    whole(&story);
    assert_eq!((arrived(&story), requests(&story, "CreateMultipartUpload")), (vec![1; 4], 1));
}

/// All has arrived, and its end is not allowed for long.
#[tokio::test(start_paused = true)]
async fn c54_an_upload_whose_end_is_denied_is_not_sent_anew() {
    let story = scene();
    story
        .daemon(async |_| {
            let begun = Instant::now();
            while arrived(&story)[3] == 0 {
                assert!(begun.elapsed() < ms(9_000));
                sleep(ms(10)).await;
            }
            story.world.with(|w| w.shelf.denied.insert(BIG));
            sleep(ms(3_600_000)).await;
            assert!(requests(&story, "CompleteMultipartUpload") > 8);
            story.world.with(|w| w.shelf.denied.clear());
            sleep(ms(600_000)).await;
        })
        .await;
    whole(&story);
    assert_eq!((arrived(&story), requests(&story, "CreateMultipartUpload")), (vec![1; 4], 1));
}

/// And meanwhile the file is another: its upload is ended.
#[tokio::test(start_paused = true)]
async fn c28_after_a_fault_another_content_or_mode_is_begun_anew() {
    let changes: [Change; 3] = [
        |story| story.world.with(|w| w.write(&path(BIG), 0, 99)),
        |story| story.world.with(|w| w.chmod(&path(BIG), 0o600)),
        |story| story.world.with(|w| w.shelf.weather.words = "another storage class"),
    ];
    for (number, change) in changes.iter().enumerate() {
        let story = scene();
        story.world.with(|w| w.shelf.weather.parts_left = Some(2));
        // no rescan ends it before
        let (rescan, relist) = (ms(1_000_000), ms(1_000_000));
        let options = Options { rescan, relist, ..story.options(false) };
        story
            .daemon_with(options, async |_| {
                sleep(ms(5_000)).await;
                assert_eq!(story.world.open_uploads().len(), 1);
                change(&story);
                sleep(ms(25_000)).await;
                story.world.with(|w| w.shelf.weather.parts_left = None);
                sleep(ms(60_000)).await;
            })
            .await;
        whole(&story);
        let sent = (arrived(&story), requests(&story, "CreateMultipartUpload"));
        assert_eq!(sent, (vec![2, 2, 1, 1], 2), "change {number}");
    }
}

/// And meanwhile the file goes: the daemon ends what it left, at the next rescan.
#[tokio::test(start_paused = true)]
async fn c65_the_daemon_ends_the_upload_of_a_file_that_goes() {
    let story = scene();
    story.world.with(|w| w.shelf.weather.parts_left = Some(2));
    // a relist that takes the place of each rescan
    let rescan = story.options(false).rescan;
    let options = Options { relist: rescan, ..story.options(false) };
    story
        .daemon_with(options, async |notices| {
            sleep(ms(5_000)).await;
            assert_eq!(story.world.open_uploads().len(), 1);
            story.world.with(|w| w.remove(&path(BIG)));
            notices.send(Notice::Look(Scope::File(path(BIG)))).await.unwrap();
            sleep(ms(60_000)).await;
            assert_eq!(story.world.open_uploads().len(), 0);
        })
        .await;
    story.world.with(|w| assert!(w.book.intents.is_empty() && w.broken.is_empty(), "{:#?}", w.broken));
}

#[tokio::test(start_paused = true)]
async fn c28_a_file_that_changes_in_mid_upload_is_begun_anew() {
    let story = scene();
    story
        .daemon(async |notices| {
            let begun = Instant::now();
            while arrived(&story)[1] == 0 {
                assert!(begun.elapsed() < ms(9_000));
                sleep(ms(10)).await;
            }
            story.world.with(|w| w.write(&path(BIG), 0, 99));
            notices.send(Notice::Look(Scope::File(path(BIG)))).await.unwrap();
            sleep(ms(60_000)).await;
        })
        .await;
    whole(&story);
    assert_eq!((arrived(&story), requests(&story, "CreateMultipartUpload")), (vec![2; 4], 2));
    story.world.with(|w| {
        let visible = w.trace.iter().filter(|line| line.contains("bucket: big is")).count();
        assert_eq!(visible, 1, "{}", w.trace.join("\n"));
    });
}
