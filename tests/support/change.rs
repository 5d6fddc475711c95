//! What may be done to the disk: by its users, and by those who mount and swap.

use super::{
    disk::{BLOCK, File, LINK},
    world::World,
};
use s3mirrord::model::RelPath;
use std::{collections::BTreeSet, time::Duration};

/// Silent writes in a row whose mixtures are kept: their number doubles with each.
const MIXTURES: usize = 8;

impl World {
    /// What lies below a mount point is out of reach, and none is removed with what is above it.
    fn reaches(&self, p: &RelPath) -> bool {
        !self.disk.mounts.keys().any(|mount| p.is_within(mount) || mount.is_within(p))
    }

    /// Makes the path free for a file: a file or link above it goes, and what lies below it.
    fn clear(&mut self, p: &RelPath) {
        let in_the_way: Vec<RelPath> = (self.disk.files.keys().chain(&self.disk.links))
            .filter(|f| *f != p && (f.is_within(p) || p.is_within(f)))
            .cloned()
            .chain(self.disk.stored_link(p).map(|link| link.link_name()))
            .collect();
        in_the_way.iter().for_each(|f| self.remove(f));
        self.disk.links.remove(p);
    }

    /// Writes one block in place, making the file if need be.
    pub fn write(&mut self, p: &RelPath, block: usize, text: u64) {
        if !self.reaches(p) {
            return;
        }
        if !self.disk.files.contains_key(p) {
            self.clear(p);
            self.disk.inode += 1;
            let file = File { inode: self.disk.inode, mode: 0o100_644, ..File::default() };
            self.put_file(p, file);
        }
        self.change(p, |file| write_block(&mut file.body, block, text));
        self.log(format_args!("disk: {p} block {block} written"));
    }

    /// What a store through mmap to a dirty page does: the content changes, and nothing that stat shows.
    pub fn write_silently(&mut self, p: &RelPath, block: usize, text: u64) {
        let Some(file) = self.disk.files.get(p).filter(|file| file.body.len() >= (block + 1) * BLOCK) else {
            return;
        };
        if !self.reaches(p) || file.mixtures.len() >= MIXTURES {
            return;
        }
        let mut file = file.clone();
        let mut mixtures = std::mem::take(&mut file.mixtures);
        mixtures.push(file.body.clone());
        let mut with: Vec<_> = mixtures.clone();
        with.iter_mut().for_each(|body| write_block(body, block, text));
        mixtures.extend(with);
        write_block(&mut file.body, block, text);
        file.mixtures = mixtures;
        self.count("a silent write");
        self.log(format_args!("disk: {p} block {block} written silently"));
        self.share(file);
    }

    pub fn truncate(&mut self, p: &RelPath, blocks: usize) {
        if self.reaches(p) && self.disk.files.contains_key(p) {
            self.change(p, |file| file.body.truncate(blocks * BLOCK));
            self.log(format_args!("disk: {p} truncated"));
        }
    }

    pub fn chmod(&mut self, p: &RelPath, mode: u32) {
        let Some(mut file) = self.disk.files.get(p).cloned().filter(|_| self.reaches(p)) else { return };
        (file.mode, file.ctime) = (0o100_000 | mode, self.tick());
        self.share(file);
        self.log(format_args!("disk: {p} chmod {mode:o}"));
    }

    /// Changes the content of a file, and with it its times: stat shows it.
    fn change(&mut self, p: &RelPath, by: impl FnOnce(&mut File)) {
        let (tick, mut file) = (self.tick(), self.disk.files[p].clone());
        by(&mut file);
        (file.mtime, file.ctime) = (tick, tick);
        file.mixtures.clear();
        self.share(file);
    }

    /// The inode is like this now, under all of its names.
    fn share(&mut self, file: File) {
        let names = self.disk.files.iter().filter(|(_, had)| had.inode == file.inode);
        for name in names.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.disk.files.insert(name.clone(), file.clone());
            self.remember(&name);
        }
    }

    /// Atomic save: a new inode with this content takes the name.
    pub fn replace(&mut self, p: &RelPath, body: Vec<u8>) {
        if !self.reaches(p) {
            return;
        }
        self.clear(p);
        self.disk.inode += 1;
        let had = self.disk.files.remove(p);
        let (tick, inode) = (self.tick(), self.disk.inode);
        let file = File { body, mtime: tick, ctime: tick, inode, mode: 0o100_644, ..File::default() };
        self.take_name(p, had, file);
        self.log(format_args!("disk: {p} replaced"));
    }

    /// mtime travels, ctime does not.
    pub fn rename(&mut self, from: &RelPath, to: &RelPath) {
        if from == to || to.is_within(from) || from.is_within(to) || !self.reaches(from) || !self.reaches(to)
        {
            return;
        }
        let Some(file) = self.disk.files.get(from).cloned() else { return };
        // rename(2) of two names of one file does nothing
        if self.disk.files.get(to).is_some_and(|had| had.inode == file.inode) {
            return;
        }
        self.clear(to);
        self.remove(from);
        let had = self.disk.files.remove(to);
        self.take_name(to, had, file.clone());
        self.name(to, file);
        self.log(format_args!("disk: {from} renamed to {to}"));
    }

    /// One more name of the same file.
    pub fn hard_link(&mut self, from: &RelPath, to: &RelPath) {
        let apart = from != to && !to.is_within(from) && !from.is_within(to);
        let Some(file) = self.disk.files.get(from).cloned() else { return };
        if !apart || !self.reaches(from) || !self.reaches(to) || self.disk.files.contains_key(to) {
            return;
        }
        self.clear(to);
        self.count("a hard link");
        self.name(to, file);
        self.log(format_args!("disk: {to} is {from}, too"));
    }

    /// The file has one more name, which changes its ctime.
    fn name(&mut self, p: &RelPath, mut file: File) {
        file.ctime = self.tick();
        file.mixtures.clear();
        self.put_file(p, file.clone());
        self.share(file);
    }

    pub fn link(&mut self, p: &RelPath) {
        if !self.reaches(p) {
            return;
        }
        self.clear(p);
        self.remove(p);
        if self.disk.kinds.links {
            self.disk.inode += 1;
            let (tick, inode) = (self.tick(), self.disk.inode);
            let body = inode.to_le_bytes().to_vec();
            let file = File { body, mtime: tick, ctime: tick, inode, mode: LINK, ..File::default() };
            self.put_file(&p.link_name(), file);
            return self.log(format_args!("disk: {p} is a link now, and stored"));
        }
        let now = self.now();
        self.disk.appeared.insert(p.clone(), now);
        self.disk.links.insert(p.clone());
        self.log(format_args!("disk: {p} is a link now"));
    }

    /// The file has a name less, which changes its ctime.
    fn unname(&mut self, mut file: File) {
        file.ctime = self.tick();
        file.mixtures.clear();
        self.share(file);
    }

    /// In one moment the name is that of another file.
    fn take_name(&mut self, p: &RelPath, had: Option<File>, file: File) {
        match had {
            Some(had) => {
                self.disk.files.insert(p.clone(), file);
                self.remember(p);
                self.unname(had);
            }
            None => self.put_file(p, file),
        }
    }

    fn put_file(&mut self, p: &RelPath, file: File) {
        if self.disk.files.insert(p.clone(), file).is_none() {
            let now = self.now();
            self.disk.appeared.insert(p.clone(), now);
        }
        self.remember(p);
    }

    pub fn remove(&mut self, p: &RelPath) {
        if !self.reaches(p) {
            return;
        }
        self.disk.links.remove(p);
        if self.disk.files.get(&p.link_name()).is_some_and(|file| file.mode == LINK) {
            return self.remove(&p.link_name());
        }
        let Some(file) = self.disk.files.remove(p) else { return };
        let now = self.now();
        self.disk.vanished.insert(p.clone(), now);
        self.unname(file);
        self.log(format_args!("disk: {p} removed"));
    }

    /// Another file system is mounted on the root, or the true one is seen again.
    pub fn swap_root(&mut self) {
        let now = self.now();
        let disk = &mut self.disk;
        std::mem::swap(&mut disk.root, &mut disk.spare);
        disk.root_changed = now;
        // what was mounted below it went with it
        disk.mounts.clear();
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
            } else {
                self.disk.vanished.insert(p.clone(), now);
            }
        }
        self.disk.elsewhere = (gone, gone_links);
        let root = self.disk.root.clone();
        self.log(format_args!("disk: the root is {root:?}"));
    }

    /// A file of the root that is not there now changes.
    pub fn write_elsewhere(&mut self, p: &RelPath, text: u64) {
        let tick = self.tick();
        if let Some(file) = self.disk.elsewhere.0.get_mut(p) {
            write_block(&mut file.body, 0, text);
            (file.mtime, file.ctime) = (tick, tick);
            file.mixtures.clear();
            let file = file.clone();
            self.disk.elsewhere.0.values_mut().filter(|other| other.inode == file.inode).for_each(|other| {
                *other = file.clone();
            });
        }
    }

    /// Another file system is mounted on a directory, or what lies below it is seen again.
    pub fn mount(&mut self, dir: &RelPath) {
        let now = self.now();
        if self.disk.mounts.remove(dir).is_some() {
            // to those who looked meanwhile it was not there
            let below: Vec<RelPath> = self.disk.files.keys().filter(|f| f.is_within(dir)).cloned().collect();
            self.disk.appeared.extend(below.into_iter().map(|f| (f, now)));
            self.log(format_args!("disk: {dir} is no mount point any more"));
        } else if self.disk.is_directory(dir) && !self.disk.is_skipped(dir) && self.reaches(dir) {
            self.disk.mounts.insert(dir.clone(), now);
            self.count("a mount below the root");
            self.log(format_args!("disk: {dir} is a mount point"));
        }
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
        let file = &self.disk.files[p];
        let past = self.disk.past.entry(p.clone()).or_default();
        if !past.contains(&file.body) {
            past.insert(file.body.clone());
        }
        past.extend(file.mixtures.iter().cloned());
    }
}

fn write_block(body: &mut Vec<u8>, block: usize, text: u64) {
    let end = (block + 1) * BLOCK;
    if body.len() < end {
        body.resize(end, 0);
    }
    body[block * BLOCK..end].copy_from_slice(&text.to_le_bytes());
}
