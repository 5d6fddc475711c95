//! Claiming the prefix when what a claim takes fails half-way: our own record is never taken for another's.

use crate::{
    cases::{ms, owner, unbroken},
    deletes::until,
    story::Story,
    support::{bucket::Oddity, disk::path},
};
use s3mirrord::model::{Class, Key};
use tokio::time::sleep;

const HOUR: u64 = 3_600_000;

fn is_sent(story: &Story) -> bool {
    story.world.with(|w| w.shelf.objects.contains_key(&Key::raw("a")))
}

/// The claim is in the bucket, and what is asked next has no answer: the next try goes on with it.
#[tokio::test(start_paused = true)]
async fn c45_a_claim_whose_probe_fails_does_not_become_anothers() {
    let story = Story::calm();
    story.world.with(|w| {
        w.write(&path("a"), 0, 1);
        w.shelf.oddities.insert(owner(), Oddity::Fails(Class::Transient));
    });
    story
        .daemon(async |_| {
            sleep(ms(20_000)).await;
            assert!(!is_sent(&story));
            story.world.with(|w| w.shelf.oddities.clear());
            sleep(ms(60_000)).await;
        })
        .await;
    assert!(is_sent(&story));
    unbroken(&story);
}

/// A file to be sent, and a store that does not tell that it has written the record.
fn untold() -> Story {
    let story = Story::calm();
    story.world.with(|w| {
        w.write(&path("a"), 0, 1);
        w.shelf.oddities.insert(owner(), Oddity::Untold);
    });
    story
}

async fn comes_a_record(story: &Story) {
    let is_written = || story.world.with(|w| w.shelf.objects.contains_key(&owner()));
    until(story, ms(4_000), "the record", is_written).await;
}

/// The record is written, and nobody says so; the next try would write another, of a later second.
#[tokio::test(start_paused = true)]
async fn c45_a_claim_whose_answer_is_lost_is_ours() {
    let story = untold();
    story
        .daemon(async |_| {
            comes_a_record(&story).await;
            story.world.with(|w| w.wall += 10);
            sleep(ms(60_000)).await;
        })
        .await;
    assert!(is_sent(&story));
    unbroken(&story);
}

/// So it is, and the next try, of another second, fails as a whole.
#[tokio::test(start_paused = true)]
async fn c45_a_claim_that_is_older_than_the_last_one_sent_is_ours() {
    let story = untold();
    story
        .daemon(async |_| {
            comes_a_record(&story).await;
            // its answer is lost
            sleep(ms(100)).await;
            let asked = story.world.with(|w| {
                w.wall += 10;
                w.shelf.oddities.insert(owner(), Oddity::Poison);
                w.shelf.requests["PutObject"]
            });
            let again = || story.world.with(|w| w.shelf.requests["PutObject"] > asked);
            until(&story, ms(20_000), "another try", again).await;
            story.world.with(|w| {
                w.wall += 10;
                w.shelf.oddities.clear();
            });
            sleep(ms(90_000)).await;
        })
        .await;
    assert!(is_sent(&story));
    unbroken(&story);
}

/// Somebody removed the record: the next renewal but one writes it again.
#[tokio::test(start_paused = true)]
async fn c63_a_record_that_vanished_is_written_again() {
    let story = Story::calm();
    story.world.with(|w| w.write(&path("a"), 0, 1));
    story
        .daemon(async |_| {
            sleep(ms(60_000)).await;
            assert!(story.world.with(|w| w.shelf.objects.remove(&owner())).is_some());
            sleep(ms(3 * HOUR)).await;
        })
        .await;
    assert!(story.world.with(|w| w.shelf.objects.contains_key(&owner())));
    unbroken(&story);
}
