//! How a daemon and its mirrors are: the one report, for `status`, for scripts, and for the page.

use crate::{
    ledger::Ledger,
    model::{Fault, Key},
    service::{
        cost::{Cost, Usage},
        drill::Drilled,
        posts::Posts,
        recent::Change,
        supervise::Post,
    },
};
use futures::future::join_all;
use indicatif::HumanCount;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout;

/// Failing files, and places that cannot be read, that are told by name.
const SAMPLE: usize = 20;
/// How long a ledger may take to tell its sums: one that hangs keeps nobody from hearing the rest.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a daemon is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Its mirrors, in the order of the configuration.
    pub mirrors: Vec<MirrorStatus>,
    /// Why the configuration that was read last was not taken: all goes on by one before it.
    #[serde(default)]
    pub refused: Option<String>,
}

/// How a mirror is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Its name.
    pub mirror: String,
    /// Its directory.
    pub root: String,
    /// Where it goes.
    pub target: String,
    /// How it is, in a word, as `status` begins with it: `in sync`, or what else there is to say.
    #[serde(default)]
    pub state: String,
    /// Everything seen so far is in sync (or held, or failing).
    pub settled: bool,
    /// Places that are to be looked at.
    pub pending: usize,
    /// Files that are being dealt with.
    pub in_flight: usize,
    /// Deletes that are held.
    pub held: Option<Hold>,
    /// Replacements that are held.
    pub overwrites_held: Option<HeldOverwrites>,
    /// What does not work, of the mirror as a whole.
    pub trouble: Option<String>,
    /// What helps against it, which its line ends in.
    #[serde(default)]
    pub trouble_remedy: Option<String>,
    /// Why changes are not seen as they happen.
    pub degraded: Option<String>,
    /// What helps against it, which its line ends in.
    #[serde(default)]
    pub degraded_remedy: Option<String>,
    /// Directories that cannot be read now, and files that cannot be looked at: nothing is known of them, nor of what lies below.
    pub unknown: u64,
    /// Some of them, by name, control characters escaped.
    #[serde(default)]
    pub unreadable_sample: Vec<String>,
    /// How many files fail now.
    pub failing: usize,
    /// Some of them, and why.
    pub failing_sample: Vec<Failing>,
    /// For how many seconds, rounded up, something has been known that is not proven in the bucket; 0: all is in sync. Until
    /// the mirror was compared with the bucket once, since it last was, or since the start.
    #[serde(default)]
    pub unsynced_seconds: u64,
    /// Files the ledger holds a proof of; `None` if it does not answer.
    pub files: Option<u64>,
    /// Since the daemon's start: files uploaded,
    pub uploaded: u64,
    /// copied,
    pub copied: u64,
    /// deleted,
    pub deleted: u64,
    /// bytes sent,
    pub bytes: u64,
    /// and requests by operation, every attempt.
    #[serde(default)]
    pub requests: BTreeMap<String, u64>,
    /// How far the scrub is, where there is one.
    #[serde(default)]
    pub scrub: Option<ScrubStatus>,
    /// What the last restore drill came to.
    #[serde(default)]
    pub drill: Option<Drilled>,
    /// Bytes that are sent in a second, on their way included: of the last seconds, while somebody asks again and again.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
    /// What was done last, the latest first.
    #[serde(default)]
    pub recent: Vec<Change>,
    /// What they cost (its `pass`), and a month; `None` until the mirror was compared with the bucket once.
    pub cost: Option<Cost>,
}

/// How far the scrub is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubStatus {
    /// Objects, and markers of directories, that were proven again,
    pub done: u64,
    /// those that had their turn and could not be,
    #[serde(default)]
    pub skipped: u64,
    /// of so many,
    pub of: u64,
    /// since then, which may be to come: seconds since 1970.
    pub since: i64,
    /// When all had been the last time, and none was skipped: seconds since 1970.
    pub whole: Option<i64>,
    /// Objects that it found damaged or missing and put back, since the daemon's start.
    pub healed: u64,
}

/// Deletes that are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub why: String,
    /// How many; `None` if the ledger does not answer.
    pub deletes: Option<u64>,
}

/// Replacements that are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOverwrites {
    /// Why.
    pub why: String,
    /// How many files; `None` if the ledger does not answer.
    pub files: Option<u64>,
}

impl Hold {
    /// What is held, as far as that is known.
    pub fn what(&self) -> String {
        counted(self.deletes, "deletes")
    }
}

impl HeldOverwrites {
    /// What is held, as far as that is known.
    pub fn what(&self) -> String {
        counted(self.files, "changed files")
    }
}

fn counted(n: Option<u64>, what: &str) -> String {
    n.map_or_else(|| what.to_owned(), |n| format!("{} {what}", HumanCount(n)))
}

/// A file that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Its name, control characters escaped.
    pub path: String,
    /// Why.
    pub error: String,
    /// What helps, where that is known; the error ends in it.
    #[serde(default)]
    pub remedy: Option<String>,
}

/// How a mirror is, in a word: of all that can be said the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As a whole it does not work.
    Trouble,
    /// Deletes wait for an operator.
    DeletesHeld,
    /// Replacements do.
    ReplacementsHeld,
    /// Some files fail.
    Failing,
    /// Some places cannot be read.
    Unreadable,
    /// Everything seen so far is in sync.
    InSync,
    /// There is something to do.
    Working,
}

impl State {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trouble => "in trouble",
            Self::DeletesHeld => "deletes held",
            Self::ReplacementsHeld => "replacements held",
            Self::Failing => "files failing",
            Self::Unreadable => "places unreadable",
            Self::InSync => "in sync",
            Self::Working => "working",
        }
    }
}

impl Daemon {
    /// How it is at this moment.
    pub async fn of(posts: &Posts) -> Self {
        let (all, refused) = (posts.all(), posts.refused());
        // side by side: the ledger of one that hangs is waited for, and not after those of others
        let mirrors = join_all(all.iter().map(|post| MirrorStatus::of(post))).await;
        Self { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned(), mirrors, refused }
    }
}

impl MirrorStatus {
    /// How it is, in a word.
    pub fn state(&self) -> State {
        match self {
            Self { trouble: Some(_), .. } => State::Trouble,
            Self { held: Some(_), .. } => State::DeletesHeld,
            Self { overwrites_held: Some(_), .. } => State::ReplacementsHeld,
            Self { failing: 1.., .. } => State::Failing,
            Self { unknown: 1.., .. } => State::Unreadable,
            Self { settled: true, .. } => State::InSync,
            _ => State::Working,
        }
    }

    /// What shows an operator what is held, and releases it.
    pub fn approve(&self) -> String {
        format!("s3mirrord approve --mirror {}", self.mirror)
    }

    async fn of(post: &Post) -> Self {
        let status = post.report.status();
        let (tally, requests) = match post.sides() {
            Some((_, store, ledger)) => {
                let tally = timeout(PATIENCE, ledger.tally()).await.ok().and_then(Result::ok);
                (tally, store.requests())
            }
            None => Default::default(),
        };
        let cost = (status.compared > 0).then(|| {
            let (compared, interval, stored) = (status.compared, post.mirror.relist, status.stored);
            Cost::estimate(&post.mirror.prices, Usage { requests: &requests, compared, interval, stored })
        });
        let (trouble, degraded) = (post.trouble(), status.degraded);
        let remedy = |fault: &Option<Fault>| fault.as_ref().and_then(|fault| fault.remedy.clone());
        let sample = status.failing.iter().take(SAMPLE).map(|(key, fault)| Failing {
            path: named(key),
            error: fault.to_string(),
            remedy: fault.remedy.clone(),
        });
        let told = Self {
            mirror: post.mirror.name.clone(),
            state: String::new(),
            root: post.mirror.root.display().to_string(),
            target: format!("s3://{}/{}", post.mirror.bucket, post.mirror.prefix),
            settled: status.settled && trouble.is_none(),
            pending: status.pending,
            in_flight: status.in_flight,
            held: status.held.map(|why| Hold { why, deletes: tally.map(|tally| tally.pending) }),
            overwrites_held: status
                .overwrites_held
                .map(|why| HeldOverwrites { why, files: tally.map(|tally| tally.overwrites) }),
            trouble_remedy: remedy(&trouble),
            trouble: trouble.map(|fault| fault.to_string()),
            degraded_remedy: remedy(&degraded),
            degraded: degraded.map(|fault| fault.to_string()),
            unknown: status.unreadable.count(),
            unreadable_sample: status.unreadable.places().take(SAMPLE).map(named).collect(),
            unsynced_seconds: status
                .unsynced
                .map_or(0, |age| age.as_secs() + u64::from(age.subsec_nanos() > 0)),
            failing: status.failing.len(),
            failing_sample: sample.collect(),
            files: tally.map(|tally| tally.records),
            uploaded: status.sums.uploaded,
            copied: status.sums.copied,
            deleted: status.sums.deleted,
            bytes: status.sums.bytes,
            requests,
            scrub: status.scrub.map(|scrub| ScrubStatus {
                done: scrub.done,
                skipped: scrub.skipped,
                of: scrub.of,
                since: scrub.since.sec,
                whole: scrub.whole.map(|at| at.sec),
                healed: status.healed,
            }),
            drill: post.drilled.last(),
            bytes_per_second: post.rate(),
            recent: post.recent.list(),
            cost,
        };
        Self { state: told.state().word().to_owned(), ..told }
    }
}

/// The path that a key stands for, as it is told.
fn named(key: &Key) -> String {
    let directory = key.marked().map(|path| format!("{path}/"));
    directory.or_else(|| Some(key.path()?.to_string())).unwrap_or_else(|| key.to_string())
}
