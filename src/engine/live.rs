//! What is counted for every file: numbers that anybody may add to and read at any time, without a lock. A
//! look at a million files counts a million times.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The numbers of one engine's life.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// As in [`Sums`](super::Sums).
    pub(super) unchanged: Count,
    /// As there.
    pub(super) foreign: Count,
    /// As there.
    pub(super) skipped: Count,
    /// As there.
    pub(super) bytes_read: Count,
    /// Bytes given to the store, those of files under way and of uploads that failed included.
    pub(super) given: Count,
    /// Comparisons with the bucket that were completed.
    pub(super) compared: Count,
    looking: AtomicBool,
    looked: AtomicU64,
    objects: AtomicU64,
    size: AtomicU64,
    /// By the last look at everything that was completed.
    stored: Mutex<Option<Stored>>,
    pending: AtomicU64,
    in_flight: AtomicU64,
    deletes_wait: AtomicBool,
    /// Wall times, in seconds since 1970; 0: never.
    looked_at: AtomicI64,
    compared_at: AtomicI64,
    behind: Mutex<Behind>,
}

/// Since when something is unsynced, and how much longer than that. Nobody knows before it is told.
#[derive(Debug)]
struct Behind(Option<(Instant, Duration)>);

impl Default for Behind {
    fn default() -> Self {
        Self(Some((Instant::now(), Duration::ZERO)))
    }
}

/// What the bucket is to hold for a mirror.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Files, and objects of ours that are kept without one.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How far an engine is, at one moment: cheap to ask for, for a display that asks often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// A look at everything is under way.
    pub looking: bool,
    /// Files that the present look at everything, or else the last one, has come to. Objects of ours
    /// without a file count, so that the number is comparable with the ledger's records.
    pub looked: u64,
    /// Comparisons with the bucket that were completed.
    pub compared: u64,
    /// Files whose content was sent.
    pub sent: u64,
    /// Bytes given to the store, those of files under way and of uploads that failed included.
    pub bytes: u64,
    /// Files that are being dealt with.
    pub in_flight: u64,
    /// Deletes wait for their second look.
    pub deletes_wait: bool,
}

impl Live {
    /// A look at everything begins.
    pub(super) fn look_begins(&self) {
        self.looked.store(0, Relaxed);
        self.objects.store(0, Relaxed);
        self.size.store(0, Relaxed);
        self.looking.store(true, Relaxed);
    }

    /// The look came to a file, or to an object of ours; so many bytes of it are to stay in the bucket, if it is.
    pub(super) fn came_to(&self, size: Option<u64>) {
        self.looked.fetch_add(1, Relaxed);
        if let Some(size) = size {
            self.objects.fetch_add(1, Relaxed);
            self.size.fetch_add(size, Relaxed);
        }
    }

    /// The look came to files, each of which has its object.
    pub(super) fn came_to_all(&self, files: Stored) {
        self.looked.fetch_add(files.objects, Relaxed);
        self.objects.fetch_add(files.objects, Relaxed);
        self.size.fetch_add(files.bytes, Relaxed);
    }

    /// The look ended; `whole` if nothing broke it off.
    pub(super) fn look_ends(&self, whole: bool) {
        self.looking.store(false, Relaxed);
        if whole {
            let stored = Stored { objects: self.objects.load(Relaxed), bytes: self.size.load(Relaxed) };
            *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = Some(stored);
        }
    }

    /// What waits now: places to look at, files under way, deletes.
    pub(super) fn waiting(&self, pending: usize, in_flight: usize, deletes: bool) {
        self.pending.store(pending as u64, Relaxed);
        self.in_flight.store(in_flight as u64, Relaxed);
        self.deletes_wait.store(deletes, Relaxed);
    }

    /// Places to look at, and files under way.
    pub(super) fn pending(&self) -> (usize, usize) {
        let number = |n: &AtomicU64| usize::try_from(n.load(Relaxed)).unwrap_or(usize::MAX);
        (number(&self.pending), number(&self.in_flight))
    }

    /// What is to stay in the bucket, by the last look at everything that was completed.
    pub(super) fn stored(&self) -> Option<Stored> {
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything was looked at, and maybe compared with the bucket, by this wall time.
    pub(super) fn looked_by(&self, at: i64, compared: bool) {
        self.looked_at.store(at, Relaxed);
        if compared {
            self.compared_at.store(at, Relaxed);
            self.compared.add(1);
        }
    }

    /// When everything was looked at, and when it was compared with the bucket, the last time.
    pub(super) fn looked(&self) -> (Option<i64>, Option<i64>) {
        let at = |at: &AtomicI64| Some(at.load(Relaxed)).filter(|at| *at != 0);
        (at(&self.looked_at), at(&self.compared_at))
    }

    /// Since when something is unsynced, and how much longer than that; `None`: nothing is.
    pub(super) fn lags(&self, since: Option<(Instant, Duration)>) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = Behind(since);
    }

    /// For how long something has been unsynced.
    pub(super) fn unsynced(&self) -> Option<Duration> {
        let behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner).0;
        behind.map(|(since, before)| since.elapsed().saturating_add(before))
    }

    /// With the files `sent`, which are counted elsewhere.
    pub(super) fn progress(&self, sent: u64) -> Progress {
        Progress {
            looking: self.looking.load(Relaxed),
            looked: self.looked.load(Relaxed),
            compared: self.compared.get(),
            sent,
            bytes: self.given.get(),
            in_flight: self.in_flight.load(Relaxed),
            deletes_wait: self.deletes_wait.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_known_when_a_look_was_whole() {
        let live = Live::default();
        let look = |sizes: &[Option<u64>], whole| {
            live.look_begins();
            sizes.iter().for_each(|size| live.came_to(*size));
            assert!(live.progress(0).looking);
            live.look_ends(whole);
            (live.stored(), live.progress(0).looked)
        };
        let stored = |objects, bytes| Some(Stored { objects, bytes });
        assert_eq!(look(&[Some(5), Some(6)], false), (None, 2), "it was broken off");
        assert_eq!(look(&[], true), (stored(0, 0), 0));
        assert_eq!(look(&[Some(5), None, Some(6)], true), (stored(2, 11), 3));
        assert_eq!(look(&[Some(7)], false), (stored(2, 11), 1), "the last whole one counts");
        assert!(!live.progress(0).looking);
    }
}
