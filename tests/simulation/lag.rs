//! How far the bucket is behind: as old as the oldest change that is not proven there, through silence and restarts.

use crate::{
    cases::{ms, unbroken},
    deletes::until,
    scene::foreign,
    story::Story,
    support::disk::path,
};
use futures::{StreamExt, stream};
use s3mirrord::{
    engine::{self, Input, Options, Report},
    ledger::Ledger,
    local::{Notice, Prune, Tree},
    model::{Change, ETag, Key, Scope},
    plan::Limits,
};
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

const MINUTE: Duration = Duration::from_secs(60);

/// A life that is ended by a crash, when `script` is over.
async fn life(story: &Story, options: Options, script: impl AsyncFnOnce(&Report, mpsc::Sender<Input>)) {
    let (tell, told) = mpsc::channel(64);
    let told = stream::unfold(told, |mut told| async { told.recv().await.map(|input| (input, told)) });
    let (_notices, watch) = mpsc::channel(64);
    story.world.with(|w| w.disk.watch = Some(watch));
    let input = stream::select(story.world.watch(Prune::default()).map(Input::Notice), told);
    let (stop, report) = (CancellationToken::new(), story.report());
    let sides = (story.world.clone(), story.world.clone(), story.world.clone());
    let engine = engine::run(sides, options, Prune::default(), input, stop, report.clone());
    tokio::select! {
        end = engine => panic!("{end:?}"),
        () = script(&report, tell) => {}
    }
}

fn follows(story: &Story) -> Options {
    Options { rescan: 9 * 60 * MINUTE, relist: 99 * 60 * MINUTE, ..story.options(false) }
}

async fn changed(tell: &mpsc::Sender<Input>) {
    tell.send(Input::Notice(Notice::Look(Scope::everything()))).await.unwrap();
}

fn behind(report: &Report) -> Option<u64> {
    report.status().unsynced.map(|age| age.as_secs())
}

/// That cannot be read.
fn places(report: &Report) -> Vec<String> {
    report.status().unreadable.places().map(|key| key.as_str().to_owned()).collect()
}

fn silent(story: &Story, silent: bool) {
    story.world.with(|w| w.shelf.down = silent);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_oldest_change_rises_while_the_store_is_silent_outlives_a_crash_and_falls_to_nothing()
{
    let story = Story::calm();
    story.world.with(|w| ["a", "b"].iter().for_each(|name| w.write(&path(name), 0, 1)));
    let mut begun = Instant::now();
    life(&story, follows(&story), async |report, tell| {
        assert!(behind(report).is_some(), "what is not known is not in sync");
        until(&story, MINUTE, "in sync", || behind(report).is_none()).await;
        until(&story, MINUTE, "nothing to do", || report.status().settled).await;
        assert_eq!(story.world.unsynced().await.unwrap(), None);
        silent(&story, true);
        story.world.with(|w| w.write(&path("a"), 0, 2));
        begun = Instant::now();
        changed(&tell).await;
        sleep(ms(100)).await;
        for minute in 1..30 {
            sleep(MINUTE - ms(1)).await;
            // what comes later is not what is told of
            story.world.with(|w| w.write(&path("b"), 0, minute));
            changed(&tell).await;
            let (age, want) = (behind(report).expect("behind"), begun.elapsed().as_secs());
            assert!(age.abs_diff(want) <= 1, "{age} after {want} s");
        }
    })
    .await;
    // nobody runs for ten minutes
    sleep(10 * MINUTE).await;
    life(&story, follows(&story), async |report, _| {
        for _ in 0..10 {
            sleep(MINUTE).await;
            let (age, want) = (behind(report).expect("behind"), begun.elapsed().as_secs());
            assert!(age.abs_diff(want) <= 5, "{age} after {want} s");
        }
        silent(&story, false);
        until(&story, 10 * MINUTE, "in sync again", || behind(report).is_none()).await;
        sleep(ms(1_000)).await;
        assert_eq!(story.world.unsynced().await.unwrap(), None);
    })
    .await;
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn what_is_proven_soon_is_not_written_down_as_unsynced() {
    let story = Story::calm();
    life(&story, follows(&story), async |report, tell| {
        until(&story, MINUTE, "in sync", || behind(report).is_none()).await;
        for text in 0..20 {
            story.world.with(|w| w.write(&path("a"), 0, text));
            changed(&tell).await;
            sleep(ms(3_000)).await;
        }
        assert!(behind(report).is_none());
    })
    .await;
    let written = |line: &&String| line.contains("Unsynced(Some");
    assert_eq!(story.world.with(|w| w.trace.iter().filter(written).count()), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_or_denied_is_unsynced_until_it_is_released() {
    let story = Story::calm();
    let names: Vec<_> = (0..12).map(|n| path(&format!("d/f{n:02}"))).collect();
    story.world.with(|w| names.iter().for_each(|name| w.write(name, 0, 1)));
    let few = Some(Limits { count: 8, percent: 100, window: 60 * MINUTE });
    let options = Options { limits: few, overwrites: few, ..follows(&story) };
    life(&story, options, async |report, tell| {
        until(&story, MINUTE, "in sync", || behind(report).is_none()).await;
        for what in ["deletes", "replacements", "denied"] {
            let begun = Instant::now();
            story.world.with(|w| match what {
                "deletes" => names.iter().for_each(|name| w.remove(name)),
                "replacements" => names.iter().for_each(|name| w.write(name, 0, 3)),
                _ => drop(w.shelf.denied.insert("e")),
            });
            if what == "denied" {
                story.world.with(|w| w.write(&path("e"), 0, 1));
            }
            changed(&tell).await;
            sleep(20 * MINUTE).await;
            let (age, want) = (behind(report).expect(what), begun.elapsed().as_secs());
            assert!(age.abs_diff(want) <= 3, "{what}: {age} after {want} s");
            let tally = story.world.tally().await.unwrap();
            story.world.with(|w| w.shelf.denied.clear());
            let release = [Change::Approve(tally.last_row), Change::ApproveOverwrites(tally.last_overwrite)];
            story.world.commit(release.to_vec()).await.unwrap();
            tell.send(Input::Approved).await.unwrap();
            until(&story, 90 * MINUTE, what, || behind(report).is_none()).await;
            if what == "deletes" {
                story.world.with(|w| names.iter().for_each(|name| w.write(name, 0, 2)));
                changed(&tell).await;
                sleep(MINUTE).await;
            }
        }
    })
    .await;
    unbroken(&story);
}

/// What failed is behind in the next session, too, though that may not look at it.
#[tokio::test(start_paused = true)]
async fn what_failed_in_the_session_before_is_unsynced_until_it_was_looked_at() {
    let story = Story::calm();
    story.world.with(|w| {
        w.shelf.denied.insert("d/");
        w.write(&path("d/a"), 0, 1);
    });
    let begun = Instant::now();
    life(&story, follows(&story), async |report, tell| {
        let fails = || !report.status().failing.is_empty();
        until(&story, MINUTE, "denied", || fails() && report.status().compared == 1).await;
        assert!(story.world.with(|w| w.disk.closed.insert(path("d"))));
        tell.send(Input::Reopen).await.unwrap();
        until(&story, MINUTE, "another session", || report.status().compared == 2).await;
        for _ in 0..10 {
            sleep(MINUTE).await;
            let (age, want) = (behind(report).expect("behind"), begun.elapsed().as_secs());
            assert!(age.abs_diff(want) <= 3 && fails(), "{age} after {want} s");
        }
        story.world.with(|w| {
            w.shelf.denied.clear();
            w.disk.closed.clear();
        });
        changed(&tell).await;
        until(&story, MINUTE, "in sync", || behind(report).is_none() && !fails()).await;
    })
    .await;
    unbroken(&story);
}

/// What lies below a mount point is no part of the mirror: it neither fails nor is behind.
#[tokio::test(start_paused = true)]
async fn what_failed_below_what_is_a_mount_point_by_now_fails_no_more() {
    let story = Story::calm();
    // it is not tried again by itself
    let too_long = "a".repeat(1_030);
    story.world.with(|w| w.write(&path(&format!("d/{too_long}")), 0, 1));
    life(&story, follows(&story), async |report, tell| {
        let fails = || !report.status().failing.is_empty();
        until(&story, MINUTE, "failed", fails).await;
        story.world.with(|w| w.mount(&path("d")));
        changed(&tell).await;
        until(&story, MINUTE, "in sync", || behind(report).is_none()).await;
        assert!(!fails());
    })
    .await;
    unbroken(&story);
}

/// Until it is written down that an object was deleted nobody can say that it was: the next life would find it again.
#[tokio::test(start_paused = true)]
async fn a_delete_that_is_not_written_down_is_behind() {
    let story = Story::calm();
    story.world.with(|w| ["a", "b"].iter().for_each(|name| w.write(&path(name), 0, 1)));
    life(&story, follows(&story), async |report, tell| {
        until(&story, MINUTE, "in sync", || behind(report).is_none()).await;
        story.world.with(|w| w.remove(&path("a")));
        changed(&tell).await;
        let condemned = || story.world.with(|w| !w.book.condemned.is_empty());
        until(&story, MINUTE, "condemned", condemned).await;
        story.world.with(|w| w.full = true);
        until(&story, MINUTE, "deleted", || story.world.with(|w| w.shelf.objects.len()) == 2).await;
        for _ in 0..60 {
            sleep(ms(1_000)).await;
            assert!(behind(report).is_some());
        }
        story.world.with(|w| w.full = false);
        until(&story, MINUTE, "in sync again", || behind(report).is_none()).await;
    })
    .await;
    unbroken(&story);
}

/// It is told by name, and no longer when it can be read, is left out or gone.
#[tokio::test(start_paused = true)]
async fn a_place_that_cannot_be_read_is_told_until_it_can_be() {
    let story = Story::calm();
    story.world.with(|w| ["d/a", "d/b", "e/a", "f/a"].iter().for_each(|name| w.write(&path(name), 0, 1)));
    life(&story, follows(&story), async |report, tell| {
        until(&story, MINUTE, "in sync", || behind(report).is_none()).await;
        let look = async |scope| {
            tell.send(Input::Notice(Notice::Look(scope))).await.unwrap();
            sleep(MINUTE).await;
        };
        story.world.with(|w| w.disk.closed.extend(["d", "e", "f"].map(path)));
        look(Scope::everything()).await;
        assert_eq!(places(report), ["d/", "e/", "f/"], "and not what lies below");
        look(Scope::everything()).await;
        tell.send(Input::Reopen).await.unwrap();
        sleep(MINUTE).await;
        assert_eq!(places(report), ["d/", "e/", "f/"], "another session knows of them");
        story.world.with(|w| assert!(w.disk.closed.remove(&path("d"))));
        look(Scope::File(path("d"))).await;
        assert_eq!(places(report), ["e/", "f/"], "by a look at it alone");
        story.world.with(|w| {
            assert!(w.disk.closed.remove(&path("e")));
            w.remove(&path("e/a"));
            assert!(w.disk.closed.remove(&path("f")));
            w.mount(&path("f"));
        });
        look(Scope::everything()).await;
        assert!(places(report).is_empty());
    })
    .await;
    unbroken(&story);
}

/// A look at a directory that is seen, and cannot be read, alone: for an operator's sake, or because its marker failed.
#[tokio::test(start_paused = true)]
async fn a_directory_that_can_be_seen_alone_is_still_unreadable_and_what_changed_in_it_is_behind() {
    for by_its_marker in [false, true] {
        let story = Story::calm();
        story.world.with(|w| {
            w.disk.kinds.directories = true;
            ["d/a", "d/b"].iter().for_each(|name| w.write(&path(name), 0, 1));
        });
        life(&story, follows(&story), async |report, tell| {
            until(&story, MINUTE, "in sync", || behind(report).is_none()).await;
            let look = async |scope| tell.send(Input::Notice(Notice::Look(scope))).await.unwrap();
            silent(&story, true);
            story.world.with(|w| ["d/a", "d/c"].iter().for_each(|name| w.write(&path(name), 0, 2)));
            look(Scope::Tree(path("d"))).await;
            sleep(ms(700)).await;
            story.world.with(|w| assert!(w.disk.closed.insert(path("d"))));
            silent(&story, false);
            match by_its_marker {
                true => look(Scope::Children(path("d"))).await,
                false => {
                    look(Scope::everything()).await;
                    sleep(MINUTE).await;
                    look(Scope::File(path("d"))).await;
                }
            }
            sleep(20 * MINUTE).await;
            assert_eq!(places(report), ["d/"]);
            assert!(behind(report) >= Some(20 * 60), "d/a was not sent");
            tell.send(Input::Reopen).await.unwrap();
            sleep(20 * MINUTE).await;
            assert_eq!(places(report), ["d/"]);
            assert!(behind(report) >= Some(40 * 60), "nor in the next session");
            story.world.with(|w| w.disk.closed.clear());
            look(Scope::File(path("d"))).await;
            until(&story, MINUTE, "in sync again", || behind(report).is_none()).await;
            assert!(places(report).is_empty());
        })
        .await;
        unbroken(&story);
    }
}

/// It may take hours, and what it saw first is old by its end.
#[tokio::test(start_paused = true)]
async fn a_long_look_does_not_take_back_what_a_later_one_could_not_read() {
    let story = Story::calm();
    story.world.with(|w| {
        (0..6_000).for_each(|n| w.write(&path(&format!("m{n:05}")), 0, 1));
        w.write(&path("d/a"), 0, 1);
    });
    life(&story, follows(&story), async |report, tell| {
        until(&story, 600 * MINUTE, "in sync", || behind(report).is_none()).await;
        let look = async |scope| tell.send(Input::Notice(Notice::Look(scope))).await.unwrap();
        let close = || story.world.with(|w| assert!(w.disk.closed.insert(path("d"))));
        close();
        look(Scope::everything()).await;
        sleep(10 * MINUTE).await;
        assert_eq!(places(report), ["d/"]);
        story.world.with(|w| w.disk.closed.clear());
        let looked = report.status().looked_at;
        look(Scope::everything()).await;
        sleep(ms(1_500)).await;
        close();
        look(Scope::Tree(path("d"))).await;
        let found = || !places(report).is_empty();
        until(&story, MINUTE, "it is found", found).await;
        assert_eq!(report.status().looked_at, looked, "the first is still under way");
        sleep(10 * MINUTE).await;
        assert_ne!(report.status().looked_at, looked);
        assert_eq!(places(report), ["d/"]);
    })
    .await;
    unbroken(&story);
}

/// The marker of a directory that is to be made, where another's object turns out to be: it stays, and the directory has none.
#[tokio::test(start_paused = true)]
async fn what_failed_and_is_to_be_left_alone_fails_no_more() {
    let story = Story::calm();
    story.world.with(|w| {
        w.disk.kinds.directories = true;
        w.shelf.denied.insert("d/");
    });
    life(&story, follows(&story), async |report, tell| {
        let fails = || !report.status().failing.is_empty();
        until(&story, MINUTE, "in sync", || behind(report).is_none()).await;
        story.world.with(|w| {
            w.put_object(
                &Key::raw("d/"),
                Some(foreign(b"theirs".to_vec(), ETag::new("theirs"), w.server_time())),
            );
            w.disk.links.insert(path("d/link"));
        });
        tell.send(Input::Notice(Notice::Look(Scope::Tree(path("d"))))).await.unwrap();
        until(&story, MINUTE, "denied", fails).await;
        until(&story, 10 * MINUTE, "left alone", || behind(report).is_none()).await;
        assert!(!fails());
    })
    .await;
    unbroken(&story);
}
