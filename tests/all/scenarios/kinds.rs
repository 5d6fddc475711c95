//! What is no regular file, or cannot be read.

use crate::support::{scene::Scene, skip};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, fs::symlink, net::UnixListener},
};

#[tokio::test(flavor = "multi_thread")]
async fn c13_c29_pipes_sockets_and_links_are_counted_and_never_waited_for() {
    let Some(mut scene) = Scene::new().await else { return };
    let outside = scene.bench.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "not to be mirrored").unwrap();
    scene.write("d/file", "a file");
    let root = scene.bench.root.clone();
    let odd = |dir: &str| {
        let at = |name: &str| root.join(dir).join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        symlink(&outside, at("outside")).unwrap();
        symlink(outside.join("secret"), at("secret")).unwrap();
        symlink("..", at("loop")).unwrap();
        symlink("nothing", at("dangling")).unwrap();
        UnixListener::bind(at("socket")).unwrap()
    };
    let _listens = odd("d");
    scene.start();
    scene.in_sync().await;
    fs::create_dir(scene.at("e")).unwrap();
    let _listens = odd("e");
    scene.write("e/file", "another");
    scene.in_sync().await;

    // a file becomes one of them, and one of them a file: what is skipped is never deleted
    fs::remove_file(scene.at("d/file")).unwrap();
    symlink(outside.join("secret"), scene.at("d/file")).unwrap();
    fs::remove_file(scene.at("e/fifo")).unwrap();
    scene.write("e/fifo", "a file now");
    scene.write("e/file", "written after both");
    let begun = std::time::Instant::now();
    let mut have = scene.outsider.list("www/").await;
    while have.len() != 3 || have[&b"e/file"[..]] != 18 {
        assert!(begun.elapsed() < crate::support::bench::PATIENCE, "{have:?}");
        have = scene.outsider.list("www/").await;
    }
    scene.stop().await;
    let once = scene.bench.run(&["once", "--json"]).await;
    // d: fifo, 4 links, socket, the link that was a file; e: 4 links, socket
    assert_eq!((once.code, &once.summary()["skipped"]), (0, &12.into()), "{once:?}");
    let have = scene.outsider.read("www/").await;
    assert_eq!(have[&b"d/file"[..]].1, 6, "the object of what is a link now stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn c06_what_cannot_be_read_is_kept_and_the_rest_goes_on() {
    let Some(mut scene) = Scene::new().await else { return };
    let Some(daemon) = scene.bench.restrained(&["run"]).await else {
        return skip("setpriv cannot take away root's right to read everything");
    };
    scene.write("open/a", "1");
    scene.write("closed/below/b", "2");
    scene.write("file", "3");
    scene.start_as(daemon);
    scene.in_sync().await;
    let everything = scene.outsider.read("www/").await;

    let mode = |scene: &Scene, name: &str, mode| {
        fs::set_permissions(scene.at(name), Permissions::from_mode(mode)).unwrap();
    };
    mode(&scene, "closed", 0);
    mode(&scene, "file", 0);
    fs::remove_file(scene.at("open/a")).unwrap();
    scene.write("open/b", "4");
    let begun = std::time::Instant::now();
    loop {
        let have = scene.outsider.read("www/").await;
        let is = |name: &str| have.get(name.as_bytes());
        if is("open/b").is_some() && is("open/a").is_none() {
            for name in ["closed/below/b", "file"] {
                assert_eq!(is(name), everything.get(name.as_bytes()), "{name}");
            }
            break;
        }
        assert!(begun.elapsed() < crate::support::bench::PATIENCE, "{have:?}");
    }
    scene.stop().await;
    let once = crate::support::bench::Ran::of(scene.bench.restrained(&["once"]).await.unwrap()).await;
    assert_eq!(once.code, 1, "{once:?}");
    assert_eq!(scene.outsider.list("www/").await.len(), 3);

    let daemon = scene.bench.restrained(&["run"]).await.unwrap();
    scene.start_as(daemon);
    scene.settled().await;
    mode(&scene, "closed", 0o755);
    mode(&scene, "file", 0o644);
    fs::remove_file(scene.at("closed/below/b")).unwrap();
    scene.write("closed/below/c", "5");
    scene.in_sync().await;
    scene.stop().await;
}
