//! Listings of many pages: how many are asked for, side by side, by the real binary.

use crate::support::bench::{Bench, QUICK, Ran};
use s3mirrord::embedded::{Kind, Rule};
use serde_json::Value;
use std::{
    fs,
    time::{Duration, Instant},
};

const FILES: u64 = 6_500;

/// A bench with files in 13 directories of 500, uploaded.
async fn uploaded(lines: &str) -> Bench {
    let bench = Bench::with(&format!("{QUICK}\n{lines}")).await;
    for n in 0..FILES {
        bench.write(&format!("d{:02}/f{n:05}", n / 500), "x");
    }
    let first = bench.run(&["once", "--json"]).await;
    assert_eq!((first.code, first.summary()["uploaded"].as_u64()), (0, Some(FILES)), "{}", first.stderr);
    bench.server.reset_requests();
    bench
}

/// One more pass: its summary and its LISTs.
async fn again(bench: &Bench) -> (Value, u64) {
    bench.server.reset_requests();
    let ran: Ran = bench.run(&["once", "--json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.actions().is_empty(), "nothing was to be done");
    let requests = bench.server.requests();
    let (lists, other) = (requests["ListObjectsV2"], requests.values().sum::<u64>());
    assert!(other - lists <= 4, "{requests:?}");
    (ran.summary(), lists)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_the_ledger_cuts_are_full_and_asked_for_side_by_side() {
    let bench = uploaded("").await;
    let (sums, lists) = again(&bench).await;
    assert_eq!((sums["unchanged"].as_u64(), sums["bytes_read"].as_u64()), (Some(FILES), Some(0)));
    // 6,500 keys, the owner record, and one page more where that does not fit
    assert!((7..=8).contains(&lists), "{lists} LISTs");

    // none is answered for a while, and yet the last is asked for
    bench.server.reset_requests();
    bench.server.faults().add(Rule::new(Kind::Latency(Duration::from_secs(60))).operation("ListObjectsV2"));
    let mut pass = bench.start(&["once"]);
    let deadline = Instant::now() + Duration::from_secs(50);
    while bench.server.requests().get("ListObjectsV2") < Some(&7) {
        assert!(Instant::now() < deadline, "{:?}", bench.server.requests());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pass.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_directories_cut_the_listing_and_equal_files_are_adopted() {
    let bench = uploaded("").await;
    fs::remove_dir_all(bench.state()).unwrap();
    let (sums, lists) = again(&bench).await;
    let found = [&sums["adopted"], &sums["unchanged"]].map(|n| n.as_u64().unwrap());
    assert_eq!(found.iter().sum::<u64>(), FILES, "{sums}");
    assert_eq!(sums["uploaded"], 0);
    // the first page, one for the directories, and those that begin at a directory are not all full
    assert!((8..=16).contains(&lists), "{lists} LISTs");
    let (_, lists) = again(&bench).await;
    assert!((7..=8).contains(&lists), "{lists} LISTs");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_foreign_objects_between_ours_cost_their_pages_and_no_head() {
    let bench = uploaded("listers = 2\n").await;
    for n in 0..3_000 {
        bench.put(&format!("www/d{:02}/g{n:05}", n / 250), "y").await;
    }
    // who wrote them is asked once
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, &ran.summary()["foreign"]), (0, &Value::from(3_000)), "{}", ran.stderr);
    let (sums, lists) = again(&bench).await;
    assert_eq!((sums["foreign"].as_u64(), sums["unchanged"].as_u64()), (Some(3_000), Some(FILES)));
    assert!((10..=16).contains(&lists), "{lists} LISTs for 9,500 keys");
}
