//! What the bucket tells of itself: a page of a listing, of now or of some seconds ago, whole or not.

use super::{bucket::LONGEST, world::World};
use s3mirrord::{
    model::{Key, RemoteMeta},
    store::{Depth, Page, Start},
};
use std::{collections::BTreeMap, time::Duration};

/// Objects of a page.
const PAGE: usize = 7;

impl World {
    /// What the bucket held so long ago.
    fn former(&self, ago: Duration) -> BTreeMap<Key, RemoteMeta> {
        let at = self.now().saturating_sub(ago);
        let mut all: BTreeMap<Key, RemoteMeta> =
            self.shelf.objects.iter().map(|(key, object)| (key.clone(), object.listed())).collect();
        for (_, key, had) in self.shelf.history.iter().rev().take_while(|(changed, ..)| *changed > at) {
            match had {
                Some(meta) => drop(all.insert(key.clone(), meta.clone())),
                None => drop(all.remove(key)),
            }
        }
        all
    }

    /// One page.
    pub fn page(&mut self, prefix: &Key, depth: Depth, start: &Start) -> Page {
        let mut page = match self.strikes("a stale listing", 30) {
            true => {
                let ago = Duration::from_millis(self.rng.u64(0..LONGEST.as_millis() as u64));
                let former = self.former(ago);
                page(former.keys(), |key| former[key].clone(), prefix, depth, start)
            }
            false => {
                let objects = &self.shelf.objects;
                page(objects.keys(), |key| objects[key].listed(), prefix, depth, start)
            }
        };
        if self.strikes("listing omits a key", 25) && !page.objects.is_empty() {
            let n = self.rng.usize(0..page.objects.len());
            page.objects.remove(n);
        }
        if self.shelf.unsorted && page.objects.len() > 1 {
            page.objects.reverse();
            self.count("unsorted listing");
        }
        page
    }
}

fn page<'a>(
    all: impl Iterator<Item = &'a Key>,
    listed: impl Fn(&Key) -> RemoteMeta,
    prefix: &Key,
    depth: Depth,
    start: &Start,
) -> Page {
    let (after, token) = match start {
        Start::First => (None, None),
        Start::After(key) => (Some(key), None),
        Start::Token(token) => (None, Some(token)),
    };
    // the trash is not below the prefix
    let here = |k: &Key| k.trash_name().is_some() == prefix.trash_name().is_some();
    let under = |k: &Key| {
        here(k)
            && k.as_str().starts_with(prefix.as_str())
            && token.is_none_or(|t| k.as_str() > t.as_str())
            && after.is_none_or(|after| k > after)
    };
    let (mut page, mut last) = (Page::default(), None::<&Key>);
    for key in all.filter(|key| under(key)) {
        let rest = &key.as_str()[prefix.as_str().len()..];
        let sub = rest.find('/').filter(|_| depth == Depth::Children);
        let sub = sub.map(|at| Key::raw(&key.as_str()[..prefix.as_str().len() + at + 1]));
        if sub.is_some() && page.directories.last() == sub.as_ref() {
            last = Some(key);
            continue;
        }
        if page.objects.len() + page.directories.len() == PAGE {
            page.next = last.map(|k| k.as_str().to_owned());
            break;
        }
        last = Some(key);
        match sub {
            // a directory that the page before ended in is not named again
            Some(sub) if token.is_some_and(|t| t.starts_with(sub.as_str())) => {}
            Some(sub) => page.directories.push(sub),
            None => page.objects.push((key.clone(), listed(key))),
        }
    }
    page
}
