//! What `statx(2)` says of an entry, and the two ways a directory is entered: always from the one
//! above it, never through a link, never onto another mount.

use super::{kinds::Kinds, root::Opened};
use crate::model::{Attributes, Fingerprint, Instead, Local, LocalMeta, Node, Skip, Stamp};
use rustix::{
    fd::{BorrowedFd, OwnedFd},
    ffi::CStr,
    fs::{
        AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags, StatxTimestamp,
        openat2, statx,
    },
    io,
};

/// Where a directory is, within one process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Device number, major and minor.
    pub(super) device: (u32, u32),
    /// Mount id, 0 before Linux 5.8.
    pub(super) mount: u64,
    /// Inode number.
    pub(super) inode: u64,
}

/// An entry as it is now.
pub(super) struct Stat(Statx);

impl Stat {
    /// Of what `fd` is open on.
    pub(super) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Self::ask(fd, c"", AtFlags::EMPTY_PATH)
    }

    /// Of the entry `name` of `dir`; a link is not followed, nothing is mounted by asking.
    pub(super) fn at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Self> {
        Self::ask(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
    }

    fn ask(fd: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> io::Result<Self> {
        let mask = StatxFlags::BASIC_STATS.difference(StatxFlags::ATIME | StatxFlags::BLOCKS)
            | StatxFlags::BTIME
            | StatxFlags::MNT_ID;
        io::retry_on_intr(|| statx(fd, name, flags, mask)).map(Self)
    }

    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.0.stx_mode.into())
    }

    pub(super) fn place(&self) -> Place {
        Place {
            device: (self.0.stx_dev_major, self.0.stx_dev_minor),
            mount: self.0.stx_mnt_id,
            inode: self.0.stx_ino,
        }
    }

    /// True if something is mounted here, within a directory that lies on `mount`.
    pub(super) fn is_mount(&self, mount: u64) -> bool {
        self.0.stx_mnt_id != mount
            || self.0.stx_attributes.intersects(StatxAttributes::MOUNT_ROOT | StatxAttributes::AUTOMOUNT)
    }

    /// True if it has another name.
    pub(super) fn is_linked(&self) -> bool {
        self.0.stx_nlink > 1
    }

    /// True if the file system keeps birth times.
    pub(super) fn has_birth(&self) -> bool {
        StatxFlags::from_bits_retain(self.0.stx_mask).contains(StatxFlags::BTIME)
    }

    /// The FIFO or device that it is.
    pub(super) fn node(&self) -> Option<Node> {
        let number = u64::from(self.0.stx_rdev_major) << 32 | u64::from(self.0.stx_rdev_minor);
        Node::of(self.0.stx_mode.into(), Some(number))
    }

    /// As the mirror knows files.
    pub(super) fn meta(&self) -> LocalMeta {
        let s = &self.0;
        let stamp = |t: StatxTimestamp| Stamp { sec: t.tv_sec, nsec: t.tv_nsec };
        LocalMeta {
            print: Fingerprint {
                // of anything else it says nothing that would be worth keeping
                size: if self.kind().is_file() || self.kind().is_symlink() { s.stx_size } else { 0 },
                mtime: stamp(s.stx_mtime),
                ctime: stamp(s.stx_ctime),
                inode: s.stx_ino,
            },
            attributes: Attributes { mode: s.stx_mode.into(), uid: s.stx_uid, gid: s.stx_gid },
        }
    }

    /// What an entry of a directory of this root is to the mirror, as a file.
    ///
    /// # Errors
    /// It is something that has another key.
    pub(super) fn local(&self, root: &Opened) -> Result<Local, Instead> {
        Ok(match self.kind() {
            _ if self.is_mount(root.place.mount) => Local::Skipped(Skip::Mount),
            FileType::RegularFile => Local::Present(self.meta()),
            FileType::Directory => return Err(Instead::Directory),
            FileType::Symlink => match root.kinds {
                Kinds { links: true, .. } => return Err(Instead::Link),
                Kinds { links: false, .. } => Local::Skipped(Skip::Link),
            },
            _ if root.kinds.nodes && self.node().is_some() => Local::Present(self.meta()),
            _ => Local::Skipped(Skip::Special),
        })
    }
}

/// Opens `path` beneath `dir`. `ELOOP` for a link anywhere in it, `EXDEV` for a mount point.
pub(super) fn beneath(dir: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    io::retry_on_intr(|| openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), BENEATH))
}

/// As [`beneath`], if the kernel knows every component of `path`: no disk is waited for. `EAGAIN` if it does not.
pub(super) fn at_hand(dir: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), BENEATH | ResolveFlags::CACHED)
}

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Flags to list a directory.
pub(super) const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);
/// Flags to go through a directory, which needs no right to list it.
pub(super) const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
