//! A file on its way: it is written under a name of its own, beside where it is to be, and takes its name when it is whole and
//! proven. What a killed restore leaves the next one goes on with (`piece`) or writes anew: the name is made of the file's.

use super::{
    piece::fault_at,
    target::{BENEATH, Finish, Inner, Placed, blocking, fault, give_owner, there, times},
    walk::c_name,
    xattr,
};
use crate::model::{Class, DRAFT, DRAFT_END, Fault, RelPath, There};
use rustix::{
    fd::{AsFd, OwnedFd},
    ffi::CString,
    fs::{
        AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, fchmod, fchown, fdatasync, fstat, ftruncate, futimens,
        linkat, openat2, renameat, renameat_with, statat, unlinkat,
    },
    io::{Errno, retry_on_intr},
};
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, atomic::AtomicBool};

/// A file on its way, which has not got its name yet. Dropped before it has, it leaves nothing, unless it is to be gone on
/// with.
#[derive(Debug)]
pub struct Draft {
    pub(super) dir: Arc<OwnedFd>,
    pub(super) file: Arc<OwnedFd>,
    pub(super) name: CString,
    pub(super) path: RelPath,
    pub(super) device: u64,
    umask: u32,
    told: Arc<AtomicBool>,
    /// Where the notes of its pieces begin, if it comes in pieces.
    pub(super) notes: Option<u64>,
    /// It stays when it is dropped, or has its name.
    pub(super) kept: bool,
    /// Nothing was written to it before this restore.
    pub(super) bare: bool,
}

impl Inner {
    pub(super) fn draft(&self, path: &RelPath) -> Result<Draft, Fault> {
        let dir = self.parent(path, true)?.ok_or_else(|| fault(format!("make {path}"), Errno::NOENT))?;
        let name = draft_name(path.name(), Sort::File);
        let make = || {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat2(&*dir, &name, flags, Mode::RUSR | Mode::WUSR, BENEATH)
        };
        let file = match retry_on_intr(make) {
            // of a restore that was killed: none but this one writes here
            Err(Errno::EXIST) => {
                retry_on_intr(|| unlinkat(&*dir, &name, AtFlags::empty())).and_then(|()| retry_on_intr(make))
            }
            made => made,
        };
        let file = file.map_err(|errno| fault_at(dir.as_fd(), self.device, format!("make {path}"), errno))?;
        Ok(self.of(dir, file, name, path, false))
    }

    pub(super) fn of(
        &self,
        dir: Arc<OwnedFd>,
        file: OwnedFd,
        name: CString,
        path: &RelPath,
        kept: bool,
    ) -> Draft {
        let (file, path) = (Arc::new(file), path.clone());
        let (device, umask, told) = (self.device, self.umask, Arc::clone(&self.told));
        Draft { dir, file, name, path, device, umask, told, notes: None, kept, bare: false }
    }
}

impl Draft {
    /// Has it written to the disk, and gives it what it is to have, and its name, where what is `there` still is.
    ///
    /// # Errors
    /// `Permanent` if something else is there by now; I/O errors.
    pub async fn place(self, finish: Finish, there: There) -> Result<Placed, Fault> {
        blocking(move || {
            // it came in pieces, in any order: one that is lost would not show
            self.placed(&finish, there, true)
        })
        .await
    }

    /// With `durable`, it is on the disk before it has its name.
    pub(super) fn placed(mut self, finish: &Finish, was: There, durable: bool) -> Result<Placed, Fault> {
        let what = || format!("restore {}", self.path);
        let Finish { owner, mtime, .. } = *finish;
        // what is not placed now is no good: the disk may have lost some of it
        self.kept = false;
        if let Some(end) = self.notes {
            // whoever is killed while this waits for the disk finds all there
            let cut = fdatasync(&*self.file).and_then(|()| ftruncate(&*self.file, end));
            cut.map_err(|errno| self.fault(what(), errno))?;
        }
        // before the mode: a change of owner takes rights away, an ACL changes those of the group, and without the right to
        // write there is none to give attributes
        if let Some((uid, gid)) = owner {
            fchown(&*self.file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(|errno| give_owner(&self.path, (uid, gid), errno))?;
        }
        // where no mode is known it is as any new file there
        if finish.mode.is_some() {
            xattr::bare(self.file.as_fd(), &self.path)?;
        }
        xattr::give(self.file.as_fd(), &self.path, &finish.xattrs, &self.told)?;
        let usual = || Mode::from_bits_truncate(0o666 & !self.umask);
        let mode = finish.permissions().unwrap_or_else(usual);
        fchmod(&*self.file, mode).map_err(|errno| fault(what(), errno))?;
        if let Some(mtime) = mtime {
            futimens(&*self.file, &times(mtime)).map_err(|errno| fault(what(), errno))?;
        }
        let replaces = was != There::Nothing;
        if durable {
            fdatasync(&*self.file).map_err(|errno| self.fault(what(), errno))?;
        }
        let other = |cause| {
            Fault::new(Class::Permanent, what(), cause).remedy("run it again to look at what is there now")
        };
        if !self.is_itself() {
            return Err(other("somebody else writes where it is written"));
        }
        if replaces && there(&self.dir, &self.path)? != was {
            return Err(other("what is there changed meanwhile"));
        }
        self.rename(replaces).map_err(|errno| match errno {
            Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY => other("something took its name meanwhile"),
            errno => self.fault(what(), errno),
        })?;
        self.kept = true;
        let stat = fstat(&*self.file).map_err(|errno| fault(what(), errno))?;
        Ok(Placed { device: stat.st_dev, inode: stat.st_ino })
    }

    /// True if the name of the draft leads to this very file.
    fn is_itself(&self) -> bool {
        let named = statat(&*self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        let own = fstat(&*self.file);
        matches!((named, own), (Ok(named), Ok(own)) if (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino))
    }

    fn rename(&self, replaces: bool) -> rustix::io::Result<()> {
        let (dir, name, to) = (&*self.dir, &self.name, c_name(self.path.name()));
        if replaces {
            return retry_on_intr(|| renameat(dir, name, dir, &to));
        }
        match retry_on_intr(|| renameat_with(dir, name, dir, &to, RenameFlags::NOREPLACE)) {
            // NFS, 9p, older ZFS and FUSE take no flags: a second name is never put in the place of another
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                retry_on_intr(|| linkat(dir, name, dir, &to, AtFlags::empty()))?;
                retry_on_intr(|| unlinkat(dir, name, AtFlags::empty()))
            }
            renamed => renamed,
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = unlinkat(&*self.dir, &self.name, AtFlags::empty());
        }
    }
}

/// What a draft is to be. Of one name it may be any of them, and none is to take another's draft for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A file.
    File,
    /// A link.
    Link,
    /// A second name of a file.
    Join,
    /// A FIFO or device.
    Node,
}

/// The name of a file before it has its own: short enough whatever that is.
pub(super) fn draft_name(name: &[u8], sort: Sort) -> CString {
    // no name holds a NUL
    let sort: &[u8] = match sort {
        Sort::File => b"",
        Sort::Link => b"\0link",
        Sort::Join => b"\0join",
        Sort::Node => b"\0node",
    };
    let hash = Sha256::new().chain_update(name).chain_update(sort).finalize();
    c_name(format!("{DRAFT}{}{DRAFT_END}", hex::encode(&hash[..12])).as_bytes())
}
