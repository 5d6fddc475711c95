//! Small changes beside what takes long.

use crate::{
    cases::{look, ms, unbroken},
    story::Story,
    support::disk::path,
};
use s3mirrord::{engine::Options, model::Key};
use tokio::time::{Instant, sleep};

/// A first comparison finds more to be sent than there is room for, and all of it hangs.
#[tokio::test(start_paused = true)]
async fn what_was_just_changed_does_not_wait_behind_a_tree_that_is_sent() {
    let story = Story::calm();
    story.world.with(|w| (0..50).for_each(|n| w.write(&path(&format!("tree/{n:02}")), 0, n)));
    let options = Options { room: 8, workers: 2, ..story.options(false) };
    let is_there = |name: &str| story.world.with(|w| w.shelf.objects.contains_key(&Key::raw(name)));
    story
        .daemon_with(options, async |notices| {
            story.world.with(|w| w.shelf.write_takes = 60_000);
            let begun = Instant::now();
            while story.world.with(|w| w.shelf.in_flight.len()) < 2 {
                assert!(begun.elapsed() < ms(9_000), "nothing is sent");
                sleep(ms(10)).await;
            }
            // time for all the others to be found
            sleep(ms(5_000)).await;
            story.world.with(|w| {
                w.shelf.write_takes = 0;
                w.write(&path("new"), 0, 1);
            });
            notices.send(look("new")).await.unwrap();
            sleep(ms(2_000)).await;
            assert!(is_there("new") && !is_there("tree/00"));
            sleep(ms(120_000)).await;
            assert!((0..50).all(|n| is_there(&format!("tree/{n:02}"))));
        })
        .await;
    unbroken(&story);
}
