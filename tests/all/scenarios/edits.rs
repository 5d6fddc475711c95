//! Single files: written, rewritten, renamed, touched.

use crate::support::scene::{PREFIX, SHORT, Scene};
use rustix::process::Signal;
use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    time::Duration,
};

#[tokio::test(flavor = "multi_thread")]
async fn c20_c76_files_are_edited_renamed_rotated_and_swapped() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.start();
    scene.write("a", "one");
    scene.write("d/b", "");
    scene.in_sync().await;

    scene.write("a", "two, and longer");
    scene.in_sync().await;
    File::options().write(true).open(scene.at("a")).unwrap().set_len(3).unwrap();
    scene.in_sync().await;

    let mut slow = File::create(scene.at("slow")).unwrap();
    for n in 0..20 {
        slow.write_all(&[n; 5000]).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(slow);
    scene.in_sync().await;

    let puts = scene.requests("PutObject");
    scene.rename("slow", "d/renamed");
    scene.in_sync().await;
    assert_eq!((scene.requests("PutObject"), scene.requests("CopyObject")), (puts, 1), "no bytes were sent");

    for n in 0..10 {
        scene.write("d/.save.tmp", format!("saved {n}"));
        scene.rename("d/.save.tmp", "saved");
    }
    scene.in_sync().await;

    // log rotation, a chain, and a new file under the first name
    for name in ["log", "log.1", "log.2"] {
        scene.write(name, format!("{name} at first").repeat(100));
    }
    scene.in_sync().await;
    scene.rename("log.1", "log.2");
    scene.rename("log", "log.1");
    scene.write("log", "a new one");
    scene.in_sync().await;

    // a swap, of the same size and time
    scene.write("x", "content of x");
    scene.write("y", "content of y");
    let when = fs::metadata(scene.at("x")).unwrap().modified().unwrap();
    File::options().write(true).open(scene.at("y")).unwrap().set_modified(when).unwrap();
    scene.in_sync().await;
    scene.rename("x", "z");
    scene.rename("y", "x");
    scene.rename("z", "y");
    scene.in_sync().await;

    // two names of one file: a write tells of one of them, a look at everything finds the other
    fs::hard_link(scene.at("x"), scene.at("x too")).unwrap();
    scene.in_sync().await;
    File::options().append(true).open(scene.at("x too")).unwrap().write_all(b", more").unwrap();
    scene.signal(Signal::HUP);
    scene.in_sync().await;
    fs::remove_file(scene.at("x")).unwrap();
    scene.in_sync().await;

    // a directory where a file was, and back
    fs::remove_file(scene.at("a")).unwrap();
    scene.write("a/b/c", "below");
    scene.write("a/d", "below too");
    scene.in_sync().await;
    fs::remove_dir_all(scene.at("a")).unwrap();
    scene.write("a", "a file again");
    scene.in_sync().await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c21_c22_rewrites_of_the_same_size_are_found() {
    let Some(mut scene) = Scene::with("debounce = { quiet = \"1ms\", longest = \"50ms\" }").await else {
        return;
    };
    scene.start();
    for name in ["a", "b", "c"] {
        scene.write(name, "0000");
    }
    scene.in_sync().await;
    // faster and slower than the debounce, so that some writes fall into an upload
    for n in 0..400u32 {
        for name in ["a", "b", "c"] {
            scene.write(name, format!("{n:04}"));
        }
        tokio::time::sleep(Duration::from_millis(u64::from(n % 13))).await;
    }
    scene.in_sync().await;
    for n in 0..5 {
        let when = fs::metadata(scene.at("a")).unwrap().modified().unwrap();
        scene.write("a", format!("-{n:03}"));
        File::options().write(true).open(scene.at("a")).unwrap().set_modified(when).unwrap();
        scene.in_sync().await;
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c23_time_and_mode_alone_send_no_data() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.start();
    scene.write("small", "some text");
    scene.write("large", vec![7; 9 << 20]);
    scene.in_sync().await;
    let sent = |scene: &Scene| ["PutObject", "UploadPart"].map(|op| scene.requests(op));
    let before = sent(&scene);
    for (n, name) in ["small", "large"].into_iter().enumerate() {
        let copies = scene.requests("CopyObject");
        let file = File::options().write(true).open(scene.at(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_millis(1_000_000_500)).unwrap();
        fs::set_permissions(scene.at(name), fs::Permissions::from_mode(0o640)).unwrap();
        let key = format!("{PREFIX}{name}");
        let mut told = scene.outsider.metadata(&key).await;
        for _ in 0..1000 {
            if told["mode"] == "0100640" && told["mtime"].starts_with("1000000.5") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            told = scene.outsider.metadata(&key).await;
        }
        assert_eq!((&*told["mode"], told["mtime"].starts_with("1000000.5")), ("0100640", true), "{told:?}");
        assert!(scene.requests("CopyObject") > copies, "{n}");
        scene.in_sync().await;
    }
    assert_eq!(sent(&scene), before, "no content was sent");
    scene.stop().await;
}

/// A write by another name of the file, outside of the root, makes no event; nor does one by another name within it for this
/// name. A rescan finds them.
#[tokio::test(flavor = "multi_thread")]
async fn c11_writes_by_another_name_are_found_by_a_rescan() {
    let Some(mut scene) = Scene::with(&format!("{SHORT}rescan = \"2s\"")).await else { return };
    let outside = scene.bench.dir.path().join("outside");
    fs::write(&outside, "first").unwrap();
    fs::hard_link(&outside, scene.at("inside")).unwrap();
    scene.write("one", "first");
    fs::hard_link(scene.at("one"), scene.at("other")).unwrap();
    scene.start();
    scene.in_sync().await;
    // in place, so that the inode stays
    for path in [outside, scene.at("one")] {
        File::options().write(true).open(path).unwrap().write_all(b"later").unwrap();
    }
    scene.in_sync().await;
    scene.stop().await;
}
