//! `doctor`: each thing that stands in the way is named, with what to do about it, and nothing is left in the bucket.

use crate::support::bench::{Bench, Ran};
use s3mirrord::embedded::{Kind, Rule};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt};

async fn doctor(bench: &Bench) -> Ran {
    bench.run(&["doctor", "--json"]).await
}

/// The checks with this verdict.
fn checks(ran: &Ran, verdict: &str) -> Vec<String> {
    let findings = ran.events("finding");
    let with = findings.iter().filter(|finding| finding["verdict"] == verdict);
    with.map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
}

fn finding(ran: &Ran, check: &str) -> Value {
    let findings = ran.events("finding");
    findings
        .into_iter()
        .find(|finding| finding["check"] == check)
        .unwrap_or_else(|| panic!("{check}: {ran:?}"))
}

fn says(finding: &Value, word: &str) -> bool {
    finding.to_string().contains(word)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_well_is_told_as_such_and_nothing_is_left() {
    let bench = Bench::new().await;
    bench.write("d/a", "x");
    bench.put("www/theirs", "of somebody else").await;
    let before = bench.objects().await;
    let ran = doctor(&bench).await;
    assert_eq!((ran.code, checks(&ran, "WRONG").len()), (0, 0), "{ran:?}");
    assert_eq!(checks(&ran, "note"), ["versions"], "{ran:?}");
    for (check, word) in [
        ("configuration", "config.toml"),
        ("root", "1 files (1 B) in 2 directories"),
        ("credentials", bench.server.access_key()),
        ("bucket", "backups/www/"),
        ("clock", " s from the store's"),
        ("owner", "nobody"),
        ("allowed", "s3:AbortMultipartUpload"),
        ("conditions", "hold only"),
        ("checksums", "SHA-256 is verified; tags are MD5s"),
        ("watches", "2 of "),
        ("state_dir", " free"),
        ("cost", "a month"),
    ] {
        assert!(says(&finding(&ran, check), word), "{check}: {ran:?}");
    }
    assert_eq!(bench.objects().await, before, "its own objects are gone");
    assert!(!bench.state().exists(), "and no state is made");
    let uploads = bench.client().list_multipart_uploads().bucket("backups").send().await.unwrap();
    assert_eq!(uploads.uploads().len(), 0);
    assert!(!(ran.stdout + &ran.stderr).contains(bench.server.secret_key()), "no secret is told");
    // for people, and beside what a pass leaves
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let ran = bench.run(&["doctor"]).await;
    assert!(ran.code == 0 && ran.stdout.contains("nothing stands in the way"), "{ran:?}");
    assert!(ran.stdout.contains("  good  owner: this host") && !ran.stdout.contains('\x1b'), "{ran:?}");
}

/// Each operation is denied in turn: just its action is named, and the policy that allows it printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_permission_that_is_missing_is_named() {
    let bench = Bench::new().await;
    bench.write("a", "x");
    for (operation, wrong, noted) in [
        ("ListObjectsV2", &["s3:ListBucket"][..], &[][..]),
        ("PutObject", &["s3:PutObject"], &[]),
        ("GetObject", &["s3:GetObject"], &[]),
        ("DeleteObject", &["s3:DeleteObject"], &["left"]),
        ("ListMultipartUploads", &["s3:ListBucketMultipartUploads"], &[]),
        ("CreateMultipartUpload", &["s3:PutObject"], &[]),
        ("ListParts", &["s3:ListMultipartUploadParts"], &[]),
        ("AbortMultipartUpload", &["s3:AbortMultipartUpload"], &[]),
        ("GetObjectTagging", &[], &["s3:GetObjectTagging"]),
        ("PutObjectTagging", &[], &["s3:PutObjectTagging"]),
        ("GetBucketVersioning", &[], &["s3:GetBucketVersioning"]),
        ("ListObjectVersions", &[], &["s3:ListBucketVersions"]),
    ] {
        let faults = bench.server.faults();
        faults.add(Rule::new(Kind::AccessDenied).operation(operation));
        let ran = doctor(&bench).await;
        let mut notes = checks(&ran, "note");
        notes.retain(|check| check != "versions");
        assert_eq!((checks(&ran, "WRONG"), notes), (strings(wrong), strings(noted)), "{operation} {ran:?}");
        assert_eq!(ran.code, i32::from(!wrong.is_empty()), "{operation}");
        for check in wrong {
            let told = finding(&ran, check);
            let remedy = told["remedy"].as_str().unwrap();
            assert!(remedy.contains(check) && told["why"].is_string(), "{operation}: {told}");
            let ran = bench.run(&["doctor"]).await;
            assert!(
                ran.stdout.contains("\"Version\": \"2012-10-17\"") && ran.stdout.contains("WRONG"),
                "{ran:?}"
            );
        }
        faults.clear();
    }
    let ran = bench.run(&["doctor", "--policy"]).await;
    let policy: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(policy.to_string().contains("arn:aws:s3:::backups/www/*"), "{policy}");
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_a_root_a_clock_and_an_owner_that_are_not_right_are_told_with_what_to_do() {
    let bench = Bench::new().await;
    bench.write("a", "x");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    // another host
    let owner =
        bench.client().get_object().bucket("backups").key("www/.s3mirrord/owner.json").send().await.unwrap();
    let mut record: Value =
        serde_json::from_slice(&owner.body.collect().await.unwrap().into_bytes()).unwrap();
    record["host"] = "elsewhere".into();
    bench.put("www/.s3mirrord/owner.json", &record.to_string()).await;
    let ran = doctor(&bench).await;
    assert!(ran.code == 1 && says(&finding(&ran, "owner"), "elsewhere"), "{ran:?}");
    assert!(says(&finding(&ran, "owner"), "--take-over"), "{ran:?}");
    // the clock
    bench.server.faults().add(Rule::new(Kind::Clock(600)));
    let ran = doctor(&bench).await;
    assert!(
        says(&finding(&ran, "clock"), "timedatectl") && checks(&ran, "WRONG").contains(&"clock".into()),
        "{ran:?}"
    );
    bench.server.faults().clear();
    // the bucket
    let config = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), config.replace("bucket = \"backups\"", "bucket = \"backup\"")).unwrap();
    let ran = doctor(&bench).await;
    let told = finding(&ran, "bucket");
    assert!(
        ran.code == 1 && told["remedy"].as_str().unwrap().ends_with("those there are: backups"),
        "{told}"
    );
    // no server
    let dead = config.replace(&bench.server.endpoint(), "http://127.0.0.1:1");
    fs::write(bench.config(), dead).unwrap();
    let ran = doctor(&bench).await;
    assert!(ran.code == 1 && says(&finding(&ran, "bucket"), "endpoint_url"), "{ran:?}");
    // the root
    fs::write(bench.config(), config).unwrap();
    fs::rename(&bench.root, bench.dir.path().join("away")).unwrap();
    let ran = doctor(&bench).await;
    assert!(checks(&ran, "WRONG").contains(&"root".into()), "{ran:?}");
    assert!(checks(&ran, "good").contains(&"allowed".into()), "the rest is looked at: {ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_counted_and_the_trash_is_tried() {
    let bench = Bench::with("delete = \"trash\"\ntrash_prefix = \"bin/\"").await;
    bench.write("closed/a", "x");
    bench.write("open", "x");
    fs::set_permissions(bench.root.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    bench.server.faults().add(Rule::new(Kind::AccessDenied).operation("DeleteObject"));
    let Some(command) = bench.restrained(&["doctor", "--json"]).await else {
        return crate::support::skip("it takes setpriv");
    };
    let ran = Ran::of(command).await;
    assert!(says(&finding(&ran, "readable"), "1 entries cannot be read, the first is closed/"), "{ran:?}");
    for place in [" www/.s3mirrord/doctor-", " bin/.s3mirrord/doctor-"] {
        let findings = ran.events("finding");
        let mut denied = findings.iter().filter(|finding| finding["check"] == "s3:DeleteObject");
        assert!(denied.any(|denied| says(denied, place)), "{place}: {ran:?}");
    }
    assert!(says(&finding(&ran, "versions"), "the trash does"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_within_another_mirrors_is_told() {
    let bench = Bench::new().await;
    bench.write("a", "x");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    for (prefix, within) in [("www/etc/deep/", true), ("www2/", false)] {
        bench.configure(&bench.mirror("www", &bench.root, prefix, ""));
        let ran = doctor(&bench).await;
        let told = ran.events("finding").into_iter().find(|told| told["verdict"] == "WRONG");
        let told = told
            .map(|told| (told["check"].clone(), says(&told, "backups/www/, which this prefix lies within")));
        assert_eq!(told, within.then(|| ("owner".into(), true)), "{ran:?}");
        assert_eq!(ran.code, i32::from(within), "{ran:?}");
    }
}
