//! The law: what is checked at the moment at which an object comes or goes (promises I2, I3 and I4).

use super::{
    bucket::{Object, sha256},
    world::World,
};
use s3mirrord::{
    local::Prune,
    model::{Checksum, Class, Condemned, ETag, Fault, Key, Overwrite, RelPath, RemoteMeta, Spec},
};
use std::time::Duration;

/// Whoever was told something may act on it for as long: the time of a request.
pub const JUST: Duration = Duration::from_millis(300);
/// A clone is sent for as long after its file was seen.
const FROZEN: Duration = Duration::from_secs(20);
/// A page of deletes was judged at most so long ago.
const JUDGED: Duration = Duration::from_secs(10);

/// Seconds that a replacement takes at most, from when it was judged.
const SLOW: i64 = 20;

/// What the operator wants of this life.
#[derive(Clone, Default)]
pub struct Law {
    /// Objects whose file is gone stay.
    pub keep: bool,
    /// What is left out.
    pub prune: Prune,
    /// Another instance holds the prefix: nothing may be written.
    pub forbidden: bool,
}

impl World {
    /// An object becomes visible: I3 and I4 are checked here.
    pub fn shelve(&mut self, key: &Key, body: Vec<u8>, parts: bool, spec: Option<&Spec>) -> RemoteMeta {
        let etag = self.etag(&body, parts);
        if let Some(path) = key.path() {
            self.may_come(key, &path, &body);
            self.replaces(key, &body);
            self.overwrites(key, &body);
        } else if !key.is_reserved() && key.trash_name().is_none() {
            self.broke(format!("I4: {key} was written, though no file can have it"));
        }
        self.may_write(key);
        match self.shelf.late && self.shelf.objects.get(key).is_some_and(|o| o.etag == etag) {
            true => self.shelf.put_back.insert(key.clone()),
            false => self.shelf.put_back.remove(key),
        };
        let composite = || body.chunks(self.shelf.part as usize).flat_map(sha256).collect::<Vec<u8>>();
        let checksum = match parts {
            true => Checksum::Sha256OfParts(sha256(&composite())),
            false => Checksum::Sha256(sha256(&body)),
        };
        let object = Object {
            modified: self.server_time(),
            checksum: self.shelf.checksums.then_some(checksum),
            etag: etag.clone(),
            own: spec.map(|s| s.own.clone()),
            sha256: spec.and_then(|s| s.sha256).or((!parts && spec.is_some()).then(|| sha256(&body))),
            part_size: spec.and_then(|s| s.part_size).or(parts.then_some(self.shelf.part)),
            mtime: spec.map(|s| s.mtime),
            attributes: spec.map(|s| s.attributes),
            extra: spec.map(|s| s.extra.clone()).unwrap_or_default(),
            body,
        };
        // nobody is told of what lands late
        if !self.shelf.late {
            self.shelf.confirmed.remove(key);
        }
        self.shelf.taken.remove(key);
        if let Some(ours) = self.shelf.objects.get(key).filter(|o| self.shelf.foreign.get(key) != Some(o)) {
            self.shelf.former.insert(key.clone(), ours.clone());
        }
        self.log(format_args!("bucket: {key} is {etag:?} with {:?}", object.attributes.map(|a| a.mode)));
        let size = object.body.len() as u64;
        self.put_object(key, Some(object));
        RemoteMeta { size, etag, modified: None }
    }

    fn may_come(&mut self, key: &Key, path: &RelPath, body: &[u8]) {
        let was = self.disk.past.get(path).is_some_and(|past| past.contains(body));
        if !was {
            self.broke(format!("I3: {key} became something its file never was"));
        }
        let had = self.shelf.objects.get(key);
        let (foreign, replaced) = (had.is_some() && self.shelf.foreign.get(key) == had, had.is_some());
        // what lands late was right when it was sent
        if self.shelf.late {
            return;
        }
        let (now, ago) = (self.now(), if self.disk.clones { FROZEN } else { JUST });
        let gone = !self.disk.files.contains_key(path)
            && self.disk.vanished.get(path).is_none_or(|at| now - *at > ago);
        if foreign && gone {
            self.broke(format!("I4: {key} is foreign, has no file, and was replaced"));
        }
        // what was open before is the true root's still
        let opened = self.disk.opened_at.get(path).is_some_and(|at| *at > self.disk.root_changed);
        // between the HEAD and the PUT of a store without conditions
        let unseen = !self.shelf.can.conditional_put
            && self.shelf.arrived.get(key).is_some_and(|at| now - *at <= JUST);
        if self.another_root() && replaced && opened && !unseen {
            self.broke(format!("I2: {key} was replaced by what another root holds"));
        }
        if self.law.prune.excludes(path, false) {
            self.broke(format!("I4: {key} is excluded and was written"));
        }
    }

    /// Another instance may hold the prefix.
    fn may_write(&mut self, key: &Key) {
        if self.law.forbidden && !self.shelf.late {
            self.broke(format!("I4: {key} was written or deleted while another instance holds the prefix"));
        }
    }

    /// An object goes: I2 and I4 are checked here.
    fn unshelve(&mut self, key: &Key) {
        let Some(gone) = self.put_object(key, None) else { return };
        self.log(format_args!("bucket: {key} is gone"));
        if self.shelf.foreign.get(key) != Some(&gone) {
            self.shelf.former.insert(key.clone(), gone.clone());
        }
        if key.trash_name().is_some() {
            return self.untrash(key, &gone);
        }
        let Some(path) = key.path() else {
            if !key.is_reserved() {
                self.broke(format!("I4: {key} was deleted, though no file can have it"));
            }
            return;
        };
        let now = self.now();
        let just = |at: Option<&Duration>| at.is_some_and(|at| now - *at <= JUST);
        // between the HEAD and the DELETE of a store without conditions
        let unseen = !self.shelf.can.conditional_delete && just(self.shelf.arrived.get(key));
        let adopted = self.disk.past.get(&path).is_some_and(|past| past.contains(&gone.body));
        if self.shelf.foreign.get(key) == Some(&gone) && !adopted && !unseen {
            self.broke(format!("I4: {key} is foreign and was deleted"));
        }
        // a request that takes effect long after its sender gave up was right when it was sent
        if self.shelf.late {
            return;
        }
        self.may_write(key);
        let there = self.disk.files.contains_key(&path) || self.disk.links.contains(&path);
        if there && !just(self.disk.appeared.get(&path)) {
            self.broke(format!("I2: {key} was deleted, but its file is there"));
        }
        let mounted = self.disk.mounts.iter().find(|(dir, _)| path.is_within(dir));
        if mounted.is_some_and(|(_, since)| !just(Some(since))) {
            self.broke(format!("I2: {key} was deleted below a mount point"));
        }
        if self.law.keep || self.law.prune.excludes(&path, false) {
            self.broke(format!("I2: {key} was deleted, and is to be kept"));
        }
        match self.disk.found_absent.get(&path).map(|at| now - *at) {
            Some(ago) if ago >= self.shelf.grace => {}
            ago => self.broke(format!("I2: {key} was deleted, first found absent {ago:?} ago")),
        }
        if self.another_root() {
            self.broke(format!("I2: {key} was deleted under another root"));
        }
        if !unseen {
            self.went(key, &gone);
        }
    }

    /// Deletes an object that has this tag, or any.
    pub fn remove_object(&mut self, key: &Key, etag: Option<&ETag>) -> Result<(), Fault> {
        match (self.shelf.objects.get(key), etag) {
            (Some(o), Some(etag)) if o.etag != *etag => {
                return Err(Fault::new(Class::Changed, "delete", "412"));
            }
            (Some(_), _) => {
                self.spend(key);
                self.unshelve(key);
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// The wall clock, and as it was when what happens now was judged: it may have jumped since.
    fn clocks(&self) -> [i64; 2] {
        let (at, jump) = self.jumped;
        let back = if self.now() - at <= JUDGED { jump } else { 0 };
        [self.clock(), self.clock() - back]
    }

    /// I2 is checked here, before an object goes: what the budget's window holds already, what is gone and not yet
    /// written down, and this one.
    fn spend(&mut self, key: &Key) {
        let Some((most, window)) = self.shelf.budget.filter(|_| !self.shelf.late) else { return };
        let costs = |row: &&Condemned| row.costs();
        let rows = self.book.condemned.values().filter(costs);
        let (this, others): (Vec<_>, Vec<_>) = rows.partition(|row| row.key == *key);
        let gone = |key: &Key| !self.shelf.objects.contains_key(key) && !self.shelf.taken.contains(key);
        let unwritten = others.iter().filter(|row| gone(&row.key)).count() as u64;
        let since = |clock: i64| (clock - window).div_euclid(60);
        let done = self.clocks().map(|clock| self.book.window(since(clock)).0);
        let done = done[0].min(done[1]);
        if !this.is_empty() && done + unwritten + 1 > most {
            self.broke(format!("I2: {key} was deleted after {done} and {unwritten} others, of {most}"));
        }
    }

    /// Other objects that were replaced within the window. What was judged then may have taken its time.
    fn replaced_beside(&self, key: &Key, window: i64) -> u64 {
        let since = self.clocks().map(|clock| clock - window + SLOW);
        let others = |since: i64| {
            self.shelf.replaced.iter().filter(|(k, at)| *k != key && **at > since).count() as u64
        };
        since.map(others).into_iter().min().unwrap_or(0)
    }

    /// A replacement is about to be counted that was not yet within its window.
    pub fn admit(&mut self, key: &Key) {
        if let Some((_, window)) = self.shelf.overwrite_budget {
            let others = self.replaced_beside(key, window);
            self.shelf.admitted.insert(key.clone(), others);
        }
    }

    /// I2 is checked here, before an object is replaced: how many others were within the window, whatever was made of it.
    fn overwrites(&mut self, key: &Key, body: &[u8]) {
        let late = self.shelf.late || !self.shelf.can.conditional_put;
        let Some((most, window)) = self.shelf.overwrite_budget.filter(|_| !late) else { return };
        let Some(old) = self.shelf.objects.get(key).filter(|old| old.body != body) else { return };
        let approved = |row: &Overwrite| row.key == *key && row.etag == old.etag && row.approved;
        if self.book.overwrites.values().any(approved) {
            return;
        }
        // what was counted when there were fewer may go: the clock may have jumped since
        let since = (self.clock() - window).div_euclid(60);
        let counted = self.book.counted.get(key).is_some_and(|minute| *minute >= since);
        let admitted = self.shelf.admitted.get(key).copied().filter(|_| counted);
        let others = self.replaced_beside(key, window).min(admitted.unwrap_or(u64::MAX));
        if others >= most {
            self.broke(format!("I2: {key} was replaced after {others} others, of {most}"));
        }
        // counted before it was sent, by the clock of then
        let [now, before] = self.clocks();
        self.shelf.replaced.insert(key.clone(), now.min(before));
    }
}
