//! What is known to differ from the bucket, and since when: from the moment at which it was decided that something is to be
//! done about a key until that is proven, however often it fails, waits or is held in between.

use super::{Mono, times::Times};
use crate::model::Key;
use std::collections::BTreeMap;

/// Keys that are known apart. Of more only the oldest time is known, until a look at everything finds none of them.
const MOST: usize = 4096;

/// Keys whose object is not yet what their file is.
#[derive(Debug, Default)]
pub struct Unsynced {
    keys: BTreeMap<Key, Since>,
    times: Times,
    /// The oldest time of those that are not known apart.
    others: Option<Mono>,
    /// One of them was found since the last look at everything began.
    found: bool,
}

#[derive(Clone, Copy, Debug)]
struct Since {
    at: Mono,
    /// It changed once more while it was dealt with.
    again: Option<Mono>,
}

impl Unsynced {
    /// The key is to be dealt with, or dealt with anew, for a change that was noted then. If that is known of an earlier one,
    /// that stands; what comes of it is the file as it is from now on.
    pub fn differs(&mut self, key: &Key, since: Mono) {
        if let Some(known) = self.keys.get_mut(key) {
            known.again = None;
            if since < known.at {
                self.times.remove(known.at);
                self.times.add(since);
                known.at = since;
            }
        } else if self.keys.len() < MOST {
            self.times.add(since);
            self.keys.insert(key.clone(), Since { at: since, again: None });
        } else {
            self.others = Some(self.others.map_or(since, |other| other.min(since)));
            self.found = true;
        }
    }

    /// The key, which is being dealt with, changed once more then: what comes of that may be the file as it was before.
    pub fn differs_again(&mut self, key: &Key, since: Mono) {
        if let Some(known) = self.keys.get_mut(key) {
            known.again = Some(known.again.map_or(since, |again| again.min(since)));
        }
    }

    /// What was begun for the key is proven: what came since then is left.
    pub fn proven(&mut self, key: &Key) {
        if let Some(Since { again: Some(again), .. }) = self.forget(key) {
            self.differs(key, again);
        }
    }

    /// Nothing is to be done about the key: it is in sync, left out, or somebody else's affair.
    fn forget(&mut self, key: &Key) -> Option<Since> {
        let known = self.keys.remove(key)?;
        self.times.remove(known.at);
        Some(known)
    }

    /// Nothing is to be done about the key: it is in sync, left out, or not there. Since when there was.
    pub fn in_sync(&mut self, key: &Key) -> Option<Mono> {
        self.forget(key).map(|known| known.at)
    }

    /// True if something is to be done about the key.
    pub fn has(&self, key: &Key) -> bool {
        self.keys.contains_key(key)
    }

    /// Keys that are known apart.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.keys()
    }

    /// A look at everything begins.
    pub fn look_begins(&mut self) {
        self.found = false;
    }

    /// It was whole: what it did not find again is in sync.
    pub fn look_ends(&mut self) {
        if !self.found {
            self.others = None;
        }
    }

    /// All that was seen is dealt with, and nothing fails or waits. With `all_seen`, nothing is left that could not be looked at
    /// either: what is still known to differ is nobody's affair any more. True if there was something.
    pub fn all_in_sync(&mut self, all_seen: bool) -> bool {
        let before = self.oldest();
        self.others = None;
        if all_seen {
            self.keys.clear();
            self.times = Times::default();
        }
        self.oldest() != before
    }

    /// Since when something is not in sync; `None`: all is.
    pub fn oldest(&self) -> Option<Mono> {
        self.times.first().into_iter().chain(self.others).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Mono = Mono::from_secs(1);

    fn key(n: usize) -> Key {
        Key::raw(format!("{n:05}"))
    }

    #[test]
    fn the_oldest_change_counts_until_it_is_proven() {
        let mut all = Unsynced::default();
        let [a, b] = [key(1), key(2)];
        assert_eq!(all.oldest(), None);
        all.differs(&a, S * 5);
        all.differs(&b, S * 7);
        all.differs(&a, S * 9);
        assert_eq!((all.oldest(), all.has(&a)), (Some(S * 5), true), "tried again, it is as old as before");
        all.differs(&b, S * 3);
        assert_eq!(all.oldest(), Some(S * 3), "an older change of it was found");
        all.proven(&b);
        assert_eq!((all.oldest(), all.has(&b)), (Some(S * 5), false));
        all.proven(&b);
        assert_eq!(all.in_sync(&a), Some(S * 5));
        assert_eq!((all.oldest(), all.in_sync(&a), all.keys().count()), (None, None, 0));
    }

    #[test]
    fn what_changes_while_it_is_dealt_with_is_as_old_as_that() {
        let mut all = Unsynced::default();
        let a = key(1);
        all.differs_again(&a, S);
        assert_eq!(all.oldest(), None, "nobody is at it");
        all.differs(&a, S);
        all.differs_again(&a, S * 8);
        all.differs_again(&a, S * 6);
        assert_eq!(all.oldest(), Some(S));
        all.proven(&a);
        assert_eq!(all.oldest(), Some(S * 6));
        all.differs(&a, S * 10);
        all.proven(&a);
        assert_eq!(all.oldest(), None);
        all.differs(&a, S);
        all.differs_again(&a, S * 8);
        all.in_sync(&a);
        assert_eq!(all.oldest(), None, "a look found it in sync");
        all.differs(&a, S);
        all.differs_again(&a, S * 3);
        all.differs(&a, S * 5);
        all.proven(&a);
        assert_eq!(all.oldest(), None, "it was held, say, and dealt with anew");
    }

    #[test]
    fn of_very_many_the_oldest_is_known_until_no_look_finds_them() {
        let mut all = Unsynced::default();
        let every = || (0..MOST + 10).map(key);
        let settle = |all: &mut Unsynced| {
            for key in every() {
                all.in_sync(&key);
            }
        };
        every().zip(10..).for_each(|(key, at)| all.differs(&key, S * at));
        assert_eq!(all.keys().count(), MOST);
        settle(&mut all);
        let first = Some(S * (10 + MOST as u32));
        assert_eq!(all.oldest(), first, "whether those are in sync is not known");
        all.look_begins();
        every().for_each(|key| all.differs(&key, S * 9999));
        all.look_ends();
        settle(&mut all);
        assert_eq!(all.oldest(), first, "some were found again");
        all.look_begins();
        all.look_ends();
        assert_eq!(all.oldest(), None);
        every().for_each(|key| all.differs(&key, S));
        settle(&mut all);
        assert!(all.all_in_sync(false));
        assert_eq!(all.oldest(), None);
        all.differs(&key(1), S);
        assert!(!all.all_in_sync(false), "it lies where nobody could look, say");
        assert!(all.all_in_sync(true) && !all.has(&key(1)));
        assert_eq!(all.oldest(), None);
    }
}
