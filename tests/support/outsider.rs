//! boto3 in a process of its own (`outsider.py`): it, not our own code, says what the bucket holds.

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// A content: its MD5 and size.
pub type Content = (String, u64);
/// Contents by the bytes of the path.
pub type Contents = BTreeMap<Vec<u8>, Content>;

/// A running client; ended when dropped.
pub struct Outsider {
    _child: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Outsider {
    /// Starts one; `None` where python has no boto3.
    pub async fn start(endpoint: &str, access_key: &str, secret_key: &str, bucket: &str) -> Option<Self> {
        let found = Command::new("python3").args(["-c", "import boto3"]).stderr(Stdio::null()).status().await;
        if !found.is_ok_and(|status| status.success()) {
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/outsider.py");
        let mut child = Command::new("python3")
            .args([script, endpoint, access_key, secret_key, bucket])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (ask, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self { _child: child, ask, answers: BufReader::new(answers).lines() })
    }

    /// Has it do something of `outsider.py`: its name, and what it takes.
    pub async fn ask(&mut self, words: Value) -> Value {
        self.ask.write_all(format!("{words}\n").as_bytes()).await.unwrap();
        let line = self.answers.next_line().await.unwrap();
        serde_json::from_str(&line.expect("boto3 failed; its words are above")).unwrap()
    }

    /// Sizes by name, from a listing, without the markers of directories.
    pub async fn list(&mut self, prefix: &str) -> BTreeMap<Vec<u8>, u64> {
        self.list_all(prefix).await.0
    }

    /// The same, and the directories that have a marker.
    pub async fn list_all(&mut self, prefix: &str) -> (BTreeMap<Vec<u8>, u64>, BTreeSet<Vec<u8>>) {
        let told = self.ask(json!(["list", prefix])).await;
        let all = told.as_object().unwrap().iter();
        let (markers, files): (Vec<_>, Vec<_>) = all.partition(|(name, _)| name.ends_with('/'));
        let files = files.into_iter().map(|(name, size)| (bytes(name), size.as_u64().unwrap()));
        (files.collect(), markers.into_iter().map(|(name, _)| bytes(name.trim_end_matches('/'))).collect())
    }

    /// All objects but the markers of directories, downloaded.
    pub async fn read(&mut self, prefix: &str) -> Contents {
        let told = self.ask(json!(["read", prefix])).await;
        let content = |told: &Value| (told[0].as_str().unwrap().to_owned(), told[1].as_u64().unwrap());
        let all = told.as_object().unwrap().iter().filter(|(name, _)| !name.ends_with('/'));
        all.map(|(name, told)| (bytes(name), content(told))).collect()
    }

    /// The user metadata of one object.
    pub async fn metadata(&mut self, key: &str) -> BTreeMap<String, String> {
        serde_json::from_value(self.ask(json!(["head", key])).await).unwrap()
    }

    /// What one object has beside its bytes.
    pub async fn facts(&mut self, key: &str) -> Value {
        self.ask(json!(["facts", key])).await
    }

    /// Keys of uploads that are open.
    pub async fn uploads(&mut self, prefix: &str) -> Vec<String> {
        serde_json::from_value(self.ask(json!(["uploads", prefix])).await).unwrap()
    }

    /// Makes the bucket a versioned one, so that [`Outsider::versions`] has something to tell.
    pub async fn keep_versions(&mut self) {
        self.ask(json!(["keep_versions"])).await;
    }

    /// Name and MD5 of every content that was ever visible.
    pub async fn versions(&mut self, prefix: &str) -> Vec<(Vec<u8>, String)> {
        let told: Vec<(String, String)> =
            serde_json::from_value(self.ask(json!(["versions", prefix])).await).unwrap();
        told.into_iter().map(|(name, md5)| (bytes(&name), md5)).collect()
    }
}

fn bytes(name: &str) -> Vec<u8> {
    name.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}
