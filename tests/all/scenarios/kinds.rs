//! What is no regular file, or cannot be read.

use crate::support::{scene::Scene, skip};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, fs::symlink, net::UnixListener},
};

#[tokio::test(flavor = "multi_thread")]
async fn c13_c29_pipes_and_sockets_are_counted_links_are_stored_and_none_is_waited_for() {
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

    // a file becomes a link, a pipe a file, and a file a pipe: the object of what is skipped is never deleted
    fs::remove_file(scene.at("d/file")).unwrap();
    symlink(outside.join("secret"), scene.at("d/file")).unwrap();
    fs::remove_file(scene.at("e/fifo")).unwrap();
    scene.write("e/fifo", "a file now");
    scene.write("e/file", "written after both");
    scene.in_sync().await;
    scene.stop().await;
    fs::remove_file(scene.at("e/file")).unwrap();
    mknodat(CWD, scene.at("e/file"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let once = scene.bench.run(&["once", "--json"]).await;
    // d: pipe, socket; e: socket, pipe
    assert_eq!((once.code, &once.summary()["skipped"]), (0, &4.into()), "{once:?}");
    let have = scene.outsider.read("www/").await;
    assert_eq!(have[&b"e/file"[..]].1, 18, "the object of what is a pipe now stays");
    assert!(have.values().all(|(_, size)| *size < 100), "nothing of outside");
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
    let unreadable = |told: &serde_json::Value| told["mirrors"][0]["unreadable_sample"].clone();
    let told = scene.bench.await_status("settled", |told| told["mirrors"][0]["settled"] == true).await;
    assert_eq!(unreadable(&told), serde_json::json!(["closed/"]), "{told}");
    let words = scene.bench.run(&["status"]).await.stdout;
    assert!(words.contains("www  files failing  ") && words.contains("\n  unreadable closed/"), "{words}");
    mode(&scene, "closed", 0o755);
    mode(&scene, "file", 0o644);
    fs::remove_file(scene.at("closed/below/b")).unwrap();
    scene.write("closed/below/c", "5");
    scene.in_sync().await;
    let all_read = |told: &serde_json::Value| unreadable(told) == serde_json::json!([]);
    scene.bench.await_status("all can be read", all_read).await;
    scene.stop().await;
}
