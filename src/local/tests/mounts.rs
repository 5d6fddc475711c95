//! Mounts: below the root, on a file, over the root, and gone.

use super::*;
use crate::{
    local::Notice,
    model::{Class, Skip, Source},
};

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
    let looked = dir.look(["m", "m/x", "m/none", "g", "same/f"].map(k).to_vec()).await.expect("a look");
    assert_eq!(looked, vec![Local::Skipped(Skip::Mount); 5]);
    for path in ["m/x", "g", "same/f"] {
        assert_eq!(dir.open(&k(path)).await.err().map(|f| f.class), Some(Class::Changed), "{path}");
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
        walked.err().map(|f| f.class) == Some(Class::Fatal) && dir.look(vec![k("f")]).await.is_err()
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
async fn reading_leaves_no_access_time() {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, statat, utimensat};
    let temp = tempfile::tempdir().expect("a directory");
    let Some(_strict) = Mounted::tmpfs_with(temp.path(), rustix::mount::MountFlags::STRICTATIME) else {
        return;
    };
    let file = temp.path().join("f");
    let old = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
    for size in [10, 100_000] {
        std::fs::write(&file, vec![7; size]).expect("write");
        let times = Timestamps { last_access: old, last_modification: old };
        utimensat(CWD, &file, &times, AtFlags::empty()).expect("set");
        let accessed = || statat(CWD, &file, AtFlags::empty()).expect("stat").st_atime;
        let read = directory(temp.path()).open(&k("f")).await.expect("open");
        assert_eq!(read.read_at(0, size).await.expect("read").len(), size);
        drop(read);
        assert_eq!(accessed(), old.tv_sec, "{size}");
        std::fs::read(&file).expect("read");
        assert!(accessed() > old.tv_sec, "others do leave one: the file system keeps them");
    }
}

#[tokio::test]
async fn c09_no_descriptor_keeps_the_root_from_being_unmounted_and_the_watcher_sees_it() {
    let temp = tempfile::tempdir().expect("a directory");
    let Some(mounted) = Mounted::tmpfs(temp.path()) else { return };
    std::fs::write(temp.path().join("f"), "x").expect("write");
    let dir = directory(temp.path());
    dir.bind(&dir.root().await.expect("root").0);
    let mut watch = Box::pin(dir.watch(keep_all()));
    assert_eq!(watch.next().await, Some(Notice::Armed));
    walk(&dir, Scope::everything()).await;
    drop(dir.open(&k("f")).await.expect("open"));
    // The watcher looks at the root every second, for a moment.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while let Err(errno) = rustix::mount::unmount(temp.path(), rustix::mount::UnmountFlags::empty()) {
        assert!(std::time::Instant::now() < deadline, "{errno}");
        tokio::task::yield_now().await;
    }
    std::mem::forget(mounted);
    while !matches!(watch.next().await.expect("the watcher lives"), Notice::Degraded(_)) {}
}

/// A file system image on a loop device of its own, mounted.
struct Disk {
    device: String,
    _mounted: Mounted,
}

impl Disk {
    fn make(image: &Path, options: &[&str]) -> Option<()> {
        std::fs::File::create(image).and_then(|file| file.set_len(8 << 20)).expect("an image");
        let mut make = std::process::Command::new("mkfs.ext4");
        run(make.arg("-q").args(options).arg(image)).map(drop)
    }

    fn attach(image: &Path, at: &Path) -> Option<Self> {
        let device = run(std::process::Command::new("losetup").args(["--find", "--show"]).arg(image))?;
        let flags = rustix::mount::MountFlags::empty();
        if let Err(errno) = rustix::mount::mount(&*device, at, "ext4", flags, None) {
            skipped(errno);
            run(std::process::Command::new("losetup").args(["--detach", &device]));
            return None;
        }
        Some(Self { device, _mounted: Mounted(at.to_owned()) })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Detached once it is no longer mounted.
        let _done = run(std::process::Command::new("losetup").args(["--detach", &self.device]));
    }
}

/// Its output, or a reason to skip.
fn run(command: &mut std::process::Command) -> Option<String> {
    match command.output() {
        Ok(out) if out.status.success() => Some(String::from_utf8_lossy(&out.stdout).trim().to_owned()),
        Ok(out) => {
            skipped(String::from_utf8_lossy(&out.stderr));
            None
        }
        Err(error) => {
            skipped(error);
            None
        }
    }
}

#[tokio::test]
async fn c71_the_file_system_is_known_by_itself_and_not_by_its_device() {
    let temp = tempfile::tempdir().expect("a directory");
    let at = |path: &str| temp.path().join(path);
    std::fs::create_dir(at("root")).expect("mkdir");
    let Some(()) = Disk::make(&at("one"), &["-I", "256"]) else { return };
    let Some(()) = Disk::make(&at("two"), &["-I", "128"]) else { return };
    let dir = directory(&at("root"));
    let Some(disk) = Disk::attach(&at("one"), &at("root")) else { return };
    std::fs::write(at("root/f"), "x").expect("write");
    let (one, fine) = dir.root().await.expect("root");
    assert!(one.filesystem.is_some());
    dir.bind(&one);
    drop(disk);

    let disk = Disk::attach(&at("two"), &at("root")).expect("attached before");
    let (two, coarse) = dir.root().await.expect("root");
    assert_eq!(two.inode, one.inode, "only the file system tells them apart");
    assert_eq!(try_walk(&dir, Scope::everything(), keep_all()).await.map_err(|f| f.class), Err(Class::Fatal));
    assert!(coarse > fine, "128-byte inodes keep whole seconds: {coarse:?}, {fine:?}");

    // The other disk holds the first one's device number by now.
    std::fs::create_dir(at("again")).expect("mkdir");
    let moved = directory(&at("again"));
    moved.bind(&one);
    let _again = Disk::attach(&at("one"), &at("again")).expect("attached before");
    assert_eq!(moved.root().await.expect("root"), (one, fine));
    let found = walk(&moved, Scope::everything()).await;
    assert_eq!(found, ["f present 1"]);
    drop(disk);
}
