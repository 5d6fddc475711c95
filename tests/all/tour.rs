//! A bucket that is mirrored is a bucket: boto3 lists, reads, copies and deletes in it, and the next pass makes of that what
//! is promised.

use crate::{
    restore::{noise, write},
    support::{moto::Moto, outsider::Outsider, site::Site, skip},
};
use s3mirrord::embedded::{Options, Server};
use serde_json::json;
use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt};

fn files(site: &Site) {
    let root = &site.root;
    write(root, b"a.txt", b"hello", 0o640, 1_600_000_000);
    write(root, b"dir/run.sh", b"#!/bin/sh\n", 0o755, 1_500_000_000);
    write(root, b"empty", b"", 0o600, 1_400_000_000);
    write(root, "ö +%&/\u{FF0F} \u{2400}".as_bytes(), b"odd", 0o644, 1_300_000_000);
    write(root, b"caf\xe9", b"no text", 0o644, 1_300_000_001);
    write(root, b"large", &noise((20 << 20) + 5, 1), 0o444, 1_200_000_000);
}

async fn tour(site: &Site, boto3: &mut Outsider) {
    files(site);
    let ran = site.once(&["--delete", "mirror"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");

    // buckets
    assert_eq!(boto3.ask(json!(["buckets"])).await, json!(["backups"]));
    assert_eq!(boto3.ask(json!(["location"])).await, json!(null), "us-east-1 has no name");

    // list, head
    let sizes: BTreeMap<_, _> = [
        (&b"a.txt"[..], 5),
        (b"dir/run.sh", 10),
        (b"empty", 0),
        ("ö +%&/\u{FF0F} \u{2400}".as_bytes(), 3),
        (b"caf\xe9", 7),
        (b"large", (20 << 20) + 5),
    ]
    .into_iter()
    .map(|(name, size)| (name.to_vec(), size))
    .collect();
    assert_eq!(boto3.list("www/").await, sizes);
    for (name, mode, mtime) in [
        ("a.txt", "0100640", "1600000000.123456789"),
        ("dir/run.sh", "0100755", "1500000000.123456789"),
        ("large", "0100444", "1200000000.123456789"),
    ] {
        let told = boto3.metadata(&format!("www/{name}")).await;
        let meta = site.root.join(name).metadata().unwrap();
        assert_eq!((&*told["mode"], &*told["mtime"]), (mode, mtime), "{name}");
        assert_eq!((&told["uid"], &told["gid"]), (&meta.uid().to_string(), &meta.gid().to_string()));
        assert!(told.contains_key("s3mirrord-own"), "{told:?}");
    }

    // download, in one piece and in several
    for name in ["a.txt", "dir/run.sh", "empty", "large"] {
        let to = site.dir.path().join("download");
        boto3.ask(json!(["download", format!("www/{name}"), to])).await;
        assert!(fs::read(to).unwrap() == fs::read(site.root.join(name)).unwrap(), "{name}");
    }
    let all = boto3.read("www/").await;
    assert_eq!(all.len(), sizes.len());

    // copies carry our metadata, and are not ours: they stay
    for (word, from, to) in [
        ("copy", "a.txt", "copied"),
        ("copy", "large", "dir/copied too"),
        ("manage_copy", "large", "large copy"),
        ("manage_copy", "a.txt", "small copy"),
    ] {
        boto3.ask(json!([word, format!("www/{from}"), null, format!("www/{to}")])).await;
    }
    boto3.ask(json!(["make_bucket", "other"])).await;
    boto3.ask(json!(["copy", "www/a.txt", "other", "there"])).await;
    boto3.ask(json!(["manage_copy", "www/large", "other", "www/large"])).await;
    assert_eq!(boto3.ask(json!(["buckets"])).await, json!(["backups", "other"]));
    for _ in 0..2 {
        let ran = site.once(&["--delete", "mirror"]).await;
        let sums = ran.summary();
        assert_eq!(
            (ran.code, &sums["foreign"], &sums["deleted"], &sums["uploaded"]),
            (0, &4.into(), &0.into(), &0.into()),
            "{ran:?}"
        );
    }
    assert_eq!(boto3.list("www/").await.len(), sizes.len() + 4);

    // what is deleted, or overwritten, is healed by the next pass
    boto3.ask(json!(["delete", "www/a.txt"])).await;
    boto3.ask(json!(["delete", "www/large", "www/dir/run.sh", "www/large copy"])).await;
    boto3.ask(json!(["put", "www/empty", "no longer"])).await;
    let ran = site.once(&["--delete", "mirror"]).await;
    let sums = ran.summary();
    assert_eq!(
        (ran.code, &sums["uploaded"], &sums["foreign"], &sums["deleted"]),
        (0, &4.into(), &3.into(), &0.into()),
        "{ran:?}"
    );
    let mut healed = boto3.read("www/").await;
    healed.retain(|name, _| all.contains_key(name));
    assert_eq!(healed, all);
    assert_eq!(boto3.metadata("www/dir/run.sh").await["mode"], "0100755");
    assert_eq!(boto3.uploads("").await, [""; 0], "nothing is left open");
    // and there is peace
    let ran = site.once(&["--delete", "mirror"]).await;
    assert_eq!((ran.code, ran.actions().len()), (0, 0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_tours_a_mirrored_bucket_of_the_embedded_server() {
    let buckets = vec!["backups".to_owned()];
    let server = Server::start(Options { buckets, ..Options::default() }).await.unwrap();
    let site = Site::new(server.endpoint(), server.access_key(), server.secret_key());
    let boto3 = Outsider::start(&site.endpoint, &site.access_key, &site.secret_key, "backups").await;
    let Some(mut boto3) = boto3 else { return skip("python3 has no boto3") };
    tour(&site, &mut boto3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_tours_a_mirrored_bucket_of_moto() {
    let Some(moto) = Moto::start() else { return skip("python3 has no moto") };
    moto.create_bucket("backups");
    let site = Site::new(moto.endpoint(), "k", "s");
    let boto3 = Outsider::start(&site.endpoint, &site.access_key, &site.secret_key, "backups").await;
    let Some(mut boto3) = boto3 else { return skip("python3 has no boto3") };
    tour(&site, &mut boto3).await;
}
