//! The fake of `Tree`: files of a few blocks that are written in place, with a coarse clock.

use super::{
    walk::Walk,
    world::{Fake, TICK, World},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use s3mirrord::{
    local::{Entry, Notice, Prune, Tree},
    model::{
        Absence, Attributes, Class, Fault, Fingerprint, Local, LocalMeta, RelPath, RootId, Scope, Skip,
        Source, Stamp,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::sync::mpsc;

/// Bytes of a block; what is written at once.
pub const BLOCK: usize = 8;

#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub body: Vec<u8>,
    pub mtime: i64,
    pub ctime: i64,
    pub inode: u64,
    pub mode: u32,
}

pub struct Disk {
    pub files: BTreeMap<RelPath, File>,
    /// Symbolic links.
    pub links: BTreeSet<RelPath>,
    /// Directories that cannot be read for now.
    pub closed: BTreeSet<RelPath>,
    /// Every content that each path ever had.
    pub past: BTreeMap<RelPath, BTreeSet<Vec<u8>>>,
    /// When each path last appeared.
    pub appeared: BTreeMap<RelPath, Duration>,
    /// When a look first found a path absent, in this life.
    pub found_absent: BTreeMap<RelPath, Duration>,
    pub root: RootId,
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
    /// Its clock can be read.
    pub shows_clock: bool,
    /// Is rewritten just before it is looked at and again just after it is read, for as long as the clock does not tick.
    pub hasty: Option<RelPath>,
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
            past: BTreeMap::new(),
            appeared: BTreeMap::new(),
            found_absent: BTreeMap::new(),
            root: RootId { inode: 2, filesystem: Some("fs".into()) },
            truth: RootId { inode: 2, filesystem: Some("fs".into()) },
            elsewhere: Default::default(),
            bound: None,
            missing: false,
            root_changed: Duration::ZERO,
            inode: 100,
            watch: None,
            shows_clock: true,
            hasty: None,
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
        p.is_root() || self.files.keys().chain(&self.links).any(|f| f != p && f.is_within(p))
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

    fn link_above(&self, p: &RelPath) -> bool {
        self.links.iter().any(|link| p != link && p.is_within(link))
    }

    fn local(&self, p: &RelPath) -> Local {
        if self.closed_above(p) {
            return Local::Unknown;
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
                Local::Absent(Absence { ancestor, directory: self.is_directory(p) })
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

impl World {
    /// Makes the path free for a file: a file or link above it goes, and what lies below it.
    fn clear(&mut self, p: &RelPath) {
        let in_the_way: Vec<RelPath> = (self.disk.files.keys().chain(&self.disk.links))
            .filter(|f| *f != p && (f.is_within(p) || p.is_within(f)))
            .cloned()
            .collect();
        in_the_way.iter().for_each(|f| self.remove(f));
        self.disk.links.remove(p);
    }

    /// Writes one block in place, making the file if need be.
    pub fn write(&mut self, p: &RelPath, block: usize, text: u64) {
        if !self.disk.files.contains_key(p) {
            self.clear(p);
            self.disk.inode += 1;
            let file = File { body: vec![], mtime: 0, ctime: 0, inode: self.disk.inode, mode: 0o100_644 };
            self.put_file(p, file);
        }
        let tick = self.tick();
        let file = self.disk.files.get_mut(p).unwrap();
        let end = (block + 1) * BLOCK;
        if file.body.len() < end {
            file.body.resize(end, 0);
        }
        file.body[block * BLOCK..end].copy_from_slice(&text.to_le_bytes());
        (file.mtime, file.ctime) = (tick, tick);
        self.remember(p);
        self.log(format_args!("disk: {p} block {block} written"));
    }

    pub fn truncate(&mut self, p: &RelPath, blocks: usize) {
        let tick = self.tick();
        if let Some(file) = self.disk.files.get_mut(p) {
            file.body.truncate(blocks * BLOCK);
            (file.mtime, file.ctime) = (tick, tick);
            self.remember(p);
            self.log(format_args!("disk: {p} truncated"));
        }
    }

    pub fn chmod(&mut self, p: &RelPath, mode: u32) {
        let tick = self.tick();
        if let Some(file) = self.disk.files.get_mut(p) {
            (file.mode, file.ctime) = (0o100_000 | mode, tick);
            self.log(format_args!("disk: {p} chmod {mode:o}"));
        }
    }

    /// Atomic save: a new inode with this content takes the name.
    pub fn replace(&mut self, p: &RelPath, body: Vec<u8>) {
        self.clear(p);
        self.disk.inode += 1;
        let (tick, inode) = (self.tick(), self.disk.inode);
        self.put_file(p, File { body, mtime: tick, ctime: tick, inode, mode: 0o100_644 });
        self.log(format_args!("disk: {p} replaced"));
    }

    /// mtime travels, ctime does not.
    pub fn rename(&mut self, from: &RelPath, to: &RelPath) {
        if from == to || to.is_within(from) || from.is_within(to) {
            return;
        }
        if let Some(mut file) = self.disk.files.get(from).cloned() {
            self.clear(to);
            self.remove(from);
            file.ctime = self.tick();
            self.put_file(to, file);
            self.log(format_args!("disk: {from} renamed to {to}"));
        }
    }

    pub fn link(&mut self, p: &RelPath) {
        self.clear(p);
        self.remove(p);
        let now = self.now();
        self.disk.appeared.insert(p.clone(), now);
        self.disk.links.insert(p.clone());
        self.log(format_args!("disk: {p} is a link now"));
    }

    fn put_file(&mut self, p: &RelPath, file: File) {
        if self.disk.files.insert(p.clone(), file).is_none() {
            let now = self.now();
            self.disk.appeared.insert(p.clone(), now);
        }
        self.remember(p);
    }

    pub fn remove(&mut self, p: &RelPath) {
        self.disk.links.remove(p);
        if self.disk.files.remove(p).is_some() {
            self.log(format_args!("disk: {p} removed"));
        }
    }

    /// Another file system is mounted on the root, or the true one is seen again.
    pub fn swap_root(&mut self) {
        let now = self.now();
        let other = RootId { filesystem: Some("other".into()), ..self.disk.truth.clone() };
        self.disk.root = if self.disk.root == self.disk.truth { other } else { self.disk.truth.clone() };
        self.disk.root_changed = now;
        let (files, links) = std::mem::take(&mut self.disk.elsewhere);
        let gone = std::mem::replace(&mut self.disk.files, files);
        let gone_links = std::mem::replace(&mut self.disk.links, links);
        let all = gone.keys().chain(&gone_links).chain(self.disk.files.keys()).chain(&self.disk.links);
        for p in all.cloned().collect::<BTreeSet<_>>() {
            let here = self.disk.files.contains_key(&p) || self.disk.links.contains(&p);
            if here && !gone.contains_key(&p) && !gone_links.contains(&p) {
                self.disk.appeared.insert(p.clone(), now);
            }
            if self.disk.files.contains_key(&p) {
                self.remember(&p);
            }
        }
        self.disk.elsewhere = (gone, gone_links);
        let root = self.disk.root.clone();
        self.log(format_args!("disk: the root is {root:?}"));
    }

    /// The root is gone or another, and was so for longer than a request is on its way.
    pub fn another_root(&self) -> bool {
        let another = self.disk.missing || self.disk.root != self.disk.truth;
        another && self.now() - self.disk.root_changed > Duration::from_millis(300)
    }

    /// A file comes to be at this path as it was before, as when its directory is renamed: even its ctime is the same.
    pub fn bring(&mut self, p: &RelPath, file: File) {
        self.clear(p);
        self.put_file(p, file);
        self.log(format_args!("disk: {p} is back"));
    }

    fn remember(&mut self, p: &RelPath) {
        let body = self.disk.files[p].body.clone();
        self.disk.past.entry(p.clone()).or_default().insert(body);
    }
}

/// An open file: of an inode, wherever its name goes.
pub struct Open {
    world: Fake,
    inode: u64,
    first: LocalMeta,
    /// What a clone holds.
    frozen: Option<Vec<u8>>,
}

impl Open {
    fn file(&self) -> Result<File, Fault> {
        self.world
            .with(|w| w.disk.files.values().find(|f| f.inode == self.inode).cloned())
            .ok_or_else(|| Fault::new(Class::Changed, "read", "deleted meanwhile"))
    }
}

impl Source for Open {
    async fn stat(&self) -> Result<LocalMeta, Fault> {
        self.world.lag(1).await;
        if self.frozen.is_some() || self.world.with(|w| w.disk.frozen_stat) {
            return Ok(self.first);
        }
        Ok(self.file()?.meta())
    }

    /// Block by block, so that a write may come in between.
    async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
        let mut out = vec![];
        while out.len() < len {
            self.world.lag(10).await;
            self.world.fault("EIO", 60, Class::Transient)?;
            let body = match &self.frozen {
                Some(body) => body.clone(),
                None => self.file()?.body,
            };
            let from = (at as usize + out.len()).min(body.len());
            let to = (from + BLOCK.min(len - out.len())).min(body.len());
            if from == to {
                break;
            }
            out.extend_from_slice(&body[from..to]);
        }
        self.world.with(|w| {
            let hasty = w.disk.hasty.clone();
            if let Some((p, file)) = hasty.and_then(|p| Some((p.clone(), w.disk.files.get(&p)?.clone())))
                && file.inode == self.inode
                && file.mtime == w.tick()
            {
                w.write(&p, 0, 0xBAD);
            }
        });
        Ok(out.into())
    }
}

impl Fake {
    fn root_ok(&self) -> Result<(), Fault> {
        self.with(|w| {
            let gone = w.disk.missing || w.disk.bound.as_ref().is_some_and(|bound| *bound != w.disk.root);
            if gone {
                Err(Fault::new(Class::Fatal, "open the root", "it is gone or another"))
            } else {
                Ok(())
            }
        })
    }
}

impl Tree for Fake {
    type File = Open;

    async fn root(&self) -> Result<(RootId, Duration), Fault> {
        self.lag(1).await;
        self.with(|w| w.disk.bound = None);
        self.root_ok()?;
        Ok((self.with(|w| w.disk.root.clone()), TICK))
    }

    fn bind(&self, root: &RootId) {
        self.with(|w| w.disk.bound = Some(root.clone()));
    }

    fn ticked(&self, time: Stamp) -> bool {
        self.with(|w| w.disk.shows_clock && w.tick() > time.sec)
    }

    fn walk(
        &self,
        scope: &Scope,
        prune: Prune,
    ) -> impl Stream<Item = Result<Vec<Entry>, Fault>> + Send + use<> {
        let me = self.clone();
        let begin = Walk::begin(self.clone(), scope.clone(), prune);
        stream::once(async move {
            me.lag(5).await;
            me.root_ok()?;
            Ok(stream::unfold(begin, Walk::next).map(|entry| Ok(vec![entry])))
        })
        .map(|begun| match begun {
            Ok(entries) => entries.left_stream(),
            Err(fault) => stream::iter([Err(fault)]).right_stream(),
        })
        .flatten()
    }

    async fn look(&self, paths: Vec<RelPath>) -> Result<Vec<Local>, Fault> {
        self.lag(2).await;
        self.root_ok()?;
        if let Some(p) = self.with(|w| w.disk.hasty.clone()).filter(|p| paths.contains(p)) {
            let into = self.with(|w| w.now().as_millis() % TICK.as_millis()) as u64;
            tokio::time::sleep(TICK - Duration::from_millis(into)).await;
            self.with(|w| w.write(&p, 0, 0x600D));
        }
        Ok(self.with(|w| {
            paths
                .iter()
                .map(|p| {
                    let local = w.disk.local(p);
                    if matches!(local, Local::Absent(_)) {
                        let now = w.now();
                        w.disk.found_absent.entry(p.clone()).or_insert(now);
                        w.disk.believed_absent.insert(p.clone());
                    } else if w.disk.absent_for_good && w.disk.believed_absent.contains(p) {
                        return Local::Absent(Absence { ancestor: RelPath::root(), directory: false });
                    }
                    if w.strikes("stat EIO", 80) { Local::Unknown } else { local }
                })
                .collect()
        }))
    }

    async fn open(&self, p: &RelPath) -> Result<Open, Fault> {
        self.lag(1).await;
        self.root_ok()?;
        self.fault("EMFILE", 80, Class::Transient)?;
        self.with(|w| w.disk.opened += 1);
        self.with(|w| match w.disk.local(p) {
            Local::Present(first) => {
                Ok(Open { world: self.clone(), inode: first.print.inode, first, frozen: None })
            }
            Local::Unknown => Err(Fault::new(Class::Permanent, "open", "EACCES")),
            _ => Err(Fault::new(Class::Missing, "open", "ENOENT")),
        })
    }

    /// The content may be younger than the look at the file, and the name lead elsewhere by then.
    async fn snapshot(&self, open: &Open) -> Option<(Open, LocalMeta)> {
        let first = open.file().ok()?.meta();
        self.lag(40).await;
        let body = open.file().ok()?.body;
        let may = self.with(|w| w.disk.clones && !w.strikes("no room for a clone", 30));
        if !may || body.len() as u64 != first.print.size {
            return None;
        }
        self.with(|w| w.disk.cloned += 1);
        Some((Open { world: self.clone(), inode: first.print.inode, first, frozen: Some(body) }, first))
    }

    fn watch(&self, _: Prune) -> impl Stream<Item = Notice> + Send + use<> {
        let rx = self.with(|w| w.disk.watch.take().unwrap());
        let armed = stream::once(async { Notice::Armed });
        armed.chain(stream::unfold(rx, |mut rx| async { rx.recv().await.map(|n| (n, rx)) }))
    }
}
