//! Directories that are not finished: until all is there nobody but their owner enters those that a restore made, and those
//! that it cannot write to are opened up.
//!
//! What a restore makes has a mode that tells it from all others, so that the next one finds what a killed one left: only
//! its owner may enter, and the sticky bit is set, which says nothing where nobody else may write (inode(7)).

use super::target::{BENEATH, Inner, Target};
use crate::model::RelPath;
use rustix::{
    fd::{BorrowedFd, OwnedFd},
    fs::{Access, AtFlags, Mode, OFlags, accessat, fchmod, fstat, openat2},
    io::{self, retry_on_intr},
    process::geteuid,
};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The mode of a directory that a restore made, and has not finished.
pub(super) const UNFINISHED: Mode = Mode::RWXU.union(Mode::SVTX);
/// What tells it from others. Set-group-id it may have of the directory that it lies in, and a default ACL of that may take
/// rights from its owner.
const TELLING: u32 = 0o1077;

/// What a directory is to have in the end, if nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Former {
    /// What new directories have here: a restore made it.
    New,
    /// Its mode before it was opened up.
    Mode(Mode),
}

/// Directories that are not finished, as far as they were entered.
#[derive(Debug, Default)]
pub(super) struct Made(Mutex<HashMap<RelPath, Former>>);

impl Made {
    fn all(&self) -> MutexGuard<'_, HashMap<RelPath, Former>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the directory that was entered, if it is one of them.
    pub(super) fn entered(&self, dir: BorrowedFd<'_>, path: impl FnOnce() -> RelPath) {
        if fstat(dir).is_ok_and(|stat| is_unfinished(stat.st_mode, stat.st_uid)) {
            self.all().insert(path(), Former::New);
        }
    }

    /// Lets its owner write to the directory that was entered, if that is us and cannot.
    pub(super) fn open_up(&self, dir: BorrowedFd<'_>, path: impl FnOnce() -> RelPath) {
        let Ok(stat) = fstat(dir) else { return };
        let mode = Mode::from_raw_mode(stat.st_mode);
        let needed = Mode::WUSR | Mode::XUSR;
        if mode.contains(needed)
            || stat.st_uid != geteuid().as_raw()
            || accessat(dir, c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
        {
            return;
        }
        // if it cannot be, whoever writes there is told
        if reopened(dir).and_then(|dir| fchmod(dir, mode | needed)).is_ok() {
            self.all().insert(path(), Former::Mode(mode));
        }
    }

    /// What it had been, if it is one of them: it is none any more.
    pub(super) fn take(&self, path: &RelPath) -> Option<Former> {
        self.all().remove(path)
    }
}

impl Target {
    /// True if it is a directory that was made, or opened up, and has not been [dressed](Target::dress) since.
    pub fn is_unfinished(&self, path: &RelPath) -> bool {
        self.made().all().contains_key(path)
    }

    /// Those that were opened up and not dressed since: they were there before, and are to have their mode again.
    pub fn opened_up(&self) -> Vec<RelPath> {
        let all = self.made().all();
        let opened = all.iter().filter(|(_, former)| matches!(former, Former::Mode(_)));
        opened.map(|(path, _)| path.clone()).collect()
    }
}

/// True for one that a restore of ours made and has not finished.
fn is_unfinished(mode: u32, uid: u32) -> bool {
    mode & TELLING == Mode::SVTX.bits() && uid == geteuid().as_raw()
}

impl Inner {
    /// What a directory is to have that nobody says a mode of, by what it has now.
    pub(super) fn usual(&self, former: Option<Former>, now: Mode) -> Option<Mode> {
        match former? {
            Former::Mode(mode) => Some(mode),
            // a file system that keeps no modes shows another one
            Former::New if now.bits() & TELLING != Mode::SVTX.bits() => None,
            Former::New => Some(Mode::from_bits_truncate(0o777 & !self.umask) | (now & Mode::SGID)),
        }
    }
}

/// One that was only passed through, so that its mode can be changed.
fn reopened(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| openat2(dir, c".", flags, Mode::empty(), BENEATH))
}
