//! The rolling scrub: what was confirmed is proven again.

use crate::{
    cases::{ms, unbroken},
    deletes::until,
    story::Story,
    support::disk::path,
};
use s3mirrord::{
    engine::{Options, Scrub},
    local::{Notice, Prune},
    model::{Key, RESERVED, Scope},
};
use tokio::time::{Instant, sleep};

fn options(story: &Story, fetch: bool) -> Options {
    let day = ms(86_400_000);
    let scrub = Some(Scrub { every: ms(3_600_000), fetch });
    Options { scrub, rescan: 10 * day, relist: 10 * day, ..story.options(false) }
}

/// The object's bytes; empty if there is none.
fn body(story: &Story, name: &str) -> Vec<u8> {
    story.world.with(|w| w.shelf.objects.get(&Key::raw(name)).map(|o| o.body.clone()).unwrap_or_default())
}

fn file(story: &Story, name: &str) -> Vec<u8> {
    story.world.with(|w| w.disk.files[&path(name)].body.clone())
}

/// How often an object of a file came.
fn sent(story: &Story) -> usize {
    let is = |line: &&String| line.contains("bucket: ") && line.contains(" with ");
    story.world.with(|w| w.trace.iter().filter(is).filter(|line| !line.contains(RESERVED)).count())
}

const NAMES: [&str; 5] = ["a", "b", "c", "d/e", "f"];

async fn all_there(story: &Story) {
    until(story, ms(60_000), "all files", || NAMES.iter().all(|name| body(story, name) == file(story, name)))
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_store_spoils_or_loses_is_put_back_within_the_time() {
    for fetch in [true, false] {
        let story = Story::calm();
        story
            .world
            .with(|w| NAMES.iter().enumerate().for_each(|(n, name)| w.write(&path(name), 1, n as u64)));
        story
            .daemon_with(options(&story, fetch), async |_| {
                all_there(&story).await;
                sleep(ms(10_000)).await;
                let before = sent(&story);
                story.world.with(|w| {
                    // the same tag, another byte; and one that no listing is asked for
                    w.shelf.objects.get_mut(&Key::raw("b")).unwrap().body[0] ^= 1;
                    w.shelf.objects.remove(&Key::raw("d/e"));
                });
                until(&story, ms(2 * 3_600_000), "what was lost", || {
                    body(&story, "d/e") == file(&story, "d/e")
                })
                .await;
                if fetch {
                    until(&story, ms(2 * 3_600_000), "what was spoiled", || {
                        body(&story, "b") == file(&story, "b")
                    })
                    .await;
                }
                sleep(ms(3 * 3_600_000)).await;
                assert_eq!(sent(&story) - before, if fetch { 2 } else { 1 }, "and nothing else is sent");
                assert_eq!(body(&story, "b") == file(&story, "b"), fetch, "only who fetches sees it");
            })
            .await;
        unbroken(&story);
    }
}

/// Seed 796065254: it was put back, though it is no part of the mirror any more.
#[tokio::test(start_paused = true)]
async fn c62_what_is_excluded_by_now_is_not_put_back() {
    let story = Story::calm();
    story.world.with(|w| NAMES.iter().for_each(|name| w.write(&path(name), 1, 1)));
    story.daemon_with(options(&story, false), async |_| all_there(&story).await).await;
    let prune = Prune::new(|path, _| path == b"b");
    story.world.with(|w| {
        w.law.prune = prune.clone();
        w.shelf.objects.remove(&Key::raw("b"));
        w.shelf.objects.remove(&Key::raw("f"));
    });
    story
        .daemon_pruned(options(&story, false), prune, async |_| {
            until(&story, ms(3 * 3_600_000), "what was lost", || body(&story, "f") == file(&story, "f"))
                .await;
            sleep(ms(3 * 3_600_000)).await;
        })
        .await;
    assert_eq!(body(&story, "b"), b"", "somebody else has deleted it");
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn c11_what_is_written_through_a_map_is_found_though_stat_shows_nothing() {
    let story = Story::calm();
    story.world.with(|w| NAMES.iter().enumerate().for_each(|(n, name)| w.write(&path(name), 1, n as u64)));
    story
        .daemon_with(options(&story, false), async |_| {
            all_there(&story).await;
            sleep(ms(10_000)).await;
            story.world.with(|w| {
                let file = w.disk.files.get_mut(&path("c")).unwrap();
                file.body[3] ^= 1;
                let body = file.body.clone();
                w.disk.past.entry(path("c")).or_default().insert(body);
            });
            until(&story, ms(2 * 3_600_000), "the change", || body(&story, "c") == file(&story, "c")).await;
        })
        .await;
    unbroken(&story);
}

/// It goes on where it was, takes a tenth of the time at most, and is idle when all was proven again early.
#[tokio::test(start_paused = true)]
async fn the_scrub_goes_round_evenly_and_goes_on_after_a_restart() {
    let story = Story::calm();
    story.world.with(|w| NAMES.iter().enumerate().for_each(|(n, name)| w.write(&path(name), 1, n as u64)));
    let opened = || story.world.with(|w| w.disk.opened);
    let mark = || story.world.with(|w| w.book.scrubbed.clone());
    story
        .daemon_with(options(&story, false), async |_| {
            all_there(&story).await;
            let begun = opened();
            // each fifth of the hour has its turn
            sleep(ms(3_600_000 / 2)).await;
            let half = opened() - begun;
            assert!((2..=4).contains(&half), "{half}");
        })
        .await;
    let half = mark().expect("it is written down");
    assert!(half.after.is_some() && half.whole.is_none(), "{half:?}");
    let before = opened();
    story
        .daemon_with(options(&story, false), async |_| {
            until(&story, ms(3_600_000), "the end", || mark().is_some_and(|mark| mark.whole.is_some())).await;
            assert!(opened() - before < NAMES.len() as u64, "it began anew");
            let round = opened();
            sleep(ms(2 * 3_600_000)).await;
            let more = opened() - round;
            assert!((8..=12).contains(&more), "two more rounds: {more}");
        })
        .await;
    unbroken(&story);
}

/// Its turn comes in the next round, and until one went by without such a file not all was proven.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_proven_is_counted_apart_and_not_all_was() {
    let story = Story::calm();
    story.world.with(|w| NAMES.iter().enumerate().for_each(|(n, name)| w.write(&path(name), 1, n as u64)));
    let mark = || story.world.with(|w| w.book.scrubbed.clone());
    story
        .daemon_with(options(&story, false), async |notices| {
            all_there(&story).await;
            // nobody is told of it: the file is not as it was proven
            story.world.with(|w| w.disk.files.get_mut(&path("c")).unwrap().mtime += 1);
            let skipped = || mark().is_some_and(|mark| mark.skipped == 1);
            until(&story, ms(2 * 3_600_000), "its turn", skipped).await;
            until(&story, ms(2 * 3_600_000), "the end of a round", || !skipped()).await;
            sleep(ms(1_800_000)).await;
            assert_eq!(mark().and_then(|mark| mark.whole), None, "{:?}", mark());
            notices.send(Notice::Look(Scope::File(path("c")))).await.unwrap();
            let whole = || mark().is_some_and(|mark| mark.whole.is_some());
            until(&story, ms(3 * 3_600_000), "all of it", whole).await;
        })
        .await;
    unbroken(&story);
}

/// A marker is proven again as a file's object is, so it counts.
#[tokio::test(start_paused = true)]
async fn the_pace_of_the_scrub_is_that_of_all_keys_and_markers_are_some() {
    let story = Story::calm();
    story.world.with(|w| {
        w.disk.kinds.directories = true;
        (0..6).for_each(|n| w.write(&path(&format!("d{n}/e/f")), 1, n));
    });
    let whole = || story.world.with(|w| w.book.scrubbed.as_ref().is_some_and(|mark| mark.whole.is_some()));
    story
        .daemon_with(options(&story, false), async |_| {
            until(&story, ms(3_600_000 + 300_000), "all of it", whole).await;
        })
        .await;
    unbroken(&story);
}

/// While what has changed takes all the room, the turn of a key is not over.
#[tokio::test(start_paused = true)]
async fn a_key_that_finds_no_room_has_its_turn_later() {
    let story = Story::calm();
    story.world.with(|w| NAMES.iter().enumerate().for_each(|(n, name)| w.write(&path(name), 1, n as u64)));
    let mark = || story.world.with(|w| w.book.scrubbed.clone());
    let scrub = Some(Scrub { every: ms(600_000), fetch: false });
    let options = Options { room: 8, workers: 4, scrub, ..options(&story, false) };
    story
        .daemon_with(options, async |notices| {
            all_there(&story).await;
            story.world.with(|w| {
                w.shelf.write_takes = 600_000;
                (0..8).for_each(|n| w.write(&path(&format!("z{n}")), 1, n));
            });
            notices.send(Notice::Look(Scope::everything())).await.unwrap();
            sleep(ms(500_000)).await;
            story.world.with(|w| w.shelf.write_takes = 0);
            let mut skipped = 0;
            let whole = || mark().is_some_and(|mark| mark.whole.is_some());
            let begun = Instant::now();
            while !whole() {
                assert!(begun.elapsed() < ms(3_600_000), "{:?}", mark());
                skipped = skipped.max(mark().map_or(0, |mark| mark.skipped));
                sleep(ms(10_000)).await;
            }
            assert_eq!(skipped, 0, "{:?}", mark());
        })
        .await;
    unbroken(&story);
}
