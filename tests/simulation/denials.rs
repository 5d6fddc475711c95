//! What a policy denies: of a few files, of many, of all.

use crate::{
    cases::{ms, requests, unbroken},
    deletes::{look_at_everything, until},
    story::Story,
    support::{disk::path, world::World},
};
use s3mirrord::{
    engine::Options,
    local::Notice,
    model::{Key, Scope},
};
use tokio::time::sleep;

/// So many files, at most 999.
fn scene(denied: usize, allowed: usize) -> Story {
    let story = Story::calm();
    story.world.with(|w| {
        w.shelf.denied.insert("d/");
        (0..denied).for_each(|n| w.write(&path(&format!("d/{n:03}")), 0, 1));
        (0..allowed).for_each(|n| w.write(&path(&format!("e{n:03}")), 0, 1));
    });
    story
}

/// Looks at everything once an hour, as by default.
fn options(story: &Story) -> Options {
    let hour = ms(3_600_000);
    Options { rescan: hour, relist: 24 * hour, ..story.options(false) }
}

fn arrived(story: &Story, under: &str) -> usize {
    story.world.with(|w| w.shelf.objects.keys().filter(|key| key.as_str().starts_with(under)).count())
}

#[tokio::test(start_paused = true)]
async fn c54_a_pass_goes_on_past_what_is_denied() {
    for (denied, allowed) in [(1, 5), (7, 0), (300, 5)] {
        let story = scene(denied, allowed);
        let report = story.once(story.options(true)).await;
        let status = report.status();
        assert_eq!((status.sums.uploaded, status.sums.failed), (allowed as u64, denied as u64));
        assert_eq!((arrived(&story, "e"), &status.trouble), (allowed, &None));
        // each once; besides the claim, and one more that says that others may be written
        let asked = requests(&story, "PutObject") as usize - denied - allowed;
        assert!(asked <= 3, "{asked} more requests");
        assert!(status.failing[&Key::raw("d/000")].cause.contains("AccessDenied"));
        unbroken(&story);
    }
}

#[tokio::test(start_paused = true)]
async fn c54_what_was_denied_is_sent_when_it_may_be() {
    let story = scene(20, 5);
    story
        .daemon_with(options(&story), async |_| {
            until(&story, ms(60_000), "the others", || arrived(&story, "e") == 5).await;
            sleep(ms(600_000)).await;
            let (asked, opened) = (requests(&story, "PutObject"), requests(&story, "GetObject"));
            assert!(asked < 20 * 12, "{asked}");
            assert_eq!((arrived(&story, "d"), opened), (0, 1), "the session goes on");
            assert!(
                !story.world.with(|w| w.trace.iter().any(|line| line.ends_with("Settled"))),
                "nor is it in sync"
            );
            story.world.with(|w| w.shelf.denied.clear());
            until(&story, ms(330_000), "the rest", || arrived(&story, "d") == 20).await;
        })
        .await;
    unbroken(&story);
}

/// Of many not all are asked for again and again.
#[tokio::test(start_paused = true)]
async fn c54_many_that_are_denied_are_not_asked_for_in_a_loop() {
    let story = scene(900, 1);
    story
        .daemon_with(options(&story), async |_| {
            sleep(ms(60_000)).await;
            let first = requests(&story, "PutObject");
            sleep(ms(3_500_000)).await;
            let hour = requests(&story, "PutObject") - first;
            assert!(first < 1_500 && hour < 2_500, "{first} in the first minute, {hour} in the hour after");
            story.world.with(|w| w.shelf.denied.clear());
            until(&story, ms(7_200_000), "all", || arrived(&story, "d") == 900).await;
        })
        .await;
    unbroken(&story);
}

/// The claim was made, and then nothing may be written any more: it is the mirror that is refused.
#[tokio::test(start_paused = true)]
async fn c54_when_nothing_may_be_written_the_mirror_waits() {
    let story = scene(0, 1);
    story
        .daemon_with(options(&story), async |notices| {
            until(&story, ms(60_000), "the first", || arrived(&story, "e") == 1).await;
            let asked = story.world.with(|w| {
                (0..300).for_each(|n| w.write(&path(&format!("f{n:03}")), 0, 1));
                w.shelf.denied.extend(["f", ".s3mirrord/"]);
                w.shelf.requests["PutObject"]
            });
            look_at_everything(&notices).await;
            sleep(ms(60_000)).await;
            let asked = requests(&story, "PutObject") - asked;
            assert!((8..100).contains(&asked), "{asked}");
            story.world.with(|w| w.shelf.denied.clear());
            until(&story, ms(330_000), "all", || arrived(&story, "f") == 300).await;
        })
        .await;
    unbroken(&story);
}

/// Of a rename that may not be done the old object stays: it is the only one of the file.
#[tokio::test(start_paused = true)]
async fn c54_a_rename_that_is_denied_keeps_the_old_object() {
    // before the old name in the walk, and after it
    for (old, new) in [("e", "d/e"), ("c", "d/e")] {
        let story = Story::calm();
        story.world.with(|w| w.write(&path(old), 0, 1));
        story
            .daemon(async |notices| {
                until(&story, ms(60_000), "the file", || arrived(&story, old) == 1).await;
                story.world.with(|w| {
                    w.shelf.denied.insert("d/");
                    w.rename(&path(old), &path(new));
                });
                look_at_everything(&notices).await;
                sleep(ms(600_000)).await;
                assert_eq!((arrived(&story, old), arrived(&story, new)), (1, 0));
                story.world.with(|w| w.shelf.denied.clear());
                until(&story, ms(600_000), "the new one", || arrived(&story, new) == 1).await;
                until(&story, ms(600_000), "the end of the old one", || arrived(&story, old) == 0).await;
            })
            .await;
        unbroken(&story);
    }
}

/// Nor does it go if the file was changed as well, or took the place of another: what it holds now is in the bucket under
/// neither name.
#[tokio::test(start_paused = true)]
async fn c54_what_was_renamed_and_changed_keeps_its_old_object() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 4] = [
        ("touched", |w| w.write(&path("c"), 0, 1)),
        ("appended to", |w| w.write(&path("c"), 1, 2)),
        ("rewritten", |w| w.write(&path("c"), 0, 2)),
        ("cut", |w| w.truncate(&path("c"), 0)),
    ];
    for (change, by) in changes {
        for replaces in [false, true] {
            let story = Story::calm();
            let old = story.world.with(|w| {
                w.write(&path("c"), 0, 1);
                if replaces {
                    w.write(&path("d/e"), 0, 9);
                }
                w.disk.files[&path("c")].body.clone()
            });
            story
                .daemon(async |notices| {
                    let files = 1 + usize::from(replaces);
                    until(&story, ms(60_000), "the files", || arrived(&story, "") == files + 1).await;
                    story.world.with(|w| {
                        w.shelf.denied.insert("d/");
                        by(w);
                        w.rename(&path("c"), &path("d/e"));
                    });
                    look_at_everything(&notices).await;
                    sleep(ms(600_000)).await;
                    let kept =
                        story.world.with(|w| w.shelf.objects.get(&Key::raw("c")).map(|o| o.body.clone()));
                    assert_eq!(kept, Some(old), "{change}, over another: {replaces}");
                    story.world.with(|w| w.shelf.denied.clear());
                    until(&story, ms(600_000), "the end of the old one", || arrived(&story, "c") == 0).await;
                    story.world.with(|w| {
                        let (file, object) =
                            (&w.disk.files[&path("d/e")], &w.shelf.objects[&Key::raw("d/e")]);
                        assert_eq!(file.body, object.body, "{change}, over another: {replaces}");
                    });
                })
                .await;
            unbroken(&story);
        }
    }
}

/// And when the file of the new name goes, too, nothing is kept for it: within minutes, not at the next look at everything.
#[tokio::test(start_paused = true)]
async fn c54_what_was_kept_for_a_file_that_goes_is_deleted() {
    let story = scene(0, 1);
    story.world.with(|w| w.write(&path("c"), 0, 1));
    story
        .daemon_with(options(&story), async |notices| {
            until(&story, ms(60_000), "the file", || arrived(&story, "c") == 1).await;
            story.world.with(|w| {
                w.shelf.denied.insert("d/");
                w.write(&path("c"), 1, 2);
                w.rename(&path("c"), &path("d/e"));
            });
            look_at_everything(&notices).await;
            sleep(ms(100_000)).await;
            assert_eq!(arrived(&story, "c"), 1);
            story.world.with(|w| w.remove(&path("d/e")));
            until(&story, ms(400_000), "the end of the object", || arrived(&story, "c") == 0).await;
        })
        .await;
    unbroken(&story);
}

/// So it is if the new name had an object of its own, or is a link by then.
#[tokio::test(start_paused = true)]
async fn c54_what_was_kept_for_a_file_that_took_anothers_place_is_deleted() {
    for becomes_a_link in [false, true] {
        let story = scene(0, 1);
        story.world.with(|w| {
            w.shelf.denied.clear();
            [("c", 1), ("d/e", 2)].iter().for_each(|(name, text)| w.write(&path(name), 0, *text));
        });
        story
            .daemon_with(options(&story), async |notices| {
                until(&story, ms(60_000), "the files", || arrived(&story, "") == 4).await;
                story.world.with(|w| {
                    w.shelf.denied.insert("d/");
                    w.rename(&path("c"), &path("d/e"));
                });
                look_at_everything(&notices).await;
                sleep(ms(100_000)).await;
                assert_eq!(arrived(&story, "c"), 1);
                story.world.with(|w| {
                    w.shelf.denied.clear();
                    match becomes_a_link {
                        true => w.link(&path("d/e")),
                        false => w.remove(&path("d/e")),
                    }
                });
                until(&story, ms(400_000), "the end of the object", || arrived(&story, "c") == 0).await;
            })
            .await;
        unbroken(&story);
    }
}

/// But not if it only cannot be seen: it may well be there.
#[tokio::test(start_paused = true)]
async fn c06_c54_what_is_kept_for_a_file_that_cannot_be_seen_stays() {
    let story = scene(0, 1);
    story.world.with(|w| w.write(&path("c"), 0, 1));
    story
        .daemon_with(options(&story), async |notices| {
            until(&story, ms(60_000), "the file", || arrived(&story, "c") == 1).await;
            story.world.with(|w| {
                w.shelf.denied.insert("d/");
                w.rename(&path("c"), &path("d/e"));
            });
            look_at_everything(&notices).await;
            sleep(ms(100_000)).await;
            story.world.with(|w| w.disk.closed.insert(path("d")));
            look_at_everything(&notices).await;
            sleep(ms(600_000)).await;
            assert_eq!(arrived(&story, "c"), 1);
        })
        .await;
    unbroken(&story);
}

/// Files that failed and are gone fail no longer, however many they were: a directory of them is one look.
#[tokio::test(start_paused = true)]
async fn c54_files_that_failed_and_are_gone_fail_no_longer() {
    let story = scene(150, 1);
    story
        .daemon_with(options(&story), async |notices| {
            until(&story, ms(60_000), "the other", || arrived(&story, "e") == 1).await;
            sleep(ms(100_000)).await;
            let settled = || story.world.with(|w| w.trace.iter().any(|line| line.ends_with("Settled")));
            assert!(!settled());
            story.world.with(|w| (0..150).for_each(|n| w.remove(&path(&format!("d/{n:03}")))));
            notices.send(Notice::Look(Scope::Tree(path("d")))).await.unwrap();
            until(&story, ms(60_000), "nothing fails", settled).await;
        })
        .await;
    unbroken(&story);
}

/// HEAD and GET are denied, and PUT is not: what is gone is sent again, and what is there and not known is replaced.
#[tokio::test(start_paused = true)]
async fn c54_where_head_is_denied_a_listing_tells() {
    let story = Story::calm();
    story.world.with(|w| {
        w.shelf.random_etags = true;
        ["d/gone", "d/there", "d/other"].iter().for_each(|name| w.write(&path(name), 0, 1));
    });
    story.once(story.options(true)).await;
    story.world.with(|w| {
        assert!(w.shelf.objects.remove(&Key::raw("d/gone")).is_some());
        w.write(&path("d/other"), 0, 2);
        w.book.records.clear();
        w.shelf.unread.insert("d/");
    });
    for (uploaded, unchanged) in [(3, 0), (0, 3)] {
        let sums = story.once(story.options(true)).await.status().sums;
        assert_eq!((sums.uploaded, sums.unchanged, sums.failed), (uploaded, unchanged, 0));
    }
    story.world.with(|w| {
        for name in ["d/gone", "d/there", "d/other"] {
            assert_eq!(w.shelf.objects[&Key::raw(name)].body, w.disk.files[&path(name)].body);
        }
    });
    unbroken(&story);
}

/// And by a pass.
#[tokio::test(start_paused = true)]
async fn c54_a_pass_keeps_the_old_object_of_a_rename_that_is_denied() {
    for old in ["e", "c"] {
        let story = Story::calm();
        story.world.with(|w| w.write(&path(old), 0, 1));
        story.once(story.options(true)).await;
        story.world.with(|w| {
            w.shelf.denied.insert("d/");
            w.rename(&path(old), &path("d/e"));
        });
        for _ in 0..3 {
            let report = story.once(story.options(true)).await;
            assert_eq!((report.status().sums.failed, arrived(&story, old)), (1, 1));
        }
        story.world.with(|w| w.shelf.denied.clear());
        story.once(story.options(true)).await;
        assert_eq!((arrived(&story, old), arrived(&story, "d/e")), (0, 1));
        unbroken(&story);
    }
}

/// What fails first while others wait that were denied again and again is told of all the same.
#[tokio::test(start_paused = true)]
async fn c54_each_that_is_denied_is_told_of() {
    let story = scene(150, 1);
    story
        .daemon_with(options(&story), async |notices| {
            sleep(ms(60_000)).await;
            story.world.with(|w| w.write(&path("d/new"), 0, 1));
            look_at_everything(&notices).await;
            let told = || {
                story.world.with(|w| {
                    w.trace.iter().any(|line| line.contains("d/new") && line.contains("AccessDenied"))
                })
            };
            until(&story, ms(60_000), "it is told", told).await;
        })
        .await;
    unbroken(&story);
}
