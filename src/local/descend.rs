//! From the root down to a directory, step by step: how far it goes, and why not further.

use super::{
    root::Opened,
    stat::{PASS, Stat, beneath},
    walk::c_name,
    warnings::Why,
};
use crate::model::{RelPath, Skip};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::FileType,
    io::Errno,
};

/// Where the way down ended.
pub(super) enum Descent {
    /// At the directory, open to pass through.
    Arrived(OwnedFd),
    /// Above it: `at` is the last directory, and has no directory `next`.
    Stopped { at: RelPath, next: RelPath, why: Stop },
}

/// Why a component cannot be entered.
pub(super) enum Stop {
    Missing,
    /// It is a regular file.
    File,
    /// A link, mount point, FIFO, socket or device.
    Skipped(Skip),
    /// It cannot be told.
    Failed(Errno),
}

impl Stop {
    /// As the operator is told of it, if it is worth telling.
    pub(super) fn warning(&self) -> Option<Why> {
        match self {
            Self::Skipped(Skip::Mount) => Some(Why::Mount),
            Self::Failed(errno) => Some(Why::Unread(*errno)),
            Self::Missing | Self::File | Self::Skipped(_) => None,
        }
    }
}

/// The kernel takes no more in one call (PATH_MAX, with its NUL).
const LONGEST: usize = 4095;

/// Goes down to `dir`.
pub(super) fn descend(root: &Opened, dir: &RelPath) -> Descent {
    if !dir.is_root()
        && dir.as_bytes().len() <= LONGEST
        && let Ok(fd) = beneath(root.fd.as_fd(), &c_name(dir.as_bytes()), PASS)
    {
        return Descent::Arrived(fd);
    }
    let mut at = match beneath(root.fd.as_fd(), c".", PASS) {
        Ok(fd) => fd,
        Err(errno) => {
            let root = RelPath::root();
            return Descent::Stopped { at: root.clone(), next: root, why: Stop::Failed(errno) };
        }
    };
    let mut end = 0;
    for part in dir.components() {
        let above = end;
        end += part.len() + usize::from(end > 0);
        let name = c_name(part);
        match beneath(at.as_fd(), &name, PASS) {
            Ok(fd) => at = fd,
            Err(errno) => {
                let why = why(errno, || Stat::at(at.as_fd(), &name));
                let upto = |len: usize| RelPath::new(&dir.as_bytes()[..len]).unwrap_or_else(|_| dir.clone());
                return Descent::Stopped { at: upto(above), next: upto(end), why };
            }
        }
    }
    Descent::Arrived(at)
}

fn why(errno: Errno, stat: impl Fn() -> rustix::io::Result<Stat>) -> Stop {
    match errno {
        Errno::NOENT => Stop::Missing,
        Errno::LOOP => Stop::Skipped(Skip::Link),
        Errno::XDEV => Stop::Skipped(Skip::Mount),
        Errno::NOTDIR => match stat().map(|stat| stat.kind()) {
            Ok(FileType::RegularFile) => Stop::File,
            Ok(FileType::Symlink) => Stop::Skipped(Skip::Link),
            // Put in its place meanwhile: looked at again.
            Ok(FileType::Directory) | Err(Errno::NOENT) => Stop::Failed(Errno::AGAIN),
            Ok(_) => Stop::Skipped(Skip::Special),
            Err(errno) => Stop::Failed(errno),
        },
        other => Stop::Failed(other),
    }
}
