//! Moving in where another tool has mirrored the same directory: nothing is sent again. The commands are those of
//! docs/MIGRATING.md.

use crate::{
    restore::{noise, tree, write},
    support::{outsider::Outsider, site::Site, skip},
};
use s3mirrord::embedded::{Handle, Options, Server};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

const MIB: usize = 1 << 20;
const TIME: i64 = 1_600_000_000;

async fn site() -> (Handle, Site) {
    let buckets = vec!["backups".to_owned()];
    let server = Server::start(Options { buckets, ..Options::default() }).await.unwrap();
    let site = Site::new(server.endpoint(), server.access_key(), server.secret_key());
    (server, site)
}

/// Names that every tool can read, and one file that it sends in several parts.
fn files(site: &Site, large: usize) {
    let root = &site.root;
    write(root, b"index.html", b"<p>hello", 0o640, TIME);
    write(root, b"empty", b"", 0o600, TIME + 1);
    write(root, b"bin/run.sh", b"#!/bin/sh\n", 0o755, TIME + 2);
    write(root, "docs/ö +%&#/x y.txt".as_bytes(), b"odd", 0o644, TIME + 3);
    for n in 0..60 {
        write(root, format!("many/{n:03}").as_bytes(), &noise(4000, n), 0o644, TIME + 4);
    }
    write(root, b"large", &noise(large, 5), 0o644, TIME + 5);
}

/// The first pass sends no byte of a file, and the second looks no more. Each object has the one version that it had.
async fn moves_in(server: &Handle, site: &Site, boto3: &mut Outsider) {
    let requests = server.requests();
    assert!(
        requests.get("UploadPart").is_some_and(|n| *n >= 2),
        "the large one went up in parts: {requests:?}"
    );
    boto3.keep_versions().await;
    let files = tree(&site.root).len();
    let rehearsal = site.once(&["--delete", "mirror", "--dry-run"]).await;
    assert_eq!((rehearsal.code, rehearsal.actions().len()), (0, 0), "{rehearsal:?}");
    let ran = site.once(&["--delete", "mirror"]).await;
    let sums = ran.summary();
    assert_eq!((ran.code, &sums["adopted"], &sums["uploaded"]), (0, &files.into(), &0.into()), "{ran:?}");
    assert_eq!((&sums["bytes"], &sums["failed"]), (&0.into(), &0.into()), "{ran:?}");
    let written = ["CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy"];
    for name in written {
        assert!(sums["requests"][name].is_null(), "{name}: {sums}");
    }
    let sums = site.once(&["--delete", "mirror"]).await.summary();
    assert_eq!(sums["bytes_read"], 0, "{sums}");
    for name in written.iter().chain(&["PutObject", "HeadObject"]) {
        assert!(sums["requests"][name].is_null(), "{name}: {sums}");
    }
    // but for the markers of directories
    let mut names: Vec<_> = boto3.versions("www/").await.into_iter().map(|(name, _)| name).collect();
    names.retain(|name| !name.ends_with(b"/"));
    assert_eq!(names.len(), files, "{names:?}");
}

/// What comes back of the times and modes, while the objects are as the other tool made them.
async fn comes_back(site: &Site, times: bool, modes: bool) {
    let out = site.dir.path().join("as it was made");
    let ran = site.restore(&out, &[]).await;
    assert_eq!((ran.code, &ran.summary()["unproven"]), (0, &0.into()), "{ran:?}");
    let (came, had) = (tree(&out), tree(&site.root));
    assert!(came.keys().eq(had.keys()));
    for (name, (body, mode, sec, nsec)) in had {
        let (is, is_mode, is_sec, is_nsec) = &came[&name];
        assert!(*is == body, "{name:?}");
        assert_eq!((*is_sec, *is_nsec) == (sec, nsec), times, "{name:?}");
        // what a new file gets may be what it had
        assert!(*is_mode == mode || !modes && *is_mode == 0o644, "{name:?} {is_mode:o}");
    }
}

/// From then on they are mirrored as any: metadata without a byte, deletes, and what the other tool left over stays until it
/// is adopted.
async fn lives_on(site: &Site, boto3: &mut Outsider) {
    let root = &site.root;
    for path in tree(root).into_keys() {
        let path = root.join(path);
        let mode = path.metadata().unwrap().permissions().mode();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o040)).unwrap();
        let later = path.metadata().unwrap().modified().unwrap() + std::time::Duration::from_nanos(1_000);
        fs::File::open(&path).unwrap().set_modified(later).unwrap();
    }
    let ran = site.once(&["--delete", "mirror"]).await;
    let sums = ran.summary();
    assert_eq!(
        (ran.code, &sums["uploaded"], &sums["metadata"]),
        (0, &0.into(), &tree(root).len().into()),
        "{ran:?}"
    );
    let out = site.dir.path().join("with our metadata");
    assert_eq!(site.restore(&out, &[]).await.code, 0);
    assert!(tree(&out) == tree(root));
    fs::remove_file(root.join("index.html")).unwrap();
    boto3.ask(json!(["put", "www/left over", "of a file that is long gone"])).await;
    let ran = site.once(&["--delete", "mirror"]).await;
    assert_eq!((&ran.summary()["deleted"], &ran.summary()["foreign"]), (&1.into(), &1.into()), "{ran:?}");
    let ran = site.once(&["--delete", "mirror", "--adopt"]).await;
    assert_eq!((ran.code, &ran.summary()["adopted"]), (0, &1.into()), "{ran:?}");
    let ran = site.once(&["--delete", "mirror"]).await;
    assert_eq!(boto3.list("www/").await.len(), tree(root).len(), "{ran:?}");
}

/// `None`, said, where there is no boto3.
async fn boto3(site: &Site) -> Option<Outsider> {
    let boto3 = Outsider::start(&site.endpoint, &site.access_key, &site.secret_key, "backups").await;
    if boto3.is_none() {
        skip("python3 has no boto3");
    }
    boto3
}

/// True if the tool did it; said, where it is not there.
async fn did(site: &Site, tool: &str, words: &[&str]) -> bool {
    if let Err(why) = site.tool(tool, &[if tool == "aws" { "--version" } else { "version" }]).await {
        skip(&why);
        return false;
    }
    site.tool(tool, words).await.unwrap();
    true
}

fn with_slash(root: &Path) -> String {
    format!("{}/", root.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_aws_s3_sync_mirrored_is_taken_over_and_nothing_sent() {
    let (server, site) = site().await;
    files(&site, 20 * MIB + 5);
    let root = with_slash(&site.root);
    if !did(&site, "aws", &["s3", "sync", "--only-show-errors", &root, "s3://backups/www/"]).await {
        return;
    }
    let Some(mut boto3) = boto3(&site).await else { return };
    moves_in(&server, &site, &mut boto3).await;
    comes_back(&site, false, false).await;
    // whoever runs it once more finds nothing to do
    assert_eq!(
        site.tool(
            "aws",
            &["s3", "sync", "--dryrun", &root, "s3://backups/www/", "--exclude", ".s3mirrord/*"]
        )
        .await,
        Ok(String::new())
    );
    lives_on(&site, &mut boto3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rclone_copied_is_taken_over_and_nothing_sent() {
    for metadata in [false, true] {
        let (server, site) = site().await;
        files(&site, 20 * MIB + 5);
        write(&site.root, b"caf\xe9/\xff", b"no text", 0o644, TIME);
        let remote =
            format!(":s3,provider=Other,env_auth,endpoint='{}',upload_cutoff=8Mi:backups/www", site.endpoint);
        let root = site.root.to_str().unwrap();
        let words = [&["copy", root, &remote][..], if metadata { &["--metadata"] } else { &[] }].concat();
        if !did(&site, "rclone", &words).await {
            return;
        }
        let Some(mut boto3) = boto3(&site).await else { return };
        moves_in(&server, &site, &mut boto3).await;
        comes_back(&site, true, metadata).await;
        assert!(site.tool("rclone", &["check", root, &remote, "--exclude", "/.s3mirrord/**"]).await.is_ok());
        lives_on(&site, &mut boto3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_s5cmd_sync_mirrored_is_taken_over_and_nothing_sent() {
    let (server, site) = site().await;
    files(&site, 60 * MIB + 5);
    let root = with_slash(&site.root);
    if !did(&site, "s5cmd", &["--endpoint-url", &site.endpoint, "sync", &root, "s3://backups/www/"]).await {
        return;
    }
    let Some(mut boto3) = boto3(&site).await else { return };
    moves_in(&server, &site, &mut boto3).await;
    comes_back(&site, false, false).await;
    lives_on(&site, &mut boto3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_boto3_script_uploaded_is_taken_over_and_nothing_sent() {
    let (server, site) = site().await;
    files(&site, 20 * MIB + 5);
    let Some(mut boto3) = boto3(&site).await else { return };
    for path in tree(&site.root).into_keys() {
        let path: PathBuf = path;
        boto3.ask(json!(["upload", site.root.join(&path), format!("www/{}", path.display())])).await;
    }
    moves_in(&server, &site, &mut boto3).await;
    comes_back(&site, false, false).await;
    lives_on(&site, &mut boto3).await;
}
