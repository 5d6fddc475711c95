//! What is done to files that were in sync.

use super::{MIB, asked, content, costs, in_sync, pass, put, rests, write};
use crate::support::memory::pattern;
use std::{
    fs::{self, File},
    time::{Duration, UNIX_EPOCH},
};

#[tokio::test(flavor = "multi_thread")]
async fn c22_an_edit_of_the_same_size_is_found_though_mtime_is_set_back() {
    let bench = in_sync(&[("a", &[1; 4000]), ("large", &pattern(9 * MIB, 1))]).await;
    let when = |name: &str| fs::metadata(bench.root.join(name)).unwrap().modified().unwrap();
    for (name, new, requests, read) in [
        // a small file that was compared is sent from memory
        ("a", vec![2; 4000], &[("PutObject", 1)][..], 4000),
        (
            "large",
            pattern(9 * MIB, 2),
            &[("CreateMultipartUpload", 1), ("UploadPart", 2), ("CompleteMultipartUpload", 1)],
            18 * MIB,
        ),
    ] {
        let old = when(name);
        write(&bench, name, &new);
        File::options().write(true).open(bench.root.join(name)).unwrap().set_modified(old).unwrap();
        let sums = costs(&bench, requests, read).await;
        assert_eq!((&sums["uploaded"], &sums["bytes"]), (&1.into(), &new.len().into()));
        assert!(content(&bench, name).await == new);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c23_a_touched_file_is_read_once_and_its_metadata_copied() {
    let bench = in_sync(&[("small", b"some text"), ("large", &pattern(9 * MIB, 1))]).await;
    for (name, size) in [("small", 9), ("large", 9 * MIB)] {
        let file = File::options().write(true).open(bench.root.join(name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
        // a copy is preceded by a HEAD: what is not user metadata has to be sent again
        let sums = costs(&bench, &[("HeadObject", 1), ("CopyObject", 1)], size).await;
        assert_eq!((&sums["metadata"], &sums["bytes"]), (&1.into(), &0.into()));
    }
    // nothing but the inode changed: the proof is written anew, the object not
    fs::copy(bench.root.join("small"), bench.root.join(".new")).unwrap();
    let copy = File::options().write(true).open(bench.root.join(".new")).unwrap();
    copy.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
    fs::rename(bench.root.join(".new"), bench.root.join("small")).unwrap();
    costs(&bench, &[], 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c49_what_another_client_overwrote_is_compared_and_replaced() {
    let bench = in_sync(&[("a", &[1; 5000])]).await;
    // of the same content: a tag of its own, if it is one
    put(&bench, "a", &[1; 5000], |put| put.content_type("text/x-other")).await;
    rests(&bench).await;
    put(&bench, "a", &[2; 5000], |put| put).await;
    let sums = costs(&bench, &[("HeadObject", 1), ("PutObject", 1)], 5000).await;
    assert_eq!(sums["uploaded"], 1);
    assert_eq!(content(&bench, "a").await, [1; 5000]);
    // with the metadata that we gave the object before, digest and all
    let head = bench.client().head_object().bucket("backups").key("www/a").send().await.unwrap();
    assert!(head.metadata().unwrap().contains_key("s3mirrord-sha256"));
    put(&bench, "a", &[3; 5000], |put| put.set_metadata(head.metadata().cloned())).await;
    costs(&bench, &[("HeadObject", 1), ("PutObject", 1)], 5000).await;
    assert_eq!(content(&bench, "a").await, [1; 5000]);
    // of another size: nothing has to be compared
    put(&bench, "a", b"short", |put| put).await;
    costs(&bench, &[("PutObject", 1)], 5000).await;
    assert_eq!(content(&bench, "a").await, [1; 5000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn c43_what_a_listing_omits_is_looked_at_before_it_is_believed_gone() {
    use s3mirrord::embedded::{Kind, Rule};
    let bench = in_sync(&[("a", &[1; 5000]), ("b", &[2; 300])]).await;
    let before = bench.objects().await;
    let omitted = bench.server.faults().add(Rule::new(Kind::OmitKey("www/a".to_owned())));
    for _ in 0..2 {
        let (sums, requests) = pass(&bench).await;
        assert_eq!(requests, asked(&[("HeadObject", 1)]), "{sums}");
        assert_eq!((&sums["unchanged"], &sums["bytes_read"]), (&3.into(), &0.into()), "{sums}");
    }
    // without its file: it is not believed gone, nor forgotten, nor deleted as long as it is not seen
    let file = fs::read(bench.root.join("b")).unwrap();
    let hidden = bench.server.faults().add(Rule::new(Kind::OmitKey("www/b".to_owned())));
    bench.remove("b");
    let (sums, _) = pass(&bench).await;
    assert_eq!(sums["failed"], 0, "{sums}");
    write(&bench, "b", &file);
    bench.server.faults().remove(hidden);
    bench.server.faults().remove(omitted);
    let (sums, _) = pass(&bench).await;
    assert_eq!(sums["failed"], 0, "{sums}");
    rests(&bench).await;
    assert_eq!(bench.objects().await, before);
    // what is gone is put again
    bench.client().delete_object().bucket("backups").key("www/a").send().await.unwrap();
    costs(&bench, &[("HeadObject", 1), ("PutObject", 1)], 5000).await;
    assert_eq!(bench.objects().await, before);
}
