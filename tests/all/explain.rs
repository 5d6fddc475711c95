//! `explain`: what is known of a file, and what would be done; by itself, and by a daemon that holds the ledger.

use crate::support::bench::{Bench, QUICK};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use s3mirrord::embedded::{Kind, Rule};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt};

async fn explain(bench: &Bench, path: &str) -> Value {
    let ran = bench.run(&["explain", "--json", path]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// What would be done, and why.
async fn verdict(bench: &Bench, path: &str) -> (String, String) {
    let told = explain(bench, path).await;
    (told["verdict"].as_str().unwrap().to_owned(), told["why"].as_str().unwrap().to_owned())
}

fn says(told: &Value, note: &str) -> bool {
    told["notes"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains(note))
}

/// Files of every sort, and what is to be said of each.
async fn scene(lines: &str) -> (Bench, Vec<(&'static str, &'static str, &'static str)>) {
    let bench = Bench::with(lines).await;
    assert_eq!(verdict(&bench, "new").await, ("nothing".into(), "neither side has it".into()));
    for name in ["same", "edited", "longer", "gone", "renamed", "touched"] {
        bench.write(name, "as it was");
    }
    assert_eq!(verdict(&bench, "same").await, ("put".into(), "new file".into()), "it was never opened");
    assert!(!bench.state().exists(), "nothing is left");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.put("www/theirs", "of somebody else").await;
    let want = vec![
        ("same", "nothing", "both sides are proven equal"),
        ("new", "put", "new file"),
        ("longer", "put", "size differs"),
        ("edited", "compare", "touched since the last proof"),
        ("gone", "delete", "the file is gone; the object goes if it is still so"),
        ("moved", "copy", "it was renamed before"),
        ("touched", "compare", "touched since the last proof"),
        ("theirs", "compare", "is the object ours?"),
        ("cache/x", "nothing", "it is excluded"),
        ("d", "put", "new file"),
    ];
    (bench, want)
}

fn change(bench: &Bench) {
    bench.write("new", "x");
    bench.write("longer", "longer than it was");
    bench.write("edited", "AS IT WAS");
    bench.remove("gone");
    fs::rename(bench.root.join("renamed"), bench.root.join("moved")).unwrap();
    fs::set_permissions(bench.root.join("touched"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.write("cache/x", "x");
    bench.write("d/keep.log", "x");
    bench.write("d/a.log", "x");
}

const EXCLUDE: &str = "exclude = [\"*.log\", \"!keep.log\", \"cache/\"]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_done_and_why_is_told_and_not_done() {
    let (bench, want) = scene(EXCLUDE).await;
    change(&bench);
    let objects = bench.objects().await;
    bench.server.reset_requests();
    for (name, op, why) in &want {
        let told = verdict(&bench, name).await;
        assert!(told.0 == *op && told.1.starts_with(why), "{name} {told:?}");
    }
    let requests = bench.server.requests();
    let asks = ["ListObjectsV2", "HeadObject", "GetObject", "ListObjectVersions"];
    assert!(requests.keys().all(|name| asks.contains(&name.as_str())), "{requests:?}");
    assert_eq!(bench.objects().await, objects);
    // the three sides, and whose the object is
    let told = explain(&bench, "touched").await;
    let modes = ["disk", "bucket", "ledger"].map(|side| told[side]["mode"].as_str().unwrap().to_owned());
    assert_eq!(modes, ["-rw-------", "-rw-r--r--", "-rw-r--r--"], "{told}");
    assert_eq!(told["bucket"]["etag"], told["ledger"]["etag"]);
    assert!(says(&told, "the object is ours"), "{told}");
    assert!(says(&explain(&bench, "theirs").await, "another tool wrote the object"));
    // which pattern it is
    for (name, rule) in [
        ("d/a.log", Some((1, "*.log", "d/a.log", true))),
        ("d/keep.log", Some((2, "!keep.log", "d/keep.log", false))),
        ("cache/x", Some((3, "cache/", "cache", true))),
        ("new", None),
    ] {
        let told = explain(&bench, name).await;
        let have = &told["rule"];
        let Some((number, pattern, entry, excludes)) = rule else {
            assert!(have.is_null(), "{told}");
            continue;
        };
        assert_eq!((&have["number"], &have["pattern"]), (&number.into(), &pattern.into()), "{told}");
        assert_eq!((&have["entry"], &have["excludes"]), (&entry.into(), &excludes.into()), "{told}");
        assert_eq!(told["left_out"], excludes);
    }
    // for people
    let absolute = bench.root.join("d/a.log");
    let ran = bench.run(&["explain", absolute.to_str().unwrap()]).await;
    assert!(ran.stdout.contains("exclude number 1, *.log, excludes it\n"), "{ran:?}");
    assert!(ran.stdout.contains("  now: nothing, as it is excluded\n"), "{ran:?}");
    assert!(ran.stdout.contains("  bucket  nothing\n"), "{ran:?}");
    for wrong in ["../x", "/etc/passwd", "."] {
        assert_eq!(bench.run(&["explain", wrong]).await.code, 2, "{wrong}");
    }
    // and then it is done
    assert_eq!(bench.run(&["once"]).await.code, 0);
    for name in ["new", "longer", "edited", "moved", "touched"] {
        assert_eq!(verdict(&bench, name).await.0, "nothing", "{name}");
    }
    assert!(says(&explain(&bench, "theirs").await, "found to be foreign"));
    fs::rename(&bench.root, bench.dir.path().join("away")).unwrap();
    assert_eq!(bench.run(&["explain", "new"]).await.code, 3);
}

/// The ledger is the daemon's, and so is the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_is_asked() {
    let lines =
        format!("{QUICK}\nexclude = [\"*.log\"]\nmax_delete = {{ count = 1, percent = 1, window = \"1h\" }}");
    let bench = Bench::with(&lines).await;
    for name in ["a", "b", "c"] {
        bench.write(name, "x");
    }
    let _daemon = bench.start(&["run"]);
    bench.await_objects(&[("a", "x"), ("b", "x"), ("c", "x")]).await;
    bench.await_status("settled", |told| told["mirrors"][0]["settled"] == true).await;
    assert_eq!(verdict(&bench, "a").await, ("nothing".into(), "both sides are proven equal".into()));
    assert_eq!(explain(&bench, "a.log").await["rule"]["number"], 1);
    bench.server.faults().add(Rule::new(Kind::AccessDenied).operation("PutObject").key("www/denied"));
    bench.write("denied", "x");
    bench.await_status("denied", |told| told["mirrors"][0]["failing"] == 1).await;
    let told = explain(&bench, "denied").await;
    assert!(says(&told, "it fails: PutObject www/denied: AccessDenied"), "{told}");
    bench.remove("denied");
    for name in ["a", "b", "c"] {
        bench.remove(name);
    }
    bench.await_status("held", |told| !told["mirrors"][0]["held"].is_null()).await;
    let told = explain(&bench, "a").await;
    assert!(says(&told, "condemned, and deletes are held"), "{told}");
    assert_eq!((&told["verdict"], &told["disk"]["is"]), (&"delete".into(), &"nothing".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_the_bucket_keeps_are_shown() {
    let bench = Bench::new().await;
    bench.write("a", "first");
    bench.write("ab", "another");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(explain(&bench, "a").await["versions"], Value::Array(vec![]), "there is only what is there");
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let put = bench.client().put_bucket_versioning().bucket("backups").versioning_configuration(enabled);
    put.send().await.unwrap();
    bench.write("a", "second one");
    assert_eq!(bench.run(&["once", "--json"]).await.code, 0);
    bench.client().delete_object().bucket("backups").key("www/a").send().await.unwrap();
    let told = explain(&bench, "a").await;
    let sizes: Vec<_> = told["versions"].as_array().unwrap().iter().map(|v| v["size"].clone()).collect();
    assert_eq!(sizes, [Value::Null, 10.into(), 5.into()], "{told}");
    assert_eq!(told["versions"][0]["latest"], true);
    let ran = bench.run(&["explain", "a"]).await;
    assert!(ran.stdout.contains("  versions\n") && ran.stdout.contains(" deleted "), "{ran:?}");
}
