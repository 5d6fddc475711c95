//! What kind of file system the root lies on: what proves its identity, how coarse its clock is, and
//! whether it tells of changes. Pure, but for the calls of [`FileSystem::of`].
//!
//! Identity. `f_fsid` is taken where it is made of a UUID on the disk (ext2-4, btrfs with the
//! subvolume mixed in, ZFS, bcachefs) or of one drawn at mount time (tmpfs: a new mount *is*
//! another file system). There it goes before the kernel's UUID, which only Linux 6.9 and later tell: an
//! upgrade of the kernel must not look like a change of the root, and all subvolumes of a btrfs share
//! one UUID and one root inode. Elsewhere (XFS, f2fs: made of the device number; overlay:
//! borrowed from below) only the UUID counts. Network file systems and FUSE have neither.

use super::{stat::Stat, uuid};
use crate::model::Stamp;
use rustix::{
    fd::BorrowedFd,
    fs,
    time::{ClockId, clock_gettime},
};
use std::time::Duration;

/// Clock step of a local file system that keeps fractions of a second: two ticks of the slowest kernel (HZ=100), should
/// its clock not be seen to go on before.
const FINE: Duration = Duration::from_millis(20);
/// Elsewhere: FAT counts in two seconds.
const COARSE: Duration = Duration::from_secs(2);

/// What is known of a kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Traits {
    name: &'static str,
    /// `f_fsid` stays with the file system over mounts and device numbers.
    stable_fsid: bool,
    /// Time stamps have fractions of a second, taken from this host's clock.
    fine: Fine,
    /// Others may write without this host being told.
    remote: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fine {
    Yes,
    No,
    /// If it gives birth times: ext4 has both or neither, by the size of its inodes.
    WithBirth,
}

const fn local(name: &'static str, stable_fsid: bool, fine: Fine) -> Traits {
    Traits { name, stable_fsid, fine, remote: false }
}

const fn remote(name: &'static str) -> Traits {
    Traits { name, stable_fsid: false, fine: Fine::No, remote: true }
}

/// By `f_type` of statfs(2); numbers from `include/uapi/linux/magic.h`, ZFS's from OpenZFS.
fn traits(magic: u64) -> Traits {
    match magic {
        0xEF53 => local("ext", true, Fine::WithBirth),
        0x9123_683E => local("btrfs", true, Fine::Yes),
        0x2FC1_2FC1 => local("zfs", true, Fine::Yes),
        0xCA45_1A4E => local("bcachefs", true, Fine::Yes),
        0x0102_1994 => local("tmpfs", true, Fine::Yes),
        0x5846_5342 => local("xfs", false, Fine::Yes),
        0xF2F5_2010 => local("f2fs", false, Fine::Yes),
        0x794C_7630 => local("overlay", false, Fine::Yes),
        0x6969 => remote("nfs"),
        0xFF53_4D42 | 0xFE53_4D42 | 0x517B => remote("smb"),
        0x6573_5546 => remote("fuse"),
        0x0102_1997 => remote("9p"),
        0x0BD0_0BD0 => remote("lustre"),
        0x00C3_6400 => remote("ceph"),
        0x5346_414F | 0x6B41_4653 => remote("afs"),
        0x0116_1970 => remote("gfs2"),
        0x7461_636F => remote("ocfs2"),
        0x7375_7245 => remote("coda"),
        0x786F_4256 => remote("vboxsf"),
        _ => local("another", false, Fine::No),
    }
}

/// The file system of the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    /// What proves that it is the same one again, see the head of this file.
    pub(super) identity: Option<String>,
    /// How long its clock may stand still.
    pub(super) step: Duration,
    /// Its name, if others may write to it without this host being told.
    pub(super) remote: Option<&'static str>,
}

/// What a file that is written now gets at the least as its time, on a file system [`FileSystem::keeps_fractions`]: the
/// kernel takes it from this clock (`current_time` in `fs/inode.c`), or, since Linux 6.13, from a finer one that is ahead
/// of it.
pub(super) fn now() -> Stamp {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    // a nanosecond is always below a second
    Stamp { sec: now.tv_sec, nsec: now.tv_nsec as u32 }
}

impl FileSystem {
    /// True if times have fractions of a second, taken from this host's clock.
    pub(super) fn keeps_fractions(&self) -> bool {
        self.step == FINE
    }

    /// Of the directory `fd`, open for reading, whose stat is `stat`.
    pub(super) fn of(fd: BorrowedFd<'_>, stat: &Stat) -> rustix::io::Result<Self> {
        let statfs = fs::fstatfs(fd)?;
        // The magic numbers are 32 bits wide; the field is signed on some architectures.
        let traits = traits(u64::from(statfs.f_type as u32));
        let fsid = fs::fstatvfs(fd)?.f_fsid;
        let identity = if traits.stable_fsid && fsid != 0 {
            Some(format!("fsid:{fsid:016x}"))
        } else {
            uuid::uuid(fd).map(|uuid| format!("uuid:{uuid}"))
        };
        Ok(Self {
            identity,
            step: step(traits, stat.has_birth()),
            remote: traits.remote.then_some(traits.name),
        })
    }
}

fn step(traits: Traits, birth: bool) -> Duration {
    match traits.fine {
        Fine::Yes => FINE,
        Fine::WithBirth if birth => FINE,
        _ => COARSE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;

    #[test]
    fn kinds_are_known_by_their_magic() {
        for (magic, birth, name, fsid, want, far) in [
            (0xEF53, true, "ext", true, FINE, false),
            (0xEF53, false, "ext", true, COARSE, false),
            (0x5846_5342, true, "xfs", false, FINE, false),
            (0x6969, true, "nfs", false, COARSE, true),
            (0x6573_5546, true, "fuse", false, COARSE, true),
            (0x4D44, true, "another", false, COARSE, false),
        ] {
            let found = traits(magic);
            assert_eq!((found.name, found.stable_fsid, found.remote), (name, fsid, far));
            assert_eq!(step(found, birth), want, "{name}");
        }
    }

    /// What lies between a look at the clock and a write is what the engine relies on.
    #[test]
    fn c21_what_is_written_when_the_clock_has_gone_past_a_time_is_later() {
        let dir = tempfile::tempdir().expect("a directory");
        let stat = |fd: &std::fs::File| Stat::of(fd.as_fd()).expect("stat").meta().print.ctime;
        let top = std::fs::File::open(dir.path()).expect("open");
        let filesystem = FileSystem::of(top.as_fd(), &Stat::of(top.as_fd()).expect("stat")).expect("statfs");
        if !filesystem.keeps_fractions() {
            return eprintln!("skipped: {filesystem:?} has a clock of its own");
        }
        let file = std::fs::File::create(dir.path().join("f")).expect("create");
        let (mut early, begun) = (0, std::time::Instant::now());
        for n in 0..200_u8 {
            std::os::unix::fs::FileExt::write_at(&file, &[n], 0).expect("write");
            let before = stat(&file);
            early += u32::from(now() <= before);
            while now() <= before {
                assert!(begun.elapsed() < Duration::from_secs(60), "it stands still at {before:?}");
                std::thread::sleep(Duration::from_micros(100));
            }
            std::os::unix::fs::FileExt::write_at(&file, &[n ^ 1], 0).expect("write");
            assert!(stat(&file) > before, "{before:?}, write {n}");
        }
        assert!(early > 100, "most looks were within the tick of their write: {early}");
    }

    #[test]
    fn the_real_one_answers() {
        let dir = tempfile::tempdir().expect("a directory");
        let fd = std::fs::File::open(dir.path()).expect("open");
        let stat = Stat::of(fd.as_fd()).expect("stat");
        let found = FileSystem::of(fd.as_fd(), &stat).expect("statfs");
        assert_eq!(FileSystem::of(fd.as_fd(), &stat).expect("statfs"), found);
    }
}
