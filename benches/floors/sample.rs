//! The tree that is measured with, and what three sides know of its files.

use s3mirrord::model::{
    Absence, Attributes, Digest, ETag, Fingerprint, Kept, Key, Local, LocalMeta, Record, RelPath, RemoteMeta,
    Stamp, Triple,
};

/// Files of the tree.
pub(crate) const FILES: usize = 1_000_000;
/// Files of one directory.
const SIBLINGS: usize = 1_000;
/// What the store gives at a time.
pub(crate) const PAGE: usize = 1_000;

/// The `n`th path, in key order.
pub(crate) fn path(n: usize) -> RelPath {
    let text = format!("srv/www/sites/{:04}/uploads/image-{:04}.jpeg", n / SIBLINGS, n % SIBLINGS);
    RelPath::new(text.as_bytes()).expect("a valid path")
}

pub(crate) fn print(n: usize) -> Fingerprint {
    let time = Stamp { sec: 1_700_000_000 + n as i64, nsec: 123_456_789 };
    Fingerprint { size: 4_096 + n as u64 % 1_000, mtime: time, ctime: time, inode: 1_000 + n as u64 }
}

pub(crate) fn local(n: usize) -> Local {
    let attributes = Attributes { mode: 0o100_644, uid: 1000, gid: 1000 };
    Local::Present(LocalMeta { print: print(n), attributes })
}

pub(crate) fn absent() -> Local {
    Local::Absent(Absence { ancestor: RelPath::root(), instead: None })
}

pub(crate) fn remote(n: usize) -> RemoteMeta {
    RemoteMeta { size: print(n).size, etag: etag(n), modified: Some(print(n).mtime) }
}

pub(crate) fn record(n: usize) -> Record {
    Record {
        print: Some(print(n)),
        attributes: Some(Attributes { mode: 0o100_644, uid: 1000, gid: 1000 }),
        metadata_due: false,
        doubted: false,
        condemned: false,
        kept: Kept::default(),
        size: print(n).size,
        etag: etag(n),
        digest: Some(Digest { sha256: [n as u8; 32], part_size: None }),
        seq: n as u64 / PAGE as u64,
    }
}

pub(crate) fn etag(n: usize) -> ETag {
    ETag::new(&format!("{n:032x}"))
}

/// The `n`th file, in sync.
pub(crate) fn triple(n: usize) -> Triple {
    let (remote, record) = (Some(remote(n)), Some(record(n)));
    Triple { key: Key::of(&path(n)), local: local(n), remote, record, asked: 0, kin: None }
}
