//! Files that do not rest, and what of them is ever visible.

use crate::support::{
    bench::{Bench, PATIENCE},
    scene::{PREFIX, Scene, content},
};
use md5::{Digest, Md5};
use std::{
    collections::BTreeSet,
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};

const PAGE: usize = 4096;

/// A thread that writes until it is told to stop, and then tells the MD5 of every state that its file had.
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<String>>,
}

impl Writer {
    pub(super) fn start(work: impl FnOnce(&AtomicBool) -> BTreeSet<String> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        Self { stop, thread: std::thread::spawn(move || work(&told)) }
    }

    /// Appends a line each millisecond to so many bytes.
    fn log(path: PathBuf, first: usize) -> Self {
        // one long write is not to be seen in the midst
        let (aside, beginning) = (path.with_extension("aside"), vec![b'x'; first]);
        std::fs::write(&aside, &beginning).unwrap();
        std::fs::rename(aside, &path).unwrap();
        Self::start(move |stop| {
            let mut file = File::options().append(true).open(path).unwrap();
            let (mut digest, mut len) = (Md5::new_with_prefix(&beginning), first);
            let mut states = BTreeSet::from([content(&beginning).0]);
            for n in 0.. {
                let line = format!("{n}: and something more\n").into_bytes();
                // a write may be seen page by page
                let (here, next) = line.split_at((PAGE - len % PAGE).min(line.len()));
                for piece in [here, next] {
                    digest.update(piece);
                    states.insert(hex::encode(digest.clone().finalize()));
                }
                len += line.len();
                file.write_all(&line).unwrap();
                if stop.load(Relaxed) {
                    break;
                }
                sleep(Duration::from_millis(1));
            }
            states
        })
    }

    /// Stamps block after block with the number of the round, in place; the pause after each round is this, times 0 to 3.
    pub(super) fn rewriter(path: PathBuf, pause: Duration) -> Self {
        const BLOCK: usize = 16 << 10;
        Self::start(move |stop| {
            let file = File::create(path).unwrap();
            let mut body = vec![0_u8; 16 * BLOCK];
            let mut states = BTreeSet::new();
            file.write_all_at(&body, 0).unwrap();
            for round in 0_u64.. {
                for (n, block) in
                    body.chunks(BLOCK).enumerate().map(|(n, _)| (n, n * BLOCK)).collect::<Vec<_>>()
                {
                    let stamp = (round * 100 + n as u64).to_le_bytes();
                    body[block..block + BLOCK].chunks_mut(8).for_each(|word| word.copy_from_slice(&stamp));
                    states.insert(content(&body).0);
                    file.write_all_at(&body[block..block + BLOCK], block as u64).unwrap();
                }
                if stop.load(Relaxed) {
                    break;
                }
                sleep(pause * (round % 4) as u32);
            }
            states
        })
    }

    /// Writes in place without any rest. Where other threads took its time, the file did rest, as it was then: that is a
    /// state to be remembered, and so is the last.
    fn restless(path: PathBuf) -> Self {
        const SIZE: u64 = 4 << 20;
        const REST: Duration = Duration::from_millis(1);
        let (aside, mut body) = (path.with_extension("aside"), vec![0; SIZE as usize]);
        std::fs::write(&aside, &body).unwrap();
        let (mut states, mut begun) = (BTreeSet::from([content(&body).0]), Instant::now());
        std::fs::rename(aside, &path).unwrap();
        Self::start(move |stop| {
            let file = File::options().write(true).open(path).unwrap();
            for n in (0_u64..).take_while(|_| !stop.load(Relaxed)) {
                // since the last write, or from the middle of it on
                if begun.elapsed() > REST {
                    states.insert(content(&body).0);
                }
                let at = n * 7919 * 8 % SIZE;
                begun = Instant::now();
                file.write_all_at(&n.to_le_bytes(), at).unwrap();
                // until the middle of this one
                if begun.elapsed() > REST {
                    states.insert(content(&body).0);
                }
                body[at as usize..][..8].copy_from_slice(&n.to_le_bytes());
            }
            states.insert(content(&body).0);
            states
        })
    }

    pub(super) fn stop(self) -> BTreeSet<String> {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

/// The state directory in memory, so that no file is cloned, wherever the tests run.
fn without_clones(bench: &Bench) -> tempfile::TempDir {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    std::os::unix::fs::symlink(memory.path(), bench.state()).unwrap();
    memory
}

#[tokio::test(flavor = "multi_thread")]
async fn c25_c26_every_version_of_a_restless_file_is_a_state_that_it_had() {
    let lines = "debounce = { quiet = \"50ms\", longest = \"500ms\" }";
    let Some(mut scene) = Scene::with(lines).await else { return };
    let _memory = without_clones(&scene.bench);
    scene.outsider.keep_versions().await;
    scene.start();
    scene.write("before", "it has claimed the prefix");
    scene.in_sync().await;
    let writers = [
        ("log", Writer::log(scene.at("log"), 0)),
        ("large.log", Writer::log(scene.at("large.log"), 9 << 20)),
        ("stamped", Writer::rewriter(scene.at("stamped"), Duration::from_millis(30))),
        ("restless", Writer::restless(scene.at("restless"))),
    ];
    let puts = |scene: &Scene| scene.requests("PutObject") + scene.requests("CompleteMultipartUpload");
    let (begun, before) = (Instant::now(), puts(&scene));
    scene.told("it keeps changing while it is read").await;
    // the large one by parts, and more than once
    let some = || puts(&scene) > before + 4 && scene.requests("CompleteMultipartUpload") > 1;
    scene.until("some uploads", || begun.elapsed() > Duration::from_secs(8) && some()).await;
    let told = scene.log().matches("it keeps changing").count();
    let failing = |told: &serde_json::Value| told["mirrors"][0].to_string().contains("it changed each time");
    scene.bench.await_status("busy", failing).await;
    let states = writers.map(|(name, writer)| (name.as_bytes().to_vec(), writer.stop()));
    scene.in_sync().await;
    scene.stop().await;
    assert!(told <= 3, "told {told} times");
    let versions = scene.outsider.versions(PREFIX).await;
    for (name, had) in &states {
        let of: Vec<_> = versions.iter().filter(|(of, _)| of == name).collect();
        println!("{}: {} states, {} versions", name.escape_ascii(), had.len(), of.len());
        assert!(of.iter().all(|(_, md5)| had.contains(md5)), "torn: {}", name.escape_ascii());
        assert!(of.len() > usize::from(name.ends_with(b"log")), "{}", name.escape_ascii());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c25_c26_a_pass_sends_what_grows_and_tells_what_is_busy() {
    let bench = Bench::new().await;
    let _memory = without_clones(&bench);
    let growing = [("log", 0), ("large.log", 9 << 20)];
    let writers = growing.map(|(name, first)| Writer::log(bench.root.join(name), first));
    bench.write("still", "a file");
    sleep(Duration::from_millis(100));
    let ran = bench.run(&["once", "--json"]).await;
    let sums = ran.summary();
    assert_eq!(
        (ran.code, sums["uploaded"].as_u64(), sums["busy"].as_u64()),
        (0, Some(3), Some(0)),
        "{ran:?}"
    );
    let objects = bench.objects().await;
    for ((name, _), writer) in growing.iter().zip(writers) {
        assert!(writer.stop().contains(&content(objects[*name].as_bytes()).0), "{name}");
    }
    let restless = Writer::restless(bench.root.join("restless"));
    sleep(Duration::from_millis(100));
    let (begun, mut sent) = (Instant::now(), vec![]);
    let sent_last = async || bench.bytes("www/restless").await.map(|bytes| content(&bytes).0);
    let ran = loop {
        let ran = bench.run(&["once", "--json"]).await;
        if ran.summary()["busy"].as_u64() == Some(1) {
            break ran;
        }
        // others took the writer's time, so that the file did rest for as long as it took to read it
        assert!(ran.code == 0 && begun.elapsed() < PATIENCE, "{ran:?}");
        sent.extend(sent_last().await);
    };
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.actions().contains(&("put".into(), "restless".into(), "stale".into())), "{ran:?}");
    assert_eq!(sent_last().await.as_ref(), sent.last(), "its object is as it was");
    let states = restless.stop();
    assert!(sent.iter().all(|sent| states.contains(sent)), "torn");
    // what grew was sent before, as it is by now
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, ran.summary()["uploaded"].as_u64()), (0, Some(1)), "{ran:?}");
    let objects = bench.objects().await;
    for (name, _) in growing {
        assert_eq!(objects[name].as_bytes(), std::fs::read(bench.root.join(name)).unwrap());
    }
}
