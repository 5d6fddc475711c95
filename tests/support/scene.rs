//! The real daemon on a real directory, an embedded server, and boto3 to say whether the two are equal.

use super::{
    bench::{Bench, PATIENCE},
    outsider::{Content, Contents, Outsider},
    skip,
};
use md5::{Digest, Md5};
use rustix::process::{Pid, Signal, kill_process};
use s3mirrord::embedded::{Options, Server};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// The defaults but for the times, and any number of deletes.
pub const SHORT: &str = r#"
delete_grace = "1s"
max_delete = "off"
debounce = { quiet = "200ms", longest = "2s" }
"#;

/// The prefix of the mirror.
pub const PREFIX: &str = "www/";

pub struct Scene {
    pub bench: Bench,
    pub outsider: Outsider,
    daemon: Option<Child>,
}

impl Scene {
    /// An empty root and bucket; no daemon yet. `None`, said, where there is no boto3.
    pub async fn new() -> Option<Self> {
        Self::with(SHORT).await
    }

    /// With these lines in `[[mirror]]`.
    pub async fn with(lines: &str) -> Option<Self> {
        let bench = Bench::with(lines).await;
        let (endpoint, server) = (bench.server.endpoint(), &bench.server);
        let outsider = Outsider::start(&endpoint, server.access_key(), server.secret_key(), "backups").await;
        let Some(outsider) = outsider else {
            skip("python3 has no boto3");
            return None;
        };
        Some(Self { bench, outsider, daemon: None })
    }

    /// The path of `name` below the root.
    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.bench.root.join(name)
    }

    /// Writes a file, and the directories above it.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Renames below the root.
    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).unwrap();
    }

    /// Where the daemon's words go.
    fn log_path(&self) -> PathBuf {
        self.bench.dir.path().join("log")
    }

    /// What the daemons said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Starts the daemon.
    pub fn start(&mut self) {
        self.start_as(self.bench.command(&["run"]));
    }

    /// Starts the daemon by this command.
    pub fn start_as(&mut self, mut command: Command) {
        assert!(self.daemon.is_none(), "it runs already");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.daemon = Some(command.spawn().unwrap());
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().and_then(Child::id).expect("it runs")
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid() as i32).unwrap(), signal).unwrap();
    }

    /// Waits for the daemon's end.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("it runs");
        let status = tokio::time::timeout(PATIENCE, daemon.wait()).await;
        status.unwrap_or_else(|_| panic!("it does not end:\n{}", tail(&self.log()))).unwrap()
    }

    /// Ends the daemon as a service manager does; it ends well.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}", tail(&self.log()));
    }

    /// Ends the daemon as a crash does.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Requests of one operation so far.
    pub fn requests(&self, operation: &str) -> u64 {
        self.bench.server.requests().get(operation).copied().unwrap_or_default()
    }

    /// Ends the server as a crash does. What it held is kept; [`Scene::raise_server`] brings it back.
    pub async fn kill_server(&mut self) -> Options {
        // something has to stand in its place, elsewhere
        let spare = Server::start(Options::default()).await.unwrap();
        let old = std::mem::replace(&mut self.bench.server, spare);
        let options = Options {
            listen: old.address(),
            access_key: old.access_key().to_owned(),
            secret_key: old.secret_key().to_owned(),
            ..Options::default()
        };
        Options { contents: Some(old.kill().await), ..options }
    }

    /// Brings the server back where it was.
    pub async fn raise_server(&mut self, options: Options) {
        self.bench.server = Server::start(options).await.unwrap();
    }

    /// Waits until the log holds `text`.
    pub async fn told(&self, text: &str) {
        self.until(&format!("the log says {text:?}"), || self.log().contains(text)).await;
    }

    /// Waits for a condition.
    pub async fn until(&self, what: &str, mut is: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}\n{}", tail(&self.log()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the daemon has nothing to do.
    pub async fn settled(&self) -> Value {
        let settled = |told: &Value| told["mirrors"][0]["settled"] == true;
        self.bench.await_status("settled", settled).await
    }

    /// Waits until the bucket equals the directory, the daemon has nothing to do, and they are equal still.
    pub async fn in_sync(&mut self) {
        self.equals(&[]).await;
    }

    /// The same, but for these paths, which the bucket is not to hold.
    pub async fn equals(&mut self, without: &[&[u8]]) {
        let begun = Instant::now();
        let mut want = contents(&self.bench.root);
        want.retain(|name, _| !without.contains(&&name[..]));
        loop {
            let asked = Instant::now();
            let (names, markers) = self.outsider.list_all(PREFIX).await;
            let alike = markers == directories(&self.bench.root)
                && names.len() == want.len()
                && want.iter().all(|(name, (_, size))| names.get(name) == Some(size));
            if alike && self.outsider.read(PREFIX).await == want {
                self.settled().await;
                // what was on its way when the last file changed may have arrived only now
                if self.outsider.read(PREFIX).await == want {
                    break;
                }
            }
            if begun.elapsed() > PATIENCE {
                let have = self.outsider.read(PREFIX).await;
                let (_, had) = self.outsider.list_all(PREFIX).await;
                let wanted = directories(&self.bench.root);
                let [missing, more] = [wanted.difference(&had), had.difference(&wanted)].map(Iterator::count);
                let difference = difference(&have, &want);
                panic!("{difference}\n{missing} directories missing, {more} too many\n{}", tail(&self.log()));
            }
            tokio::time::sleep((asked.elapsed() * 2).max(Duration::from_millis(20))).await;
        }
        assert_eq!(self.outsider.uploads(PREFIX).await, [""; 0], "uploads left open");
    }
}

/// Every directory below `root`.
fn directories(root: &Path) -> BTreeSet<Vec<u8>> {
    let (mut all, mut todo) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(dir) = todo.pop() {
        let below = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap());
        todo.extend(below.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.path()));
        all.extend(dir.strip_prefix(root).ok().map(|name| name.as_os_str().as_bytes().to_vec()));
    }
    all.remove(&b""[..]);
    all
}

/// The content of every regular file below `root`, and of every link, under the name of its object, what it leads to.
pub fn contents(root: &Path) -> Contents {
    let (mut all, mut todo) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let (kind, path) = (entry.file_type().unwrap(), entry.path());
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_file() {
                let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
                all.insert(name, content(&fs::read(&path).unwrap()));
            } else if kind.is_symlink() {
                let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
                let name = [name, b".rclonelink"].concat();
                all.insert(name, content(fs::read_link(&path).unwrap().as_os_str().as_bytes()));
            }
        }
    }
    all
}

/// MD5 and size.
pub fn content(bytes: &[u8]) -> Content {
    (hex::encode(Md5::digest(bytes)), bytes.len() as u64)
}

/// A path of these bytes.
pub fn path(bytes: &[u8]) -> PathBuf {
    std::ffi::OsString::from_vec(bytes.to_vec()).into()
}

fn difference(have: &Contents, want: &Contents) -> String {
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
    let sample =
        |all: Vec<String>| format!("{}: {:?}", all.len(), all.into_iter().take(8).collect::<Vec<_>>());
    let only = |a: &Contents, b: &Contents| {
        sample(a.keys().filter(|key| !b.contains_key(*key)).map(|key| name(key)).collect())
    };
    let other = want.iter().filter(|(key, content)| have.get(*key).is_some_and(|had| had != *content));
    let other = other.map(|(key, content)| format!("{} {content:?} but {:?}", name(key), have[key]));
    format!(
        "missing in the bucket {}\nonly in the bucket {}\nnot alike {}",
        only(want, have),
        only(have, want),
        sample(other.collect())
    )
}

/// The last lines of a log.
pub fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
