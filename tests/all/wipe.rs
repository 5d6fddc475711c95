//! The drill: most of a directory is deleted. Uploads go on, deletes wait, and an operator releases just those shown.

use crate::support::bench::{Bench, Ran};
use serde_json::Value;
use std::{fs, time::Duration};

/// Even one delete is held.
const HELD: &str = "delete_grace = \"50ms\"\ndebounce = { quiet = \"20ms\", longest = \"1s\" }\n\
                    max_delete = { count = 0, percent = 20, window = \"1h\" }";

fn plan(asked: &Ran) -> String {
    let name = asked.stdout.split_whitespace().skip_while(|word| *word != "plan").nth(1);
    name.unwrap_or_else(|| panic!("{asked:?}")).to_owned()
}

fn counts(summary: &Value) -> [u64; 4] {
    ["deleted", "held", "uploaded", "exit"].map(|name| summary[name].as_u64().unwrap())
}

async fn names(bench: &Bench) -> usize {
    let mut pages =
        bench.client().list_objects_v2().bucket("backups").prefix("www/d").into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        // the markers of directories apart
        count += page.unwrap().contents().iter().filter(|o| !o.key().unwrap().ends_with('/')).count();
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn c61_of_ten_thousand_files_six_thousand_are_wiped() {
    let bench = Bench::with(HELD).await;
    for n in 0..10_000 {
        bench.write(&format!("d{:02}/f{n:04}", n / 100), "x");
    }
    let once = async || Ran::within(Duration::from_secs(240), bench.command(&["once", "--json"])).await;
    let first = once().await;
    assert_eq!(counts(&first.summary()), [0, 0, 10_000, 0], "{}", first.stderr);
    (0..60).for_each(|n| fs::remove_dir_all(bench.root.join(format!("d{n:02}"))).unwrap());
    (0..50).for_each(|n| bench.write(&format!("d99/new{n}"), "new"));
    (9_800..9_850).for_each(|n| bench.write(&format!("d98/f{n:04}"), "changed"));
    let wiped = once().await;
    assert_eq!(counts(&wiped.summary()), [0, 6_000, 100, 4], "{}", wiped.stderr);
    assert!(wiped.stderr.contains("s3mirrord approve --mirror www"), "{}", wiped.stderr);
    assert_eq!(names(&bench).await, 10_050, "uploads went on, nothing was deleted");

    let shown = bench.run(&["approve"]).await;
    assert!(shown.stdout.contains("6000 deletes are held, of 10050 files") && shown.code == 2, "{shown:?}");
    assert!(shown.stdout.contains("100  d00/") && shown.stdout.contains("d00/f0000"), "{shown:?}");
    // one more, which a pass has seen: it is another plan now
    bench.remove("d60/f6000");
    assert_eq!(counts(&once().await.summary()), [0, 6_001, 0, 4]);
    let stale = bench.run(&["approve", "--plan", &plan(&shown), "--yes"]).await;
    assert!(stale.code == 2 && stale.stdout.contains("6001 deletes"), "{stale:?}");
    assert_eq!(counts(&once().await.summary()), [0, 6_001, 0, 4], "nothing was released");
    // and one that none has seen: the plan is the same, and does not cover it
    let shown = bench.run(&["approve"]).await;
    bench.remove("d60/f6001");
    let released = bench.run(&["approve", "--plan", &plan(&shown), "--yes"]).await;
    assert_eq!(released.code, 0, "{released:?}");
    let done = once().await;
    assert_eq!(counts(&done.summary()), [6_001, 1, 0, 4], "{}", done.stderr);
    assert_eq!(names(&bench).await, 4_049);
    let last = bench.run(&["approve"]).await;
    assert!(last.stdout.contains("1 deletes are held") && last.stdout.contains("d60/f6001"), "{last:?}");
    assert_eq!(bench.run(&["approve", "--yes"]).await.code, 0);
    assert_eq!(counts(&once().await.summary()), [1, 0, 0, 0]);
    assert_eq!(names(&bench).await, 4_048);
}

#[tokio::test(flavor = "multi_thread")]
async fn c61_what_is_deleted_between_plan_and_approval_waits_beside_a_daemon_too() {
    let bench = Bench::with(HELD).await;
    for n in 0..10 {
        bench.write(&format!("d/f{n}"), "x");
    }
    let _daemon = bench.start(&["run"]);
    let held = |deletes: u64| move |told: &Value| told["mirrors"][0]["held"]["deletes"] == deletes;
    bench.await_status("settled", |told| told["mirrors"][0]["settled"] == true).await;
    (0..6).for_each(|n| bench.remove(&format!("d/f{n}")));
    bench.await_status("held", held(6)).await;
    let shown = bench.run(&["approve"]).await;
    bench.remove("d/f6");
    bench.await_status("held, too", held(7)).await;
    let stale = bench.run(&["approve", "--plan", &plan(&shown), "--yes"]).await;
    assert!(stale.code == 2 && stale.stdout.contains("7 deletes"), "{stale:?}");
    let shown = bench.run(&["approve"]).await;
    assert_eq!(bench.run(&["approve", "--plan", &plan(&shown), "--yes"]).await.code, 0);
    bench.await_objects(&[("d/f7", "x"), ("d/f8", "x"), ("d/f9", "x")]).await;
    bench.remove("d/f7");
    bench.await_status("held anew", held(1)).await;
    assert_eq!(bench.objects().await.len(), 3, "an approval is of its plan alone");
}

/// Even one replacement is held.
const UNCHANGED: &str = "debounce = { quiet = \"20ms\", longest = \"1s\" }\n\
                         max_overwrite = { count = 3, percent = 20, window = \"1h\" }";

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_most_files_is_held_until_it_is_approved() {
    let bench = Bench::with(UNCHANGED).await;
    (0..20).for_each(|n| bench.write(&format!("d/f{n}"), "x"));
    let once = async || bench.run(&["once", "--json"]).await;
    let told = |ran: &Ran| {
        let names = ["uploaded", "overwrites_held", "held", "exit"];
        names.map(|name| ran.summary()[name].as_u64().unwrap())
    };
    assert_eq!(told(&once().await), [20, 0, 0, 0]);
    (0..20).for_each(|n| bench.write(&format!("d/f{n}"), "encrypted"));
    bench.write("e/new", "new");
    let struck = once().await;
    assert_eq!(told(&struck), [4, 17, 0, 4], "{}", struck.stderr);
    assert!(struck.stderr.contains("replacements are held"), "{}", struck.stderr);
    assert!(struck.stderr.contains("s3mirrord approve --mirror www"), "{}", struck.stderr);
    let left = bench.objects().await.values().filter(|body| *body == "x").count();
    assert_eq!(left, 17, "as they were");

    let shown = bench.run(&["approve"]).await;
    assert!(shown.stdout.contains("17 changed files are held") && shown.code == 2, "{shown:?}");
    let released = bench.run(&["approve", "--plan", &plan(&shown), "--yes"]).await;
    assert!(released.stdout.contains("17 replacements are released"), "{released:?}");
    assert_eq!(told(&once().await), [17, 0, 0, 0]);
    assert_eq!(bench.run(&["approve"]).await.code, 0, "nothing is held");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_beside_a_daemon_is_told_and_released() {
    let bench = Bench::with(UNCHANGED).await;
    (0..10).for_each(|n| bench.write(&format!("d/f{n}"), "x"));
    let _daemon = bench.start(&["run"]);
    bench.await_status("settled", |told| told["mirrors"][0]["settled"] == true).await;
    (0..10).for_each(|n| bench.write(&format!("d/f{n}"), "encrypted"));
    bench.await_status("held", |told| told["mirrors"][0]["overwrites_held"]["files"] == 7).await;
    let words = bench.run(&["status"]).await;
    assert!(words.stdout.contains("7 changed files are held"), "{words:?}");
    let shown = bench.run(&["approve"]).await;
    assert_eq!(bench.run(&["approve", "--plan", &plan(&shown), "--yes"]).await.code, 0);
    let all: Vec<_> = (0..10).map(|n| format!("d/f{n}")).collect();
    bench.await_objects(&all.iter().map(|name| (name.as_str(), "encrypted")).collect::<Vec<_>>()).await;
    bench.await_status("released", |told| told["mirrors"][0]["overwrites_held"].is_null()).await;
}
