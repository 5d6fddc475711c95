//! What is run before files are read, and after.

use crate::{
    cases::{look, ms, owner, unbroken},
    deletes::until,
    story::Story,
    support::{disk::path, world::Fake},
};
use futures::{FutureExt, future::BoxFuture};
use s3mirrord::{
    engine::{Hooks, Options},
    local::Notice,
    model::{Class, Fault, Key, Scope},
};
use std::sync::Arc;
use tokio::{sync::mpsc, time::sleep};

/// Takes 50 ms each; the first so many fail.
struct Told(Fake, u64);

impl Hooks for Told {
    fn before(&self) -> BoxFuture<'_, Result<(), Fault>> {
        async {
            self.0.with(|w| w.log("hook: before"));
            sleep(ms(50)).await;
            let begun = self.0.with(|w| w.trace.iter().filter(|line| line.ends_with("hook: before")).count());
            self.0.with(|w| w.log("hook: ready"));
            match begun as u64 <= self.1 {
                true => Err(Fault::new(Class::Permanent, "run before_read", "for the test")),
                false => Ok(()),
            }
        }
        .boxed()
    }

    fn after(&self) -> BoxFuture<'_, Result<(), Fault>> {
        async {
            self.0.with(|w| w.log("hook: after"));
            sleep(ms(50)).await;
            self.0.with(|w| w.log("hook: over"));
            Ok(())
        }
        .boxed()
    }
}

/// What happened, as a word each: before, ready, after, over, and the writes of files between.
fn told(story: &Story) -> Vec<String> {
    let of = |line: &String| {
        let (_, what) = line.split_once(' ')?;
        let hook = what.strip_prefix("hook: ");
        let write = what.strip_prefix("bucket: ").filter(|what| !what.starts_with('.'));
        Some(hook.or(write)?.split(' ').next()?.to_owned())
    };
    story.world.with(|w| w.trace.iter().filter_map(of).collect())
}

async fn daemon(story: &Story, failing: u64, script: impl AsyncFnOnce(mpsc::Sender<Notice>)) {
    let hooks: Arc<dyn Hooks> = Arc::new(Told(story.world.clone(), failing));
    story.daemon_with(Options { hooks: Some(hooks), ..story.options(false) }, script).await;
}

#[tokio::test(start_paused = true)]
async fn files_are_read_between_what_comes_before_and_what_comes_after() {
    let story = Story::calm();
    daemon(&story, 0, async |notices| {
        sleep(ms(5_000)).await;
        assert!(told(&story).is_empty(), "nothing to be read");
        let write = |names: &[&str]| {
            story.world.with(|w| names.iter().for_each(|name| w.write(&path(name), 0, 1)));
            names.iter().for_each(|name| notices.try_send(look(name)).unwrap());
        };
        write(&["a", "b", "c"]);
        sleep(ms(5_000)).await;
        write(&["d"]);
        sleep(ms(5_000)).await;
        story.world.with(|w| w.remove(&path("d")));
        notices.send(look("d")).await.unwrap();
        sleep(ms(5_000)).await;
        // it is told to stop before all is over
        write(&["e"]);
        sleep(ms(420)).await;
    })
    .await;
    let mut told = told(&story);
    told[2..5].sort();
    let first = ["before", "ready", "a", "b", "c", "after", "over", "before", "ready", "d", "after", "over"];
    assert_eq!(told[..12], first);
    assert_eq!(told[12], "d", "a delete reads nothing");
    assert_eq!((&*told[13], &**told.last().unwrap()), ("before", "over"), "{told:?}");
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_without_end_is_not_one_bracket() {
    let story = Story::calm();
    story.world.with(|w| (0..60).for_each(|n| w.write(&path(&format!("f{n:02}")), 0, n)));
    story.world.with(|w| w.shelf.write_takes = 1_000);
    // four at a time: 15 s, and the longest wait is 2 s
    daemon(&story, 0, async |_| sleep(ms(60_000)).await).await;
    let told = told(&story);
    let brackets = told.iter().filter(|word| *word == "before").count();
    assert!((3..=12).contains(&brackets), "{told:?}");
    let mut open = false;
    for word in &told {
        match &**word {
            "ready" => open = true,
            "after" => open = false,
            "before" | "over" => assert!(!open),
            file => assert!(open, "{file} was sent outside"),
        }
    }
    assert_eq!(told.iter().filter(|word| word.starts_with('f')).count(), 60);
    unbroken(&story);
}

/// The store has no part in it: what needs no reading goes on.
#[tokio::test(start_paused = true)]
async fn deletes_go_on_while_what_comes_before_fails() {
    let story = Story::calm();
    story.world.with(|w| w.write(&path("gone"), 0, 1));
    story.once(story.options(true)).await;
    story.world.with(|w| {
        w.remove(&path("gone"));
        (0..9).for_each(|n| w.write(&path(&format!("f{n}")), 0, n));
    });
    let lists = || story.world.with(|w| w.shelf.requests["ListObjectsV2"]);
    let mut listed = 0;
    daemon(&story, u64::MAX, async |_| {
        let is_gone = || story.world.with(|w| !w.shelf.objects.contains_key(&Key::raw("gone")));
        until(&story, ms(20_000), "the delete", is_gone).await;
        listed = lists();
        sleep(ms(30_000)).await;
        assert_eq!(lists(), listed, "the bucket is not asked about files that cannot be read");
    })
    .await;
    unbroken(&story);
}

/// One file is sent for longer than a bracket may be open, so that no other is read; to look whose an object is needs
/// no reading.
#[tokio::test(start_paused = true)]
async fn objects_are_looked_at_while_many_files_wait_for_a_bracket() {
    let story = Story::calm();
    let hooks: Arc<dyn Hooks> = Arc::new(Told(story.world.clone(), 0));
    let options = Options { hooks: Some(hooks), room: 64, ..story.options(false) };
    let others: Vec<_> = (0..20).map(|n| format!("f{n:02}")).collect();
    story
        .daemon_with(options, async |notices| {
            story.world.with(|w| {
                w.write(&path("slow"), 0, 1);
                w.shelf.write_takes = 300_000;
            });
            notices.send(look("slow")).await.unwrap();
            let is_sent = || story.world.with(|w| w.shelf.in_flight.contains(&Key::raw("slow")));
            until(&story, ms(5_000), "an upload", is_sent).await;
            sleep(ms(5_000)).await;
            story.world.with(|w| {
                others.iter().for_each(|name| w.write(&path(name), 0, 2));
                w.shelf.write_takes = 0;
                let object = w.shelf.objects[&owner()].clone();
                w.shelf.objects.insert(Key::raw("another's"), object);
            });
            for name in &others {
                notices.send(look(name)).await.unwrap();
            }
            let is_known = || story.world.with(|w| w.book.foreign.contains_key(&Key::raw("another's")));
            until(&story, ms(100_000), "whose it is", is_known).await;
            story.world.with(|w| {
                assert!(w.shelf.in_flight.contains(&Key::raw("slow")));
                assert!(!w.shelf.objects.contains_key(&Key::raw("f00")));
            });
            sleep(ms(300_000)).await;
        })
        .await;
    assert_eq!(told(&story).iter().filter(|word| word.starts_with('f')).count(), 20);
    unbroken(&story);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_what_comes_before_fails() {
    let story = Story::calm();
    story.world.with(|w| (0..9).for_each(|n| w.write(&path(&format!("f{n}")), 0, n)));
    daemon(&story, 3, async |notices| {
        sleep(ms(1_000)).await;
        notices.send(Notice::Look(Scope::everything())).await.unwrap();
        sleep(ms(120_000)).await;
    })
    .await;
    let told = told(&story);
    let failed = ["before", "ready", "after", "over"];
    assert_eq!(told[..12], [failed, failed, failed].concat());
    assert_eq!(told[12..14], ["before", "ready"]);
    assert_eq!(told.iter().filter(|word| word.starts_with('f')).count(), 9);
    unbroken(&story);
}
