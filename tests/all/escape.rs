//! A corpus of hostile keys, written to the bucket by another client, and links planted in the target: nothing appears
//! outside, nothing is overwritten, each is told by its name, and the good ones come back.
//!
//! Every way to be bad is put into every place of a name that it can have. What is expected is written beside it here, and
//! not asked of the code that is tried.

use crate::{
    restore::{restore, walk},
    support::bench::Bench,
};
use futures::{StreamExt, stream};
use s3mirrord::model::Key;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, symlink},
    },
    path::{Path, PathBuf},
};

const DRAFT: &str = ".s3mirrord-0123456789abcdef01234567.part";

/// Keys of objects, and the names that they are to have; `None`: none, and that is told.
#[derive(Default)]
struct Corpus {
    keys: BTreeMap<String, Option<Vec<u8>>>,
    /// Of which nobody is told: they are ours.
    ours: BTreeSet<String>,
}

impl Corpus {
    fn bad(&mut self, key: impl Into<String>) {
        self.keys.insert(key.into(), None);
    }

    /// One that is spelled as it is named.
    fn good(&mut self, key: impl Into<String>) {
        let key = key.into();
        let name = key.clone().into_bytes();
        self.keys.insert(key, Some(name));
    }

    fn named(&mut self, key: &str, name: &[u8]) {
        self.keys.insert(key.to_owned(), Some(name.to_owned()));
    }
}

/// Components that no file can have, by themselves or by what they are decoded to, and spellings that are not the codec's.
fn components() -> Vec<String> {
    let mut all: Vec<String> = [
        ".",
        "..",
        "\u{FF0E}",
        "\u{FF0E}\u{FF0E}",
        "\u{201B}2E",
        "\u{201B}2E\u{201B}2E",
        ".\u{201B}2E",
        "\u{201B}2E.",
        "\u{201B}.",
        "\u{201B}.\u{201B}.",
        "\u{2400}",
        "a\u{2400}b",
        "\u{201B}00",
        "\u{FF0F}",
        "\u{FF0F}etc\u{FF0F}passwd",
        "..\u{FF0F}..\u{FF0F}x",
        "\u{201B}2Fetc",
        "..\u{201B}2F..\u{201B}2Fx",
        "\u{FF0E}\u{FF0E}\u{FF0F}x",
        "\u{201B}41",
        "\u{201B}C3\u{201B}A9",
        "\u{201B}ff",
        "\u{201B}x",
        "x\u{201B}",
        "\u{201B}",
        "\u{201B}+2",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push("x".repeat(256));
    all.push("é".repeat(128));
    all.push("x".repeat(900));
    all
}

fn corpus() -> Corpus {
    let mut corpus = Corpus::default();
    // each component in each place; the places have names of their own, so that none is in another's way
    for (n, bad) in components().iter().enumerate() {
        let places = [
            bad.clone(),
            format!("{bad}/x"),
            format!("s{n}/{bad}"),
            format!("s{n}/{bad}/x"),
            format!("s{n}/a/{bad}/{bad}/x"),
            format!("{bad}/{bad}/x{n}"),
            format!("s{n}/{bad}/../{bad}"),
        ];
        places.into_iter().filter(|key| key.len() < 1000).for_each(|key| corpus.bad(key));
    }
    // empty components
    for key in [
        "/", "//", "///", "/x", "//x", "e//x", "e///x", "e//", "e/y//z/", "/e/x", "/../x", "e//../x",
        "//e//x//",
    ] {
        corpus.bad(key);
    }
    // up, from every depth to every height
    for depth in 0..5 {
        for up in 1..8 {
            let key = format!("{}{}escaped-{depth}-{up}", "u/".repeat(depth), "../".repeat(up));
            corpus.bad(format!("/{key}"));
            corpus.bad(key.clone());
            corpus.bad(key.replace("../", ".././"));
        }
    }
    corpus.bad(format!("{}tmp/escaped", "../".repeat(60)));
    for place in ["tmp", "var/tmp", "dev/shm", "proc/self/root/tmp"] {
        corpus.bad(format!("/{place}/escaped"));
        corpus.bad(format!("../../../../../../../../{place}/escaped"));
    }
    // names of ours: of a file that is not whole, at the end; of what is no file's
    corpus.bad(DRAFT);
    corpus.bad(format!("drafts/{DRAFT}"));
    corpus.good(format!("drafts/{DRAFT}/x"));
    corpus.bad(".s3mirrord");
    corpus.good("inner/.s3mirrord/owner.json");
    for name in ["x", "trash/2026-11-29/a.115013Z-0123456789abcdef", "../escaped", "a//b"] {
        corpus.ours.insert(format!(".s3mirrord/{name}"));
    }
    // what looks bad, and is a name as any
    for (n, odd) in [
        "...",
        "....",
        ".. ",
        " ..",
        "..x",
        "x..",
        ".x",
        "..\\x",
        "\\..\\x",
        "%2e%2e",
        "..%2fx",
        "%00",
        "~",
        "-rf",
        "$HOME",
        "`id`",
        "CON",
        "a:b",
        "*",
        "?",
        "\u{2024}\u{2024}",
        "\u{FF0E}\u{FF0E}\u{FF0E}",
        "\u{FF0E}x",
        "\u{2215}etc",
        "\u{29F8}x",
    ]
    .iter()
    .enumerate()
    {
        corpus.good(format!("odd{n}/{odd}"));
        corpus.good(format!("odd{n}b/{odd}/x"));
    }
    // twins, which only file systems that fold take for one
    for name in [
        "Twin", "twin", "TWIN", "\u{E9}", "e\u{301}", "\u{FB01}", "fi", "\u{DF}", "ss", "\u{212B}", "\u{C5}",
        "x", "x ", "x.",
    ] {
        corpus.good(format!("twins/{name}"));
    }
    // control characters, what terminals obey, and what only looks like nothing
    for c in (1..0x20).chain(0x7F..0xA0).filter_map(char::from_u32) {
        corpus.good(format!("control/{c}x"));
        corpus.good(format!("control/x{c}y/z"));
    }
    for (n, text) in [
        "\x1b[2J\x1b[H",
        "\x1b]0;title\x07",
        "\x1b[31mred",
        "\x1bP\x1b\\",
        "\u{9B}31m",
        "\r\nforged line",
        "\x08\x08\x08",
        "a\0b",
    ]
    .iter()
    .enumerate()
    {
        match text.contains('\0') {
            true => corpus.bad(format!("escape{n}/{text}")),
            false => corpus.good(format!("escape{n}/{text}")),
        }
    }
    for c in ['\u{202E}', '\u{200B}', '\u{FEFF}', '\u{2028}', '\u{FFFD}', '\u{E000}', '\u{10FFFD}', '\u{AD}']
    {
        corpus.good(format!("unseen/{c}x"));
    }
    // quoted bytes, one by one, and quoted characters
    for byte in 0x80..=0xFF_u8 {
        corpus.named(&format!("bytes/\u{201B}{byte:02X}"), &[b"bytes/".as_slice(), &[byte]].concat());
    }
    for c in ['\u{2400}', '\u{FF0F}', '\u{201B}', '\u{FF0E}'] {
        corpus.named(&format!("quoted/\u{201B}{c}"), format!("quoted/{c}").as_bytes());
    }
    // as long as a name may be, and as deep
    corpus.good(format!("long/{}", "x".repeat(255)));
    corpus.good(format!("{}x", "d/".repeat(500)));
    corpus
}

/// What has to change where something is touched: inode, mode, links, time, content.
type Look = (u64, u32, u64, i64, Option<Vec<u8>>);

/// Everything below a directory, but for what lies below `but`: as it would have to change to be touched.
fn state(dir: &Path, but: &[&Path]) -> BTreeMap<PathBuf, Look> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if but.contains(&path.as_path()) {
            continue;
        }
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            all.extend(state(&path, but));
        }
        let body = meta.is_file().then(|| fs::read(&path).unwrap());
        all.insert(path, (meta.ino(), meta.mode(), meta.nlink(), meta.mtime(), body));
    }
    all
}

/// Links of every sort, each by its name in the target.
fn plant(out: &Path, outside: &Path) -> Vec<&'static str> {
    let links = [
        ("to-dir", outside.to_owned()),
        ("to-rel", "../outside".into()),
        ("to-file", outside.join("victim")),
        ("to-rel-file", "../outside/victim".into()),
        ("to-new", outside.join("new")),
        ("to-nowhere", "/no/such/place".into()),
        ("to-itself", "to-itself".into()),
        // what is wrong with us is to show in a directory of the test
        ("to-root", Path::new("/proc/self/root").join(outside.strip_prefix("/").unwrap())),
        ("to-here", ".".into()),
        ("to-up", "..".into()),
        ("to-good", "good".into()),
        ("to-inner", "inner-dir".into()),
        ("to-proc", Path::new("/proc/self/cwd").join("no-such-place")),
        ("chain-1", "chain-2".into()),
        ("chain-2", "inner-dir/chain-3".into()),
        ("inner-dir/chain-3", "../to-dir".into()),
        ("inner-dir/to-up", "../../outside".into()),
        ("inner-dir/to-file", outside.join("victim")),
    ];
    fs::create_dir_all(out.join("inner-dir")).unwrap();
    links
        .map(|(name, aim)| {
            symlink(aim, out.join(name)).unwrap();
            name
        })
        .to_vec()
}

async fn put_all(bench: &Bench, keys: impl Iterator<Item = &String>) -> BTreeSet<String> {
    let puts = stream::iter(keys.cloned().collect::<Vec<_>>()).map(|key| async move {
        let put = bench.client().put_object().bucket("backups").key(format!("www/{key}"));
        // some of them no client can write
        put.body(b"hostile".to_vec().into()).send().await.is_ok().then_some(key)
    });
    puts.buffer_unordered(32).filter_map(std::future::ready).collect().await
}

/// What a key is called when it is told of: the name of its file or, if none can have it, itself.
fn told_as(key: &str) -> String {
    let path = Key::raw(key).path();
    path.map_or_else(|| key.to_owned(), |path| String::from_utf8_lossy(path.as_bytes()).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c69_of_hundreds_of_hostile_keys_none_leads_out_and_each_is_told() {
    let bench = Bench::new().await;
    bench.write("good", "good");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let (out, outside) = (bench.dir.path().join("out"), bench.dir.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "untouched").unwrap();
    let mut corpus = corpus();
    for link in plant(&out, &outside) {
        for below in ["", "/x", "/victim", "/a/b/c", "/outside/x"] {
            corpus.bad(format!("{link}{below}"));
        }
    }
    // what is no link, and in the way as well
    fs::create_dir(out.join("is-dir")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        out.join("is-fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fs::write(out.join("is-file"), "mine").unwrap();
    ["is-dir", "is-fifo", "is-fifo/x", "is-file/x", "is-file/x/y"].iter().for_each(|key| corpus.bad(*key));
    let written = put_all(&bench, corpus.keys.keys().chain(&corpus.ours)).await;
    let bad: BTreeSet<_> = written.iter().filter(|key| corpus.keys.get(*key) == Some(&None)).collect();
    let good: BTreeMap<_, _> = corpus
        .keys
        .iter()
        .filter(|(key, _)| written.contains(*key))
        .filter_map(|(key, name)| Some((key, name.as_ref()?)))
        .collect();
    assert!(bad.len() > 300 && good.len() > 250, "{} {}", bad.len(), good.len());
    // a file and a directory of one name: one of the two, whichever
    for n in 0..8 {
        for key in [format!("www/both{n}"), format!("www/both{n}/x")] {
            bench.put(&key, "hostile").await;
        }
    }
    let (state_dir, config) = (bench.state(), bench.config());
    let but = [out.as_path(), &state_dir, &config];
    let before = state(bench.dir.path(), &but);
    let links = |out: &Path| -> BTreeMap<_, _> {
        let all = walk(out).into_iter().filter(|path| path.symlink_metadata().unwrap().is_symlink());
        all.map(|path| (path.clone(), fs::read_link(path).unwrap())).collect()
    };
    let planted = links(&out);
    assert_eq!(planted.len(), 18);
    for words in [&["--dry-run"][..], &[], &["--overwrite", "always", "--owner", "--special"]] {
        let ran = restore(&bench, &out, words).await;
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        // each by its name, and no good one
        let mut failed = BTreeMap::new();
        for event in ran.events("action").iter().filter(|event| event["outcome"] == "failed") {
            assert!(event["error"].as_str().is_some_and(|why| !why.is_empty()), "{event}");
            *failed.entry(event["path"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        let rehearsed = words.contains(&"--dry-run");
        let both: Vec<_> = failed.keys().filter(|name| name.starts_with("both")).cloned().collect();
        assert_eq!(both.len(), if rehearsed { 0 } else { 8 }, "{both:?}");
        failed.retain(|name, _| !name.starts_with("both"));
        let mut want = BTreeMap::new();
        bad.iter().for_each(|key| *want.entry(told_as(key)).or_insert(0) += 1);
        if rehearsed {
            // what stands in the way is found when it is in the way
            failed.retain(|name, _| want.contains_key(name));
            want.retain(|name, _| failed.contains_key(name));
        }
        assert!(
            failed == want,
            "missing {:?}\nbesides {:?}",
            want.iter().filter(|(k, _)| !failed.contains_key(*k)).collect::<Vec<_>>(),
            failed.iter().filter(|(k, _)| !want.contains_key(*k)).collect::<Vec<_>>()
        );
        assert!(state(bench.dir.path(), &but) == before, "something changed outside of the target");
        assert_eq!(links(&out), planted, "a link was replaced");
        for ours in ["owner.json", "x", "trash"] {
            assert!(!out.join(".s3mirrord").join(ours).exists(), "{ours}");
        }
        if rehearsed {
            assert!(!out.join("good").exists());
            continue;
        }
        for (key, name) in &good {
            let body = fs::read(out.join(OsStr::from_bytes(name)));
            assert_eq!(body.ok().as_deref(), Some(&b"hostile"[..]), "{key:?}");
        }
        assert_eq!(fs::read(out.join("good")).unwrap(), b"good");
        assert_eq!(fs::read(out.join("is-file")).unwrap(), b"mine");
        let files = walk(&out).into_iter().filter(|path| path.symlink_metadata().unwrap().is_file()).count();
        assert_eq!(files, good.len() + 8 + 2, "and nothing else");
    }
}

/// Whoever reads what is told is told by us, and not by a name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_says_anything_to_a_terminal() {
    let bench = Bench::new().await;
    let corpus = corpus();
    let written = put_all(&bench, corpus.keys.keys()).await;
    assert!(written.iter().filter(|key| key.contains(char::is_control)).count() > 100);
    let out = bench.dir.path().join("out");
    let to = out.to_str().unwrap();
    for words in [
        &["restore", "--to", to][..],
        &["restore", "-v", "--to", to],
        &["restore", "--json", "--dry-run", "--to", to],
    ] {
        let ran = bench.run(words).await;
        assert_eq!(ran.code, 1);
        for (what, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
            let obeyed: BTreeSet<_> = text.chars().filter(|c| c.is_control() && *c != '\n').collect();
            assert!(obeyed.is_empty(), "{words:?} {what}: {obeyed:?}");
            assert!(text.lines().all(|line| !line.starts_with("forged")), "{words:?} {what}");
        }
    }
}
