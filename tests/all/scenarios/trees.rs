//! Many files at once: made, moved, removed.

use crate::support::scene::Scene;
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn c01_ten_thousand_files_in_new_directories_arrive_and_go() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("stays", "a root that is emptied is held");
    scene.start();
    scene.in_sync().await;
    for n in 0..10_000 {
        scene.write(format!("new/{}/{}/{}/{n}", n % 7, n % 10, n % 41), n.to_string());
    }
    scene.in_sync().await;
    assert_eq!(scene.outsider.list("www/").await.len(), 10_001);
    fs::remove_dir_all(scene.at("new")).unwrap();
    scene.in_sync().await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c08_c12_trees_are_renamed_moved_and_made_again() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("stays", "a root that is emptied is held");
    scene.start();
    scene.in_sync().await;
    // a burst
    for n in 0..1000 {
        scene.write(format!("tree/{}/{n}", n % 10), n.to_string().repeat(n % 50));
    }
    scene.in_sync().await;

    let puts = scene.requests("PutObject");
    scene.rename("tree", "renamed");
    scene.in_sync().await;
    // what is sent are the markers of its directories
    assert_eq!((scene.requests("PutObject") - puts, scene.requests("CopyObject")), (11, 1000));

    // out of the root, and in again under another name while the daemon may still be at it
    let outside = scene.bench.dir.path().join("outside");
    fs::rename(scene.at("renamed"), &outside).unwrap();
    scene.in_sync().await;
    assert_eq!(scene.outsider.list("www/").await.len(), 1);
    fs::create_dir_all(scene.at("d/e")).unwrap();
    fs::rename(&outside, scene.at("d/e/moved in")).unwrap();
    scene.write("d/e/moved in/3/another", "and it is watched");
    scene.in_sync().await;

    // removed and made again at once, and still watched afterwards
    fs::remove_dir_all(scene.at("d")).unwrap();
    scene.write("d/e/f", "again");
    scene.write("d/g", "again");
    scene.in_sync().await;
    scene.write("d/e/later", "later");
    scene.rename("d/e", "d/h");
    scene.write("d/h/last", "last");
    scene.in_sync().await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_daemons_absence_are_found_at_its_start() {
    let Some(mut scene) = Scene::new().await else { return };
    for n in 0..300 {
        scene.write(format!("{}/{n}", n % 3), n.to_string());
    }
    scene.start();
    scene.in_sync().await;
    scene.stop().await;

    let puts = scene.requests("PutObject");
    scene.rename("0", "moved");
    fs::remove_dir_all(scene.at("1")).unwrap();
    scene.write("2/2", "modified");
    scene.write("2/5", "5"); // rewritten, with the same content
    scene.write("1", "a file where a directory was");
    scene.write("new/one", "new");
    scene.start();
    scene.in_sync().await;
    let puts = scene.requests("PutObject") - puts;
    // three contents, the owner record, and the markers of two directories
    assert_eq!((puts, scene.requests("CopyObject") >= 100), (6, true), "a rename sends no content");

    scene.kill().await;
    scene.write("2/2", "modified again");
    fs::remove_file(scene.at("1")).unwrap();
    scene.start();
    scene.in_sync().await;
    scene.stop().await;
}
