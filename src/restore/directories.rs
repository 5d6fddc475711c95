//! Directories get their mode, owner and time when all that is in them is there: what is made in one changes its time, and
//! its mode may not let anything be made.
//!
//! Objects come in the order of their keys, so a directory's marker comes before all that is in it. Whoever is at work
//! below a directory holds it; when nobody does any more, it is done. So what is held is the directories on the way down,
//! not all there are. Where a store lists out of order, the time may be that of the restore. One without a marker is held
//! as well: if it is made for what lies in it, it is to have a mode in the end.

use crate::{
    local::Finish,
    model::{Key, RelPath},
};
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// A directory that is done, and what it is to get; `None`: it has no marker.
pub(super) type Done = (Key, RelPath, Option<Finish>);

/// Those that are done. No more come to wait than objects are under way, each with its directories.
#[derive(Clone, Debug, Default)]
pub(super) struct Finished(Arc<Mutex<Vec<Done>>>);

impl Finished {
    /// Takes them.
    pub(super) fn take(&self) -> Vec<Done> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, done: Done) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(done);
    }
}

/// The directories that objects are just now restored to.
#[derive(Debug, Default)]
pub(super) struct Directories {
    /// Outermost first; each holds the one before it.
    open: Vec<Arc<Directory>>,
    done: Finished,
}

/// One directory.
#[derive(Debug)]
pub(super) struct Directory {
    key: Key,
    path: RelPath,
    /// A marker came, whatever came of it.
    marked: AtomicBool,
    finish: OnceLock<Finish>,
    done: Finished,
    _above: Option<Arc<Directory>>,
}

impl Directories {
    /// Where those come that are done.
    pub(super) fn finished(&self) -> Finished {
        self.done.clone()
    }

    /// The directory that holds the object of this key, to be held while it is restored; of a marker the directory itself.
    pub(super) fn come_to(&mut self, key: &Key) -> Option<Arc<Directory>> {
        let is_within = |dir: &Arc<Directory>| key.as_str().starts_with(dir.key.as_str());
        while self.open.pop_if(|dir| !is_within(dir)).is_some() {}
        let text = key.as_str();
        let known = self.open.last().map_or(0, |dir| dir.key.as_str().len());
        for (at, _) in text[known..].match_indices('/') {
            let key = Key::raw(&text[..=known + at]);
            let Some(path) = key.marked() else { continue };
            let (above, done) = (self.open.last().cloned(), self.done.clone());
            let (marked, finish) = (AtomicBool::default(), OnceLock::new());
            self.open.push(Arc::new(Directory { key, path, marked, finish, done, _above: above }));
        }
        let last = self.open.last()?;
        if last.key == *key {
            last.marked.store(true, Relaxed);
        }
        Some(Arc::clone(last))
    }
}

impl Directory {
    /// What it is to get.
    pub(super) fn gets(&self, finish: Finish) {
        let _ = self.finish.set(finish);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let finish = self.finish.get().cloned();
        // what a marker says that could not be had may be that nobody is to enter
        if finish.is_some() || !self.marked.load(Relaxed) {
            self.done.push((self.key.clone(), self.path.clone(), finish));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_done_when_nobody_is_at_work_below_it() {
        let mut all = Directories::default();
        let done = all.finished();
        let mut come = |key: &str| all.come_to(&Key::raw(key));
        let told = || done.take().into_iter().map(|(key, ..)| key.to_string()).collect::<Vec<_>>();
        assert!(come("a").is_none());
        come("d/").expect("itself").gets(Finish::default());
        let file = come("d/f").expect("the directory");
        come("d/s/").expect("itself").gets(Finish::default());
        let deep = come("d/s/x/y").expect("the nearest that has a marker");
        drop(come("d/z"));
        assert_eq!(told(), [""; 0], "y is under way");
        drop(deep);
        assert_eq!(told(), ["d/s/x/", "d/s/"]);
        drop(come("e/"));
        assert_eq!(told(), [""; 0], "f is under way");
        drop(file);
        assert_eq!(told(), ["d/"]);
        drop(come("n/o/f"));
        assert_eq!(told(), [""; 0], "nobody said what e is to get");
        drop(all);
        assert_eq!(told(), ["n/o/", "n/"], "they have no marker");
    }
}
