//! A directory, a bucket of any server, and what runs between them: our binary without a configuration, and other tools.

use super::bench::{Ran, binary};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::process::Command;

/// Where the tree is mirrored to.
pub const URL: &str = "s3://backups/www/";

pub struct Site {
    pub dir: tempfile::TempDir,
    pub root: PathBuf,
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
}

impl Site {
    /// An empty directory; the server has a bucket `backups`.
    pub fn new(endpoint: String, access_key: &str, secret_key: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        Self { dir, root, endpoint, access_key: access_key.to_owned(), secret_key: secret_key.to_owned() }
    }

    fn equip(&self, command: &mut Command) {
        command
            .env("AWS_ACCESS_KEY_ID", &self.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_key)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("RCLONE_CONFIG", "/dev/null")
            .env("HOME", self.dir.path());
    }

    async fn ours(&self, words: &[&str]) -> Ran {
        let mut command = binary(&[words, &["--endpoint-url", &self.endpoint, "--json"]].concat());
        self.equip(&mut command);
        Ran::of(command).await
    }

    /// One pass.
    pub async fn once(&self, words: &[&str]) -> Ran {
        let (root, state) = (self.root.to_str().unwrap(), self.dir.path().join("state"));
        let fixed = ["once", root, URL, "--state-dir", state.to_str().unwrap()];
        self.ours(&[&fixed[..], words].concat()).await
    }

    /// A restore to this directory.
    pub async fn restore(&self, to: &Path, words: &[&str]) -> Ran {
        let fixed = ["restore", "--from", URL, "--to", to.to_str().unwrap()];
        self.ours(&[&fixed[..], words].concat()).await
    }

    /// Runs another tool: what it printed; what it complained of, if it failed or is not there.
    pub async fn tool(&self, name: &str, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(name);
        self.equip(command.args(words));
        let ran = command.output().await.map_err(|e| format!("{name}: {e}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if ran.status.success() {
            return Ok(text(&ran.stdout));
        }
        Err(format!("{name}: {}{}", text(&ran.stdout), text(&ran.stderr)))
    }
}
