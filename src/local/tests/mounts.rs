//! Mounts: below the root, on a file, over the root, and gone.

use super::*;
use crate::model::{Class, Skip};

#[tokio::test]
async fn a_mount_below_the_root_is_skipped_and_never_entered() {
    let temp = tempfile::tempdir().expect("a directory");
    let at = |path: &str| temp.path().join(path);
    std::fs::create_dir_all(at("r/m")).expect("mkdir");
    std::fs::create_dir_all(at("r/same")).expect("mkdir");
    std::fs::write(at("r/f"), "").expect("write");
    std::fs::write(at("r/g"), "").expect("write");
    let Some(_tmpfs) = Mounted::tmpfs(&at("r/m")) else { return };
    // The same file system: only the mount id tells.
    let Some(_same) = Mounted::bind(&at("r"), &at("r/same")) else { return };
    let Some(_file) = Mounted::bind(&at("r/f"), &at("r/g")) else { return };
    std::fs::write(at("r/m/x"), "").expect("write");
    let dir = directory(&at("r"));
    assert_eq!(walk(&dir, Scope::everything()).await, ["f present 0", "g mount", "m/ mount", "same/ mount"]);
    assert_eq!(walk(&dir, Scope::Tree(p("m"))).await, ["m/ mount"]);
    assert_eq!(walk(&dir, Scope::Tree(p("m/x"))).await, ["m/x mount", "m/x/ mount"]);
    let children = ["f present 0", "g mount", "m/ mount", "same/ mount"];
    assert_eq!(walk(&dir, Scope::Children(RelPath::root())).await, children);
    let looked = dir.look(["m", "m/x", "m/none", "g", "same/f"].map(p).to_vec()).await.expect("a look");
    assert_eq!(looked, vec![Local::Skipped(Skip::Mount); 5]);
    for path in ["m/x", "g", "same/f"] {
        assert_eq!(dir.open(&p(path)).await.err().map(|f| f.class), Some(Class::Changed), "{path}");
    }
}

#[tokio::test]
async fn c09_c60_a_root_that_is_not_mounted_or_mounted_over_is_fatal_until_it_is_back() {
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("root");
    std::fs::create_dir(&path).expect("mkdir");
    let Some(disk) = Mounted::tmpfs(&path) else { return };
    std::fs::write(path.join("f"), "x").expect("write");
    let dir = directory(&path);
    dir.bind(&dir.root().await.expect("a mount point may be the root").0);
    assert_eq!(walk(&dir, Scope::everything()).await, ["f present 1"]);
    let fatal = async |dir: &Directory| {
        let walked = try_walk(dir, Scope::everything(), keep_all()).await;
        walked.err().map(|f| f.class) == Some(Class::Fatal) && dir.look(vec![p("f")]).await.is_err()
    };
    let over = Mounted::tmpfs(&path).expect("mounted before");
    assert!(fatal(&dir).await, "mounted over");
    drop(over);
    assert_eq!(walk(&dir, Scope::everything()).await, ["f present 1"], "it is back");
    let elsewhere = temp.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("mkdir");
    let kept = Mounted::bind(&path, &elsewhere).expect("mounted before");
    drop(disk);
    assert!(fatal(&dir).await, "not mounted");
    let _again = Mounted::bind(&elsewhere, &path).expect("mounted before");
    assert_eq!(walk(&dir, Scope::everything()).await, ["f present 1"], "another mount of the same");
    drop(kept);
}

#[tokio::test]
async fn no_descriptor_of_the_root_is_held_while_idle() {
    let temp = tempfile::tempdir().expect("a directory");
    let Some(mounted) = Mounted::tmpfs(temp.path()) else { return };
    std::fs::write(temp.path().join("f"), "x").expect("write");
    let dir = directory(temp.path());
    dir.bind(&dir.root().await.expect("root").0);
    let mut watch = Box::pin(dir.watch(keep_all()));
    assert_eq!(watch.next().await, Some(crate::local::Notice::Armed));
    walk(&dir, Scope::everything()).await;
    drop(dir.open(&p("f")).await.expect("open"));
    // The watcher looks at the root every second, for a moment.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while let Err(errno) = rustix::mount::unmount(temp.path(), rustix::mount::UnmountFlags::empty()) {
        assert!(std::time::Instant::now() < deadline, "{errno}");
        tokio::task::yield_now().await;
    }
    std::mem::forget(mounted);
}
