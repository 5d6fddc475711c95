//! How commands talk to the daemon: a socket in the state directory, one JSON object a line each way.

mod client;
mod daemon;
mod server;

pub use client::Client;
pub use daemon::{Daemon, Failing, HeldOverwrites, Hold, MirrorStatus, ScrubStatus, State};
pub use server::Server;

use super::{
    explain::Explanation,
    proposal::{Identity, OtherRoot, Plan},
};
use serde::{Deserialize, Serialize};
use std::{
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

/// A path by which a socket in `directory` can be reached, however long the directory's own is. Valid as
/// long as the file is held.
fn reachable(directory: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if directory.as_os_str().len() <= LONGEST_PATH {
        return Ok((directory.to_owned(), None));
    }
    let open = File::open(directory)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())), Some(open)))
}
