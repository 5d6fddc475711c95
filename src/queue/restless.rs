//! Files that do not rest: when each is tried again.
//!
//! A try reads the file, so one that changes each time would be read for ever. It is tried again when it has been
//! still for as long as the last try took, for then the next one may well succeed; and without any rest after ten
//! times as long, or later, twice as long after each failure. In between a look costs one stat: if the bucket has to be
//! asked, that is done when the file is tried.

use super::{Mono, delay};
use crate::model::{Against, Fingerprint, Key};
use std::collections::BTreeMap;

/// Files that are known apart. Of more, those whose time comes first are forgotten: they are tried sooner.
const MOST: usize = 4096;
/// A file that is still for less may just be about to be written to.
const STILL: Mono = Mono::from_millis(250);
/// Without rest, a file is read for a tenth of the time at most.
const STRETCH: u32 = 10;

/// The files that changed when they were last tried.
#[derive(Debug, Default)]
pub struct Restless {
    files: BTreeMap<Key, Unrest>,
}

#[derive(Debug)]
struct Unrest {
    /// Tries in a row that were in vain.
    tries: u32,
    /// It was still when it was seen last.
    rests: bool,
    /// It is tried then, resting or not,
    until: Mono,
    /// or when it was still for so long.
    still: Mono,
    /// As it was seen last, since when.
    seen: Option<(Fingerprint, Mono)>,
    /// The most that a look was to compare it with since.
    against: Against,
}

impl Restless {
    /// A try that took `took` was in vain. It is looked at again after `quiet`, at the earliest; `jitter` is 0.0 ..= 1.0.
    /// How many tries were in vain, in a row.
    pub fn changed(&mut self, key: &Key, now: Mono, took: Mono, quiet: Mono, jitter: f64) -> u32 {
        let tries = self.files.get(key).map_or(1, |file| file.tries.saturating_add(1));
        let until = now + (took * STRETCH).max(delay(tries, jitter));
        self.insert(key, Unrest::new(tries, until, took.max(quiet)));
        tries
    }

    /// Its beginning was sent, which took `took`; the next time comes after `longest`.
    pub fn grew(&mut self, key: &Key, now: Mono, took: Mono, quiet: Mono, longest: Mono) {
        let until = now + (took * STRETCH).max(longest);
        self.insert(key, Unrest::new(0, until, took.max(quiet)));
    }

    /// It was dealt with, and did not change.
    pub fn rested(&mut self, key: &Key) {
        self.files.remove(key);
    }

    /// True if the file did not rest when it was tried last, nor since: one that grows is then sent as it is.
    pub fn is_known(&self, key: &Key) -> bool {
        self.files.get(key).is_some_and(|file| !file.rests)
    }

    /// How long to wait until the file is looked at again, now that it was seen as `print` and compared `against` that,
    /// and what to compare it with then. `None`: it is tried.
    pub fn wait(
        &mut self,
        key: &Key,
        print: &Fingerprint,
        now: Mono,
        against: Against,
    ) -> Option<(Mono, Against)> {
        let file = self.files.get_mut(key)?;
        let since = match file.seen {
            Some((seen, since)) if seen == *print => since,
            _ => {
                file.seen = Some((*print, now));
                now
            }
        };
        let still = since + file.still;
        file.rests = still <= now;
        file.against = file.against.max(against);
        match file.until.min(still) {
            at if at > now => Some((at - now, Against::Ledger)),
            _ if file.against > against => Some((Mono::ZERO, file.against)),
            _ => None,
        }
    }

    fn insert(&mut self, key: &Key, unrest: Unrest) {
        self.files.insert(key.clone(), unrest);
        if self.files.len() > MOST {
            let first = self.files.iter().min_by_key(|(_, file)| file.until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.files.remove(&first);
            }
        }
    }
}

impl Unrest {
    fn new(tries: u32, until: Mono, still: Mono) -> Self {
        Self { tries, rests: false, until, still: still.max(STILL), seen: None, against: Against::Ledger }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stamp;

    const S: Mono = Mono::from_secs(1);

    /// A look that the ledger is asked in.
    fn wait(restless: &mut Restless, key: &Key, print: &Fingerprint, now: Mono) -> Option<Mono> {
        let (wait, against) = restless.wait(key, print, now, Against::Ledger)?;
        assert_eq!(against, Against::Ledger);
        Some(wait)
    }

    fn print(size: u64) -> Fingerprint {
        Fingerprint { size, mtime: Stamp::default(), ctime: Stamp::default(), inode: 1 }
    }

    #[test]
    fn c25_a_file_that_never_rests_waits_ten_times_as_long_as_it_took_and_longer_each_time() {
        let (mut restless, key) = (Restless::default(), Key::raw("k"));
        // tries in vain, how long one took, seconds until the next
        for (tries, took, want) in [(1, 0, 1), (2, 0, 2), (3, 0, 4), (4, 30, 300), (5, 1, 16), (6, 40, 400)] {
            let now = S * 1000;
            assert_eq!(restless.changed(&key, now, S * took, S * 2, 1.0), tries);
            let mut waited = Mono::ZERO;
            // it changes all the while
            for size in 0.. {
                assert!(size < 1000);
                let Some(wait) = wait(&mut restless, &key, &print(size), now + waited) else { break };
                assert!(wait >= S, "{wait:?}: not looked at all the time");
                waited += wait;
            }
            assert!(restless.is_known(&key));
            assert_eq!(waited, S * want, "after {tries} tries of {took} s");
        }
        for _ in 0..20 {
            restless.changed(&key, S, Mono::ZERO, S, 1.0);
        }
        wait(&mut restless, &key, &print(1), S);
        assert_eq!(restless.files[&key].until, S * 301, "pauses have a bound");
    }

    #[test]
    fn what_comes_to_rest_is_tried_when_it_was_still_for_as_long_as_a_try_takes() {
        let (mut restless, key) = (Restless::default(), Key::raw("k"));
        assert_eq!(wait(&mut restless, &key, &print(1), S), None, "nothing is known of it");
        restless.changed(&key, S * 100, S * 20, S * 2, 1.0);
        assert_eq!(wait(&mut restless, &key, &print(1), S * 102), Some(S * 20));
        assert_eq!(wait(&mut restless, &key, &print(2), S * 110), Some(S * 20), "it changed");
        assert_eq!(wait(&mut restless, &key, &print(2), S * 120), Some(S * 10));
        assert!(restless.is_known(&key));
        assert_eq!(wait(&mut restless, &key, &print(2), S * 130), None);
        assert!(!restless.is_known(&key), "it rests");
        restless.changed(&key, S * 200, Mono::ZERO, S * 2, 1.0);
        restless.changed(&key, S * 200, Mono::ZERO, S * 2, 1.0);
        restless.changed(&key, S * 200, Mono::ZERO, S * 2, 1.0);
        assert_eq!(wait(&mut restless, &key, &print(2), S * 200), Some(S * 2), "quiet at least");
        restless.rested(&key);
        assert_eq!(wait(&mut restless, &key, &print(3), S * 201), None);
    }

    #[test]
    fn without_a_quiet_time_a_first_look_is_no_rest() {
        let (mut restless, key) = (Restless::default(), Key::raw("k"));
        restless.grew(&key, S, Mono::ZERO, Mono::ZERO, S * 60);
        assert_eq!(wait(&mut restless, &key, &print(1), S), Some(STILL));
        assert_eq!(wait(&mut restless, &key, &print(2), S + STILL), Some(STILL));
        assert_eq!(wait(&mut restless, &key, &print(2), S + STILL * 2), None);
    }

    #[test]
    fn what_the_bucket_was_to_be_asked_for_is_asked_for_when_it_is_tried() {
        let (mut restless, key) = (Restless::default(), Key::raw("k"));
        restless.changed(&key, S * 100, Mono::ZERO, S * 2, 1.0);
        let mut look = |size, now, against| restless.wait(&key, &print(size), now, against);
        // looks that only wait ask nobody
        assert_eq!(look(1, S * 100, Against::Bucket), Some((S, Against::Ledger)));
        assert_eq!(look(2, S * 101, Against::Ledger), Some((Mono::ZERO, Against::Bucket)));
        assert_eq!(look(2, S * 101, Against::Bucket), None);
    }

    #[test]
    fn what_grows_is_sent_again_after_the_longest_wait() {
        let (mut restless, key) = (Restless::default(), Key::raw("k"));
        for (took, want) in [(0, 60), (5, 60), (7, 70)] {
            restless.changed(&key, S, S, S, 1.0);
            restless.grew(&key, S * 100, S * took, S * 2, S * 60);
            assert!(restless.is_known(&key));
            assert_eq!(restless.files[&key].until, S * (100 + want));
        }
        assert_eq!(restless.changed(&key, S, S, S, 1.0), 1, "the tries before were not in vain");
    }

    #[test]
    fn no_more_are_known_than_fit() {
        let mut restless = Restless::default();
        for n in 0..MOST as u32 + 50 {
            restless.changed(&Key::raw(format!("{n:05}")), S * n, Mono::ZERO, S, 1.0);
        }
        assert_eq!(restless.files.len(), MOST);
        assert!(!restless.files.contains_key(&Key::raw("00049")));
    }
}
