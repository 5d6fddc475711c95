//! What a restore makes that is no file: links, and what directories get when all that is in them is there.

use super::{
    draft::{Sort, draft_name},
    made::Former,
    target::{BENEATH, Finish, Placed, Target, fault, give_owner, there, times},
    walk::c_name,
    xattr,
};
use crate::model::{Class, Fault, RelPath, There};
use rustix::{
    fd::{AsFd, OwnedFd},
    ffi::CStr,
    fs::{
        AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, chownat, fchmod, fchown, fstat, futimens, linkat,
        openat2, readlinkat, renameat, renameat_with, statat, symlinkat, unlinkat, utimensat,
    },
    io::{Errno, retry_on_intr},
};

impl Target {
    /// What the link leads to that stands there; `None` if none does.
    ///
    /// # Errors
    /// I/O errors.
    pub async fn read_link(&self, path: &RelPath) -> Result<Option<Vec<u8>>, Fault> {
        let path = path.clone();
        self.run(move |target| {
            let Some(dir) = target.parent(&path, false)? else { return Ok(None) };
            match readlinkat(&*dir, c_name(path.name()), Vec::new()) {
                Ok(to) => Ok(Some(to.into_bytes())),
                Err(Errno::NOENT | Errno::INVAL) => Ok(None),
                Err(errno) => Err(fault(format!("look at {path}"), errno)),
            }
        })
        .await
    }

    /// Makes a link to `to`, whatever that is, where what `was` there still is. It is never followed.
    ///
    /// # Errors
    /// `Permanent` if something is in the place of a directory above it, or has taken its own; I/O errors.
    pub async fn link(&self, path: &RelPath, to: &[u8], finish: Finish, was: There) -> Result<(), Fault> {
        let (path, to) = (path.clone(), c_name(to));
        self.run(move |target| {
            let failed = |errno| fault(format!("restore {path}"), errno);
            let dir = target.parent(&path, true)?.ok_or_else(|| failed(Errno::NOENT))?;
            let (draft, name) = (draft_name(path.name(), Sort::Link), c_name(path.name()));
            let made = match retry_on_intr(|| symlinkat(&to, &*dir, &draft)) {
                // of a restore that was killed: none but this one writes here
                Err(Errno::EXIST) => retry_on_intr(|| unlinkat(&*dir, &draft, AtFlags::empty()))
                    .and_then(|()| retry_on_intr(|| symlinkat(&to, &*dir, &draft))),
                made => made,
            };
            made.map_err(failed)?;
            let is_it = || readlinkat(&*dir, &draft, Vec::new()).is_ok_and(|aim| aim == to);
            let placed = dressed(&dir, &draft, &path, &finish).and_then(|()| match was {
                _ if !is_it() => Err(other(&path, "somebody else writes where it is written")),
                There::Nothing => place(&dir, &draft, &name).map_err(|errno| match errno {
                    Errno::EXIST => other(&path, "something took its name meanwhile"),
                    errno => failed(errno),
                }),
                _ => match there(&dir, &path)? {
                    now if now == was => {
                        retry_on_intr(|| renameat(&*dir, &draft, &*dir, &name)).map_err(failed)
                    }
                    _ => Err(other(&path, "what is there changed meanwhile")),
                },
            });
            if placed.is_err() {
                let _ = unlinkat(&*dir, &draft, AtFlags::empty());
            }
            placed
        })
        .await
    }

    /// Gives a file that was placed a second name, where what `there` still is. False if it cannot have one, or another
    /// file has its name by now.
    ///
    /// # Errors
    /// `Permanent` if something is in the place of a directory above it, or has taken its own; I/O errors.
    pub async fn join(&self, path: &RelPath, first: (&RelPath, Placed), was: There) -> Result<bool, Fault> {
        let (path, first, placed) = (path.clone(), first.0.clone(), first.1);
        self.run(move |target| {
            let failed = |errno| fault(format!("restore {path}"), errno);
            let Some(from) = target.parent(&first, false)? else { return Ok(false) };
            let dir = target.parent(&path, true)?.ok_or_else(|| failed(Errno::NOENT))?;
            let (name, first) = (c_name(path.name()), c_name(first.name()));
            // not that of the file itself, which may be whole, and is wanted if this cannot be
            let draft = draft_name(path.name(), Sort::Join);
            // a link that took the name of the first is not followed
            let join = || retry_on_intr(|| linkat(&*from, &first, &*dir, &draft, AtFlags::empty()));
            let joined = match join() {
                Err(Errno::EXIST) => {
                    retry_on_intr(|| unlinkat(&*dir, &draft, AtFlags::empty())).and_then(|()| join())
                }
                joined => joined,
            };
            // another file system, too many names, or none are had there
            if joined.is_err() {
                return Ok(false);
            }
            let stat = statat(&*dir, &draft, AtFlags::SYMLINK_NOFOLLOW);
            let is_it = stat.is_ok_and(|stat| Placed { device: stat.st_dev, inode: stat.st_ino } == placed);
            let done = match was {
                _ if !is_it => Ok(false),
                There::Nothing => place(&dir, &draft, &name).map(|()| true).map_err(|errno| match errno {
                    Errno::EXIST => other(&path, "something took its name meanwhile"),
                    errno => failed(errno),
                }),
                _ => match there(&dir, &path) {
                    Ok(now) if now == was => {
                        let renamed = retry_on_intr(|| renameat(&*dir, &draft, &*dir, &name));
                        renamed.map(|()| true).map_err(failed)
                    }
                    Ok(_) => Err(other(&path, "what is there changed meanwhile")),
                    Err(fault) => Err(fault),
                },
            };
            // of two names of one file neither replaces the other (rename(2))
            let _ = unlinkat(&*dir, &draft, AtFlags::empty());
            done
        })
        .await
    }

    /// Gives a directory mode, owner and time, and it is finished: where no mode is said, what new directories get here if
    /// it was made, and what it had if it was opened up. What is made in it later changes its time again.
    ///
    /// # Errors
    /// `Permanent` if it is none; I/O errors.
    pub async fn dress(&self, path: &RelPath, finish: Finish) -> Result<(), Fault> {
        let path = path.clone();
        self.run(move |target| {
            let failed = |errno| fault(format!("restore {path}/"), errno);
            let above = target.parent(&path, false)?.ok_or_else(|| failed(Errno::NOENT))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let open = || openat2(&*above, c_name(path.name()), flags, Mode::empty(), BENEATH);
            let dir = retry_on_intr(open).map_err(failed)?;
            let now = fstat(&dir).map_err(failed)?;
            let former = target.made.take(&path);
            let usual = target.usual(former, Mode::from_raw_mode(now.st_mode));
            if let Some((uid, gid)) = finish.owner {
                let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                fchown(&dir, owner.0, owner.1).map_err(|errno| give_owner(&path, (uid, gid), errno))?;
            }
            if former == Some(Former::New) && finish.mode.is_some() {
                xattr::bare(dir.as_fd(), &path)?;
            }
            xattr::give(dir.as_fd(), &path, &finish.xattrs, &target.told)?;
            if let Some(mode) = finish.permissions().or(usual) {
                fchmod(&dir, mode).map_err(failed)?;
            }
            match finish.mtime {
                Some(mtime) => futimens(&dir, &times(mtime)).map_err(failed),
                None => Ok(()),
            }
        })
        .await
    }
}

/// What is there is not what was seen.
pub(super) fn other(path: &RelPath, cause: &'static str) -> Fault {
    Fault::new(Class::Permanent, format!("restore {path}"), cause)
        .remedy("run it again to look at what is there now")
}

/// Owner and time of a link. Its mode means nothing (symlink(7)).
fn dressed(dir: &OwnedFd, name: &CStr, path: &RelPath, finish: &Finish) -> Result<(), Fault> {
    if let Some((uid, gid)) = finish.owner {
        let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(dir, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| give_owner(path, (uid, gid), errno))?;
    }
    match finish.mtime {
        Some(mtime) => utimensat(dir, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| fault(format!("restore {path}"), errno)),
        None => Ok(()),
    }
}

/// Gives the link its name, if nothing has it.
pub(super) fn place(dir: &OwnedFd, draft: &CStr, name: &CStr) -> rustix::io::Result<()> {
    match retry_on_intr(|| renameat_with(dir, draft, dir, name, RenameFlags::NOREPLACE)) {
        // NFS, 9p, older ZFS and FUSE take no flags: a second name is never put in the place of another
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            retry_on_intr(|| linkat(dir, draft, dir, name, AtFlags::empty()))?;
            retry_on_intr(|| unlinkat(dir, draft, AtFlags::empty()))
        }
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{local::Cut, model::ETag};
    use std::{fs, os::unix::fs::symlink, path::Path};

    #[tokio::test]
    async fn what_was_written_where_a_link_is_to_be_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = Target::open(dir.path(), true).expect("it can be written to");
        let (path, at) = (RelPath::new(b"x").expect("valid"), dir.path().join("x"));
        symlink("old", &at).expect("a link");
        let seen = target.look(&path).await.expect("seen");
        fs::remove_file(&at).expect("removed");
        fs::write(&at, "written meanwhile").expect("written");
        let fault = target.link(&path, b"new", Finish::default(), seen).await.expect_err("another is there");
        assert!(fault.to_string().contains("what is there changed meanwhile"), "{fault}");
        assert_eq!(fs::read(&at).expect("it stays"), b"written meanwhile");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1, "nothing is left");
    }

    #[tokio::test]
    async fn no_draft_is_taken_for_that_of_another_sort() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = Target::open(dir.path(), true).expect("it can be written to");
        let [path, first] = [&b"x"[..], b"first"].map(|name| RelPath::new(name).expect("valid"));
        let cut = Cut { etag: ETag::new("e"), size: 4, piece: 4 };
        // a file under way, and a link and a second name that come to its place
        let (draft, _) = target.go_on(&path, &cut).await.expect("begun");
        fs::write(dir.path().join("first"), "another").expect("written");
        let not_it = Placed { device: 0, inode: 0 };
        assert!(!target.join(&path, (&first, not_it), There::Nothing).await.expect("it cannot be"));
        target.link(&path, b"aim", Finish::default(), There::Nothing).await.expect("a link");
        assert_eq!(fs::read_link(dir.path().join("x")).expect("a link"), Path::new("aim"));
        fs::remove_file(dir.path().join("x")).expect("removed");
        draft.place(Finish::default(), There::Nothing).await.expect("it is as it was");
        assert_eq!(fs::read(dir.path().join("x")).expect("a file"), [0; 4]);
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 2, "nothing is left");
    }
}
