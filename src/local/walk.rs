//! The walk: depth first, in key order, each directory read whole before its first entry is given.
//!
//! Everything is relative to an open directory, so paths may be longer than the kernel takes in one
//! piece. Memory and descriptors: see `stack`, within [`LIMITS`].

use super::{
    Entry, Prune,
    batch::Batches,
    descend::{Descent, Stop, descend},
    listing::{Desk, Halt, Limits, Listing},
    root::{Opened, READ_ALL},
    stack::{Frame, Stack},
    stat::{LIST, Stat, beneath},
    warnings::Why,
};
use crate::model::{Absence, Class, Fault, Instead, Key, Kind, LINK, Local, RelPath, Scope, Skip};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    ffi::CStr,
    fs::{Mode, OFlags, openat},
    io::{self, Errno},
};
use std::path::Path;

/// Names in memory: at most 4 MiB, and of ten million in one directory no more.
pub(super) const LIMITS: Limits = Limits { names: 2 * 1024 * 1024, fan: 64, read: 16 * 1024 };
const _: () = assert!(LIMITS.fan * LIMITS.read <= LIMITS.names, "what is read back fits in too");

/// Walks `scope`, giving batches to `give` until it returns false. Names that memory is not to hold
/// are put into a file of the directory `aside`.
///
/// # Errors
/// If the root itself cannot be read, or names that were put aside cannot be had back: then nothing is
/// known of anything.
pub(super) fn walk(
    root: &Opened,
    scope: &Scope,
    prune: &Prune,
    aside: &Path,
    give: &mut dyn FnMut(Vec<Entry>) -> bool,
) -> Result<(), Fault> {
    Walk::new(root, prune, Desk::new(aside, LIMITS), give).run(scope)
}

/// The same with other limits.
#[cfg(test)]
pub(super) fn walk_within(
    (root, limits): (&Opened, Limits),
    scope: &Scope,
    prune: &Prune,
    aside: &Path,
    give: &mut dyn FnMut(Vec<Entry>) -> bool,
) -> Result<(), Fault> {
    Walk::new(root, prune, Desk::new(aside, limits), give).run(scope)
}

/// How a directory is read; another one in tests of errors.
type Read = fn(BorrowedFd<'_>, &[u8], &mut Desk) -> (Listing, Option<Halt>);

struct Walk<'a> {
    root: &'a Opened,
    read: Read,
    prune: &'a Prune,
    out: Batches<'a>,
    /// The current path, and its key.
    path: Vec<u8>,
    key: String,
    desk: Desk,
}

/// What became of an attempt to open a directory.
enum Entered {
    Frame(Frame),
    /// It is not to be entered, or not any more: nothing is left to be done.
    Done,
}

impl<'a> Walk<'a> {
    fn new(
        root: &'a Opened,
        prune: &'a Prune,
        desk: Desk,
        give: &'a mut dyn FnMut(Vec<Entry>) -> bool,
    ) -> Self {
        Self {
            root,
            read: Listing::read,
            prune,
            out: Batches::new(give),
            path: Vec::new(),
            key: String::new(),
            desk: desk.with_links(root.kinds.links),
        }
    }

    fn run(&mut self, scope: &Scope) -> Result<(), Fault> {
        self.scope(scope)?;
        self.out.flush();
        Ok(())
    }

    fn scope(&mut self, scope: &Scope) -> Result<(), Fault> {
        let (root, dir) = (self.root, scope.path());
        let children = matches!(scope, Scope::Children(_));
        let Some(parent) = dir.parent() else {
            let fd = io::retry_on_intr(|| openat(&root.fd, c".", LIST | OFlags::CLOEXEC, Mode::empty()));
            let fd = fd.map_err(|errno| fault(Halt::Read(errno)))?;
            let (listing, halt) = (self.read)(fd.as_fd(), b"", &mut self.desk);
            if let Some(halt) = halt {
                return Err(fault(halt));
            }
            return self.go(Frame::new(fd, listing, 0, 0), children);
        };
        if self.prune.excludes(&parent, true) {
            return Ok(());
        }
        let above = match descend(root, &parent) {
            Descent::Arrived(fd) => fd,
            Descent::Stopped { next, why, .. } => {
                let local = match why {
                    Stop::Missing | Stop::File => return Ok(()),
                    Stop::Skipped(skip) => Local::Skipped(skip),
                    Stop::Failed(_) => Local::Unknown,
                };
                if let Some(why) = why.warning() {
                    root.warnings.tell(next.as_bytes(), why);
                }
                self.whole(scope, &local);
                return Ok(());
            }
        };
        let name = c_name(dir.name());
        self.path.extend_from_slice(dir.as_bytes());
        self.key.push_str(Key::of(dir).as_str());
        match Stat::at(above.as_fd(), &name) {
            Ok(stat) => match stat.local(root) {
                Ok(local @ Local::Skipped(Skip::Mount)) if stat.kind().is_dir() => {
                    self.key.push('/');
                    self.leave_out(local, Why::Mount);
                }
                Ok(_) | Err(Instead::Link) if children || self.prune.names(dir.as_bytes(), false) => {}
                Ok(local) => self.emit_file(local),
                Err(Instead::Link) => self.out.emit(Key::of_link(dir), Local::Present(stat.meta())),
                Err(Instead::Directory) if self.prune.names(dir.as_bytes(), true) => {}
                Err(Instead::Directory) if matches!(scope, Scope::File(_)) => {}
                Err(Instead::Directory) => {
                    if let Entered::Frame(frame) = self.enter(&above, &name) {
                        return self.go(frame, children);
                    }
                }
            },
            Err(Errno::NOENT) => {}
            Err(errno) => {
                root.warnings.unread(dir.as_bytes(), errno);
                self.whole(scope, &Local::Unknown);
            }
        }
        Ok(())
    }

    /// One answer for all of a scope.
    fn whole(&mut self, scope: &Scope, local: &Local) {
        if !matches!(scope, Scope::Children(_)) {
            self.out.emit(Key::of(scope.path()), local.clone());
        }
        if !matches!(scope, Scope::File(_)) {
            self.out.emit(Key::directory(scope.path()), local.clone());
        }
    }

    /// Opens and reads the directory `name` of `above`; `path` and `key` are its own, without `/`.
    fn enter(&mut self, above: &OwnedFd, name: &CStr) -> Entered {
        self.key.push('/');
        let fd = match beneath(above.as_fd(), name, LIST) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Entered::Done,
            Err(Errno::XDEV) => {
                self.leave_out(Local::Skipped(Skip::Mount), Why::Mount);
                return Entered::Done;
            }
            Err(errno) => {
                self.leave_out(Local::Unknown, Why::Unread(errno));
                return Entered::Done;
            }
        };
        let (listing, halt) = (self.read)(fd.as_fd(), &self.path, &mut self.desk);
        match halt {
            None if self.root.kinds.directories => match Stat::of(fd.as_fd()) {
                Ok(stat) => self.emit_here(Local::Present(stat.meta())),
                Err(errno) => self.leave_out(Local::Unknown, Why::Unread(errno)),
            },
            None => {}
            Some(Halt::Read(Errno::NOENT)) => return Entered::Done,
            Some(halt) => self.leave_out(Local::Unknown, halt.warning()),
        }
        self.path.push(b'/');
        Entered::Frame(Frame::new(fd, listing, self.path.len(), self.key.len()))
    }

    fn go(&mut self, first: Frame, children: bool) -> Result<(), Fault> {
        let (root, links) = (self.root, self.root.kinds.links);
        let mut stack = Stack::new(self.desk.limits);
        stack.push(first);
        while let Some(frame) = stack.last()
            && !self.out.ended()
        {
            self.path.truncate(frame.path);
            self.key.truncate(frame.key);
            let Some(name) = frame.listing.next().map_err(lost)? else {
                stack.pop();
                continue;
            };
            self.path.extend_from_slice(name.raw.to_bytes());
            self.key.push_str(name.encoded);
            if self.prune.names(&self.path, name.kind == Kind::Directory) {
                continue;
            }
            let Some(fd) = &frame.fd else {
                if name.kind == Kind::Directory {
                    self.key.push('/');
                }
                self.leave_out(Local::Unknown, Why::Moved);
                continue;
            };
            match name.kind {
                Kind::Link if links => match Stat::at(fd.as_fd(), name.raw) {
                    Ok(stat) if stat.kind().is_symlink() => self.emit_here(Local::Present(stat.meta())),
                    // another entry has the name now, and another key
                    Ok(_) | Err(Errno::NOENT) => {}
                    Err(errno) => self.unread(errno),
                },
                Kind::Link => self.emit_here(Local::Skipped(Skip::Link)),
                Kind::Special if !root.kinds.nodes => self.emit_here(Local::Skipped(Skip::Special)),
                Kind::File | Kind::Special => match Stat::at(fd.as_fd(), name.raw)
                    .map(|stat| stat.local(root))
                {
                    Ok(Ok(local)) => {
                        if links && name.encoded.ends_with(LINK) {
                            shadow(root, fd, &self.path[..frame.path], name.raw);
                        }
                        self.emit_file(local);
                    }
                    Ok(Err(Instead::Directory)) => frame.listing.again_as(Kind::Directory).map_err(lost)?,
                    Ok(Err(Instead::Link)) => frame.listing.again_as(Kind::Link).map_err(lost)?,
                    Err(Errno::NOENT) => {}
                    Err(errno) => self.unread(errno),
                },
                Kind::Directory if children => {
                    let stat = Stat::at(fd.as_fd(), name.raw);
                    self.key.push('/');
                    self.emit_child(frame.path, stat);
                }
                Kind::Directory => {
                    let name = name.raw.to_owned();
                    if let Err(errno) = stack.make_room(&mut self.desk.spill) {
                        self.key.push('/');
                        self.leave_out(Local::Unknown, Why::Unkept(errno));
                    } else if let Some(Frame { fd: Some(fd), .. }) = stack.last()
                        && let Entered::Frame(below) = self.enter(fd, &name)
                    {
                        stack.push(below);
                    }
                }
            }
        }
        Ok(())
    }

    /// A subdirectory that is not entered; `above` is the length of the path of the one it is in, with its `/`.
    fn emit_child(&mut self, above: usize, stat: io::Result<Stat>) {
        match stat {
            Ok(stat) if stat.is_mount(self.root.place.mount) => {
                self.leave_out(Local::Skipped(Skip::Mount), Why::Mount);
            }
            Ok(stat) if stat.kind().is_dir() => {
                let ancestor = RelPath::new(&self.path[..above.saturating_sub(1)]);
                let ancestor = ancestor.unwrap_or_else(|_| RelPath::root());
                self.emit_here(Local::Absent(Absence { ancestor, instead: Some(Instead::Directory) }));
            }
            Err(Errno::NOENT) => {}
            Ok(_) => self.emit_here(Local::Unknown),
            Err(errno) => self.unread(errno),
        }
    }

    /// The current place could not be asked with a stat.
    fn unread(&mut self, errno: Errno) {
        self.root.warnings.unread(&self.path, errno);
        self.emit_here(Local::Unknown);
    }

    fn emit_file(&mut self, local: Local) {
        match local {
            Local::Skipped(Skip::Mount) => self.leave_out(local, Why::Mount),
            local => self.emit_here(local),
        }
    }

    /// Gives the current place as one that is left out, and tells why.
    fn leave_out(&mut self, local: Local, why: Why) {
        self.root.warnings.tell(&self.path, why);
        self.emit_here(local);
    }

    fn emit_here(&mut self, local: Local) {
        let key = Key::raw(self.key.as_str());
        self.out.emit(key, local);
    }
}

/// Tells of the link whose place in the bucket the file `name` of the directory at `path` takes.
fn shadow(root: &Opened, dir: &OwnedFd, path: &[u8], name: &CStr) {
    let Some(link) = name.to_bytes().strip_suffix(LINK.as_bytes()).filter(|link| !link.is_empty()) else {
        return;
    };
    if Stat::at(dir.as_fd(), &c_name(link)).is_ok_and(|stat| stat.kind().is_symlink()) {
        root.warnings.tell(&[path, link].concat(), Why::Shadowed);
    }
}

/// Of the root itself.
fn fault(halt: Halt) -> Fault {
    let (class, errno, remedy) = match halt {
        Halt::Read(errno @ (Errno::ACCESS | Errno::PERM)) => (Class::Fatal, errno, READ_ALL),
        Halt::Read(errno) => (Class::Transient, errno, "check the file system it lies on (mount, dmesg)"),
        Halt::Spill(errno) => (Class::Transient, errno, KEEP),
    };
    let what = match halt {
        Halt::Read(_) => "list the root",
        Halt::Spill(_) => "keep the names of the root on disk",
    };
    Fault::new(class, what, errno).remedy(remedy)
}

/// What helps when names cannot be kept on disk.
pub(super) const KEEP: &str = "free space where `state_dir` lies, or make it writable";

/// Some entries may have been given already, so the walk as a whole has to fail.
fn lost(errno: Errno) -> Fault {
    Fault::new(Class::Transient, "read the names that a walk keeps on disk", errno).remedy(KEEP)
}

/// One component for the kernel: a `RelPath` holds no NUL.
pub(super) fn c_name(name: &[u8]) -> std::ffi::CString {
    std::ffi::CString::new(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::root::Root;

    #[test]
    fn c32_a_directory_that_cannot_be_read_to_its_end_is_unknown() {
        let temp = tempfile::tempdir().expect("a directory");
        for file in ["a/f", "bad/f", "bad/sub/g", "c/f", "gone/f"] {
            let path = temp.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
            std::fs::write(path, "").expect("write");
        }
        let root = Root::new(temp.path()).open().expect("root");
        let walk = |read: Read| {
            let mut found = Vec::new();
            let keep = Prune::default();
            let mut give = |batch: Vec<Entry>| {
                found
                    .extend(batch.into_iter().map(|(key, local)| (key.to_string(), local == Local::Unknown)));
                true
            };
            let mut walk =
                Walk { read, ..Walk::new(&root, &keep, Desk::new(temp.path(), LIMITS), &mut give) };
            walk.run(&Scope::everything()).map(|()| found)
        };
        let found = walk(|fd, path, desk| {
            let (listing, halt) = Listing::read(fd, path, desk);
            match path {
                b"bad" => (listing, Some(Halt::Read(Errno::IO))),
                b"bad/sub" => (Listing::default(), Some(Halt::Read(Errno::STALE))),
                b"gone" => (Listing::default(), Some(Halt::Read(Errno::NOENT))),
                _ => (listing, halt),
            }
        });
        let known = |key: &str| (key.to_owned(), false);
        let unknown = |key: &str| (key.to_owned(), true);
        let want = [known("a/f"), unknown("bad/"), known("bad/f"), unknown("bad/sub/"), known("c/f")];
        assert_eq!(found.as_deref(), Ok(&want[..]), "in order, and one that is gone is no trouble");
        let root_fails =
            walk(|fd, path, desk| (Listing::read(fd, path, desk).0, Some(Halt::Read(Errno::IO))));
        assert_eq!(root_fails.map_err(|f| f.class), Err(Class::Transient));
    }
}
