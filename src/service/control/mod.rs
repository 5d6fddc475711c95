//! How commands talk to the daemon: a socket in the state directory, one JSON object a line each way.

mod client;
mod server;

pub use client::Client;
pub use server::Server;

use super::{
    cost::Cost,
    drill::Drilled,
    explain::Explanation,
    proposal::{Identity, OtherRoot, Plan},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

/// The socket's name in the state directory.
pub const SOCKET: &str = "control.sock";
/// The longest request, in bytes.
const LONGEST_REQUEST: usize = 64 << 10;
/// The longest reply, in bytes.
const LONGEST_REPLY: usize = 16 << 20;
/// The longest path a socket may have (`sun_path`, with room for our temporary name).
const LONGEST_PATH: usize = 80;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How all mirrors are.
    Status,
    /// What an operator may approve.
    Question {
        /// The mirror's name.
        mirror: String,
    },
    /// Release the deletes of a plan.
    Approve {
        /// The mirror's name.
        mirror: String,
        /// The plan's name.
        plan: String,
    },
    /// What is known of a file, and what would be done about it.
    Explain {
        /// The mirror's name.
        mirror: String,
        /// The file's key.
        key: String,
    },
    /// Take the root that is there now for the mirror's own.
    AcceptRoot {
        /// The mirror's name.
        mirror: String,
        /// The root as it was shown.
        shown: Identity,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// How all mirrors are.
    Status(Daemon),
    /// What an operator may approve.
    Question(Question),
    /// What is known of a file.
    Explanation(Box<Explanation>),
    /// It is done.
    Done,
    /// It is not done.
    Refused {
        /// Something is not, or no longer, as the asker thinks.
        changed: bool,
        /// Why, and what to do.
        error: String,
    },
}

/// What an operator may approve; nothing, mostly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What is held.
    pub plans: Vec<Plan>,
    /// The root is another one.
    pub root: Option<OtherRoot>,
}

/// How a daemon is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Its mirrors, in the order of the configuration.
    pub mirrors: Vec<MirrorStatus>,
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
    /// Why changes are not seen as they happen.
    pub degraded: Option<String>,
    /// Places that could not be read.
    pub unknown: u64,
    /// How many files fail now.
    pub failing: usize,
    /// Some of them, and why.
    pub failing_sample: Vec<Failing>,
    /// For how many seconds, rounded up, something has been known that is not proven in the bucket; 0: all is in sync. Until
    /// the mirror was compared with the bucket once, since it last was, or since the start.
    #[serde(default)]
    pub unsynced_seconds: u64,
    /// Files the ledger holds a proof of.
    pub files: u64,
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
    /// How many.
    pub deletes: u64,
}

/// Replacements that are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOverwrites {
    /// Why.
    pub why: String,
    /// How many files.
    pub files: u64,
}

/// A file that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Its name, control characters escaped.
    pub path: String,
    /// Why.
    pub error: String,
}

/// A path by which a socket in `directory` can be reached, however long the directory's own is. Valid as
/// long as the file is held.
fn reachable(directory: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if directory.as_os_str().len() <= LONGEST_PATH {
        return Ok((directory.to_owned(), None));
    }
    let open = File::open(directory)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())), Some(open)))
}
