//! FIFOs and devices, where they are mirrored: what they are, and never what goes through them.

use crate::support::bench::{Bench, QUICK, Ran};
use aws_sdk_s3::types::MetadataDirective;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
    time::{Duration, SystemTime},
};

/// What is to come back: type and mode, number, time, and the bytes of a file.
type Entry = (u32, u64, (i64, i64), Vec<u8>);

/// Every entry below, but sockets.
fn everything(root: &Path) -> BTreeMap<String, Entry> {
    let (mut all, mut dirs) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if meta.file_type().is_socket() {
                continue;
            }
            let content = if meta.is_file() { fs::read(&path).unwrap() } else { vec![] };
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            all.insert(name, (meta.mode(), meta.rdev(), (meta.mtime(), meta.mtime_nsec()), content));
            if meta.is_dir() {
                dirs.push(path);
            }
        }
    }
    all
}

fn fifo(at: impl AsRef<Path>) {
    mknodat(CWD, at.as_ref(), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
}

/// False if this user may make no devices.
fn device(at: impl AsRef<Path>, kind: FileType, number: (u32, u32)) -> bool {
    let number = makedev(number.0, number.1);
    match mknodat(CWD, at.as_ref(), kind, Mode::from_raw_mode(0o600), number) {
        Err(rustix::io::Errno::PERM) => false,
        made => {
            made.unwrap();
            true
        }
    }
}

/// With FIFOs and devices, and these lines.
async fn bench(lines: &str) -> Bench {
    Bench::with(&format!("{QUICK}special_files = true\n{lines}")).await
}

async fn restore(bench: &Bench, to: &Path, words: &[&str]) -> Ran {
    bench.run(&[&["restore", "--json", "--to", to.to_str().unwrap()], words].concat()).await
}

async fn metadata(bench: &Bench, key: &str) -> std::collections::HashMap<String, String> {
    let head = bench.client().head_object().bucket("backups").key(format!("www/{key}")).send();
    head.await.unwrap().metadata.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifos_and_devices_come_back_as_they_were_and_sockets_do_not() {
    let bench = bench("").await;
    let at = |name: &str| bench.root.join(name);
    bench.write("d/file", "a file");
    fifo(at("d/fifo"));
    fifo(at("pipe.rclonelink"));
    symlink("a link, and a FIFO that is called as its object would be", at("pipe")).unwrap();
    fs::set_permissions(at("d/fifo"), Permissions::from_mode(0o622)).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    let privileged = device(at("null"), FileType::CharacterDevice, (1, 3));
    if privileged {
        // numbers of more than eight bits, too
        assert!(device(at("disk"), FileType::BlockDevice, (259, 70_000)));
    } else {
        crate::support::skip("no devices: it takes root (CAP_MKNOD)");
    }
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, &ran.summary()["skipped"]), (0, &1.into()), "the socket: {ran:?}");
    let again = bench.run(&["once", "--json"]).await;
    let requests = |what: &str| again.summary()["requests"][what].as_u64().unwrap_or(0);
    assert_eq!(["PutObject", "CopyObject", "HeadObject"].map(requests), [0; 3], "{again:?}");
    let ran = bench.run(&["verify", "--deep"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    // as rclone writes it
    assert_eq!(metadata(&bench, "d/fifo").await["mode"], "010622");
    if privileged {
        let told = metadata(&bench, "null").await;
        assert_eq!((&*told["mode"], &*told["rdev"]), ("020600", "100000003"));
        let ran = bench.run(&["ls", "--long", "null"]).await;
        assert!(ran.stdout.contains("crw-------"), "{ran:?}");
    }

    let out = bench.dir.path().join("out");
    if privileged {
        let ran = restore(&bench, &out, &["--dry-run"]).await;
        assert_eq!((ran.code, &ran.summary()["failed"]), (1, &2.into()), "{ran:?}");
        let ran = restore(&bench, &out, &[]).await;
        assert_eq!((ran.code, &ran.summary()["failed"]), (1, &2.into()), "{ran:?}");
        assert!(!out.join("null").exists() && ran.stdout.contains("--devices"), "{ran:?}");
    }
    let ran = restore(&bench, &out, &["--devices"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut want = everything(&bench.root);
    // of the two that have one key it is the one that is no link
    want.remove("pipe");
    assert_eq!(everything(&out), want);
    let again = restore(&bench, &out, &["--devices", "--overwrite", "always"]).await;
    assert_eq!((again.code, &again.summary()["restored"]), (0, &0.into()), "{again:?}");
    assert_eq!(everything(&out), want);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_of_a_fifo_is_seen_whether_modes_are_kept_or_not() {
    for lines in ["", "mode = false\nowner = false\nmtime = false\n"] {
        let bench = bench(lines).await;
        let at = |name: &str| bench.root.join(name);
        for name in ["to-file", "to-empty", "to-directory", "to-nothing", "to-link", "stays"] {
            fifo(at(name));
        }
        for name in ["from-file", "from-directory/x", "from-directory/below/y"] {
            bench.write(name, "with content");
        }
        bench.write("from-empty", "");
        let privileged = device(at("device"), FileType::CharacterDevice, (1, 3));
        assert_eq!(bench.run(&["once"]).await.code, 0);

        for name in
            ["to-file", "to-empty", "to-directory", "to-nothing", "to-link", "from-file", "from-empty"]
        {
            bench.remove(name);
        }
        fs::remove_dir_all(at("from-directory")).unwrap();
        bench.write("to-file", "with content");
        bench.write("to-empty", "");
        bench.write("to-directory/x", "below");
        symlink("stays", at("to-link")).unwrap();
        for name in ["from-file", "from-empty", "from-directory"] {
            fifo(at(name));
        }
        fs::set_permissions(at("stays"), Permissions::from_mode(0o600)).unwrap();
        if privileged {
            bench.remove("device");
            device(at("device"), FileType::CharacterDevice, (1, 5));
        }
        let ran = bench.run(&["once", "--json"]).await;
        assert_eq!((ran.code, &ran.summary()["failed"]), (0, &0.into()), "{ran:?}");
        let have: Vec<_> = bench.objects().await.into_keys().collect();
        assert!(
            !have.iter().any(|key| key.contains("from-directory/") || key.contains("nothing")),
            "{have:?}"
        );
        let ran = bench.run(&["verify", "--deep"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let out = bench.dir.path().join("out");
        let ran = restore(&bench, &out, &["--devices"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let kinds = |root: &Path| -> BTreeMap<_, _> {
            let bits = if lines.is_empty() { u32::MAX } else { 0o170_000 };
            let kind = |(mode, rdev, _, bytes): Entry| (mode & bits, rdev, bytes);
            everything(root).into_iter().map(|(name, entry)| (name, kind(entry))).collect()
        };
        assert_eq!(kinds(&out), kinds(&bench.root), "{lines}");
        let again = bench.run(&["once", "--json"]).await;
        assert_eq!(&again.summary()["uploaded"], &0, "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_took_the_place_of_a_fifo_while_the_ledger_was_lost_comes_back_as_a_file() {
    let bench = bench("").await;
    fifo(bench.root.join("x"));
    assert_eq!(bench.run(&["once"]).await.code, 0);
    fs::remove_dir_all(bench.state()).unwrap();
    bench.remove("x");
    bench.write("x", "");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(bench.run(&["verify"]).await.code, 0);
    let out = bench.dir.path().join("out");
    assert_eq!(restore(&bench, &out, &[]).await.code, 0);
    assert!(out.join("x").symlink_metadata().unwrap().is_file());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_they_are_mirrored_no_longer_the_object_stays_as_long_as_something_is_there() {
    let bench = bench("").await;
    fifo(bench.root.join("x"));
    bench.write("f", "1");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.configure(&bench.mirror("www", &bench.root, "www/", QUICK));
    let ran = bench.run(&["once", "--json"]).await;
    let summary = ran.summary();
    assert_eq!((ran.code, &summary["skipped"], &summary["deleted"]), (0, &1.into(), &0.into()), "{ran:?}");
    assert!(bench.objects().await.contains_key("x"));
    bench.remove("x");
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, &ran.summary()["deleted"]), (0, &1.into()), "nothing is called so: {ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_sees_them_come_change_and_go() {
    let bench = bench("").await;
    bench.write("stays", "");
    let _daemon = bench.start(&["run"]);
    bench.await_status("synced", |status| status["mirrors"][0]["settled"] == true).await;
    fifo(bench.root.join("x"));
    bench.await_objects(&[("stays", ""), ("x", "")]).await;
    fs::set_permissions(bench.root.join("x"), Permissions::from_mode(0o666)).unwrap();
    let begun = std::time::Instant::now();
    while metadata(&bench, "x").await["mode"] != "010666" {
        assert!(begun.elapsed() < crate::support::bench::PATIENCE, "{:?}", metadata(&bench, "x").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.remove("x");
    bench.await_objects(&[("stays", "")]).await;
}

/// What another client may have written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_only_claims_to_be_a_device_makes_none() {
    let bench = bench("").await;
    bench.write("f", "1");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    for (key, body, mode, rdev) in [
        ("with-content", "bytes", "010644", None),
        ("no-number", "", "020644", None),
        ("no-hex", "", "060644", Some("8:1")),
        ("socket", "", "0140755", None),
        ("device", "", "060644", Some("800000001")),
        ("taken", "", "010644", None),
        ("huge", "", "060644", Some("ffffffff00000003")),
    ] {
        let put = bench.client().put_object().bucket("backups").key(format!("www/{key}"));
        let put = put.body(body.as_bytes().to_vec().into()).metadata("mode", mode);
        let put = if let Some(rdev) = rdev { put.metadata("rdev", rdev) } else { put };
        put.send().await.unwrap();
    }
    let out = bench.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("taken"), "").unwrap();
    for words in [&[][..], &["--overwrite", "always"]] {
        let ran = restore(&bench, &out, words).await;
        assert_eq!((ran.code, &ran.summary()["failed"]), (1, &3.into()), "{ran:?}");
        assert!(ran.stdout.contains("it is a block device"), "{ran:?}");
        assert!(ran.stdout.contains("a number that none can have"), "{ran:?}");
        assert!(ran.stdout.contains("a file of that name is there"), "{ran:?}");
    }
    for name in ["with-content", "no-number", "no-hex", "socket", "taken"] {
        assert!(out.join(name).symlink_metadata().unwrap().is_file(), "{name}");
    }
    assert!(!out.join("device").exists());
    // the time of a file that is older than what the object says gives way to nothing that is no file
    let source = "backups/www/taken";
    let copy = bench.client().copy_object().bucket("backups").key("www/taken").copy_source(source);
    let copy = copy.metadata_directive(MetadataDirective::Replace).metadata("mode", "010644");
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 60;
    copy.metadata("mtime", since.to_string()).send().await.unwrap();
    let ran = restore(&bench, &out, &["--overwrite", "older", "taken"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(out.join("taken").symlink_metadata().unwrap().is_file());
}

/// Neither a FIFO nor a device has content that differs, and still one is not the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_of_another_kind_comes_back_out_of_the_trash_as_it_was() {
    let bench = bench("delete = \"trash\"\n").await;
    let at = |name: &str| bench.root.join(name);
    bench.write("empty", "");
    fifo(at("fifo"));
    let privileged = device(at("device"), FileType::CharacterDevice, (1, 3))
        && device(at("changes"), FileType::CharacterDevice, (1, 3));
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let was = everything(&bench.root);
    // the trash goes by seconds
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let then = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for name in ["empty", "fifo"] {
        bench.remove(name);
    }
    fifo(at("empty"));
    bench.write("fifo", "");
    if privileged {
        bench.remove("device");
        bench.remove("changes");
        device(at("device"), FileType::CharacterDevice, (1, 5));
        device(at("changes"), FileType::BlockDevice, (8, 0));
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(bench.run(&["verify"]).await.code, 0);
    for (words, want) in [(&["--devices"][..], everything(&bench.root)), (&["--devices", "--at", &then], was)]
    {
        let out = bench.dir.path().join(format!("out-{}", words.len()));
        let ran = restore(&bench, &out, words).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(everything(&out), want, "{words:?}");
    }
}
