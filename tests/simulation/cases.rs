//! Cases that need the whole engine and exact times, each played once on a fair day.

use crate::{
    deletes::until,
    story::Story,
    support::{
        bucket::Oddity,
        disk::{File, path},
        world::World,
    },
};
use s3mirrord::{
    engine::Options,
    ledger::Ledger,
    local::{Notice, Prune},
    model::{Capabilities, Change, Class, ETag, Key, RootId, Scope},
};
use std::time::Duration;
use tokio::time::sleep;

const YEAR: i64 = 31_536_000;

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn look(at: &str) -> Notice {
    Notice::Look(Scope::File(path(at)))
}

pub(crate) fn owner() -> Key {
    Key::raw(".s3mirrord/owner.json")
}

fn writes(story: &Story) -> u64 {
    let writing = ["PutObject", "CopyObject", "DeleteObject", "DeleteObjects", "CreateMultipartUpload"];
    story.world.with(|w| writing.iter().filter_map(|op| w.shelf.requests.get(op)).sum())
}

/// Waits until a write or a delete is on its way.
async fn under_way(story: &Story) {
    let begun = tokio::time::Instant::now();
    while story.world.with(|w| w.shelf.in_flight.is_empty()) {
        assert!(begun.elapsed() < ms(9_000));
        sleep(ms(100)).await;
    }
}

pub(crate) fn unbroken(story: &Story) {
    story.world.with(|w| assert!(w.broken.is_empty(), "{:#?}\n{}", w.broken, w.trace.join("\n")));
}

#[tokio::test(start_paused = true)]
async fn c21_a_rewrite_within_a_tick_of_the_look_is_not_blessed() {
    let story = Story::calm();
    story.world.with(|w| w.write(&path("b"), 0, 1));
    story
        .daemon(async |notices| {
            // the prefix is claimed by now: a claim takes longer than a tick
            sleep(ms(3_000)).await;
            story.world.with(|w| {
                w.write(&path("a"), 0, 1);
                w.disk.hasty = Some(path("a"));
            });
            notices.send(look("a")).await.unwrap();
            sleep(ms(10_000)).await;
            story.world.with(|w| w.disk.hasty = None);
            // the next comparison with the bucket comes and goes
            sleep(ms(100_000)).await;
        })
        .await;
    story.world.with(|w| {
        let object = &w.shelf.objects[&Key::raw("a")];
        assert_eq!(object.body, w.disk.files[&path("a")].body, "{}", w.trace.join("\n"));
    });
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn c07_what_lies_in_another_root_replaces_and_deletes_nothing() {
    let story = Story::calm();
    story.world.with(|w| ["a", "b", "c"].iter().for_each(|name| w.write(&path(name), 0, 1)));
    story.once(story.options(true)).await;
    let before = story.world.with(|w| w.shelf.objects.clone());
    story.world.with(|w| {
        let other = |n: u64| File {
            body: n.to_le_bytes().into(),
            mtime: 0,
            ctime: 0,
            inode: 1_000 + n,
            mode: 0o100_644,
            ..File::default()
        };
        w.disk.elsewhere.0 = [(path("b"), other(7)), (path("d"), other(8))].into();
        w.swap_root();
    });
    story.daemon(async |_| sleep(ms(200_000)).await).await;
    story.world.with(|w| {
        let same = |(key, object)| key == &owner() || w.shelf.objects.get(key) == Some(object);
        assert!(before.iter().all(same), "{}", w.trace.join("\n"));
        assert!(w.shelf.objects.contains_key(&Key::raw("d")), "what the bucket lacks is uploaded");
        w.swap_root();
    });
    // the true one is back
    let report = story.once(story.options(true)).await;
    assert_eq!((report.status().sums.unchanged, report.status().sums.deleted), (3, 1));
    unbroken(&story);
}

/// Directories are swapped, and swapped back while the new file is under way: nothing of the old file says that it
/// was away.
#[tokio::test(start_paused = true)]
async fn c66_a_file_that_is_back_while_another_is_sent_in_its_place_wins() {
    let story = Story::calm();
    let a = path("a");
    story.world.with(|w| w.write(&a, 0, 1));
    story
        .daemon(async |notices| {
            sleep(ms(3_000)).await;
            let old = story.world.with(|w| w.disk.files[&a].clone());
            assert!(story.world.with(|w| w.shelf.objects[&Key::raw("a")].body == old.body));
            story.world.with(|w| {
                w.shelf.write_takes = 3_000;
                w.replace(&a, b"rejected".into());
            });
            notices.send(look("a")).await.unwrap();
            // it is read, and not there yet
            under_way(&story).await;
            story.world.with(|w| w.bring(&a, old));
            notices.send(look("a")).await.unwrap();
            // and no comparison of everything comes until then
            sleep(ms(10_000)).await;
        })
        .await;
    story.world.with(|w| {
        let trace = w.trace.join("\n");
        assert_eq!(w.shelf.tags.len(), 3, "the other one was there for a while: {trace}");
        assert_eq!(w.shelf.objects[&Key::raw("a")].body, w.disk.files[&a].body, "{trace}");
    });
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn c66_a_file_that_is_back_while_its_object_is_deleted_is_sent_again() {
    let story = Story::calm();
    let a = path("a");
    story.world.with(|w| [&a, &path("b")].map(|p| w.write(p, 0, 1)));
    story
        .daemon(async |notices| {
            sleep(ms(1_000)).await;
            let old = story.world.with(|w| w.disk.files[&a].clone());
            story.world.with(|w| {
                w.shelf.write_takes = 3_000;
                w.remove(&a);
            });
            notices.send(look("a")).await.unwrap();
            // until the grace is over
            under_way(&story).await;
            story.world.with(|w| w.bring(&a, old));
            notices.send(look("a")).await.unwrap();
            sleep(ms(8_000)).await;
        })
        .await;
    story.world.with(|w| {
        let trace = w.trace.join("\n");
        assert!(trace.contains("bucket: a is gone"), "{trace}");
        assert!(w.shelf.objects.contains_key(&Key::raw("a")), "{trace}");
    });
}

pub(crate) fn requests(story: &Story, operation: &str) -> u64 {
    story.world.with(|w| w.shelf.requests.get(operation).copied().unwrap_or_default())
}

/// Each key of a batch has an answer of its own, or none.
#[tokio::test(start_paused = true)]
async fn c47_only_what_an_answer_confirms_is_cleared() {
    let story = Story::calm();
    // the first that is found is condemned before the others, and goes alone
    let names = ["alone", "confirmed", "denied", "forgotten", "slow", "untold"];
    story.world.with(|w| names.iter().chain(&["kept"]).for_each(|name| w.write(&path(name), 0, 1)));
    // a rescan that finds them absent has them tried
    let options = Options { page: 100, rescan: ms(3_600_000), ..never_relisted(&story) };
    story
        .daemon_with(options, async |notices| {
            sleep(ms(1_000)).await;
            story.world.with(|w| {
                names.iter().for_each(|name| w.remove(&path(name)));
                w.shelf.oddities = [
                    (Key::raw("denied"), Oddity::Fails(Class::Permanent)),
                    (Key::raw("forgotten"), Oddity::Forgotten),
                    (Key::raw("slow"), Oddity::Fails(Class::Throttled)),
                    (Key::raw("untold"), Oddity::Untold),
                ]
                .into();
            });
            notices.send(Notice::Look(Scope::everything())).await.unwrap();
            let begun = tokio::time::Instant::now();
            while requests(&story, "DeleteObjects") == 0 {
                assert!(begun.elapsed() < ms(9_000));
                sleep(ms(1)).await;
            }
            sleep(ms(500)).await;
            assert_eq!((requests(&story, "DeleteObjects"), requests(&story, "DeleteObject")), (1, 1));
            story.world.with(|w| {
                for (name, there) in
                    [("denied", true), ("forgotten", true), ("slow", true), ("untold", false)]
                {
                    let key = Key::raw(name);
                    assert_eq!(w.shelf.objects.contains_key(&key), there, "{name}");
                    assert!(w.book.records[&key].doubted, "{name}");
                    assert!(w.book.condemned.values().any(|row| row.key == key), "{name}");
                }
                let key = Key::raw("confirmed");
                assert!(!w.shelf.objects.contains_key(&key) && !w.book.records.contains_key(&key));
                assert!(w.book.condemned.values().all(|row| row.key != key));
            });
            // it is told, and tried again, twice as long after each time
            sleep(ms(600_000)).await;
            let asked = ["DeleteObjects", "DeleteObject"].map(|operation| requests(&story, operation));
            assert!((3..=7).contains(&asked[0]) && asked[1] <= 9, "{asked:?} in ten minutes");
            story.world.with(|w| {
                assert!(w.trace.iter().any(|line| line.contains("denied") && line.contains("Failed")));
                assert!(w.shelf.objects.contains_key(&Key::raw("denied")));
                w.shelf.oddities.clear();
            });
            sleep(ms(400_000)).await;
        })
        .await;
    story.world.with(|w| {
        let left: Vec<_> = w.shelf.objects.keys().filter(|key| !key.is_reserved()).collect();
        assert_eq!(left, [&Key::raw("kept")], "{}", w.trace.join("\n"));
        assert_eq!((w.book.records.len(), w.book.condemned.len()), (1, 0));
    });
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn c47_one_key_that_fails_its_batch_does_not_keep_back_the_others() {
    let story = Story::calm();
    let names = ["a", "b", "c", "d"];
    story.world.with(|w| names.iter().chain(&["kept"]).for_each(|name| w.write(&path(name), 0, 1)));
    story.once(story.options(true)).await;
    story.world.with(|w| {
        names.iter().for_each(|name| w.remove(&path(name)));
        w.shelf.oddities = [(Key::raw("c"), Oddity::Poison)].into();
    });
    let report = story.once(Options { page: 100, ..story.options(true) }).await;
    assert_eq!((report.status().sums.deleted, requests(&story, "DeleteObjects")), (3, 2));
    story.world.with(|w| {
        let left: Vec<_> = w.shelf.objects.keys().filter(|key| !key.is_reserved()).collect();
        assert_eq!(left, [&Key::raw("c"), &Key::raw("kept")], "{}", w.trace.join("\n"));
    });
    unbroken(&story);
}

/// Overwritten by another client while it was condemned.
#[tokio::test(start_paused = true)]
async fn c49_what_was_overwritten_meanwhile_is_kept_though_others_of_its_batch_go() {
    let story = Story::calm();
    let names = ["a", "b", "c"];
    story.world.with(|w| names.iter().chain(&["kept"]).for_each(|name| w.write(&path(name), 0, 1)));
    let options = Options { page: 100, ..never_relisted(&story) };
    story
        .daemon_with(options, async |notices| {
            sleep(ms(1_000)).await;
            story.world.with(|w| names.iter().for_each(|name| w.remove(&path(name))));
            notices.send(Notice::Look(Scope::everything())).await.unwrap();
            let begun = tokio::time::Instant::now();
            while story.world.with(|w| w.book.condemned.len() < names.len()) {
                assert!(begun.elapsed() < ms(9_000));
                sleep(ms(1)).await;
            }
            story.world.with(|w| {
                let object = w.shelf.objects.get_mut(&Key::raw("b")).unwrap();
                (object.body, object.etag, object.own) = (b"theirs".into(), ETag::new("theirs"), None);
                w.shelf.tags.insert((Key::raw("b"), ETag::new("theirs")));
            });
            sleep(ms(20_000)).await;
        })
        .await;
    assert_eq!(requests(&story, "DeleteObjects"), 1);
    story.world.with(|w| {
        let left: Vec<_> = w.shelf.objects.keys().filter(|key| !key.is_reserved()).collect();
        assert_eq!(left, [&Key::raw("b"), &Key::raw("kept")], "{}", w.trace.join("\n"));
    });
    unbroken(&story);
}

/// What a version from before batches found out is kept in the ledger: it is asked again, once.
#[tokio::test(start_paused = true)]
async fn c50_what_an_older_version_did_not_ask_is_asked_once() {
    let story = Story::calm();
    story.world.with(|w| ["a", "b", "c"].iter().for_each(|name| w.write(&path(name), 0, 1)));
    story.once(story.options(true)).await;
    let known = |story: &Story| story.world.with(|w| w.book.binding.clone().unwrap());
    let mut binding = known(&story);
    let all = binding.capabilities.unwrap();
    (binding.capabilities, binding.probed) = (Some(Capabilities { conditional_batch: None, ..all }), None);
    story.world.commit(vec![Change::Bind(binding.clone())]).await.unwrap();
    story.once(story.options(true)).await;
    assert_eq!(known(&story), binding, "a pass that changes nothing does not ask");
    for (n, name) in ["a", "b"].into_iter().enumerate() {
        let before = requests(&story, "PutObject");
        story.world.with(|w| w.remove(&path(name)));
        story.once(story.options(true)).await;
        assert_eq!(known(&story).capabilities, Some(all));
        // the claim, and what stands for the probe
        assert_eq!(requests(&story, "PutObject") - before, if n == 0 { 2 } else { 1 });
    }
    unbroken(&story);
}

/// What a store honours is asked again each week: it may be of another release by then, or another one of the same name.
#[tokio::test(start_paused = true)]
async fn c50_what_a_store_honours_is_asked_again_after_a_week() {
    let (hour, day) = (ms(3_600_000), ms(86_400_000));
    let story = Story::calm();
    let known = || story.world.with(|w| w.book.binding.clone().unwrap().capabilities.unwrap());
    let edit = |text| story.world.with(|w| w.write(&path("a"), 0, text));
    edit(1);
    story.once(story.options(true)).await;
    let all = known();
    let less = Capabilities { conditional_put: false, conditional_delete: false, ..all };
    story.world.with(|w| w.shelf.can = less);
    for (wait, want) in [(ms(0), all), (6 * day, all), (day, less)] {
        sleep(wait).await;
        edit(wait.as_secs());
        story.once(story.options(true)).await;
        assert_eq!(known(), want, "after {wait:?}");
    }
    // a daemon is one session for months
    let options = Options { rescan: 6 * hour, relist: 30 * day, ..story.options(false) };
    story
        .daemon_with(options, async |_| {
            edit(5);
            sleep(10 * day).await;
            let sessions =
                || story.world.with(|w| w.trace.iter().filter(|line| line.ends_with("Opened")).count());
            let before = sessions();
            story.world.with(|w| w.shelf.can = all);
            sleep(8 * day).await;
            assert_eq!((known(), sessions()), (all, before + 1), "it goes by what it found");
            edit(6);
            sleep(8 * day).await;
            assert_eq!((known(), sessions()), (all, before + 1), "and on, as long as that is so");
            // one that cannot be asked is taken for what it was, and asked on each day
            story.world.with(|w| w.shelf.oddities = [(owner(), Oddity::Fails(Class::Permanent))].into());
            let before = (known(), sessions(), requests(&story, "PutObject"));
            sleep(8 * day).await;
            assert_eq!((known(), sessions()), (before.0, before.1));
            let asked = requests(&story, "PutObject") - before.2;
            let besides = asked - 8 * 24;
            assert!((4..8).contains(&besides), "besides the renewals, once a day: {besides}");
        })
        .await;
    unbroken(&story);
}

/// A probe that is asked again in the middle of a session: one of which a part had no answer begins nothing anew, what cannot be written
/// down is gone by all the same, and a root that is accepted meanwhile stays accepted.
#[tokio::test(start_paused = true)]
async fn c50_what_is_asked_again_is_taken_as_it_comes() {
    let day = ms(86_400_000);
    let sessions =
        |story: &Story| story.world.with(|w| w.trace.iter().filter(|line| line.ends_with("Opened")).count());
    for what in ["unanswered", "unwritten", "accepted"] {
        let story = Story::calm();
        story.world.with(|w| w.write(&path("a"), 0, 1));
        let options = Options { rescan: day, relist: 300 * day, ..story.options(false) };
        story
            .daemon_with(options, async |_| {
                sleep(6 * day).await;
                let (puts, before) = (requests(&story, "PutObject"), sessions(&story));
                let root = RootId { inode: 77, filesystem: Some("fs".into()) };
                let all = story.world.with(|w| {
                    let all = w.shelf.can;
                    match what {
                        "unanswered" => w.shelf.can.conditional_batch = None,
                        "unwritten" => (w.shelf.can.conditional_put, w.full) = (false, true),
                        _ => w.shelf.accepts = Some(root.clone()),
                    }
                    all
                });
                sleep(4 * day).await;
                let binding = story.world.with(|w| w.book.binding.clone().unwrap());
                // the renewals, and one that stands for the probe
                let asked = requests(&story, "PutObject") - puts;
                match what {
                    "unwritten" => assert_eq!(sessions(&story), before + 1),
                    _ => assert_eq!((sessions(&story), asked), (before, 4 * 24 + 1), "{what}"),
                }
                assert_eq!(binding.capabilities, Some(all), "{what}");
                assert_eq!(binding.root.inode == 77, what == "accepted", "{what}");
                story.world.with(|w| w.full = false);
            })
            .await;
    }
}

/// No comparison with the bucket puts it right.
fn never_relisted(story: &Story) -> Options {
    Options { relist: ms(1_000_000_000), page: 100, listers: 4, ..story.options(false) }
}

#[tokio::test(start_paused = true)]
async fn c49_a_delete_whose_answer_is_lost_vouches_for_nothing() {
    // alone, and in a batch
    for names in [&["a"][..], &["a", "c", "d"]] {
        let story = Story::calm();
        let gone: Vec<_> = names.iter().map(|name| path(name)).collect();
        story.world.with(|w| gone.iter().chain([&path("b")]).for_each(|p| w.write(p, 0, 1)));
        let is_there = |name: &&str| story.world.with(|w| w.shelf.objects.contains_key(&Key::raw(*name)));
        story
            .daemon_with(never_relisted(&story), async |notices| {
                sleep(ms(1_000)).await;
                let old: Vec<_> =
                    story.world.with(|w| gone.iter().map(|p| w.disk.files[p].clone()).collect());
                story.world.with(|w| {
                    w.shelf.deaf = true;
                    gone.iter().for_each(|p| w.remove(p));
                });
                notices.send(Notice::Look(Scope::everything())).await.unwrap();
                let begun = tokio::time::Instant::now();
                while names.iter().any(is_there) {
                    assert!(begun.elapsed() < ms(9_000));
                    sleep(ms(10)).await;
                }
                sleep(ms(100)).await;
                story.world.with(|w| gone.iter().zip(old).for_each(|(p, old)| w.bring(p, old)));
                notices.send(Notice::Look(Scope::everything())).await.unwrap();
                sleep(ms(5_000)).await;
                story.world.with(|w| w.shelf.deaf = false);
                sleep(ms(60_000)).await;
            })
            .await;
        assert!(names.iter().all(is_there), "{}", story.world.with(|w| w.trace.join("\n")));
        assert_eq!(requests(&story, "DeleteObjects") > 0, names.len() > 1);
    }
}

/// A job that asks the ledger alone is under way for the key whose object a relist misses.
#[tokio::test(start_paused = true)]
async fn c41_what_a_relist_finds_of_a_busy_key_is_not_forgotten() {
    let story = Story::calm();
    let (a, others) = (path("a"), ["c", "d", "e", "f"]);
    story.world.with(|w| w.write(&a, 0, 1));
    let options = Options { relist: ms(30_000), ..story.options(false) };
    assert_eq!(options.workers, others.len());
    story
        .daemon_with(options, async |notices| {
            sleep(ms(28_000)).await;
            story.world.with(|w| {
                w.shelf.write_takes = 5_000;
                others.iter().for_each(|name| w.write(&path(name), 0, 1));
                let touched = w.disk.files[&a].clone();
                w.bring(&a, File { ctime: touched.ctime + 1, ..touched });
            });
            for name in others {
                notices.send(look(name)).await.unwrap();
            }
            sleep(ms(500)).await;
            notices.send(look("a")).await.unwrap();
            sleep(ms(1_000)).await;
            // another client
            story.world.with(|w| w.shelf.objects.remove(&Key::raw("a")));
            sleep(ms(20_000)).await;
        })
        .await;
    story.world.with(|w| {
        assert!(w.shelf.objects.contains_key(&Key::raw("a")), "{}", w.trace.join("\n"));
    });
}

/// A survey read the row, the object was deleted, and the file came back before the survey came to it.
#[tokio::test(start_paused = true)]
async fn c66_a_survey_from_before_a_delete_proves_nothing_by_the_object_that_was() {
    let story = Story::calm();
    let (a, room) = (path("a"), story.options(false).room);
    let before: Vec<_> = (0..room).map(|n| path(&format!("A{n:02}"))).collect();
    story.world.with(|w| before.iter().chain([&a, &path("b")]).for_each(|p| w.write(p, 0, 1)));
    let options = Options { quiet: ms(5_000), longest: ms(10_000), ..never_relisted(&story) };
    story
        .daemon_with(options, async |notices| {
            sleep(ms(8_000)).await;
            story.world.with(|w| {
                w.shelf.write_takes = 8_000;
                w.remove(&a);
            });
            notices.send(look("a")).await.unwrap();
            // It is condemned, its grace runs. A look at everything begins, and what comes before `a` fills the room.
            sleep(ms(5_500)).await;
            story.world.with(|w| before.iter().for_each(|p| w.write(p, 0, 2)));
            notices.send(Notice::Lost("for the test".into())).await.unwrap();
            let begun = tokio::time::Instant::now();
            while story.world.with(|w| w.shelf.objects.contains_key(&Key::raw("a"))) {
                assert!(begun.elapsed() < ms(20_000));
                sleep(ms(1)).await;
            }
            story.world.with(|w| w.write(&a, 0, 1));
            // its event comes late
            sleep(ms(30_000)).await;
            notices.send(look("a")).await.unwrap();
            sleep(ms(30_000)).await;
        })
        .await;
    story.world.with(|w| {
        assert!(w.shelf.objects.contains_key(&Key::raw("a")), "{}", w.trace.join("\n"));
    });
}

#[tokio::test(start_paused = true)]
async fn c24_a_clock_that_jumps_a_year_moves_nothing() {
    let story = Story::calm();
    story.world.with(|w| (0..20).for_each(|n| w.write(&path(&format!("f{n}")), 0, n)));
    story.once(story.options(true)).await;
    let before = writes(&story);
    for jump in [YEAR, -2 * YEAR] {
        story.world.with(|w| w.wall += jump);
        let report = story.once(story.options(true)).await;
        assert_eq!(report.status().sums.unchanged, 20);
    }
    story
        .daemon(async |_| {
            for jump in [YEAR, -YEAR] {
                sleep(ms(20_000)).await;
                story.world.with(|w| w.wall += jump);
            }
            sleep(ms(100_000)).await;
        })
        .await;
    assert_eq!(writes(&story), before, "nothing was written");
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn how_far_it_is_agrees_with_the_sums() {
    let story = Story::calm();
    story.world.with(|w| (0..20).for_each(|n| w.write(&path(&format!("f{n}")), 0, n)));
    let report = story.once(story.options(true)).await;
    let (progress, status) = (report.progress(), report.status());
    assert_eq!((progress.looked, progress.sent, progress.bytes), (20, 20, status.sums.bytes));
    assert!(!progress.looking && progress.in_flight == 0 && !progress.deletes_wait, "{progress:?}");
    assert_eq!((progress.compared, status.compared), (1, 1));
    let all = status.stored.unwrap();
    assert_eq!((all.objects, all.bytes), (20, status.sums.bytes));

    // an object that is kept without its file costs on, one that is to go does not
    story.world.with(|w| w.remove(&path("f7")));
    for (deletes, objects) in [(false, 20), (true, 19)] {
        let report = story.once(Options { deletes, ..story.options(true) }).await;
        let (progress, status) = (report.progress(), report.status());
        assert_eq!((progress.looked, progress.sent, progress.bytes), (20, 0, 0));
        assert_eq!(status.stored.unwrap().objects, objects, "deletes: {deletes}");
    }
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn c62_objects_of_what_is_excluded_now_stay() {
    let story = Story::calm();
    story.world.with(|w| ["a", "tmp/b", "tmp/c"].iter().for_each(|name| w.write(&path(name), 0, 1)));
    story.once(story.options(true)).await;
    // excluded from now on, and one of them is gone as well
    story.world.with(|w| w.remove(&path("tmp/c")));
    let prune = Prune::new(|path, _| path == b"tmp" || path.starts_with(b"tmp/"));
    let report = story.once_without(story.options(true), prune).await;
    assert_eq!((report.status().sums.unchanged, report.status().sums.deleted), (1, 0));
    story.world.with(|w| {
        assert!(["a", "tmp/b", "tmp/c"].iter().all(|key| w.shelf.objects.contains_key(&Key::raw(*key))));
    });
    // no longer excluded: what is gone goes
    let report = story.once(story.options(true)).await;
    assert_eq!((report.status().sums.unchanged, report.status().sums.deleted), (2, 1));
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn c66_a_late_delete_never_removes_what_came_back() {
    for away in [100, 800, 1_150, 1_400] {
        let story = Story::calm();
        story.world.with(|w| w.write(&path("a"), 0, 1));
        story.world.with(|w| w.write(&path("b"), 0, 1));
        story
            .daemon(async |notices| {
                sleep(ms(3_000)).await;
                story.world.with(|w| w.remove(&path("a")));
                notices.send(look("a")).await.unwrap();
                sleep(ms(away)).await;
                story.world.with(|w| w.write(&path("a"), 0, 2));
                notices.send(look("a")).await.unwrap();
                sleep(ms(20_000)).await;
            })
            .await;
        let body = story.world.with(|w| w.shelf.objects[&Key::raw("a")].body.clone());
        assert_eq!(body, 2u64.to_le_bytes(), "away for {away} ms");
        unbroken(&story);
    }
}

#[tokio::test(start_paused = true)]
async fn c72_copies_of_ours_and_objects_of_another_prefix_are_not_ours() {
    let story = Story::calm();
    story.world.with(|w| ["a", "b"].iter().for_each(|name| w.write(&path(name), 0, 1)));
    story.once(story.options(true)).await;
    // a colleague copies our object, metadata and all
    story.world.with(|w| {
        let ours = w.shelf.objects[&Key::raw("a")].clone();
        w.shelf.objects.insert(Key::raw("kept/a"), ours);
    });
    let report = story.once(story.options(true)).await;
    assert_eq!((report.status().sums.foreign, report.status().sums.deleted), (1, 0));
    // the ledger is lost, the prefix edited, a file gone: nothing there says that the object is ours
    story.world.with(|w| {
        w.book = Default::default();
        w.remove(&path("a"));
    });
    let edited = Options { prefix: "other/".into(), ..story.options(true) };
    let report = story.once(edited).await;
    assert_eq!((report.status().sums.foreign, report.status().sums.deleted), (2, 0));
    story.world.with(|w| assert!(w.shelf.objects.contains_key(&Key::raw("a"))));
    // under its own prefix it is known by its metadata, ledger or not
    story.world.with(|w| w.book = Default::default());
    let report = story.once(story.options(true)).await;
    assert_eq!((report.status().sums.foreign, report.status().sums.deleted), (1, 1));
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn c75_a_page_from_before_a_put_makes_no_second_put() {
    let story = Story::calm();
    // conditions would hide a second put
    story.world.with(|w| w.shelf.can.conditional_put = false);
    story.world.with(|w| w.write(&path("a"), 0, 1));
    story.once(story.options(true)).await;
    story
        .daemon(async |notices| {
            // the listing of the first comparison is on its way for five seconds
            story.world.with(|w| w.shelf.list_takes = 5_000);
            sleep(ms(1_000)).await;
            story.world.with(|w| w.write(&path("b"), 0, 1));
            notices.send(look("b")).await.unwrap();
            sleep(ms(2_000)).await;
            assert!(
                story.world.with(|w| w.shelf.objects.contains_key(&Key::raw("b"))),
                "it did not wait for the page"
            );
            sleep(ms(20_000)).await;
        })
        .await;
    let puts = story.world.with(|w| w.trace.iter().filter(|line| line.contains("bucket: b is")).count());
    assert_eq!(puts, 1);
    unbroken(&story);
}

/// A bug in a job is the fault of one file.
#[tokio::test(start_paused = true)]
async fn a_job_that_panics_is_a_file_that_fails_and_the_rest_goes_on() {
    let story = Story::calm();
    story.world.with(|w| {
        ["a", "b", "c"].iter().for_each(|name| w.write(&path(name), 0, 1));
        w.shelf.oddities.insert(Key::raw("b"), Oddity::Panics);
    });
    let status = story.once(story.options(true)).await.status();
    assert_eq!((status.sums.uploaded, status.sums.failed), (2, 1));
    assert!(status.failing[&Key::raw("b")].to_string().contains("panicked"), "{status:?}");
    story.world.with(|w| w.shelf.oddities.clear());
    assert_eq!(story.once(story.options(true)).await.status().sums.uploaded, 1);
    unbroken(&story);
}

/// The client gave up, the request did not: it lands after its successor.
#[tokio::test(start_paused = true)]
async fn c74_an_upload_that_lands_late_is_refused_or_found() {
    for conditions in [true, false] {
        let story = Story::calm();
        let a = path("a");
        let current = || {
            let is = |w: &mut World| w.shelf.objects[&Key::raw("a")].body == w.disk.files[&a].body;
            story.world.with(is)
        };
        story.world.with(|w| {
            w.shelf.can.conditional_put = conditions;
            w.write(&a, 0, 1);
        });
        story
            .daemon(async |notices| {
                sleep(ms(8_000)).await;
                story.world.with(|w| {
                    w.shelf.next_lands_late = true;
                    w.write(&a, 0, 2);
                });
                notices.send(look("a")).await.unwrap();
                let given_up = || story.world.with(|w| !w.shelf.next_lands_late);
                until(&story, ms(5_000), "it is given up", given_up).await;
                story.world.with(|w| w.write(&a, 0, 3));
                notices.send(look("a")).await.unwrap();
                until(&story, ms(4_000), "its successor is there", current).await;
                // it lands within five seconds
                let mut stood = true;
                for _ in 0..600 {
                    sleep(ms(10)).await;
                    stood &= current();
                }
                assert_eq!(stood, conditions, "by its condition it is refused");
                until(&story, ms(70_000), "it is found by the next comparison", current).await;
            })
            .await;
        unbroken(&story);
    }
}

/// The disk's clock ticks every 50 ms: were a proof stored of a file whose ctime is of the tick that has not ended,
/// the next write of that tick would not show.
#[tokio::test(start_paused = true)]
async fn c21_a_second_write_of_a_tick_is_found() {
    for later in (2..46).step_by(2) {
        let story = Story::calm();
        story.world.with(|w| w.write(&path("a"), 0, 1));
        story.once(story.options(true)).await;
        let begin = story.world.with(|w| w.now().as_millis() as u64).next_multiple_of(50);
        story
            .daemon(async |notices| {
                let at = |ms| tokio::time::sleep_until(story.world.with(|w| w.start) + self::ms(begin + ms));
                let write = |text| story.world.with(|w| w.write(&path("a"), 0, text));
                // looked at when it was quiet for 200 ms, and just then it is written twice
                at(5_005).await;
                notices.send(look("a")).await.unwrap();
                at(5_202).await;
                write(2);
                at(5_202 + later).await;
                write(3);
                at(40_000).await;
            })
            .await;
        let body = story.world.with(|w| w.shelf.objects[&Key::raw("a")].body.clone());
        assert_eq!(body, 3_u64.to_le_bytes(), "written again {later} ms later");
        unbroken(&story);
    }
}

/// Case 40, for every sort of store: what was written is known again without a ledger, and what another client
/// wrote over it, metadata and all, is not taken for it.
#[tokio::test(start_paused = true)]
async fn c40_a_lost_ledger_sends_nothing_again_and_overlooks_nothing() {
    for [random, encrypted, checksums] in (0..8).map(|n| [n & 1, n & 2, n & 4].map(|bit| bit != 0)) {
        let story = Story::calm();
        story.world.with(|w| {
            (w.shelf.random_etags, w.shelf.encrypted, w.shelf.checksums) =
                (random, random && encrypted, checksums);
            (w.shelf.can.etag_is_md5, w.shelf.can.verifies_sha256) = (!random, checksums);
            w.write(&path("small"), 2, 1);
            // three parts
            w.write(&path("large"), 5, 1);
        });
        story.once(story.options(true)).await;
        story.world.with(|w| w.book = Default::default());
        let sends = |story: &Story| {
            let sending = ["CreateMultipartUpload"];
            let small =
                story.world.with(|w| w.trace.iter().filter(|l| l.contains("bucket: small is")).count());
            story.world.with(|w| sending.iter().filter_map(|op| w.shelf.requests.get(op)).sum::<u64>())
                + small as u64
        };
        let (before, heads) =
            (sends(&story), story.world.with(|w| w.shelf.requests.get("HeadObject").copied()));
        let report = story.once(story.options(true)).await;
        let what = format!("random {random}, encrypted {encrypted}, checksums {checksums}");
        // no checksum, no digest in the metadata of what went up in parts: nothing shows that they are equal
        let blind = u64::from(random && !checksums);
        assert_eq!(sends(&story) - before, blind, "{what}");
        assert_eq!(report.status().sums.adopted, 2 - blind, "{what}");
        let asked = story.world.with(|w| w.shelf.requests.get("HeadObject").copied());
        assert_eq!(asked > heads, random, "{what}: {heads:?} and then {asked:?}");

        // overwritten: of the same size, and by a client that kept our metadata
        story.world.with(|w| {
            let object = w.shelf.objects.get_mut(&Key::raw("small")).unwrap();
            object.body[0] ^= 1;
            let body = object.body.clone();
            object.etag = ETag::new(&hex::encode(<md5::Md5 as md5::Digest>::digest(&body)));
            object.checksum = None;
            let etag = object.etag.clone();
            w.shelf.tags.insert((Key::raw("small"), etag));
        });
        if !random {
            story.once(story.options(true)).await;
            story.world.with(|w| {
                assert_eq!(
                    w.shelf.objects[&Key::raw("small")].body,
                    w.disk.files[&path("small")].body,
                    "{what}"
                );
            });
        }
        unbroken(&story);
    }
}
