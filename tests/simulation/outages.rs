//! A store that fails again and again: all of it, or for some files alone.

use crate::{
    cases::{ms, requests, unbroken},
    deletes::{look_at_everything, until},
    story::Story,
    support::disk::path,
};
use s3mirrord::{
    engine::{self, End, Options},
    local::Prune,
    model::{Class, Key},
};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3_600);

/// So many files whose objects the store cannot write, and one that it can.
fn scene(broken: usize) -> Story {
    let story = Story::calm();
    story.world.with(|w| {
        w.shelf.broken.insert("d/");
        (0..broken).for_each(|n| w.write(&path(&format!("d/{n:03}")), 0, 1));
        w.write(&path("e"), 0, 1);
    });
    story
}

fn arrived(story: &Story, under: &str) -> usize {
    story.world.with(|w| w.shelf.objects.keys().filter(|key| key.as_str().starts_with(under)).count())
}

/// A pass that nothing can be written by ends within minutes, however many files there are, and says so.
#[tokio::test(start_paused = true)]
async fn c51_a_pass_gives_up_a_store_that_fails_everything() {
    for at_once in [true, false] {
        let story = scene(1000);
        if !at_once {
            // the claim was made
            story.world.with(|w| w.shelf.broken.clear());
            let few = Options { dry_run: false, ..story.options(true) };
            story.once(few).await;
            story.world.with(|w| (0..1000).for_each(|n| w.write(&path(&format!("d/{n:03}")), 0, 2)));
        }
        story.world.with(|w| w.shelf.broken.extend(["d/", "e", ".s3mirrord/"]));
        let (begun, asked) = (Instant::now(), requests(&story, "PutObject"));
        let sides = (story.world.clone(), story.world.clone(), story.world.clone());
        let (input, stop) = (futures::stream::pending(), CancellationToken::new());
        let end =
            engine::run(sides, story.options(true), Prune::default(), input, stop, story.report()).await;
        let End::Failed(fault) = end else { panic!("{end:?}") };
        assert!(fault.class == Class::Fatal && fault.cause.contains("InternalError"), "{fault:?}");
        assert!(fault.remedy.as_deref().is_some_and(|remedy| remedy.contains("again")), "{fault:?}");
        let asked = requests(&story, "PutObject") - asked;
        assert!(begun.elapsed() < ms(300_000) && asked < 100, "{:?}, {asked} requests", begun.elapsed());
    }
}

/// A hundred files that the store cannot write keep a pass from nothing else, nor for long: it is not the store.
#[tokio::test(start_paused = true)]
async fn c51_a_pass_goes_on_past_files_that_the_store_fails() {
    let story = scene(100);
    let begun = Instant::now();
    let status = story.once(story.options(true)).await.status();
    assert_eq!((status.sums.uploaded, status.sums.failed, status.sums.busy), (1, 100, 0));
    assert!(begun.elapsed() < ms(900_000), "{:?}", begun.elapsed());
    unbroken(&story);
}

/// Nor do those that it tells nothing of: each is told, and the rest is done, deletes as well.
#[tokio::test(start_paused = true)]
async fn c51_a_pass_goes_on_past_files_of_which_the_store_tells_nothing() {
    for mute in [1, 30] {
        let story = Story::calm();
        story.world.with(|w| {
            (0..mute).for_each(|n| w.write(&path(&format!("d/{n:03}")), 0, 1));
            ["e", "gone"].iter().for_each(|name| w.write(&path(name), 0, 1));
        });
        story.once(story.options(true)).await;
        story.world.with(|w| {
            w.shelf.mute.insert("d/");
            // what another tool did: only HEAD tells whether they are there
            (0..mute).for_each(|n| drop(w.put_object(&Key::raw(format!("d/{n:03}")), None)));
            w.write(&path("f"), 0, 1);
            w.remove(&path("gone"));
        });
        let sums = story.once(story.options(true)).await.status().sums;
        assert_eq!((sums.uploaded, sums.deleted, sums.failed, sums.busy), (1, 1, mute, 0));
        story.world.with(|w| w.shelf.mute.clear());
        let sums = story.once(story.options(true)).await.status().sums;
        assert_eq!((sums.uploaded, sums.failed), (mute, 0));
        unbroken(&story);
    }
}

/// Nor does the daemon stop looking at others for their sake, and it sends them when it can.
#[tokio::test(start_paused = true)]
async fn c51_files_that_the_store_fails_keep_no_other_up() {
    let story = scene(40);
    let options = Options { rescan: ms(3_600_000), relist: ms(86_400_000), ..story.options(false) };
    story
        .daemon_with(options, async |notices| {
            until(&story, ms(60_000), "the first", || arrived(&story, "e") == 1).await;
            for n in 0..20 {
                let name = format!("f{n:02}");
                story.world.with(|w| w.write(&path(&name), 0, 1));
                look_at_everything(&notices).await;
                until(&story, ms(20_000), "another", || arrived(&story, &name) == 1).await;
            }
            story.world.with(|w| w.shelf.broken.clear());
            until(&story, ms(330_000), "all", || arrived(&story, "d") == 40).await;
        })
        .await;
    unbroken(&story);
}

/// What the ledger had no room for is written down when there is some, and nobody looks at the file once more for that.
#[tokio::test(start_paused = true)]
async fn c64_what_could_not_be_written_down_is_written_when_there_is_room() {
    let story = scene(0);
    let options = Options { rescan: HOUR * 9, relist: HOUR * 99, ..story.options(false) };
    story
        .daemon_with(options, async |notices| {
            let (is_there, is_known) = (
                || arrived(&story, "late") == 1,
                || story.world.with(|w| w.book.records.contains_key(&Key::raw("late"))),
            );
            tokio::time::sleep(ms(8_000)).await;
            story.world.with(|w| {
                w.full = true;
                w.write(&path("late"), 0, 1);
            });
            look_at_everything(&notices).await;
            until(&story, ms(60_000), "it arrives", is_there).await;
            tokio::time::sleep(ms(60_000)).await;
            let heads = requests(&story, "HeadObject");
            assert!(!is_known());
            story.world.with(|w| w.full = false);
            until(&story, ms(300_000), "it is written down", is_known).await;
            assert_eq!(requests(&story, "HeadObject"), heads);
        })
        .await;
    unbroken(&story);
}
