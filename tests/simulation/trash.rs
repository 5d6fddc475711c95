//! `delete = "trash"`: what is deleted or replaced is in the trash before (the fake bucket looks at each), and goes when it
//! is old.

use crate::{
    cases::{look, ms, requests, unbroken},
    deletes::{look_at_everything, until},
    story::Story,
    support::{bucket::Oddity, disk::path},
};
use s3mirrord::{
    engine::Options,
    model::{Class, Key, TRASH},
};
use std::time::Duration;

const DAY: u64 = 86_400;

/// Nothing yet, and a trash that keeps for a month.
fn scene() -> Story {
    let story = Story::calm();
    story.world.with(|w| w.shelf.trash = Some(Duration::from_secs(30 * DAY)));
    story
}

fn write(story: &Story, name: &str, text: u64) {
    story.world.with(|w| w.write(&path(name), 0, text));
}

/// What the object of a file holds.
fn holds(story: &Story, name: &str) -> Option<Vec<u8>> {
    story.world.with(|w| w.shelf.objects.get(&Key::raw(name)).map(|o| o.body.clone()))
}

/// What the trash holds of a file, the oldest first.
fn kept(story: &Story, name: &str) -> Vec<Vec<u8>> {
    story.world.with(|w| {
        let of = w.shelf.trashed.iter().filter(|(_, of)| of.as_str() == name);
        of.filter_map(|(at, _)| Some(w.shelf.objects.get(at)?.body.clone())).collect()
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_or_replaced_is_in_the_trash_before() {
    // deletes together and one by one, on stores with conditions and without
    for (batches, conditions) in [(true, true), (false, true), (true, false), (false, false)] {
        let story = scene();
        story.world.with(|w| {
            w.shelf.can.conditional_batch = Some(batches);
            w.shelf.can.conditional_put = conditions;
        });
        let names = ["changed", "gone", "also gone", "renamed", "touched", "same"];
        names.iter().enumerate().for_each(|(n, name)| write(&story, name, n as u64));
        // another tool's, with a file of that name
        story.world.with(|w| drop(w.plant("foreign", 1_600_000_000)));
        write(&story, "foreign", 9);
        story.once(story.options(true)).await;
        assert_eq!(kept(&story, "foreign"), [b"foreign"]);
        let goes = ["changed", "gone", "also gone", "renamed"];
        let before = goes.map(|name| holds(&story, name).unwrap());
        let copies = requests(&story, "CopyObject");
        assert_eq!(copies, 1);

        write(&story, "changed", 77);
        story.world.with(|w| {
            w.remove(&path("gone"));
            w.remove(&path("also gone"));
            w.rename(&path("renamed"), &path("new name"));
            w.chmod(&path("touched"), 0o600);
        });
        let report = story.once(story.options(true)).await;
        let sums = report.status().sums;
        assert_eq!((sums.uploaded, sums.deleted, sums.copied, sums.metadata, sums.failed), (1, 3, 1, 1, 0));
        for (name, was) in goes.into_iter().zip(before) {
            assert_eq!(kept(&story, name), [was], "{name}");
        }
        for name in ["new name", "touched", "same"] {
            assert_eq!(kept(&story, name).len(), 0, "{name}: its bytes live on");
        }
        assert_eq!(requests(&story, "CopyObject"), copies + 4 + 2, "four to the trash");
        unbroken(&story);
    }
}

#[tokio::test(start_paused = true)]
async fn every_version_of_a_day_is_there() {
    let story = scene();
    let mut versions = vec![];
    for text in [1, 2, 1, 2, 3] {
        write(&story, "a", text);
        story.once(story.options(true)).await;
        versions.push(holds(&story, "a").unwrap());
        tokio::time::sleep(ms(2_000)).await;
    }
    story.world.with(|w| w.remove(&path("a")));
    story.world.with(|w| w.write(&path("kept"), 0, 1));
    story.once(story.options(true)).await;
    assert_eq!(kept(&story, "a"), versions);
    unbroken(&story);
}

/// The daemon, which remembers what it has just kept, forgets that when it is no longer what the bucket holds.
#[tokio::test(start_paused = true)]
async fn what_comes_back_as_it_was_is_kept_again() {
    let story = scene();
    write(&story, "left", 1);
    let mut versions = vec![];
    story
        .daemon(async |notices| {
            for text in [1, 2, 1, 2] {
                write(&story, "a", text);
                notices.send(look("a")).await.unwrap();
                let body = story.world.with(|w| w.disk.files[&path("a")].body.clone());
                until(&story, ms(20_000), "it is there", || holds(&story, "a").as_ref() == Some(&body)).await;
                versions.push(body);
                tokio::time::sleep(ms(2_000)).await;
            }
            for body in [2, 2] {
                story.world.with(|w| w.remove(&path("a")));
                look_at_everything(&notices).await;
                until(&story, ms(30_000), "it is gone", || holds(&story, "a").is_none()).await;
                tokio::time::sleep(ms(2_000)).await;
                write(&story, "a", body);
                notices.send(look("a")).await.unwrap();
                until(&story, ms(20_000), "it is there", || holds(&story, "a").is_some()).await;
                versions.push(holds(&story, "a").unwrap());
                tokio::time::sleep(ms(2_000)).await;
            }
        })
        .await;
    versions.pop();
    assert_eq!(kept(&story, "a"), versions);
    unbroken(&story);
}

/// The last good object stays until it is in the trash, whatever stands in the way of that.
#[tokio::test(start_paused = true)]
async fn c59_what_cannot_be_copied_stays_and_is_told_of() {
    for class in [Class::Permanent, Class::Denied, Class::Transient, Class::Throttled] {
        let story = scene();
        ["changed", "gone", "fine"].iter().for_each(|name| write(&story, name, 1));
        story.once(story.options(true)).await;
        let before = ["changed", "gone"].map(|name| holds(&story, name));
        story.world.with(|w| {
            let uncopied = |name| (Key::raw(name), Oddity::Uncopied(class));
            w.shelf.oddities = ["changed", "gone"].map(uncopied).into_iter().collect();
            w.remove(&path("gone"));
        });
        write(&story, "changed", 2);
        write(&story, "fine", 2);
        let report = story.once(story.options(true)).await;
        let status = report.status();
        assert_eq!((status.sums.uploaded, status.sums.deleted), (1, 0), "{class:?}");
        assert_eq!(["changed", "gone"].map(|name| holds(&story, name)), before, "{class:?}");
        for name in ["changed", "gone"] {
            assert!(status.failing.contains_key(&Key::raw(name)), "{class:?} {name}");
        }
        story.world.with(|w| w.shelf.oddities.clear());
        let sums = story.once(story.options(true)).await.status().sums;
        assert_eq!((sums.uploaded, sums.deleted, sums.failed), (1, 1, 0), "{class:?}");
        assert_eq!([kept(&story, "changed").len(), kept(&story, "gone").len()], [1, 1], "{class:?}");
        unbroken(&story);
    }
}

/// What is tried again is not copied again.
#[tokio::test(start_paused = true)]
async fn a_delete_that_fails_again_and_again_is_copied_once() {
    let story = scene();
    ["gone", "left"].iter().for_each(|name| write(&story, name, 1));
    story.once(story.options(true)).await;
    story
        .daemon(async |notices| {
            tokio::time::sleep(ms(1_000)).await;
            story.world.with(|w| {
                w.shelf.oddities.insert(Key::raw("gone"), Oddity::Fails(Class::Throttled));
                w.remove(&path("gone"));
            });
            look_at_everything(&notices).await;
            until(&story, ms(300_000), "four tries", || requests(&story, "DeleteObject") >= 4).await;
            assert!(holds(&story, "gone").is_some());
            story.world.with(|w| w.shelf.oddities.clear());
            until(&story, ms(300_000), "it goes", || holds(&story, "gone").is_none()).await;
        })
        .await;
    assert_eq!(kept(&story, "gone").len(), 1);
    unbroken(&story);
}

/// What is copied takes its time: the licence is of after.
#[tokio::test(start_paused = true)]
async fn c66_a_file_that_is_back_while_its_object_is_copied_keeps_it() {
    for batches in [true, false] {
        let story = scene();
        story.world.with(|w| w.shelf.can.conditional_batch = Some(batches));
        let names = ["a", "b", "c"];
        names.iter().for_each(|name| write(&story, name, 1));
        write(&story, "left", 1);
        story.once(story.options(true)).await;
        story
            .daemon(async |notices| {
                tokio::time::sleep(ms(1_000)).await;
                let files = story.world.with(|w| names.map(|name| w.disk.files[&path(name)].clone()));
                story.world.with(|w| {
                    names.iter().for_each(|name| w.remove(&path(name)));
                    w.shelf.write_takes = 2_000;
                });
                look_at_everything(&notices).await;
                let copies = || requests(&story, "CopyObject") > 0;
                until(&story, ms(20_000), "they are copied", copies).await;
                story.world.with(|w| {
                    names.iter().zip(files).for_each(|(name, file)| w.bring(&path(name), file));
                });
                notices.send(look("")).await.unwrap();
                tokio::time::sleep(ms(30_000)).await;
            })
            .await;
        assert_eq!(requests(&story, "DeleteObject") + requests(&story, "DeleteObjects"), 0);
        assert!(names.iter().all(|name| holds(&story, name).is_some()));
        unbroken(&story);
    }
}

/// Too large for one request, and killed in the middle: nothing is left open, and it is copied anew.
#[tokio::test(start_paused = true)]
async fn c55_c56_what_is_too_large_for_one_copy_goes_to_the_trash_by_parts() {
    for gone in [true, false] {
        let story = scene();
        story.world.with(|w| (0..7).for_each(|block| w.write(&path("big"), block, block as u64)));
        write(&story, "left", 1);
        story.once(story.options(true)).await;
        let was = holds(&story, "big").unwrap();
        match gone {
            true => story.world.with(|w| w.remove(&path("big"))),
            false => write(&story, "big", 99),
        }
        story.world.with(|w| w.shelf.weather.part_takes = 1_000);
        let begun = || requests(&story, "UploadPartCopy") >= 2;
        tokio::select! {
            _ = story.once(story.options(true)) => panic!("it ended"),
            () = until(&story, ms(60_000), "it is being copied", begun) => {}
        }
        assert!(story.world.open_uploads().len() > usize::from(!gone), "left open");
        assert_eq!(holds(&story, "big"), Some(was.clone()));
        let report = story.once(story.options(true)).await;
        assert_eq!(report.status().sums.failed, 0);
        assert_eq!(story.world.open_uploads().len(), 0);
        assert_eq!((kept(&story, "big"), holds(&story, "big") == Some(was.clone())), (vec![was], false));
        story.world.with(|w| assert!(w.book.intents.is_empty(), "{:?}", w.book.intents));
        unbroken(&story);
    }
}

/// On a store without conditions it is looked whether something came to be where nothing was.
#[tokio::test(start_paused = true)]
async fn c50_what_came_to_be_meanwhile_is_not_replaced_without_a_copy() {
    let story = scene();
    story.world.with(|w| w.shelf.can.conditional_put = false);
    write(&story, "left", 1);
    story.once(story.options(true)).await;
    write(&story, "new", 1);
    // the pass sees none
    story.world.with(|w| w.shelf.list_takes = 2_000);
    let pass = story.once(story.options(true));
    let meanwhile = async {
        until(&story, ms(9_000), "it lists", || requests(&story, "ListObjectsV2") > 1).await;
        tokio::time::sleep(ms(1_000)).await;
        story.world.with(|w| drop(w.plant("new", 1_700_000_001)));
    };
    tokio::join!(pass, meanwhile);
    assert_eq!(kept(&story, "new"), [b"new"]);
    assert_eq!(holds(&story, "new"), Some(story.world.with(|w| w.disk.files[&path("new")].body.clone())));
    unbroken(&story);
}

/// By name and age: what is ours and old goes, and nothing else; whatever the host's clock says.
#[tokio::test(start_paused = true)]
async fn c24_only_what_both_clocks_call_old_goes_from_the_trash() {
    // 2023-11-14T22:13:20Z by the store; that of the host is right, a year ahead, a year behind
    const YEAR: i64 = 365 * DAY as i64;
    for (ahead, goes) in [(0, true), (YEAR, true), (-YEAR, false)] {
        let story = scene();
        story.world.with(|w| {
            w.wall += ahead;
            for (name, age) in [
                ("2023-10-14/old.010203Z-0123456789abcdef", 31),
                ("2023-10-14/theirs", 31),
                ("2023-10-14/just put there.010203Z-0123456789abcdef", 0),
                ("2023-10-15/same day.230203Z-0123456789abcdef", 30),
                ("2023-11-13/young.010203Z-0123456789abcdef", 1),
                ("2099-11-13/future.010203Z-0123456789abcdef", 31),
                ("theirs/2023-10-14/x.010203Z-0123456789abcdef", 31),
                ("x.010203Z-0123456789abcdef", 31),
            ] {
                w.plant(&format!("{TRASH}{name}"), 1_700_000_000 - age * DAY as i64);
            }
        });
        write(&story, "left", 1);
        let there =
            || story.world.with(|w| w.shelf.objects.keys().filter(|k| k.trash_name().is_some()).count());
        // a pass that shows what would be done deletes nothing
        story.once(Options { dry_run: true, ..story.options(true) }).await;
        assert_eq!(there(), 8);
        story.once(story.options(true)).await;
        assert_eq!(there(), if goes { 7 } else { 8 }, "{ahead}");
        let old = Key::raw(format!("{TRASH}2023-10-14/old.010203Z-0123456789abcdef"));
        assert_eq!(story.world.with(|w| w.shelf.objects.contains_key(&old)), !goes);
        // nothing to do: listings alone
        story.world.with(|w| w.shelf.requests.clear());
        story.once(story.options(true)).await;
        let asked = story.world.with(|w| w.shelf.requests.keys().copied().collect::<Vec<_>>());
        assert_eq!(asked, ["GetObject", "ListObjectsV2"], "{ahead}");
        unbroken(&story);
    }
}

#[tokio::test(start_paused = true)]
async fn the_daemon_looks_for_what_is_old_in_the_trash_once_a_day() {
    let story = scene();
    write(&story, "a", 1);
    let hour = ms(3_600_000);
    let options = Options { rescan: hour * 100, relist: hour * 10_000, ..story.options(false) };
    story
        .daemon_with(options, async |notices| {
            tokio::time::sleep(ms(5_000)).await;
            write(&story, "a", 2);
            notices.send(look("a")).await.unwrap();
            let young = || kept(&story, "a").len() == 1;
            until(&story, ms(9_000), "it is kept", young).await;
            tokio::time::sleep(hour * 24 * 29).await;
            assert!(young());
            tokio::time::sleep(hour * 24 * 4).await;
            assert!(!young(), "32 days and some");
        })
        .await;
    unbroken(&story);
}

/// A write whose answer is lost is done, and a listing that was asked for before does not show it. Where the store heeds
/// no conditions, what was written then is in the trash before it is replaced.
#[tokio::test(start_paused = true)]
async fn c48_c50_what_was_written_and_not_told_of_is_kept() {
    let story = scene();
    story.world.with(|w| w.shelf.can.conditional_put = false);
    write(&story, "a", 1);
    story
        .daemon(async |notices| {
            tokio::time::sleep(ms(8_000)).await;
            let first = holds(&story, "a").unwrap();
            story.world.with(|w| (w.shelf.list_takes, w.shelf.write_takes) = (1_000, 200));
            let lists = requests(&story, "ListObjectsV2");
            until(&story, ms(90_000), "it lists", || requests(&story, "ListObjectsV2") > lists).await;
            write(&story, "a", 2);
            notices.send(look("a")).await.unwrap();
            until(&story, ms(60_000), "it is kept", || kept(&story, "a") == [first.clone()]).await;
            tokio::time::sleep(ms(50)).await;
            story.world.with(|w| w.shelf.deaf = true);
            until(&story, ms(60_000), "it is replaced", || holds(&story, "a") != Some(first.clone())).await;
            let second = holds(&story, "a").unwrap();
            tokio::time::sleep(ms(20)).await;
            story.world.with(|w| w.shelf.deaf = false);
            write(&story, "a", 3);
            until(&story, ms(60_000), "and again", || holds(&story, "a") != Some(second.clone())).await;
            assert_eq!(kept(&story, "a"), [first, second]);
        })
        .await;
    unbroken(&story);
}

/// Where the trash is not asked for, nothing is copied and nothing listed.
#[tokio::test(start_paused = true)]
async fn without_a_trash_nothing_goes_there() {
    let story = Story::calm();
    ["a", "b"].iter().for_each(|name| write(&story, name, 1));
    story.once(story.options(true)).await;
    write(&story, "a", 2);
    story.world.with(|w| w.remove(&path("b")));
    let lists = requests(&story, "ListObjectsV2");
    story.once(story.options(true)).await;
    assert_eq!((requests(&story, "CopyObject"), requests(&story, "GetBucketVersioning")), (0, 0));
    assert_eq!(requests(&story, "ListObjectsV2"), lists + 1);
    unbroken(&story);
}
