//! From the configuration of one mirror to what its engine wants.

use crate::{
    config::{Budget, Config, DeletePolicy, Mirror, Rule, S3 as S3Config},
    engine::{self, Input},
    ledger::{Database, Ledger, OpenError, Opened, Options as LedgerOptions, Reason},
    local::{Directory, Kinds, Notice, Prune, Tree},
    model::{Class, Fault, MirrorId, Stamp, is_draft},
    plan::{Choice, Filter, Limits},
    service::{bandwidth::Bandwidth, hook::Hook},
    store::{self, Memory, S3, Store},
};
use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Keys of one mirror that are dealt with at the same time, those included whose proof is not durable yet.
const ROOM: usize = 256;
/// Jobs of one mirror that ask the store at the same time, at the most: how many of their requests are on their way it
/// finds out.
const WORKERS: usize = 32;
/// The most keys that a page of a listing holds (S3 API, *ListObjectsV2*).
const PAGE: usize = 1000;
/// How long uploads in flight may take to end after a stop. Less than what the supervisor gives them.
pub const DRAIN: Duration = Duration::from_secs(25);
/// A mirror's file that proves its watcher alive,
const CANARY: &str = "canary";
/// asked this long after its last answer,
const CANARY_INTERVAL: Duration = Duration::from_secs(30);
/// which may take so long.
const CANARY_PATIENCE: Duration = Duration::from_secs(5);
/// The pause before a watcher that ended is started again.
const REARM: Duration = Duration::from_secs(1);

/// The disk, the bucket and the proofs of one mirror.
pub type Sides = (Directory, S3, Database);

/// What bends an engine beside the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// One pass, then end.
    pub once: bool,
    /// Only tell what would be done.
    pub dry_run: bool,
    /// Take foreign objects for ours.
    pub adopt: bool,
    /// Take the prefix over from another host.
    pub take_over: bool,
}

/// What the mirrors of one process share. Clones share it too.
#[derive(Clone, Debug)]
pub struct Commons {
    /// Where their state lies.
    pub state_dir: PathBuf,
    /// What their transfers may hold.
    pub memory: Memory,
    /// How fast they may send.
    pub bandwidth: Bandwidth,
    /// Neither variable nor file of AWS is read.
    pub isolated: bool,
}

impl Commons {
    /// As it is configured.
    pub fn new(config: &Config) -> Self {
        let (memory, bandwidth) = (Memory::new(config.memory_limit), Bandwidth::new(config));
        Self { state_dir: config.state_dir.clone(), memory, bandwidth, isolated: false }
    }

    /// Neither variable nor file of AWS is read.
    #[must_use]
    pub fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }
}

/// Takes the lock of a mirror and opens its ledger. With `rehearse`, changes are thrown away in the end.
///
/// # Errors
/// [`OpenError::Held`] if another process holds it; I/O errors.
pub async fn ledger(state_dir: &Path, mirror: &Mirror, rehearse: bool) -> Result<Database, OpenError> {
    let options = LedgerOptions::new(state_dir.join(&mirror.name));
    let Opened { ledger, fresh } = match rehearse {
        true => Database::rehearse(options).await?,
        false => Database::open(options).await?,
    };
    match fresh {
        Some(Reason::Missing) => tracing::debug!("a new ledger"),
        Some(reason) => {
            tracing::warn!(%reason, "starting a new ledger; files are read once more");
        }
        None => {}
    }
    Ok(ledger)
}

/// Opens the two other sides; what a walk has to keep on disk goes beside the ledger. A ledger that is bound to another place is set aside: what it proves says
/// nothing here.
///
/// # Errors
/// No region or credentials, a root that cannot be named, I/O errors of the ledger.
pub async fn sides(commons: &Commons, mirror: &Mirror, ledger: Database) -> Result<Sides, Fault> {
    let (tree, aside) = (directory(mirror)?, commons.state_dir.join(&mirror.name));
    // a rehearsal makes no directory of its own
    let tree = if aside.is_dir() { tree.aside(&aside) } else { tree };
    let tree = tree.canary(&aside.join(CANARY), CANARY_INTERVAL, CANARY_PATIENCE);
    let store = store(commons, mirror).await?;
    let place = store.place();
    if let Some(other) = ledger.binding().await?.filter(|binding| binding.place != place) {
        let aside = ledger.set_aside().await?;
        tracing::warn!(
            was = other.place,
            now = place,
            kept = aside.map(|path| path.display().to_string()),
            "the mirror has another target now: starting a new ledger"
        );
    }
    Ok((tree, store, ledger))
}

/// The directory of a mirror.
///
/// # Errors
/// A root that cannot be named.
pub fn directory(mirror: &Mirror) -> Result<Directory, Fault> {
    Directory::new(&mirror.root, kinds(mirror))
}

/// What is mirrored beside regular files.
fn kinds(mirror: &Mirror) -> Kinds {
    Kinds {
        links: mirror.links,
        directories: mirror.directories,
        nodes: mirror.special_files,
        keep: mirror.keep,
        owner_names: mirror.owner_names,
    }
}

/// The bucket of a mirror.
///
/// # Errors
/// No region or credentials.
pub async fn store(commons: &Commons, mirror: &Mirror) -> Result<S3, Fault> {
    S3::connect(store_options(commons, mirror)).await
}

fn store_options(commons: &Commons, mirror: &Mirror) -> store::Options {
    let S3Config {
        region,
        profile,
        endpoint_url,
        force_path_style,
        ca_bundle,
        max_attempts,
        access_key_id,
        secret_access_key,
        session_token,
        credentials_file,
    } = mirror.s3.clone();
    store::Options {
        region,
        profile,
        endpoint_url,
        force_path_style,
        ca_bundle,
        max_attempts,
        access_key_id,
        secret_access_key: secret_access_key.map(|secret| store::Secret::new(secret.expose())),
        session_token: session_token.map(|secret| store::Secret::new(secret.expose())),
        credentials_file,
        isolated: commons.isolated,
        memory: commons.memory.clone(),
        throttle: commons.bandwidth.of(&mirror.name),
        objects: objects(mirror),
        requester_pays: mirror.requester_pays,
        trash: mirror.trash.as_ref().map(|trash| trash.prefix.clone()),
        ..store::Options::new(&mirror.bucket, &mirror.prefix)
    }
}

/// What each object gets beside bytes and metadata.
fn objects(mirror: &Mirror) -> store::Objects {
    let filter = |rule: &Rule| {
        // the configuration has checked the patterns
        let filter = Filter::new(&rule.patterns).expect("valid patterns");
        (filter, rule.options.clone())
    };
    let choice = Choice::new(mirror.options.clone(), mirror.rules.iter().map(filter).collect());
    if choice.is_uniform() {
        return store::Objects::alike(mirror.options.clone());
    }
    store::Objects::by(mirror.options.clone(), move |path| choice.of(path))
}

/// What is left out of the mirror: by its patterns and settings, our own state if it lies below the root, and what a restore has not
/// finished there.
pub fn prune(mirror: &Mirror) -> Prune {
    // the configuration has checked the patterns
    let filter = Filter::new(&mirror.exclude).expect("valid patterns");
    let own = mirror.leave_out.clone();
    Prune::new(move |path, is_dir| {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        own.as_ref().is_some_and(|own| path == own.as_bytes())
            || !is_dir && is_draft(name)
            || !filter.is_empty() && filter.names(path, is_dir)
    })
    .of_kinds(kinds(mirror))
}

/// The options of a mirror's engine.
///
/// # Errors
/// The operating system gives no random bytes.
pub fn options(mirror: &Mirror, manner: Manner) -> Result<engine::Options, Fault> {
    let random = |bytes: &mut [u8]| {
        getrandom::fill(bytes).map_err(|e| Fault::new(Class::Fatal, "get random bytes", e))
    };
    let (mut id, mut seed) = ([0; 16], [0; 8]);
    random(&mut id)?;
    random(&mut seed)?;
    let limits = |most: Budget| Limits { count: most.count, percent: most.percent, window: most.window };
    Ok(engine::Options {
        prefix: mirror.prefix.clone(),
        quiet: mirror.quiet,
        longest: mirror.longest,
        grace: mirror.delete_grace,
        rescan: mirror.rescan,
        relist: mirror.relist,
        directories: mirror.directories,
        nodes: mirror.special_files,
        keep: mirror.keep,
        scrub: mirror.scrub.map(|every| engine::Scrub { every, fetch: mirror.scrub_fetch }),
        deletes: mirror.delete != DeletePolicy::Keep,
        trash: trash(mirror),
        limits: mirror.max_delete.map(limits),
        overwrites: mirror.max_overwrite.map(limits),
        once: manner.once,
        dry_run: manner.dry_run,
        adopt: manner.adopt,
        take_over: manner.take_over,
        room: ROOM,
        workers: WORKERS,
        listers: mirror.listers,
        page: PAGE,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid: std::process::id(),
        fresh_id: MirrorId(id),
        seed: u64::from_le_bytes(seed),
        drain: DRAIN,
        // the pass has them run by itself
        hooks: (!manner.once && !mirror.hooks.is_empty())
            .then(|| Arc::new(Hook::of(mirror)) as Arc<dyn engine::Hooks>),
        wall: Arc::new(now),
    })
}

fn trash(mirror: &Mirror) -> Option<engine::Trash> {
    let trash = mirror.trash.as_ref()?;
    Some(engine::Trash { prefix: trash.prefix.clone(), keep: trash.keep })
}

fn now() -> Stamp {
    // a clock before 1970 is as wrong as one that stands still
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp { sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nsec: since.subsec_nanos() }
}

/// What the watcher tells, for good: one that ended is started again, and then everything is to be looked at.
pub fn watch(tree: &Directory, prune: Prune) -> impl Stream<Item = Input> + Send + use<> {
    let tree = tree.clone();
    rearmed(move || tree.watch(prune.clone()).boxed())
}

fn rearmed(start: impl FnMut() -> BoxStream<'static, Notice> + Send) -> impl Stream<Item = Input> + Send {
    let begin = Watch { start, ended: false, notices: None };
    stream::unfold(begin, |mut watch| async move { Some((Input::Notice(watch.next().await), watch)) })
}

struct Watch<F> {
    start: F,
    ended: bool,
    notices: Option<BoxStream<'static, Notice>>,
}

impl<F: FnMut() -> BoxStream<'static, Notice>> Watch<F> {
    async fn next(&mut self) -> Notice {
        loop {
            if let Some(notices) = &mut self.notices {
                if let Some(notice) = notices.next().await {
                    return notice;
                }
                self.notices = None;
                self.ended = true;
                tokio::time::sleep(REARM).await;
            }
            self.notices = Some((self.start)());
            if std::mem::take(&mut self.ended) {
                return Notice::Lost("the watcher ended and was started again".into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RelPath;

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).expect("valid path")
    }

    #[tokio::test(start_paused = true)]
    async fn c14_a_watcher_that_ends_is_started_again_and_all_is_looked_at() {
        let mut lives = 0;
        let watch = rearmed(move || {
            lives += 1;
            let looks = (0..lives).map(|_| Notice::Look(crate::model::Scope::everything()));
            stream::iter([Notice::Armed].into_iter().chain(looks)).boxed()
        });
        let told: Vec<_> = watch.take(7).collect().await;
        let kinds: Vec<_> = told
            .iter()
            .map(|input| match input {
                Input::Notice(Notice::Armed) => 'a',
                Input::Notice(Notice::Look(_)) => 'l',
                Input::Notice(Notice::Lost(_)) => '!',
                _ => '?',
            })
            .collect();
        assert_eq!(kinds, ['a', 'l', '!', 'a', 'l', 'l', '!']);
    }

    #[test]
    fn our_own_state_is_left_out_beside_what_the_patterns_say() {
        let config = r#"
            state_dir = "/no/such/root/state"
            [[mirror]]
            name = "a"
            root = "/no/such/root"
            bucket = "backups"
            exclude = ["*.tmp"]
        "#;
        let around = crate::config::Surroundings::default();
        let config = crate::config::Config::parse(config, Path::new("c"), &around).expect("valid");
        let prune = prune(&config.mirrors[0]);
        for (name, is_dir, want) in [
            ("state", true, true),
            ("state/a/ledger.redb", false, true),
            ("stately", false, false),
            ("x.tmp", false, true),
            ("d/.s3mirrord-0123456789abcdef01234567.part", false, true),
            (".s3mirrord-0123456789abcdef01234567.part", true, false),
            ("x", false, false),
        ] {
            assert_eq!(prune.excludes(&path(name), is_dir), want, "{name}");
        }
    }
}
