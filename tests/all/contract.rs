//! What every `Store` must do, the real one on any server and a fake one alike, so that fakes cannot drift.
//! Starts from an empty prefix and leaves one.

use crate::support::{
    memory::{ATTRIBUTES, MTIME, Memory},
    prepare::Prepare,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use md5::Md5;
use s3mirrord::{
    model::{
        Begun, Capabilities, Checksum, Class, Digest, ETag, Key, KeyRange, MAX_KEY_BYTES, Only, Part,
        RemoteMeta, Said, Spec, Stamp, TRASH, Trashed, Upload, Went,
    },
    store::{BATCH, Depth, Start, Store},
};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

const PART: usize = 8 << 20;

/// What the server can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expect {
    /// What the probe must find.
    pub(crate) capabilities: Capabilities,
    /// Unfinished uploads are listed.
    pub(crate) uploads: bool,
    /// Parts are taken with their checksums: needed for uploads in parts at all.
    pub(crate) parts: bool,
    /// CompleteMultipartUpload is answered as S3 does; else it counts as open, and HEAD tells (case 46). So is
    /// GetBucketVersioning.
    pub(crate) completes: bool,
    /// ListParts is answered as S3 does.
    pub(crate) resumes: bool,
    /// HEAD tells the SHA-256 of what was sent.
    pub(crate) checksums: bool,
    /// Keys may hold a newline.
    pub(crate) newlines: bool,
}

/// Everything in order; panics at the first difference.
pub(crate) async fn run<S: Store>(store: S, faithful: Expect) {
    probes(&store, &faithful).await;
    store.know(faithful.capabilities);
    puts_and_heads(&store, &faithful).await;
    stages_without_a_trace(&store).await;
    refuses_short_files(&store, &faithful).await;
    reads_and_writes(&store).await;
    odd_keys(&store, &faithful).await;
    long_keys(&store).await;
    conditions(&store, &faithful).await;
    copies(&store, &faithful).await;
    keeps(&store, &faithful).await;
    deletes(&store, &faithful).await;
    deletes_together(&store, &faithful).await;
    lists_pages(&store).await;
    if faithful.parts {
        sizes_about_the_threshold(&store, &faithful).await;
        large_objects(&store, &faithful).await;
        uploads_and_aborts(&store, &faithful).await;
        if faithful.resumes {
            upload_stays_open_unless_the_object_is_at_fault(&store).await;
            resumes_what_is_there(&store, &faithful).await;
        }
        terms_are_all_that_is_said(&store).await;
        copies_what_went_up_in_parts(&store, &faithful).await;
        copies_by_parts(&store, &faithful).await;
        keeps_by_parts(&store, &faithful).await;
        many_large_files_at_once(&store, &faithful).await;
    }
    assert_eq!(every_key(&store, "").await, Vec::<String>::new(), "all is clean in the end");
}

fn key(text: &str) -> Key {
    Key::raw(text)
}

async fn put<S: Store>(
    store: &S,
    faithful: &Expect,
    at: &str,
    file: Memory,
    only: Only,
) -> (RemoteMeta, Digest) {
    let spec = file.spec(&format!("own {at}"));
    let (staged, digest) = store.prepare(&key(at), &Arc::new(file), &spec).await.unwrap();
    let meta = match store.commit(staged, only).await {
        Err(open) if !faithful.completes && digest.part_size.is_some() => {
            assert_eq!(open.class, Class::Transient, "{open}");
            store.head(&key(at)).await.unwrap().unwrap().meta
        }
        sure => sure.unwrap(),
    };
    (meta, digest)
}

async fn every<S: Store>(store: &S, below: &str, depth: Depth) -> (Vec<(Key, RemoteMeta)>, Vec<Key>) {
    from(store, below, depth, Start::First).await
}

async fn from<S: Store>(
    store: &S,
    below: &str,
    depth: Depth,
    mut start: Start,
) -> (Vec<(Key, RemoteMeta)>, Vec<Key>) {
    let (mut objects, mut directories) = (Vec::new(), Vec::new());
    loop {
        let page = store.list(&key(below), depth, start).await.unwrap();
        objects.extend(page.objects);
        directories.extend(page.directories);
        start = match page.next {
            Some(token) => Start::Token(token),
            None => return (objects, directories),
        };
    }
}

async fn every_key<S: Store>(store: &S, below: &str) -> Vec<String> {
    every(store, below, Depth::All).await.0.iter().map(|(k, _)| k.as_str().to_owned()).collect()
}

/// Deletes what is there.
async fn clean<S: Store>(store: &S, below: &str) {
    for (key, meta) in every(store, below, Depth::All).await.0 {
        store.delete(&key, &meta.etag).await.unwrap();
    }
    assert!(every_key(store, below).await.is_empty());
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 over the SHA-256s of the parts.
fn composite(bytes: &[u8]) -> [u8; 32] {
    sha256(&bytes.chunks(PART).flat_map(sha256).collect::<Vec<u8>>())
}

/// The ETag of an upload in parts.
fn md5_of_parts(bytes: &[u8]) -> String {
    let all: Vec<u8> = bytes.chunks(PART).flat_map(|part| <[u8; 16]>::from(Md5::digest(part))).collect();
    format!("{}-{}", hex::encode(Md5::digest(all)), bytes.chunks(PART).count())
}

async fn probes<S: Store>(store: &S, faithful: &Expect) {
    let found = store.probe(&key(".s3mirrord/owner")).await.unwrap();
    assert_eq!(found, faithful.capabilities, "what the store honours");
    assert!(every_key(store, "").await.is_empty(), "a probe leaves nothing");
}

async fn puts_and_heads<S: Store>(store: &S, faithful: &Expect) {
    assert_eq!(store.head(&key("put/absent")).await.unwrap(), None);
    for (at, size) in [("put/empty", 0), ("put/a.txt", 1), ("put/deep/er/b.html", 100_000)] {
        let file = Memory::pattern(size, 3).in_short_reads(7_000);
        let bytes = file.bytes().clone();
        let (meta, digest) = put(store, faithful, at, file, Only::Always).await;
        assert_eq!(digest, Digest { sha256: sha256(&bytes), part_size: None });
        assert_eq!(meta.size, size as u64);
        if faithful.capabilities.etag_is_md5 {
            assert_eq!(meta.etag.to_string(), hex::encode(Md5::digest(&bytes)));
        }
        let head = store.head(&key(at)).await.unwrap().unwrap();
        assert_eq!((head.meta.size, &head.meta.etag), (meta.size, &meta.etag));
        assert!(head.meta.modified.is_some_and(|t| t.sec > 1_600_000_000), "Last-Modified is given");
        assert_eq!(head.own, Some(format!("own {at}")));
        assert_eq!((head.sha256, head.part_size), (Some(digest.sha256), None));
        assert_eq!((head.mtime, Said::by(&head).attributes()), (Some(MTIME), Some(ATTRIBUTES)));
        assert!(!head.opaque, "nothing was encrypted");
        if faithful.checksums {
            assert_eq!(head.checksum, Some(Checksum::Sha256(digest.sha256)));
        }
        if size > 0 {
            let (body, read) = store.read(&key(at)).await.unwrap().unwrap();
            assert_eq!((body, read), (bytes, head.meta));
        }
    }
    // an older time, and names that need an encoding in metadata
    let file = Memory::new("old");
    let mut spec = file.spec("mirror äöü \u{201B}");
    spec.mtime = Stamp { sec: -2, nsec: 500_000_000 };
    let (staged, _) = store.prepare(&key("put/old"), &Arc::new(file), &spec).await.unwrap();
    store.commit(staged, Only::Always).await.unwrap();
    let head = store.head(&key("put/old")).await.unwrap().unwrap();
    assert_eq!((head.mtime, head.own), (Some(spec.mtime), Some(spec.own)));
    clean(store, "put/").await;
}

async fn stages_without_a_trace<S: Store>(store: &S) {
    let file = Arc::new(Memory::pattern(10, 1));
    let (staged, _) = store.prepare(&key("stage/a"), &file, &file.spec("o")).await.unwrap();
    assert_eq!(store.head(&key("stage/a")).await.unwrap(), None, "not visible before commit");
    drop(staged);
    assert!(every_key(store, "stage/").await.is_empty());
}

/// Case 28: truncated in mid-upload.
async fn refuses_short_files<S: Store>(store: &S, faithful: &Expect) {
    for size in [0, 10, PART + 10, 2 * PART] {
        if size > PART && !faithful.parts {
            continue;
        }
        let file = Memory::pattern(size, 1);
        let mut spec = file.spec("o");
        spec.size += 1;
        let fault = store.prepare(&key("short/a"), &Arc::new(file), &spec).await.map(|_| ()).unwrap_err();
        assert_eq!(fault.class, Class::Changed, "{fault}");
    }
    assert_eq!(store.head(&key("short/a")).await.unwrap(), None);
    if faithful.uploads {
        assert_eq!(store.uploads(&KeyRange::Under(key("short/"))).await.unwrap(), []);
    }
}

async fn reads_and_writes<S: Store>(store: &S) {
    let at = key(".s3mirrord/owner");
    assert_eq!(store.read(&at).await.unwrap(), None);
    let wrote = store.write(&at, Bytes::from_static(b"{}"), Only::Always).await.unwrap();
    assert_eq!((wrote.size, wrote.modified), (2, None));
    let (body, meta) = store.read(&at).await.unwrap().unwrap();
    assert_eq!((&body[..], &meta.etag), (&b"{}"[..], &wrote.etag));
    assert!(meta.modified.is_some());
    let head = store.head(&at).await.unwrap().unwrap();
    assert_eq!((head.own, head.sha256, head.mtime), (None, None, None));
    clean(store, ".s3mirrord/").await;
}

/// Cases 30 and 44.
async fn odd_keys<S: Store>(store: &S, faithful: &Expect) {
    let mut names = vec![
        "odd/ lead and trail ",
        "odd/a b+c%2B%#?&=;:@!$'()*,[]{}^`|~\"<>\\",
        "odd/caf\u{e9}",
        "odd/\u{201B}FF\u{201B}",
        "odd/tab\tand\u{1}control\u{7f}",
        "odd/a//b",
        "odd/dir/",
        "odd/...",
        "odd/.hidden.",
        "odd/\u{1F980}",
        "odd/%00",
    ];
    if faithful.newlines {
        names.push("odd/new\nline\r");
    }
    for name in &names {
        let (meta, _) = put(store, faithful, name, Memory::new(name.to_string()), Only::Always).await;
        let head = store.head(&key(name)).await.unwrap().unwrap_or_else(|| panic!("{name:?} is there"));
        assert_eq!(head.meta.etag, meta.etag, "{name:?}");
        assert_eq!(store.read(&key(name)).await.unwrap().unwrap().0, name.as_bytes(), "{name:?}");
    }
    let mut want = names.clone();
    want.sort_unstable();
    let mut found = every_key(store, "odd/").await;
    found.sort();
    assert_eq!(found, want);
    for name in &names {
        let head = store.head(&key(name)).await.unwrap().unwrap();
        let spec = Memory::new(name.to_string()).spec("copy");
        let to = format!("copied{}", name.strip_prefix("odd").unwrap());
        store.copy((&key(name), &head.meta.etag), &key(&to), &spec, Only::Always).await.unwrap();
        assert_eq!(store.read(&key(&to)).await.unwrap().unwrap().0, name.as_bytes(), "{to:?}");
    }
    assert_eq!(every_key(store, "copied/").await.len(), names.len());
    clean(store, "odd/").await;
    clean(store, "copied/").await;
}

/// Case 30: refused, for this file alone, before anything is sent.
async fn long_keys<S: Store>(store: &S) {
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let file = Memory::new("x");
    let spec = file.spec("o");
    let fault = store.prepare(&key(&long), &Arc::new(file), &spec).await.map(|_| ()).unwrap_err();
    assert_eq!(fault.class, Class::Permanent, "{fault}");
    assert!(fault.to_string().contains(&long), "it names the file: {fault}");
}

async fn conditions<S: Store>(store: &S, faithful: &Expect) {
    let at = key("only/a");
    let wrong = Only::Match(ETag::new("00000000000000000000000000000000"));
    let (first, _) = put(store, faithful, "only/a", Memory::new("1"), Only::New).await;
    let (second, _) = put(store, faithful, "only/a", Memory::new("2"), Only::Match(first.etag)).await;
    if faithful.capabilities.conditional_put {
        for only in [Only::New, wrong] {
            let file = Memory::new("3");
            let spec = file.spec("o");
            let (staged, _) = store.prepare(&at, &Arc::new(file), &spec).await.unwrap();
            let fault = store.commit(staged, only.clone()).await.unwrap_err();
            assert_eq!(fault.class, Class::Changed, "{fault}");
            let fault = store.write(&at, Bytes::from_static(b"3"), only).await.unwrap_err();
            assert_eq!(fault.class, Class::Changed, "{fault}");
        }
        let gone = Only::Match(second.etag.clone());
        let fault = store.write(&key("only/absent"), Bytes::from_static(b"3"), gone).await.unwrap_err();
        assert_eq!(fault.class, Class::Changed, "what is gone has no tag: {fault}");
    }
    assert_eq!(store.head(&at).await.unwrap().unwrap().meta.etag, second.etag);
    clean(store, "only/").await;
}

/// Cases 23 and 58.
async fn copies<S: Store>(store: &S, faithful: &Expect) {
    let (old, digest) = put(store, faithful, "copy/old.txt", Memory::new("content"), Only::Always).await;
    let (from, to) = (key("copy/old.txt"), key("copy/new.html"));
    let mut spec = Memory::new("content").spec("own new");
    spec.mtime = Stamp { sec: 7, nsec: 7 };
    spec.attributes.mode = 0o100_755;
    spec.sha256 = Some(digest.sha256);
    let wrong = ETag::new("00000000000000000000000000000000");
    let fault = store.copy((&from, &wrong), &to, &spec, Only::Always).await.unwrap_err();
    assert_eq!(fault.class, Class::Changed, "{fault}");
    let fault = store.copy((&key("copy/none"), &old.etag), &to, &spec, Only::Always).await.unwrap_err();
    assert_eq!(fault.class, Class::Changed, "{fault}");
    assert_eq!(store.head(&to).await.unwrap(), None);

    let copied = store.copy((&from, &old.etag), &to, &spec, Only::New).await.unwrap();
    let head = store.head(&to).await.unwrap().unwrap();
    assert_eq!((copied.size, &copied.etag), (7, &head.meta.etag));
    assert_eq!((head.own.as_deref(), head.sha256), (Some("own new"), Some(digest.sha256)));
    assert_eq!((head.mtime, Said::by(&head).attributes()), (Some(spec.mtime), Some(spec.attributes)));
    assert_eq!(store.read(&to).await.unwrap().unwrap().0, "content");
    assert!(store.head(&from).await.unwrap().is_some(), "a copy is no move");

    // onto itself: metadata alone
    spec.mtime = Stamp { sec: -1, nsec: 999_999_999 };
    store.copy((&to, &copied.etag), &to, &spec, Only::Always).await.unwrap();
    let again = store.head(&to).await.unwrap().unwrap();
    assert_eq!((again.mtime, again.sha256), (Some(spec.mtime), Some(digest.sha256)));
    assert_eq!(store.read(&to).await.unwrap().unwrap().0, "content");
    clean(store, "copy/").await;
}

/// Where a copy of the object goes, with another name each time.
fn trashed(at: &str, etag: &ETag, sec: i64) -> Trashed {
    Trashed::new(&key(at), etag, Stamp { sec, nsec: 0 }, "old/", Went::Deleted)
}

/// What goes to the trash has all that it had, and is listed there alone.
async fn keeps<S: Store>(store: &S, faithful: &Expect) {
    let (old, digest) = put(store, faithful, "keep/a+b.txt", Memory::new("content"), Only::Always).await;
    let from = key("keep/a+b.txt");
    let to = trashed("keep/a+b.txt", &old.etag, 1_795_953_013);
    let wrong = ETag::new("00000000000000000000000000000000");
    for (from, etag) in [(&from, &wrong), (&key("keep/none"), &old.etag)] {
        let fault = store.keep((from, etag), &to).await.unwrap_err();
        assert_eq!(fault.class, Class::Changed, "{fault}");
    }
    assert_eq!(every_key(store, TRASH).await, [""; 0]);
    store.keep((&from, &old.etag), &to).await.unwrap();
    store.keep((&from, &old.etag), &to).await.unwrap();
    let to = to.key;
    assert_eq!(every_key(store, TRASH).await, [to.as_str()]);
    assert_eq!(every_key(store, &format!("{TRASH}2026-11-29/")).await, [to.as_str()]);
    let (objects, days) = every(store, TRASH, Depth::Children).await;
    assert_eq!((objects, days), (vec![], vec![key(&format!("{TRASH}2026-11-29/"))]));
    assert_eq!(every_key(store, "keep/").await, ["keep/a+b.txt"]);
    let (was, is) = (store.head(&from).await.unwrap().unwrap(), store.head(&to).await.unwrap().unwrap());
    assert_eq!((is.own.as_deref(), is.sha256), (Some("own keep/a+b.txt"), Some(digest.sha256)));
    assert_eq!((Said::by(&is), is.meta.size), (Said::by(&was), 7));
    assert_eq!(store.read(&to).await.unwrap().unwrap().0, "content");
    assert!(store.clock().is_some_and(|now| now > 1_500_000_000), "{:?}", store.clock());
    if faithful.completes {
        assert!(!store.keeps_versions().await.unwrap());
    }

    // a key that its name does not say
    let long = Trashed::new(&from, &old.etag, Stamp { sec: 1, nsec: 0 }, &"x".repeat(990), Went::Replaced);
    assert!(long.said.is_some());
    store.keep((&from, &old.etag), &long).await.unwrap();
    assert_eq!(store.read(&long.key).await.unwrap().unwrap().0, "content");
    clean(store, TRASH).await;
    assert_eq!(every_key(store, "keep/").await, ["keep/a+b.txt"]);
    clean(store, "keep/").await;
}

/// Case 49, where the store has conditions and where it has not.
async fn deletes<S: Store>(store: &S, faithful: &Expect) {
    let at = key("delete/a");
    for known in [faithful.capabilities, Capabilities { conditional_delete: false, ..faithful.capabilities }]
    {
        store.know(known);
        let (meta, _) = put(store, faithful, "delete/a", Memory::new("1"), Only::Always).await;
        let wrong = ETag::new("00000000000000000000000000000000");
        let fault = store.delete(&at, &wrong).await.unwrap_err();
        assert_eq!(fault.class, Class::Changed, "{fault}");
        assert!(store.head(&at).await.unwrap().is_some());
        store.delete(&at, &meta.etag).await.unwrap();
        assert_eq!(store.head(&at).await.unwrap(), None);
        store.delete(&at, &meta.etag).await.expect("gone is deleted");
    }
    store.know(faithful.capabilities);
}

/// Cases 47 and 49: only where the store keeps what has another tag, and each key for itself.
async fn deletes_together<S: Store>(store: &S, faithful: &Expect) {
    let able = faithful.capabilities.conditional_batch == Some(true);
    assert_eq!(store.batches(&key("batch/a")), able);
    for odd in ["batch/\n", "batch/\r", "batch/\u{1}", "batch/\u{85}"] {
        assert!(!store.batches(&key(odd)), "{odd:?} does not survive XML");
    }
    if !able {
        return;
    }
    let names = ["batch/a", "batch/b c+%&<\"'>\u{e9}\u{201B}FF", "batch/changed"];
    let mut asked = vec![(key("batch/absent"), ETag::new("00000000000000000000000000000000"))];
    for name in names {
        let (meta, _) = put(store, faithful, name, Memory::new(name), Only::Always).await;
        asked.push((key(name), meta.etag));
    }
    put(store, faithful, "batch/changed", Memory::new("by another"), Only::Always).await;
    put(store, faithful, "batch/kept", Memory::new("it was not asked for"), Only::Always).await;
    assert!(asked.iter().all(|(key, _)| store.batches(key)));
    let answers = store.delete_together(&asked).await;
    let classes: Vec<_> =
        answers.iter().map(|(key, said)| (key.as_str(), said.as_ref().map_err(|f| f.class))).collect();
    let want = [
        ("batch/a", Ok(&())),
        ("batch/absent", Ok(&())),
        (names[1], Ok(&())),
        ("batch/changed", Err(Class::Changed)),
    ];
    assert_eq!(classes, want);
    assert_eq!(every_key(store, "batch/").await, ["batch/changed", "batch/kept"]);
    store.know(Capabilities { conditional_batch: None, ..faithful.capabilities });
    clean(store, "batch/").await;
    store.know(faithful.capabilities);
}

/// More than a page of keys; flat and by directory.
async fn lists_pages<S: Store>(store: &S) {
    assert!(every_key(store, "list/").await.is_empty());
    let mut want: Vec<String> = (0..1_010).map(|n| format!("list/{n:04}")).collect();
    want.extend(["list/d/a", "list/d/b/c", "list/d-x", "list/d.y", "list/e/"].map(str::to_owned));
    want.extend(["list/f+ %&=?#", "list/f\u{201B}FF", "list/g/\u{1F600}/x"].map(str::to_owned));
    futures::stream::iter(want.clone())
        .map(|at| async move { store.write(&key(&at), Bytes::from_static(b"x"), Only::Always).await })
        .buffer_unordered(16)
        .try_for_each(|_| async { Ok(()) })
        .await
        .unwrap();
    store.write(&key("list-outside"), Bytes::new(), Only::Always).await.unwrap();
    want.sort();
    assert_eq!(every_key(store, "list/").await, want);
    assert_eq!(every_key(store, "list/d/").await, ["list/d/a", "list/d/b/c"]);
    assert_eq!(every_key(store, "").await.len(), want.len() + 1);

    let mut cuts: Vec<&str> = want[..3].iter().chain(&want[998..]).map(String::as_str).collect();
    cuts.extend(["list/", "list/d/", "list/d", "list/05", "list/f+", "list/g", "list/\u{10FFFF}"]);
    for cut in cuts {
        let beyond = from(store, "list/", Depth::All, Start::After(key(cut))).await.0;
        let beyond: Vec<_> = beyond.iter().map(|(key, _)| key.as_str()).collect();
        let right: Vec<_> = want.iter().map(String::as_str).filter(|key| *key > cut).collect();
        assert_eq!(beyond, right, "after {cut:?}");
    }

    let (objects, directories) = every(store, "list/", Depth::Children).await;
    assert_eq!(objects.len(), 1_010 + 2 + 2);
    assert!(objects.iter().all(|(_, meta)| (meta.size, meta.modified.is_some()) == (1, true)));
    assert_eq!(directories, [key("list/d/"), key("list/e/"), key("list/g/")]);
    let (_, top) = every(store, "", Depth::Children).await;
    assert_eq!(top, [key("list/")]);

    let all = every(store, "list", Depth::All).await.0;
    let fit = all.iter().filter(|(key, _)| store.batches(key)).take(BATCH);
    let fit: Vec<_> = fit.map(|(key, meta)| (key.clone(), meta.etag.clone())).collect();
    if !fit.is_empty() {
        let answers = store.delete_together(&fit).await;
        assert!(fit.len() == BATCH && answers.len() == BATCH && answers.values().all(Result::is_ok));
        assert_eq!(every_key(store, "list").await.len(), all.len() - BATCH);
    }
    futures::stream::iter(all)
        .map(|(key, meta)| async move { store.delete(&key, &meta.etag).await })
        .buffer_unordered(16)
        .try_for_each(|()| async { Ok(()) })
        .await
        .unwrap();
    assert!(every_key(store, "list").await.is_empty());
}

/// Case 31.
async fn sizes_about_the_threshold<S: Store>(store: &S, faithful: &Expect) {
    for (size, parts) in [(PART - 1, None), (PART, None), (PART + 1, Some(2)), (2 * PART, Some(2))] {
        let file = Memory::pattern(size, 9);
        let bytes = file.bytes().clone();
        let (meta, digest) = put(store, faithful, "size/a", file, Only::Always).await;
        let (want, part_size) = match parts {
            None => (sha256(&bytes), None),
            Some(_) => (composite(&bytes), Some(PART as u64)),
        };
        assert_eq!(digest, Digest { sha256: want, part_size }, "{size}");
        assert_eq!((meta.size, meta.etag.parts()), (size as u64, parts), "{size}");
        let head = store.head(&key("size/a")).await.unwrap().unwrap();
        assert_eq!(
            (head.meta.size, head.meta.etag, head.part_size),
            (size as u64, meta.etag.clone(), part_size)
        );
        if faithful.capabilities.etag_is_md5 && parts.is_some() {
            assert_eq!(meta.etag.to_string(), md5_of_parts(&bytes), "the parts are in order");
        }
    }
    clean(store, "size/").await;
}

async fn large_objects<S: Store>(store: &S, faithful: &Expect) {
    let file = Memory::pattern(6 * PART + 12_345, 4).in_short_reads(3 << 20);
    let bytes = file.bytes().clone();
    let (meta, digest) = put(store, faithful, "large/a.bin", file, Only::New).await;
    assert_eq!(digest, Digest { sha256: composite(&bytes), part_size: Some(PART as u64) });
    if faithful.capabilities.etag_is_md5 {
        assert_eq!(meta.etag.to_string(), md5_of_parts(&bytes), "the parts are in order");
    }
    let head = store.head(&key("large/a.bin")).await.unwrap().unwrap();
    assert_eq!((head.own.as_deref(), head.mtime), (Some("own large/a.bin"), Some(MTIME)));
    assert_eq!((head.sha256, head.part_size), (None, Some(PART as u64)));
    if faithful.checksums {
        assert_eq!(head.checksum, Some(Checksum::Sha256OfParts(composite(&bytes))));
    }
    if faithful.capabilities.conditional_put {
        let file = Memory::pattern(PART + 1, 5);
        let spec = file.spec("o");
        let (staged, _) = store.prepare(&key("large/a.bin"), &Arc::new(file), &spec).await.unwrap();
        let fault = store.commit(staged, Only::New).await.unwrap_err();
        assert_eq!(fault.class, Class::Changed, "{fault}");
        assert_eq!(store.head(&key("large/a.bin")).await.unwrap().unwrap().meta.etag, meta.etag);
        if faithful.uploads {
            assert_eq!(store.uploads(&KeyRange::Under(key("large/"))).await.unwrap(), []);
        }
    }
    clean(store, "large/").await;
}

async fn uploads_and_aborts<S: Store>(store: &S, faithful: &Expect) {
    let all = KeyRange::Under(key("up/"));
    let mut created = Vec::new();
    for at in ["up/a b+\u{e9}", "up/a b+\u{e9}x"] {
        let file = Memory::pattern(PART + 1, 1);
        let spec = file.spec("o");
        let upload = store.create(&key(at), &spec).await.unwrap();
        created.push(upload.clone());
        store.fill(Begun { upload, parts: vec![] }, &Arc::new(file), &spec).await.unwrap();
        assert_eq!(store.head(&key(at)).await.unwrap(), None, "not visible before commit");
    }
    assert!(every_key(store, "up/").await.is_empty());
    if faithful.uploads {
        let found = store.uploads(&all).await.unwrap();
        assert_eq!(
            found.iter().map(|u| u.key.as_str()).collect::<Vec<_>>(),
            ["up/a b+\u{e9}", "up/a b+\u{e9}x"]
        );
        assert!(found.iter().all(|upload| upload.initiated.is_some()));
        let ids = |uploads: &[Upload]| uploads.iter().map(|upload| upload.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&found), ids(&created));
        let one = store.uploads(&KeyRange::One(key("up/a b+\u{e9}"))).await.unwrap();
        assert_eq!(one, &found[..1]);
        store.abort(&found[0]).await.unwrap();
        store.abort(&found[0]).await.expect("gone is ended");
        assert_eq!(store.uploads(&all).await.unwrap(), &found[1..]);
    }
    for upload in created {
        store.abort(&upload).await.expect("open or gone, it is ended");
    }
    if faithful.uploads {
        assert_eq!(store.uploads(&all).await.unwrap(), []);
    }
    assert!(every_key(store, "up/").await.is_empty());
}

/// Stages a file that cannot be read beyond `at`.
async fn stage_some<S: Store>(store: &S, name: &str, file: Memory, at: usize, class: Class) {
    let (file, spec) = (file.failing(at, class), Memory::pattern(4 * PART, 1).spec("own up/a"));
    let fault = store.prepare(&key(name), &Arc::new(file), &spec).await.map(|_| ()).unwrap_err();
    assert_eq!(fault.class, class, "{fault}");
}

async fn only_upload<S: Store>(store: &S, name: &str) -> (Upload, Vec<Part>) {
    let mut all = store.uploads(&KeyRange::One(key(name))).await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    let upload = all.remove(0);
    let parts = store.parts(&upload).await.unwrap().expect("it is open");
    (upload, parts)
}

async fn upload_stays_open_unless_the_object_is_at_fault<S: Store>(store: &S) {
    for (class, stays) in [
        (Class::Transient, true),
        (Class::Throttled, true),
        (Class::Changed, false),
        (Class::Missing, false),
        (Class::Permanent, false),
        (Class::Fatal, true),
        (Class::Owned, true),
    ] {
        stage_some(store, "up/a", Memory::pattern(4 * PART, 1), 2 * PART, class).await;
        let open = store.uploads(&KeyRange::One(key("up/a"))).await.unwrap();
        assert_eq!(open.len(), usize::from(stays), "{class:?}");
        for upload in open {
            let parts = store.parts(&upload).await.unwrap().unwrap();
            assert_eq!(parts.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2], "{class:?}");
            store.abort(&upload).await.unwrap();
            assert_eq!(store.parts(&upload).await.unwrap(), None, "it is no more");
        }
    }
}

/// Case 55.
async fn resumes_what_is_there<S: Store>(store: &S, faithful: &Expect) {
    let all = || Memory::pattern(3 * PART + 100, 1);
    // what was sent before, up to where, and what is not to be sent again of it
    let differs = {
        let mut bytes = all().bytes().to_vec();
        bytes[PART + 7] ^= 1;
        Memory::new(bytes)
    };
    for (what, old, upto, kept) in [
        ("nothing", all(), PART - 1, 0),
        ("a part", all(), PART, PART),
        ("three parts", all(), 3 * PART, 3 * PART),
        ("all", all(), usize::MAX, 3 * PART + 100),
        ("a part that differs", differs, 3 * PART, 2 * PART),
        ("of another size", Memory::pattern(2 * PART + 5, 1), usize::MAX, 2 * PART),
    ] {
        let mut spec = all().spec("own up/a");
        spec.size = old.bytes().len() as u64;
        let old = Arc::new(old.failing(upto, Class::Transient));
        // what is staged is not committed, as in a crash
        let staged = store.prepare(&key("up/a"), &old, &spec).await;
        assert_eq!(staged.is_ok(), upto == usize::MAX, "{what}");
        stage_some(store, "up/another", all(), PART, Class::Transient).await;
        let (upload, parts) = only_upload(store, "up/a").await;
        if faithful.checksums {
            let digests: Vec<_> = parts.iter().map(|part| part.sha256.expect("told")).collect();
            let want: Vec<_> = old.bytes().chunks(PART).take(parts.len()).map(sha256).collect();
            assert_eq!(digests, want, "{what}");
        }
        let file = Arc::new(all());
        let (begun, spec) = (Begun { upload, parts }, file.spec("own up/a"));
        let (staged, digest) = store.fill(begun, &file, &spec).await.unwrap();
        assert_eq!(file.sent(), 3 * PART + 100 - kept, "{what}");
        assert_eq!(digest, Digest { sha256: composite(file.bytes()), part_size: Some(PART as u64) });
        assert_eq!(store.head(&key("up/a")).await.unwrap(), None, "not visible before commit");
        let meta = match store.commit(staged, Only::New).await {
            Err(open) if !faithful.completes => {
                assert_eq!(open.class, Class::Transient, "{open}");
                store.head(&key("up/a")).await.unwrap().unwrap().meta
            }
            sure => sure.unwrap(),
        };
        let head = store.head(&key("up/a")).await.unwrap().unwrap();
        assert_eq!((meta.size, head.part_size), (3 * PART as u64 + 100, Some(PART as u64)), "{what}");
        assert_eq!((head.own.as_deref(), head.mtime), (Some("own up/a"), Some(MTIME)), "{what}");
        if faithful.capabilities.etag_is_md5 {
            assert_eq!(meta.etag.to_string(), md5_of_parts(file.bytes()), "{what}");
        }
        let (another, its) = only_upload(store, "up/another").await;
        assert_eq!(its.len(), 1, "another's is not touched: {what}");
        store.abort(&another).await.unwrap();
        assert_eq!(store.uploads(&KeyRange::Under(key("up/"))).await.unwrap(), []);
        clean(store, "up/").await;
    }
    // one that is no more is nothing to go on with: that may pass
    stage_some(store, "up/a", all(), PART, Class::Transient).await;
    let (upload, parts) = only_upload(store, "up/a").await;
    store.abort(&upload).await.unwrap();
    let spec = all().spec("own up/a");
    let fault = store.fill(Begun { upload, parts }, &Arc::new(all()), &spec).await.map(|_| ()).unwrap_err();
    assert_eq!(fault.class, Class::Transient, "{fault}");
}

async fn terms_are_all_that_is_said<S: Store>(store: &S) {
    let spec = Memory::pattern(4 * PART, 1).spec("o");
    let said = store.terms(&key("terms.html"), &spec);
    assert_eq!(store.terms(&key("terms.html"), &spec), said, "the same each time");
    let mut others = vec![];
    for change in 0..5 {
        let mut other = spec.clone();
        match change {
            0 => other.mtime.nsec += 1,
            1 => other.attributes.mode ^= 1,
            2 => other.attributes.uid += 1,
            3 => other.attributes.gid += 1,
            _ => other.own.push('x'),
        }
        others.push(store.terms(&key("terms.html"), &other));
    }
    others.push(store.terms(&key("terms.jpg"), &spec));
    assert!(!others.contains(&said), "{others:?}");
}

async fn copies_what_went_up_in_parts<S: Store>(store: &S, faithful: &Expect) {
    let (old, digest) = put(store, faithful, "parts/a", Memory::pattern(PART + 5, 1), Only::Always).await;
    let mut spec = Memory::new("").spec("o");
    (spec.size, spec.sha256, spec.part_size) = (old.size, Some(digest.sha256), digest.part_size);
    let copied = store.copy((&key("parts/a"), &old.etag), &key("parts/b"), &spec, Only::New).await.unwrap();
    let head = store.head(&key("parts/b")).await.unwrap().unwrap();
    assert_eq!((copied.size, &copied.etag), (old.size, &head.meta.etag));
    assert_eq!((head.sha256, head.part_size), (Some(digest.sha256), digest.part_size));
    clean(store, "parts/").await;
}

/// Case 56: what is too large to be copied in one request. The store is set to copy twice a part at most.
async fn copies_by_parts<S: Store>(store: &S, faithful: &Expect) {
    let bytes = Memory::pattern(2 * PART + 5, 1);
    let (old, digest) =
        put(store, faithful, "splice/a", Memory::pattern(2 * PART + 5, 1), Only::Always).await;
    let (from, to) = (key("splice/a"), key("splice/b.html"));
    let mut spec = Memory::new("").spec("own b");
    (spec.size, spec.sha256, spec.part_size) = (old.size, Some(digest.sha256), digest.part_size);
    spec.attributes.mode = 0o100_755;
    assert_eq!(store.copy_part_size(&Spec { size: 2 * PART as u64, ..spec.clone() }), None);
    assert_eq!(store.copy_part_size(&spec), Some(PART as u64));
    let fault = store.copy((&from, &old.etag), &to, &spec, Only::New).await.unwrap_err();
    assert_eq!(fault.class, Class::Permanent, "not in one request: {fault}");

    // of what is gone or another, also when that shows in the middle
    let wrong = ETag::new("00000000000000000000000000000000");
    for (from, etag) in [(&from, &wrong), (&key("splice/none"), &old.etag)] {
        let fault = store.create_copy((from, etag), &to, &spec).await.unwrap_err();
        assert_eq!(fault.class, Class::Changed, "{fault}");
        let upload = store.create_copy((&key("splice/a"), &old.etag), &to, &spec).await.unwrap();
        let fault = store.fill_copy(upload, (from, etag), &spec).await.map(|_| ()).unwrap_err();
        assert_eq!(fault.class, Class::Changed, "{fault}");
    }
    // the object is not what the ledger thinks: where that shows, the copy is none
    if faithful.checksums {
        let upload = store.create_copy((&from, &old.etag), &to, &spec).await.unwrap();
        let other = Spec { sha256: Some([7; 32]), ..spec.clone() };
        let fault = store.fill_copy(upload, (&from, &old.etag), &other).await.map(|_| ()).unwrap_err();
        assert_eq!(fault.class, Class::Permanent, "{fault}");
    }
    if faithful.uploads {
        assert_eq!(store.uploads(&KeyRange::Under(key("splice/"))).await.unwrap(), [], "left open");
    }

    for (to, only, mode) in
        [(&to, Only::New, 0o100_755), (&to, Only::New, 0o100_755), (&from, Only::Always, 0o100_600)]
    {
        spec.attributes.mode = mode;
        let there = store.head(to).await.unwrap();
        let upload = store.create_copy((&from, &old.etag), to, &spec).await.unwrap();
        let staged = store.fill_copy(upload, (&from, &old.etag), &spec).await.unwrap();
        assert_eq!(store.head(to).await.unwrap(), there, "not visible before commit");
        let copied = match store.commit(staged, only.clone()).await {
            Err(refused) if there.is_some() && only == Only::New => {
                assert_eq!(refused.class, Class::Changed, "{refused}");
                continue;
            }
            Err(open) if !faithful.completes => {
                assert_eq!(open.class, Class::Transient, "{open}");
                store.head(to).await.unwrap().unwrap().meta
            }
            sure => sure.unwrap(),
        };
        assert!(there.is_none() || only != Only::New, "the condition was honoured");
        let head = store.head(to).await.unwrap().unwrap();
        assert_eq!((copied.size, &copied.etag), (old.size, &head.meta.etag));
        assert_eq!((head.sha256, head.part_size), (Some(digest.sha256), digest.part_size));
        assert_eq!(
            (head.own.as_deref(), Said::by(&head).attributes()),
            (Some("own b"), Some(spec.attributes))
        );
        if faithful.capabilities.etag_is_md5 {
            assert_eq!(copied.etag.to_string(), md5_of_parts(bytes.bytes()), "the parts are in order");
        }
        if faithful.checksums {
            assert_eq!(head.checksum, Some(Checksum::Sha256OfParts(digest.sha256)));
        }
    }
    if faithful.uploads {
        assert_eq!(store.uploads(&KeyRange::Under(key("splice/"))).await.unwrap(), [], "left open");
    }
    clean(store, "splice/").await;
}

/// Case 56, to the trash.
async fn keeps_by_parts<S: Store>(store: &S, faithful: &Expect) {
    let bytes = Memory::pattern(2 * PART + 5, 1);
    let file = Memory::pattern(2 * PART + 5, 1);
    let (old, digest) = put(store, faithful, "keep/big", file, Only::Always).await;
    let from = key("keep/big");
    let to = trashed("keep/big", &old.etag, 1_795_953_013);
    let wrong = ETag::new("00000000000000000000000000000000");
    let fault = store.keep((&from, &wrong), &to).await.unwrap_err();
    assert_eq!(fault.class, Class::Changed, "{fault}");
    match store.keep((&from, &old.etag), &to).await {
        Err(open) if !faithful.completes => assert_eq!(open.class, Class::Transient, "{open}"),
        sure => sure.unwrap(),
    }
    let to = to.key;
    let head = store.head(&to).await.unwrap().unwrap();
    assert_eq!((head.meta.size, head.part_size), (old.size, digest.part_size));
    assert_eq!(head.own.as_deref(), Some("own keep/big"));
    if faithful.capabilities.etag_is_md5 {
        assert_eq!(head.meta.etag.to_string(), md5_of_parts(bytes.bytes()), "the parts are in order");
    }
    if faithful.uploads {
        assert_eq!(store.uploads(&KeyRange::Under(key(TRASH))).await.unwrap(), [], "left open");
        // one that was left open is found and ended by its key
        let spec = Memory::new("").spec("o");
        let upload = store.create(&to, &spec).await.unwrap();
        let open = store.uploads(&KeyRange::One(to.clone())).await.unwrap();
        assert_eq!(open.iter().map(|u| (&u.key, &u.id)).collect::<Vec<_>>(), [(&to, &upload.id)]);
        store.abort(&upload).await.unwrap();
        assert_eq!(store.uploads(&KeyRange::One(to)).await.unwrap(), []);
    }
    clean(store, TRASH).await;
    clean(store, "keep/").await;
}

/// More bytes at once than the memory budget: all must end.
async fn many_large_files_at_once<S: Store>(store: &S, faithful: &Expect) {
    let each = |n: u8| async move {
        put(store, faithful, &format!("many/{n}"), Memory::pattern(3 * PART, n), Only::Always).await
    };
    let all = futures::future::join_all((0..6).map(each));
    tokio::time::timeout(std::time::Duration::from_secs(120), all).await.expect("no deadlock");
    assert_eq!(every_key(store, "many/").await.len(), 6);
    clean(store, "many/").await;
}
