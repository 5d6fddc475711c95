//! `max_overwrite`: many files that change within an hour wait for an operator, and their objects stay as they were.

use crate::{
    cases::{ms, requests, unbroken},
    deletes::{files, look_at_everything, until},
    story::Story,
    support::disk::path,
};
use s3mirrord::{
    engine::{self, Options},
    ledger::Ledger,
    local::Prune,
    model::{Change, Key, RelPath},
    plan::Limits,
};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3_600);

fn limited(story: &Story, once: bool) -> Options {
    let overwrites = Some(Limits { count: 8, percent: 100, window: HOUR });
    Options { overwrites, page: 20, ..story.options(once) }
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
    let options = Options { rescan: HOUR * 9, relist: HOUR * 99, ..limited(&story, false) };
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
    story.world.with(|w| w.full = true);
    let pass = engine::run(sides, options(true), Prune::default(), input, stop, story.report());
    tokio::select! {
        _ = pass => panic!("it is to be killed before"),
        () = until(&story, ms(9_000), "they are sent", || current(&story, &names[..6]) == 6) => {}
    }
    story.world.with(|w| w.full = false);
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
    let options = Options { rescan: HOUR * 9, relist: HOUR * 99, ..limited(&story, false) };
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
