//! `ls`: what the bucket holds, by the names of the files.

use crate::support::bench::{Bench, Ran};
use s3mirrord::embedded::{Kind, Rule};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    time::{Duration, UNIX_EPOCH},
};

/// (event, path) of each row.
fn rows(ran: &Ran) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines
        .filter(|row| row["event"] != "summary")
        .map(|row| (text(&row["event"]), text(&row["path"])))
        .collect()
}

fn of(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(event, path)| ((*event).to_owned(), (*path).to_owned())).collect()
}

async fn mirrored() -> Bench {
    let bench = Bench::new().await;
    for name in ["a.txt", "docs/b", "docs/deep/c", "docs-beside", "docs.txt", "z\u{7f}"] {
        bench.write(name, "12345");
    }
    fs::write(bench.root.join(OsStr::from_bytes(b"caf\xe9")), "12345").unwrap();
    let run = bench.root.join("docs/run");
    fs::write(&run, "#!").unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    fs::File::open(&run).unwrap().set_modified(UNIX_EPOCH + Duration::new(1_700_000_000, 5)).unwrap();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_are_listed_one_by_one_or_with_all_below() {
    let bench = mirrored().await;
    let absolute = bench.root.join("docs/deep");
    for (words, want) in [
        (
            &[][..],
            &[
                ("object", "a.txt"),
                ("object", "caf\u{fffd}"),
                ("object", "docs-beside"),
                ("object", "docs.txt"),
                ("directory", "docs/"),
                ("object", "z\u{7f}"),
            ][..],
        ),
        (&["docs/"], &[("object", "docs/b"), ("directory", "docs/deep/"), ("object", "docs/run")]),
        (
            &["-R", "docs"],
            &[
                ("object", "docs/b"),
                ("directory", "docs/deep/"),
                ("object", "docs/deep/c"),
                ("object", "docs/run"),
            ],
        ),
        (&["docs/b"], &[("object", "docs/b")]),
        (&[absolute.to_str().unwrap()], &[("object", "docs/deep/c")]),
    ] {
        let mut ran = bench.run(&[&["ls", "--json"], words].concat()).await;
        // of those that lie between two keys in text
        let mut have = rows(&ran);
        have.sort();
        let mut want = of(want);
        want.sort();
        assert_eq!((ran.code, have), (0, want), "{words:?} {ran:?}");
        assert!(ran.summary()["requests"]["HeadObject"].is_null(), "{ran:?}");
        ran = bench.run(&[&["ls"], words].concat()).await;
        assert!(ran.code == 0 && !ran.stdout.contains('\u{7f}') && !ran.stdout.contains('\x1b'), "{ran:?}");
    }
    let ran = bench.run(&["ls"]).await;
    assert_eq!(ran.stdout.lines().next(), Some("             5  a.txt"), "{ran:?}");
    assert!(ran.stdout.contains("             -  docs/\n") && ran.stdout.contains("z\\u{7f}\n"), "{ran:?}");
    assert!(!ran.stdout.contains("s3mirrord"), "our own record is none of the files: {ran:?}");
    let none = bench.run(&["ls", "doc"]).await;
    assert_eq!((none.code, &*none.stdout), (1, ""), "{none:?}");
    assert_eq!(bench.run(&["ls", "../x"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_listing_tells_what_files_have() {
    let bench = mirrored().await;
    bench.put("www/docs/theirs", "abc").await;
    let ran = bench.run(&["ls", "-l", "docs"]).await;
    let line = |name: &str| ran.stdout.lines().find(|line| line.ends_with(name)).unwrap().to_owned();
    let words = |name: &str| line(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let run = words("run");
    assert_eq!(
        (&*run[0], &*run[2], &*run[3]),
        ("-rwxr-xr-x", "2", "2023-11-14T22:13:20.000000005Z"),
        "{ran:?}"
    );
    assert_eq!(words("theirs"), ["?", "?", "3", "?", "theirs"], "{ran:?}");
    let ran = bench.run(&["ls", "--long", "--json", "docs/run"]).await;
    let row: serde_json::Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&row["mode"], &row["mtime"]), (&"100755".into(), &"2023-11-14T22:13:20.000000005Z".into()));
    // one that may not be asked for is listed all the same
    bench.server.faults().add(Rule::new(Kind::AccessDenied).operation("HeadObject").key("run"));
    let ran = bench.run(&["ls", "-l", "docs/run"]).await;
    assert_eq!((ran.code, ran.stdout.split_whitespace().next()), (0, Some("?")), "{ran:?}");
    bench.server.faults().add(Rule::new(Kind::AccessDenied).operation("ListObjectsV2"));
    assert_eq!(bench.run(&["ls"]).await.code, 3);
}
