//! What the demo works on: a bucket on loopback, a configuration, a directory. All but a directory of the
//! reader's own lies in one temporary directory, which goes with the value.

use super::{show, story};
use crate::{
    command::{
        Exit, Failure,
        paint::{Paint, Tone},
        print::print,
    },
    config::{Config, Surroundings},
    embedded::{Bodies, Handle, Options, Server},
    engine::{self, End, Report, Sums},
    ledger::{Database, OpenError},
    service::{
        assembly::{self, Commons, Manner},
        control,
        posts::Posts,
        supervise::{Setting, Supervisor},
    },
};
use anyhow::{Context, anyhow};
use futures::stream;
use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const BUCKET: &str = "demo";
const PREFIX: &str = "mirror/";
/// More deletes than this are held: few, so that it can be seen.
pub(super) const MOST_DELETES: u64 = 20;

pub(super) struct Site {
    /// What is mirrored.
    pub(super) root: PathBuf,
    /// The configuration file, for other commands.
    pub(super) file: PathBuf,
    /// The bucket.
    pub(super) server: Handle,
    config: Config,
    _home: TempDir,
}

impl Site {
    /// Makes everything that is not there. Of a directory that is given nothing is written to.
    pub(super) async fn build(given: Option<&Path>) -> Result<Self, Failure> {
        let home = tempfile::Builder::new().prefix("s3mirrord-demo-").tempdir()?;
        // the name as the kernel knows it: a root must not be reached through a link
        let place = fs::canonicalize(home.path())?;
        let (state, sample) = (place.join("state"), place.join("sample"));
        let bodies = state.join("bodies");
        fs::create_dir_all(&bodies)?;
        let root = match given {
            Some(dir) => {
                let dir = fs::canonicalize(dir).map_err(|error| {
                    Failure::usage(format!("{} cannot be mirrored: {error}", dir.display()))
                })?;
                room_for(&dir, &bodies)?;
                dir
            }
            None => {
                fs::create_dir(&sample)?;
                story::sample(&sample)?;
                sample
            }
        };
        let server = Server::start(Options {
            access_key: format!("demo{:016x}", fastrand::u64(..)),
            secret_key: secret()?,
            buckets: vec![BUCKET.to_owned()],
            bodies: Bodies::Directory(bodies),
            ..Options::default()
        })
        .await?;
        let text = configuration(&state, &root, &server)?;
        let file = state.join("config.toml");
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
        out.write_all(text.as_bytes())?;
        let config = Config::parse(&text, &file, &Surroundings::default())?;
        Ok(Self { root, file, server, config, _home: home })
    }

    /// Starts mirroring.
    pub(super) async fn start(&self, stop: &CancellationToken) -> Result<Supervisor, Failure> {
        let setting = Setting { isolated: true, sink: show::sink, file: None };
        Ok(Supervisor::start(&self.config, stop, &setting).await?)
    }

    /// Lets other commands ask.
    pub(super) async fn control(&self, posts: &Posts) -> Option<control::Server> {
        let server = control::Server::start(&self.config.state_dir, posts.clone()).await;
        server.inspect_err(|error| tracing::warn!(%error, "no control socket")).ok()
    }

    /// Where it is, and how other tools see it.
    pub(super) fn welcome(&self, paint: Paint) -> String {
        let (endpoint, server) = (self.server.endpoint(), &self.server);
        let (id, secret) = (server.access_key(), server.secret_key());
        let target = format!("s3://{BUCKET}/{PREFIX}");
        let strong = |text: &str| paint.with(Tone::Strong, text.to_owned());
        format!(
            "{} → {}\n\n{}\n\
             AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} AWS_REGION=us-east-1 \
             aws --endpoint-url {endpoint} s3 ls --recursive {target}\n\
             rclone ls --s3-provider Other --s3-endpoint {endpoint} --s3-access-key-id {id} \
             --s3-secret-access-key {secret} :s3:{BUCKET}/{PREFIX}\n\
             python3 -c 'import boto3; s3 = boto3.client(\"s3\", endpoint_url=\"{endpoint}\", \
             aws_access_key_id=\"{id}\", aws_secret_access_key=\"{secret}\", region_name=\"us-east-1\"); \
             [print(o[\"Size\"], o[\"Key\"]) for o in s3.list_objects_v2(Bucket=\"{BUCKET}\").get(\"Contents\", [])]'",
            strong(&self.root.display().to_string()),
            strong(&format!("{target} at {endpoint}, a bucket on this machine that goes when this ends")),
            paint.with(Tone::Faint, "Look into the bucket from another terminal:"),
        )
    }

    /// Compares every file with its object once more, knowing nothing: each is read, and held against the
    /// digest that the store has of it. True if all are equal.
    pub(super) async fn verify(&self, sums: &Sums, paint: Paint) -> Result<bool, Failure> {
        let Some(mirror) = self.config.mirrors.first() else { return Ok(false) };
        let ledger = Database::scratch().await.map_err(|error| match error {
            OpenError::Fault(fault) => fault.into(),
            OpenError::Held(held) => Failure::new(Exit::Another, held),
        })?;
        let sides = assembly::sides(&Commons::new(&self.config).isolated(), mirror, ledger).await?;
        let options = assembly::options(mirror, Manner { once: true, dry_run: true, ..Manner::default() })?;
        let report = Report::new(Arc::new(|_, _| {}));
        let (prune, stop) = (assembly::prune(mirror), CancellationToken::new());
        let end = engine::run(sides, options, prune, stream::pending(), stop, report.clone()).await;
        let found = report.status();
        let (equal, n) = (end == End::Done && differing(&found.sums) == 0, found.sums.adopted);
        let (tone, word) = if equal { (Tone::Good, "verified") } else { (Tone::Bad, "not equal") };
        let requests: u64 = self.server.requests().values().sum();
        let sent = indicatif::HumanBytes(sums.bytes);
        print(&format!(
            "{}: {n} files equal their objects by digest; {sent} sent, {requests} requests in all",
            paint.with(tone, word)
        ));
        Ok(equal)
    }
}

/// Files and objects that a pass would have to deal with.
fn differing(sums: &Sums) -> u64 {
    sums.uploaded + sums.copied + sums.metadata + sums.deleted + sums.held + sums.failed + sums.busy
}

fn configuration(state: &Path, root: &Path, server: &Handle) -> Result<String, Failure> {
    let quoted = |path: &Path| {
        let text = path.to_str().ok_or_else(|| Failure::usage(format!("{path:?} is not UTF-8")))?;
        Ok::<_, Failure>(toml::Value::String(text.to_owned()).to_string())
    };
    let (endpoint, id, secret) = (server.endpoint(), server.access_key(), server.secret_key());
    Ok(format!(
        "state_dir = {}\n\n\
         [s3]\nregion = \"us-east-1\"\nendpoint_url = \"{endpoint}\"\n\
         access_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\n\n\
         [[mirror]]\nname = \"demo\"\nroot = {}\nbucket = \"{BUCKET}\"\nprefix = \"{PREFIX}\"\n\
         debounce = {{ quiet = \"200ms\", longest = \"5s\" }}\ndelete_grace = \"1s\"\n\
         max_delete = {{ count = {MOST_DELETES}, percent = 100, window = \"1h\" }}\n",
        quoted(state)?,
        quoted(root)?,
    ))
}

fn secret() -> Result<String, Failure> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Exit::Fatal, anyhow!("no random bytes: {error}")))?;
    Ok(hex::encode(bytes))
}

/// Refuses a directory that is larger than what is free beside the temporary files.
fn room_for(dir: &Path, bodies: &Path) -> Result<(), Failure> {
    let found = rustix::fs::statvfs(bodies)
        .with_context(|| format!("{} cannot be looked at", bodies.display()))
        .map_err(|error| Failure::new(Exit::Fatal, error))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let size = size_up_to(dir, free);
    if size < free {
        return Ok(());
    }
    let free = indicatif::HumanBytes(free);
    Err(Failure::usage(format!(
        "{} holds more than the {free} that are free in {}; choose a smaller directory, or set TMPDIR",
        dir.display(),
        bodies.display()
    )))
}

/// Bytes of the files below `dir`, links not followed; counted until `most`. What cannot be read is nothing.
fn size_up_to(dir: &Path, most: u64) -> u64 {
    let (mut size, mut left) = (0u64, vec![dir.to_owned()]);
    while let Some(dir) = left.pop().filter(|_| size < most) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => left.push(entry.path()),
                Ok(found) if found.is_file() => size = size.saturating_add(found.len()),
                _ => {}
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_measured_no_further_than_needed() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("d")).expect("made");
        for name in ["a", "d/b", "d/c"] {
            fs::write(dir.path().join(name), [0; 100]).expect("written");
        }
        std::os::unix::fs::symlink("/", dir.path().join("link")).expect("linked");
        assert_eq!(size_up_to(dir.path(), u64::MAX), 300);
        assert!(size_up_to(dir.path(), 50) <= 100, "it stops");
        assert!(room_for(dir.path(), dir.path()).is_ok());
    }
}
