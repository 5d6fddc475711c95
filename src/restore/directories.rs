//! Directories get their mode, owner and time when all that is in them is there: what is made in one changes its time, and
//! its mode may not let anything be made.
//!
//! Objects come in the order of their keys, so a directory's marker comes before all that is in it. Whoever is at work
//! below a directory holds it; when nobody does any more, it is done. So what is held is the directories on the way down,
//! not all there are. Where a store lists out of order, the time may be that of the restore.

use crate::{
    local::Finish,
    model::{Key, RelPath},
};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// A directory that is done, and what it is to get.
pub(super) type Done = (Key, RelPath, Finish);

/// The directories that objects are just now restored to.
#[derive(Debug)]
pub(super) struct Directories {
    /// Outermost first; each holds the one before it.
    open: Vec<Arc<Directory>>,
    done: mpsc::UnboundedSender<Done>,
}

/// One directory that has a marker.
#[derive(Debug)]
pub(super) struct Directory {
    key: Key,
    path: RelPath,
    finish: OnceLock<Finish>,
    done: mpsc::UnboundedSender<Done>,
    _above: Option<Arc<Directory>>,
}

impl Directories {
    /// None yet; and where those come that are done.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Done>) {
        let (done, finished) = mpsc::unbounded_channel();
        (Self { open: vec![], done }, finished)
    }

    /// The directory that holds the object of this key, to be held while it is restored; of a marker the directory itself.
    pub(super) fn come_to(&mut self, key: &Key) -> Option<Arc<Directory>> {
        let is_within = |dir: &Arc<Directory>| key.as_str().starts_with(dir.key.as_str());
        while self.open.pop_if(|dir| !is_within(dir)).is_some() {}
        if let Some(path) = key.marked()
            && self.open.last().is_none_or(|dir| dir.key != *key)
        {
            let (above, done) = (self.open.last().cloned(), self.done.clone());
            let finish = OnceLock::new();
            self.open.push(Arc::new(Directory { key: key.clone(), path, finish, done, _above: above }));
        }
        self.open.last().cloned()
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
        if let Some(finish) = self.finish.get() {
            // nobody waits for it when the restore was broken off
            let _ = self.done.send((self.key.clone(), self.path.clone(), finish.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_done_when_nobody_is_at_work_below_it() {
        let (mut all, mut done) = Directories::new();
        let mut come = |key: &str| all.come_to(&Key::raw(key));
        let mut told = || {
            std::iter::from_fn(|| done.try_recv().ok()).map(|(key, ..)| key.to_string()).collect::<Vec<_>>()
        };
        assert!(come("a").is_none());
        come("d/").expect("itself").gets(Finish::default());
        let file = come("d/f").expect("the directory");
        come("d/s/").expect("itself").gets(Finish::default());
        let deep = come("d/s/x/y").expect("the nearest that has a marker");
        drop(come("d/z"));
        assert_eq!(told(), [""; 0], "y is under way");
        drop(deep);
        assert_eq!(told(), ["d/s/"]);
        drop(come("e/"));
        assert_eq!(told(), [""; 0], "f is under way");
        drop(file);
        assert_eq!(told(), ["d/"]);
        drop(all);
        assert_eq!(told(), [""; 0], "nobody said what e is to get");
    }
}
