//! The disk: files of a few blocks that are written in place, with a coarse clock. `change` says what may be done to it,
//! `tree` and `walk` how it is seen.

use super::world::TICK;
use s3mirrord::{
    local::{Kinds, Notice},
    model::{Absence, Attributes, Fingerprint, Instead, Local, LocalMeta, RelPath, RootId, Skip, Stamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::sync::mpsc;

/// The mode of a link.
pub const LINK: u32 = 0o120_777;

/// Bytes of a block; what is written at once.
pub const BLOCK: usize = 8;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    pub body: Vec<u8>,
    pub mtime: i64,
    pub ctime: i64,
    pub inode: u64,
    pub mode: u32,
    /// What a reader may have taken it for since stat showed a change: contents that silent writes made, and mixtures.
    pub mixtures: Vec<Vec<u8>>,
}

pub struct Disk {
    /// What is mirrored beside regular files. A link that is, is a file of the name that its object has.
    pub kinds: Kinds,
    pub files: BTreeMap<RelPath, File>,
    /// Symbolic links.
    pub links: BTreeSet<RelPath>,
    /// Directories that cannot be read for now.
    pub closed: BTreeSet<RelPath>,
    /// Directories that another file system is mounted on, and since when.
    pub mounts: BTreeMap<RelPath, Duration>,
    /// Every content that each path ever had.
    pub past: BTreeMap<RelPath, BTreeSet<Vec<u8>>>,
    /// When each path last appeared.
    pub appeared: BTreeMap<RelPath, Duration>,
    /// When each path last went.
    pub vanished: BTreeMap<RelPath, Duration>,
    /// When a look first found a path absent, in this life.
    pub found_absent: BTreeMap<RelPath, Duration>,
    pub root: RootId,
    /// What takes turns with it.
    pub spare: RootId,
    /// The root that was there when the prefix was claimed: what is mounted in its place is another.
    pub truth: RootId,
    /// What lies in the other root, or in the true one while the other is mounted in its place.
    pub elsewhere: (BTreeMap<RelPath, File>, BTreeSet<RelPath>),
    pub bound: Option<RootId>,
    pub missing: bool,
    /// When the root was last taken away, swapped, or given back.
    pub root_changed: Duration,
    pub inode: u64,
    pub watch: Option<mpsc::Receiver<Notice>>,
    /// One tick of its clock.
    pub step: Duration,
    /// Its clock can be read.
    pub shows_clock: bool,
    /// Is rewritten just before it is looked at and again just after it is read, for as long as the clock does not tick.
    pub hasty: Option<RelPath>,
    /// When each path was last opened.
    pub opened_at: BTreeMap<RelPath, Duration>,
    /// How often a file was opened.
    pub opened: u64,
    /// Files can be cloned.
    pub clones: bool,
    /// How often one was.
    pub cloned: u64,
    /// Sabotage: `fstat` of an open file keeps saying what it said first.
    pub frozen_stat: bool,
    /// Sabotage: what was once seen absent, or had an event, is said to be absent.
    pub absent_for_good: bool,
    pub believed_absent: BTreeSet<RelPath>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            kinds: Kinds::default(),
            files: BTreeMap::new(),
            links: BTreeSet::new(),
            closed: BTreeSet::new(),
            mounts: BTreeMap::new(),
            past: BTreeMap::new(),
            appeared: BTreeMap::new(),
            vanished: BTreeMap::new(),
            found_absent: BTreeMap::new(),
            root: RootId { inode: 2, filesystem: Some("fs".into()) },
            spare: RootId { inode: 2, filesystem: Some("other".into()) },
            truth: RootId { inode: 2, filesystem: Some("fs".into()) },
            elsewhere: Default::default(),
            bound: None,
            missing: false,
            root_changed: Duration::ZERO,
            inode: 100,
            watch: None,
            step: TICK,
            shows_clock: true,
            hasty: None,
            opened_at: BTreeMap::new(),
            opened: 0,
            clones: false,
            cloned: 0,
            frozen_stat: false,
            absent_for_good: false,
            believed_absent: BTreeSet::new(),
        }
    }
}

pub fn path(s: &str) -> RelPath {
    RelPath::new(s.as_bytes()).unwrap()
}

/// Under this name it is kept, in maps of paths, when the marker of a directory came and went.
pub fn marker(dir: &RelPath) -> RelPath {
    dir.join(b"the marker").unwrap()
}

impl Disk {
    /// The link at the path, or above it, that is stored.
    pub fn stored_link(&self, p: &RelPath) -> Option<RelPath> {
        let is_link = |p: &RelPath| self.files.get(&p.link_name()).is_some_and(|file| file.mode == LINK);
        std::iter::successors(Some(p.clone()), RelPath::parent).filter(|p| !p.is_root()).find(is_link)
    }

    /// All directories but the root.
    pub fn directories(&self) -> BTreeSet<RelPath> {
        let above = |p: &RelPath| std::iter::successors(p.parent(), RelPath::parent).collect::<Vec<_>>();
        let all = self.files.keys().chain(&self.links).flat_map(above);
        all.filter(|dir| !dir.is_root()).collect()
    }

    /// A directory, as stat shows it: its time is that of the last that came or went below it.
    pub fn directory(&self, dir: &RelPath) -> LocalMeta {
        let times = self.appeared.iter().chain(&self.vanished).filter(|(p, _)| *p != dir && p.is_within(dir));
        let last = times.map(|(_, at)| *at).max().unwrap_or_default();
        let tick = Stamp { sec: (last.as_millis() / self.step.as_millis()) as i64, nsec: 0 };
        let inode =
            1_000_000 + dir.as_bytes().iter().fold(0, |sum: u64, b| sum * 31 % 1_000_003 + u64::from(*b));
        let print = Fingerprint { size: 0, mtime: tick, ctime: tick, inode };
        LocalMeta { print, attributes: Attributes { mode: 0o040_755, uid: 0, gid: 0 } }
    }

    /// What a look at the marker of a directory shows.
    pub fn local_directory(&self, dir: &RelPath) -> Local {
        if self.closed_above(dir) {
            return Local::Unknown;
        }
        if self.mounted_above(dir) {
            return Local::Skipped(Skip::Mount);
        }
        if self.links.contains(dir) || self.link_above(dir) {
            return Local::Skipped(Skip::Link);
        }
        match self.is_directory(dir) {
            true if self.kinds.directories => Local::Present(self.directory(dir)),
            true => Local::Skipped(Skip::Excluded),
            false => Local::Absent(Absence { ancestor: self.existing(dir), instead: None }),
        }
    }

    /// The nearest directory above it that is there.
    fn existing(&self, p: &RelPath) -> RelPath {
        let mut ancestor = p.parent().unwrap_or_else(RelPath::root);
        while !self.is_directory(&ancestor) {
            ancestor = ancestor.parent().unwrap();
        }
        ancestor
    }

    pub fn is_directory(&self, p: &RelPath) -> bool {
        let mut all = self.files.keys().chain(&self.links).chain(self.mounts.keys());
        p.is_root() || self.mounts.contains_key(p) || all.any(|f| f != p && f.is_within(p))
    }

    fn closed_above(&self, p: &RelPath) -> bool {
        let mut at = p.parent();
        while let Some(dir) = at {
            if self.closed.contains(&dir) {
                return true;
            }
            at = dir.parent();
        }
        false
    }

    /// The path is below a mount point, or is one.
    pub fn mounted_above(&self, p: &RelPath) -> bool {
        self.mounts.keys().any(|mount| p.is_within(mount))
    }

    /// A link is in its place or above it, or a mount point: it is left alone, whatever it is.
    pub fn is_skipped(&self, p: &RelPath) -> bool {
        self.mounted_above(p) || self.links.iter().any(|link| p.is_within(link))
    }

    fn link_above(&self, p: &RelPath) -> bool {
        self.links.iter().any(|link| p != link && p.is_within(link))
    }

    pub fn local(&self, p: &RelPath) -> Local {
        if self.closed_above(p) {
            return Local::Unknown;
        }
        if self.mounted_above(p) {
            return Local::Skipped(Skip::Mount);
        }
        if self.links.contains(p) || self.link_above(p) {
            return Local::Skipped(Skip::Link);
        }
        match self.files.get(p) {
            Some(file) => Local::Present(file.meta()),
            None => {
                let ancestor = self.existing(p);
                let directory = self.is_directory(p).then_some(Instead::Directory);
                let instead = self.stored_link(p).map(|_| Instead::Link).or(directory);
                Local::Absent(Absence { ancestor, instead })
            }
        }
    }
}

impl File {
    pub fn meta(&self) -> LocalMeta {
        let stamp = |tick: i64| Stamp { sec: tick, nsec: 0 };
        let print = Fingerprint {
            size: self.body.len() as u64,
            mtime: stamp(self.mtime),
            ctime: stamp(self.ctime),
            inode: self.inode,
        };
        LocalMeta { print, attributes: Attributes { mode: self.mode, uid: 0, gid: 0 } }
    }
}
