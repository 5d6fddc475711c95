//! FIFOs and devices that a restore makes. None is ever opened: what is to be given to one is given by a descriptor that only
//! stands for it.

use super::{
    draft::{Sort, draft_name},
    dress::{other, place},
    target::{BENEATH, Finish, Target, fault, give_owner, times},
    walk::c_name,
};
use crate::model::{Fault, Node, RelPath};
use rustix::{
    fd::{AsFd, AsRawFd, BorrowedFd},
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fstat, major, makedev, minor,
        mknodat, openat2, unlinkat, utimensat,
    },
    io::{self, Errno, retry_on_intr},
};

impl Target {
    /// Makes a FIFO or device where nothing is.
    ///
    /// # Errors
    /// `Permanent` if something took its name, or it may not be made; I/O errors.
    pub async fn make_node(&self, path: &RelPath, node: Node, finish: Finish) -> Result<(), Fault> {
        let path = path.clone();
        self.run(move |target| {
            let failed = |errno| fault(format!("restore {path}"), errno);
            let dir = target.parent(&path, true)?.ok_or_else(|| failed(Errno::NOENT))?;
            let (draft, name) = (draft_name(path.name(), Sort::Node), c_name(path.name()));
            let make = || {
                retry_on_intr(|| mknodat(&*dir, &draft, kind(node), Mode::RUSR | Mode::WUSR, number(node)))
            };
            let made = match make() {
                // of a restore that was killed: none but this one writes here
                Err(Errno::EXIST) => {
                    retry_on_intr(|| unlinkat(&*dir, &draft, AtFlags::empty())).and_then(|()| make())
                }
                made => made,
            };
            made.map_err(|errno| match errno {
                Errno::PERM => failed(errno).remedy("devices are made as root (CAP_MKNOD)"),
                errno => failed(errno),
            })?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = retry_on_intr(|| openat2(&*dir, &draft, flags, Mode::empty(), BENEATH));
            let placed = opened.map_err(failed).and_then(|fd| {
                if !is(fd.as_fd(), node).map_err(failed)? {
                    return Err(other(&path, "somebody else writes where it is written"));
                }
                dress(fd.as_fd(), &path, &finish, target.umask)?;
                place(&dir, &draft, &name).map_err(|errno| match errno {
                    Errno::EXIST => other(&path, "something took its name meanwhile"),
                    errno => failed(errno),
                })
            });
            if placed.is_err() {
                let _ = unlinkat(&*dir, &draft, AtFlags::empty());
            }
            placed
        })
        .await
    }
}

const fn kind(node: Node) -> FileType {
    match node {
        Node::Fifo => FileType::Fifo,
        Node::Character(_) => FileType::CharacterDevice,
        Node::Block(_) => FileType::BlockDevice,
    }
}

/// The number of a device as mknod(2) takes it.
fn number(node: Node) -> u64 {
    let number = node.number().unwrap_or_default();
    // the upper and the lower 32 bits
    makedev((number >> 32) as u32, number as u32)
}

/// True if the descriptor stands for this.
fn is(fd: BorrowedFd<'_>, node: Node) -> io::Result<bool> {
    let stat = fstat(fd)?;
    Ok(node_of(&stat) == Some(node))
}

/// What an entry is.
pub(super) fn node_of(stat: &Stat) -> Option<Node> {
    let number = u64::from(major(stat.st_rdev)) << 32 | u64::from(minor(stat.st_rdev));
    Node::of(stat.st_mode, Some(number))
}

/// Owner, mode and time of what the descriptor only stands for: there is a name that leads to it, whatever became of its own
/// (proc(5), `/proc/self/fd`).
fn dress(fd: BorrowedFd<'_>, path: &RelPath, finish: &Finish, umask: u32) -> Result<(), Fault> {
    let failed = |errno| fault(format!("restore {path}"), errno);
    let at = format!("/proc/self/fd/{}", fd.as_raw_fd());
    if let Some((uid, gid)) = finish.owner {
        let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(CWD, &*at, user, group, AtFlags::empty())
            .map_err(|errno| give_owner(path, (uid, gid), errno))?;
    }
    let usual = Mode::from_bits_truncate(0o666 & !umask);
    let mode = finish.permissions().unwrap_or(usual);
    chmodat(CWD, &*at, mode, AtFlags::empty()).map_err(failed)?;
    match finish.mtime {
        Some(mtime) => utimensat(CWD, &*at, &times(mtime), AtFlags::empty()).map_err(failed),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Stamp, There};
    use std::{fs, os::unix::fs::MetadataExt};

    #[tokio::test]
    async fn a_fifo_is_made_where_nothing_is_and_gets_what_it_had() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = Target::open(dir.path(), true).expect("it can be written to");
        let path = RelPath::new(b"d/fifo").expect("valid");
        let mtime = Some(Stamp { sec: 1_000_000, nsec: 5 });
        let finish = Finish { mode: Some(0o010_622), mtime, ..Finish::default() };
        target.make_node(&path, Node::Fifo, finish.clone()).await.expect("made");
        let is = fs::symlink_metadata(dir.path().join("d/fifo")).expect("it is there");
        assert_eq!((is.mode(), is.mtime(), is.mtime_nsec()), (0o010_622, 1_000_000, 5));
        assert_eq!(target.look(&path).await.expect("seen"), There::Node(Node::Fifo));
        let again = target.make_node(&path, Node::Fifo, finish).await.expect_err("it has its name");
        assert!(again.to_string().contains("something took its name meanwhile"), "{again}");
        assert_eq!(fs::read_dir(dir.path().join("d")).expect("a directory").count(), 1, "nothing is left");
    }

    #[tokio::test]
    async fn a_device_is_what_its_number_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = Target::open(dir.path(), true).expect("it can be written to");
        let path = RelPath::new(b"null").expect("valid");
        // that of /dev/null
        let node = Node::Character(1 << 32 | 3);
        match target.make_node(&path, node, Finish::default()).await {
            Ok(()) => {
                let is = fs::symlink_metadata(dir.path().join("null")).expect("it is there");
                assert_eq!(is.rdev(), fs::metadata("/dev/null").expect("there is one").rdev());
                assert_eq!(target.look(&path).await.expect("seen"), There::Node(node));
            }
            Err(fault) => {
                println!("skipped: {fault}");
                assert!(fault.to_string().contains("CAP_MKNOD"), "{fault}");
            }
        }
    }
}
