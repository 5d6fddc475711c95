//! Each permission that is taken away, in the middle of work: the pass and the daemon name just the action that is missing.

use crate::support::bench::Bench;
use s3mirrord::embedded::{Kind, Rule};
use std::fs;

/// What a pass that is denied `operation` says, and how it ends.
async fn denied(bench: &Bench, operation: &'static str) -> (i32, String) {
    bench.server.faults().add(Rule::new(Kind::AccessDenied).operation(operation));
    let ran = bench.run(&["once"]).await;
    bench.server.faults().clear();
    (ran.code, ran.stdout + &ran.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_is_denied_something_names_the_action() {
    let bench = Bench::new().await;
    bench.write("small", "a file");
    fs::write(bench.root.join("large"), vec![7; 20 << 20]).unwrap();
    for (operation, action, codes) in [
        ("ListObjectsV2", "allow s3:ListBucket on the bucket", 3),
        ("GetObject", "allow s3:GetObject on the objects", 3),
        ("PutObject", "allow s3:PutObject on the objects", 3),
        ("CreateMultipartUpload", "allow s3:PutObject on the objects", 1),
        ("UploadPart", "allow s3:PutObject on the objects", 1),
    ] {
        let (code, said) = denied(&bench, operation).await;
        assert!(said.contains(action) && said.contains("HTTP 403"), "{operation}: {said}");
        assert_eq!(code, codes, "{operation}: {said}");
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);

    // a delete by itself, and a batch of them, which goes one by one then
    for (operation, count, codes) in [("DeleteObject", 1, 1), ("DeleteObjects", 3, 0)] {
        for n in 0..20 {
            bench.write(&format!("many/{n}"), "x");
        }
        assert_eq!(bench.run(&["once"]).await.code, 0);
        for n in 0..count {
            bench.remove(&format!("many/{n}"));
        }
        let (code, said) = denied(&bench, operation).await;
        assert!(said.contains("allow s3:DeleteObject") && said.contains("HTTP 403"), "{operation}: {said}");
        assert_eq!(code, codes, "{operation}: {said}");
    }
    // what can be sent instead needs no word
    fs::rename(bench.root.join("small"), bench.root.join("renamed")).unwrap();
    assert_eq!(denied(&bench, "CopyObject").await.0, 0);
    assert!(bench.objects().await.contains_key("renamed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_denied_something_names_the_action_and_goes_on_when_it_may() {
    let bench = Bench::new().await;
    bench.write("first", "a file");
    let _daemon = bench.start_logged(bench.command(&["run"]));
    bench.await_objects(&[("first", "a file")]).await;
    bench.server.faults().add(Rule::new(Kind::AccessDenied).operation("PutObject"));
    bench.write("second", "another");
    let told = bench.await_status("told", |status| status.to_string().contains("allow s3:PutObject")).await;
    let mirror = &told["mirrors"][0];
    assert!(mirror["failing"] == 1 && told.to_string().contains("HTTP 403"), "{told:#}");
    assert!(bench.log().contains("allow s3:PutObject on the objects"), "{}", bench.log());
    bench.server.faults().clear();
    bench.await_objects(&[("first", "a file"), ("second", "another")]).await;
    bench.await_status("none fails", |status| status["mirrors"][0]["failing"] == 0).await;
}
