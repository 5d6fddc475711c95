//! Changes that are not seen as they happen.

use crate::{
    cases::{ms, unbroken},
    deletes::until,
    story::Story,
    support::{disk::path, world::World},
};
use s3mirrord::{
    engine::Options,
    local::Notice,
    model::{Class, Fault, Key},
};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn c05_c10_what_is_not_seen_is_found_within_a_minute_until_all_is_seen_again() {
    let story = Story::calm();
    let (minute, hour) = (ms(60_000), ms(3_600_000));
    let options = Options { rescan: hour, relist: 24 * hour, ..story.options(false) };
    let there = |name: &str| story.world.with(|w| w.shelf.objects.contains_key(&Key::raw(name)));
    let change = |name: &str| story.world.with(|w: &mut World| w.write(&path(name), 0, 1));
    change("first");
    story
        .daemon_with(options, async |notices| {
            until(&story, minute, "first", || there("first")).await;
            change("unseen");
            sleep(10 * minute).await;
            assert!(!there("unseen"), "there was no event");
            let fault = Fault::new(Class::Permanent, "watch", "for the test");
            notices.send(Notice::Degraded(fault.clone())).await.unwrap();
            until(&story, 2 * minute, "unseen", || there("unseen")).await;
            sleep(minute).await;
            let told =
                || story.world.with(|w| w.trace.iter().filter(|line| line.ends_with("Settled")).count());
            let before = told();
            sleep(10 * minute).await;
            assert_eq!(told(), before, "that nothing happened is no news");
            change("second");
            story.world.with(|w| w.remove(&path("unseen")));
            until(&story, 3 * minute, "second", || there("second") && !there("unseen")).await;

            // another session knows of it, too
            let gone = Fault::new(Class::Fatal, "open the root", "for the test");
            notices.send(Notice::Degraded(gone)).await.unwrap();
            sleep(10 * minute).await;
            change("third");
            until(&story, 2 * minute, "third", || there("third")).await;

            notices.send(Notice::Restored).await.unwrap();
            sleep(2 * minute).await;
            change("fourth");
            sleep(10 * minute).await;
            assert!(!there("fourth"), "it is looked for no more often than each hour again");
            until(&story, hour, "fourth", || there("fourth")).await;
        })
        .await;
    unbroken(&story);
}
