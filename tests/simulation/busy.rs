//! Files that do not rest: logs that grow for ever, and files that are written in place.

use crate::{
    cases::{look, ms, unbroken},
    story::Story,
    support::{
        bucket::Oddity,
        disk::{BLOCK, path},
    },
};
use s3mirrord::{
    engine::Report,
    local::Notice,
    model::{ETag, Key},
};
use std::ops::AsyncFn;
use tokio::{sync::mpsc, time::sleep};

pub(crate) const LOG: &str = "log";

/// Writes one block every `every` ms, for `time` ms, and tells of each.
pub(crate) async fn write(
    story: &Story,
    notices: &mpsc::Sender<Notice>,
    every: u64,
    time: u64,
    at: impl Fn(u64) -> usize,
) {
    for n in 0..time / every {
        story.world.with(|w| w.write(&path(LOG), at(n), n + 1));
        let _ = notices.try_send(look(LOG));
        sleep(ms(every)).await;
    }
}

pub(crate) fn count(story: &Story, text: &str) -> usize {
    story.world.with(|w| w.trace.iter().filter(|line| line.contains(text)).count())
}

pub(crate) fn uploads(story: &Story) -> usize {
    count(story, "bucket: log is")
}

pub(crate) fn blocks(story: &Story) -> Option<usize> {
    story.world.with(|w| Some(w.shelf.objects.get(&Key::raw(LOG))?.body.len() / BLOCK))
}

/// It rests, and what it holds is in the bucket soon after.
pub(crate) async fn comes_to_rest(story: &Story) {
    let begun = tokio::time::Instant::now();
    let same = |story: &Story| {
        story.world.with(|w| {
            let (object, row) = (&w.shelf.objects.get(&Key::raw(LOG)), &w.book.records.get(&Key::raw(LOG)));
            let proven = row.and_then(|row| row.print) == Some(w.disk.files[&path(LOG)].meta().print);
            proven && object.is_some_and(|object| object.body == w.disk.files[&path(LOG)].body)
        })
    };
    while !same(story) {
        assert!(begun.elapsed() < ms(60_000), "{}", story.world.with(|w| w.trace.join("\n")));
        sleep(ms(100)).await;
    }
}

pub(crate) async fn daemon(script: impl AsyncFn(&Story, mpsc::Sender<Notice>)) -> Story {
    let story = Story::calm();
    story.world.with(|w| w.write(&path("another"), 0, 1));
    story
        .daemon(async |notices| {
            sleep(ms(1_000)).await;
            script(&story, notices).await;
        })
        .await;
    story
}

/// The world checks of each object that its file was just that at one moment.
#[tokio::test(start_paused = true)]
async fn c25_a_log_that_never_rests_is_sent_as_it_was_at_one_moment() {
    // one that goes up in one request for long, and one that grows fast
    for every in [150, 60] {
        let story = daemon(async |story, notices| {
            write(story, &notices, every, 20_000, |n| n as usize).await;
            let Some(first) = blocks(story) else { panic!("it is sent though it never rests") };
            story.world.with(|w| {
                let row = &w.book.records[&Key::raw(LOG)];
                assert_eq!(row.print, None, "never taken for a proof of what the file holds now");
            });
            // the longest wait is 2 s, or ten times as long as it took
            let before = uploads(story);
            write(story, &notices, every, 40_000, |n| first.max(20_000 / every as usize) + n as usize).await;
            let more = uploads(story) - before;
            assert!((1..=20).contains(&more), "{more} times in 40 s");
            assert!(blocks(story) > Some(first));
            comes_to_rest(story).await;
        })
        .await;
        assert_eq!(count(&story, "Busy"), 0);
        unbroken(&story);
    }
}

/// What the ledger says of its object is not so, and no look has told: a lost answer, or a store that seals objects anew.
#[tokio::test(start_paused = true)]
async fn c25_a_growing_file_whose_object_has_another_tag_is_sent_again() {
    let story = daemon(async |story, notices| {
        write(story, &notices, 150, 10_000, |n| n as usize).await;
        let Some(first) = blocks(story) else { panic!("it is sent though it never rests") };
        story.world.with(|w| {
            let object = w.shelf.objects.get_mut(&Key::raw(LOG)).expect("sent");
            object.etag = ETag::new("sealed-anew");
            w.shelf.tags.insert((Key::raw(LOG), object.etag.clone()));
        });
        write(story, &notices, 150, 30_000, |n| 66 + n as usize).await;
        assert!(blocks(story) > Some(first), "{}", story.world.with(|w| w.trace.join("\n")));
        comes_to_rest(story).await;
    })
    .await;
    unbroken(&story);
}

/// A pass while the file grows, a block each 25 ms, from this one on.
async fn pass_while_it_grows(story: &Story, from: usize) -> Report {
    let writer = async {
        for n in from.. {
            story.world.with(|w| w.write(&path(LOG), n, n as u64));
            sleep(ms(25)).await;
        }
    };
    tokio::select! {
        report = story.once(story.options(true)) => report,
        () = writer => unreachable!(),
    }
}

/// At every length, so that it passes from one request to parts and from part to part.
#[tokio::test(start_paused = true)]
async fn c25_a_pass_sends_a_growing_file_and_ends() {
    for length in 0..24 {
        let story = Story::calm();
        story.world.with(|w| (0..length).for_each(|n| w.write(&path(LOG), n, n as u64)));
        let report = pass_while_it_grows(&story, length).await;
        let sums = report.status().sums;
        assert_eq!((sums.uploaded, sums.busy, sums.failed), (1, 0, 0), "{length}");
        assert!(blocks(&story) >= Some(length));
        let report = story.once(story.options(true)).await;
        assert_eq!(report.status().sums.uploaded, 1, "the next pass sends what came since");
        let report = story.once(story.options(true)).await;
        assert_eq!(report.status().sums.unchanged, 1);
        unbroken(&story);
    }
}

/// Nothing is known of its object but how it is listed: sealed with a key of the customer's, and the ledger is lost.
#[tokio::test(start_paused = true)]
async fn c25_c57_a_growing_file_whose_object_only_is_listed_is_sent() {
    let story = Story::calm();
    story.world.with(|w| (0..4).for_each(|n| w.write(&path(LOG), n, n as u64)));
    story.once(story.options(true)).await;
    story.world.with(|w| {
        w.book.records.clear();
        w.shelf.oddities.insert(Key::raw(LOG), Oddity::Sealed);
    });
    let report = pass_while_it_grows(&story, 4).await;
    let sums = report.status().sums;
    assert_eq!((sums.uploaded, sums.busy, sums.failed), (1, 0, 0));
    assert!(blocks(&story) > Some(4));
    unbroken(&story);
}

/// It has its last good object, is not read all the time, and is told of once.
#[tokio::test(start_paused = true)]
async fn c26_what_is_written_in_place_keeps_its_last_good_object_and_is_told() {
    let story = daemon(async |story, notices| {
        story.world.with(|w| (0..6).for_each(|n| w.write(&path(LOG), n, 7)));
        notices.send(look(LOG)).await.unwrap();
        comes_to_rest(story).await;
        let (good, opened) = story.world.with(|w| (w.shelf.objects[&Key::raw(LOG)].clone(), w.disk.opened));
        write(story, &notices, 7, 600_000, |n| (n * 5 % 6) as usize).await;
        story.world.with(|w| {
            assert!(w.shelf.objects[&Key::raw(LOG)] == good, "{}", w.trace.join("\n"));
            let tries = w.disk.opened - opened;
            assert!((4..=24).contains(&tries), "opened {tries} times in ten minutes");
        });
        assert_eq!(count(story, "Busy"), 1);
        comes_to_rest(story).await;
    })
    .await;
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn c26_a_pass_over_what_is_written_in_place_ends_and_counts_it() {
    let story = Story::calm();
    story.world.with(|w| ["a", LOG].iter().for_each(|name| (0..6).for_each(|n| w.write(&path(name), n, 1))));
    let writer = async {
        for n in 0.. {
            story.world.with(|w| w.write(&path(LOG), n as usize * 5 % 6, n));
            sleep(ms(7)).await;
        }
    };
    let begun = tokio::time::Instant::now();
    let report = tokio::select! {
        report = story.once(story.options(true)) => report,
        () = writer => unreachable!(),
    };
    let sums = report.status().sums;
    assert_eq!((sums.uploaded, sums.busy, sums.failed), (1, 1, 0));
    assert!(report.status().failing.contains_key(&Key::raw(LOG)));
    assert!(begun.elapsed() < ms(10_000), "{:?}", begun.elapsed());
    assert_eq!(blocks(&story), None);
    unbroken(&story);
}

/// A database grows, and writes to its beginning when it does: that is no log.
#[tokio::test(start_paused = true)]
async fn c26_a_file_that_grows_and_is_written_in_place_is_not_taken_for_a_log() {
    for every in [11, 17, 23, 31] {
        let story = daemon(async |story, notices| {
            // one write of each nine goes to the end
            let at = |n: u64| if n % 9 == 8 { 4 + n as usize / 9 } else { n as usize % 3 };
            write(story, &notices, every, 60_000, at).await;
            comes_to_rest(story).await;
        })
        .await;
        assert_eq!(count(&story, "Busy"), 1);
        unbroken(&story);
    }
}

/// Rotated, and cut as by copytruncate, again and again, while it is read for the second time.
#[tokio::test(start_paused = true)]
async fn c27_c28_a_log_that_is_rotated_or_cut_in_mid_upload_is_never_torn() {
    for (seed, cut) in [(1, true), (2, false), (3, true), (4, false)] {
        let story = daemon(async |story, notices| {
            for n in 0..4_000_u64 {
                story.world.with(|w| {
                    let p = path(LOG);
                    let end = w.disk.files.get(&p).map_or(0, |file| file.body.len() / BLOCK);
                    match n % (97 + 40 * seed) {
                        0 if cut => w.truncate(&p, 0),
                        0 => w.rename(&p, &path("log.1")),
                        _ => w.write(&p, end, n),
                    }
                });
                let _ = notices.try_send(look(LOG));
                sleep(ms(20)).await;
            }
            comes_to_rest(story).await;
        })
        .await;
        assert!(uploads(&story) >= 3, "{} uploads", uploads(&story));
        unbroken(&story);
    }
}
