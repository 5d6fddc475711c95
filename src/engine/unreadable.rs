//! Places that cannot be read, each until a look finds that it can be, or that it is gone.

use crate::model::Key;
use std::collections::BTreeSet;

/// Places that are known apart. Of more only their number is known, by the last look at everything and what came since.
const MOST: usize = 1000;

/// Directories that cannot be read now, and files that cannot be looked at: nothing is known of them, nor of what lies below. (A file
/// that can be seen and not be opened fails.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    places: BTreeSet<Key>,
    /// By the last look at everything.
    others: u64,
    /// By the one that is under way, so far.
    found: Option<u64>,
}

impl Unreadable {
    /// It could not be read. What lies below a directory that is known is not counted besides.
    pub(super) fn add(&mut self, place: &Key) {
        if self.holds(place) {
            return;
        }
        if place.is_directory() {
            self.leave_out(place);
        }
        if self.places.len() < MOST {
            self.places.insert(place.clone());
            return;
        }
        match &mut self.found {
            Some(found) => *found += 1,
            // which of the others it may be is not known
            None => self.others = self.others.max(1),
        }
    }

    /// True for one of those that are known apart.
    pub(super) fn is(&self, key: &Key) -> bool {
        self.places.contains(key)
    }

    /// True for one of them, and for what lies below.
    fn holds(&self, key: &Key) -> bool {
        let key = key.as_str();
        let above = key.match_indices('/').map(|(at, _)| &key[..=at]);
        above.chain([key]).any(|place| self.places.contains(place))
    }

    /// It was looked at: it can be read, or is not there.
    pub(super) fn remove(&mut self, place: &Key) {
        self.places.remove(place);
    }

    /// Nothing at or below `place` is part of the mirror.
    pub(super) fn leave_out(&mut self, place: &Key) {
        self.places.retain(|key| !key.is_at_or_below(place));
    }

    /// A look at everything begins.
    pub(super) fn look_begins(&mut self) {
        self.found = Some(0);
    }

    /// It was whole: of those that are not known apart it found all.
    pub(super) fn look_ends(&mut self) {
        self.others = self.found.take().unwrap_or_default();
    }

    /// Those that are known apart.
    pub fn places(&self) -> impl Iterator<Item = &Key> {
        self.places.iter()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.places.len() as u64 + self.others.max(self.found.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(keys: &[&str]) -> Unreadable {
        let mut all = Unreadable::default();
        keys.iter().for_each(|key| all.add(&Key::raw(*key)));
        all
    }

    #[test]
    fn what_lies_below_an_unreadable_directory_is_not_counted_besides() {
        let mut unreadable = all(&["d/", "d/a", "d/e/", "d-1", "f", "f"]);
        let places: Vec<_> = unreadable.places().map(Key::as_str).collect();
        assert_eq!((unreadable.count(), places), (3, vec!["d-1", "d/", "f"]));
        unreadable.remove(&Key::raw("f"));
        unreadable.leave_out(&Key::raw("d"));
        assert_eq!(unreadable, all(&["d-1"]));
        assert_eq!(all(&["d/e/", "d/e", "d/"]).count(), 1, "in whatever order");
    }

    #[test]
    fn of_very_many_the_number_is_known_by_the_last_look_at_everything() {
        let mut unreadable = Unreadable::default();
        let find = |unreadable: &mut Unreadable, n: usize| unreadable.add(&Key::raw(format!("{n:05}")));
        let look = |unreadable: &mut Unreadable, n: usize| {
            unreadable.look_begins();
            (0..n).for_each(|n| find(unreadable, n));
            let before = unreadable.count();
            unreadable.look_ends();
            (before, unreadable.count())
        };
        let most = MOST as u64;
        assert_eq!(look(&mut unreadable, MOST + 5), (most + 5, most + 5));
        (0..100).for_each(|_| find(&mut unreadable, MOST + 3));
        assert_eq!(look(&mut unreadable, MOST + 5), (most + 5, most + 5), "the same ones once more");
        assert_eq!(look(&mut unreadable, MOST), (most + 5, most));
        find(&mut unreadable, MOST);
        assert_eq!(unreadable.count(), most + 1);
    }
}
