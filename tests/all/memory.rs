//! What transfers may hold in memory (promise I8), all of them together.

use crate::{
    support::{
        memory::Memory as File,
        prepare::Prepare,
        server::{Answer, Server},
    },
    wire::{is, key, options, parts_until},
};
use bytes::Bytes;
use s3mirrord::{
    model::{Class, Fault, LocalMeta, Only, Source},
    store::{Memory, S3, Store},
};
use sha2::{Digest, Sha256};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::timeout;

const MIB: usize = 1 << 20;

fn completed() -> Answer {
    let text = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
    Answer::new(200, text)
}

async fn upload(store: &S3, name: &str, file: impl Source, size: u64) -> Result<(), Fault> {
    let mut spec = File::new("").spec("o");
    spec.size = size;
    let (staged, _) = store.prepare(&key(name), &Arc::new(file), &spec).await?;
    store.commit(staged, Only::Always).await.map(|_| ())
}

/// What is read and not yet acknowledged never exceeds the limit, whatever the number of mirrors.
#[tokio::test]
async fn bodies_in_flight_stay_within_the_limit() {
    struct Counting(File, Arc<AtomicI64>, Arc<AtomicI64>);
    impl Source for Counting {
        async fn stat(&self) -> Result<LocalMeta, Fault> {
            self.0.stat().await
        }

        async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
            let held = self.1.fetch_add(len as i64, SeqCst) + len as i64;
            self.2.fetch_max(held, SeqCst);
            self.0.read_at(at, len).await
        }
    }
    let (held, most) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let acknowledged = held.clone();
    let server = Server::start(move |_, request| {
        acknowledged.fetch_sub(request.body.len() as i64 * i64::from(request.method == "PUT"), SeqCst);
        parts_until(request, completed)
    })
    .await;
    let mut options = options(server.endpoint());
    (options.threshold, options.part_size, options.concurrency) = (0, MIB as u64 / 2, 8);
    options.memory = Memory::new(4 * MIB as u64);
    let stores = [S3::connect(options.clone()).await.unwrap(), S3::connect(options).await.unwrap()];
    let size = 10 * MIB;
    let uploads = (0..4_u8).map(|n| {
        let file = Counting(File::pattern(size, n), held.clone(), most.clone());
        let store = &stores[usize::from(n % 2)];
        async move { upload(store, &n.to_string(), file, size as u64).await.unwrap() }
    });
    futures::future::join_all(uploads).await;
    assert_eq!(held.load(SeqCst), 0);
    let most = most.load(SeqCst) as usize;
    assert!((3 * MIB..=4 * MIB).contains(&most), "{most}");
}

/// What is staged in memory holds its share until it is committed or discarded.
#[tokio::test]
async fn what_goes_up_in_one_request_holds_memory_too() {
    let server = Server::start(|_, _| Answer::tagged("e")).await;
    let mut options = options(server.endpoint());
    options.memory = Memory::new(MIB as u64);
    let store = S3::connect(options).await.unwrap();
    let file = Arc::new(File::pattern(600 << 10, 1));
    let spec = file.spec("o");
    let (at, (first, second)) = (key("a"), (key("b"), key("c")));
    let (staged, _) = store.prepare(&at, &file, &spec).await.unwrap();
    let mut waiting = std::pin::pin!(store.prepare(&first, &file, &spec));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    drop(staged);
    let (staged, _) = waiting.await.unwrap();
    let mut waiting = std::pin::pin!(store.prepare(&second, &file, &spec));
    assert!(futures::poll!(waiting.as_mut()).is_pending());

    // a small one does not wait for them
    let small = Arc::new(File::pattern(60 << 10, 1));
    let spec_of_small = small.spec("o");
    let aside = timeout(Duration::from_secs(20), store.prepare(&at, &small, &spec_of_small)).await;
    let (aside, _) = aside.expect("it has a share of its own").unwrap();
    store.commit(aside, Only::Always).await.unwrap();

    store.commit(staged, Only::Always).await.unwrap();
    drop(waiting.await.unwrap());
    // more than there is takes all there is
    let large = Arc::new(File::pattern(2 * MIB, 1));
    let (staged, _) = store.prepare(&at, &large, &large.spec("o")).await.unwrap();
    store.commit(staged, Only::Always).await.unwrap();
}

/// A mirror's only file does not wait behind all those of another that came before it.
#[tokio::test]
async fn mirrors_take_turns_for_memory() {
    let server = Server::start(|_, _| Answer::tagged("e")).await;
    let mut options = options(server.endpoint());
    options.memory = Memory::new(MIB as u64);
    let busy = S3::connect(options.clone()).await.unwrap();
    let other = S3::connect(options).await.unwrap();
    let file = Arc::new(File::pattern(600 << 10, 1));
    let (spec, at) = (file.spec("o"), key("a"));
    let (mut holds, _) = busy.prepare(&at, &file, &spec).await.unwrap();
    let mut waiting: Vec<_> = (0..50).map(|_| Box::pin(busy.prepare(&at, &file, &spec))).collect();
    for one in &mut waiting {
        assert!(futures::poll!(one.as_mut()).is_pending());
    }
    let mut only = Box::pin(other.prepare(&at, &file, &spec));
    assert!(futures::poll!(only.as_mut()).is_pending());
    let mut before = 0;
    loop {
        drop(holds);
        tokio::select! { biased;
            staged = &mut only => break drop(staged.unwrap()),
            (staged, _, rest) = futures::future::select_all(std::mem::take(&mut waiting)) => {
                (waiting, before) = (rest, before + 1);
                assert!(before <= 1, "{before} of the other mirror go before it");
                holds = staged.unwrap().0;
            }
        }
    }
}

/// Bytes that are others from the second time on that their first window is read.
struct Turning {
    files: [File; 2],
    from_start: AtomicUsize,
    largest: Arc<AtomicUsize>,
}

impl Source for Turning {
    async fn stat(&self) -> Result<LocalMeta, Fault> {
        self.files[0].stat().await
    }

    async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
        self.largest.fetch_max(len, SeqCst);
        let turn = if at == 0 { self.from_start.fetch_add(1, SeqCst) } else { 0 };
        self.files[turn.min(1)].read_at(at, len).await
    }
}

/// A server that holds parts against the digest they are signed with, and refuses the first one once.
async fn strict() -> Server {
    Server::start(|n, request| {
        let signed = request.headers.get("x-amz-content-sha256");
        let same = signed.is_some_and(|digest| *digest == hex::encode(Sha256::digest(&request.body)));
        match is(request, "PUT", "partNumber") {
            true if n == 1 => Answer::error(503, "SlowDown"),
            true if !same => Answer::error(400, "XAmzContentSHA256Mismatch"),
            _ => parts_until(request, completed),
        }
    })
    .await
}

async fn streaming(server: &Server) -> S3 {
    let mut options = options(server.endpoint());
    (options.threshold, options.part_size, options.max_attempts) = (0, 5 * MIB as u64 + 7, 3);
    options.memory = Memory::new(16 * MIB as u64);
    S3::connect(options).await.unwrap()
}

/// Parts of more than a quarter of the limit are never held whole, and what is sent is still what was hashed.
#[tokio::test]
async fn large_parts_are_read_as_they_are_sent() {
    let (server, size) = (strict().await, 15 * MIB + 3);
    let store = streaming(&server).await;
    let (bytes, largest) = (File::pattern(size, 1), Arc::new(AtomicUsize::new(0)));
    let content = bytes.bytes().clone();
    let file = Turning {
        files: [bytes, File::pattern(size, 1)],
        from_start: AtomicUsize::new(0),
        largest: largest.clone(),
    };
    upload(&store, "a", file, size as u64).await.unwrap();
    assert_eq!(largest.load(SeqCst), MIB);
    let mut parts: Vec<_> = server.seen().into_iter().filter(|r| is(r, "PUT", "partNumber")).collect();
    assert_eq!(parts.len(), 4, "one of the three was tried again");
    parts.sort_by(|a, b| a.target.cmp(&b.target));
    parts.dedup_by(|a, b| a.target == b.target);
    let sent: Vec<u8> = parts.into_iter().flat_map(|part| part.body).collect();
    assert!(sent == content, "the bytes of the file, in order");
}

/// What changes between the two is refused by the store.
#[tokio::test]
async fn c27_a_part_that_changes_before_it_is_sent_is_not_taken() {
    let (server, size) = (strict().await, 12 * MIB);
    let store = streaming(&server).await;
    let file = Turning {
        files: [File::pattern(size, 1), File::pattern(size, 2)],
        from_start: AtomicUsize::new(0),
        largest: Arc::default(),
    };
    let fault = upload(&store, "a", file, size as u64).await.unwrap_err();
    assert_eq!(fault.class, Class::Transient, "to be looked at again: {fault}");
    assert!(fault.cause.contains("XAmzContentSHA256Mismatch"), "{fault}");
    assert!(!server.seen().iter().any(|r| is(r, "POST", "uploadId")), "never completed");
}

/// Nor is what was cut meanwhile, and that is no failure of the store's.
#[tokio::test]
async fn c27_a_part_that_ends_early_when_it_is_sent_is_a_change_of_the_file() {
    let (server, size) = (strict().await, 12 * MIB);
    let store = streaming(&server).await;
    let file = Turning {
        files: [File::pattern(size, 1), File::new("")],
        from_start: AtomicUsize::new(0),
        largest: Arc::default(),
    };
    let fault = upload(&store, "a", file, size as u64).await.unwrap_err();
    assert_eq!(fault.class, Class::Changed, "{fault}");
    assert!(fault.cause.contains("it was cut meanwhile"), "{fault}");
    assert!(!server.seen().iter().any(|r| is(r, "POST", "uploadId")), "never completed");
}
