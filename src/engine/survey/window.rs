//! What a survey has read and not yet told: a row that is written meanwhile makes that old.

use crate::model::Key;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// How far a survey has read ahead, in the order of keys. Its reader tells.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Reach(Arc<Mutex<Upto>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Upto {
    /// It does not go by the order of keys, or nothing was read yet.
    #[default]
    Unordered,
    /// And will not any more.
    Lost,
    /// It is reading: maybe any key.
    Reading,
    /// Nothing after this key.
    Key(Key),
}

impl Reach {
    /// It is about to read on, in the order of keys.
    pub(super) fn reading(&self) {
        self.set(Upto::Reading);
    }

    /// It has read up to this key.
    pub(super) fn read(&self, upto: Key) {
        self.set(Upto::Key(upto));
    }

    /// It begins anew, in no order.
    pub(super) fn lose(&self) {
        self.set(Upto::Lost);
    }

    fn set(&self, upto: Upto) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // a reader that is being ended may have a last word
        if *now != Upto::Lost {
            *now = upto;
        }
    }

    fn get(&self) -> Upto {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Keys that are remembered; beyond that, whatever the survey tells counts as old.
const MOST: usize = 16_384;

/// The keys that a survey may know in an old state, as the session sees it.
#[derive(Debug, Default)]
pub(in crate::engine) struct Window {
    reach: Reach,
    /// It told of all keys up to this one, if it goes by their order.
    passed: Option<Key>,
    /// Rows of these keys were written since it may have read them.
    overtaken: BTreeSet<Key>,
    /// There were more of them than are remembered.
    full: bool,
}

impl Window {
    /// For the survey.
    pub(in crate::engine) fn reach(&self) -> Reach {
        self.reach.clone()
    }

    /// It told of `key`.
    pub(in crate::engine) fn pass(&mut self, key: &Key) {
        if matches!(self.reach.get(), Upto::Reading | Upto::Key(_)) {
            while self.overtaken.first().is_some_and(|overtaken| overtaken <= key) {
                self.overtaken.pop_first();
            }
        }
        self.passed = Some(key.clone());
    }

    /// A row of `key` was written. True if what the survey is yet to tell of it may be old. `own`: the row came of
    /// what this survey told.
    pub(in crate::engine) fn overtake(&mut self, key: &Key, own: bool) -> bool {
        let behind = || self.passed.as_ref().is_none_or(|passed| passed < key);
        let old = match self.reach.get() {
            Upto::Unordered | Upto::Lost => !own,
            Upto::Reading => behind(),
            Upto::Key(upto) => behind() && *key <= upto,
        };
        self.full |= old && self.overtaken.len() >= MOST;
        if old && !self.full {
            self.overtaken.insert(key.clone());
        }
        old
    }

    /// True if what the survey tells of `key` may be old.
    pub(in crate::engine) fn is_old(&mut self, key: &Key) -> bool {
        self.overtaken.remove(key) || self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::raw(text)
    }

    #[test]
    fn only_what_was_read_and_not_told_is_old() {
        let mut window = Window::default();
        window.reach().reading();
        assert!(window.overtake(&key("z"), false), "any key may be being read");
        window.reach().read(key("m"));
        window.pass(&key("c"));
        for (name, old) in [("b", false), ("c", false), ("d", true), ("m", true), ("n", false)] {
            assert_eq!(window.overtake(&key(name), false), old, "{name}");
        }
        window.pass(&key("k"));
        assert!(!window.is_old(&key("d")), "told before it was overtaken, or in sync");
        assert!(window.is_old(&key("m")) && !window.is_old(&key("m")), "it is told of once");
        assert!(window.is_old(&key("z")));
    }

    #[test]
    fn without_an_order_all_but_its_own_is_old() {
        let mut window = Window::default();
        window.pass(&key("z"));
        assert!(window.overtake(&key("a"), false) && !window.overtake(&key("b"), true));
        window.pass(&key("c"));
        assert!(window.is_old(&key("a")) && !window.is_old(&key("b")));
        // begun anew, in no order
        window.reach().reading();
        window.reach().lose();
        window.reach().read(key("m"));
        assert!(window.overtake(&key("a"), false) && window.overtake(&key("z"), false));
    }

    #[test]
    fn what_cannot_be_remembered_counts_as_old() {
        let mut window = Window::default();
        for n in 0..=MOST {
            assert!(!window.is_old(&key("a")));
            assert!(window.overtake(&key(&format!("k{n}")), false));
        }
        assert_eq!(window.overtaken.len(), MOST);
        assert!(window.is_old(&key("a")));
    }
}
