//! Objects that are the only copy of a file under its new name: the rename did not come about yet, so they stay.

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
    /// The object of `from` could not be copied to `to`, nor the file sent; `look`: the newest look at everything.
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
        self.keys.remove(&from).map(|_| from)
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
    fn beyond_a_bound_everything_is_kept() {
        let mut sources = Sources::default();
        (0..=MOST).for_each(|n| sources.keep(&key(n), &key(10_000 + n), 7));
        assert!(sources.keys.len() == MOST && sources.keeps(&Key::raw("any")));
        sources.seen_since(8);
        assert!(!sources.keeps(&Key::raw("any")) && !sources.keeps(&key(1)) && sources.renamed.is_empty());
    }
}
