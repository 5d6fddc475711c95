//! What is to be done about a key, and how it went.

use super::{Attributes, Change, ETag, Extra, Fault, Keep, Key, LocalMeta, RemoteMeta, Seq, Stamp};
use std::sync::Arc;

/// A condition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// No condition.
    Always,
    /// `If-None-Match: *`: only if there is no object.
    New,
    /// `If-Match`: only if the object has this tag.
    Match(ETag),
}

/// What an upload carries beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Bytes to read from the source.
    pub size: u64,
    /// Modification time of the file.
    pub mtime: Stamp,
    /// Mode and owner of the file.
    pub attributes: Attributes,
    /// What its owner is called, `user:group`.
    pub names: Option<Arc<str>>,
    /// What of these is to be said.
    pub keep: Keep,
    /// What else the file has, and is kept.
    pub extra: Extra,
    /// The text of `s3mirrord-own`.
    pub own: String,
    /// Digest to record beside a server-side copy; a put takes its own while reading.
    pub sha256: Option<[u8; 32]>,
    /// Part size to record beside a server-side copy of what went up in parts.
    pub part_size: Option<u64>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Upload the file.
    Put(Only),
    /// Copy this key's object on the server; the file was renamed.
    Copy(Key),
    /// Write the file's time, mode and owner to its object; the bytes are proven equal.
    Metadata,
    /// Compare more closely (HEAD, hash), then decide again in the same task. The object is as it was
    /// listed; `None` if it was not.
    Prove(Option<RemoteMeta>),
    /// Prove it again, though nothing seems to have happened: read the file, ask for the object.
    Scrub {
        /// Fetch it and hash that.
        fetch: bool,
    },
}

/// Why, in words for people: static, so that a million jobs share them.
pub type Why = &'static str;

/// One operation on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The object.
    pub key: Key,
    /// What to do.
    pub op: Op,
    /// The file as the survey saw it; `None` if it was absent.
    pub expect: Option<LocalMeta>,
    /// A key that may hold what the file was under another name.
    pub former: Option<Key>,
    /// For people.
    pub why: Why,
    /// The ledger's counter from before the survey asked: a newer proof makes the job void.
    pub asked: Seq,
}

/// A replacement that the budget does not allow.
#[derive(Debug)]
pub struct Refrained {
    /// Why.
    pub why: String,
    /// What to write, if it was not held before.
    pub change: Option<Change>,
}

/// How a job went.
#[derive(Debug)]
pub enum Outcome {
    /// Confirmed. The changes go to the ledger before anyone is told.
    Done {
        /// What was done in the end.
        did: Did,
        /// For the ledger.
        changes: Vec<Change>,
    },
    /// The object changed meanwhile, or another file has the name: look again.
    Stale,
    /// The file changes while it is read: later.
    Busy,
    /// So it does, and the object is not what it was taken for: later, when the bucket was asked.
    Overtaken,
    /// The store may do it later.
    Retry(Fault),
    /// What has to be done on this host before files are read failed: later. The store has no part in it.
    Later(Fault),
    /// This file cannot be stored as it is; looked at again at the next relist or event.
    Rejected(Fault),
    /// The object is not to be replaced before an operator has looked.
    Held(Refrained),
    /// The store does not let it be done: the file's own fault, or the mirror's.
    Denied(Fault),
    /// Nothing of this mirror can go on until something outside changes.
    Fatal(Fault),
}

/// What a finished job did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// Content was sent.
    Put {
        /// Bytes sent, without those that the store held already.
        bytes: u64,
    },
    /// The server copied it from this key.
    Copied(Key),
    /// Only metadata was rewritten.
    Metadata,
    /// Nothing had to be written: the two sides were found equal.
    Adopted,
    /// Nothing had to be written: something was learnt for the ledger.
    Learnt,
    /// What was proven was proven again; else it is to be looked at closer, or could not be had.
    Scrubbed {
        /// It was.
        proven: bool,
    },
    /// The object is not ours and stays.
    Foreign,
}
