//! The kernel's watches: one for each directory that is mirrored.
//!
//! Not recursive ones of notify: those are added late, on links and on mounts too, and nothing tells when.
//! Here a directory is watched first and listed then, so that what is made in it meanwhile is either
//! listed or told of. Adding a watch again is harmless, so whatever hints at a new directory may add it.
//!
//! Memory: about 1 KB of the kernel's and 250 bytes of ours for each directory.

use super::{
    Prune,
    canary::{self, Perch},
    descend::{Descent, Stop, descend},
    entries::{self, enumerate},
    event::{Sign, opens, signs},
    outbox::Outbox,
    plight::{Shortfall, no_watcher},
    root::{Opened, Root},
    stat::{LIST, Place, beneath},
};
use crate::model::{Fault, Kind, RelPath};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::{fd::AsFd, io::Errno};
use std::{
    collections::BTreeSet,
    mem::MaybeUninit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

/// Unreadable directories that are remembered, to be watched once they can be read.
const DENIED: usize = 10_000;

/// A set of watches below the root, which put their signs into an inbox.
pub(super) struct Watches {
    root: Arc<Root>,
    prune: Prune,
    perch: Perch,
    /// The canary is watched. It comes before all directories, so that a limit does not silence it.
    planted: bool,
    watcher: RecommendedWatcher,
    /// Disconnected when notify's thread has ended.
    alive: mpsc::Receiver<()>,
    /// The root was opened.
    opened: Arc<AtomicBool>,
    /// Where the root was when it was watched.
    place: Place,
    denied: BTreeSet<RelPath>,
    shortfall: Shortfall,
    buffer: Vec<MaybeUninit<u8>>,
}

impl Watches {
    /// Watches all below the root.
    ///
    /// # Errors
    /// If the root is not there or is not the bound one, or the kernel grants no watcher.
    pub(super) fn new(
        root: &Arc<Root>,
        prune: &Prune,
        perch: &Perch,
        inbox: &Arc<Outbox<Sign>>,
    ) -> Result<Self, Fault> {
        let opened = root.open()?;
        let (living, alive) = mpsc::channel::<()>();
        let (path, canary, inbox) = (root.path().to_owned(), perch.file.clone(), Arc::clone(inbox));
        let opened_at = Arc::new(AtomicBool::new(false));
        let opening = Arc::clone(&opened_at);
        let handler = move |event: notify::Result<notify::Event>| {
            if opens(&event, &path) {
                opening.store(true, Relaxed);
            }
            // Held for as long as the thread that calls this.
            let _living = &living;
            signs(&event, &path, canary.as_deref()).into_iter().for_each(|sign| inbox.push(sign));
        };
        let watcher = RecommendedWatcher::new(handler, notify::Config::default())
            .map_err(|e| no_watcher(root.path(), &e))?;
        let mut watches = Self {
            root: Arc::clone(root),
            prune: prune.clone(),
            perch: perch.clone(),
            planted: false,
            watcher,
            alive,
            opened: opened_at,
            place: opened.place,
            denied: BTreeSet::new(),
            shortfall: Shortfall::default(),
            buffer: entries::buffer(),
        };
        // what keeps it from being asked is told when it is asked in earnest
        let _unheard = watches.ask();
        watches.add_all(&opened, RelPath::root());
        Ok(watches)
    }

    /// Watches `dir` and all below it, if it is a directory.
    ///
    /// # Errors
    /// If the root is not there or is not the bound one.
    pub(super) fn add(&mut self, dir: &RelPath) -> Result<(), Fault> {
        let opened = self.root.open()?;
        self.denied.retain(|denied| !denied.is_within(dir));
        self.add_all(&opened, dir.clone());
        Ok(())
    }

    /// Watches what could not be read in `dir`, itself included, and can be now, and all below: tells which.
    ///
    /// # Errors
    /// If the root is not there or is not the bound one.
    pub(super) fn add_denied(&mut self, dir: &RelPath) -> Result<BTreeSet<RelPath>, Fault> {
        if !self.denied.iter().any(|denied| denied.is_within(dir)) {
            return Ok(BTreeSet::new());
        }
        let opened = self.root.open()?;
        let denied = std::mem::take(&mut self.denied).into_iter();
        let (mut within, others): (BTreeSet<_>, _) = denied.partition(|denied| denied.is_within(dir));
        self.denied = others;
        within.iter().for_each(|denied: &RelPath| self.add_all(&opened, denied.clone()));
        within.retain(|denied| !self.denied.contains(denied));
        Ok(within)
    }

    /// True if the root is still where the directory is that is watched. Of one that was unmounted and mounted again within a
    /// moment the numbers may be the same, and its watches are gone: those are [asked](Self::ask_root).
    ///
    /// # Errors
    /// If it is not there or is not the bound one.
    pub(super) fn is_in_place(&self) -> Result<bool, Fault> {
        if self.root.is_at(self.place) {
            return Ok(true);
        }
        self.root.open().map(|opened| opened.place == self.place)
    }

    /// Has the root's own watch tell, if it lives.
    pub(super) fn ask_root(&self) -> Result<(), Fault> {
        self.opened.store(false, Relaxed);
        self.root.open().map(drop)
    }

    /// True if it has told since it was asked, or heard, last.
    pub(super) fn root_told(&self) -> bool {
        self.opened.swap(false, Relaxed)
    }

    /// False if notify's thread has ended.
    pub(super) fn is_alive(&self) -> bool {
        self.alive.try_recv() != Err(mpsc::TryRecvError::Disconnected)
    }

    /// Ends them all, and waits until the kernel has forgotten them: new ones count against the same limit.
    pub(super) fn end(self) {
        if self.is_alive() {
            drop(self.watcher);
            let _ended = self.alive.recv_timeout(Duration::from_secs(10));
        } else {
            // It would panic for want of its thread, and holds nothing any more.
            std::mem::forget(self.watcher);
        }
    }

    /// What cannot be seen as it happens.
    pub(super) fn shortfall(&self) -> &Shortfall {
        &self.shortfall
    }

    /// Tries for the watches that are missing, if one of them can be had now. True if none is missing any more.
    ///
    /// # Errors
    /// If the root is not there or is not the bound one.
    pub(super) fn refill(&mut self) -> Result<bool, Fault> {
        let odd = self.shortfall.odd.as_ref().map(|(dir, _)| dir);
        let Some(missing) = self.shortfall.first.as_ref().or(odd).cloned() else { return Ok(false) };
        let opened = self.root.open()?;
        let before = std::mem::take(&mut self.shortfall);
        // gone is as good as watched
        if self.watch(&missing).unwrap_or(true) && self.shortfall.plight().is_none() {
            self.denied.clear();
            self.add_all(&opened, RelPath::root());
        } else {
            self.shortfall = before;
        }
        Ok(self.shortfall.plight().is_none())
    }

    /// Asks the canary, which is planted if it was not yet.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub(super) fn ask(&mut self) -> Result<(), String> {
        let Some(file) = self.perch.file.clone() else { return Ok(()) };
        canary::ask(&file).map_err(|errno| errno.to_string())?;
        if !self.planted {
            let watched = self.watcher.watch(&file, RecursiveMode::NonRecursive);
            watched.map_err(|error| error.to_string())?;
            self.planted = true;
            canary::ask(&file).map_err(|errno| errno.to_string())?;
        }
        Ok(())
    }

    fn add_all(&mut self, root: &Opened, dir: RelPath) {
        let mut waiting = vec![dir];
        let mut full = false;
        while let Some(dir) = waiting.pop() {
            self.perch.pulse.beat();
            if let Err(errno) = self.add_one(root, &dir, &mut full, &mut waiting) {
                match errno {
                    Errno::ACCESS | Errno::PERM if self.denied.len() < DENIED => {
                        self.denied.insert(dir);
                    }
                    Errno::ACCESS | Errno::PERM | Errno::NOENT => {}
                    other => self.odd(dir, other.to_string()),
                }
            }
        }
    }

    fn add_one(
        &mut self,
        root: &Opened,
        dir: &RelPath,
        full: &mut bool,
        waiting: &mut Vec<RelPath>,
    ) -> Result<(), Errno> {
        let fd = match descend(root, dir) {
            Descent::Arrived(fd) => beneath(fd.as_fd(), c".", LIST)?,
            Descent::Stopped { why: Stop::Failed(errno), .. } => return Err(errno),
            // Gone, a file, or not ours to watch.
            Descent::Stopped { .. } => return Ok(()),
        };
        self.shortfall.directories += 1;
        // Once over the limit, the rest is only counted: for the advice.
        if *full {
            self.shortfall.over_limit += 1;
        } else {
            *full = !self.watch(dir)?;
        }
        let (prune, buffer) = (&self.prune, &mut self.buffer);
        enumerate(fd.as_fd(), buffer, |name, kind| {
            if kind == Kind::Directory
                && let Ok(path) = dir.join(name.to_bytes())
                && !prune.names(path.as_bytes(), true)
            {
                waiting.push(path);
            }
            Ok(())
        })
    }

    /// False if the limit is reached.
    fn watch(&mut self, dir: &RelPath) -> Result<bool, Errno> {
        let path =
            if dir.is_root() { self.root.path().to_owned() } else { self.root.path().join(dir.as_path()) };
        let Err(error) = self.watcher.watch(&path, RecursiveMode::NonRecursive) else { return Ok(true) };
        match error.kind {
            ErrorKind::MaxFilesWatch => {
                self.shortfall.over_limit += 1;
                self.shortfall.first.get_or_insert_with(|| dir.clone());
                return Ok(false);
            }
            ErrorKind::PathNotFound => return Err(Errno::NOENT),
            ErrorKind::Io(ref e) => match e.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOTDIR) => return Err(Errno::NOENT),
                // Longer than PATH_MAX, say: what is below it may still be worth listing.
                Some(errno @ (Errno::NOENT | Errno::ACCESS | Errno::PERM)) => return Err(errno),
                _ => {}
            },
            _ => {}
        }
        self.odd(dir.clone(), error.to_string());
        Ok(true)
    }

    fn odd(&mut self, dir: RelPath, cause: String) {
        self.shortfall.odd.get_or_insert((dir, cause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_could_not_be_read_is_watched_when_it_can_be_and_nothing_else_anew() {
        let temp = tempfile::tempdir().expect("a directory");
        ["a/b", "shut/in/it", "shutter"].iter().for_each(|dir| {
            fs::create_dir_all(temp.path().join(dir)).expect("mkdir");
        });
        let path = |text: &str| RelPath::new(text.as_bytes()).expect("valid path");
        let inbox = Arc::new(Outbox::new(8, Sign::Overflow, |_| true));
        let (root, perch) = (Arc::new(Root::new(temp.path())), Perch::default());
        let mut watches = Watches::new(&root, &Prune::default(), &perch, &inbox).expect("watches");
        let watched = watches.shortfall.directories;
        assert_eq!(watched, 7, "the root and six below it");
        // whoever runs this may be allowed to read everything
        watches.denied.insert(path("shut"));
        assert_eq!(watches.add_denied(&path("a")), Ok(BTreeSet::new()));
        assert_eq!(watches.add_denied(&path("shutter")), Ok(BTreeSet::new()));
        assert_eq!(watches.add_denied(&RelPath::root()), Ok([path("shut")].into()));
        assert_eq!(watches.shortfall.directories, watched + 3, "it, and what is in it");
        assert_eq!(watches.add_denied(&path("shut")), Ok(BTreeSet::new()));
        watches.end();
    }
}
