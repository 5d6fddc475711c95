//! What is known of one key from three sides.

use super::{Key, Kind, LocalMeta, Record, RelPath, RemoteMeta, Seq};

/// What the disk shows for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// A regular file; or a directory, link, FIFO or device, where they are stored.
    Present(LocalMeta),
    /// Shown not to be there.
    Absent(Absence),
    /// There, but never stored, never opened and never followed; or excluded. Never leads to a delete.
    Skipped(Skip),
    /// It cannot be told: unreadable, an I/O error. Never leads to a delete.
    Unknown,
}

impl Local {
    /// True if there is a file (not what has nothing to be copied: a directory, FIFO or device) that is not the one which `record`, the proof of its key, was taken of: a new one, or one
    /// that took the place of another.
    pub fn is_fresh(&self, record: Option<&Record>) -> bool {
        let known = record.and_then(|record| record.print).map(|print| print.inode);
        let has_content = |meta: &LocalMeta| matches!(meta.attributes.kind(), Kind::File | Kind::Link);
        matches!(self, Self::Present(meta) if known != Some(meta.print.inode) && has_content(meta))
    }
}

/// Why something is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// A filter excludes it, or it is a directory and they are not stored.
    Excluded,
    /// A symbolic link, where they are not stored.
    Link,
    /// A socket; a FIFO or device, where they are not stored.
    Special,
    /// A mount point.
    Mount,
}

/// Shown, just now and under the proven root, not to be there: the nearest existing ancestor was
/// enumerated whole, without an error, and lacks an entry of that kind, by listing and by a stat.
/// Only a `Tree` makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// The ancestor that was enumerated.
    pub ancestor: RelPath,
    /// What stands where the file would be.
    pub instead: Option<Instead>,
}

/// What has the name, and another key (`a/` and `a.rclonelink` are not `a`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// A directory.
    Directory,
    /// A symbolic link that is stored.
    Link,
}

/// What the three sides show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triple {
    /// Which key.
    pub key: Key,
    /// The disk.
    pub local: Local,
    /// The bucket.
    pub remote: Option<RemoteMeta>,
    /// What was last proven.
    pub record: Option<Record>,
    /// The ledger's counter from before the remote side was asked for.
    pub asked: Seq,
    /// What the file may have been before, under another name; looked for only if it is [fresh](Local::is_fresh).
    pub kin: Option<Kin>,
}

/// Another key whose proof was taken of the same inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kin {
    /// Which key.
    pub key: Key,
    /// Size and mtime are those of the proof, too: the file may have been renamed and be what it was.
    pub twin: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Fingerprint, Stamp};

    #[test]
    fn a_file_is_fresh_that_no_record_is_of() {
        let print = |inode| Fingerprint { size: 1, mtime: Stamp::default(), ctime: Stamp::default(), inode };
        let attributes = Attributes { mode: 0o100_644, uid: 0, gid: 0 };
        let file = Local::Present(LocalMeta { print: print(7), attributes });
        let record = |print| Record { print, ..Record::bare(1, "e") };
        assert!(file.is_fresh(None) && file.is_fresh(Some(&record(None))));
        assert!(file.is_fresh(Some(&record(Some(print(8))))), "another file has the name");
        assert!(!file.is_fresh(Some(&record(Some(print(7))))));
        assert!(!Local::Unknown.is_fresh(None), "there may be no file");
    }
}
