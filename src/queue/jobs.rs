//! One slot per key: what is being done right now.

use crate::model::{Against, Key};
use std::{collections::BTreeMap, ops::RangeBounds};

/// The slots. A key that has one gets no second; what is seen of it meanwhile is looked at again when
/// the slot is free.
#[derive(Debug)]
pub struct Jobs {
    slots: BTreeMap<Key, Slot>,
    room: usize,
    /// Slots that take no room.
    beside: usize,
}

#[derive(Debug)]
struct Slot {
    born: u64,
    tried: bool,
    beside: bool,
    /// It is to be looked at again, so.
    again: Option<Against>,
}

impl Slot {
    fn again(&mut self, against: Against) {
        self.again = self.again.max(Some(against));
    }
}

impl Jobs {
    /// At most `room` slots are filled by surveys.
    pub fn new(room: usize) -> Self {
        Self { slots: BTreeMap::new(), room, beside: 0 }
    }

    /// True while surveys may go on; a quarter of the room is left to `swift` ones.
    pub fn has_room(&self, swift: bool) -> bool {
        let room = if swift { self.room } else { self.room - self.room / 4 };
        self.slots.len() - self.beside < room
    }

    /// True if nothing is being done.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many slots are taken.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True if something is being done about `key`; it will then be looked at again.
    pub fn busy(&mut self, key: &Key, against: Against) -> bool {
        self.slots.get_mut(key).map(|slot| slot.again(against)).is_some()
    }

    /// These keys were seen: if something is being done about any of them, it will be looked at again.
    pub fn seen(&mut self, keys: impl RangeBounds<Key>, against: Against) {
        self.slots.range_mut(keys).for_each(|(_, slot)| slot.again(against));
    }

    /// The number of the note that led to what is being done about `key`.
    pub fn born(&self, key: &Key) -> Option<u64> {
        self.slots.get(key).map(|slot| slot.born)
    }

    /// True if nothing is being done about `key`.
    pub fn is_free(&self, key: &Key) -> bool {
        !self.slots.contains_key(key)
    }

    /// Takes a slot for every one of `keys`, or for none if one of them has one. `born` is the number of the
    /// note that led here.
    pub fn take(&mut self, keys: &[&Key], born: u64) -> bool {
        if keys.iter().any(|key| self.slots.contains_key(*key)) {
            return false;
        }
        for key in keys {
            self.slots.insert((*key).clone(), Slot { born, tried: false, beside: false, again: None });
        }
        true
    }

    /// Takes a slot for `key`, if it has none, for what no note led to. It takes no room: surveys go on beside it.
    pub fn take_beside(&mut self, key: &Key) -> bool {
        if self.slots.contains_key(key) {
            return false;
        }
        self.beside += 1;
        self.slots.insert(key.clone(), Slot { born: u64::MAX, tried: false, beside: true, again: None });
        true
    }

    /// The job was tried once, though its proof may not be durable yet.
    pub fn tried(&mut self, key: &Key) {
        if let Some(slot) = self.slots.get_mut(key) {
            slot.tried = true;
        }
    }

    /// Frees the slot; how the key is to be looked at again, if it is.
    pub fn finish(&mut self, key: &Key) -> Option<Against> {
        let slot = self.slots.remove(key)?;
        self.beside -= usize::from(slot.beside);
        slot.again
    }

    /// The number of the oldest note whose job was not tried yet.
    pub fn oldest(&self) -> Option<u64> {
        self.slots.values().filter(|slot| !slot.tried).map(|slot| slot.born).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_slot_and_is_looked_at_again_if_seen_meanwhile() {
        let mut jobs = Jobs::new(2);
        let [a, b, c] = ["a", "b", "c"].map(Key::raw);
        assert!(jobs.take(&[&a, &b], 4) && !jobs.has_room(true) && jobs.len() == 2);
        assert!(!jobs.take(&[&c, &b], 5), "all or none");
        let (disk, bucket) = (Against::Ledger, Against::Bucket);
        assert!(!jobs.busy(&c, disk) && jobs.busy(&b, bucket) && jobs.busy(&b, disk));
        assert_eq!((jobs.oldest(), jobs.born(&a), jobs.born(&c)), (Some(4), Some(4), None));
        jobs.tried(&a);
        jobs.tried(&b);
        assert_eq!(jobs.oldest(), None);
        assert_eq!(
            (jobs.finish(&a), jobs.finish(&b)),
            (None, Some(bucket)),
            "the closest look that was asked for"
        );
        assert!(jobs.is_empty());
        assert!(jobs.take(&[&a, &b], 6) && jobs.take(&[&c], 6));
        jobs.seen(b.clone()..=c.clone(), disk);
        assert_eq!([&a, &b, &c].map(|key| jobs.finish(key)), [None, Some(disk), Some(disk)]);
    }

    #[test]
    fn what_no_note_led_to_takes_a_slot_and_no_room() {
        let mut jobs = Jobs::new(1);
        let [a, b] = ["a", "b"].map(Key::raw);
        assert!(jobs.take_beside(&a) && !jobs.take_beside(&a) && !jobs.take(&[&a], 1));
        assert!(jobs.has_room(true) && !jobs.is_empty() && jobs.len() == 1);
        assert!(jobs.take(&[&b], 1) && !jobs.has_room(true) && !jobs.take_beside(&b));
        assert_eq!((jobs.finish(&a), jobs.has_room(true)), (None, false));
        assert_eq!((jobs.finish(&b), jobs.has_room(true)), (None, true));
    }

    #[test]
    fn a_key_is_free_until_it_has_a_slot() {
        let mut jobs = Jobs::new(1);
        let [a, b] = ["a", "b"].map(Key::raw);
        assert!(jobs.take(&[&a], 1));
        assert!(!jobs.is_free(&a) && jobs.is_free(&b));
        assert_eq!(jobs.finish(&b), None);
        assert!(!jobs.is_free(&a) && jobs.len() == 1);
    }

    #[test]
    fn a_quarter_of_the_room_is_left_to_what_is_swift() {
        let mut jobs = Jobs::new(8);
        let keys: Vec<Key> = (0..8).map(|n| Key::raw(n.to_string())).collect();
        let room: Vec<_> = keys
            .iter()
            .map(|key| {
                assert!(jobs.take(&[key], 1));
                (jobs.has_room(false), jobs.has_room(true))
            })
            .collect();
        assert_eq!(room[4..], [(true, true), (false, true), (false, true), (false, false)]);
        assert!(Jobs::new(1).has_room(false), "one is for all");
    }
}
