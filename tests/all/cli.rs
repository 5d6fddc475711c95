//! The command line: usage, help, exit codes, configurations.

use crate::support::bench::{Bench, Ran, binary};
use std::{fs, os::unix::fs::PermissionsExt};

async fn run(words: &[&str]) -> Ran {
    Ran::of(binary(words)).await
}

#[tokio::test]
async fn usage_errors_are_2_and_help_is_0() {
    for words in [
        &[][..],
        &["frob"],
        &["once", "--frob"],
        &["once", "dir"],
        &["once", "dir", "s3://b/", "--mirror", "x"],
        &["once", "--delete", "mirror"],
        &["once", "dir", "s3://b/", "--delete", "trash"],
        &["once", "--wait", "soon"],
        &["demo", "--access-key", "x"],
        &["demo", "--server-only", "--access-key", "x"],
        &["demo", "--server-only", "--exit-when-synced"],
        &["completions"],
        &["completions", "dos"],
    ] {
        let ran = run(words).await;
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{words:?} {ran:?}");
        let says = ran.stderr.contains("--help") || ran.stderr.contains("Examples");
        assert!(says, "it says where to look: {words:?} {ran:?}");
        assert!(!ran.stderr.contains('\x1b'), "colours only on a terminal: {ran:?}");
    }
    for verb in [
        "run",
        "once",
        "status",
        "approve",
        "restore",
        "verify",
        "ls",
        "explain",
        "demo",
        "init",
        "completions",
    ] {
        let ran = run(&[verb, "--help"]).await;
        assert!(ran.code == 0 && ran.stderr.is_empty(), "{ran:?}");
        assert!(ran.stdout.contains("Examples:\n  s3mirrord "), "{verb}: {ran:?}");
    }
    let help = run(&["--help"]).await;
    assert!(
        help.code == 0 && help.stdout.contains("Examples:") && help.stdout.contains("Exit codes:"),
        "{help:?}"
    );
    assert!(run(&["--version"]).await.stdout.starts_with("s3mirrord "));
}

#[tokio::test]
async fn examples_of_the_help_are_no_usage_errors() {
    let mut tried = 0;
    for verb in ["", "once", "status", "approve", "verify", "ls", "explain"] {
        let words: &[&str] = if verb.is_empty() { &["--help"] } else { &[verb, "--help"] };
        let help = run(words).await.stdout;
        for line in help.lines().filter_map(|line| line.strip_prefix("  s3mirrord ")) {
            let command =
                line.split("  ").next().unwrap().split(" | ").next().unwrap().split(" && ").next().unwrap();
            let mut words: Vec<_> = command.split_whitespace().collect();
            if ["init", "demo"].contains(&words[0]) || words.contains(&"s3://backups/www/") {
                continue; // they would do something
            }
            words.extend(["--config", "/no/such/file"]);
            let ran = run(&words).await;
            assert!(!ran.stderr.contains("--help"), "{words:?} {ran:?}");
            tried += 1;
        }
    }
    assert!(tried > 8, "{tried}");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_a_remedy() {
    let none = run(&["once", "--config", "/no/such/file"]).await;
    assert!(none.code == 2 && none.stderr.contains("s3mirrord init"), "{none:?}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let text = "state_dir = \"/no/such/state\"\n[[mirror]]\nname = \"www\"\nroot = \"/no/such/root\"\nbucket = \"backups\"\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let wrong = run(&["once", "--config", file, "--mirror", "ww"]).await;
    assert!(wrong.code == 2 && wrong.stderr.contains("www"), "the names are listed: {wrong:?}");
    let wrong = run(&["approve", "--config", file, "--mirror", "ww"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let direct = run(&["once", "/no/such", "s3://B/"]).await;
    assert_eq!(direct.code, 2, "{direct:?}");
    let mut by_environment = binary(&["status"]);
    by_environment.env("S3MIRRORD_CONFIG", file);
    assert_eq!(Ran::of(by_environment).await.code, 3, "there is no daemon");
}

#[tokio::test]
async fn an_example_is_written_and_never_over_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new/config.toml");
    let name = file.to_str().unwrap();
    let first = run(&["init", name]).await;
    assert!(first.code == 0 && first.stdout.contains("config.toml: the example"), "{first:?}");
    assert_eq!(fs::read(&file).unwrap(), include_bytes!("../../config.example.toml"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&file, "mine").unwrap();
    let by_config = dir.path().join("by-config.toml");
    assert_eq!(run(&["init", "--config", by_config.to_str().unwrap()]).await.code, 0);
    assert!(by_config.exists());
    let second = run(&["init", name]).await;
    assert_eq!(second.code, 2, "{second:?}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_is_written_into_it_and_looked_at() {
    let bench = Bench::new().await;
    let (file, root) = (bench.dir.path().join("new.toml"), bench.root.to_str().unwrap());
    let file = file.to_str().unwrap();
    let half = run(&["init", file, "--root", root]).await;
    assert!(half.code == 2 && half.stderr.contains("--bucket"), "{half:?}");
    for (bucket, prefix, says) in [("BAD bucket", "p/", "not a bucket's name"), ("backups", "/x", "`prefix")]
    {
        let wrong = run(&["init", file, "--root", root, "--bucket", bucket, "--prefix", prefix]).await;
        assert!(
            wrong.code == 2 && wrong.stderr.contains("nothing was written: ") && wrong.stderr.contains(says),
            "{wrong:?}"
        );
        assert!(!std::path::Path::new(file).exists());
    }
    let words = ["init", file, "--root", root, "--bucket", "backups", "--region", "us-east-1"];
    let mut command = binary(&[&words[..], &["--endpoint-url", &bench.server.endpoint()]].concat());
    command.env("AWS_ACCESS_KEY_ID", bench.server.access_key());
    command.env("AWS_SECRET_ACCESS_KEY", bench.server.secret_key()).env("STATE_DIRECTORY", bench.state());
    let ran = Ran::of(command).await;
    assert!(ran.code == 0 && ran.stdout.contains("nothing stands in the way"), "{ran:?}");
    let policy = run(&["doctor", "--policy", "--config", file]).await;
    assert!(policy.code == 0 && policy.stdout.contains("arn:aws:s3:::backups/"), "{policy:?}");
}

#[tokio::test]
async fn shells_get_their_completions() {
    for shell in ["bash", "fish", "zsh"] {
        let ran = run(&["completions", shell]).await;
        assert!(ran.code == 0 && ran.stdout.contains("endpoint-url"), "{shell}: {ran:?}");
    }
}
