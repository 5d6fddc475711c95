//! Objects of files that have another name now under which the store does not hold them yet: so they stay.

use crate::model::Key;
use std::collections::BTreeMap;

/// No more are named. Beyond them nothing is deleted until looks at everything found fewer.
const MOST: usize = 4096;

/// Keys whose files have another name now that the store does not hold.
#[derive(Debug, Default)]
pub struct Sources {
    /// And in which look at everything, by its number, that was last seen.
    keys: BTreeMap<Key, u64>,
    /// By the new name.
    renamed: BTreeMap<Key, Key>,
    unnamed: Option<u64>,
}

impl Sources {
    /// The file that was `from` could neither be copied nor sent to `to`; `look`: the newest look at everything.
    pub fn keep(&mut self, from: &Key, to: &Key, look: u64) {
        if self.keys.len() < MOST || self.keys.contains_key(from) {
            self.keys.insert(from.clone(), look);
            self.renamed.insert(to.clone(), from.clone());
        } else {
            self.unnamed = Some(look);
        }
    }

    /// The file is in the bucket under its new name: the object that was kept for it, if one was.
    pub fn arrived(&mut self, to: &Key) -> Option<Key> {
        let from = self.renamed.remove(to)?;
        self.release(&from).then_some(from)
    }

    /// The new names of the files that objects are kept for.
    pub fn awaited(&self) -> impl Iterator<Item = &Key> {
        self.renamed.keys()
    }

    /// True if an object is kept for the file of this new name.
    pub fn awaits(&self, to: &Key) -> bool {
        self.renamed.contains_key(to)
    }

    /// There is no file of that new name any more: the object that was kept for it alone.
    pub fn vanished(&mut self, to: &Key) -> Option<Key> {
        let from = self.renamed.remove(to)?;
        let wanted = self.renamed.values().any(|other| *other == from);
        (!wanted && self.release(&from)).then_some(from)
    }

    /// What the object holds is in the bucket under another name: true if it was kept.
    pub fn release(&mut self, from: &Key) -> bool {
        self.keys.remove(from).is_some()
    }

    /// True if the object must not be deleted.
    pub fn keeps(&self, key: &Key) -> bool {
        self.unnamed.is_some() || self.keys.contains_key(key)
    }

    /// A look at everything is over, and another was before: what neither saw again is none any more.
    pub fn seen_since(&mut self, look: u64) {
        self.keys.retain(|_, seen| *seen >= look);
        self.renamed.retain(|_, from| self.keys.contains_key(from));
        self.unnamed = self.unnamed.filter(|seen| *seen >= look);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key::raw(format!("{n}"))
    }

    #[test]
    fn a_source_is_kept_until_its_file_arrived_or_is_not_seen_again() {
        let mut sources = Sources::default();
        (0..3).for_each(|n| sources.keep(&key(n), &key(10 + n), 1));
        assert_eq!((sources.arrived(&key(10)), sources.arrived(&key(10))), (Some(key(0)), None));
        sources.keep(&key(1), &key(11), 2);
        assert_eq!([0, 1, 2].map(|n| sources.keeps(&key(n))), [false, true, true]);
        sources.seen_since(2);
        assert_eq!([0, 1, 2].map(|n| sources.keeps(&key(n))), [false, true, false]);
    }

    #[test]
    fn a_source_of_several_is_kept_until_none_of_them_is_there_or_one_arrived() {
        let mut sources = Sources::default();
        let keep = |sources: &mut Sources| (10..13).for_each(|to| sources.keep(&key(0), &key(to), 1));
        keep(&mut sources);
        assert_eq!([10, 11].map(|to| sources.vanished(&key(to))), [None, None]);
        assert_eq!((sources.keeps(&key(0)), sources.vanished(&key(12))), (true, Some(key(0))));
        assert!(!sources.keeps(&key(0)) && sources.vanished(&key(12)).is_none());
        keep(&mut sources);
        assert_eq!((sources.arrived(&key(11)), sources.keeps(&key(0))), (Some(key(0)), false));
    }

    #[test]
    fn the_new_names_that_are_waited_for_are_told() {
        let mut sources = Sources::default();
        assert!(sources.awaited().next().is_none() && !sources.awaits(&key(10)));
        (0..2).for_each(|n| sources.keep(&key(n), &key(10 + n), 1));
        assert_eq!(sources.awaited().collect::<Vec<_>>(), [&key(10), &key(11)]);
        assert!(sources.awaits(&key(10)) && !sources.awaits(&key(0)));
        assert!(sources.release(&key(0)) && !sources.release(&key(0)) && !sources.keeps(&key(0)));
        assert_eq!(sources.arrived(&key(10)), None, "nothing is kept for it any more");
    }

    #[test]
    fn beyond_a_bound_everything_is_kept() {
        let mut sources = Sources::default();
        (0..=MOST).for_each(|n| sources.keep(&key(n), &key(10_000 + n), 7));
        assert!(sources.keys.len() == MOST && sources.keeps(&Key::raw("any")));
        sources.seen_since(8);
        assert!(!sources.keeps(&Key::raw("any")) && !sources.keeps(&key(1)) && sources.renamed.is_empty());
    }
}
