//! The root: opened afresh for every use, and proven to be the bound one.

use super::{
    kinds::Kinds,
    mount::{FileSystem, now},
    stat::{LIST, PASS, Place, Stat},
    walk::c_name,
    warnings::Warnings,
};
use crate::model::{Class, Extra, Fault, Keep, RootId, Sameness, Stamp};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};
use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// The path of the root, and what it is bound to.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    kinds: Kinds,
    warnings: Arc<Warnings>,
    /// Its file system's clock is ours.
    our_clock: AtomicBool,
    /// It lies on this machine: asking the kernel for what it knows waits for nobody.
    near: AtomicBool,
    /// As it was last identified.
    seen: Mutex<Option<(RootId, Place)>>,
    bound: Mutex<Option<Bound>>,
}

#[derive(Debug)]
struct Bound {
    id: RootId,
    /// Where it was last seen; `None` until it is.
    place: Option<Place>,
}

/// The root, open for listing. Not to be held while idle: it would keep the file system from being unmounted.
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    pub(super) id: RootId,
    pub(super) place: Place,
    pub(super) filesystem: FileSystem,
    pub(super) kinds: Kinds,
    pub(super) warnings: Arc<Warnings>,
}

impl Root {
    /// Of an absolute path. A slash at its end is dropped: with it the kernel would follow a link.
    pub(super) fn new(path: &Path) -> Self {
        let path: PathBuf = path.components().collect();
        Self {
            warnings: Arc::new(Warnings::new(&path)),
            path,
            kinds: Kinds::default(),
            our_clock: AtomicBool::new(false),
            near: AtomicBool::new(false),
            seen: Mutex::default(),
            bound: Mutex::default(),
        }
    }

    /// With these kinds of entries.
    pub(super) fn with(self, kinds: Kinds) -> Self {
        Self { kinds, ..self }
    }

    /// What is kept of entries beside bytes, time, mode and owner.
    pub(super) fn keep(&self) -> Keep {
        self.kinds.keep
    }

    /// Whoever is told what is not.
    pub(super) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// The group of the names of an inode; `None`: it is not known which root this is.
    pub(super) fn group(&self, inode: u64) -> Option<u64> {
        let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        bound.as_ref().map(|bound| Extra::group(&bound.id, inode))
    }

    /// As configured, without a slash at its end.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn seen(&self) -> MutexGuard<'_, Option<(RootId, Place)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bound(&self) -> MutexGuard<'_, Option<Bound>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it, whatever it is bound to, to be bound to it.
    ///
    /// # Errors
    /// As [`Root::find`].
    pub(super) fn identify(&self) -> Result<Opened, Fault> {
        let found = self.find()?;
        self.our_clock.store(found.filesystem.keeps_fractions(), Relaxed);
        self.near.store(found.filesystem.remote.is_none(), Relaxed);
        *self.seen() = Some((found.id.clone(), found.place));
        Ok(found)
    }

    /// See [`Tree::ticked`](super::Tree::ticked).
    pub(super) fn ticked(&self, time: Stamp) -> bool {
        self.our_clock.load(Relaxed) && now() > time
    }

    /// Accepts this identity; with the place where it was when it was identified, if that was it. No disk is asked.
    pub(super) fn bind(&self, id: &RootId) {
        let seen = self.seen().take().filter(|(seen, _)| seen.compare(id) != Sameness::Changed);
        *self.bound() = Some(Bound { id: id.clone(), place: seen.map(|(_, place)| place) });
    }

    /// Opens it, whatever it is bound to.
    ///
    /// # Errors
    /// `Fatal` if it is missing, a link, no directory or not readable; `Transient` for want of descriptors.
    pub(super) fn find(&self) -> Result<Opened, Fault> {
        let open = || {
            // By `openat2`, though it resolves as ever: where that is refused, nothing else would work.
            let flags = LIST | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = openat2(CWD, &self.path, flags, Mode::empty(), ResolveFlags::empty())?;
            let stat = Stat::of(fd.as_fd())?;
            let filesystem = FileSystem::of(fd.as_fd(), &stat)?;
            let place = stat.place();
            let id = RootId { inode: place.inode, filesystem: filesystem.identity.clone() };
            Ok(Opened { fd, id, place, filesystem, kinds: self.kinds, warnings: Arc::clone(&self.warnings) })
        };
        rustix::io::retry_on_intr(open).map_err(|errno| self.fault(errno))
    }

    /// Opens it, and proves that it is the bound one if it is bound.
    ///
    /// # Errors
    /// As [`Root::find`]; `Fatal` if it is another.
    pub(super) fn open(&self) -> Result<Opened, Fault> {
        let found = self.find()?;
        let mut bound = self.bound();
        let Some(bound) = bound.as_mut() else { return Ok(found) };
        let same = match found.id.compare(&bound.id) {
            Sameness::Same => true,
            Sameness::Changed => false,
            Sameness::Unprovable => bound.place.is_none_or(|place| place == found.place),
        };
        if !same {
            return Err(self.another(&found, bound));
        }
        bound.place = Some(found.place);
        Ok(found)
    }

    /// True if it is there where it was. To open it as often would wake its watcher as often.
    pub(super) fn is_at(&self, place: Place) -> bool {
        let stat = Stat::at(CWD, &c_name(self.path.as_os_str().as_bytes()));
        stat.is_ok_and(|stat| stat.kind().is_dir() && stat.place() == place)
    }

    /// The bound root, open to go through, if it is where it was and no disk or other machine need be asked for that.
    pub(super) fn at_hand(&self) -> Option<(OwnedFd, Place)> {
        let place = self.bound().as_ref()?.place.filter(|_| self.near.load(Relaxed))?;
        let resolve = ResolveFlags::CACHED;
        let fd = openat2(CWD, &self.path, PASS | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), resolve);
        let fd = fd.ok()?;
        (Stat::of(fd.as_fd()).ok()?.place() == place).then_some((fd, place))
    }

    fn another(&self, found: &Opened, bound: &Bound) -> Fault {
        let name = |id: &RootId, place: Option<Place>| {
            let place = place.map(|p| format!(" at device {}:{} mount {}", p.device.0, p.device.1, p.mount));
            let filesystem = id.filesystem.as_deref().unwrap_or("without an identity");
            format!("inode {} of file system {filesystem}{}", id.inode, place.unwrap_or_default())
        };
        let (now, then) = (name(&found.id, Some(found.place)), name(&bound.id, bound.place));
        // which of the two was accepted is found out when it is opened anew
        let cause = format!("it is another directory than a moment ago: {now}; it was {then}");
        Fault::new(Class::Fatal, self.what(), cause)
            .remedy("it is looked at anew at once; if this is not the right one, put that back")
    }

    fn what(&self) -> String {
        format!("open the root {}", shown(&self.path))
    }

    fn fault(&self, errno: Errno) -> Fault {
        let link = std::fs::read_link(&self.path).ok();
        let (class, remedy) = match errno {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => {
                (Class::Transient, "raise the limit of open files (systemd: LimitNOFILE=)".to_owned())
            }
            _ if link.is_some() => {
                let target = link.map(|to| shown(&self.path.parent().unwrap_or(&self.path).join(to)));
                (
                    Class::Fatal,
                    format!("it is a link: write its target {} as root instead", target.unwrap_or_default()),
                )
            }
            Errno::NOENT => {
                (Class::Fatal, "mount or create it, or correct `root` in the configuration".to_owned())
            }
            Errno::NOSYS => (
                Class::Fatal,
                "use Linux 5.6 or later (in a container: a seccomp profile that knows openat2)".to_owned(),
            ),
            Errno::NOTDIR => (Class::Fatal, "name a directory as `root`".to_owned()),
            Errno::ACCESS | Errno::PERM => (Class::Fatal, READ_ALL.to_owned()),
            _ => (Class::Fatal, "check the file system it lies on (mount, dmesg)".to_owned()),
        };
        Fault::new(class, self.what(), errno).remedy(remedy)
    }
}

/// What helps against EACCES.
pub(super) const READ_ALL: &str =
    "run as a user that may read it, or give CAP_DAC_READ_SEARCH (systemd: AmbientCapabilities=)";

/// A path, safe to print.
pub(super) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn id(root: &Root) -> RootId {
        root.identify().expect("root").id
    }

    #[test]
    fn c07_a_directory_put_in_its_place_is_fatal_until_the_true_one_is_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, away) = (dir.path().join("root"), dir.path().join("away"));
        std::fs::create_dir(&path).expect("mkdir");
        let root = Root::new(&path);
        root.bind(&id(&root));
        assert!(root.open().is_ok());
        std::fs::rename(&path, &away).expect("rename");
        assert_eq!(root.open().err().map(|f| f.class), Some(Class::Fatal), "missing");
        std::fs::create_dir(&path).expect("mkdir");
        let fault = root.open().err().expect("another");
        assert_eq!(fault.class, Class::Fatal);
        assert!(fault.cause.contains("another directory than a moment ago"), "{fault}");
        assert!(fault.remedy.is_some());
        assert!(root.find().is_ok(), "its identity can still be shown");
        std::fs::remove_dir(&path).expect("rmdir");
        std::fs::rename(&away, &path).expect("rename");
        assert!(root.open().is_ok(), "it is back");
    }

    #[test]
    fn c71_an_unprovable_root_is_held_to_its_place_within_the_process() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = Root::new(dir.path());
        let unprovable = RootId { filesystem: None, ..id(&root) };
        root.bind(&unprovable);
        assert!(root.open().is_ok());
        if let Some(bound) = root.bound().as_mut() {
            bound.place.as_mut().expect("seen").mount += 1;
        }
        assert_eq!(root.open().err().map(|f| f.class), Some(Class::Fatal), "another mount");
        let proven = id(&root);
        if proven.filesystem.is_some() {
            root.bind(&proven);
            root.bound().as_mut().expect("bound").place.as_mut().expect("seen").mount += 1;
            assert!(root.open().is_ok(), "proven the same: mounted again elsewhere is no change");
            root.bind(&RootId { filesystem: Some("uuid:other".into()), ..proven });
            assert!(root.open().is_err(), "same inode on another file system");
        }
    }

    #[test]
    fn c13_a_link_is_refused_with_its_target_even_with_a_slash() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("true")).expect("mkdir");
        symlink("true", dir.path().join("link")).expect("link");
        for path in ["link", "link/"] {
            let fault = Root::new(&dir.path().join(path)).open().err().expect("refused");
            assert_eq!(fault.class, Class::Fatal);
            let remedy = fault.remedy.expect("a remedy");
            assert!(remedy.contains(&shown(&dir.path().join("true"))), "{remedy}");
        }
        std::fs::write(dir.path().join("file"), "").expect("write");
        assert_eq!(
            Root::new(&dir.path().join("file")).open().err().map(|f| f.class),
            Some(Class::Fatal),
            "no directory"
        );
    }
}
