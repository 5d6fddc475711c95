//! Tags that are no MD5 of the object: those of parts, and those that mean nothing.

use super::{MIB, asked, content, costs, in_sync, lose_the_ledger, pass, put, put_parts, rests, write};
use crate::support::{
    bench::{Bench, Ran},
    memory::pattern,
};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, ServerSideEncryption};
use s3mirrord::embedded::{Kind, Rule};
use std::time::Duration;

const PLAIN: ChecksumAlgorithm = ChecksumAlgorithm::Crc32;

#[tokio::test(flavor = "multi_thread")]
async fn c40_parts_of_any_tools_size_are_found_in_one_read() {
    let bench = in_sync(&[]).await;
    let tools = [
        ("aws", 8 * MIB, 20 * MIB + 3),
        ("rclone", 5 * MIB, 12 * MIB),
        ("s5cmd", 50 * MIB, 51 * MIB),
        ("s3cmd", 15 * MIB, 31 * MIB),
        ("mc", 16 * MIB, 17 * MIB),
        ("console", 17_179_870, 18 * MIB),
        ("one part", 64 * MIB, 3 * MIB),
        ("set by hand", 6 * MIB, 23 * MIB),
    ];
    let all = tools.iter().map(|(_, _, size)| size).sum();
    for (tool, part, size) in tools {
        put_parts(&bench, tool, &pattern(size, 1), part, PLAIN, |create| create).await;
        write(&bench, tool, pattern(size, 1));
    }
    let sums = costs(&bench, &[], all).await;
    assert_eq!((&sums["adopted"], &sums["bytes"]), (&tools.len().into(), &0.into()), "{sums}");

    // one of them was not alike
    lose_the_ledger(&bench);
    let mut edited = pattern(20 * MIB + 3, 1);
    edited[10 * MIB] ^= 1;
    write(&bench, "aws", &edited);
    let (sums, requests) = pass(&bench).await;
    assert_eq!((&sums["uploaded"], &requests["HeadObject"]), (&1.into(), &1), "{sums}");
    assert!(content(&bench, "aws").await == edited);
    rests(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c40_under_kms_the_stores_own_checksum_proves_what_others_wrote() {
    let bench = in_sync(&[]).await;
    let kms = || Some(ServerSideEncryption::AwsKms);
    let text = vec![7; 70_000];
    for name in ["sha256", "crc64", "crc32", "differs"] {
        let checksum = match name {
            "crc64" => ChecksumAlgorithm::Crc64Nvme,
            "crc32" => ChecksumAlgorithm::Crc32,
            _ => ChecksumAlgorithm::Sha256,
        };
        put(&bench, name, &text, |put| put.set_server_side_encryption(kms()).checksum_algorithm(checksum))
            .await;
        write(&bench, name, if name == "differs" { vec![8; 70_000] } else { text.clone() });
    }
    let large = pattern(20 * MIB, 1);
    put_parts(&bench, "large", &large, 8 * MIB, ChecksumAlgorithm::Crc64Nvme, |create| {
        create.set_server_side_encryption(kms()).checksum_type(ChecksumType::FullObject)
    })
    .await;
    write(&bench, "large", &large);
    // a CRC-32 proves too little
    let sums = costs(&bench, &[("HeadObject", 5), ("PutObject", 2)], 4 * 70_000 + 20 * MIB).await;
    assert_eq!((&sums["adopted"], &sums["uploaded"]), (&3.into(), &2.into()), "{sums}");
    assert_eq!(content(&bench, "differs").await, [8; 70_000]);
}

/// Whatever the store makes of the tags: what we wrote is known again without a ledger, by one read and one
/// HEAD each, and what was changed is found.
#[tokio::test(flavor = "multi_thread")]
async fn c40_random_tags_are_no_reason_to_send_again() {
    for kind in [Kind::RandomEtag, Kind::OddEtag] {
        for checksums in [true, false] {
            let bench = Bench::new().await;
            bench.server.faults().add(Rule::new(kind.clone()));
            if !checksums {
                bench.server.faults().add(Rule::new(Kind::NoChecksumVerification));
            }
            let large = if checksums { pattern(9 * MIB, 1) } else { vec![] };
            for (name, content) in [("a", &b"one"[..]), ("b", b"two"), ("large", &large)] {
                write(&bench, name, content);
            }
            assert_eq!(bench.run(&["once"]).await.code, 0);
            rests(&bench).await;

            lose_the_ledger(&bench);
            bench.server.reset_requests();
            let ran = bench.run(&["once", "--json"]).await;
            let sums = ran.summary();
            assert_eq!((ran.code, &sums["adopted"], &sums["uploaded"]), (0, &3.into(), &0.into()), "{ran:?}");
            assert_eq!(sums["bytes_read"], 6 + large.len(), "{kind:?}, {checksums}: {sums}");
            let parts = u64::from(checksums && kind == Kind::OddEtag);
            assert_eq!(bench.server.requests()["HeadObject"], 3 - parts, "{kind:?}, {checksums}: {sums}");
            rests(&bench).await;

            lose_the_ledger(&bench);
            write(&bench, "a", "two");
            assert_eq!(bench.run(&["once"]).await.code, 0);
            assert_eq!(content(&bench, "a").await, b"two");
            rests(&bench).await;

            // with a ledger: another client's tag means nothing either
            put(&bench, "b", b"TWO", |put| put).await;
            let (sums, requests) = pass(&bench).await;
            assert_eq!(requests, asked(&[("HeadObject", 1), ("PutObject", 1)]), "{sums}");
            assert_eq!(content(&bench, "b").await, b"two");
            rests(&bench).await;
        }
    }
}

/// Eight jobs of large files at a time; they wait for their HEADs here.
#[tokio::test(flavor = "multi_thread")]
async fn small_files_do_not_wait_for_large_ones_that_are_compared() {
    let bench = Bench::new().await;
    bench.server.faults().add(Rule::new(Kind::RandomEtag));
    for n in 0..16 {
        write(&bench, &format!("large {n:02}"), vec![n; 9 * MIB]);
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    lose_the_ledger(&bench);
    let slow = Rule::new(Kind::Latency(Duration::from_secs(3))).operation("HeadObject");
    let slow = bench.server.faults().add(slow);
    write(&bench, "small", "and last");
    let once = tokio::spawn(Ran::of(bench.command(&["once"])));
    while bench.client().get_object().bucket("backups").key("www/small").send().await.is_err() {
        assert!(!once.is_finished(), "{:?}", once.await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // all large ones have asked when the first is answered and the workers are free
    let met = bench.server.faults().met(slow);
    assert!(met <= 8, "{met} large files took their turn before the small one");
    assert_eq!(once.await.unwrap().code, 0);
}
