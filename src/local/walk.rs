//! The walk: depth first, in key order, each directory read whole before its first entry is given.
//!
//! Everything is relative to an open directory, so paths may be longer than the kernel takes in one
//! piece. Memory: the names of the directories on the way down to the current one. Descriptors: at
//! most [`OPEN`]; further up they are closed, and opened again by `..` of the one below, if that
//! still leads to the very directory that was read.

use super::{
    Entry, Prune,
    descend::{Descent, Stop, descend},
    root::{Opened, READ_ALL},
    sort::{self, Kind, Listing},
    stat::{LIST, PASS, Place, Stat, beneath},
};
use crate::model::{Absence, Class, Fault, Key, Local, RelPath, Scope, Skip};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    ffi::CStr,
    fs::{Mode, OFlags, openat},
    io::{self, Errno},
};
use std::mem::MaybeUninit;

/// Directories held open at once.
const OPEN: usize = 64;
/// Entries of a batch.
const BATCH: usize = 512;

/// Walks `scope`, giving batches to `give` until it returns false.
///
/// # Errors
/// If the root itself cannot be read: then nothing is known of anything.
pub(super) fn walk(
    root: &Opened,
    scope: &Scope,
    prune: &Prune,
    give: &mut dyn FnMut(Vec<Entry>) -> bool,
) -> Result<(), Fault> {
    walk_with(root, scope, prune, give, Listing::read)
}

/// How a directory is read; another one in tests of errors.
type Read = fn(BorrowedFd<'_>, &[u8], &mut [MaybeUninit<u8>]) -> (Listing, Option<Errno>);

fn walk_with(
    root: &Opened,
    scope: &Scope,
    prune: &Prune,
    give: &mut dyn FnMut(Vec<Entry>) -> bool,
    read: Read,
) -> Result<(), Fault> {
    let mut walk = Walk {
        read,
        prune,
        mount: root.place.mount,
        give,
        batch: Vec::new(),
        ended: false,
        path: Vec::new(),
        key: String::new(),
        buffer: sort::buffer(),
    };
    walk.scope(root, scope)?;
    walk.flush();
    Ok(())
}

struct Walk<'a> {
    read: Read,
    prune: &'a Prune,
    mount: u64,
    give: &'a mut dyn FnMut(Vec<Entry>) -> bool,
    batch: Vec<Entry>,
    /// Nobody listens any more.
    ended: bool,
    /// The current path, and its key.
    path: Vec<u8>,
    key: String,
    buffer: Vec<MaybeUninit<u8>>,
}

/// One directory on the way down.
struct Frame {
    /// `None` while far up.
    fd: Option<OwnedFd>,
    /// Where it was, once it has been closed.
    place: Option<Place>,
    listing: Listing,
    /// Lengths of `path` and `key` up to and with its `/`.
    path: usize,
    key: usize,
}

/// What became of an attempt to open a directory.
enum Entered {
    Frame(Frame),
    /// It is not to be entered, or not any more: nothing is left to be done.
    Done,
}

impl Walk<'_> {
    fn scope(&mut self, root: &Opened, scope: &Scope) -> Result<(), Fault> {
        let dir = scope.path();
        if dir.is_root() {
            let fd = io::retry_on_intr(|| openat(&root.fd, c".", LIST | OFlags::CLOEXEC, Mode::empty()));
            let fd = fd.map_err(unreadable)?;
            let (listing, error) = (self.read)(fd.as_fd(), b"", &mut self.buffer);
            if let Some(errno) = error {
                return Err(unreadable(errno));
            }
            let frame = Frame { fd: Some(fd), place: None, listing, path: 0, key: 0 };
            self.go(frame, matches!(scope, Scope::Children(_)));
            return Ok(());
        }
        if self.is_pruned_above(dir) {
            return Ok(());
        }
        let Some(parent) = dir.parent() else { return Ok(()) };
        let above = match descend(root, &parent) {
            Descent::Arrived(fd) => fd,
            Descent::Stopped { why, .. } => {
                let local = match why {
                    Stop::Missing | Stop::File => return Ok(()),
                    Stop::Skipped(skip) => Local::Skipped(skip),
                    Stop::Failed(_) => Local::Unknown,
                };
                self.whole(scope, local);
                return Ok(());
            }
        };
        let name = c_name(dir.name());
        let is_directory = match Stat::at(above.as_fd(), &name) {
            Ok(stat) => match stat.local(self.mount) {
                Some(Local::Skipped(Skip::Mount)) if stat.kind().is_dir() => {
                    self.emit(Key::directory(dir), Local::Skipped(Skip::Mount));
                    false
                }
                Some(local) => {
                    if !matches!(scope, Scope::Children(_)) && !(self.prune)(dir, false) {
                        self.emit(Key::of(dir), local);
                    }
                    false
                }
                None => true,
            },
            Err(Errno::NOENT) => false,
            Err(_) => {
                self.whole(scope, Local::Unknown);
                false
            }
        };
        if is_directory && !matches!(scope, Scope::File(_)) && !(self.prune)(dir, true) {
            self.path.extend_from_slice(dir.as_bytes());
            self.key.push_str(Key::of(dir).as_str());
            if let Entered::Frame(frame) = self.enter(&above, &name) {
                self.go(frame, matches!(scope, Scope::Children(_)));
            }
        }
        Ok(())
    }

    /// One answer for all of a scope.
    fn whole(&mut self, scope: &Scope, local: Local) {
        if !matches!(scope, Scope::Children(_)) {
            self.emit(Key::of(scope.path()), local.clone());
        }
        if !matches!(scope, Scope::File(_)) {
            self.emit(Key::directory(scope.path()), local);
        }
    }

    fn is_pruned_above(&self, dir: &RelPath) -> bool {
        let mut above = dir.parent();
        while let Some(path) = above.filter(|path| !path.is_root()) {
            if (self.prune)(&path, true) {
                return true;
            }
            above = path.parent();
        }
        false
    }

    /// Opens and reads the directory `name` of `above`; `path` and `key` are its own, without `/`.
    fn enter(&mut self, above: &OwnedFd, name: &CStr) -> Entered {
        self.key.push('/');
        let result = beneath(above.as_fd(), name, LIST);
        let fd = match result {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Entered::Done,
            Err(Errno::XDEV) => {
                self.emit_here(Local::Skipped(Skip::Mount));
                return Entered::Done;
            }
            Err(_) => {
                self.emit_here(Local::Unknown);
                return Entered::Done;
            }
        };
        let (listing, error) = (self.read)(fd.as_fd(), &self.path, &mut self.buffer);
        match error {
            None => {}
            Some(Errno::NOENT) => return Entered::Done,
            Some(_) => self.emit_here(Local::Unknown),
        }
        self.path.push(b'/');
        Entered::Frame(Frame {
            fd: Some(fd),
            place: None,
            listing,
            path: self.path.len(),
            key: self.key.len(),
        })
    }

    fn go(&mut self, first: Frame, children: bool) {
        let mut stack = vec![first];
        while let Some(frame) = stack.last_mut()
            && !self.ended
        {
            self.path.truncate(frame.path);
            self.key.truncate(frame.key);
            let Some(name) = frame.listing.next() else {
                let below = stack.pop().and_then(|frame| frame.fd);
                if let (Some(above), Some(below)) = (stack.last_mut(), below) {
                    above.reopen(&below);
                }
                continue;
            };
            self.path.extend_from_slice(name.raw.to_bytes());
            self.key.push_str(name.encoded);
            // What the kernel lists is a name, so this holds; were it not, it could not be a file's key either.
            let Ok(path) = RelPath::new(&self.path) else { continue };
            if (self.prune)(&path, name.kind == Kind::Directory) {
                continue;
            }
            let Some(fd) = &frame.fd else {
                if name.kind == Kind::Directory {
                    self.key.push('/');
                }
                self.emit_here(Local::Unknown);
                continue;
            };
            match name.kind {
                Kind::Link => self.emit_here(Local::Skipped(Skip::Link)),
                Kind::Special => self.emit_here(Local::Skipped(Skip::Special)),
                Kind::File => match Stat::at(fd.as_fd(), name.raw).map(|stat| stat.local(self.mount)) {
                    Ok(Some(local)) => self.emit_here(local),
                    Ok(None) => frame.listing.again_as_directory(),
                    Err(Errno::NOENT) => {}
                    Err(_) => self.emit_here(Local::Unknown),
                },
                Kind::Directory if children => {
                    let stat = Stat::at(fd.as_fd(), name.raw);
                    self.key.push('/');
                    self.emit_child(&path, stat);
                }
                Kind::Directory => {
                    if let Entered::Frame(below) = self.enter(fd, name.raw) {
                        stack.push(below);
                        if let Some(far) = stack.len().checked_sub(OPEN + 1) {
                            stack[far].close();
                        }
                    }
                }
            }
        }
    }

    /// A subdirectory that is not entered.
    fn emit_child(&mut self, path: &RelPath, stat: io::Result<Stat>) {
        match stat {
            Ok(stat) if stat.is_mount(self.mount) => self.emit_here(Local::Skipped(Skip::Mount)),
            Ok(stat) if stat.kind().is_dir() => {
                let ancestor = path.parent().unwrap_or_else(RelPath::root);
                self.emit_here(Local::Absent(Absence { ancestor, directory: true }));
            }
            Err(Errno::NOENT) => {}
            _ => self.emit_here(Local::Unknown),
        }
    }

    fn emit_here(&mut self, local: Local) {
        let key = Key::raw(self.key.as_str());
        self.emit(key, local);
    }

    fn emit(&mut self, key: Key, local: Local) {
        if self.batch.capacity() == 0 {
            self.batch.reserve_exact(BATCH);
        }
        self.batch.push((key, local));
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() && !self.ended {
            self.ended = !(self.give)(std::mem::take(&mut self.batch));
        }
    }
}

impl Frame {
    fn close(&mut self) {
        if let Some(fd) = self.fd.take() {
            self.place = Stat::of(fd.as_fd()).map(|stat| stat.place()).ok();
        }
    }

    /// Opens it again from the directory below it. Stays closed if that has been moved elsewhere:
    /// what is left of it is unknown then.
    fn reopen(&mut self, below: &OwnedFd) {
        if self.fd.is_some() {
            return;
        }
        let fd = openat(below, c"..", PASS | OFlags::CLOEXEC, Mode::empty());
        self.fd = fd.ok().filter(|fd| {
            let place = Stat::of(fd.as_fd()).map(|stat| stat.place()).ok();
            place.is_some() && place == self.place
        });
    }
}

fn unreadable(errno: Errno) -> Fault {
    let (class, remedy) = match errno {
        Errno::ACCESS | Errno::PERM => (Class::Fatal, READ_ALL),
        _ => (Class::Transient, "check the file system it lies on (mount, dmesg)"),
    };
    Fault::new(class, "list the root", errno).remedy(remedy)
}

/// One component for the kernel: a `RelPath` holds no NUL.
pub(super) fn c_name(name: &[u8]) -> std::ffi::CString {
    std::ffi::CString::new(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::root::Root;
    use std::sync::Arc;

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
            let keep: Prune = Arc::new(|_, _| false);
            let mut give = |batch: Vec<Entry>| {
                found
                    .extend(batch.into_iter().map(|(key, local)| (key.to_string(), local == Local::Unknown)));
                true
            };
            walk_with(&root, &Scope::everything(), &keep, &mut give, read).map(|()| found)
        };
        let found = walk(|fd, path, buffer| {
            let (listing, error) = Listing::read(fd, path, buffer);
            match path {
                b"bad" => (listing, Some(Errno::IO)),
                b"bad/sub" => (Listing::default(), Some(Errno::STALE)),
                b"gone" => (Listing::default(), Some(Errno::NOENT)),
                _ => (listing, error),
            }
        });
        let known = |key: &str| (key.to_owned(), false);
        let unknown = |key: &str| (key.to_owned(), true);
        let want = [known("a/f"), unknown("bad/"), known("bad/f"), unknown("bad/sub/"), known("c/f")];
        assert_eq!(found.as_deref(), Ok(&want[..]), "in order, and one that is gone is no trouble");
        let root_fails = walk(|fd, path, buffer| (Listing::read(fd, path, buffer).0, Some(Errno::IO)));
        assert_eq!(root_fails.map_err(|f| f.class), Err(Class::Transient));
    }
}
