//! The disk: files of a few blocks that are written in place, with a coarse clock. `change` says what may be done to it,
//! `tree` and `walk` how it is seen.

use super::world::TICK;
use s3mirrord::{
    local::Notice,
    model::{Absence, Attributes, Fingerprint, Instead, Local, LocalMeta, RelPath, RootId, Skip, Stamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::sync::mpsc;

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

impl Disk {
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
                let mut ancestor = p.parent().unwrap_or_else(RelPath::root);
                while !self.is_directory(&ancestor) {
                    ancestor = ancestor.parent().unwrap();
                }
                let instead = self.is_directory(p).then_some(Instead::Directory);
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
