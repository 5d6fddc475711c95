//! The comparison ladder on the real binary: what each case costs in requests and in bytes read, and that the
//! pass after it lists and does nothing else.

mod edits;
mod foreign;
mod tags;
mod tools;

use crate::support::bench::Bench;
use aws_sdk_s3::{
    operation::{
        create_multipart_upload::builders::CreateMultipartUploadFluentBuilder,
        put_object::builders::PutObjectFluentBuilder,
    },
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use serde_json::Value;
use std::{collections::BTreeMap, fs};

const MIB: usize = 1 << 20;

/// Requests by operation, but for the listing and those to the owner record.
type Asked = BTreeMap<String, u64>;

fn asked(requests: &[(&str, u64)]) -> Asked {
    requests.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn write(bench: &Bench, name: &str, content: impl AsRef<[u8]>) {
    fs::write(bench.root.join(name), content).unwrap();
}

/// A mirror that has claimed its prefix and knows its store, with these files in sync.
async fn in_sync(files: &[(&str, &[u8])]) -> Bench {
    let bench = Bench::new().await;
    write(&bench, "first", "of all");
    for (name, content) in files {
        write(&bench, name, content);
    }
    let ran = bench.run(&["once"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    rests(&bench).await;
    bench
}

/// A pass that ends well: its summary, and what it asked for.
async fn pass(bench: &Bench) -> (Value, Asked) {
    bench.server.reset_requests();
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let (sums, mut requests) = (ran.summary(), bench.server.requests());
    assert_eq!(sums["requests"], serde_json::json!(requests), "it counts as the server does");
    // the owner record is read first, and written before anything else is
    let wrote = ran.actions().iter().any(|(_, _, outcome)| outcome == "done");
    let mut take = |name: &str, count: u64| match requests.get_mut(name) {
        Some(have) if *have > count => *have -= count,
        Some(have) if *have == count => drop(requests.remove(name)),
        _ => assert_eq!(count, 0, "{name} in {sums}"),
    };
    take("ListObjectsV2", 1);
    take("GetObject", 1);
    take("PutObject", u64::from(wrote));
    (sums, requests)
}

/// Nothing is left to do, and to find that out costs one listing.
async fn rests(bench: &Bench) {
    let (sums, requests) = pass(bench).await;
    assert_eq!(requests, asked(&[]), "{sums}");
    for name in ["uploaded", "copied", "metadata", "deleted", "adopted", "failed", "bytes", "bytes_read"] {
        assert_eq!(sums[name], 0, "{name}: {sums}");
    }
}

/// The pass costs exactly this, reads exactly this many bytes, and leaves nothing for the next.
async fn costs(bench: &Bench, requests: &[(&str, u64)], read: usize) -> Value {
    let (sums, found) = pass(bench).await;
    assert_eq!(found, asked(requests), "{sums}");
    assert_eq!(sums["bytes_read"], read, "{sums}");
    rests(bench).await;
    sums
}

/// The ledger goes; what the bucket tells remains.
fn lose_the_ledger(bench: &Bench) {
    fs::remove_file(bench.state().join("www/ledger.redb")).unwrap();
}

/// The content of an object.
async fn content(bench: &Bench, name: &str) -> Vec<u8> {
    let get = bench.client().get_object().bucket("backups").key(format!("www/{name}"));
    get.send().await.unwrap().body.collect().await.unwrap().to_vec()
}

/// Another client writes an object, its own way.
async fn put(
    bench: &Bench,
    name: &str,
    content: &[u8],
    way: impl FnOnce(PutObjectFluentBuilder) -> PutObjectFluentBuilder,
) {
    let put = bench.client().put_object().bucket("backups").key(format!("www/{name}"));
    way(put.body(content.to_vec().into())).send().await.unwrap();
}

/// Another client writes an object in parts, its own way.
async fn put_parts(
    bench: &Bench,
    name: &str,
    content: &[u8],
    part: usize,
    checksum: ChecksumAlgorithm,
    way: impl FnOnce(CreateMultipartUploadFluentBuilder) -> CreateMultipartUploadFluentBuilder,
) {
    let (client, key) = (bench.client(), format!("www/{name}"));
    let create = client.create_multipart_upload().bucket("backups").key(&key);
    let created = way(create.checksum_algorithm(checksum.clone())).send().await.unwrap();
    let id = created.upload_id().unwrap();
    let mut parts = vec![];
    for (number, bytes) in (1..).zip(content.chunks(part)) {
        let send = client.upload_part().bucket("backups").key(&key).upload_id(id).part_number(number);
        let send = send.checksum_algorithm(checksum.clone()).body(bytes.to_vec().into());
        let sent = send.send().await.unwrap();
        let done = CompletedPart::builder().part_number(number).e_tag(sent.e_tag().unwrap());
        let done = done
            .set_checksum_crc32(sent.checksum_crc32().map(str::to_owned))
            .set_checksum_crc64_nvme(sent.checksum_crc64_nvme().map(str::to_owned));
        parts.push(done.build());
    }
    let all = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = client.complete_multipart_upload().bucket("backups").key(&key).upload_id(id);
    complete.multipart_upload(all).send().await.unwrap();
}
