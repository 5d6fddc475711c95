//! The real binary against the embedded server: a directory, a bucket, a configuration.

use s3mirrord::embedded::{Handle, Options, Server};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// What anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(180);

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub root: PathBuf,
    pub server: Handle,
    store: aws_sdk_s3::Client,
}

/// Further lines of `[[mirror]]`: what makes tests quick.
pub const QUICK: &str = r#"
delete_grace = "50ms"
debounce = { quiet = "20ms", longest = "1s" }
"#;

impl Bench {
    /// An empty root, an empty bucket `backups`, and a configuration of one mirror, `www`.
    pub async fn new() -> Self {
        Self::with(QUICK).await
    }

    /// With these lines of its own in `[[mirror]]`.
    pub async fn with(lines: &str) -> Self {
        let buckets = vec!["backups".to_owned()];
        let server = Server::start(Options { buckets, ..Options::default() }).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        let keys = aws_sdk_s3::config::Credentials::new(
            server.access_key(),
            server.secret_key(),
            None,
            None,
            "test",
        );
        let config = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .endpoint_url(server.endpoint())
            .force_path_style(true)
            .credentials_provider(keys)
            .build();
        let store = aws_sdk_s3::Client::from_conf(config);
        let bench = Self { dir, root, server, store };
        bench.configure(&bench.mirror("www", &bench.root, "www/", lines));
        bench
    }

    /// A client of the server that is not ours.
    pub fn client(&self) -> &aws_sdk_s3::Client {
        &self.store
    }

    /// One `[[mirror]]`.
    pub fn mirror(&self, name: &str, root: &Path, prefix: &str, lines: &str) -> String {
        format!(
            "[[mirror]]\nname = {name:?}\nroot = {root:?}\nbucket = \"backups\"\nprefix = {prefix:?}\n{lines}\n"
        )
    }

    /// Writes the configuration anew, with these mirrors.
    pub fn configure(&self, mirrors: &str) {
        let text = format!(
            "state_dir = {:?}\n[s3]\nregion = \"us-east-1\"\nendpoint_url = {:?}\naccess_key_id = {:?}\nsecret_access_key = {:?}\n{mirrors}",
            self.state(),
            self.server.endpoint(),
            self.server.access_key(),
            self.server.secret_key(),
        );
        let _ = fs::remove_file(self.config());
        let file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.config()).unwrap();
        std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.root.join(name)).unwrap();
    }

    /// The binary with these words, nothing of the environment and this configuration.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = binary(words);
        command.env("S3MIRRORD_CONFIG", self.config());
        command
    }

    /// The same, without root's right to read everything; `None` if that cannot be taken away.
    pub async fn restrained(&self, words: &[&str]) -> Option<Command> {
        let plain = self.command(words);
        if !rustix::process::geteuid().is_root() {
            return Some(plain);
        }
        let setpriv = || {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set", "-dac_override,-dac_read_search"]).stdin(Stdio::null());
            command
        };
        if !setpriv().arg("true").stderr(Stdio::null()).status().await.is_ok_and(|status| status.success()) {
            return None;
        }
        Some(behind(setpriv(), plain))
    }

    /// Runs it to its end.
    pub async fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words)).await
    }

    /// Starts it; killed with the value.
    pub fn start(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command.spawn().unwrap()
    }

    /// Starts it; killed with the value. What it logs is kept.
    pub fn start_logged(&self, mut command: Command) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Rewrites the owner record of `www` as if another host had just claimed it.
    pub async fn claim_by_another_host(&self) {
        let key = "www/.s3mirrord/owner.json";
        let found = self.store.get_object().bucket("backups").key(key).send().await.unwrap();
        let body = found.body.collect().await.unwrap().into_bytes();
        let mut record: Value = serde_json::from_slice(&body).unwrap();
        record["host"] = "another".into();
        let body = serde_json::to_vec(&record).unwrap();
        self.store.put_object().bucket("backups").key(key).body(body.into()).send().await.unwrap();
    }

    /// Keys below the prefix of `www`, but for our own and the markers of directories, and their content.
    pub async fn objects(&self) -> BTreeMap<String, String> {
        self.objects_below("www/").await
    }

    /// The same below another prefix.
    pub async fn objects_below(&self, prefix: &str) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut pages = self.store.list_objects_v2().bucket("backups").prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            for object in page.unwrap().contents() {
                let key = object.key().unwrap().to_owned();
                let name = key.strip_prefix(prefix).unwrap().to_owned();
                if name.starts_with(".s3mirrord/") || key.ends_with('/') && object.size() == Some(0) {
                    continue;
                }
                // it may be gone by now
                let Ok(body) = self.store.get_object().bucket("backups").key(&key).send().await else {
                    continue;
                };
                let bytes = body.body.collect().await.unwrap().into_bytes();
                all.insert(name, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        all
    }

    /// The bytes of an object; `None`: it is not there.
    pub async fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        let object = self.store.get_object().bucket("backups").key(key).send().await.ok()?;
        Some(object.body.collect().await.unwrap().to_vec())
    }

    /// Writes an object, as somebody else.
    pub async fn put(&self, key: &str, text: &str) {
        let body = text.as_bytes().to_vec();
        self.store.put_object().bucket("backups").key(key).body(body.into()).send().await.unwrap();
    }

    /// Waits until the bucket holds just these.
    pub async fn await_objects(&self, want: &[(&str, &str)]) {
        let want: BTreeMap<_, _> = want.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let begun = Instant::now();
        loop {
            let have = self.objects().await;
            if have == want {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "have {have:?}\nwant {want:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `status --json` shows what is asked for.
    pub async fn await_status(&self, what: &str, shows: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let ran = self.run(&["status", "--json"]).await;
            let told = serde_json::from_str::<Value>(&ran.stdout).ok();
            if let Some(told) = told.clone().filter(&shows) {
                return told;
            }
            assert!(begun.elapsed() < PATIENCE, "not {what}: {told:#?} {ran:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The binary in an environment of nothing.
pub fn binary(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3mirrord"));
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

/// `command` as the words of `program`, with nothing of the environment but what `command` has and the PATH.
pub fn behind(mut program: Command, command: Command) -> Command {
    let command = command.as_std();
    program.arg(command.get_program()).args(command.get_args()).env_clear();
    program.env("PATH", std::env::var_os("PATH").unwrap());
    for (name, value) in command.get_envs() {
        program.env(name, value.unwrap());
    }
    program
}

/// A run that ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub async fn of(command: Command) -> Self {
        Self::within(PATIENCE, command).await
    }

    pub async fn within(limit: Duration, mut command: Command) -> Self {
        command.kill_on_drop(true);
        let output: Output = tokio::time::timeout(limit, command.output()).await.expect("in time").unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The lines of stdout that are of this event.
    pub fn events(&self, event: &str) -> Vec<Value> {
        let all = self.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        all.filter(|value| value["event"] == event).collect()
    }

    /// (op, path, outcome) of the actions, sorted.
    pub fn actions(&self) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut all: Vec<_> = self
            .events("action")
            .iter()
            .map(|a| (text(&a["op"]), text(&a["path"]), text(&a["outcome"])))
            .collect();
        all.sort();
        all
    }

    /// The one summary.
    pub fn summary(&self) -> Value {
        let mut all = self.events("summary");
        assert_eq!(all.len(), 1, "{self:?}");
        all.remove(0)
    }
}
