//! Watches on real directories. Every wait is for a notice, with a deadline.

use super::*;
use crate::local::{Notice, Pulse};
use futures::Stream;
use std::{pin::Pin, time::Duration};

const PATIENCE: Duration = Duration::from_secs(30);

type Watch = Pin<Box<dyn Stream<Item = Notice> + Send>>;

async fn next(watch: &mut Watch) -> Notice {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("a notice in time").expect("the watcher lives")
}

async fn armed(dir: &Directory) -> Watch {
    let mut watch: Watch = Box::pin(dir.watch(keep_all()));
    assert_eq!(next(&mut watch).await, Notice::Armed);
    watch
}

/// Takes notices until one is as wanted, and gives those before it.
async fn until(watch: &mut Watch, wanted: impl Fn(&Notice) -> bool) -> Vec<Notice> {
    let mut before = Vec::new();
    loop {
        let notice = next(watch).await;
        if wanted(&notice) {
            return before;
        }
        before.push(notice);
    }
}

fn covers(path: &RelPath) -> impl Fn(&Notice) -> bool {
    let file = Scope::File(path.clone());
    move |notice| match notice {
        Notice::Look(scope) => scope.covers(&file),
        Notice::Lost(_) => true,
        _ => false,
    }
}

#[tokio::test]
async fn c01_files_in_new_nested_directories_are_all_looked_at() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = directory(temp.path());
    let mut watch = armed(&dir).await;
    let mut missing = std::collections::BTreeSet::new();
    for n in 0..300 {
        let path = format!("n{}/m{}/d{n}/f", n % 3, n % 7);
        std::fs::create_dir_all(temp.path().join(&path).parent().expect("a parent")).expect("mkdir");
        std::fs::write(temp.path().join(&path), "").expect("write");
        missing.insert(p(&path));
    }
    while !missing.is_empty() {
        match next(&mut watch).await {
            Notice::Lost(_) => missing.clear(),
            Notice::Look(scope @ Scope::Tree(_)) => {
                // As the engine does: a walk at once, which sees what is there by then.
                for (key, _) in try_walk(&dir, scope, keep_all()).await.expect("a walk") {
                    missing.remove(&key.path().expect("a file"));
                }
            }
            Notice::Look(scope) => {
                missing.remove(scope.path());
            }
            other => panic!("{other:?}"),
        }
    }
    // And their directories are watched now.
    let path = p("n1/m1/d1/later");
    std::fs::write(temp.path().join(path.as_path()), "").expect("write");
    until(&mut watch, covers(&path)).await;
}

#[tokio::test]
async fn reading_makes_no_notice_and_pruned_paths_neither() {
    let temp = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(temp.path().join("cache")).expect("mkdir");
    std::fs::write(temp.path().join("f"), "x").expect("write");
    let dir = directory(temp.path());
    let prune = Prune::new(|path, is_dir| path == b"x.tmp" || (is_dir && path == b"cache"));
    let mut watch: Watch = Box::pin(dir.watch(prune));
    assert_eq!(next(&mut watch).await, Notice::Armed);
    walk(&dir, Scope::everything()).await;
    dir.look(vec![k("f"), k("g")]).await.expect("a look");
    let file = dir.open(&k("f")).await.expect("open");
    crate::model::Source::read_at(&file, 0, 1).await.expect("read");
    drop(file);
    for quiet in ["x.tmp", "cache/y"] {
        std::fs::write(temp.path().join(quiet), "").expect("write");
    }
    std::fs::write(temp.path().join("last"), "").expect("write");
    let before = until(&mut watch, covers(&p("last"))).await;
    assert_eq!(before, []);
}

#[tokio::test]
async fn c08_c12_directories_made_again_and_moved_are_still_watched() {
    let temp = tempfile::tempdir().expect("a directory");
    let at = |path: &str| temp.path().join(path);
    std::fs::create_dir_all(at("root/d/sub")).expect("mkdir");
    std::fs::create_dir_all(at("out/x/y")).expect("mkdir");
    let dir = directory(&at("root"));
    let mut watch = armed(&dir).await;
    for n in 0..20 {
        std::fs::remove_dir_all(at("root/d")).expect("rmdir");
        std::fs::create_dir_all(at("root/d/sub")).expect("mkdir");
        until(&mut watch, |notice| *notice == Notice::Look(Scope::Tree(p("d")))).await;
        let mark = p(&format!("mark{n}"));
        std::fs::write(at("root").join(mark.as_path()), "").expect("write");
        until(&mut watch, covers(&mark)).await;
        let file = p(&format!("d/sub/f{n}"));
        std::fs::write(at("root").join(file.as_path()), "").expect("write");
        until(&mut watch, |notice| *notice == Notice::Look(Scope::File(file.clone()))).await;
    }
    std::fs::rename(at("root/d"), at("root/e")).expect("rename");
    until(&mut watch, covers(&p("d"))).await;
    until(&mut watch, |notice| *notice == Notice::Look(Scope::Tree(p("e")))).await;
    std::fs::write(at("root/e/sub/g"), "").expect("write");
    until(&mut watch, |notice| *notice == Notice::Look(Scope::File(p("e/sub/g")))).await;
    std::fs::rename(at("out/x"), at("root/x")).expect("move in");
    until(&mut watch, |notice| *notice == Notice::Look(Scope::Tree(p("x")))).await;
    std::fs::write(at("root/x/y/h"), "").expect("write");
    until(&mut watch, |notice| *notice == Notice::Look(Scope::File(p("x/y/h")))).await;
    std::fs::rename(at("root/x"), at("out/x")).expect("move out");
    until(&mut watch, covers(&p("x"))).await;
}

#[tokio::test]
async fn c07_a_root_moved_away_is_told_and_found_again() {
    let temp = tempfile::tempdir().expect("a directory");
    let (path, away) = (temp.path().join("root"), temp.path().join("away"));
    std::fs::create_dir_all(path.join("d")).expect("mkdir");
    let dir = directory(&path);
    dir.bind(&dir.root().await.expect("root").0);
    let mut watch = armed(&dir).await;
    std::fs::rename(&path, &away).expect("rename");
    std::fs::create_dir(&path).expect("mkdir");
    until(&mut watch, |notice| matches!(notice, Notice::Degraded(f) if f.remedy.is_some())).await;
    std::fs::remove_dir(&path).expect("rmdir");
    std::fs::rename(&away, &path).expect("rename");
    until(&mut watch, |notice| matches!(notice, Notice::Lost(_))).await;
    std::fs::write(path.join("d/f"), "").expect("write");
    until(&mut watch, |notice| *notice == Notice::Look(Scope::File(p("d/f")))).await;
}

#[tokio::test]
async fn c07_an_unbound_root_made_anew_is_watched_anew() {
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("root");
    std::fs::create_dir(&path).expect("mkdir");
    let mut watch = armed(&directory(&path)).await;
    std::fs::rename(&path, temp.path().join("away")).expect("rename");
    std::fs::create_dir(&path).expect("mkdir");
    until(&mut watch, |notice| matches!(notice, Notice::Lost(_))).await;
    std::fs::write(path.join("f"), "").expect("write");
    until(&mut watch, |notice| *notice == Notice::Look(Scope::File(p("f")))).await;
}

#[tokio::test]
async fn c09_a_root_mounted_over_is_told_and_found_again() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = directory(temp.path());
    dir.bind(&dir.root().await.expect("root").0);
    let mut watch = armed(&dir).await;
    let Some(over) = Mounted::tmpfs(temp.path()) else { return };
    until(&mut watch, |notice| matches!(notice, Notice::Degraded(_))).await;
    drop(over);
    until(&mut watch, |notice| matches!(notice, Notice::Lost(_))).await;
    std::fs::write(temp.path().join("f"), "").expect("write");
    until(&mut watch, |notice| *notice == Notice::Look(Scope::File(p("f")))).await;
}

#[tokio::test]
async fn a_root_that_is_missing_is_told_and_then_waited_for() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = directory(&temp.path().join("root"));
    let mut watch = armed(&dir).await;
    assert!(matches!(next(&mut watch).await, Notice::Degraded(_)));
    std::fs::create_dir(temp.path().join("root")).expect("mkdir");
    assert!(matches!(next(&mut watch).await, Notice::Lost(_)));
}

const SOON: Duration = Duration::from_millis(50);

/// A canary that is asked often and waited for as long as anything is.
fn with_canary(root: &Path, file: &Path) -> Directory {
    directory(root).canary(file, SOON, PATIENCE)
}

/// Waits until the watcher has shown that it lives.
async fn alive(pulse: &Pulse) {
    let asked = std::time::Instant::now();
    while pulse.silence().is_none_or(|silence| silence > asked.elapsed()) {
        assert!(asked.elapsed() < PATIENCE, "{:?}", pulse.silence());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn c14_the_canary_is_heard_again_and_again_and_is_no_change_even_within_the_root() {
    let temp = tempfile::tempdir().expect("a directory");
    let state = temp.path().join("state");
    std::fs::create_dir(&state).expect("mkdir");
    // nothing leaves it out of the mirror
    let dir = with_canary(temp.path(), &state.join("canary"));
    let pulse = dir.pulse();
    assert_eq!(pulse.silence(), None);
    let mut watch = armed(&dir).await;
    for _ in 0..5 {
        alive(&pulse).await;
    }
    std::fs::write(temp.path().join("last"), "").expect("write");
    assert_eq!(until(&mut watch, covers(&p("last"))).await, []);
    assert_eq!(std::fs::read(state.join("canary")).expect("it is there"), b"", "nothing is written for it");
    drop(watch);
    assert_eq!(pulse.silence(), None, "nothing is asked of a watcher that was told to end");
}

#[tokio::test]
async fn c14_watches_that_do_not_hear_the_canary_are_made_anew() {
    let temp = tempfile::tempdir().expect("a directory");
    let (root, file) = (temp.path().join("root"), temp.path().join("canary"));
    std::fs::create_dir(&root).expect("mkdir");
    let dir = directory(&root).canary(&file, SOON, Duration::from_secs(1));
    let mut watch = armed(&dir).await;
    alive(&dir.pulse()).await;
    // another file in its place: the watch stays with the one that was there
    std::fs::write(temp.path().join("other"), "").expect("write");
    std::fs::rename(temp.path().join("other"), &file).expect("rename");
    until(&mut watch, |notice| matches!(notice, Notice::Lost(why) if why.contains("canary"))).await;
    alive(&dir.pulse()).await;
    std::fs::write(root.join("f"), "").expect("write");
    let before = until(&mut watch, covers(&p("f"))).await;
    assert_eq!(before, [], "the new watches hear it");
}

#[tokio::test]
async fn c14_a_canary_that_cannot_be_heard_is_told_of_once_and_tried_on() {
    let temp = tempfile::tempdir().expect("a directory");
    let (root, state) = (temp.path().join("root"), temp.path().join("state"));
    std::fs::create_dir(&root).expect("mkdir");
    let dir = directory(&root).canary(&state.join("canary"), SOON, SOON);
    let mut watch = armed(&dir).await;
    let Notice::Degraded(fault) = next(&mut watch).await else { panic!("not told") };
    assert!(fault.cause.contains("No such file") && fault.remedy.is_some(), "{fault}");
    // it is tried again by now, and the thread is seen at work meanwhile
    alive(&dir.pulse()).await;
    std::fs::write(root.join("f"), "").expect("write");
    assert_eq!(until(&mut watch, covers(&p("f"))).await, [], "told once, and all else goes on");
    std::fs::create_dir(&state).expect("mkdir");
    until(&mut watch, |notice| *notice == Notice::Restored).await;
}

/// Runs this very test again where the user may have only so many of what `limit` counts: a user
/// namespace of its own, so that nobody else is touched. True in there.
fn limited(test: &str, limit: &str, most: usize) -> bool {
    const INSIDE: &str = "S3MIRRORD_TEST_LIMITED";
    if std::env::var_os(INSIDE).is_some_and(|inside| inside == test) {
        return true;
    }
    let set = format!("echo {most} > /proc/sys/user/{limit} || exit 99; exec \"$@\"");
    // By descriptor: a build that goes on meanwhile may replace the file.
    let this = std::fs::File::open("/proc/self/exe").expect("this test");
    rustix::io::fcntl_setfd(&this, rustix::io::FdFlags::empty()).expect("inherited");
    let exe = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&this));
    let name = format!("local::tests::watching::{test}");
    let mut again = std::process::Command::new("unshare");
    again.args(["--user", "--map-root-user", "sh", "-c", &set, "sh"]).arg(exe).args(["--exact", &name]);
    match again.env(INSIDE, test).output() {
        Ok(out) if out.status.code() == Some(99) || out.stderr.starts_with(b"unshare:") => {
            skipped(String::from_utf8_lossy(&out.stderr));
        }
        Ok(out) => {
            let text = String::from_utf8_lossy(&out.stdout);
            assert!(out.status.success() && text.contains("1 passed"), "{text}");
        }
        Err(error) => skipped(error),
    }
    false
}

#[tokio::test]
async fn c05_beyond_the_watch_limit_it_says_so_and_goes_on_with_what_is_watched() {
    if !limited(
        "c05_beyond_the_watch_limit_it_says_so_and_goes_on_with_what_is_watched",
        "max_inotify_watches",
        3,
    ) {
        return;
    }
    let temp = tempfile::tempdir().expect("a directory");
    for n in 0..6 {
        std::fs::create_dir(temp.path().join(format!("d{n}"))).expect("mkdir");
    }
    let dir = directory(temp.path());
    let mut watch = armed(&dir).await;
    let Notice::Degraded(fault) = next(&mut watch).await else { panic!("not told") };
    assert!(fault.cause.contains("4 of 7 directories"), "{fault}");
    assert!(fault.remedy.is_some_and(|remedy| remedy.contains("user.max_inotify_watches = 16")));
    std::fs::write(temp.path().join("f"), "").expect("write");
    until(&mut watch, covers(&p("f"))).await;
    // What holds the limit is given back before new watches are made: it does not get worse.
    std::fs::rename(temp.path(), temp.path().with_extension("away")).expect("rename");
    until(&mut watch, |notice| matches!(notice, Notice::Degraded(_))).await;
    std::fs::rename(temp.path().with_extension("away"), temp.path()).expect("rename");
    until(&mut watch, |notice| matches!(notice, Notice::Lost(_))).await;
    let Notice::Degraded(again) = next(&mut watch).await else { panic!("not told") };
    assert_eq!(again.cause, fault.cause);
}

#[tokio::test]
async fn c05_when_more_watches_can_be_had_the_rest_is_watched_and_looked_at() {
    let test = "c05_when_more_watches_can_be_had_the_rest_is_watched_and_looked_at";
    if !limited(test, "max_inotify_watches", 4) {
        return;
    }
    let temp = tempfile::tempdir().expect("a directory");
    let at = |path: &str| temp.path().join(path);
    for n in 0..6 {
        std::fs::create_dir_all(at(&format!("root/d{n}/e"))).expect("mkdir");
    }
    let dir = with_canary(&at("root"), &at("canary"));
    let mut watch = armed(&dir).await;
    let Notice::Degraded(fault) = next(&mut watch).await else { panic!("not told") };
    assert!(fault.cause.contains("10 of 13 directories"), "the canary has the first: {fault}");
    assert!(fault.cause.contains("user.max_inotify_watches is 4"), "{fault}");
    alive(&dir.pulse()).await;
    std::fs::write("/proc/sys/user/max_inotify_watches", "100").expect("raised");
    until(&mut watch, |notice| matches!(notice, Notice::Lost(_))).await;
    assert_eq!(next(&mut watch).await, Notice::Restored);
    for n in 0..6 {
        let file = p(&format!("d{n}/e/f"));
        std::fs::write(at("root").join(file.as_path()), "").expect("write");
        until(&mut watch, |notice| *notice == Notice::Look(Scope::File(file.clone()))).await;
    }
}

#[tokio::test]
async fn c05_without_a_watcher_it_says_so_and_the_stream_lives() {
    if !limited("c05_without_a_watcher_it_says_so_and_the_stream_lives", "max_inotify_instances", 0) {
        return;
    }
    let temp = tempfile::tempdir().expect("a directory");
    let mut watch = armed(&directory(temp.path())).await;
    let Notice::Degraded(fault) = next(&mut watch).await else { panic!("not told") };
    assert!(fault.remedy.is_some_and(|remedy| remedy.contains("user.max_inotify_instances = 128")));
    assert_eq!(tokio::time::timeout(Duration::from_millis(10), watch.next()).await.ok(), None);
}

#[test]
fn c06_a_directory_that_becomes_readable_is_looked_at_and_watched() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().expect("a directory");
    let locked = temp.path().join("locked");
    std::fs::create_dir_all(locked.join("in")).expect("mkdir");
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).expect("chmod");
    without_privilege(|| {
        // Threads begun from here on may not read it either.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut watch = armed(&directory(temp.path())).await;
            std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o700)).expect("chmod");
            until(&mut watch, |notice| *notice == Notice::Look(Scope::Tree(p("locked")))).await;
            std::fs::write(locked.join("in/f"), "").expect("write");
            until(&mut watch, |notice| *notice == Notice::Look(Scope::File(p("locked/in/f")))).await;
        });
    });
}
