//! Roots that are mounted: gone, covered, and back, on three kinds of file systems.

use super::*;
use crate::support::skip;
use std::path::{Path, PathBuf};

/// A file system on the root of a bench, in a space of its own.
struct Mounted {
    bench: Bench,
    space: Space,
    /// Mounts it; `$1` is the root, `$2` a directory beside it, which is on another file system than what is above.
    mount: &'static str,
}

const TMPFS: (&str, &str) = ("mount -t tmpfs kept \"$2\"", "mount --bind \"$2\" \"$1\"");
const EXT4: (&str, &str) =
    ("truncate -s 32M \"$2/image\"; mkfs.ext4 -q \"$2/image\"", "mount -o loop \"$2/image\" \"$1\"");
/// On tmpfs, since its upper directory may not lie on an overlay itself.
const OVERLAY: (&str, &str) = (
    "mount -t tmpfs layers \"$2\"; mkdir \"$2/lower\" \"$2/upper\" \"$2/work\"; echo below > \"$2/lower/below\"",
    "mount -t overlay -o \"lowerdir=$2/lower,upperdir=$2/upper,workdir=$2/work\" all \"$1\"",
);

const QUICK: &str = "delete_grace = \"50ms\"\nmax_delete = \"off\"\nrescan = \"1s\"\n\
                     debounce = { quiet = \"20ms\", longest = \"1s\" }";

impl Mounted {
    async fn new(kind: (&str, &'static str)) -> Option<Self> {
        Self::with(kind, QUICK).await
    }

    async fn with((make, mount): (&str, &'static str), lines: &str) -> Option<Self> {
        let space = Space::of_mounts()?;
        let bench = Bench::with(lines).await;
        keep_versions(&bench).await;
        let beside = bench.dir.path().join("beside");
        fs::create_dir(&beside).unwrap();
        // it is not to be seen while the root is mounted, and is there when it is not
        bench.write("stray", "of the directory below the mount");
        let mounted = Self { bench, space, mount };
        let root = mounted.bench.root.clone();
        if !mounted.space.try_do(make, &[&root, &beside]) || !mounted.space.try_do(mount, &[&root, &beside]) {
            skip(&format!("it cannot be mounted here: {mount}"));
            return None;
        }
        Some(mounted)
    }

    fn mount(&self) {
        self.space.run(self.mount, &[&self.bench.root, &self.bench.dir.path().join("beside")]);
    }

    /// As an administrator does: it must not be busy for longer than a moment.
    async fn unmount(&self) {
        let begun = Instant::now();
        while !self.space.try_do("umount \"$1\" 2> /dev/null", &[&self.bench.root]) {
            assert!(begun.elapsed() < PATIENCE, "something keeps it busy");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.space.at(&self.bench.root).join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    async fn status(&self, what: &str, shows: impl Fn(&Value) -> bool) -> Value {
        self.bench.await_status(what, shows).await
    }

    /// Waits until the bucket holds just what is mounted.
    async fn equal(&self) {
        fn contents(dir: &Path, below: &str, all: &mut Vec<(String, String)>) {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let name = format!("{below}{}", entry.file_name().to_str().unwrap());
                match entry.file_type().unwrap().is_dir() {
                    true => contents(&entry.path(), &format!("{name}/"), all),
                    false => all.push((name, fs::read_to_string(entry.path()).unwrap())),
                }
            }
        }
        let mut all = vec![];
        let skips = |name: &str| name.starts_with("lost+found");
        contents(&self.at(""), "", &mut all);
        let all: Vec<_> =
            all.iter().filter(|(name, _)| !skips(name)).map(|(n, t)| (n.as_str(), t.as_str())).collect();
        self.bench.await_objects(&all).await;
    }
}

/// A root that is unmounted and mounted again, as it was or as it was left by somebody meanwhile.
async fn comes_and_goes(kind: (&'static str, &'static str)) {
    let Some(scene) = Mounted::new(kind).await else { return };
    for n in 0..20 {
        scene.write(&format!("d{}/f{n}", n % 3), &format!("{n}"));
    }
    let daemon = start(&scene.bench, &scene.space);
    scene.equal().await;
    scene.status("settled", settled).await;

    scene.unmount().await;
    scene.status("in trouble", says("trouble", &["another directory"])).await;
    // it looks at what is there instead
    until(&scene.bench, "it was looked at", async || scene.bench.objects().await.contains_key("stray")).await;
    assert_eq!(touched(&scene.bench).await, [""; 0]);

    scene.mount();
    fs::remove_file(scene.at("d0/f0")).unwrap();
    scene.write("d1/f1", "changed when it was back");
    scene.write("new", "when it was back");
    // what the bucket lacked was uploaded from the root that was another one; in the true one it is not
    scene.equal().await;
    assert_eq!(touched(&scene.bench).await, ["d0/f0", "d1/f1", "stray"]);
    assert_eq!(deleted(&scene.bench).await, ["d0/f0", "stray"]);
    let told = scene.status("settled", settled).await;
    assert!(mirror(&told)["trouble"].is_null() && mirror(&told)["degraded"].is_null(), "{told}");
    assert_eq!(stop(daemon).await, Some(0));
}

/// Another file system that is mounted over the root, with files of the same names.
#[tokio::test(flavor = "multi_thread")]
async fn c09_a_root_that_is_mounted_over_costs_nothing_and_goes_on_when_it_is_not() {
    let Some(scene) = Mounted::new(TMPFS).await else { return };
    for name in ["both", "d/only below", "d/both"] {
        scene.write(name, "true");
    }
    let daemon = start(&scene.bench, &scene.space);
    scene.equal().await;
    scene.status("settled", settled).await;
    let over = scene.bench.dir.path().join("over");
    fs::create_dir(&over).unwrap();
    fs::write(over.join("both"), "false").unwrap();
    scene.space.run("mount --bind \"$1\" \"$2\"", &[&over, &scene.bench.root]);
    scene.status("in trouble", says("trouble", &["another directory", "s3mirrord approve"])).await;
    scene.write("d/both", "false");
    scene.write("only above", "what the bucket lacks");
    until(&scene.bench, "it was looked at", async || scene.bench.objects().await.contains_key("only above"))
        .await;
    assert_eq!(touched(&scene.bench).await, [""; 0]);
    scene.unmount().await;
    scene.write("d/new", "seen at once");
    fs::remove_file(scene.at("both")).unwrap();
    scene.equal().await;
    scene.status("settled", settled).await;
    assert_eq!(touched(&scene.bench).await, ["both", "only above"]);
    assert_eq!(stop(daemon).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn c09_a_tmpfs_that_is_unmounted_costs_nothing_and_goes_on_when_it_is_back() {
    comes_and_goes(TMPFS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c09_c71_an_ext4_that_is_unmounted_costs_nothing_and_goes_on_when_it_is_back() {
    comes_and_goes(EXT4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c09_an_overlay_that_is_unmounted_costs_nothing_and_goes_on_when_it_is_back() {
    comes_and_goes(OVERLAY).await;
}

/// Of the second mount device, mount id and inode are those of the first, and no watch is left.
#[tokio::test(flavor = "multi_thread")]
async fn c09_a_root_that_is_mounted_again_within_a_moment_is_watched_again() {
    let lines = QUICK.replace("rescan = \"1s\"", "rescan = \"1h\"");
    let Some(mounted) = Mounted::with(EXT4, &lines).await else { return };
    mounted.write("a", "1");
    let daemon = start(&mounted.bench, &mounted.space);
    mounted.status("settled", settled).await;
    mounted.equal().await;
    for n in 0..3 {
        let beside = mounted.bench.dir.path().join("beside");
        let again = "umount \"$1\" 2> /dev/null && mount -o loop \"$2/image\" \"$1\"";
        let begun = Instant::now();
        while !mounted.space.try_do(again, &[&mounted.bench.root, &beside]) {
            assert!(begun.elapsed() < PATIENCE, "something keeps it busy");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let name = format!("after-{n}");
        mounted.write(&name, "written to what nobody watched");
        until(&mounted.bench, "it is seen without a rescan", async || {
            mounted.bench.objects().await.contains_key(&name)
        })
        .await;
        mounted.status("settled", settled).await;
    }
    assert_eq!(stop(daemon).await, Some(0));
}
