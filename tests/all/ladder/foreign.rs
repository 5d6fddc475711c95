//! Objects that another client wrote: beside a file, and without one.

use super::{asked, content, costs, in_sync, pass, put, rests, write};
use crate::support::bench::Bench;
use s3mirrord::embedded::{Kind, Rule};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn c62_a_foreign_object_costs_one_head_until_it_changes() {
    let bench = in_sync(&[]).await;
    for n in 0..5 {
        put(&bench, &format!("theirs/{n}"), b"not ours", |put| put).await;
    }
    let (sums, requests) = pass(&bench).await;
    assert_eq!((requests, &sums["foreign"]), (asked(&[("HeadObject", 5)]), &5.into()));
    let (sums, requests) = pass(&bench).await;
    assert_eq!((requests, &sums["foreign"]), (asked(&[]), &5.into()), "the verdict is remembered");
    put(&bench, "theirs/3", b"not ours either", |put| put).await;
    let (_, requests) = pass(&bench).await;
    assert_eq!(requests, asked(&[("HeadObject", 1)]), "that of this tag");
    rests(&bench).await;
    assert_eq!(bench.objects().await.len(), 6);

    // files of these names: one alike, one not
    std::fs::create_dir(bench.root.join("theirs")).unwrap();
    write(&bench, "theirs/0", "not ours");
    write(&bench, "theirs/1", "is ours!");
    // one of them marks the directory
    let sums = costs(&bench, &[("HeadObject", 1), ("PutObject", 2)], 16).await;
    assert_eq!((&sums["uploaded"], &sums["adopted"], &sums["foreign"]), (&1.into(), &1.into(), &3.into()));
    assert_eq!(content(&bench, "theirs/1").await, b"is ours!");
}

/// What lies under a file's name is replaced on the condition that it is still what was compared.
#[tokio::test(flavor = "multi_thread")]
async fn c49_a_foreign_object_that_changes_while_it_is_replaced_is_compared_again() {
    let bench = in_sync(&[]).await;
    put(&bench, "a", b"theirs, 1", |put| put).await;
    write(&bench, "a", "our own 1");
    let slow = Rule::new(Kind::Latency(Duration::from_secs(2))).operation("PutObject").key("/a").times(1);
    let slow = bench.server.faults().add(slow);
    bench.server.reset_requests();
    let once = tokio::spawn(crate::support::bench::Ran::of(bench.command(&["once", "--json"])));
    while bench.server.faults().met(slow) == 0 {
        assert!(!once.is_finished(), "{:?}", once.await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // the request is held back, and the object changes to what the file holds
    put(&bench, "a", b"our own 1", |put| put.content_type("text/x-theirs")).await;
    let ran = once.await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    let sums = ran.summary();
    assert_eq!((&sums["uploaded"], &sums["adopted"]), (&0.into(), &1.into()), "{sums}");
    let head = bench.client().head_object().bucket("backups").key("www/a").send().await.unwrap();
    assert_eq!(head.content_type(), Some("text/x-theirs"), "it was not replaced");
    rests(&bench).await;
}

/// Nobody without the key can compare it, nor read its metadata.
#[tokio::test(flavor = "multi_thread")]
async fn c40_under_a_customers_key_an_object_is_foreign_or_replaced() {
    let bench = in_sync(&[]).await;
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let md5 = "hRasmdxgYDKV3nvbahU1MA==";
    for name in ["a", "theirs"] {
        put(&bench, name, b"secret", |put| {
            put.sse_customer_algorithm("AES256").sse_customer_key(key).sse_customer_key_md5(md5)
        })
        .await;
    }
    write(&bench, "a", "public");
    // of either object HEAD tells nothing, and a GET why
    let want = [("GetObject", 2), ("HeadObject", 2), ("PutObject", 1)];
    let sums = costs(&bench, &want, 6).await;
    assert_eq!((&sums["uploaded"], &sums["foreign"]), (&1.into(), &1.into()), "{sums}");
    assert_eq!(content(&bench, "a").await, b"public");
}

/// A bucket that another tool filled, and a mirror that never ran.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_tool_mirrored_is_adopted_for_one_read() {
    let bench = Bench::new().await;
    for n in 0..20 {
        let (name, text) = (format!("f{n}"), "x".repeat(1 + n * 1000));
        put(&bench, &name, text.as_bytes(), |put| put).await;
        write(&bench, &name, text);
    }
    let sums = costs(&bench, &[], 20 + 190_000).await;
    assert_eq!((&sums["adopted"], &sums["uploaded"]), (&20.into(), &0.into()));
    assert_eq!(bench.objects().await.len(), 20);
}

/// A mirror that never ran wrote nothing: whatever lies there is not its.
#[tokio::test(flavor = "multi_thread")]
async fn c62_what_is_older_than_the_first_claim_is_foreign_without_a_head() {
    let bench = Bench::new().await;
    for n in 0..30 {
        put(&bench, &format!("theirs/{n}"), b"not ours", |put| put).await;
    }
    // the clocks of a store's servers may be a quarter of an hour apart
    bench.server.contents().age(Duration::from_secs(901));
    let sums = costs(&bench, &[], 0).await;
    assert_eq!((&sums["foreign"], &sums["deleted"]), (&30.into(), &0.into()));
    // when it has claimed the prefix: what is older is still not its, what is younger might be
    write(&bench, "ours", "ours");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    for n in 0..30 {
        put(&bench, &format!("theirs, too/{n}"), b"not ours", |put| put).await;
    }
    let sums = costs(&bench, &[("HeadObject", 30)], 0).await;
    assert_eq!(sums["foreign"], 60);
    // in one go
    let bench = Bench::new().await;
    for n in 0..30 {
        put(&bench, &format!("theirs/{n}"), b"not ours", |put| put).await;
    }
    bench.server.contents().age(Duration::from_secs(901));
    (0..30).for_each(|n| write(&bench, &format!("ours {n}"), "ours"));
    bench.server.reset_requests();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(bench.server.requests()["HeadObject"], 1, "when the claim was made");
    rests(&bench).await;
    // what came just before the claim is asked for, once that was made
    let recent = Bench::new().await;
    (0..30).for_each(|n| write(&recent, &format!("ours {n}"), "ours"));
    put(&recent, "theirs", b"not ours", |put| put).await;
    let hidden = recent.server.faults().add(Rule::new(Kind::OmitKey("www/theirs".to_owned())));
    assert_eq!(recent.run(&["once"]).await.code, 0);
    recent.server.faults().remove(hidden);
    assert_eq!(costs(&recent, &[("HeadObject", 1)], 0).await["foreign"], 1);
    assert_eq!(recent.objects().await.len(), 31);
    // the ledger gone, nothing tells when that was
    super::lose_the_ledger(&bench);
    bench.remove("ours 7");
    bench.server.reset_requests();
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!((ran.code, &ran.summary()["deleted"]), (0, &1.into()), "{ran:?}");
    assert_eq!(bench.objects().await.len(), 59);
}
