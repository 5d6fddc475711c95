//! A store that asks for less (case 51), and one that is slow, on the real binary.

use crate::support::bench::{Bench, PATIENCE, QUICK};
use s3mirrord::embedded::{Kind, Rule};
use std::{
    fs,
    time::{Duration, Instant},
};

/// Files of every sort of request: `small` in one each, and one in parts.
fn tree(bench: &Bench, small: usize) {
    (0..small).for_each(|n| bench.write(&format!("{}/{n}", n % 7), &n.to_string()));
    bench.write("large", &"l".repeat(20 << 20));
}

fn requests(bench: &Bench) -> u64 {
    bench.server.requests().values().sum()
}

/// Waits for a condition.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c51_a_third_of_refusals_loses_nothing_and_makes_no_storm() {
    let calm = Bench::new().await;
    tree(&calm, 300);
    assert_eq!(calm.run(&["once"]).await.code, 0);
    let needed = requests(&calm);

    let bench = Bench::new().await;
    tree(&bench, 300);
    let rule = bench.server.faults().add(Rule::new(Kind::SlowDown).share(30));
    let ran = bench.run(&["once", "--json"]).await;
    let (all, met) = (requests(&bench), bench.server.faults().met(rule));
    let sums = ran.summary();
    assert_eq!((ran.code, &sums["uploaded"], &sums["failed"]), (0, &301.into(), &0.into()), "{ran:?}");
    eprintln!("{needed} requests needed, {all} sent, {met} refused");
    assert!(met * 10 > needed * 3, "{met} of {all} refused, {needed} needed");
    assert!(all * 7 < needed * 15, "{met} of {all} refused, {needed} needed");
    bench.server.faults().clear();
    assert!(bench.objects().await == calm.objects().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn c51_refusals_that_end_leave_nothing_behind() {
    let bench = Bench::new().await;
    // a tenth of all jobs come back to the queue, and are looked at again while there is no room for more
    bench.configure(&format!("max_attempts = 2\n{}", bench.mirror("www", &bench.root, "www/", QUICK)));
    tree(&bench, 600);
    let rule = bench.server.faults().add(Rule::new(Kind::SlowDown).share(30).times(200));
    let daemon = bench.start(&["run"]);
    let settled = |told: &serde_json::Value| told["mirrors"][0]["settled"] == true;
    bench.await_status("settled", settled).await;
    let met = bench.server.faults().met(rule);
    assert_eq!(met, 200, "all of them");
    let before = bench.server.requests()["PutObject"];
    (0..200).for_each(|n| bench.write(&format!("later/{n}"), &n.to_string()));
    until("what came later is sent", async || bench.server.requests()["PutObject"] >= before + 201).await;
    bench.await_status("settled", settled).await;
    assert_eq!(bench.server.requests()["PutObject"], before + 201, "each once, and their directory");
    let objects = bench.objects().await;
    assert_eq!(objects.len(), 801);
    assert!((0..200).all(|n| objects[&format!("later/{n}")] == n.to_string()));
    drop(daemon);
}

/// Parts that never arrive hold all the memory that large files may have, or all the requests.
#[tokio::test(flavor = "multi_thread")]
async fn small_files_go_while_large_ones_hang() {
    for (limit, hanging) in [("64MiB", 7), ("256MiB", 12)] {
        let bench = Bench::new().await;
        bench.configure(&bench.mirror("www", &bench.root, "www/", QUICK));
        let text = fs::read_to_string(bench.config()).unwrap();
        fs::write(bench.config(), format!("memory_limit = {limit:?}\n{text}")).unwrap();
        let hangs = Rule::new(Kind::Latency(Duration::from_secs(600))).operation("UploadPart");
        bench.server.faults().add(hangs);
        for n in 0..6 {
            // bytes that are not stored, but sent
            let file = fs::File::create(bench.root.join(format!("large {n}"))).unwrap();
            file.set_len(33 << 20).unwrap();
        }
        let daemon = bench.start(&["run"]);
        let parts = || bench.server.requests().get("UploadPart").copied().unwrap_or_default();
        until("parts hang", async || parts() >= hanging).await;
        (0..50).for_each(|n| bench.write(&format!("small/{n}"), &n.to_string()));
        until("small files are there", async || bench.objects_below("www/small/").await.len() == 50).await;
        assert_eq!(bench.objects().await.len(), 50, "no large one");
        drop(daemon);
    }
}

/// A balancer says 503 of a server that did what it was asked: it is not asked for again as it stands, and what nobody
/// knows the id of is ended.
#[tokio::test(flavor = "multi_thread")]
async fn c51_c55_a_503_without_a_code_leaves_no_upload_open() {
    let bench = Bench::new().await;
    bench.write("large", &"l".repeat(20 << 20));
    let rule = Rule::new(Kind::Unavailable).operation("CreateMultipartUpload").times(2);
    let rule = bench.server.faults().add(rule);
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, &ran.summary()["uploaded"]), (0, &1.into()), "{ran:?}");
    assert_eq!(bench.server.faults().met(rule), 2);
    let open = bench.client().list_multipart_uploads().bucket("backups").send().await.unwrap();
    assert_eq!(open.uploads(), []);
}
