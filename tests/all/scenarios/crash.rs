//! `kill -9` at random moments.

use crate::support::scene::{PREFIX, Scene, content};
use s3mirrord::embedded::{Kind, Rule};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// Changes files below a root until it is told to stop. Every file is made in one step, so that each of its
/// contents is known.
struct Writer {
    root: PathBuf,
    spare: PathBuf,
    random: fastrand::Rng,
    /// MD5 of every content that a file ever had.
    ever: BTreeSet<String>,
}

impl Writer {
    fn change(&mut self) {
        let random = &mut self.random;
        let name = |random: &mut fastrand::Rng| {
            let (dir, file) = (random.u8(0..3), random.u8(0..12));
            if file == 0 { format!("large {dir}") } else { format!("{dir}/{file}") }
        };
        let path = self.root.join(name(random));
        match random.u8(0..10) {
            0 => drop(fs::remove_file(path)),
            1 => {
                let to = self.root.join(name(random));
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                let _ = fs::rename(path, to);
            }
            2 => {
                let (dir, to) = (random.u8(0..3).to_string(), random.u8(3..6).to_string());
                let _ = fs::remove_dir_all(self.root.join(&to));
                let _ = fs::rename(self.root.join(dir), self.root.join(to));
            }
            _ => {
                let large = path.to_string_lossy().contains("large");
                let size = if large { random.usize(8 << 20..18 << 20) } else { random.usize(0..20_000) };
                let mut bytes = vec![random.u8(..); size];
                let seed = random.u64(..).to_le_bytes();
                let at = size.min(seed.len());
                bytes[..at].copy_from_slice(&seed[..at]);
                self.ever.insert(content(&bytes).0);
                fs::write(&self.spare, bytes).unwrap();
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::rename(&self.spare, path).unwrap();
            }
        }
    }

    fn begin(root: &Path, spare: PathBuf, seed: u64) -> (thread::JoinHandle<Self>, Arc<AtomicBool>) {
        let random = fastrand::Rng::with_seed(seed);
        let mut writer = Self { root: root.to_owned(), spare, random, ever: BTreeSet::new() };
        let enough = Arc::new(AtomicBool::new(false));
        let told = enough.clone();
        let thread = thread::spawn(move || {
            while !told.load(Relaxed) {
                writer.change();
                thread::sleep(Duration::from_millis(writer.random.u64(0..20)));
            }
            writer
        });
        (thread, enough)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c55_c65_twenty_crashes_under_load_lose_nothing_and_leave_no_upload_open() {
    let quick = "max_delete = \"off\"\ndelete_grace = \"200ms\"\n\
                 debounce = { quiet = \"20ms\", longest = \"200ms\" }";
    let Some(mut scene) = Scene::with(quick).await else { return };
    scene.outsider.keep_versions().await;
    let faults = scene.bench.server.faults();
    faults.add(Rule::new(Kind::Latency(Duration::from_millis(60))).operation("UploadPart"));
    faults.add(Rule::new(Kind::Latency(Duration::from_millis(30))).operation("CompleteMultipartUpload"));
    faults.add(Rule::new(Kind::Latency(Duration::from_millis(10))).operation("PutObject"));
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut ever = BTreeSet::new();
    for round in 0..20 {
        let spare = scene.bench.dir.path().join("spare");
        let (writer, enough) = Writer::begin(&scene.bench.root, spare, random.u64(..));
        if round == 0 {
            scene.start();
        }
        tokio::time::sleep(Duration::from_millis(random.u64(100..1500))).await;
        scene.kill().await;
        scene.start();
        if round % 4 == 3 {
            // again, while it takes up what the first left
            tokio::time::sleep(Duration::from_millis(random.u64(0..400))).await;
            scene.kill().await;
            scene.start();
        }
        enough.store(true, Relaxed);
        ever.extend(writer.join().unwrap().ever);
        scene.in_sync().await;
    }
    scene.stop().await;
    let versions = scene.outsider.versions(PREFIX).await;
    assert!(versions.iter().any(|(name, _)| name.starts_with(b"large")), "{versions:?}");
    // the markers of directories apart
    for (name, md5) in versions.into_iter().filter(|(name, _)| !name.ends_with(b"/")) {
        assert!(ever.contains(&md5), "{} was visible with a content no file had", name.escape_ascii());
    }
}
