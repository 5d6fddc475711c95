//! Cases of the delete road that need the whole engine and exact times, each played once on a fair day.

use crate::{
    cases::{look, ms, owner, requests, unbroken},
    story::Story,
    support::{
        bucket::Oddity,
        disk::{File, path},
    },
};
use s3mirrord::{
    engine::{self, Options},
    local::{Notice, Prune},
    model::{Class, ETag, Key, RelPath, Scope},
    plan::Limits,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Waits until `is`, within `most`.
pub(crate) async fn until(story: &Story, most: Duration, what: &str, mut is: impl FnMut() -> bool) {
    let (begun, step) = (Instant::now(), (most / 4_000).max(ms(1)));
    while !is() {
        let trace = || story.world.with(|w| w.trace.join("\n"));
        assert!(begun.elapsed() < most, "not within {most:?}: {what}\n{}", trace());
        sleep(step).await;
    }
}

/// Files of one directory.
pub(crate) fn files(story: &Story, n: usize) -> Vec<RelPath> {
    let names: Vec<_> = (0..n).map(|n| path(&format!("d/f{n:03}"))).collect();
    story.world.with(|w| names.iter().for_each(|p| w.write(p, 0, 1)));
    names
}

/// Moves them away.
fn take_aside(story: &Story, names: &[RelPath]) -> Vec<(RelPath, File)> {
    story.world.with(|w| {
        let aside = names.iter().map(|p| (p.clone(), w.disk.files[p].clone())).collect();
        names.iter().for_each(|p| w.remove(p));
        aside
    })
}

fn bring_back(story: &Story, aside: Vec<(RelPath, File)>) {
    story.world.with(|w| aside.into_iter().for_each(|(p, file)| w.bring(&p, file)));
}

fn is_there(story: &Story, p: &RelPath) -> bool {
    story.world.with(|w| w.shelf.objects.contains_key(&Key::of(p)))
}

pub(crate) async fn look_at_everything(notices: &tokio::sync::mpsc::Sender<Notice>) {
    notices.send(Notice::Look(Scope::everything())).await.unwrap();
}

/// Deletes that go one by one take their time: what comes back meanwhile is seen, but by those that are on their way.
#[tokio::test(start_paused = true)]
async fn c66_a_licence_is_for_the_next_request_alone() {
    let story = Story::calm();
    story.world.with(|w| w.shelf.can.conditional_batch = Some(false));
    let names = files(&story, 100);
    story.world.with(|w| w.write(&path("kept"), 0, 1));
    let options = Options { page: 1_000, room: 256, ..story.options(false) };
    story
        .daemon_with(options, async |notices| {
            sleep(ms(8_000)).await;
            assert!(names.iter().all(|p| is_there(&story, p)));
            story.world.with(|w| w.shelf.write_takes = 200);
            let aside = take_aside(&story, &names);
            look_at_everything(&notices).await;
            until(&story, ms(9_000), "the second group is on its way", || {
                requests(&story, "DeleteObject") > 20
            })
            .await;
            bring_back(&story, aside);
            notices.send(look("d")).await.unwrap();
            sleep(ms(9_000)).await;
        })
        .await;
    assert!(requests(&story, "DeleteObject") <= 33);
    assert!(names.iter().all(|p| is_there(&story, p)));
    unbroken(&story);
}

/// Pages of deletes, one after the other.
#[tokio::test(start_paused = true)]
async fn c67_no_delete_begins_after_a_stop() {
    // together, and one by one
    for (batches, operation, under_way) in [(true, "DeleteObjects", 1), (false, "DeleteObject", 16)] {
        let story = Story::calm();
        story.world.with(|w| w.shelf.can.conditional_batch = Some(batches));
        let names = files(&story, 40);
        story.world.with(|w| w.write(&path("kept"), 0, 1));
        story.once(Options { page: 40, ..story.options(true) }).await;
        take_aside(&story, &names);
        let page = if batches { 4 } else { 40 };
        let options = Options { page, drain: ms(25_000), ..story.options(false) };
        story
            .daemon_with(options, async |_| {
                story.world.with(|w| w.shelf.write_takes = 200);
                let begun = || requests(&story, operation) > 0;
                until(&story, ms(9_000), "the first is on its way", begun).await;
            })
            .await;
        let asked = requests(&story, operation);
        assert!((1..=under_way + 1).contains(&asked), "{operation}: {asked}");
        let left = names.iter().filter(|p| is_there(&story, p)).count();
        assert!((20..40).contains(&left), "{left} are left: what was on its way ended");
        story.world.with(|w| {
            let known = w.book.records.len();
            assert_eq!(known, left + 1, "and is written down: {}", w.trace.join("\n"));
        });
        unbroken(&story);
    }
}

/// A directory is moved aside and back: its rows no longer hold what is really gone.
#[tokio::test(start_paused = true)]
async fn c61_held_deletes_of_files_that_are_back_are_dropped() {
    let story = Story::calm();
    let names = files(&story, 20);
    let link = names[1].clone();
    story.world.with(|w| w.write(&path("kept"), 0, 1));
    let limits = Limits { count: 8, percent: 100, window: ms(60_000) };
    let options = Options { limits: Some(limits), page: 7, ..story.options(false) };
    story
        .daemon_with(options, async |notices| {
            sleep(ms(8_000)).await;
            let mut aside = take_aside(&story, &names);
            look_at_everything(&notices).await;
            let settled =
                || story.world.with(|w| w.trace.iter().filter(|line| line.ends_with("Settled")).count());
            let before = settled();
            until(&story, ms(9_000), "they are held", || story.world.with(|w| w.book.held)).await;
            sleep(ms(5_000)).await;
            assert_eq!(settled(), before, "what is held is not in sync");
            // the first is gone for good, the second is a link now
            aside.drain(..2);
            bring_back(&story, aside);
            story.world.with(|w| w.link(&link));
            look_at_everything(&notices).await;
            let released = || story.world.with(|w| !w.book.held && w.book.condemned.is_empty());
            until(&story, ms(180_000), "they are released", released).await;
        })
        .await;
    story.world.with(|w| {
        assert!(w.trace.iter().any(|line| line.contains("Released")), "{}", w.trace.join("\n"));
    });
    assert!(!is_there(&story, &names[0]), "what is gone goes");
    assert!(names[1..].iter().all(|p| is_there(&story, p)));
    unbroken(&story);
}

/// How long files have to be gone says nothing of how soon a failure passes.
#[tokio::test(start_paused = true)]
async fn c51_deletes_that_failed_are_tried_again_in_five_minutes_however_long_the_grace() {
    let story = Story::calm();
    let names = files(&story, 3);
    story.world.with(|w| w.write(&path("kept"), 0, 1));
    story.once(Options { page: 10, ..story.options(true) }).await;
    let hour = ms(3_600_000);
    let options = Options { grace: hour, rescan: hour * 100, relist: hour * 100, ..story.options(false) };
    let asked = || requests(&story, "DeleteObjects") + requests(&story, "DeleteObject");
    story
        .daemon_with(Options { page: 10, ..options }, async |notices| {
            sleep(ms(1_000)).await;
            take_aside(&story, &names);
            look_at_everything(&notices).await;
            sleep(hour - ms(10_000)).await;
            assert_eq!(asked(), 0);
            let throttled = |p: &RelPath| (Key::of(p), Oddity::Fails(Class::Throttled));
            story.world.with(|w| w.shelf.oddities = names.iter().map(throttled).collect());
            // each is tried within five minutes of the one before
            for n in 0..6 {
                let before = asked();
                let most = ms(if n == 0 { 20_000 } else { 301_000 });
                until(&story, most, "another try", || asked() > before).await;
                sleep(ms(100)).await;
                assert!(asked() <= before + 3);
            }
            story.world.with(|w| w.shelf.oddities.clear());
            until(&story, ms(301_000), "they go", || !names.iter().any(|p| is_there(&story, p))).await;
        })
        .await;
    unbroken(&story);
}

/// A batch takes more slots than there is room, and its request hangs.
#[tokio::test(start_paused = true)]
async fn c47_a_batch_that_hangs_stops_no_upload() {
    let story = Story::calm();
    let names = files(&story, 300);
    story.world.with(|w| w.write(&path("kept"), 0, 1));
    let options = |once| Options { page: 1_000, room: 256, ..story.options(once) };
    story.once(options(true)).await;
    story
        .daemon_with(options(false), async |notices| {
            sleep(ms(1_000)).await;
            take_aside(&story, &names);
            look_at_everything(&notices).await;
            // the first that is found is condemned before the others, and goes alone
            until(&story, ms(9_000), "the first goes", || !is_there(&story, &names[0])).await;
            story.world.with(|w| w.shelf.write_takes = 100_000);
            let hangs = || story.world.with(|w| w.shelf.in_flight.len() > 290);
            until(&story, ms(9_000), "the batch is on its way", hangs).await;
            sleep(ms(100)).await;
            story.world.with(|w| {
                w.shelf.write_takes = 0;
                w.write(&path("new"), 0, 1);
            });
            notices.send(look("new")).await.unwrap();
            until(&story, ms(5_000), "a new file is there", || is_there(&story, &path("new"))).await;
            assert!(is_there(&story, &names[9]), "the batch hangs still");
            sleep(ms(120_000)).await;
        })
        .await;
    assert!(!names.iter().any(|p| is_there(&story, p)));
    unbroken(&story);
}

/// A store that asks for less is not asked for page after page.
#[tokio::test(start_paused = true)]
async fn c51_deletes_go_on_when_the_pause_is_over() {
    // together, and one by one: as many at a time, and the first that is found alone
    for (batches, operation, first) in [(true, "DeleteObjects", 1), (false, "DeleteObject", 16)] {
        let story = Story::calm();
        story.world.with(|w| w.shelf.can.conditional_batch = Some(batches));
        let names = files(&story, 60);
        story.world.with(|w| w.write(&path("kept"), 0, 1));
        story.once(Options { page: 60, ..story.options(true) }).await;
        take_aside(&story, &names);
        let throttled = |p: &RelPath| (Key::of(p), Oddity::Fails(Class::Throttled));
        story.world.with(|w| w.shelf.oddities = names.iter().map(throttled).collect());
        let page = if batches { 20 } else { 60 };
        story
            .daemon_with(Options { page, ..story.options(false) }, async |_| {
                until(&story, ms(9_000), "the first", || requests(&story, operation) > 0).await;
                sleep(ms(400)).await;
                let asked = requests(&story, operation);
                assert!((first..=first + 1).contains(&asked), "{operation}: {asked}");
                story.world.with(|w| w.shelf.oddities.clear());
                let gone = || !names.iter().any(|p| is_there(&story, p));
                until(&story, ms(20_000), "they go", gone).await;
            })
            .await;
        unbroken(&story);
    }
}

/// Killed between a delete and its commit: it counts all the same.
#[tokio::test(start_paused = true)]
async fn c65_c73_deletes_that_were_not_written_down_count() {
    let story = Story::calm();
    let names = files(&story, 12);
    story.world.with(|w| w.write(&path("kept"), 0, 1));
    let limits = Some(Limits { count: 8, percent: 100, window: ms(3_600_000) });
    // who finds them gone is slow
    let options = |once| Options { limits, page: 20, workers: 1, ..story.options(once) };
    story.once(options(true)).await;
    take_aside(&story, &names[..6]);
    let sides = (story.world.clone(), story.world.clone(), story.world.clone());
    let (input, stop) = (futures::stream::pending(), CancellationToken::new());
    let pass = engine::run(sides, options(true), Prune::default(), input, stop, story.report());
    let gone = || !names[..6].iter().any(|p| is_there(&story, p));
    tokio::select! {
        _ = pass => panic!("it is to be killed before"),
        () = until(&story, ms(9_000), "they go", gone) => {}
    }
    assert!(story.world.with(|w| w.book.condemned.len()) >= 5);
    story
        .daemon_with(options(false), async |notices| {
            sleep(ms(5_000)).await;
            take_aside(&story, &names[6..]);
            look_at_everything(&notices).await;
            sleep(ms(9_000)).await;
            assert!(story.world.with(|w| w.book.held), "{}", story.world.with(|w| w.trace.join("\n")));
        })
        .await;
    assert!(names[6..].iter().all(|p| is_there(&story, p)));
    unbroken(&story);
}

/// What ends the mirror is told once, not for each key, and ends the pass.
#[tokio::test(start_paused = true)]
async fn c07_c63_deletes_end_with_a_claim_or_a_root_that_is_lost() {
    for (class, what) in [(Class::Owned, "claim the prefix"), (Class::Fatal, "open the root")] {
        let story = Story::calm();
        let names = files(&story, 20);
        story.world.with(|w| w.write(&path("kept"), 0, 1));
        story.once(Options { page: 7, ..story.options(true) }).await;
        take_aside(&story, &names);
        let sides = (story.world.clone(), story.world.clone(), story.world.clone());
        let (options, input) = (story.options(true), futures::stream::pending());
        let (stop, report) = (CancellationToken::new(), story.report());
        let pass = engine::run(sides, options, Prune::default(), input, stop, report.clone());
        let meanwhile = async {
            // they are condemned, and not looked at again
            until(&story, ms(900), "condemned", || story.world.with(|w| w.book.condemned.len() == 20)).await;
            story.world.with(|w| match class {
                Class::Owned => {
                    let record = w.shelf.objects.get_mut(&owner()).unwrap();
                    let text = String::from_utf8(record.body.clone()).unwrap();
                    record.body = text.replace("\"host\": \"host\"", "\"host\": \"other\"").into();
                    assert_ne!(record.body, text.into_bytes());
                    record.etag = ETag::new("theirs");
                }
                _ => w.disk.missing = true,
            });
        };
        let (end, ()) = tokio::join!(pass, meanwhile);
        let engine::End::Failed(fault) = end else { panic!("{end:?}") };
        assert_eq!((fault.class, &*fault.what), (class, what), "{fault}");
        assert_eq!((report.status().sums.failed, report.status().sums.deleted), (0, 0));
        assert!(names.iter().all(|p| is_there(&story, p)));
        unbroken(&story);
    }
}

/// A grace of many rescans is over when it is over.
#[tokio::test(start_paused = true)]
async fn c66_a_grace_longer_than_a_rescan_comes_to_its_end() {
    let story = Story::calm();
    let gone = path("d/gone");
    story.world.with(|w| [&gone, &path("kept")].into_iter().for_each(|p| w.write(p, 0, 1)));
    story.world.with(|w| w.shelf.grace = ms(60_000));
    let options = Options { grace: ms(60_000), ..story.options(false) };
    assert!(options.rescan * 3 < options.grace);
    story
        .daemon_with(options, async |notices| {
            sleep(ms(8_000)).await;
            story.world.with(|w| w.remove(&gone));
            notices.send(look("d")).await.unwrap();
            sleep(ms(50_000)).await;
            assert!(is_there(&story, &gone));
            sleep(ms(20_000)).await;
            assert!(!is_there(&story, &gone));
        })
        .await;
    unbroken(&story);
}

/// A file that was back in between has its whole grace before it, though nothing of it changed.
#[tokio::test(start_paused = true)]
async fn c66_a_file_that_was_back_has_a_new_grace() {
    let story = Story::calm();
    let names = files(&story, 3);
    story.world.with(|w| {
        w.write(&path("kept"), 0, 1);
        w.shelf.grace = ms(60_000);
    });
    let options = Options { grace: ms(60_000), ..story.options(false) };
    story
        .daemon_with(options, async |notices| {
            sleep(ms(8_000)).await;
            let aside = take_aside(&story, &names);
            notices.send(look("d")).await.unwrap();
            sleep(ms(20_000)).await;
            story.world.with(|w| assert_eq!(w.book.condemned.len(), 3));
            bring_back(&story, aside);
            notices.send(look("d")).await.unwrap();
            sleep(ms(10_000)).await;
            story.world.with(|w| assert_eq!(w.book.condemned.len(), 0));
            take_aside(&story, &names);
            notices.send(look("d")).await.unwrap();
            sleep(ms(50_000)).await;
            assert!(names.iter().all(|p| is_there(&story, p)));
            sleep(ms(20_000)).await;
            assert!(!names.iter().any(|p| is_there(&story, p)));
        })
        .await;
    unbroken(&story);
}
