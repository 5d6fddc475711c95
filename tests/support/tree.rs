//! The fake of `Tree`: an open file, a look, a walk, and what a watcher tells.

use super::{
    disk::{BLOCK, File, marker},
    walk::Walk,
    world::Fake,
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use s3mirrord::{
    local::{Entry, Notice, Prune, Tree},
    model::{Absence, Class, Fault, Key, Local, LocalMeta, RelPath, RootId, Scope, Source, Stamp},
};
use std::time::Duration;

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
        self.world.fault("fstat EIO", 80, Class::Transient)?;
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
            self.world.fault("read EIO", 60, Class::Transient)?;
            self.world.fault("read ESTALE", 80, Class::Transient)?;
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
            if w.strikes("root ESTALE", 1500) {
                return Err(Fault::new(Class::Fatal, "open the root", "ESTALE"));
            }
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
        Ok(self.with(|w| (w.disk.root.clone(), w.disk.step)))
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

    async fn look(&self, keys: Vec<Key>) -> Result<Vec<Local>, Fault> {
        let paths: Vec<Option<RelPath>> = keys.iter().map(Key::path).collect();
        let markers: Vec<Option<RelPath>> = keys.iter().map(Key::marked).collect();
        self.lag(2).await;
        self.root_ok()?;
        if let Some(p) =
            self.with(|w| w.disk.hasty.clone()).filter(|p| paths.iter().flatten().any(|path| path == p))
        {
            let (step, now) = self.with(|w| (w.disk.step, w.now()));
            let into = (now.as_millis() % step.as_millis()) as u64;
            tokio::time::sleep(step - Duration::from_millis(into)).await;
            self.with(|w| w.write(&p, 0, 0x600D));
        }
        Ok(self.with(|w| {
            (paths.iter().zip(&markers))
                .map(|(p, dir)| {
                    let (p, local) = match (p, dir) {
                        (Some(p), _) => (p.clone(), w.disk.local(p)),
                        (None, Some(dir)) => (marker(dir), w.disk.local_directory(dir)),
                        (None, None) => return Local::Unknown,
                    };
                    if matches!(local, Local::Absent(_)) {
                        let now = w.now();
                        w.disk.found_absent.entry(p.clone()).or_insert(now);
                        w.disk.believed_absent.insert(p.clone());
                    } else if w.disk.absent_for_good && w.disk.believed_absent.contains(&p) {
                        return Local::Absent(Absence { ancestor: RelPath::root(), instead: None });
                    }
                    let unknown = w.strikes("stat EIO", 80) || w.strikes("stat EACCES", 80);
                    if unknown { Local::Unknown } else { local }
                })
                .collect()
        }))
    }

    async fn open(&self, key: &Key) -> Result<Open, Fault> {
        let (dir, path) = (key.marked(), key.path());
        let p = &path.or_else(|| dir.as_ref().map(marker)).unwrap();
        self.lag(1).await;
        self.root_ok()?;
        self.fault("open EMFILE", 80, Class::Transient)?;
        self.fault("open ESTALE", 80, Class::Transient)?;
        self.fault("open EACCES", 80, Class::Permanent)?;
        self.with(|w| {
            let now = w.now();
            w.disk.opened += 1;
            w.disk.opened_at.insert(p.clone(), now);
        });
        let local =
            self.with(|w| dir.as_ref().map_or_else(|| w.disk.local(p), |dir| w.disk.local_directory(dir)));
        self.with(|_| match local {
            Local::Present(first) if dir.is_some() => {
                Ok(Open { world: self.clone(), inode: first.print.inode, first, frozen: Some(vec![]) })
            }
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
        let may = self.with(|w| w.disk.clones && !w.strikes("no room for a clone", 4));
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
