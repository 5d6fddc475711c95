//! `max_overwrite`: many files that change within an hour wait for an operator, and their objects stay as they were.

use crate::{
    cases::{ms, requests, unbroken},
    deletes::{files, look_at_everything, until},
    story::Story,
    support::disk::path,
};
use futures::StreamExt;
use s3mirrord::{
    engine::{self, Input, Options},
    ledger::Ledger,
    local::{Notice, Prune, Tree},
    model::{Change, ETag, Key, RelPath, Scope},
    plan::Limits,
};
use std::time::Duration;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3_600);

fn limited(story: &Story, once: bool) -> Options {
    let overwrites = Some(Limits { count: 8, percent: 100, window: HOUR });
    Options { overwrites, page: 20, ..story.options(once) }
}

/// Nothing is looked at that was not told of.
fn follows(story: &Story) -> Options {
    Options { rescan: HOUR * 9, relist: HOUR * 99, ..limited(story, false) }
}

fn change(story: &Story, names: &[RelPath], text: u64) {
    story.world.with(|w| names.iter().for_each(|p| w.write(p, 0, text)));
}

/// How many of these objects hold what their files do.
fn current(story: &Story, names: &[RelPath]) -> usize {
    story.world.with(|w| {
        let is = |p: &&RelPath| w.shelf.objects[&Key::of(p)].body == w.disk.files[*p].body;
        names.iter().filter(is).count()
    })
}

async fn approve(story: &Story) {
    let last = story.world.tally().await.unwrap().last_overwrite;
    story.world.commit(vec![Change::ApproveOverwrites(last)]).await.unwrap();
}

/// Twelve change, of which eight may go.
async fn four_are_held(story: &Story, names: &[RelPath], notices: &mpsc::Sender<Notice>) {
    sleep(ms(8_000)).await;
    change(story, &names[..12], 2);
    look_at_everything(notices).await;
    sleep(ms(20_000)).await;
    assert_eq!(held(story).await, 4);
}

async fn held(story: &Story) -> u64 {
    story.world.tally().await.unwrap().overwrites
}

#[tokio::test(start_paused = true)]
async fn a_pass_replaces_as_many_as_may_be_and_what_was_approved() {
    let story = Story::calm();
    let names = files(&story, 30);
    story.once(limited(&story, true)).await;
    change(&story, &names, 2);
    story.world.with(|w| {
        w.write(&path("new"), 0, 1);
        w.chmod(&names[29], 0o600);
    });
    let report = story.once(limited(&story, true)).await;
    let status = report.status();
    assert_eq!((status.sums.uploaded, status.sums.failed, current(&story, &names)), (9, 0, 8));
    assert_eq!(
        (held(&story).await, story.world.with(|w| w.shelf.objects.contains_key(&Key::raw("new")))),
        (22, true)
    );
    let why = status.overwrites_held.expect("they are held");
    assert!(why.contains("more than max_overwrite.count = 8"), "{why}");

    // nothing goes because it is tried again
    sleep(ms(1_800_000)).await;
    let report = story.once(limited(&story, true)).await;
    let sums = report.status().sums;
    assert_eq!((sums.uploaded, sums.overwrites_held, held(&story).await), (0, 22, 22));

    // what changes after the plan was seen is not in it
    let late = path("late");
    let last = story.world.tally().await.unwrap().last_overwrite;
    story.world.with(|w| w.write(&late, 0, 1));
    story.once(limited(&story, true)).await;
    change(&story, std::slice::from_ref(&late), 2);
    story.once(limited(&story, true)).await;
    story.world.commit(vec![Change::ApproveOverwrites(last)]).await.unwrap();
    let report = story.once(limited(&story, true)).await;
    assert_eq!((report.status().sums.uploaded, current(&story, &names)), (22, 30));
    assert_eq!((current(&story, &[late]), held(&story).await), (0, 1));

    // and once is once
    change(&story, &names[8..], 3);
    story.once(limited(&story, true)).await;
    assert!(current(&story, &names) <= 8, "what was approved once is not approved for good");
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn the_daemon_goes_on_when_the_window_has_passed_or_an_operator_agrees() {
    let story = Story::calm();
    let names = files(&story, 30);
    let options = follows(&story);
    story
        .daemon_with(options, async |notices| {
            sleep(ms(8_000)).await;
            change(&story, &names[..12], 2);
            look_at_everything(&notices).await;
            sleep(ms(20_000)).await;
            assert_eq!((current(&story, &names[..12]), held(&story).await), (8, 4));
            // a file that is as it was, one that is gone, and one that grows meanwhile
            let left: Vec<_> = names[..12].iter().filter(|p| current(&story, &[(*p).clone()]) == 0).collect();
            change(&story, &[left[0].clone()], 1);
            story.world.with(|w| w.remove(left[1]));
            look_at_everything(&notices).await;
            sleep(ms(120_000)).await;
            assert_eq!(held(&story).await, 2);
            sleep(HOUR - ms(300_000)).await;
            assert_eq!(held(&story).await, 2, "not yet");
            sleep(ms(400_000)).await;
            assert_eq!(held(&story).await, 0, "the window has passed, and they fit");
        })
        .await;
    unbroken(&story);
}

/// A log is written all day.
#[tokio::test(start_paused = true)]
async fn a_file_that_changes_all_the_time_costs_once() {
    let story = Story::calm();
    let names = files(&story, 10);
    story.once(limited(&story, true)).await;
    for text in 2..40 {
        change(&story, &names[..1], text);
        story.once(limited(&story, true)).await;
        sleep(ms(10_000)).await;
    }
    change(&story, &names, 99);
    story.once(limited(&story, true)).await;
    assert_eq!((current(&story, &names), held(&story).await), (8, 2));
    unbroken(&story);
}

/// What is counted by a clock that went back is not forgotten when that is put right.
#[tokio::test(start_paused = true)]
async fn c24_a_clock_that_goes_back_and_forth_forgets_nothing() {
    let story = Story::calm();
    let names = files(&story, 20);
    story.once(limited(&story, true)).await;
    change(&story, &names[..8], 2);
    story.once(limited(&story, true)).await;
    story.world.with(|w| w.jump(-86_400));
    change(&story, &names[..4], 3);
    story.once(limited(&story, true)).await;
    story.world.with(|w| w.jump(86_400));
    change(&story, &names[8..12], 2);
    story.once(limited(&story, true)).await;
    assert_eq!((current(&story, &names[..12]), held(&story).await), (8, 4));
    unbroken(&story);
}

/// Killed between uploads and their commit: they count all the same.
#[tokio::test(start_paused = true)]
async fn c65_replacements_that_were_not_written_down_count() {
    let story = Story::calm();
    let names = files(&story, 12);
    let options = |once| Options { workers: 8, room: 20, ..limited(&story, once) };
    story.once(options(true)).await;
    change(&story, &names[..6], 2);
    let sides = (story.world.clone(), story.world.clone(), story.world.clone());
    let (input, stop) = (futures::stream::pending(), CancellationToken::new());
    let pass = engine::run(sides, options(true), Prune::default(), input, stop, story.report());
    tokio::select! {
        _ = pass => panic!("it is to be killed before"),
        () = until(&story, ms(9_000), "they are sent", || current(&story, &names[..6]) == 6) => {}
    }
    story
        .daemon_with(options(false), async |notices| {
            sleep(ms(9_000)).await;
            change(&story, &names[6..], 2);
            look_at_everything(&notices).await;
            sleep(ms(20_000)).await;
            assert_eq!((current(&story, &names[6..]), held(&story).await), (2, 4));
        })
        .await;
    unbroken(&story);
}

/// No budget, no request more, no row.
#[tokio::test(start_paused = true)]
async fn without_a_budget_nothing_is_held() {
    let story = Story::calm();
    let names = files(&story, 30);
    story.once(story.options(true)).await;
    change(&story, &names, 2);
    let before = requests(&story, "HeadObject");
    story.once(story.options(true)).await;
    assert_eq!((current(&story, &names), requests(&story, "HeadObject")), (30, before));
    story.world.with(|w| assert!(w.book.counted.is_empty() && w.book.overwrites.is_empty()));
    unbroken(&story);
}

/// Which of two objects an operator agreed to lose is told by the bucket, not by what is remembered.
#[tokio::test(start_paused = true)]
async fn c49_what_another_tool_put_there_is_asked_about_and_then_goes() {
    let story = Story::calm();
    let names = files(&story, 10);
    story.once(limited(&story, true)).await;
    change(&story, &names[1..9], 2);
    story.once(limited(&story, true)).await;
    let options = follows(&story);
    story
        .daemon_with(options, async |notices| {
            sleep(ms(8_000)).await;
            story.world.with(|w| w.write(&names[0], 2, 5));
            look_at_everything(&notices).await;
            sleep(ms(20_000)).await;
            assert_eq!(held(&story).await, 1);
            // the daemon does not know of it
            story.world.with(|w| drop(w.plant(names[0].to_string().as_str(), 1_700_000_000)));
            approve(&story).await;
            look_at_everything(&notices).await;
            sleep(ms(100_000)).await;
            assert_eq!(
                (current(&story, &names[..1]), held(&story).await),
                (0, 1),
                "another object than it was"
            );
            approve(&story).await;
            look_at_everything(&notices).await;
            sleep(ms(100_000)).await;
            assert_eq!((current(&story, &names[..1]), held(&story).await), (1, 0));
        })
        .await;
    unbroken(&story);
}

/// Whatever becomes of an upload, and of its answer, it was counted before.
#[tokio::test(start_paused = true)]
async fn c48_replacements_whose_answers_are_lost_are_not_more_than_may_be() {
    let story = Story::calm();
    let names = files(&story, 60);
    story
        .daemon_with(follows(&story), async |notices| {
            sleep(ms(8_000)).await;
            story.world.with(|w| w.shelf.deaf = true);
            change(&story, &names, 2);
            look_at_everything(&notices).await;
            sleep(ms(100_000)).await;
            assert!(current(&story, &names) <= 8, "{}", current(&story, &names));
            story.world.with(|w| w.shelf.deaf = false);
            sleep(ms(100_000)).await;
            assert_eq!((current(&story, &names), held(&story).await), (8, 52));
        })
        .await;
    unbroken(&story);
}

/// The store is away when what is held is to be reviewed: the review waits, and nothing turns round and round.
#[tokio::test(start_paused = true)]
async fn c51_what_is_held_is_reviewed_when_the_store_is_back() {
    let story = Story::calm();
    let names = files(&story, 30);
    story
        .daemon_with(follows(&story), async |notices| {
            four_are_held(&story, &names, &notices).await;
            story.world.with(|w| {
                w.shelf.down = true;
                (0..20).for_each(|n| w.write(&path(&format!("new{n}")), 0, 1));
            });
            look_at_everything(&notices).await;
            sleep(ms(300_000)).await;
            story.world.with(|w| w.shelf.down = false);
            change(&story, &names[..12], 1);
            look_at_everything(&notices).await;
            until(&story, ms(300_000), "none is held", || story.world.with(|w| w.book.overwrites.is_empty()))
                .await;
        })
        .await;
    unbroken(&story);
}

/// A session ends while files are held, and an operator agrees while there is none.
#[tokio::test(start_paused = true)]
async fn what_an_operator_releases_between_two_sessions_goes_and_is_told_of() {
    let story = Story::calm();
    let names = files(&story, 30);
    let (notices, watch) = mpsc::channel(64);
    story.world.with(|w| w.disk.watch = Some(watch));
    let (tell, told) = mpsc::channel(4);
    let told = futures::stream::unfold(told, async |mut told: mpsc::Receiver<Input>| {
        told.recv().await.map(|input| (input, told))
    });
    let input = futures::stream::select(story.world.watch(Prune::default()).map(Input::Notice), told);
    let (stop, report) = (CancellationToken::new(), story.report());
    let sides = (story.world.clone(), story.world.clone(), story.world.clone());
    let engine = engine::run(sides, follows(&story), Prune::default(), input, stop.clone(), report.clone());
    let script = async {
        four_are_held(&story, &names, &notices).await;
        tell.send(Input::Reopen).await.unwrap();
        sleep(ms(10)).await;
        approve(&story).await;
        sleep(ms(200_000)).await;
        let status = report.status();
        assert_eq!((held(&story).await, current(&story, &names), status.overwrites_held), (0, 30, None));
        assert!(status.settled);
        stop.cancel();
    };
    let (end, ()) = tokio::join!(engine, script);
    assert_eq!(end, engine::End::Done);
    unbroken(&story);
}

/// What was released and takes its time is not looked for again and again.
#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_costs_no_listing_a_minute() {
    let story = Story::calm();
    let names = files(&story, 100);
    let options = Options { room: 200, workers: 200, ..follows(&story) };
    story
        .daemon_with(options, async |notices| {
            sleep(ms(20_000)).await;
            change(&story, &names[..90], 2);
            look_at_everything(&notices).await;
            sleep(ms(30_000)).await;
            assert_eq!(held(&story).await, 82);
            story.world.with(|w| w.shelf.write_takes = 900_000);
            approve(&story).await;
            change(&story, &names[95..], 2);
            look_at_everything(&notices).await;
            sleep(ms(120_000)).await;
            let before = requests(&story, "ListObjectsV2");
            sleep(ms(600_000)).await;
            assert_eq!(requests(&story, "ListObjectsV2"), before);
            assert_eq!(held(&story).await, 5);
            story.world.with(|w| w.shelf.write_takes = 0);
            sleep(ms(900_000)).await;
            assert_eq!(current(&story, &names), 95);
        })
        .await;
    unbroken(&story);
}

/// The same files again at the end of the window, and others when it has passed.
#[tokio::test(start_paused = true)]
async fn a_budget_is_of_any_window_whenever_a_file_was_written_first() {
    let story = Story::calm();
    let names = files(&story, 16);
    story.once(limited(&story, true)).await;
    for (changed, text, wait) in [(&names[..8], 2, HOUR - ms(120_000)), (&names[..8], 3, ms(240_000))] {
        change(&story, changed, text);
        story.once(limited(&story, true)).await;
        assert_eq!(current(&story, &names[..8]), 8);
        sleep(wait).await;
    }
    change(&story, &names[8..], 3);
    story.once(limited(&story, true)).await;
    assert_eq!((current(&story, &names), held(&story).await), (8, 8));
    unbroken(&story);
}

/// The ledger cannot be written: what is held waits for it, and nothing else does.
#[tokio::test(start_paused = true)]
async fn c64_a_review_that_cannot_be_written_down_keeps_nothing_up() {
    let story = Story::calm();
    let names = files(&story, 30);
    story
        .daemon_with(follows(&story), async |notices| {
            four_are_held(&story, &names, &notices).await;
            let left = names[..12].iter().find(|p| current(&story, &[(*p).clone()]) == 0).unwrap();
            story.world.with(|w| {
                w.full = true;
                w.remove(left);
            });
            look_at_everything(&notices).await;
            sleep(ms(120_000)).await;
            story.world.with(|w| w.write(&path("new"), 0, 1));
            look_at_everything(&notices).await;
            let there = || story.world.with(|w| w.shelf.objects.contains_key(&Key::raw("new")));
            until(&story, ms(60_000), "a new file is there", there).await;
            story.world.with(|w| w.full = false);
            sleep(ms(200_000)).await;
            assert_eq!(held(&story).await, 3);
        })
        .await;
    unbroken(&story);
}

/// Objects that somebody wrote again with the same bytes were not replaced by us.
#[tokio::test(start_paused = true)]
async fn c49_what_others_write_again_costs_nothing() {
    let story = Story::calm();
    let names = files(&story, 30);
    story.once(limited(&story, true)).await;
    story.world.with(|w| {
        for (n, p) in names[..12].iter().enumerate() {
            w.shelf.objects.get_mut(&Key::of(p)).unwrap().etag = ETag::new(&format!("sealed anew {n}"));
        }
    });
    story.once(limited(&story, true)).await;
    change(&story, &names[20..21], 2);
    story.once(limited(&story, true)).await;
    assert_eq!((current(&story, &names[20..21]), held(&story).await), (1, 0));
}

/// What is held while a review begins is not forgotten, whichever comes first.
#[tokio::test(start_paused = true)]
async fn what_is_held_while_a_review_begins_is_reviewed_by_the_next() {
    for d in 30..70 {
        let story = Story::calm();
        let names = files(&story, 30);
        let (notices, watch) = mpsc::channel(64);
        story.world.with(|w| w.disk.watch = Some(watch));
        let input = story.world.watch(Prune::default()).map(Input::Notice);
        let (stop, report) = (CancellationToken::new(), story.report());
        let sides = (story.world.clone(), story.world.clone(), story.world.clone());
        let engine =
            engine::run(sides, follows(&story), Prune::default(), input, stop.clone(), report.clone());
        let script = async {
            let look = || notices.send(Notice::Look(Scope::everything()));
            sleep(ms(8_000)).await;
            change(&story, &names[..9], 2);
            look().await.unwrap();
            let is_held = || story.world.with(|w| !w.book.overwrites.is_empty());
            until(&story, ms(9_000), "one is held", is_held).await;
            let at = tokio::time::Instant::now();
            let left = names[..9].iter().find(|p| current(&story, &[(*p).clone()]) == 0).unwrap();
            sleep(ms(40_000)).await;
            // its row goes with it, or is there to be reviewed
            match d % 2 {
                0 => story.world.with(|w| w.remove(left)),
                _ => change(&story, std::slice::from_ref(left), 1),
            }
            look().await.unwrap();
            tokio::time::sleep_until(at + ms(59_400 + d * 7)).await;
            change(&story, &names[20..21], 2);
            story.world.with(|w| {
                w.shelf.write_takes = 700;
                w.write(&path("new"), 0, 1);
            });
            look().await.unwrap();
            // what is released takes a moment to go
            let mut untold = 0;
            for _ in 0..1_200 {
                sleep(ms(500)).await;
                let rows = held(&story).await;
                untold = if rows == 0 || report.status().overwrites_held.is_some() { 0 } else { untold + 1 };
                assert!(untold < 40, "{d}: {rows} rows, and none told");
            }
            sleep(HOUR * 2).await;
            assert_eq!((held(&story).await, current(&story, &names[20..21])), (0, 1), "{d}");
            stop.cancel();
        };
        let (end, ()) = tokio::join!(engine, script);
        assert_eq!(end, engine::End::Done);
        unbroken(&story);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_what_would_be_held() {
    let story = Story::calm();
    let names = files(&story, 30);
    story.once(limited(&story, true)).await;
    change(&story, &names, 2);
    let before = requests(&story, "PutObject");
    let report = story.once(Options { dry_run: true, ..limited(&story, true) }).await;
    let sums = report.status().sums;
    assert_eq!((sums.uploaded, sums.overwrites_held), (8, 22));
    assert_eq!((current(&story, &names), requests(&story, "PutObject")), (0, before));
}
