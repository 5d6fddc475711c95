//! Files that do not rest, where they can be cloned: an object is one of them at one moment, however they are written.
//! The world checks of each object that its file was just that.

use crate::{
    busy::{LOG, blocks, comes_to_rest, count, daemon, uploads, write},
    cases::{look, ms, requests, unbroken},
    story::Story,
    support::disk::path,
};
use s3mirrord::{engine::Options, local::Notice, model::Key};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

/// In place, all over it.
fn everywhere(n: u64) -> usize {
    (n * 5 % 6) as usize
}

/// Writes the first block again and again, as it is.
async fn touch(story: &Story, notices: &mpsc::Sender<Notice>) {
    for _ in 0..60_000 / 7 {
        story.world.with(|w| w.write(&path(LOG), 0, 7));
        let _ = notices.try_send(look(LOG));
        sleep(ms(7)).await;
    }
}

/// Six blocks, written in place by somebody who does not rest, until `work` is done.
async fn while_written<T>(story: &Story, work: impl Future<Output = T>) -> T {
    story.world.with(|w| {
        w.disk.clones = true;
        (0..6).for_each(|n| w.write(&path(LOG), n, 1));
    });
    let writer = async {
        for n in 0.. {
            story.world.with(|w| w.write(&path(LOG), everywhere(n), n));
            sleep(ms(7)).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = writer => unreachable!(),
    }
}

fn cloned(story: &Story) -> u64 {
    story.world.with(|w| w.disk.cloned)
}

#[tokio::test(start_paused = true)]
async fn c26_where_files_can_be_cloned_what_is_written_in_place_is_sent_as_it_was_at_one_moment() {
    let story = daemon(async |story, notices| {
        story.world.with(|w| w.disk.clones = true);
        write(story, &notices, 7, 60_000, everywhere).await;
        story.world.with(|w| {
            let row = &w.book.records[&Key::raw(LOG)];
            assert_eq!(row.print, None, "never taken for a proof of what the file holds now");
        });
        // the longest wait is 2 s
        let (clones, sent) = (cloned(story), uploads(story) as u64);
        assert!((3..=20).contains(&sent) && clones <= sent + 1, "{clones} clones, {sent} times in a minute");
        comes_to_rest(story).await;
    })
    .await;
    assert_eq!(count(&story, "Busy"), 0);
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn c26_a_pass_sends_a_clone_of_what_is_written_in_place() {
    let story = Story::calm();
    let report = while_written(&story, story.once(story.options(true))).await;
    let sums = report.status().sums;
    assert_eq!((sums.uploaded, sums.busy, sums.failed), (1, 0, 0));
    assert_eq!((blocks(&story), cloned(&story)), (Some(6), 1));
    let report = story.once(story.options(true)).await;
    assert_eq!(report.status().sums.uploaded, 1, "the next pass sends what came since");
    let report = story.once(story.options(true)).await;
    assert_eq!(report.status().sums.unchanged, 1);
    unbroken(&story);
}

/// Nor does it send anything, or tell what only a clone would.
#[tokio::test(start_paused = true)]
async fn a_dry_run_makes_no_clone() {
    let story = Story::calm();
    while_written(&story, story.once(story.options(true))).await;
    assert_eq!((cloned(&story), uploads(&story)), (1, 1));
    // it is compared with its object, and does not rest
    let options = Options { dry_run: true, ..story.options(true) };
    let report = while_written(&story, story.once(options)).await;
    assert_eq!((cloned(&story), uploads(&story), report.status().sums.busy), (1, 1, 1));
}

/// What cannot be cloned any more is dealt with as if it never could: it has its last good object, and that is told; if
/// it only grows, it is sent as it was at one moment.
#[tokio::test(start_paused = true)]
async fn c25_c26_where_clones_come_to_an_end_it_is_as_if_there_were_none() {
    let story = daemon(async |story, notices| {
        story.world.with(|w| w.disk.clones = true);
        write(story, &notices, 7, 20_000, everywhere).await;
        assert!(uploads(story) > 1);
        story.world.with(|w| w.disk.clones = false);
        // what is on its way ends
        write(story, &notices, 7, 1_000, everywhere).await;
        let good = uploads(story);
        write(story, &notices, 7, 20_000, everywhere).await;
        assert_eq!((uploads(story), count(story, "Busy")), (good, 1));
        write(story, &notices, 150, 60_000, |n| 6 + n as usize).await;
        assert!(uploads(story) > good);
        comes_to_rest(story).await;
    })
    .await;
    unbroken(&story);
}

/// The clone is compared as any file is. It proves nothing of the file, so that is looked at again, but not all the time.
#[tokio::test(start_paused = true)]
async fn c23_what_is_touched_without_rest_is_compared_now_and_then_and_not_sent_again() {
    let story = daemon(async |story, notices| {
        story.world.with(|w| (0..6).for_each(|n| w.write(&path(LOG), n, 7)));
        notices.send(look(LOG)).await.unwrap();
        comes_to_rest(story).await;
        let (asked, sent) = (requests(story, "HeadObject"), requests(story, "UploadPart"));
        story.world.with(|w| w.disk.clones = true);
        touch(story, &notices).await;
        assert_eq!(story.world.with(|w| w.book.records[&Key::raw(LOG)].print), None);
        assert!((3..=20).contains(&cloned(story)), "cloned {} times in a minute", cloned(story));
        let opened = story.world.with(|w| w.disk.opened);
        assert!(opened <= 40, "opened {opened} times");
        assert_eq!((uploads(story), requests(story, "HeadObject")), (1, asked));
        comes_to_rest(story).await;
        assert!(requests(story, "UploadPart") == sent && sent > 0);
    })
    .await;
    assert_eq!(count(&story, "Busy"), 0);
    unbroken(&story);
}

/// What was written to it under its new name was never seen under the old one.
#[tokio::test(start_paused = true)]
async fn c27_what_is_renamed_while_it_is_cloned_is_not_sent_under_its_old_name() {
    let story = daemon(async |story, notices| {
        story.world.with(|w| w.disk.clones = true);
        let mut now = path(LOG);
        for n in 0..20_000_u64 {
            let another = path(["log.1", LOG][(n / 41 % 2) as usize]);
            story.world.with(|w| {
                if n % 41 == 0 {
                    w.rename(&now, &another);
                    now = another.clone();
                }
                w.write(&now, everywhere(n), n);
            });
            let _ = notices.try_send(look(LOG));
            let _ = notices.try_send(look("log.1"));
            sleep(ms(5)).await;
        }
        story.world.with(|w| w.rename(&now, &path(LOG)));
        notices.send(look(LOG)).await.unwrap();
        comes_to_rest(story).await;
    })
    .await;
    assert!(cloned(&story) > 20, "{} clones", cloned(&story));
    unbroken(&story);
}

/// An upload of a clone was left open, and the file is another now though nothing shows it.
#[tokio::test(start_paused = true)]
async fn c55_c28_parts_of_a_clone_are_gone_on_with_only_as_far_as_the_file_is_the_same() {
    let story = Story::calm();
    story.world.with(|w| w.shelf.weather.part_takes = 1_000);
    let killed = async {
        let (begun, mut before) = (Instant::now(), 0);
        // the first rounds are of the file itself
        while cloned(&story) == 0 || requests(&story, "UploadPart") < before + 3 {
            assert!(begun.elapsed() < ms(60_000));
            if cloned(&story) == 0 {
                before = requests(&story, "UploadPart");
            }
            sleep(ms(10)).await;
        }
    };
    while_written(&story, async {
        tokio::select! {
            _ = story.once(story.options(true)) => panic!("it ended before two parts had arrived"),
            () = killed => {}
        }
    })
    .await;
    assert_eq!((story.world.open_uploads().len(), cloned(&story)), (1, 1));
    story.world.with(|w| {
        let print = w.book.intents[&Key::raw(LOG)].print;
        w.write(&path(LOG), 0, 0xBAD);
        let file = w.disk.files.get_mut(&path(LOG)).unwrap();
        (file.mtime, file.ctime) = (print.mtime.sec, print.ctime.sec);
    });
    let begun = requests(&story, "CreateMultipartUpload");
    story.once(story.options(true)).await;
    assert_eq!(requests(&story, "CreateMultipartUpload"), begun, "it is gone on with");
    assert_eq!(story.world.open_uploads().len(), 0);
    story.world.with(|w| {
        assert_eq!(w.shelf.objects[&Key::raw(LOG)].body, w.disk.files[&path(LOG)].body);
    });
    unbroken(&story);
}
