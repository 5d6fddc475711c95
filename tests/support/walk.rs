//! The fake of a walk: name by name, each as it is when it is come to.

use super::{disk::LINK, world::Fake};
use s3mirrord::{
    local::{Entry, Prune},
    model::{Absence, Instead, Key, Local, RelPath, Scope, Skip},
};
use std::collections::{BTreeSet, VecDeque};

pub struct Walk {
    world: Fake,
    scope: Scope,
    prune: Prune,
    /// What is yet to be come to: what is there now, and what was there once and may be back.
    names: VecDeque<(Key, RelPath)>,
    /// The last key that was told.
    last: Option<Key>,
    /// Places that cannot be read, as was told.
    covers: BTreeSet<Key>,
    /// A directory that this walk cannot read.
    stale: Option<RelPath>,
}

impl Walk {
    pub fn begin(world: Fake, scope: Scope, prune: Prune) -> Self {
        let mut names: Vec<(Key, RelPath)> = world.with(|w| {
            let disk = &w.disk;
            let all = disk.files.keys().chain(&disk.links).chain(disk.past.keys());
            let mut names: Vec<_> =
                all.filter(|p| p.is_within(scope.path())).map(|p| (shown(&scope, p), p.clone())).collect();
            if disk.kinds.directories {
                let dirs = names.iter().flat_map(|(_, p)| std::iter::successors(p.parent(), RelPath::parent));
                let own = |dir: &RelPath| !matches!(scope, Scope::Children(_)) || dir == scope.path();
                let dirs = dirs.filter(|dir| !dir.is_root() && dir.is_within(scope.path()) && own(dir));
                let dirs: Vec<_> = dirs.map(|dir| (Key::directory(&dir), dir)).collect();
                names.extend(dirs);
            }
            names
        });
        names.sort();
        names.dedup();
        let mut walk = Self {
            world,
            scope,
            prune,
            names: names.into(),
            last: None,
            covers: BTreeSet::new(),
            stale: None,
        };
        if walk.world.strikes("readdir EIO", 25) {
            // half of the root was read when it failed
            walk.names.truncate(walk.names.len() / 2);
            walk.covers.insert(Key::directory(walk.scope.path()));
        }
        if walk.world.strikes("readdir ESTALE", 25) {
            let n = walk.world.draw(walk.names.len() as u64 + 1) as usize;
            let dir = walk.names.get(n).and_then(|(_, p)| p.parent());
            walk.stale = dir.filter(|dir| dir != walk.scope.path() && dir.is_within(walk.scope.path()));
        }
        walk
    }

    pub async fn next(mut self) -> Option<(Entry, Self)> {
        if self.last.is_none()
            && let Some(broken) = self.covers.first().cloned()
        {
            self.last = Some(broken.clone());
            return Some(((broken, Local::Unknown), self));
        }
        while let Some((key, path)) = self.names.pop_front() {
            if self.world.draw(6) == 0 {
                self.world.lag(2).await;
            }
            if let Some((key, local)) = self.entry(key, &path)
                && self.last.as_ref().is_none_or(|last| *last < key)
            {
                self.last = Some(key.clone());
                return Some(((key, local), self));
            }
        }
        None
    }

    fn entry(&mut self, key: Key, path: &RelPath) -> Option<Entry> {
        let of_directory = key.marked().as_ref() == Some(path);
        let there = self.world.with(|w| match w.disk.files.get(path) {
            _ if of_directory => {
                w.disk.directories().contains(path).then(|| Local::Present(w.disk.directory(path)))
            }
            Some(file) => Some(Local::Present(file.meta())),
            None => w.disk.links.contains(path).then_some(Local::Skipped(Skip::Link)),
        })?;
        if let Some(mount) = self.mounted(path) {
            let place = Key::directory(&mount);
            // it was mounted while what it covers was being read
            if self.last.as_ref().is_some_and(|last| *last >= place) && !self.covers.contains(&place) {
                return Some((key, Local::Skipped(Skip::Mount)));
            }
            return self.covers.insert(place.clone()).then_some((place, Local::Skipped(Skip::Mount)));
        }
        if let Some(closed) = self.closed(path, of_directory) {
            let place = Key::directory(&closed);
            if self.covers.contains(&place) {
                return None;
            }
            // it was closed while it was being read
            if self.last.as_ref().is_some_and(|last| *last >= place) {
                return Some((key, Local::Unknown));
            }
            self.covers.insert(place.clone());
            return Some((place, Local::Unknown));
        }
        let linked = match &there {
            Local::Present(meta) if meta.attributes.mode == LINK => path.linked(),
            _ => None,
        };
        if self.prune.excludes(linked.as_ref().unwrap_or(path), of_directory) {
            return None;
        }
        match &self.scope {
            Scope::Children(dir) if !of_directory && path.parent().as_ref() != Some(dir) => Some((
                key,
                Local::Absent(Absence { ancestor: dir.clone(), instead: Some(Instead::Directory) }),
            )),
            _ => Some((key, there)),
        }
    }

    /// The uppermost directory of the path that cannot be read.
    fn closed(&self, path: &RelPath, of_directory: bool) -> Option<RelPath> {
        self.world.with(|w| {
            let first = if of_directory { Some(path.clone()) } else { path.parent() };
            let above = std::iter::successors(first, RelPath::parent);
            let shut = |dir: &RelPath| w.disk.closed.contains(dir) || self.stale.as_ref() == Some(dir);
            above.filter(|dir| shut(dir) && dir.is_within(self.scope.path())).last()
        })
    }

    /// The uppermost mount point of the path.
    fn mounted(&self, path: &RelPath) -> Option<RelPath> {
        self.world.with(|w| {
            let above = std::iter::successors(Some(path.clone()), RelPath::parent);
            above.filter(|dir| w.disk.mounts.contains_key(dir)).last()
        })
    }
}

/// The key under which a path is told of: its own, or that of the subdirectory it lies in.
fn shown(scope: &Scope, path: &RelPath) -> Key {
    match scope {
        Scope::Children(dir) if path.parent().as_ref() != Some(dir) => {
            let depth = dir.components().count() + 1;
            let sub: Vec<&[u8]> = path.components().take(depth).collect();
            Key::directory(&RelPath::new(&sub.join(&b'/')).unwrap())
        }
        _ => Key::of(path),
    }
}
