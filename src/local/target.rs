//! The directory that a restore writes to: beneath it and nowhere else, whatever a key says and whoever plants links there.
//!
//! Each directory is opened from the one above it, never through a link (openat2(2), `RESOLVE_BENEATH`). What is on its way
//! there is a `draft`.

use super::{
    hole::{HOLE, write, write_but_holes},
    made::{Made, UNFINISHED},
    node::node_of,
    piece::fault_at,
    walk::c_name,
};
use crate::model::{Class, Fault, RelPath, Stamp, There, Xattrs};
use bytes::Bytes;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    ffi::CStr,
    fs::{
        Access, AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags, Timespec, Timestamps,
        UTIME_OMIT, accessat, flock, fstat, mkdirat, open, openat2, statat, syncfs,
    },
    io::{Errno, retry_on_intr},
    process::umask,
};
use std::{
    fs::create_dir_all,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};
use tokio::task::spawn_blocking;

/// Never out of the directory, and never through a link. Mount points may lie below.
pub(super) const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Bits that give rights beyond reading and writing: set-user-id, set-group-id, sticky.
const SPECIAL: u32 = 0o7000;

/// A directory that is written to. Clones share it.
#[derive(Clone, Debug)]
pub struct Target(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    path: PathBuf,
    /// `None` for one that is not there, and is only looked at.
    root: Option<OwnedFd>,
    /// Its device.
    pub(super) device: u64,
    /// What new files are not to have, unless the object says what they had.
    pub(super) umask: u32,
    /// The directory that was entered last: its files come one after another.
    last: Mutex<Option<(RelPath, Arc<OwnedFd>)>>,
    /// Directories that are not finished.
    pub(super) made: Made,
    /// It was told that some extended attributes are not taken.
    pub(super) told: Arc<AtomicBool>,
}

/// What a file gets beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finish {
    /// Permission bits; `None`: those that new files get here.
    pub mode: Option<u32>,
    /// Also those that give rights beyond reading and writing.
    pub special: bool,
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Last modification.
    pub mtime: Option<Stamp>,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl Finish {
    /// The permission bits, if there are any to be given.
    pub(super) fn permissions(&self) -> Option<Mode> {
        let kept = if self.special { 0o777 | SPECIAL } else { 0o777 };
        self.mode.map(|mode| Mode::from_bits_truncate(mode & kept))
    }
}

/// Which file it is that was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl Target {
    /// Opens the directory, and makes it if it is not there and is to be written to. No other restore may be writing there.
    ///
    /// # Errors
    /// `Owned` if one is; `Fatal` if it is no directory, or not to be had.
    pub fn open(path: &Path, write: bool) -> Result<Self, Fault> {
        let what = || format!("open {}", path.display());
        if write {
            create_dir_all(path).map_err(|error| Fault::new(Class::Fatal, what(), error))?;
        }
        let fatal = |errno| Fault { class: Class::Fatal, ..fault(what(), errno) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = match retry_on_intr(|| open(path, flags, Mode::empty())) {
            Err(Errno::NOENT) => None,
            root => Some(root.map_err(fatal)?),
        };
        if let Some(root) = root.as_ref().filter(|_| write) {
            accessat(root, c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(fatal)?;
            retry_on_intr(|| openat2(root, c".", PASS, Mode::empty(), BENEATH)).map_err(|errno| {
                fatal(errno).remedy("it takes openat2(2): Linux 5.6, and a sandbox that lets it pass")
            })?;
            flock(root, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
                Errno::WOULDBLOCK => Fault::new(Class::Owned, what(), "another restore is writing there"),
                errno => fatal(errno),
            })?;
        }
        // it can only be read by being set
        let mask = umask(Mode::empty());
        umask(mask);
        let device = root.as_ref().and_then(|root| fstat(root).ok()).map_or(0, |stat| stat.st_dev);
        let (path, last) = (path.to_owned(), Mutex::default());
        Ok(Self(Arc::new(Inner {
            path,
            root,
            device,
            umask: mask.bits(),
            last,
            made: Made::default(),
            told: Arc::default(),
        })))
    }

    /// What stands there. Where a directory above it is missing, nothing does.
    ///
    /// # Errors
    /// `Permanent` if something else is in a directory's place; I/O errors.
    pub async fn look(&self, path: &RelPath) -> Result<There, Fault> {
        let path = path.clone();
        self.run(move |target| {
            let Some(dir) = target.parent(&path, false)? else { return Ok(There::Nothing) };
            there(&dir, &path)
        })
        .await
    }

    pub(super) fn made(&self) -> &Made {
        &self.0.made
    }

    /// Makes a directory, and those above it: for their owner alone until they are [dressed](Target::dress). One that is
    /// there is left as it is.
    ///
    /// # Errors
    /// `Permanent` if something else is in its place; I/O errors.
    pub async fn make_directory(&self, path: &RelPath) -> Result<(), Fault> {
        let path = path.clone();
        self.run(move |target| target.enter(&path, true).map(drop)).await
    }

    /// Writes a file of these bytes, and gives it its name, where what `there` still is.
    ///
    /// # Errors
    /// `Permanent` if something is in the place of a directory above it, or has taken its own; `Fatal` if there is no
    /// room; I/O errors.
    pub async fn put(
        &self,
        path: &RelPath,
        bytes: Bytes,
        finish: Finish,
        there: There,
    ) -> Result<Placed, Fault> {
        let path = path.clone();
        self.run(move |target| {
            let draft = target.draft(&path)?;
            let failed = |errno| draft.fault(format!("write {path}"), errno);
            write_but_holes(draft.file.as_fd(), 0, std::slice::from_ref(&bytes)).map_err(failed)?;
            // not by its size alone: one that a power failure cuts short is to have another
            if bytes.ends_with(&[0]) && bytes.len() >= HOLE {
                write(draft.file.as_fd(), bytes.len() as u64 - 1, &[0]).map_err(failed)?;
            }
            // what it replaces is gone then
            draft.placed(&finish, there, there != There::Nothing)
        })
        .await
    }

    /// Has everything written to the disk.
    ///
    /// # Errors
    /// I/O errors: something that was written is not there.
    pub async fn sync(&self) -> Result<(), Fault> {
        self.run(|target| {
            let what = || format!("write {} to the disk", target.path.display());
            let Some(root) = &target.root else { return Ok(()) };
            syncfs(root).map_err(|errno| Fault { class: Class::Fatal, ..fault(what(), errno) })
        })
        .await
    }

    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, Fault> {
        let inner = Arc::clone(&self.0);
        blocking(move || work(&inner)).await
    }
}

pub(super) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Fault> + Send + 'static,
) -> Result<R, Fault> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|ended| Err(Fault::new(Class::Transient, "write a file", ended)))
}

impl Inner {
    /// The directory that holds `path`, which is to be written to if it is to be made; `None` if it is not there and is not
    /// to be made.
    pub(super) fn parent(&self, path: &RelPath, make: bool) -> Result<Option<Arc<OwnedFd>>, Fault> {
        let Some(above) = path.parent() else {
            return Err(Fault::new(Class::Permanent, "restore a file", "it has no name"));
        };
        let dir = self.enter(&above, make)?;
        if let Some(dir) = dir.as_ref().filter(|_| make && !above.is_root()) {
            self.made.open_up(dir.as_fd(), || above);
        }
        Ok(dir)
    }

    fn enter(&self, dir: &RelPath, make: bool) -> Result<Option<Arc<OwnedFd>>, Fault> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, fd)) = last.as_ref().filter(|(entered, _)| entered == dir) {
            return Ok(Some(Arc::clone(fd)));
        }
        let enter = |at: BorrowedFd<'_>, name: &CStr| {
            retry_on_intr(|| openat2(at, name, PASS, Mode::empty(), BENEATH))
        };
        let fault = |errno| match errno {
            Errno::NOTDIR | Errno::LOOP => Fault::new(
                Class::Permanent,
                format!("enter {dir}"),
                "a file or link stands where a directory is needed",
            ),
            errno => fault(format!("enter {dir}"), errno),
        };
        let made = |at: BorrowedFd<'_>, errno| fault_at(at, self.device, format!("make {dir}"), errno);
        let Some(root) = &self.root else { return Ok(None) };
        let mut at = enter(root.as_fd(), c".").map_err(fault)?;
        let mut len = 0;
        let path = |len: usize| RelPath::new(&dir.as_bytes()[..len]).unwrap_or_else(|_| RelPath::root());
        for name in dir.components() {
            let above = len;
            len += usize::from(len > 0) + name.len();
            let name = c_name(name);
            let entered = match enter(at.as_fd(), &name) {
                Err(Errno::NOENT) if !make => return Ok(None),
                Err(Errno::NOENT) => {
                    if above > 0 {
                        self.made.open_up(at.as_fd(), || path(above));
                    }
                    match retry_on_intr(|| mkdirat(&at, &name, UNFINISHED)) {
                        // another one of ours was quicker
                        Ok(()) | Err(Errno::EXIST) => enter(at.as_fd(), &name),
                        Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::ROFS)) => {
                            return Err(made(at.as_fd(), errno));
                        }
                        Err(errno) => Err(errno),
                    }
                }
                entered => entered,
            };
            at = entered.map_err(fault)?;
            self.made.entered(at.as_fd(), || path(len));
        }
        let at = Arc::new(at);
        *last = Some((dir.clone(), Arc::clone(&at)));
        Ok(Some(at))
    }
}

/// What stands at the place of a file, which is in this directory.
pub(super) fn there(dir: &OwnedFd, path: &RelPath) -> Result<There, Fault> {
    let stat = match retry_on_intr(|| statat(dir, c_name(path.name()), AtFlags::SYMLINK_NOFOLLOW)) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(There::Nothing),
        Err(errno) => return Err(fault(format!("look at {path}"), errno)),
    };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => There::File {
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime: stamp(stat.st_mtime, stat.st_mtime_nsec),
        },
        FileType::Directory => There::Directory,
        FileType::Symlink => There::Link { mtime: stamp(stat.st_mtime, stat.st_mtime_nsec) },
        _ => node_of(&stat).map_or(There::Other, There::Node),
    })
}

/// Why it does not get its owner.
pub(super) fn give_owner(path: &RelPath, (uid, gid): (u32, u32), errno: Errno) -> Fault {
    fault(format!("give {path} to {uid}:{gid}"), errno).remedy("restore as root, or without --owner")
}

/// Last modification; last access stays.
pub(super) fn times(Stamp { sec, nsec }: Stamp) -> Timestamps {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    Timestamps { last_access: omit, last_modification: Timespec { tv_sec: sec, tv_nsec: nsec.into() } }
}

fn stamp(sec: i64, nsec: u64) -> Stamp {
    Stamp { sec, nsec: u32::try_from(nsec).unwrap_or_default() }
}

pub(super) fn fault(what: String, errno: Errno) -> Fault {
    match errno {
        Errno::NOSPC | Errno::DQUOT => {
            Fault::new(Class::Fatal, what, errno).remedy("make room, and run it again")
        }
        Errno::ROFS => Fault::new(Class::Fatal, what, errno).remedy("mount it so that it can be written"),
        Errno::MFILE | Errno::NFILE | Errno::IO | Errno::STALE => Fault::new(Class::Transient, what, errno),
        errno => Fault::new(Class::Permanent, what, errno),
    }
}
