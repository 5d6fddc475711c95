//! `delete = "trash"` on a real server: what is kept of an object, and the road through the binary.

use crate::{
    stores::options,
    support::bench::{Bench, QUICK},
};
use aws_sdk_s3::types::{
    BucketVersioningStatus, ServerSideEncryption, StorageClass, VersioningConfiguration,
};
use s3mirrord::{
    model::{ETag, Key, ObjectOptions, Stamp, Trashed, Went},
    store::{Objects, S3, Store},
};

const TRASH: &str = "delete = \"trash\"\ntrash_prefix = \"old/www\"\n";

/// Class, encryption, tags, headers and metadata, in one request and by parts; of what is chosen for the mirror's objects
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c56_c58_what_goes_to_the_trash_keeps_all_that_it_has() {
    let bench = Bench::new().await;
    let (client, server) = (bench.client(), &bench.server);
    let (key, secret) = (server.access_key(), server.secret_key());
    let mut options = options(server.endpoint(), "backups", "www/", key, secret);
    options.objects = Objects::alike(ObjectOptions {
        storage_class: Some("ONEZONE_IA".into()),
        tags: Some(vec![("chosen".into(), "yes".into())]),
        cache_control: Some("no-store".into()),
        ..ObjectOptions::default()
    });
    options.trash = Some("old/".into());
    let store = S3::connect(options).await.unwrap();
    for size in [9, (16 << 20) + 1] {
        let made = client.put_object().bucket("backups").key("www/page.html").body(vec![7; size].into());
        let made = made
            .storage_class(StorageClass::StandardIa)
            .server_side_encryption(ServerSideEncryption::Aes256)
            .tagging("team=web&a%20b=c")
            .content_type("text/html; charset=utf-8")
            .cache_control("max-age=9")
            .content_disposition("inline")
            .metadata("mtime", "1.5")
            .metadata("color", "blue")
            .metadata("s3mirrord-own", "x");
        let etag = ETag::new(made.send().await.unwrap().e_tag().unwrap());
        let at = Stamp { sec: 1_795_953_013, nsec: 0 };
        let said = Key::raw("page.html");
        let mut to = Trashed::new(&said, &etag, at, "old/", Went::Replaced);
        to.said = Some(said.clone());
        let was = client.head_object().bucket("backups").key("www/page.html").send().await.unwrap();
        store.keep((&said, &etag), &to).await.unwrap();
        let full = format!("old/{}", to.key.trash_name().unwrap());
        let head = client.head_object().bucket("backups").key(&full).send().await.unwrap();
        assert_eq!(head.content_length(), Some(size as i64));
        assert_eq!(head.storage_class(), Some(&StorageClass::StandardIa));
        assert_eq!(head.server_side_encryption(), Some(&ServerSideEncryption::Aes256));
        assert_eq!(head.content_type(), Some("text/html; charset=utf-8"));
        assert_eq!((head.cache_control(), head.content_disposition()), (Some("max-age=9"), Some("inline")));
        let metadata = head.metadata().unwrap();
        let of = |name: &str| metadata.get(name).map(String::as_str);
        assert_eq!((of("mtime"), of("color"), of("s3mirrord-own")), (Some("1.5"), Some("blue"), Some("x")));
        assert_eq!((of("s3mirrord-trash-key"), metadata.len()), (Some("page.html"), 5));
        let written = was.last_modified().unwrap().secs();
        assert_eq!(of("s3mirrord-trash"), Some(&*format!("{written} replaced")));
        let told = store.told(&to.key).await.unwrap().unwrap();
        assert_eq!((told.written, told.went, told.key), (Some(written), Some(Went::Replaced), Some(said)));
        let tags = client.get_object_tagging().bucket("backups").key(&full).send().await.unwrap();
        let mut tags: Vec<_> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
        tags.sort_unstable();
        assert_eq!(tags, [("a b", "c"), ("team", "web")]);
    }
}

/// The road through the binary: what is replaced and deleted is there, nothing else in the bucket is touched.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_replaced_or_deleted_is_found_in_the_trash() {
    let bench = Bench::with(&format!("{QUICK}{TRASH}")).await;
    for (name, text) in [("changed", "old"), ("dir/gone", "was"), ("renamed", "moves"), ("same", "same")] {
        bench.write(name, text);
    }
    let others = [
        ("old/x", "theirs"),
        ("old/www/2020-01-01/theirs", "theirs"),
        ("old/www/2020-01-01/a.000000Z-0123456789abcdef", "written just now"),
        ("www2/a", "theirs"),
    ];
    for (key, text) in others {
        bench.put(key, text).await;
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.write("changed", "new one");
    bench.remove("dir/gone");
    std::fs::rename(bench.root.join("renamed"), bench.root.join("moved")).unwrap();
    let planned = bench.run(&["once", "--dry-run", "--json"]).await;
    assert_eq!(planned.code, 0, "{planned:?}");
    let pass = bench.run(&["once", "--json"]).await;
    assert_eq!(pass.code, 0, "{pass:?}");
    let done = |actions: Vec<(String, String, String)>| {
        actions.into_iter().map(|(a, b, _)| (a, b)).collect::<Vec<_>>()
    };
    assert_eq!(done(planned.actions()), done(pass.actions()), "the trash changes nothing of what is planned");
    bench.await_objects(&[("changed", "new one"), ("moved", "moves"), ("same", "same")]).await;
    let kept = bench.objects_below("old/www/").await;
    let kept: Vec<_> = kept.iter().filter(|(name, _)| !name.starts_with("2020-")).collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
    let went = [("changed", "old"), ("dir/gone", "was"), ("renamed", "moves")];
    for ((name, text), (key, was)) in kept.into_iter().zip(went) {
        assert!(name[10..].starts_with(&format!("/{key}.")) && text == was, "{name} {text}");
    }
    let pass = bench.run(&["once", "--json"]).await;
    assert_eq!((pass.code, pass.actions().len()), (0, 0), "{pass:?}");
    for (key, text) in others {
        let all = bench.objects_below("").await;
        assert_eq!(all.get(key).map(String::as_str), Some(text), "{key}");
    }
}

/// Archived, it can neither be copied nor replaced without a loss: it stays, and that is told.
#[tokio::test(flavor = "multi_thread")]
async fn c59_what_is_archived_is_neither_deleted_nor_replaced() {
    let bench = Bench::with(&format!("{QUICK}{TRASH}")).await;
    ["changed", "gone", "left"].iter().for_each(|name| bench.write(name, "old"));
    assert_eq!(bench.run(&["once"]).await.code, 0);
    for name in ["changed", "gone"] {
        let key = format!("www/{name}");
        let copy =
            bench.client().copy_object().bucket("backups").key(&key).copy_source(format!("backups/{key}"));
        copy.storage_class(StorageClass::Glacier).send().await.unwrap();
    }
    bench.write("changed", "new one");
    bench.remove("gone");
    for _ in 0..2 {
        let pass = bench.run(&["once", "--json"]).await;
        assert_eq!(pass.code, 1, "{pass:?}");
        let mut failed = pass.actions();
        failed.retain(|(_, _, outcome)| outcome == "failed");
        let failed: Vec<_> = failed.iter().map(|(op, path, _)| (&**op, &**path)).collect();
        assert_eq!(failed, [("delete", "gone"), ("put", "changed")], "{pass:?}");
        assert!(pass.stderr.contains("restore it first") && pass.stderr.contains("in the trash"), "{pass:?}");
    }
    for name in ["changed", "gone"] {
        let head =
            bench.client().head_object().bucket("backups").key(format!("www/{name}")).send().await.unwrap();
        assert_eq!((head.content_length(), head.storage_class()), (Some(3), Some(&StorageClass::Glacier)));
    }
    assert!(bench.objects_below("old/").await.is_empty());
}

/// Versions keep what is replaced by themselves, which is said; whoever may not ask is none the wiser.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_keeps_versions_is_told_of() {
    const SAYS: &str = "the bucket keeps versions";
    let bench = Bench::with(&format!("{QUICK}{TRASH}")).await;
    bench.write("a", "1");
    let pass = bench.run(&["-v", "once"]).await;
    assert!(pass.code == 0 && !pass.stderr.contains(SAYS), "{pass:?}");
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let set = bench.client().put_bucket_versioning().bucket("backups").versioning_configuration(enabled);
    set.send().await.unwrap();
    bench.write("a", "22");
    let pass = bench.run(&["-v", "once"]).await;
    assert_eq!((pass.code, pass.stderr.matches(SAYS).count()), (0, 1), "{pass:?}");
    use s3mirrord::embedded::{Kind, Rule};
    bench.server.faults().add(Rule::new(Kind::AccessDenied).operation("GetBucketVersioning"));
    bench.write("a", "333");
    let pass = bench.run(&["-v", "once"]).await;
    assert!(pass.code == 0 && !pass.stderr.contains(SAYS), "{pass:?}");
    assert_eq!(bench.objects_below("old/www/").await.len(), 2);
}
