//! What the real tools upload is known for what it is.

use super::{MIB, costs, in_sync, write};
use crate::support::{bench::Bench, memory::pattern, skip};
use tokio::process::Command;

/// The tool's arguments to copy `file` to `url`.
fn words(tool: &str, endpoint: &str, file: &str, key: &str) -> Vec<String> {
    let url = format!("s3://backups/{key}");
    let words = match tool {
        "aws" => vec!["--endpoint-url", endpoint, "s3", "cp", "--only-show-errors", file, &url],
        "s5cmd" => vec!["--endpoint-url", endpoint, "--log", "error", "cp", file, &url],
        "rclone" => vec![
            "copyto",
            "--s3-provider=Other",
            "--s3-env-auth",
            "--s3-upload-cutoff=5Mi",
            "--s3-endpoint",
            endpoint,
            file,
        ],
        _ => unreachable!("{tool}"),
    };
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if tool == "rclone" {
        words.push(format!(":s3:backups/{key}"));
    }
    words
}

async fn runs(bench: &Bench, tool: &str, words: &[String]) -> Result<(), String> {
    let mut command = Command::new(tool);
    command
        .args(words)
        .env("AWS_ACCESS_KEY_ID", bench.server.access_key())
        .env("AWS_SECRET_ACCESS_KEY", bench.server.secret_key())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("RCLONE_CONFIG", "/dev/null")
        .env("HOME", bench.dir.path());
    let ran = command.output().await.map_err(|e| format!("{tool}: {e}"))?;
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    if ran.status.success() { Ok(()) } else { Err(format!("{tool}: {told}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn c40_what_aws_rclone_and_s5cmd_uploaded_is_adopted_without_a_head() {
    for (tool, size) in [("aws", 20 * MIB + 5), ("rclone", 13 * MIB), ("s5cmd", 52 * MIB)] {
        if let Err(why) = runs(&Bench::new().await, tool, &["--version".into()]).await
            && runs(&Bench::new().await, tool, &["version".into()]).await.is_err()
        {
            skip(&why);
            continue;
        }
        let bench = in_sync(&[]).await;
        let mut read = 0;
        for (name, size) in [("small", 3000), ("large", size)] {
            write(&bench, name, pattern(size, 5));
            let file = bench.root.join(name);
            let words = words(tool, &bench.server.endpoint(), file.to_str().unwrap(), &format!("www/{name}"));
            runs(&bench, tool, &words).await.unwrap();
            read += size;
        }
        let parts = bench.server.requests().get("UploadPart").copied().unwrap_or_default();
        assert!(parts >= 2, "{tool} sent the large one in {parts} parts");
        let sums = costs(&bench, &[], read).await;
        assert_eq!((&sums["adopted"], &sums["uploaded"]), (&2.into(), &0.into()), "{tool}: {sums}");
    }
}
