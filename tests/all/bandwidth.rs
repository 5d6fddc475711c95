//! `bandwidth`, on the real binary. That it is not exceeded is seen by the clock; nothing else is timed.

use crate::support::bench::{Bench, PATIENCE, QUICK};
use std::time::{Duration, Instant};

/// Uploads of every sort: 64 small files in one piece each, one in many, one in parts.
fn tree(bench: &Bench) -> u64 {
    let (small, middle, large) = (16 << 10, 1 << 20, 9 << 20);
    (0..64).for_each(|n| bench.write(&format!("small/{n}"), &"s".repeat(small)));
    bench.write("middle", &"m".repeat(middle));
    bench.write("large", &"l".repeat(large));
    (64 * small + middle + large) as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_sent_than_may_be_together_or_by_the_mirror() {
    for (all, mirror) in [("4MiB/s", "off"), ("64MiB/s", "4MiB/s")] {
        let bench = Bench::new().await;
        let bytes = tree(&bench);
        let line = format!("bandwidth = {mirror:?}");
        bench.configure(&bench.mirror("www", &bench.root, "www/", &line));
        let text = std::fs::read_to_string(bench.config()).unwrap();
        std::fs::write(bench.config(), format!("bandwidth = {all:?}\n{text}")).unwrap();
        let begun = Instant::now();
        let ran = bench.run(&["once", "--json"]).await;
        assert_eq!((ran.code, ran.summary()["bytes"].as_u64()), (0, Some(bytes)), "{ran:?}");
        // but for the pieces that go at once
        let least = Duration::from_secs_f64((bytes - (1 << 20)) as f64 / f64::from(4 << 20));
        assert!(begun.elapsed() > least, "{:?} for {bytes} bytes, {all} and {mirror}", begun.elapsed());
    }
}

/// Together they would take a minute; all pieces alike, the only file of one would take a third of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirrors_only_file_does_not_wait_for_all_those_of_another() {
    let bench = Bench::new().await;
    let (many, one) = (bench.root.join("many"), bench.root.join("one"));
    let text = "x".repeat(1 << 20);
    std::fs::create_dir_all(&one).unwrap();
    (0..60).for_each(|n| bench.write(&format!("many/{n}"), &text));
    let mirrors = [bench.mirror("many", &many, "many/", QUICK), bench.mirror("one", &one, "one/", QUICK)];
    bench.configure(&mirrors.concat());
    let config = std::fs::read_to_string(bench.config()).unwrap();
    std::fs::write(bench.config(), format!("bandwidth = \"1MiB/s\"\n{config}")).unwrap();
    let daemon = bench.start(&["run"]);
    let until = async |prefix: &str, least: usize| {
        let begun = Instant::now();
        while bench.objects_below(prefix).await.len() < least {
            assert!(begun.elapsed() < PATIENCE, "{prefix}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        begun.elapsed()
    };
    until("many/", 1).await;
    bench.write("one/only", &text);
    let took = until("one/", 1).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(daemon);
}

/// At the rate of other times it would take ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_other_times_holds_nothing_up() {
    let bench = Bench::new().await;
    tree(&bench);
    let line = "bandwidth = [\"16KiB/s\", \"00:00-24:00 = off\"]";
    bench.configure(&bench.mirror("www", &bench.root, "www/", line));
    let pass = tokio::time::timeout(Duration::from_secs(120), bench.run(&["once", "--json"])).await;
    assert_eq!(pass.expect("it is not held back").code, 0);
}
