//! L2, the proofs: what was last confirmed, behind the trait [`Ledger`].
//!
//! A cache of proofs, bound to one place and one root. Losing it costs reading, never data.
//!
//! [`Database`] is the real one: `database` opens and reads it, `batch` says what each change does, and the
//! rooms below it hold a table or two each.

mod batch;
mod bytes;
mod condemned;
mod database;
mod fault;
mod heir;
mod inode;
mod layout;
mod lock;
mod medium;
mod meta;
mod migrate;
mod overwrites;
mod panics;
mod reason;
mod record;
mod threads;
mod window;

pub use database::{Database, LEDGER_FILE, Opened, Options};
pub use lock::{Held, LOCK_FILE, Lock, OpenError};
pub use reason::Reason;

use crate::model::{
    Binding, Change, Condemned, ETag, Fault, Intent, Key, KeyRange, Overwrite, Record, Scrubbed, Seq, Stamp,
    Tally,
};
use std::future::Future;

/// What deletes, or replacements, of the last hours cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Those that cost budget, done since the window's start.
    pub done: u64,
    /// Records at the window's start.
    pub records: u64,
}

/// What there is to say of a replacement, as of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overwriting {
    /// The key's row.
    pub row: Option<Overwrite>,
    /// The minute since 1970 in which the key was counted, if within the window.
    pub counted: Option<i64>,
    /// Replacements that are held and not approved, this one among them.
    pub held: u64,
    /// What was done within the window.
    pub window: Window,
}

/// The proofs of one mirror. Clones share a handle.
pub trait Ledger: Clone + Send + Sync + 'static {
    /// The counter: that of the last commit.
    fn now(&self) -> Seq;

    /// Random, born with the ledger: names plans, so that one of a lost ledger is not taken for one of this.
    fn id(&self) -> u64;

    /// The proof of one key.
    ///
    /// # Errors
    /// I/O errors, as for every call.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Record>, Fault>> + Send;

    /// The tag under which a key was found to be foreign.
    ///
    /// # Errors
    /// As above.
    fn foreign(&self, key: &Key) -> impl Future<Output = Result<Option<ETag>, Fault>> + Send;

    /// At most `most` proofs of `range` in key order, from the first key at or after `from`.
    ///
    /// # Errors
    /// As above.
    fn page(
        &self,
        range: &KeyRange,
        from: Option<Key>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<(Key, Record)>, Fault>> + Send;

    /// For each of these inodes the keys whose proof was taken of it.
    ///
    /// # Errors
    /// As above.
    fn by_inodes(&self, inodes: Vec<u64>) -> impl Future<Output = Result<Vec<Vec<Key>>, Fault>> + Send;

    /// At most `most` condemned rows numbered above `after`, by number.
    ///
    /// # Errors
    /// As above.
    fn condemned(
        &self,
        after: u64,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Condemned>, Fault>> + Send;

    /// Journaled intents.
    ///
    /// # Errors
    /// As above.
    fn intents(&self) -> impl Future<Output = Result<Vec<Intent>, Fault>> + Send;

    /// Sums.
    ///
    /// # Errors
    /// As above.
    fn tally(&self) -> impl Future<Output = Result<Tally, Fault>> + Send;

    /// Deletes done since `since` (wall time; those in the future of it count).
    ///
    /// # Errors
    /// As above.
    fn window(&self, since: Stamp) -> impl Future<Output = Result<Window, Fault>> + Send;

    /// [`Ledger::tally`] and [`Ledger::window`] as of one commit: asked one after the other, a delete in between
    /// would count as pending and as done.
    ///
    /// # Errors
    /// As above.
    fn spent(&self, since: Stamp) -> impl Future<Output = Result<(Tally, Window), Fault>> + Send;

    /// At most `most` replacements that are held, numbered above `after`, by number.
    ///
    /// # Errors
    /// As above.
    fn overwrites(
        &self,
        after: u64,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Overwrite>, Fault>> + Send;

    /// What a replacement of `key` is judged by; the window began at `since` (wall time).
    ///
    /// # Errors
    /// As above.
    fn overwriting(&self, key: &Key, since: Stamp)
    -> impl Future<Output = Result<Overwriting, Fault>> + Send;

    /// Objects that were counted as replaced since `since` (wall time; those in the future of it count).
    ///
    /// # Errors
    /// As above.
    fn overwritten(&self, since: Stamp) -> impl Future<Output = Result<Window, Fault>> + Send;

    /// What it is bound to.
    ///
    /// # Errors
    /// As above.
    fn binding(&self) -> impl Future<Output = Result<Option<Binding>, Fault>> + Send;

    /// True if deletes are held.
    ///
    /// # Errors
    /// As above.
    fn held(&self) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// How far the scrub is; `None` if there never was one.
    ///
    /// # Errors
    /// As above.
    fn scrubbed(&self) -> impl Future<Output = Result<Option<Scrubbed>, Fault>> + Send;

    /// Since when (wall time) something is unsynced; `None`: nothing is, as far as was written down.
    ///
    /// # Errors
    /// As above.
    fn unsynced(&self) -> impl Future<Output = Result<Option<Stamp>, Fault>> + Send;

    /// Writes a batch: all of it or nothing, durable when it returns, and then seen by every later
    /// read. Returns the counter it was written under.
    ///
    /// # Errors
    /// As above; nothing was written then.
    fn commit(&self, batch: Vec<Change>) -> impl Future<Output = Result<Seq, Fault>> + Send;
}
