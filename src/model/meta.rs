//! What is known of a file, and of an object.

use super::{ETag, Extra, Keep, Node, Record};
use std::sync::Arc;

/// A point in wall-clock time, as a file system or a server gives it. Compared for equality only;
/// debounce, grace and clock steps count on monotonic time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Seconds since 1970-01-01T00:00:00Z; negative before.
    pub sec: i64,
    /// Nanoseconds, 0..=999,999,999.
    pub nsec: u32,
}

/// What kind of entry of a directory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A FIFO, socket or device.
    Special,
}

/// The bits of a mode that tell of what type it is (inode(7)).
pub(super) const fn kind_bits(mode: u32) -> u32 {
    mode & 0o170_000
}

impl Kind {
    /// By the type bits of a mode (inode(7)); without any it is a file.
    pub const fn of(mode: u32) -> Self {
        match kind_bits(mode) {
            0o100_000 | 0 => Self::File,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Link,
            _ => Self::Special,
        }
    }

    /// True if its object is always given a mode, as nothing else tells that it is no file's.
    pub const fn needs_mode(self) -> bool {
        matches!(self, Self::Link | Self::Special)
    }
}

impl Stamp {
    /// Whole minutes since 1970-01-01T00:00:00Z.
    pub const fn minute(self) -> i64 {
        self.sec.div_euclid(60)
    }
}

/// What `statx(2)` says of a file that changes whenever its content does, but for stores through
/// mmap to an already dirty page, and writes within one tick of the file system's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// Last modification, settable by `touch`.
    pub mtime: Stamp,
    /// Last change of content or inode, not settable.
    pub ctime: Stamp,
    /// Inode number.
    pub inode: u64,
}

/// What travels with the content: written as rclone writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// Type and permission bits, `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Attributes {
    /// By the type bits of the mode.
    pub const fn kind(&self) -> Kind {
        Kind::of(self.mode)
    }
}

/// An entry as the disk shows it. Of a directory the size counts as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalMeta {
    /// Size, times and inode.
    pub print: Fingerprint,
    /// Mode and owner.
    pub attributes: Attributes,
}

/// Our own digest of a content: SHA-256 of the whole or, for what went up in parts, SHA-256 of the
/// parts' SHA-256s one after another (what S3 calls a composite checksum).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest {
    /// The SHA-256.
    pub sha256: [u8; 32],
    /// Bytes of each part but the last; `None` if the digest is of the whole.
    pub part_size: Option<u64>,
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteMeta {
    /// Bytes.
    pub size: u64,
    /// Its entity tag.
    pub etag: ETag,
    /// Last-Modified, by the server's clock; `None` if it was not given, as in a reply to PUT.
    pub modified: Option<Stamp>,
}

/// One version of a key, in a bucket that keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its id; `null` if it was written while the bucket kept none.
    pub id: Arc<str>,
    /// It is what is there now.
    pub latest: bool,
    /// When it came, by the server's clock.
    pub modified: Stamp,
    /// The object; `None`: a delete marker.
    pub object: Option<RemoteMeta>,
}

/// A checksum of an object's bytes that the store computed or compared when it took them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// SHA-256 of the whole.
    Sha256([u8; 32]),
    /// SHA-256 of the parts' SHA-256s; what size the parts have is not told.
    Sha256OfParts([u8; 32]),
    /// CRC-64/NVME of the whole, which S3 keeps of what came without a checksum.
    Crc64Nvme(u64),
}

/// An object as HEAD shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// As in a listing.
    pub meta: RemoteMeta,
    /// `s3mirrord-own` in its metadata: who wrote it, for which key.
    pub own: Option<String>,
    /// The digest its metadata gives: of the whole or, with a part size, of the parts. What went up in parts has
    /// none, since its metadata is written before its bytes are read.
    pub sha256: Option<[u8; 32]>,
    /// The part size its metadata gives, if its content went up in parts.
    pub part_size: Option<u64>,
    /// The store's own checksum, if it keeps one of these and may tell it.
    pub checksum: Option<Checksum>,
    /// It is encrypted in a way that makes its tag no digest, whatever it looks like (SSE-KMS).
    pub opaque: bool,
    /// `mtime` of its metadata.
    pub mtime: Option<Stamp>,
    /// `mode` of its metadata.
    pub mode: Option<u32>,
    /// `uid` and `gid` of its metadata.
    pub owner: Option<(u32, u32)>,
    /// What the owner was called where it was written, `user:group`. It says nothing of whether two are equal.
    pub names: Option<Arc<str>>,
    /// What else it gives of its file.
    pub extra: Extra,
}

impl Head {
    /// The FIFO or device that it stands for: an empty object whose mode says that it does.
    pub fn node(&self) -> Option<Node> {
        Node::of(self.mode?, self.extra.device).filter(|_| self.meta.size == 0)
    }
}

/// What an object's metadata says of time, mode and owner; `None`: nothing, or that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// When the file was last modified.
    pub mtime: Option<Stamp>,
    /// Type and permission bits.
    pub mode: Option<u32>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
}

impl Said {
    /// By HEAD.
    pub fn by(head: &Head) -> Self {
        Self { mtime: head.mtime, mode: head.mode, owner: head.owner }
    }

    /// By the proof: as far as it was written, or seen to be there.
    pub fn of(record: &Record) -> Self {
        let (had, looked) = (record.attributes, record.kept.looked);
        Self {
            mtime: record.print.filter(|_| looked.mtime).map(|print| print.mtime),
            mode: had.filter(|had| looked.mode || had.kind().needs_mode()).map(|had| had.mode),
            owner: had.filter(|_| looked.owner).map(|had| (had.uid, had.gid)),
        }
    }

    /// With what the other says where this one says nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            mtime: self.mtime.or(other.mtime),
            mode: self.mode.or(other.mode),
            owner: self.owner.or(other.owner),
        }
    }

    /// Mode and owner, for the ledger; `None` if nothing is said of either.
    pub fn attributes(self) -> Option<Attributes> {
        let (uid, gid) = self.owner.unwrap_or_default();
        (self.mode.is_some() || self.owner.is_some()).then(|| Attributes {
            mode: self.mode.unwrap_or_default(),
            uid,
            gid,
        })
    }

    /// True if the mode is of something else than what is there, of whose kind nothing but the mode tells: that of a FIFO or
    /// device and, if by its key it may be `either` a file or a link, that of a link.
    pub fn mistakes(self, meta: &LocalMeta, either: bool) -> bool {
        let (said, is) = (self.mode.map_or(Kind::File, Kind::of), meta.attributes.kind());
        match (said, is) {
            (Kind::Special, Kind::Special) => {
                self.mode.map(kind_bits) != Some(kind_bits(meta.attributes.mode))
            }
            (Kind::Special, _) | (_, Kind::Special) => true,
            _ => either && (said == Kind::Link) != (is == Kind::Link),
        }
    }

    /// Which of them are as the file has them.
    pub fn agrees(self, meta: &LocalMeta) -> Keep {
        let Attributes { mode, uid, gid } = meta.attributes;
        Keep {
            mtime: self.mtime == Some(meta.print.mtime),
            mode: self.mode == Some(mode),
            owner: self.owner == Some((uid, gid)),
            ..Keep::default()
        }
    }
}
