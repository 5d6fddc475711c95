//! Files that do not rest, on a file system that clones files: what of them is visible was all there at one moment.

use super::busy::Writer;
use crate::support::{
    scene::{PREFIX, Scene, content},
    skip,
};
use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

/// An XFS of its own. The daemon sees it as a service of systemd does: the root where it cannot write, the state directory
/// on another mount.
struct Disk {
    at: PathBuf,
    mounted: Vec<PathBuf>,
}

impl Disk {
    /// `None`, said, where that cannot be had.
    fn below(dir: &Path, state: &Path, root: &Path) -> Option<Self> {
        let (image, at) = (dir.join("image"), dir.join("disk"));
        File::create(&image).unwrap().set_len(400 << 20).unwrap();
        [&at, state].iter().for_each(|dir| fs::create_dir(dir).unwrap());
        let ran = |program: &str, words: &[&str], paths: &[&Path]| {
            let ran = Command::new(program).args(words).args(paths).output();
            ran.is_ok_and(|ran| ran.status.success())
        };
        if !ran("mkfs.xfs", &["-q", "-m", "reflink=1"], &[&image]) {
            skip("there is no mkfs.xfs (package xfsprogs)");
            return None;
        }
        if !ran("mount", &["-o", "loop"], &[&image, &at]) {
            skip("an XFS cannot be mounted: that takes root");
            return None;
        }
        let mut disk = Self { mounted: vec![at.clone()], at };
        for (name, to) in [("state", state), ("root", root)] {
            fs::create_dir(disk.at.join(name)).unwrap();
            mount_bind(disk.at.join(name), to).unwrap();
            disk.mounted.push(to.to_owned());
        }
        mount_remount(root, MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
        Some(disk)
    }

    /// Where it is written.
    fn root(&self, name: &str) -> PathBuf {
        self.at.join("root").join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for at in self.mounted.iter().rev() {
            let _ = unmount(at, UnmountFlags::DETACH);
        }
    }
}

/// Writes 9 MiB anew, in place and by one call each time, without any pause.
fn image(path: PathBuf) -> Writer {
    let bodies: Vec<_> = (0..8_u64).map(|state| state.to_le_bytes().repeat(9 << 17)).collect();
    fs::write(&path, &bodies[7]).unwrap();
    Writer::start(move |stop| {
        let file = File::options().write(true).open(path).unwrap();
        for body in bodies.iter().cycle() {
            std::os::unix::fs::FileExt::write_all_at(&file, body, 0).unwrap();
            if stop.load(Relaxed) {
                break;
            }
        }
        bodies.iter().map(|body| content(body).0).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn c26_where_files_can_be_cloned_every_version_of_what_is_written_in_place_is_a_state_that_it_had() {
    let lines = "debounce = { quiet = \"50ms\", longest = \"500ms\" }";
    let Some(mut scene) = Scene::with(lines).await else { return };
    let Some(disk) = Disk::below(scene.bench.dir.path(), &scene.bench.state(), &scene.bench.root) else {
        return;
    };
    scene.outsider.keep_versions().await;
    fs::write(disk.root("before"), "it has claimed the prefix").unwrap();
    scene.start();
    scene.in_sync().await;
    let writers = [
        ("stamped", Writer::rewriter(disk.root("stamped"), Duration::ZERO)),
        ("image", image(disk.root("image"))),
    ];
    let (puts, parts) = (scene.requests("PutObject"), scene.requests("CompleteMultipartUpload"));
    let begun = Instant::now();
    scene
        .until("some uploads of each", || {
            let sent =
                (scene.requests("PutObject") - puts, scene.requests("CompleteMultipartUpload") - parts);
            begun.elapsed() > Duration::from_secs(6) && sent.0 >= 4 && sent.1 >= 2
        })
        .await;
    let (sent, time) = (scene.requests("PutObject") - puts, begun.elapsed());
    let states = writers.map(|(name, writer)| (name.as_bytes().to_vec(), writer.stop()));
    scene.in_sync().await;
    scene.stop().await;
    assert!(!scene.log().contains("it keeps changing"), "{}", scene.log());
    // each half second at most, and before that once or twice
    assert!(sent <= time.as_secs() * 2 + 4, "sent {sent} times in {time:?}");
    let versions = scene.outsider.versions(PREFIX).await;
    for (name, had) in &states {
        let of: Vec<_> = versions.iter().filter(|(of, _)| of == name).collect();
        println!("{}: {} states, {} versions", name.escape_ascii(), had.len(), of.len());
        assert!(of.iter().all(|(_, md5)| had.contains(md5)), "torn: {}", name.escape_ascii());
        assert!(of.len() >= 3, "{} versions of {}", of.len(), name.escape_ascii());
    }
    assert_eq!(fs::read_dir(scene.at("")).unwrap().count(), 3, "nothing was written into the root");
}

#[tokio::test(flavor = "multi_thread")]
async fn c26_a_pass_sends_a_clone_of_what_is_written_without_rest() {
    let Some(mut scene) = Scene::new().await else { return };
    let Some(disk) = Disk::below(scene.bench.dir.path(), &scene.bench.state(), &scene.bench.root) else {
        return;
    };
    let writer = image(disk.root("image"));
    std::thread::sleep(Duration::from_millis(100));
    let ran = scene.bench.run(&["once", "--json"]).await;
    let had = writer.stop();
    let sums = ran.summary();
    assert_eq!(
        (ran.code, sums["uploaded"].as_u64(), sums["busy"].as_u64()),
        (0, Some(1), Some(0)),
        "{ran:?}"
    );
    assert!(had.contains(&scene.outsider.read(PREFIX).await[&b"image"[..]].0), "torn");
    fs::write(disk.root("image"), "it rests").unwrap();
    let ran = scene.bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, ran.summary()["uploaded"].as_u64()), (0, Some(1)), "{ran:?}");
}
