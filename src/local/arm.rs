//! The kernel's watches: one for each directory that is mirrored.
//!
//! Not recursive ones of notify: those are added late, on links and on mounts too, and nothing tells when.
//! Here a directory is watched first and listed then, so that what is made in it meanwhile is either
//! listed or told of. Adding a watch again is harmless, so whatever hints at a new directory may add it.
//!
//! Memory: about 1 KB of the kernel's and 250 bytes of ours for each directory.

use super::{
    Prune,
    descend::{Descent, Stop, descend},
    entries::{self, Kind, enumerate},
    event::{Sign, signs},
    outbox::Outbox,
    root::{Opened, Root, shown},
    stat::{LIST, Place, beneath},
};
use crate::model::{Class, Fault, RelPath};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::{fd::AsFd, io::Errno};
use std::{
    collections::BTreeSet,
    mem::MaybeUninit,
    sync::{Arc, mpsc},
    time::Duration,
};

/// Unreadable directories that are remembered, to be watched once they can be read.
const DENIED: usize = 10_000;

/// A set of watches below the root, which put their signs into an inbox.
pub(super) struct Watches {
    root: Arc<Root>,
    prune: Prune,
    watcher: RecommendedWatcher,
    /// Disconnected when notify's thread has ended.
    alive: mpsc::Receiver<()>,
    /// Where the root was when it was watched.
    place: Place,
    denied: BTreeSet<RelPath>,
    shortfall: Shortfall,
    buffer: Vec<MaybeUninit<u8>>,
}

/// What could not be watched.
#[derive(Default)]
struct Shortfall {
    /// Directories seen.
    directories: usize,
    /// Those without a watch because the user's limit is reached.
    over_limit: usize,
    /// The first that could not be watched for another reason.
    odd: Option<(RelPath, String)>,
    /// It has been told already.
    told: bool,
}

impl Watches {
    /// Watches all below the root.
    ///
    /// # Errors
    /// If the root is not there or is not the bound one, or the kernel grants no watcher.
    pub(super) fn new(root: &Arc<Root>, prune: &Prune, inbox: &Arc<Outbox<Sign>>) -> Result<Self, Fault> {
        let opened = root.open()?;
        let (living, alive) = mpsc::channel::<()>();
        let (path, inbox) = (root.path().to_owned(), Arc::clone(inbox));
        let handler = move |event: notify::Result<notify::Event>| {
            // Held for as long as the thread that calls this.
            let _living = &living;
            signs(&event, &path).into_iter().for_each(|sign| inbox.push(sign));
        };
        let watcher =
            RecommendedWatcher::new(handler, notify::Config::default()).map_err(|e| no_watcher(root, &e))?;
        let mut watches = Self {
            root: Arc::clone(root),
            prune: prune.clone(),
            watcher,
            alive,
            place: opened.place,
            denied: BTreeSet::new(),
            shortfall: Shortfall::default(),
            buffer: entries::buffer(),
        };
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

    /// True if an unreadable directory lies there, which may be readable now.
    pub(super) fn is_denied(&self, dir: &RelPath) -> bool {
        self.denied.iter().any(|denied| denied.is_within(dir))
    }

    /// True if the root is still the directory that is watched.
    ///
    /// # Errors
    /// If it is not there or is not the bound one.
    pub(super) fn is_in_place(&self) -> Result<bool, Fault> {
        self.root.open().map(|opened| opened.place == self.place)
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

    /// What cannot be seen as it happens, once.
    pub(super) fn shortfall(&mut self) -> Option<Fault> {
        let short = &mut self.shortfall;
        if short.told || (short.over_limit == 0 && short.odd.is_none()) {
            return None;
        }
        short.told = true;
        let what = format!("watch the directories of {}", shown(self.root.path()));
        if let Some((path, cause)) = short.odd.as_ref().filter(|_| short.over_limit == 0) {
            let cause = format!("{path}: {cause}; perhaps others too");
            return Some(
                Fault::new(Class::Permanent, what, cause)
                    .remedy("changes there are found by scans only (`rescan`)"),
            );
        }
        let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok();
        let limit: usize = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Some(over_limit(what, short.directories, short.over_limit, limit))
    }

    fn add_all(&mut self, root: &Opened, dir: RelPath) {
        let mut waiting = vec![dir];
        let mut full = false;
        while let Some(dir) = waiting.pop() {
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

fn over_limit(what: String, directories: usize, unwatched: usize, limit: usize) -> Fault {
    let enough = (limit.saturating_add(unwatched)).saturating_mul(2).next_power_of_two();
    let cause = format!(
        "{unwatched} of {directories} directories are not watched: fs.inotify.max_user_watches is {limit}"
    );
    let remedy = format!(
        "set `fs.inotify.max_user_watches = {enough}` in /etc/sysctl.d/ and restart; until then scans find the changes"
    );
    Fault::new(Class::Permanent, what, cause).remedy(remedy)
}

fn no_watcher(root: &Root, error: &notify::Error) -> Fault {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").ok();
    let limit: usize = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(128);
    Fault::new(Class::Permanent, format!("watch {}", shown(root.path())), error).remedy(format!(
        "set `fs.inotify.max_user_instances = {}` in /etc/sysctl.d/, or raise LimitNOFILE=; until then scans find the changes",
        limit.saturating_mul(4)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c05_the_advice_names_the_limit_and_a_value() {
        let fault = over_limit("watch".into(), 150_000, 50_000, 100_000);
        assert!(fault.cause.contains("50000 of 150000"), "{fault}");
        assert!(fault.remedy.is_some_and(|r| r.contains("fs.inotify.max_user_watches = 524288")));
    }
}
