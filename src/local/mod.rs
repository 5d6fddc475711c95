//! L2, the disk: the mirrored directory behind the trait [`Tree`], and [`Directory`], the real one.
//!
//! | room | |
//! |---|---|
//! | `directory` | the [`Tree`] over the others |
//! | `kinds` | what is mirrored beside regular files |
//! | `root` | opens the root, and proves that it is the bound one |
//! | `mount`, `uuid` | the kind of file system: identity, clock, whether it tells of changes |
//! | `stat`, `descend` | one entry; the way down to a directory |
//! | `entries`, `names`, `spill`, `listing` | a directory as the kernel lists it; in key order, in memory or on disk |
//! | `walk`, `stack`, `batch` | entries of a tree in key order |
//! | `look` | entries by name, with proof of absence |
//! | `prune`, `warnings` | what is left out: by the operator; because it has to be |
//! | `read`, `reader`, `cached`, `opener` | an open file, and what reading leaves; opening what is in memory; opening many |
//! | `hash` | its digests |
//! | `target`, `draft`, `dress`, `made` | a directory that is written to: where a restore goes; a file on its way there; what is no file; directories that are not finished |
//! | `piece`, `tally` | a large file that comes there in pieces, and its digest |
//! | `xattr`, `accounts` | extended attributes, read and given; what owners are called |
//! | `hole` | zeros that are left out of what is written there |
//! | `clone` | a file that does not rest, as it is at one moment |
//! | `watch`, `arm`, `event`, `outbox`, `plight` | changes as they happen, and why they are not seen |
//! | `canary` | proof that they would be |
//! | `fuzz` | what has to hold for any event, however odd |

mod accounts;
mod arm;
mod batch;
mod buffers;
mod cached;
mod canary;
mod census;
mod clone;
mod descend;
mod directory;
mod draft;
mod dress;
mod entries;
mod event;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hash;
mod hole;
mod kinds;
mod listing;
mod look;
mod made;
mod mount;
mod names;
mod node;
mod opener;
mod outbox;
mod piece;
mod plight;
mod prune;
mod read;
mod reader;
mod rhythm;
mod root;
mod spill;
mod stack;
mod stat;
mod tally;
mod target;
mod uuid;
mod walk;
mod warnings;
mod watch;
mod xattr;

pub use accounts::Accounts;
pub use canary::Pulse;
pub use census::{watch_limit, watches_held};
pub use directory::Directory;
pub use draft::Draft;
pub(crate) use hash::CHUNK;
pub use hash::{Hashes, Hashing};
pub use kinds::Kinds;
pub use piece::{Cut, Piece, Written};
pub use plight::{watchers, watches};
pub use prune::Prune;
pub use read::File;
pub use tally::{Form, Sum, Tally};
pub use target::{Finish, Placed, Target};

use crate::model::{Fault, Key, Local, LocalMeta, RootId, Scope, Source, Stamp};
use futures::Stream;
use std::{future::Future, sync::Arc, time::Duration};

/// One entry of a walk. A key that ends in `/` is a directory: `Present` by itself, or, if it is not entered, for everything
/// below (a mount point: `Skipped`; an unreadable directory: `Unknown`), unless an entry of its own says otherwise.
pub type Entry = (Key, Local);

/// Look here again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Every directory is watched: a walk begun from now on misses nothing that an event does not tell.
    Armed,
    /// Something happened here.
    Look(Scope),
    /// Something happened that the watcher did not see: all is to be looked at.
    Lost(String),
    /// Changes are no longer seen as they happen: scans have to find them. What, and what to do.
    Degraded(Fault),
    /// They are seen as they happen again.
    Restored,
}

/// The mirrored directory. Links and directories, where they are mirrored, look like files of their own: a link as a file
/// of the name that its object has, a directory as one without content. Clones share a handle; threads live behind it. Nothing is ever written
/// into the root, and no descriptor of it is held while idle.
pub trait Tree: Clone + Send + Sync + 'static {
    /// An open file.
    type File: Source;

    /// The identity of the root as it is now, and how long the file system's clock may stand still
    /// (a 'clock step', by the monotonic clock).
    ///
    /// # Errors
    /// `Fatal` if there is no such directory.
    fn root(&self) -> impl Future<Output = Result<(RootId, Duration), Fault>> + Send;

    /// From now on every call fails with `Fatal` if the root is not this one. Within a process's life
    /// device and mount are compared too.
    fn bind(&self, root: &RootId);

    /// True if every write from now on leaves a later time than `time` at its file: the clock that the file system
    /// takes its times from has gone past it. False also if that clock is not known.
    fn ticked(&self, time: Stamp) -> bool;

    /// Entries of `Tree(dir)` or `Children(dir)` in key order, in batches. Entries that are not there
    /// are absent, once the stream has ended: each directory is read whole before its first entry is
    /// given, and one that cannot be is `Unknown`. A directory that is mirrored itself comes before what is in it, the
    /// root never. `Children` gives a subdirectory as `dir/` with `Absent`. Pruned entries are left out.
    ///
    /// # Errors
    /// `Fatal` if the root is not the bound one; the stream ends there.
    fn walk(
        &self,
        scope: &Scope,
        prune: Prune,
    ) -> impl Stream<Item = Result<Vec<Entry>, Fault>> + Send + use<Self>;

    /// The entries that have these keys, in their order, by a stat and a whole enumeration of the nearest
    /// existing ancestor for those that are absent (one enumeration serves all of a directory).
    /// Filters are not applied.
    ///
    /// # Errors
    /// `Fatal` if the root is not the bound one.
    fn look(&self, keys: Vec<Key>) -> impl Future<Output = Result<Vec<Local>, Fault>> + Send;

    /// Opens beneath the root, never through a link, never blocking.
    ///
    /// # Errors
    /// `Missing`, `Changed` (not what this key stands for any more), or an I/O error.
    fn open(&self, key: &Key) -> impl Future<Output = Result<Self::File, Fault>> + Send;

    /// What the open file holds at one moment, to be read in peace, and how the file was just before. `None` where that
    /// cannot be had.
    fn snapshot(&self, file: &Self::File) -> impl Future<Output = Option<(Self::File, LocalMeta)>> + Send;

    /// What this owner is called here, `user:group`, if that is to be kept.
    fn names(&self, _owner: (u32, u32)) -> Option<Arc<str>> {
        None
    }

    /// Starts watching; [`Notice::Armed`] comes first, and nothing is degraded until it is told. The stream ends only
    /// if the watcher dies. Bounded: what does not fit becomes `Lost`.
    fn watch(&self, prune: Prune) -> impl Stream<Item = Notice> + Send + use<Self>;
}

#[cfg(test)]
mod tests;
